//! Fills the view from the metrics.

use std::collections::BTreeSet;
use std::time::Duration;

use prometheus::proto::{Metric, MetricFamily};

use super::{CostLine, FlowLine, Health, Samples, Share, View};
use crate::metrics::definition::{self as name, Definition};
use crate::metrics::{Measure, Metrics, Point};
use crate::model::{FlowId, Verdict};

/// Seconds of checks that the view shows.
const TREND: usize = 60;

/// Turns totals into what happened in each second.
#[derive(Debug, Default)]
pub struct Trend {
    second: u64,
    total: u64,
}

impl Trend {
    /// Notes the total so far; adds an entry for every second that has passed.
    pub fn note(&mut self, per_second: &mut Vec<u64>, elapsed: Duration, total: u64) {
        let second = elapsed.as_secs();
        if second == self.second {
            return;
        }
        let passed = (second - self.second).min(TREND as u64);
        let share = total.saturating_sub(self.total) / passed.max(1);
        per_second.extend((0..passed).map(|_| share));
        per_second.drain(..per_second.len().saturating_sub(TREND));
        (self.second, self.total) = (second, total);
    }
}

/// Fills flows, the number of open discrepancies, and health.
pub fn fill(view: &mut View, metrics: &Metrics, flows: &[FlowId]) {
    let all = Gathered(metrics.gather());
    view.flows = flows.iter().map(|flow| all.flow(flow)).collect();
    view.open = view.flows.iter().map(|flow| flow.open).sum();
    view.costs = all.costs();
    view.health = all.health();
}

/// What the looks at each system have cost so far.
pub fn costs(metrics: &Metrics) -> Vec<CostLine> {
    Gathered(metrics.gather()).costs()
}

struct Gathered(Vec<MetricFamily>);

impl Gathered {
    /// The series of a metric that have all these labels.
    fn series(&self, definition: &Definition, labels: &[(&str, &str)]) -> Vec<&Metric> {
        let family = self.0.iter().find(|family| family.name() == definition.name);
        let series = family.map(|family| family.get_metric()).unwrap_or_default();
        let has = |metric: &Metric, (label, value): &(&str, &str)| {
            metric.get_label().iter().any(|pair| pair.name() == *label && pair.value() == *value)
        };
        series.iter().filter(|metric| labels.iter().all(|label| has(metric, label))).collect()
    }

    /// The sum of counters or gauges.
    fn sum(&self, definition: &Definition, labels: &[(&str, &str)]) -> f64 {
        let value = |metric: &Metric| metric.get_counter().get_value() + metric.get_gauge().get_value();
        self.series(definition, labels).into_iter().map(value).sum()
    }

    fn count(&self, definition: &Definition, labels: &[(&str, &str)]) -> u64 {
        self.sum(definition, labels).max(0.0) as u64
    }

    fn seconds(&self, definition: &Definition, labels: &[(&str, &str)]) -> Duration {
        Duration::try_from_secs_f64(self.sum(definition, labels)).unwrap_or_default()
    }

    fn flow(&self, flow: &FlowId) -> FlowLine {
        let labels =
            [("entity", flow.entity.as_str()), ("owner", flow.owner.as_str()), ("target", flow.target.as_str())];
        let verdicts = Verdict::ALL.map(|verdict| {
            let [entity, owner, target] = labels;
            self.count(&name::CHECKS, &[entity, owner, target, ("verdict", verdict.as_str())])
        });
        let lags = self.series(&name::LAG, &labels);
        FlowLine {
            name: flow.to_string(),
            verdicts,
            in_flight: self.count(&name::IN_FLIGHT, &labels),
            overdue: self.count(&name::OVERDUE_KEYS, &labels),
            oldest: self.seconds(&name::OVERDUE_OLDEST, &labels),
            open: self.count(&name::DISCREPANCIES, &labels),
            lag_p50: lags.first().and_then(|metric| quantile(metric, 0.5)),
            lag_p99: lags.first().and_then(|metric| quantile(metric, 0.99)),
            coverage: self.sum(&name::COVERAGE, &labels),
            samples: self.samples(labels),
        }
    }

    fn samples(&self, [entity, owner, target]: [(&str, &str); 3]) -> Option<Samples> {
        let share = |measure: Measure| {
            let point = |point: Point| {
                let labels = [entity, owner, target, ("measure", measure.as_str()), ("point", point.as_str())];
                self.series(&name::SAMPLED_SHARE, &labels).first().map(|metric| metric.get_gauge().get_value())
            };
            let [low, estimate, high] = Point::ALL.map(point);
            Some(Share { low: low?, estimate: estimate?, high: high? })
        };
        let [agreement, completeness, extra] = Measure::ALL.map(share);
        let every_key = self.series(&name::EVERY_KEY, &[entity, owner]);
        let seconds = every_key.first().map(|metric| metric.get_gauge().get_value());
        let agreed = [entity, owner, target, ("measure", Measure::Agreement.as_str())];
        (agreement.is_some() || extra.is_some()).then(|| Samples {
            agreement,
            completeness,
            extra,
            keys: self.count(&name::SAMPLED_KEYS, &agreed),
            // Infinite until the first walk has come around.
            every_key: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        })
    }

