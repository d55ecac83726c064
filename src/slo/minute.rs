//! Minutes since the Unix epoch: the grain of evaluation.

use std::time::Duration;

use crate::model::Moment;

const MICROS: i64 = 60_000_000;

/// A minute, by its number since the Unix epoch. Holds the moments `[start, start + 60 s)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Minute(pub i64);

impl Minute {
    /// The minute that holds a moment.
    pub const fn of(moment: Moment) -> Self {
        Self(moment.micros().div_euclid(MICROS))
    }

    /// From seconds since the Unix epoch.
    pub const fn of_seconds(seconds: i64) -> Self {
        Self(seconds.div_euclid(60))
    }

    /// Where it begins.
    pub const fn start(self) -> Moment {
        Moment::from_micros(self.0.saturating_mul(MICROS))
    }

    /// Seconds since the Unix epoch at its begin.
    pub const fn seconds(self) -> i64 {
        self.0.saturating_mul(60)
    }

    /// So many minutes later; earlier when negative.
    #[must_use]
    pub const fn plus(self, minutes: i64) -> Self {
        Self(self.0.saturating_add(minutes))
    }
}

/// Whole minutes of a duration, rounded up.
pub(crate) fn minutes_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs().div_ceil(60)).unwrap_or(i64::MAX)
}
