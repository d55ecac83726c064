//! Records: one entity as one system holds it.

use super::key::Key;
use super::number::Number;
use super::time::Moment;
use super::value::Value;

/// What orders two states of a record inside one system. Versions of two systems are never compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A counter that grows with each change.
    Sequence(Number),
    /// A stamp of the system's own clock, not corrected.
    Stamp(Moment),
    /// Opaque: only equality means anything.
    Tag(Box<str>),
}

/// One entity as one system holds it, in the entity's common language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Names the record across systems.
    pub key: Key,
    /// The system's own address, for reads and actions.
    pub native: Option<Value>,
    /// Orders states inside this system, if the mapping names one.
    pub version: Option<Version>,
    /// The system's stamp of the last change, by the system's own clock.
    pub changed_at: Option<Moment>,
    /// The owner's version as this system stores it.
    pub source_version: Option<Value>,
    /// Whether the record is inside the entity's scope. Outside counts as absent.
    pub in_scope: bool,
    /// Parallel to the entity's fields; [`Value::Null`] for fields that this system does not hold, which no flow
    /// to or from it compares.
    pub fields: Box<[Value]>,
}
