//! Translation by a table of another system: what this one calls `4711` is `A-17` in the common language.

use std::sync::Arc;

use super::{Dataset, FieldRule, Mapping, Source};
use crate::model::{EntityId, FieldType, Key, Number, Record, SystemId, Value};

/// A table that translates the values of one field. It must be one-to-one for a field of the key.
#[derive(Clone, Debug)]
pub struct Xref {
    /// Index into [`Mapping::fields`].
    pub field: usize,
    /// The field's declared type; the mapping's own rule reads text, which the table translates.
    pub field_type: FieldType,
    /// Where the table is.
    pub system: SystemId,
    /// The table, looked up by this system's values: field [`FROM`] is the key.
    pub by_from: Arc<Mapping>,
    /// The table, looked up by common values: field [`TO`] is the key.
    pub by_to: Arc<Mapping>,
}

/// The field of an xref table with this system's values.
pub const FROM: usize = 0;

/// The field of an xref table with the common values.
pub const TO: usize = 1;

impl Xref {
    /// A table with its two columns. `names` are those of its two mappings, for messages: by `from` and by `to`. They
    /// must differ: readers keep by name what they know of a mapping.
    pub fn new(
        field: (usize, FieldType),
        system: SystemId,
        dataset: Dataset,
        (from, to): (String, String),
        names: (EntityId, EntityId),
    ) -> Self {
        let mapping = |key, name: EntityId| {
            Arc::new(Mapping {
                entity: name,
                system: system.clone(),
                dataset: dataset.clone(),
                sources: vec![Source::Path(from.clone()), Source::Path(to.clone())],
                key: vec![key],
                native: None,
                key_index: false,
                changed_at: None,
                version: None,
                source_version: None,
                scope: Vec::new(),
                children: Vec::new(),
                xref: Vec::new(),
                fields: vec![Some(FieldRule::of_text(FROM)), Some(FieldRule::of_text(TO))],
                via: Vec::new(),
            })
        };
        Self {
            field: field.0,
            field_type: field.1,
            system: system.clone(),
            by_from: mapping(FROM, names.0),
            by_to: mapping(TO, names.1),
        }
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        self.by_from.dataset.name()
    }

    /// A common value as the table writes it; `None` for what no table translates.
    pub fn written(value: &Value) -> Option<String> {
        match value {
            Value::Text(text) => Some(text.to_string()),
            Value::Number(number) => Some(number.to_string()),
            Value::Uuid(uuid) => Some(uuid.to_string()),
            _ => None,
        }
    }

    /// A common value from what the table holds.
    pub fn common(&self, text: &str) -> Value {
        let found = match self.field_type {
            FieldType::Integer => text.parse::<Number>().ok().filter(Number::is_whole).map(Value::Number),
            FieldType::Uuid => text.parse().ok().map(Value::Uuid),
            _ => Some(Value::from(text)),
        };
        found.unwrap_or_else(|| self.untranslated("the translation is not of the field's type"))
    }

    /// No value, because of the table.
    pub fn untranslated(&self, why: &str) -> Value {
        Value::untranslated(format!("{why} in `{}` of `{}`", self.table(), self.system))
    }
}

impl Mapping {
    /// Whether a table translates this field.
    pub fn is_translated(&self, field: usize) -> bool {
        self.xref.iter().any(|xref| xref.field == field)
    }

    /// A record that stands for a key that has no translation here: whether this system holds it cannot be told.
    pub fn stand_in(&self, key: Key, why: &Value) -> Record {
        let field = |rule: &Option<FieldRule>| if rule.is_some() { why.clone() } else { Value::Null };
        Record {
            key,
            native: None,
            version: None,
            changed_at: None,
            source_version: None,
            in_scope: true,
            fields: self.fields.iter().map(field).collect(),
        }
    }

    /// Whether a record stands for a key that has no translation here.
    pub fn is_stand_in(&self, record: &Record) -> bool {
        let is_untranslated = |field: &usize| record.fields.get(*field).is_some_and(Value::is_untranslated);
        record.key.is_usable() && self.key.iter().any(is_untranslated)
    }
}
