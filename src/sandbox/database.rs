//! The ERP and the warehouse: databases on SQLite, PostgreSQL or MariaDB that write the same things differently.
//!
//! | | ERP | warehouse |
//! |---|---|---|
//! | product | `product`: `SKU-0007`, price in cents, may be archived | `item`: `WH-SKU-0007`, title cut to 24 characters, price as `12.99` |
//! | stock | `stock_level`: `SKU-0007` | `bin`: `WH-SKU-0007` |
//! | order | `sale_order`: `SO-1001`, `draft`, `sale`, `done` or `cancel`, with lines and credit notes | `pick_order`: `1001`, only `open` and `shipped` ones, with lines |
//! | shipment | `delivery`: `OUT/5001` of `SO-1001` | `shipment`: `5001` of `1001` |
//! | customer | `partner`: `CUST-c0001`, may be archived | |
//! | time | `2026-01-31 12:00:00.000000`, UTC | milliseconds since 1970 |
//!
//! What is marked as deleted (an archived product or partner, an order that is neither `sale` nor `done`) counts as
//! gone: it is not among the contents of its key.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyPool, AssertSqlSafe, Connection as _, Executor as _, Transaction};
use uuid::Uuid;

use super::book::{Book, Manner, Write, WriteLog};
use super::record::{Content, Entity, System};
use crate::clock::Clock;
use crate::model::Interval;
use crate::retry::Backoff;

mod config;
mod dialect;
mod fill;
mod latch;
mod outbox;
mod rows;
mod table;

pub use config::plumbline_toml;
pub use dialect::Dialect;

use rows::Rows;
use table::Table;

/// A connection is made, or becomes free, within this.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(30);
/// A database answers within this. Longer than anybody holds a write open.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// How often a write that lost against another is tried again.
const TRIES: usize = 20;
/// How long somebody tries to find out whether a commit that was cut off took place.
const DOUBT_LIMIT: Duration = Duration::from_secs(120);

/// The ERP or the warehouse. Cheap to clone: clones share the connections.
///
/// Several processes may write the same database. Writes of one key come one after the other, and the beginnings of
/// their [`committed`](Write::committed) intervals are in that order when the writers' clocks agree.
#[derive(Clone)]
pub struct Database {
    system: System,
    dialect: Dialect,
    pool: AnyPool,
    log: Arc<WriteLog>,
    clock: Arc<dyn Clock>,
}

impl Database {
    /// Makes the tables of `system` in an empty database at `url` (`sqlite:FILE`, `postgres://…`, `mysql://…`) and
    /// opens it.
    ///
    /// # Errors
    /// When `system` is no database, the database cannot be reached, or its tables are already there.
    pub async fn create(system: System, url: &str, log: Arc<WriteLog>, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let database = Self::open(system, url, log, clock).await?;
        database.make_tables().await.with_context(|| format!("cannot make the tables of the {system}"))?;
        Ok(database)
    }

