//! What the auditor says about itself, for Prometheus. The one place that knows metric names.
//!
//! Labels come from closed lists (enums) and from names that the config has checked; never from keys, values or
//! messages. A series exists with 0 from the moment its flow, probe or system is watched, so that "no data" and
//! "no problem" look different. docs/metrics.md lists every name; a test compares both ways.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::compare::shape::ChangeKind;
use crate::model::{EntityId, FlowId, Lag, Moment, SystemId, Verdict};

pub mod definition;
pub mod label;
mod promises;

use definition::{self as name, Definition};
pub use label::{Delivery, Measure, Outcome, Point, Reason, RunKind, Skip, Store};
pub use promises::PromiseLabels;

/// Everything that is counted and measured. Shared as `Arc<Metrics>`; every function takes `&self`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    checks: IntCounterVec,
    lag: HistogramVec,
    overdue_keys: IntGaugeVec,
    overdue_oldest: GaugeVec,
    coverage: GaugeVec,
    in_flight: IntGaugeVec,
    in_flight_limit: Gauge,
    discrepancies: IntGaugeVec,
    sampled_share: GaugeVec,
    sampled_keys: IntGaugeVec,
    every_key: GaugeVec,
    sweep_done: GaugeVec,
    sweep_records: IntGaugeVec,
    sweep_differences: IntGaugeVec,
    sweep_rate: GaugeVec,
    sweep_left: GaugeVec,
    sweep_chunks: IntCounterVec,
    sweep_rests: GaugeVec,
    totals_lines: IntGaugeVec,
    totals_differing: IntGaugeVec,
    totals_complete: GaugeVec,
    walk_done: GaugeVec,
    schema_changes: IntCounterVec,
    schema_open: IntGaugeVec,
    runs: IntCounterVec,
    run_seconds: HistogramVec,
    start_delay: HistogramVec,
    skipped: IntCounterVec,
    lease: IntGaugeVec,
    reads: IntCounterVec,
    rows: IntCounterVec,
    retries: IntCounterVec,
    throttles: IntCounterVec,
    throttled_seconds: prometheus::CounterVec,
    clock_offset: GaugeVec,
    clock_uncertainty: GaugeVec,
    key_index_entries: IntGaugeVec,
    key_index_lag: GaugeVec,
    promises: promises::Promises,
    spool_bytes: Gauge,
    spool_bytes_limit: Gauge,
    spool_segments: Gauge,
    spool_oldest: Gauge,
    engine_up: Gauge,
    engine_restarts: IntCounter,
    store_errors: IntCounterVec,
    heartbeat: Gauge,
    notifications: IntCounterVec,
    outbox_waiting: IntGaugeVec,
    outbox_oldest: GaugeVec,
    outbox_dead: IntGaugeVec,
}

/// What reads of a system have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Statements or requests.
    pub requests: u64,
    /// Rows or records they gave.
    pub rows: u64,
    /// Requests sent again after a lost connection.
    pub retries: u64,
    /// Times that a read had to wait for its turn.
    pub throttled: u64,
    /// How long reads waited, all together.
    pub waited: Duration,
}

/// How full the spool is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SpoolDepth {
    /// Bytes that ClickHouse has not acknowledged.
    pub bytes: u64,
    /// Files that hold them.
    pub segments: u64,
    /// Age of the oldest unacknowledged run; zero when there is none.
    pub oldest: Duration,
}

/// Seconds: a millisecond to a day. Fine where realtime deadlines lie, coarse beyond.
const LAG_BUCKETS: [f64; 18] =
    [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0];

