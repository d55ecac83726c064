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
        let (id, is_trashed, modified) = (record.id(), record.is_trashed(), record.modified());
        let before = self.records.insert(id, record);
        if let Some(before) = &before {
            self.by_stamp.remove(&(before.modified(), id));
        }
        self.by_stamp.insert((modified, id));
        // Most writes change nothing here, and a long list is not moved for them.
        if before.map(|before| before.is_trashed()) != Some(is_trashed) {
            self.place(id, is_trashed);
        }
    }

    fn place(&mut self, id: u64, is_trashed: bool) {
        self.forget(id);
        if is_trashed {
            self.trashed.insert(id);
        } else if let Err(place) = self.live.binary_search(&id) {
            self.live.insert(place, id);
        }
    }

    fn forget(&mut self, id: u64) {
        self.trashed.remove(&id);
        if let Ok(place) = self.live.binary_search(&id) {
            self.live.remove(place);
        }
    }

    pub fn remove(&mut self, id: u64) -> Option<T> {
        let record = self.records.remove(&id)?;
        self.by_stamp.remove(&(record.modified(), id));
        self.forget(id);
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Thing(u64, i64, bool);

    impl Shelved for Thing {
        fn id(&self) -> u64 {
            self.0
        }

        fn modified(&self) -> i64 {
            self.1
        }

        fn is_trashed(&self) -> bool {
            self.2
        }
    }

    proptest! {
        /// Whatever is put and removed, all views of a shelf tell the same.
        #[test]
        fn the_views_of_a_shelf_agree(acts in prop::collection::vec((1_u64..8, 0_i64..5, any::<Option<bool>>()), 0..40)) {
            let (mut shelf, mut expect) = (Shelf::default(), std::collections::BTreeMap::new());
            for (id, modified, act) in acts {
                if let Some(is_trashed) = act {
                    shelf.put(Thing(id, modified, is_trashed));
                    expect.insert(id, (modified, is_trashed));
                } else {
                    prop_assert_eq!(shelf.remove(id).is_some(), expect.remove(&id).is_some());
                }
            }
            let ids = |wanted: bool| expect.iter().filter(|(_, (_, trashed))| *trashed == wanted).map(|(id, _)| *id).collect::<Vec<_>>();
            prop_assert_eq!(shelf.live_ids(), ids(false));
            prop_assert_eq!(shelf.trashed_ids().collect::<Vec<_>>(), ids(true));
            let changed: BTreeSet<u64> = shelf.changed(Some(1), Some(4)).collect();
            let within: BTreeSet<u64> = expect.iter().filter(|(_, (at, _))| (2..4).contains(at)).map(|(id, _)| *id).collect();
            prop_assert_eq!(changed, within);
        }
    }
}
