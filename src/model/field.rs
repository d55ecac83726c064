//! An entity's fields: type, tolerance, how values may be stored.

use std::time::Duration;

use super::id::{FieldName, SystemId};
use super::number::Number;

/// The declared type of a field, the same in all systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// Text, compared by code points.
    Text,
    /// A whole number of any size.
    Integer,
    /// An exact decimal number.
    Decimal,
    /// An amount with a currency.
    Money,
    /// Yes or no.
    Boolean,
    /// A point in time.
    Timestamp,
    /// A calendar day.
    Date,
    /// A UUID.
    Uuid,
    /// Raw bytes.
    Bytes,
    /// A JSON document, compared by content: key order and white space do not matter.
    Json,
}

/// How a field behaves; says how it may be healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum FieldKind {
    /// Set as a whole.
    #[default]
    Value,
    /// Moved by increments (stock, balances): compared like a value, healed with care.
    Counter,
}

/// How far two values may be apart and still agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// At most this far apart, in the field's own unit.
    Absolute(Number),
    /// At most this share of the owner's value: 0.005 is half a percent.
    Relative(Number),
    /// Time stamps at most this far apart.
    Time(Duration),
}

/// How values of a field may be stored outside the audited systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreRule {
    /// As it is.
    Clear,
    /// First and last character, the rest as `*`.
    Masked,
    /// Keyed BLAKE3.
    Hash,
    /// Not at all.
    None,
}

impl StoreRule {
    /// The default for a type: clear for what is technical or a quantity, hashed for what may name a person.
    pub const fn default_for(field_type: FieldType) -> Self {
        match field_type {
            FieldType::Text | FieldType::Bytes | FieldType::Json => Self::Hash,
            _ => Self::Clear,
        }
    }
}

/// One field of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in config, tables and reports.
    pub name: FieldName,
    /// Its declared type.
    pub field_type: FieldType,
    /// Set as a whole or moved by increments.
    pub kind: FieldKind,
    /// Systems that are right about it: one, or several for a two-way field, or none for a field that is only
    /// part of the key or not compared.
    pub owners: Vec<SystemId>,
    /// How far two values may be apart; `None` means exactly equal.
    pub tolerance: Option<Tolerance>,
    /// How its values may be stored.
    pub store: StoreRule,
}
