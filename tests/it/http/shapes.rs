//! The schema probe over HTTP: what records show of a change, and what they do not.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Response, Uri};
use plumbline::model::Verdict;
use serde_json::{Value as Json, json};

use super::hostile::json_api;
use super::served::{Served, json, param};
use super::shop::WOOCOMMERCE;
use super::woo::{KEY, SECRET, Woo};
use crate::config_text::ConfigText;
use crate::verdicts::pair::{COMMIT_DELAY, Database, Product, QUANTITIES, STOCK};
use crate::world::World;

/// A database owns the stock; the service must follow.
async fn world(system: &str, mapping: &str, variables: &[(&str, String)], erp: &Database) -> World {
    let config = ConfigText::new()
        .database("erp", "postgres", "env:ERP", COMMIT_DELAY)
        .system("store", system)
        .entity("stock", QUANTITIES)
        .mapping("stock", "erp", STOCK)
        .mapping("stock", "store", mapping)
        .probe("stock", "changes", "every 200ms", "")
        .probe("stock", "schema", "every 10m", "")
        .fresh_within("stock", "1s");
    let mut all = vec![("ERP", erp.url())];
    all.extend(variables.iter().cloned());
    World::open(&config.text(), &all).await
}

async fn erp() -> Database {
    let erp = Database::new(Product::Postgres).await;
    erp.create_stock().await;
    erp
}

fn changes(world: &World, column: &str) -> Vec<String> {
    let about = |text: &String| text.starts_with(&format!("store {column} "));
    world.schema_changes().into_iter().filter(about).collect()
}

fn waiting(world: &World) -> String {
    let line = world.metric("plumbline_schema_changes_open{entity=\"stock\",system=\"store\"}");
    line.rsplit(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_store_that_sends_text_for_numbers_is_known_for_it() {
    let (erp, store) = (erp().await, Woo::start().await);
    let mapping = "dataset = \"products\"\nfields = { sku = \"sku\", qty = \"stock_quantity\" }";
    let variables = [("STORE", store.url.clone()), ("KEY", KEY.to_owned()), ("SECRET", SECRET.to_owned())];
    let mut world = world(WOOCOMMERCE, mapping, &variables, &erp).await;
    let good = store.add("products", json!({ "sku": "GOOD", "stock_quantity": 3 }));
    let bad = store.add("products", json!({ "sku": "BAD", "stock_quantity": 4 }));
    for _ in 0..3 {
        assert_eq!(world.schema().await.failure, None);
    }
    assert_eq!(world.schema_changes(), Vec::<String>::new());
    store.save("products", good, json!({ "stock_quantity": "3" }));
    store.save("products", bad, json!({ "stock_quantity": "5 pieces" }));
    world.schema().await;
    world.schema().await;
    assert_eq!(
        changes(&world, "products.stock_quantity"),
        ["store products.stock_quantity retyped: integer -> text [qty]"]
    );
    assert_eq!(waiting(&world), "1");
    erp.put("GOOD", 3).await;
    erp.put("BAD", 5).await;
    let row = world.look_until_verdict("BAD", Verdict::Invalid).await;
    assert_eq!(row.reason, "schema");
    world.look_until_verdict("GOOD", Verdict::Match).await;
    // Back to numbers.
    store.save("products", good, json!({ "stock_quantity": 3 }));
    store.save("products", bad, json!({ "stock_quantity": 5 }));
    world.schema().await;
    assert_eq!(waiting(&world), "0");
    assert_eq!(changes(&world, "products.stock_quantity").len(), 2);
    world.look_until_verdict("BAD", Verdict::Match).await;
}

/// What a service holds, or what it answers instead.
type Held = Arc<Mutex<Result<Vec<Json>, u16>>>;

/// Items that a test can change.
async fn items(held: &Held) -> Served {
    let held = Arc::clone(held);
    Served::by(move |uri: &Uri| {
        if uri.path() == "/" {
            return Response::builder().status(404).body(Body::empty()).unwrap();
        }
        let items = match &*held.lock().unwrap() {
            Ok(items) => items.clone(),
            Err(status) => return Response::builder().status(*status).body(Body::from("<html>")).unwrap(),
        };
        let ids = param(uri, "ids");
        let is_asked = |item: &Json| ids.as_ref().is_none_or(|ids| ids.split(',').any(|id| item["id"] == id));
        let data: Vec<Json> = items.into_iter().filter(is_asked).collect();
        json(&json!({ "data": data }))
    })
    .await
}

#[tokio::test]
async fn records_show_a_new_name_and_say_nothing_by_chance() {
    let erp = erp().await;
    let item = |id: &str, qty: Json| json!({ "id": id, "stock": { "qty": qty }, "name": "x" });
    let held: Held = Arc::new(Mutex::new(Ok(vec![item("A", json!(1)), item("B", json!(2))])));
    let service = items(&held).await;
    let set = |answer: Result<Vec<Json>, u16>| *held.lock().unwrap() = answer;
    let mapping = "dataset = \"items\"\nfields = { sku = \"id\", qty = \"stock.qty\" }";
    let mut world = world(&json_api("size = 10"), mapping, &[("STORE", service.url.clone())], &erp).await;
    assert_eq!(world.schema().await.failure, None);
    // Chance: fewer members, no records, null.
    set(Ok(vec![item("A", Json::Null)]));
    assert_eq!(world.schema().await.failure, None);
    set(Ok(vec![]));
    assert_eq!(world.schema().await.failure, None);
    set(Ok(vec![json!({ "id": "A", "stock": { "qty": 1 }, "name": "x", "note": "new" })]));
    world.schema().await;
    // No answer, and no answer that can be read.
    for status in [500, 403, 200] {
        set(Err(status));
        assert!(world.schema().await.failure.is_some(), "{status}");
    }
    assert_eq!(world.schema_changes(), ["store items.note added:  -> text []"]);
    assert_eq!(waiting(&world), "0");
    set(Ok(vec![json!({ "id": "A", "stock": { "count": 1 }, "name": "x" })]));
    world.schema().await;
    world.restart().await;
    world.schema().await;
    assert_eq!(changes(&world, "items.stock.qty"), ["store items.stock.qty renamed: stock.qty -> stock.count [qty]"]);
    assert_eq!(waiting(&world), "1");
    // Without the member there is nothing to compare with: that is no wrong number.
    erp.put("A", 1).await;
    let row = world.look_until_verdict("A", Verdict::Invalid).await;
    assert_eq!(row.reason, "schema");
}
