//! WooCommerce owns the names of products, PostgreSQL must follow: leaving the store, and lines of orders.

use plumbline::model::Verdict;
use serde_json::json;

use super::shop::WOOCOMMERCE;
use super::woo::{KEY, SECRET, Woo};
use crate::config_text::ConfigText;
use crate::verdicts::pair::{COMMIT_DELAY, Database, Product};
use crate::world::World;

async fn world(store: &Woo, erp: &Database, entity: &str) -> World {
    let key = "key = \"id\"\nfields.id = { type = \"integer\", store = \"clear\" }";
    let config = ConfigText::new()
        .database("erp", "postgres", "env:ERP", COMMIT_DELAY)
        .system("store", WOOCOMMERCE)
        .entity("thing", &format!("{key}\n{entity}"))
        .probe("thing", "changes", "every 200ms", "")
        .fresh_within("thing", "2s");
    let variables =
        [("ERP", erp.url()), ("STORE", store.url.clone()), ("KEY", KEY.to_owned()), ("SECRET", SECRET.to_owned())];
    World::open(&config.text(), &variables).await
}

const PRODUCT: &str = r#"
    fields.name = { type = "text", owner = "store" }
    [entity.thing.in.store]
    dataset = "products"
    fields.id = "id"
    fields.name = { path = "name", steps = ["html_decode"] }
    [entity.thing.in.erp]
    dataset = "product"
    fields = { id = "id", name = "name" }
"#;

#[tokio::test]
async fn a_product_in_the_trash_is_extra_elsewhere_until_it_goes_there_too() {
    let (store, erp) = (Woo::start().await, Database::new(Product::Postgres).await);
    erp.run("CREATE TABLE product (id bigint PRIMARY KEY, name text)").await;
    let mut world = world(&store, &erp, PRODUCT).await;
    let id = store.add("products", json!({ "name": "Nuts &amp; Bolts" }));
    erp.run(&format!("INSERT INTO product VALUES ({id}, 'Nuts & Bolts')")).await;
    let key = id.to_string();
    world.look_until_verdict(&key, Verdict::Match).await;
    store.trash("products", id);
    world.look_until_verdict(&key, Verdict::Extra).await;
    assert_eq!(world.open_discrepancies().await, 1);
    erp.run("DELETE FROM product").await;
    world.look_until_verdict(&key, Verdict::Match).await;
    assert_eq!(world.open_discrepancies().await, 0);
}

const ORDER: &str = r#"
    fields.total = { type = "money", owner = "store" }
    fields.pieces = { type = "integer", owner = "store" }
    [entity.thing.in.store]
    dataset = "orders"
    children.lines = { dataset = "line_items" }
    fields.id = "id"
    fields.total = { path = "total", currency = { path = "currency" } }
    fields.pieces = { path = "lines[].quantity", agg = "sum" }
    [entity.thing.in.erp]
    dataset = "orders"
    fields.id = "id"
    fields.pieces = "pieces"
    fields.total = { path = "cents", unit = "minor", currency = "USD" }
"#;

#[tokio::test]
async fn an_order_agrees_down_to_its_lines() {
    let (store, erp) = (Woo::start().await, Database::new(Product::Postgres).await);
    erp.run("CREATE TABLE orders (id bigint PRIMARY KEY, cents bigint, pieces integer)").await;
    let mut world = world(&store, &erp, ORDER).await;
    // As captured: 26.88 USD, two pieces of one product.
    let id = store.add("orders", json!({}));
    erp.run(&format!("INSERT INTO orders VALUES ({id}, 2688, 2)")).await;
    let key = id.to_string();
    world.look_until_verdict(&key, Verdict::Match).await;
    erp.run("UPDATE orders SET cents = 2788, pieces = 3").await;
    store.save("orders", id, json!({ "total": "27.88" }));
    // The order's history before is not known, so it may be stale or a mismatch; it is about the pieces alone.
    let is_bad = |row: &plumbline::ledger::rows::CheckRow| row.is(Verdict::Stale) || row.is(Verdict::Mismatch);
    world.look_until("the order to differ", |world| world.last(&key).is_some_and(|row| is_bad(&row))).await;
    assert_eq!(world.last(&key).unwrap().fields, ["pieces"]);
}

/// Saving a product without a change moves its stamp all the same.
#[tokio::test]
async fn a_save_that_changes_nothing_starts_nothing() {
    let (store, erp) = (Woo::start().await, Database::new(Product::Postgres).await);
    erp.run("CREATE TABLE product (id bigint PRIMARY KEY, name text)").await;
    let mut world = world(&store, &erp, PRODUCT).await;
    let id = store.add("products", json!({ "name": "Tee" }));
    erp.run(&format!("INSERT INTO product VALUES ({id}, 'Tee')")).await;
    world.look_until_verdict(&id.to_string(), Verdict::Match).await;
    world.look_until("nothing to be in flight", |world| world.in_flight() == 0).await;
    store.save("products", id, json!({}));
    assert!(world.changes().await.owner_records > 0, "its stamp has moved");
    world.recheck().await;
    assert_eq!(world.in_flight(), 0);
    assert_eq!(world.verdicts(&id.to_string()).last().map(String::as_str), Some("match"));
    assert!(world.outcomes().iter().all(|outcome| outcome == "good"), "{:?}", world.outcomes());
    assert_eq!(world.discrepancies(), []);
}

/// Yen have no decimals, the store has two all the same: half a yen is a difference like any other.
#[tokio::test]
async fn yen_with_two_decimals_are_compared_exactly() {
    let (store, erp) = (Woo::start().await, Database::new(Product::Postgres).await);
    erp.run("CREATE TABLE orders (id bigint PRIMARY KEY, total numeric(20, 2))").await;
    let entity = r#"
        fields.total = { type = "money", owner = "store" }
        [entity.thing.in.store]
        dataset = "orders"
        fields.id = "id"
        fields.total = { path = "total", currency = { path = "currency" } }
        [entity.thing.in.erp]
        dataset = "orders"
        fields.id = "id"
        fields.total = { path = "total", currency = "JPY" }
    "#;
    let mut world = world(&store, &erp, entity).await;
    let id = store.add("orders", json!({ "total": "619.50", "currency": "JPY" }));
    erp.run(&format!("INSERT INTO orders VALUES ({id}, 619.50)")).await;
    let key = id.to_string();
    world.look_until_verdict(&key, Verdict::Match).await;
    store.save("orders", id, json!({ "total": "620.00" }));
    let row = world.look_until_verdict(&key, Verdict::Stale).await;
    assert_eq!((row.owner_values, row.target_values), (vec!["620 JPY".to_owned()], vec!["619.5 JPY".to_owned()]));
}
