//! Rows of the ledger's tables. Field order and types are those of migrations/clickhouse.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::Verdict;

/// One comparison of one key in one flow at one time.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct CheckRow {
    /// Tenant name.
    pub tenant: String,
    /// Entity name.
    pub entity: String,
    /// Owner system.
    pub owner: String,
    /// Target system.
    pub target: String,
    /// When it was judged, microseconds UTC.
    pub at: i64,
    /// The probe run that made it.
    #[serde(with = "clickhouse::serde::uuid")]
    pub run_id: Uuid,
    /// Fencing token of the run's lease.
    pub token: u64,
    /// `changes`, `recheck`, `sample`, `sweep`.
    pub probe: String,
    /// Keyed BLAKE3 of the key, 32 hex digits.
    pub key_hash: String,
    /// The key as its fields' store rules allow.
    pub key: String,
    /// The verdict's word.
    pub verdict: String,
    /// Stale against mismatch is likely, not certain.
    pub likely: bool,
    /// Lag, lower bound, microseconds.
    pub lag_low_us: u64,
    /// Lag, upper bound, microseconds.
    pub lag_high_us: u64,
    /// The flow's deadline, microseconds.
    pub deadline_us: u64,
    /// Why, for `unknown` and `invalid`; a word from a closed list or empty.
    pub reason: String,
    /// Differing fields.
    pub fields: Vec<String>,
    /// The owner's values of `fields`, as their store rules allow.
    pub owner_values: Vec<String>,
    /// The target's values of `fields`, as their store rules allow.
    pub target_values: Vec<String>,
}

/// One freshness event: one per key, flow and divergence, when its outcome is decided.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct FreshnessRow {
    /// Tenant name.
    pub tenant: String,
    /// Entity name.
    pub entity: String,
    /// Owner system.
    pub owner: String,
    /// Target system.
    pub target: String,
    /// When it was decided, microseconds UTC.
    pub decided_at: i64,
    /// When the owner changed, lower bound, microseconds UTC.
    pub changed_low: i64,
    /// When the owner changed, upper bound, microseconds UTC.
    pub changed_high: i64,
    /// The run that decided it.
    #[serde(with = "clickhouse::serde::uuid")]
    pub run_id: Uuid,
    /// Keyed BLAKE3 of the key, 32 hex digits.
    pub key_hash: String,
    /// `good`, `bad` or `undecided`.
    pub outcome: String,
    /// Lag, lower bound, microseconds.
    pub lag_low_us: u64,
    /// Lag, upper bound, microseconds.
    pub lag_high_us: u64,
    /// The deadline it was held against, microseconds.
    pub deadline_us: u64,
}

/// One run of one probe.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct RunRow {
    /// Tenant name.
    pub tenant: String,
    /// Entity name.
    pub entity: String,
    /// Owner system.
    pub owner: String,
    /// `changes`, `recheck`, `sample`, `sweep`, `totals`, `queue`, `schema`.
    pub probe: String,
    /// The run.
    #[serde(with = "clickhouse::serde::uuid")]
    pub run_id: Uuid,
    /// Fencing token of its lease.
    pub token: u64,
    /// The auditor process that ran it.
    pub auditor: String,
    /// Began, microseconds UTC.
    pub started_at: i64,
    /// Ended, microseconds UTC.
    pub ended_at: i64,
    /// `ok`, `partial` or `failed`.
    pub outcome: String,
    /// Why not `ok`: a word from a closed list, or empty.
    pub reason: String,
    /// Records read from the owner.
    pub owner_records: u64,
    /// Records read from targets.
    pub target_records: u64,
    /// Checks made.
    pub checks: u64,
    /// Keys in flight afterwards.
    pub in_flight: u64,
}

