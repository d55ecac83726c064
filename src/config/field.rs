//! `fields` of `[entity.NAME]`: name, type, owners, tolerance, how values may be stored.

use super::duration::parse_duration;
use super::problems::At;
use super::section::{Entry, Keys, Node, Section};
use crate::model::{Field, FieldKind, FieldType, Number, StoreRule, SystemId, Tolerance};

pub(super) const KEYS: Keys = Keys {
    section: "[entity.NAME] fields.FIELD",
    names: &["type", "owner", "owners", "tolerance", "store", "kind"],
    not_yet: &[],
};

pub(super) const TYPES: [(&str, FieldType); 10] = [
    ("text", FieldType::Text),
    ("integer", FieldType::Integer),
    ("decimal", FieldType::Decimal),
    ("money", FieldType::Money),
    ("boolean", FieldType::Boolean),
    ("timestamp", FieldType::Timestamp),
    ("date", FieldType::Date),
    ("uuid", FieldType::Uuid),
    ("bytes", FieldType::Bytes),
    ("json", FieldType::Json),
];
const STORE_RULES: [(&str, StoreRule); 4] =
    [("clear", StoreRule::Clear), ("masked", StoreRule::Masked), ("hash", StoreRule::Hash), ("none", StoreRule::None)];
const KINDS: [(&str, FieldKind); 2] = [("value", FieldKind::Value), ("counter", FieldKind::Counter)];

/// A declared field and where its parts are.
pub(super) struct Declared {
    pub field: Field,
    pub at: At,
    /// Parallel to [`Field::owners`].
    pub owners_at: Vec<At>,
}

/// A type as the config writes it.
pub(super) fn type_name(field_type: FieldType) -> &'static str {
    TYPES.iter().find(|(_, known)| *known == field_type).map_or("", |(name, _)| name)
}

/// Types that are numbers.
pub(super) const fn is_numeric(field_type: FieldType) -> bool {
    matches!(field_type, FieldType::Integer | FieldType::Decimal | FieldType::Money)
}

/// Reads `fields.number = "text"` or `fields.number = { type = "text", … }`.
pub(super) fn read(entry: Entry<'_>) -> Option<Declared> {
    let name = entry.parsed_name();
    if !entry.node.is_table() {
        let field_type = entry.node.choice(&TYPES)?;
        let store = StoreRule::default_for(field_type);
        let kind = FieldKind::Value;
        let field = Field { name: name?, field_type, kind, owners: Vec::new(), tolerance: None, store };
        return Some(Declared { field, at: entry.name_at, owners_at: Vec::new() });
    }
    let section = entry.node.section(&KEYS)?;
    let field_type = section.need("type").and_then(|node| node.choice(&TYPES));
    let owners = read_owners(&section);
    let store = section.get("store").and_then(|node| node.choice(&STORE_RULES));
    let kind = section.get("kind").and_then(|node| node.choice(&KINDS)).unwrap_or_default();
    let (name, field_type) = (name?, field_type?);
    if kind == FieldKind::Counter && !is_numeric(field_type) {
        let at = section.get("kind").map_or(section.at, Node::at);
        section.reading.problem(at, format!("a counter is a number; `{name}` is {}", type_name(field_type)));
    }
    let tolerance = section.get("tolerance").and_then(|node| read_tolerance(node, field_type));
    let store = store.unwrap_or_else(|| StoreRule::default_for(field_type));
    let (owners, owners_at) = owners.into_iter().unzip();
    Some(Declared { field: Field { name, field_type, kind, owners, tolerance, store }, at: entry.name_at, owners_at })
}

fn read_owners(section: &Section<'_>) -> Vec<(SystemId, At)> {
    let (one, several) = (section.get("owner"), section.get("owners"));
    if let (Some(_), Some(second)) = (one, several) {
        section.reading.problem(second.at(), "only one of `owner`, `owners` may be given");
    }
    let nodes = one.into_iter().chain(several.and_then(Node::list).into_iter().flatten());
    let mut owners: Vec<(SystemId, At)> = Vec::new();
    for node in nodes {
        let Some(owner) = node.parsed::<SystemId>() else { continue };
        if owners.iter().any(|(known, _)| *known == owner) {
            section.reading.problem(node.at(), format!("`{owner}` is named twice"));
        } else {
            owners.push((owner, node.at()));
        }
    }
    owners
}

/// `"0.01"` (in the field's unit), `"0.5%"` (of the owner's value), `"2s"` (time stamps).
fn read_tolerance(node: Node<'_>, field_type: FieldType) -> Option<Tolerance> {
    match field_type {
        FieldType::Timestamp => time_tolerance(node),
        _ if is_numeric(field_type) => numeric_tolerance(node),
        _ => node.refuse(format!(
            "`{}` is compared exactly; a tolerance is for integer, decimal, money and timestamp",
            type_name(field_type)
        )),
    }
}

fn time_tolerance(node: Node<'_>) -> Option<Tolerance> {
    match node.value.get_ref().as_str().and_then(parse_duration) {
        Some(duration) if !duration.is_zero() => Some(Tolerance::Time(duration)),
        _ => node.refuse("the tolerance of a timestamp is a duration above zero such as `\"2s\"`"),
    }
}

fn numeric_tolerance(node: Node<'_>) -> Option<Tolerance> {
    let percent = node.value.get_ref().as_str().and_then(|text| text.strip_suffix('%'));
    let tolerance = match percent {
        Some(percent) => percent.trim().parse::<Number>().ok().map(|share| Tolerance::Relative(share.shifted(-2))),
        None => super::section::number(node).map(Tolerance::Absolute),
    };
    match tolerance {
        Some(Tolerance::Relative(share)) if share >= Number::from(1_i64) => node.refuse("must be less than `100%`"),
        Some(Tolerance::Absolute(number) | Tolerance::Relative(number)) if number <= Number::ZERO => {
            node.refuse("must be above zero; leave it out to compare exactly")
        }
        Some(tolerance) => Some(tolerance),
        None => {
            node.refuse("the tolerance of a number is `\"0.01\"` (in its unit) or `\"0.5%\"` (of the owner's value)")
        }
    }
}
