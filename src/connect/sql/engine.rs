//! What the three engines have in common: a pool, statements with bound values, rows decoded by position.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Column, ColumnIndex, Database, Executor, IntoArguments, Row, Statement as _};
use tokio::time::Instant;

use super::errors;
use super::rowhash::{Cell, HANDING_OVER, OnHash, RowHasher};
use super::source::Source;
use super::text::{Arg, Dialect, Statement};
use crate::clock::Clock;
use crate::connect::Mark;
use crate::model::{FieldType, Moment, Raw, RawRow};
use crate::sweep::Batch;

mod snapshot;

pub(super) use snapshot::Snapshot;
use snapshot::Transaction;

/// How one result column is decoded. Found once per mapping, so that a row needs no look-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// True boolean.
    Bool,
    /// An integer of so many bytes.
    Int { bytes: u8, signed: bool },
    /// Exact decimal.
    Decimal,
    /// 4-byte float.
    Float4,
    /// 8-byte float.
    Float8,
    /// Text in UTF-8, or bytes when it is not.
    Text,
    /// Bytes.
    Bytes,
    /// A stamp that names its instant.
    Instant,
    /// A stamp without a zone.
    Naive,
    /// A day.
    Date,
    /// A time of day.
    TimeOfDay,
    /// A UUID.
    Uuid,
    /// PostgreSQL's binary JSON: a version byte, then text.
    Jsonb,
    /// A bit field, read as an unsigned integer.
    Bits,
    /// Each value says itself what it is (SQLite).
    Dynamic,
}

impl Kind {
    /// Whether one decoder does for both. Integers say their length with each value.
    fn reads_like(self, other: Self) -> bool {
        match (self, other) {
            (Self::Int { signed, .. }, Self::Int { signed: other, .. }) => signed == other,
            _ => self == other,
        }
    }
}

/// What preparing a statement says about one result column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResultColumn {
    pub kind: Kind,
    /// A cast without which the driver cannot read the column: `text`, `numeric`.
    pub read_cast: Option<&'static str>,
    /// The type that bound values are cast to before they are compared with the column (PostgreSQL); `None` when
    /// only the column's text can be compared.
    pub bind_cast: Option<&'static str>,
    /// The type in the system's own words.
    pub type_name: String,
}

/// A statement that failed, before it is put into the words of [`crate::connect::ReadError`].
#[derive(Debug)]
pub(super) enum Failure {
    /// What the driver said.
    Driver(sqlx::Error),
    /// No answer in time.
    TimedOut(Duration),
    /// A column has another type than when the statement was planned: its bytes would be misread.
    Changed(String),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(error)
    }
}

/// Receives each row; it may take the values out. The buffer is used again for the next row.
pub(super) type OnRow<'a> = &'a mut (dyn FnMut(&mut RawRow) + Send);

/// One row of an `EXPLAIN`: column names with their values where those are text.
pub(super) type Explained = Vec<(String, String)>;

/// When a statement was sent and when its first answer came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub sent: Moment,
    pub answered: Moment,
}

/// One engine with its pool.
#[async_trait]
pub(super) trait Engine: Send + Sync {
    fn dialect(&self) -> Dialect;

    /// The result columns of a statement, without running it.
    async fn prepare(&self, sql: &str) -> Result<Vec<ResultColumn>, Failure>;

