//! The auditor's reports held against the truth: what it found, what it missed, what it made up, and whether each
//! lag that it measured holds the true one. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::truth::{Episode, Write, episodes};
use super::{Entity, FaultKind, Options};
use crate::model::{Interval, Lag, Moment, Verdict};

mod summary;

pub use summary::{Case, CaseOutcome, Delay, LagCase, Said, Summary, UnknownLag, WhyUnknown};

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
    /// When it saw which key agree, in any order.
    pub agreed: BTreeMap<(Entity, String), Vec<Moment>>,
}

/// A report may come this much after the look that it speaks of.
const REPORT_DELAY: Duration = Duration::from_secs(2);

/// Holds `reports` against what was planted and what was written until `closing`. Later reports do not count: nobody
/// carries changes any more, so everything is late then.
pub fn score(plants: &[Plant], writes: &[Write], reports: &Reports, closing: Moment, options: &Options) -> Summary {
    let truth = Truth { episodes: episodes(writes), agreed: &reports.agreed, closing, options };
    let in_time: Vec<&Report> = reports.discrepancies.iter().filter(|report| report.at <= closing).collect();
    let cases: Vec<Case> = plants.iter().map(|plant| truth.case(plant, &in_time)).collect();
    let count = |outcome| cases.iter().filter(|case| case.outcome == outcome).count();
    let opened = in_time.iter().copied().filter(|report| report.opened);
    let false_cases: Vec<Said> = opened.filter(|report| !truth.justifies(report)).map(said).collect();
    let (mut widths, mut lag_cases, mut lag_unknown_cases) = (Vec::new(), Vec::new(), Vec::new());
    for event in &reports.freshness {
        match truth.check_lag(event) {
            Ok(wrong) => {
                widths.push(event.lag.high.saturating_sub(event.lag.low).as_secs_f64());
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
        lag_checked: widths.len(),
        lag_outside: lag_cases.len(),
        lag_unknown: lag_unknown_cases.len(),
        lag_width_p95_secs: quantile(&mut widths, 0.95),
        late: cases.iter().filter(|case| case.found_after_secs.is_some_and(|secs| secs > latest(options))).count(),
        matrix: matrix(&cases),
        delays: delays(&cases),
        cases,
        false_cases,
        lag_cases,
        lag_unknown_cases,
    }
}

/// A fault should be reported within so many seconds: when its deadline has passed, the next look sees it and the one
/// after confirms it.
fn latest(options: &Options) -> f64 {
    (options.deadline + options.probe_every * 2).as_secs_f64()
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

struct Truth<'a> {
    episodes: BTreeMap<(Entity, String), Vec<Episode>>,
    agreed: &'a BTreeMap<(Entity, String), Vec<Moment>>,
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
        let episodes = self.of(event.entity, &event.key);
        let began_then = |episode: &Episode| episode.began.intersect(event.changed).is_some();
        let truths: Vec<Lag> = (0..episodes.len())
            .filter(|first| began_then(&episodes[*first]))
            .flat_map(|first| self.as_seen(event, &episodes[first..]))
            .filter_map(|episode| self.true_lag(&episode, event.settled))
            .collect();
        if truths.is_empty() {
            let none = !episodes.iter().any(began_then);
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

    /// The first episode, and what it looks like to somebody who looks once in a while: an agreement that no look
    /// found passed unseen.
    fn as_seen(&self, event: &Freshness, episodes: &[Episode]) -> Vec<Episode> {
        let Some(first) = episodes.first() else { return Vec::new() };
        let seen_agreed = self.agreed.get(&(event.entity, event.key.clone())).map_or(&[][..], Vec::as_slice);
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

/// Whether the reported bounds allow the true lag. While a change is under way its lag has only a lower bound.
fn holds(event: &Freshness, truth: Lag) -> bool {
    event.lag.low <= truth.high && (!event.settled || event.lag.high >= truth.low)
}

fn speaks_of(report: &Report, plant: &Plant) -> bool {
    report.entity == plant.entity && report.key == plant.key
}

/// Whether a verdict says what was planted. Stale against mismatch may be confused only where it is marked likely.
fn fits(plant: &Plant, report: &Report) -> bool {
    use FaultKind::{Corrupt, Delay, Delete, Drift, Drop, Duplicate, HotKey, Lose, Reorder, Stray, Swap, Truncate};
    let (verdict, likely) = (report.verdict, report.likely);
    match (plant.kind, plant.effect) {
        (Duplicate, _) => verdict == Verdict::Duplicate,
        (Corrupt | Truncate | Drift | Swap, _) => verdict == Verdict::Mismatch || (verdict == Verdict::Stale && likely),
        (Lose, _) | (Delay | Drop | Reorder | HotKey, Effect::Appears) => verdict == Verdict::Missing,
        (Stray | Delete, _) => verdict == Verdict::Extra,
        (Delay | Drop | Reorder | HotKey, Effect::Vanishes) => matches!(verdict, Verdict::Extra | Verdict::Stale),
        (Delay | Drop | HotKey, Effect::Changes) => {
            verdict == Verdict::Stale || (verdict == Verdict::Mismatch && likely)
        }
        // Who did not look in between cannot know that the target had the newer state once, nor that it holds an
        // older one when that was long ago.
        (Reorder, Effect::Changes) => matches!(verdict, Verdict::Stale | Verdict::Mismatch),
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
        score(plants, writes, &Reports { discrepancies, freshness, ..Reports::default() }, at(60.0), &options)
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
    fn an_agreement_between_two_looks_may_pass_unseen() {
        let check = |agreed: &[f64], expect: (usize, usize)| {
            let mut writes = late(10.5);
            writes.push(wrote(Side::Target, 12.0, &[5]));
            writes.push(wrote(Side::Target, 20.0, &[6]));
            let options = Options::for_run(1, Some(Duration::from_secs(60)));
            let reports = Reports {
                freshness: vec![lag((9.9, 10.1), 9.5, 10.5, true)],
                agreed: BTreeMap::from([((Entity::Stock, KEY.to_owned()), agreed.iter().copied().map(at).collect())]),
                ..Reports::default()
            };
            let found = score(&[], &writes, &reports, at(60.0), &options);
            assert_eq!((found.lag_checked, found.lag_outside), expect, "seen to agree at {agreed:?}");
        };
        check(&[9.0, 21.0], (1, 0));
        check(&[9.0, 11.0, 21.0], (1, 1));
    }

    #[test]
    fn matrix_and_delays_count_every_plant() {
        let plants = [plant(FaultKind::Delay), plant(FaultKind::Duplicate)];
        let found = judged(&plants, &late(25.0), vec![report(16.0, Verdict::Stale, false)], Vec::new());
        let row = |word: &str| BTreeMap::from([(word.to_owned(), 1)]);
        let matrix = [(FaultKind::Delay, row("stale")), (FaultKind::Duplicate, row("stale"))];
        assert_eq!(found.matrix, BTreeMap::from(matrix));
        let delay = found.delays[&FaultKind::Delay];
        assert_eq!((found.delays.len(), delay.found, delay.median_secs), (1, 1, delay.longest_secs));
        assert!((delay.median_secs - 5.999).abs() < 1e-6, "{delay:?}");
        assert_eq!(found.late, 0, "deadline 5 s and two looks of 1 s");
        let nothing = judged(&plants[..1], &late(25.0), Vec::new(), Vec::new());
        assert_eq!(nothing.matrix[&FaultKind::Delay], row("nothing"));
        let late = judged(&plants[..1], &late(25.0), vec![report(18.0, Verdict::Stale, false)], Vec::new());
        assert_eq!((late.found, late.late), (1, 1));
    }

    #[test]
    fn quantiles_are_values_that_were_there() {
        assert_eq!(quantile(&mut [], 0.95), 0.0);
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 1.0), 3.0);
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
