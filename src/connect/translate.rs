//! A reader whose mapping has `xref` tables: translates between this system's values and the common ones.
//!
//! The reader behind it knows nothing of that: it is asked by this system's keys and answers with this system's values.
//! Tables are read by key in their own systems, in batches. A read of a table that fails fails the whole read: what
//! depends on it is unknown.
//!
//! A value without a translation, or with several, is invalid and says so. For a key the table must be one-to-one, which
//! is looked at from both sides. A record whose key has no translation yet is remembered in the cursor and comes again as
//! soon as it has one, or when it has waited too long.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::{
    Bound, Budget, ChangesPage, ClockReading, Cursor, Finding, Followed, KeyRange, KeyedRead, Landmark, Place,
    RangeRead, Reach, ReadError, ReadWindow, Reader, Shape, Usage, cover,
};
use crate::model::mapping::Xref;
use crate::model::{Key, Mapping, Moment, Record, SystemId, Value};

mod pending;
mod table;

use pending::Pending;
use table::{Direction, Found, Table};

/// Records of a scan that are translated at once.
const SCAN_BATCH: usize = 1_000;

/// A reader of one mapping with `xref` tables.
pub struct Translated {
    reader: Arc<dyn Reader>,
    tables: Vec<Table>,
    /// How long the translation of a key may take.
    patience: Duration,
}

impl Translated {
    /// Reads `mapping` through `reader`; its tables through the readers that `reader_of` knows. A translation is used for
    /// at most `keep` before it is looked up again; a key without one is waited for as long as `patience`. `None` when a table's system has no reader.
    pub fn new(
        reader: Arc<dyn Reader>,
        mapping: &Mapping,
        reader_of: impl Fn(&SystemId) -> Option<Arc<dyn Reader>>,
        keep: Duration,
        patience: Duration,
    ) -> Option<Self> {
        let table = |xref: &Xref| {
            let is_key = mapping.key.contains(&xref.field);
            Some(Table::new(reader_of(&xref.system)?, xref.clone(), is_key, keep))
        };
        let tables = mapping.xref.iter().map(table).collect::<Option<Vec<_>>>()?;
        Some(Self { reader, tables, patience })
    }

    fn translates_keys(&self) -> bool {
        self.tables.iter().any(|table| table.is_key)
    }

    /// Whether a bound is a common key that this system has under another name, in another place.
    fn leads_astray(&self, range: &KeyRange<'_>) -> bool {
        let is_key = |bound: &Bound<'_>| matches!(bound, Bound::Key(_));
        self.translates_keys() && (is_key(&range.after) || is_key(&range.until))
    }

    /// Translates records in place. Returns when the tables were read.
    async fn to_common(&self, mapping: &Mapping, records: &mut [Record]) -> Result<Option<ReadWindow>, ReadError> {
        let mut window = None;
        for table in &self.tables {
            let field = table.xref.field;
            let texts: BTreeSet<String> =
                records.iter().filter_map(|record| Xref::written(&record.fields[field])).collect();
            let (found, back) = table.both_ways(texts, &mut window).await?;
            for record in records.iter_mut() {
                if let Some(local) = Xref::written(&record.fields[field]) {
                    record.fields[field] = table.common(&local, &found, &back);
                }
            }
        }
        for record in records.iter_mut() {
            record.key = Key::new(mapping.key.iter().map(|field| record.fields[*field].clone()));
        }
        Ok(window)
    }

    /// This system's keys for common ones, and why the others have none.
    async fn to_local(&self, mapping: &Mapping, keys: &[Key]) -> Result<(Keys, Option<ReadWindow>), ReadError> {
        let mut window = None;
        let usable: HashSet<&Key> =
            keys.iter().filter(|key| key.is_usable() && key.parts().len() == mapping.key.len()).collect();
        let mut parts: HashMap<&Key, Result<Vec<Value>, Value>> =
            usable.into_iter().map(|key| (key, Ok(key.parts().to_vec()))).collect();
        for table in self.tables.iter().filter(|table| table.is_key) {
            let Some(position) = mapping.key.iter().position(|field| *field == table.xref.field) else { continue };
            let texts = parts.keys().filter_map(|key| Xref::written(&key.parts()[position])).collect();
            let found = table.look_up(Direction::ToLocal, texts, &mut window).await?;
            for (key, local) in &mut parts {
                let written = Xref::written(&key.parts()[position]);
                match (written.and_then(|text| found.get(&text)), &mut *local) {
                    (Some(Found::One(text)), Ok(parts)) => parts[position] = Value::from(text.as_str()),
                    (_, Err(_)) => {}
                    (found, local) => *local = Err(table.none(found)),
                }
            }
        }
        let mut keys = Keys::default();
        for (key, local) in parts {
            match local {
                Ok(parts) => keys.by_local.entry(Key::new(parts)).or_default().push(key.clone()),
                Err(why) => keys.without.push((key.clone(), why)),
            }
        }
        Ok((keys, window))
    }

