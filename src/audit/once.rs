//! One look at everything an owner holds, outside the schedule: nothing is kept but the report.
//!
//! Reads the owner's records from the beginning, looks each up in the targets, and waits (as long as allowed, and while
//! both sides can be read) for what is in flight to arrive or to miss its deadline. Cannot see records that only a
//! target holds.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::connect::{Cursor, ReadError};
use crate::ledger::rows::{CheckRow, RunRows};
use crate::metrics::Metrics;
use crate::model::digest::DigestKey;
use crate::model::{FlowId, SystemId, TenantId, Verdict};
use crate::state::change::{InFlightEntry, Lease, StateChange};

use super::journal::{Committed, Journal, JournalError};
use super::position::Position;
use super::run::Summary;
use super::unit::{Shared, SideParts, Unit, UnitError, UnitParts};

/// What a single look found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By flow, in name order.
    pub flows: BTreeMap<FlowId, FlowReport>,
    /// Why something could not be read: a word from a closed list.
    pub failure: Option<&'static str>,
}

/// What a single look found in one flow.
#[derive(Clone, Debug, Default)]
pub struct FlowReport {
    /// Keys by verdict, in [`Verdict::ALL`]'s order.
    pub keys: [u64; Verdict::ALL.len()],
    /// The last check of every key that does not agree, by key.
    pub differing: Vec<CheckRow>,
}

impl FlowReport {
    /// Keys with this verdict.
    pub fn of(&self, verdict: Verdict) -> u64 {
        self.keys[verdict as usize - 1]
    }
}

impl Report {
    /// Whether any flow holds a bad verdict.
    pub fn differs(&self) -> bool {
        self.flows.values().any(|flow| Verdict::ALL.iter().any(|verdict| verdict.is_bad() && flow.of(*verdict) > 0))
    }

    /// Whether any key could not be decided for want of a read.
    pub fn is_blind(&self) -> bool {
        self.failure.is_some() || self.flows.values().any(|flow| flow.of(Verdict::Unknown) > 0)
    }
}

/// How far a look has come.
#[derive(Clone, Debug)]
pub enum Progress {
    /// Reading what the owner holds.
    Reading {
        /// The unit.
        unit: String,
        /// Records read from the owner so far.
        records: u64,
        /// Keys that differ so far.
        in_flight: usize,
    },
    /// Filling the index of a system's keys.
    Indexing {
        /// The unit.
        unit: String,
        /// The system.
        system: SystemId,
        /// Records read from it so far.
        records: u64,
    },
    /// Waiting for keys in flight.
    Waiting {
        /// The unit.
        unit: String,
        /// Keys still in flight.
        in_flight: usize,
        /// At most this much longer.
        left: Duration,
    },
}

/// What a look needs.
pub struct Looker {
    /// Whose systems these are.
    pub tenant: TenantId,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Hashes keys and values for the report.
    pub secret: DigestKey,
    /// How many keys may differ before the look gives up.
    pub max_in_flight: u64,
    /// How long to wait for keys in flight.
    pub wait: Duration,
}

impl Looker {
    /// Looks at every unit, one after the other.
    ///
    /// # Errors
    /// Only for bugs: what cannot be read is in the report.
    pub async fn look(
        &self,
        units: Vec<Arc<UnitParts>>,
        mut progress: impl FnMut(Progress),
    ) -> Result<Report, UnitError> {
        let mut report = Report::default();
        for parts in units {
            for flow in &parts.flows {
                report.flows.entry(flow.flow.id.clone()).or_default();
            }
            let memory = Arc::new(Memory::default());
            let failure = self.look_at(parts.clone(), Arc::clone(&memory), &mut progress).await?;
            report.failure = report.failure.or(failure);
            memory.fill(&parts, &mut report);
        }
        Ok(report)
    }

