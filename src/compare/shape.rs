//! Two looks at one dataset's columns become a list of changes, and a change says which values it puts in doubt. Pure.

use serde::{Deserialize, Serialize};

mod sampled;
mod types;

#[cfg(test)]
mod tests;

pub use sampled::{counted_on, merged};

use types::{Change, Type};

use crate::model::{Column, Shape, Value};

/// What happened to a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChangeKind {
    /// It came.
    Added,
    /// It went.
    Removed,
    /// It has another name; certain where the system numbers its columns, else told from type and place.
    Renamed,
    /// Another column has its name now.
    Replaced,
    /// It holds another kind of thing.
    Retyped,
    /// It holds less: shorter texts, fewer digits, a smaller range, listed values only.
    Narrowed,
    /// It holds more.
    Widened,
    /// It may be null now.
    Nullable,
    /// It may no longer be null.
    NotNull,
    /// Its list of values became longer.
    ValueAdded,
    /// Its list of values became shorter.
    ValueRemoved,
    /// Its texts are sorted and taken for equal in another way.
    Collation,
}

impl ChangeKind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Added,
        Self::Removed,
        Self::Renamed,
        Self::Replaced,
        Self::Retyped,
        Self::Narrowed,
        Self::Widened,
        Self::Nullable,
        Self::NotNull,
        Self::ValueAdded,
        Self::ValueRemoved,
        Self::Collation,
    ];

    /// The word used in metrics, tables and on the terminal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Renamed => "renamed",
            Self::Replaced => "replaced",
            Self::Retyped => "retyped",
            Self::Narrowed => "narrowed",
            Self::Widened => "widened",
            Self::Nullable => "nullable",
            Self::NotNull => "not_null",
            Self::ValueAdded => "value_added",
            Self::ValueRemoved => "value_removed",
            Self::Collation => "collation",
        }
    }

    /// Whether a field that is made of the column may have other values by this than before, or none.
    pub const fn is_harmful(self) -> bool {
        match self {
            Self::Removed
            | Self::Renamed
            | Self::Replaced
            | Self::Retyped
            | Self::Narrowed
            | Self::ValueAdded
            | Self::ValueRemoved => true,
            Self::Added | Self::Widened | Self::Nullable | Self::NotNull | Self::Collation => false,
        }
    }
}

/// One change of one column. Kept in state as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ShapeChange {
    /// The column's name before; its new name if it was added.
    pub column: String,
    /// What happened to it.
    pub kind: ChangeKind,
    /// What it was, in the system's words; empty if it was added.
    pub before: String,
    /// What it is now: a type, the new name of a renamed one; empty if it went.
    pub after: String,
    /// The values that were added to its list or went from it; all that are left where a list came.
    pub values: Vec<String>,
}

/// Which values of a field a change puts in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Every one.
    Any,
    /// Those that a type of this name cannot hold.
    Unfit(String),
    /// These.
    Values(Vec<String>),
    /// All but these.
    NotIn(Vec<String>),
}

impl ShapeChange {
    /// What the change does to values that are taken from the column as they are.
    pub fn doubt(&self) -> Doubt {
        match self.kind {
            ChangeKind::ValueAdded | ChangeKind::ValueRemoved => Doubt::Values(self.values.clone()),
            ChangeKind::Narrowed if !self.values.is_empty() => Doubt::NotIn(self.values.clone()),
            ChangeKind::Narrowed => Doubt::Unfit(self.after.clone()),
            _ => Doubt::Any,
        }
    }
}

impl Doubt {
    /// Whether a difference with this value on one of its sides may come from the change. `listed` reads a listed value
    /// as the field reads it.
    pub fn concerns(&self, value: &Value, listed: impl Fn(&str) -> Value) -> bool {
        let is_among = |values: &[String]| values.iter().any(|text| listed(text) == *value);
        match self {
            Self::Any => true,
            Self::Unfit(type_name) => !Type::parse(&type_name.trim().to_lowercase()).holds(value),
            Self::Values(values) => is_among(values),
            Self::NotIn(values) => !value.is_null() && !is_among(values),
        }
    }
}

/// What changed between two looks at one dataset, in the order of the columns: of `before` first, then what came. A
/// dataset that was only sampled is compared by what its records showed: see [`merged`].
pub fn changes(before: &Shape, after: &Shape) -> Vec<ShapeChange> {
    if after.sampled.is_some() {
        return sampled::changes(before, after);
    }
    let pairs = pairs(&before.columns, &after.columns);
    let mut changes = Vec::new();
    for (column, now) in before.columns.iter().zip(&pairs) {
        match now {
            None => changes.push(change(column, ChangeKind::Removed, &column.type_name, "")),
            Some(now) => changes.extend(of_column(column, &after.columns[*now])),
        }
    }
    let came = after.columns.iter().enumerate().filter(|(index, _)| !pairs.contains(&Some(*index)));
    changes.extend(came.map(|(_, column)| change(column, ChangeKind::Added, "", &column.type_name)));
    changes
}

