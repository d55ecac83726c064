//! What samples say of a flow held against the share that was true. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::truth::{Address, Episode, Standing, standings};
use super::super::{Entity, Options, System};
use super::{Day, EstimateCase, disturbed_time, written};
use crate::model::{Interval, Moment};

/// The truth is looked at this often.
const TICK: Duration = Duration::from_millis(500);

/// What samples said: a share with its interval, which 95 in 100 such intervals should hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimated {
    /// Of which entity.
    pub entity: Entity,
    /// In which target.
    pub target: System,
    /// A share of what.
    pub measure: Share,
    /// When.
    pub at: Moment,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// What an estimate is a share of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Share {
    /// Of the owner's keys, those that agree.
    Agreement,
    /// Of the owner's keys, those that the target has.
    Completeness,
    /// Of the target's keys, those that the owner lacks.
    Extra,
}

impl Share {
    /// The word in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agreement => "agreement",
            Self::Completeness => "completeness",
            Self::Extra => "extra",
        }
    }
}

/// Keys of one flow at one tick. Whoever differs for about the deadline may be decided either way.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Keys of the owner, keys of the target.
    keys: [u64; 2],
    /// Bad keys for certain, and at most: that differ, are missing, are extra.
    bad: [(u64, u64); 3],
}

/// Checks what samples said, and gives how many could be checked and those whose interval holds no share that was true while
/// their keys were looked at and decided.
pub fn check(
    day: &Day,
    episodes: &BTreeMap<Address, Vec<Episode>>,
    estimated: &[Estimated],
    closing: Moment,
    options: &Options,
) -> (usize, Vec<EstimateCase>) {
    let Some(opened) = day.writes.iter().map(|write| write.committed.low).min() else { return (0, Vec::new()) };
    let clock = Ticks { opened, count: ticks(closing.since(opened)) + 1 };
    let courses = courses(day, episodes, clock, closing, options);
    let (mut checked, mut wrong) = (0, Vec::new());
    for said in estimated.iter().filter(|said| said.at <= closing) {
        // A key is looked at in this run or the last ones, and may wait for its verdict.
        let since = said.at - options.decidable_after() - options.probe_every * 2;
        let is_disturbed = disturbed_time(day, said.entity, Interval::new(since, said.at), options) > Duration::ZERO;
        let Some(course) = courses.get(&(said.entity, said.target)).filter(|_| since > opened && !is_disturbed) else {
            continue;
        };
        let true_share = bounds(&course[clock.tick(since)..=clock.tick(said.at)], said.measure);
        checked += 1;
        if said.low > true_share.1 || said.high < true_share.0 {
            wrong.push(EstimateCase {
                entity: said.entity,
                target: said.target,
                measure: said.measure.as_str().to_owned(),
                at: written(said.at),
                reported: (said.low, said.high),
                true_share,
            });
        }
    }
    (checked, wrong)
}

/// A moment as the number of a tick.
#[derive(Clone, Copy)]
struct Ticks {
    opened: Moment,
    count: usize,
}

impl Ticks {
    fn tick(self, at: Moment) -> usize {
        ticks(at.since(self.opened)).min(self.count - 1)
    }

    fn moment(self, tick: usize) -> Moment {
        self.opened + TICK * u32::try_from(tick).unwrap_or(u32::MAX)
    }
}

fn ticks(span: Duration) -> usize {
    (span.as_millis() / TICK.as_millis()) as usize
}

/// The least and the largest share that was true at one of these ticks.
fn bounds(course: &[Count], measure: Share) -> (f64, f64) {
    let share = |count: &Count| {
        let (keys, (least, most)) = match measure {
            Share::Agreement => (count.keys[0], count.bad[0]),
            Share::Completeness => (count.keys[0], count.bad[1]),
            Share::Extra => (count.keys[1], count.bad[2]),
        };
        let of = |bad: u64| if keys == 0 { 0.0 } else { bad as f64 / keys as f64 };
        if measure == Share::Extra { (of(least), of(most)) } else { (1.0 - of(most), 1.0 - of(least)) }
    };
    let widen = |(low, high): (f64, f64), one: (f64, f64)| (low.min(one.0), high.max(one.1));
    course.iter().map(share).fold((1.0, 0.0), widen)
}

fn courses(
    day: &Day,
    episodes: &BTreeMap<Address, Vec<Episode>>,
    clock: Ticks,
    closing: Moment,
    options: &Options,
) -> BTreeMap<(Entity, System), Vec<Count>> {
    let mut courses: BTreeMap<(Entity, System), Vec<Count>> = BTreeMap::new();
    for (address, standings) in standings(&day.writes) {
        let course =
            courses.entry((address.entity, address.target)).or_insert_with(|| vec![Count::default(); clock.count]);
        let of_it = episodes.get(&address).map_or(&[][..], Vec::as_slice);
        let lasting: Vec<(Interval, bool)> =
            of_it.iter().filter_map(|episode| lasting(episode, closing, options)).collect();
        for (tick, counted) in course.iter_mut().enumerate() {
            let at = clock.moment(tick);
            let begun = standings.partition_point(|standing| standing.since <= at);
            if let Some(standing) = begun.checked_sub(1).and_then(|last| standings.get(last)) {
                count(counted, *standing, &lasting, at);
            }
        }
    }
    courses
}

/// An episode that may be decided as bad, and whether it certainly is.
fn lasting(episode: &Episode, closing: Moment, options: &Options) -> Option<(Interval, bool)> {
    let length = episode.length(closing);
    // One that lasts until we close would have gone on.
    let is_certain = length > options.decidable_after();
    (length + options.probe_every * 2 > options.deadline).then(|| (episode.span(closing), is_certain))
}

fn count(count: &mut Count, standing: Standing, lasting: &[(Interval, bool)], at: Moment) {
    count.keys[0] += u64::from(standing.owner);
    count.keys[1] += u64::from(standing.target);
    let Some((_, is_certain)) = lasting.iter().find(|(span, _)| (span.low..=span.high).contains(&at)) else { return };
    let mut add = |bad: usize| {
        count.bad[bad].0 += u64::from(*is_certain);
        count.bad[bad].1 += 1;
    };
    if standing.owner {
        add(0);
    }
    match (standing.owner, standing.target) {
        (true, false) => add(1),
        (false, true) => add(2),
        _ => {}
    }
}
