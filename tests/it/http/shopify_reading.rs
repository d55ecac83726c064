//! The pack `shopify` against a store that runs its documents: lists, changes, records by key, and what goes wrong.

use std::sync::Arc;
use std::time::Duration;

use plumbline::clock::AnchoredClock;
use plumbline::connect::http::try_datasets;
use plumbline::connect::{Cursor, ReadError};
use plumbline::model::{Key, Record, Value};
use serde_json::json;

use super::commands::{check, while_served};
use super::shop::{Shop, config, parsed, sku};
use super::shopify::{Shopify, gid, money};

/// `[system.store]` for a Shopify at `env:STORE`.
pub const SHOPIFY: &str = r#"
    kind = "http"
    pack = "shopify"
    url = "env:STORE"
    settings = { token = "env:SHOPIFY_TOKEN", location = "7" }
    commit_delay = "0s"
    statement_timeout = "30s"
    budget = { requests_per_second = 1000, concurrency = 4 }
"#;

const VARIANTS: &str = r#"
    dataset = "variants"
    fields = { sku = "sku", qty = "legacyResourceId", name = "price" }
"#;

/// A reader of what this mapping says.
fn reader(store: &Shopify, mapping: &str) -> Shop {
    reader_with(store, SHOPIFY, mapping)
}

fn reader_with(store: &Shopify, system: &str, mapping: &str) -> Shop {
    Shop::with(&config(system, mapping), &store.url)
}

async fn all(shop: &Shop) -> Result<Vec<Record>, ReadError> {
    let read = shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 10_000).await?;
    assert!(read.complete);
    Ok(read.records)
}

async fn some_variants(count: i64) -> Shopify {
    let store = Shopify::start().await;
    for number in 0..count {
        store.add("ProductVariant", json!({ "sku": format!("V-{number}"), "price": "10.0" }));
    }
    store
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    let store = some_variants(250).await;
    let shop = reader(&store, VARIANTS);
    let records = all(&shop).await.unwrap();
    assert_eq!(records.len(), 250);
    assert_eq!(records[0].fields[2], Value::from("10.0"), "prices are text as they come");
    let requests = store.take_requests();
    assert_eq!(requests.iter().filter(|request| request["variables"]["first"] == 100).count(), 3);
}

#[tokio::test]
async fn changes_are_those_since_a_time_in_utc() {
    let store = some_variants(3).await;
    let shop = reader(&store, VARIANTS);
    let begun = shop.reader.changes(&shop.mapping, &Cursor::default(), 100).await.unwrap();
    let id = store.add("ProductVariant", json!({ "sku": "NEW" }));
    let read = shop.reader.changes(&shop.mapping, &begun.next, 100).await.unwrap();
    assert!(read.records.iter().any(|record| sku(record) == "NEW"));
    let old = json!({ "updatedAt": "2026-01-01T00:00:00Z" });
    store.save_quietly("ProductVariant", id, old);
    let read = shop.reader.changes(&shop.mapping, &read.next, 100).await.unwrap();
    assert!(!read.records.iter().any(|record| sku(record) == "NEW"), "the filter filters");
}

#[tokio::test]
async fn what_the_search_finds_is_confirmed_by_id() {
    let store = some_variants(3).await;
    let shop = reader(&store, VARIANTS);
    let found = shop.by_skus(&["V-1", "V-9", "v-2"]).await.unwrap();
    assert_eq!(found.iter().map(sku).collect::<Vec<_>>(), ["V-1"], "`V-2` is not `v-2`");
    // The search does not notice any more what happens.
    store.let_index_be_late();
    let [renamed, removed] = [101, 102];
    store.save("ProductVariant", renamed, json!({ "sku": "OTHER" }));
    store.delete("ProductVariant", removed);
    assert_eq!(shop.by_skus(&["V-0", "V-1", "V-2"]).await.unwrap().iter().map(sku).collect::<Vec<_>>(), ["V-0"]);
}

