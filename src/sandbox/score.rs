//! The auditor's reports held against the truth: what it found, what it missed, what it made up, and whether each
//! lag that it measured holds the true one. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::book::Write;
use super::plan::Effect;
use super::truth::Address;
use super::{DisturbanceKind, Entity, FaultKind, Options, System};
use crate::model::{Interval, Lag, Moment, Verdict};

mod disturbed;
mod estimates;
mod fits;
mod judge;
mod summary;

pub use estimates::{Estimated, Share};
use judge::Judge;
pub use summary::{
    Case, CaseOutcome, Cost, Delay, DisturbanceCase, EstimateCase, LagCase, Said, Summary, UnknownLag, WhyUndecided,
    WhyUnknown,
};

/// One planted fault in one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Plant {
    /// Where.
    pub address: Address,
    /// In which way.
    pub kind: FaultKind,
    /// What the spoiled change meant for the target.
    pub effect: Effect,
    /// From when on the key was spoiled.
    pub at: Moment,
    /// When the sync job set it right; `None` never.
    pub until: Option<Moment>,
}

/// A system that was disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturbed {
    /// Which.
    pub system: System,
    /// In which way.
    pub kind: DisturbanceKind,
    /// From when to when.
    pub span: Interval,
}

/// What really happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Day {
    /// What was planted, oldest first.
    pub plants: Vec<Plant>,
    /// What was disturbed, oldest first.
    pub disturbed: Vec<Disturbed>,
    /// What was written, in any order.
    pub writes: Vec<Write>,
}

/// A step in the life of a discrepancy, as the ledger tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Where.
    pub address: Address,
    /// When.
    pub at: Moment,
    /// Until when it said so: its next step, or the end of time.
    pub until: Moment,
    /// Whether it opened here, rather than changed.
    pub opened: bool,
    /// Its verdict.
    pub verdict: Verdict,
    /// Whether stale against mismatch was only likely.
    pub likely: bool,
}

/// A decided freshness event, as the ledger tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Freshness {
    /// Where.
    pub address: Address,
    /// When the owner changed.
    pub changed: Interval,
    /// How long it took, or had taken when it was decided.
    pub lag: Lag,
    /// Whether the change had arrived: only then is `lag.high` a bound of the whole lag.
    pub settled: bool,
    /// Whether it could not be told from a punctual one.
    pub undecided: bool,
}

/// The checks of one flow in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The system that is right.
    pub owner: System,
    /// The system that must follow.
    pub target: System,
    /// The second's beginning.
    pub at: Moment,
    /// All of them.
    pub checks: u64,
    /// Those that could not tell.
    pub unknown: u64,
}

/// Everything that the auditor said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reports {
    /// In order of time.
    pub discrepancies: Vec<Report>,
    /// In any order.
    pub freshness: Vec<Freshness>,
    /// When it saw which key agree, in any order.
    pub agreed: BTreeMap<Address, Vec<Moment>>,
    /// Checks, in any order.
    pub tallies: Vec<Tally>,
    /// When it said that it could not look at a system, or not at all of it.
    pub blind: Vec<(System, Moment)>,
    /// When it said that the shape of a system's data had changed.
    pub reshaped: Vec<(System, Moment)>,
    /// What its samples said, in any order.
    pub estimated: Vec<Estimated>,
    /// What its looks cost.
    pub cost: BTreeMap<System, Cost>,
}

