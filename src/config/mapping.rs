//! `[entity.NAME.in.SYSTEM]`: how one system holds an entity.

use super::children::ReadChildren;
use super::field::Declared;
use super::field_rule::Rows;
use super::problems::{At, quoted};
use super::section::{Entry, Keys, Node, Section};
use super::{children, condition, field_rule, key_index, xref, zone};
use crate::model::mapping::{Dataset, EpochUnit, FieldRule, Mapping, Source, Stamp, VersionRule};
use crate::model::{EntityId, SystemId};

pub(super) const KEYS: Keys = Keys {
    section: "[entity.NAME.in.SYSTEM]",
    names: &[
        "for_each",
        "dataset",
        "key",
        "native",
        "key_index",
        "scope",
        "changed_at",
        "version",
        "source_version",
        "via",
        "link",
        "children",
        "xref",
        "fields",
    ],
    not_yet: &[],
};
pub(super) const STAMP_KEYS: Keys =
    Keys { section: "[entity.NAME.in.SYSTEM] changed_at", names: &["path", "zone", "epoch"], not_yet: &[] };
pub(super) const VERSION_KEYS: Keys =
    Keys { section: "[entity.NAME.in.SYSTEM] version", names: &["sequence", "tag"], not_yet: &[] };

pub(super) const EPOCHS: [(&str, EpochUnit); 3] = [
    ("seconds", EpochUnit::Seconds),
    ("milliseconds", EpochUnit::Milliseconds),
    ("microseconds", EpochUnit::Microseconds),
];

/// What a reader selects, each source once.
#[derive(Default)]
pub(super) struct Sources(Vec<Source>);

impl Sources {
    /// The index of a source.
    pub fn index(&mut self, source: Source) -> usize {
        self.0.iter().position(|known| *known == source).unwrap_or_else(|| {
            self.0.push(source);
            self.0.len() - 1
        })
    }

    /// The index of the column that the node names.
    pub fn path(&mut self, node: Node<'_>) -> Option<usize> {
        let path = node.name()?;
        if path.contains("[]") {
            return node.refuse_with_hint(
                format!("`{path}` reaches into children and may have many values"),
                "say with `agg` what they come to: `{ path = \"lines[].qty\", agg = \"sum\" }`",
            );
        }
        Some(self.index(Source::Path(path.to_owned())))
    }

    /// In the order of their indices.
    pub fn into_vec(self) -> Vec<Source> {
        self.0
    }
}

/// What a mapping is read against.
pub(super) struct Surroundings<'e> {
    pub entity: &'e EntityId,
    /// Parallel to the entity's declared fields; `None` where the declaration itself is wrong.
    pub fields: &'e [(&'e str, Option<Declared>)],
    /// Indices of the key fields.
    pub key: &'e [usize],
    /// Zone of the system's stamps.
    pub zone: chrono_tz::Tz,
    /// All systems that are named.
    pub systems: &'e [&'e str],
    /// Records are documents that hold their children.
    pub documents: bool,
}

impl Surroundings<'_> {
    /// The index of a declared field; reports an unknown one.
    pub fn field(&self, entry: &Entry<'_>) -> Option<usize> {
        let names = self.fields.iter().map(|(name, _)| *name);
        let found = names.clone().position(|name| name == entry.name);
        if found.is_none() {
            let what = format!("a field of `{}`", self.entity);
            entry.node.reading.unknown(entry.name_at, entry.name, what, names);
        }
        found
    }
}

pub(super) fn read(system: SystemId, section: &Section<'_>, around: &Surroundings<'_>) -> Option<Mapping> {
    let mut sources = Sources::default();
    check_key(section, around);
    let dataset = section.need("dataset").and_then(dataset);
    let mut children = children::read(section, around);
    let mut fields = read_fields(section, around, &mut sources, &mut children);
    let xref = xref::read(section, around, &system, &mut fields);
    let native = section.get("native").and_then(|node| sources.path(node));
    let changed_at = section.get("changed_at").and_then(|node| read_stamp(node, around, &mut sources));
    let version = section.get("version").and_then(|node| version(node, &mut sources));
    let source_version = section.get("source_version").and_then(|node| sources.path(node));
    let scope = section.get("scope").map_or_else(Vec::new, |node| condition::read_all(node, &mut sources));
    let via = section.get("via").map_or_else(Vec::new, |node| via(node, &system, around));
    let key_index = key_index::read(section, around, &fields);
    if key_index && !around.documents {
        key_index::refuse_unfollowed(
            section,
            around,
            &fields,
            native.is_some(),
            changed_at.is_some() || counts(version),
        );
    }
    let children = children::finish(section, children, native, around.key, &fields)?;
    children::warn_unused(section, &children, &fields);
    Some(Mapping {
        entity: around.entity.clone(),
        system,
        dataset: dataset?,
        sources: sources.0,
        key: around.key.to_vec(),
        native,
        key_index,
        changed_at,
        version,
        source_version,
        scope,
        children,
        xref,
        fields,
        via,
    })
}

