//! One row becomes a record: conditions, origin, text steps, declared type, unit, typed steps.

use super::{CurrencyRule, FieldRule, Folded, Mapping, Origin, VersionRule, parse, stamp};
use crate::model::{Currency, FieldType, Key, Money, Raw, Record, Value, Version};

/// Sources that more than one rule reads, as bits; their values are copied instead of taken.
struct Shared(u64);

impl Mapping {
    /// Translates one row, parallel to [`Self::sources`], into a record of the common language.
    ///
    /// Texts move out of `row` into the record, so that nothing is copied; the row holds nothing of use afterwards
    /// and its buffer can be filled again. A key part that is null or unreadable gives a key that is not
    /// [usable](Key::is_usable). Fields made of children are invalid: use [`Self::record_with`] for those.
    pub fn record(&self, row: &mut [Raw]) -> Record {
        self.record_with(row, Folded::default())
    }

    /// As [`Self::record`], with what the record's children came to ([`Self::no_children`] begins that).
    pub fn record_with(&self, row: &mut [Raw], mut children: Folded) -> Record {
        let in_scope = self.scope.iter().all(|condition| condition.holds(row));
        let changed_at = self.changed_at.as_ref().and_then(|rule| stamp::stamp_moment(row.get(rule.source)?, rule));
        // A stamp that stands still while children come and go orders nothing.
        let stamp_orders = self.stamp_bounds_birth();
        let version = match self.version {
            Some(rule) => version(rule, row),
            None => changed_at.map(Version::Stamp).filter(|_| stamp_orders),
        };
        let changed_at = changed_at.max(children.newest());
        let native = self.native.and_then(|source| opaque(row.get(source)?));
        let source_version = self.source_version.and_then(|source| opaque(row.get(source)?));
        let shared = self.shared_sources();
        let mut field = |(field, rule): (usize, &Option<FieldRule>)| {
            rule.as_ref().map_or(Value::Null, |rule| rule.value(field, row, &shared, &mut children))
        };
        let fields: Box<[Value]> = self.fields.iter().enumerate().map(&mut field).collect();
        let part = |field: &usize| fields.get(*field).cloned().unwrap_or(Value::Null);
        let key = match self.key.as_slice() {
            [field] => Key::from(part(field)),
            fields => Key::new(fields.iter().map(part)),
        };
        Record { key, native, version, changed_at, source_version, in_scope, fields }
    }

    fn shared_sources(&self) -> Shared {
        let (mut seen, mut shared) = (0_u64, 0_u64);
        for rule in self.fields.iter().flatten() {
            if let Some(condition) = &rule.when {
                shared |= bit(condition.source);
            }
            if let Some(CurrencyRule::Source(source)) = rule.currency {
                shared |= bit(source);
            }
            if let Origin::Source(source) = rule.origin {
                shared |= seen & bit(source);
                seen |= bit(source);
            }
        }
        Shared(shared)
    }
}

fn version(rule: VersionRule, row: &[Raw]) -> Option<Version> {
    match rule {
        VersionRule::Sequence(source) => parse::decimal(row.get(source)?).map(Version::Sequence),
        VersionRule::Tag(source) => tag(row.get(source)?).map(Version::Tag),
    }
}

/// Bit of a source; 0 for sources beyond the 64th.
const fn bit(source: usize) -> u64 {
    if source < 64 { 1 << source } else { 0 }
}

impl Shared {
    /// Beyond 64 sources nothing is known about sharing.
    const fn has(&self, source: usize) -> bool {
        bit(source) & !self.0 == 0
    }
}

/// A value that is only handed back or compared for equality: numbers, UUIDs and times keep their type, anything
/// else is text.
fn opaque(raw: &Raw) -> Option<Value> {
    match raw {
        Raw::Null | Raw::Undecodable(_) => None,
        Raw::Int(value) => Some(Value::from(*value)),
        Raw::Number(value) => Some(Value::Number(value.clone())),
        Raw::Uuid(value) => Some(Value::Uuid(*value)),
        Raw::Date(value) => Some(Value::Date(*value)),
        Raw::Instant(value) => Some(Value::Time(*value)),
        Raw::Naive(value) => Some(Value::Time(value.and_utc().into())),
        Raw::Bytes(bytes) if std::str::from_utf8(bytes).is_err() => Some(Value::Bytes(bytes.clone())),
        _ => parse::into_text(raw.clone()).ok().map(Value::Text),
    }
}

