//! Judges suspects in a unit of its own, outside of any schedule, and keeps what comes of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::audit::entry::key_from_bytes;
use crate::audit::journal::{Committed, Journal, JournalError};
use crate::audit::unit::{Listed, Spanned, Unit};
use crate::clock::Clock;
use crate::ledger::rows::{CheckRow, RunRows};
use crate::model::{FlowId, Key, Moment, Verdict};
use crate::state::change::{InFlightEntry, StateChange};

use super::disk::Shelf;
use super::finder::{Judged, Name, SweepError, Whole};
use super::told::Told;
use super::{Difference, Progress, Stage, Stop, Went};

/// What a suspect takes in memory while it is judged, in bytes, about.
const JUDGED: usize = 8_192;
/// Suspects that are judged in one run, at most and at least: a statement asks for so many keys at once.
const BATCH: std::ops::RangeInclusive<usize> = 100..=4_950;
/// Lists of so many that are judged at once, where that can be.
const LISTS: usize = 3;
/// Suspects and differences that stay in memory; the others lie on disk.
pub(super) const KEPT: usize = 4_000;
/// Keys in flight that stay in memory.
const IN_FLIGHT: usize = 4_000;

/// Judges suspects in a unit of its own and keeps what comes of them.
pub(super) struct Judging {
    pub clock: Arc<dyn Clock>,
    pub unit: Unit,
    pub flow: usize,
    pub flow_id: FlowId,
    pub rows: Arc<Rows>,
    /// The last check of keys that are not decided, by the keys' hashes; not of those on disk.
    pub pending: BTreeMap<String, CheckRow>,
    pub waiting: Shelf<InFlightEntry>,
    pub differences: Shelf<Difference>,
    pub keys: [u64; Verdict::ALL.len()],
    pub suspects: u64,
    /// Suspects of one run.
    pub batch: usize,
}

/// How many suspects are judged in one run by a sweep that may keep so much in memory.
pub(super) fn batch(memory: usize) -> usize {
    (memory / JUDGED).clamp(*BATCH.start(), *BATCH.end())
}

impl Judging {
    pub(super) fn progress(&self, stage: Stage, went: &Went) -> Progress {
        let (flow, differences) = (self.flow_id.clone(), self.differences.len());
        let Went { piece, rows, about, .. } = *went;
        Progress { flow, stage, piece, rows, about, differences, suspects: self.suspects }
    }

    /// Keys that do not agree, in flight or for certain.
    pub(super) fn found(&self) -> u64 {
        self.differences.len() + self.unit.in_flight() as u64 + self.waiting.len()
    }

    /// Judges some of the suspects, at most so many.
    pub(super) async fn judge(&mut self, suspects: &mut Shelf<Name>, most: u64) -> Result<(), Stop> {
        let lists = if self.unit.judges_in_passing(self.flow) { LISTS } else { 1 };
        let names = suspects.take(usize::try_from(most).unwrap_or(usize::MAX).min(self.batch * lists))?;
        let list = |names: &[Name]| names.iter().filter_map(|name| key_from_bytes(name)).collect();
        let lists: Vec<Vec<Key>> = names.chunks(self.batch).map(list).collect();
        let Listed { told, left, failure } = self.unit.look_at_lists(self.flow, &lists).await?;
        self.collect()?;
        told.iter().try_for_each(|told| take_told(&mut self.keys, &mut self.differences, told))?;
        if left > 0 {
            let (left, reason) = (left as u64 + suspects.len(), failure.unwrap_or("unknown"));
            return Err(Stop::Unread(format!("{left} suspected keys could not be read: {reason}")));
        }
        Ok(())
    }

    /// Judges all that differs in some spans, as far as the first that is not gone through to its end.
    pub(super) async fn judge_spans(&mut self, wholes: &[Whole]) -> Result<Vec<Result<Judged, SweepError>>, Stop> {
        let (mut judged, mut disk) = (Vec::with_capacity(wholes.len()), Ok(()));
        let Self { unit, keys, differences, .. } = self;
        let mut take = |one: Spanned| {
            if disk.is_ok() {
                disk = take_told(keys, differences, &one.told);
            }
            judged.push(one.judged);
        };
        unit.look_at_spans(self.flow, wholes, &mut take).await?;
        disk?;
        self.collect()?;
        Ok(judged)
    }

