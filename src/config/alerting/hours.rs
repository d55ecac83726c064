//! Hours of the week: `mon-fri 08:00-18:00`.

use chrono::{DateTime, Datelike, NaiveTime, TimeDelta, TimeZone, Timelike, Utc, Weekday};
use chrono_tz::Tz;

use crate::config::section::Node;
use crate::model::Moment;

/// Days of the week and a time of day, in a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// By number of days from Monday.
    days: [bool; 7],
    from: NaiveTime,
    /// `None`: to the end of the day.
    to: Option<NaiveTime>,
    zone: Tz,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Hours {
    /// Whether `moment` lies in them.
    pub fn hold(&self, moment: Moment) -> bool {
        let local = moment.to_utc().with_timezone(&self.zone);
        let time = local.time();
        self.on(local.weekday()) && time >= self.from && self.to.is_none_or(|to| time < to)
    }

    /// When they next hold: `moment` itself if they do. An hour that a change of clocks leaves out begins right after it.
    pub fn next(&self, moment: Moment) -> Moment {
        if self.hold(moment) {
            return moment;
        }
        let local = moment.to_utc().with_timezone(&self.zone);
        let days = (0..=7).map(|day| local.date_naive() + TimeDelta::days(day));
        let openings = days.filter(|day| self.on(day.weekday())).filter_map(|day| {
            let opening = day.and_time(self.from);
            let later = (0..=3).map(|hour| opening + TimeDelta::hours(hour));
            later.filter_map(|time| self.zone.from_local_datetime(&time).earliest()).next()
        });
        let next = openings.map(|time: DateTime<Tz>| time.with_timezone(&Utc).into()).find(|time| *time > moment);
        next.unwrap_or(moment)
    }

    fn on(&self, day: Weekday) -> bool {
        self.days[day.num_days_from_monday() as usize % 7]
    }
}

pub(super) fn read(node: Node<'_>, zone: Tz) -> Option<Hours> {
    let text = node.text()?;
    let read = text.split_once(' ').and_then(|(days, times)| {
        let (from, to) = times.trim().split_once('-')?;
        Some((days_of(days)?, time(from)?, time(to)?))
    });
    let Some((days, from, to)) = read else {
        return node.refuse(format!("`{text}` is not written like `mon-fri 08:00-18:00` or `sat,sun 00:00-24:00`"));
    };
    let (Some(from), to) = (from, to) else { return node.refuse(format!("`{text}` begins at the end of the day")) };
    if to.is_some_and(|to| to <= from) {
        return node.refuse(format!("`{text}` ends before it begins; write two routes for a night"));
    }
    Some(Hours { days, from, to, zone })
}

/// `mon-fri`, `sat,sun`, `daily`.
fn days_of(text: &str) -> Option<[bool; 7]> {
    if text == "daily" {
        return Some([true; 7]);
    }
    let number = |day: &str| DAYS.iter().position(|known| *known == day);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        // From Saturday to Monday goes around the end of the week.
        let length = (last + 7 - first) % 7;
        (0..=length).for_each(|step| days[(first + step) % 7] = true);
    }
    Some(days)
}

/// `08:00`; `Some(None)` for `24:00`.
fn time(text: &str) -> Option<Option<NaiveTime>> {
    if text == "24:00" {
        return Some(None);
    }
    let time = NaiveTime::parse_from_str(text, "%H:%M").ok().filter(|time| time.second() == 0)?;
    Some(Some(time))
}
