//! One unsettled key in the in-flight queue, and the form in which state keeps it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::compare::Track;
use crate::model::digest::{decode, encode};
use crate::model::{Key, Moment, Verdict};
use crate::state::change::InFlightEntry;

/// An unsettled key of one flow.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// What is known of it.
    pub track: Track,
    /// When to look again.
    pub due_at: Moment,
    /// The open discrepancy, if its verdict is bad.
    pub discrepancy: Option<OpenDiscrepancy>,
}

/// The open discrepancy of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenDiscrepancy {
    /// Its id in state and ledger.
    pub id: Uuid,
    /// The verdict last told.
    pub verdict: Verdict,
}

/// The stored form. A format of its own: changing it means raising [`FORMAT`].
#[derive(Serialize, Deserialize)]
struct Stored {
    key: Vec<u8>,
    track: Vec<u8>,
    discrepancy: Option<OpenDiscrepancy>,
}

const FORMAT: u8 = 1;

impl Entry {
    /// For state. `overdue_at` feeds the overdue gauge of readers of state.
    pub fn to_stored(&self, overdue_at: Moment) -> InFlightEntry {
        let stored =
            Stored { key: key_to_bytes(&self.key), track: self.track.to_bytes(), discrepancy: self.discrepancy };
        // Serialising into a growing vector fails only for types that postcard cannot express; these it can.
        let payload = postcard::to_extend(&stored, vec![FORMAT]).unwrap_or_default();
        InFlightEntry { due_at: self.due_at, overdue_at, payload }
    }

    /// From state; `None` when the payload is of another format or damaged.
    pub fn from_stored(stored: &InFlightEntry) -> Option<Self> {
        let (&format, body) = stored.payload.split_first()?;
        if format != FORMAT {
            return None;
        }
        let parts: Stored = postcard::from_bytes(body).ok()?;
        Some(Self {
            key: key_from_bytes(&parts.key)?,
            track: Track::from_bytes(&parts.track)?,
            due_at: stored.due_at,
            discrepancy: parts.discrepancy,
        })
    }
}

/// A key in the canonical encoding.
pub fn key_to_bytes(key: &Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    put_key(key, &mut bytes);
    bytes
}

/// Appends a key in the canonical encoding.
pub fn put_key(key: &Key, bytes: &mut Vec<u8>) {
    key.parts().iter().for_each(|part| encode(part, bytes));
}

/// Reads back what [`key_to_bytes`] wrote.
pub fn key_from_bytes(mut bytes: &[u8]) -> Option<Key> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        parts.push(decode(&mut bytes)?);
    }
    Some(Key::new(parts))
}
