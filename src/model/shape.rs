//! Shapes: which columns or JSON paths a dataset has, with their types.

use serde::{Deserialize, Serialize};

/// What a dataset looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The dataset's name.
    pub dataset: String,
    /// Columns in the system's order, or paths in the order of their names.
    pub columns: Vec<Column>,
    /// From how many records it was concluded; `None` when the system's own catalog says it.
    pub sampled: Option<u64>,
    /// The shapes of the children that have a dataset of their own, in the mapping's order.
    pub children: Vec<Shape>,
}

/// One column, or one path like `billing.email` or `line_items[].sku`.
///
/// Kept in state as it is: a change of its fields is a new format there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name or path.
    pub name: String,
    /// Its type in the system's own words. Of a path all JSON types that were seen, with ` or ` between them.
    pub type_name: String,
    /// Whether it may be null or absent; `None` when not known.
    pub nullable: Option<bool>,
    /// The only values that it may hold, if the system says so: an enumeration, or a check against a list.
    pub values: Option<Vec<String>>,
    /// The collation of its texts, if it has one of its own.
    pub collation: Option<String>,
    /// The number of its table and its own in there: both keep theirs for life, and no other gets it (PostgreSQL).
    pub number: Option<(u32, u32)>,
    /// Of a path: how many values other than null were seen.
    pub seen: u64,
    /// Of a path: how often it was there and null.
    pub nulls: u64,
}

impl Column {
    /// A column of which no more than name and type are known.
    pub fn new(name: impl Into<String>, type_name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            type_name: type_name.into(),
            nullable: None,
            values: None,
            collation: None,
            number: None,
            seen: 0,
            nulls: 0,
        }
    }
}