#[tokio::test]
async fn a_deleted_record_is_not_there() {
    let store = some_variants(2).await;
    let by_id = r#"
        dataset = "variants"
        fields.sku = { path = "id", steps = [{ strip_prefix = "gid://shopify/ProductVariant/" }] }
        fields.qty = "inventoryQuantity"
        fields.name = "sku"
    "#;
    let shop = reader(&store, by_id);
    assert_eq!(shop.by_skus(&["100", "101", "999"]).await.unwrap().len(), 2);
    store.delete("ProductVariant", 100);
    assert_eq!(shop.by_skus(&["100", "101"]).await.unwrap().iter().map(sku).collect::<Vec<_>>(), ["101"]);
}

const LEVELS: &str = r#"
    dataset = "inventory_levels"
    fields.sku = "item.sku"
    fields.place = "location.legacyResourceId"
    fields.qty = "quantities[name=available].quantity"
"#;

/// A config in which stock has a key of two parts.
fn by_place(mapping: &str) -> String {
    config(SHOPIFY, mapping)
        .replace("key = \"sku\"", "key = [\"sku\", \"place\"]")
        .replace("fields.name = \"text\"", "fields.place = { type = \"text\", store = \"clear\" }")
        .replace("name = \"name\"", "place = \"place\"")
}

#[tokio::test]
async fn levels_have_a_key_of_two_parts() {
    let store = Shopify::start().await;
    store.stock("A", &[(7, 3), (8, 4)]);
    store.stock("B", &[(7, 5)]);
    let shop = Shop::with(&by_place(LEVELS), &store.url);
    let shown = |records: &[Record]| {
        let mut shown: Vec<String> =
            records.iter().map(|record| format!("{} {:?}", record.key, record.fields[1])).collect();
        shown.sort();
        shown
    };
    let records = all(&shop).await.unwrap();
    assert_eq!(records.len(), 3);
    let key = |sku: &str, place: &str| Key::new([Value::from(sku), Value::from(place)]);
    let keys = [key("A", "8"), key("B", "8"), key("B", "7")];
    let found = shop.reader.by_keys(&shop.mapping, &keys).await.unwrap().records;
    assert_eq!(found.len(), 2, "{:?}", shown(&found));
    assert!(found.iter().all(|record| keys.contains(&record.key)), "{:?}", shown(&found));
}

#[tokio::test]
async fn an_item_at_more_places_than_are_asked_for_is_an_error() {
    let store = Shopify::start().await;
    store.stock("A", &[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]);
    let shop = Shop::with(&by_place(LEVELS), &store.url);
    assert_eq!(all(&shop).await.unwrap().len(), 5);
    store.stock("B", &[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1)]);
    let error = all(&shop).await.unwrap_err();
    assert_eq!(error.reason_code(), "shape");
    assert!(error.to_string().contains("goes on beyond what one answer holds"), "{error}");
    let error =
        shop.reader.by_keys(&shop.mapping, &[Key::new([Value::from("B"), Value::from("1")])]).await.unwrap_err();
    assert!(error.to_string().contains("goes on beyond what one answer holds"), "{error}");
    let more = by_place(LEVELS).replace("location = \"7\"", "levels = 6, items = 10");
    assert_eq!(all(&Shop::with(&more, &store.url)).await.unwrap().len(), 11);
}

#[tokio::test]
async fn levels_of_one_location_have_changes() {
    let store = Shopify::start().await;
    let place = store.add("Location", json!({}));
    let levels = store.stock("A", &[(place, 3), (8, 4)]);
    let text = by_place(&LEVELS.replace("inventory_levels", "location_levels").replace("item.sku", "item.id"));
    let text = text.replace("location = \"7\"", &format!("location = \"{place}\""));
    let shop = Shop::with(&text, &store.url);
    assert_eq!(all(&shop).await.unwrap().len(), 1);
    let begun = shop.reader.changes(&shop.mapping, &Cursor::default(), 100).await.unwrap();
    store.set_stock(levels[0], 9);
    let read = shop.reader.changes(&shop.mapping, &begun.next, 100).await.unwrap();
    let record = &read.records[0];
    assert_eq!((read.records.len(), &record.fields[1]), (1, &Value::from(9_i64)));
    let found = shop.reader.by_keys(&shop.mapping, std::slice::from_ref(&record.key)).await.unwrap().records;
    assert_eq!(found, std::slice::from_ref(record));
    let elsewhere = Key::new([record.key.parts()[0].clone(), Value::from("8")]);
    assert_eq!(shop.reader.by_keys(&shop.mapping, &[elsewhere]).await.unwrap().records, []);
}

