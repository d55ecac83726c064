//! A unit of work: one entity as one owner holds it, with all flows that start there. Leased as a whole, run by one
//! task, so that its position and queue need no locks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Hours, SampleSize, Schedule, TotalsSettings};
use crate::connect::{ClockReading, ReadError, Reader};
use crate::metrics::{Metrics, Outcome, Reason, RunKind, Skip};
use crate::model::digest::DigestKey;
use crate::model::{EntityId, Field, Flow, Interval, Key, Mapping, Moment, SystemId, TenantId, Tolerance, Verdict};
use crate::state::change::{Lease, UnitName, schema_name, sweep_name, walk_name};

use super::clocks::{Clocks, Heard};
use super::entry::Entry;
use super::journal::{Committed, Journal, JournalError};
use super::looks::Stamps;
use super::position::Position;
use super::queue::Queue;
use super::recent::Recent;
use super::redact;
use super::run::{Run, RunOf, Summary};
use super::sampling::{Sampling, every_key_since};
use super::schema::{Doubts, Reading, Schemas};
use super::timing::{Pace, next_tick};
use super::walk::Walk;

mod ask;
mod changes;
mod examine;
mod recheck;
mod sample;
mod schema;
mod settle;
mod sweep;
mod totals;

pub use schema::other_part;

use sample::Draw;

/// What all units of an auditor share.
pub struct Shared {
    /// Whose systems these are.
    pub tenant: TenantId,
    /// Name of this auditor process.
    pub auditor: String,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where runs are committed.
    pub journal: Arc<dyn Journal>,
    /// Counters and gauges.
    pub metrics: Arc<Metrics>,
    /// Hashes keys and values before they leave the process.
    pub secret: DigestKey,
    /// Keys in flight in all units.
    pub in_flight: AtomicU64,
    /// How many keys may be in flight before probes are slowed.
    pub max_in_flight: u64,
    /// Whether all that is wanted is what each key came to: nothing is kept, so no discrepancy opens and no event is told.
    pub only_reports: bool,
}

/// One side of a flow: how to read it.
pub struct SideParts {
    /// The system.
    pub system: SystemId,
    /// Reads it.
    pub reader: Arc<dyn Reader>,
    /// How it holds the entity.
    pub mapping: Arc<Mapping>,
    /// The longest time between a row's stamp and its commit.
    pub commit_delay: Duration,
}

/// A flow of the unit.
pub struct UnitFlow {
    /// The flow.
    pub flow: Arc<Flow>,
    /// Its name in state.
    pub name: String,
    /// For baselines: the entity and the two systems in name order.
    pub pair: String,
    /// The system that must follow.
    pub target: SideParts,
    /// How often unsettled keys are looked at.
    pub pace: Pace,
    /// The flow's tolerances, for judging.
    pub tolerances: Vec<Tolerance>,
}

/// The sample probe of a unit.
#[derive(Clone, Debug)]
pub struct SampleParts {
    /// When it runs.
    pub schedule: Schedule,
    /// The longest time between two runs.
    pub interval: Duration,
    /// How many keys a run looks at.
    pub size: SampleSize,
    /// Rows that a run may read of any system it reads.
    pub most: usize,
}

/// The schema probe of a unit.
#[derive(Clone)]
pub struct SchemaParts {
    /// When it runs.
    pub schedule: Schedule,
    /// What it looks at.
    pub looks: Vec<SchemaLook>,
    /// What is made of the columns.
    pub readings: Vec<Reading>,
    /// The systems whose changes this unit tells; of the others another unit of the entity does.
    pub tells: Vec<SystemId>,
}

/// The sweep of a unit.
#[derive(Clone, Debug)]
pub struct SweepParts {
    /// When one begins.
    pub schedule: Schedule,
    /// Hours in which it may go on; any when absent.
    pub hours: Option<Hours>,
    /// After so long a part of it is committed, and others get their turn.
    pub part: Duration,
}

/// The totals probe of a unit.
#[derive(Clone, Debug)]
pub struct TotalsParts {
    /// When it runs.
    pub schedule: Schedule,
    /// What it adds up.
    pub settings: TotalsSettings,
    /// The flows both of whose sides hold the fields, by their place in the unit.
    pub flows: Vec<usize>,
}