    fn costs(&self) -> Vec<CostLine> {
        let label = |metric: &Metric| metric.get_label().first().map(|pair| pair.value().to_owned());
        let systems: BTreeSet<String> = self.series(&name::READS, &[]).into_iter().filter_map(label).collect();
        let cost = |system: String| {
            let labels = [("system", system.as_str())];
            let (calls, records) = (self.count(&name::READS, &labels), self.count(&name::ROWS, &labels));
            CostLine { system, calls, records }
        };
        systems.into_iter().map(cost).collect()
    }

    fn health(&self) -> Health {
        Health {
            engine_up: self.sum(&name::ENGINE_UP, &[]) > 0.0,
            engine_restarts: self.count(&name::ENGINE_RESTARTS, &[]),
            spool_bytes: self.count(&name::SPOOL_BYTES, &[]),
            spool_oldest: self.seconds(&name::SPOOL_OLDEST, &[]),
            store_errors: self.count(&name::STORE_ERRORS, &[]),
            throttles: self.count(&name::THROTTLES, &[]),
            failed_runs: self.count(&name::RUNS, &[("outcome", "failed")]),
        }
    }
}

/// A quantile of a histogram, by straight lines within its buckets, as Prometheus' `histogram_quantile` does.
fn quantile(metric: &Metric, share: f64) -> Option<Duration> {
    let histogram = metric.get_histogram();
    let total = histogram.get_sample_count();
    if total == 0 {
        return None;
    }
    let rank = share * total as f64;
    let (mut below, mut floor) = (0.0, 0.0);
    for bucket in histogram.get_bucket() {
        let (count, bound) = (bucket.cumulative_count() as f64, bucket.upper_bound());
        if count >= rank && bound.is_finite() {
            let part = if count > below { (rank - below) / (count - below) } else { 1.0 };
            return Duration::try_from_secs_f64(floor + (bound - floor) * part).ok();
        }
        (below, floor) = (count, if bound.is_finite() { bound } else { floor });
    }
    Duration::try_from_secs_f64(floor).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Lag;

    fn flow() -> FlowId {
        FlowId {
            entity: "stock".parse().expect("a name"),
            owner: "erp".parse().expect("a name"),
            target: "warehouse".parse().expect("a name"),
        }
    }

    #[test]
    fn the_view_shows_what_was_recorded() {
        let (metrics, flow) = (Metrics::new(), flow());
        metrics.watch_flow(&flow);
        metrics.checks(&flow, Verdict::Match, 41);
        metrics.checks(&flow, Verdict::Missing, 2);
        metrics.discrepancies_open(&flow, Verdict::Missing, 2);
        metrics.overdue(&flow, 2, Duration::from_secs(7));
        metrics.coverage(&flow, 0.5);
        metrics.engine_up(true);
        for _ in 0..100 {
            metrics.lag(&flow, Lag { low: Duration::ZERO, high: Duration::from_millis(700) });
        }
        let mut view = View::default();
        fill(&mut view, &metrics, &[flow]);
        let line = &view.flows[0];
        assert_eq!((line.count(Verdict::Match), line.count(Verdict::Missing), line.open, view.open), (41, 2, 2, 2));
        assert_eq!((line.overdue, line.oldest, line.coverage), (2, Duration::from_secs(7), 0.5));
        assert_eq!(line.lag_p50, Some(Duration::from_millis(750)), "the middle of the bucket from 0.5 to 1 s");
        assert!(view.health.engine_up);
    }

    #[test]
    fn what_samples_say_is_shown_with_its_interval() {
        let (metrics, flow) = (Metrics::new(), flow());
        metrics.watch_flow(&flow);
        let mut view = View::default();
        fill(&mut view, &metrics, std::slice::from_ref(&flow));
        assert_eq!(view.flows[0].samples, None, "nothing has been said yet");
        metrics.sampled(&flow, Measure::Agreement, 400, [0.95, 0.98, 0.99]);
        metrics.walked(&flow.entity, &flow.owner, None, 0.4);
        fill(&mut view, &metrics, std::slice::from_ref(&flow));
        let samples = view.flows[0].samples.expect("said");
        assert_eq!(samples.agreement, Some(Share { low: 0.95, estimate: 0.98, high: 0.99 }));
        assert_eq!((samples.extra, samples.keys, samples.every_key), (None, 400, None));
        metrics.walked(&flow.entity, &flow.owner, Some(Duration::from_secs(70)), 0.1);
        fill(&mut view, &metrics, &[flow]);
        assert_eq!(view.flows[0].samples.expect("said").every_key, Some(Duration::from_secs(70)));
    }

    #[test]
    fn a_flow_without_arrivals_has_no_lag() {
        let (metrics, flow) = (Metrics::new(), flow());
        metrics.watch_flow(&flow);
        let mut view = View::default();
        fill(&mut view, &metrics, &[flow]);
        assert_eq!((view.flows[0].lag_p50, view.flows[0].lag_p99), (None, None));
    }

    #[test]
    fn the_trend_counts_each_second() {
        let (mut trend, mut seconds) = (Trend::default(), Vec::new());
        for (elapsed, total) in [(0.5, 3), (1.1, 8), (1.6, 9), (2.2, 20), (4.1, 30)] {
            trend.note(&mut seconds, Duration::from_secs_f64(elapsed), total);
        }
        assert_eq!(seconds, [8, 12, 5, 5]);
    }
}
