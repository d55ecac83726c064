//! The auditor's reports held against the truth: what it found, what it missed, what it made up, and whether each
//! lag that it measured holds the true one. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::truth::{Episode, Write, episodes};
use super::{Entity, FaultKind, Options};
use crate::model::{Interval, Lag, Moment, Verdict};

/// One planted fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Plant {
    /// Of what.
    pub entity: Entity,
    /// Of which.
    pub key: String,
    /// In which way.
    pub kind: FaultKind,
    /// What the spoiled change meant for the target.
    pub effect: Effect,
    /// From when on the key was spoiled.
    pub at: Moment,
    /// When the sync job set it right; `None` never.
    pub until: Option<Moment>,
}

/// What a change means for the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A record must appear.
    Appears,
    /// A record must change.
    Changes,
    /// A record must vanish.
    Vanishes,
}

/// A step in the life of a discrepancy, as the ledger tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Of what.
    pub entity: Entity,
    /// Of which.
    pub key: String,
    /// When.
    pub at: Moment,
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
    /// Of what.
    pub entity: Entity,
    /// Of which.
    pub key: String,
    /// When the owner changed.
    pub changed: Interval,
    /// How long it took, or had taken when it was decided.
    pub lag: Lag,
    /// Whether the change had arrived: only then is `lag.high` a bound of the whole lag.
    pub settled: bool,
}

/// Everything that the auditor said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reports {
    /// In order of time.
    pub discrepancies: Vec<Report>,
    /// In any order.
    pub freshness: Vec<Freshness>,
}

/// How right the auditor was. The stored format of `plumbline demo --summary`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The seed of the run.
    pub seed: u64,
    /// Faults that were planted.
    pub planted: usize,
    /// Of these, reported with a fitting verdict while they lasted.
    pub found: usize,
    /// Of these, long enough to be seen and not reported so.
    pub missed: usize,
    /// Of these, over before they could be told from slowness.
    pub undecided: usize,
    /// Discrepancies opened without a difference longer than the deadline.
    pub false_reports: usize,
    /// Measured lags whose truth is known.
    pub lag_checked: usize,
    /// Of these, measured so that the truth lies outside.
    pub lag_outside: usize,
    /// Measured lags of which the truth is not known: no difference began when the report says, or it has not ended.
    pub lag_unknown: usize,
    /// Every planted fault.
    pub cases: Vec<Case>,
    /// Every false report.
    pub false_cases: Vec<Said>,
    /// Every lag that was measured wrongly.
    pub lag_cases: Vec<LagCase>,
    /// Every measured lag of which the truth is not known.
    pub lag_unknown_cases: Vec<UnknownLag>,
}

impl Summary {
    /// Nothing missed, nothing made up, no lag outside its bounds.
    pub fn is_right(&self) -> bool {
        self.missed == 0 && self.false_reports == 0 && self.lag_outside == 0
    }
}

/// What became of one planted fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Of what.
    pub entity: Entity,
    /// Of which.
    pub key: String,
    /// In which way it was spoiled.
    pub fault: FaultKind,
    /// When, RFC 3339 with milliseconds.
    pub planted_at: String,
    /// When the two systems began to differ; empty if they never did.
    pub differed_from: String,
    /// When they agreed again; empty if they had not when the company closed.
    pub differed_to: String,
    /// `found`, `missed` or `undecided`.
    pub outcome: CaseOutcome,
    /// The verdict of the fitting report.
    pub found_as: Option<String>,
    /// Seconds from the beginning of the difference to the fitting report.
    pub found_after_secs: Option<f64>,
    /// Everything that the auditor said about the key while it lasted.
    pub said: Vec<Said>,
}

/// What became of a planted fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaseOutcome {
    /// Reported with a fitting verdict while it lasted.
    Found,
    /// Long enough to be seen, and not reported so.
    Missed,
    /// Over before it could be told from slowness.
    Undecided,
}

/// One report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// Of what.
    pub entity: Entity,
    /// Of which.
    pub key: String,
    /// When, RFC 3339 with milliseconds.
    pub at: String,
    /// The verdict's word.
    pub verdict: String,
    /// Whether stale against mismatch was only likely.
    pub likely: bool,
}

/// A lag that was measured wrongly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LagCase {
    /// Of what.
    pub entity: Entity,
    /// Of which.
    pub key: String,
    /// Reported bounds, seconds.
    pub reported_secs: (f64, f64),
    /// True bounds, seconds, of every difference that began when the report says.
    pub true_secs: Vec<(f64, f64)>,
}

