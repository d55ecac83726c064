//! Paths into JSON: `billing.email`, `line_items[].quantity`, `meta_data[key=_erp_id].value`.

use std::fmt;
use std::str::FromStr;

/// A path into a JSON document. The empty path is the document itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct JsonPath(pub Vec<Step>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The member of this name.
    Member(Box<str>),
    /// Every element of a list.
    Each,
    /// The first element of a list whose member has this value.
    Where(Box<str>, Box<str>),
}

/// Why a text is not a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a path is written `name`, `name.member`, `list[].member` or `list[member=value].member`")]
pub struct NotAPath;

impl FromStr for JsonPath {
    type Err = NotAPath;

    fn from_str(text: &str) -> Result<Self, NotAPath> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let (inside, after) = after.split_once(']').ok_or(NotAPath)?;
                steps.push(selection(inside)?);
                rest = after;
            } else {
                let name = if steps.is_empty() { rest } else { rest.strip_prefix('.').ok_or(NotAPath)? };
                let end = name.find(['.', '[']).unwrap_or(name.len());
                let (name, after) = name.split_at(end);
                if name.is_empty() || name.contains(']') {
                    return Err(NotAPath);
                }
                steps.push(Step::Member(name.into()));
                rest = after;
            }
        }
        Ok(Self(steps))
    }
}

fn selection(inside: &str) -> Result<Step, NotAPath> {
    if inside.is_empty() {
        return Ok(Step::Each);
    }
    match inside.split_once('=') {
        Some((member, value)) if !member.is_empty() && !member.contains('[') => {
            Ok(Step::Where(member.into(), value.into()))
        }
        _ => Err(NotAPath),
    }
}

impl JsonPath {
    /// Whether it stays at a field of a record of Odoo, or at the `id` or `display_name` of a linked one.
    pub fn is_flat_in_odoo(&self) -> bool {
        let is_known = |name: &str| matches!(name, "id" | "display_name");
        match &self.0[..] {
            [Step::Member(_)] => true,
            [Step::Member(_), Step::Member(part)] => is_known(part),
            _ => false,
        }
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Member(name) if position == 0 => f.write_str(name)?,
                Step::Member(name) => write!(f, ".{name}")?,
                Step::Each => f.write_str("[]")?,
                Step::Where(member, value) => write!(f, "[{member}={value}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back() {
        for text in ["", "id", "billing.email", "line_items[].quantity", "meta_data[key=_erp_id].value", "[].id"] {
            assert_eq!(text.parse::<JsonPath>().map(|path| path.to_string()).as_deref(), Ok(text));
        }
        for text in [".", "a.", "a..b", "a[", "a[x]", "a[=x]", "a]b", "a[]b"] {
            assert_eq!(text.parse::<JsonPath>(), Err(NotAPath), "{text}");
        }
    }
}
