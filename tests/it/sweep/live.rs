//! Sweeps while both sides are written: nothing that is on its way is reported, and no writer waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use plumbline::sweep::Strategy;

use super::bed::{Way, config_of, run, sweep};
use crate::support::wait_until;
use crate::verdicts::pair::{Pair, Product};

const ENTITY: &str = r#"
    key = ["id"]
    fields.id = { type = "integer", store = "clear" }
    fields.qty = { type = "integer", owner = "erp" }
"#;
const MAPPING: &str = r#"
    dataset = "item"
    changed_at = "changed"
    fields = { id = "id", qty = "qty" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn changes_on_their_way_are_not_reported_and_writers_do_not_wait() {
    let pair = Arc::new(Pair::empty(Product::Postgres, Product::Postgres).await);
    for side in [&pair.owner, &pair.target] {
        run(
            side,
            &[
                "CREATE TABLE item (id bigint PRIMARY KEY, qty bigint, changed timestamptz)",
                "INSERT INTO item SELECT n, n, now() - interval '1 day' FROM generate_series(1, 30000) s(n)",
            ],
        )
        .await;
    }
    run(&pair.target, &["UPDATE item SET qty = -1 WHERE id = 15000", "DELETE FROM item WHERE id = 20000"]).await;
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = {
        let (pair, stop, written) = (Arc::clone(&pair), Arc::clone(&stop), Arc::clone(&written));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let number = written.fetch_add(1, Ordering::Relaxed);
                let id = number * 7919 % 14_000 + 1;
                // A writer that had to wait for a sweep would fail here.
                let change = format!(
                    "DO $$ BEGIN SET LOCAL lock_timeout = '100ms'; \
                     UPDATE item SET qty = qty + 1, changed = clock_timestamp() WHERE id = {id}; END $$"
                );
                pair.owner.run(&change).await;
                pair.target.run(&change).await;
            }
        })
    };
    let config = config_of(&pair, ENTITY, MAPPING, MAPPING);
    for strategy in [Strategy::Digest, Strategy::Stream] {
        let before = written.load(Ordering::Relaxed);
        sweep(&config, &pair, Way::by(strategy)).await.is(&["15000 mismatch qty", "20000 missing"]);
        wait_until(async || written.load(Ordering::Relaxed) > before + 10).await;
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.expect("no write failed");
}

/// Rows come, go and get other keys on both sides while everything is gone through: a count that moves is no difference.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_go_and_move_meanwhile_are_no_differences() {
    let pair = Arc::new(Pair::empty(Product::Postgres, Product::Postgres).await);
    for side in [&pair.owner, &pair.target] {
        run(
            side,
            &[
                "CREATE TABLE item (id bigint PRIMARY KEY, qty bigint, changed timestamptz)",
                "INSERT INTO item SELECT n, n, now() - interval '1 day' FROM generate_series(1, 30000) s(n)",
            ],
        )
        .await;
    }
    run(&pair.target, &["UPDATE item SET qty = -1 WHERE id = 15000", "DELETE FROM item WHERE id = 20000"]).await;
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = {
        let (pair, stop, written) = (Arc::clone(&pair), Arc::clone(&stop), Arc::clone(&written));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let number = written.fetch_add(1, Ordering::Relaxed);
                let (id, new) = (number * 13 % 14_000 + 1, 40_000 + number);
                for change in [
                    format!("INSERT INTO item VALUES ({new}, 1, clock_timestamp())"),
                    format!("UPDATE item SET id = {new} + 1000000, changed = clock_timestamp() WHERE id = {new}"),
                    format!("DELETE FROM item WHERE id = {id}"),
                ] {
                    pair.owner.run(&change).await;
                    pair.target.run(&change).await;
                }
            }
        })
    };
    let config = config_of(&pair, ENTITY, MAPPING, MAPPING);
    for strategy in [Strategy::Digest, Strategy::Stream] {
        let before = written.load(Ordering::Relaxed);
        sweep(&config, &pair, Way::by(strategy)).await.is(&["15000 mismatch qty", "20000 missing"]);
        wait_until(async || written.load(Ordering::Relaxed) > before + 10).await;
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.expect("no write failed");
}
