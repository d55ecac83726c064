//! The one place that asks a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::model::Moment;

/// Tells the time on the auditor's timeline.
pub trait Clock: Send + Sync {
    /// Now. Never goes back while the process lives.
    fn now(&self) -> Moment;
}

/// Anchored once to a wall clock, then driven by the monotonic clock: a jump of the machine's clock does not
/// reach it.
#[derive(Clone, Debug)]
pub struct AnchoredClock {
    wall: Moment,
    started: Instant,
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
        Self { wall, started: Instant::now() }
    }
}

impl Clock for AnchoredClock {
    fn now(&self) -> Moment {
        self.wall + self.started.elapsed()
    }
}
