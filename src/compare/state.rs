//! Records become states, and states and records are compared field by field.

use std::borrow::Cow;
use std::time::Duration;

use super::{Held, Side, State};
use crate::model::digest::digest;
use crate::model::mapping::project;
use crate::model::{Flow, FlowField, Number, Record, Tolerance, Value};

/// Reduces what one side holds for a key to a comparable state, projected through the flow.
/// `records` are all records that the side returned for the key; those out of scope do not count.
pub fn state_of(flow: &Flow, side: Side, records: &[&Record]) -> State {
    match readable(flow, records) {
        Ok(record) => State::Present(held(flow, &values_of(flow, side, record))),
        Err(state) => state,
    }
}

/// [`state_of`], and a hash of what the side holds in each field of the flow, as far as both systems can hold it: 0 for those
/// that are compared with tolerance. No hashes unless it holds one readable record. Goes through the record once.
pub fn state_and_fields(flow: &Flow, side: Side, records: &[&Record]) -> (State, Vec<u64>) {
    match readable(flow, records) {
        Ok(record) => {
            let values = values_of(flow, side, record);
            (State::Present(held(flow, &values)), field_hashes(flow, &values))
        }
        Err(state) => (state, Vec::new()),
    }
}

/// The only record in scope, if all of it can be read; else the state that is told instead of its content.
fn readable<'a>(flow: &Flow, records: &[&'a Record]) -> Result<&'a Record, State> {
    let mut in_scope = records.iter().filter(|record| record.in_scope);
    let Some(record) = in_scope.next() else { return Err(State::Absent) };
    let others = in_scope.count();
    if others > 0 {
        return Err(State::Duplicate(u32::try_from(others + 1).unwrap_or(u32::MAX)));
    }
    let is_invalid = |field: &FlowField| value_of(record, field).is_invalid();
    let fields = flow.fields.iter().enumerate();
    let invalid: Vec<usize> = fields.filter(|(_, field)| is_invalid(field)).map(|(position, _)| position).collect();
    let waits = |position: &usize| value_of(record, &flow.fields[*position]).is_untranslated();
    match invalid.len() {
        0 => Ok(record),
        _ if invalid.iter().all(waits) => Err(State::Untranslated(invalid)),
        _ => Err(State::Invalid(invalid)),
    }
}

/// What a side holds in each field of the flow.
fn values_of<'a>(flow: &Flow, side: Side, record: &'a Record) -> Vec<Cow<'a, Value>> {
    flow.fields.iter().map(|field| projected(field, side, record)).collect()
}

fn held(flow: &Flow, values: &[Cow<'_, Value>]) -> Held {
    let of = |wanted: fn(&FlowField) -> bool| {
        flow.fields.iter().zip(values).filter(move |(field, _)| wanted(field)).map(|(_, value)| value.as_ref())
    };
    Held {
        digest: digest(of(|field| field.tolerance.is_none())),
        two_way: flow.is_two_way().then(|| digest(of(|field| field.two_way && field.tolerance.is_none()))),
        one_way: flow.is_two_way().then(|| digest(of(|field| !field.two_way && field.tolerance.is_none()))),
        tolerant: of(|field| field.tolerance.is_some()).cloned().collect(),
    }
}

fn field_hashes(flow: &Flow, values: &[Cow<'_, Value>]) -> Vec<u64> {
    let hash = |(field, value): (&FlowField, &Cow<'_, Value>)| match field.tolerance {
        Some(_) => 0,
        // The lower half of a hash is one, too.
        None => digest([value.as_ref()]).0 as u64,
    };
    flow.fields.iter().zip(values).map(hash).collect()
}

/// Whether two records agree in all fields of the flow, within tolerance. Reads no digests: the fast path.
/// Both must be in scope; unreadable fields agree with nothing.
pub fn agrees(flow: &Flow, owner: &Record, target: &Record) -> bool {
    flow.fields.iter().all(|field| field_agrees(field, owner, target))
}

/// Indices into [`Flow::fields`] of the fields that differ.
pub fn differing(flow: &Flow, owner: &Record, target: &Record) -> Vec<usize> {
    let differs = |field: &FlowField| !field_agrees(field, owner, target);
    flow.fields.iter().enumerate().filter(|(_, field)| differs(field)).map(|(position, _)| position).collect()
}

fn field_agrees(field: &FlowField, owner: &Record, target: &Record) -> bool {
    if field.tolerance.is_none() && field.owner_projection.is_empty() && field.target_projection.is_empty() {
        let owner = value_of(owner, field);
        return owner == value_of(target, field) && !owner.is_invalid();
    }
    let owner = projected(field, Side::Owner, owner);
    let target = projected(field, Side::Target, target);
    match &field.tolerance {
        _ if owner.is_invalid() || target.is_invalid() => false,
        None => owner == target,
        Some(tolerance) => within(tolerance, &owner, &target),
    }
}

/// What a side holds of one of the entity's fields, as far as both systems of the flow can hold it.
pub fn projected_field<'a>(flow: &Flow, side: Side, record: &'a Record, index: usize) -> Cow<'a, Value> {
    match flow.fields.iter().find(|field| field.index == index) {
        Some(field) => projected(field, side, record),
        None => Cow::Borrowed(record.fields.get(index).unwrap_or(&Value::Null)),
    }
}

