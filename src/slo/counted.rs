//! Which minutes of a span count, as a list of half-open spans; windows slide over what counts.

use chrono::Days;

use super::calendar::{Calendar, MARGIN_DAYS, Maintenance, local_day};
use super::minute::Minute;

/// The minutes that count, from `from` to `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    from: Minute,
    to: Minute,
    /// Sorted, apart from each other, within `[from, to)`.
    spans: Vec<(Minute, Minute)>,
}

impl Counted {
    /// All minutes of `[from, to)`.
    pub fn all(from: Minute, to: Minute) -> Self {
        let spans = if from < to { vec![(from, to)] } else { Vec::new() };
        Self { from, to, spans }
    }

    /// The minutes of `[from, to)` that count in `calendar`; all without one.
    pub fn of(calendar: Option<&Calendar>, from: Minute, to: Minute) -> Self {
        let Some(calendar) = calendar else { return Self::all(from, to) };
        let mut spans: Vec<(Minute, Minute)> = Vec::new();
        let margin = Days::new(MARGIN_DAYS);
        let first = local_day(calendar.zone, from);
        let mut day = first.checked_sub_days(margin).unwrap_or(first);
        let last = local_day(calendar.zone, to);
        while day <= last {
            for (begin, end) in calendar.of_day(day) {
                let span = (begin.max(from), end.min(to));
                if span.0 < span.1 {
                    spans.push(span);
                }
            }
            let Some(next) = day.checked_add_days(Days::new(1)) else { break };
            day = next;
        }
        Self { from, to, spans: joined(spans) }
    }

    /// Without the times of `maintenance`.
    #[must_use]
    pub fn without<'m>(mut self, maintenance: impl IntoIterator<Item = &'m Maintenance>) -> Self {
        for work in maintenance {
            if work.from >= self.to || work.to <= self.from {
                continue;
            }
            let cut = |&(begin, end): &(Minute, Minute)| [(begin, end.min(work.from)), (begin.max(work.to), end)];
            self.spans = self.spans.iter().flat_map(cut).filter(|(begin, end)| begin < end).collect();
        }
        self
    }

    /// The counted spans within `[from, to)`.
    pub fn within(&self, from: Minute, to: Minute) -> impl Iterator<Item = (Minute, Minute)> + '_ {
        let begin = self.spans.partition_point(|(_, end)| *end <= from);
        let spans = self.spans[begin..].iter().take_while(move |(begin, _)| *begin < to);
        spans.map(move |(begin, end)| ((*begin).max(from), (*end).min(to))).filter(|(begin, end)| begin < end)
    }

    /// Counted minutes within `[from, to)`.
    pub fn minutes(&self, from: Minute, to: Minute) -> i64 {
        self.within(from, to).map(|(begin, end)| end.0 - begin.0).sum()
    }

    /// Where the window begins that ends at `to` and holds so many counted minutes; the begin of what is laid out when
    /// there are fewer.
    pub fn back(&self, to: Minute, minutes: i64) -> Minute {
        let mut missing = minutes;
        let last = self.spans.partition_point(|(begin, _)| *begin < to);
        for (begin, end) in self.spans[..last].iter().rev() {
            let end = (*end).min(to);
            let length = end.0 - begin.0;
            if length >= missing {
                return end.plus(-missing);
            }
            missing -= length;
        }
        self.from
    }

    /// Whether a minute counts.
    pub fn holds(&self, minute: Minute) -> bool {
        self.within(minute, minute.plus(1)).next().is_some()
    }
}