/// A mapping whose datasets are looked at.
#[derive(Clone)]
pub struct SchemaLook {
    /// Describes them.
    pub reader: Arc<dyn Reader>,
    /// Names them.
    pub mapping: Arc<Mapping>,
}

/// What a unit is made of; does not change while it runs.
pub struct UnitParts {
    /// `changes/stock/erp`.
    pub name: UnitName,
    /// The entity.
    pub entity: EntityId,
    /// The entity's fields; mappings and records refer to them by index.
    pub fields: Vec<Field>,
    /// Indices of the key fields.
    pub key: Vec<usize>,
    /// The owner.
    pub owner: SideParts,
    /// At least one.
    pub flows: Vec<UnitFlow>,
    /// When the changes probe runs, if there is one.
    pub changes: Option<Schedule>,
    /// The sample probe, if there is one.
    pub sample: Option<SampleParts>,
    /// The schema probe, if there is one.
    pub schema: Option<SchemaParts>,
    /// The sweep, if there is one.
    pub sweep: Option<SweepParts>,
    /// The totals probe, if there is one.
    pub totals: Option<TotalsParts>,
    /// Shifts the schedules' grids so that units spread out.
    pub jitter: Duration,
    /// Rows that one run may read.
    pub rows_per_run: usize,
}

/// A running unit.
pub struct Unit {
    parts: Arc<UnitParts>,
    shared: Arc<Shared>,
    lease: Lease,
    position: Position,
    queue: Queue,
    clocks: Clocks,
    /// What is read now may have been read before: the owner's clock was set back.
    reads_again: bool,
    committed_at: Moment,
    /// The end of the coverage that the ledger was told of; the position may be further.
    told_to: Moment,
    published_at: Moment,
    /// The failure that was last told, so that a system that stays away is told once.
    told: Option<String>,
    sampling: Sampling,
    schemas: Schemas,
    /// When each system's shapes were last looked at in this process.
    shapes_seen: HashMap<SystemId, Moment>,
    /// What open changes of shapes put in doubt.
    doubts: Doubts,
    /// The time in which a shape changed and nobody knew yet, the last time that this happened in this process.
    unproven: Option<Interval>,
    recent: Recent,
    sweep: sweep::UnderWay,
    drills: totals::Drills,
}

/// Why a unit ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// Another auditor holds the unit now.
    #[error("the lease of `{0}` was taken over")]
    LeaseLost(UnitName),
    /// One of our own stores failed.
    #[error("unit `{unit}` cannot go on")]
    Store {
        /// Which unit.
        unit: UnitName,
        /// Why.
        #[source]
        source: JournalError,
    },
    /// State holds something this version cannot read.
    #[error("the stored {what} of `{unit}` cannot be read: written by another version, or with another secret key")]
    Format {
        /// Which unit.
        unit: UnitName,
        /// What of it.
        what: &'static str,
    },
}

/// A target in trouble is waited for at least, and at most, so long.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// How often a unit with open changes of shapes asks whether somebody has accepted one.
const ACCEPTANCES: Duration = Duration::from_secs(5);
/// How many stored keys are loaded at once when a unit starts.
const LOAD_BATCH: usize = 10_000;

