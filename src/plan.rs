//! What a config costs, how soon it sees a drift and what it never sees; and a schedule for a wanted time. Pure.
//!
//! Arithmetic on the config and on how many keys each entity has. The statistics are [`crate::estimate`]'s; the number of
//! statements is what the readers send, as `docs/sampling.md` lists it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Probe, ProbeKind, SampleSize};
use crate::estimate::{at_most_when_all_good, keys_for, keys_to_see, keys_to_vouch, piece_of};
use crate::model::mapping::{Origin, VersionRule};
use crate::model::{EntityId, Flow, FlowId, SystemId};

mod cost;
mod proposal;
mod systems;

#[cfg(test)]
mod tests;

use cost::{Cost, Rates, Use};
pub use proposal::{Proposal, Wanted, propose};
pub use systems::{PointsPlan, SystemPlan};

/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);
/// Shares of bad keys whose detection is told.
pub const DRIFTS: [f64; 3] = [0.01, 0.001, 0.000_1];
/// Length of the runs of neighbours for which detection is told beside that of lone keys: a failed batch.
pub const RUN_OF_BAD: u64 = 100;

/// How many keys an entity's owner has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Counted in the system, to about one part in a thousand.
    Counted(u64),
    /// Said by whoever asked.
    Given(u64),
    /// Nobody knows: this is a guess.
    Assumed(u64),
}

impl Keys {
    /// The number.
    pub const fn count(self) -> u64 {
        match self {
            Self::Counted(keys) | Self::Given(keys) | Self::Assumed(keys) => keys,
        }
    }
}

/// The keys of each entity and owner.
pub type KeysOf = BTreeMap<(EntityId, SystemId), Keys>;

/// Everything that can be said of a config.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In config order.
    pub flows: Vec<FlowPlan>,
    /// In name order.
    pub systems: Vec<SystemPlan>,
}

/// What can be said of one flow.
#[derive(Clone, Debug)]
pub struct FlowPlan {
    /// The flow.
    pub flow: FlowId,
    /// Keys that its owner has.
    pub keys: Keys,
    /// The deadline, which a difference must outlast before it is called bad.
    pub deadline: Duration,
    /// The longest time between two runs of its changes probe.
    pub changes: Option<Duration>,
    /// Its sample probe.
    pub sample: Option<SamplePlan>,
    /// Statements a day that this flow's probes send to owner and target together.
    pub calls: f64,
    /// Rows a day that its samples, and reads of whole lists for want of a way to ask for changes, read on both sides.
    /// A changes probe adds two for each change.
    pub rows: f64,
    /// Points a day at most, of each of its two systems that counts in points.
    pub points: Vec<(SystemId, PointsPlan)>,
    /// How soon a drift is seen, for each of [`DRIFTS`]; empty without a sample probe.
    pub see: Vec<Seeing>,
    /// What stays blind, in words.
    pub blind: Vec<String>,
    /// What each SLO about the flow can be decided by, in words.
    pub slos: Vec<String>,
}

/// A sample probe in numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplePlan {
    /// The longest time between two runs.
    pub interval: Duration,
    /// Keys of one run.
    pub keys_per_run: u64,
    /// Keys of one piece.
    pub piece: u64,
    /// How long a walk around all keys takes.
    pub walk: Duration,
    /// Every key is looked at at least once in so long: two walks, because the next one takes another order.
    pub every_key: Duration,
    /// After a day without a bad key: the share of bad keys is at most this, at 95 %.
    pub at_most_after_a_day: f64,
}

/// How soon a drift is seen and called by its name, in 95 of 100 cases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seeing {
    /// The share of keys that are bad.
    pub share: f64,
    /// The keys that are.
    pub bad: u64,
    /// If they lie apart; `None` when there is not one such key.
    pub apart: Option<Duration>,
    /// If they lie in runs of [`RUN_OF_BAD`] neighbours.
    pub together: Option<Duration>,
}

/// What can be said of `config` if its entities have so many keys.
pub fn plan(config: &Config, keys: &KeysOf) -> Plan {
    let flows = config.flows.iter().map(|flow| flow_plan(config, flow, keys_of(keys, flow))).collect();
    Plan { flows, systems: systems::systems(config, keys) }
}

