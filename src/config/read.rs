//! The whole config: its sections in the order in which they need each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::DeTable;

use super::alerting::{self, Alerting, Route, channel, route, team};
use super::entity::{ReadEntity, Systems};
use super::probe::{Known, ReadProbe};
use super::problems::{At, Problems};
use super::section::{Entry, Keys, Node, Reading, Section};
use super::slo::ReadSlo;
use super::{
    Config, Plumbline, Slo, System, calendar, children, entity, flows, maintenance, plumbline, probe, repeat, slo,
    system,
};
use crate::model::{EntityId, Flow, SystemId};

pub(super) const KEYS: Keys = Keys {
    section: "top level",
    names: &[
        "plumbline",
        "system",
        "entity",
        "probe",
        "slo",
        "calendar",
        "maintenance",
        "alert",
        "channel",
        "team",
        "route",
    ],
    not_yet: &["resync", "report"],
};

/// Reads the text behind `reading`; all problems at once.
pub(super) fn read(mut reading: Reading<'_>) -> Result<Config, Problems> {
    let (mut root, errors) = DeTable::parse_recoverable(reading.text);
    reading.report_syntax(&errors);
    repeat::expand(&reading, root.get_mut());
    let config = read_sections(&reading, root.get_ref());
    match reading.problems() {
        Some(problems) => Err(problems),
        None => Ok(Config { warnings: reading.warnings(), ..config }),
    }
}

fn read_sections<'a>(reading: &'a Reading<'a>, root: &'a DeTable<'a>) -> Config {
    let root = Section::new(reading, At(0), root, &KEYS);
    let plumbline = read_plumbline(&root);
    let system_entries = named(&root, "system");
    let system_names: Vec<&str> = system_entries.iter().map(|entry| entry.name).collect();
    let systems = read_systems(&system_entries);
    let entity_entries = named(&root, "entity");
    let entity_names: Vec<&str> = entity_entries.iter().map(|entry| entry.name).collect();
    let entities = read_entities(&entity_entries, &Systems { names: &system_names, read: &systems });
    let before = reading.count();
    let mut flows = derive_flows(reading, &plumbline, &entities);
    let is_complete = entities.len() == entity_names.len() && reading.count() == before;
    let known = Known { entities: &entity_names, read: &entities, flows: &flows, is_complete };
    let calendars = calendar::read_all(&named_if_any(&root, "calendar"));
    let slos = read_slos(&root, &slo::Against { known: &known, systems: &system_names, calendars: &calendars });
    let maintenance = maintenance::read_all(&listed(&root, "maintenance", &maintenance::KEYS), &system_names);
    let probes: Vec<ReadProbe> =
        listed(&root, "probe", &probe::KEYS).iter().filter_map(|section| probe::read(section, &known)).collect();
    flows::tighten(&mut flows, &slo::tightest(slos.iter().map(|read| &read.slo)));
    check_probes(reading, &entities, &flows, &probes, &systems);
    slos.iter().for_each(|read| slo::check_probes(reading, read, &probes));
    let slos: Vec<Slo> = slos.into_iter().map(|read| read.slo).collect();
    warn_unused(&system_entries, &entity_entries, &entities);
    let alerting = read_alerting(&root, &team::Names { entities: &entity_names, systems: &system_names });
    Config {
        plumbline,
        systems,
        entities: entities.into_iter().map(|read| (read.entity.id.clone(), read.entity)).collect(),
        flows: flows.into_iter().map(Arc::new).collect(),
        probes: probes.into_iter().map(|read| read.probe).collect(),
        slos,
        maintenance,
        alerting: Arc::new(alerting),
        warnings: Vec::new(),
    }
}

fn read_plumbline(root: &Section<'_>) -> Plumbline {
    let Some(section) = root.get("plumbline").and_then(|node| node.section(&plumbline::KEYS)) else {
        return Plumbline::defaults(root.reading.base_dir);
    };
    plumbline::read(&section)
}

/// The entries of `[system.NAME]` or `[entity.NAME]`, which must not be missing.
fn named<'a>(root: &Section<'a>, key: &'static str) -> Vec<Entry<'a>> {
    root.need(key).and_then(Node::entries).unwrap_or_default()
}

/// The entries of `[calendar.NAME]`, which may be missing.
fn named_if_any<'a>(root: &Section<'a>, key: &'static str) -> Vec<Entry<'a>> {
    root.get(key).and_then(Node::entries).unwrap_or_default()
}

