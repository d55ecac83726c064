//! `fields.X` of a mapping: where a field's value begins and how it is translated.

use chrono::NaiveDate;
use chrono_tz::Tz;
use toml::de::DeValue;

use super::children::ReadChildren;
use super::field::{is_numeric, type_name};
use super::mapping::{EPOCHS, Sources};
use super::section::{Entry, Keys, Node, Read, Section, number};
use super::{condition, sql_expression, step, zone};
use crate::model::mapping::{CurrencyRule, FieldRule, Origin, Source};
use crate::model::{Currency, Field, FieldType, Moment, Money, Number, Value};

mod aggregate;

pub(super) const KEYS: Keys = Keys {
    section: "[entity.NAME.in.SYSTEM] fields.FIELD",
    names: &["path", "sql", "const", "agg", "times", "steps", "unit", "scale", "currency", "when", "zone", "epoch"],
    not_yet: &[],
};
pub(super) const CURRENCY_KEYS: Keys =
    Keys { section: "[entity.NAME.in.SYSTEM] fields.FIELD.currency", names: &["path"], not_yet: &[] };

impl FieldRule {
    /// Whether every record has the same value.
    pub(super) const fn is_constant(&self) -> bool {
        matches!(self.origin, Origin::Const(_))
    }
}

/// What a field's paths can name: the record's own columns and those of its children.
pub(super) struct Rows<'r> {
    pub sources: &'r mut Sources,
    pub children: &'r mut [ReadChildren],
}

/// Whether a rule's value is made of the children with this index.
pub(super) fn is_made_of(rule: &FieldRule, children: usize) -> bool {
    matches!(&rule.origin, Origin::Children(origin) if origin.children == children)
}

/// Reads `fields.X = "column"` or `fields.X = { path = "column", … }`.
pub(super) fn read(entry: &Entry<'_>, field: &Field, is_key: bool, zone: Tz, rows: Rows<'_>) -> Option<FieldRule> {
    let sources = &mut *rows.sources;
    if !entry.node.is_table() {
        let origin = Origin::Source(sources.path(entry.node)?);
        refuse_money_without_currency(entry, field);
        return Some(plain(field, origin, zone));
    }
    let section = entry.node.section(&KEYS)?;
    if let Some(node) = section.get("agg") {
        return aggregate::read(entry, &section, node, field, is_key, zone, rows);
    }
    if let Some(times) = section.get("times") {
        section.reading.problem(times.at(), aggregate::ONLY_TALLY);
    }
    let (origin_key, origin_node) = section.exactly_one(&["path", "sql", "const"])?;
    let currency = section.get("currency").and_then(|node| currency(node, sources));
    let origin = match origin_key {
        "path" => sources.path(origin_node).map(Origin::Source),
        "sql" => sql(origin_node).map(|source| Origin::Source(sources.index(source))),
        _ => constant(origin_node, field, currency.as_ref()).map(Origin::Const),
    };
    if section.get("currency").is_none() {
        refuse_money_without_currency(entry, field);
    }
    refuse_misfits(&section, field, origin_key);
    let mut rule = plain(field, origin?, zone);
    rule.when = section.get("when").and_then(|node| condition::read(node, sources));
    rule.steps = read_steps(&section, field);
    rule.scale = section.get("scale").and_then(scale);
    rule.minor_units =
        section.get("unit").and_then(|node| node.choice(&[("minor", true), ("major", false)])).unwrap_or(false);
    rule.zone = section.get("zone").and_then(zone::read).unwrap_or(zone);
    rule.epoch = section.get("epoch").and_then(|node| node.choice(&EPOCHS));
    rule.currency = currency;
    Some(rule)
}

/// A rule that takes the value as it is.
fn plain(field: &Field, origin: Origin, zone: Tz) -> FieldRule {
    FieldRule {
        field_type: field.field_type,
        origin,
        when: None,
        steps: Vec::new(),
        scale: None,
        minor_units: false,
        currency: None,
        zone,
        epoch: None,
    }
}

fn refuse_money_without_currency(entry: &Entry<'_>, field: &Field) {
    if field.field_type == FieldType::Money && entry.node.reading.is_toml() {
        let message = format!("`{}` is money and has no currency", field.name);
        let hint = "add `currency = \"EUR\"` or `currency = { path = \"…\" }`";
        entry.node.reading.problem_with_hint(entry.name_at, message, hint);
    }
}

