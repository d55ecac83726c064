//! When things happen: the next tick of a schedule, and when an unsettled key is looked at again. Pure.

use std::time::Duration;

use crate::config::Schedule;
use crate::model::Moment;

/// The first run time after `now`. `Every` ticks lie on a grid shifted by `jitter`, so that many probes with the
/// same interval spread out; `None` when a cron schedule has no further time.
pub fn next_tick(schedule: &Schedule, now: Moment, jitter: Duration) -> Option<Moment> {
    match schedule {
        Schedule::Every(interval) => {
            let step = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX).max(1);
            let shift = i64::try_from(jitter.as_micros()).unwrap_or(0) % step;
            let since_grid = (now.micros() - shift).rem_euclid(step);
            Some(now.shifted(step - since_grid))
        }
        Schedule::Cron(schedule, zone) => {
            let local = now.to_utc().with_timezone(zone);
            schedule.after(&local).next().map(|time| Moment::from(time.to_utc()))
        }
    }
}

/// The nominal distance of two runs, for pacing looks in between.
pub fn interval_of(schedule: &Schedule, now: Moment) -> Duration {
    match schedule {
        Schedule::Every(interval) => *interval,
        Schedule::Cron(..) => {
            let first = next_tick(schedule, now, Duration::ZERO);
            let second = first.and_then(|first| next_tick(schedule, first, Duration::ZERO));
            first.zip(second).map_or(Duration::from_secs(60), |(first, second)| second.since(first))
        }
    }
}

/// How often unsettled keys are looked at, derived from the probe's interval and the flow's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Shortest time between two looks at a key.
    pub shortest: Duration,
    /// Longest time between two looks at a key within its deadline.
    pub longest: Duration,
    /// The flow's deadline D.
    pub deadline: Duration,
}

/// No key is looked at more often than this, however short the probe's interval.
const SHORTEST: Duration = Duration::from_millis(50);
/// A key that is found to differ is first looked at again after this part of the interval: what is on its way is known to have
/// arrived to little more than the interval, though the owner may have changed at any time since the last look.
const FIRST_LOOKS: u32 = 100;
/// A key past its deadline is looked at at least this often; resyncs prove themselves by it.
const LONGEST_OVERDUE: Duration = Duration::from_secs(60);

impl Pace {
    /// For a probe that runs every `interval` on a flow with `deadline`.
    pub fn new(interval: Duration, deadline: Duration) -> Self {
        let longest = interval.max(SHORTEST);
        let shortest = (interval / FIRST_LOOKS).clamp(SHORTEST, Duration::from_secs(30));
        Self { shortest, longest, deadline }
    }

    /// When to look again at a key whose divergence began not later than `diverged_high`, as far as is known, and not later
    /// than `proven_high` for certain.
    ///
    /// Looks grow apart with the key's age (a quarter of it), so that the arrival is known to a quarter of the lag;
    /// one look is placed right after the deadline, when the verdict can be given.
    pub fn next_look(&self, now: Moment, diverged_high: Moment, proven_high: Moment) -> Moment {
        let decided_at = proven_high.max(diverged_high) + self.deadline + Duration::from_micros(1);
        if now <= decided_at {
            let age = now.since(diverged_high);
            let next = now + (age / 4).clamp(self.shortest, self.longest);
            return if next > decided_at { decided_at.max(now + Duration::from_millis(1)) } else { next };
        }
        let overdue = now.since(decided_at);
        now + (overdue / 4).clamp(self.longest.min(LONGEST_OVERDUE), LONGEST_OVERDUE)
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn ticks_lie_on_a_shifted_grid() {
        let every = Schedule::Every(secs(30));
        assert_eq!(next_tick(&every, at(61), Duration::ZERO), Some(at(90)));
        assert_eq!(next_tick(&every, at(90), Duration::ZERO), Some(at(120)));
        assert_eq!(next_tick(&every, at(61), secs(5)), Some(at(65)));
        assert_eq!(interval_of(&every, at(0)), secs(30));
    }

    #[test]
    fn cron_follows_its_zone() {
        let nightly = cron::Schedule::from_str("0 30 1 * * *").unwrap();
        let schedule = Schedule::Cron(Box::new(nightly), chrono_tz::Europe::Berlin);
        let noon = "2026-01-15T12:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        let next = next_tick(&schedule, noon.into(), Duration::ZERO).unwrap();
        assert_eq!(format!("{next:?}"), "2026-01-16T00:30:00.000000Z");
        assert_eq!(interval_of(&schedule, noon.into()), secs(86_400));
    }

    #[test]
    fn looks_grow_apart_and_meet_the_deadline() {
        assert_eq!(Pace::new(secs(10), secs(30)).next_look(at(100), at(100), at(100)), at(100).shifted(100_000));
        let pace = Pace::new(secs(4), secs(30));
        assert_eq!(pace.next_look(at(100), at(100), at(100)), at(100) + SHORTEST);
        assert_eq!(pace.next_look(at(108), at(100), at(100)), at(110));
        assert_eq!(pace.next_look(at(120), at(100), at(100)), at(124));
        assert_eq!(pace.next_look(at(129), at(100), at(100)), at(130).shifted(1));
        assert!(pace.next_look(at(131), at(100), at(100)) >= at(135));
        // What cannot be proven to be late before 133 is looked at then.
        assert_eq!(pace.next_look(at(131), at(100), at(103)), at(133).shifted(1));
        assert_eq!(pace.next_look(at(100_000), at(100), at(100)), at(100_060));
    }
}
