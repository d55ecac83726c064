//! Differences on their way to the report, in the form in which they lie on disk: what is found by the million owns nothing.

use std::io;

use serde::{Deserialize, Serialize};

use super::disk::Frames;
use crate::model::Verdict;

/// A [`Difference`](super::Difference) that is owned by somebody else. The same on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line<'t> {
    /// The key as its fields' store rules allow.
    pub key: &'t str,
    /// Keyed hash of the key.
    pub key_hash: &'t str,
    /// The verdict's word.
    pub verdict: &'t str,
    /// Stale against mismatch is likely, not certain.
    pub likely: bool,
    /// Why, where the verdict alone does not say.
    pub reason: &'t str,
    /// Differing fields with the owner's and the target's value, as their store rules allow.
    #[serde(borrow)]
    pub fields: Vec<(&'t str, &'t str, &'t str)>,
}

impl<'t> Line<'t> {
    /// Reads what lies on disk.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_bytes(bytes: &'t [u8]) -> io::Result<Self> {
        postcard::from_bytes(bytes).map_err(io::Error::other)
    }
}

/// What differs for certain, as far as a part of a sweep came.
#[derive(Debug, Default)]
pub struct Told {
    /// The differences.
    pub lines: Frames,
    /// Keys by verdict, in [`Verdict::ALL`]'s order.
    pub keys: [u64; Verdict::ALL.len()],
    /// Keys that were suspected and agree.
    pub agree: u64,
}

impl Told {
    /// Adds a difference of this verdict.
    ///
    /// # Errors
    /// Only for what is longer than anything is.
    pub fn push(&mut self, line: &Line<'_>, verdict: Verdict) -> io::Result<()> {
        self.keys[verdict as usize - 1] += 1;
        self.lines.push(line)
    }

    /// How many differences there are.
    pub fn count(&self) -> u64 {
        self.keys.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::sweep::Difference;

    #[test]
    fn a_line_is_on_disk_what_a_difference_is() {
        let owned = Difference {
            key: "7 / é".to_owned(),
            key_hash: "00ff".to_owned(),
            verdict: "stale".to_owned(),
            likely: true,
            reason: String::new(),
            fields: vec![("state".to_owned(), "new".to_owned(), "new!".to_owned())],
        };
        let bytes = postcard::to_allocvec(&owned).unwrap();
        let line = Line::from_bytes(&bytes).unwrap();
        assert_eq!(
            line,
            Line {
                key: "7 / é",
                key_hash: "00ff",
                verdict: "stale",
                likely: true,
                reason: "",
                fields: vec![("state", "new", "new!")]
            }
        );
        assert_eq!(postcard::to_allocvec(&line).unwrap(), bytes);
        assert!(Line::from_bytes(&bytes[..3]).is_err());
    }
}
