//! Is the promise kept, how fast does its budget burn, who must know?
//!
//! A promise about freshness has two series: events (changes that arrived in time or late) and minutes (whether more keys
//! than the floor were overdue in it). The worse one decides. Time that nobody saw counts as good in the best case and as
//! bad in the worst.

use super::counted::Counted;
use super::minute::Minute;
use super::promise::{Promise, Tier};
use super::series::{Counts, Facts, Series};
use crate::incident::Severity;

/// The bad share of a window, computed twice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// If everything unknown was good.
    pub best: f64,
    /// If everything unknown was bad.
    pub worst: f64,
    /// Bad events, or bad minutes.
    pub bad: u64,
    /// What may be bad besides.
    pub unknown: u64,
}

/// How fast the budget burns: 1 uses it up exactly at the end of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Burn {
    /// If everything unknown was good.
    pub best: f64,
    /// If everything unknown was bad.
    pub worst: f64,
}

/// What a tier says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TierState {
    /// Even the worst case is clean.
    Clean,
    /// It does not fire, and is not clean either: an incident goes on.
    Holds,
    /// Only what is unknown decides whether it fires.
    NoData,
    /// Even the best case burns too fast.
    Fires,
}

/// A tier at an evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TierStatus {
    /// The tier.
    pub tier: Tier,
    /// What it says.
    pub state: TierState,
    /// Over the long window.
    pub long: Burn,
    /// Over the short window.
    pub short: Burn,
}

impl TierStatus {
    /// Whether even the best case burns too fast.
    pub fn fires(&self) -> bool {
        self.state == TierState::Fires
    }
}

/// A promise at one minute.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The tiers, in the promise's order.
    pub tiers: Vec<TierStatus>,
    /// The share of good over the window: if everything unknown was good, and if it was bad. Without maintenance.
    pub sli: (f64, f64),
    /// The same with maintenance counted like any other time.
    pub raw: (f64, f64),
    /// Events of the window, without maintenance.
    pub counts: Counts,
    /// The covered share of the time of the first tier's long window.
    pub coverage: f64,
    /// What is left of the budget, as a share of it; negative when it is overdrawn. Unknown is not held against it.
    pub budget_left: f64,
    /// The same if everything unknown was bad.
    pub budget_left_worst: f64,
    /// Counted minutes until the budget is used up at the burn of the first tier's long window; `None` while nothing
    /// burns, zero when it is used up.
    pub exhausted_in: Option<i64>,
    /// The same of its short window.
    pub coverage_now: f64,
    /// Whether too little was seen to say anything.
    pub no_data: bool,
    /// Minutes of the first tier's long window in which owner, target or auditor were blind, and in which nobody looked.
    pub blind: [u64; 4],
    /// More keys are overdue now than the floor allows; `None` when that is not known.
    pub overdue: Option<bool>,
}

impl Evaluation {
    /// The most urgent tier that fires.
    pub fn firing(&self) -> Option<&TierStatus> {
        let firing = self.tiers.iter().filter(|tier| tier.state == TierState::Fires);
        // Of equal ones the first, which is the quickest.
        firing.rev().max_by(|a, b| a.tier.severity.cmp(&b.tier.severity).then(a.long.best.total_cmp(&b.long.best)))
    }

    /// How urgent it is, if it is.
    pub fn severity(&self) -> Option<Severity> {
        self.firing().map(|status| status.tier.severity)
    }

    /// Whether an incident about it may end: no tier fires or holds even in the worst case, and nothing is overdue or
    /// unread.
    pub fn is_clean(&self) -> bool {
        !self.no_data && self.overdue == Some(false) && self.tiers.iter().all(|tier| tier.state == TierState::Clean)
    }

    /// The burn that people ask about: over the first tier's long window.
    pub fn burn(&self) -> Burn {
        self.tiers.first().map_or(Burn::default(), |tier| tier.long)
    }
}

/// An incident goes on until the long window has sunk a tenth below the factor, or the short window is clean.
const EASED: f64 = 0.9;
/// A short window is clean when its budget burns slower than it is given.
const CLEAN: f64 = 1.0;

/// Evaluates `promise` at the end of the minute `now`. `counted` is laid out over the window and every tier's long window;
/// `raw` is the same with maintenance counted. Coverage of minutes from `settled` on is still on its way.
pub fn evaluate(
    promise: &Promise,
    series: &Series,
    (counted, raw): (&Counted, &Counted),
    (now, settled): (Minute, Minute),
) -> Evaluation {
    let end = now.plus(1);
    let at = At { promise, series, counted, end, settled: settled.min(end) };
    let tiers: Vec<TierStatus> = promise.tiers.iter().map(|tier| at.tier(*tier)).collect();
    let begin = promise.window_begin(now);
    let whole = at.share(at.sum(begin, end));
    let with_work = At { counted: raw, ..at };
    let raw = with_work.share(with_work.sum(begin, end));
    let first = promise.tiers.first().map_or(Facts::default(), |tier| at.window(tier.long));
    let coverage = at.coverage(&first);
    let coverage_now = promise.tiers.first().map_or(1.0, |tier| at.coverage(&at.window(tier.short)));
    let budget = promise.objective.budget();
    let budget_left = 1.0 - whole.best / budget;
    let burn = tiers.first().map_or(0.0, |tier| tier.long.best);
    let blind_by_tier = tiers.iter().any(|tier| tier.state == TierState::NoData);
    let seen = first.covered + first.blind.iter().sum::<u64>();
    Evaluation {
        sli: (1.0 - whole.best, 1.0 - whole.worst),
        raw: (1.0 - raw.best, 1.0 - raw.worst),
        counts: at.sum(begin, end).counts,
        coverage,
        coverage_now,
        budget_left,
        budget_left_worst: 1.0 - whole.worst / budget,
        exhausted_in: exhausted_in(budget_left, burn, promise.counted_minutes()),
        no_data: blind_by_tier || (first.minutes > 0 && coverage < promise.coverage_floor),
        blind: [first.blind[0], first.blind[1], first.blind[2], first.minutes.saturating_sub(seen)],
        overdue: if promise.indicator.has_overdue() { series.is_overdue(now) } else { Some(false) },
        tiers,
    }
}

