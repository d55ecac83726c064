//! What a shop's points have to bear: foretold by `plumbline plan`, shown by `doctor`, and never more in truth.

use std::collections::BTreeMap;

use plumbline::plan::{DAY, Keys, plan};
use serde_json::json;

use super::commands::{check, while_served};
use super::shop::config;
use super::shopify::{Shopify, TOKEN};
use super::shopify_reading::SHOPIFY;
use crate::config_text::ConfigText;
use crate::verdicts::pair::{COMMIT_DELAY, Database, Product, QUANTITIES};
use crate::world::World;

const VARIANTS: &str = r#"
    dataset = "variants"
    fields = { sku = "sku", qty = "inventoryQuantity", name = "title" }
"#;

#[tokio::test]
async fn plan_and_doctor_tell_what_requests_cost() {
    let store = Shopify::start().await;
    store.add("ProductVariant", json!({ "sku": "V-1" }));
    store.set_points(2_000.0, 100.0);
    let directory = tempfile::tempdir().unwrap();
    let write = |settings: &str| {
        let text = config(SHOPIFY, VARIANTS).replace("env:STORE", &store.url).replace("location = \"7\"", settings);
        let probe = "[[probe]]\nentity = \"stock\"\nkind = \"sample\"\nschedule = \"every 5m\"\nkeys_per_run = 100\n";
        std::fs::write(directory.path().join("plumbline.toml"), format!("{text}\n{probe}")).unwrap();
    };
    let run = async |arguments: &[&str]| while_served(directory.path(), arguments).await;
    write("location = \"7\"");
    let plan = run(&["plan", "--keys", "5000"]).await;
    check(&plan, 0, &["points    of `store` up to", "of the 4,320,000 that we may use", "points of `store`: up to"]);
    let json = run(&["plan", "--keys", "5000", "--format", "json"]).await;
    check(&json, 0, &["\"most_per_day\"", "\"given_per_day\": 4320000.0"]);
    let doctor = run(&["doctor"]).await;
    let limit = "100 points a second fill a bucket of 2000; 50 % of it are ours";
    check(&doctor, 1, &["cost of stock", "a page costs up to 302 points, this one 6", limit]);
    // Someone has told us of a larger plan than the shop has.
    write("points = 1000, share = \"0.1\"");
    check(&run(&["doctor"]).await, 1, &["10 % of it are ours. `plan` counts with 1000 a second: say what is true"]);
    check(&run(&["plan", "--keys", "5000"]).await, 0, &["of the 8,640,000 that we may use"]);
}

#[tokio::test]
async fn no_run_costs_more_than_was_foretold() {
    let (store, erp) = (Shopify::start().await, Database::new(Product::Postgres).await);
    erp.run("CREATE TABLE stock (sku text PRIMARY KEY, qty integer, updated_at timestamptz)").await;
    for number in 0..300 {
        store.add("ProductVariant", json!({ "sku": format!("V-{number}"), "inventoryQuantity": number }));
    }
    erp.run("INSERT INTO stock SELECT 'V-' || n, n, now() - interval '1 day' FROM generate_series(0, 299) n").await;
    let config = ConfigText::new()
        .database("erp", "postgres", "env:ERP", COMMIT_DELAY)
        .system("store", SHOPIFY)
        .entity("stock", &QUANTITIES.replace("\"erp\"", "\"store\""))
        .mapping("stock", "erp", "dataset = \"stock\"\nfields = { sku = \"sku\", qty = \"qty\" }")
        .mapping(
            "stock",
            "store",
            "dataset = \"variants\"\nchanged_at = \"updatedAt\"\nfields = { sku = \"sku\", qty = \"inventoryQuantity\" }",
        )
        .probe("stock", "changes", "every 1m", "")
        .probe("stock", "sample", "every 1m", "keys_per_run = 80");
    let variables = [("ERP", erp.url()), ("STORE", store.url.clone()), ("SHOPIFY_TOKEN", TOKEN.to_owned())];
    let mut world = World::open(&config.text(), &variables).await;
    let keys = BTreeMap::from([(("stock".parse().unwrap(), "store".parse().unwrap()), Keys::Given(300))]);
    let foretold = plan(&world.config, &keys);
    let of_store = foretold.systems.iter().find(|plan| plan.system.as_str() == "store").unwrap();
    let a_minute = of_store.points.unwrap().a_day / (DAY.as_secs_f64() / 60.0);
    store.take_spent();
    // A whole walk and more. What the shop thinks a request may cost is what must be there for it.
    let mut spent = Vec::new();
    for _ in 0..6 {
        assert_eq!(world.changes().await.failure, None);
        assert_eq!(world.sample().await.failure, None);
        spent.push(store.take_spent());
    }
    assert!(spent.iter().all(|spent| *spent <= a_minute), "{spent:?} {a_minute}");
    let largest = spent.iter().copied().fold(0.0, f64::max);
    assert!(largest * 4.0 > a_minute, "a bound that says something: {spent:?} {a_minute}");
    assert_eq!(world.open_discrepancies().await, 0);
}
