//! Steps of a field: `steps = ["trim", { truncate = 40 }]`.

use std::collections::BTreeMap;

use super::field::{is_numeric, type_name};
use super::problems::suggestion;
use super::section::{Keys, Node, Read};
use crate::model::FieldType;
use crate::model::mapping::Step;
use crate::model::number::Rounding;

/// Steps written as a word.
const WORDS: [(&str, Step); 7] = [
    ("html_decode", Step::HtmlDecode),
    ("empty_is_null", Step::EmptyIsNull),
    ("trim", Step::Trim),
    ("trim_end", Step::TrimEnd),
    ("upper", Step::Upper),
    ("lower", Step::Lower),
    ("nfc", Step::Nfc),
];

/// Steps written as a table of one key.
pub(super) const KEYS: Keys = Keys {
    section: "[entity.NAME.in.SYSTEM] fields.FIELD.steps",
    names: &["strip_prefix", "strip_suffix", "map", "truncate", "round", "precision"],
    not_yet: &[],
};
pub(super) const ROUND_KEYS: Keys =
    Keys { section: "[entity.NAME.in.SYSTEM] fields.FIELD.steps round", names: &["digits", "mode"], not_yet: &[] };
pub(super) const PRECISION_KEYS: Keys =
    Keys { section: "[entity.NAME.in.SYSTEM] fields.FIELD.steps precision", names: &["unit", "nearest"], not_yet: &[] };

const ROUNDINGS: [(&str, Rounding); 3] =
    [("half_up", Rounding::HalfUp), ("half_even", Rounding::HalfEven), ("down", Rounding::Down)];
const UNITS: [(&str, i64); 5] = [
    ("millisecond", 1_000),
    ("second", 1_000_000),
    ("minute", 60_000_000),
    ("hour", 3_600_000_000),
    ("day", 86_400_000_000),
];
/// More digits than this no database holds.
const MOST_DIGITS: u64 = 1_000;

/// The steps that are written as a word.
#[cfg(test)]
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    WORDS.iter().map(|(word, _)| *word)
}

pub(super) fn read(node: Node<'_>, field_type: FieldType) -> Option<Step> {
    let (name, step) = if node.is_table() { written_as_table(node)? } else { written_as_word(node)? };
    if fits(&step, field_type) {
        return Some(step);
    }
    node.refuse(format!("step `{name}` does not fit a field of type `{}`", type_name(field_type)))
}

fn written_as_word(node: Node<'_>) -> Option<(&'static str, Step)> {
    let text = node.text()?;
    if let Some((word, step)) = WORDS.iter().find(|(word, _)| *word == text) {
        return Some((word, step.clone()));
    }
    if KEYS.names.contains(&text) {
        return node.refuse(format!("step `{text}` needs a value: `{{ {text} = … }}`"));
    }
    let words = WORDS.iter().map(|(word, _)| *word).chain(KEYS.names.iter().copied());
    node.refuse_with_hint(format!("`{text}` is not a step"), suggestion(text, words))
}

fn written_as_table(node: Node<'_>) -> Option<(&'static str, Step)> {
    let section = node.section(&KEYS)?;
    let (key, value) = section.exactly_one(KEYS.names)?;
    let step = match key {
        "strip_prefix" => Step::StripPrefix(String::read(value)?),
        "strip_suffix" => Step::StripSuffix(String::read(value)?),
        "map" => Step::Map(read_map(value)?),
        "truncate" => Step::Truncate(usize::read(value)?),
        "round" => read_round(value)?,
        _ => read_precision(value)?,
    };
    Some((key, step))
}

fn read_map(node: Node<'_>) -> Option<BTreeMap<String, String>> {
    let entries = node.entries()?;
    if entries.is_empty() {
        return node.refuse("must not be empty");
    }
    entries.into_iter().map(|entry| Some((entry.name.to_owned(), entry.node.text()?.to_owned()))).collect()
}

fn read_round(node: Node<'_>) -> Option<Step> {
    if !node.is_table() {
        return Some(Step::Round { digits: digits(node)?, rounding: Rounding::HalfUp });
    }
    let section = node.section(&ROUND_KEYS)?;
    let rounding = section.get("mode").map_or(Some(Rounding::HalfUp), |node| node.choice(&ROUNDINGS));
    Some(Step::Round { digits: section.need("digits").and_then(digits)?, rounding: rounding? })
}

fn digits(node: Node<'_>) -> Option<u32> {
    let digits = u64::read(node)?;
    match u32::try_from(digits) {
        Ok(few) if digits <= MOST_DIGITS => Some(few),
        _ => node.refuse(format!("must be at most {MOST_DIGITS} digits, found {digits}")),
    }
}

fn read_precision(node: Node<'_>) -> Option<Step> {
    if !node.is_table() {
        return Some(Step::Precision { micros: node.choice(&UNITS)?, nearest: false });
    }
    let section = node.section(&PRECISION_KEYS)?;
    let micros = section.need("unit").and_then(|node| node.choice(&UNITS));
    Some(Step::Precision { nearest: section.or("nearest", false), micros: micros? })
}

/// Whether the step means something for values of this type. Text steps before the value is read as its type fit
/// every type; those that say what a target can hold must also work on the value itself.
fn fits(step: &Step, field_type: FieldType) -> bool {
    match step {
        Step::Upper | Step::Lower | Step::Nfc | Step::Truncate(_) => field_type == FieldType::Text,
        Step::Round { .. } => is_numeric(field_type),
        Step::Precision { .. } => field_type == FieldType::Timestamp,
        Step::Trim | Step::TrimEnd | Step::StripPrefix(_) | Step::StripSuffix(_) => field_type != FieldType::Bytes,
        Step::HtmlDecode | Step::Map(_) | Step::EmptyIsNull => field_type != FieldType::Bytes,
    }
}
