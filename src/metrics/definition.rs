//! Names, kinds, labels and meanings of all metrics.

use prometheus::Opts;

/// What one metric is.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Its full name, with unit and, for counters, `_total`.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

impl Kind {
    /// Prometheus' word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Definition {
    /// As the `prometheus` crate wants it.
    pub fn opts(&self) -> Opts {
        Opts::new(self.name, self.help)
    }
}

const FLOW: &[&str] = &["entity", "owner", "target"];
const FLOW_VERDICT: &[&str] = &["entity", "owner", "target", "verdict"];
const ENTITY: &[&str] = &["entity", "owner"];
const PROBE: &[&str] = &["probe", "entity", "owner"];
const SYSTEM: &[&str] = &["system"];
const CHANNEL: &[&str] = &["channel"];
const ENTITY_SYSTEM: &[&str] = &["entity", "system"];
const PROMISE: &[&str] = &["slo", "entity", "owner", "target"];
const PROMISE_CASE: &[&str] = &["slo", "entity", "owner", "target", "case"];

macro_rules! definitions {
    ($($constant:ident = $kind:ident $name:literal $labels:expr, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Definition =
                Definition { name: concat!("plumbline_", $name), kind: Kind::$kind, labels: $labels, help: $help };
        )*

        impl Definition {
            /// Every metric there is.
            pub const ALL: &'static [Definition] = &[$($constant),*];
        }
    };
}

