//! Keys that wait for their translation. They are part of the cursor, so that a restart forgets none.

use std::collections::BTreeMap;

use crate::connect::{Cursor, ReadError};
use crate::model::digest::{decode, encode};
use crate::model::{Key, SystemId, Value};

/// The first byte of a cursor with waiting keys; the readers behind use others.
const FORMAT: u8 = 16;

/// Beyond so many waiting keys the oldest are forgotten: they have been reported as invalid, and come again when they
/// change.
const MOST: usize = 10_000;

/// Keys as this system calls them, without a translation.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Pending {
    /// By encoded key, with the order of arrival.
    keys: BTreeMap<Vec<u8>, (u64, Key)>,
    arrived: u64,
}

impl Pending {
    /// The cursor of the reader behind, and the keys that wait.
    pub fn split(system: &SystemId, cursor: &Cursor) -> Result<(Cursor, Self), ReadError> {
        let Some((&FORMAT, body)) = cursor.0.split_first() else { return Ok((cursor.clone(), Self::default())) };
        let damaged = || ReadError::Cursor { system: system.clone(), reason: "it is damaged".to_owned() };
        let (inner, encoded): (Vec<u8>, Vec<Vec<u8>>) = postcard::from_bytes(body).map_err(|_| damaged())?;
        let mut pending = Self::default();
        for bytes in &encoded {
            pending.add(decode_key(bytes).ok_or_else(damaged)?);
        }
        Ok((Cursor(inner), pending))
    }

    /// One cursor again; without waiting keys that of the reader behind.
    pub fn join(&self, inner: Cursor) -> Cursor {
        if self.keys.is_empty() {
            return inner;
        }
        let mut encoded: Vec<(u64, &Vec<u8>)> = self.keys.iter().map(|(bytes, (order, _))| (*order, bytes)).collect();
        encoded.sort_unstable();
        let encoded: Vec<&Vec<u8>> = encoded.into_iter().map(|(_, bytes)| bytes).collect();
        // Cannot fail: bytes into a growing vector.
        Cursor(postcard::to_extend(&(inner.0, encoded), vec![FORMAT]).unwrap_or_default())
    }

    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.values().map(|(_, key)| key)
    }

    pub fn add(&mut self, key: Key) {
        self.arrived += 1;
        self.keys.entry(encode_key(&key)).or_insert((self.arrived, key));
        while self.keys.len() > MOST {
            let Some(oldest) = self.keys.iter().min_by_key(|(_, (order, _))| *order).map(|(bytes, _)| bytes.clone())
            else {
                return;
            };
            self.keys.remove(&oldest);
        }
    }

    pub fn remove(&mut self, key: &Key) {
        self.keys.remove(&encode_key(key));
    }
}

fn encode_key(key: &Key) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.parts().iter().for_each(|part| encode(part, &mut bytes));
    bytes
}

fn decode_key(mut bytes: &[u8]) -> Option<Key> {
    let mut parts: Vec<Value> = Vec::new();
    while !bytes.is_empty() {
        parts.push(decode(&mut bytes)?);
    }
    (!parts.is_empty()).then(|| Key::new(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_keys_survive_the_way_through_state_in_their_order() {
        let system: SystemId = "erp".parse().unwrap();
        let inner = Cursor(vec![1, 2, 3]);
        let mut pending = Pending::default();
        assert_eq!(pending.join(inner.clone()), inner, "nothing waits: nothing is added");
        pending.add(Key::from("b"));
        pending.add(Key::new([Value::from(7), Value::from("a")]));
        let cursor = pending.join(inner.clone());
        assert_eq!(Pending::split(&system, &cursor).unwrap(), (inner.clone(), pending));
        assert_eq!(Pending::split(&system, &inner).unwrap(), (inner, Pending::default()));
        assert!(Pending::split(&system, &Cursor(vec![FORMAT, 9])).is_err());
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let mut pending = Pending::default();
        for number in 0..=MOST as i64 {
            pending.add(Key::from(number));
        }
        assert_eq!(pending.keys().count(), MOST);
        assert!(!pending.keys().any(|key| *key == Key::from(0)));
    }
}
