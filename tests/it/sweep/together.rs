//! Auditors that share one sweep: each goes through pieces of it, one is killed in the middle, and the result is exact.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, PgPool, Postgres};

use crate::config_text::ConfigText;
use crate::serve::{Serve, count, shared_ledger};
use crate::support::{TestDatabase, free_port, postgres, wait_until};
use crate::verdicts::pair::{Pair, Product};

const ENTITY: &str = r#"
    key = ["id"]
    fields.id = { type = "integer", store = "clear" }
    fields.qty = { type = "integer", owner = "erp" }
"#;
const MAPPING: &str = "dataset = \"item\"\nfields = { id = \"id\", qty = \"qty\" }";
const ROWS: u64 = 300_000;
const NAMES: [&str; 2] = ["one", "two"];

/// Two databases that differ here and there.
async fn systems() -> (Pair, BTreeSet<String>) {
    let pair = Pair::empty(Product::Postgres, Product::Postgres).await;
    for side in [&pair.owner, &pair.target] {
        side.run("CREATE TABLE item (id bigint PRIMARY KEY, qty bigint)").await;
        side.run(&format!("INSERT INTO item SELECT n, n FROM generate_series(1, {ROWS}) s(n)")).await;
        side.run("ANALYZE item").await;
    }
    pair.target.run("UPDATE item SET qty = -1 WHERE id % 7919 = 0").await;
    pair.target.run("DELETE FROM item WHERE id = 299999").await;
    pair.target.run("INSERT INTO item VALUES (0, 0)").await;
    let changed = (1..=ROWS).filter(|id| id % 7919 == 0);
    (pair, changed.chain([0, 299_999]).map(|id| id.to_string()).collect())
}

