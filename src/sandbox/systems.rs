//! The two systems: their tables, and how each writes the same things differently.
//!
//! | | ERP | warehouse |
//! |---|---|---|
//! | product | `SKU-0007`, price in cents | `WH-SKU-0007`, title cut to 24 characters, price as `12.99` |
//! | order | `SO-1001`, `sale` / `done`, others do not count | `1001`, `open` / `shipped` |
//! | stock | `SKU-0007`, follows | `WH-SKU-0007`, is right |
//! | time | `2026-01-31 12:00:00.000000`, UTC | milliseconds since 1970 |

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::Entity;
use super::plan::{self, Change};
use super::truth::{Content, Side, TITLE_LENGTH, Write, WriteLog};
use crate::clock::Clock;
use crate::model::{Interval, Moment};

/// A writer waits this long for another; one commit takes about a millisecond.
const BUSY_LIMIT: Duration = Duration::from_secs(20);

/// Connections to both systems.
#[derive(Clone, Debug)]
pub struct Systems {
    erp: SqlitePool,
    warehouse: SqlitePool,
    directory: PathBuf,
}

impl Systems {
    /// Makes both databases in `directory` with their tables, and fills in what the company opens with.
    ///
    /// # Errors
    /// When a database of that name is already there or cannot be written.
    pub async fn create(directory: &Path, products: usize, opening: Moment) -> anyhow::Result<Self> {
        for file in ["erp.db", "warehouse.db"].map(|name| directory.join(name)) {
            anyhow::ensure!(!file.exists(), "`{}` is already there: name an empty directory", file.display());
        }
        let systems = Self::open(directory).await?;
        sqlx::raw_sql(include_str!("schema/erp.sql")).execute(&systems.erp).await?;
        sqlx::raw_sql(include_str!("schema/warehouse.sql")).execute(&systems.warehouse).await?;
        systems.fill(products, opening).await?;
        Ok(systems)
    }

    /// Opens both databases in `directory`.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub async fn open(directory: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            erp: connect(&directory.join("erp.db")).await?,
            warehouse: connect(&directory.join("warehouse.db")).await?,
            directory: directory.to_owned(),
        })
    }

    /// The ERP's file.
    pub fn erp_file(&self) -> PathBuf {
        self.directory.join("erp.db")
    }

    /// The warehouse's file.
    pub fn warehouse_file(&self) -> PathBuf {
        self.directory.join("warehouse.db")
    }

    async fn fill(&self, products: usize, opening: Moment) -> anyhow::Result<()> {
        let (mut erp, mut warehouse) = (write(&self.erp).await?, write(&self.warehouse).await?);
        for product in 0..products {
            let (sku, name, cents) = (plan::sku(product), plan::first_name(product), plan::first_price(product));
            sqlx::query("INSERT INTO product (sku, name, price_cents, write_date) VALUES (?, ?, ?, ?)")
                .bind(&sku)
                .bind(&name)
                .bind(cents)
                .bind(erp_time(opening))
                .execute(&mut *erp)
                .await?;
            let stock = Content::Stock { pieces: plan::first_pieces(product) };
            set_bin(&mut warehouse, &sku, plan::first_pieces(product), opening).await?;
            insert(&mut erp, &sku, &stock, opening).await?;
            insert(&mut warehouse, &sku, &Content::Product { title: cut(&name), cents }, opening).await?;
        }
        erp.commit().await?;
        warehouse.commit().await?;
        Ok(())
    }

    /// Begins a write in the system that owns the entity.
    pub async fn write_owner(&self, entity: Entity) -> sqlx::Result<Transaction<'static, Sqlite>> {
        write(self.owner(entity)).await
    }

    /// Begins a write in the system that must follow.
    pub async fn write_target(&self, entity: Entity) -> sqlx::Result<Transaction<'static, Sqlite>> {
        write(self.target(entity)).await
    }

    /// Reads what the owner holds now.
    pub async fn read_owner(&self, entity: Entity, key: &str) -> sqlx::Result<Option<Content>> {
        let mut connection = self.owner(entity).acquire().await?;
        owner_content(&mut connection, entity, key).await
    }

    fn owner(&self, entity: Entity) -> &SqlitePool {
        match entity {
            Entity::Product | Entity::Order => &self.erp,
            Entity::Stock => &self.warehouse,
        }
    }

    fn target(&self, entity: Entity) -> &SqlitePool {
        match entity {
            Entity::Product | Entity::Order => &self.warehouse,
            Entity::Stock => &self.erp,
        }
    }

    /// Closes both.
    pub async fn close(&self) {
        self.erp.close().await;
        self.warehouse.close().await;
    }
}

