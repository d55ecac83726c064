//! `[entity.NAME]`: a business thing, its fields, its key and how each system holds it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::field::{Declared, type_name};
use super::mapping::Surroundings;
use super::problems::At;
use super::section::{Entry, Keys, Node, Section};
use super::{Class, Entity, System, address, field, mapping, pack};
use crate::model::{EntityId, FieldType, Mapping, StoreRule, SystemId};

pub(super) const KEYS: Keys =
    Keys { section: "[entity.NAME]", names: &["for_each", "class", "key", "fields", "in"], not_yet: &[] };

const CLASSES: [(&str, Class); 3] =
    [("realtime", Class::Realtime), ("near_realtime", Class::NearRealtime), ("batch", Class::Batch)];

/// An entity as read, with the places that later checks point at.
pub(super) struct ReadEntity {
    pub entity: Entity,
    pub at: At,
    /// Parallel to the entity's fields.
    pub fields_at: Vec<At>,
    /// Parallel to the entity's fields and their owners.
    pub owners_at: Vec<Vec<At>>,
}

/// The systems of the config: all that are named, and those that could be read.
pub(super) struct Systems<'s> {
    pub names: &'s [&'s str],
    pub read: &'s BTreeMap<SystemId, System>,
}

/// `None` when anything in the entity is wrong.
pub(super) fn read(id: EntityId, section: &Section<'_>, systems: &Systems<'_>) -> Option<ReadEntity> {
    let before = section.reading.count();
    let class = section.get("class").and_then(|node| node.choice(&CLASSES)).unwrap_or_default();
    let entries = section.need("fields").and_then(Node::entries).unwrap_or_default();
    let fields: Vec<(&str, Option<Declared>)> = entries.iter().map(|entry| (entry.name, field::read(*entry))).collect();
    let key = section.need("key").map_or_else(Vec::new, |node| read_key(node, &fields));
    refuse_unknown_owners(section, &fields, systems);
    let mut links = BTreeMap::new();
    let mappings = read_mappings(&id, section, systems, (&fields, &key), &mut links);
    if section.reading.count() > before {
        return None;
    }
    let declared: Vec<Declared> = fields.into_iter().filter_map(|(_, declared)| declared).collect();
    let fields_at = declared.iter().map(|declared| declared.at).collect();
    let owners_at = declared.iter().map(|declared| declared.owners_at.clone()).collect();
    let fields = declared.into_iter().map(|declared| declared.field).collect();
    Some(ReadEntity {
        entity: Entity { id, fields, key, mappings, links, class },
        at: section.at,
        fields_at,
        owners_at,
    })
}

fn read_key(node: Node<'_>, fields: &[(&str, Option<Declared>)]) -> Vec<usize> {
    let mut key = Vec::new();
    for node in node.one_or_many() {
        let Some(name) = node.text() else { continue };
        let Some(index) = fields.iter().position(|(known, _)| *known == name) else {
            node.reading.unknown(node.at(), name, "one of the `fields`", fields.iter().map(|(known, _)| *known));
            continue;
        };
        if key.contains(&index) {
            node.reading.problem(node.at(), format!("`{name}` is named twice"));
            continue;
        }
        if let Some(declared) = &fields[index].1 {
            refuse_as_key(node, declared);
        }
        key.push(index);
    }
    if key.is_empty() && node.one_or_many().is_empty() {
        node.reading.problem(node.at(), "the key must name at least one field");
    }
    key
}

fn refuse_as_key(node: Node<'_>, declared: &Declared) {
    let field = &declared.field;
    if matches!(field.field_type, FieldType::Money | FieldType::Json) {
        node.reading
            .problem(node.at(), format!("`{}` is {}, which cannot be a key", field.name, type_name(field.field_type)));
    }
    if field.tolerance.is_some() {
        node.reading.problem(declared.at, format!("`{}` is part of the key and cannot have a tolerance", field.name));
    }
}

fn refuse_unknown_owners(section: &Section<'_>, fields: &[(&str, Option<Declared>)], systems: &Systems<'_>) {
    for declared in fields.iter().filter_map(|(_, declared)| declared.as_ref()) {
        for (owner, at) in declared.field.owners.iter().zip(&declared.owners_at) {
            if !systems.names.contains(&owner.as_str()) {
                section.reading.unknown(*at, owner.as_str(), "a system", systems.names.iter().copied());
            }
        }
    }
}

fn read_mappings(
    id: &EntityId,
    section: &Section<'_>,
    systems: &Systems<'_>,
    (fields, key): (&[(&str, Option<Declared>)], &[usize]),
    links: &mut BTreeMap<SystemId, String>,
) -> BTreeMap<SystemId, Arc<Mapping>> {
    let mut mappings = BTreeMap::new();
    for entry in section.need("in").and_then(Node::entries).unwrap_or_default() {
        if !is_system(&entry, systems) {
            continue;
        }
        let Some(system) = entry.parsed_name::<SystemId>() else { continue };
        let zone = systems.read.get(&system).map_or(chrono_tz::UTC, |system| system.time_zone);
        let pack = systems.read.get(&system).and_then(|system| system.pack.as_deref());
        let around = Surroundings { entity: id, fields, key, zone, systems: systems.names, documents: pack.is_some() };
        let Some(section) = entry.node.section(&mapping::KEYS) else { continue };
        links.extend(section.get("link").and_then(|node| link(node, key, fields)).map(|link| (system.clone(), link)));
        if let Some(mut mapping) = mapping::read(system.clone(), &section, &around) {
            if let Some(pack) = pack {
                pack::complete(&section, &mut mapping, pack);
            }
            mappings.insert(system, Arc::new(mapping));
        }
    }
    mappings
}

/// `https://shop.example.org/admin/{key}`. A key that may not be stored cannot stand in a link.
fn link(node: Node<'_>, key: &[usize], fields: &[(&str, Option<Declared>)]) -> Option<String> {
    let text = node.name()?;
    if !text.contains("{key}") {
        return node.refuse("must say with `{key}` where the record's key goes");
    }
    address::web_address(node, &text.replace("{key}", "key"))?;
    let declared = key.iter().filter_map(|index| fields[*index].1.as_ref());
    let hidden = declared.map(|declared| &declared.field).find(|field| field.store != StoreRule::Clear);
    if let Some(field) = hidden {
        return node.refuse(format!("the key `{}` is not stored in clear, so no link can name it", field.name));
    }
    Some(text.to_owned())
}

fn is_system(entry: &Entry<'_>, systems: &Systems<'_>) -> bool {
    let known = systems.names.contains(&entry.name);
    if !known {
        entry.node.reading.unknown(entry.name_at, entry.name, "a system", systems.names.iter().copied());
    }
    known
}
