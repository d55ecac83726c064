//! Two databases of any product, with the usual small table and the usual config, which a case may change.

use sqlx::{AssertSqlSafe, Connection, MySql, Postgres, Row, SqliteConnection};

use crate::config_text::ConfigText;
use crate::support::{TestDatabase, TestSqlite, mariadb, postgres, sqlite};
use crate::world::World;

/// What a database runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    Postgres,
    Mariadb,
    Sqlite,
}

/// A fresh database of one case.
pub enum Database {
    Postgres(TestDatabase<Postgres>),
    Mariadb(TestDatabase<MySql>),
    Sqlite(TestSqlite),
}

impl Database {
    pub async fn new(product: Product) -> Self {
        match product {
            Product::Postgres => Self::Postgres(postgres().await.database().await),
            Product::Mariadb => Self::Mariadb(mariadb().await.database().await),
            Product::Sqlite => Self::Sqlite(sqlite().await),
        }
    }

    pub fn product(&self) -> Product {
        match self {
            Self::Postgres(_) => Product::Postgres,
            Self::Mariadb(_) => Product::Mariadb,
            Self::Sqlite(_) => Product::Sqlite,
        }
    }

    pub fn url(&self) -> String {
        match self {
            Self::Postgres(database) => database.url(),
            Self::Mariadb(database) => database.url(),
            Self::Sqlite(database) => database.url(),
        }
    }

    /// Its `kind` in the config.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::Mariadb(_) => "mariadb",
            Self::Sqlite(_) => "sqlite",
        }
    }

    /// The type of a time stamp with a fraction.
    pub fn stamp(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "timestamptz",
            Self::Mariadb(_) => "datetime(6)",
            Self::Sqlite(_) => "text",
        }
    }

    /// The present, as an expression.
    pub fn now(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "clock_timestamp()",
            Self::Mariadb(_) => "utc_timestamp(6)",
            Self::Sqlite(_) => "strftime('%Y-%m-%d %H:%M:%f', 'now')",
        }
    }

    /// The present and so many seconds, as an expression.
    pub fn now_and(&self, seconds: i64) -> String {
        match self {
            Self::Postgres(_) => format!("clock_timestamp() + interval '{seconds} seconds'"),
            Self::Mariadb(_) => format!("utc_timestamp(6) + interval {seconds} second"),
            Self::Sqlite(_) => format!("strftime('%Y-%m-%d %H:%M:%f', 'now', '{seconds:+} seconds')"),
        }
    }

    /// Runs one statement.
    pub async fn run(&self, text: &str) {
        let statement = AssertSqlSafe(text.to_owned());
        let outcome = match self {
            Self::Postgres(database) => sqlx::query(statement).execute(&database.pool()).await.map(|_| ()),
            Self::Mariadb(database) => sqlx::query(statement).execute(&database.pool()).await.map(|_| ()),
            Self::Sqlite(database) => sqlx::query(statement).execute(&database.pool()).await.map(|_| ()),
        };
        outcome.unwrap_or_else(|error| panic!("{text}: {error}"));
    }

    /// The only whole number that a query gives.
    pub async fn number(&self, text: &str) -> i64 {
        let statement = AssertSqlSafe(text.to_owned());
        match self {
            Self::Postgres(database) => sqlx::query(statement).fetch_one(&database.pool()).await.unwrap().get(0),
            Self::Mariadb(database) => sqlx::query(statement).fetch_one(&database.pool()).await.unwrap().get(0),
            Self::Sqlite(database) => sqlx::query(statement).fetch_one(&database.pool()).await.unwrap().get(0),
        }
    }

    /// The usual table.
    pub async fn create_stock(&self) {
        let stamp = self.stamp();
        self.run(&format!(
            "CREATE TABLE stock (sku varchar(60) PRIMARY KEY, qty integer, name varchar(60), updated_at {stamp} NOT NULL)"
        ))
        .await;
        self.run("CREATE INDEX stock_updated_at ON stock (updated_at)").await;
    }

    /// Inserts or changes a row of the usual table, stamped with the present.
    pub async fn put(&self, sku: &str, qty: i64) {
        self.put_at(sku, qty, self.now()).await;
    }

    /// Inserts or changes a row of the usual table, stamped by an expression.
    pub async fn put_at(&self, sku: &str, qty: i64, stamp: &str) {
        let end = match self.product() {
            Product::Mariadb => "ON DUPLICATE KEY UPDATE qty = VALUES(qty), updated_at = VALUES(updated_at)",
            _ => "ON CONFLICT (sku) DO UPDATE SET qty = excluded.qty, updated_at = excluded.updated_at",
        };
        self.run(&format!("INSERT INTO stock (sku, qty, updated_at) VALUES ('{sku}', {qty}, {stamp}) {end}")).await;
    }

    /// Changes a table. SQLite's connections go by what they last knew of it: this one knows nothing yet.
    pub async fn alter(&self, text: &str) {
        let Self::Sqlite(file) = self else { return self.run(text).await };
        let mut connection = SqliteConnection::connect(&file.url()).await.unwrap();
        for text in ["PRAGMA busy_timeout = 30000", text] {
            let outcome = sqlx::query(AssertSqlSafe(text.to_owned())).execute(&mut connection).await;
            outcome.unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }

    /// Renames a column of the usual table.
    pub async fn rename(&self, from: &str, to: &str) {
        let rename = format!("ALTER TABLE stock RENAME COLUMN {from} TO {to}");
        let Self::Sqlite(database) = self else { return self.run(&rename).await };
        // SQLite takes the columns from what the connection last knew of the table: it has to look first.
        let mut connection = database.pool().acquire().await.unwrap();
        for text in [format!("SELECT {from} FROM stock"), rename] {
            sqlx::query(AssertSqlSafe(text)).fetch_all(&mut *connection).await.unwrap();
        }
    }

    /// Deletes a row of the usual table for good.
    pub async fn delete(&self, sku: &str) {
        self.run(&format!("DELETE FROM stock WHERE sku = '{sku}'")).await;
    }
}

