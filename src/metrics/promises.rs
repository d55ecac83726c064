//! How promises and incidents stand, for Prometheus.

use prometheus::{Gauge, GaugeVec, IntCounter, IntGaugeVec, Registry};

use super::definition as name;
use super::{Metrics, gauge, gauges, int_gauges, registered};
use crate::incident::{IncidentState, Severity};
use crate::slo::Evaluation;

/// A promise about a flow or a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromiseLabels<'p> {
    /// The SLO's name.
    pub slo: &'p str,
    /// Entity name; empty for a queue.
    pub entity: &'p str,
    /// Owner system; the system of a queue.
    pub owner: &'p str,
    /// Target system; the name of a queue.
    pub target: &'p str,
}

#[derive(Debug)]
pub(super) struct Promises {
    sli: GaugeVec,
    burn: GaugeVec,
    budget: GaugeVec,
    objective: GaugeVec,
    coverage: GaugeVec,
    burning: IntGaugeVec,
    no_data: IntGaugeVec,
    evaluating: Gauge,
    evaluations: IntCounter,
    incidents: IntGaugeVec,
}

const SEVERITIES: [Severity; 2] = [Severity::Page, Severity::Ticket];
const CASES: [&str; 2] = ["best", "worst"];

impl Promises {
    pub fn new(registry: &Registry) -> Self {
        let promises = Self {
            sli: gauges(registry, &name::SLO_SLI),
            burn: gauges(registry, &name::SLO_BURN),
            budget: gauges(registry, &name::SLO_BUDGET),
            objective: gauges(registry, &name::SLO_OBJECTIVE),
            coverage: gauges(registry, &name::SLO_COVERAGE),
            burning: int_gauges(registry, &name::SLO_BURNING),
            no_data: int_gauges(registry, &name::SLO_NO_DATA),
            evaluating: gauge(registry, &name::SLO_EVALUATING),
            evaluations: registered(registry, IntCounter::with_opts(name::SLO_EVALUATIONS.opts())),
            incidents: int_gauges(registry, &name::INCIDENTS_OPEN),
        };
        promises.set_incidents(&[]);
        promises
    }

    fn set_incidents(&self, open: &[(Severity, IncidentState)]) {
        for severity in SEVERITIES {
            for state in [IncidentState::Open, IncidentState::Acknowledged] {
                let count = open.iter().filter(|one| **one == (severity, state)).count();
                let labels = [severity.as_str(), state.as_str()];
                self.incidents.with_label_values(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
    }
}

impl Metrics {
    /// Gives every series of a promise its first value.
    pub fn watch_promise(&self, labels: &PromiseLabels<'_>, objective: f64) {
        let PromiseLabels { slo, entity, owner, target } = *labels;
        self.promises.objective.with_label_values(&[slo, entity, owner, target]).set(objective);
        self.set_promise(labels, [[1.0; 2], [0.0; 2], [1.0; 2]], 1.0);
        self.promises.no_data.with_label_values(&[slo, entity, owner, target]).set(0);
        for severity in SEVERITIES {
            self.promises.burning.with_label_values(&[slo, entity, owner, target, severity.as_str()]).set(0);
        }
    }

    /// How a promise stands.
    pub fn promise(&self, labels: &PromiseLabels<'_>, found: &Evaluation) {
        let PromiseLabels { slo, entity, owner, target } = *labels;
        let burn = found.burn();
        let sli = [found.sli.0, found.sli.1];
        let left = [found.budget_left, found.budget_left_worst];
        self.set_promise(labels, [sli, [burn.best, burn.worst], left], found.coverage);
        self.promises.no_data.with_label_values(&[slo, entity, owner, target]).set(i64::from(found.no_data));
        for severity in SEVERITIES {
            let fires = found.tiers.iter().any(|status| status.fires() && status.tier.severity == severity);
            let labels = [slo, entity, owner, target, severity.as_str()];
            self.promises.burning.with_label_values(&labels).set(i64::from(fires));
        }
    }

    fn set_promise(&self, labels: &PromiseLabels<'_>, [sli, burn, budget]: [[f64; 2]; 3], coverage: f64) {
        let PromiseLabels { slo, entity, owner, target } = *labels;
        for (case, number) in CASES.into_iter().zip(0..) {
            let labels = [slo, entity, owner, target, case];
            let gauges = [(&self.promises.sli, sli), (&self.promises.burn, burn), (&self.promises.budget, budget)];
            gauges.into_iter().for_each(|(gauge, values)| gauge.with_label_values(&labels).set(values[number]));
        }
        self.promises.coverage.with_label_values(&[slo, entity, owner, target]).set(coverage);
    }

    /// Whether it is this process that holds the promises against the facts: the figures of others are old.
    pub fn evaluating(&self, is_here: bool) {
        self.promises.evaluating.set(if is_here { 1.0 } else { 0.0 });
    }

    /// The promises were held against the facts, and these incidents are not resolved.
    pub fn evaluated(&self, open: &[(Severity, IncidentState)]) {
        self.promises.evaluations.inc();
        self.promises.set_incidents(open);
    }
}
