//! What each system has to bear: requests, rows and points a day, and how long a run takes. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::cost::{self, Cost, Rates, Use};
use super::{DAY, KeysOf, duration, keys_of, sample_plan};
use crate::config::{Config, Probe, ProbeKind};
use crate::model::{Flow, SystemId};

/// What is asked of a system that counts in points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PointsPlan {
    /// Points a day, at most: full pages, and no change that has to be read.
    pub a_day: f64,
    /// Points that it gives us a day.
    pub given_a_day: f64,
}

impl PointsPlan {
    /// The share that is used of what it gives us.
    pub fn share(&self) -> f64 {
        self.a_day / self.given_a_day.max(1e-9)
    }
}

/// What one system has to bear.
#[derive(Clone, Debug, PartialEq)]
pub struct SystemPlan {
    /// The system.
    pub system: SystemId,
    /// Statements a day.
    pub calls: f64,
    /// Rows a day, without those of changes.
    pub rows: f64,
    /// The share of its budget of requests, on average.
    pub share: f64,
    /// Its points, if it counts in points.
    pub points: Option<PointsPlan>,
    /// How long the largest run takes at the rate of requests and points.
    pub longest_run: Duration,
    /// Probes whose runs take longer than their interval at that rate, and requests that cost more than one may.
    pub too_much: Vec<String>,
}

/// In name order.
pub(super) fn systems(config: &Config, keys: &KeysOf) -> Vec<SystemPlan> {
    let mut systems: BTreeMap<&SystemId, SystemPlan> = BTreeMap::new();
    for system in config.systems.values() {
        let empty = SystemPlan {
            system: system.id.clone(),
            calls: 0.0,
            rows: 0.0,
            share: 0.0,
            points: Rates::of(config, &system.id)
                .points
                .map(|rate| PointsPlan { a_day: 0.0, given_a_day: rate * DAY.as_secs_f64() }),
            longest_run: Duration::ZERO,
            too_much: too_dear(config, &system.id),
        };
        systems.insert(&system.id, empty);
    }
    for probe in &config.probes {
        if probe.kind == ProbeKind::Schema {
            bear_schema(config, probe, &mut systems);
            continue;
        }
        if matches!(probe.kind, ProbeKind::Sweep(_) | ProbeKind::Totals(_)) {
            // What these cost depends on what the databases compute by themselves: docs/sweep.md and docs/totals.md say how.
            continue;
        }
        let flows = config.flows.iter().filter(|flow| flow.id.entity == probe.entity && flow.id.owner == probe.owner);
        let flows: Vec<&Arc<Flow>> = flows.collect();
        let cost_of = |flow: &&Arc<Flow>| {
            let count = keys_of(keys, flow).count();
            match sample_plan(probe, count) {
                Some(sample) => Cost::of_sample(config, flow, &sample, count),
                None => Cost::of_changes(config, flow, probe.schedule.longest_interval(), count),
            }
        };
        let costs: Vec<Cost> = flows.iter().map(cost_of).collect();
        let Some(first) = costs.first() else { continue };
        let mut bear = |system: &SystemId, of_run: Use| {
            if let Some(plan) = systems.get_mut(system) {
                plan.bear(probe, first.interval, of_run, Rates::of(config, system));
            }
        };
        // The owner is walked once for all targets, and asked for what each of them shows.
        bear(&probe.owner, costs.iter().fold(first.owner, |sum, cost| sum + cost.looked_up));
        flows.iter().zip(&costs).for_each(|(flow, cost)| bear(&flow.id.target, cost.target));
    }
    systems.into_values().collect()
}

/// A schema probe asks for the columns of each of the entity's tables, in every system that holds it.
fn bear_schema(config: &Config, probe: &Probe, systems: &mut BTreeMap<&SystemId, SystemPlan>) {
    let interval = probe.schedule.longest_interval();
    let mappings = config.entities.get(&probe.entity).into_iter().flat_map(|entity| &entity.mappings);
    for (system, mapping) in mappings {
        if let Some(plan) = systems.get_mut(system) {
            let of_run = cost::of_schema(config, system, mapping);
            plan.bear(probe, interval, of_run, Rates::of(config, system));
        }
    }
}

impl SystemPlan {
    fn bear(&mut self, probe: &Probe, interval: Duration, of_run: Use, rates: Rates) {
        let runs_a_day = cost::runs_a_day(interval);
        self.calls += of_run.calls * runs_a_day;
        self.rows += of_run.rows * runs_a_day;
        self.share = self.calls / (rates.calls * DAY.as_secs_f64());
        if let Some(points) = &mut self.points {
            points.a_day += of_run.points * runs_a_day;
        }
        let run = Duration::try_from_secs_f64(rates.seconds(of_run)).unwrap_or(Duration::MAX);
        if run > interval {
            let kind = probe.kind.as_str();
            self.too_much.push(format!(
                "a run of the {kind} probe of `{}` takes {} at the budget's rate, longer than the {} to the next one",
                probe.entity,
                duration(run),
                duration(interval)
            ));
        }
        self.longest_run = self.longest_run.max(run);
    }
}

/// Mappings in a system of which a single request costs more than it may.
fn too_dear(config: &Config, system: &SystemId) -> Vec<String> {
    let mappings = config.entities.values().filter_map(|entity| entity.mappings.get(system));
    mappings.filter_map(|mapping| cost::too_dear(config, system, mapping)).collect()
}
