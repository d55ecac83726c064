//! Shapes that are concluded from records: a look sees a few of them, so what it does not see may still be there.
//!
//! A path is gone only if every record had it so far and none of this look has it although its surroundings are there. A
//! type has changed when one is met that never was before. An `integer` is a `number` that has no fraction this time.

use super::{ChangeKind, ShapeChange, change};
use crate::model::{Column, Shape};

/// What a look at records adds to or contradicts of what was known.
pub(super) fn changes(before: &Shape, after: &Shape) -> Vec<ShapeChange> {
    let mut changes = Vec::new();
    let gone: Vec<&Column> = before.columns.iter().filter(|column| is_gone(column, before, after)).collect();
    let came: Vec<&Column> = after.columns.iter().filter(|column| named(before, &column.name).is_none()).collect();
    for column in &before.columns {
        if let Some(now) = named(after, &column.name) {
            changes.extend(of_path(column, now));
        } else if gone.iter().any(|other| other.name == column.name) {
            changes.push(match successor(column, &gone, &came) {
                Some(new) => change(column, ChangeKind::Renamed, &column.name, &new.name),
                None => change(column, ChangeKind::Removed, &column.type_name, ""),
            });
        }
    }
    let is_successor = |new: &Column| gone.iter().any(|old| successor(old, &gone, &came).is_some_and(|it| it == new));
    let added = came.iter().filter(|column| !is_successor(column) && !is_within(&column.name, &came));
    changes.extend(added.map(|column| change(column, ChangeKind::Added, "", &column.type_name)));
    changes
}

/// What is known after a look: everything that was ever seen of a path, and how often.
pub fn merged(before: &Shape, after: &Shape) -> Shape {
    let mut columns = before.columns.clone();
    for now in &after.columns {
        match columns.iter_mut().find(|column| column.name == now.name) {
            None => columns.push(now.clone()),
            Some(known) => {
                let mut types = words(&known.type_name);
                types.extend(words(&now.type_name).into_iter().filter(|word| !words(&known.type_name).contains(word)));
                known.type_name = if types.is_empty() { "null".to_owned() } else { types.join(" or ") };
                known.nullable = known.nullable.max(now.nullable);
                known.seen += now.seen;
                known.nulls += now.nulls;
            }
        }
    }
    columns.sort_by(|one, other| one.name.cmp(&other.name));
    let sampled = before.sampled.zip(after.sampled).map(|(before, after)| before + after);
    Shape { dataset: before.dataset.clone(), columns, sampled, children: Vec::new() }
}

/// A column that stays remembered as it was while its change is open. It is counted on as if this look had shown it so: what
/// was always there has to count as that when it is back.
pub fn counted_on(known: &Column, seen: &Shape) -> Column {
    let mut column = known.clone();
    match named(seen, &known.name) {
        Some(now) => {
            column.seen += now.seen;
            column.nulls += now.nulls;
        }
        None => column.seen += places(seen, &known.name),
    }
    column
}

fn of_path(before: &Column, after: &Column) -> Option<ShapeChange> {
    let (known, now) = (words(&before.type_name), words(&after.type_name));
    let holds = |word: &&str| known.contains(word) || (*word == "integer" && known.contains(&"number"));
    if known.is_empty() || now.iter().all(holds) {
        return None;
    }
    let widens = |word: &&str| holds(word) || (*word == "number" && known.contains(&"integer"));
    let kind = if now.iter().all(widens) { ChangeKind::Widened } else { ChangeKind::Retyped };
    Some(change(before, kind, &before.type_name, &after.type_name))
}

fn words(type_name: &str) -> Vec<&str> {
    type_name.split(" or ").filter(|word| *word != "null").collect()
}

/// Whether a path was always there and is missing now. Where its surroundings are missing too, only they went.
fn is_gone(column: &Column, before: &Shape, after: &Shape) -> bool {
    // A list without elements has lost none.
    let always =
        column.seen > 0 && column.seen + column.nulls >= places(before, &column.name) && !column.name.ends_with("[]");
    always && named(after, &column.name).is_none() && places(after, &column.name) > 0
}

/// How many objects could have had the path.
fn places(shape: &Shape, path: &str) -> u64 {
    match around(path) {
        None => shape.sampled.unwrap_or(0),
        Some(around) => named(shape, around).map_or(0, |column| column.seen),
    }
}

/// `a` of `a.b`, `lines[]` of `lines[].sku`, `lines` of `lines[]`.
fn around(path: &str) -> Option<&str> {
    path.strip_suffix("[]").or_else(|| path.rsplit_once('.').map(|(around, _)| around))
}

/// The path that took over: the only one of the same type that came where this one was the only one of its type to go.
fn successor<'c>(column: &Column, gone: &[&Column], came: &[&'c Column]) -> Option<&'c Column> {
    let is_like = |other: &&&Column| other.type_name == column.type_name && around(&other.name) == around(&column.name);
    let mut alike =
        came.iter().filter(|other| other.type_name == column.type_name && around(&other.name) == around(&column.name));
    let only = alike.next()?;
    (alike.next().is_none() && gone.iter().filter(is_like).count() == 1).then_some(only)
}

fn is_within(path: &str, others: &[&Column]) -> bool {
    around(path).is_some_and(|around| others.iter().any(|other| other.name == around))
}

fn named<'s>(shape: &'s Shape, name: &str) -> Option<&'s Column> {
    shape.columns.iter().find(|column| column.name == name)
}