/// Without any knowledge: a table that is neither tiny nor huge.
const ASSUMED: u64 = 100_000;

fn keys_of(keys: &KeysOf, flow: &Flow) -> Keys {
    let of = (flow.id.entity.clone(), flow.id.owner.clone());
    keys.get(&of).copied().unwrap_or(Keys::Assumed(ASSUMED))
}

fn probe_of<'c>(config: &'c Config, flow: &FlowId, is_sample: bool) -> Option<&'c Probe> {
    let is_kind = |probe: &&Probe| match probe.kind {
        ProbeKind::Changes => !is_sample,
        ProbeKind::Sample(_) => is_sample,
        ProbeKind::Schema | ProbeKind::Sweep(_) | ProbeKind::Totals(_) => false,
    };
    config.probes.iter().filter(is_kind).find(|probe| probe.entity == flow.entity && probe.owner == flow.owner)
}

fn flow_plan(config: &Config, flow: &Arc<Flow>, keys: Keys) -> FlowPlan {
    let changes = probe_of(config, &flow.id, false).map(|probe| probe.schedule.longest_interval());
    let sample = probe_of(config, &flow.id, true).and_then(|probe| sample_plan(probe, keys.count()));
    let of_sample = |sample: &SamplePlan| Cost::of_sample(config, flow, sample, keys.count());
    let of_changes = |interval| Cost::of_changes(config, flow, interval, keys.count());
    let costs = [changes.map(of_changes), sample.as_ref().map(of_sample)];
    let costs = || costs.iter().flatten();
    let points = |system: &SystemId, of_run: fn(&Cost) -> Use| {
        let given_a_day = Rates::of(config, system).points? * DAY.as_secs_f64();
        let a_day = costs().map(|cost| of_run(cost).points * cost.a_day()).sum();
        Some((system.clone(), PointsPlan { a_day, given_a_day }))
    };
    let of_owner = points(&flow.id.owner, |cost| cost.owner + cost.looked_up);
    let of_target = points(&flow.id.target, |cost| cost.target);
    FlowPlan {
        flow: flow.id.clone(),
        keys,
        deadline: flow.deadline,
        changes,
        calls: costs().map(|cost| cost.both().calls * cost.a_day()).sum(),
        rows: costs().map(|cost| cost.both().rows * cost.a_day()).sum(),
        points: of_owner.into_iter().chain(of_target).collect(),
        see: sample.as_ref().map_or_else(Vec::new, |sample| seeing(sample, keys.count(), flow.deadline)),
        blind: blind(flow, changes.is_some(), sample.is_some()),
        slos: slos(config, flow, changes, sample.as_ref(), keys.count()),
        sample,
    }
}

fn sample_plan(probe: &Probe, keys: u64) -> Option<SamplePlan> {
    let ProbeKind::Sample(size) = probe.kind else { return None };
    let interval = probe.schedule.longest_interval();
    let per_run = match size {
        SampleSize::Keys(keys) => keys as u64,
        SampleSize::EveryKeyWithin(within) => keys_for(keys, within, interval),
    };
    Some(sample_of(keys, per_run, interval))
}

fn sample_of(keys: u64, keys_per_run: u64, interval: Duration) -> SamplePlan {
    let piece = piece_of(keys_per_run);
    let runs_a_walk = keys.div_ceil(keys_per_run.max(1)).max(1);
    let walk = times(interval, runs_a_walk);
    let runs_a_day = (DAY.as_secs_f64() / interval.as_secs_f64().max(1e-3)).floor() as u64;
    let drawn = keys_per_run.saturating_mul(runs_a_day).min(keys);
    let at_most_after_a_day = at_most_when_all_good(keys, drawn, piece);
    SamplePlan { interval, keys_per_run, piece, walk, every_key: times(walk, 2), at_most_after_a_day }
}

fn times(interval: Duration, runs: u64) -> Duration {
    interval.saturating_mul(u32::try_from(runs).unwrap_or(u32::MAX))
}

/// The time for so many keys: the runs that draw them, and the deadline that a difference must outlast.
fn time_for(sample: &SamplePlan, keys: u64, deadline: Duration) -> Duration {
    times(sample.interval, keys.div_ceil(sample.keys_per_run.max(1)).max(1)).saturating_add(deadline)
}

