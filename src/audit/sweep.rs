//! Sweeps: every difference between two systems. [`finder`] says which keys were not seen to agree; those are judged like
//! any other key, and what is in flight is looked at again until it is decided. Nothing here decides by itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::causes::chain;
use crate::clock::Clock;
use crate::compare::Side;
use crate::ledger::rows::{CheckRow, RunRows};
use crate::metrics::Metrics;
use crate::model::digest::DigestKey;
use crate::model::{FlowId, Key, Moment, TenantId, Verdict};
use crate::state::change::{InFlightEntry, Lease, StateChange};
use crate::sweep::{Choice, Strategy};

use super::entry::key_from_bytes;
use super::journal::{Committed, Journal, JournalError};
use super::unit::{Shared, Unit, UnitError, UnitParts};

pub mod disk;
pub mod finder;
pub mod side;

use disk::Shelf;
use finder::{Finder, Name, Options, Piece, SweepError};
use side::{Only, SweepSide};

/// A sweep outside the schedule: nothing is kept but the report.
pub struct Sweeping {
    /// Whose systems these are.
    pub tenant: TenantId,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Hashes keys and values for the report.
    pub secret: DigestKey,
    /// How long to wait for keys in flight.
    pub wait: Duration,
    /// Strategy and memory.
    pub options: Options,
    /// Ends after so many differences, those in flight among them.
    pub most_differences: Option<u64>,
    /// Ends looking for suspects after so long.
    pub most_time: Option<Duration>,
    /// Limits the sweep to some records, which are then read.
    pub only: Option<Only>,
}

/// What a sweep found in one flow.
pub struct FlowSweep {
    /// The flow.
    pub flow: FlowId,
    /// How differences were looked for in the end, and why.
    pub choice: Option<Choice>,
    /// About how many keys differ, from a first look at some rows, if there was one.
    pub about: Option<u64>,
    /// What was gone through.
    pub piece: Piece,
    /// Keys by verdict, in [`Verdict::ALL`]'s order; matches are keys that were suspected and agree.
    pub keys: [u64; Verdict::ALL.len()],
    /// What differs.
    pub differences: Shelf<Difference>,
    /// Everything that was committed by then has been compared; `None` unless the sweep is complete.
    pub verified_through: Option<Moment>,
    /// How it ended.
    pub ended: Ended,
    /// How long it took.
    pub took: Duration,
}

/// How a sweep ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything has been gone through.
    Complete,
    /// Its time was over.
    TimeOver,
    /// It had found as many differences as it may.
    EnoughFound,
    /// A system could not be read, or what was asked for is not possible: in words.
    Failed(String),
}

/// One key that does not agree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The key as its fields' store rules allow.
    pub key: String,
    /// Keyed hash of the key.
    pub key_hash: String,
    /// The verdict's word.
    pub verdict: String,
    /// Stale against mismatch is likely, not certain.
    pub likely: bool,
    /// Why, where the verdict alone does not say.
    pub reason: String,
    /// Differing fields with the owner's and the target's value, as their store rules allow.
    pub fields: Vec<(String, String, String)>,
}

impl FlowSweep {
    /// Keys with this verdict.
    pub fn of(&self, verdict: Verdict) -> u64 {
        self.keys[verdict as usize - 1]
    }

    /// Whether anything differs for certain.
    pub fn differs(&self) -> bool {
        Verdict::ALL.iter().any(|verdict| verdict.is_bad() && self.of(*verdict) > 0)
    }

    /// Whether something could not be decided for want of a read.
    pub fn is_blind(&self) -> bool {
        matches!(self.ended, Ended::Failed(_)) || self.of(Verdict::Unknown) > 0
    }
}

/// How far a sweep has come.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The flow.
    pub flow: FlowId,
    /// What is done.
    pub stage: Stage,
    /// What was gone through.
    pub piece: Piece,
    /// Rows of the larger side, as its database estimates them.
    pub rows: Option<u64>,
    /// About how many keys differ, from a first look at some rows, if there was one.
    pub about: Option<u64>,
    /// Confirmed differences.
    pub differences: u64,
    /// Keys that are suspected and not judged yet.
    pub suspects: u64,
}

