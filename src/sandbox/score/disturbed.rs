//! Disturbances of whole systems: how long they are felt, and whether the auditor noticed them.

use std::time::Duration;

use super::super::{DisturbanceKind, Options, System};
use super::{Day, DisturbanceCase, Disturbed, Reports, written};
use crate::model::{Interval, Moment};

/// Who was refused asks slowly for a while, on purpose.
const WARY_FOR: Duration = Duration::from_secs(15);

/// From its beginning until the auditor has looked twice after its end. What began less than a look before it was not
/// yet seen.
pub fn felt(disturbed: &Disturbed, options: &Options) -> Interval {
    let look = options.probe_every;
    let wary = if disturbed.kind == DisturbanceKind::Throttle { WARY_FOR } else { Duration::ZERO };
    Interval::new(disturbed.span.low - look, disturbed.span.high + look * 2 + wary)
}

/// Checks that could not tell while neither of their systems was disturbed.
pub fn unknown(day: &Day, reports: &Reports, options: &Options) -> u64 {
    let is_disturbed = |systems: [System; 2], at: Moment| {
        let mut disturbed = day.disturbed.iter().filter(|disturbed| systems.contains(&disturbed.system));
        disturbed.any(|disturbed| holds(felt(disturbed, options), at))
    };
    let calm = reports.tallies.iter().filter(|tally| !is_disturbed([tally.owner, tally.target], tally.at));
    calm.map(|tally| tally.unknown).sum()
}

/// What became of every disturbance.
pub fn cases(day: &Day, reports: &Reports, options: &Options) -> Vec<DisturbanceCase> {
    let case = |disturbed: &Disturbed| DisturbanceCase {
        system: disturbed.system,
        kind: disturbed.kind,
        from: written(disturbed.span.low),
        to: written(disturbed.span.high),
        noticed_after_secs: noticed(disturbed, reports, options).map(|at| at.since(disturbed.span.low).as_secs_f64()),
    };
    day.disturbed.iter().map(case).collect()
}

/// Whether the auditor should have said something and did not. A limit that it keeps to needs no word, nor does an outage
/// whose end the system foretells: the auditor waits for it. The store does (`Retry-After`).
pub fn is_unnoticed(case: &DisturbanceCase) -> bool {
    let is_foretold = match case.kind {
        DisturbanceKind::Throttle => true,
        DisturbanceKind::Outage => case.system == System::Store,
        DisturbanceKind::Schema => false,
    };
    !is_foretold && case.noticed_after_secs.is_none()
}

/// When the auditor first said that something is the matter with the system.
fn noticed(disturbed: &Disturbed, reports: &Reports, options: &Options) -> Option<Moment> {
    let felt = Interval::new(disturbed.span.low, felt(disturbed, options).high);
    let of_it = |(system, at): &&(System, Moment)| *system == disturbed.system && holds(felt, *at);
    let said = match disturbed.kind {
        DisturbanceKind::Schema => &reports.reshaped,
        DisturbanceKind::Outage | DisturbanceKind::Throttle => &reports.blind,
    };
    said.iter().filter(of_it).map(|(_, at)| *at).min()
}

fn holds(span: Interval, at: Moment) -> bool {
    (span.low..=span.high).contains(&at)
}
