//! A raw value becomes a value of the field's declared type, or says why it cannot.
//!
//! Reasons name what was wanted and what was found, never the data: they are logged.

use chrono::{NaiveTime, Timelike};
use uuid::Uuid;

use super::{EpochUnit, FieldRule, json, stamp};
use crate::model::{FieldType, Moment, Number, Raw, Value};

/// Whole floats beyond this may already stand for another integer: 2^53.
const LARGEST_EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

/// Reads a value as the rule's declared type. Texts and bytes move out of `raw` unless it is `shared`. Money comes
/// back as a bare number; the caller adds the currency.
#[inline]
pub(super) fn typed(rule: &FieldRule, raw: &mut Raw, shared: bool) -> Value {
    match (rule.field_type, raw) {
        (_, Raw::Null) => Value::Null,
        (_, Raw::Undecodable(what)) => Value::invalid(format!("the driver could not express the value: {what}")),
        (FieldType::Text, Raw::Text(text)) if !shared => Value::Text(std::mem::take(text)),
        (FieldType::Text, raw) => text_value(take(raw, shared)),
        (FieldType::Integer | FieldType::Decimal | FieldType::Money, Raw::Int(value)) => Value::from(*value),
        (FieldType::Integer, raw) => integer_value(raw),
        (FieldType::Decimal | FieldType::Money, raw) => decimal_value(raw),
        (FieldType::Boolean, raw) => boolean(raw).map_or_else(|| wanted("yes or no", raw), Value::Bool),
        (FieldType::Timestamp, raw) => match stamp::data_moment(raw, rule.zone, rule.epoch) {
            Ok(moment) => Value::Time(moment),
            Err(reason) => Value::invalid(reason),
        },
        (FieldType::Date, raw) => stamp::day(raw, rule.zone).map_or_else(|| wanted("a day", raw), Value::Date),
        (FieldType::Uuid, raw) => uuid(raw).map_or_else(|| wanted("a UUID", raw), Value::Uuid),
        (FieldType::Bytes, raw) => bytes_value(take(raw, shared)),
        (FieldType::Json, raw) => json_value(raw),
    }
}

/// The value itself; a copy when other rules read it, too.
pub(super) fn take(raw: &mut Raw, shared: bool) -> Raw {
    if shared { raw.clone() } else { std::mem::replace(raw, Raw::Null) }
}

/// An invalid value: `wanted X, found Y`.
pub(super) fn wanted(what: &str, raw: &Raw) -> Value {
    Value::invalid(format!("wanted {what}, found {}", kind(raw)))
}

/// What a raw value is, in words, without its data.
const fn kind(raw: &Raw) -> &'static str {
    match raw {
        Raw::Null => "null",
        Raw::Bool(_) => "a boolean",
        Raw::Int(_) => "an integer",
        Raw::Number(_) => "a decimal number",
        Raw::Float(_) => "a binary float",
        Raw::Text(_) => "text",
        Raw::Bytes(_) => "bytes",
        Raw::Instant(_) | Raw::Naive(_) => "a time stamp",
        Raw::Date(_) => "a day",
        Raw::TimeOfDay(_) => "a time of day",
        Raw::Uuid(_) => "a UUID",
        Raw::Undecodable(_) => "an undecodable value",
    }
}

fn text_value(raw: Raw) -> Value {
    match into_text(raw) {
        Ok(text) => Value::Text(text),
        Err(invalid) => invalid,
    }
}

/// The text that a raw value stands for; what text steps work on.
pub(super) fn into_text(raw: Raw) -> Result<Box<str>, Value> {
    match raw {
        Raw::Text(text) => Ok(text),
        Raw::Bytes(bytes) => match String::from_utf8(bytes.into_vec()) {
            Ok(text) => Ok(text.into_boxed_str()),
            Err(_) => Err(Value::invalid("wanted text, found bytes that are not UTF-8")),
        },
        Raw::Bool(value) => Ok(if value { "true" } else { "false" }.into()),
        Raw::Int(value) => Ok(value.to_string().into()),
        Raw::Number(value) => Ok(value.to_string().into()),
        Raw::Float(value) if value.is_finite() => Ok(value.to_string().into()),
        Raw::Uuid(value) => Ok(value.to_string().into()),
        Raw::Date(value) => Ok(value.to_string().into()),
        Raw::TimeOfDay(value) => Ok(time_text(value).into()),
        other => Err(wanted("text", &other)),
    }
}

fn time_text(time: NaiveTime) -> String {
    let mut text = time.format("%H:%M:%S").to_string();
    let micros = time.nanosecond() / 1_000 % 1_000_000;
    if micros > 0 {
        // Writing into a `String` cannot fail.
        text.push_str(&format!(".{micros:06}"));
    }
    text
}

