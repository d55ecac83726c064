//! The hard cases of judging, on real SQLite, PostgreSQL and MariaDB.

use plumbline::model::Verdict;
use sqlx::SqlitePool;

use crate::support::{TestSqlite, sqlite};
use crate::world::World;

/// Two SQLite systems with the same small stock table.
struct Shop {
    erp: TestSqlite,
    store: TestSqlite,
}

const STOCK: &str = "CREATE TABLE stock (sku TEXT PRIMARY KEY, qty INTEGER, name TEXT, updated_at TEXT NOT NULL)";
const NOW: &str = "strftime('%Y-%m-%d %H:%M:%f', 'now')";

impl Shop {
    async fn new() -> Self {
        let shop = Self { erp: sqlite().await, store: sqlite().await };
        for side in [&shop.erp, &shop.store] {
            run(&side.pool(), STOCK).await;
        }
        shop
    }

    async fn world(&self, deadline: &str) -> World {
        World::open(&config(deadline), &[("ERP", self.erp.url()), ("STORE", self.store.url())]).await
    }

    async fn erp(&self, sku: &str, qty: i64) {
        put(&self.erp.pool(), sku, qty).await;
    }

    async fn store(&self, sku: &str, qty: i64) {
        put(&self.store.pool(), sku, qty).await;
    }
}

fn config(deadline: &str) -> String {
    format!(
        r#"
        [plumbline]
        [system.erp]
        kind = "sqlite"
        url = "env:ERP"
        commit_delay = "50ms"
        [system.store]
        kind = "sqlite"
        url = "env:STORE"
        [entity.stock]
        key = ["sku"]
        fields.sku = {{ type = "text", store = "clear" }}
        fields.qty = {{ type = "integer", owner = "erp" }}
        [entity.stock.in.erp]
        dataset = "stock"
        changed_at = "updated_at"
        fields = {{ sku = "sku", qty = "qty" }}
        [entity.stock.in.store]
        dataset = "stock"
        changed_at = "updated_at"
        fields = {{ sku = "sku", qty = "qty" }}
        [[probe]]
        entity = "stock"
        kind = "changes"
        schedule = "every 200ms"
        [[slo]]
        name = "stock"
        entity = "stock"
        indicator = "freshness"
        within = "{deadline}"
        objective = "99%"
        window = "30d"
        "#
    )
}

async fn run(pool: &SqlitePool, text: &str) {
    sqlx::query(sqlx::AssertSqlSafe(text.to_owned())).execute(pool).await.unwrap();
}

async fn put(pool: &SqlitePool, sku: &str, qty: i64) {
    let text = format!(
        "INSERT INTO stock (sku, qty, updated_at) VALUES ('{sku}', {qty}, {NOW}) \
         ON CONFLICT (sku) DO UPDATE SET qty = excluded.qty, updated_at = excluded.updated_at"
    );
    run(pool, &text).await;
}

#[tokio::test]
async fn a_change_that_arrives_is_a_match_with_its_lag() {
    let shop = Shop::new().await;
    let mut world = shop.world("30s").await;
    shop.erp("A", 1).await;
    world.look_until_verdict("A", Verdict::InFlight).await;
    shop.store("A", 1).await;
    let row = world.look_until_verdict("A", Verdict::Match).await;
    assert!(row.lag_high_us > 0 && row.lag_low_us <= row.lag_high_us);
    let events = world.freshness();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].outcome, "good");
    assert_eq!(world.open_discrepancies().await, 0);
}

#[tokio::test]
async fn a_dropped_change_becomes_missing_and_heals() {
    let shop = Shop::new().await;
    let mut world = shop.world("1s").await;
    shop.erp("A", 1).await;
    world.look_until_verdict("A", Verdict::Missing).await;
    assert_eq!(world.open_discrepancies().await, 1);
    shop.store("A", 1).await;
    world.look_until_verdict("A", Verdict::Match).await;
    assert_eq!(world.open_discrepancies().await, 0);
    assert_eq!(world.verdicts("A"), ["in_flight", "missing", "match"]);
    let steps: Vec<String> = world.discrepancies().into_iter().map(|row| row.event).collect();
    assert_eq!(steps, ["opened", "resolved"]);
    let outcomes: Vec<String> = world.freshness().into_iter().map(|row| row.outcome).collect();
    assert_eq!(outcomes, ["bad"]);
}

#[tokio::test]
async fn a_hot_key_whose_sync_is_dead_never_stays_in_flight() {
    let shop = Shop::new().await;
    shop.erp("A", 0).await;
    shop.store("A", 0).await;
    let mut world = shop.world("2s").await;
    let pool = shop.erp.pool();
    let writer = tokio::spawn(async move {
        for qty in 1.. {
            put(&pool, "A", qty).await;
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        }
    });
    let row = world.look_until_verdict("A", Verdict::Stale).await;
    writer.abort();
    assert!(row.lag_low_us > 2_000_000, "{row:?}");
    assert_eq!(world.open_discrepancies().await, 1);
}