/// An owner and a target.
pub struct Pair {
    pub owner: Database,
    pub target: Database,
}

/// What a case changes of the usual config: text for its sections.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    pub deadline: &'a str,
    /// Lines of `[plumbline]`.
    pub plumbline: &'a str,
    /// Lines of the owner's `[system.erp]`, besides `kind` and `url`.
    pub erp: &'a str,
    /// Lines of the target's `[system.store]`.
    pub store: &'a str,
    /// Lines of `[entity.stock]`.
    pub entity: &'a str,
    /// Lines of `[entity.stock.in.erp]`.
    pub in_erp: &'a str,
    /// Lines of `[entity.stock.in.store]`.
    pub in_store: &'a str,
    /// Further sections.
    pub more: &'a str,
}

/// How long a statement of a case may take from its stamp to its commit on a busy machine.
pub const COMMIT_DELAY: &str = "commit_delay = \"2s\"";

/// The usual entity.
pub const QUANTITIES: &str = r#"
    key = ["sku"]
    fields.sku = { type = "text", store = "clear" }
    fields.qty = { type = "integer", owner = "erp" }
"#;

/// The usual mapping.
pub const STOCK: &str = r#"
    dataset = "stock"
    changed_at = "updated_at"
    fields = { sku = "sku", qty = "qty" }
"#;

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            deadline: "1s",
            plumbline: "",
            erp: COMMIT_DELAY,
            store: COMMIT_DELAY,
            entity: QUANTITIES,
            in_erp: STOCK,
            in_store: STOCK,
            more: PROBE,
        }
    }
}

/// The usual probe.
pub const PROBE: &str = r#"
    [[probe]]
    entity = "stock"
    kind = "changes"
    schedule = "every 200ms"
"#;

impl Pair {
    /// Two empty databases.
    pub async fn empty(owner: Product, target: Product) -> Self {
        Self { owner: Database::new(owner).await, target: Database::new(target).await }
    }

    /// Two databases with the usual table.
    pub async fn new(owner: Product, target: Product) -> Self {
        let pair = Self::empty(owner, target).await;
        pair.owner.create_stock().await;
        pair.target.create_stock().await;
        pair
    }

    /// Writes the same row on both sides, the owner first.
    pub async fn both(&self, sku: &str, qty: i64) {
        self.owner.put(sku, qty).await;
        self.target.put(sku, qty).await;
    }

    /// Units over both, with the usual config and this deadline.
    pub async fn world(&self, deadline: &str) -> World {
        self.world_with(Setup { deadline, ..Setup::default() }).await
    }

    /// Units over both.
    pub async fn world_with(&self, setup: Setup<'_>) -> World {
        World::open(&self.config(setup), &self.urls()).await
    }

    /// The variables that the config names.
    pub fn urls(&self) -> [(&'static str, String); 2] {
        [("ERP", self.owner.url()), ("STORE", self.target.url())]
    }

    /// The config of a case.
    pub fn config(&self, setup: Setup<'_>) -> String {
        let Setup { deadline, plumbline, erp, store, entity, in_erp, in_store, more } = setup;
        ConfigText::new()
            .plumbline(plumbline)
            .database("erp", self.owner.kind(), "env:ERP", erp)
            .database("store", self.target.kind(), "env:STORE", store)
            .entity("stock", entity)
            .mapping("stock", "erp", in_erp)
            .mapping("stock", "store", in_store)
            .more(more)
            .fresh_within("stock", deadline)
            .text()
    }
}
