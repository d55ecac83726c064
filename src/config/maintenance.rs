//! `[[maintenance]]`: times in which something is worked on.

use chrono::{DateTime, NaiveDateTime};
use chrono_tz::Tz;

use super::calendar::date_text;
use super::problems::At;
use super::section::{Keys, Node, Section};
use super::zone;
use crate::slo::{Maintenance, Minute, instant};

pub(super) const KEYS: Keys =
    Keys { section: "[[maintenance]]", names: &["from", "to", "time_zone", "systems", "reason"], not_yet: &[] };

/// All of them, the earliest first. Two at one time for one system are a mistake in one of them.
pub(super) fn read_all(sections: &[Section<'_>], systems: &[&str]) -> Vec<Maintenance> {
    let mut all: Vec<(Maintenance, At)> =
        sections.iter().filter_map(|section| Some((read(section, systems)?, section.at))).collect();
    all.sort_by_key(|(work, at)| (work.from, *at));
    for (index, (work, at)) in all.iter().enumerate() {
        let overlaps = |(other, _): &&(Maintenance, At)| other.to > work.from && is_of_same(work, other);
        if let (Some((other, _)), Some(section)) = (all[..index].iter().find(overlaps), sections.first()) {
            let message = format!("overlaps the maintenance `{}` of the same system", other.reason);
            section.reading.problem(*at, message);
        }
    }
    all.into_iter().map(|(work, _)| work).collect()
}

fn is_of_same(one: &Maintenance, other: &Maintenance) -> bool {
    other.systems.is_empty() || one.concerns(other.systems.iter().map(String::as_str))
}

fn read(section: &Section<'_>, systems: &[&str]) -> Option<Maintenance> {
    let zone = section.get("time_zone").map_or(Some(Tz::UTC), zone::read)?;
    let time = |key| section.need(key).and_then(|node| minute(node, zone));
    let (from, to) = (time("from"), time("to"));
    let named: Vec<String> = section.get("systems").map_or_else(Vec::new, |node| named(node, systems));
    let reason = section.need("reason").and_then(Node::name).map(str::to_owned);
    let (from, to) = (from?, to?);
    if from >= to {
        section.reading.problem(section.at, "ends before it begins");
        return None;
    }
    Some(Maintenance { reason: reason?, from, to, systems: named })
}

/// `2026-12-24T22:00:00Z`, or a local time in the zone.
fn minute(node: Node<'_>, zone: Tz) -> Option<Minute> {
    let text = date_text(node)?;
    if let Ok(time) = DateTime::parse_from_rfc3339(&text) {
        return Some(Minute::of_seconds(time.timestamp()));
    }
    let local = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];
    let found = local.iter().find_map(|format| NaiveDateTime::parse_from_str(&text, format).ok());
    match found {
        Some(local) => Some(instant(zone, local)),
        None => node.refuse(format!("`{text}` is not a time, such as `2026-12-24T22:00` or `2026-12-24T22:00:00Z`")),
    }
}

fn named(node: Node<'_>, systems: &[&str]) -> Vec<String> {
    let name = |node: Node<'_>| {
        let name = node.text()?;
        if !systems.contains(&name) {
            node.reading.unknown(node.at(), name, "a system", systems.iter().copied());
            return None;
        }
        Some(name.to_owned())
    };
    node.one_or_many().into_iter().filter_map(name).collect()
}
