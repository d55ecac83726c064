//! `[calendar.NAME]`: which hours count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::NaiveDate;

use super::section::{Entry, Keys, Node, Section};
use super::zone;
use crate::slo::{Calendar, Hours, parse_hours};

pub(super) const KEYS: Keys = Keys {
    section: "[calendar.NAME]",
    names: &[
        "time_zone",
        "every_day",
        "weekdays",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
        "holidays",
    ],
    not_yet: &[],
};

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Calendars by name; `None` for one that could not be read.
pub(super) type Calendars = BTreeMap<String, Option<Arc<Calendar>>>;

pub(super) fn read_all(entries: &[Entry<'_>]) -> Calendars {
    let read = |entry: &Entry<'_>| {
        let calendar = entry.node.section(&KEYS).and_then(|section| read(entry.name, &section));
        (entry.name.to_owned(), calendar.map(Arc::new))
    };
    entries.iter().map(read).collect()
}

fn read(name: &str, section: &Section<'_>) -> Option<Calendar> {
    let before = section.reading.count();
    let zone = section.need("time_zone").and_then(zone::read);
    let hours_of = |key| section.get(key).map(hours);
    let (every_day, weekdays) = (hours_of("every_day"), hours_of("weekdays"));
    let day = |number: usize| {
        let usual = if number < 5 { weekdays.clone().or_else(|| every_day.clone()) } else { every_day.clone() };
        hours_of(DAYS[number]).or(usual).unwrap_or_default()
    };
    let hours: [Vec<Hours>; 7] = std::array::from_fn(day);
    let holidays = section.get("holidays").map_or_else(BTreeSet::new, holidays);
    if section.reading.count() > before {
        return None;
    }
    if hours.iter().all(Vec::is_empty) {
        section.reading.problem(section.at, "no hour counts; give `every_day`, `weekdays` or a day its hours");
        return None;
    }
    Some(Calendar { name: name.to_owned(), zone: zone?, hours, holidays })
}

/// `"08:00-18:00"`, or a list of such spans in order; nothing of a day in an empty list.
fn hours(node: Node<'_>) -> Vec<Hours> {
    let mut all: Vec<Hours> = Vec::new();
    for node in node.one_or_many() {
        let Some(text) = node.text() else { continue };
        let Some(hours) = parse_hours(text) else {
            node.refuse::<()>(format!("`{text}` is not a span of hours; write `08:00-18:00`, at most until `24:00`"));
            continue;
        };
        if all.last().is_some_and(|last| last.to > hours.from) {
            node.refuse::<()>(format!("`{text}` begins before the span before it ends"));
            continue;
        }
        all.push(hours);
    }
    all
}

fn holidays(node: Node<'_>) -> BTreeSet<NaiveDate> {
    let day = |node: Node<'_>| {
        let text = date_text(node)?;
        text.parse().ok().or_else(|| node.refuse(format!("`{text}` is not a day, such as `2026-12-25`")))
    };
    node.list().into_iter().flatten().filter_map(day).collect()
}

/// A date or a time, as TOML or as text.
pub(super) fn date_text(node: Node<'_>) -> Option<String> {
    match node.value.get_ref().as_datetime() {
        Some(datetime) => Some(datetime.to_string()),
        None => node.text().map(str::to_owned),
    }
}