/// Seconds: one quick read to a run that a person would call stuck.
const RUN_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics in a registry of their own, nothing watched yet.
    pub fn new() -> Self {
        let registry = Registry::new();
        let metrics = Self {
            checks: int_counters(&registry, &name::CHECKS),
            lag: histograms(&registry, &name::LAG, &LAG_BUCKETS),
            overdue_keys: int_gauges(&registry, &name::OVERDUE_KEYS),
            overdue_oldest: gauges(&registry, &name::OVERDUE_OLDEST),
            coverage: gauges(&registry, &name::COVERAGE),
            in_flight: int_gauges(&registry, &name::IN_FLIGHT),
            in_flight_limit: gauge(&registry, &name::IN_FLIGHT_LIMIT),
            discrepancies: int_gauges(&registry, &name::DISCREPANCIES),
            sampled_share: gauges(&registry, &name::SAMPLED_SHARE),
            sampled_keys: int_gauges(&registry, &name::SAMPLED_KEYS),
            every_key: gauges(&registry, &name::EVERY_KEY),
            sweep_done: gauges(&registry, &name::SWEEP_DONE),
            sweep_records: int_gauges(&registry, &name::SWEEP_RECORDS),
            sweep_differences: int_gauges(&registry, &name::SWEEP_DIFFERENCES),
            sweep_rate: gauges(&registry, &name::SWEEP_RATE),
            sweep_left: gauges(&registry, &name::SWEEP_LEFT),
            sweep_rests: gauges(&registry, &name::SWEEP_RESTS),
            sweep_chunks: int_counters(&registry, &name::SWEEP_CHUNKS),
            totals_lines: int_gauges(&registry, &name::TOTALS_LINES),
            totals_differing: int_gauges(&registry, &name::TOTALS_DIFFERING),
            totals_complete: gauges(&registry, &name::TOTALS_COMPLETE),
            walk_done: gauges(&registry, &name::WALK_DONE),
            schema_changes: int_counters(&registry, &name::SCHEMA_CHANGES),
            schema_open: int_gauges(&registry, &name::SCHEMA_OPEN),
            runs: int_counters(&registry, &name::RUNS),
            run_seconds: histograms(&registry, &name::RUN_SECONDS, &RUN_BUCKETS),
            start_delay: histograms(&registry, &name::START_DELAY, &RUN_BUCKETS),
            skipped: int_counters(&registry, &name::SKIPPED),
            lease: int_gauges(&registry, &name::LEASE),
            reads: int_counters(&registry, &name::READS),
            rows: int_counters(&registry, &name::ROWS),
            retries: int_counters(&registry, &name::RETRIES),
            throttles: int_counters(&registry, &name::THROTTLES),
            throttled_seconds: registered(
                &registry,
                prometheus::CounterVec::new(name::THROTTLED_SECONDS.opts(), name::THROTTLED_SECONDS.labels),
            ),
            clock_offset: gauges(&registry, &name::CLOCK_OFFSET),
            clock_uncertainty: gauges(&registry, &name::CLOCK_UNCERTAINTY),
            key_index_entries: int_gauges(&registry, &name::KEY_INDEX_ENTRIES),
            key_index_lag: gauges(&registry, &name::KEY_INDEX_LAG),
            promises: promises::Promises::new(&registry),
            spool_bytes: gauge(&registry, &name::SPOOL_BYTES),
            spool_bytes_limit: gauge(&registry, &name::SPOOL_BYTES_LIMIT),
            spool_segments: gauge(&registry, &name::SPOOL_SEGMENTS),
            spool_oldest: gauge(&registry, &name::SPOOL_OLDEST),
            engine_up: gauge(&registry, &name::ENGINE_UP),
            engine_restarts: registered(&registry, IntCounter::with_opts(name::ENGINE_RESTARTS.opts())),
            store_errors: int_counters(&registry, &name::STORE_ERRORS),
            heartbeat: gauge(&registry, &name::HEARTBEAT),
            notifications: int_counters(&registry, &name::NOTIFICATIONS),
            outbox_waiting: int_gauges(&registry, &name::OUTBOX_WAITING),
            outbox_oldest: gauges(&registry, &name::OUTBOX_OLDEST),
            outbox_dead: int_gauges(&registry, &name::OUTBOX_DEAD),
            registry,
        };
        for store in Store::ALL {
            metrics.store_errors.with_label_values(&[store.as_str()]).inc_by(0);
        }
        let build = int_gauges(&metrics.registry, &name::BUILD_INFO);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics
    }

    /// Gives every series of a flow its first value, 0 (coverage too: nothing is covered yet).
    pub fn watch_flow(&self, flow: &FlowId) {
        for verdict in Verdict::ALL {
            self.checks(flow, verdict, 0);
            self.discrepancies_open(flow, verdict, 0);
        }
        self.lag.with_label_values(&flow_labels(flow));
        self.overdue(flow, 0, Duration::ZERO);
        self.coverage(flow, 0.0);
        self.in_flight(flow, 0);
    }

    /// Gives every series of a system its first value. Its clock series begin with the first measurement.
    pub fn watch_system(&self, system: &SystemId) {
        let labels = [system.as_str()];
        for counter in [&self.reads, &self.rows, &self.retries, &self.throttles] {
            counter.with_label_values(&labels).inc_by(0);
        }
        self.throttled_seconds.with_label_values(&labels).inc_by(0.0);
    }

    /// Gives every series of a probe its first value.
    pub fn watch_probe(&self, kind: RunKind, entity: &EntityId, owner: &SystemId) {
        let [probe, entity, owner] = probe_labels(kind, entity, owner);
        self.run_seconds.with_label_values(&[probe, entity, owner]);
        self.start_delay.with_label_values(&[probe]);
        self.runs.with_label_values(&[probe, entity, owner, Outcome::Ok.as_str(), Reason::None.as_str()]).inc_by(0);
        for skip in Skip::ALL {
            self.skipped.with_label_values(&[probe, entity, owner, skip.as_str()]).inc_by(0);
        }
        self.lease.with_label_values(&[probe, entity, owner]).set(0);
    }

    /// Gives every series of a flow that samples look at its first value: nothing is known, so a share may be anything.
    pub fn watch_samples(&self, flow: &FlowId) {
        for measure in Measure::ALL {
            self.sampled(flow, measure, 0, [0.0, 0.0, 1.0]);
        }
        self.walked(&flow.entity, &flow.owner, None, 0.0);
    }

    /// What samples say of a flow: the share's lower end, the share, its upper end, and the keys it rests on.
    pub fn sampled(&self, flow: &FlowId, measure: Measure, keys: u64, share: [f64; 3]) {
        let [entity, owner, target] = flow_labels(flow);
        for (point, value) in Point::ALL.into_iter().zip(share) {
            let labels = [entity, owner, target, measure.as_str(), point.as_str()];
            self.sampled_share.with_label_values(&labels).set(value);
        }
        self.sampled_keys.with_label_values(&[entity, owner, target, measure.as_str()]).set(whole(keys));
    }

    /// Every key has been looked at in so long (`None`: not yet), and how much of the present walk is done.
    pub fn walked(&self, entity: &EntityId, owner: &SystemId, every_key: Option<Duration>, done: f64) {
        let labels = [entity.as_str(), owner.as_str()];
        let seconds = every_key.map_or(f64::INFINITY, |every_key| every_key.as_secs_f64());
        self.every_key.with_label_values(&labels).set(seconds);
        self.walk_done.with_label_values(&labels).set(done.clamp(0.0, 1.0));
    }

    /// How much of a flow's sweep is done, what it has gone through, and the bad verdicts it led to.
    pub fn swept(&self, flow: &FlowId, done: f64, records: u64, differences: u64) {
        let labels = flow_labels(flow);
        self.sweep_done.with_label_values(&labels).set(done.clamp(0.0, 1.0));
        self.sweep_records.with_label_values(&labels).set(whole(records));
        self.sweep_differences.with_label_values(&labels).set(whole(differences));
    }

    /// How fast a flow's sweep goes, and how much longer (`None`: nothing tells yet).
    pub fn sweep_speed(&self, flow: &FlowId, records_a_second: f64, left: Option<Duration>) {
        let labels = flow_labels(flow);
        self.sweep_rate.with_label_values(&labels).set(records_a_second);
        self.sweep_left.with_label_values(&labels).set(left.map_or(f64::INFINITY, |left| left.as_secs_f64()));
    }

    /// A piece of a flow's sweep has been gone through here.
    pub fn swept_chunk(&self, flow: &FlowId) {
        self.sweep_chunks.with_label_values(&flow_labels(flow)).inc();
    }

    /// A flow's sweep rests for a replica that lies so far behind; not at all when that is nothing.
    pub fn sweep_rests(&self, flow: &FlowId, lag: Duration) {
        self.sweep_rests.with_label_values(&flow_labels(flow)).set(lag.as_secs_f64());
    }

    /// Gives every series of a flow that is swept its first value.
    pub fn watch_sweep(&self, flow: &FlowId) {
        self.swept(flow, 0.0, 0, 0);
        self.sweep_speed(flow, 0.0, Some(Duration::ZERO));
        self.sweep_chunks.with_label_values(&flow_labels(flow)).inc_by(0);
        self.sweep_rests(flow, Duration::ZERO);
    }

    /// Gives every series of a flow that totals are made of its first value.
    pub fn watch_totals(&self, flow: &FlowId) {
        self.totals(flow, 0, 0, None);
        self.totals_complete.with_label_values(&flow_labels(flow)).set(0.0);
    }

    /// Lines of a flow's totals, those that differ, and when everything was added up if it was.
    pub fn totals(&self, flow: &FlowId, lines: u64, differing: u64, complete: Option<Moment>) {
        let labels = flow_labels(flow);
        self.totals_lines.with_label_values(&labels).set(whole(lines));
        self.totals_differing.with_label_values(&labels).set(whole(differing));
        if let Some(at) = complete {
            self.totals_complete.with_label_values(&labels).set(at.micros() as f64 / 1e6);
        }
    }

    /// Gives every series of a system's shapes, as a schema probe of the entity sees them, its first value.
    pub fn watch_schema(&self, entity: &EntityId, system: &SystemId) {
        for kind in ChangeKind::ALL {
            self.schema_changes.with_label_values(&[entity.as_str(), system.as_str(), kind.as_str()]).inc_by(0);
        }
        self.schema_open(entity, system, 0);
    }

    /// A schema probe saw a change.
    pub fn schema_changed(&self, entity: &EntityId, system: &SystemId, kind: ChangeKind) {
        self.schema_changes.with_label_values(&[entity.as_str(), system.as_str(), kind.as_str()]).inc();
    }

    /// Changes that affect fields and wait to be accepted.
    pub fn schema_open(&self, entity: &EntityId, system: &SystemId, changes: u64) {
        self.schema_open.with_label_values(&[entity.as_str(), system.as_str()]).set(whole(changes));
    }

    /// Adds `count` checks with this verdict.
    pub fn checks(&self, flow: &FlowId, verdict: Verdict, count: u64) {
        let [entity, owner, target] = flow_labels(flow);
        self.checks.with_label_values(&[entity, owner, target, verdict.as_str()]).inc_by(count);
    }

    /// A change reached its target after this long. Its upper bound is observed: a figure that never flatters.
    pub fn lag(&self, flow: &FlowId, lag: Lag) {
        self.lag.with_label_values(&flow_labels(flow)).observe(lag.high.as_secs_f64());
    }

    /// Keys past their deadline now, and how far the oldest is past it.
    pub fn overdue(&self, flow: &FlowId, keys: u64, oldest: Duration) {
        self.overdue_keys.with_label_values(&flow_labels(flow)).set(whole(keys));
        self.overdue_oldest.with_label_values(&flow_labels(flow)).set(oldest.as_secs_f64());
    }

    /// Decided ÷ expected of the last run, within 0.0..=1.0.
    pub fn coverage(&self, flow: &FlowId, ratio: f64) {
        self.coverage.with_label_values(&flow_labels(flow)).set(ratio.clamp(0.0, 1.0));
    }

    /// Keys in flight now.
    pub fn in_flight(&self, flow: &FlowId, keys: u64) {
        self.in_flight.with_label_values(&flow_labels(flow)).set(whole(keys));
    }

    /// How many keys may be in flight, all flows together.
    pub fn in_flight_limit(&self, keys: u64) {
        self.in_flight_limit.set(keys as f64);
    }

    /// Discrepancies open now with this verdict.
    pub fn discrepancies_open(&self, flow: &FlowId, verdict: Verdict, count: u64) {
        if verdict.is_bad() {
            let [entity, owner, target] = flow_labels(flow);
            self.discrepancies.with_label_values(&[entity, owner, target, verdict.as_str()]).set(whole(count));
        }
    }

    /// A run of a probe ended. `reason` is [`Reason::None`] when it was ok.
    pub fn run(
        &self,
        kind: RunKind,
        entity: &EntityId,
        owner: &SystemId,
        took: Duration,
        outcome: Outcome,
        reason: Reason,
    ) {
        let [probe, entity, owner] = probe_labels(kind, entity, owner);
        self.run_seconds.with_label_values(&[probe, entity, owner]).observe(took.as_secs_f64());
        self.runs.with_label_values(&[probe, entity, owner, outcome.as_str(), reason.as_str()]).inc();
    }

    /// A look began so long after it was due.
    pub fn began(&self, kind: RunKind, late: Duration) {
        self.start_delay.with_label_values(&[kind.as_str()]).observe(late.as_secs_f64());
    }

    /// A run was due and did not happen.
    pub fn skipped(&self, kind: RunKind, entity: &EntityId, owner: &SystemId, why: Skip) {
        let [probe, entity, owner] = probe_labels(kind, entity, owner);
        self.skipped.with_label_values(&[probe, entity, owner, why.as_str()]).inc();
    }

    /// Whether this process holds the lease of the probe's work.
    pub fn lease_held(&self, kind: RunKind, entity: &EntityId, owner: &SystemId, held: bool) {
        self.lease.with_label_values(&probe_labels(kind, entity, owner)).set(i64::from(held));
    }

    /// What reads of a system have used of its budget since the last call.
    pub fn used(&self, system: &SystemId, used: Used) {
        let labels = [system.as_str()];
        self.reads.with_label_values(&labels).inc_by(used.requests);
        self.rows.with_label_values(&labels).inc_by(used.rows);
        self.retries.with_label_values(&labels).inc_by(used.retries);
        self.throttles.with_label_values(&labels).inc_by(used.throttled);
        self.throttled_seconds.with_label_values(&labels).inc_by(used.waited.as_secs_f64());
    }

    /// The system's clock minus ours, and how well that is known.
    pub fn clock(&self, system: &SystemId, offset_micros: i64, uncertainty: Duration) {
        self.clock_offset.with_label_values(&[system.as_str()]).set(offset_micros as f64 / 1e6);
        self.clock_uncertainty.with_label_values(&[system.as_str()]).set(uncertainty.as_secs_f64());
    }

    /// How an index of keys stands; without `lag` it is being filled for the first time.
    pub fn key_index(&self, entity: &EntityId, system: &SystemId, entries: u64, lag: Option<Duration>) {
        let labels = [entity.as_str(), system.as_str()];
        self.key_index_entries.with_label_values(&labels).set(whole(entries));
        let lag = lag.map_or(f64::INFINITY, |lag| lag.as_secs_f64());
        self.key_index_lag.with_label_values(&labels).set(lag);
    }

    /// How full the spool is.
    pub fn spool(&self, depth: SpoolDepth) {
        self.spool_bytes.set(depth.bytes as f64);
        self.spool_segments.set(depth.segments as f64);
        self.spool_oldest.set(depth.oldest.as_secs_f64());
    }

    /// How full the spool may get before probes wait.
    pub fn spool_limit(&self, bytes: u64) {
        self.spool_bytes_limit.set(bytes as f64);
    }

    /// Whether the embedded ClickHouse engine answers.
    pub fn engine_up(&self, up: bool) {
        self.engine_up.set(f64::from(u8::from(up)));
    }

    /// The embedded ClickHouse engine was started again.
    pub fn engine_restarted(&self) {
        self.engine_restarts.inc();
    }

    /// A call to one of our own stores failed.
    pub fn store_error(&self, store: Store) {
        self.store_errors.with_label_values(&[store.as_str()]).inc();
    }

    /// The auditor is at work and its state database answered.
    pub fn heartbeat(&self, at: Moment) {
        self.heartbeat.set(at.micros() as f64 / 1e6);
    }

    /// Gives every series of a channel its first value.
    pub fn watch_channel(&self, channel: &str) {
        Delivery::ALL.into_iter().for_each(|outcome| self.notified(channel, outcome, 0));
        self.outbox(channel, 0, Duration::ZERO, 0);
    }

    /// So many messages were tried on a channel with this outcome.
    pub fn notified(&self, channel: &str, outcome: Delivery, messages: u64) {
        self.notifications.with_label_values(&[channel, outcome.as_str()]).inc_by(messages);
    }

    /// A channel's messages that are due, since when the oldest is, and those refused for good within a day.
    pub fn outbox(&self, channel: &str, waiting: u64, oldest: Duration, dead: u64) {
        self.outbox_waiting.with_label_values(&[channel]).set(whole(waiting));
        self.outbox_oldest.with_label_values(&[channel]).set(oldest.as_secs_f64());
        self.outbox_dead.with_label_values(&[channel]).set(whole(dead));
    }

    /// Everything in Prometheus' text format.
    ///
    /// # Errors
    /// When a family breaks the format's rules, which would be a bug here.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Everything as values, for the live view.
    pub fn gather(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.registry.gather()
    }
}

