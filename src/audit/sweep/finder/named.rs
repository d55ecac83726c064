//! A first look where keys are no numbers: a few rows of the owner from places that lie evenly in its own order, and what the
//! target holds of their keys. Keys that only the target has are not seen.

use std::collections::HashMap;

use super::{Finder, SweepError};
use crate::compare::agrees;
use crate::connect::{Bound, KeyRange, Place, Reach, ReadError};
use crate::model::{Key, Record};
use crate::sweep::Sample;

/// Places that are looked at.
const LOOKS: usize = 8;
/// Rows from each of them.
const ROWS: usize = 256;
/// Smaller tables are soon read as a whole.
const SMALL: u64 = 20_000;

/// About how much differs; `None` where the owner cannot be entered within its order.
pub(super) async fn look(finder: &Finder, rows: u64) -> Result<Option<Sample>, SweepError> {
    if rows < SMALL {
        return Ok(None);
    }
    let step = usize::try_from(rows / LOOKS as u64).unwrap_or(usize::MAX);
    let mut sample = Sample::default();
    let mut place: Option<Place> = None;
    for _ in 0..LOOKS {
        let range = KeyRange { after: place.as_ref().map_or(Bound::Open, Bound::Place), until: Bound::Open };
        let Some(records) = piece(finder, range).await? else { break };
        sample.add(records.len() as u64, differing(finder, &records).await?);
        match finder.owner.reader.landmark(&finder.owner.mapping, range, step).await? {
            Reach::At(landmark) => place = Some(landmark.place),
            Reach::End | Reach::Nowhere => break,
        }
    }
    Ok((sample.rows > 0).then_some(sample))
}

/// The first rows of a range.
async fn piece(finder: &Finder, range: KeyRange<'_>) -> Result<Option<Vec<Record>>, ReadError> {
    let owner = &finder.owner;
    let Some(read) = owner.reader.key_range(&owner.mapping, range, ROWS).await? else { return Ok(None) };
    let is_looked_at = |record: &Record| record.in_scope && record.key.is_usable();
    Ok(Some(read.records.into_iter().filter(is_looked_at).collect()))
}

/// How many of these records the target does not hold alike.
async fn differing(finder: &Finder, records: &[Record]) -> Result<u64, ReadError> {
    let target = &finder.target;
    let keys: Vec<Key> = records.iter().map(|record| record.key.clone()).collect();
    let held = target.reader.by_keys(&target.mapping, &keys).await?.records;
    let mut by_key: HashMap<&Key, Vec<&Record>> = HashMap::with_capacity(held.len());
    held.iter().for_each(|record| by_key.entry(&record.key).or_default().push(record));
    let is_same = |record: &&Record| match by_key.get(&record.key).map(Vec::as_slice) {
        Some([held]) => held.in_scope && agrees(&finder.owner.flow, record, held),
        _ => false,
    };
    Ok(records.len() as u64 - records.iter().filter(is_same).count() as u64)
}
