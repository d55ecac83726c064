//! Where a unit's changes probe stands: the reader's cursor and what of the overlap it has seen.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::connect::Cursor;
use crate::model::Moment;

/// The stored position of one unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// The reader's cursor; empty before the first run.
    pub cursor: Cursor,
    /// When the snapshot of the last complete changes read was taken (its lower bound): it would have shown
    /// every change committed before.
    pub last_complete: Moment,
    /// The end of what the probe has covered: the last watermark.
    pub covered_to: Moment,
    /// Rows between watermark and present come again in the next read: content by key, so that the same state is
    /// not checked twice. What the last complete read has seen of them.
    pub seen: HashMap<u128, u64>,
    /// The same, of the pages of a read that is not complete yet.
    pub seen_now: HashMap<u128, u64>,
}

impl Default for Position {
    fn default() -> Self {
        Self {
            cursor: Cursor::default(),
            last_complete: Moment::MIN,
            covered_to: Moment::MIN,
            seen: HashMap::new(),
            seen_now: HashMap::new(),
        }
    }
}

/// How many seen rows survive a restart. Beyond it a restart checks some rows once more, which is harmless.
const MAX_STORED_SEEN: usize = 20_000;

#[derive(Serialize, Deserialize)]
struct Stored {
    cursor: Cursor,
    last_complete: Moment,
    covered_to: Moment,
    seen: Vec<(u128, u64)>,
}

const FORMAT: u8 = 1;

impl Position {
    /// Whether a record was seen with this content by the read under way or the one before.
    pub fn has_seen(&self, key: u128, content: u64) -> bool {
        self.seen_now.get(&key).or_else(|| self.seen.get(&key)) == Some(&content)
    }

    /// For state.
    pub fn to_bytes(&self) -> Vec<u8> {
        let stored = Stored {
            cursor: self.cursor.clone(),
            last_complete: self.last_complete,
            covered_to: self.covered_to,
            seen: self
                .seen
                .iter()
                .chain(&self.seen_now)
                .take(MAX_STORED_SEEN)
                .map(|(&key, &content)| (key, content))
                .collect(),
        };
        // Cannot fail: postcard can express all of it and the vector grows.
        postcard::to_extend(&stored, vec![FORMAT]).unwrap_or_default()
    }

    /// From state; `None` when the bytes are of another format or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&format, body) = bytes.split_first()?;
        if format != FORMAT {
            return None;
        }
        let stored: Stored = postcard::from_bytes(body).ok()?;
        Some(Self {
            cursor: stored.cursor,
            last_complete: stored.last_complete,
            covered_to: stored.covered_to,
            // Of two contents of a key the later is the newer one.
            seen: stored.seen.into_iter().collect(),
            seen_now: HashMap::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_and_damage_is_noticed() {
        let position = Position {
            cursor: Cursor(vec![1, 2, 3]),
            last_complete: Moment::from_micros(5),
            covered_to: Moment::from_micros(4),
            seen: HashMap::from([(7, 8)]),
            seen_now: HashMap::from([(7, 9), (8, 10)]),
        };
        let bytes = position.to_bytes();
        let read = Position::from_bytes(&bytes).unwrap();
        assert_eq!(read.seen, HashMap::from([(7, 9), (8, 10)]), "the newer content counts");
        assert_eq!((read.cursor, read.last_complete), (position.cursor, position.last_complete));
        assert_eq!(Position::from_bytes(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Position::from_bytes(&[]), None);
        assert_eq!(Position::from_bytes(&[9, 9]), None);
    }
}
