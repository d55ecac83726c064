//! What is known of the clocks of the systems a unit reads: kept as long as measurements agree, given up when a
//! clock was set.

use std::collections::HashMap;
use std::time::Duration;

use crate::connect::ClockReading;
use crate::model::{Moment, SystemId};

/// The best measurement is used this long.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// A clock is asked at least this often while its stamps are used, so that one that is set is noticed.
const WATCHED_EVERY: Duration = Duration::from_secs(1);

/// How fast a clock may drift while it is slewed, in millionths: Linux slews by up to 500, NTP's clock discipline
/// by as much (RFC 5905, section 11.3).
const DRIFT_PPM: u32 = 500;

/// The clocks of a unit's systems.
#[derive(Debug, Default)]
pub struct Clocks(HashMap<SystemId, Known>);

#[derive(Debug)]
struct Known {
    /// What stamps are read by.
    reading: ClockReading,
    /// When the clock was last asked.
    heard_at: Moment,
    /// The clock was set: `reading` holds for both times, and is replaced a moment later.
    was_set: bool,
}

/// What a clock wants before its stamps are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Nothing: it was asked a moment ago.
    Nothing,
    /// One measurement, to notice whether it was set.
    Watching,
    /// The best of several measurements.
    Measuring,
}

/// What a measurement told next to the one that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The clock goes on as before.
    Agrees,
    /// The clock was set ahead.
    SetAhead,
    /// The clock was set back: stamps that were given before are given again.
    SetBack,
}

impl Clocks {
    /// What stamps of `system` are read by; `None` when its clock could not be asked.
    pub fn of(&self, system: &SystemId) -> Option<ClockReading> {
        self.0.get(system).map(|known| known.reading)
    }

    /// What the clock of `system` wants at `now`.
    pub fn wants(&self, system: &SystemId, now: Moment) -> Wants {
        match self.0.get(system) {
            Some(known) if now.since(known.reading.measured_at) >= known.good_for() => Wants::Measuring,
            Some(known) if now.since(known.heard_at) >= WATCHED_EVERY => Wants::Watching,
            Some(_) => Wants::Nothing,
            None => Wants::Measuring,
        }
    }

    /// Takes a measurement in. A clock that was set since the last one is read by both times for a moment: rows that
    /// are read now may carry stamps of either.
    pub fn hear(&mut self, system: &SystemId, heard: ClockReading) -> Heard {
        let (next, told) = match self.0.get(system) {
            Some(known) => known.after(heard),
            None => (Known::new(heard), Heard::Agrees),
        };
        self.0.insert(system.clone(), next);
        told
    }

    /// The clock could not be asked: stamps of `system` say nothing until it can.
    pub fn forget(&mut self, system: &SystemId) {
        self.0.remove(system);
    }
}

impl Known {
    const fn new(reading: ClockReading) -> Self {
        Self { reading, heard_at: reading.measured_at, was_set: false }
    }

    const fn good_for(&self) -> Duration {
        if self.was_set { WATCHED_EVERY } else { GOOD_FOR }
    }

    /// What is known after a further measurement, and what that told.
    fn after(&self, heard: ClockReading) -> (Self, Heard) {
        let kept = self.reading;
        let is_over = heard.measured_at.since(kept.measured_at) >= self.good_for();
        if !self.was_set && was_set(&kept, &heard) {
            let back = heard.offset_micros < kept.offset_micros;
            let told = if back { Heard::SetBack } else { Heard::SetAhead };
            return (Self { was_set: true, ..Self::new(spanning(&kept, &heard)) }, told);
        }
        if is_over || (!self.was_set && heard.uncertainty <= kept.uncertainty) {
            return (Self::new(heard), Heard::Agrees);
        }
        (Self { reading: kept, heard_at: heard.measured_at, was_set: self.was_set }, Heard::Agrees)
    }
}

/// Whether two measurements cannot be of one clock that only drifted.
fn was_set(kept: &ClockReading, heard: &ClockReading) -> bool {
    let apart = Duration::from_micros(kept.offset_micros.abs_diff(heard.offset_micros));
    let drift = heard.measured_at.since(kept.measured_at) / 1_000_000 * DRIFT_PPM;
    apart > kept.uncertainty + heard.uncertainty + drift
}

