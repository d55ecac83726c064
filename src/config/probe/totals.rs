//! What a probe of kind `totals` adds up.

use chrono::NaiveTime;
use chrono_tz::Tz;

use super::Known;
use crate::config::TotalsSettings;
use crate::config::problems::quoted;
use crate::config::section::{Node, Section};
use crate::model::{EntityId, Field, FieldType, SystemId};
use crate::totals::{Calendar, Fields};

/// Keys that no other kind of probe has.
const KEYS: [&str; 5] = ["day", "amount", "status", "cut_off", "days"];

/// How many days a run looks at unless the config says otherwise.
const DAYS: usize = 7;
/// Ten years: what is older is closed.
const MOST_DAYS: usize = 3_660;

/// Reports the keys of a totals probe in another one.
pub(super) fn refuse(section: &Section<'_>) {
    for node in KEYS.into_iter().filter_map(|key| section.get(key)) {
        section.reading.problem(node.at(), format!("`{}` is for a probe of kind `totals`", node.key));
    }
}

pub(super) fn read(
    section: &Section<'_>,
    entity: &EntityId,
    owner: &SystemId,
    known: &Known<'_>,
    zone: Tz,
) -> Option<TotalsSettings> {
    let entity = known.read.iter().find(|read| read.entity.id == *entity)?;
    let field = |node: Node<'_>, types: &[FieldType]| field(node, &entity.entity.fields, types);
    let day = section.need("day").and_then(|node| field(node, &[FieldType::Date, FieldType::Timestamp]));
    let amounts = [FieldType::Money, FieldType::Decimal, FieldType::Integer];
    let amount = optional(section.get("amount"), |node| field(node, &amounts));
    let status = optional(section.get("status"), |node| field(node, &[]));
    let cut_off = section.get("cut_off").map_or(Some(NaiveTime::MIN), time_of_day);
    let days = section.get("days").map_or(Some(DAYS), |node| node.within(1, MOST_DAYS));
    let fields = Fields { day: day?, amount: amount?, status: status? };
    let is_held = |flow: &&crate::model::Flow| {
        let sides = [&flow.owner, &flow.target];
        sides.iter().all(|mapping| fields.all().all(|field| mapping.fields[field].is_some()))
    };
    let mut flows = known.flows.iter().filter(|flow| flow.id.entity == entity.entity.id && flow.id.owner == *owner);
    if known.is_complete && !flows.any(|flow| is_held(&flow)) {
        let names = fields.all().map(|field| entity.entity.fields[field].name.as_str());
        let message = format!("no flow of `{owner}` has {} on both sides: nothing to compare", quoted(names));
        section.reading.problem(section.at, message);
        return None;
    }
    let days = u32::try_from(days?).ok()?;
    Some(TotalsSettings { fields, calendar: Calendar { zone, cut_off: cut_off? }, days })
}

/// `Some(None)` when it is not there, `None` when it is wrong.
fn optional(node: Option<Node<'_>>, read: impl Fn(Node<'_>) -> Option<usize>) -> Option<Option<usize>> {
    match node {
        Some(node) => read(node).map(Some),
        None => Some(None),
    }
}

fn field(node: Node<'_>, fields: &[Field], types: &[FieldType]) -> Option<usize> {
    let name = node.text()?;
    let fits = |field: &Field| types.is_empty() || types.contains(&field.field_type);
    let found = fields.iter().position(|field| field.name.as_str() == name && fits(field));
    if found.is_none() {
        let fitting = fields.iter().filter(|field| fits(field)).map(|field| field.name.as_str());
        node.reading.unknown(node.at(), name, "a field that fits here", fitting);
    }
    found
}

fn time_of_day(node: Node<'_>) -> Option<NaiveTime> {
    let text = node.text()?;
    let time = NaiveTime::parse_from_str(text, "%H:%M").ok();
    time.or_else(|| node.refuse(format!("`{text}` is not a time of day; write `18:00`")))
}