    /// Runs one statement and hands over each row.
    async fn query(&self, statement: &Statement, kinds: &[Kind], on_row: OnRow<'_>) -> Result<Timing, Failure>;

    /// Begins a read-only transaction whose statements all see one snapshot: that of the first one.
    async fn begin(&self) -> Result<Box<dyn Snapshot + '_>, Failure>;

    /// How the engine would run a statement: rows of column names and texts.
    async fn explain(&self, statement: &Statement) -> Result<Vec<Explained>, Failure>;

    /// Runs one statement without bound values and hands over the hash of each row.
    async fn hash_rows(&self, sql: &str, cells: &[Cell], mark: Mark, on_row: OnHash<'_>) -> Result<Timing, Failure>;

    /// Runs one long statement without bound values and without the server's statement limit, and hands over its rows in
    /// batches, each with its key, read as these types, and its hash. The limit applies to each pause. Ends early when nobody
    /// listens any more.
    async fn pour_hashes(
        &self,
        sql: &str,
        cells: &[Cell],
        mark: Mark,
        keys: &[FieldType],
        batches: &tokio::sync::mpsc::Sender<Batch>,
    ) -> Result<(), Failure>;

    /// Runs one long statement without the server's statement limit and sends its rows until the receiver goes
    /// away. The limit applies to each pause between two rows.
    async fn pour(
        &self,
        statement: Statement,
        kinds: Vec<Kind>,
        rows: tokio::sync::mpsc::Sender<Result<RawRow, Failure>>,
    );
}

/// Comes to its end when no row has come for so long.
async fn stalled(progress: &AtomicU64, limit: Duration) {
    let mut before = progress.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(limit).await;
        let now = progress.load(Ordering::Relaxed);
        if now == before && now != HANDING_OVER {
            return;
        }
        before = now;
    }
}

/// What differs between the engines.
#[async_trait]
pub(super) trait Driver: Send + Sync + 'static {
    type Db: Database;
    const DIALECT: Dialect;

    /// Lifts the server's statement limit for one long read. The connection is closed afterwards.
    const UNLIMITED: Option<&'static str>;

    /// Begins a read-only transaction with one snapshot.
    const BEGIN: &'static str;

    /// Makes the planner show whether an index can be used, also where reading a small table whole is cheaper. The
    /// connection is closed afterwards.
    const BEFORE_EXPLAIN: Option<&'static str>;

    /// What goes before the statement to be explained.
    const EXPLAIN: &'static str;

    fn result_column(column: &<Self::Db as Database>::Column) -> ResultColumn;

    fn arguments(args: &[Arg]) -> Result<<Self::Db as Database>::Arguments, sqlx::error::BoxDynError>;

    /// One value. Never fails: what cannot be expressed becomes [`Raw::Undecodable`].
    fn decode(row: &<Self::Db as Database>::Row, index: usize, kind: Kind) -> Raw;

    /// Runs one statement and gives the values of each row, as the server sent them, to `rows`.
    async fn take_up(
        _connection: &mut <Self::Db as Database>::Connection,
        _sql: &str,
        _rows: &mut RowHasher<'_>,
    ) -> Result<(), sqlx::Error> {
        Err(sqlx::Error::Protocol("values of this engine have no form in common with another's".to_owned()))
    }

    /// Called before each statement, to set a deadline inside the engine. [`Duration::MAX`] takes it away.
    async fn arm(_connection: &mut <Self::Db as Database>::Connection, _limit: Duration) -> Result<(), sqlx::Error> {
        Ok(())
    }
}

/// The connections of one engine.
pub(super) struct Pooled<D: Driver> {
    pub source: Source<D::Db>,
    pub clock: Arc<dyn Clock>,
    /// The server's statement limit.
    pub limit: Duration,
    /// How many statements were described.
    pub described: AtomicU64,
}

/// What the network may add to the server's statement limit before we give up ourselves.
const GRACE: Duration = Duration::from_secs(2);

/// A connection that is closed instead of given back unless it was read to the end: the rest of an answer must
/// neither be drained nor be mistaken for the next one.
struct Lent<Db: Database> {
    connection: Option<PoolConnection<Db>>,
}

