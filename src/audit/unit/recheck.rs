//! Looks again at unsettled keys that are due: the owner first, then the target, then what must be confirmed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::audit::run::{Run, Summary};
use crate::connect::ReadError;
use crate::metrics::RunKind;
use crate::model::{Interval, Key, Record};

use super::ask::patiently;
use super::examine::{Sighting, key_digest};
use super::{Unit, UnitError};

impl Unit {
    /// Looks again at everything that is due, so many keys at a time as the owner is asked for at once.
    ///
    /// # Errors
    /// When the lease is lost, or state or spool fail.
    pub async fn recheck_due(&mut self) -> Result<Summary, UnitError> {
        let mut total = Summary { complete: true, ..Summary::default() };
        let began = self.shared.clock.now();
        let at_once = self.parts.owner.reader.keys_at_once(&self.parts.owner.mapping).max(1);
        loop {
            let due = self.queue.due(began, at_once);
            if due.is_empty() {
                return Ok(total);
            }
            let summary = self.recheck(&due).await?;
            total.add(&summary);
        }
    }

    /// One run over the given slots.
    async fn recheck(&mut self, slots: &[(usize, u128)]) -> Result<Summary, UnitError> {
        let parts = Arc::clone(&self.parts);
        let mut run = Run::begin(RunKind::Recheck, self.lease.clone(), self.shared.clock.now());
        run.summary.complete = true;
        self.measure_clock(&parts.owner).await;
        let keys = self.keys_of(slots);
        let asked: Vec<Key> = keys.values().cloned().collect();
        let (owner, patience) = (&parts.owner, self.patience(run.started));
        match patiently(&*owner.reader, patience, owner.reader.by_keys(&owner.mapping, &asked)).await {
            Ok(read) => {
                run.summary.owner_records = read.records.len() as u64;
                let mut found: HashMap<u128, Vec<Record>> = HashMap::with_capacity(read.records.len());
                for record in read.records {
                    found.entry(key_digest(&record.key)).or_default().push(record);
                }
                let of_flows: Vec<Vec<Sighting>> =
                    (0..parts.flows.len()).map(|flow| self.sightings(slots, flow, &found)).collect();
                let borrowed: Vec<Vec<&Sighting>> = of_flows.iter().map(|of_flow| of_flow.iter().collect()).collect();
                let asked = borrowed.iter().map(Vec::as_slice).enumerate();
                let asked: Vec<(usize, &[&Sighting])> = asked.filter(|(_, asked)| !asked.is_empty()).collect();
                self.examine_flows(&mut run, &asked, read.window).await;
            }
            Err(error) => self.owner_unread(&mut run, slots, &error),
        }
        self.commit(run, None).await
    }

    fn keys_of(&self, slots: &[(usize, u128)]) -> HashMap<u128, Key> {
        let key = |slot: &(usize, u128)| Some((slot.1, self.queue.get(*slot)?.key.clone()));
        slots.iter().filter_map(key).collect()
    }

    fn sightings(&self, slots: &[(usize, u128)], flow: usize, found: &HashMap<u128, Vec<Record>>) -> Vec<Sighting> {
        let of_flow = slots.iter().filter(|slot| slot.0 == flow);
        let sighting = |slot: &(usize, u128)| {
            let entry = self.queue.get(*slot)?;
            let records = found.get(&slot.1).cloned().unwrap_or_default();
            // A read by key is complete for its key: the last time the owner was seen bounds any newer state.
            let not_before = entry.track.states.last().map_or(self.position.last_complete, |state| state.last_seen);
            let key = entry.key.clone();
            let (again, stamp_bounds, may_hide) = (false, true, false);
            Some(Sighting { key, digest: slot.1, records, not_before, again, stamp_bounds, may_hide })
        };
        of_flow.filter_map(sighting).collect()
    }

    /// The owner could not be read: the keys stay as they are and are looked at again.
    fn owner_unread(&mut self, run: &mut Run, slots: &[(usize, u128)], error: &ReadError) {
        self.tell(error);
        run.summary.failure = Some(error.reason_code());
        let now = self.shared.clock.now();
        for &slot in slots {
            self.owner_unread_at(run, slot, Interval::new(run.started, now), error.reason_code());
        }
    }
}
