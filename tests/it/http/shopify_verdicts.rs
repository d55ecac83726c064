//! Shopify in whole units: PostgreSQL owns the stock by location and the store must follow; the store owns its orders.

use plumbline::ledger::rows::CheckRow;
use plumbline::model::Verdict;
use serde_json::json;

use super::shopify::{Shopify, TOKEN, gid, money};
use super::shopify_reading::SHOPIFY;
use crate::config_text::ConfigText;
use crate::verdicts::pair::{COMMIT_DELAY, Database, Product};
use crate::world::World;

async fn world(store: &Shopify, erp: &Database, deadline: &str, entity: &str) -> World {
    let config = ConfigText::new()
        .database("erp", "postgres", "env:ERP", COMMIT_DELAY)
        .system("store", SHOPIFY)
        .more(entity)
        .probe("thing", "changes", "every 200ms", "")
        .fresh_within("thing", deadline);
    let variables = [("ERP", erp.url()), ("STORE", store.url.clone()), ("SHOPIFY_TOKEN", TOKEN.to_owned())];
    World::open(&config.text(), &variables).await
}

const STOCK: &str = r#"
    [entity.thing]
    key = ["sku", "place"]
    fields.sku = { type = "text", store = "clear" }
    fields.place = { type = "text", store = "clear" }
    fields.qty = { type = "integer", owner = "erp" }
    [entity.thing.in.erp]
    dataset = "stock"
    changed_at = "updated_at"
    fields = { sku = "sku", place = "place", qty = "qty" }
    [entity.thing.in.store]
    dataset = "inventory_levels"
    fields.sku = "item.sku"
    fields.place = "location.legacyResourceId"
    fields.qty = "quantities[name=available].quantity"
"#;

struct Company {
    erp: Database,
    store: Shopify,
}

impl Company {
    async fn new() -> Self {
        let company = Self { erp: Database::new(Product::Postgres).await, store: Shopify::start().await };
        let columns = "sku text, place text, qty integer, updated_at timestamptz, PRIMARY KEY (sku, place)";
        company.erp.run(&format!("CREATE TABLE stock ({columns})")).await;
        company
    }

    async fn world(&self, deadline: &str) -> World {
        world(&self.store, &self.erp, deadline, STOCK).await
    }

    async fn put(&self, place: i64, quantity: i64) {
        let values = format!("('A', '{place}', {quantity}, clock_timestamp())");
        let put = "ON CONFLICT (sku, place) DO UPDATE SET qty = EXCLUDED.qty, updated_at = EXCLUDED.updated_at";
        self.erp.run(&format!("INSERT INTO stock VALUES {values} {put}")).await;
    }
}

#[tokio::test]
async fn stock_that_reaches_its_location_is_a_match_and_heals() {
    let company = Company::new().await;
    let mut world = company.world("1s").await;
    let levels = company.store.stock("A", &[(7, 3), (8, 0)]);
    company.put(7, 3).await;
    world.look_until_verdict("A / 7", Verdict::Match).await;
    company.put(8, 4).await;
    world.look_until("the other location to differ", |world| world.last("A / 8").is_some_and(|row| is_bad(&row))).await;
    assert_eq!(world.open_discrepancies().await, 1);
    company.store.set_stock(levels[1], 4);
    world.look_until_verdict("A / 8", Verdict::Match).await;
    assert_eq!(world.open_discrepancies().await, 0);
}

fn is_bad(row: &CheckRow) -> bool {
    row.is(Verdict::Stale) || row.is(Verdict::Mismatch)
}

#[tokio::test]
async fn stock_that_stays_behind_is_stale() {
    let company = Company::new().await;
    let mut world = company.world("5s").await;
    company.put(7, 3).await;
    world.look_until_verdict("A / 7", Verdict::InFlight).await;
    company.put(7, 4).await;
    company.store.stock("A", &[(7, 3)]);
    world.look_until_verdict("A / 7", Verdict::Stale).await;
}

#[tokio::test]
async fn an_item_that_is_not_stocked_at_a_location_is_missing_there() {
    let company = Company::new().await;
    let mut world = company.world("1s").await;
    company.store.stock("A", &[(7, 3)]);
    company.put(8, 4).await;
    world.look_until_verdict("A / 8", Verdict::Missing).await;
}

#[tokio::test]
async fn a_store_without_points_or_rights_is_unknown_and_never_bad() {
    let refused = json!([{ "message": "Access denied", "extensions": { "code": "ACCESS_DENIED" } }]);
    let company = Company::new().await;
    let mut world = company.world("1s").await;
    company.store.always(Some(json!({ "data": { "list": null }, "errors": refused })));
    company.put(7, 3).await;
    world.look_until_verdict("A / 7", Verdict::Unknown).await;
    assert_eq!(world.open_discrepancies().await, 0);
    company.store.always(None);
    company.store.stock("A", &[(7, 3)]);
    world.look_until_verdict("A / 7", Verdict::Match).await;
}

const ORDERS: &str = r#"
    [entity.thing]
    key = "number"
    fields.number = { type = "text", store = "clear" }
    fields.total = { type = "money", owner = "store" }
    fields.refunded = { type = "money", owner = "store" }
    fields.pieces = { type = "integer", owner = "store" }
    [entity.thing.in.store]
    dataset = "orders"
    children.lines = { dataset = "lineItems.nodes" }
    children.refunds = { dataset = "refunds" }
    fields.number = "name"
    fields.total = { path = "currentTotalPriceSet.shopMoney.amount", currency = { path = "currentTotalPriceSet.shopMoney.currencyCode" } }
    fields.refunded = { path = "refunds[].totalRefundedSet.shopMoney.amount", agg = "sum", currency = "EUR" }
    fields.pieces = { path = "lines[].currentQuantity", agg = "sum" }
    [entity.thing.in.erp]
    dataset = "orders"
    fields.number = "number"
    fields.pieces = "pieces"
    fields.total = { path = "cents", unit = "minor", currency = "EUR" }
    fields.refunded = { path = "refunded", unit = "minor", currency = "EUR" }
"#;

#[tokio::test]
async fn an_order_agrees_down_to_its_lines_and_refunds() {
    let (store, erp) = (Shopify::start().await, Database::new(Product::Postgres).await);
    erp.run("CREATE TABLE orders (number text PRIMARY KEY, cents bigint, refunded bigint, pieces integer)").await;
    let mut world = world(&store, &erp, "1s", ORDERS).await;
    let line = json!({ "id": gid("LineItem", 1), "sku": "A", "name": "x", "quantity": 2, "currentQuantity": 2,
                       "originalUnitPriceSet": money("10.0") });
    let id = store.add("Order", json!({ "name": "#1001", "lineItems": [line] }));
    erp.run("INSERT INTO orders VALUES ('#1001', 2000, 0, 2)").await;
    world.look_until_verdict("#1001", Verdict::Match).await;
    let refund = json!({ "id": gid("Refund", 1), "legacyResourceId": "1", "createdAt": "2026-11-01T00:00:00Z",
                         "note": null, "totalRefundedSet": money("7.5") });
    store.save("Order", id, json!({ "refunds": [refund], "currentTotalPriceSet": money("12.50") }));
    world.look_until("the order to differ", |world| world.last("#1001").is_some_and(|row| is_bad(&row))).await;
    assert_eq!(world.last("#1001").unwrap().fields, ["total", "refunded"]);
    erp.run("UPDATE orders SET cents = 1250, refunded = 750").await;
    world.look_until_verdict("#1001", Verdict::Match).await;
    assert_eq!(world.open_discrepancies().await, 0);
}