/// What a sweep is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has chosen its way.
    Chosen(Choice),
    /// It looks for suspects.
    Reading,
    /// It waits for keys in flight, at most so long.
    Waiting(Duration),
}

/// Suspects that are judged in one run.
const BATCH: usize = 1_000;
/// Suspects and differences that stay in memory; the others lie on disk.
const KEPT: usize = 4_000;
/// Keys in flight that stay in memory.
const IN_FLIGHT: usize = 4_000;

impl Sweeping {
    /// Sweeps one flow of a unit. What cannot be read is in the report.
    ///
    /// # Errors
    /// Only for bugs and a full disk.
    pub async fn sweep(
        &self,
        parts: Arc<UnitParts>,
        flow: usize,
        mut progress: impl FnMut(Progress),
    ) -> anyhow::Result<FlowSweep> {
        let began = self.clock.now();
        let mut judging = self.judging(Arc::clone(&parts), flow).await?;
        let mut went = Went::default();
        let ended = match self.go_through(&parts, flow, &mut judging, &mut went, &mut progress).await {
            Ok(ended) => ended,
            Err(Stop::Sweep(error)) => Ended::Failed(chain(&error).to_string()),
            Err(Stop::Unread(reason)) => Ended::Failed(reason),
            Err(Stop::Bug(error)) => return Err(error),
        };
        let until = self.clock.now() + self.wait;
        judging
            .wait(until, |left, judging| {
                progress(judging.progress(Stage::Waiting(left), &went));
            })
            .await?;
        let verified_through = (ended == Ended::Complete).then_some(began);
        let took = self.clock.now().since(began);
        let (keys, differences) = judging.report()?;
        Ok(FlowSweep {
            flow: parts.flows[flow].flow.id.clone(),
            choice: went.choice,
            about: went.about,
            piece: went.piece,
            keys,
            differences,
            verified_through,
            ended,
            took,
        })
    }