    /// Records whose keys had no translation when they were read, and have one now.
    async fn late(
        &self,
        mapping: &Mapping,
        pending: &mut Pending,
        window: &mut Option<ReadWindow>,
    ) -> Result<Vec<Record>, ReadError> {
        let waiting: Vec<Key> = pending.keys().cloned().collect();
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        let mut has_translation = vec![true; waiting.len()];
        for table in self.tables.iter().filter(|table| table.is_key) {
            let Some(position) = mapping.key.iter().position(|field| *field == table.xref.field) else { continue };
            let written = |key: &Key| Xref::written(key.parts().get(position)?);
            let texts = waiting.iter().filter_map(written).collect();
            let (found, back) = table.both_ways(texts, window).await?;
            for (key, has_translation) in waiting.iter().zip(&mut has_translation) {
                let common = written(key).map(|text| table.common(&text, &found, &back));
                *has_translation &= common.is_some_and(|value| !value.is_invalid());
            }
        }
        let mut is_now = has_translation.into_iter();
        let now: Vec<Key> = waiting.into_iter().filter(|_| is_now.next() == Some(true)).collect();
        if now.is_empty() {
            return Ok(Vec::new());
        }
        let read = self.reader.by_keys(mapping, &now).await?;
        cover(window, read.window);
        now.iter().for_each(|key| pending.remove(key));
        Ok(read.records)
    }
}

impl Translated {
    /// Records whose keys have waited for their translation too long: those that are still there and in scope. They go on
    /// waiting, but are told only once.
    async fn given_up(
        &self,
        mapping: &Mapping,
        pending: &mut Pending,
        now: Moment,
        window: &mut Option<ReadWindow>,
    ) -> Result<Vec<Record>, ReadError> {
        let overdue = pending.overdue(now - self.patience);
        if overdue.is_empty() {
            return Ok(Vec::new());
        }
        let read = self.reader.by_keys(mapping, &overdue).await?;
        cover(window, read.window);
        let there: HashSet<&Key> = read.records.iter().map(|record| &record.key).collect();
        overdue.iter().filter(|key| !there.contains(key)).for_each(|key| pending.remove(key));
        let local: Vec<Key> = read.records.iter().map(|record| record.key.clone()).collect();
        let mut records = read.records;
        cover_option(window, self.to_common(mapping, &mut records).await?);
        let mut given_up = Vec::with_capacity(records.len());
        for (mut record, local) in records.into_iter().zip(local) {
            // One that has its translation now is looked at by the next read.
            if record.in_scope && record.key.parts().iter().any(Value::is_untranslated) {
                pending.set_told(&local);
                record.key = local;
                given_up.push(record);
            }
        }
        Ok(given_up)
    }
}

/// Keys of a read, by what this system calls them.
#[derive(Default)]
struct Keys {
    by_local: HashMap<Key, Vec<Key>>,
    without: Vec<(Key, Value)>,
}

/// A record under each key that it was found by. Where the table does not lead back to a key, a stand-in for that key.
fn under_asked_keys(mapping: &Mapping, record: Record, asked: Option<&Vec<Key>>) -> Vec<Record> {
    let under = |key: &Key| {
        if record.key == *key {
            return record.clone();
        }
        let known = mapping.key.iter().map(|field| &record.fields[*field]).find(|value| value.is_untranslated());
        let why = known.cloned().unwrap_or_else(|| Value::untranslated("the translation does not lead back"));
        mapping.stand_in(key.clone(), &why)
    };
    asked.map(|keys| keys.iter().map(under).collect()).unwrap_or_default()
}

fn covering(window: ReadWindow, part: Option<ReadWindow>) -> ReadWindow {
    part.map_or(window, |part| window.hull(part))
}

#[async_trait]
impl Reader for Translated {
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