async fn connect(file: &Path) -> anyhow::Result<SqlitePool> {
    // Readers and writers do not block each other in WAL mode.
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_LIMIT);
    Ok(SqlitePoolOptions::new().max_connections(3).connect_with(options).await?)
}

async fn write(pool: &SqlitePool) -> sqlx::Result<Transaction<'static, Sqlite>> {
    pool.begin_with("BEGIN IMMEDIATE").await
}

/// What a clerk does, in the owner's words.
pub async fn change(tx: &mut SqliteConnection, change: &Change, now: Moment) -> sqlx::Result<()> {
    let done = match change {
        Change::Reprice { sku, cents } => {
            sqlx::query("UPDATE product SET price_cents = ?, write_date = ? WHERE sku = ?")
                .bind(cents)
                .bind(erp_time(now))
                .bind(sku)
                .execute(tx)
                .await
        }
        Change::Rename { sku, name } => {
            sqlx::query("UPDATE product SET name = ?, write_date = ? WHERE sku = ?")
                .bind(name)
                .bind(erp_time(now))
                .bind(sku)
                .execute(tx)
                .await
        }
        Change::Draft { number, cents } => {
            sqlx::query("INSERT INTO sale_order (number, state, total_cents, write_date) VALUES (?, 'draft', ?, ?)")
                .bind(format!("SO-{number}"))
                .bind(cents)
                .bind(erp_time(now))
                .execute(tx)
                .await
        }
        Change::Advance { number, state } => {
            sqlx::query("UPDATE sale_order SET state = ?, write_date = ? WHERE number = ?")
                .bind(state.as_str())
                .bind(erp_time(now))
                .bind(format!("SO-{number}"))
                .execute(tx)
                .await
        }
        Change::Erase { number } => {
            sqlx::query("DELETE FROM sale_order WHERE number = ?").bind(format!("SO-{number}")).execute(tx).await
        }
        Change::Touch { sku } => {
            sqlx::query("UPDATE product SET write_date = ? WHERE sku = ?")
                .bind(erp_time(now))
                .bind(sku)
                .execute(tx)
                .await
        }
        Change::Count { sku, pieces } => {
            sqlx::query("UPDATE bin SET pieces = ?, updated_ms = ? WHERE item_no = ?")
                .bind(pieces)
                .bind(warehouse_time(now))
                .bind(format!("WH-{sku}"))
                .execute(tx)
                .await
        }
    };
    done.map(|_| ())
}

async fn set_bin(tx: &mut SqliteConnection, sku: &str, pieces: i64, now: Moment) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO bin (item_no, pieces, updated_ms) VALUES (?, ?, ?)")
        .bind(format!("WH-{sku}"))
        .bind(pieces)
        .bind(warehouse_time(now))
        .execute(tx)
        .await
        .map(|_| ())
}

