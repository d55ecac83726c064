//! Judging against the truth: an owner with a full timeline, a sync that delays, drops, corrupts and reorders, and
//! looks at random times with read windows, clock error and commit delay. Times are milliseconds.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::model::Number;

const POLL: i64 = 1_000;
const DEADLINE: i64 = 8_000;
/// How long one poll's reads and one stamp's doubts may take together.
const SLACK: i64 = 3_000;

/// What a write of the owner does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// A content never held before.
    New,
    /// The same content again.
    Touch,
    /// The content before the present one.
    Return,
}

/// What the sync makes of a write.
#[derive(Clone, Copy, Debug)]
enum Sync {
    After(i64),
    Dropped,
    /// Arrives as something that the owner never held.
    Corrupted(i64),
}

/// What one poll adds to the truth.
#[derive(Clone, Copy, Debug)]
struct Noise {
    /// Lengths of the three reads.
    reads: [i64; 3],
    /// Where in its window each snapshot is taken, percent.
    snapshots: [i64; 3],
    /// Whether the auditor restarts before the poll.
    restart: bool,
}

#[derive(Clone, Debug)]
struct Plan {
    writes: Vec<(i64, Kind, Sync)>,
    noise: Vec<Noise>,
    in_order: bool,
    commit_bounded: bool,
    sequences: bool,
    stamps: bool,
    uncertainty: i64,
    /// Clock error as a percentage of the uncertainty.
    clock_error: i64,
    commit_delay: i64,
    /// How long before its commit a write is stamped, as a percentage of the commit delay.
    stamped_early: i64,
}

fn sync() -> impl Strategy<Value = Sync> {
    prop_oneof![
        6 => (10_i64..4_000).prop_map(Sync::After),
        2 => (4_000_i64..20_000).prop_map(Sync::After),
        1 => Just(Sync::Dropped),
        1 => (10_i64..4_000).prop_map(Sync::Corrupted),
    ]
}

fn noise() -> impl Strategy<Value = Noise> {
    let part = || [0_i64..150, 0..150, 0..150];
    let percent = || [0_i64..=100, 0..=100, 0..=100];
    (part(), percent(), any::<bool>()).prop_map(|(reads, snapshots, restart)| Noise { reads, snapshots, restart })
}

fn plan(gap: std::ops::Range<i64>, kinds: &'static [Kind]) -> impl Strategy<Value = Plan> {
    let writes = prop::collection::vec((gap, select(kinds), sync()), 1..12);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let clock = (0_i64..50, -100_i64..=100, 0_i64..200, 0_i64..=100);
    (writes, prop::collection::vec(noise(), 60), flags, clock).prop_map(|(writes, noise, flags, clock)| Plan {
        writes,
        noise,
        in_order: flags.0,
        commit_bounded: flags.1,
        sequences: flags.2,
        stamps: flags.3,
        uncertainty: clock.0,
        clock_error: clock.1,
        commit_delay: clock.2,
        stamped_early: clock.3,
    })
}

/// Contents over time, oldest first; index into the owner's history counts up with each new content.
struct Timeline(Vec<(i64, u128)>);

impl Timeline {
    fn at(&self, time: i64) -> u128 {
        self.0.iter().rev().find(|(since, _)| *since <= time).map_or(1, |(_, content)| *content)
    }

    fn last_write(&self, time: i64) -> Option<usize> {
        self.0.iter().rposition(|(since, _)| *since <= time)
    }
}

struct World {
    owner: Timeline,
    target: Timeline,
    /// Times at which the owner's content was written, touches too.
    writes: Vec<i64>,
    /// Whether any content was held twice.
    returns: bool,
}

const CORRUPT: u128 = 1_000_000;

