//! Which hours used up most of a budget.

use std::collections::BTreeMap;

use super::{QUARTER, Series};
use crate::slo::counted::Counted;
use crate::slo::minute::Minute;

/// Minutes of an hour.
const HOUR: i64 = 60;

/// What was bad in an hour.
#[derive(Clone, Copy, Default)]
struct Bad {
    events: u64,
    minutes: u64,
}

impl Series {
    /// The counted hours of the world's time within `[from, to)` with most bad events, the worst first; where no event was
    /// bad, those with most minutes in which more keys than the floor were overdue.
    pub fn worst_hours(&self, counted: &Counted, (from, to): (Minute, Minute), most: usize) -> Vec<(Minute, u64)> {
        let mut hours: BTreeMap<i64, Bad> = BTreeMap::new();
        let mut note = |minute: i64, events: u32, minutes: u8| {
            if events > 0 || minutes > 0 {
                let hour = hours.entry(minute.div_euclid(HOUR)).or_default();
                hour.events += u64::from(events);
                hour.minutes += u64::from(minutes);
            }
        };
        for (begin, end) in counted.within(from, to) {
            let place = |minute: Minute, first: Minute, step: i64| {
                usize::try_from((minute.0 - first.0).max(0).div_euclid(step)).unwrap_or(usize::MAX)
            };
            let quarters = place(begin, self.oldest, QUARTER)..place(end.min(self.first), self.oldest, QUARTER);
            for number in quarters.filter(|number| *number < self.quarters.len()) {
                let quarter = &self.quarters[number];
                note(self.oldest.0 + QUARTER * number as i64, quarter.bad, quarter.gauge_bad);
            }
            let slots = place(begin, self.first, 1)..place(end, self.first, 1).min(self.slots.len());
            for number in slots {
                let slot = &self.slots[number];
                note(self.first.0 + number as i64, slot.bad, u8::from(slot.gauge == super::Gauge::Bad));
            }
        }
        let is_of_events = hours.values().any(|bad| bad.events > 0);
        let count = |bad: Bad| if is_of_events { bad.events } else { bad.minutes };
        let mut worst: Vec<(Minute, u64)> = hours
            .into_iter()
            .map(|(hour, bad)| (Minute(hour * HOUR), count(bad)))
            .filter(|(_, bad)| *bad > 0)
            .collect();
        worst.sort_by_key(|(hour, bad)| (std::cmp::Reverse(*bad), *hour));
        worst.truncate(most);
        worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slo::Counts;

    const NOW: Minute = Minute(30_000_000);

    fn bad(series: &mut Series, back: i64, bad: u64) {
        series.add(NOW.plus(-back), Counts { good: 10, bad, unknown: 0 });
    }

    fn worst(series: &Series, most: usize) -> Vec<(i64, u64)> {
        let from = NOW.plus(-1440);
        let found = series.worst_hours(&Counted::all(from, NOW.plus(1)), (from, NOW.plus(1)), most);
        found.into_iter().map(|(hour, bad)| ((NOW.0 - hour.0) / HOUR, bad)).collect()
    }

    #[test]
    fn the_worst_hours_come_first_whether_kept_by_the_minute_or_by_the_quarter() {
        for recent in [60, 1440] {
            let mut series = Series::new(NOW, recent, 1440, 0);
            bad(&mut series, 10 * HOUR, 3);
            bad(&mut series, 10 * HOUR - 20, 4);
            bad(&mut series, 5 * HOUR, 5);
            bad(&mut series, 1, 1);
            series.overdue(NOW, 9);
            assert_eq!(worst(&series, 2), [(10, 7), (5, 5)], "{recent} single minutes");
        }
    }

    #[test]
    fn without_bad_events_overdue_minutes_count() {
        let mut series = Series::new(NOW, 1440, 1440, 0);
        (0..30).for_each(|back| series.overdue(NOW.plus(-back), 9));
        bad(&mut series, 500, 0);
        let found = worst(&series, 3);
        assert_eq!(found.iter().map(|(_, minutes)| minutes).sum::<u64>(), 30);
        assert!(found[0].1 >= found[found.len() - 1].1);
    }
}
