//! The words of the field as types: keys, values, versions, records, flows, verdicts, lag.
//!
//! Pure: no I/O, no clock, no randomness. Everything else in the crate may use this module; it uses
//! nothing of the crate.

pub mod digest;
pub mod field;
pub mod flow;
pub mod id;
pub mod key;
pub mod mapping;
pub mod money;
pub mod number;
pub mod raw;
pub mod record;
pub mod shape;
pub mod time;
pub mod value;
pub mod verdict;

pub use digest::Digest;
pub use field::{Field, FieldKind, FieldType, StoreRule, Tolerance};
pub use flow::{Flow, FlowField, FlowId};
pub use id::{EntityId, FieldName, SystemId, TenantId};
pub use key::Key;
pub use mapping::Mapping;
pub use money::{Currency, Money};
pub use number::Number;
pub use raw::{Raw, RawRow};
pub use record::{Record, Version};
pub use shape::{Column, Shape};
pub use time::{Interval, Lag, Moment};
pub use value::{Invalid, Value};
pub use verdict::Verdict;
