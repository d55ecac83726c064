//! Mappings: how one system holds an entity, and the translation of its rows into records.
//!
//! Steps come in two classes. *Translating* steps ([`Step::is_lossy`] is false) undo how a system writes a value:
//! a prefix, HTML entities, minor units. *Lossy* steps say what a system can hold: 40 characters, two decimals,
//! whole seconds. Reading applies both; a flow applies the lossy steps of each side to the other side's value
//! as well (the projection), so that a target that can only hold two decimals is not accused for the third.

mod apply;
mod children;
mod condition;
mod json;
mod key_index;
mod parse;
mod raw_key;
mod stamp;
mod steps;
mod uses;
mod xref;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::Tz;

pub use children::{Aggregate, ChildOrigin, Children, Folded, LONGEST_LIST};
pub(crate) use stamp::literal_moment;
pub use steps::project;
pub use uses::{Part, Use};
pub use xref::{FROM, TO, Xref};

use super::field::FieldType;
use super::id::{EntityId, SystemId};
use super::number::{Number, Rounding};
use super::value::Value;

/// How one system holds an entity. Checked: indices are in range, a key without an index leads back to its row.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The entity.
    pub entity: EntityId,
    /// The system.
    pub system: SystemId,
    /// Where the records are.
    pub dataset: Dataset,
    /// What a reader selects; a [`super::RawRow`] is parallel to it. No source appears twice.
    pub sources: Vec<Source>,
    /// Indices into `fields`, in the entity's key order.
    pub key: Vec<usize>,
    /// Index into `sources`: the system's own address of a record.
    pub native: Option<usize>,
    /// Records cannot be asked for by their key: Plumbline keeps an index of keys and asks by `native`.
    pub key_index: bool,
    /// The stamp of the last change.
    pub changed_at: Option<Stamp>,
    /// What orders two states inside this system; the stamp when absent.
    pub version: Option<VersionRule>,
    /// Index into `sources`: the owner's version as this system stores it.
    pub source_version: Option<usize>,
    /// All must hold for a record to be in scope.
    pub scope: Vec<Condition>,
    /// Datasets whose rows belong to the records; [`Origin::Children`] refers to them by index.
    pub children: Vec<Children>,
    /// Tables that translate values of fields, in the order of the fields.
    pub xref: Vec<Xref>,
    /// Parallel to the entity's fields; `None` where this system does not hold the field.
    pub fields: Vec<Option<FieldRule>>,
    /// The systems that data comes through to get here, upstream first.
    pub via: Vec<SystemId>,
}

/// Where records are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dataset {
    /// A table or view, as `name` or `schema.name`; of an API, a dataset of its pack.
    Table(String),
    /// A list inside the record's own document, by its path. Only for children.
    Within(String),
}

impl Dataset {
    /// Its name or path.
    pub fn name(&self) -> &str {
        match self {
            Self::Table(name) | Self::Within(name) => name,
        }
    }
}

/// One thing a reader selects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A column (SQL) or a path (HTTP).
    Path(String),
    /// A SQL expression that passed the allow-list.
    Sql(String),
}

/// A time stamp column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Index into [`Mapping::sources`].
    pub source: usize,
    /// Zone of stamps that do not name their instant; UTC unless the config says otherwise.
    pub zone: Tz,
    /// What a number in this column counts, if the column is numeric.
    pub epoch: Option<EpochUnit>,
}

/// What a numeric time stamp counts since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
}

/// How a version is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionRule {
    /// Index of a source that counts up.
    Sequence(usize),
    /// Index of a source that is only compared for equality.
    Tag(usize),
}

/// Where a field's value begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The same for every record.
    Const(Value),
    /// Index into [`Mapping::sources`].
    Source(usize),
    /// What the record's children come to.
    Children(ChildOrigin),
}

/// How one field is read.
#[derive(Clone, Debug)]
pub struct FieldRule {
    /// The field's declared type.
    pub field_type: FieldType,
    /// Where the value begins.
    pub origin: Origin,
    /// The value is [`Value::Null`] unless this holds.
    pub when: Option<Condition>,
    /// In order.
    pub steps: Vec<Step>,
    /// Multiplies numbers: grams with `scale = "0.001"` become kilograms.
    pub scale: Option<Number>,
    /// For money: whether the number is minor units (cents).
    pub minor_units: bool,
    /// For money: the currency.
    pub currency: Option<CurrencyRule>,
    /// Zone of time stamps that do not name their instant.
    pub zone: Tz,
    /// What a number counts, for time stamps held as numbers.
    pub epoch: Option<EpochUnit>,
}

/// Where an amount's currency comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CurrencyRule {
    /// The same for every record.
    Const(super::money::Currency),
    /// Index into [`Mapping::sources`].
    Source(usize),
}

/// One translation of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Removes a prefix; a value without it is invalid.
    StripPrefix(String),
    /// Removes a suffix; a value without it is invalid.
    StripSuffix(String),
    /// Decodes HTML entities.
    HtmlDecode,
    /// Replaces whole values; a value that is not listed is invalid.
    Map(BTreeMap<String, String>),
    /// Turns empty text into null.
    EmptyIsNull,
    /// Lossy: removes white space at both ends.
    Trim,
    /// Lossy: removes white space at the end (`CHAR` padding).
    TrimEnd,
    /// Lossy: upper case.
    Upper,
    /// Lossy: lower case.
    Lower,
    /// Lossy: Unicode normal form C.
    Nfc,
    /// Lossy: at most so many characters (Unicode scalar values).
    Truncate(usize),
    /// Lossy: so many digits after the point.
    Round {
        /// Digits after the point.
        digits: u32,
        /// Which way.
        rounding: Rounding,
    },
    /// Lossy: time stamps are cut (or rounded half up) to this many microseconds.
    Precision {
        /// 1_000_000 for seconds.
        micros: i64,
        /// Rounded to the nearest instead of cut.
        nearest: bool,
    },
}

impl Step {
    /// Whether the step says what a system can hold, and so belongs into a flow's projection.
    pub const fn is_lossy(&self) -> bool {
        !matches!(
            self,
            Self::StripPrefix(_) | Self::StripSuffix(_) | Self::HtmlDecode | Self::Map(_) | Self::EmptyIsNull
        )
    }

    /// Whether the raw value can be computed back from what the step gives.
    pub fn leads_back(&self) -> bool {
        match self {
            Self::StripPrefix(_) | Self::StripSuffix(_) => true,
            Self::Map(map) => map.values().collect::<BTreeSet<_>>().len() == map.len(),
            _ => false,
        }
    }
}

/// A test on a raw value, evaluated after the read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Index into [`Mapping::sources`].
    pub source: usize,
    /// What must hold.
    pub test: Test,
}

/// What a [`Condition`] asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Equal to this.
    Equal(Literal),
    /// Not equal to this; null is not equal to anything.
    NotEqual(Literal),
    /// One of these.
    In(Vec<Literal>),
    /// None of these.
    NotIn(Vec<Literal>),
    /// Null (`true`) or not (`false`).
    IsNull(bool),
}

/// A value written in the config, compared with raw values by meaning: `true` equals 1, `"3"` equals 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// `true` or `false`.
    Bool(bool),
    /// An exact number.
    Number(Number),
    /// Text.
    Text(String),
}
