//! PostgreSQL owns the stock, WooCommerce must follow: every verdict.

use plumbline::model::Verdict;
use serde_json::json;

use super::shop::WOOCOMMERCE;
use super::woo::{KEY, SECRET, Woo};
use crate::config_text::ConfigText;
use crate::verdicts::pair::{COMMIT_DELAY, Database, Product, QUANTITIES, STOCK};
use crate::world::World;

/// An ERP that owns the stock and a store that must follow.
pub struct Company {
    pub erp: Database,
    pub store: Woo,
}

impl Company {
    pub async fn new() -> Self {
        let company = Self { erp: Database::new(Product::Postgres).await, store: Woo::start().await };
        company.erp.create_stock().await;
        company
    }

    pub async fn world(&self, deadline: &str) -> World {
        let config = ConfigText::new()
            .database("erp", "postgres", "env:ERP", COMMIT_DELAY)
            .system("store", WOOCOMMERCE)
            .entity("stock", QUANTITIES)
            .mapping("stock", "erp", STOCK)
            .mapping("stock", "store", "dataset = \"products\"\nfields = { sku = \"sku\", qty = \"stock_quantity\" }")
            .probe("stock", "changes", "every 200ms", "")
            .fresh_within("stock", deadline);
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
async fn a_change_that_reaches_the_store_is_a_match() {
    let company = Company::new().await;
    let mut world = company.world("60s").await;
    company.erp.put("A", 3).await;
    world.look_until_verdict("A", Verdict::InFlight).await;
    company.store.add("products", json!({ "sku": "A", "stock_quantity": 3 }));
    world.look_until_verdict("A", Verdict::Match).await;
    assert_eq!(world.open_discrepancies().await, 0);
}

#[tokio::test]
async fn what_the_store_lacks_is_missing_and_heals() {
    let company = Company::new().await;
    let mut world = company.world("1s").await;
    company.erp.put("A", 3).await;
    world.look_until_verdict("A", Verdict::Missing).await;
    assert_eq!(world.open_discrepancies().await, 1);
    company.store.add("products", json!({ "sku": "A", "stock_quantity": 3 }));
    world.look_until_verdict("A", Verdict::Match).await;
    assert_eq!(world.open_discrepancies().await, 0);
}

#[tokio::test]
async fn what_stays_behind_is_stale() {
    let company = Company::new().await;
    let mut world = company.world("5s").await;
    company.erp.put("A", 3).await;
    world.look_until_verdict("A", Verdict::InFlight).await;
    // The sync brings what the owner held before, and nothing more.
    company.erp.put("A", 4).await;
    company.store.add("products", json!({ "sku": "A", "stock_quantity": 3 }));
    world.look_until_verdict("A", Verdict::Stale).await;
}

#[tokio::test]
async fn what_no_owner_ever_held_is_a_mismatch() {
    let company = Company::new().await;
    let mut world = company.world("1s").await;
    company.store.add("products", json!({ "sku": "A", "stock_quantity": 99 }));
    company.erp.put("A", 4).await;
    world.look_until_verdict("A", Verdict::Mismatch).await;
}

#[tokio::test]
async fn what_the_store_threw_away_is_missing_again() {
    let company = Company::new().await;
    let mut world = company.world("1s").await;
    let id = company.store.add("products", json!({ "sku": "A", "stock_quantity": 3 }));
    company.erp.put("A", 3).await;
    world.look_until_verdict("A", Verdict::Match).await;
    company.store.trash("products", id);
    company.erp.put("A", 4).await;
    world.look_until_verdict("A", Verdict::Missing).await;
}

#[tokio::test]
async fn two_products_of_one_number_are_a_duplicate() {
    let company = Company::new().await;
    let mut world = company.world("1s").await;
    company.store.add("products", json!({ "sku": "A", "stock_quantity": 3 }));
    company.store.add("products", json!({ "sku": "A", "stock_quantity": 3 }));
    company.erp.put("A", 3).await;
    world.look_until_verdict("A", Verdict::Duplicate).await;
}
