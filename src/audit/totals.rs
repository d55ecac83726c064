//! Control totals of one flow: made by the databases where they can, else from all records, and compared.

use std::sync::Arc;

use futures_util::StreamExt;

use super::sweep::side::SweepSide;
use crate::connect::ReadError;
use crate::totals::{Calendar, Fields, Totals};

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
pub async fn totals(sides: &[SweepSide; 2], calendar: Calendar, fields: Fields) -> Result<[SideTotals; 2], ReadError> {
    let [owner, target] = sides;
    let (owner, target) = tokio::try_join!(of_side(owner, calendar, fields), of_side(target, calendar, fields))?;
    Ok([owner, target])
}

async fn of_side(side: &SweepSide, calendar: Calendar, fields: Fields) -> Result<SideTotals, ReadError> {
    let mut totals = Totals::default();
    if let Some(sweeper) = side.sweeper().filter(|_| calendar.keeps_quarters()) {
        let is_made = sweeper
            .add_up(&side.mapping, fields, &mut |group| {
                totals.add(&calendar, fields, &group.positive, group.records);
                totals.add(&calendar, fields, &group.negative, 0);
            })
            .await?;
        if is_made && totals.unreadable == 0 {
            totals.lines.retain(|_, sum| sum.records > 0);
            return Ok(SideTotals { totals, is_pushed_down: true });
        }
    }
    totals = Totals::default();
    let mapping = Arc::clone(&side.mapping);
    let mut records = side.reader.scan(&mapping, None);
    while let Some(record) = records.next().await {
        totals.add(&calendar, fields, &record?, 1);
    }
    Ok(SideTotals { totals, is_pushed_down: false })
}
