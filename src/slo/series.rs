//! What is known of the minutes of one promise: single minutes for as long as tiers look back, quarters of an hour beyond.
//!
//! All time zones are whole quarters of an hour away from the world's time, so that calendar windows begin where a quarter
//! does. Minutes before the first fact do not count: nobody was looking yet.

use std::collections::VecDeque;

use super::counted::Counted;
use super::minute::Minute;

mod hours;

/// How many events came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The promise was kept.
    pub good: u64,
    /// It was not.
    pub bad: u64,
    /// Nobody can tell.
    pub unknown: u64,
}

impl Counts {
    /// All of them.
    pub const fn total(self) -> u64 {
        self.good + self.bad + self.unknown
    }

    fn add(&mut self, other: Self) {
        self.good += other.good;
        self.bad += other.bad;
        self.unknown += other.unknown;
    }
}

/// Who could not see, or could not be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blind {
    /// The owner could not be read.
    Owner,
    /// The target could not be read.
    Target,
    /// The auditor did not look.
    Auditor,
}

impl Blind {
    /// From the ledger's word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "owner" => Some(Self::Owner),
            "target" => Some(Self::Target),
            "auditor" => Some(Self::Auditor),
            _ => None,
        }
    }
}

/// Facts of one span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Events decided in it, and keys that could not be read.
    pub counts: Counts,
    /// Counted minutes since the first fact.
    pub minutes: u64,
    /// Of them: minutes in which somebody looked and could see.
    pub covered: u64,
    /// Of them: minutes in which owner, target or auditor were blind; the rest was not looked at by anybody.
    pub blind: [u64; 3],
    /// Minutes with no more overdue keys than the floor.
    pub gauge_fine: u64,
    /// Minutes with more.
    pub gauge_bad: u64,
}

impl Facts {
    fn add(&mut self, other: &Self) {
        self.counts.add(other.counts);
        self.minutes += other.minutes;
        self.covered += other.covered;
        self.blind.iter_mut().zip(other.blind).for_each(|(mine, theirs)| *mine += theirs);
        self.gauge_fine += other.gauge_fine;
        self.gauge_bad += other.gauge_bad;
    }

    /// The covered share of the time.
    pub fn coverage(&self) -> f64 {
        if self.minutes == 0 { 1.0 } else { self.covered as f64 / self.minutes as f64 }
    }
}

