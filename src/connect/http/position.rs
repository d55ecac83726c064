//! What a cursor of an HTTP system holds. Pure.
//!
//! As for databases, changes are read in passes: each begins at the settled bound and ends when everything visible
//! has been read; only then the bound moves, to what was safe before the pass's first request.

use serde::{Deserialize, Serialize};

use super::walk::Halt;
use crate::connect::Cursor;
use crate::connect::sql::position::BEGINNING;

/// The first byte of a cursor; databases have 1.
const FORMAT: u8 = 3;

/// How long before we notice a clock may have been set back.
const UNWATCHED_MICROS: i64 = 3_600_000_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Digest of what is read and how.
    pub fingerprint: u64,
    /// Everything stamped before has been read for good, by their clock in microseconds; `None`: nothing yet.
    pub settled: Option<i64>,
    /// A pass that was cut.
    pub pass: Option<Pass>,
}

/// A pass under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pass {
    /// What is settled when the pass ends.
    pub covers: i64,
    /// Records stamped from here on belong to the pass; `None`: all.
    pub bound: Option<i64>,
    /// The part of a list that is too long for one read: from when, until when.
    pub slice: Option<(i64, Option<i64>)>,
    /// The list being read: the main one, then those of records that left it.
    pub part: usize,
    /// Where that list was left; `None`: at its beginning.
    pub halt: Option<Halt>,
    /// How often lists were begun anew.
    pub restarts: u8,
}

impl Position {
    pub fn encode(&self) -> Option<Cursor> {
        postcard::to_extend(self, vec![FORMAT]).ok().map(Cursor)
    }

    /// `None` for an empty cursor: nobody has read yet.
    pub fn decode(cursor: &Cursor, fingerprint: u64) -> Result<Option<Self>, &'static str> {
        let position: Self = match cursor.0.split_first() {
            None => return Ok(None),
            Some((&BEGINNING, [])) => return Ok(Some(Self { fingerprint, settled: None, pass: None })),
            Some((&FORMAT, body)) => postcard::from_bytes(body).map_err(|_| "it is damaged")?,
            Some(_) => return Err("it was written by another version or for another kind of system"),
        };
        if position.fingerprint != fingerprint {
            return Err("the dataset or how its changes are read has changed since");
        }
        Ok(Some(position))
    }

    /// Whether their clock was set back since the last pass. `latest` is the latest that it may show now.
    pub fn is_set_back_to(&self, latest: i64) -> bool {
        self.pass.is_none() && self.settled.is_some_and(|settled| settled > latest)
    }

    /// The pass under way, or one that begins now. If their clock was set back, what was written since carries stamps
    /// that were read already: the pass then begins well before it.
    pub fn pass(&self, safe: i64, lookback: i64, set_back: bool) -> Pass {
        let margin = if set_back { UNWATCHED_MICROS } else { 0 };
        let covers = if set_back { safe } else { safe.max(self.settled.unwrap_or(i64::MIN)) };
        self.pass.clone().unwrap_or_else(|| Pass {
            covers,
            bound: self.settled.map(|settled| settled.min(safe).saturating_sub(lookback).saturating_sub(margin)),
            slice: None,
            part: 0,
            halt: None,
            restarts: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_the_way_through_state() {
        let position = Position { fingerprint: 7, settled: Some(5), pass: None };
        let position = Position { pass: Some(position.pass(9, 2, false)), ..position };
        let cursor = position.encode().unwrap();
        assert_eq!(Position::decode(&cursor, 7), Ok(Some(position)));
        assert!(Position::decode(&cursor, 8).is_err());
        assert_eq!(Position::decode(&Cursor::default(), 7), Ok(None));
        assert!(Position::decode(&Cursor(vec![1, 2]), 7).is_err(), "a database's");
        let all = Position::decode(&Cursor::from_beginning(), 7).unwrap().unwrap();
        assert_eq!(all.pass(9, 2, false).bound, None);
    }

    #[test]
    fn a_pass_begins_at_what_is_settled_and_safe() {
        let position = |settled| Position { fingerprint: 0, settled: Some(settled), pass: None };
        let at = |settled, safe| position(settled).pass(safe, 2, false);
        assert_eq!((at(10, 20).bound, at(10, 20).covers), (Some(8), 20));
        assert_eq!((at(10, 5).bound, at(10, 5).covers), (Some(3), 10), "their clock is known to a second");
        let second = 1_000_000;
        assert!(position(8_000 * second).is_set_back_to(7_000 * second));
        assert!(!position(8_000 * second).is_set_back_to(8_000 * second));
        let back = position(8_000 * second).pass(7_000 * second, 2, true);
        assert_eq!((back.bound, back.covers), (Some(3_400 * second - 2), 7_000 * second), "it was set back");
    }
}