fn exhausted_in(left: f64, burn: f64, window: i64) -> Option<i64> {
    if left <= 0.0 {
        return Some(0);
    }
    let minutes = left * window as f64 / burn;
    (burn > 0.0 && minutes < 1e12).then(|| minutes.floor() as i64)
}

/// A promise at a time.
#[derive(Clone, Copy)]
struct At<'a> {
    promise: &'a Promise,
    series: &'a Series,
    counted: &'a Counted,
    end: Minute,
    /// Coverage of later minutes is still on its way.
    settled: Minute,
}

impl At<'_> {
    /// The facts of the last so many counted minutes; time is looked at up to where coverage has been told.
    fn window(&self, minutes: i64) -> Facts {
        let begin = self.counted.back(self.end, minutes);
        let facts = self.series.sum(self.counted, begin, self.end);
        let told = self.series.sum(self.counted, self.counted.back(self.settled, minutes), self.settled);
        Facts { minutes: told.minutes, covered: told.covered, blind: told.blind, ..facts }
    }

    fn sum(&self, begin: Minute, end: Minute) -> Facts {
        let facts = self.series.sum(self.counted, begin, end);
        let told = self.series.sum(self.counted, begin, end.min(self.settled));
        Facts { minutes: told.minutes, covered: told.covered, blind: told.blind, ..facts }
    }

    /// The covered share of time and of what was planned.
    fn coverage(&self, facts: &Facts) -> f64 {
        let Counts { good, bad, unknown } = facts.counts;
        let decided = if facts.counts.total() == 0 { 1.0 } else { (good + bad) as f64 / (good + bad + unknown) as f64 };
        facts.coverage() * decided
    }

    /// The worse of events and minutes.
    fn share(&self, facts: Facts) -> Share {
        let events = share_of_events(&facts);
        if !self.promise.indicator.has_overdue() {
            return events;
        }
        let minutes = share_of_minutes(&facts);
        Share {
            best: events.best.max(minutes.best),
            worst: events.worst.max(minutes.worst),
            bad: events.bad,
            unknown: events.unknown,
        }
    }

    fn burn(&self, share: Share) -> Burn {
        let budget = self.promise.objective.budget();
        Burn { best: share.best / budget, worst: share.worst / budget }
    }

    fn tier(&self, tier: Tier) -> TierStatus {
        let [long, short] = [tier.long, tier.short].map(|minutes| self.window(minutes));
        let events = [share_of_events(&long), share_of_events(&short)];
        let mut series = vec![(events, events[0].bad >= self.promise.least_bad)];
        if self.promise.indicator.has_overdue() {
            series.push(([share_of_minutes(&long), share_of_minutes(&short)], true));
        }
        let state = series.iter().map(|(shares, is_enough)| {
            let [long, short] = shares.map(|share| self.burn(share));
            let may_be_enough = shares[0].bad + shares[0].unknown >= self.promise.least_bad || long.best < long.worst;
            state(&tier, (long, short), *is_enough, may_be_enough)
        });
        TierStatus {
            tier,
            state: state.max().unwrap_or(TierState::Clean),
            long: self.burn(self.share(long)),
            short: self.burn(self.share(short)),
        }
    }
}

/// `is_enough`: enough is certainly bad; `may_be_enough`: it would be with what is unknown.
fn state(tier: &Tier, (long, short): (Burn, Burn), is_enough: bool, may_be_enough: bool) -> TierState {
    let reaches = |burn: f64| burn >= tier.factor * (1.0 - 1e-9);
    if is_enough && reaches(long.best) && reaches(short.best) {
        return TierState::Fires;
    }
    let is_undecided = (long.best, short.best) != (long.worst, short.worst);
    if may_be_enough && is_undecided && reaches(long.worst) && reaches(short.worst) {
        return TierState::NoData;
    }
    let holds = (is_enough || may_be_enough) && long.worst >= tier.factor * EASED && short.worst >= CLEAN;
    if holds { TierState::Holds } else { TierState::Clean }
}

/// Events are weighed by the time in which they were seen: nobody knows how many there were in the rest.
fn share_of_events(facts: &Facts) -> Share {
    let Counts { good, bad, unknown } = facts.counts;
    let total = (good + bad + unknown).max(1) as f64;
    let covered = facts.coverage();
    let unseen = 1.0 - covered;
    // Certain failures stay what they are: time that nobody saw does not thin them out below their own share of all that
    // may have happened at the same rate.
    Share { best: covered * bad as f64 / total, worst: covered * (bad + unknown) as f64 / total + unseen, bad, unknown }
}

/// What nobody knows of the gauge is not held against a promise: the same time is seen, or not, by what covers events, and
/// what is overdue now is asked for by itself.
fn share_of_minutes(facts: &Facts) -> Share {
    // Coverage ends a little before the gauge: what is known is never more than there is.
    let minutes = facts.minutes.max(facts.gauge_fine + facts.gauge_bad).max(1);
    let bad = facts.gauge_bad as f64 / minutes as f64;
    Share { best: bad, worst: bad, bad: facts.gauge_bad, unknown: 0 }
}
