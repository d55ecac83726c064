//! What the metrics show of a unit.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::audit::run::Summary;
use crate::audit::sampling::every_key_since;
use crate::audit::walk::Walk;
use crate::metrics::{Outcome, Reason, RunKind};
use crate::model::Verdict;

use super::Unit;

/// So many keys are counted in well under a millisecond.
const MANY_KEYS: usize = 10_000;

impl Unit {
    pub(super) fn count_run(&self, kind: RunKind, took: Duration, summary: &Summary) {
        let outcome = match (summary.failure, summary.total()) {
            (None, _) => Outcome::Ok,
            (Some(_), 0) => Outcome::Failed,
            (Some(_), _) => Outcome::Partial,
        };
        let reason = summary.failure.map_or(Reason::None, Reason::from_code);
        self.shared.metrics.run(kind, &self.parts.entity, &self.parts.owner.system, took, outcome, reason);
    }

    /// Shows the queue in the metrics.
    ///
    /// Looks at every key in flight: with very many of them at most once a second.
    pub(super) fn publish(&mut self) {
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
