//! The sweep on a schedule: state, discrepancies, ledger rows, and going on after a restart.

use plumbline::model::Verdict;

use crate::verdicts::pair::{Pair, Product, Setup};
use crate::world::World;

const ENTITY: &str = r#"
    key = ["id"]
    fields.id = { type = "integer", store = "clear" }
    fields.qty = { type = "integer", owner = "erp" }
"#;
const MAPPING: &str = "dataset = \"item\"\nfields = { id = \"id\", qty = \"qty\" }";
const SWEEP: &str = r#"
    [[probe]]
    entity = "stock"
    kind = "sweep"
    schedule = "every 1s"
    between = "00:00 and 23:59 Europe/Berlin"
"#;

async fn world(pair: &Pair, rows: usize) -> World {
    for side in [&pair.owner, &pair.target] {
        side.run("CREATE TABLE item (id bigint PRIMARY KEY, qty bigint)").await;
        let series = match side.product() {
            Product::Postgres => format!("SELECT n, n FROM generate_series(1, {rows}) AS s(n)"),
            _ => format!("SELECT seq, seq FROM seq_1_to_{rows}"),
        };
        side.run(&format!("INSERT INTO item {series}")).await;
    }
    let setup = Setup { entity: ENTITY, in_erp: MAPPING, in_store: MAPPING, more: SWEEP, ..Setup::default() };
    pair.world_with(setup).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_sweep_opens_and_closes_discrepancies() {
    let pair = Pair::empty(Product::Postgres, Product::Mariadb).await;
    let mut world = world(&pair, 3_000).await;
    pair.target.run("DELETE FROM item WHERE id = 7").await;
    pair.target.run("UPDATE item SET qty = -1 WHERE id = 2000").await;
    pair.target.run("INSERT INTO item VALUES (9999, 1)").await;
    world.sweep().await;
    for key in ["7", "2000", "9999"] {
        assert_eq!(world.verdicts(key), ["in_flight"], "{key}: it may be on its way");
    }
    world.look_until("all are decided", |world| world.bad_keys() == 3).await;
    assert_eq!(world.open_discrepancies().await, 3);
    let sweep = world.sweeps().pop().unwrap();
    assert_eq!((sweep.event.as_str(), sweep.owner_records, sweep.target_records), ("completed", 3_000, 3_000));
    assert!(sweep.verified_through < sweep.at);
    assert_eq!((sweep.strategy.as_str(), sweep.strategy_reason.as_str()), ("stream", "`store` computes no digests"));
    let coverage = world.coverage().into_iter().find(|row| row.probe == "sweep").unwrap();
    assert_eq!((coverage.expected, coverage.decided), (3_000, 3_000));
    assert!(world.runs().iter().any(|run| run.probe == "sweep" && run.outcome == "ok"));
    world.sweep().await;
    assert_eq!(world.open_discrepancies().await, 3, "known differences are not opened twice");
    pair.target.run("INSERT INTO item VALUES (7, 7)").await;
    pair.target.run("UPDATE item SET qty = 2000 WHERE id = 2000").await;
    pair.target.run("DELETE FROM item WHERE id = 9999").await;
    world.look_until("all is mended", |world| world.in_flight() == 0).await;
    assert_eq!(world.open_discrepancies().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_goes_on_behind_its_checkpoint() {
    let pair = Pair::empty(Product::Postgres, Product::Postgres).await;
    let mut world = world(&pair, 100_000).await;
    pair.target.run("UPDATE item SET qty = -1 WHERE id IN (5, 99995)").await;
    world.short_sweeps = true;
    world.restart().await;
    world.units[0].begin_sweep();
    let mut steps = 0;
    while world.units[0].is_sweeping() {
        world.units[0].sweep_part().await.unwrap();
        steps += 1;
        if world.units[0].is_sweeping() {
            // As a new process would.
            world.restart().await;
            assert!(world.units[0].is_sweeping(), "state has it");
        }
    }
    let sweeps = world.sweeps();
    assert!(steps > 2 && sweeps.len() == steps, "{sweeps:#?}");
    let rows: Vec<u64> = sweeps.iter().map(|row| row.owner_records).collect();
    assert!(rows.is_sorted() && rows[0] < 50_000, "{rows:?}");
    assert_eq!(rows.last(), Some(&100_000), "each row once, over {steps} lives");
    assert!(sweeps.iter().all(|row| row.sweep_id == sweeps[0].sweep_id));
    world.look_until("both are decided", |world| world.bad_keys() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_cannot_be_read_stops_a_sweep_and_proves_nothing() {
    let pair = Pair::empty(Product::Postgres, Product::Mariadb).await;
    let mut world = world(&pair, 1_000).await;
    pair.target.run("RENAME TABLE item TO away").await;
    world.units[0].begin_sweep();
    let summary = world.units[0].sweep_part().await.unwrap();
    assert_eq!(summary.failure, Some("shape"));
    assert!(world.units[0].is_sweeping() && world.checks().is_empty() && world.sweeps().is_empty());
    pair.target.run("RENAME TABLE away TO item").await;
    while world.units[0].is_sweeping() {
        world.units[0].sweep_part().await.unwrap();
    }
    assert_eq!(world.sweeps().last().unwrap().event, "completed");
    assert!(world.checks().iter().all(|row| row.is(Verdict::Match)));
}
