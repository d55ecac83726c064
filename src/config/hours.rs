//! Hours of the day in which a sweep may run: `22:00 and 06:00 Europe/Berlin`.

use std::fmt;

use chrono::{NaiveTime, Timelike};
use chrono_tz::Tz;

use super::section::Node;
use crate::model::Moment;

/// From one time of day to another, over midnight when the first is the later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// Minutes after midnight at which they begin.
    from: u32,
    /// Minutes after midnight at which they end.
    to: u32,
    zone: Tz,
}

impl Hours {
    /// Whether it is one of these hours.
    pub fn hold(&self, at: Moment) -> bool {
        let local = at.to_utc().with_timezone(&self.zone).time();
        let minute = local.num_seconds_from_midnight() / 60;
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

/// As the config writes it.
impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, zone } = self;
        write!(f, "{:02}:{:02} and {:02}:{:02} {zone}", from / 60, from % 60, to / 60, to % 60)
    }
}

pub(super) fn read(node: Node<'_>) -> Option<Hours> {
    let text = node.text()?;
    let parsed = parse(text);
    if parsed.is_none() {
        return node.refuse(format!("`{text}` are no hours; write `22:00 and 06:00 Europe/Berlin`"));
    }
    parsed
}

fn parse(text: &str) -> Option<Hours> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (from, to, zone) = match words[..] {
        [from, "and", to] => (from, to, Tz::UTC),
        [from, "and", to, zone] => (from, to, zone.parse().ok()?),
        _ => return None,
    };
    let minute = |text: &str| {
        let time = NaiveTime::parse_from_str(text, "%H:%M").ok()?;
        Some(time.num_seconds_from_midnight() / 60)
    };
    let (from, to) = (minute(from)?, minute(to)?);
    (from != to).then_some(Hours { from, to, zone })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_may_go_over_midnight() {
        let check = |hours: &str, at: &str, expect| {
            let at = crate::model::mapping::literal_moment(at).unwrap();
            assert_eq!(parse(hours).unwrap().hold(at), expect, "{hours} at {at:?}");
        };
        let night = "22:00 and 06:00 Europe/Berlin";
        check(night, "2026-01-10T20:59:00Z", false);
        check(night, "2026-01-10T21:00:00Z", true);
        check(night, "2026-01-11T04:59:00Z", true);
        check(night, "2026-01-11T05:00:00Z", false);
        // In summer an hour earlier.
        check(night, "2026-07-10T20:00:00Z", true);
        check("08:30 and 17:00", "2026-07-10T08:30:00Z", true);
        check("08:30 and 17:00", "2026-07-10T17:00:00Z", false);
        assert_eq!(parse(night).unwrap().to_string(), night);
    }

    #[test]
    fn what_are_no_hours() {
        for text in ["", "22:00", "22:00 and 22:00", "22:00 to 06:00", "25:00 and 06:00", "22:00 and 06:00 Berlin"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
