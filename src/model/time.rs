//! Moments, intervals and lags on the auditor's timeline.
//!
//! A [`Moment`] is microseconds since the Unix epoch on *our* timeline: anchored once to a wall clock and
//! then driven by the monotonic clock, so that it never jumps while the process lives. Stamps of other
//! systems are corrected by their measured clock offset before they become moments.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A point on the auditor's timeline, in microseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment(i64);

impl Moment {
    /// Earlier than anything: "not known since when".
    pub const MIN: Self = Self(i64::MIN);
    /// Later than anything.
    pub const MAX: Self = Self(i64::MAX);

    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        let micros = i128::from(self.0) - i128::from(earlier.0);
        Duration::from_micros(u64::try_from(micros.max(0)).unwrap_or(u64::MAX))
    }

    /// As a calendar time; the ends of the calendar for moments outside it.
    pub fn to_utc(self) -> DateTime<Utc> {
        let bound = if self.0 < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
        DateTime::from_timestamp_micros(self.0).unwrap_or(bound)
    }

    /// Shifted by signed microseconds, saturating.
    pub fn shifted(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

impl From<DateTime<Utc>> for Moment {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_micros())
    }
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros_of(duration)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros_of(duration)))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => f.write_str("-inf"),
            Self::MAX => f.write_str("+inf"),
            _ => write!(f, "{}", self.to_utc().format("%Y-%m-%dT%H:%M:%S%.6fZ")),
        }
    }
}

/// A closed interval in which something is known to have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// Not earlier than this.
    pub low: Moment,
    /// Not later than this.
    pub high: Moment,
}

impl Interval {
    /// An interval; `high` is raised to `low` when they are the wrong way round.
    pub fn new(low: Moment, high: Moment) -> Self {
        Self { low, high: high.max(low) }
    }

    /// What both intervals allow, or `None` when they exclude each other.
    pub fn intersect(self, other: Self) -> Option<Self> {
        let low = self.low.max(other.low);
        let high = self.high.min(other.high);
        (low <= high).then_some(Self { low, high })
    }

    /// The shortest interval that holds both.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}

/// How long a change took, or has so far taken, to reach the target. The truth lies in `[low, high]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// At least this long.
    pub low: Duration,
    /// At most this long.
    pub high: Duration,
}

impl Lag {
    /// No lag at all.
    pub const ZERO: Self = Self { low: Duration::ZERO, high: Duration::ZERO };

    /// The lag between something that began within `from` and ended within `until`.
    pub fn between(from: Interval, until: Interval) -> Self {
        Self { low: until.low.since(from.high), high: until.high.since(from.low) }
    }

    /// How much is not known: `high - low`.
    pub fn width(self) -> Duration {
        self.high.saturating_sub(self.low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn lag_is_bounded_by_both_ends() {
        let lag = Lag::between(Interval::new(at(10), at(12)), Interval::new(at(15), at(16)));
        assert_eq!(lag, Lag { low: Duration::from_secs(3), high: Duration::from_secs(6) });
        let touching = Lag::between(Interval::new(at(10), at(20)), Interval::new(at(15), at(16)));
        assert_eq!(touching.low, Duration::ZERO);
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        assert_eq!(Moment::MAX + Duration::from_secs(1), Moment::MAX);
        assert!(Moment::MAX.since(Moment::MIN) > Duration::from_secs(1));
        assert_eq!(Moment::MIN.since(Moment::MAX), Duration::ZERO);
    }
}