impl<Db: Database> Lent<Db> {
    fn connection(&mut self) -> Result<&mut Db::Connection, sqlx::Error> {
        self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    fn give_back(mut self) {
        self.connection.take();
    }

    /// Gives it back unless this outcome leaves it in an unknown state.
    fn give_back_after<T>(self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        if outcome.as_ref().err().is_none_or(errors::leaves_connection_healthy) {
            self.give_back();
        }
        outcome
    }
}

impl<Db: Database> Drop for Lent<Db> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

/// The first row of an answer tells whether its columns are what the decoders were chosen for.
fn as_planned<D: Driver>(row: &<D::Db as Database>::Row, kinds: &[Kind]) -> Result<(), Failure> {
    for (column, kind) in row.columns().iter().zip(kinds) {
        if !kind.reads_like(D::result_column(column).kind) {
            return Err(Failure::Changed(column.name().to_owned()));
        }
    }
    Ok(())
}

impl<D: Driver> Pooled<D>
where
    for<'c> &'c mut <D::Db as Database>::Connection: Executor<'c, Database = D::Db>,
    <D::Db as Database>::Arguments: IntoArguments<D::Db>,
    usize: ColumnIndex<<D::Db as Database>::Row>,
{
    async fn lend(&self) -> Result<Lent<D::Db>, sqlx::Error> {
        Ok(Lent { connection: Some(self.source.connection().await?) })
    }

    /// A lent connection without the server's statement limit.
    async fn without_limit(lent: &mut Lent<D::Db>) -> Result<&mut <D::Db as Database>::Connection, sqlx::Error> {
        let connection = lent.connection()?;
        D::arm(connection, Duration::MAX).await?;
        if let Some(unlimited) = D::UNLIMITED {
            connection.execute(unlimited).await?;
        }
        Ok(connection)
    }

    async fn run(
        &self,
        lent: &mut Lent<D::Db>,
        statement: &Statement,
        kinds: &[Kind],
        on_row: OnRow<'_>,
    ) -> Result<Timing, Failure> {
        let connection = lent.connection()?;
        D::arm(connection, self.limit).await?;
        let arguments = D::arguments(&statement.args).map_err(sqlx::Error::Encode)?;
        let query = sqlx::query_with::<D::Db, _>(AssertSqlSafe(statement.sql.clone()), arguments);
        let sent = self.clock.now();
        let mut answered = None;
        let mut buffer = RawRow::with_capacity(kinds.len());
        let mut rows = connection.fetch(query);
        while let Some(row) = rows.next().await {
            let row = row?;
            if answered.is_none() {
                answered = Some(self.clock.now());
                if statement.planned {
                    as_planned::<D>(&row, kinds)?;
                }
            }
            buffer.clear();
            buffer.extend(kinds.iter().enumerate().map(|(index, kind)| D::decode(&row, index, *kind)));
            on_row(&mut buffer);
        }
        Ok(Timing { sent, answered: answered.unwrap_or_else(|| self.clock.now()) })
    }

    async fn explain_rows(&self, statement: &Statement) -> Result<Vec<Explained>, sqlx::Error> {
        let mut lent = self.lend().await?;
        let connection = lent.connection()?;
        D::arm(connection, self.limit).await?;
        if let Some(before) = D::BEFORE_EXPLAIN {
            connection.execute(before).await?;
        }
        let arguments = D::arguments(&statement.args).map_err(sqlx::Error::Encode)?;
        let sql = AssertSqlSafe(format!("{} {}", D::EXPLAIN, statement.sql));
        let rows: Vec<_> = connection.fetch_all(sqlx::query_with::<D::Db, _>(sql, arguments)).await?;
        let text = |row: &<D::Db as Database>::Row, index: usize| match D::decode(row, index, Kind::Text) {
            Raw::Text(text) => text.to_string(),
            _ => String::new(),
        };
        let named = |row: &<D::Db as Database>::Row| {
            row.columns()
                .iter()
                .enumerate()
                .map(|(index, column)| (column.name().to_owned(), text(row, index)))
                .collect()
        };
        Ok(rows.iter().map(named).collect())
    }

    async fn pour_rows(
        &self,
        statement: Statement,
        kinds: &[Kind],
        sender: &tokio::sync::mpsc::Sender<Result<RawRow, Failure>>,
    ) -> Result<(), Failure> {
        let mut lent = self.lend().await?;
        let connection = Self::without_limit(&mut lent).await?;
        let arguments = D::arguments(&statement.args).map_err(sqlx::Error::Encode)?;
        let mut rows = connection.fetch(sqlx::query_with::<D::Db, _>(AssertSqlSafe(statement.sql), arguments));
        let mut first = true;
        loop {
            let Ok(next) = tokio::time::timeout(self.limit + GRACE, rows.next()).await else {
                return Err(Failure::TimedOut(self.limit));
            };
            let Some(row) = next else { break };
            let row = row?;
            if first {
                as_planned::<D>(&row, kinds)?;
                first = false;
            }
            let values = kinds.iter().enumerate().map(|(index, kind)| D::decode(&row, index, *kind)).collect();
            if sender.send(Ok(values)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

#[async_trait]
impl<D: Driver> Engine for Pooled<D>
where
    for<'c> &'c mut <D::Db as Database>::Connection: Executor<'c, Database = D::Db>,
    <D::Db as Database>::Arguments: IntoArguments<D::Db>,
    usize: ColumnIndex<<D::Db as Database>::Row>,
{
    fn dialect(&self) -> Dialect {
        D::DIALECT
    }

    async fn prepare(&self, sql: &str) -> Result<Vec<ResultColumn>, Failure> {
        let work = async {
            let mut lent = self.lend().await?;
            let connection = lent.connection()?;
            D::arm(connection, self.limit).await?;
            // What this connection has prepared before, the driver would describe as it was then.
            let number = self.described.fetch_add(1, Ordering::Relaxed);
            let anew = AssertSqlSafe(format!("{sql} /* {number} */"));
            let statement = connection.prepare(sqlx::SqlSafeStr::into_sql_str(anew)).await?;
            let columns = statement.columns().iter().map(D::result_column).collect();
            lent.give_back();
            Ok::<_, Failure>(columns)
        };
        tokio::time::timeout(self.limit + GRACE, work).await.map_err(|_| Failure::TimedOut(self.limit))?
    }

    async fn query(&self, statement: &Statement, kinds: &[Kind], on_row: OnRow<'_>) -> Result<Timing, Failure> {
        let started = Instant::now();
        let work = async {
            let mut lent = self.lend().await?;
            let outcome = self.run(&mut lent, statement, kinds, on_row).await;
            lent.give_back_after(outcome)
        };
        match tokio::time::timeout(self.limit + GRACE, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::TimedOut(started.elapsed())),
        }
    }

    async fn begin(&self) -> Result<Box<dyn Snapshot + '_>, Failure> {
        let work = async {
            let mut lent = self.lend().await?;
            lent.connection()?.execute(D::BEGIN).await?;
            Ok::<_, Failure>(lent)
        };
        let lent =
            tokio::time::timeout(self.limit + GRACE, work).await.map_err(|_| Failure::TimedOut(self.limit))??;
        Ok(Box::new(Transaction { pooled: self, lent }))
    }

    async fn hash_rows(&self, sql: &str, cells: &[Cell], mark: Mark, on_row: OnHash<'_>) -> Result<Timing, Failure> {
        let sent = self.clock.now();
        let work = async {
            let mut lent = self.lend().await?;
            let connection = lent.connection()?;
            D::arm(connection, self.limit).await?;
            let outcome = D::take_up(connection, sql, &mut RowHasher::new(cells, mark, on_row)).await;
            let outcome = outcome.map_err(Failure::from);
            lent.give_back_after(outcome)
        };
        tokio::time::timeout(self.limit + GRACE, work).await.map_err(|_| Failure::TimedOut(self.limit))??;
        Ok(Timing { sent, answered: self.clock.now() })
    }

    async fn pour_hashes(
        &self,
        sql: &str,
        cells: &[Cell],
        mark: Mark,
        keys: &[FieldType],
        batches: &tokio::sync::mpsc::Sender<Batch>,
    ) -> Result<(), Failure> {
        let mut lent = self.lend().await?;
        let connection = Self::without_limit(&mut lent).await?;
        let progress = AtomicU64::new(0);
        let mut rows = RowHasher::named(cells, mark, keys, batches, &progress);
        tokio::select! {
            outcome = D::take_up(connection, sql, &mut rows) => outcome?,
            () = stalled(&progress, self.limit + GRACE) => return Err(Failure::TimedOut(self.limit)),
        }
        rows.hand_over().await;
        Ok(())
    }

    async fn explain(&self, statement: &Statement) -> Result<Vec<Explained>, Failure> {
        let explained = tokio::time::timeout(self.limit + GRACE, self.explain_rows(statement)).await;
        Ok(explained.map_err(|_| Failure::TimedOut(self.limit))??)
    }

    async fn pour(
        &self,
        statement: Statement,
        kinds: Vec<Kind>,
        rows: tokio::sync::mpsc::Sender<Result<RawRow, Failure>>,
    ) {
        tokio::select! {
            () = rows.closed() => {}
            outcome = self.pour_rows(statement, &kinds, &rows) => if let Err(failure) = outcome {
                // Nobody is left to tell when the receiver is gone.
                rows.send(Err(failure)).await.unwrap_or_default();
            }
        }
    }
}