fn world(plan: &Plan) -> World {
    let (mut now, mut next, mut previous, mut present) = (0, 2, 1, 1);
    let (mut owner, mut target) = (Vec::new(), Vec::new());
    let mut latest = 0;
    for (gap, kind, sync) in &plan.writes {
        now += gap;
        let content = match kind {
            Kind::New => next,
            Kind::Touch => present,
            Kind::Return => previous,
        };
        next += u128::from(*kind == Kind::New);
        if content != present {
            (previous, present) = (present, content);
        }
        owner.push((now, content));
        let (delay, arrives) = match sync {
            Sync::After(delay) => (*delay, content),
            // Corrupting without a change is a fault, but not a late change: no lag could be true of it.
            Sync::Corrupted(delay) if *kind == Kind::Touch => (*delay, content),
            Sync::Corrupted(delay) => (*delay, CORRUPT + content),
            Sync::Dropped => continue,
        };
        latest = if plan.in_order { latest.max(now + delay) } else { now + delay };
        target.push((latest, arrives));
    }
    target.sort_by_key(|(since, _)| *since);
    let writes = owner.iter().map(|(since, _)| *since).collect();
    let returns = plan.writes.iter().any(|(_, kind, _)| *kind == Kind::Return);
    World { owner: Timeline(owner), target: Timeline(target), writes, returns }
}

impl World {
    /// Δ: how long ago the owner last held what the target holds at `time`; `None` if it never did.
    fn delta(&self, time: i64) -> Option<i64> {
        let held = self.target.at(time);
        if self.owner.at(time) == held {
            return Some(0);
        }
        let left = self.writes.iter().rev().filter(|write| **write <= time);
        left.copied().find(|write| self.owner.at(write - 1) == held).map(|write| time - write)
    }

    /// The target without what was overwritten by something corrupt before a look may have seen it.
    fn visible_target(&self) -> Timeline {
        let arrivals = &self.target.0;
        let hidden = |position: usize| {
            let next = arrivals.get(position + 1);
            next.is_some_and(|(since, held)| *held >= CORRUPT && since - arrivals[position].0 < 2 * POLL)
        };
        Timeline((0..arrivals.len()).filter(|position| !hidden(*position)).map(|position| arrivals[position]).collect())
    }

    /// How long until the target held what the owner held at some moment since the write; the end of time if never.
    fn lag_of(&self, write: i64, target: &Timeline) -> i64 {
        let since =
            |timeline: &Timeline| timeline.0.iter().map(|(time, _)| *time).filter(|time| *time >= write).collect();
        let mut moments: Vec<i64> = since(&self.owner);
        moments.extend::<Vec<i64>>(since(&self.target));
        moments.sort_unstable();
        let held_since = |time: i64, content: u128| {
            self.owner.0.iter().any(|(written, held)| *written >= write && *written <= time && *held == content)
        };
        let arrived = moments.into_iter().find(|time| held_since(*time, target.at(*time)));
        arrived.map_or(i64::MAX, |time| time - write)
    }
}

