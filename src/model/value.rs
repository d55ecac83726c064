//! A field's value in the entity's common language.

use std::fmt::{self, Display};

use chrono::NaiveDate;
use uuid::Uuid;

use super::money::Money;
use super::number::Number;
use super::time::Moment;

/// One field of a record, translated into the entity's common language.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Value {
    /// Known to be empty.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A quantity, counter or other exact number.
    Number(Number),
    /// An amount with its currency.
    Money(Money),
    /// Text as it stands; comparing is by code points.
    Text(Box<str>),
    /// A point in time, UTC microseconds. Not corrected for any clock: it is data, not a stamp.
    Time(Moment),
    /// A calendar day without a zone.
    Date(NaiveDate),
    /// A UUID.
    Uuid(Uuid),
    /// Raw bytes.
    Bytes(Box<[u8]>),
    /// The system holds something that cannot be read as the declared type.
    Invalid(Box<Invalid>),
}

/// Why a value could not be read as its declared type. Holds no data of the record: it is logged.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Invalid {
    /// What was wanted and what was found, without the value: "wanted an integer, found text".
    pub reason: String,
}

/// How the reason of a value begins that is not translated.
const UNTRANSLATED: &str = "xref: ";

impl Value {
    /// A value that could not be read.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid(Box::new(Invalid { reason: reason.into() }))
    }

    /// A value that a table of another system does not translate; `why` names the table.
    pub fn untranslated(why: impl Display) -> Self {
        Self::invalid(format!("{UNTRANSLATED}{why}"))
    }

    /// Whether this is [`Value::untranslated`].
    pub fn is_untranslated(&self) -> bool {
        matches!(self, Self::Invalid(invalid) if invalid.reason.starts_with(UNTRANSLATED))
    }

    /// Whether this is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether this is [`Value::Invalid`].
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::Invalid(_))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Number::from(number))
    }
}

/// For people: tables, reports, terminal. Not a format to parse.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Money(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
            Self::Time(value) => write!(f, "{value:?}"),
            Self::Date(value) => write!(f, "{value}"),
            Self::Uuid(value) => write!(f, "{value}"),
            Self::Bytes(value) => {
                f.write_str("0x")?;
                value.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Invalid(invalid) => write!(f, "invalid ({})", invalid.reason),
        }
    }
}
