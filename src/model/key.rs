//! Keys: what names one record across systems.

use std::fmt;

use smallvec::SmallVec;

use super::value::Value;

/// The canonical key of a record: one value for each key field of the entity, in declared order.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(SmallVec<[Value; 1]>);

impl Key {
    /// A key from its parts.
    pub fn new(parts: impl IntoIterator<Item = Value>) -> Self {
        Self(parts.into_iter().collect())
    }

    /// The parts, in the entity's order.
    pub fn parts(&self) -> &[Value] {
        &self.0
    }

    /// Whether every part is usable: a key with an empty or unreadable part names nothing.
    pub fn is_usable(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|part| !part.is_null() && !part.is_invalid())
    }
}

/// A key of one part.
impl From<Value> for Key {
    fn from(part: Value) -> Self {
        Self(SmallVec::from_buf([part]))
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::from(Value::from(text))
    }
}

impl From<i64> for Key {
    fn from(number: i64) -> Self {
        Self::from(Value::from(number))
    }
}

/// For people: parts joined by ` / `.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, part) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(" / ")?;
            }
            write!(f, "{part}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}