/// The tables of `[[probe]]` or `[[slo]]`.
fn listed<'a>(root: &Section<'a>, key: &'static str, keys: &'static Keys) -> Vec<Section<'a>> {
    let Some(node) = root.get(key) else { return Vec::new() };
    if node.is_table() {
        root.reading.problem(node.at(), format!("`{key}` is a list: write `[[{key}]]`"));
        return Vec::new();
    }
    node.list().into_iter().flatten().filter_map(|node| node.section(keys)).collect()
}

fn read_systems(entries: &[Entry<'_>]) -> BTreeMap<SystemId, System> {
    let mut systems = BTreeMap::new();
    for entry in entries {
        let id = entry.parsed_name::<SystemId>();
        let Some((id, section)) = id.zip(entry.node.section(&system::KEYS)) else { continue };
        if let Some(system) = system::read(id.clone(), &section) {
            systems.insert(id, system);
        }
    }
    systems
}

fn read_entities(entries: &[Entry<'_>], systems: &Systems<'_>) -> Vec<ReadEntity> {
    let read = |entry: &Entry<'_>| {
        let id = entry.parsed_name::<EntityId>();
        let section = entry.node.section(&entity::KEYS)?;
        entity::read(id?, &section, systems)
    };
    entries.iter().filter_map(read).collect()
}

fn derive_flows(reading: &Reading<'_>, plumbline: &Plumbline, entities: &[ReadEntity]) -> Vec<Flow> {
    let mut all = Vec::new();
    for read in entities {
        let flows = flows::derive(&plumbline.tenant, &read.entity);
        flows::check_ownership(reading, read, &flows);
        all.extend(flows);
    }
    all
}

fn read_slos(root: &Section<'_>, against: &slo::Against<'_>) -> Vec<ReadSlo> {
    let sections = listed(root, "slo", &slo::KEYS);
    slo::refuse_twice(&sections);
    sections.iter().filter_map(|section| slo::read(section, against)).collect()
}

fn read_alerting(root: &Section<'_>, names: &team::Names<'_>) -> Alerting {
    let alert = root.get("alert").and_then(|node| node.section(&alerting::KEYS));
    let general = alert.map_or_else(Alerting::default, |section| alerting::read(&section));
    let entries = |key| root.get(key).and_then(Node::entries).unwrap_or_default();
    let (channel_entries, team_entries): (Vec<Entry<'_>>, Vec<Entry<'_>>) = (entries("channel"), entries("team"));
    let channels: Vec<&str> = channel_entries.iter().map(|entry| entry.name).collect();
    let teams: Vec<&str> = team_entries.iter().map(|entry| entry.name).collect();
    let known = route::Known { names, channels: &channels, teams: &teams, zone: general.time_zone };
    let sections = listed(root, "route", &route::KEYS);
    let routes: Vec<Route> = sections.iter().filter_map(|section| route::read(section, &known)).collect();
    let read = |entry: &Entry<'_>| channel::read(entry, &channels).map(|channel| (channel.name.clone(), channel));
    let alerting = Alerting {
        channels: channel_entries.iter().filter_map(read).collect(),
        teams: team_entries.iter().filter_map(|entry| team::read(entry, names)).collect(),
        routes,
        ..general
    };
    route::warn_silent(root, &alerting, channels.len(), sections.len());
    alerting
}

fn check_probes(
    reading: &Reading<'_>,
    entities: &[ReadEntity],
    flows: &[Flow],
    probes: &[ReadProbe],
    systems: &BTreeMap<SystemId, System>,
) {
    probe::refuse_twice(reading, probes);
    for read in probes {
        probe::check_interval(reading, read, flows);
        probe::check_budget(reading, read, flows, systems);
        probe::warn_undrawable(reading, read, flows, systems);
    }
    for read in entities {
        probe::warn_unread(reading, read, flows, probes);
        children::warn_blind(reading, read, flows, probes);
    }
}

/// Warns about systems that no entity is mapped in, no table of which translates anything and no data goes through.
fn warn_unused(systems: &[Entry<'_>], entities: &[Entry<'_>], read: &[ReadEntity]) {
    let is_used = |system: &str| {
        let mut mappings = read.iter().flat_map(|read| read.entity.mappings.values());
        mappings.any(|mapping| {
            mapping.xref.iter().any(|xref| xref.system.as_str() == system)
                || mapping.via.iter().any(|via| via.as_str() == system)
        })
    };
    let mapped = |system: &str| {
        let in_entity = |entity: &Entry<'_>| {
            entity.node.value.get_ref().get("in").is_some_and(|mappings| mappings.get_ref().get(system).is_some())
        };
        entities.iter().any(in_entity)
    };
    for entry in systems.iter().filter(|entry| !mapped(entry.name) && !is_used(entry.name)) {
        entry.node.reading.warning(entry.name_at, format!("no entity is mapped in system `{}`", entry.name));
    }
}
