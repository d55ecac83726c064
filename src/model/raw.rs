//! What a reader hands over before the mapping has translated it.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use uuid::Uuid;

use super::number::Number;
use super::time::Moment;

/// One value as a system gave it, before any step of the mapping.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    /// SQL `NULL`, JSON `null`.
    Null,
    /// A true boolean type; systems without one give integers.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// Any other exact number.
    Number(Number),
    /// A binary float; NaN and infinities are possible.
    Float(f64),
    /// Text.
    Text(Box<str>),
    /// Bytes, among them text that is not UTF-8.
    Bytes(Box<[u8]>),
    /// A time stamp that names its instant.
    Instant(Moment),
    /// A time stamp without a zone; the mapping says which is meant.
    Naive(NaiveDateTime),
    /// A calendar day.
    Date(NaiveDate),
    /// A time of day.
    TimeOfDay(NaiveTime),
    /// A UUID.
    Uuid(Uuid),
    /// Present, but the driver cannot express it: NaN in a decimal, infinity in a date, an unknown type.
    /// Says what it was, never the data.
    Undecodable(Box<str>),
}

/// One row, parallel to [`super::Mapping::sources`].
pub type RawRow = Vec<Raw>;