const ORDERS: &str = r#"
    dataset = "orders"
    children.lines = { dataset = "lineItems.nodes" }
    fields.sku = "name"
    fields.qty = { path = "lines[].currentQuantity", agg = "sum" }
    fields.name = "currentTotalPriceSet.shopMoney.amount"
"#;

fn lines(count: i64) -> serde_json::Value {
    let line = |id: i64| {
        json!({ "id": gid("LineItem", id), "sku": "A", "name": "x", "quantity": 2, "currentQuantity": 1,
                "originalUnitPriceSet": money("10.0") })
    };
    (0..count).map(line).collect()
}

#[tokio::test]
async fn an_order_with_more_lines_than_are_asked_for_is_not_taken_for_whole() {
    let store = Shopify::start().await;
    store.add("Order", json!({ "name": "#1", "lineItems": lines(25) }));
    store.add("Order", json!({ "name": "#2", "lineItems": lines(26) }));
    let shop = reader(&store, ORDERS);
    let records = all(&shop).await.unwrap();
    let quantity = |name: &str| &records.iter().find(|record| sku(record) == name).unwrap().fields[1];
    assert_eq!(quantity("#1"), &Value::from(25_i64));
    let cut = quantity("#2").to_string();
    assert!(cut.contains("more than 25 `lines` under one record"), "{cut}");
    let total = &records.iter().find(|record| sku(record) == "#2").unwrap().fields[2];
    assert_eq!(total, &Value::from("20.0"), "the rest of the order is read");
}

#[tokio::test]
async fn a_field_that_the_app_may_not_see_is_an_error_and_not_empty() {
    let store = Shopify::start().await;
    store.add("Order", json!({ "name": "#1" }));
    store.deny("Order.email");
    let error = all(&reader(&store, ORDERS)).await.unwrap_err();
    assert_eq!(error.reason_code(), "refused");
    assert!(error.to_string().contains("Access denied for email field.: the app lacks a scope"), "{error}");
}

#[tokio::test]
async fn another_version_of_the_api_is_an_error() {
    let store = some_variants(1).await;
    store.answer_as_version("2027-01");
    let error = all(&reader(&store, VARIANTS)).await.unwrap_err();
    assert_eq!(error.reason_code(), "shape");
    let expect =
        "`x-shopify-api-version: 2027-01`: the shop answers with another version of the API than it was asked for";
    assert!(error.to_string().contains(expect), "{error}");
}

#[tokio::test]
async fn a_wrong_token_says_so_and_is_not_shown() {
    let store = Shopify::start().await;
    let shop = reader_with(&store, &SHOPIFY.replace("SHOPIFY_TOKEN", "TOKEN"), VARIANTS);
    let error = all(&shop).await.unwrap_err();
    assert_eq!(error.reason_code(), "refused");
    assert!(error.to_string().contains("it answered 401: [API] Invalid API key or access token"), "{error}");
    assert!(!error.to_string().contains("t0ken"), "{error}");
}

#[tokio::test]
async fn errors_beside_data_are_errors() {
    let store = some_variants(1).await;
    let answer = |code: &str| {
        json!({ "data": { "list": { "nodes": [], "pageInfo": { "hasNextPage": false, "endCursor": null } } },
                "errors": [{ "message": "Something went wrong.", "extensions": { "code": code } }] })
    };
    store.instead(answer("SOMETHING_NEW"));
    let shop = reader(&store, VARIANTS);
    assert_eq!(all(&shop).await.unwrap_err().reason_code(), "shape");
    store.instead(answer("INTERNAL_SERVER_ERROR"));
    assert_eq!(all(&shop).await.unwrap().len(), 1, "asked again");
    store.instead(json!({ "data": { "list": { "nodes": [], "pageInfo": {} } } }));
    let error = all(&shop).await.unwrap_err().to_string();
    assert!(error.contains("does not say whether there is a next page"), "{error}");
}

