//! What a unit knows of its systems' shapes: what they were when all was well, what has changed since, and what that
//! puts in doubt. No I/O.
//!
//! A change that no field is made of, or that takes nothing away, is noted and taken for granted. Any other stays open
//! until the shape goes back, somebody accepts it, or the mapping no longer reads the column. While it is open the shape
//! of before stays the one that is compared with, so nothing is reported twice and nothing is forgotten.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::compare::shape::{ChangeKind, Doubt, ShapeChange, changes, counted_on, merged};
use crate::model::mapping::{FieldRule, Part, Use};
use crate::model::{Column, Mapping, Moment, Shape, SystemId, Value};
use crate::state::Acceptance;

mod waiting;

#[cfg(test)]
mod tests;

pub use waiting::{Overview, Waiting, overview};

/// What is known of all datasets that a unit reads. Kept in state as it is, behind a format byte.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schemas {
    /// By system and dataset.
    known: BTreeMap<(String, String), Known>,
}

/// What is known of one dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    columns: Vec<Column>,
    sampled: Option<u64>,
    looked_at: Moment,
    open: Vec<OpenChange>,
}

/// A change that waits to be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenChange {
    /// What happened.
    pub change: ShapeChange,
    /// When it was first seen.
    pub seen_at: Moment,
}

/// Whether somebody has accepted this change, and not one like it that came and went before.
pub fn covers(acceptance: &Acceptance, system: &str, dataset: &str, open: &OpenChange) -> bool {
    let Acceptance { system: of, dataset: within, change, at, .. } = acceptance;
    of == system && within == dataset && *at >= open.seen_at && *change == words(&open.change)
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is new and affects nothing.
    Noted,
    /// It is new and affects what is made of the column.
    Opened,
    /// The shape went back.
    Restored,
    /// Somebody accepted it.
    Accepted,
    /// The mapping no longer reads the column.
    Unmapped,
}

/// One step of one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What happened to the column.
    pub change: ShapeChange,
    /// What became of it.
    pub step: Step,
}

/// One column and whose records are made of it: of a system's own mapping, or of one that the system's table translates.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The system that has the column.
    pub system: SystemId,
    /// The system whose records are made of it.
    pub side: SystemId,
    /// The column and what is made of it.
    pub read: Use,
}

const FORMAT: u8 = 1;

impl Schemas {
    /// As [`Schemas::to_bytes`] wrote it; `None` for another format.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first() {
            Some((&FORMAT, body)) => postcard::from_bytes(body).ok(),
            _ => None,
        }
    }

    /// For state.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Only a value of unknown length cannot be written, and there is none.
        postcard::to_extend(self, vec![FORMAT]).unwrap_or_default()
    }

    /// Whether nothing was ever looked at.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// When a system's shapes were last seen: the dataset that has not been seen for longest counts.
    pub fn looked_at(&self, system: &SystemId) -> Option<Moment> {
        self.known.iter().filter(|((of, _), _)| of == system.as_str()).map(|(_, known)| known.looked_at).min()
    }

    /// The open changes with their system and dataset.
    pub fn open(&self) -> impl Iterator<Item = (&str, &str, &OpenChange)> {
        self.known.iter().flat_map(|((system, dataset), known)| {
            known.open.iter().map(move |open| (system.as_str(), dataset.as_str(), open))
        })
    }

    /// What a look would change, without taking it in: to be proven first where it takes something away.
    pub fn compared(&self, system: &SystemId, seen: &Shape) -> Vec<ShapeChange> {
        let known = self.known.get(&(system.to_string(), seen.dataset.clone()));
        known.map(|known| changes(&known.shape(&seen.dataset), seen)).unwrap_or_default()
    }

    /// Takes in what a look at a dataset showed. The first look only remembers it.
    pub fn look(
        &mut self,
        system: &SystemId,
        seen: &Shape,
        readings: &[Reading],
        accepted: &[Acceptance],
        now: Moment,
    ) -> Vec<Notice> {
        let place = (system.to_string(), seen.dataset.clone());
        let Some(known) = self.known.get_mut(&place) else {
            let Shape { columns, sampled, .. } = seen.clone();
            self.known.insert(place, Known { columns, sampled, looked_at: now, open: Vec::new() });
            return Vec::new();
        };
        let is_affected =
            |change: &ShapeChange| affected(readings, system.as_str(), &seen.dataset, change).next().is_some();
        let is_accepted = |open: &OpenChange| accepted.iter().any(|by| covers(by, &place.0, &place.1, open));
        known.take_in(seen, is_affected, is_accepted, now)
    }

    /// What the open changes put in doubt.
    pub fn doubts(
        &self,
        readings: &[Reading],
        mapping: impl Fn(&SystemId) -> Option<std::sync::Arc<Mapping>>,
    ) -> Doubts {
        let mut doubts = Doubts::default();
        for (system, dataset, open) in self.open() {
            for reading in affected(readings, system, dataset, &open.change) {
                let of_side = doubts.sides.entry(reading.side.clone()).or_default();
                match reading.read.part {
                    Part::Field(field) => {
                        let rule = mapping(&reading.side).and_then(|mapping| mapping.fields.get(field)?.clone());
                        let plain = reading.read.as_it_is && rule.as_ref().is_some_and(FieldRule::changes_nothing);
                        let doubt = match open.change.doubt() {
                            Doubt::Unfit(_) if !plain => Doubt::Any,
                            Doubt::Values(_) | Doubt::NotIn(_) if !reading.read.as_it_is => Doubt::Any,
                            doubt => doubt,
                        };
                        of_side.fields.entry(field).or_default().push((doubt, rule));
                    }
                    Part::Scope => of_side.scope = true,
                    Part::Stamp | Part::Version | Part::Native => {}
                }
            }
        }
        doubts
    }
}

