//! A list of the store: records by id, with what it takes to page through them quickly.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

/// What a shelf must know of a record.
pub trait Shelved {
    fn id(&self) -> u64;
    /// Seconds since 1970, by the store's clock.
    fn modified(&self) -> i64;
    fn is_trashed(&self) -> bool;
}

/// Records in the order of their ids.
#[derive(Debug)]
pub struct Shelf<T> {
    records: HashMap<u64, T>,
    /// Those that are not in the trash, ascending.
    live: Vec<u64>,
    trashed: BTreeSet<u64>,
    by_stamp: BTreeSet<(i64, u64)>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        let (records, live, trashed, by_stamp) = Default::default();
        Self { records, live, trashed, by_stamp }
    }
}

impl<T: Shelved> Shelf<T> {
    pub fn get(&self, id: u64) -> Option<&T> {
        self.records.get(&id)
    }

    /// The record if it is not in the trash.
    pub fn live(&self, id: u64) -> Option<&T> {
        self.get(id).filter(|record| !record.is_trashed())
    }

    /// Ids of the records that are not in the trash, ascending.
    pub fn live_ids(&self) -> &[u64] {
        &self.live
    }

    pub fn trashed_ids(&self) -> impl Iterator<Item = u64> {
        self.trashed.iter().copied()
    }

    /// Ids of all records that were changed after and before these seconds, exclusively.
    pub fn changed(&self, after: Option<i64>, before: Option<i64>) -> impl Iterator<Item = u64> {
        let low = after.map_or(Bound::Unbounded, |after| Bound::Excluded((after, u64::MAX)));
        let high = before.map_or(Bound::Unbounded, |before| Bound::Excluded((before, 0)));
        let is_empty = matches!((after, before), (Some(after), Some(before)) if before <= after);
        let range = (!is_empty).then(|| self.by_stamp.range((low, high)));
        range.into_iter().flatten().map(|(_, id)| *id)
    }

    /// Adds a record or replaces the one with its id.
    pub fn put(&mut self, record: T) {
        let id = record.id();
        self.remove(id);
        if record.is_trashed() {
            self.trashed.insert(id);
        } else if let Err(place) = self.live.binary_search(&id) {
            self.live.insert(place, id);
        }
        self.by_stamp.insert((record.modified(), id));
        self.records.insert(id, record);
    }

    pub fn remove(&mut self, id: u64) -> Option<T> {
        let record = self.records.remove(&id)?;
        self.by_stamp.remove(&(record.modified(), id));
        self.trashed.remove(&id);
        if let Ok(place) = self.live.binary_search(&id) {
            self.live.remove(place);
        }
        Some(record)
    }
}