/// The text inside `Text`, or inside `Bytes` that are UTF-8, without copying.
pub(super) fn as_text(raw: &Raw) -> Option<&str> {
    match raw {
        Raw::Text(text) => Some(text),
        Raw::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn integer_value(raw: &Raw) -> Value {
    match raw {
        Raw::Float(value) if value.fract() != 0.0 || value.abs() >= LARGEST_EXACT_FLOAT => {
            Value::invalid("wanted an integer, found a binary float that is not exactly one")
        }
        Raw::Int(_) | Raw::Float(_) | Raw::Number(_) | Raw::Text(_) | Raw::Bytes(_) => match decimal(raw) {
            Some(number) if number.is_whole() => Value::Number(number),
            Some(_) => Value::invalid("wanted an integer, found a number with a fraction"),
            None => wanted("an integer", raw),
        },
        other => wanted("an integer", other),
    }
}

fn decimal_value(raw: &Raw) -> Value {
    decimal(raw).map_or_else(|| wanted("a decimal number", raw), Value::Number)
}

/// The exact number that a raw value stands for.
///
/// A binary float counts as the shortest decimal that reads back as the same float: what a person or program wrote
/// into the column. SQLite and many APIs have nothing else for prices. NaN and infinities are no numbers.
pub(super) fn decimal(raw: &Raw) -> Option<Number> {
    match raw {
        Raw::Int(value) => Some(Number::from(*value)),
        Raw::Number(value) => Some(value.clone()),
        Raw::Float(value) if value.is_finite() => value.to_string().parse().ok(),
        Raw::Text(text) => text.parse().ok(),
        Raw::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        _ => None,
    }
}

/// Yes or no: booleans, 0 and 1, the usual words in any case, and MySQL's `BIT(1)`.
pub(super) fn boolean(raw: &Raw) -> Option<bool> {
    match raw {
        Raw::Bool(value) => Some(*value),
        Raw::Int(0) => Some(false),
        Raw::Int(1) => Some(true),
        Raw::Number(number) => boolean(&Raw::Int(number.as_i64()?)),
        Raw::Float(0.0) => Some(false),
        Raw::Float(1.0) => Some(true),
        Raw::Bytes(bytes) if **bytes == [0] => Some(false),
        Raw::Bytes(bytes) if **bytes == [1] => Some(true),
        Raw::Text(_) | Raw::Bytes(_) => boolean_word(as_text(raw)?),
        _ => None,
    }
}

/// `true`, `t`, `yes`, `y`, `1` and their opposites, in any case.
pub(super) fn boolean_word(text: &str) -> Option<bool> {
    let is = |words: [&str; 5]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["true", "t", "yes", "y", "1"]) {
        Some(true)
    } else if is(["false", "f", "no", "n", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// A UUID from its own type, text in any usual form, or 16 bytes in network order.
pub(super) fn uuid(raw: &Raw) -> Option<Uuid> {
    match raw {
        Raw::Uuid(value) => Some(*value),
        Raw::Text(text) => Uuid::parse_str(text).ok(),
        Raw::Bytes(bytes) => {
            Uuid::from_slice(bytes).ok().or_else(|| Uuid::parse_str(std::str::from_utf8(bytes).ok()?).ok())
        }
        _ => None,
    }
}

fn bytes_value(raw: Raw) -> Value {
    match raw {
        Raw::Bytes(bytes) => Value::Bytes(bytes),
        Raw::Text(text) => Value::Bytes(text.into_boxed_bytes()),
        Raw::Uuid(value) => Value::Bytes(Box::new(value.into_bytes())),
        other => wanted("bytes", &other),
    }
}

fn json_value(raw: &Raw) -> Value {
    let canonical = match raw {
        Raw::Bool(value) => Some(value.to_string()),
        Raw::Int(_) | Raw::Number(_) | Raw::Float(_) => decimal(raw).map(|number| number.to_string()),
        _ => as_text(raw).and_then(json::canonical),
    };
    canonical.map_or_else(|| wanted("a JSON document", raw), |text| Value::Text(text.into()))
}

/// A number that counts time since 1970, as a moment; parts of a microsecond are cut.
pub(super) fn epoch_moment(number: &Number, unit: EpochUnit) -> Option<Moment> {
    let powers = match unit {
        EpochUnit::Seconds => 6,
        EpochUnit::Milliseconds => 3,
        EpochUnit::Microseconds => 0,
    };
    let micros = match number.as_i64() {
        Some(whole) => whole.checked_mul(10_i64.pow(powers)),
        None => number.shifted(i64::from(powers)).round(0, crate::model::number::Rounding::Down).as_i64(),
    };
    micros.map(Moment::from_micros)
}
