//! Sweeps: every difference between two systems. [`finder`] says which keys were not seen to agree; those are judged like
//! any other key, and what is in flight is looked at again until it is decided. Nothing here decides by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::causes::chain;
use crate::clock::Clock;
use crate::compare::Side;
use crate::metrics::Metrics;
use crate::model::digest::DigestKey;
use crate::model::{FlowId, Moment, TenantId, Verdict};
use crate::state::change::Lease;
use crate::sweep::{Choice, Strategy};

use super::journal::Journal;
use super::unit::{Shared, Unit, UnitError, UnitParts};

pub mod chunk;
pub mod disk;
pub mod finder;
pub mod joiner;
mod judging;
pub mod lag;
pub mod side;
pub mod told;

use disk::Shelf;
use finder::{Finder, Name, Options, Piece, SweepError};
use judging::{Judging, KEPT, Rows, batch};
use lag::{Behind, Replicas, WHILE_BEHIND};
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
    /// Rows that waited on disk for their partners.
    pub spilled: u64,
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
    /// It rests while a replica lags.
    Resting(Behind),
    /// It waits for keys in flight, at most so long.
    Waiting(Duration),
}

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
            spilled: went.spilled,
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
        let (mut replicas, sides) = (Replicas::default(), [owner.clone(), target.clone()]);
        let is_over = || self.most_time.is_some_and(|most| self.clock.now().since(began) >= most);
        while let Some(behind) = replicas.behind(&sides, self.clock.now()).await.filter(|_| !is_over()) {
            progress(judging.progress(Stage::Resting(behind), went));
            tokio::time::sleep(WHILE_BEHIND).await;
        }
        let mut finder = Finder::begin(owner, target, tolerances, options).await?;
        if judging.unit.judges_in_passing(flow) {
            finder.hold_packed();
        }
        (went.rows, went.about) = (finder.rows(), finder.about());
        finder.judge_at_most(self.may_find(judging));
        let mut suspects: Shelf<Name> = Shelf::new(KEPT);
        let mut ended = Ended::Complete;
        loop {
            if went.choice.as_ref() != Some(finder.choice()) {
                went.choice = Some(finder.choice().clone());
                progress(judging.progress(Stage::Chosen(finder.choice().clone()), went));
            }
            while let Some(behind) = replicas.behind(&sides, self.clock.now()).await.filter(|_| !is_over()) {
                progress(judging.progress(Stage::Resting(behind), went));
                tokio::time::sleep(WHILE_BEHIND).await;
            }
            let Some(next) = finder.next(&mut suspects).await? else { break };
            (went.piece, went.spilled) = (next, finder.spilled());
            let wholes = finder.wholes();
            if !wholes.is_empty() {
                for judged in judging.judge_spans(&wholes).await? {
                    finder.take_judged(judged)?;
                }
                went.piece = finder.piece();
                finder.judge_at_most(self.may_find(judging));
            }
            while suspects.len() >= judging.batch as u64 && self.may_find(judging) > 0 {
                judging.judge(&mut suspects, self.may_find(judging)).await?;
                judging.suspects = suspects.len();
                progress(judging.progress(Stage::Reading, went));
            }
            judging.suspects = suspects.len();
            progress(judging.progress(Stage::Reading, went));
            if is_over() {
                ended = Ended::TimeOver;
                break;
            }
            if self.may_find(judging) == 0 {
                ended = Ended::EnoughFound;
                break;
            }
        }
        while !suspects.is_empty() && self.may_find(judging) > 0 {
            judging.judge(&mut suspects, self.may_find(judging)).await?;
        }
        Ok(if suspects.is_empty() { ended } else { Ended::EnoughFound })
    }

    /// How many more differences it may find.
    fn may_find(&self, judging: &Judging) -> u64 {
        self.most_differences.map_or(u64::MAX, |most| most.saturating_sub(judging.found()))
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
            only_reports: true,
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
            batch: batch(self.options.memory),
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
    spilled: u64,
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
