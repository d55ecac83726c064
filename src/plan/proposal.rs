//! A sample probe for a wanted time of detection.

use std::sync::Arc;
use std::time::Duration;

use super::cost::{Cost, Rates, Use};
use super::{Keys, KeysOf, SamplePlan, duration, keys_of, percent, sample_of, time_for};
use crate::config::Config;
use crate::estimate::keys_to_see;
use crate::model::{EntityId, Flow, SystemId};

/// What shall be seen, and how soon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// A share of bad keys, above 0 and below 1.
    pub share: f64,
    /// In 95 of 100 cases within this time, deadline included.
    pub within: Duration,
}

/// A sample probe that sees what is wanted in time, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The entity.
    pub entity: EntityId,
    /// The owner whose keys are walked.
    pub owner: SystemId,
    /// Keys that it has.
    pub keys: Keys,
    /// The probe, or in words why none can do it.
    pub sample: Result<SamplePlan, String>,
}

/// Intervals that are proposed, the longest first: the fewer runs, the fewer statements.
const INTERVALS: [u64; 6] = [3_600, 1_800, 900, 300, 60, 10];
/// At least so many runs in the wanted time: a drift must not hinge on one of them.
const RUNS: u32 = 6;
/// Keys of a proposed run, at least: fewer cost more in statements than they tell.
const FEWEST: u64 = 100;

/// One proposal for each entity and owner with flows.
pub fn propose(config: &Config, keys: &KeysOf, wanted: Wanted) -> Vec<Proposal> {
    let mut proposals: Vec<Proposal> = Vec::new();
    for flow in &config.flows {
        let known = |proposal: &Proposal| proposal.entity == flow.id.entity && proposal.owner == flow.id.owner;
        if proposals.iter().any(known) {
            continue;
        }
        let keys = keys_of(keys, flow);
        let of_unit = |other: &&Arc<Flow>| other.id.entity == flow.id.entity && other.id.owner == flow.id.owner;
        let flows: Vec<&Arc<Flow>> = config.flows.iter().filter(of_unit).collect();
        proposals.push(Proposal {
            entity: flow.id.entity.clone(),
            owner: flow.id.owner.clone(),
            keys,
            sample: sample_for(config, &flows, keys.count(), wanted),
        });
    }
    proposals
}

fn sample_for(config: &Config, flows: &[&Arc<Flow>], keys: u64, wanted: Wanted) -> Result<SamplePlan, String> {
    let deadline = flows.iter().map(|flow| flow.deadline).max().unwrap_or_default();
    let bad = (wanted.share * keys as f64).floor() as u64;
    let Some(needed) = keys_to_see(keys, bad, 1) else {
        return Err(format!("{} of {keys} keys is less than one key", percent(wanted.share)));
    };
    let Some(time) = wanted.within.checked_sub(deadline).filter(|time| !time.is_zero()) else {
        let (within, deadline) = (duration(wanted.within), duration(deadline));
        return Err(format!(
            "nothing is called bad before its deadline of {deadline} has passed; {within} is too soon"
        ));
    };
    let systems = flows.iter().flat_map(|flow| [&flow.id.owner, &flow.id.target]);
    let budgets = systems.filter_map(|system| config.systems.get(system)).map(|system| system.budget);
    let budgets: Vec<_> = budgets.collect();
    let most = budgets.iter().map(|budget| budget.rows_per_run).min().unwrap_or(usize::MAX) as u64;
    let rate = budgets.iter().map(|budget| budget.requests_per_second).fold(f64::INFINITY, f64::min);
    let fits = |sample: &SamplePlan| {
        let half = sample.interval.as_secs_f64() / 2.0;
        let is_borne = |system: &SystemId, of_run: Use| Rates::of(config, system).seconds(of_run) <= half;
        let fits = |flow: &&Arc<Flow>| {
            let cost = Cost::of_sample(config, flow, sample, keys);
            is_borne(&flow.id.owner, cost.owner + cost.looked_up) && is_borne(&flow.id.target, cost.target)
        };
        sample.keys_per_run <= most && flows.iter().all(fits)
    };
    let of_interval = |seconds: &u64| {
        let interval = Duration::from_secs(*seconds);
        // The run under way when the drift begins may have gone past it: one run less.
        let runs = (time.as_secs_f64() / interval.as_secs_f64()).floor() as u64;
        let runs = runs.checked_sub(1).filter(|runs| *runs >= u64::from(RUNS))?;
        let per_run = needed.div_ceil(runs).max(FEWEST.min(keys.max(10)));
        let sample = sample_of(keys, per_run.max(10), interval);
        (fits(&sample) && time_for(&sample, needed, deadline) <= wanted.within).then_some(sample)
    };
    INTERVALS.iter().find_map(of_interval).ok_or_else(|| {
        format!(
            "{needed} keys must be drawn in {}: more than the budgets allow ({rate} requests a second, {most} rows a run)",
            duration(time)
        )
    })
}