/// A measured lag of which the truth is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnknownLag {
    /// Of what.
    pub entity: Entity,
    /// Of which.
    pub key: String,
    /// When the owner changed according to the report, RFC 3339 with milliseconds.
    pub changed: (String, String),
    /// Reported bounds, seconds.
    pub reported_secs: (f64, f64),
    /// Why it is not known.
    pub why: WhyUnknown,
}

/// Why the truth of a measured lag is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyUnknown {
    /// The two systems did not begin to differ when the report says that the owner changed.
    NoDifferenceBegan,
    /// The difference had not ended when the company closed.
    NotEnded,
}

/// A report may come this much after the look that it speaks of.
const REPORT_DELAY: Duration = Duration::from_secs(2);

/// Holds `reports` against what was planted and what was written until `closing`. Later reports do not count: nobody
/// carries changes any more, so everything is late then.
pub fn score(plants: &[Plant], writes: &[Write], reports: &Reports, closing: Moment, options: &Options) -> Summary {
    let truth = Truth { episodes: episodes(writes), closing, options };
    let in_time: Vec<&Report> = reports.discrepancies.iter().filter(|report| report.at <= closing).collect();
    let cases: Vec<Case> = plants.iter().map(|plant| truth.case(plant, &in_time)).collect();
    let count = |outcome| cases.iter().filter(|case| case.outcome == outcome).count();
    let opened = in_time.iter().copied().filter(|report| report.opened);
    let false_cases: Vec<Said> = opened.filter(|report| !truth.justifies(report)).map(said).collect();
    let (mut lag_checked, mut lag_cases, mut lag_unknown_cases) = (0, Vec::new(), Vec::new());
    for event in &reports.freshness {
        match truth.check_lag(event) {
            Ok(wrong) => {
                lag_checked += 1;
                lag_cases.extend(wrong);
            }
            Err(unknown) => lag_unknown_cases.push(unknown),
        }
    }
    Summary {
        seed: options.seed,
        planted: plants.len(),
        found: count(CaseOutcome::Found),
        missed: count(CaseOutcome::Missed),
        undecided: count(CaseOutcome::Undecided),
        false_reports: false_cases.len(),
        lag_checked,
        lag_outside: lag_cases.len(),
        lag_unknown: lag_unknown_cases.len(),
        cases,
        false_cases,
        lag_cases,
        lag_unknown_cases,
    }
}

struct Truth<'a> {
    episodes: BTreeMap<(Entity, String), Vec<Episode>>,
    closing: Moment,
    options: &'a Options,
}