impl Unit {
    /// Takes up a unit where its last holder left it.
    ///
    /// # Errors
    /// When state cannot be read or holds another format.
    pub async fn resume(parts: Arc<UnitParts>, shared: Arc<Shared>, lease: Lease) -> Result<Self, UnitError> {
        let unit = || parts.name.clone();
        let store = |source| UnitError::Store { unit: unit(), source };
        let format = |what| UnitError::Format { unit: unit(), what };
        let position = match shared.journal.position(&parts.name).await.map_err(store)? {
            Some(bytes) => Position::from_bytes(&bytes).ok_or(format("position"))?,
            None => Position::default(),
        };
        let told_to = position.covered_to;
        let sampling = match &parts.sample {
            Some(_) => match shared.journal.position(&walk_name(&parts.name)).await.map_err(store)? {
                Some(bytes) => Sampling::from_bytes(&bytes).ok_or(format("walk"))?,
                None => Sampling::default(),
            },
            None => Sampling::default(),
        };
        let schemas = match &parts.schema {
            Some(_) => match shared.journal.position(&schema_name(&parts.name)).await.map_err(store)? {
                Some(bytes) => Schemas::from_bytes(&bytes).ok_or(format("shapes"))?,
                None => Schemas::default(),
            },
            None => Schemas::default(),
        };
        let sweep = match &parts.sweep {
            Some(_) => match shared.journal.position(&sweep_name(&parts.name)).await.map_err(store)? {
                Some(bytes) => sweep::UnderWay::from_bytes(&bytes).ok_or(format("sweep"))?,
                None => sweep::UnderWay::default(),
            },
            None => sweep::UnderWay::default(),
        };
        let mut queue = Queue::default();
        for (number, flow) in parts.flows.iter().enumerate() {
            let mut after = String::new();
            loop {
                let batch = shared.journal.in_flight_after(&flow.name, &after, LOAD_BATCH).await.map_err(store)?;
                let Some((last, _)) = batch.last() else { break };
                after.clone_from(last);
                for (_, stored) in batch {
                    let entry = Entry::from_stored(&stored).ok_or(format("in-flight key"))?;
                    queue.insert((number, examine::key_digest(&entry.key)), entry);
                }
            }
        }
        shared.in_flight.fetch_add(queue.len() as u64, Ordering::Relaxed);
        let mut unit = Self {
            parts,
            shared,
            lease,
            position,
            queue,
            clocks: Clocks::default(),
            reads_again: false,
            committed_at: Moment::MIN,
            told_to,
            published_at: Moment::MIN,
            told: None,
            sampling,
            schemas,
            shapes_seen: HashMap::new(),
            doubts: Doubts::default(),
            unproven: None,
            recent: Recent::default(),
            sweep,
            drills: totals::Drills::default(),
        };
        if let Some(schema) = unit.parts.schema.clone() {
            unit.doubt(&schema);
            unit.show_open(&schema);
        }
        Ok(unit)
    }

    /// Whether the unit has a changes probe.
    pub fn reads_changes(&self) -> bool {
        self.parts.changes.is_some()
    }

    /// Unsettled keys.
    pub fn in_flight(&self) -> usize {
        self.queue.len()
    }

    /// When the next key that has no bad verdict yet is due.
    pub fn next_undecided(&self) -> Option<Moment> {
        self.queue.next_undecided()
    }

