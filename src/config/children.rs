//! `children.NAME` of a mapping: rows of another dataset that belong to its records.

use super::entity::ReadEntity;
use super::mapping::{Sources, Surroundings, dataset, read_stamp};
use super::probe::ReadProbe;
use super::section::{Entry, Keys, Node, Reading, Section};
use super::{ProbeKind, condition, field_rule};
use crate::model::Flow;
use crate::model::mapping::{Children, Dataset, FieldRule, Origin, Source, Stamp};

pub(super) const KEYS: Keys = Keys {
    section: "[entity.NAME.in.SYSTEM] children.CHILD",
    names: &["dataset", "parent", "changed_at", "scope", "bumps_parent"],
    not_yet: &[],
};

/// Children as read; what they refer to is known only when the whole mapping is.
pub(super) struct ReadChildren {
    name: String,
    dataset: Option<Dataset>,
    parent: Option<usize>,
    changed_at: Option<Stamp>,
    scope: Vec<crate::model::mapping::Condition>,
    bumps_parent: bool,
    /// What is selected of a child; fields add to it.
    pub sources: Sources,
}

/// Reads `children = { lines = { … } }`.
pub(super) fn read(section: &Section<'_>, around: &Surroundings<'_>) -> Vec<ReadChildren> {
    let entries = section.get("children").and_then(Node::entries).unwrap_or_default();
    entries.iter().filter_map(|entry| read_one(entry, around)).collect()
}

fn read_one(entry: &Entry<'_>, around: &Surroundings<'_>) -> Option<ReadChildren> {
    if entry.name.contains(['[', ']', '.']) || entry.name.trim().is_empty() {
        let message = format!("`{}` cannot be a name of children: paths are written `NAME[].column`", entry.name);
        entry.node.reading.problem(entry.name_at, message);
        return None;
    }
    let section = entry.node.section(&KEYS)?;
    let mut sources = Sources::default();
    let (dataset, parent) = if around.documents {
        (section.need("dataset").and_then(within), refuse_parent(&section))
    } else {
        (section.need("dataset").and_then(dataset), section.need("parent").and_then(|node| sources.path(node)))
    };
    Some(ReadChildren {
        name: entry.name.to_owned(),
        dataset,
        parent,
        changed_at: section.get("changed_at").and_then(|node| read_stamp(node, around, &mut sources)),
        scope: section.get("scope").map_or_else(Vec::new, |node| condition::read_all(node, &mut sources)),
        // A document is saved as a whole, unless its pack knows better.
        bumps_parent: section.or("bumps_parent", around.documents),
        sources,
    })
}

/// A list inside the record's document.
fn within(node: Node<'_>) -> Option<Dataset> {
    let path = node.name()?;
    match path.parse::<super::pack::JsonPath>() {
        Ok(parsed) if parsed.0.iter().all(|step| matches!(step, super::pack::Step::Member(_))) => {
            Some(Dataset::Within(path.to_owned()))
        }
        _ => node.refuse(format!("`{path}` must be the path of a list in the record, such as `line_items`")),
    }
}

/// What stands inside its parent need not name it.
fn refuse_parent(section: &Section<'_>) -> Option<usize> {
    match section.get("parent") {
        Some(node) => node.refuse("children inside a document have no `parent`"),
        None => Some(0),
    }
}

/// The children that a path such as `lines[].qty` names, and the rest of it; `None` for a path of the record itself.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    let (name, rest) = path.split_once("[]")?;
    Some((name, rest.strip_prefix('.').unwrap_or(rest)))
}

/// The children that a node's path goes into, by index, and the column; an empty column means the children themselves.
pub(super) fn resolve<'a>(node: Node<'a>, children: &[ReadChildren]) -> Option<(usize, &'a str)> {
    let path = node.name()?;
    let Some((name, column)) = split(path) else {
        return node.refuse(format!("`{path}` has one value: an aggregate needs a path such as `lines[].qty`"));
    };
    if column.contains("[]") {
        return node.refuse(format!("`{path}`: children of children are not supported"));
    }
    let known = || children.iter().map(|children| children.name.as_str());
    let Some(index) = known().position(|known| known == name) else {
        node.reading.unknown(node.at(), name, "one of the `children`", known().collect::<Vec<_>>());
        return None;
    };
    Some((index, column))
}