/// Reports keys that mean nothing for this type or for a constant.
fn refuse_misfits(section: &Section<'_>, field: &Field, origin_key: &str) {
    let is_money = field.field_type == FieldType::Money;
    let is_time = field.field_type == FieldType::Timestamp;
    let fitting: [(&'static str, bool); 5] = [
        ("unit", is_money),
        ("currency", is_money),
        ("scale", is_numeric(field.field_type)),
        ("zone", is_time || field.field_type == FieldType::Date),
        ("epoch", is_time),
    ];
    let refuse = |key: &'static str, message: String| {
        if let Some(node) = section.get(key) {
            section.reading.problem(node.at(), message);
        }
    };
    if origin_key == "const" {
        for key in ["steps", "unit", "scale", "zone", "epoch"] {
            refuse(key, format!("`{key}` does nothing to a constant; write the value it should have"));
        }
    } else {
        let type_name = type_name(field.field_type);
        for (key, _) in fitting.into_iter().filter(|(_, fits)| !fits) {
            refuse(key, format!("`{key}` does not fit a field of type `{type_name}`"));
        }
    }
}

fn read_steps(section: &Section<'_>, field: &Field) -> Vec<crate::model::mapping::Step> {
    let mut steps = Vec::new();
    for node in section.get("steps").and_then(Node::list).unwrap_or_default() {
        steps.extend(step::read(node, field.field_type));
    }
    steps
}

fn scale(node: Node<'_>) -> Option<Number> {
    let scale = Number::read(node)?;
    if scale == Number::ZERO { node.refuse("must not be zero") } else { Some(scale) }
}

fn currency(node: Node<'_>, sources: &mut Sources) -> Option<CurrencyRule> {
    if node.is_table() {
        let section = node.section(&CURRENCY_KEYS)?;
        return Some(CurrencyRule::Source(section.need("path").and_then(|node| sources.path(node))?));
    }
    let code = node.text()?;
    match code.parse() {
        Ok(currency) => Some(CurrencyRule::Const(currency)),
        Err(error) => node.refuse(error),
    }
}

fn sql(node: Node<'_>) -> Option<Source> {
    let text = node.text()?;
    match sql_expression::check(text) {
        Ok(()) => Some(Source::Sql(text.to_owned())),
        Err(refusal) => {
            node.reading.problem(node.at_offset(refusal.offset), format!("`sql`: {}", refusal.message));
            None
        }
    }
}

/// A constant, read as the field's type.
fn constant(node: Node<'_>, field: &Field, currency: Option<&CurrencyRule>) -> Option<Value> {
    let text = node.value.get_ref().as_str();
    let value = match field.field_type {
        FieldType::Text => text.map(Value::from),
        FieldType::Integer => number(node).filter(Number::is_whole).map(Value::Number),
        FieldType::Decimal => number(node).map(Value::Number),
        FieldType::Money => return constant_money(node, currency),
        FieldType::Boolean => node.value.get_ref().as_bool().map(Value::Bool),
        FieldType::Timestamp => written(node).and_then(|text| constant_time(&text)).map(Value::Time),
        FieldType::Date => written(node).and_then(|text| text.parse::<NaiveDate>().ok()).map(Value::Date),
        FieldType::Uuid => text.and_then(|text| text.parse().ok()).map(Value::Uuid),
        FieldType::Bytes | FieldType::Json => {
            return node.refuse(format!("a constant cannot be of type `{}`", type_name(field.field_type)));
        }
    };
    value.or_else(|| node.refuse(format!("the constant is not of the field's type `{}`", type_name(field.field_type))))
}

fn constant_money(node: Node<'_>, currency: Option<&CurrencyRule>) -> Option<Value> {
    let amount = Number::read(node)?;
    match currency {
        Some(CurrencyRule::Const(currency)) => Some(Value::Money(money(amount, *currency))),
        // The missing currency is reported elsewhere, so this value is never used.
        None => Some(Value::Number(amount)),
        Some(CurrencyRule::Source(_)) => node.refuse("a constant amount needs a constant currency"),
    }
}

const fn money(amount: Number, currency: Currency) -> Money {
    Money { amount, currency }
}

/// Text, or a TOML date or time as it is written.
fn written(node: Node<'_>) -> Option<String> {
    match node.value.get_ref() {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Datetime(time) => Some(time.to_string()),
        _ => None,
    }
}

fn constant_time(text: &str) -> Option<Moment> {
    let time = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some(Moment::from(time.with_timezone(&chrono::Utc)))
}
