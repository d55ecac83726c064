//! One fault, one report, one lag at a time, held against the truth.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::truth::{Address, Episode, episodes};
use super::super::{DisturbanceKind, Options, System};
use super::disturbed::felt;
use super::fits::fits;
use super::{
    Case, CaseOutcome, Day, Freshness, LagCase, Plant, Report, Reports, UnknownLag, WhyUndecided, WhyUnknown, Write,
    disturbed_time, said, written,
};
use crate::model::{Interval, Lag, Moment, Verdict};

/// A report may come this much after the look that it speaks of.
const REPORT_DELAY: Duration = Duration::from_secs(2);

/// Knows the truth.
pub struct Judge<'a> {
    episodes: BTreeMap<Address, Vec<Episode>>,
    day: &'a Day,
    reports: &'a Reports,
    closing: Moment,
    options: &'a Options,
}

impl<'a> Judge<'a> {
    /// Of a day that ended at `closing`.
    pub fn new(day: &'a Day, reports: &'a Reports, closing: Moment, options: &'a Options) -> Self {
        Self { episodes: episodes(&day.writes), day, reports, closing, options }
    }

    /// What differed, and when.
    pub const fn episodes(&self) -> &BTreeMap<Address, Vec<Episode>> {
        &self.episodes
    }

    fn of(&self, address: &Address) -> &[Episode] {
        self.episodes.get(address).map_or(&[], Vec::as_slice)
    }

    /// What became of a planted fault, and whether it was found late.
    pub fn case(&self, plant: &Plant, reports: &[&Report]) -> (Case, bool) {
        let span = Interval::new(plant.at, plant.until.unwrap_or(self.closing));
        let episodes = self.of(&plant.address).iter().filter(|episode| episode.overlaps(span));
        let Some(episode) = episodes.max_by_key(|episode| episode.length(self.closing)) else {
            let mut case = case(plant, None, CaseOutcome::Undecided, &[]);
            case.undecided_why = Some(WhyUndecided::Punctual);
            return (case, false);
        };
        let of_it = reports.iter().copied().filter(|report| report.address == plant.address);
        let said_then = |report: &&Report| is_during(report, episode) || self.still_says(report, episode);
        let during: Vec<&Report> = of_it.filter(said_then).collect();
        let fitting = during.iter().find(|report| fits(plant, report));
        let outcome = match fitting {
            Some(_) => CaseOutcome::Found,
            None if self.calm_length(&plant.address, episode) < self.options.decidable_after() => {
                CaseOutcome::Undecided
            }
            None => CaseOutcome::Missed,
        };
        let mut case = case(plant, Some(episode), outcome, &during);
        case.undecided_why = (outcome == CaseOutcome::Undecided).then(|| self.why_undecided(&plant.address, episode));
        case.found_as = fitting.map(|report| report.verdict.as_str().to_owned());
        case.found_after_secs = fitting.map(|report| report.at.since(episode.began.high).as_secs_f64());
        (case, fitting.is_some_and(|report| self.is_late(report, episode)))
    }

    /// Whether a discrepancy was open when the episode began and stayed so until that was late, too: an agreement in between
    /// that no look found.
    fn still_says(&self, report: &Report, episode: &Episode) -> bool {
        report.at < episode.began.low && report.until > episode.began.high + self.options.deadline
    }

    /// Why an episode that was not reported could not be told from slowness.
    fn why_undecided(&self, address: &Address, episode: &Episode) -> WhyUndecided {
        match episode.length(self.closing) {
            length if length <= self.options.deadline => WhyUndecided::Punctual,
            length if length > self.calm_length(address, episode) => WhyUndecided::Disturbed,
            _ => WhyUndecided::Brief,
        }
    }

    /// How long an episode lasted while none of the entity's systems was disturbed.
    fn calm_length(&self, address: &Address, episode: &Episode) -> Duration {
        self.calm(address, episode.span(self.closing))
    }

    fn calm(&self, address: &Address, span: Interval) -> Duration {
        let disturbed = disturbed_time(self.day, address.entity, span, self.options);
        span.high.since(span.low).saturating_sub(disturbed)
    }

    /// A fault should be reported when its deadline has passed, the next look has seen it and the one after has
    /// confirmed it. A look that a disturbance prevents is not late.
    fn is_late(&self, report: &Report, episode: &Episode) -> bool {
        let waited = Interval::new(episode.began.high, report.at.max(episode.began.high));
        self.calm(&report.address, waited) > self.options.deadline + self.options.probe_every * 2
    }

    /// Whether a system of the entity was disturbed at some moment of `span`.
    pub fn is_disturbed(&self, address: &Address, span: Interval) -> bool {
        let until = Interval::new(span.low, span.high + self.options.decidable_after());
        disturbed_time(self.day, address.entity, until, self.options) > Duration::ZERO
    }

    /// Whether there was a difference longer than the deadline when the report was made, or values could not be read for
    /// what they are and the report says so. What is only likely need not have differed all the time between two looks.
    pub fn justifies(&self, report: &Report) -> bool {
        if report.verdict == Verdict::Invalid && reshaped(self.day, &report.address, report.at, self.options) {
            return true;
        }
        let episodes = self.of(&report.address);
        let is_late = |episode: &Episode| episode.length(self.closing) > self.options.deadline;
        let mut during = (0..episodes.len()).filter(|number| is_during(report, &episodes[*number]));
        during.any(|number| {
            let owed = || Episode { began: self.owed_since(report, &episodes[..=number]), ..episodes[number].clone() };
            is_late(&episodes[number]) || (report.likely && is_late(&owed()))
        })
    }

