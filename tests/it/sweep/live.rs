//! Sweeps while both sides are written: nothing that is on its way is reported, and no writer waits.

use std::sync::Arc;

use plumbline::sweep::Strategy;

use super::bed::{Way, Writer, config_of, run, sweep};
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

/// Thirty thousand rows of a day ago on both sides, of which one differs and one is missing.
async fn damaged() -> Arc<Pair> {
    let pair = Pair::empty(Product::Postgres, Product::Postgres).await;
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
    Arc::new(pair)
}

/// Sweeps by each strategy find the damage and nothing else while these statements change both sides.
async fn only_damage_is_found(statements: impl Fn(u64) -> Vec<String> + Send + 'static) {
    let pair = damaged().await;
    let written = Arc::clone(&pair);
    let writer = Writer::start(move |number| {
        let (pair, statements) = (Arc::clone(&written), statements(number));
        async move {
            for statement in statements {
                pair.owner.run(&statement).await;
                pair.target.run(&statement).await;
            }
        }
    });
    let config = config_of(&pair, ENTITY, MAPPING, MAPPING);
    for strategy in [Strategy::Digest, Strategy::Stream] {
        let before = writer.written();
        sweep(&config, &pair, Way::by(strategy)).await.is(&["15000 mismatch qty", "20000 missing"]);
        writer.goes_on(before).await;
    }
    writer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_on_their_way_are_not_reported_and_writers_do_not_wait() {
    only_damage_is_found(|number| {
        let id = number * 7919 % 14_000 + 1;
        // A writer that had to wait for a sweep would fail here.
        vec![format!(
            "DO $$ BEGIN SET LOCAL lock_timeout = '100ms'; \
             UPDATE item SET qty = qty + 1, changed = clock_timestamp() WHERE id = {id}; END $$"
        )]
    })
    .await;
}

/// Rows come, go and get other keys on both sides while everything is gone through: a count that moves is no difference.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_go_and_move_meanwhile_are_no_differences() {
    only_damage_is_found(|number| {
        let (id, new) = (number * 13 % 14_000 + 1, 40_000 + number);
        vec![
            format!("INSERT INTO item VALUES ({new}, 1, clock_timestamp())"),
            format!("UPDATE item SET id = {new} + 1000000, changed = clock_timestamp() WHERE id = {new}"),
            format!("DELETE FROM item WHERE id = {id}"),
        ]
    })
    .await;
}
