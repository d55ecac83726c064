//! The one place that asks a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::model::Moment;

/// Tells the time on the auditor's timeline.
pub trait Clock: Send + Sync {
    /// Now. Never goes back while the process lives.
    fn now(&self) -> Moment;
}

/// Anchored once to a wall clock, then driven by the monotonic clock: a jump of the machine's clock does not
/// reach it.
#[derive(Clone, Debug)]
pub struct AnchoredClock(Anchor);

/// Where a clock is anchored. Another process on the same machine that has it tells exactly the same time, whatever
/// happened to the machine's wall clock between their starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// A moment in microseconds since 1970.
    wall: i64,
    /// When that was on the machine's monotonic clock.
    monotonic: Duration,
}

impl AnchoredClock {
    /// Anchored to this machine's clock.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks a wall clock")]
    pub fn from_machine() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::at(Moment::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Anchored to `wall`, for instance the state database's clock, as of this call.
    pub fn at(wall: Moment) -> Self {
        Self(Anchor { wall: wall.micros(), monotonic: monotonic() })
    }

    /// The anchor.
    pub const fn anchor(&self) -> Anchor {
        self.0
    }

    /// Anchored where another process's clock is.
    pub const fn of(anchor: Anchor) -> Self {
        Self(anchor)
    }
}

/// `CLOCK_MONOTONIC`, which all processes of a machine share (clock_gettime(2)).
fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

impl Clock for AnchoredClock {
    fn now(&self) -> Moment {
        Moment::from_micros(self.0.wall) + monotonic().saturating_sub(self.0.monotonic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_tells_the_same_time_from_anothers_anchor() {
        let one = AnchoredClock::at(Moment::from_micros(1_000_000));
        let told = serde_json::to_string(&one.anchor()).expect("an anchor can be written");
        let other = AnchoredClock::of(serde_json::from_str(&told).expect("an anchor"));
        let readings = [one.now(), other.now(), one.now(), other.now()];
        assert!(readings[0] >= Moment::from_micros(1_000_000) && readings.is_sorted(), "{readings:?}");
    }
}
