//! A unit of work: one entity as one owner holds it, with all flows that start there. Leased as a whole, run by one
//! task, so that its position and queue need no locks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::compare::Agreed;
use crate::config::{Hours, SampleSize, Schedule, TotalsSettings};
use crate::connect::{ClockReading, ReadError, Reader};
use crate::metrics::Metrics;
use crate::model::digest::DigestKey;
use crate::model::{EntityId, Field, Flow, Interval, Key, Mapping, Moment, SystemId, TenantId, Tolerance};
use crate::state::change::{Lease, UnitName, schema_name, sweep_name, walk_name};

use super::clocks::{Clocks, Heard};
use super::entry::Entry;
use super::journal::{Committed, Journal, JournalError};
use super::looks::Stamps;
use super::position::Position;
use super::queue::{Queue, Slot};
use super::recent::{Lately, Recent};
use super::redact;
use super::run::{Run, RunOf, Summary};
use super::sampling::Sampling;
use super::schema::{Doubts, Reading, Schemas};
use super::timing::Pace;

mod ask;
mod changes;
mod examine;
mod recheck;
mod sample;
mod schedule;
mod schema;
mod settle;
mod shown;
mod sweep;
mod totals;

pub use schema::other_part;
pub use sweep::{Listed, MEMORY as MEMORY_OF_SWEEP, Spanned};

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
    /// About how many rows make a piece that one auditor takes.
    pub chunk_rows: u64,
    /// How long a piece stays with an auditor that says nothing.
    pub lease: Duration,
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
    /// When the sides of keys that were followed, or changed lately, were found to agree.
    met: Lately<Slot, Agreed>,
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
/// How many stored keys are loaded at once when a unit starts.
const LOAD_BATCH: usize = 10_000;

impl Shared {
    /// What state keeps of a unit under a name, or the beginning if it keeps nothing; `what` it is, for people.
    async fn stored<T: Default>(
        &self,
        unit: &UnitName,
        name: &str,
        what: &'static str,
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, UnitError> {
        let kept = self.journal.position(name).await;
        match kept.map_err(|source| UnitError::Store { unit: unit.clone(), source })? {
            Some(bytes) => read(&bytes).ok_or_else(|| UnitError::Format { unit: unit.clone(), what }),
            None => Ok(T::default()),
        }
    }

    /// The unit's keys in flight.
    async fn queue_of(&self, parts: &UnitParts) -> Result<Queue, UnitError> {
        let unit = || parts.name.clone();
        let mut queue = Queue::default();
        for (number, flow) in parts.flows.iter().enumerate() {
            let mut after = String::new();
            loop {
                let batch = self.journal.in_flight_after(&flow.name, &after, LOAD_BATCH).await;
                let batch = batch.map_err(|source| UnitError::Store { unit: unit(), source })?;
                let Some((last, _)) = batch.last() else { break };
                after.clone_from(last);
                for (_, stored) in batch {
                    let format = || UnitError::Format { unit: unit(), what: "in-flight key" };
                    let entry = Entry::from_stored(&stored).ok_or_else(format)?;
                    queue.insert((number, examine::key_digest(&entry.key)), entry);
                }
            }
        }
        Ok(queue)
    }
}

impl Unit {
    /// Takes up a unit where its last holder left it.
    ///
    /// # Errors
    /// When state cannot be read or holds another format.
    pub async fn resume(parts: Arc<UnitParts>, shared: Arc<Shared>, lease: Lease) -> Result<Self, UnitError> {
        let position = shared.stored(&parts.name, &parts.name, "position", Position::from_bytes).await?;
        let told_to = position.covered_to;
        let sampling = match &parts.sample {
            Some(_) => shared.stored(&parts.name, &walk_name(&parts.name), "walk", Sampling::from_bytes).await?,
            None => Sampling::default(),
        };
        let schemas = match &parts.schema {
            Some(_) => shared.stored(&parts.name, &schema_name(&parts.name), "shapes", Schemas::from_bytes).await?,
            None => Schemas::default(),
        };
        let sweep = match &parts.sweep {
            Some(_) => {
                shared.stored(&parts.name, &sweep_name(&parts.name), "sweep", sweep::UnderWay::from_bytes).await?
            }
            None => sweep::UnderWay::default(),
        };
        let queue = shared.queue_of(&parts).await?;
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
            met: Lately::default(),
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
        redact::key_hash(key, &self.shared.secret)
    }

    fn key_text(&self, key: &Key) -> String {
        let fields: Vec<&Field> = self.parts.key.iter().map(|&index| &self.parts.fields[index]).collect();
        redact::key(key, &fields, &self.shared.secret)
    }

    /// How many more keys may enter the queue.
    fn room(&self) -> u64 {
        self.shared.max_in_flight.saturating_sub(self.shared.in_flight.load(Ordering::Relaxed))
    }
}
