//! Keys that wait for their translation. They are part of the cursor, so that a restart forgets none.

use std::collections::BTreeMap;

use crate::connect::{Cursor, ReadError};
use crate::model::digest::{decode, encode};
use crate::model::{Key, Moment, SystemId, Value};

/// The first byte of a cursor with waiting keys; the readers behind use others.
const FORMAT: u8 = 17;

/// As it was before keys were given time: every one of them had been told.
const FORMAT_WITHOUT_TIMES: u8 = 16;

/// Beyond so many waiting keys the oldest are forgotten: they have been told of, and come again when they change.
const MOST: usize = 10_000;

/// Keys as this system calls them, without a translation.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Pending {
    /// By encoded key.
    keys: BTreeMap<Vec<u8>, Waiting>,
    arrived: u64,
}

/// A key that waits.
#[derive(Debug, PartialEq)]
struct Waiting {
    /// In the order of arrival.
    order: u64,
    key: Key,
    since: Moment,
    /// It was told that the translation takes too long.
    told: bool,
}

/// A key as stored: encoded, since when it waits in microseconds, whether it was told.
type Stored = (Vec<u8>, i64, bool);

impl Pending {
    /// The cursor of the reader behind, and the keys that wait.
    pub fn split(system: &SystemId, cursor: &Cursor) -> Result<(Cursor, Self), ReadError> {
        let damaged = || ReadError::Cursor { system: system.clone(), reason: "it is damaged".to_owned() };
        let (inner, stored): (Vec<u8>, Vec<Stored>) = match cursor.0.split_first() {
            Some((&FORMAT, body)) => postcard::from_bytes(body).map_err(|_| damaged())?,
            Some((&FORMAT_WITHOUT_TIMES, body)) => {
                let (inner, keys): (Vec<u8>, Vec<Vec<u8>>) = postcard::from_bytes(body).map_err(|_| damaged())?;
                (inner, keys.into_iter().map(|key| (key, Moment::MIN.micros(), true)).collect())
            }
            _ => return Ok((cursor.clone(), Self::default())),
        };
        let mut pending = Self::default();
        for (bytes, since, told) in &stored {
            let key = decode_key(bytes).ok_or_else(damaged)?;
            pending.add(key.clone(), Moment::from_micros(*since));
            if *told {
                pending.set_told(&key);
            }
        }
        Ok((Cursor(inner), pending))
    }

    /// One cursor again; without waiting keys that of the reader behind.
    pub fn join(&self, inner: Cursor) -> Cursor {
        if self.keys.is_empty() {
            return inner;
        }
        let mut waiting: Vec<(&Vec<u8>, &Waiting)> = self.keys.iter().collect();
        waiting.sort_unstable_by_key(|(_, waiting)| waiting.order);
        let stored = |(bytes, waiting): (&Vec<u8>, &Waiting)| (bytes.clone(), waiting.since.micros(), waiting.told);
        let stored: Vec<Stored> = waiting.into_iter().map(stored).collect();
        // Cannot fail: bytes into a growing vector.
        Cursor(postcard::to_extend(&(inner.0, stored), vec![FORMAT]).unwrap_or_default())
    }

    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.values().map(|waiting| &waiting.key)
    }

    /// A key that waits already goes on waiting since it began to.
    pub fn add(&mut self, key: Key, since: Moment) {
        self.arrived += 1;
        let order = self.arrived;
        self.keys.entry(encode_key(&key)).or_insert(Waiting { order, key, since, told: false });
        while self.keys.len() > MOST {
            let oldest = self.keys.iter().min_by_key(|(_, waiting)| waiting.order).map(|(bytes, _)| bytes.clone());
            let Some(oldest) = oldest else { return };
            self.keys.remove(&oldest);
        }
    }

    /// Keys that wait since before `moment` and were not told of.
    pub fn overdue(&self, moment: Moment) -> Vec<Key> {
        let is_overdue = |waiting: &&Waiting| !waiting.told && waiting.since < moment;
        self.keys.values().filter(is_overdue).map(|waiting| waiting.key.clone()).collect()
    }

    /// Notes that it was told how long a key has waited.
    pub fn set_told(&mut self, key: &Key) {
        if let Some(waiting) = self.keys.get_mut(&encode_key(key)) {
            waiting.told = true;
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
        let at = Moment::from_micros;
        pending.add(Key::from("b"), at(5));
        pending.add(Key::new([Value::from(7), Value::from("a")]), at(6));
        pending.set_told(&Key::from("b"));
        let cursor = pending.join(inner.clone());
        assert_eq!(Pending::split(&system, &cursor).unwrap(), (inner.clone(), pending));
        assert_eq!(Pending::split(&system, &inner).unwrap(), (inner, Pending::default()));
        assert!(Pending::split(&system, &Cursor(vec![FORMAT, 9])).is_err());
    }

    #[test]
    fn a_key_is_overdue_until_it_was_told() {
        let at = Moment::from_micros;
        let mut pending = Pending::default();
        pending.add(Key::from("a"), at(5));
        pending.add(Key::from("a"), at(9));
        pending.add(Key::from("b"), at(7));
        assert_eq!(pending.overdue(at(6)), [Key::from("a")], "it waits since it began to");
        pending.set_told(&Key::from("a"));
        assert_eq!(pending.overdue(at(6)), []);
        assert_eq!(pending.overdue(at(8)), [Key::from("b")]);
        assert_eq!(pending.keys().count(), 2);
    }

    #[test]
    fn keys_from_before_there_were_times_have_been_told() {
        let system: SystemId = "erp".parse().unwrap();
        let stored = (vec![1_u8], vec![encode_key(&Key::from("a"))]);
        let cursor = Cursor(postcard::to_extend(&stored, vec![FORMAT_WITHOUT_TIMES]).unwrap());
        let (inner, pending) = Pending::split(&system, &cursor).unwrap();
        assert_eq!((inner.0, pending.keys().count()), (vec![1], 1));
        assert_eq!(pending.overdue(Moment::MAX), []);
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let mut pending = Pending::default();
        for number in 0..=MOST as i64 {
            pending.add(Key::from(number), Moment::MIN);
        }
        assert_eq!(pending.keys().count(), MOST);
        assert!(!pending.keys().any(|key| *key == Key::from(0)));
    }
}
