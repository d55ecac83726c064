//! What a sweep hands to its unit: keys whose rows were not seen to agree. They are judged like any other.

use std::sync::Arc;

use super::examine::{Sighting, grouped, key_digest};
use super::{Unit, UnitError};

mod probe;
mod rate;
mod shared;
mod whole;

use crate::audit::entry::Entry;
use crate::audit::run::{Run, Summary};
use crate::audit::sweep::finder::{Judged, Whole};
use crate::connect::ReadError;
use crate::metrics::RunKind;
use crate::model::{Key, Moment};
use crate::state::change::InFlightEntry;
pub use probe::MEMORY;
pub(super) use probe::UnderWay;

impl Unit {
    /// Looks at keys of flow number `flow` that a sweep suspects, in one run. When the owner cannot be read the summary
    /// has a failure and no checks: the keys are suspect as before.
    ///
    /// # Errors
    /// When the lease is lost, or state or spool fail.
    pub async fn look_at_suspects(&mut self, flow: usize, keys: &[Key]) -> Result<Summary, UnitError> {
        let parts = Arc::clone(&self.parts);
        let mut run = Run::begin(RunKind::Sweep, self.lease.clone(), self.shared.clock.now());
        run.summary.complete = true;
        self.measure_clock(&parts.owner).await;
        self.measure_clock(&parts.flows[flow].target).await;
        self.judge_suspects(&mut run, flow, keys).await;
        self.commit(run, None).await
    }

    /// Judges all that differs in a span of keys, in one run; see [`judge_span`](Self::judge_span).
    ///
    /// # Errors
    /// When the lease is lost, or state or spool fail.
    pub async fn look_at_span(&mut self, flow: usize, whole: &Whole) -> Result<Result<Judged, ReadError>, UnitError> {
        let parts = Arc::clone(&self.parts);
        let mut run = Run::begin(RunKind::Sweep, self.lease.clone(), self.shared.clock.now());
        run.summary.complete = true;
        self.measure_clock(&parts.owner).await;
        self.measure_clock(&parts.flows[flow].target).await;
        let judged = self.judge_span(&mut run, flow, whole).await;
        self.commit(run, None).await?;
        Ok(judged)
    }

    /// Judges suspects within a run. `false` when the owner could not be read: nothing is known of them.
    pub(super) async fn judge_suspects(&mut self, run: &mut Run, flow: usize, keys: &[Key]) -> bool {
        let parts = Arc::clone(&self.parts);
        match parts.owner.reader.by_keys(&parts.owner.mapping, keys).await {
            Ok(read) => {
                run.summary.owner_records += read.records.len() as u64;
                let mut by_key = grouped(read.records);
                let sighting = |key: &Key| {
                    let digest = key_digest(key);
                    let records = by_key.remove(&digest).unwrap_or_default();
                    let (key, not_before) = (key.clone(), Moment::MIN);
                    Sighting { key, digest, records, not_before, again: false, stamp_bounds: true, may_hide: false }
                };
                let sightings: Vec<Sighting> = keys.iter().map(sighting).collect();
                let sightings: Vec<&Sighting> = sightings.iter().collect();
                self.examine(run, flow, &sightings, read.window).await;
                true
            }
            Err(error) => {
                self.note_failure(run, &error);
                false
            }
        }
    }

    /// Lets go of keys whose verdict is bad. For a sweep by itself, whose report has them.
    pub fn let_go_decided(&mut self) {
        self.take(|entry| entry.discrepancy.is_some());
    }

    /// Hands over the keys that wait for their verdict, in the form in which state keeps them.
    pub fn take_undecided(&mut self) -> Vec<InFlightEntry> {
        let entries = self.take(|entry| entry.discrepancy.is_none());
        entries.iter().map(|entry| entry.to_stored(entry.due_at)).collect()
    }

    /// Takes keys of flow number `flow` back that [`take_undecided`](Self::take_undecided) gave.
    ///
    /// # Errors
    /// When an entry is of another format.
    pub fn put_back(&mut self, flow: usize, entries: &[InFlightEntry]) -> Result<(), UnitError> {
        for stored in entries {
            let entry = Entry::from_stored(stored);
            let entry = entry.ok_or(UnitError::Format { unit: self.parts.name.clone(), what: "in-flight key" })?;
            if self.queue.insert((flow, key_digest(&entry.key)), entry) {
                self.shared.in_flight.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn take(&mut self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let taken = self.queue.take(wanted);
        self.shared.in_flight.fetch_sub(taken.len() as u64, std::sync::atomic::Ordering::Relaxed);
        taken
    }
}