/// A reading that holds for stamps of both.
fn spanning(one: &ClockReading, other: &ClockReading) -> ClockReading {
    let apart = one.offset_micros.abs_diff(other.offset_micros);
    let middle = i128::midpoint(i128::from(one.offset_micros), i128::from(other.offset_micros));
    ClockReading {
        // The middle of two values lies between them.
        offset_micros: i64::try_from(middle).unwrap_or(other.offset_micros),
        uncertainty: Duration::from_micros(apart.div_ceil(2)) + one.uncertainty.max(other.uncertainty),
        measured_at: other.measured_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn reading(at_millis: i64, offset_millis: i64, uncertainty_millis: u64) -> ClockReading {
        ClockReading {
            offset_micros: offset_millis * 1_000,
            uncertainty: Duration::from_millis(uncertainty_millis),
            measured_at: Moment::from_micros(at_millis * 1_000),
        }
    }

    fn heard(readings: &[ClockReading]) -> (Clocks, SystemId) {
        let (mut clocks, system) = (Clocks::default(), "erp".parse().unwrap());
        for reading in readings {
            clocks.hear(&system, *reading);
        }
        (clocks, system)
    }

    #[track_caller]
    fn check(readings: &[ClockReading], expect: ClockReading) {
        let (clocks, system) = heard(readings);
        assert_eq!(clocks.of(&system), Some(expect));
    }

    #[test]
    fn the_best_measurement_is_kept_while_it_is_young() {
        check(&[reading(0, 5, 2), reading(100, 6, 9)], reading(0, 5, 2));
        check(&[reading(0, 5, 2), reading(100, 6, 1)], reading(100, 6, 1));
        check(&[reading(0, 5, 2), reading(10_000, 6, 9)], reading(10_000, 6, 9));
    }

    #[test]
    fn a_clock_that_drifts_was_not_set() {
        check(&[reading(0, 0, 1), reading(9_000, 6, 1)], reading(9_000, 6, 1));
        check(&[reading(0, 0, 1), reading(1_000, 6, 1)], reading(1_000, 3, 4));
    }

    #[test]
    fn a_clock_that_was_set_is_read_by_both_times_until_the_next_measurement() {
        check(&[reading(0, 0, 1), reading(100, -3_600_000, 1)], reading(100, -1_800_000, 1_800_001));
        let set = [reading(0, 0, 1), reading(100, -3_600_000, 1)];
        check(&[set[0], set[1], reading(200, -3_600_000, 5)], reading(100, -1_800_000, 1_800_001));
        check(&[set[0], set[1], reading(1_100, -3_600_000, 5)], reading(1_100, -3_600_000, 5));
    }

    #[test]
    fn a_clock_that_is_set_is_told_once() {
        let (mut clocks, system) = heard(&[reading(0, 0, 1)]);
        assert_eq!(clocks.hear(&system, reading(100, 5_000, 1)), Heard::SetAhead);
        assert_eq!(clocks.hear(&system, reading(200, 5_000, 1)), Heard::Agrees);
        assert_eq!(clocks.hear(&system, reading(2_000, 5_000, 1)), Heard::Agrees);
        assert_eq!(clocks.hear(&system, reading(2_100, -5_000, 1)), Heard::SetBack);
    }

    #[test]
    fn what_a_clock_wants() {
        let wants = |readings: &[ClockReading], at_millis: i64| {
            let (clocks, system) = heard(readings);
            clocks.wants(&system, Moment::from_micros(at_millis * 1_000))
        };
        assert_eq!(wants(&[], 0), Wants::Measuring);
        assert_eq!(wants(&[reading(0, 0, 1)], 999), Wants::Nothing);
        assert_eq!(wants(&[reading(0, 0, 1)], 1_000), Wants::Watching);
        assert_eq!(wants(&[reading(0, 0, 1), reading(900, 0, 2)], 1_500), Wants::Nothing, "asked a moment ago");
        assert_eq!(wants(&[reading(0, 0, 1)], 10_000), Wants::Measuring);
        assert_eq!(wants(&[reading(0, 0, 1), reading(100, 900, 1)], 1_000), Wants::Nothing, "it was set");
        assert_eq!(wants(&[reading(0, 0, 1), reading(100, 900, 1)], 1_100), Wants::Measuring, "it was set");
    }
}