/// What a run covered of one flow: time under the watermark for changes, planned keys for samples.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct CoverageRow {
    /// Tenant name.
    pub tenant: String,
    /// Entity name.
    pub entity: String,
    /// Owner system.
    pub owner: String,
    /// Target system.
    pub target: String,
    /// `changes`, `recheck`, `sample`, `sweep`; `sample_pass` for a whole walk around the keys.
    pub probe: String,
    /// The run.
    #[serde(with = "clickhouse::serde::uuid")]
    pub run_id: Uuid,
    /// Covered from, microseconds UTC; half-open.
    pub from: i64,
    /// Covered to, microseconds UTC.
    pub to: i64,
    /// Keys that should have been decided.
    pub expected: u64,
    /// Keys that were decided (not `unknown`).
    pub decided: u64,
    /// Who was blind: `owner`, `target`, `auditor` or empty.
    pub blind: String,
}

/// One step in the life of a discrepancy.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct DiscrepancyRow {
    /// Tenant name.
    pub tenant: String,
    /// Entity name.
    pub entity: String,
    /// Owner system.
    pub owner: String,
    /// Target system.
    pub target: String,
    /// When it happened, microseconds UTC.
    pub at: i64,
    /// The discrepancy.
    #[serde(with = "clickhouse::serde::uuid")]
    pub discrepancy_id: Uuid,
    /// The run that saw it.
    #[serde(with = "clickhouse::serde::uuid")]
    pub run_id: Uuid,
    /// `opened`, `changed`, `resolving`, `resolved`, `accepted`.
    pub event: String,
    /// Keyed BLAKE3 of the key, 32 hex digits.
    pub key_hash: String,
    /// The key as its fields' store rules allow.
    pub key: String,
    /// The verdict at that time.
    pub verdict: String,
    /// Whether stale against mismatch is only likely.
    pub likely: bool,
    /// Since when the sides differ, lower bound, microseconds UTC.
    pub since_low: i64,
    /// Since when the sides differ, upper bound, microseconds UTC.
    pub since_high: i64,
    /// Differing fields.
    pub fields: Vec<String>,
}

/// What the samples drawn so far say of a flow: a share with its 95 % interval.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct EstimateRow {
    /// Tenant name.
    pub tenant: String,
    /// Entity name.
    pub entity: String,
    /// Owner system.
    pub owner: String,
    /// Target system.
    pub target: String,
    /// When it was computed, microseconds UTC.
    pub at: i64,
    /// The run after which it was computed.
    #[serde(with = "clickhouse::serde::uuid")]
    pub run_id: Uuid,
    /// `agreement`, `completeness` or `extra`.
    pub measure: String,
    /// Whose keys it is a share of: `owner` or `target`.
    pub frame: String,
    /// Keys that were decided.
    pub sampled: u64,
    /// Those of them that disagree, are missing, or are extra.
    pub bad: u64,
    /// Keys in the frame.
    pub population: u64,
    /// By how much the sample says less than as many keys drawn one by one.
    pub design_effect: f64,
    /// Lower end of the interval, a share of the frame.
    pub low: f64,
    /// The share: of keys that agree, that are present, that are extra.
    pub estimate: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// One step of a sweep of one flow.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct SweepRow {
    /// Tenant name.
    pub tenant: String,
    /// Entity name.
    pub entity: String,
    /// Owner system.
    pub owner: String,
    /// Target system.
    pub target: String,
    /// When it was written, microseconds UTC.
    pub at: i64,
    /// The run that made the step.
    #[serde(with = "clickhouse::serde::uuid")]
    pub run_id: Uuid,
    /// The sweep that the step belongs to.
    #[serde(with = "clickhouse::serde::uuid")]
    pub sweep_id: Uuid,
    /// `checkpoint` or `completed`.
    pub event: String,
    /// When the sweep began, microseconds UTC: once it is completed, everything committed by then has been compared.
    pub verified_through: i64,
    /// Records of the owner that it has gone through.
    pub owner_records: u64,
    /// Records of the target.
    pub target_records: u64,
    /// Bad verdicts that it led to at once; keys in flight may add to them.
    pub differences: u64,
    /// `digest` or `stream`.
    pub strategy: String,
    /// Why that.
    pub strategy_reason: String,
    /// Rows that it looked at before it chose; 0 when it looked at none.
    pub first_looked_at: u64,
    /// How many of those differed.
    pub first_differing: u64,
}