impl Known {
    fn shape(&self, dataset: &str) -> Shape {
        let (dataset, columns) = (dataset.to_owned(), self.columns.clone());
        Shape { dataset, columns, sampled: self.sampled, children: Vec::new() }
    }

    fn take_in(
        &mut self,
        seen: &Shape,
        is_affected: impl Fn(&ShapeChange) -> bool,
        is_accepted: impl Fn(&OpenChange) -> bool,
        now: Moment,
    ) -> Vec<Notice> {
        let mut notices = Vec::new();
        let before = std::mem::take(&mut self.open);
        let found = changes(&self.shape(&seen.dataset), seen);
        for change in &found {
            let known = before.iter().find(|open| is_same(&open.change, change, seen));
            let open = known.cloned().unwrap_or_else(|| OpenChange { change: change.clone(), seen_at: now });
            let step = match (is_affected(&open.change), known) {
                (true, Some(open)) if is_accepted(open) => Step::Accepted,
                (true, Some(_)) => {
                    self.open.push(open);
                    continue;
                }
                (true, None) => Step::Opened,
                (false, Some(_)) => Step::Unmapped,
                (false, None) => Step::Noted,
            };
            notices.push(Notice { change: open.change.clone(), step });
            if step == Step::Opened {
                self.open.push(open);
            }
        }
        for open in before {
            if found.iter().any(|change| is_same(&open.change, change, seen)) {
                continue;
            }
            if !is_contradicted(&open.change, seen) {
                self.open.push(open);
            } else if !found.iter().any(|change| change.column == open.change.column) {
                notices.push(Notice { change: open.change, step: Step::Restored });
            }
        }
        self.remember(seen);
        self.looked_at = now;
        notices
    }

    /// What is compared with from now on: what was seen, but of the columns with open changes what they were before.
    fn remember(&mut self, seen: &Shape) {
        let kept = self.columns.iter().filter(|column| self.is_open(&column.name));
        let kept: Vec<Column> = match seen.sampled {
            Some(_) => kept.map(|column| counted_on(column, seen)).collect(),
            None => kept.cloned().collect(),
        };
        let is_new_name = |change: &ShapeChange, name: &str| change.kind == ChangeKind::Renamed && change.after == name;
        let old_name = |name: &str| {
            let renamed = self.open.iter().map(|open| &open.change).find(|change| is_new_name(change, name));
            renamed.map_or_else(|| name.to_owned(), |change| change.column.clone())
        };
        let latest = match seen.sampled {
            Some(_) => merged(&self.shape(&seen.dataset), seen),
            None => seen.clone(),
        };
        let mut columns: Vec<Column> = Vec::with_capacity(latest.columns.len());
        for column in latest.columns {
            let name = old_name(&column.name);
            let column = kept.iter().find(|kept| kept.name == name).cloned().unwrap_or(column);
            if !columns.iter().any(|known| known.name == column.name) {
                columns.push(column);
            }
        }
        for column in kept {
            if !columns.iter().any(|known| known.name == column.name) {
                columns.push(column);
            }
        }
        self.columns = columns;
        self.sampled = latest.sampled;
    }