fn change(column: &Column, kind: ChangeKind, before: &str, after: &str) -> ShapeChange {
    let (column, before, after) = (column.name.clone(), before.to_owned(), after.to_owned());
    ShapeChange { column, kind, before, after, values: Vec::new() }
}

/// For each column of `before` its index in `after`.
fn pairs(before: &[Column], after: &[Column]) -> Vec<Option<usize>> {
    let by_name = |column: &Column| after.iter().position(|other| other.name == column.name);
    let mut pairs: Vec<Option<usize>> = before.iter().map(by_name).collect();
    for (index, column) in before.iter().enumerate().filter(|(index, _)| by_name(&before[*index]).is_none()) {
        let is_new = |other: &Column| !before.iter().any(|known| known.name == other.name);
        let is_same_table = |other: &Column| matches!((column.number, other.number), (Some(a), Some(b)) if a.0 == b.0);
        let renamed = match column.number {
            Some(number) if after.iter().any(is_same_table) => {
                after.iter().position(|other| other.number == Some(number))
            }
            // The same type in the same place.
            _ => after.get(index).is_some_and(|other| other.type_name == column.type_name).then_some(index),
        };
        pairs[index] = renamed.filter(|renamed| is_new(&after[*renamed]));
    }
    pairs
}

/// Whether two columns of one table are not the same one. Those of a table that was built anew cannot be told apart.
fn is_another(before: &Column, after: &Column) -> bool {
    matches!((before.number, after.number), (Some(one), Some(other)) if one.0 == other.0 && one.1 != other.1)
}

/// What became of a column that is still there.
fn of_column(before: &Column, after: &Column) -> Vec<ShapeChange> {
    if before.name == after.name && is_another(before, after) {
        let (was, is) = (&before.type_name, &after.type_name);
        return vec![change(before, ChangeKind::Replaced, was, is)];
    }
    let mut changes = Vec::new();
    if before.name != after.name {
        changes.push(change(before, ChangeKind::Renamed, &before.name, &after.name));
    }
    let kind = match types::change(&before.type_name, &after.type_name) {
        Change::Same => None,
        Change::Widened => Some(ChangeKind::Widened),
        Change::Narrowed => Some(ChangeKind::Narrowed),
        Change::Retyped => Some(ChangeKind::Retyped),
    };
    changes.extend(kind.map(|kind| change(before, kind, &before.type_name, &after.type_name)));
    changes.extend(of_values(before, after));
    match (before.nullable, after.nullable) {
        (Some(false), Some(true)) => changes.push(change(before, ChangeKind::Nullable, "not null", "nullable")),
        (Some(true), Some(false)) => changes.push(change(before, ChangeKind::NotNull, "nullable", "not null")),
        _ => {}
    }
    if before.collation != after.collation && kind != Some(ChangeKind::Retyped) {
        let name = |column: &Column| column.collation.clone().unwrap_or_else(|| "default".to_owned());
        changes.push(change(before, ChangeKind::Collation, &name(before), &name(after)));
    }
    changes
}

fn of_values(before: &Column, after: &Column) -> Vec<ShapeChange> {
    let listed = |values: &[String]| format!("one of {}", values.join(", "));
    let any = "any value".to_owned();
    let change = |kind, before_text, after_text, values| ShapeChange {
        column: before.name.clone(),
        kind,
        before: before_text,
        after: after_text,
        values,
    };
    match (&before.values, &after.values) {
        (None, None) => Vec::new(),
        // A change of the type tells the rest.
        (None, Some(_)) | (Some(_), None) if before.type_name != after.type_name => Vec::new(),
        (None, Some(now)) => vec![change(ChangeKind::Narrowed, any, listed(now), now.clone())],
        (Some(was), None) => vec![change(ChangeKind::Widened, listed(was), any, Vec::new())],
        (Some(was), Some(now)) => {
            let only = |some: &[String], others: &[String]| -> Vec<String> {
                some.iter().filter(|value| !others.contains(value)).cloned().collect()
            };
            let (came, went) = (only(now, was), only(was, now));
            let mut changes = Vec::new();
            if !went.is_empty() {
                changes.push(change(ChangeKind::ValueRemoved, went.join(", "), String::new(), went));
            }
            if !came.is_empty() {
                changes.push(change(ChangeKind::ValueAdded, String::new(), came.join(", "), came));
            }
            changes
        }
    }
}
