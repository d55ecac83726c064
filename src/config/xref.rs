//! `xref.FIELD` of a mapping: a table of some system that translates the field's values.

use super::mapping::{Surroundings, dataset};
use super::section::{Entry, Keys, Node, Read, Section};
use crate::model::mapping::{FieldRule, Origin, Xref};
use crate::model::{EntityId, FieldType, SystemId};

pub(super) const KEYS: Keys =
    Keys { section: "[entity.NAME.in.SYSTEM] xref.FIELD", names: &["system", "dataset", "from", "to"], not_yet: &[] };

/// Reads `xref = { sku = { … } }`. The rules of translated fields read text from now on: what their table is asked for.
pub(super) fn read(
    section: &Section<'_>,
    around: &Surroundings<'_>,
    system: &SystemId,
    rules: &mut [Option<FieldRule>],
) -> Vec<Xref> {
    let entries = section.get("xref").and_then(Node::entries).unwrap_or_default();
    let mut read: Vec<Xref> = entries.iter().filter_map(|entry| read_one(entry, around, system, rules)).collect();
    read.sort_by_key(|xref| xref.field);
    read
}

fn read_one(
    entry: &Entry<'_>,
    around: &Surroundings<'_>,
    holder: &SystemId,
    rules: &mut [Option<FieldRule>],
) -> Option<Xref> {
    let index = around.field(entry);
    let section = entry.node.section(&KEYS)?;
    let system = section.need("system").and_then(|node| known_system(node, around));
    let dataset = section.need("dataset").and_then(dataset);
    let from = section.need("from").and_then(String::read);
    let to = section.need("to").and_then(String::read);
    let index = index?;
    let field_type = around.fields[index].1.as_ref()?.field.field_type;
    translate(entry, field_type, rules[index].as_mut()?)?;
    let name = |side| table_name(side, around.entity, holder, entry.name);
    Some(Xref::new((index, field_type), system?, dataset?, (from?, to?), (name("from"), name("to"))))
}

fn known_system(node: Node<'_>, around: &Surroundings<'_>) -> Option<SystemId> {
    let name = node.text()?;
    if !around.systems.contains(&name) {
        node.reading.unknown(node.at(), name, "a system", around.systems.iter().copied());
        return None;
    }
    name.parse().ok()
}

/// Makes a rule read what the table translates; reports rules that have nothing to translate.
fn translate(entry: &Entry<'_>, field_type: FieldType, rule: &mut FieldRule) -> Option<()> {
    let refuse = |message: &str| {
        entry.node.reading.problem(entry.name_at, format!("`{}` {message}", entry.name));
        None
    };
    if !matches!(field_type, FieldType::Text | FieldType::Integer | FieldType::Uuid) {
        return refuse("cannot be translated: only fields of type `text`, `integer` or `uuid` can");
    }
    if !matches!(rule.origin, Origin::Source(_)) {
        return refuse("cannot be translated: only the value of a column can");
    }
    if rule.scale.is_some() {
        return refuse("is translated: `scale` has no meaning then");
    }
    rule.field_type = FieldType::Text;
    Some(())
}

/// A name for messages, within the length of names.
fn table_name(side: &str, entity: &EntityId, holder: &SystemId, field: &str) -> EntityId {
    let long = format!("xref-{side}-{field}-{entity}-{holder}");
    let short: String = long.chars().take(crate::model::id::MAX_NAME).collect();
    // Made of the characters of names behind a letter; a field's own name may not be one, and was reported then.
    short.parse().unwrap_or_else(|_| entity.clone())
}
