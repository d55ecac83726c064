//! One owner with two targets, and deadlines from several promises.

use plumbline::model::Verdict;

use super::pair::{Database, Product};
use crate::world::World;

const CONFIG: &str = r#"
    [plumbline]
    [system.erp]
    kind = "postgres"
    url = "env:ERP"
    [system.store]
    kind = "mariadb"
    url = "env:STORE"
    commit_delay = "2s"
    [system.cash]
    kind = "sqlite"
    url = "env:CASH"
    commit_delay = "2s"
    [entity.stock]
    key = ["sku"]
    fields.sku = { type = "text", store = "clear" }
    fields.qty = { type = "integer", owner = "erp" }
    [entity.stock.in.erp]
    dataset = "stock"
    changed_at = "updated_at"
    fields = { sku = "sku", qty = "qty" }
    [entity.stock.in.store]
    dataset = "stock"
    changed_at = "updated_at"
    fields = { sku = "sku", qty = "qty" }
    [entity.stock.in.cash]
    dataset = "stock"
    changed_at = "updated_at"
    fields = { sku = "sku", qty = "qty" }
    [[probe]]
    entity = "stock"
    kind = "changes"
    schedule = "every 200ms"
    [[slo]]
    name = "all"
    entity = "stock"
    indicator = "freshness"
    within = "60s"
    objective = "99%"
    window = "30d"
    [[slo]]
    name = "cash-desks"
    entity = "stock"
    target = "cash"
    indicator = "freshness"
    within = "1s"
    objective = "99%"
    window = "30d"
"#;

struct Company {
    erp: Database,
    store: Database,
    cash: Database,
}

impl Company {
    async fn new() -> Self {
        let company = Self {
            erp: Database::new(Product::Postgres).await,
            store: Database::new(Product::Mariadb).await,
            cash: Database::new(Product::Sqlite).await,
        };
        for database in [&company.erp, &company.store, &company.cash] {
            database.create_stock().await;
        }
        company
    }

    async fn world(&self) -> World {
        World::open(CONFIG, &[("ERP", self.erp.url()), ("STORE", self.store.url()), ("CASH", self.cash.url())]).await
    }
}

/// The last verdict of a flow.
fn last(world: &World, target: &str) -> Option<String> {
    world.checks().into_iter().rev().find(|row| row.target == target).map(|row| row.verdict)
}

#[tokio::test]
async fn a_sync_that_reaches_one_of_two_targets_is_told_for_the_other_only() {
    let company = Company::new().await;
    let mut world = company.world().await;
    company.erp.put("A", 1).await;
    company.store.put("A", 1).await;
    world.look_until("the cash desks to lack it", |world| last(world, "cash").as_deref() == Some("missing")).await;
    assert_eq!(last(&world, "store").as_deref(), Some("match"));
    assert_eq!(world.open_discrepancies().await, 1);
    assert_eq!(world.discrepancies()[0].target, "cash");
    company.cash.put("A", 1).await;
    world.look_until_verdict("A", Verdict::Match).await;
    world.look_until("nothing to be open", |world| world.in_flight() == 0).await;
    assert_eq!(world.open_discrepancies().await, 0);
}

#[tokio::test]
async fn the_tightest_promise_of_a_flow_is_its_deadline() {
    let company = Company::new().await;
    let mut world = company.world().await;
    company.erp.put("A", 1).await;
    world.look_until("the tighter promise to break", |world| last(world, "cash").as_deref() == Some("missing")).await;
    assert_eq!(last(&world, "store").as_deref(), Some("in_flight"));
    let deadline = |target: &str| world.checks().into_iter().find(|row| row.target == target).unwrap().deadline_us;
    assert_eq!((deadline("cash"), deadline("store")), (1_000_000, 60_000_000));
}
