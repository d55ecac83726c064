//! `[team.NAME]`: whose entities and systems these are.

use super::Team;
use crate::config::section::{Entry, Keys, Node, Section};
use crate::model::EntityId;

pub(in crate::config) const KEYS: Keys = Keys { section: "[team.NAME]", names: &["entity", "system"], not_yet: &[] };

/// The names that teams and routes may use.
pub(in crate::config) struct Names<'n> {
    pub entities: &'n [&'n str],
    pub systems: &'n [&'n str],
}

pub(in crate::config) fn read(entry: &Entry<'_>, names: &Names<'_>) -> Option<Team> {
    let name = entry.parsed_name::<EntityId>().map(|name| name.to_string());
    let section = entry.node.section(&KEYS)?;
    let entities = many(&section, "entity", "an entity", names.entities);
    let systems = many(&section, "system", "a system", names.systems);
    Some(Team { name: name?, entities, systems })
}

/// One name or a list of names, each known.
pub(super) fn many<T: std::str::FromStr>(
    section: &Section<'_>,
    key: &'static str,
    what: &str,
    known: &[&str],
) -> Vec<T> {
    let nodes = section.get(key).map(Node::one_or_many).unwrap_or_default();
    let read = |node: Node<'_>| {
        let name = node.text()?;
        if !known.contains(&name) {
            node.reading.unknown(node.at(), name, what, known.iter().copied());
            return None;
        }
        name.parse().ok()
    };
    nodes.into_iter().filter_map(read).collect()
}