    async fn go_through(
        &self,
        parts: &UnitParts,
        flow: usize,
        judging: &mut Judging,
        went: &mut Went,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Ended, Stop> {
        let began = self.clock.now();
        let [owner, target] = sides(parts, flow).map(|side| SweepSide { only: self.only.clone(), ..side });
        let tolerances = parts.flows[flow].tolerances.clone();
        let mut options = self.options.clone();
        if self.only.is_some() {
            options.strategy = Some(Strategy::Stream);
        }
        let mut finder = Finder::begin(owner, target, tolerances, options, None).await?;
        (went.rows, went.about) = (finder.rows(), finder.about());
        let mut suspects: Shelf<Name> = Shelf::new(KEPT);
        let mut ended = Ended::Complete;
        loop {
            if went.choice.as_ref() != Some(finder.choice()) {
                went.choice = Some(finder.choice().clone());
                progress(judging.progress(Stage::Chosen(finder.choice().clone()), went));
            }
            let Some(next) = finder.next(&mut suspects).await? else { break };
            went.piece = next;
            let is_enough = |judging: &Judging| self.most_differences.is_some_and(|most| judging.found() >= most);
            while suspects.len() >= BATCH as u64 && !is_enough(judging) {
                judging.judge(&mut suspects).await?;
                judging.suspects = suspects.len();
                progress(judging.progress(Stage::Reading, went));
            }
            judging.suspects = suspects.len();
            progress(judging.progress(Stage::Reading, went));
            if self.most_time.is_some_and(|most| self.clock.now().since(began) >= most) {
                ended = Ended::TimeOver;
                break;
            }
            if is_enough(judging) {
                ended = Ended::EnoughFound;
                break;
            }
        }
        while !suspects.is_empty() && ended != Ended::EnoughFound {
            judging.judge(&mut suspects).await?;
        }
        Ok(ended)
    }

    async fn judging(&self, parts: Arc<UnitParts>, flow: usize) -> Result<Judging, UnitError> {
        let rows = Arc::new(Rows::default());
        let shared = Arc::new(Shared {
            tenant: self.tenant.clone(),
            auditor: "once".to_owned(),
            clock: Arc::clone(&self.clock),
            journal: Arc::clone(&rows) as Arc<dyn Journal>,
            metrics: Arc::new(Metrics::new()),
            secret: self.secret.clone(),
            in_flight: AtomicU64::new(0),
            // What does not fit into memory waits on disk.
            max_in_flight: u64::MAX,
        });
        let lease = Lease { unit: parts.name.clone(), token: 1 };
        let flow_id = parts.flows[flow].flow.id.clone();
        let unit = Unit::resume(parts, shared, lease).await?;
        Ok(Judging {
            clock: Arc::clone(&self.clock),
            unit,
            flow,
            flow_id,
            rows,
            pending: BTreeMap::new(),
            waiting: Shelf::new(0),
            differences: Shelf::new(KEPT),
            keys: [0; Verdict::ALL.len()],
            suspects: 0,
        })
    }
}

/// How going through both sides went.
#[derive(Default)]
struct Went {
    piece: Piece,
    choice: Option<Choice>,
    rows: Option<u64>,
    about: Option<u64>,
}

/// Both sides of a flow.
pub fn sides(parts: &UnitParts, flow: usize) -> [SweepSide; 2] {
    let unit_flow = &parts.flows[flow];
    [(Side::Owner, &parts.owner), (Side::Target, &unit_flow.target)].map(|(side, of)| SweepSide {
        side,
        reader: Arc::clone(&of.reader),
        mapping: Arc::clone(&of.mapping),
        flow: Arc::clone(&unit_flow.flow),
        only: None,
    })
}

/// Why going through stopped.
enum Stop {
    Sweep(SweepError),
    /// Suspects could not be read, for a reason from a closed list.
    Unread(String),
    Bug(anyhow::Error),
}

impl From<SweepError> for Stop {
    fn from(error: SweepError) -> Self {
        Self::Sweep(error)
    }
}

impl From<UnitError> for Stop {
    fn from(error: UnitError) -> Self {
        Self::Bug(error.into())
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Sweep(error.into())
    }
}

/// Judges suspects in a unit of its own and keeps what comes of them.
struct Judging {
    clock: Arc<dyn Clock>,
    unit: Unit,
    flow: usize,
    flow_id: FlowId,
    rows: Arc<Rows>,
    /// The last check of keys that are not decided, by the keys' hashes; not of those on disk.
    pending: BTreeMap<String, CheckRow>,
    waiting: Shelf<InFlightEntry>,
    differences: Shelf<Difference>,
    keys: [u64; Verdict::ALL.len()],
    suspects: u64,
}

impl Judging {
    fn progress(&self, stage: Stage, went: &Went) -> Progress {
        let (flow, differences) = (self.flow_id.clone(), self.differences.len());
        let Went { piece, rows, about, .. } = *went;
        Progress { flow, stage, piece, rows, about, differences, suspects: self.suspects }
    }

    /// Keys that do not agree, in flight or for certain.
    fn found(&self) -> u64 {
        self.differences.len() + self.unit.in_flight() as u64 + self.waiting.len()
    }

    /// Judges some of the suspects.
    async fn judge(&mut self, suspects: &mut Shelf<Name>) -> Result<(), Stop> {
        let names = suspects.take(BATCH)?;
        let keys: Vec<Key> = names.iter().filter_map(|name| key_from_bytes(name)).collect();
        let summary = self.unit.look_at_suspects(self.flow, &keys).await?;
        if let Some(reason) = summary.failure.filter(|_| summary.total() == 0) {
            let left = keys.len() as u64 + suspects.len();
            return Err(Stop::Unread(format!("{left} suspected keys could not be read: {reason}")));
        }
        self.collect()?;
        Ok(())
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
    async fn wait(&mut self, until: Moment, mut progress: impl FnMut(Duration, &Self)) -> anyhow::Result<()> {
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
    fn report(mut self) -> std::io::Result<([u64; Verdict::ALL.len()], Shelf<Difference>)> {
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

fn difference(row: CheckRow) -> Difference {
    let values = row.owner_values.into_iter().zip(row.target_values);
    let fields = row.fields.into_iter().zip(values).map(|(field, (owner, target))| (field, owner, target)).collect();
    let CheckRow { key, key_hash, verdict, likely, reason, .. } = row;
    Difference { key, key_hash, verdict, likely, reason, fields }
}

/// Keeps the checks of the last runs and nothing else.
#[derive(Default)]
struct Rows {
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
