//! The way of the statements of one read: one by one, or all in one snapshot where a record has several parts.

use super::SqlReader;
use super::engine::{Kind, OnRow, Snapshot, Timing};
use super::plan::Plan;
use super::text::Statement;
use crate::connect::ReadError;
use crate::connect::budget::Permit;
use crate::model::{Interval, Mapping, RawRow, Record};

/// The way of one read's statements, and the window that covers them all.
pub(super) struct Lane<'r> {
    pub reader: &'r SqlReader,
    transaction: Option<Transaction<'r>>,
    window: Option<Interval>,
}

/// Holds its permit as long as its connection: a second permit could wait for ever for what the first one holds.
struct Transaction<'r> {
    snapshot: Box<dyn Snapshot + 'r>,
    _permit: Permit<'r>,
}

impl SqlReader {
    /// Statements for a plan: parents and children come from one snapshot, a record without children needs none.
    pub(super) async fn lane(&self, plan: &Plan) -> Result<Lane<'_>, ReadError> {
        let transaction = if plan.children.is_empty() { None } else { Some(self.begin().await?) };
        Ok(Lane { reader: self, transaction, window: None })
    }

    async fn begin(&self) -> Result<Transaction<'_>, ReadError> {
        let permit = self.budget.admit().await?;
        let mut tries = self.tries();
        let begun = loop {
            let begun = self.engine.begin().await;
            if !tries.again(&begun) {
                break begun;
            }
        };
        let begun = begun.map_err(|failure| self.error(failure));
        self.budget.note(begun.as_ref().err());
        let snapshot = begun?;
        Ok(Transaction { snapshot, _permit: permit })
    }
}

impl Lane<'_> {
    /// Runs one statement within the budget.
    pub async fn query(&mut self, statement: &Statement, kinds: &[Kind], on_row: OnRow<'_>) -> Result<(), ReadError> {
        let timing = match &mut self.transaction {
            None => self.reader.query(statement, kinds, on_row).await?,
            Some(transaction) => transaction.query(self.reader, statement, kinds, on_row).await?,
        };
        let low = self.window.map_or(timing.sent, |window| window.low);
        self.window = Some(Interval::new(low, timing.answered));
        Ok(())
    }

    /// The records of the rows that a statement selects by a plan.
    pub async fn records(
        &mut self,
        mapping: &Mapping,
        plan: &Plan,
        statement: &Statement,
    ) -> Result<Vec<Record>, ReadError> {
        if plan.children.is_empty() {
            let mut records = Vec::new();
            self.query(statement, &plan.kinds, &mut |row| records.push(mapping.record(row))).await?;
            return Ok(records);
        }
        let rows = self.rows(plan, statement).await?;
        self.with_children(mapping, plan, rows).await
    }

    /// The rows that a statement selects by a plan.
    pub async fn rows(&mut self, plan: &Plan, statement: &Statement) -> Result<Vec<RawRow>, ReadError> {
        let mut rows = Vec::new();
        self.query(statement, &plan.kinds, &mut |row| rows.push(std::mem::take(row))).await?;
        Ok(rows)
    }

    /// Ends the read. From the first statement's sending to the last one's answer: covers the snapshot also where a
    /// table's engine keeps none (MyISAM).
    pub async fn end(self) -> Interval {
        if let Some(transaction) = self.transaction {
            transaction.snapshot.end().await;
        }
        let now = || self.reader.clock.now();
        self.window.unwrap_or_else(|| Interval::new(now(), now()))
    }
}

impl Transaction<'_> {
    async fn query(
        &mut self,
        reader: &SqlReader,
        statement: &Statement,
        kinds: &[Kind],
        on_row: OnRow<'_>,
    ) -> Result<Timing, ReadError> {
        reader.budget.turn().await?;
        let mut rows = 0;
        let mut count = |row: &mut RawRow| {
            rows += 1;
            on_row(row);
        };
        let outcome = self.snapshot.query(statement, kinds, &mut count).await;
        reader.budget.add_rows(rows);
        let outcome = outcome.map_err(|failure| reader.error(failure));
        reader.budget.note(outcome.as_ref().err());
        outcome
    }
}