/// One of two auditors. A few statements a second, so that there is a middle of the sweep.
fn config(dir: &Path, name: &str, ledger: &str, port: u16) -> PathBuf {
    let head = format!(
        "listen = \"127.0.0.1:{port}\"\ndata_dir = \"{name}-data\"\nlease = \"2s\"\nauditor = \"{name}\"\n\
         state = \"env:STATE\"\nsecret_key = \"env:SECRET\"\n{ledger}"
    );
    let budget = "budget = { requests_per_second = 8, concurrency = 2, rows_per_run = 1_000_000 }";
    let text = ConfigText::new()
        .plumbline(&head)
        .database("erp", "postgres", "env:ERP", budget)
        .database("store", "postgres", "env:STORE", "")
        .entity("stock", ENTITY)
        .mapping("stock", "erp", MAPPING)
        .mapping("stock", "store", MAPPING)
        .probe("stock", "sweep", "every 1h", "chunk_rows = 10_000")
        .fresh_within("stock", "1s")
        .text();
    let path = dir.join(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    path
}

async fn number(state: &PgPool, query: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(state).await.unwrap()
}

/// Stops an auditor while it has a piece, and says which.
async fn stop_within_a_piece(auditor: &Serve, name: &str, state: &TestDatabase<Postgres>) -> String {
    let pool = state.pool();
    let held = || async {
        let text = "SELECT id FROM sweep_chunks WHERE auditor = $1 AND status = 'open' AND expires_at > 0";
        sqlx::query_scalar::<_, String>(text).bind(name).fetch_optional(&pool).await.unwrap()
    };
    loop {
        wait_until(|| async { held().await.is_some() }).await;
        auditor.signal("-STOP");
        // What it had already sent is done first.
        let active = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                      AND state = 'active' AND pid <> pg_backend_pid()";
        wait_until(|| async { number(&pool, active).await == 0 }).await;
        if let Some(id) = held().await {
            return id;
        }
        auditor.signal("-CONT");
    }
}

async fn one_of_two_is_killed(victim_holds_the_unit: bool) {
    let dir = tempfile::tempdir().unwrap();
    let (pair, differing) = systems().await;
    let state = postgres().await.database().await;
    let (engine, ledger, ledger_head) = shared_ledger(dir.path()).await;
    let (state_url, secret) = (state.url(), "5".repeat(64));
    let (erp, store) = (pair.owner.url(), pair.target.url());
    let environment = [
        ("STATE", state_url.as_str()),
        ("SECRET", secret.as_str()),
        ("LEDGER_PASSWORD", engine.password()),
        ("ERP", erp.as_str()),
        ("STORE", store.as_str()),
    ];
    let mut auditors = NAMES.map(|name| {
        let port = free_port();
        Some(Serve::start(&config(dir.path(), name, &ledger_head, port), port, &environment))
    });
    let pool = state.pool();
    wait_until(|| async {
        let both = "SELECT count(DISTINCT auditor) FROM sweep_chunks WHERE status IN ('found', 'settled')";
        sqlx::query_scalar::<_, i64>(both).fetch_one(&pool).await.is_ok_and(|auditors| auditors == 2)
    })
    .await;
    let holder: String = sqlx::query_scalar("SELECT auditor FROM leases WHERE unit = 'changes/stock/erp'")
        .fetch_one(&pool)
        .await
        .unwrap();
    let victim = usize::from((holder == NAMES[1]) == victim_holds_the_unit);
    let (killed, survivor) = (auditors[victim].take().unwrap(), NAMES[1 - victim]);
    let piece = stop_within_a_piece(&killed, NAMES[victim], &state).await;
    killed.signal("-KILL");
    drop(killed);
    assert!(number(&pool, "SELECT count(*) FROM sweep_chunks WHERE status <> 'settled'").await > 1, "in the middle");

    wait_until(|| async { count(&ledger, "SELECT count() FROM sweeps WHERE event = 'completed'").await > 0 }).await;
    assert_eq!(number(&pool, "SELECT count(*) FROM sweep_chunks WHERE status <> 'settled'").await, 0);
    assert_eq!(number(&pool, "SELECT count(*) FROM sweep_chunks").await, 30);
    for name in NAMES {
        let done = format!("SELECT count(*) FROM sweep_chunks WHERE auditor = '{name}'");
        assert!(number(&pool, &done).await > 0, "{name} did nothing");
    }
    let taken_over = format!("SELECT count(*) FROM sweep_chunks WHERE id = '{piece}' AND auditor = '{survivor}'");
    assert_eq!(number(&pool, &taken_over).await, 1);

    // Everything once, by whoever it was.
    for (question, expect) in [
        ("countIf(event = 'completed') FROM sweeps", 1),
        ("uniqExact(sweep_id) FROM sweeps", 1),
        ("uniqExact(verified_through) FROM sweeps", 1),
        ("max(owner_records) FROM sweeps", ROWS),
        ("max(target_records) FROM sweeps", ROWS),
        ("count() - uniqExact(owner_records) FROM sweeps", 0),
        ("countIf(at < verified_through) FROM sweeps", 0),
        ("count() - uniqExact((run_id, key_hash)) FROM checks", 0),
    ] {
        let (what, table) = question.split_once(" FROM ").unwrap();
        assert_eq!(count(&ledger, &format!("SELECT toUInt64({what}) FROM {table}")).await, expect, "{question}");
    }
    let opened = "SELECT count() FROM discrepancy_events WHERE event = 'opened'";
    wait_until(|| async { count(&ledger, opened).await == differing.len() as u64 }).await;
    let keys = "SELECT DISTINCT key FROM discrepancy_events";
    let keys: BTreeSet<String> = ledger.query(keys).fetch_all().await.unwrap().into_iter().collect();
    assert_eq!(keys, differing);
    drop(auditors);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_auditors_share_a_sweep_and_one_that_joined_it_is_killed() {
    one_of_two_is_killed(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_auditors_share_a_sweep_and_the_one_that_began_it_is_killed() {
    one_of_two_is_killed(true).await;
}