/// Whether [`projected_field`] may give another value than what was read: the other system holds less of it.
pub fn is_projected(flow: &Flow, side: Side, index: usize) -> bool {
    let of_field = |field: &FlowField| match side {
        Side::Owner => !field.owner_projection.is_empty(),
        Side::Target => !field.target_projection.is_empty(),
    };
    flow.fields.iter().filter(|field| field.index == index).any(of_field)
}

fn value_of<'a>(record: &'a Record, field: &FlowField) -> &'a Value {
    record.fields.get(field.index).unwrap_or(&Value::Null)
}

/// A side's value as far as both systems can hold it. The owner's lossy steps come first, as in the data's own
/// way, then the target's: a value that took both ways ends the same from either side.
fn projected<'a>(field: &FlowField, side: Side, record: &'a Record) -> Cow<'a, Value> {
    let value = value_of(record, field);
    let (owners_steps, targets_steps) = (&field.target_projection, &field.owner_projection);
    // The record was read with its own system's steps; without the other's there is nothing to do.
    let others_steps = match side {
        Side::Owner => targets_steps,
        Side::Target => owners_steps,
    };
    if others_steps.is_empty() {
        return Cow::Borrowed(value);
    }
    project(owners_steps.iter().chain(targets_steps), value)
}

/// Whether the target's state equals the owner's within tolerance. Duplicates and unreadable records equal
/// nothing, not even each other.
pub(super) fn equal(owner: &State, target: &State, tolerances: &[Tolerance]) -> bool {
    match (owner, target) {
        (State::Absent, State::Absent) => true,
        (State::Present(owner), State::Present(target)) => {
            owner.digest == target.digest && tolerant_equal(owner, target, tolerances)
        }
        _ => false,
    }
}

/// Whether the values compared with tolerance are all close enough.
pub(super) fn tolerant_equal(owner: &Held, target: &Held, tolerances: &[Tolerance]) -> bool {
    owner.tolerant.len() == target.tolerant.len()
        && owner.tolerant.iter().zip(&target.tolerant).enumerate().all(|(position, (owner, target))| {
            tolerances.get(position).map_or(owner == target, |tolerance| within(tolerance, owner, target))
        })
}

/// Whether two values are close enough. Null is close to null only, amounts of two currencies never.
pub fn within(tolerance: &Tolerance, owner: &Value, target: &Value) -> bool {
    match (owner, target) {
        (Value::Number(owner), Value::Number(target)) => numbers_within(tolerance, owner, target),
        (Value::Money(owner), Value::Money(target)) => {
            owner.currency == target.currency && numbers_within(tolerance, &owner.amount, &target.amount)
        }
        (Value::Time(owner), Value::Time(target)) => {
            let apart = owner.since(*target).max(target.since(*owner));
            apart <= time_tolerance(tolerance)
        }
        _ => owner == target,
    }
}

fn numbers_within(tolerance: &Tolerance, owner: &Number, target: &Number) -> bool {
    if owner == target {
        return true;
    }
    match tolerance {
        Tolerance::Absolute(most) => owner.distance(target) <= *most,
        Tolerance::Relative(share) => owner.distance(target) <= owner.abs().times(share),
        Tolerance::Time(_) => false,
    }
}

const fn time_tolerance(tolerance: &Tolerance) -> Duration {
    match tolerance {
        Tolerance::Time(most) => *most,
        Tolerance::Absolute(_) | Tolerance::Relative(_) => Duration::ZERO,
    }
}
