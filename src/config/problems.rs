//! Problems: what is wrong with a config, each at its place.

use std::fmt;
use std::path::{Path, PathBuf};

/// A place in a config text: bytes from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At(pub usize);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// Column in characters, from 1; 0 when the file as a whole is meant.
    pub column: usize,
    /// What was found and what is allowed.
    pub message: String,
    /// What to write instead, if that can be guessed.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with one config, in the order of the file. Never empty, never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: PathBuf,
    list: Vec<Problem>,
}

impl Problems {
    /// Sorted by place, each problem once.
    pub(super) fn new(file: &Path, mut list: Vec<Problem>) -> Self {
        list.sort_by(|left, right| {
            (left.line, left.column, &left.message).cmp(&(right.line, right.column, &right.message))
        });
        list.dedup();
        Self { file: file.to_owned(), list }
    }

    /// The file could not be read at all.
    pub(super) fn unreadable(file: &Path, error: &std::io::Error) -> Self {
        let message = format!("cannot be read: {error}");
        Self::new(file, vec![Problem { line: 0, column: 0, message, hint: None }])
    }

    /// The problems, in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.list.iter()
    }
}

impl fmt::Display for Problems {
    /// As compilers do: a line a problem, `file:line:column: message`, then how many there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        for problem in &self.list {
            match problem.line {
                0 => writeln!(f, "{file}: {problem}")?,
                line => writeln!(f, "{file}:{line}:{}: {problem}", problem.column)?,
            }
        }
        match self.list.len() {
            1 => write!(f, "1 problem"),
            count => write!(f, "{count} problems"),
        }
    }
}

impl std::error::Error for Problems {}

/// Line and column, both from 1, of a byte offset; the column counts characters.
pub(super) fn line_and_column(text: &str, at: At) -> (usize, usize) {
    let mut end = at.0.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Longest message; a value that fills a screen helps nobody.
const LONGEST: usize = 1_000;

/// Without control characters, which a quoted value may hold, and not too long.
pub(super) fn on_one_line(message: &str) -> String {
    let mut line: String = message
        .chars()
        .take(LONGEST)
        .flat_map(|character| match character.is_control() {
            true => character.escape_default().collect::<Vec<_>>(),
            false => vec![character],
        })
        .collect();
    if message.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

/// The known name that `found` was probably meant to be.
pub(super) fn nearest<'n>(found: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let length = found.chars().count();
    if length > crate::model::id::MAX_NAME {
        return None;
    }
    let allowed = (length / 3).max(1).min(length.saturating_sub(1));
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&found.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `` `a`, `b`, `c` ``.
pub(super) fn quoted<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What to write instead of an unknown name: the nearest known one, else all of them.
pub(super) fn suggestion<'n>(found: &str, known: impl IntoIterator<Item = &'n str> + Clone) -> String {
    match nearest(found, known.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => match quoted(known) {
            names if names.is_empty() => "none is known here".to_owned(),
            names => format!("known: {names}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let text = "a\nbü = 1\n";
        assert_eq!(line_and_column(text, At(0)), (1, 1));
        assert_eq!(line_and_column(text, At(text.find('=').unwrap())), (2, 4));
        assert_eq!(line_and_column(text, At(1000)), (3, 1));
        assert_eq!(line_and_column("ü", At(1)), (1, 1));
    }

    #[test]
    fn the_nearest_name_is_near() {
        let known = ["dataset", "key", "native"];
        for (found, expect) in
            [("dataste", Some("dataset")), ("Key", Some("key")), ("kye", Some("key")), ("colour", None), ("", None)]
        {
            assert_eq!(nearest(found, known), expect, "{found}");
        }
    }
}
