//! Business hours, holidays, periods and maintenance, in the time zones of people.

use std::collections::BTreeSet;

use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Weekday};
use chrono_tz::Tz;

use super::minute::Minute;

/// A span of local time within a day, in minutes since midnight; half-open. 24:00 is 1440.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// From.
    pub from: u16,
    /// To.
    pub to: u16,
}

/// Which hours count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Its name.
    pub name: String,
    /// Whose hours they are.
    pub zone: Tz,
    /// The hours of each day of the week, Monday first; sorted, not overlapping.
    pub hours: [Vec<Hours>; 7],
    /// Days that do not count at all.
    pub holidays: BTreeSet<NaiveDate>,
}

impl Calendar {
    /// The counted share of a week without holidays.
    pub fn share_of_week(&self) -> f64 {
        let minutes: u32 = self.hours.iter().flatten().map(|hours| u32::from(hours.to - hours.from)).sum();
        f64::from(minutes) / (7.0 * 1440.0)
    }

    /// The counted spans of a local day, in minutes of the world.
    pub(super) fn of_day(&self, day: NaiveDate) -> Vec<(Minute, Minute)> {
        if self.holidays.contains(&day) {
            return Vec::new();
        }
        let hours = &self.hours[day.weekday().num_days_from_monday() as usize];
        let spans = hours.iter().map(|hours| (self.at(day, hours.from), self.at(day, hours.to)));
        spans.filter(|(from, to)| from < to).collect()
    }

    fn at(&self, day: NaiveDate, minute: u16) -> Minute {
        let local = day.and_time(NaiveTime::MIN) + TimeDelta::minutes(i64::from(minute));
        instant(self.zone, local)
    }
}

/// The minute at which a local time is first reached: the earlier one where clocks are set back, the moment of the jump
/// where they are set forward over it.
pub(crate) fn instant(zone: Tz, local: NaiveDateTime) -> Minute {
    let mut probe = local;
    // Gaps of the tz database are at most a day long (a few countries skipped one); an hour or less usually.
    for _ in 0..(24 * 4) {
        if let Some(time) = zone.from_local_datetime(&probe).earliest() {
            return Minute::of_seconds(time.timestamp());
        }
        probe += TimeDelta::minutes(15);
    }
    Minute::of_seconds(local.and_utc().timestamp())
}

/// The local day that a minute lies in.
pub(super) fn local_day(zone: Tz, minute: Minute) -> NaiveDate {
    zone.from_utc_datetime(&minute.start().to_utc().naive_utc()).date_naive()
}

/// A calendar period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// From midnight.
    Day,
    /// From Monday.
    Week,
    /// From the first.
    Month,
    /// From the first of January, April, July, October.
    Quarter,
    /// From the first of January.
    Year,
}

impl Period {
    /// All, with the words that the config uses.
    pub const ALL: [(&'static str, Self); 5] = [
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
        ("quarter", Self::Quarter),
        ("year", Self::Year),
    ];

    /// The word that the config uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// Its usual length in minutes: what the factors of tiers are reckoned with.
    pub const fn usual_minutes(self) -> i64 {
        let days = match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
            Self::Quarter => 91,
            Self::Year => 365,
        };
        days * 1440
    }

    /// The begin of the period that holds `now` in `zone`.
    pub fn begin(self, zone: Tz, now: Minute) -> Minute {
        let first = self.first_day(local_day(zone, now));
        instant(zone, first.and_time(NaiveTime::MIN))
    }

    /// The begin of the period after the one that holds `now`.
    pub fn end(self, zone: Tz, now: Minute) -> Minute {
        let first = self.first_day(local_day(zone, now));
        let next = match self {
            Self::Day => first.checked_add_days(Days::new(1)),
            Self::Week => first.checked_add_days(Days::new(7)),
            Self::Month => first.checked_add_months(Months::new(1)),
            Self::Quarter => first.checked_add_months(Months::new(3)),
            Self::Year => first.checked_add_months(Months::new(12)),
        };
        instant(zone, next.unwrap_or(first).and_time(NaiveTime::MIN))
    }

    fn first_day(self, day: NaiveDate) -> NaiveDate {
        let month = match self {
            Self::Day => return day,
            Self::Week => return day.week(Weekday::Mon).first_day(),
            Self::Month => day.month(),
            Self::Quarter => (day.month() - 1) / 3 * 3 + 1,
            Self::Year => 1,
        };
        NaiveDate::from_ymd_opt(day.year(), month, 1).unwrap_or(day)
    }
}

/// A time in which something was worked on: recorded, never erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// Why.
    pub reason: String,
    /// From.
    pub from: Minute,
    /// To; half-open.
    pub to: Minute,
    /// What is worked on: systems by name; none for everything.
    pub systems: Vec<String>,
}

impl Maintenance {
    /// Whether something that goes through `systems` is affected.
    pub fn concerns<'s>(&self, systems: impl IntoIterator<Item = &'s str>) -> bool {
        self.systems.is_empty() || systems.into_iter().any(|system| self.systems.iter().any(|named| named == system))
    }
}

/// How long ahead and behind spans are laid out: the local day may begin up to a day away from the world's.
pub(super) const MARGIN_DAYS: u64 = 2;

/// Parses `08:00-18:00`; 24:00 is the end of the day.
pub(crate) fn parse_hours(text: &str) -> Option<Hours> {
    let (from, to) = text.split_once('-')?;
    let minute = |text: &str| {
        let (hour, minute) = text.trim().split_once(':')?;
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        let is_time = minute < 60 && (hour < 24 || (hour == 24 && minute == 0));
        is_time.then_some(hour * 60 + minute)
    };
    let hours = Hours { from: minute(from)?, to: minute(to)? };
    (hours.from < hours.to).then_some(hours)
}
