//! Spans of which most rows differ: judged from whole reads of the owner, the target and the owner again. Three statements
//! for thousands of keys, where suspects that are judged one by one would be asked for by their keys.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::audit::run::Run;
use crate::audit::sweep::finder::{Judged, Whole};
use crate::audit::unit::examine::{LATE, Sighting, Unconfirmed, context, grouped, key_digest};
use crate::audit::unit::{SideParts, Unit};
use crate::compare::agrees;
use crate::connect::{KeyedRead, ReadError};
use crate::model::{Flow, Key, Moment, Record, Value};

/// What a side holds of each key.
type ByKey = HashMap<u128, Vec<Record>>;

impl Unit {
    /// Judges the keys of a span whose records differ. Both sides are read as a whole, one after the other, and the owner once
    /// more before anything is called wrong; what has moved meanwhile is asked for by its keys. What agrees is no check.
    ///
    /// # Errors
    /// When a side cannot be read the first time: then nothing was judged.
    pub(super) async fn judge_span(&mut self, run: &mut Run, flow: usize, whole: &Whole) -> Result<Judged, ReadError> {
        let parts = Arc::clone(&self.parts);
        let unit_flow = &parts.flows[flow];
        let mut room = whole.bytes;
        let Some(ours) = read(&parts.owner, whole, &mut room, |_| true).await? else { return Ok(Judged::TooHeavy) };
        let Some(theirs) = read(&unit_flow.target, whole, &mut room, |_| true).await? else {
            return Ok(Judged::TooHeavy);
        };
        let rows = (ours.records.len() as u64, theirs.records.len() as u64);
        let (window, target_window) = (ours.window, theirs.window);
        let (mut owners, mut targets) = (grouped(ours.records), grouped(theirs.records));
        let_go_agreeing(&unit_flow.flow, &mut owners, &mut targets);
        let sightings = sightings(owners, &targets);
        if sightings.len() as u64 > whole.most {
            return Ok(Judged::TooMany);
        }
        run.summary.owner_records += rows.0;
        run.summary.target_records += rows.1;
        let baselines = self.baselines(run, unit_flow, &sightings.iter().collect::<Vec<_>>()).await;
        let mut pending = Vec::with_capacity(sightings.len());
        for sighting in &sightings {
            let records = targets.remove(&sighting.digest).unwrap_or_default();
            let baseline = baselines.get(&sighting.digest).copied();
            let context = context(unit_flow, baseline, self.met.get((flow, sighting.digest)));
            pending.extend(self.first_look(run, flow, sighting, window, records, target_window, context));
        }
        self.confirm_span(run, flow, whole, pending).await;
        Ok(Judged::Through { owner_rows: rows.0, target_rows: rows.1, differing: sightings.len() as u64 })
    }

    /// The second read of the owner for all keys of a span that would be bad. Where it was late the target is read again, as
    /// for keys that are asked for one by one.
    async fn confirm_span(&mut self, run: &mut Run, flow: usize, whole: &Whole, pending: Vec<Unconfirmed<'_>>) {
        let Some(seen) = pending.iter().map(|one| one.target_look.window.high).min() else { return };
        let parts = Arc::clone(&self.parts);
        self.know_shapes_of(flow, &pending).await;
        let wanted: HashSet<u128> = pending.iter().map(|one| one.sighting.digest).collect();
        let is_wanted = |record: &Record| wanted.contains(&key_digest(&record.key));
        let mut room = usize::MAX;
        let Ok(Some(again)) = read(&parts.owner, whole, &mut room, is_wanted).await else {
            // A read of fewer rows may still be answered, and tells the reason if it is not.
            self.confirm(run, flow, pending).await;
            return;
        };
        run.summary.owner_records += again.records.len() as u64;
        let late = if again.window.high.since(seen) > LATE {
            match read(&parts.flows[flow].target, whole, &mut room, is_wanted).await {
                Ok(read) => read,
                Err(error) => {
                    self.unconfirmed(run, flow, &pending, &error);
                    return;
                }
            }
        } else {
            None
        };
        let moved = self.confirmed(run, flow, pending, again, late);
        self.confirm(run, flow, moved).await;
    }
}

/// The records of a span that are wanted; `None` when they take more than the room that is left.
async fn read(
    side: &SideParts,
    whole: &Whole,
    room: &mut usize,
    is_wanted: impl Fn(&Record) -> bool + Sync,
) -> Result<Option<KeyedRead>, ReadError> {
    let Some(sweeper) = side.reader.sweeper() else { return Ok(None) };
    let (mut records, mut fits) = (Vec::new(), true);
    let mut take = |record: Record| {
        if !record.key.is_usable() || side.mapping.is_stand_in(&record) || !is_wanted(&record) {
            return;
        }
        let left = room.checked_sub(weight(&record));
        fits &= left.is_some();
        *room = left.unwrap_or(0);
        if fits {
            records.push(record);
        }
    };
    let window = sweeper.read_span(&side.mapping, whole.span, &mut take).await?;
    Ok(fits.then_some(KeyedRead { records, window }))
}

/// What a record takes in memory, about.
fn weight(record: &Record) -> usize {
    let value = |value: &Value| {
        size_of::<Value>()
            + match value {
                Value::Text(text) => text.len() + ALLOCATION,
                Value::Bytes(bytes) => bytes.len() + ALLOCATION,
                _ => 0,
            }
    };
    size_of::<Record>() + RECORD + record.fields.iter().map(value).sum::<usize>()
}

/// What the allocator adds to a piece of memory.
const ALLOCATION: usize = 16;
/// A record's key and its place in a table, twice: by itself and among those that are judged.
const RECORD: usize = 192;

/// Lets go of what is the same on both sides: exactly one record each, in scope and agreeing, or none in scope at all.
fn let_go_agreeing(flow: &Flow, owners: &mut ByKey, targets: &mut ByKey) {
    owners.retain(|key, ours| {
        let theirs = targets.get(key).map_or(&[][..], Vec::as_slice);
        let is_same = match (&ours[..], theirs) {
            ([one], [held]) if one.in_scope && held.in_scope => agrees(flow, one, held),
            (ours, theirs) => ours.iter().chain(theirs).all(|record| !record.in_scope),
        };
        if is_same {
            targets.remove(key);
        }
        !is_same
    });
    targets.retain(|key, theirs| owners.contains_key(key) || theirs.iter().any(|record| record.in_scope));
}

/// Every key that a side holds, with what the owner holds of it.
fn sightings(owners: ByKey, targets: &ByKey) -> Vec<Sighting> {
    let only_theirs = targets.iter().filter(|(digest, _)| !owners.contains_key(*digest));
    let extra: Vec<Sighting> = only_theirs
        .filter_map(|(digest, records)| Some(sighting(*digest, records.first()?.key.clone(), Vec::new())))
        .collect();
    let ours = owners.into_iter().filter_map(|(digest, records)| {
        let key = records.first()?.key.clone();
        Some(sighting(digest, key, records))
    });
    ours.chain(extra).collect()
}

pub(super) fn sighting(digest: u128, key: Key, records: Vec<Record>) -> Sighting {
    let not_before = Moment::MIN;
    Sighting { key, digest, records, not_before, again: false, stamp_bounds: true, may_hide: false }
}