fn flow_labels(flow: &FlowId) -> [&str; 3] {
    [flow.entity.as_str(), flow.owner.as_str(), flow.target.as_str()]
}

fn probe_labels<'a>(kind: RunKind, entity: &'a EntityId, owner: &'a SystemId) -> [&'a str; 3] {
    [kind.as_str(), entity.as_str(), owner.as_str()]
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Registers what a definition describes.
///
/// # Panics
/// When two definitions have one name or a name breaks Prometheus' rules. Definitions are constants, and a test
/// registers them all.
fn registered<C: Collector + Clone + 'static>(registry: &Registry, made: Result<C, prometheus::Error>) -> C {
    let metric = made.unwrap_or_else(|error| panic!("a metric's definition is wrong: {error}"));
    if let Err(error) = registry.register(Box::new(metric.clone())) {
        panic!("a metric is defined twice: {error}");
    }
    metric
}

fn int_counters(registry: &Registry, definition: &Definition) -> IntCounterVec {
    registered(registry, IntCounterVec::new(definition.opts(), definition.labels))
}

fn int_gauges(registry: &Registry, definition: &Definition) -> IntGaugeVec {
    registered(registry, IntGaugeVec::new(definition.opts(), definition.labels))
}

fn gauges(registry: &Registry, definition: &Definition) -> GaugeVec {
    registered(registry, GaugeVec::new(definition.opts(), definition.labels))
}

