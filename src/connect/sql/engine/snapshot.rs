//! One snapshot for several statements: a read-only transaction.

use async_trait::async_trait;
use sqlx::{ColumnIndex, Database, Executor, IntoArguments};

use super::{Driver, Failure, GRACE, Kind, Lent, OnRow, Pooled, Statement, Timing};

/// A transaction under way. Dropping it closes its connection.
#[async_trait]
pub(in crate::connect::sql) trait Snapshot: Send {
    /// Runs one statement and hands over each row.
    async fn query(&mut self, statement: &Statement, kinds: &[Kind], on_row: OnRow<'_>) -> Result<Timing, Failure>;

    /// Ends the transaction and gives the connection back.
    async fn end(self: Box<Self>);
}

/// A connection in a transaction.
pub(super) struct Transaction<'p, D: Driver> {
    pub pooled: &'p Pooled<D>,
    pub lent: Lent<D::Db>,
}

#[async_trait]
impl<D: Driver> Snapshot for Transaction<'_, D>
where
    for<'c> &'c mut <D::Db as Database>::Connection: Executor<'c, Database = D::Db>,
    <D::Db as Database>::Arguments: IntoArguments<D::Db>,
    usize: ColumnIndex<<D::Db as Database>::Row>,
{
    async fn query(&mut self, statement: &Statement, kinds: &[Kind], on_row: OnRow<'_>) -> Result<Timing, Failure> {
        let limit = self.pooled.limit;
        let work = self.pooled.run(&mut self.lent, statement, kinds, on_row);
        tokio::time::timeout(limit + GRACE, work).await.map_err(|_| Failure::TimedOut(limit))?
    }

    async fn end(mut self: Box<Self>) {
        let Ok(connection) = self.lent.connection() else { return };
        // A connection that cannot even end its transaction is closed by the drop.
        let ended = tokio::time::timeout(GRACE, connection.execute("COMMIT")).await;
        if matches!(ended, Ok(Ok(_))) {
            self.lent.give_back();
        }
    }
}
