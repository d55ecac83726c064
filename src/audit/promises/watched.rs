//! One promise about one flow or queue, with its minutes.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, ProbeKind, Slo};
use crate::metrics::PromiseLabels;
use crate::model::{Flow, FlowId, SystemId};
use crate::slo::{Counted, Evaluation, Indicator, Judged, Maintenance, Minute, Promise, Series, Window, evaluate};

/// One promise about one thing.
pub struct Watched {
    /// The promise.
    pub promise: Promise,
    /// The flow, unless it is about a queue.
    pub flow: Option<Arc<Flow>>,
    /// Only these fields of the flow; all when empty.
    pub fields: Vec<String>,
    /// The queue, and the system that has it.
    pub queue: Option<(SystemId, String)>,
    /// What is known of each minute.
    pub series: Series,
    /// Coverage is told at most so many minutes late.
    pub grace: i64,
    /// A look vouches for so many minutes after it.
    pub lasts: i64,
    /// Minutes of the past that are evaluated again; 0 when only the present is.
    pub replays: i64,
}

/// A floor of overdue keys, and the SLO whose own gauge is held against it.
pub type Floor = (u64, Option<String>);

/// Everything that the promises of a config are about; the series are empty.
pub fn watched(config: &Config) -> Vec<Watched> {
    let of_slo = |slo: &Slo| {
        let about_flows = slo.flows.iter().filter_map(|id| config.flows.iter().find(|flow| flow.id == *id));
        let flows: Vec<Watched> = about_flows.map(|flow| watch(config, slo, Some(flow))).collect();
        if slo.queue.is_some() { vec![watch(config, slo, None)] } else { flows }
    };
    config.slos.iter().flat_map(of_slo).collect()
}

/// Runs are committed at least this often, and take so long to the ledger.
const ON_THE_WAY: Duration = Duration::from_secs(180);

fn watch(config: &Config, slo: &Slo, flow: Option<&Arc<Flow>>) -> Watched {
    let interval = flow.map_or(Duration::ZERO, |flow| interval(config, &flow.id, slo.promise.indicator));
    let minutes = |duration: Duration| i64::try_from(duration.as_secs().div_ceil(60)).unwrap_or(i64::MAX / 4);
    let promise = slo.promise.clone();
    let series = empty(&promise, Minute(0), 0);
    Watched {
        flow: flow.cloned(),
        fields: slo.fields.iter().map(ToString::to_string).collect(),
        queue: slo.queue.clone(),
        series,
        grace: minutes(interval.saturating_mul(2) + ON_THE_WAY),
        lasts: minutes(interval.saturating_mul(2)) + 1,
        replays: 0,
        promise,
    }
}

/// The longest time between two looks of the probes that measure an indicator. Agreement is what samples say; where there are
/// none, what sweeps say.
fn interval(config: &Config, flow: &FlowId, indicator: Indicator) -> Duration {
    let of_flow = || config.probes.iter().filter(|probe| probe.entity == flow.entity && probe.owner == flow.owner);
    let longest = |measures: fn(&ProbeKind) -> bool| {
        of_flow().filter(|probe| measures(&probe.kind)).map(|probe| probe.schedule.longest_interval()).max()
    };
    let found = match indicator {
        Indicator::Freshness(_) => longest(|kind| *kind == ProbeKind::Changes),
        Indicator::Agreement | Indicator::Completeness => longest(|kind| matches!(kind, ProbeKind::Sample(_)))
            .or_else(|| longest(|kind| matches!(kind, ProbeKind::Sweep(_)))),
        Indicator::TotalsVariance => longest(|kind| matches!(kind, ProbeKind::Totals(_))),
        Indicator::QueueAge(_) | Indicator::QueueDepth(_) | Indicator::ProbeAvailability => longest(|_| true),
    };
    found.unwrap_or(Duration::ZERO)
}

/// Minutes of the world that certainly hold so many counted ones, long holidays included.
fn reach(promise: &Promise, counted: i64) -> i64 {
    match promise.calendar.as_deref() {
        None => counted,
        Some(calendar) => (counted as f64 / calendar.share_of_week().max(0.01)).ceil() as i64 + 14 * 1440,
    }
}