    fn is_open(&self, column: &str) -> bool {
        self.open.iter().any(|open| open.change.column == column)
    }
}

/// Whether two looks tell of one change. Records show now this and now that type; a catalog says what is.
fn is_same(open: &ShapeChange, found: &ShapeChange, seen: &Shape) -> bool {
    open == found || (seen.sampled.is_some() && open.column == found.column && open.kind == found.kind)
}

/// Whether a look shows that a change is no longer so. A few records without a second type do not show that it is gone.
fn is_contradicted(open: &ShapeChange, seen: &Shape) -> bool {
    if seen.sampled.is_none() {
        return true;
    }
    let column = seen.columns.iter().find(|column| column.name == open.column && column.seen > 0);
    let was_mixed = open.after.split(" or ").any(|word| open.before.split(" or ").any(|known| known == word));
    column.is_some() && !(open.kind == ChangeKind::Retyped && was_mixed)
}

/// The readings that a change affects.
fn affected<'r>(
    readings: &'r [Reading],
    system: &'r str,
    dataset: &'r str,
    change: &'r ShapeChange,
) -> impl Iterator<Item = &'r Reading> {
    readings.iter().filter(move |reading| {
        change.kind.is_harmful()
            && reading.system.as_str() == system
            && reading.read.dataset == dataset
            && reading.read.reads(&change.column)
    })
}

/// What of which side a change affects, each once.
pub fn affects<'r>(
    readings: &'r [Reading],
    system: &'r str,
    dataset: &'r str,
    change: &'r ShapeChange,
) -> Vec<(&'r SystemId, Part)> {
    let mut parts: Vec<_> =
        affected(readings, system, dataset, change).map(|reading| (&reading.side, reading.read.part)).collect();
    parts.sort();
    parts.dedup();
    parts
}

/// A change in words: `qty narrowed: numeric(12,4) -> numeric(12,2)`. An acceptance names it so.
pub fn words(change: &ShapeChange) -> String {
    let ShapeChange { column, kind, before, after, .. } = change;
    let kind = kind.as_str();
    match (before.as_str(), after.as_str()) {
        ("", after) => format!("{column} {kind}: {after}"),
        (before, "") => format!("{column} {kind}: {before}"),
        (before, after) => format!("{column} {kind}: {before} -> {after}"),
    }
}

/// What open changes put in doubt, by the side whose records it is about.
#[derive(Clone, Debug, Default)]
pub struct Doubts {
    sides: HashMap<SystemId, SideDoubts>,
}

#[derive(Clone, Debug, Default)]
struct SideDoubts {
    fields: HashMap<usize, Vec<(Doubt, Option<FieldRule>)>>,
    scope: bool,
}

impl Doubts {
    /// Whether nothing is in doubt: the usual case.
    pub fn is_empty(&self) -> bool {
        self.sides.is_empty()
    }

    /// Whether a difference of a field may come from a change in one of these systems.
    pub fn concern(&self, sides: [&SystemId; 2], field: usize, values: [&Value; 2]) -> bool {
        let of_side = |side: &SystemId| self.sides.get(side).and_then(|doubts| doubts.fields.get(&field));
        let mut doubts = sides.into_iter().filter_map(of_side).flatten();
        doubts.any(|(doubt, rule)| {
            let listed = |text: &str| rule.as_ref().map_or_else(|| Value::from(text), |rule| rule.value_of(text));
            values.into_iter().any(|value| doubt.concerns(value, listed))
        })
    }

    /// Whether a change in this system may have moved records out of scope, or into it.
    pub fn concern_scope(&self, side: &SystemId) -> bool {
        self.sides.get(side).is_some_and(|doubts| doubts.scope)
    }
}