    async fn changes(&self, mapping: &Mapping, cursor: &Cursor, limit: usize) -> Result<ChangesPage, ReadError> {
        let (inner, mut pending) = Pending::split(self.system(), cursor)?;
        let mut page = self.reader.changes(mapping, &inner, limit).await?;
        let began = page.window.low;
        let mut window = None;
        let mut records = self.late(mapping, &mut pending, &mut window).await?;
        // The same record in the page is the newer one.
        let in_page: HashSet<&Key> = page.records.iter().map(|record| &record.key).collect();
        records.retain(|record| !in_page.contains(&record.key));
        records.append(&mut page.records);
        let local: Vec<Key> = records.iter().map(|record| record.key.clone()).collect();
        cover_option(&mut window, self.to_common(mapping, &mut records).await?);
        for (record, local) in records.iter_mut().zip(local).filter(|(_, local)| local.is_usable()) {
            if record.key.parts().iter().any(Value::is_untranslated) {
                // Under its own key it can be told from others that have no translation either.
                record.key = local.clone();
                pending.add(local, began);
            } else {
                pending.remove(&local);
            }
        }
        page.given_up = self.given_up(mapping, &mut pending, began, &mut window).await?;
        page.records = records;
        page.window = covering(page.window, window);
        page.next = pending.join(page.next);
        Ok(page)
    }

    fn keys_at_once(&self, mapping: &Mapping) -> usize {
        self.reader.keys_at_once(mapping)
    }

    async fn by_keys(&self, mapping: &Mapping, keys: &[Key]) -> Result<KeyedRead, ReadError> {
        let (keys, mut window) = self.to_local(mapping, keys).await?;
        let asked: Vec<Key> = keys.by_local.keys().cloned().collect();
        let mut read = self.reader.by_keys(mapping, &asked).await?;
        let local: Vec<Key> = read.records.iter().map(|record| record.key.clone()).collect();
        cover_option(&mut window, self.to_common(mapping, &mut read.records).await?);
        let records = std::mem::take(&mut read.records).into_iter().zip(&local);
        read.records =
            records.flat_map(|(record, local)| under_asked_keys(mapping, record, keys.by_local.get(local))).collect();
        read.records.extend(keys.without.into_iter().map(|(key, why)| mapping.stand_in(key, &why)));
        read.window = covering(read.window, window);
        Ok(read)
    }

    async fn keep_up(&self, mapping: &Mapping) -> Result<(), ReadError> {
        self.reader.keep_up(mapping).await
    }

    /// In the order of this system's keys. Where those are translated, their order has nothing to do with that of the
    /// common ones: the place has no key that would lead anybody else.
    async fn landmark(&self, mapping: &Mapping, within: KeyRange<'_>, keys: usize) -> Result<Reach, ReadError> {
        if self.leads_astray(&within) {
            return Ok(Reach::Nowhere);
        }
        let reach = self.reader.landmark(mapping, within, keys).await?;
        Ok(match reach {
            Reach::At(landmark) if self.translates_keys() => Reach::At(Landmark { key: None, ..landmark }),
            reach => reach,
        })
    }

    /// In the order of this system's keys; `None` for bounds in the order of the common ones.
    async fn key_range(
        &self,
        mapping: &Mapping,
        range: KeyRange<'_>,
        limit: usize,
    ) -> Result<Option<RangeRead>, ReadError> {
        if self.leads_astray(&range) {
            return Ok(None);
        }
        let Some(mut read) = self.reader.key_range(mapping, range, limit).await? else { return Ok(None) };
        let window = self.to_common(mapping, &mut read.records).await?;
        read.window = covering(read.window, window);
        Ok(Some(read))
    }

    async fn follow(&self, mapping: &Mapping, from: Option<&Place>) -> Result<Option<Followed>, ReadError> {
        let Some(mut page) = self.reader.follow(mapping, from).await? else { return Ok(None) };
        let window = self.to_common(mapping, &mut page.records).await?;
        page.window = covering(page.window, window);
        Ok(Some(page))
    }

    /// In the order of this system's keys; `after` is one of those.
    fn scan<'a>(&'a self, mapping: &'a Mapping, after: Option<&'a Key>) -> BoxStream<'a, Result<Record, ReadError>> {
        let batches = self.reader.scan(mapping, after).try_chunks(SCAN_BATCH);
        batches
            .map_err(|error| error.1)
            .and_then(move |mut records| async move {
                self.to_common(mapping, &mut records).await?;
                Ok(stream::iter(records.into_iter().map(Ok)))
            })
            .try_flatten()
            .boxed()
    }

    fn budget(&self) -> &Budget {
        self.reader.budget()
    }

    async fn doctor(&self, mappings: &[&Mapping]) -> Vec<Finding> {
        self.reader.doctor(mappings).await
    }
}

fn cover_option(window: &mut Option<ReadWindow>, part: Option<ReadWindow>) {
    if let Some(part) = part {
        cover(window, part);
    }
}