    /// Takes what the unit's runs came to since the last time.
    fn collect(&mut self) -> std::io::Result<()> {
        for row in self.rows.take() {
            self.pending.remove(&row.key_hash);
            match Verdict::ALL.into_iter().find(|verdict| row.is(*verdict)) {
                Some(Verdict::Match) => self.keys[Verdict::Match as usize - 1] += 1,
                Some(verdict) if verdict.is_bad() => {
                    self.keys[verdict as usize - 1] += 1;
                    self.differences.push(difference(row))?;
                }
                _ => {
                    self.pending.insert(row.key_hash.clone(), row);
                }
            }
        }
        self.unit.let_go_decided();
        if self.unit.in_flight() > IN_FLIGHT {
            self.pending.clear();
            self.unit.take_undecided().into_iter().try_for_each(|entry| self.waiting.push(entry))?;
        }
        Ok(())
    }

    /// Looks at keys in flight again until all are decided, a side cannot be read, or it is `until`.
    pub(super) async fn wait(
        &mut self,
        until: Moment,
        mut progress: impl FnMut(Duration, &Self),
    ) -> anyhow::Result<()> {
        loop {
            if self.unit.in_flight() == 0 && !self.waiting.is_empty() {
                let entries = self.waiting.take(IN_FLIGHT)?;
                self.unit.put_back(self.flow, &entries)?;
            }
            let Some(due) = self.unit.next_undecided().filter(|due| *due <= until) else { return Ok(()) };
            progress(until.since(self.clock.now()), self);
            tokio::time::sleep(due.since(self.clock.now())).await;
            let failure = self.unit.recheck_due().await?.failure;
            self.collect()?;
            if failure.is_some() {
                // Waiting longer would not decide what cannot be read; whoever asked can ask again.
                return Ok(());
            }
        }
    }

    /// What is not decided by now is in flight or unknown.
    pub(super) fn report(mut self) -> std::io::Result<([u64; Verdict::ALL.len()], Shelf<Difference>)> {
        let undecided = self.unit.in_flight() as u64 + self.waiting.len();
        let listed = self.pending.len() as u64;
        for row in std::mem::take(&mut self.pending).into_values() {
            let verdict = Verdict::ALL.into_iter().find(|verdict| row.is(*verdict)).unwrap_or(Verdict::Unknown);
            self.keys[verdict as usize - 1] += 1;
            self.differences.push(difference(row))?;
        }
        self.keys[Verdict::InFlight as usize - 1] += undecided.saturating_sub(listed);
        Ok((self.keys, self.differences))
    }
}

fn take_told(
    keys: &mut [u64; Verdict::ALL.len()],
    differences: &mut Shelf<Difference>,
    told: &Told,
) -> std::io::Result<()> {
    keys.iter_mut().zip(told.keys).for_each(|(all, told)| *all += told);
    keys[Verdict::Match as usize - 1] += told.agree;
    differences.append(&told.lines)
}

fn difference(row: CheckRow) -> Difference {
    let values = row.owner_values.into_iter().zip(row.target_values);
    let fields = row.fields.into_iter().zip(values).map(|(field, (owner, target))| (field, owner, target)).collect();
    let CheckRow { key, key_hash, verdict, likely, reason, .. } = row;
    Difference { key, key_hash, verdict, likely, reason, fields }
}

/// Keeps the checks of the last runs and nothing else.
#[derive(Default)]
pub(super) struct Rows {
    checks: Mutex<Vec<CheckRow>>,
}

impl Rows {
    fn take(&self) -> Vec<CheckRow> {
        std::mem::take(&mut self.checks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Journal for Rows {
    async fn position(&self, _unit: &str) -> Result<Option<Vec<u8>>, JournalError> {
        Ok(None)
    }

    async fn in_flight_after(&self, _: &str, _: &str, _: usize) -> Result<Vec<(String, InFlightEntry)>, JournalError> {
        Ok(Vec::new())
    }

    async fn baselines(&self, _: &str, _: &[String]) -> Result<HashMap<String, u128>, JournalError> {
        Ok(HashMap::new())
    }

    async fn commit(&self, _change: StateChange, rows: RunRows) -> Result<Committed, JournalError> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).extend(rows.checks);
        Ok(Committed::Yes)
    }
}