    async fn look_at(
        &self,
        parts: Arc<UnitParts>,
        memory: Arc<Memory>,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Option<&'static str>, UnitError> {
        let shared = Arc::new(Shared {
            tenant: self.tenant.clone(),
            auditor: "once".to_owned(),
            clock: Arc::clone(&self.clock),
            journal: memory,
            metrics: Arc::new(Metrics::new()),
            secret: self.secret.clone(),
            in_flight: AtomicU64::new(0),
            max_in_flight: self.max_in_flight,
            only_reports: false,
        });
        for side in parts.flows.iter().map(|flow| &flow.target).chain([&parts.owner]) {
            fill(side, &parts.name, progress).await;
        }
        let lease = Lease { unit: parts.name.clone(), token: 1 };
        let unit_name = parts.name.clone();
        let mut unit = Unit::resume(parts, shared, lease).await?;
        let mut total = Summary::default();
        while !total.complete && total.failure.is_none() {
            total.add(&unit.changes().await?);
            let (records, in_flight) = (total.owner_records, unit.in_flight());
            progress(Progress::Reading { unit: unit_name.clone(), records, in_flight });
        }
        let until = self.clock.now() + self.wait;
        while let Some(due) = unit.next_undecided().filter(|due| *due <= until) {
            let left = until.since(self.clock.now());
            progress(Progress::Waiting { unit: unit_name.clone(), in_flight: unit.in_flight(), left });
            tokio::time::sleep(due.since(self.clock.now())).await;
            let summary = unit.recheck_due().await?;
            total.failure = summary.failure;
            if total.failure.is_some() {
                // Waiting longer would not decide what cannot be read; whoever asked can ask again.
                break;
            }
        }
        Ok(total.failure)
    }
}

/// Fills the side's index of keys, if it has one. What cannot be read fails again, and is told, when keys are asked for.
async fn fill(side: &SideParts, unit: &str, progress: &mut impl FnMut(Progress)) {
    let mut before = None;
    while let Err(ReadError::Index { .. }) = side.reader.keep_up(&side.mapping).await {
        let usage = side.reader.usage();
        // Without a single read more, there is nothing to wait for.
        if before.replace(usage.rows) == Some(usage.rows) {
            return;
        }
        progress(Progress::Indexing { unit: unit.to_owned(), system: side.system.clone(), records: usage.rows });
    }
}

/// Keeps the last check of every key that does not agree, and nothing else.
#[derive(Default)]
struct Memory {
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    matches: HashMap<String, u64>,
    differing: BTreeMap<(String, String), CheckRow>,
}

fn flow_name(row: &CheckRow) -> String {
    format!("{}: {} -> {}", row.entity, row.owner, row.target)
}

impl Memory {
    fn fill(&self, parts: &UnitParts, report: &mut Report) {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for flow in &parts.flows {
            let into = report.flows.entry(flow.flow.id.clone()).or_default();
            into.keys[Verdict::Match as usize - 1] += found.matches.get(&flow.name).copied().unwrap_or_default();
            for row in found.differing.iter().filter(|((name, _), _)| *name == flow.name).map(|(_, row)| row) {
                let verdict = Verdict::ALL.into_iter().find(|verdict| row.is(*verdict));
                into.keys[verdict.unwrap_or(Verdict::Unknown) as usize - 1] += 1;
                into.differing.push(row.clone());
            }
        }
    }
}

#[async_trait]
impl Journal for Memory {
    async fn position(&self, _unit: &str) -> Result<Option<Vec<u8>>, JournalError> {
        Ok(Some(Position { cursor: Cursor::from_beginning(), ..Position::default() }.to_bytes()))
    }

    async fn in_flight_after(&self, _: &str, _: &str, _: usize) -> Result<Vec<(String, InFlightEntry)>, JournalError> {
        Ok(Vec::new())
    }

    async fn baselines(&self, _: &str, _: &[String]) -> Result<HashMap<String, u128>, JournalError> {
        Ok(HashMap::new())
    }

    async fn commit(&self, _change: StateChange, rows: RunRows) -> Result<Committed, JournalError> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows.checks {
            let name = flow_name(&row);
            if row.is(Verdict::Match) {
                found.differing.remove(&(name.clone(), row.key_hash));
                *found.matches.entry(name).or_default() += 1;
            } else {
                found.differing.insert((name, row.key_hash.clone()), row);
            }
        }
        Ok(Committed::Yes)
    }
}