fn seeing(sample: &SamplePlan, keys: u64, deadline: Duration) -> Vec<Seeing> {
    let of = |share: f64| {
        let bad = (share * keys as f64).round() as u64;
        let time = |clump| keys_to_see(keys, bad, clump).map(|drawn| time_for(sample, drawn, deadline));
        Seeing { share, bad, apart: time(1), together: time(RUN_OF_BAD) }
    };
    DRIFTS.into_iter().map(of).collect()
}

fn blind(flow: &Flow, has_changes: bool, has_sample: bool) -> Vec<String> {
    let mut blind = Vec::new();
    let owner = &flow.id.owner;
    if !has_changes {
        blind.push(format!(
            "no changes probe reads `{owner}`: no lag is measured, nothing is found sooner than by samples"
        ));
    }
    if !has_sample {
        blind.push(format!(
            "no sample probe: a value that changes in `{owner}` without its stamp, or in `{}` by other hands, is never \
             seen, nor are records that only `{}` has",
            flow.id.target, flow.id.target
        ));
    }
    for mapping in [&flow.owner, &flow.target].into_iter().filter(|mapping| mapping.key_index) {
        blind.push(format!(
            "keys of `{}` are found by an index that follows its stamps: a record whose key changes without one is not \
             found under the new key",
            mapping.system
        ));
    }
    let fields = blind_fields(flow);
    if !has_sample && !fields.is_empty() {
        blind.push(format!(
            "blind fields: {}: rows that they are made of come and go without a stamp in `{owner}`, and no sample looks",
            fields.join(", ")
        ));
    }
    let has_sequence = matches!(flow.owner.version, Some(VersionRule::Sequence(_)));
    if flow.owner.changed_at.is_none() && !has_sequence {
        blind
            .push(format!("`{owner}` stamps no changes: when one was made is known only to the distance of two looks"));
    }
    if !has_changes && !has_sample {
        blind =
            vec![format!("no probe looks at this flow: everything in it stays unseen (`{owner}` is read by nobody)")];
    }
    blind
}

/// Fields that are made of children whose coming and going moves nothing in their parent.
fn blind_fields(flow: &Flow) -> Vec<String> {
    let is_blind = |index: usize| {
        let Some(Some(rule)) = flow.owner.fields.get(index) else { return false };
        let Origin::Children(origin) = &rule.origin else { return false };
        flow.owner.children.get(origin.children).is_some_and(|children| !children.bumps_parent)
    };
    flow.fields.iter().filter(|field| is_blind(field.index)).map(|field| format!("`{}`", field.name)).collect()
}

fn slos(
    config: &Config,
    flow: &Flow,
    changes: Option<Duration>,
    sample: Option<&SamplePlan>,
    keys: u64,
) -> Vec<String> {
    let about = config.slos.iter().filter(|slo| slo.flows.contains(&flow.id));
    about.map(|slo| slo_words(slo.name(), slo.promise.objective.share(), changes, sample, keys)).collect()
}

fn slo_words(name: &str, objective: f64, changes: Option<Duration>, sample: Option<&SamplePlan>, keys: u64) -> String {
    let percent = percent(objective);
    let lags = match changes {
        Some(interval) => format!("lags are known to about {}", duration(interval)),
        None => "no lag is measured: freshness cannot be decided".to_owned(),
    };
    let Some(sample) = sample else { return format!("`{name}`: {lags}") };
    let needed = keys_to_vouch(keys, 1.0 - objective, sample.piece);
    let time = time_for(sample, needed, Duration::ZERO);
    format!("`{name}`: {lags}; samples vouch for {percent} agreement after {} without a bad key", duration(time))
}

/// `99.5 %`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = if (0.1..99.0).contains(&percent) { 1 } else { 3 };
    let text = format!("{percent:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

/// A duration with its two largest units: `2d 4h`, `5m`, `200ms`.
pub fn duration(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis >= 366 * 86_400_000 {
        return "more than a year".to_owned();
    }
    let mut parts = Vec::new();
    for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if millis >= factor {
            parts.push(format!("{}{unit}", millis / factor));
            millis %= factor;
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}