/// One minute.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    good: u32,
    bad: u32,
    unknown: u32,
    cover: Cover,
    gauge: Gauge,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Cover {
    #[default]
    None,
    Seen,
    Blind(Blind),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gauge {
    #[default]
    Unknown,
    Fine,
    Bad,
}

/// A quarter of an hour, once it is older than any tier looks back.
#[derive(Clone, Copy, Debug, Default)]
struct Quarter {
    good: u32,
    bad: u32,
    unknown: u32,
    covered: u8,
    blind: [u8; 3],
    gauge_fine: u8,
    gauge_bad: u8,
}

const QUARTER: i64 = 15;

/// The minutes of one promise about one flow or queue.
#[derive(Clone, Debug)]
pub struct Series {
    /// Minutes kept singly, a multiple of a quarter.
    recent: i64,
    /// Minutes kept at all.
    kept: i64,
    /// Begin of the first quarter kept, and of the first single minute; both at quarters.
    oldest: Minute,
    first: Minute,
    quarters: VecDeque<Quarter>,
    slots: VecDeque<Slot>,
    /// The first minute with a fact.
    began: Option<Minute>,
    /// The end of what coverage was told of.
    told_to: Option<Minute>,
    floor: u64,
}

impl Series {
    /// Without facts, up to `now`. `recent`: minutes that tiers look back, in the world's time; `kept`: minutes that the
    /// window looks back; `floor`: minutes with more overdue keys are bad.
    pub fn new(now: Minute, recent: i64, kept: i64, floor: u64) -> Self {
        let up = |minutes: i64| (minutes.max(1) + 2 * QUARTER - 1) / QUARTER * QUARTER;
        let recent = up(recent);
        let first = Minute(now.plus(1 - recent).0.div_euclid(QUARTER) * QUARTER);
        let (quarters, slots) = Default::default();
        let kept = up(kept).max(recent);
        Self { recent, kept, oldest: first, first, quarters, slots, began: None, told_to: None, floor }
    }

    /// The oldest minute of which facts are kept, seen from `now`.
    pub fn reaches_back_to(&self, now: Minute) -> Minute {
        now.plus(1 - self.kept)
    }

    /// The first minute that is kept singly.
    pub const fn first_single(&self) -> Minute {
        self.first
    }

    /// The first minute with a fact.
    pub const fn began(&self) -> Option<Minute> {
        self.began
    }

    /// The end of what coverage was told of.
    pub const fn told_to(&self) -> Option<Minute> {
        self.told_to
    }

    /// Adds events that were decided in a minute.
    pub fn add(&mut self, minute: Minute, counts: Counts) {
        let add = |sum: &mut u32, more: u64| *sum = sum.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        match self.place(minute) {
            Place::Slot(slot) => {
                add(&mut slot.good, counts.good);
                add(&mut slot.bad, counts.bad);
                add(&mut slot.unknown, counts.unknown);
            }
            Place::Quarter(quarter) => {
                add(&mut quarter.good, counts.good);
                add(&mut quarter.bad, counts.bad);
                add(&mut quarter.unknown, counts.unknown);
            }
            Place::Gone => return,
        }
        self.begin(minute);
    }

    /// Says who saw the minutes `[from, to)`. What was seen stays seen, whoever says later that it was not.
    pub fn cover(&mut self, from: Minute, to: Minute, blind: Option<Blind>) {
        let from = from.max(self.oldest.plus(-self.kept));
        for number in from.0..to.0 {
            let Place::Slot(slot) = self.place(Minute(number)) else {
                self.cover_quarter(Minute(number), blind);
                continue;
            };
            match (slot.cover, blind) {
                (Cover::Seen, _) => {}
                (_, None) => slot.cover = Cover::Seen,
                (_, Some(blind)) => slot.cover = Cover::Blind(blind),
            }
        }
        if from < to {
            self.begin(from);
            self.told_to = self.told_to.max(Some(to));
        }
    }

    fn cover_quarter(&mut self, minute: Minute, blind: Option<Blind>) {
        if let Place::Quarter(quarter) = self.place(minute) {
            let sum = match blind {
                None => &mut quarter.covered,
                Some(blind) => &mut quarter.blind[blind as usize],
            };
            *sum = (*sum + 1).min(QUARTER as u8);
        }
    }

    /// Says how many keys were overdue in a minute; the worst of a minute stays.
    pub fn overdue(&mut self, minute: Minute, overdue: u64) {
        let is_bad = overdue > self.floor;
        match self.place(minute) {
            Place::Slot(slot) if is_bad => slot.gauge = Gauge::Bad,
            Place::Slot(slot) if slot.gauge == Gauge::Unknown => slot.gauge = Gauge::Fine,
            Place::Slot(_) | Place::Gone => {}
            Place::Quarter(quarter) => {
                let sum = if is_bad { &mut quarter.gauge_bad } else { &mut quarter.gauge_fine };
                *sum = (*sum + 1).min(QUARTER as u8);
            }
        }
    }

    /// Says how many minutes of the quarter (or which single minute) had no more, and how many had more overdue keys than
    /// the floor.
    pub fn gauge(&mut self, at: Minute, fine: u64, bad: u64) {
        match self.place(at) {
            Place::Slot(slot) if bad > 0 => slot.gauge = Gauge::Bad,
            Place::Slot(slot) if fine > 0 && slot.gauge == Gauge::Unknown => slot.gauge = Gauge::Fine,
            Place::Slot(_) | Place::Gone => {}
            Place::Quarter(quarter) => {
                let add = |sum: u8, more: u64| (u64::from(sum) + more).min(QUARTER as u64) as u8;
                quarter.gauge_fine = add(quarter.gauge_fine, fine);
                quarter.gauge_bad = add(quarter.gauge_bad, bad);
            }
        }
    }

    /// From this minute on somebody should have looked.
    pub fn begin(&mut self, minute: Minute) {
        self.began = Some(self.began.map_or(minute, |began| began.min(minute)));
    }

    /// Forgets the counts of the minutes from `minute` on, to be told again. Who saw them stays: a look vouches for the time
    /// after it, longer than what is told again.
    pub fn forget_from(&mut self, minute: Minute) {
        let keep = usize::try_from((minute.0 - self.first.0).max(0)).unwrap_or(usize::MAX);
        for slot in self.slots.iter_mut().skip(keep) {
            *slot = Slot { cover: slot.cover, gauge: slot.gauge, ..Slot::default() };
        }
    }

    /// Folds minutes that no tier looks back to into quarters, and drops what is older than the window.
    pub fn advance(&mut self, now: Minute) {
        let first = Minute(now.plus(1 - self.recent).0.div_euclid(QUARTER) * QUARTER);
        while self.first < first {
            let mut quarter = Quarter::default();
            for _ in 0..QUARTER {
                quarter.take_in(self.slots.pop_front().unwrap_or_default());
            }
            self.quarters.push_back(quarter);
            self.first = self.first.plus(QUARTER);
        }
        let oldest = Minute(self.reaches_back_to(now).0.div_euclid(QUARTER) * QUARTER);
        while self.oldest < oldest && self.quarters.pop_front().is_some() {
            self.oldest = self.oldest.plus(QUARTER);
        }
        if let Some(began) = self.began.filter(|began| *began < self.oldest && self.reaches_back_to(now) > *began) {
            self.began = Some(began.max(self.oldest));
        }
    }

    fn place(&mut self, minute: Minute) -> Place<'_> {
        if minute >= self.first {
            let index = usize::try_from(minute.0 - self.first.0).unwrap_or(usize::MAX);
            // A minute far beyond what is kept is a mistake of a clock.
            if index as u64 > (self.recent + self.kept) as u64 {
                return Place::Gone;
            }
            if index >= self.slots.len() {
                self.slots.resize(index + 1, Slot::default());
            }
            return Place::Slot(&mut self.slots[index]);
        }
        if self.first.0 - minute.0 > self.kept + QUARTER {
            return Place::Gone;
        }
        while self.oldest > minute {
            self.quarters.push_front(Quarter::default());
            self.oldest = self.oldest.plus(-QUARTER);
        }
        let index = (minute.0 - self.oldest.0) / QUARTER;
        Place::Quarter(&mut self.quarters[usize::try_from(index).unwrap_or_default()])
    }

    /// Sums up the counted minutes of `[from, to)`.
    pub fn sum(&self, counted: &Counted, from: Minute, to: Minute) -> Facts {
        let mut facts = Facts::default();
        let Some(began) = self.began else { return facts };
        for (begin, end) in counted.within(from, to) {
            facts.minutes += u64::try_from(end.0 - begin.max(began).0).unwrap_or(0);
            self.sum_quarters(begin, end.min(self.first), &mut facts);
            self.sum_slots(begin.max(self.first), end, &mut facts);
        }
        facts
    }

    fn sum_slots(&self, from: Minute, to: Minute, facts: &mut Facts) {
        let at = |minute: Minute| usize::try_from(minute.0 - self.first.0).unwrap_or(0).min(self.slots.len());
        if from < to {
            self.slots.range(at(from)..at(to)).for_each(|slot| slot.add_to(facts));
        }
    }

    /// A quarter counts for the share of it that lies in the span.
    fn sum_quarters(&self, from: Minute, to: Minute, facts: &mut Facts) {
        if from >= to {
            return;
        }
        let index = |minute: Minute| usize::try_from((minute.0 - self.oldest.0).div_euclid(QUARTER)).unwrap_or(0);
        let end = index(to.plus(QUARTER - 1)).min(self.quarters.len());
        for number in index(from).min(end)..end {
            let begin = self.oldest.plus(QUARTER * number as i64);
            let inside = to.min(begin.plus(QUARTER)).0 - from.max(begin).0;
            let whole = self.quarters[number].facts();
            facts.add(&if inside >= QUARTER { whole } else { part(&whole, inside.max(0) as u64) });
        }
    }

    /// Whether more keys than the floor were overdue at `now`, or in the minute before if that is not known yet.
    pub fn is_overdue(&self, now: Minute) -> Option<bool> {
        [now, now.plus(-1)].into_iter().find_map(|minute| {
            let index = usize::try_from(minute.0 - self.first.0).ok()?;
            match self.slots.get(index)?.gauge {
                Gauge::Unknown => None,
                Gauge::Fine => Some(false),
                Gauge::Bad => Some(true),
            }
        })
    }

    /// The share of good in each of the last minutes, oldest first: the worse of events and overdue gauge, as promises are
    /// judged; `None` where neither is known.
    pub fn shares(&self, now: Minute, minutes: i64) -> Vec<(Minute, Option<f64>)> {
        let share = |minute: Minute| {
            let index = usize::try_from(minute.0 - self.first.0).ok()?;
            let slot = self.slots.get(index)?;
            let events = u64::from(slot.good) + u64::from(slot.bad);
            let of_events = (events > 0).then(|| f64::from(slot.good) / events as f64);
            match slot.gauge {
                Gauge::Bad => Some(0.0),
                Gauge::Fine => of_events.or(Some(1.0)),
                Gauge::Unknown => of_events,
            }
        };
        (1 - minutes..=0).map(|back| now.plus(back)).map(|minute| (minute, share(minute))).collect()
    }
}

