//! What a sweep hands to its unit: keys whose rows were not seen to agree. They are judged like any other.

use std::sync::Arc;

use futures_util::StreamExt;

use super::examine::{Sighting, context, grouped, key_digest};
use super::{Unit, UnitError};

mod packed;
mod probe;
mod rate;
mod shared;
mod swift;
mod whole;

use crate::audit::entry::Entry;
use crate::audit::run::Run;
use crate::audit::sweep::finder::{Judged, SweepError, Whole};
use crate::audit::sweep::told::Told;
use crate::metrics::RunKind;
use crate::model::{Key, Moment};
use crate::state::change::InFlightEntry;
pub use probe::MEMORY;
pub(super) use probe::UnderWay;
use swift::{Asked, Looked, Outcome, Swift};

/// What judging lists of keys came to.
pub struct Listed {
    /// What differs for certain, besides what is in the run.
    pub told: Vec<Told>,
    /// Keys of which nothing is known, because the owner could not be read: they are suspect as before.
    pub left: usize,
    /// The first failure, as a word from a closed list.
    pub failure: Option<&'static str>,
}

/// What judging a span came to.
pub struct Spanned {
    /// How it went.
    pub judged: Result<Judged, SweepError>,
    /// What differs for certain, besides what is in the run.
    pub told: Told,
}

impl Unit {
    /// Judges all that differs in some spans of keys, in one run; see [`judge_span`](Self::judge_span). `take` hears what came
    /// of each, as far as the first one that is not gone through to its end. Where nothing else is wanted than what the keys
    /// came to, spans are read and judged beside each other.
    ///
    /// # Errors
    /// When the lease is lost, or state or spool fail.
    pub async fn look_at_spans(
        &mut self,
        flow: usize,
        wholes: &[Whole],
        take: &mut (dyn FnMut(Spanned) + Send),
    ) -> Result<(), UnitError> {
        let parts = Arc::clone(&self.parts);
        let mut run = Run::begin(RunKind::Sweep, self.lease.clone(), self.shared.clock.now());
        run.summary.complete = true;
        self.measure_clock(&parts.owner).await;
        self.measure_clock(&parts.flows[flow].target).await;
        let asked = || wholes.iter().map(|whole| Asked::Span(*whole)).collect();
        let mut looks = self.swift(flow).map(|swift| swift::beside_each_other(Arc::new(swift), asked()));
        for whole in wholes {
            let outcome = match &mut looks {
                Some(looks) => looks.next().await.unwrap_or(Ok(Outcome::Unusual)),
                None => Ok(Outcome::Unusual),
            };
            let (judged, told) = match outcome {
                Ok(Outcome::Looked(looked)) => {
                    let ((owner_rows, target_rows), differing) = (looked.rows, looked.differing());
                    let told = self.take_looked(&mut run, flow, *looked).await;
                    (Ok(Judged::Through { owner_rows, target_rows, differing }), told)
                }
                Ok(Outcome::TooMany) => (Ok(Judged::TooMany), Told::default()),
                Ok(Outcome::TooHeavy) => (Ok(Judged::TooHeavy), Told::default()),
                Ok(Outcome::Unusual) => {
                    // As records its rows take more, and so does what is made of them.
                    let bytes = if looks.is_some() { whole.bytes / 2 } else { whole.bytes };
                    let judged = self.judge_span(&mut run, flow, &Whole { bytes, ..*whole }).await;
                    (judged.map_err(Into::into), Told::default())
                }
                Err(error) => (Err(error), Told::default()),
            };
            let is_through = matches!(judged, Ok(Judged::Through { .. }));
            take(Spanned { judged, told });
            if !is_through {
                break;
            }
        }
        self.commit(run, None).await?;
        Ok(())
    }

    /// Whether keys of spans are judged without a place in the unit.
    pub fn judges_in_passing(&self, flow: usize) -> bool {
        let unit_flow = &self.parts.flows[flow];
        self.shared.only_reports && self.doubts.is_empty() && Swift::can_judge(&self.parts, unit_flow)
    }

    /// What judging such keys needs, where that can be.
    fn swift(&self, flow: usize) -> Option<Swift> {
        let unit_flow = &self.parts.flows[flow];
        self.judges_in_passing(flow).then(|| Swift {
            parts: Arc::clone(&self.parts),
            flow,
            stamps: [self.stamps(&self.parts.owner), self.stamps(&unit_flow.target)],
            secret: self.shared.secret.clone(),
            known: self.queue.keys_of_flow(flow).collect(),
        })
    }

    /// Judges what is odd of what was looked at. Gives what is certain.
    async fn take_looked(&mut self, run: &mut Run, flow: usize, looked: Looked) -> Told {
        let parts = Arc::clone(&self.parts);
        let unit_flow = &parts.flows[flow];
        let Looked { rows: (owner_rows, target_rows), again, told, odd, windows } = looked;
        run.summary.owner_records += owner_rows + again;
        run.summary.target_records += target_rows;
        if let Some([window, target_window]) = windows {
            let mut pending = Vec::with_capacity(odd.len());
            for (sighting, target) in &odd {
                let (context, target) = (context(unit_flow, None, None), target.clone());
                pending.extend(self.first_look(run, flow, sighting, window, target, target_window, context));
            }
            self.confirm(run, flow, pending).await;
        }
        told
    }

    /// Looks at lists of keys that a sweep suspects, in one run; nothing else is wanted than what they came to. Ends with the
    /// first list whose owner cannot be read.
    ///
    /// # Errors
    /// When the lease is lost, or state or spool fail.
    pub async fn look_at_lists(&mut self, flow: usize, lists: &[Vec<Key>]) -> Result<Listed, UnitError> {
        let parts = Arc::clone(&self.parts);
        let mut run = Run::begin(RunKind::Sweep, self.lease.clone(), self.shared.clock.now());
        run.summary.complete = true;
        self.measure_clock(&parts.owner).await;
        self.measure_clock(&parts.flows[flow].target).await;
        let asked = || lists.iter().map(|keys| Asked::keys(keys.clone())).collect();
        let mut looks = self.swift(flow).map(|swift| swift::beside_each_other(Arc::new(swift), asked()));
        let (mut told, mut left) = (Vec::with_capacity(lists.len()), lists.iter().map(Vec::len).sum());
        for keys in lists {
            let outcome = match &mut looks {
                Some(looks) => looks.next().await,
                None => None,
            };
            if let Some(Ok(Outcome::Looked(looked))) = outcome {
                let agree = (keys.len() as u64).saturating_sub(looked.differing());
                let mut of_list = self.take_looked(&mut run, flow, *looked).await;
                of_list.agree += agree;
                told.push(of_list);
            } else if !self.judge_suspects(&mut run, flow, keys).await {
                break;
            }
            left -= keys.len();
        }
        let failure = self.commit(run, None).await?.failure;
        Ok(Listed { told, left, failure })
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