impl Truth<'_> {
    fn of(&self, entity: Entity, key: &str) -> &[Episode] {
        self.episodes.get(&(entity, key.to_owned())).map_or(&[], Vec::as_slice)
    }

    fn case(&self, plant: &Plant, reports: &[&Report]) -> Case {
        let span = Interval::new(plant.at, plant.until.unwrap_or(self.closing));
        let episodes = self.of(plant.entity, &plant.key).iter().filter(|episode| episode.overlaps(span));
        let Some(episode) = episodes.max_by_key(|episode| episode.length(self.closing)) else {
            return case(plant, None, CaseOutcome::Undecided, &[]);
        };
        let during: Vec<&Report> = reports
            .iter()
            .copied()
            .filter(|report| speaks_of(report, plant) && self.is_during(report, episode))
            .collect();
        let fitting = during.iter().find(|report| fits(plant, report));
        let outcome = match fitting {
            Some(_) => CaseOutcome::Found,
            None if episode.length(self.closing) < self.options.decidable_after() => CaseOutcome::Undecided,
            None => CaseOutcome::Missed,
        };
        let mut case = case(plant, Some(episode), outcome, &during);
        case.found_as = fitting.map(|report| report.verdict.as_str().to_owned());
        case.found_after_secs = fitting.map(|report| report.at.since(episode.began.high).as_secs_f64());
        case
    }

    fn is_during(&self, report: &Report, episode: &Episode) -> bool {
        let end = episode.ended.map_or(Moment::MAX, |ended| ended.high + REPORT_DELAY);
        (episode.began.low..=end).contains(&report.at)
    }

    /// Whether there was a difference longer than the deadline when the report was made.
    fn justifies(&self, report: &Report) -> bool {
        self.of(report.entity, &report.key)
            .iter()
            .any(|episode| self.is_during(report, episode) && episode.length(self.closing) > self.options.deadline)
    }

    /// `Ok(None)` when the report holds the truth, an error when that is not known.
    fn check_lag(&self, event: &Freshness) -> Result<Option<LagCase>, UnknownLag> {
        let seconds = |lag: Lag| (lag.low.as_secs_f64(), lag.high.as_secs_f64());
        let episodes = self.of(event.entity, &event.key).iter();
        let began_then: Vec<_> = episodes.filter(|episode| episode.began.intersect(event.changed).is_some()).collect();
        let truths: Vec<Lag> = began_then.iter().filter_map(|episode| self.true_lag(episode, event.settled)).collect();
        if truths.is_empty() {
            let none = began_then.is_empty();
            return Err(UnknownLag {
                entity: event.entity,
                key: event.key.clone(),
                changed: (written(event.changed.low), written(event.changed.high)),
                reported_secs: seconds(event.lag),
                why: if none { WhyUnknown::NoDifferenceBegan } else { WhyUnknown::NotEnded },
            });
        }
        if truths.iter().any(|truth| holds(event, *truth)) {
            return Ok(None);
        }
        Ok(Some(LagCase {
            entity: event.entity,
            key: event.key.clone(),
            reported_secs: seconds(event.lag),
            true_secs: truths.into_iter().map(seconds).collect(),
        }))
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

/// Whether the reported bounds allow the true lag. While a change is under way its lag has only a lower bound.
fn holds(event: &Freshness, truth: Lag) -> bool {
    event.lag.low <= truth.high && (!event.settled || event.lag.high >= truth.low)
}

fn speaks_of(report: &Report, plant: &Plant) -> bool {
    report.entity == plant.entity && report.key == plant.key
}

/// Whether a verdict says what was planted. Stale against mismatch may be confused only where it is marked likely.
fn fits(plant: &Plant, report: &Report) -> bool {
    let (verdict, likely) = (report.verdict, report.likely);
    match (plant.kind, plant.effect) {
        (FaultKind::Duplicate, _) => verdict == Verdict::Duplicate,
        (FaultKind::Corrupt, _) => verdict == Verdict::Mismatch || (verdict == Verdict::Stale && likely),
        (FaultKind::Delay | FaultKind::Drop, Effect::Appears) => verdict == Verdict::Missing,
        (FaultKind::Delay | FaultKind::Drop, Effect::Vanishes) => matches!(verdict, Verdict::Extra | Verdict::Stale),
        (FaultKind::Delay | FaultKind::Drop, Effect::Changes) => {
            verdict == Verdict::Stale || (verdict == Verdict::Mismatch && likely)
        }
    }
}

fn case(plant: &Plant, episode: Option<&Episode>, outcome: CaseOutcome, said_then: &[&Report]) -> Case {
    let ended = episode.and_then(|episode| episode.ended);
    Case {
        entity: plant.entity,
        key: plant.key.clone(),
        fault: plant.kind,
        planted_at: written(plant.at),
        differed_from: episode.map(|episode| written(episode.began.high)).unwrap_or_default(),
        differed_to: ended.map(|ended| written(ended.low)).unwrap_or_default(),
        outcome,
        found_as: None,
        found_after_secs: None,
        said: said_then.iter().map(|report| said(report)).collect(),
    }
}

fn said(report: &Report) -> Said {
    Said {
        entity: report.entity,
        key: report.key.clone(),
        at: written(report.at),
        verdict: report.verdict.as_str().to_owned(),
        likely: report.likely,
    }
}

fn written(moment: Moment) -> String {
    moment.to_utc().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::super::truth::{Content, Side};
    use super::*;

    const KEY: &str = "SKU-0001";

    fn at(seconds: f64) -> Moment {
        Moment::from_micros((seconds * 1e6) as i64)
    }

    fn wrote(side: Side, seconds: f64, pieces: &[i64]) -> Write {
        let contents = pieces.iter().map(|pieces| Content::Stock { pieces: *pieces }).collect();
        let committed = Interval::new(at(seconds), at(seconds + 0.001));
        Write { side, entity: Entity::Stock, key: KEY.to_owned(), contents, committed }
    }

    /// Agreement at 0 s, a change at 10 s that arrives at `arrival`.
    fn late(arrival: f64) -> Vec<Write> {
        vec![
            wrote(Side::Owner, 0.0, &[5]),
            wrote(Side::Target, 0.0, &[5]),
            wrote(Side::Owner, 10.0, &[6]),
            wrote(Side::Target, arrival, &[6]),
        ]
    }

    fn plant(kind: FaultKind) -> Plant {
        let (entity, key) = (Entity::Stock, KEY.to_owned());
        Plant { entity, key, kind, effect: Effect::Changes, at: at(9.99), until: None }
    }

    fn report(seconds: f64, verdict: Verdict, likely: bool) -> Report {
        Report { entity: Entity::Stock, key: KEY.to_owned(), at: at(seconds), opened: true, verdict, likely }
    }

    fn lag(changed: (f64, f64), low: f64, high: f64, settled: bool) -> Freshness {
        Freshness {
            entity: Entity::Stock,
            key: KEY.to_owned(),
            changed: Interval::new(at(changed.0), at(changed.1)),
            lag: Lag { low: Duration::from_secs_f64(low), high: Duration::from_secs_f64(high) },
            settled,
        }
    }

    fn judged(plants: &[Plant], writes: &[Write], discrepancies: Vec<Report>, freshness: Vec<Freshness>) -> Summary {
        let options = Options::for_run(1, Some(Duration::from_secs(60)));
        score(plants, writes, &Reports { discrepancies, freshness }, at(60.0), &options)
    }

    fn check_outcome(kind: FaultKind, said: Vec<Report>, expect: CaseOutcome) {
        let found = judged(&[plant(kind)], &late(25.0), said.clone(), Vec::new());
        assert_eq!(found.cases[0].outcome, expect, "{kind} reported as {said:?}");
        assert_eq!(found.found + found.missed + found.undecided, 1);
    }

    #[test]
    fn a_fitting_report_finds_a_plant() {
        use CaseOutcome::{Found, Missed};
        use FaultKind::{Corrupt, Delay, Duplicate};
        check_outcome(Delay, vec![report(16.0, Verdict::Stale, false)], Found);
        check_outcome(Delay, vec![report(16.0, Verdict::Mismatch, true)], Found);
        check_outcome(Delay, vec![report(16.0, Verdict::Mismatch, false)], Missed);
        check_outcome(Delay, vec![], Missed);
        check_outcome(Delay, vec![report(40.0, Verdict::Stale, false)], Missed);
        check_outcome(Corrupt, vec![report(16.0, Verdict::Stale, true)], Found);
        check_outcome(Corrupt, vec![report(16.0, Verdict::Stale, false)], Missed);
        check_outcome(Duplicate, vec![report(16.0, Verdict::Mismatch, true)], Missed);
        check_outcome(Duplicate, vec![report(16.0, Verdict::Duplicate, false)], Found);
    }

    #[test]
    fn a_fault_that_was_over_too_soon_is_undecided() {
        let found = judged(&[plant(FaultKind::Drop)], &late(16.0), Vec::new(), Vec::new());
        assert_eq!((found.undecided, found.missed), (1, 0));
        assert!(found.is_right());
    }

    #[test]
    fn a_report_without_a_long_difference_is_false() {
        let slow = report(10.5, Verdict::Stale, false);
        assert_eq!(judged(&[], &late(10.8), vec![slow.clone()], Vec::new()).false_reports, 1);
        assert_eq!(judged(&[], &late(25.0), vec![slow], Vec::new()).false_reports, 0);
        let elsewhere = Report { key: "SKU-0002".to_owned(), ..report(16.0, Verdict::Stale, false) };
        let found = judged(&[], &late(25.0), vec![elsewhere], Vec::new());
        assert_eq!((found.false_reports, found.is_right()), (1, false));
    }

    #[test]
    fn a_lag_must_hold_the_truth() {
        let check = |event: Freshness, expect: (usize, usize)| {
            let found = judged(&[], &late(10.5), Vec::new(), vec![event.clone()]);
            assert_eq!((found.lag_checked, found.lag_outside), expect, "{event:?}");
        };
        check(lag((9.0, 10.5), 0.2, 1.2, true), (1, 0));
        check(lag((9.0, 10.5), 0.6, 1.2, true), (1, 1));
        check(lag((9.0, 10.5), 0.0, 0.4, true), (1, 1));
        check(lag((30.0, 31.0), 0.0, 0.4, true), (0, 0));
        check(lag((9.0, 10.5), 0.3, 0.4, false), (1, 0));
    }

    #[test]
    fn an_unsettled_lag_is_known_from_below() {
        let mut writes = late(25.0);
        writes.pop();
        let events = vec![lag((9.9, 10.1), 5.1, 5.3, false), lag((9.9, 10.1), 5.1, 5.3, true)];
        let found = judged(&[], &writes, Vec::new(), events);
        assert_eq!((found.lag_checked, found.lag_outside), (1, 0));
    }
}