enum Place<'s> {
    Slot(&'s mut Slot),
    Quarter(&'s mut Quarter),
    Gone,
}

impl Slot {
    fn add_to(&self, facts: &mut Facts) {
        let [good, bad, unknown] = [self.good, self.bad, self.unknown].map(u64::from);
        facts.counts.add(Counts { good, bad, unknown });
        match self.cover {
            Cover::None => {}
            Cover::Seen => facts.covered += 1,
            Cover::Blind(blind) => facts.blind[blind as usize] += 1,
        }
        match self.gauge {
            Gauge::Unknown => {}
            Gauge::Fine => facts.gauge_fine += 1,
            Gauge::Bad => facts.gauge_bad += 1,
        }
    }
}

impl Quarter {
    fn take_in(&mut self, slot: Slot) {
        self.good = self.good.saturating_add(slot.good);
        self.bad = self.bad.saturating_add(slot.bad);
        self.unknown = self.unknown.saturating_add(slot.unknown);
        match slot.cover {
            Cover::None => {}
            Cover::Seen => self.covered += 1,
            Cover::Blind(blind) => self.blind[blind as usize] += 1,
        }
        match slot.gauge {
            Gauge::Unknown => {}
            Gauge::Fine => self.gauge_fine += 1,
            Gauge::Bad => self.gauge_bad += 1,
        }
    }

    fn facts(&self) -> Facts {
        let [good, bad, unknown] = [self.good, self.bad, self.unknown].map(u64::from);
        Facts {
            counts: Counts { good, bad, unknown },
            minutes: 0,
            covered: u64::from(self.covered),
            blind: self.blind.map(u64::from),
            gauge_fine: u64::from(self.gauge_fine),
            gauge_bad: u64::from(self.gauge_bad),
        }
    }
}

/// The part of a quarter's facts that falls to so many of its minutes.
fn part(whole: &Facts, minutes: u64) -> Facts {
    let part = |sum: u64| (sum * minutes).div_ceil(QUARTER as u64);
    Facts {
        counts: Counts {
            good: part(whole.counts.good),
            bad: part(whole.counts.bad),
            unknown: part(whole.counts.unknown),
        },
        minutes: 0,
        covered: part(whole.covered),
        blind: whole.blind.map(part),
        gauge_fine: part(whole.gauge_fine),
        gauge_bad: part(whole.gauge_bad),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Minute = Minute(30_000_000);

    #[test]
    fn old_minutes_become_quarters_and_nothing_is_lost() {
        let mut series = Series::new(NOW, 60, 1440, 0);
        for back in 0..300 {
            series.add(NOW.plus(-back), Counts { good: 2, bad: 1, unknown: 0 });
            series.cover(NOW.plus(-back), NOW.plus(1 - back), None);
            series.overdue(NOW.plus(-back), u64::from(back % 2 == 0));
        }
        let whole = |series: &Series, now: Minute| {
            series.sum(&Counted::all(NOW.plus(-2000), now.plus(1)), NOW.plus(-2000), now.plus(1))
        };
        // A quarter that ends beyond the last minute counts by the share of it that is asked for.
        let end = NOW.plus(QUARTER - 1);
        let facts = whole(&series, NOW);
        assert_eq!(facts.counts, Counts { good: 600, bad: 300, unknown: 0 });
        assert_eq!((facts.minutes, facts.covered), (300, 300));
        assert_eq!((facts.gauge_bad, facts.gauge_fine), (150, 150));
        series.advance(NOW.plus(100));
        assert_eq!(whole(&series, end).counts, facts.counts);
        series.advance(NOW.plus(5000));
        assert_eq!(whole(&series, end).counts, Counts::default(), "beyond the window nothing is kept");
    }

    #[test]
    fn what_is_told_again_replaces_what_was_told() {
        let mut series = Series::new(NOW, 60, 60, 0);
        series.add(NOW, Counts { good: 1, bad: 5, unknown: 0 });
        series.cover(NOW, NOW.plus(1), Some(Blind::Target));
        series.forget_from(NOW);
        series.add(NOW, Counts { good: 2, bad: 0, unknown: 0 });
        series.cover(NOW, NOW.plus(1), Some(Blind::Owner));
        series.cover(NOW, NOW.plus(1), None);
        let facts = series.sum(&Counted::all(NOW, NOW.plus(1)), NOW, NOW.plus(1));
        assert_eq!(facts.counts, Counts { good: 2, bad: 0, unknown: 0 });
        assert_eq!((facts.covered, facts.blind), (1, [0, 0, 0]));
    }

    proptest! {
        /// Single minutes and quarters say the same where spans begin and end at quarters.
        #[test]
        fn folding_changes_no_sum(
            minutes in prop::collection::vec((0i64..600, 0u64..5, 0u64..5, 0u64..3, 0u64..3), 0..80),
            from in 0i64..40, length in 1i64..40,
        ) {
            let base = Minute(NOW.0.div_euclid(QUARTER) * QUARTER);
            let mut single = Series::new(base.plus(599), 1000, 1000, 1);
            let mut folded = Series::new(base.plus(599), 15, 1000, 1);
            for series in [&mut single, &mut folded] {
                for (at, good, bad, unknown, _) in &minutes {
                    series.add(base.plus(*at), Counts { good: *good, bad: *bad, unknown: *unknown });
                }
                let mut known = std::collections::BTreeMap::<i64, u64>::new();
                minutes.iter().for_each(|(at, .., overdue)| {
                    let worst = known.entry(*at).or_default();
                    *worst = (*worst).max(*overdue);
                });
                known.iter().for_each(|(at, overdue)| series.overdue(base.plus(*at), *overdue));
                series.advance(base.plus(599));
            }
            let (from, to) = (base.plus(from * QUARTER), base.plus((from + length) * QUARTER));
            let counted = Counted::all(from, to);
            prop_assert_eq!(single.sum(&counted, from, to), folded.sum(&counted, from, to));
        }
    }
}