definitions! {
    CHECKS = Counter "checks_total" FLOW_VERDICT, "Comparisons of one key in one flow, by verdict.";
    LAG = Histogram "lag_seconds" FLOW, "How long a change took to reach the target, upper bound, once it has arrived.";
    OVERDUE_KEYS = Gauge "overdue_keys" FLOW, "Keys past their deadline now.";
    OVERDUE_OLDEST = Gauge "overdue_oldest_seconds" FLOW, "How far the oldest overdue key is past its deadline.";
    COVERAGE = Gauge "coverage_ratio" FLOW, "Decided divided by expected in the last run, 0 to 1.";
    IN_FLIGHT = Gauge "in_flight_keys" FLOW, "Keys that differ within their deadline and will be looked at again.";
    IN_FLIGHT_LIMIT = Gauge "in_flight_limit_keys" &[], "How many keys may be in flight before their probes are slowed.";
    DISCREPANCIES = Gauge "discrepancies_open" FLOW_VERDICT, "Confirmed, lasting differences that are open now.";
    SAMPLED_SHARE = Gauge "sampled_share_ratio" &["entity", "owner", "target", "measure", "point"], "What samples say of all keys: a share with the ends of its 95 % interval, 0 to 1.";
    SAMPLED_KEYS = Gauge "sampled_keys" &["entity", "owner", "target", "measure"], "Keys that the share rests on.";
    EVERY_KEY = Gauge "sample_every_key_seconds" ENTITY, "Every key has been looked at by samples at least once in so long; +Inf until the first walk around all keys is done.";
    SWEEP_DONE = Gauge "sweep_ratio" FLOW, "How much of the present or last sweep is done, 0 to 1.";
    SWEEP_RECORDS = Gauge "sweep_records" FLOW, "Records of both sides that the present or last sweep has gone through.";
    SWEEP_DIFFERENCES = Gauge "sweep_differences" FLOW, "Bad verdicts that the present or last sweep led to at once; keys in flight may add to them.";
    SWEEP_RATE = Gauge "sweep_records_per_second" FLOW, "How fast the present or last sweep went through records of both sides, rests not counted.";
    SWEEP_LEFT = Gauge "sweep_left_seconds" FLOW, "How much longer the present sweep works on the flow, rests not counted; +Inf while nothing tells.";
    SWEEP_CHUNKS = Counter "sweep_chunks_total" FLOW, "Pieces of sweeps that this process has gone through; auditors share them.";
    SWEEP_RESTS = Gauge "sweep_replica_lag_seconds" FLOW, "How far a replica lies behind for which the sweep rests; 0 while it does not.";
    TOTALS_LINES = Gauge "totals_lines" FLOW, "Lines (business day, currency, status) of the last run of the totals probe.";
    TOTALS_DIFFERING = Gauge "totals_differing_lines" FLOW, "Lines in which the sides differed by more than the flow's tolerance allows.";
    TOTALS_COMPLETE = Gauge "totals_complete_timestamp_seconds" FLOW, "When totals were last made of everything on both sides, in seconds since 1970; 0 until then.";
    WALK_DONE = Gauge "sample_walk_ratio" ENTITY, "How much of the present walk around all keys is done, 0 to 1.";
    SCHEMA_CHANGES = Counter "schema_changes_total" &["entity", "system", "change"], "Changes of columns and JSON shapes that schema probes saw, by what happened.";
    SCHEMA_OPEN = Gauge "schema_changes_open" &["entity", "system"], "Changes that affect fields and that nobody has accepted yet.";
    RUNS = Counter "probe_runs_total" &["probe", "entity", "owner", "outcome", "reason"], "Runs of probes, by outcome.";
    RUN_SECONDS = Histogram "probe_duration_seconds" PROBE, "How long runs of probes took.";
    START_DELAY = Histogram "probe_start_delay_seconds" &["probe"], "How long after they were due looks began.";
    SKIPPED = Counter "probe_runs_skipped_total" &["probe", "entity", "owner", "reason"], "Runs that were due and did not happen.";
    LEASE = Gauge "lease_held" PROBE, "1 while this process holds the lease of the probe's work.";
    READS = Counter "reads_total" SYSTEM, "Statements or requests sent to a system.";
    ROWS = Counter "rows_total" SYSTEM, "Rows or records that a system answered with.";
    RETRIES = Counter "read_retries_total" SYSTEM, "Reads that were tried again after a failure.";
    THROTTLES = Counter "throttles_total" SYSTEM, "Reads that waited for the system's budget.";
    THROTTLED_SECONDS = Counter "throttled_seconds_total" SYSTEM, "Time that reads waited for the system's budget.";
    CLOCK_OFFSET = Gauge "clock_offset_seconds" SYSTEM, "The system's clock minus ours.";
    CLOCK_UNCERTAINTY = Gauge "clock_uncertainty_seconds" SYSTEM, "How well the offset is known, plus or minus.";
    KEY_INDEX_ENTRIES = Gauge "key_index_entries" ENTITY_SYSTEM,
        "Addresses held by the index of a system's keys";
    KEY_INDEX_LAG = Gauge "key_index_lag_seconds" ENTITY_SYSTEM,
        "How long ago the index held every key that could be seen; +Inf until it is filled";
    SLO_SLI = Gauge "slo_sli_ratio" PROMISE_CASE, "Share of good over the promise's window, with everything unknown good or bad, 0 to 1.";
    SLO_BURN = Gauge "slo_burn_rate" PROMISE_CASE, "How many times faster than allowed the budget burns over the first tier's long window, with everything unknown good or bad.";
    SLO_BUDGET = Gauge "slo_budget_left_ratio" PROMISE_CASE, "What is left of the budget, as a share of it, with everything unknown good or bad; negative when it is overdrawn.";
    SLO_OBJECTIVE = Gauge "slo_objective_ratio" PROMISE, "The share of good that is promised.";
    SLO_COVERAGE = Gauge "slo_coverage_ratio" PROMISE, "Seen divided by what should have been seen in the first tier's long window, 0 to 1.";
    SLO_BURNING = Gauge "slo_burning" &["slo", "entity", "owner", "target", "severity"], "1 while a tier of this severity fires.";
    SLO_NO_DATA = Gauge "slo_no_data" PROMISE, "1 while too little is seen to say whether the promise is kept.";
    SLO_EVALUATING = Gauge "slo_evaluating" &[], "1 while it is this process that holds the promises against the facts.";
    SLO_EVALUATIONS = Counter "slo_evaluations_total" &[], "How often this process has held the promises against the facts.";
    INCIDENTS_OPEN = Gauge "incidents_open" &["severity", "state"], "Incidents that are not resolved.";
    SPOOL_BYTES = Gauge "spool_bytes" &[], "Bytes on disk that the ledger has not acknowledged.";
    SPOOL_BYTES_LIMIT = Gauge "spool_limit_bytes" &[], "Bytes the spool may hold before probes wait.";
    SPOOL_SEGMENTS = Gauge "spool_segments" &[], "Files that hold what the ledger has not acknowledged.";
    SPOOL_OLDEST = Gauge "spool_oldest_seconds" &[], "Age of the oldest run that the ledger has not acknowledged.";
    ENGINE_UP = Gauge "engine_up" &[], "1 while the embedded ClickHouse engine answers.";
    ENGINE_RESTARTS = Counter "engine_restarts_total" &[], "How often the embedded ClickHouse engine was started again.";
    STORE_ERRORS = Counter "store_errors_total" &["store"], "Calls to our own state or ledger that failed.";
    HEARTBEAT = Gauge "heartbeat_timestamp_seconds" &[], "When the auditor last found itself at work and its state database answering, in seconds since 1970; 0 until then.";
    NOTIFICATIONS = Counter "notifications_total" &["channel", "outcome"], "Tries to deliver a message, by what became of them.";
    OUTBOX_WAITING = Gauge "outbox_waiting_messages" CHANNEL, "Messages that are due and not delivered.";
    OUTBOX_OLDEST = Gauge "outbox_oldest_seconds" CHANNEL, "How long the oldest message that is due has been due.";
    OUTBOX_DEAD = Gauge "outbox_dead_messages" CHANNEL, "Messages of the last day that the receiver refused for good.";
    BUILD_INFO = Gauge "build_info" &["version"], "1, with the version of this process.";
}