    /// Since when the target owes what it lacks in the last of these episodes. The clock of a divergence never restarts while the
    /// target stands still: not by an owner that passed by what the target holds, if no look met it there.
    fn owed_since(&self, report: &Report, episodes: &[Episode]) -> Interval {
        let address = &report.address;
        let seen_agreed = self.reports.agreed.get(address).map_or(&[][..], Vec::as_slice);
        let is_targets =
            |write: &&Write| (write.system, write.entity, &write.key) == (address.target, address.entity, &address.key);
        let written: Vec<Interval> = self.day.writes.iter().filter(is_targets).map(|write| write.committed).collect();
        let passed_by = |pair: &&[Episode]| {
            let met = pair[0].ended.map_or(pair[1].began, |ended| Interval::new(ended.low, pair[1].began.high));
            let stood = Interval::new(pair[0].began.low, pair[1].began.high);
            let is_still = written.iter().all(|write| write.intersect(stood).is_none());
            is_still && !seen_agreed.iter().any(|look| (met.low..=met.high).contains(look))
        };
        let pairs = episodes.windows(2).rev().take_while(passed_by);
        pairs.last().map_or_else(|| episodes[episodes.len() - 1].began, |pair| pair[0].began)
    }

    /// `Ok(None)` when the report holds the truth, an error when that is not known.
    pub fn check_lag(&self, event: &Freshness) -> Result<Option<LagCase>, UnknownLag> {
        let seconds = |lag: Lag| (lag.low.as_secs_f64(), lag.high.as_secs_f64());
        let episodes = self.of(&event.address);
        let began_then = |episode: &Episode| episode.began.intersect(event.changed).is_some();
        let truths: Vec<Lag> = (0..episodes.len())
            .filter(|first| began_then(&episodes[*first]))
            .flat_map(|first| self.as_seen(event, &episodes[first..]))
            .filter_map(|episode| self.true_lag(&episode, event.settled))
            .collect();
        let Address { entity, target, key } = event.address.clone();
        if truths.is_empty() {
            let none = !episodes.iter().any(began_then);
            return Err(UnknownLag {
                entity,
                key,
                target,
                changed: (written(event.changed.low), written(event.changed.high)),
                reported_secs: seconds(event.lag),
                why: if none { WhyUnknown::NoDifferenceBegan } else { WhyUnknown::NotEnded },
            });
        }
        if truths.iter().any(|truth| holds(event, *truth)) {
            return Ok(None);
        }
        let true_secs = truths.into_iter().map(seconds).collect();
        Ok(Some(LagCase { entity, key, target, reported_secs: seconds(event.lag), true_secs }))
    }

    /// The first episode, and what it looks like to somebody who looks once in a while: an agreement that no look
    /// found passed unseen.
    fn as_seen(&self, event: &Freshness, episodes: &[Episode]) -> Vec<Episode> {
        let Some(first) = episodes.first() else { return Vec::new() };
        let seen_agreed = self.reports.agreed.get(&event.address).map_or(&[][..], Vec::as_slice);
        let mut seen = vec![first.clone()];
        for pair in episodes.windows(2) {
            let agreed = pair[0].ended.map(|ended| ended.high..=pair[1].began.low);
            if agreed.is_none_or(|agreed| seen_agreed.iter().any(|look| agreed.contains(look))) {
                break;
            }
            seen.push(Episode { began: first.began, ended: pair[1].ended });
        }
        seen
    }

    /// The lag of an episode. One that has not ended is longer than what has passed, which is enough to know for an
    /// event that was decided before its end.
    fn true_lag(&self, episode: &Episode, settled: bool) -> Option<Lag> {
        match episode.lag() {
            None if !settled => Some(Lag { low: episode.length(self.closing), high: Duration::MAX }),
            lag => lag,
        }
    }
}

const fn sides(address: &Address) -> [System; 2] {
    [address.entity.owner(), address.target]
}

/// Whether the shape of a side's data was another one then.
fn reshaped(day: &Day, address: &Address, at: Moment, options: &Options) -> bool {
    let sides = sides(address);
    let mut shapes = day.disturbed.iter().filter(|disturbed| disturbed.kind == DisturbanceKind::Schema);
    shapes.any(|disturbed| {
        sides.contains(&disturbed.system) && felt(disturbed, options).intersect(Interval::new(at, at)).is_some()
    })
}

fn is_during(report: &Report, episode: &Episode) -> bool {
    let end = episode.ended.map_or(Moment::MAX, |ended| ended.high + REPORT_DELAY);
    (episode.began.low..=end).contains(&report.at)
}

/// Whether the reported bounds allow the true lag. While a change is under way its lag has only a lower bound.
fn holds(event: &Freshness, truth: Lag) -> bool {
    event.lag.low <= truth.high && (!event.settled || event.lag.high >= truth.low)
}

fn case(plant: &Plant, episode: Option<&Episode>, outcome: CaseOutcome, said_then: &[&Report]) -> Case {
    let ended = episode.and_then(|episode| episode.ended);
    let Address { entity, target, key } = plant.address.clone();
    Case {
        entity,
        key,
        target,
        fault: plant.kind,
        planted_at: written(plant.at),
        differed_from: episode.map(|episode| written(episode.began.high)).unwrap_or_default(),
        differed_to: ended.map(|ended| written(ended.low)).unwrap_or_default(),
        outcome,
        undecided_why: None,
        found_as: None,
        found_after_secs: None,
        said: said_then.iter().map(|report| said(report)).collect(),
    }
}
