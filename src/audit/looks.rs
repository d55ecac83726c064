//! From records as read to looks as `compare` wants them: state, window, and stamps on our timeline.

use std::time::Duration;

use crate::compare::{Look, Side, State, state_and_fields};
use crate::connect::{ClockReading, ReadWindow};
use crate::model::{Flow, Interval, Moment, Record};

/// How stamps of one system are brought onto our timeline.
#[derive(Clone, Copy, Debug)]
pub struct Stamps {
    /// The clock measurement; without one, stamps say nothing.
    pub clock: Option<ClockReading>,
    /// The longest time between a row's stamp and its commit; `None` when a record may change without its stamp.
    pub commit_delay: Option<Duration>,
}

impl Stamps {
    /// When a record with this stamp was written.
    ///
    /// A stamp without a fraction comes from a column or program that counts whole seconds (or milliseconds), which
    /// some cut and some round: it is taken to mean half a unit earlier to one unit later.
    pub fn interval(&self, stamp: Moment) -> Option<Interval> {
        let on_ours = self.clock?.on_our_timeline(stamp);
        let unit = match stamp.micros() {
            whole if whole % 1_000_000 == 0 => Duration::from_secs(1),
            whole if whole % 1_000 == 0 => Duration::from_millis(1),
            _ => Duration::from_micros(1),
        };
        Some(Interval::new(on_ours.low - unit / 2, on_ours.high + unit))
    }
}

/// What one read of one side says about one key. `records` are all that the side returned for it.
pub fn look(
    flow: &Flow,
    side: Side,
    records: &[&Record],
    window: ReadWindow,
    stamps: &Stamps,
    not_before: Moment,
) -> Look {
    told(flow, side, records, stamped(records, window, stamps, not_before))
}

/// A look with what the records hold.
pub fn told(flow: &Flow, side: Side, records: &[&Record], look: Look) -> Look {
    let (state, fields) = state_and_fields(flow, side, records);
    Look { state, fields, ..look }
}

/// Like [`look`], but without the work of digesting the state, which stands as absent.
pub fn stamped(records: &[&Record], window: ReadWindow, stamps: &Stamps, not_before: Moment) -> Look {
    // A record that left the scope still carries the stamp of its leaving.
    let told = records.iter().find(|record| record.in_scope).or(records.first());
    let changed_at = told.and_then(|record| record.changed_at).and_then(|stamp| stamps.interval(stamp));
    Look {
        changed_at,
        commit_within: stamps.commit_delay,
        version: told.and_then(|record| record.version.clone()),
        source_version: told.and_then(|record| record.source_version.clone()),
        not_before,
        ..Look::new(State::Absent, window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_widen_by_offset_and_unit() {
        let clock = ClockReading {
            offset_micros: 3_600_000_000,
            uncertainty: Duration::from_millis(5),
            measured_at: Moment::from_micros(0),
        };
        let stamps = Stamps { clock: Some(clock), commit_delay: Some(Duration::from_secs(2)) };
        let check = |stamp: i64, low: i64, high: i64| {
            let interval = stamps.interval(Moment::from_micros(3_600_000_000 + stamp)).unwrap();
            assert_eq!((interval.low.micros(), interval.high.micros()), (low, high), "{stamp}");
        };
        check(10_000_000, 10_000_000 - 505_000, 10_000_000 + 1_005_000);
        check(10_001_000, 10_001_000 - 5_500, 10_001_000 + 6_000);
        check(10_000_001, 10_000_001 - 5_000, 10_000_001 + 5_001);
        assert_eq!(Stamps { clock: None, ..stamps }.interval(Moment::from_micros(1)), None);
    }
}