/// What one run found in one line of a flow's totals: a business day, a currency and a status, on both sides.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct TotalsRow {
    /// Tenant name.
    pub tenant: String,
    /// Entity name.
    pub entity: String,
    /// Owner system.
    pub owner: String,
    /// Target system.
    pub target: String,
    /// When it was found, microseconds UTC; the same for all lines of a run and flow.
    pub at: i64,
    /// The run.
    #[serde(with = "clickhouse::serde::uuid")]
    pub run_id: Uuid,
    /// The field that was added up; empty where records are only counted.
    pub amount: String,
    /// The business day, `2026-03-01`; empty for records without one.
    pub day: String,
    /// The currency's code; empty for numbers without one.
    pub currency: String,
    /// The status; empty without one.
    pub status: String,
    /// The owner's records.
    pub owner_records: u64,
    /// The target's.
    pub target_records: u64,
    /// Sum of the owner's positive amounts. This and the sums below are exact decimals, as text on their way.
    pub owner_debit: String,
    /// Sum of the owner's negative amounts, without their sign.
    pub owner_credit: String,
    /// The owner's debit less its credit.
    pub owner_net: String,
    /// As `owner_debit`.
    pub target_debit: String,
    /// As `owner_credit`.
    pub target_credit: String,
    /// As `owner_net`.
    pub target_net: String,
    /// The owner's net less the target's.
    pub variance: String,
    /// How much of a variance the flow's tolerance allows these records all together.
    pub allowed: String,
    /// Whether the sides differ by more than that.
    pub differs: bool,
    /// Whether every record could be read and the sums are exact.
    pub complete: bool,
    /// Why not: `unreadable` or `digits`; else empty.
    pub reason: String,
    /// Who added the owner's amounts up: `database` or `records`.
    pub owner_way: String,
    /// Who added the target's amounts up.
    pub target_way: String,
}

/// One step of one change of a column or JSON path.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct SchemaChangeRow {
    /// Tenant name.
    pub tenant: String,
    /// The system that changed.
    pub system: String,
    /// Its table or dataset.
    pub dataset: String,
    /// When it was seen, microseconds UTC.
    pub at: i64,
    /// The run that saw it.
    #[serde(with = "clickhouse::serde::uuid")]
    pub run_id: Uuid,
    /// The column or path.
    pub path: String,
    /// What happened to it (`added`, `removed`, `renamed` …), or what became of the change: `restored`, `accepted`,
    /// `unmapped`.
    pub event: String,
    /// What it was.
    pub before: String,
    /// What it is.
    pub after: String,
    /// The entity whose probe looked.
    pub entity: String,
    /// The entity's fields that are made of it, and `scope`, `changed_at`, `version` or `native`.
    pub fields: Vec<String>,
}

/// Keys of samples whose outcome a run decided, or keys that a completed sweep has compared.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct SampleRow {
    /// Tenant name.
    pub tenant: String,
    /// Entity name.
    pub entity: String,
    /// Owner system.
    pub owner: String,
    /// Target system.
    pub target: String,
    /// When it was decided, microseconds UTC.
    pub at: i64,
    /// The run that decided it.
    #[serde(with = "clickhouse::serde::uuid")]
    pub run_id: Uuid,
    /// Whose keys they are: `owner` or `target`; `sweep` for all of both.
    pub frame: String,
    /// Keys that agree; of the target's keys those that the owner has.
    pub good: u64,
    /// Keys that do not.
    pub bad: u64,
    /// Of the bad ones, those that the target lacks.
    pub missing: u64,
    /// Keys that could not be decided.
    pub unknown: u64,
}