fn empty(promise: &Promise, now: Minute, replays: i64) -> Series {
    let recent = promise.tiers.iter().map(|tier| reach(promise, tier.long)).max().unwrap_or(60).max(180) + replays;
    let kept = match promise.window {
        Window::Rolling(_) => promise.window.minutes(),
        // Some periods are a day longer than usual.
        Window::Calendar(..) => promise.window.minutes() + 2 * 1440,
    };
    Series::new(now, recent, (kept + replays).max(recent), promise.overdue_floor)
}

impl Watched {
    /// Forgets everything.
    pub fn reset(&mut self, now: Minute) {
        self.series = empty(&self.promise, now, self.replays);
    }

    /// For metrics.
    pub fn labels(&self) -> PromiseLabels<'_> {
        let (entity, owner, target) = self.place();
        PromiseLabels { slo: &self.promise.name, entity, owner, target }
    }

    /// Entity, owner and target; of a queue nothing, its system and its name.
    pub fn place(&self) -> (&str, &str, &str) {
        match (&self.flow, &self.queue) {
            (Some(flow), _) => (flow.id.entity.as_str(), flow.id.owner.as_str(), flow.id.target.as_str()),
            (None, Some((system, queue))) => ("", system.as_str(), queue.as_str()),
            (None, None) => ("", "", ""),
        }
    }

    /// Its floor of overdue keys; with its name where the gauge is its own.
    pub fn floor(&self) -> Floor {
        (self.promise.overdue_floor, (!self.fields.is_empty()).then(|| self.promise.name.clone()))
    }

    /// Under what its overdue gauge is known: its flow's, or one of its own if it is about some fields.
    pub fn gauge(&self) -> Option<String> {
        let flow = self.flow.as_ref().map(|flow| flow.id.to_string())?;
        Some(if self.fields.is_empty() { flow } else { format!("{flow} ({})", self.promise.name) })
    }

    /// The systems that it depends on.
    pub fn systems(&self) -> Vec<&SystemId> {
        match (&self.flow, &self.queue) {
            (Some(flow), _) => [&flow.id.owner, &flow.id.target].into_iter().chain(flow.via()).collect(),
            (None, Some((system, _))) => vec![system],
            (None, None) => Vec::new(),
        }
    }

    /// The counted minutes up to `now`, without and with maintenance.
    pub fn counted(&self, now: Minute, maintenance: &[Maintenance]) -> (Counted, Counted) {
        let from = self.series.reaches_back_to(now);
        let raw = Counted::of(self.promise.calendar.as_deref(), from, now.plus(1));
        let systems = self.systems();
        let concerns = |work: &&Maintenance| work.concerns(systems.iter().map(|system| system.as_str()));
        (raw.clone().without(maintenance.iter().filter(concerns)), raw)
    }

    /// Holds the promise against its minutes. `since`: this auditor has evaluated from then on, and gives what happened
    /// before the time to be told.
    pub fn evaluate(&mut self, now: Minute, since: Minute, maintenance: &[Maintenance]) -> Evaluation {
        self.series.advance(now);
        let (adjusted, raw) = self.counted(now, maintenance);
        let settled = match self.series.told_to() {
            Some(told) if now.0 - told.0 <= self.grace || now.0 - since.0 <= self.grace => told,
            None if now.0 - since.0 <= self.grace => since,
            _ => now.plus(1),
        };
        evaluate(&self.promise, &self.series, (&adjusted, &raw), (now, settled))
    }

    /// For finding out what is wrong.
    pub fn judged<'w>(&'w self, evaluation: &'w Evaluation) -> Judged<'w> {
        Judged {
            promise: &self.promise,
            flow: self.flow.as_ref().map(|flow| &flow.id),
            fields: &self.fields,
            via: self.flow.as_ref().map_or(&[], |flow| flow.via()),
            queue: self.queue.as_ref().map(|(system, queue)| (system, queue.as_str())),
            evaluation,
        }
    }
}
