//! JSON documents in one form for each content: keys sorted, numbers exact and canonical, no white space.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::model::Number;

/// Deeper documents are refused: the walk is recursive.
const MAX_DEPTH: usize = 128;

/// The canonical form of a document, or `None` when the text is not JSON. Of a key that appears twice the last
/// one counts, as in PostgreSQL's `jsonb` and MySQL's `JSON`. Numbers are never read as floats.
pub(super) fn canonical(text: &str) -> Option<String> {
    let document: &RawValue = serde_json::from_str(text).ok()?;
    let mut out = String::with_capacity(text.len());
    write(document.get(), &mut out, 0)?;
    Some(out)
}

fn write(text: &str, out: &mut String, depth: usize) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    match text.as_bytes().first()? {
        b'{' => write_object(text, out, depth),
        b'[' => write_array(text, out, depth),
        b'"' => write_string(&serde_json::from_str::<Cow<'_, str>>(text).ok()?, out),
        b't' | b'f' | b'n' => {
            out.push_str(text);
            Some(())
        }
        _ => {
            out.push_str(&text.parse::<Number>().ok()?.to_string());
            Some(())
        }
    }
}

fn write_object(text: &str, out: &mut String, depth: usize) -> Option<()> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    out.push('{');
    for (position, (name, member)) in members.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write_string(name, out)?;
        out.push(':');
        write(member.get(), out, depth + 1)?;
    }
    out.push('}');
    Some(())
}

fn write_array(text: &str, out: &mut String, depth: usize) -> Option<()> {
    let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    out.push('[');
    for (position, element) in elements.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write(element.get(), out, depth + 1)?;
    }
    out.push(']');
    Some(())
}

fn write_string(text: &str, out: &mut String) -> Option<()> {
    out.push_str(&serde_json::to_string(text).ok()?);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides() {
        let check = |left: &str, right: &str| assert_eq!(canonical(left), canonical(right), "{left} and {right}");
        check(r#"{"b":1,"a":2}"#, r#" { "a" : 2.0, "b" : 1e0 } "#);
        check(r#"["\u0041"]"#, r#"["A"]"#);
        check(r#"{"a":1,"a":2}"#, r#"{"a":2}"#);
        assert_eq!(canonical("0.1000000000000000000000000000001").unwrap(), "0.1000000000000000000000000000001");
        assert_ne!(canonical("[1,2]"), canonical("[2,1]"));
        assert_ne!(canonical("[1]"), canonical(r#"["1"]"#));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "NaN", "[1,]", "'a'"] {
            assert_eq!(canonical(text), None, "{text}");
        }
        assert_eq!(canonical(&format!("{}{}", "[".repeat(4000), "]".repeat(4000))), None);
    }
}
