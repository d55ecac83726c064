//! Control totals as a promise: what the probe finds between two real databases goes through spool and shipper into a real
//! ledger, and is held against an SLO.

use plumbline::ledger::Shipper;
use plumbline::ledger::rows::{CoverageRow, RunRows, TotalsRow};
use plumbline::state::change::StateChange;
use uuid::Uuid;

use super::{FLOW_CAUSE, MINUTE, World};
use crate::config_text::ConfigText;
use crate::support::sqlite;
use crate::verdicts::pair::{Database, Pair, Product, Setup};

const ENTITY: &str = r#"
    key = ["id"]
    fields.id = { type = "integer", store = "clear" }
    fields.placed = { type = "timestamp", owner = "erp" }
    fields.total = { type = "money", owner = "erp", tolerance = "0.01" }
"#;
const MAPPING: &str = r#"
    dataset = "item"
    fields.id = "id"
    fields.placed = "placed"
    fields.total = { path = "cents", unit = "minor", currency = "EUR" }
"#;
const PROBE: &str = r#"
    [[probe]]
    entity = "stock"
    kind = "totals"
    schedule = "every 1h"
    day = "placed"
    amount = "total"
    days = 5
"#;
const PROMISE: &str = r#"
    [[slo]]
    name = "tie-out"
    indicator = "totals_variance"
    objective = "99%"
    window = "7d"
    least_bad = 1
"#;

fn config() -> String {
    ConfigText::new()
        .database("erp", "sqlite", "sqlite:erp.db", "")
        .database("store", "sqlite", "sqlite:store.db", "")
        .entity("stock", ENTITY)
        .mapping("stock", "erp", MAPPING)
        .mapping("stock", "store", MAPPING)
        .more(PROBE)
        .more(PROMISE)
        .text()
}

/// Two orders of the day before yesterday.
async fn fill(side: &Database) {
    let create = format!("CREATE TABLE item (id bigint PRIMARY KEY, placed {}, cents bigint)", side.stamp());
    side.run(&create).await;
    let before = side.now_and(-2 * 86_400);
    side.run(&format!("INSERT INTO item VALUES (1, {before}, 1010), (2, {before}, 2020)")).await;
}

/// One run of the probe, and the minute in which it looked.
async fn probe(world: &mut crate::world::World, start: i64) -> (Vec<TotalsRow>, CoverageRow, i64) {
    assert_eq!(world.totals().await.failure, None);
    let rows = world.take_totals();
    let minute = (rows[0].at - start).div_euclid(MINUTE);
    (rows, world.coverage().pop().unwrap(), minute)
}

impl World {
    /// What a run found, on its way into the ledger.
    async fn found(&self, name: &str, rows: Vec<TotalsRow>, coverage: CoverageRow) {
        let (_, spool) = self.auditor(name).await;
        let change = StateChange::new(Uuid::now_v7(), self.unit.clone());
        let rows = RunRows { totals: rows, coverage: vec![coverage], ..RunRows::default() };
        spool.commit(change, &rows).await.unwrap();
        spool.seal().await;
        let mut shipper = Shipper::new(spool, self.client(), self.dir.path().join(format!("{name}-dead")));
        shipper.drain().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_that_do_not_tie_out_break_their_promise_and_those_within_tolerance_do_not() {
    let pair = Pair::empty(Product::Postgres, Product::Mariadb).await;
    fill(&pair.owner).await;
    fill(&pair.target).await;
    let setup = Setup { entity: ENTITY, in_erp: MAPPING, in_store: MAPPING, more: PROBE, ..Setup::default() };
    let mut audited = pair.world_with(setup).await;
    let file = sqlite().await;
    let world = World::with(&file.url(), &config()).await;
    let (mut evaluator, _spool) = world.auditor("one").await;

    pair.target.run("UPDATE item SET cents = cents + 1 WHERE id = 1").await;
    let (rows, coverage, minute) = probe(&mut audited, world.start).await;
    let [line] = &rows[..] else { panic!("one line: {rows:#?}") };
    assert_eq!((line.variance.as_str(), line.allowed.as_str(), line.differs), ("-0.01", "0.02", false));
    world.found("within", rows, coverage).await;
    let fine = world.tick(&mut evaluator, minute).await.unwrap();
    assert_eq!((fine.evaluated, fine.burning, fine.blind, fine.steps), (1, 0, 0, 0), "within its tolerance");

    pair.target.run("UPDATE item SET cents = cents + 4 WHERE id = 2").await;
    let (rows, coverage, minute) = probe(&mut audited, world.start).await;
    assert_eq!((rows[0].variance.as_str(), rows[0].differs), ("-0.05", true));
    world.found("beyond", rows, coverage).await;
    let broken = world.tick(&mut evaluator, minute).await.unwrap();
    assert_eq!((broken.burning, broken.steps), (1, 1));
    let [incident] = &world.incidents().await[..] else { panic!("one incident") };
    assert_eq!((incident.broken[0].name.as_str(), incident.cause.to_string().as_str()), ("tie-out", FLOW_CAUSE));
    assert!(incident.broken[0].promise.contains("of lines of stock totals tie out erp -> store"), "{incident:#?}");
    world.engine.engine.stop().await;
}
