//! Schedules: `every 30s` and `cron 0 */5 * * * *`.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, TimeZone};
use chrono_tz::Tz;

use super::Schedule;
use super::duration::{parse_duration, show};
use super::section::Node;

/// Looking more often than this only burdens the system.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

pub(super) fn read(node: Node<'_>, zone: Tz) -> Option<Schedule> {
    let text = node.text()?;
    match text.trim().split_once(char::is_whitespace) {
        Some(("every", rest)) => every(node, rest.trim()),
        Some(("cron", rest)) => cron(node, rest.trim(), zone),
        _ => node.refuse(format!("`{text}` is not a schedule; write `every 30s` or `cron 0 */5 * * * *`")),
    }
}

fn every(node: Node<'_>, text: &str) -> Option<Schedule> {
    match parse_duration(text) {
        Some(interval) if (SHORTEST..=LONGEST).contains(&interval) => Some(Schedule::Every(interval)),
        Some(interval) => node.refuse(format!(
            "the interval must be from `{}` to `{}`, found `{}`",
            show(SHORTEST),
            show(LONGEST),
            show(interval)
        )),
        None => node.refuse(format!("`{text}` is not a duration; write for instance `every 30s`")),
    }
}

fn cron(node: Node<'_>, text: &str, zone: Tz) -> Option<Schedule> {
    let fields = text.split_whitespace().count();
    if !(6..=7).contains(&fields) {
        return node.refuse(format!(
            "a cron schedule has 6 or 7 fields (second minute hour day month weekday [year]), found {fields}"
        ));
    }
    match cron::Schedule::from_str(text) {
        Ok(schedule) if schedule.after(&reference(zone)).next().is_none() => {
            node.refuse(format!("`{text}` never comes"))
        }
        Ok(schedule) => Some(Schedule::Cron(Box::new(schedule), zone)),
        Err(_) => node.refuse(format!("`{text}` is not a cron schedule (second minute hour day month weekday [year])")),
    }
}

/// A fixed start, so that the same config always gives the same answer: half a second after 2025-01-01T00:00:00Z,
/// because cron fires on whole seconds and a gap must be looked at from its inside.
fn reference(zone: Tz) -> DateTime<Tz> {
    zone.timestamp_opt(1_735_689_600, 500_000_000)
        .single()
        .unwrap_or(DateTime::<chrono::Utc>::UNIX_EPOCH.with_timezone(&zone))
}

/// How many firings, and hours and days after the reference, are looked at for the longest gap.
const FIRINGS: usize = 500;
const HOURS: i64 = 8 * 24;
const DAYS: i64 = 400;

impl Schedule {
    /// The longest time between two runs.
    ///
    /// For cron: the longest gap among the first firings of 2025 and around each hour of its first week and each day of
    /// the year, which finds pauses at night, at weekends and between months.
    pub fn longest_interval(&self) -> Duration {
        match self {
            Self::Every(interval) => *interval,
            Self::Cron(schedule, zone) => longest_gap(schedule, reference(*zone)),
        }
    }
}

fn longest_gap(schedule: &cron::Schedule, start: DateTime<Tz>) -> Duration {
    let firings: Vec<_> = schedule.after(&start).take(FIRINGS).collect();
    let between = firings.windows(2).map(|pair| pair[1] - pair[0]);
    let hours = (0..HOURS).map(|hour| start + TimeDelta::hours(hour));
    let days = (0..DAYS).map(|day| start + TimeDelta::days(day));
    let around = hours.chain(days).filter_map(|moment| {
        let before = schedule.after(&moment).next_back()?;
        Some(schedule.after(&moment).next()? - before)
    });
    between.chain(around).max().and_then(|gap| gap.to_std().ok()).unwrap_or(LONGEST)
}

/// As the config writes it.
impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Every(interval) => write!(f, "every {}", show(*interval)),
            Self::Cron(schedule, Tz::UTC) => write!(f, "cron {}", schedule.source()),
            Self::Cron(schedule, zone) => write!(f, "cron {} ({zone})", schedule.source()),
        }
    }
}