/// How long it takes to read 250 variants from a bucket that gets 2,000 points a second.
async fn time_to_read(store: &Shopify, share: &str) -> Duration {
    let system = SHOPIFY.replace("location = \"7\"", &format!("share = \"{share}\""));
    let shop = reader_with(store, &system, VARIANTS);
    let began = tokio::time::Instant::now();
    assert_eq!(all(&shop).await.unwrap().len(), 250);
    began.elapsed()
}

#[tokio::test]
async fn only_our_share_of_the_points_is_used() {
    let store = some_variants(250).await;
    // Each variant costs three points with what belongs to it: 756 in all. A tenth of 2,000 is there at once, and comes
    // again each second.
    store.set_points(2000.0, 2000.0);
    let took = time_to_read(&store, "0.1").await;
    assert!(took >= Duration::from_millis(1200), "{took:?}");
    assert_eq!(store.take_requests().iter().filter(|request| request["variables"]["after"].is_string()).count(), 2);
}

#[tokio::test]
async fn a_refused_query_waits_until_the_points_are_there() {
    let store = some_variants(250).await;
    store.set_points(1000.0, 600.0);
    store.empty_points();
    // The first wants 302 points, which takes half a second, and so on.
    let took = time_to_read(&store, "1").await;
    assert!(took >= Duration::from_millis(900), "{took:?}");
    let requests = store.take_requests();
    assert!(requests.len() <= 6, "one try too early, then in time: {}", requests.len());
}

#[tokio::test]
async fn the_commands_work_with_it() {
    let store = Shopify::start().await;
    store.add("ProductVariant", json!({ "sku": "V-1", "price": "10.5" }));
    let directory = tempfile::tempdir().unwrap();
    let write = |mapping: &str| {
        let text = config(SHOPIFY, mapping).replace("env:STORE", &store.url);
        std::fs::write(directory.path().join("plumbline.toml"), text).unwrap();
    };
    write(VARIANTS);
    let run = async |arguments: &[&str]| while_served(directory.path(), arguments).await;
    check(&run(&["check"]).await, 0, &["stock: erp -> store"]);
    check(&run(&["pack", "test", "shopify"]).await, 0, &["inventory_levels", "all are read", "ok: shopify"]);
    let sample = run(&["pack", "sample", "--system", "store", "--entity", "stock"]).await;
    check(&sample, 0, &["legacyResourceId", "\"10.5\"", "V-1", "1 records"]);
    write(&VARIANTS.replace("\"price\"", "\"prize\""));
    check(&run(&["check"]).await, 2, &["the pack does not ask for `prize`; did you mean `price`?"]);
}

#[tokio::test]
async fn every_dataset_of_the_pack_is_answered() {
    let store = some_variants(2).await;
    let place = store.add("Location", json!({}));
    store.stock("A", &[(place, 3)]);
    store.add("Order", json!({ "lineItems": lines(2) }));
    store.add("Customer", json!({}));
    let system = SHOPIFY.replace("\"7\"", &format!("\"{place}\""));
    let config = parsed(&config(&system, VARIANTS), &store.url);
    let system = &config.systems[&"store".parse().unwrap()];
    let clock = Arc::new(AnchoredClock::from_machine());
    let findings = try_datasets(system, clock).await.unwrap();
    let all: Vec<String> = findings
        .iter()
        .map(|finding| format!("{:?} {}: {}", finding.severity, finding.subject, finding.message))
        .collect();
    let wrong: Vec<&String> = all.iter().filter(|line| line.starts_with("Error")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for dataset in ["variants", "inventory_levels", "location_levels", "orders", "customers"] {
        assert!(all.iter().any(|line| line.starts_with(&format!("Ok {dataset}: list:"))), "{dataset}: {all:#?}");
    }
}
