//! The whole way of a changed record: PostgreSQL (owner) and MariaDB (target) on private servers, the auditor as
//! `serve` runs it with state on SQLite and the embedded ledger, until ClickHouse has acknowledged every check.
//!
//! The limit of the same run is a bare `SELECT` of the same rows on both sides, row by row, values not looked at.
//! Asked of it: 20,000 changed records a second on two cores, the three servers included.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::TryStreamExt;
use plumbline::audit::auditor::{Auditor, Options, Stop};
use plumbline::config::{Config, Environment, parse_with};
use sqlx::{AssertSqlSafe, MySqlPool, PgPool, Row};

/// The servers of the tests, of which this needs a part.
#[allow(dead_code, clippy::expect_used, clippy::panic, reason = "written for tests")]
#[path = "../tests/it"]
mod it {
    pub mod support;
}
use it::support;

const RECORDS: u64 = 200_000;
const WANTED: f64 = 20_000.0;
const UNIT: &str = "changes/order/shop";
const COLUMNS: &str = "number, customer, status, name, quantity, price, total, placed_at, updated_at";

const CONFIG: &str = r#"
[plumbline]
data_dir = "data"

[system.shop]
kind = "postgres"
url = "env:SHOP_URL"
commit_delay = "0s"
budget = { requests_per_second = 10_000, concurrency = 4, rows_per_run = 1_000_000 }

[system.erp]
kind = "mariadb"
url = "env:ERP_URL"
time_zone = "UTC"
budget = { requests_per_second = 10_000, concurrency = 4, rows_per_run = 1_000_000 }

[entity.order]
class = "near_realtime"
key = "number"
fields.number = { type = "integer", store = "clear" }
fields.customer = { type = "integer", owner = "shop" }
fields.status = { type = "text", owner = "shop" }
fields.name = { type = "text", owner = "shop" }
fields.quantity = { type = "integer", owner = "shop" }
fields.price = { type = "decimal", owner = "shop" }
fields.total = { type = "money", owner = "shop" }
fields.placed_at = { type = "timestamp", owner = "shop" }

[entity.order.in.shop]
dataset = "orders"
changed_at = "updated_at"
fields = { number = "number", customer = "customer", status = "status", name = "name", quantity = "quantity", price = "price", placed_at = "placed_at", total = { path = "total", currency = "EUR" } }

[entity.order.in.erp]
dataset = "orders"
changed_at = "updated_at"
fields = { number = "number", customer = "customer", status = "status", name = "name", quantity = "quantity", price = "price", placed_at = "placed_at", total = { path = "total", currency = "EUR" } }

[[probe]]
entity = "order"
kind = "changes"
schedule = "every 250ms"
"#;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (shop, erp) = (support::postgres().await.database().await, support::mariadb().await.database().await);
    fill(&shop.pool(), &erp.pool()).await?;
    let dir = tempfile::tempdir()?;
    let environment = Environment::fixed([("SHOP_URL", shop.url().as_str()), ("ERP_URL", erp.url().as_str())]);
    let config = parse_with(CONFIG, Path::new("plumbline.toml"), dir.path(), &environment);
    let config = Arc::new(config.map_err(|problems| anyhow::anyhow!("{problems}"))?);

    find_the_present(&config).await?;
    change_all(&shop.pool(), &erp.pool()).await?;
    let bare = bare_selects(&shop.pool(), &erp.pool()).await?;
    let audited = audit(&config).await?;

    let per_second = RECORDS as f64 / audited.as_secs_f64();
    println!("changes: PostgreSQL to MariaDB, {RECORDS} changed records of 8 fields, ledger included");
    println!("  audited and acknowledged     {per_second:>10.0} records/s");
    println!("  bare SELECT on both sides    {:>10.0} records/s", RECORDS as f64 / bare.as_secs_f64());
    println!("  cost next to the bare SELECT {:>10.1} times", audited.as_secs_f64() / bare.as_secs_f64());
    println!("  wanted                       {WANTED:>10.0}  {}", if per_second >= WANTED { "met" } else { "missed" });
    Ok(())
}