/// Holds `reports` against what happened until `closing`. Later reports do not count: nobody carries changes any
/// more, so everything is late then.
pub fn score(day: &Day, reports: &Reports, closing: Moment, options: &Options) -> Summary {
    let judge = Judge::new(day, reports, closing, options);
    let in_time: Vec<&Report> = reports.discrepancies.iter().filter(|report| report.at <= closing).collect();
    let cases: Vec<(Case, bool)> = day.plants.iter().map(|plant| judge.case(plant, &in_time)).collect();
    let late = cases.iter().filter(|(_, is_late)| *is_late).count();
    let cases: Vec<Case> = cases.into_iter().map(|(case, _)| case).collect();
    let count = |outcome| cases.iter().filter(|case| case.outcome == outcome).count();
    let opened = in_time.iter().copied().filter(|report| report.opened);
    let false_cases: Vec<Said> = opened.filter(|report| !judge.justifies(report)).map(said).collect();
    let (mut widths, mut lag_cases, mut lag_unknown_cases) = (Vec::new(), Vec::new(), Vec::new());
    let mut lag_checked = 0;
    for event in &reports.freshness {
        match judge.check_lag(event) {
            Ok(wrong) => {
                // While a system is away nobody can know better.
                if !judge.is_disturbed(&event.address, event.changed) {
                    widths.push(event.lag.high.saturating_sub(event.lag.low).as_secs_f64());
                }
                lag_checked += 1;
                lag_cases.extend(wrong);
            }
            Err(unknown) => lag_unknown_cases.push(unknown),
        }
    }
    let disturbances = disturbed::cases(day, reports, options);
    let (estimates_checked, estimate_cases) =
        estimates::check(day, judge.episodes(), &reports.estimated, closing, options);
    let unsure = |event: &&Freshness| event.undecided && !judge.is_disturbed(&event.address, event.changed);
    Summary {
        seed: options.seed,
        planted: day.plants.len(),
        found: count(CaseOutcome::Found),
        missed: count(CaseOutcome::Missed),
        undecided: count(CaseOutcome::Undecided),
        undecided_why: undecided_why(&cases),
        false_reports: false_cases.len(),
        lag_checked,
        lag_outside: lag_cases.len(),
        lag_unknown: lag_unknown_cases.len(),
        lag_width_p95_secs: quantile(&mut widths, 0.95),
        late,
        matrix: matrix(&cases),
        delays: delays(&cases),
        cost: reports.cost.clone(),
        checks: reports.tallies.iter().map(|tally| tally.checks).sum(),
        unknown: disturbed::unknown(day, reports, options),
        lag_undecided: reports.freshness.iter().filter(unsure).count(),
        estimates_checked,
        estimates_outside: estimate_cases.len(),
        unnoticed: disturbances.iter().filter(|case| disturbed::is_unnoticed(case)).count(),
        disturbances,
        cases,
        false_cases,
        lag_cases,
        lag_unknown_cases,
        estimate_cases,
    }
}

fn matrix(cases: &[Case]) -> BTreeMap<FaultKind, BTreeMap<String, usize>> {
    let mut matrix: BTreeMap<FaultKind, BTreeMap<String, usize>> = BTreeMap::new();
    for case in cases {
        let said = case.found_as.clone().or_else(|| case.said.last().map(|said| said.verdict.clone()));
        let word = said.unwrap_or_else(|| "nothing".to_owned());
        *matrix.entry(case.fault).or_default().entry(word).or_default() += 1;
    }
    matrix
}

fn undecided_why(cases: &[Case]) -> BTreeMap<WhyUndecided, usize> {
    let mut counted = BTreeMap::new();
    for why in cases.iter().filter_map(|case| case.undecided_why) {
        *counted.entry(why).or_default() += 1;
    }
    counted
}

fn delays(cases: &[Case]) -> BTreeMap<FaultKind, Delay> {
    let mut by_kind: BTreeMap<FaultKind, Vec<f64>> = BTreeMap::new();
    for case in cases {
        if let Some(seconds) = case.found_after_secs {
            by_kind.entry(case.fault).or_default().push(seconds);
        }
    }
    let delay = |mut found: Vec<f64>| Delay {
        found: found.len(),
        median_secs: quantile(&mut found, 0.5),
        longest_secs: quantile(&mut found, 1.0),
    };
    by_kind.into_iter().map(|(kind, found)| (kind, delay(found))).collect()
}

/// The least of the values that `share` of them do not exceed; 0 of none.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

fn said(report: &Report) -> Said {
    let Address { entity, target, key } = report.address.clone();
    Said {
        entity,
        key,
        target,
        at: written(report.at),
        verdict: report.verdict.as_str().to_owned(),
        likely: report.likely,
    }
}

fn written(moment: Moment) -> String {
    moment.to_utc().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// How long one of an entity's systems was disturbed in `span`. A target that is slow to answer delays looks at the others.
fn disturbed_time(day: &Day, entity: Entity, span: Interval, options: &Options) -> Duration {
    let touching = day.disturbed.iter().filter(|disturbed| entity.systems().any(|system| system == disturbed.system));
    let overlaps = touching.filter_map(|disturbed| disturbed::felt(disturbed, options).intersect(span));
    overlaps.map(|overlap| overlap.high.since(overlap.low)).sum()
}

#[cfg(test)]
mod tests;