fn moment(millis: i64) -> Moment {
    Moment::from_micros(millis * 1_000)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// One poll: when each of the three reads ran and what it saw.
struct Poll {
    windows: [(i64, i64); 3],
    snapshots: [i64; 3],
}

fn poll(number: usize, noise: &Noise) -> Poll {
    let mut begin = i64::try_from(number).unwrap() * POLL;
    let (mut windows, mut snapshots) = ([(0, 0); 3], [0; 3]);
    for read in 0..3 {
        windows[read] = (begin, begin + noise.reads[read]);
        snapshots[read] = begin + noise.reads[read] * noise.snapshots[read] / 100;
        begin += noise.reads[read];
    }
    Poll { windows, snapshots }
}

fn state(content: u128) -> State {
    State::Present(Held { digest: Digest(content), two_way: None, one_way: None, tolerant: Vec::new() })
}

fn look(plan: &Plan, timeline: &Timeline, window: (i64, i64), snapshot: i64, not_before: Moment) -> Look {
    let write = timeline.last_write(snapshot);
    let stamp = write.filter(|_| plan.stamps).map(|write| {
        let stamp = timeline.0[write].0 - plan.commit_delay * plan.stamped_early / 100;
        let measured = stamp + plan.uncertainty * plan.clock_error / 100;
        Interval::new(moment(measured - plan.uncertainty), moment(measured + plan.uncertainty))
    });
    let sequence = i64::try_from(write.map_or(0, |write| write + 1)).unwrap();
    Look {
        changed_at: stamp,
        commit_within: plan.commit_bounded.then(|| Duration::from_millis(plan.commit_delay.unsigned_abs())),
        version: plan.sequences.then(|| Version::Sequence(Number::from(sequence))),
        not_before,
        ..Look::new(state(timeline.at(snapshot)), Interval::new(moment(window.0), moment(window.1)))
    }
}

/// One final judgement and the moments at which the two sides were really seen.
struct Judged {
    judgement: Judgement,
    before: Option<Track>,
    owner_seen: i64,
    target_seen: i64,
}

/// Runs the auditor over the world as the engine does: changed and unsettled keys are judged at each poll.
fn audit(plan: &Plan, world: &World, with_restarts: bool) -> Vec<Judged> {
    let mut context =
        Context { deadline: Duration::from_millis(DEADLINE as u64), baseline: None, tolerances: &[], agreed: None };
    let mut track: Option<Track> = None;
    let mut previous: Option<Poll> = None;
    let mut judged = Vec::new();
    for (number, noise) in plan.noise.iter().enumerate() {
        if with_restarts && noise.restart {
            track = track.map(|track| Track::from_bytes(&track.to_bytes()).unwrap());
        }
        let poll = poll(number, noise);
        let [seen, target_seen, again] = poll.snapshots;
        let changed =
            previous.as_ref().filter(|last| world.owner.last_write(last.snapshots[0]) != world.owner.last_write(seen));
        let not_before = changed.map_or(Moment::MIN, |last| moment(last.windows[0].0));
        if changed.is_some() || track.is_some() {
            let owner = look(plan, &world.owner, poll.windows[0], seen, not_before);
            let target = look(plan, &world.target, poll.windows[1], target_seen, Moment::MIN);
            let before = track.take();
            let mut judgement = judge(before.clone(), &owner, &target, None, context);
            let mut owner_seen = seen;
            if judgement.needs_confirmation {
                let confirm = look(plan, &world.owner, poll.windows[2], again, owner.window.low);
                judgement = judge(before.clone(), &owner, &target, Some(&confirm), context);
                assert!(!judgement.needs_confirmation);
                owner_seen = again;
            }
            track = judgement.track.clone();
            if judgement.verdict == Verdict::Match {
                let known = context.agreed.map_or(Moment::MIN, |agreed: Agreed| agreed.counted);
                let counted = if before.is_some() { owner.window.high } else { known };
                context.agreed = Some(Agreed { looks: owner.window.hull(target.window), counted });
            }
            judged.push(Judged { judgement, before, owner_seen, target_seen });
        }
        previous = Some(poll);
    }
    judged
}

/// What holds at any speed of the owner.
fn check_always(world: &World, judged: &[Judged]) {
    for one in judged {
        let Judged { judgement, owner_seen, target_seen, .. } = one;
        let agree = world.owner.at(*owner_seen) == world.target.at(*target_seen);
        assert_eq!(judgement.verdict == Verdict::Match, agree, "match exactly when the states are equal");
        assert_eq!(judgement.track.is_none(), agree);
        assert!(judgement.lag.low <= judgement.lag.high);
        // An owner that returns between the two reads of one look has ended the episode unseen.
        let same_moment = world.owner.last_write(*owner_seen) == world.owner.last_write(*target_seen) || !world.returns;
        if !agree
            && same_moment
            && let Some(delta) = world.delta(*target_seen)
        {
            assert!(millis(judgement.lag.low) <= delta, "{judgement:?} but Δ is {delta} ms at {target_seen}");
        }
        check_clock(world, one);
    }
    check_liveness(world, judged);
}

/// The divergence's clock never restarts while the target stands still.
fn check_clock(world: &World, one: &Judged) {
    let (Some(before), Some(after)) = (&one.before, &one.judgement.track) else { return };
    if before.target == Some(state(world.target.at(one.target_seen))) {
        assert_eq!(before.diverged, after.diverged);
    }
}

/// A target that is not written while the owner differs is called bad when the deadline has surely passed.
fn check_liveness(world: &World, judged: &[Judged]) {
    let mut since: Option<(i64, Option<usize>)> = None;
    for one in judged {
        let held = world.target.last_write(one.target_seen);
        if one.judgement.verdict == Verdict::Match {
            since = None;
            continue;
        }
        let begun = since.filter(|(_, written)| *written == held).map_or(one.target_seen, |(begun, _)| begun);
        since = Some((begun, held));
        if one.target_seen - begun > DEADLINE + SLACK {
            assert!(one.judgement.verdict.is_bad(), "{:?} after {} ms", one.judgement, one.target_seen - begun);
        }
    }
}

/// What holds when no two changes of the owner fall between two looks.
fn check_slow(plan: &Plan, world: &World, judged: &[Judged]) {
    let mut events = 0;
    for Judged { judgement, target_seen, .. } in judged {
        let delta = world.delta(*target_seen);
        if judgement.verdict.is_bad() {
            assert!(delta.is_none_or(|delta| delta > DEADLINE), "{judgement:?} but Δ is {delta:?} ms");
        }
        if let Some(event) = &judgement.event {
            events += 1;
            let outcome = (event.lag.low > context_deadline(), event.lag.high <= context_deadline());
            assert_eq!(outcome, (event.outcome == Outcome::Bad, event.outcome == Outcome::Good));
            // A content held twice arrives at once, and is left again when what was on its way arrives.
            if plan.in_order && !world.returns {
                check_lag(world, judgement, event);
            }
        }
    }
    if plan.in_order {
        assert!(events <= world.writes.len(), "one event for each divergence");
    }
}

const fn context_deadline() -> Duration {
    Duration::from_millis(DEADLINE as u64)
}

/// The event speaks of a real write, and the true lag of that write is inside the bounds.
fn check_lag(world: &World, judgement: &Judgement, event: &FreshnessEvent) {
    let settled = judgement.verdict == Verdict::Match || event.outcome != Outcome::Bad;
    let high = if settled { millis(event.lag.high) } else { i64::MAX };
    let lags: Vec<(i64, [i64; 2])> = world
        .writes
        .iter()
        .map(|write| (*write, [&world.target, &world.visible_target()].map(|target| world.lag_of(*write, target))))
        .collect();
    let fits = |(write, lags): &(i64, [i64; 2])| {
        let changed = event.changed.low <= moment(*write) && moment(*write) <= event.changed.high;
        changed && lags.iter().any(|lag| millis(event.lag.low) <= *lag && *lag <= high)
    };
    assert!(lags.iter().any(fits), "{event:?} of none of {lags:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn an_owner_slower_than_the_looks(plan in plan(1_600..20_000, &[Kind::New, Kind::New, Kind::Touch, Kind::Return])) {
        let world = world(&plan);
        let judged = audit(&plan, &world, false);
        check_always(&world, &judged);
        check_slow(&plan, &world, &judged);
    }

    #[test]
    fn an_owner_faster_than_the_looks(plan in plan(20..3_000, &[Kind::New, Kind::New, Kind::Touch])) {
        let world = world(&plan);
        check_always(&world, &audit(&plan, &world, false));
    }

    #[test]
    fn restarts_change_nothing(plan in plan(20..6_000, &[Kind::New, Kind::Touch, Kind::Return])) {
        let world = world(&plan);
        let verdicts = |with_restarts| -> Vec<Judgement> {
            audit(&plan, &world, with_restarts).into_iter().map(|one| one.judgement).collect()
        };
        assert_eq!(verdicts(false), verdicts(true));
    }
}