/// The same rows in both systems, written long ago.
async fn fill(shop: &PgPool, erp: &MySqlPool) -> anyhow::Result<()> {
    let columns = |stamp: &str| {
        format!(
            "CREATE TABLE orders (number BIGINT PRIMARY KEY, customer BIGINT NOT NULL, status VARCHAR(20) NOT NULL, \
             name VARCHAR(80) NOT NULL, quantity INTEGER NOT NULL, price DECIMAL(12,4) NOT NULL, \
             total DECIMAL(12,2) NOT NULL, placed_at {stamp} NOT NULL, updated_at {stamp} NOT NULL)"
        )
    };
    sqlx::query(AssertSqlSafe(columns("TIMESTAMPTZ"))).execute(shop).await?;
    sqlx::query(AssertSqlSafe(columns("DATETIME(6)"))).execute(erp).await?;
    let values = |numbers: &str, placed_at: &str| {
        format!(
            "INSERT INTO orders SELECT n, n % 9973, 'shipped', concat('Customer number ', n), n % 97, \
             (n % 50000) / 16.0, (n % 90000) / 100.0, {placed_at}, '2026-01-01 00:00:00' FROM {numbers}"
        )
    };
    let numbers = format!("generate_series(1, {RECORDS}) n");
    let insert = values(&numbers, "timestamptz '2026-01-01 00:00:00Z' + n * interval '1.000003 s'");
    sqlx::query(AssertSqlSafe(insert)).execute(shop).await?;
    let numbers = format!("(SELECT seq AS n FROM seq_1_to_{RECORDS}) numbers");
    let insert = values(&numbers, "timestamp'2026-01-01 00:00:00' + INTERVAL n * 1000003 MICROSECOND");
    sqlx::query(AssertSqlSafe(insert)).execute(erp).await?;
    sqlx::query("CREATE INDEX changed ON orders (updated_at, number)").execute(shop).await?;
    sqlx::query("ANALYZE orders").execute(shop).await?;
    Ok(())
}

/// A first start, which only notes where the present is.
async fn find_the_present(config: &Arc<Config>) -> anyhow::Result<()> {
    let auditor = open(config).await?;
    let (state, stop) = (auditor.state(), Stop::default());
    let running = tokio::spawn(auditor.run(stop.clone()));
    while state.position(UNIT).await?.is_none() {
        anyhow::ensure!(!running.is_finished(), "the auditor ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.gentle.cancel();
    running.await?
}

/// Every record changes, the target's copy first.
async fn change_all(shop: &PgPool, erp: &MySqlPool) -> anyhow::Result<()> {
    sqlx::query("UPDATE orders SET quantity = quantity + 1, updated_at = utc_timestamp(6)").execute(erp).await?;
    let update = "UPDATE orders SET quantity = quantity + 1, updated_at = clock_timestamp()";
    sqlx::query(update).execute(shop).await?;
    sqlx::query("VACUUM ANALYZE orders").execute(shop).await?;
    Ok(())
}

/// The limit: both sides' rows once, one side after the other.
async fn bare_selects(shop: &PgPool, erp: &MySqlPool) -> anyhow::Result<Duration> {
    let select = format!("SELECT {COLUMNS} FROM orders");
    let began = Instant::now();
    let count = async |seen: u64, columns: usize| Ok(seen + u64::from(columns == 9));
    let in_shop = sqlx::query(AssertSqlSafe(select.clone())).fetch(shop);
    let in_shop = in_shop.try_fold(0, |seen, row| count(seen, row.len())).await?;
    let in_erp = sqlx::query(AssertSqlSafe(select)).fetch(erp);
    let in_erp = in_erp.try_fold(0, |seen, row| count(seen, row.len())).await?;
    anyhow::ensure!((in_shop, in_erp) == (RECORDS, RECORDS), "{in_shop} and {in_erp} rows");
    Ok(began.elapsed())
}

/// From the auditor's start to the last acknowledged check.
async fn audit(config: &Arc<Config>) -> anyhow::Result<Duration> {
    let auditor = open(config).await?;
    let (ledger, stop) = (auditor.ledger(), Stop::default());
    let began = Instant::now();
    let running = tokio::spawn(auditor.run(stop.clone()));
    let checks = "SELECT count() FROM checks WHERE verdict = 'match'";
    while ledger.query(checks).fetch_one::<u64>().await.context("the ledger does not answer")? < RECORDS {
        anyhow::ensure!(!running.is_finished(), "the auditor ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = began.elapsed();
    stop.gentle.cancel();
    running.await??;
    let other: u64 = ledger.query(checks).fetch_one().await.unwrap_or(RECORDS);
    anyhow::ensure!(other == RECORDS, "{other} checks of {RECORDS} records");
    Ok(took)
}

async fn open(config: &Arc<Config>) -> anyhow::Result<Auditor> {
    Auditor::open(Arc::clone(config), &Options { program: env!("CARGO_BIN_EXE_plumbline").into() }).await
}