const fn counts(version: Option<VersionRule>) -> bool {
    matches!(version, Some(VersionRule::Sequence(_)))
}

/// The systems that data comes through, upstream first.
fn via(node: Node<'_>, holder: &SystemId, around: &Surroundings<'_>) -> Vec<SystemId> {
    let mut via: Vec<SystemId> = Vec::new();
    for node in node.list().into_iter().flatten() {
        let Some(name) = node.text() else { continue };
        if !around.systems.contains(&name) {
            node.reading.unknown(node.at(), name, "a system", around.systems.iter().copied());
            continue;
        }
        let Ok(system) = name.parse::<SystemId>() else { continue };
        if system == *holder || via.contains(&system) {
            let message = if system == *holder { "is where the path ends" } else { "is named twice" };
            node.reading.problem(node.at(), format!("`via`: `{name}` {message}"));
            continue;
        }
        via.push(system);
    }
    via
}

/// A mapping may repeat the entity's key; it cannot have another.
fn check_key(section: &Section<'_>, around: &Surroundings<'_>) {
    let Some(node) = section.get("key") else { return };
    let mut found: Vec<_> = node.one_or_many().into_iter().filter_map(Node::text).collect();
    let key: Vec<_> = around.key.iter().map(|index| around.fields[*index].0).collect();
    let mut expected = key.clone();
    found.sort_unstable();
    expected.sort_unstable();
    if found != expected && !key.is_empty() {
        let message = format!("the key of `{}` is {}; a mapping cannot have another", around.entity, quoted(key));
        section.reading.problem(node.at(), message);
    }
}

/// `name` or `schema.name`.
pub(super) fn dataset(node: Node<'_>) -> Option<Dataset> {
    let name = node.name()?;
    let parts: Vec<_> = name.split('.').collect();
    if parts.len() > 2 || parts.iter().any(|part| part.trim().is_empty()) {
        return node.refuse(format!("`{name}` must be `table` or `schema.table`"));
    }
    Some(Dataset::Table(name.to_owned()))
}

pub(super) fn read_stamp(node: Node<'_>, around: &Surroundings<'_>, sources: &mut Sources) -> Option<Stamp> {
    if !node.is_table() {
        return Some(Stamp { source: sources.path(node)?, zone: around.zone, epoch: None });
    }
    let section = node.section(&STAMP_KEYS)?;
    let source = section.need("path").and_then(|node| sources.path(node));
    let zone = section.get("zone").map_or(Some(around.zone), zone::read);
    let epoch = section.get("epoch").and_then(|node| node.choice(&EPOCHS));
    Some(Stamp { source: source?, zone: zone?, epoch })
}

fn version(node: Node<'_>, sources: &mut Sources) -> Option<VersionRule> {
    let section = node.section(&VERSION_KEYS)?;
    let (key, value) = section.exactly_one(VERSION_KEYS.names)?;
    let source = sources.path(value)?;
    Some(if key == "sequence" { VersionRule::Sequence(source) } else { VersionRule::Tag(source) })
}

/// The rules, parallel to the entity's fields.
fn read_fields(
    section: &Section<'_>,
    around: &Surroundings<'_>,
    sources: &mut Sources,
    children: &mut [ReadChildren],
) -> Vec<Option<FieldRule>> {
    let mut rules: Vec<Option<FieldRule>> = around.fields.iter().map(|_| None).collect();
    let mut named = vec![false; rules.len()];
    for entry in section.need("fields").and_then(Node::entries).unwrap_or_default() {
        let Some(index) = around.field(&entry) else { continue };
        named[index] = true;
        if let Some(declared) = &around.fields[index].1 {
            let is_key = around.key.contains(&index);
            let rows = Rows { sources: &mut *sources, children: &mut *children };
            rules[index] = field_rule::read(&entry, &declared.field, is_key, around.zone, rows);
        }
    }
    if section.reading.is_toml() && section.get("fields").is_some() {
        refuse_unmapped_key(section, around, &named);
    }
    refuse_constant_key(section, around, &rules);
    rules
}

fn refuse_unmapped_key(section: &Section<'_>, around: &Surroundings<'_>, named: &[bool]) {
    let missing: Vec<_> =
        around.key.iter().filter(|index| !named[**index]).map(|index| around.fields[*index].0).collect();
    if !missing.is_empty() {
        let message = format!("key field {} of `{}` is not mapped; add it to `fields`", quoted(missing), around.entity);
        section.reading.problem(section.at, message);
    }
}

fn refuse_constant_key(section: &Section<'_>, around: &Surroundings<'_>, rules: &[Option<FieldRule>]) {
    let constant = |rule: &Option<FieldRule>| rule.as_ref().is_some_and(FieldRule::is_constant);
    if !around.key.is_empty() && around.key.iter().all(|index| constant(&rules[*index])) {
        let at: At = section.get("fields").map_or(section.at, Node::at);
        section.reading.problem(at, "every part of the key is constant: all records would have the same key");
    }
}