/// What the owner holds for a key; `None` when it holds nothing that concerns the target.
pub async fn owner_content(
    connection: &mut SqliteConnection,
    entity: Entity,
    key: &str,
) -> sqlx::Result<Option<Content>> {
    match entity {
        Entity::Product => {
            let row = sqlx::query("SELECT name, price_cents FROM product WHERE sku = ?").bind(key);
            let row = row.fetch_optional(connection).await?;
            Ok(row.map(|row| Content::Product { title: cut(row.get(0)), cents: row.get(1) }))
        }
        Entity::Order => {
            let row = sqlx::query("SELECT state, total_cents FROM sale_order WHERE number = ?");
            let row = row.bind(format!("SO-{key}")).fetch_optional(connection).await?;
            Ok(row.and_then(|row| confirmed(row.get(0)).map(|status| order(status, row.get(1)))))
        }
        Entity::Stock => {
            let row = sqlx::query("SELECT pieces FROM bin WHERE item_no = ?").bind(format!("WH-{key}"));
            let row = row.fetch_optional(connection).await?;
            Ok(row.map(|row| Content::Stock { pieces: row.get(0) }))
        }
    }
}

/// Everything that the target holds for a key.
pub async fn target_contents(
    connection: &mut SqliteConnection,
    entity: Entity,
    key: &str,
) -> sqlx::Result<Vec<Content>> {
    let rows = match entity {
        Entity::Product => {
            let rows = sqlx::query("SELECT title, unit_price FROM item WHERE item_no = ? ORDER BY id");
            rows.bind(format!("WH-{key}")).fetch_all(connection).await?
        }
        Entity::Order => {
            let rows = sqlx::query("SELECT status, amount FROM pick_order WHERE ref = ? ORDER BY id");
            rows.bind(key).fetch_all(connection).await?
        }
        Entity::Stock => {
            let rows = sqlx::query("SELECT on_hand FROM stock_level WHERE sku = ? ORDER BY id");
            rows.bind(key).fetch_all(connection).await?
        }
    };
    Ok(rows
        .iter()
        .map(|row| match entity {
            Entity::Product => Content::Product { title: row.get(0), cents: cents(row.get(1)) },
            Entity::Order => order(row.get(0), cents(row.get(1))),
            Entity::Stock => Content::Stock { pieces: row.get(0) },
        })
        .collect())
}

/// Adds a record to the target.
pub async fn insert(tx: &mut SqliteConnection, key: &str, content: &Content, now: Moment) -> sqlx::Result<()> {
    let query = match content {
        Content::Product { title, cents } => {
            sqlx::query("INSERT INTO item (title, unit_price, updated_ms, item_no) VALUES (?, ?, ?, ?)")
                .bind(title.clone())
                .bind(decimal(*cents))
                .bind(warehouse_time(now))
                .bind(format!("WH-{key}"))
        }
        Content::Order { status, cents } => {
            sqlx::query("INSERT INTO pick_order (status, amount, updated_ms, ref) VALUES (?, ?, ?, ?)")
                .bind(status.clone())
                .bind(decimal(*cents))
                .bind(warehouse_time(now))
                .bind(key.to_owned())
        }
        Content::Stock { pieces } => sqlx::query("INSERT INTO stock_level (on_hand, write_date, sku) VALUES (?, ?, ?)")
            .bind(*pieces)
            .bind(erp_time(now))
            .bind(key.to_owned()),
    };
    query.execute(tx).await.map(|_| ())
}

/// Sets all records that the target holds for a key; says how many there were.
pub async fn update(tx: &mut SqliteConnection, key: &str, content: &Content, now: Moment) -> sqlx::Result<u64> {
    let query = match content {
        Content::Product { title, cents } => {
            sqlx::query("UPDATE item SET title = ?, unit_price = ?, updated_ms = ? WHERE item_no = ?")
                .bind(title.clone())
                .bind(decimal(*cents))
                .bind(warehouse_time(now))
                .bind(format!("WH-{key}"))
        }
        Content::Order { status, cents } => {
            sqlx::query("UPDATE pick_order SET status = ?, amount = ?, updated_ms = ? WHERE ref = ?")
                .bind(status.clone())
                .bind(decimal(*cents))
                .bind(warehouse_time(now))
                .bind(key.to_owned())
        }
        Content::Stock { pieces } => sqlx::query("UPDATE stock_level SET on_hand = ?, write_date = ? WHERE sku = ?")
            .bind(*pieces)
            .bind(erp_time(now))
            .bind(key.to_owned()),
    };
    query.execute(tx).await.map(|done| done.rows_affected())
}