/// Says what the children's `parent` refers to: the native address, else the only key column.
pub(super) fn finish(
    section: &Section<'_>,
    read: Vec<ReadChildren>,
    native: Option<usize>,
    key: &[usize],
    fields: &[Option<FieldRule>],
) -> Option<Vec<Children>> {
    if read.is_empty() {
        return Some(Vec::new());
    }
    let within = |read: &ReadChildren| matches!(read.dataset, Some(Dataset::Within(_)));
    let inside = read.iter().any(within).then_some(0);
    let Some(refers_to) = inside.or(native).or_else(|| only_key_column(key, fields)) else {
        let message = "children refer to `native`, or to a key of one column; this mapping has neither";
        section.reading.problem_with_hint(section.at, message, "add `native`, the column that `parent` refers to");
        return None;
    };
    let finish = |read: ReadChildren| {
        let dataset = read.dataset?;
        let parent = read.parent?;
        Some(Children {
            name: read.name,
            dataset,
            sources: read.sources.into_vec(),
            parent,
            refers_to,
            changed_at: read.changed_at,
            scope: read.scope,
            bumps_parent: read.bumps_parent,
        })
    };
    read.into_iter().map(finish).collect()
}

fn only_key_column(key: &[usize], fields: &[Option<FieldRule>]) -> Option<usize> {
    let mut columns = key.iter().filter_map(|field| match fields.get(*field)?.as_ref()?.origin {
        Origin::Source(source) => Some(source),
        Origin::Const(_) | Origin::Children(_) => None,
    });
    let only = columns.next()?;
    columns.next().is_none().then_some(only)
}

/// Reports children that no field is made of.
pub(super) fn warn_unused(section: &Section<'_>, children: &[Children], fields: &[Option<FieldRule>]) {
    for (index, kind) in children.iter().enumerate() {
        let is_used = fields.iter().flatten().any(|rule| field_rule::is_made_of(rule, index));
        if !is_used {
            let at = section.get("children").map_or(section.at, Node::at);
            section.reading.warning(at, format!("no field is made of the children `{}`", kind.name));
        }
    }
}

/// Warns about compared fields whose changes no probe can see: those of children that come, change or go without a
/// stamp, where nothing but a changes probe looks.
pub(super) fn warn_blind(reading: &Reading<'_>, read: &ReadEntity, flows: &[Flow], probes: &[ReadProbe]) {
    let entity = &read.entity.id;
    let looks_at_all = |probe: &ReadProbe| {
        probe.probe.entity == *entity && matches!(probe.probe.kind, ProbeKind::Sample(_) | ProbeKind::Sweep(_))
    };
    if probes.iter().any(looks_at_all) {
        return;
    }
    let mut told = Vec::new();
    for flow in flows.iter().filter(|flow| flow.id.entity == *entity) {
        for field in &flow.fields {
            let Some(children) = blind_children(flow, field.index) else { continue };
            if told.contains(&(field.index, &flow.id.owner)) {
                continue;
            }
            told.push((field.index, &flow.id.owner));
            let unseen = if children.changed_at.is_some() { "a deleted" } else { "a changed or deleted" };
            let message = format!(
                "`{entity}.{}` is blind in `{owner}`: {unseen} row of `{}` moves nothing, and no sample or sweep looks for \
                 it; set `bumps_parent` if `{owner}` stamps the parent too",
                field.name,
                children.name,
                owner = flow.id.owner,
            );
            reading.warning(read.fields_at[field.index], message);
        }
    }
}

/// The children that a field of the flow's owner is made of, if they do not bump their parent.
fn blind_children(flow: &Flow, field: usize) -> Option<&Children> {
    let rule = flow.owner.fields.get(field)?.as_ref()?;
    let Origin::Children(origin) = &rule.origin else { return None };
    flow.owner.children.get(origin.children).filter(|children| !children.bumps_parent)
}

impl ReadChildren {
    /// The index of a child's column.
    pub fn column(&mut self, column: &str) -> usize {
        self.sources.index(Source::Path(column.to_owned()))
    }
}
