//! A store whose products cannot be asked for by what they are called: the index of keys finds them.

use plumbline::model::Verdict;
use serde_json::json;

use super::shop::WOOCOMMERCE;
use super::woo::{KEY, SECRET, Woo};
use crate::config_text::ConfigText;
use crate::verdicts::pair::{Database, Product, QUANTITIES, STOCK};
use crate::world::World;

struct Company {
    erp: Database,
    store: Woo,
}

impl Company {
    async fn new() -> Self {
        let company = Self { erp: Database::new(Product::Postgres).await, store: Woo::start().await };
        company.erp.create_stock().await;
        company
    }

    /// Products are known by their names, and the store can be asked for numbers and ids only.
    async fn world(&self) -> World {
        let by_name = "dataset = \"products\"\nfields.sku = { path = \"name\", steps = [\"html_decode\", \"trim\"] }\n\
                       fields.qty = \"stock_quantity\"";
        let config = ConfigText::new()
            .database("erp", "postgres", "env:ERP", "")
            .system("store", WOOCOMMERCE)
            .entity("stock", QUANTITIES)
            .mapping("stock", "erp", STOCK)
            .mapping("stock", "store", by_name)
            .probe("stock", "changes", "every 200ms", "")
            .fresh_within("stock", "1s");
        let variables = [
            ("ERP", self.erp.url()),
            ("STORE", self.store.url.clone()),
            ("KEY", KEY.to_owned()),
            ("SECRET", SECRET.to_owned()),
        ];
        World::open(&config.text(), &variables).await
    }
}

#[tokio::test]
async fn products_are_found_by_what_they_are_called() {
    let company = Company::new().await;
    for number in 0..150 {
        company.store.add("products", json!({ "name": format!("Other {number}"), "stock_quantity": 1 }));
    }
    company.store.add("products", json!({ "name": "Nuts &amp; Bolts ", "stock_quantity": 3 }));
    let mut world = company.world().await;
    company.erp.put("Nuts & Bolts", 3).await;
    world.look_until_verdict("Nuts & Bolts", Verdict::Match).await;
    company.erp.put("Washers", 3).await;
    world.look_until_verdict("Washers", Verdict::Missing).await;
    company.store.add("products", json!({ "name": "Washers", "stock_quantity": 3 }));
    world.look_until_verdict("Washers", Verdict::Match).await;
    assert_eq!(world.open_discrepancies().await, 0);
    let by_id = company.store.take_requests().iter().filter(|request| request.contains("include=")).count();
    assert!(by_id > 0, "what was found is asked for by its id");
}

#[tokio::test]
async fn a_product_that_is_renamed_thrown_away_or_deleted_is_missing() {
    let company = Company::new().await;
    let add = |name: &str| company.store.add("products", json!({ "name": name, "stock_quantity": 3 }));
    let (renamed, trashed, deleted) = (add("A"), add("B"), add("C"));
    let mut world = company.world().await;
    for name in ["A", "B", "C"] {
        company.erp.put(name, 3).await;
        world.look_until_verdict(name, Verdict::Match).await;
    }
    company.store.save("products", renamed, json!({ "name": "A2" }));
    company.store.trash("products", trashed);
    company.store.delete("products", deleted);
    for name in ["A", "B", "C"] {
        company.erp.put(name, 4).await;
        world.look_until_verdict(name, Verdict::Missing).await;
        assert!(!world.verdicts(name).contains(&"unknown".to_owned()), "{name}: {:?}", world.verdicts(name));
    }
    company.erp.put("A2", 3).await;
    world.look_until_verdict("A2", Verdict::Match).await;
}

#[tokio::test]
async fn two_products_of_one_name_are_a_duplicate() {
    let company = Company::new().await;
    let add = |name: &str| company.store.add("products", json!({ "name": name, "stock_quantity": 3 }));
    add("A");
    add("A ");
    let mut world = company.world().await;
    company.erp.put("A", 3).await;
    world.look_until_verdict("A", Verdict::Duplicate).await;
}