/// Removes all records that the target holds for a key.
pub async fn delete(tx: &mut SqliteConnection, entity: Entity, key: &str) -> sqlx::Result<()> {
    let query = match entity {
        Entity::Product => sqlx::query("DELETE FROM item WHERE item_no = ?").bind(format!("WH-{key}")),
        Entity::Order => sqlx::query("DELETE FROM pick_order WHERE ref = ?").bind(key.to_owned()),
        Entity::Stock => sqlx::query("DELETE FROM stock_level WHERE sku = ?").bind(key.to_owned()),
    };
    query.execute(tx).await.map(|_| ())
}

/// Commits a write to the target and notes what it holds for `keys` afterwards.
pub async fn commit_target(
    mut tx: Transaction<'static, Sqlite>,
    entity: Entity,
    keys: &[&str],
    log: &WriteLog,
    clock: &impl Clock,
) -> sqlx::Result<()> {
    let mut held = Vec::with_capacity(keys.len());
    for key in keys {
        held.push(target_contents(&mut tx, entity, key).await?);
    }
    let before = clock.now();
    tx.commit().await?;
    let committed = Interval::new(before, clock.now());
    for (key, contents) in keys.iter().zip(held) {
        log.note(Write { side: Side::Target, entity, key: (*key).to_owned(), contents, committed });
    }
    Ok(())
}

fn order(status: &str, cents: i64) -> Content {
    Content::Order { status: status.to_owned(), cents }
}

/// The warehouse's word for an order's state; `None` for orders that do not concern it.
fn confirmed(state: &str) -> Option<&'static str> {
    match state {
        "sale" => Some("open"),
        "done" => Some("shipped"),
        _ => None,
    }
}

/// As much of a name as the warehouse can hold.
pub fn cut(name: &str) -> String {
    name.chars().take(TITLE_LENGTH).collect()
}

fn decimal(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Only reads what [`decimal`] wrote.
fn cents(decimal: &str) -> i64 {
    decimal.replace('.', "").parse().unwrap_or(i64::MIN)
}

fn erp_time(moment: Moment) -> String {
    moment.to_utc().format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

fn warehouse_time(moment: Moment) -> i64 {
    moment.micros().div_euclid(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_survives_the_warehouse() {
        for amount in [0, 5, 49, 100, 1299, 4_000_000] {
            assert_eq!(cents(&decimal(amount)), amount);
        }
        assert_eq!(decimal(1205), "12.05");
    }

    #[test]
    fn titles_are_cut_by_characters() {
        assert_eq!(cut("Lot à plomb en laiton massif"), "Lot à plomb en laiton ma");
    }

    #[tokio::test]
    async fn the_company_opens_in_agreement() {
        let directory = tempfile::tempdir().expect("a directory");
        let systems = Systems::create(directory.path(), 12, Moment::from_micros(1_000_000)).await.expect("a company");
        for product in 0..12 {
            let key = plan::sku(product);
            for entity in [Entity::Product, Entity::Stock] {
                let owner = systems.read_owner(entity, &key).await.expect("a read");
                let mut target = systems.write_target(entity).await.expect("a transaction");
                let target = target_contents(&mut target, entity, &key).await.expect("a read");
                assert_eq!(target, Vec::from_iter(owner), "{entity} {key}");
            }
        }
        let again = Systems::create(directory.path(), 12, Moment::from_micros(0)).await;
        assert!(again.is_err_and(|error| error.to_string().contains("is already there")));
    }
}