/// Spans in order that touch or overlap become one.
fn joined(spans: Vec<(Minute, Minute)>) -> Vec<(Minute, Minute)> {
    let mut joined: Vec<(Minute, Minute)> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.0 <= last.1 => last.1 = last.1.max(span.1),
            _ => joined.push(span),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate};

    use super::super::calendar::{Hours, Period};
    use super::*;

    fn minute(text: &str) -> Minute {
        Minute::of_seconds(DateTime::parse_from_rfc3339(text).unwrap().timestamp())
    }

    fn office(zone: chrono_tz::Tz, holidays: &[&str]) -> Calendar {
        let day = vec![Hours { from: 8 * 60, to: 18 * 60 }];
        let rest = Vec::new();
        Calendar {
            name: "office".to_owned(),
            zone,
            hours: [day.clone(), day.clone(), day.clone(), day.clone(), day, rest.clone(), rest],
            holidays: holidays.iter().map(|day| day.parse::<NaiveDate>().unwrap()).collect(),
        }
    }

    #[test]
    fn windows_slide_over_nights_weekends_and_holidays() {
        let berlin = chrono_tz::Europe::Berlin;
        // Friday 25 December 2026 is a holiday, Monday 28 is worked.
        let calendar = office(berlin, &["2026-12-25"]);
        let counted = Counted::of(Some(&calendar), minute("2026-12-01T00:00:00Z"), minute("2026-12-31T00:00:00Z"));
        let monday = minute("2026-12-28T09:00:00+01:00");
        assert_eq!(counted.back(monday, 60), minute("2026-12-28T08:00:00+01:00"));
        assert_eq!(counted.back(monday, 61), minute("2026-12-24T17:59:00+01:00"));
        assert_eq!(counted.back(minute("2026-12-27T12:00:00Z"), 1), minute("2026-12-24T17:59:00+01:00"));
        assert!(!counted.holds(minute("2026-12-25T12:00:00Z")));
        assert!(counted.holds(minute("2026-12-24T17:59:00+01:00")));
        assert!(!counted.holds(minute("2026-12-24T18:00:00+01:00")));
        assert_eq!(counted.minutes(minute("2026-12-21T00:00:00Z"), minute("2026-12-28T00:00:00Z")), 4 * 600);
        assert!((calendar.share_of_week() - 50.0 / 168.0).abs() < 1e-12);
    }

    #[test]
    fn a_day_on_which_clocks_change_is_as_long_as_it_is() {
        let mut calendar = office(chrono_tz::Europe::Berlin, &[]);
        calendar.hours = std::array::from_fn(|_| vec![Hours { from: 0, to: 1440 }]);
        let check = |day: &str, expect: i64| {
            let day: NaiveDate = day.parse().unwrap();
            let spans = calendar.of_day(day);
            assert_eq!(spans.iter().map(|(from, to)| to.0 - from.0).sum::<i64>(), expect, "{day}");
        };
        check("2026-03-29", 23 * 60);
        check("2026-10-25", 25 * 60);
        check("2026-06-01", 24 * 60);
        let (from, to) = (minute("2026-03-01T00:00:00Z"), minute("2026-11-30T00:00:00Z"));
        let counted = Counted::of(Some(&calendar), from, to);
        assert_eq!(counted.minutes(from, to), to.0 - from.0, "days join without gaps and overlaps");
        // 02:30 does not exist on the day when clocks are set forward: what begins then begins at the jump.
        calendar.hours[6] = vec![Hours { from: 150, to: 240 }];
        let spans = calendar.of_day("2026-03-29".parse().unwrap());
        assert_eq!(spans, [(minute("2026-03-29T03:00:00+02:00"), minute("2026-03-29T04:00:00+02:00"))]);
    }

    #[test]
    fn periods_begin_at_midnight_of_people() {
        let berlin = chrono_tz::Europe::Berlin;
        let now = minute("2026-10-31T23:30:00Z");
        let check = |period: Period, begin: &str, end: &str| {
            assert_eq!(period.begin(berlin, now), minute(begin), "{period:?}");
            assert_eq!(period.end(berlin, now), minute(end), "{period:?}");
        };
        check(Period::Day, "2026-11-01T00:00:00+01:00", "2026-11-02T00:00:00+01:00");
        check(Period::Week, "2026-10-26T00:00:00+01:00", "2026-11-02T00:00:00+01:00");
        check(Period::Month, "2026-11-01T00:00:00+01:00", "2026-12-01T00:00:00+01:00");
        check(Period::Quarter, "2026-10-01T00:00:00+02:00", "2027-01-01T00:00:00+01:00");
        check(Period::Year, "2026-01-01T00:00:00+01:00", "2027-01-01T00:00:00+01:00");
    }

    #[test]
    fn maintenance_is_cut_out() {
        let work = |from: i64, to: i64| Maintenance {
            reason: "upgrade".to_owned(),
            from: Minute(from),
            to: Minute(to),
            systems: Vec::new(),
        };
        let counted = Counted::all(Minute(0), Minute(100)).without(&[work(10, 20), work(15, 30), work(90, 200)]);
        let spans: Vec<_> = counted.within(Minute(0), Minute(100)).map(|(from, to)| (from.0, to.0)).collect();
        assert_eq!(spans, [(0, 10), (30, 90)]);
        assert_eq!(counted.back(Minute(100), 65), Minute(5));
        assert_eq!(counted.back(Minute(100), 1000), Minute(0));
    }
}
