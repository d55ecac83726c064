//! From days that differ to the keys behind them: the records of these days go together here, and what finds no equal
//! is suspect. Gives no verdicts.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{Duration, NaiveDate};
use futures_util::StreamExt;

use super::of_days;
use crate::audit::sweep::disk::{Shelf, Spilled};
use crate::audit::sweep::finder::{Name, SweepError};
use crate::audit::sweep::side::{Rows, SweepSide};
use crate::model::{Record, Tolerance};
use crate::sweep::Matching;
use crate::totals::{Days, Question};

/// Rows that are handed on at once.
const BATCH: u64 = 512;
/// Suspects that stay in memory.
const KEPT: usize = 4_000;

/// The keys of both sides' records of these days that were not seen to agree. What waits for its partner beyond `memory` bytes
/// waits on disk.
///
/// # Errors
/// When a side cannot be read: then nothing is said; or when the disk fails.
pub async fn suspects(
    sides: &[SweepSide; 2],
    question: Question,
    days: &BTreeSet<Option<NaiveDate>>,
    tolerances: Vec<Tolerance>,
    memory: usize,
) -> Result<Shelf<Name>, SweepError> {
    let mut narrowing =
        Narrowing { matching: Matching::new(tolerances), spilled: None, memory, found: Shelf::new(KEPT), disk: Ok(()) };
    let only = of_days(Arc::clone(&sides[0].flow), question, days.iter().copied().collect());
    for side in sides {
        let side = SweepSide { only: Some(Arc::clone(&only)), ..side.clone() };
        narrowing.read(&side, question.fields.day, bounds(days)).await?;
    }
    Ok(narrowing.end()?)
}

/// From the first of the days up to the last; all of them where records without a day are asked for.
fn bounds(days: &BTreeSet<Option<NaiveDate>>) -> Days {
    match (days.first(), days.last()) {
        (Some(Some(first)), Some(Some(last))) => {
            Days { from: Some(*first), to: last.checked_add_signed(Duration::days(1)) }
        }
        _ => Days::default(),
    }
}

struct Narrowing {
    matching: Matching,
    spilled: Option<Spilled>,
    memory: usize,
    found: Shelf<Name>,
    /// The first failure of the disk, while rows come.
    disk: std::io::Result<()>,
}

impl Narrowing {
    async fn read(&mut self, side: &SweepSide, day: usize, days: Days) -> Result<(), SweepError> {
        let mut rows = Rows::default();
        let mut on_record = |record: Record| {
            side.add(&mut rows, &record);
            if rows.read >= BATCH {
                self.take(side, std::mem::take(&mut rows));
            }
        };
        let is_read = match side.sweeper() {
            Some(sweeper) => sweeper.read_days(&side.mapping, day, days, &mut on_record).await?,
            None => false,
        };
        if !is_read {
            let mut records = side.reader.scan(&side.mapping, None);
            while let Some(record) = records.next().await {
                on_record(record?);
            }
        }
        self.take(side, rows);
        std::mem::replace(&mut self.disk, Ok(())).map_err(SweepError::from)
    }

    fn take(&mut self, side: &SweepSide, rows: Rows) {
        if self.disk.is_err() {
            return;
        }
        let found = &mut self.found;
        let mut put = Ok(());
        self.matching.take(side.side, rows.batch, |name| shelve(found, &mut put, name));
        self.disk = put.and_then(|()| if self.matching.bytes() > self.memory { self.spill() } else { Ok(()) });
    }

    fn spill(&mut self) -> std::io::Result<()> {
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            none => none.insert(Spilled::new()?),
        };
        self.matching.drain().try_for_each(|open| spilled.put(&open))
    }

    fn end(mut self) -> std::io::Result<Shelf<Name>> {
        if self.spilled.is_some() {
            self.spill()?;
        }
        let mut put = Ok(());
        for open in self.matching.drain() {
            shelve(&mut self.found, &mut put, &open.name);
        }
        if let Some(spilled) = self.spilled.take() {
            spilled.settle(&mut self.matching, |name| shelve(&mut self.found, &mut put, name))?;
        }
        put.map(|()| self.found)
    }
}

/// Keeps the first failure.
fn shelve(found: &mut Shelf<Name>, put: &mut std::io::Result<()>, name: &[u8]) {
    if put.is_ok() {
        *put = found.push(name.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_from_the_first_to_the_last() {
        let day = |day: u32| NaiveDate::from_ymd_opt(2026, 3, day);
        let check = |days: &[Option<NaiveDate>], expect: Days| {
            assert_eq!(bounds(&days.iter().copied().collect()), expect, "{days:?}");
        };
        check(&[day(3), day(1)], Days { from: day(1), to: day(4) });
        check(&[day(3), None], Days::default());
    }
}
