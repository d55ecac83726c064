//! `[[route]]`: which incidents go to which channels.

use std::time::Duration;

use chrono_tz::Tz;

use super::team::{Names, many};
use super::{Alerting, Escalation, Route, channel, hours};
use crate::config::duration::bounded;
use crate::config::section::{Keys, Node, Section};
use crate::incident::Severity;

pub(in crate::config) const KEYS: Keys = Keys {
    section: "[[route]]",
    names: &[
        "severity",
        "entity",
        "system",
        "team",
        "hours",
        "channel",
        "escalate_after",
        "escalate_to",
        "remind_every",
        "digest",
    ],
    not_yet: &[],
};

const MINUTE: Duration = Duration::from_secs(60);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// What a route may name besides entities and systems.
pub(in crate::config) struct Known<'k> {
    pub names: &'k Names<'k>,
    pub channels: &'k [&'k str],
    pub teams: &'k [&'k str],
    pub zone: Tz,
}

pub(in crate::config) fn read(section: &Section<'_>, known: &Known<'_>) -> Option<Route> {
    let severities = [("page", Severity::Page), ("ticket", Severity::Ticket)];
    let severity = section.get("severity").and_then(|node| node.choice(&severities));
    let channels = section.need("channel").map(|node| channels(node, known.channels));
    let digest = section.get("digest").and_then(|node| bounded(node, MINUTE, WEEK));
    if let (Some(node), false) = (section.get("digest"), severity == Some(Severity::Ticket)) {
        node.refuse::<()>("only tickets can wait for a digest; write `severity = \"ticket\"`");
    }
    Some(Route {
        severity,
        entities: many(section, "entity", "an entity", known.names.entities),
        systems: many(section, "system", "a system", known.names.systems),
        teams: many(section, "team", "a team", known.teams),
        hours: section.get("hours").and_then(|node| hours::read(node, known.zone)),
        channels: channels?,
        escalation: escalation(section, known.channels),
        remind_every: section.get("remind_every").and_then(|node| bounded(node, MINUTE, WEEK)),
        digest,
    })
}

fn channels(node: Node<'_>, known: &[&str]) -> Vec<String> {
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        node.refuse::<()>("must name a channel");
    }
    nodes.into_iter().filter_map(|node| channel::known(node, known)).collect()
}

fn escalation(section: &Section<'_>, known: &[&str]) -> Option<Escalation> {
    match (section.get("escalate_after"), section.get("escalate_to")) {
        (None, None) => None,
        (Some(after), Some(to)) => {
            let (after, to) = (bounded(after, MINUTE, WEEK), channels(to, known));
            Some(Escalation { after: after?, to })
        }
        (Some(node), None) => node.refuse("needs `escalate_to`: whom to tell then"),
        (None, Some(node)) => node.refuse("needs `escalate_after`: when to tell them"),
    }
}

/// Warns when there are channels, and yet a page could reach nobody.
pub(in crate::config) fn warn_silent(root: &Section<'_>, alerting: &Alerting, channels: usize, routes: usize) {
    if routes == 0 || routes > alerting.routes.len() || channels == 0 {
        return;
    }
    let takes_all = |route: &&Route| {
        route.severity != Some(Severity::Ticket)
            && route.entities.is_empty()
            && route.systems.is_empty()
            && route.teams.is_empty()
            && route.hours.is_none()
    };
    if let (None, Some(node)) = (alerting.routes.iter().find(takes_all), root.get("route")) {
        let message = "no route takes every page at every hour; one that fits none goes to all channels";
        root.reading.warning(node.at(), message);
    }
}
