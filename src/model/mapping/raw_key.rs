//! From a canonical key back to the raw values that select it in one system.

use bigdecimal::{BigDecimal, Zero};

use super::{EpochUnit, FieldRule, Mapping, Origin, Step, parse};
use crate::model::{FieldType, Key, Number, Raw, Value};

impl Mapping {
    /// The raw values that select `key` here, as `(index into sources, value)`; `None` when no record of this
    /// system can have the key (a constant part differs, a prefix is missing, a map does not list it).
    ///
    /// Time stamps come back as [`Raw::Instant`] (or as a number where `epoch` says so), UUIDs as [`Raw::Uuid`],
    /// what went through text steps as [`Raw::Text`]: the reader binds them in the column's own type.
    pub fn raw_key(&self, key: &Key) -> Option<Vec<(usize, Raw)>> {
        if !key.is_usable() || key.parts().len() != self.key.len() {
            return None;
        }
        let mut raw = Vec::with_capacity(self.key.len());
        for (field, part) in self.key.iter().zip(key.parts()) {
            let rule = self.fields.get(*field)?.as_ref()?;
            match &rule.origin {
                Origin::Const(value) if value == part => {}
                Origin::Const(_) | Origin::Children(_) => return None,
                Origin::Source(source) => raw.push((*source, rule.raw(part)?)),
            }
        }
        Some(raw)
    }
}

impl FieldRule {
    fn raw(&self, part: &Value) -> Option<Raw> {
        let raw = self.raw_of_type(part)?;
        let mut steps = self.steps.iter().filter(|step| step.is_textual()).rev().peekable();
        if steps.peek().is_none() {
            return Some(raw);
        }
        let text = steps.try_fold(parse::into_text(raw).ok()?, |text, step| step.undo(text))?;
        Some(Raw::Text(text))
    }

    fn raw_of_type(&self, part: &Value) -> Option<Raw> {
        Some(match part {
            Value::Bool(value) => Raw::Bool(*value),
            Value::Number(value) => raw_number(self.unscaled(value)?),
            Value::Text(value) if self.field_type == FieldType::Bytes => Raw::Bytes(value.as_bytes().into()),
            Value::Text(value) => Raw::Text(value.clone()),
            Value::Time(value) => match self.epoch {
                Some(unit) => raw_number(Number::from(value.micros()).shifted(-unit_powers(unit))),
                None => Raw::Instant(*value),
            },
            Value::Date(value) => Raw::Date(*value),
            Value::Uuid(value) => Raw::Uuid(*value),
            Value::Bytes(value) => Raw::Bytes(value.clone()),
            Value::Null | Value::Money(_) | Value::Invalid(_) => return None,
        })
    }

    /// The number before scaling; `None` when it has no finite decimal form.
    fn unscaled(&self, number: &Number) -> Option<Number> {
        let Some(scale) = &self.scale else { return Some(number.clone()) };
        let divisor: BigDecimal = scale.to_big();
        if divisor.is_zero() {
            return None;
        }
        let quotient = Number::from(number.to_big() / divisor);
        (quotient.times(scale) == *number).then_some(quotient)
    }
}

const fn unit_powers(unit: EpochUnit) -> i64 {
    match unit {
        EpochUnit::Seconds => 6,
        EpochUnit::Milliseconds => 3,
        EpochUnit::Microseconds => 0,
    }
}

fn raw_number(number: Number) -> Raw {
    number.as_i64().map_or(Raw::Number(number), Raw::Int)
}

impl Step {
    /// What the text was before the step; `None` when the step cannot have given it.
    fn undo(&self, text: Box<str>) -> Option<Box<str>> {
        match self {
            Self::StripPrefix(prefix) => Some(format!("{prefix}{text}").into()),
            Self::StripSuffix(suffix) => Some(format!("{text}{suffix}").into()),
            Self::Map(map) => map.iter().find(|(_, to)| **to == *text).map(|(from, _)| from.as_str().into()),
            _ => None,
        }
    }
}
