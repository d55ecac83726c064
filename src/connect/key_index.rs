//! A reader whose records cannot be asked for by their key: it keeps an index of keys, and asks by address.
//!
//! The index ([`KeyIndex`]) follows the system's own changes from the first record on and holds, for every key, the
//! addresses that had it. It only ever adds; what it holds is a guess until the record has been fetched and has that
//! very key. An address whose record has another key by now, or is gone, is dropped, and because a key may have moved to
//! another record meanwhile, the changes are read again before such a key is called absent.
//!
//! A key that the index does not hold is absent if the index holds everything that could be seen when the read began.
//! Until then the read fails with [`ReadError::Index`]: what depends on it is unknown.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::{
    Bound, Budget, ChangesPage, ClockReading, Cursor, Finding, Followed, KeyRange, KeyedRead, Landmark, Place,
    RangeRead, Reach, ReadError, ReadWindow, Reader, Shape, Usage, cover,
};
use crate::model::{Interval, Key, Mapping, Record, SystemId, Value};

mod follow;
mod store;

#[cfg(test)]
mod tests;

pub use follow::{IndexParts, IndexStatus, KeyIndex};
pub use store::{Address, IndexState, KeyStore, KeyStoreError};

/// How often a read begins anew because records moved while it was under way.
const MOST_ROUNDS: usize = 4;

/// How long the index is filled between two looks.
const FILL: Duration = Duration::from_secs(10);

/// A reader of one mapping by addresses.
pub struct Indexed {
    reader: Arc<dyn Reader>,
    index: Arc<KeyIndex>,
    /// The mapping under addresses.
    by_native: Mapping,
}

impl Indexed {
    /// Reads `mapping` through `reader`. `None` when the mapping has no addresses.
    pub fn new(reader: Arc<dyn Reader>, mapping: &Mapping, index: Arc<KeyIndex>) -> Option<Self> {
        Some(Self { reader, index, by_native: mapping.by_native()? })
    }

    /// The records at these addresses under their own keys, with their addresses.
    async fn fetch(
        &self,
        mapping: &Mapping,
        addresses: HashSet<&str>,
        window: &mut Option<ReadWindow>,
    ) -> Result<Vec<(String, Record)>, ReadError> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let asked: Vec<Key> = addresses.into_iter().map(Mapping::key_of_address).collect();
        let read = self.reader.by_keys(&self.by_native, &asked).await?;
        cover(window, read.window);
        let at = |record: Record| {
            let address = mapping.address_of(&record)?.to_owned();
            Some((address, mapping.under_own_key(record)))
        };
        Ok(read.records.into_iter().filter_map(at).collect())
    }

    fn own_keys(&self, mapping: &Mapping, records: Vec<Record>) -> Vec<Record> {
        records.into_iter().map(|record| mapping.under_own_key(record)).collect()
    }
}

/// Whether a bound is a key: where it lies in the order of addresses, nobody knows.
fn names_a_key(range: &KeyRange<'_>) -> bool {
    let is_key = |bound: &Bound<'_>| matches!(bound, Bound::Key(_));
    is_key(&range.after) || is_key(&range.until)
}

#[async_trait]
impl Reader for Indexed {
    fn system(&self) -> &SystemId {
        self.reader.system()
    }

    fn usage(&self) -> Usage {
        self.reader.usage()
    }

    async fn describe(&self, mapping: &Mapping) -> Result<Shape, ReadError> {
        self.reader.describe(mapping).await
    }

    async fn is_gone(&self, dataset: &str, column: &str) -> Result<bool, ReadError> {
        self.reader.is_gone(dataset, column).await
    }

    async fn clock(&self) -> Result<ClockReading, ReadError> {
        self.reader.clock().await
    }

    /// In the order of stamps and addresses.
    async fn changes(&self, mapping: &Mapping, cursor: &Cursor, limit: usize) -> Result<ChangesPage, ReadError> {
        let page = self.reader.changes(&self.by_native, cursor, limit).await?;
        Ok(ChangesPage { records: self.own_keys(mapping, page.records), ..page })
    }

    fn keys_at_once(&self, _mapping: &Mapping) -> usize {
        self.reader.keys_at_once(&self.by_native)
    }