    /// Opens a database that was made before.
    ///
    /// # Errors
    /// When `system` is no database, or the database cannot be reached.
    pub async fn open(system: System, url: &str, log: Arc<WriteLog>, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        anyhow::ensure!(matches!(system, System::Erp | System::Warehouse), "the {system} is no database");
        sqlx::any::install_default_drivers();
        let dialect = Dialect::of(url)?;
        let pool = AnyPoolOptions::new()
            .max_connections(dialect.connections())
            .acquire_timeout(ACQUIRE_LIMIT)
            // A broken connection is found out by what is asked of it, and that is tried again.
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                Box::pin(async move { connection.execute(dialect.session()).await.map(drop) })
            })
            .connect(&dialect.connect_url(url))
            .await
            .with_context(|| format!("cannot open the {system}"))?;
        Ok(Self { system, dialect, pool, log, clock })
    }

    async fn make_tables(&self) -> sqlx::Result<()> {
        let text = match self.system {
            System::Erp => include_str!("database/erp.sql"),
            System::Warehouse | System::Store | System::Crm => include_str!("database/warehouse.sql"),
        };
        for statement in self.dialect.tables(text).split(";\n") {
            sqlx::query(AssertSqlSafe(statement)).execute(&self.pool).await?;
        }
        latch::create(self.dialect, &self.pool).await
    }

    /// Which of the two.
    pub const fn system(&self) -> System {
        self.system
    }

    /// What it runs on.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Closes the connections; further calls fail.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    fn table(&self, entity: Entity) -> anyhow::Result<&'static Table> {
        Table::of(self.system, entity).with_context(|| format!("the {} holds no {entity}", self.system))
    }

    async fn begin(&self) -> sqlx::Result<Transaction<'static, Any>> {
        self.pool.begin_with(self.dialect.begin()).await
    }

    /// A record and its children at one moment.
    async fn snapshot(&self, table: &'static Table, key: &str) -> sqlx::Result<Vec<Content>> {
        let mut connection = self.pool.acquire().await?;
        if let Some(setting) = self.dialect.before_reading() {
            connection.execute(setting).await?;
        }
        let mut tx = connection.begin_with(self.dialect.begin_reading()).await?;
        let contents = Rows { dialect: self.dialect, table, connection: &mut tx }.contents(key).await?;
        tx.commit().await?;
        Ok(contents)
    }

    async fn try_write(&self, order: &Order<'_>) -> Result<Write, Failed> {
        let mark = Uuid::new_v4();
        let (tx, contents) = answered(self.carry_out(order, mark)).await?;
        tokio::time::sleep(order.manner.held_open).await;
        let before = self.clock.now();
        if let Err(error) = answered(tx.commit()).await {
            self.settle_doubt(order, mark, error).await?;
        }
        let committed = Interval::new(before, self.clock.now());
        Ok(Write { system: self.system, entity: order.entity, key: order.key.to_owned(), contents, committed })
    }

    /// Writes, and reads back what the key holds then. All but the commit.
    async fn carry_out(
        &self,
        order: &Order<'_>,
        mark: Uuid,
    ) -> sqlx::Result<(Transaction<'static, Any>, Vec<Content>)> {
        let mut tx = self.begin().await?;
        latch::take(self.dialect, &mut tx, order.entity, order.key, mark).await?;
        let mut rows = Rows { dialect: self.dialect, table: order.table, connection: &mut tx };
        rows.replace(order.key, &order.contents, self.clock.now(), order.manner).await?;
        let contents = rows.contents(order.key).await?;
        if order.entity == Entity::Product && self.system == System::Erp {
            outbox::add(self.dialect, &mut tx, order.entity, order.key).await?;
        }
        Ok((tx, contents))
    }

    /// A commit that gave no answer may have taken place: finds out, and gives the error back if it has not.
    async fn settle_doubt(&self, order: &Order<'_>, mark: Uuid, error: sqlx::Error) -> Result<(), Failed> {
        if !self.dialect.writes_side_by_side() || error.as_database_error().is_some() {
            return Err(error.into());
        }
        let began = tokio::time::Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        while began.elapsed() < DOUBT_LIMIT {
            let bears = latch::bears(self.dialect, &self.pool, order.entity, order.key, mark);
            match answered(bears).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(error.into()),
                Err(_still_away) => tokio::time::sleep(backoff.next_wait()).await,
            }
        }
        Err(error.into())
    }
}

/// The same, unless it takes too long.
async fn answered<T>(question: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(ANSWER_LIMIT, question).await.map_err(late)?
}

/// What somebody wants written.
struct Order<'o> {
    table: &'static Table,
    entity: Entity,
    key: &'o str,
    contents: Vec<Content>,
    manner: Manner,
}

/// Why a write did not take place.
#[derive(Debug, thiserror::Error)]
enum Failed {
    /// Another writer was first; the same write may succeed now.
    #[error("lost against another writer")]
    Outrun(#[source] sqlx::Error),
    #[error(transparent)]
    Sql(sqlx::Error),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        // Serialisation failure and deadlock (SQLSTATE class 40), lock wait timeout (MariaDB's 1205 comes as HY000 and
        // its number), SQLite's BUSY and its kinds.
        let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
        let outrun = code.starts_with("40") || matches!(code.as_ref(), "1205" | "1213" | "5" | "261" | "517");
        if outrun { Self::Outrun(error) } else { Self::Sql(error) }
    }
}

impl Book for Database {
    async fn read(&self, entity: Entity, key: &str) -> anyhow::Result<Vec<Content>> {
        let table = self.table(entity)?;
        let contents = answered(self.snapshot(table, key)).await;
        contents.with_context(|| format!("cannot read {entity} `{key}` of the {}", self.system))
    }

    /// Must be driven to its end: a write that is dropped on the way may have taken place without a note.
    async fn write(&self, entity: Entity, key: &str, contents: &[Content], manner: Manner) -> anyhow::Result<()> {
        let table = self.table(entity)?;
        let contents = contents.iter().filter(|content| table.can_hold(content)).cloned().collect();
        let order = Order { table, entity, key, contents, manner };
        let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(500));
        let mut tries = 1;
        loop {
            match self.try_write(&order).await {
                Ok(write) => {
                    self.log.note(write);
                    return Ok(());
                }
                Err(Failed::Outrun(_)) if tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(backoff.next_wait()).await;
                }
                Err(failed) => {
                    let wanted = format!("cannot write {entity} `{key}` in the {}", self.system);
                    return Err(anyhow::Error::new(failed).context(wanted));
                }
            }
        }
    }
}
