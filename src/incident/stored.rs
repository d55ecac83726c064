//! The form in which state keeps incidents and their steps: a format byte, then JSON, which a later release can read
//! when fields have been added. The types of this module derive serde for this form alone.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Incident, Step};

const FORMAT: u8 = 1;

/// What is stored is of another format, or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored incident is of another format or damaged")]
pub struct Damaged;

fn write(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    // Serialising into a vector fails only for maps whose keys are no texts; there are none.
    let written = serde_json::to_writer(&mut bytes, value);
    debug_assert!(written.is_ok(), "{written:?}");
    bytes
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Damaged> {
    match bytes.split_first() {
        Some((&FORMAT, body)) => serde_json::from_slice(body).map_err(|_| Damaged),
        _ => Err(Damaged),
    }
}

impl Incident {
    /// For state.
    pub fn to_stored(&self) -> Vec<u8> {
        write(self)
    }

    /// From state.
    ///
    /// # Errors
    /// When it is of another format or damaged.
    pub fn from_stored(bytes: &[u8]) -> Result<Self, Damaged> {
        read(bytes)
    }
}

impl Step {
    /// For state.
    pub fn to_stored(&self) -> Vec<u8> {
        write(self)
    }

    /// From state.
    ///
    /// # Errors
    /// When it is of another format or damaged.
    pub fn from_stored(bytes: &[u8]) -> Result<Self, Damaged> {
        read(bytes)
    }
}