fn gauge(registry: &Registry, definition: &Definition) -> Gauge {
    registered(registry, Gauge::with_opts(definition.opts()))
}

fn histograms(registry: &Registry, definition: &Definition, buckets: &[f64]) -> HistogramVec {
    let opts: Opts = definition.opts();
    let opts = HistogramOpts::from(opts).buckets(buckets.to_vec());
    registered(registry, HistogramVec::new(opts, definition.labels))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn flow() -> FlowId {
        FlowId {
            entity: "stock".parse().expect("a name"),
            owner: "erp".parse().expect("a name"),
            target: "warehouse".parse().expect("a name"),
        }
    }

    fn watched() -> Metrics {
        let metrics = Metrics::new();
        let flow = flow();
        metrics.watch_flow(&flow);
        metrics.watch_samples(&flow);
        metrics.watch_sweep(&flow);
        metrics.watch_totals(&flow);
        metrics.watch_system(&flow.owner);
        metrics.watch_schema(&flow.entity, &flow.owner);
        metrics.watch_probe(RunKind::Changes, &flow.entity, &flow.owner);
        metrics.clock(&flow.owner, -1_500_000, Duration::from_millis(2));
        metrics.key_index(&flow.entity, &flow.target, 0, None);
        metrics.watch_channel("mail");
        let (entity, owner, target) = (flow.entity.as_str(), flow.owner.as_str(), flow.target.as_str());
        metrics.watch_promise(&PromiseLabels { slo: "fresh", entity, owner, target }, 0.995);
        metrics
    }

    #[test]
    fn every_definition_is_registered_with_its_labels() {
        let registered: BTreeMap<String, Vec<String>> = watched()
            .gather()
            .iter()
            .map(|family| {
                let labels = family.get_metric()[0].get_label().iter().map(|label| label.name().to_owned()).collect();
                (family.name().to_owned(), labels)
            })
            .collect();
        let defined: BTreeMap<String, Vec<String>> = Definition::ALL
            .iter()
            .map(|definition| {
                let mut labels: Vec<String> = definition.labels.iter().map(ToString::to_string).collect();
                labels.sort();
                (definition.name.to_owned(), labels)
            })
            .collect();
        assert_eq!(registered, defined);
    }

    /// Rows of the tables in docs/metrics.md: name, type, labels.
    fn documented() -> BTreeMap<String, (String, String)> {
        let mut rows = BTreeMap::new();
        for line in include_str!("../docs/metrics.md").lines().filter(|line| line.starts_with("| `plumbline_")) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            rows.insert(cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), cells[3].replace('`', "")));
        }
        rows
    }

    #[test]
    fn the_page_lists_exactly_the_metrics_that_exist() {
        let defined: BTreeMap<String, (String, String)> = Definition::ALL
            .iter()
            .map(|definition| {
                (definition.name.to_owned(), (definition.kind.as_str().to_owned(), definition.labels.join(", ")))
            })
            .collect();
        assert_eq!(documented(), defined);
    }

    #[test]
    fn the_page_lists_every_value_of_a_closed_label() {
        let page = include_str!("../docs/metrics.md");
        let words = Reason::ALL
            .map(Reason::as_str)
            .into_iter()
            .chain(Skip::ALL.map(Skip::as_str))
            .chain(Outcome::ALL.map(Outcome::as_str))
            .chain(RunKind::ALL.map(RunKind::as_str))
            .chain(ChangeKind::ALL.map(ChangeKind::as_str))
            .chain(Store::ALL.map(Store::as_str))
            .chain(Delivery::ALL.map(Delivery::as_str))
            .chain(Measure::ALL.map(Measure::as_str))
            .chain(Point::ALL.map(Point::as_str))
            .chain(Verdict::ALL.map(Verdict::as_str));
        for word in words {
            assert!(page.contains(&format!("`{word}`")), "docs/metrics.md does not name `{word}`");
        }
    }

    #[test]
    fn a_watched_series_starts_at_zero_and_a_drained_one_returns_there() {
        let metrics = watched();
        let open = |metrics: &Metrics| {
            let text = metrics.render().expect("renders");
            text.lines()
                .find(|line| line.starts_with("plumbline_discrepancies_open{") && line.contains("\"stale\""))
                .map(str::to_owned)
        };
        let zero =
            "plumbline_discrepancies_open{entity=\"stock\",owner=\"erp\",target=\"warehouse\",verdict=\"stale\"} 0";
        assert_eq!(open(&metrics).as_deref(), Some(zero));
        metrics.discrepancies_open(&flow(), Verdict::Stale, 3);
        assert!(open(&metrics).is_some_and(|line| line.ends_with(" 3")));
        metrics.discrepancies_open(&flow(), Verdict::Stale, 0);
        assert_eq!(open(&metrics).as_deref(), Some(zero));
    }

    #[test]
    fn recorded_values_are_in_the_text() {
        let metrics = watched();
        metrics.checks(&flow(), Verdict::Match, 7);
        metrics.lag(&flow(), Lag { low: Duration::from_millis(200), high: Duration::from_millis(400) });
        metrics.overdue(&flow(), 2, Duration::from_secs(61));
        metrics.heartbeat(Moment::from_micros(1_800_000_000_500_000));
        metrics.outbox("mail", 3, Duration::from_secs(90), 1);
        let text = metrics.render().expect("renders");
        for line in [
            "plumbline_checks_total{entity=\"stock\",owner=\"erp\",target=\"warehouse\",verdict=\"match\"} 7",
            "plumbline_lag_seconds_sum{entity=\"stock\",owner=\"erp\",target=\"warehouse\"} 0.4",
            "plumbline_overdue_oldest_seconds{entity=\"stock\",owner=\"erp\",target=\"warehouse\"} 61",
            "plumbline_clock_offset_seconds{system=\"erp\"} -1.5",
            "plumbline_heartbeat_timestamp_seconds 1800000000.5",
            "plumbline_outbox_oldest_seconds{channel=\"mail\"} 90",
        ] {
            assert!(text.lines().any(|found| found == line), "no line `{line}` in:\n{text}");
        }
    }
}