    async fn by_keys(&self, mapping: &Mapping, keys: &[Key]) -> Result<KeyedRead, ReadError> {
        let mut open: HashSet<&Key> = keys.iter().filter(|key| key.is_usable()).collect();
        let mut records = Vec::new();
        let mut window = None;
        let mut needed = self.index.now();
        if open.is_empty() {
            return Ok(KeyedRead { records, window: Interval::new(needed, needed) });
        }
        for _ in 0..MOST_ROUNDS {
            let found = self.index.find(&open, needed).await?;
            cover(&mut window, found.window);
            let addresses = found.addresses.iter().map(|address| address.native.as_str()).collect();
            let fetched = self.fetch(mapping, addresses, &mut window).await?;
            let held: HashSet<(&str, &Key)> =
                fetched.iter().map(|(address, record)| (address.as_str(), &record.key)).collect();
            let is_stale = |address: &&Address| !held.contains(&(address.native.as_str(), &address.key));
            let stale: Vec<Address> = found.addresses.iter().filter(is_stale).cloned().collect();
            let moved: HashSet<Key> = stale.iter().map(|address| address.key.clone()).collect();
            let settled = |record: &Record| open.contains(&record.key) && !moved.contains(&record.key);
            records.extend(fetched.into_iter().map(|(_, record)| record).filter(settled));
            if stale.is_empty() {
                let window = window.unwrap_or(found.window);
                return Ok(KeyedRead { records, window });
            }
            self.index.drop_stale(found.as_of, &stale).await?;
            open.retain(|key| moved.contains(*key));
            needed = self.index.now();
        }
        Err(self.index.not_settled("keys move from record to record faster than they can be read"))
    }

    async fn keep_up(&self, _mapping: &Mapping) -> Result<(), ReadError> {
        self.index.follow(self.index.now(), Some(FILL)).await.map(|_| ())
    }

    /// In the order of addresses, which says nothing of keys.
    async fn landmark(&self, _mapping: &Mapping, within: KeyRange<'_>, keys: usize) -> Result<Reach, ReadError> {
        if names_a_key(&within) {
            return Ok(Reach::Nowhere);
        }
        Ok(match self.reader.landmark(&self.by_native, within, keys).await? {
            Reach::At(landmark) => Reach::At(Landmark { key: None, ..landmark }),
            reach => reach,
        })
    }

    /// In the order of addresses; `None` for bounds that are keys.
    async fn key_range(
        &self,
        mapping: &Mapping,
        range: KeyRange<'_>,
        limit: usize,
    ) -> Result<Option<RangeRead>, ReadError> {
        if names_a_key(&range) {
            return Ok(None);
        }
        let Some(read) = self.reader.key_range(&self.by_native, range, limit).await? else { return Ok(None) };
        let mut records = self.own_keys(mapping, read.records);
        records.retain(|record| !record.key.parts().contains(&Value::Null));
        Ok(Some(RangeRead { records, ..read }))
    }

    async fn follow(&self, mapping: &Mapping, from: Option<&Place>) -> Result<Option<Followed>, ReadError> {
        let Some(page) = self.reader.follow(&self.by_native, from).await? else { return Ok(None) };
        let mut records = self.own_keys(mapping, page.records);
        records.retain(|record| !record.key.parts().contains(&Value::Null));
        Ok(Some(Followed { records, ..page }))
    }

    /// In the order of addresses; it cannot be entered at a key.
    fn scan<'a>(&'a self, mapping: &'a Mapping, after: Option<&'a Key>) -> BoxStream<'a, Result<Record, ReadError>> {
        if after.is_some() {
            let error = self.index.not_settled("it holds no order of keys that a scan could go on from");
            return stream::iter([Err(error)]).boxed();
        }
        self.reader.scan(&self.by_native, None).map_ok(|record| mapping.under_own_key(record)).boxed()
    }

    fn budget(&self) -> &Budget {
        self.reader.budget()
    }

    async fn doctor(&self, mappings: &[&Mapping]) -> Vec<Finding> {
        self.reader.doctor(mappings).await
    }
}
