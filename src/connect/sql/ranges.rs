//! Reading pieces of a table in key order, for samples: index seeks, whatever the table's size.
//!
//! A piece has bounds that are values, not row numbers, so that rows with equal keys stay together, a walk always comes
//! on, and the same piece can be read in another system.

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::text::{Arg, Statement};
use super::{KeyRange, Place, RangeRead, Reach, ReadError, SqlReader};
use crate::connect::{Bound, Landmark};
use crate::model::{Key, Mapping, Raw, RawRow};

/// A place as state keeps it. A format of its own.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// Of the key's columns: a place in another order is none.
    fingerprint: u64,
    values: Vec<Arg>,
}

impl SqlReader {
    pub(super) async fn reach(&self, mapping: &Mapping, range: KeyRange<'_>, keys: usize) -> Result<Reach, ReadError> {
        let plan = self.plan(mapping).await?;
        let Some(edges) = self.edges(mapping, &plan, range)? else { return Ok(Reach::Nowhere) };
        let [after, until] = edges.each_ref().map(Option::as_deref);
        let statement = landmark_statement(&plan, after, until, keys);
        let kinds: Vec<_> = plan.key.iter().map(|source| plan.kinds[*source]).collect();
        let mut found = None;
        let read = self.query(&statement, &kinds, &mut |row| found = Some(std::mem::take(row))).await;
        self.forget_on_shape(mapping, read)?;
        let Some(parts) = found else { return Ok(Reach::End) };
        let values = plan.args_of_key(&parts).ok_or_else(|| self.shape(mapping, "its key cannot be compared with"))?;
        Ok(Reach::At(Landmark { place: place(&plan, values), key: key_of(mapping, &plan, parts) }))
    }

    pub(super) async fn read_range(
        &self,
        mapping: &Mapping,
        range: KeyRange<'_>,
        limit: usize,
    ) -> Result<Option<RangeRead>, ReadError> {
        let plan = self.plan(mapping).await?;
        let Some(edges) = self.edges(mapping, &plan, range)? else { return Ok(None) };
        let [after, until] = edges.each_ref().map(Option::as_deref);
        // One row more than wanted tells whether that is all.
        let statement = range_statement(&plan, after, until, limit.saturating_add(1));
        let mut lane = self.lane(&plan).await?;
        let records = lane.records(mapping, &plan, &statement).await;
        let mut records = self.forget_on_shape(mapping, records)?;
        let complete = records.len() <= limit;
        records.truncate(limit);
        Ok(Some(RangeRead { records, window: lane.end().await, complete }))
    }

    /// The values of both bounds, without one where the range is open; `None` when no row can have the key of a bound.
    fn edges(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        range: KeyRange<'_>,
    ) -> Result<Option<[Option<Vec<Arg>>; 2]>, ReadError> {
        let mut edges = [None, None];
        for (edge, bound) in edges.iter_mut().zip([range.after, range.until]) {
            *edge = match bound {
                Bound::Open => None,
                Bound::Place(place) => Some(self.values_of(plan, place)?),
                Bound::Key(key) => match plan.key_args(mapping, key) {
                    Some(values) if !values.contains(&Arg::Null) => Some(values),
                    _ => return Ok(None),
                },
            };
        }
        Ok(Some(edges))
    }

    fn values_of(&self, plan: &Plan, place: &Place) -> Result<Vec<Arg>, ReadError> {
        let stored: Option<Stored> = postcard::from_bytes(&place.0).ok();
        let fits = |stored: &Stored| stored.fingerprint == fingerprint(plan) && stored.values.len() == plan.key.len();
        stored.filter(fits).map(|stored| stored.values).ok_or_else(|| ReadError::Cursor {
            system: self.system.clone(),
            reason: "the place lies in the order of another key".to_owned(),
        })
    }
}

fn place(plan: &Plan, values: Vec<Arg>) -> Place {
    let stored = Stored { fingerprint: fingerprint(plan), values };
    // Cannot fail: postcard can express all of it and the vector grows.
    Place(postcard::to_allocvec(&stored).unwrap_or_default())
}

fn fingerprint(plan: &Plan) -> u64 {
    let terms: Vec<String> = plan.key_terms().into_iter().map(|term| term.sql).collect();
    xxhash_rust::xxh3::xxh3_64(format!("{}|{}", plan.table, terms.join("|")).as_bytes())
}

/// The canonical key of a row of which only the key's columns were read.
fn key_of(mapping: &Mapping, plan: &Plan, parts: RawRow) -> Option<Key> {
    let mut row: RawRow = plan.kinds.iter().map(|_| Raw::Null).collect();
    for (source, part) in plan.key.iter().zip(parts) {
        row[*source] = part;
    }
    Some(mapping.record(&mut row).key).filter(Key::is_usable)
}

/// Selects the key of the row number `keys` behind `after`, not beyond `until`. Reads nothing but the index where that
/// holds the key.
pub(super) fn landmark_statement(plan: &Plan, after: Option<&[Arg]>, until: Option<&[Arg]>, keys: usize) -> Statement {
    let columns: Vec<_> = plan.key.iter().map(|source| plan.select_of(*source)).collect();
    let mut statement = Statement::new(plan.dialect(), format!("SELECT {} FROM {} t", columns.join(", "), plan.table));
    within(&mut statement, plan, after, until);
    statement.limit(1).push(&format!(" OFFSET {}", keys.saturating_sub(1)));
    statement
}

/// Selects the rows behind `after` up to `until`, in key order.
pub(super) fn range_statement(plan: &Plan, after: Option<&[Arg]>, until: Option<&[Arg]>, limit: usize) -> Statement {
    let mut statement = plan.select_from();
    within(&mut statement, plan, after, until);
    statement.limit(limit);
    statement
}

/// `WHERE … ORDER BY key`. Rows whose key has a null part are left out: nothing can be said to lie behind them.
fn within(statement: &mut Statement, plan: &Plan, after: Option<&[Arg]>, until: Option<&[Arg]>) {
    let terms = plan.key_terms();
    let present: Vec<_> = terms.iter().map(|term| format!("{} IS NOT NULL", term.sql)).collect();
    statement.push(" WHERE ").push(&present.join(" AND "));
    if let Some(after) = after {
        statement.push(" AND ").after(&terms, after, false);
    }
    if let Some(until) = until {
        statement.push(" AND ").until(&terms, until);
    }
    statement.push(" ORDER BY ").list(&terms);
}
