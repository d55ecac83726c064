//! Keys that lead back to no row: found by an index of the system's own addresses instead of being asked for.
//!
//! `upper` tells that `abc` is `ABC`, and nothing tells which of `abc`, `Abc` and `ABC` a row holds. What is always there
//! is the way forward: each record has its key and its own address, and is read by that.

use super::{EpochUnit, FieldRule, Mapping, Origin, Source, Stamp, VersionRule};
use crate::model::{EntityId, FieldType, Key, Record, Value};

impl FieldRule {
    /// Whether a value of a key leads back to the row: the raw value can be computed, and what selects it selects no
    /// other key.
    pub fn leads_back(&self) -> bool {
        self.when.is_none() && self.steps.iter().all(super::Step::leads_back)
    }
}

impl Mapping {
    /// Whether every part of the key leads back to the row.
    pub fn key_leads_back(&self) -> bool {
        self.key.iter().filter_map(|field| self.fields.get(*field)?.as_ref()).all(FieldRule::leads_back)
    }

    /// The same records under their own addresses: the key is the text of the native column, in a field behind all others.
    /// `None` without a native column.
    pub fn by_native(&self) -> Option<Self> {
        let mut mapping = Self { entity: named("native", &self.entity), ..self.clone() };
        mapping.fields.push(Some(FieldRule::of_text(self.native?)));
        mapping.key = vec![self.fields.len()];
        Some(mapping)
    }

    /// As [`Self::by_native`], with nothing but what makes key, address and order: what an index of keys reads.
    pub fn addresses(&self) -> Option<Self> {
        let mut kept = Kept::default();
        let mut mapping = self.by_native()?;
        mapping.entity = named("keys", &self.entity);
        for (field, rule) in mapping.fields.iter_mut().enumerate() {
            if !self.key.contains(&field) && field != self.fields.len() {
                *rule = None;
            }
        }
        mapping.fields.iter_mut().flatten().for_each(|rule| kept.keep(self, rule));
        mapping.changed_at =
            self.changed_at.as_ref().map(|stamp| Stamp { source: kept.index(self, stamp.source), ..stamp.clone() });
        mapping.version = match self.version {
            Some(VersionRule::Sequence(source)) => Some(VersionRule::Sequence(kept.index(self, source))),
            _ => None,
        };
        mapping.native = self.native.map(|source| kept.index(self, source));
        mapping.source_version = None;
        mapping.scope.clear();
        mapping.children.clear();
        mapping.xref.clear();
        mapping.sources = kept.sources;
        Some(mapping)
    }

    /// The address of a record that was read by [`Self::by_native`]; `None` when it has none that can be asked for.
    pub fn address_of<'r>(&self, record: &'r Record) -> Option<&'r str> {
        match record.fields.get(self.fields.len()) {
            Some(Value::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The key under which an address is asked for.
    pub fn key_of_address(address: &str) -> Key {
        Key::from(address)
    }

    /// A record that was read by [`Self::by_native`], under its common key again.
    pub fn under_own_key(&self, mut record: Record) -> Record {
        let part = |field: &usize| record.fields.get(*field).cloned().unwrap_or(Value::Null);
        record.key = Key::new(self.key.iter().map(part));
        record.fields = record.fields.iter().take(self.fields.len()).cloned().collect();
        record
    }

    /// Words for what an index of keys is made of: another text, another index.
    pub fn key_index_form(&self) -> String {
        let Some(addresses) = self.addresses() else { return String::new() };
        let rule = |rule: &FieldRule| {
            let FieldRule { field_type, origin, when, steps, scale, zone, epoch, .. } = rule;
            format!("{field_type:?} {origin:?} {when:?} {steps:?} {scale:?} {zone:?} {epoch:?}")
        };
        let rules: Vec<String> = addresses.fields.iter().flatten().map(rule).collect();
        let order = (addresses.changed_at.as_ref().map(|stamp| (stamp.source, stamp.epoch)), addresses.version);
        let order: (Option<(usize, Option<EpochUnit>)>, Option<VersionRule>) = order;
        format!("{:?} {:?} {rules:?} {:?} {order:?}", addresses.dataset, addresses.sources, self.key)
    }
}

/// Sources of a mapping that are still read.
#[derive(Default)]
struct Kept {
    sources: Vec<Source>,
}

impl Kept {
    fn index(&mut self, mapping: &Mapping, source: usize) -> usize {
        let Some(wanted) = mapping.sources.get(source) else { return source };
        self.sources.iter().position(|known| known == wanted).unwrap_or_else(|| {
            self.sources.push(wanted.clone());
            self.sources.len() - 1
        })
    }

    fn keep(&mut self, mapping: &Mapping, rule: &mut FieldRule) {
        if let Origin::Source(source) = &mut rule.origin {
            *source = self.index(mapping, *source);
        }
        if let Some(when) = &mut rule.when {
            when.source = self.index(mapping, when.source);
        }
    }
}

/// Readers keep by name what they know of a mapping, so each has its own, within the length of names.
fn named(what: &str, entity: &EntityId) -> EntityId {
    let long = format!("{what}-{entity}");
    let short: String = long.chars().take(crate::model::id::MAX_NAME).collect();
    short.parse().unwrap_or_else(|_| entity.clone())
}

impl FieldRule {
    /// A column as text.
    pub(super) const fn of_text(source: usize) -> Self {
        Self {
            field_type: FieldType::Text,
            origin: Origin::Source(source),
            when: None,
            steps: Vec::new(),
            scale: None,
            minor_units: false,
            currency: None,
            zone: chrono_tz::UTC,
            epoch: None,
        }
    }
}
