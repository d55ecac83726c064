//! Control totals of one flow: made by the databases where they can, else from all records, and compared.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::NaiveDate;
use futures_util::StreamExt;

use super::sweep::side::{Only, SweepSide};
use crate::compare::{Side, is_projected, projected_field};
use crate::connect::{Group, ReadError};
use crate::model::{Flow, Record, Tolerance, Value};
use crate::totals::{Item, Question, Totals};

pub mod drill;

/// The totals of one side, and how they were made.
#[derive(Clone, Debug)]
pub struct SideTotals {
    /// The totals.
    pub totals: Totals,
    /// Whether the database made the sums.
    pub is_pushed_down: bool,
}

/// Makes the totals of both sides at once.
///
/// # Errors
/// When a side cannot be read: there are no totals of what was not read.
pub async fn totals(sides: &[SweepSide; 2], question: &Question) -> Result<[SideTotals; 2], ReadError> {
    let [owner, target] = sides;
    let (owner, target) = tokio::try_join!(of_side(owner, question), of_side(target, question))?;
    Ok([owner, target])
}

/// The tolerance with which a flow compares the amount.
pub fn tolerance_of(flow: &Flow, question: &Question) -> Option<Tolerance> {
    let amount = question.fields.amount?;
    flow.fields.iter().find(|field| field.index == amount)?.tolerance.clone()
}

/// Which records lie on one of these days, as they are or as far as the other system can hold their time.
pub fn of_days(flow: Arc<Flow>, question: Question, days: HashSet<Option<NaiveDate>>) -> Only {
    let day = move |value: &Value| match value {
        Value::Date(day) => Some(*day),
        Value::Time(moment) => Some(question.calendar.day_of(*moment)),
        _ => None,
    };
    Arc::new(move |record: &Record| {
        let held = |side| day(&projected_field(&flow, side, record, question.fields.day));
        [held(Side::Owner), held(Side::Target)].iter().any(|day| days.contains(day))
    })
}

async fn of_side(side: &SweepSide, question: &Question) -> Result<SideTotals, ReadError> {
    let mut totals = match pushed_down(side, question).await? {
        Some(totals) => SideTotals { totals, is_pushed_down: true },
        None => SideTotals { totals: from_records(side, question).await?, is_pushed_down: false },
    };
    totals.totals.lines.retain(|line, _| question.days.hold(line.day));
    Ok(totals)
}

/// Sums of the database. `None` where it cannot make them, and where the other system holds less of the amount or of the
/// day than this one: the rounded sum is not the sum of what was rounded.
async fn pushed_down(side: &SweepSide, question: &Question) -> Result<Option<Totals>, ReadError> {
    let fields = question.fields;
    let is_cut = |field: usize| is_projected(&side.flow, side.side, field);
    let Some(sweeper) = side.sweeper().filter(|_| question.calendar.keeps_quarters()) else { return Ok(None) };
    if is_cut(fields.day) || fields.amount.is_some_and(is_cut) {
        return Ok(None);
    }
    let mut totals = Totals::default();
    let mut on_group = |group: Group| {
        add(&mut totals, side, question, &group.positive, group.records);
        add(&mut totals, side, question, &group.negative, 0);
    };
    let is_made = sweeper.add_up(&side.mapping, fields, question.days, &mut on_group).await?;
    // What cannot be read in a group may be one record of many: read one by one, the others count.
    if !is_made || totals.unreadable > 0 {
        return Ok(None);
    }
    totals.lines.retain(|_, sum| sum.records > 0);
    Ok(Some(totals))
}

async fn from_records(side: &SweepSide, question: &Question) -> Result<Totals, ReadError> {
    let mut totals = Totals::default();
    if let Some(sweeper) = side.sweeper() {
        let mut on_record = |record: Record| add(&mut totals, side, question, &record, 1);
        if sweeper.read_days(&side.mapping, question.fields.day, question.days, &mut on_record).await? {
            return Ok(totals);
        }
    }
    let mapping = Arc::clone(&side.mapping);
    let mut records = side.reader.scan(&mapping, None);
    while let Some(record) = records.next().await {
        add(&mut totals, side, question, &record?, 1);
    }
    Ok(totals)
}

/// Adds what a record holds of the fields, as far as both systems can hold it.
fn add(totals: &mut Totals, side: &SweepSide, question: &Question, record: &Record, records: u64) {
    if !record.in_scope {
        return;
    }
    let value = |field: usize| projected_field(&side.flow, side.side, record, field);
    let (day, amount) = (value(question.fields.day), question.fields.amount.map(value));
    let status = question.fields.status.map(value);
    let item = Item { day: &day, amount: amount.as_deref(), status: status.as_deref() };
    totals.add(&question.calendar, item, records);
}