/// One promise about one flow or queue in one minute.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct SloMinuteRow {
    /// Tenant name.
    pub tenant: String,
    /// The SLO's name.
    pub slo: String,
    /// Entity name; empty for a queue.
    pub entity: String,
    /// Owner system; the system of a queue.
    pub owner: String,
    /// Target system; the name of a queue.
    pub target: String,
    /// When it was evaluated, microseconds UTC.
    pub at: i64,
    /// The evaluation.
    #[serde(with = "clickhouse::serde::uuid")]
    pub run_id: Uuid,
    /// The indicator's word.
    pub indicator: String,
    /// `kept`, `burning` (a tier fires), `no_data`, `holding` or `overdrawn`.
    pub state: String,
    /// Share of good over the window, everything unknown good. Without maintenance.
    pub sli_best: f64,
    /// Share of good over the window, everything unknown bad. Without maintenance.
    pub sli_worst: f64,
    /// As `sli_best`, with maintenance counted.
    pub raw_best: f64,
    /// As `sli_worst`, with maintenance counted.
    pub raw_worst: f64,
    /// Burn over the first tier's long window, everything unknown good.
    pub burn_best: f64,
    /// Burn over the first tier's long window, everything unknown bad.
    pub burn_worst: f64,
    /// What is left of the budget, as a share of it.
    pub budget_left: f64,
    /// The same if everything unknown was bad.
    pub budget_left_worst: f64,
    /// Covered share of the first tier's long window.
    pub coverage: f64,
    /// Good events of the window.
    pub good: u64,
    /// Bad events of the window.
    pub bad: u64,
    /// Undecided events of the window.
    pub unknown: u64,
    /// The most keys that were past their deadline in the minute.
    pub overdue: u64,
    /// How far the oldest of them was past it, microseconds.
    pub oldest_us: u64,
    /// Whether the minute lay in maintenance.
    pub in_maintenance: bool,
}

/// One step of an incident.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct IncidentRow {
    /// Tenant name.
    pub tenant: String,
    /// The broken SLO that burns fastest.
    pub slo: String,
    /// Entity name, where there is one.
    pub entity: String,
    /// Owner system, where it is about a flow.
    pub owner: String,
    /// Target system, where it is about a flow; else the system.
    pub target: String,
    /// When it happened, microseconds UTC.
    pub at: i64,
    /// The incident.
    #[serde(with = "clickhouse::serde::uuid")]
    pub incident_id: Uuid,
    /// `opened`, `worsened`, `reopened`, `acknowledged`, `assigned`, `note`, `snoozed`, `reminder`, `escalated`,
    /// `notified`, `resolved`.
    pub event: String,
    /// `page` or `ticket`.
    pub severity: String,
    /// The cause, as state keeps it.
    pub cause: String,
    /// Who did it, if a person did.
    pub actor: String,
    /// Burn of the fastest burning SLO.
    pub burn_rate: f64,
    /// Wrong records.
    pub records: u64,
    /// The note's text, the assignee, the channel.
    pub detail: String,
    /// The evaluation that brought it to the ledger.
    #[serde(with = "clickhouse::serde::uuid")]
    pub run_id: Uuid,
}

/// Everything one run leaves in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunRows {
    /// Rows of `checks`.
    pub checks: Vec<CheckRow>,
    /// Rows of `freshness`.
    pub freshness: Vec<FreshnessRow>,
    /// Rows of `runs`.
    pub runs: Vec<RunRow>,
    /// Rows of `coverage`.
    pub coverage: Vec<CoverageRow>,
    /// Rows of `discrepancy_events`.
    pub discrepancies: Vec<DiscrepancyRow>,
    /// Rows of `estimates`.
    pub estimates: Vec<EstimateRow>,
    /// Rows of `schema_changes`.
    pub schema_changes: Vec<SchemaChangeRow>,
    /// Rows of `samples`.
    pub samples: Vec<SampleRow>,
    /// Rows of `slo_minute`.
    pub slo_minutes: Vec<SloMinuteRow>,
    /// Rows of `incident_events`.
    pub incident_events: Vec<IncidentRow>,
    /// Rows of `sweeps`.
    pub sweeps: Vec<SweepRow>,
    /// Rows of `totals`.
    pub totals: Vec<TotalsRow>,
}

impl CheckRow {
    /// Whether the row's verdict is the given one.
    pub fn is(&self, verdict: Verdict) -> bool {
        self.verdict == verdict.as_str()
    }
}