/// The text of an opaque version.
fn tag(raw: &Raw) -> Option<Box<str>> {
    match raw {
        Raw::Null | Raw::Undecodable(_) => None,
        Raw::Bytes(bytes) => Some(match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
        }),
        Raw::Instant(value) => Some(value.micros().to_string().into()),
        Raw::Naive(value) => Some(value.to_string().into()),
        other => parse::into_text(other.clone()).ok(),
    }
}

impl FieldRule {
    fn value(&self, field: usize, row: &mut [Raw], shared: &Shared, children: &mut Folded) -> Value {
        if self.when.as_ref().is_some_and(|condition| !condition.holds(row)) {
            return Value::Null;
        }
        match &self.origin {
            Origin::Const(value) => value.clone(),
            Origin::Source(source) => {
                let Some(raw) = row.get_mut(*source) else { return Value::Null };
                if self.is_plain() {
                    return parse::typed(self, raw, shared.has(*source));
                }
                let value = self.read(raw, shared.has(*source));
                self.finish(self.scaled(value), self.currency(row))
            }
            Origin::Children(origin) => {
                let (value, currency) = children.value(field, self, origin);
                self.finish(value, currency.or_else(|| self.currency(row)))
            }
        }
    }

    /// Whether a value is what its declared type makes of it: the usual case.
    fn is_plain(&self) -> bool {
        self.steps.is_empty() && self.scale.is_none() && self.field_type != FieldType::Money
    }

    /// Text steps, then the declared type. Numbers and times are read where they are; only what owns memory is taken
    /// out, unless it is `shared`.
    pub(super) fn read(&self, raw: &mut Raw, shared: bool) -> Value {
        if matches!(raw, Raw::Null | Raw::Undecodable(_)) || !self.steps.iter().any(super::Step::is_textual) {
            return parse::typed(self, raw, shared);
        }
        let text = match parse::into_text(parse::take(raw, shared)) {
            Ok(text) => text,
            Err(invalid) => return invalid,
        };
        self.translated(text).map_or_else(|value| value, |text| parse::typed(self, &mut Raw::Text(text), false))
    }

    /// The text after the text steps; `Err` holds null or why there is none.
    pub(super) fn translated(&self, mut text: Box<str>) -> Result<Box<str>, Value> {
        for step in self.steps.iter().filter(|step| step.is_textual()) {
            text = match step.on_text(text) {
                Ok(Some(text)) => text,
                Ok(None) => return Err(Value::Null),
                Err(reason) => return Err(Value::invalid(reason)),
            };
        }
        Ok(text)
    }

    fn scaled(&self, value: Value) -> Value {
        match (value, &self.scale) {
            (Value::Number(number), Some(scale)) => Value::Number(number.times(scale)),
            (value, _) => value,
        }
    }

    /// Currency, and the steps that work on typed values.
    fn finish(&self, value: Value, currency: Option<Currency>) -> Value {
        let value = match value {
            Value::Number(number) if self.field_type == FieldType::Money => self.money(number, currency),
            value => value,
        };
        if self.steps.is_empty() {
            return value;
        }
        self.steps.iter().filter(|step| !step.is_textual()).fold(value, |value, step| step.on_value(value))
    }

    fn currency(&self, row: &[Raw]) -> Option<Currency> {
        match &self.currency {
            Some(CurrencyRule::Const(currency)) => Some(*currency),
            Some(CurrencyRule::Source(source)) => row.get(*source).and_then(currency),
            None => None,
        }
    }

    fn money(&self, amount: crate::model::Number, currency: Option<Currency>) -> Value {
        match currency {
            None => Value::invalid("an amount without a known currency"),
            Some(currency) if self.minor_units => Value::Money(Money::from_minor(&amount, currency)),
            Some(currency) => Value::Money(Money { amount, currency }),
        }
    }
}

pub(super) fn currency(raw: &Raw) -> Option<Currency> {
    parse::as_text(raw)?.parse().ok()
}