    /// Runs until `stop`: changes and samples on schedule, unsettled keys when they are due. A run that began is
    /// finished.
    ///
    /// # Errors
    /// When the lease is lost, or state or spool fail.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), UnitError> {
        let mut changes = self.first_tick(self.parts.changes.as_ref(), self.position.last_complete == Moment::MIN);
        let sample = self.parts.sample.clone().map(|sample| sample.schedule);
        let mut samples = self.first_tick(sample.as_ref(), self.sampling.walks.is_empty());
        if self.sampling.walks.is_empty() {
            // A thousand new walks do not begin in one moment.
            samples = samples.map(|tick| tick + remainder(self.parts.jitter, FIRST_SAMPLES));
        }
        let schema = self.parts.schema.as_ref().map(|schema| schema.schedule.clone());
        let mut shapes = self.first_tick(schema.as_ref(), self.schemas.is_empty());
        let mut acceptances = self.shared.clock.now();
        let sweep = self.parts.sweep.as_ref().map(|sweep| sweep.schedule.clone());
        let mut sweeps = self.first_tick(sweep.as_ref(), self.sweep.is_new());
        let totals = self.parts.totals.as_ref().map(|totals| totals.schedule.clone());
        let mut sums = self.first_tick(totals.as_ref(), false);
        self.publish();
        loop {
            let due = self.queue.next_due();
            let waits = self.schemas.open().next().is_some().then_some(acceptances);
            let (goes_on, drills) = (self.sweep_goes_on(), self.drill_goes_on());
            let wake = [changes, samples, shapes, waits, due, sweeps, goes_on, sums, drills]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(Moment::MAX);
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(wake.since(self.shared.clock.now()).min(LONGEST_SLEEP)) => {}
            }
            let now = self.shared.clock.now();
            // Before anything is judged: what a change of shape puts in doubt must be known then.
            if shapes.is_some_and(|tick| tick <= now) {
                self.begins(RunKind::Schema, shapes);
                self.schema().await?;
                shapes = self.following_tick(RunKind::Schema, schema.as_ref(), shapes);
            } else if waits.is_some_and(|tick| tick <= now) {
                acceptances = now + ACCEPTANCES;
                if self.something_was_accepted().await? {
                    self.schema().await?;
                }
            }
            if self.queue.next_due().is_some_and(|due| due <= now) {
                self.begins(RunKind::Recheck, self.queue.next_due());
                self.recheck_due().await?;
            }
            let is_due = |tick: Option<Moment>| tick.is_some_and(|tick| tick <= now);
            if is_due(changes) || is_due(samples) {
                self.keep_up().await;
            }
            if changes.is_some_and(|tick| tick <= now) {
                self.begins(RunKind::Changes, changes);
                self.catch_up(&stop).await?;
                changes = self.following_tick(RunKind::Changes, self.parts.changes.as_ref(), changes);
            }
            if samples.is_some_and(|tick| tick <= now) && !stop.is_cancelled() {
                self.begins(RunKind::Sample, samples);
                self.draw(&stop, &mut changes).await?;
                samples = self.following_tick(RunKind::Sample, sample.as_ref(), samples);
            }
            if is_due(sums) && !stop.is_cancelled() {
                self.begins(RunKind::Totals, sums);
                self.totals().await?;
                sums = self.following_tick(RunKind::Totals, totals.as_ref(), sums);
            }
            if is_due(self.drill_goes_on()) && !stop.is_cancelled() {
                self.drill_part().await?;
            }
            if sweeps.is_some_and(|tick| tick <= now) {
                self.begin_sweep();
                sweeps = self.following_tick(RunKind::Sweep, sweep.as_ref(), sweeps);
            }
            if self.sweep_goes_on().is_some_and(|moment| moment <= now) && !stop.is_cancelled() {
                self.sweep_part().await?;
            }
            self.publish();
        }
    }

    fn begins(&self, kind: RunKind, due: Option<Moment>) {
        let now = self.shared.clock.now();
        self.shared.metrics.began(kind, now.since(due.unwrap_or(now)));
    }

    /// Time for indexes of keys. What cannot be read fails again, and is told, when keys are asked for.
    async fn keep_up(&self) {
        let sides = self.parts.flows.iter().map(|flow| &flow.target).chain([&self.parts.owner]);
        for side in sides {
            let kept_up = ask::patiently(&*side.reader, PATIENCE.0, side.reader.keep_up(&side.mapping));
            if let Err(error) = kept_up.await {
                tracing::debug!(unit = %self.parts.name, "{error}");
            }
        }
    }

    /// Changes reads until everything visible has been read, looking at due keys in between.
    async fn catch_up(&mut self, stop: &CancellationToken) -> Result<(), UnitError> {
        loop {
            let summary = self.changes().await?;
            if summary.complete || summary.failure.is_some() || stop.is_cancelled() {
                return Ok(());
            }
            let now = self.shared.clock.now();
            if self.queue.next_due().is_some_and(|due| due <= now) {
                self.recheck_due().await?;
            }
        }
    }

    /// The keys of one tick of the sample probe. Against a slow budget that takes long: due keys and due changes get their
    /// turn in between.
    async fn draw(&mut self, stop: &CancellationToken, changes: &mut Option<Moment>) -> Result<(), UnitError> {
        let mut draw = Draw::default();
        loop {
            let summary = self.sample_part(&mut draw).await?;
            if !draw.is_cut() || summary.failure.is_some() || stop.is_cancelled() {
                return Ok(());
            }
            let now = self.shared.clock.now();
            if self.queue.next_due().is_some_and(|due| due <= now) {
                self.recheck_due().await?;
            }
            if changes.is_some_and(|tick| tick <= now) {
                self.begins(RunKind::Changes, *changes);
                self.catch_up(stop).await?;
                *changes = self.following_tick(RunKind::Changes, self.parts.changes.as_ref(), *changes);
            }
        }
    }

    /// A probe that has never run begins at once, so that its cursor or walk stands; others keep to the schedule.
    fn first_tick(&self, schedule: Option<&Schedule>, is_new: bool) -> Option<Moment> {
        let now = self.shared.clock.now();
        if is_new { schedule.map(|_| now) } else { self.tick_after(schedule, now) }
    }

    fn tick_after(&self, schedule: Option<&Schedule>, now: Moment) -> Option<Moment> {
        next_tick(schedule?, now, self.parts.jitter)
    }

    /// The next tick after now; ticks that passed meanwhile are skipped and counted.
    fn following_tick(&self, kind: RunKind, schedule: Option<&Schedule>, last: Option<Moment>) -> Option<Moment> {
        let now = self.shared.clock.now();
        let next = self.tick_after(schedule, now);
        if let Some(missed) = last.and_then(|last| self.tick_after(schedule, last)).filter(|missed| *missed <= now) {
            let (entity, owner) = (&self.parts.entity, &self.parts.owner.system);
            self.shared.metrics.skipped(kind, entity, owner, Skip::Overlap);
            tracing::debug!(unit = %self.parts.name, ?missed, "a run took longer than its interval");
        }
        next
    }

    /// Commits a run: spool, state, then (later) ledger.
    async fn commit(&mut self, mut run: Run, position: Option<Vec<u8>>) -> Result<Summary, UnitError> {
        self.settle_samples(&mut run);
        let ended = self.shared.clock.now();
        let who = RunOf {
            tenant: &self.shared.tenant,
            entity: self.parts.entity.as_str(),
            owner: self.parts.owner.system.as_str(),
            auditor: &self.shared.auditor,
            in_flight: self.queue.len() as u64,
        };
        let (started, kind) = (run.started, run.kind);
        let (change, rows, summary) = run.finish(&who, ended, position);
        let store = |source| UnitError::Store { unit: self.parts.name.clone(), source };
        match self.shared.journal.commit(change, rows).await.map_err(store)? {
            Committed::Yes => {
                if summary.failure.is_none() && summary.total() > 0 {
                    self.tell_recovery();
                }
                self.count_run(kind, ended.since(started), &summary);
                Ok(summary)
            }
            Committed::Fenced => Err(UnitError::LeaseLost(self.parts.name.clone())),
        }
    }

    fn count_run(&self, kind: RunKind, took: Duration, summary: &Summary) {
        let outcome = match (summary.failure, summary.total()) {
            (None, _) => Outcome::Ok,
            (Some(_), 0) => Outcome::Failed,
            (Some(_), _) => Outcome::Partial,
        };
        let reason = summary.failure.map_or(Reason::None, Reason::from_code);
        self.shared.metrics.run(kind, &self.parts.entity, &self.parts.owner.system, took, outcome, reason);
    }

    /// Asks a system's clock as far as it wants to be asked.
    async fn measure_clock(&mut self, side: &SideParts) {
        let wants = self.clocks.wants(&side.system, self.shared.clock.now());
        for heard in ask::clock(&*side.reader, wants).await {
            self.take_clock(&side.system, heard);
        }
    }

    /// A clock that cannot be asked is given up: stamps then say nothing, and intervals rest on observation alone.
    fn take_clock(&mut self, system: &SystemId, heard: Result<ClockReading, ReadError>) {
        match heard {
            Ok(reading) => self.hear_clock(system, reading),
            Err(error) => {
                tracing::debug!("clock not measured: {error}");
                self.clocks.forget(system);
            }
        }
    }

    /// How long a target in trouble is waited for: where there are others, not so long that looks at them come late.
    fn patience(&self, now: Moment) -> Duration {
        let is_alone = self.parts.flows.len() == 1;
        if is_alone { PATIENCE.1 } else { self.changes_interval(now).clamp(PATIENCE.0, PATIENCE.1) }
    }

    fn hear_clock(&mut self, system: &SystemId, reading: ClockReading) {
        let heard = self.clocks.hear(system, reading);
        if heard != Heard::Agrees {
            let seconds = reading.offset_micros as f64 / 1e6;
            tracing::warn!(%system, "its clock was set: it now differs from ours by {seconds:.3} s");
        }
        self.reads_again |= heard == Heard::SetBack && *system == self.parts.owner.system;
        if let Some(known) = self.clocks.of(system) {
            self.shared.metrics.clock(system, known.offset_micros, known.uncertainty);
        }
    }

    /// Logs a failed read once for as long as it stays the same.
    fn tell(&mut self, error: &ReadError) {
        let text = error.to_string();
        if self.told.as_ref() == Some(&text) {
            tracing::debug!(unit = %self.parts.name, "still: {text}");
        } else {
            tracing::warn!(unit = %self.parts.name, "{text}");
            self.told = Some(text);
        }
    }

    /// Says that a system is back after a failure that was told.
    fn tell_recovery(&mut self) {
        if let Some(text) = self.told.take() {
            tracing::info!(unit = %self.parts.name, "reads work again after: {text}");
        }
    }

    fn stamps(&self, side: &SideParts) -> Stamps {
        let commit_delay = side.mapping.stamp_bounds_birth().then_some(side.commit_delay);
        Stamps { clock: self.clocks.of(&side.system), commit_delay }
    }

    fn key_hash(&self, key: &Key) -> String {
        format!("{:032x}", self.shared.secret.keyed(key.parts()).0)
    }

    fn key_text(&self, key: &Key) -> String {
        let fields: Vec<&Field> = self.parts.key.iter().map(|&index| &self.parts.fields[index]).collect();
        redact::key(key, &fields, &self.shared.secret)
    }

    /// How many more keys may enter the queue.
    fn room(&self) -> u64 {
        self.shared.max_in_flight.saturating_sub(self.shared.in_flight.load(Ordering::Relaxed))
    }

    /// Shows the queue in the metrics.
    ///
    /// Looks at every key in flight: with very many of them at most once a second.
    fn publish(&mut self) {
        let now = self.shared.clock.now();
        if self.queue.len() > MANY_KEYS && now.since(self.published_at) < Duration::from_secs(1) {
            return;
        }
        self.published_at = now;
        if self.parts.sample.is_some() {
            let walks = || self.sampling.walks.values();
            let every_key = every_key_since(walks()).map(|since| now.since(since));
            let done = walks().map(Walk::done).fold(1.0, f64::min);
            let done = if self.sampling.walks.is_empty() { 0.0 } else { done };
            self.shared.metrics.walked(&self.parts.entity, &self.parts.owner.system, every_key, done);
        }
        for (number, flow) in self.parts.flows.iter().enumerate() {
            let overdue = self.queue.overdue(number, flow.flow.deadline, now);
            let past = |oldest| now.since(oldest + flow.flow.deadline);
            let oldest = overdue.oldest.map_or(Duration::ZERO, past);
            self.shared.metrics.in_flight(&flow.flow.id, overdue.in_flight);
            self.shared.metrics.overdue(&flow.flow.id, overdue.keys, oldest);
            for (verdict, count) in self.queue.open_discrepancies(number) {
                self.shared.metrics.discrepancies_open(&flow.flow.id, verdict, count);
            }
        }
    }
}

/// First samples of a new auditor begin within so long.
const FIRST_SAMPLES: Duration = Duration::from_secs(10);

fn remainder(time: Duration, of: Duration) -> Duration {
    Duration::from_nanos((time.as_nanos() % of.as_nanos()) as u64)
}

/// The loop wakes at least this often, so that a change of the schedule's clock cannot hold it for long.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// So many keys are counted in well under a millisecond.
const MANY_KEYS: usize = 10_000;

impl Drop for Unit {
    /// What another auditor holds from now on is no longer ours to show.
    fn drop(&mut self) {
        for flow in &self.parts.flows {
            self.shared.metrics.in_flight(&flow.flow.id, 0);
            self.shared.metrics.overdue(&flow.flow.id, 0, Duration::ZERO);
            for verdict in Verdict::ALL {
                self.shared.metrics.discrepancies_open(&flow.flow.id, verdict, 0);
            }
        }
        for system in self.parts.schema.iter().flat_map(|schema| &schema.tells) {
            self.shared.metrics.schema_open(&self.parts.entity, system, 0);
        }
        self.shared.in_flight.fetch_sub(self.queue.len() as u64, Ordering::Relaxed);
    }
}
