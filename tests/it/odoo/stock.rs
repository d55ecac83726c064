//! Odoo as target of stock: one record for each product and place, lots apart, lots summed.

use plumbline::ledger::rows::CheckRow;
use plumbline::model::Verdict;
use serde_json::{Value, json};

use super::units::{PAIRS, world};
use crate::support::Odoo;
use crate::verdicts::pair::Database;

const STOCK: &str = r#"
    [entity.thing]
    key = ["sku", "place"]
    fields.sku = { type = "text", store = "clear" }
    fields.place = { type = "text", store = "clear" }
    fields.qty = { type = "integer", owner = "other" }
    [entity.thing.in.other]
    dataset = "stock"
    changed_at = "updated_at"
    fields = { sku = "sku", place = "name", qty = "qty" }
    [entity.thing.in.odoo]
    dataset = "quants"
    fields = { sku = "product_id.default_code", place = "location_id.complete_name", qty = "quantity" }
"#;

struct Warehouse {
    odoo: Odoo,
    place: i64,
}

impl Warehouse {
    async fn new() -> Self {
        let odoo = Odoo::start().await;
        let search = json!({ "domain": [["usage", "=", "internal"]], "fields": ["complete_name"], "order": "id" });
        let place = odoo.call("stock.location", "search_read", search).await[0].take();
        assert_eq!(place["complete_name"], "WH/Stock");
        Self { place: place["id"].as_i64().unwrap(), odoo }
    }

    async fn product(&self, sku: &str) -> i64 {
        let product = json!({ "name": sku, "default_code": sku, "is_storable": true });
        self.odoo.create("product.product", product).await
    }

    /// Counts the stock, as a person with a scanner does.
    async fn count(&self, product: i64, quantity: i64, more: Value) {
        let mut quant = json!({ "product_id": product, "location_id": self.place, "inventory_quantity": quantity });
        for (name, value) in more.as_object().unwrap() {
            quant[name] = value.clone();
        }
        let context = json!({ "inventory_mode": true });
        let made = json!({ "vals_list": [quant], "context": context });
        let ids = self.odoo.call("stock.quant", "create", made).await;
        self.odoo.call("stock.quant", "action_apply_inventory", json!({ "ids": ids })).await;
    }

    /// A product of which each piece belongs to a lot.
    async fn product_in_lots(&self, sku: &str) -> i64 {
        let product = json!({ "name": sku, "default_code": sku, "is_storable": true, "tracking": "lot" });
        self.odoo.create("product.product", product).await
    }

    async fn lot(&self, product: i64, name: &str) -> i64 {
        self.odoo.create("stock.lot", json!({ "name": name, "product_id": product })).await
    }
}

#[tokio::test]
async fn stock_in_odoo_follows_or_does_not() {
    let warehouse = Warehouse::new().await;
    for (interface, product) in PAIRS {
        let other = Database::new(product).await;
        other.create_stock().await;
        let mut world = world(&warehouse.odoo, interface, &other, STOCK).await;
        let put = async |sku: &str, qty: i64| {
            other.put(sku, qty).await;
            other.run(&format!("UPDATE stock SET name = 'WH/Stock' WHERE sku = '{sku}'")).await;
        };
        let sku = |name: &str| format!("{name}-{interface:?}");
        let key = |name: &str| format!("{name}-{interface:?} / WH/Stock");

        put(&sku("A"), 7).await;
        world.look_until_verdict(&key("A"), Verdict::Missing).await;
        assert_eq!(world.open_discrepancies().await, 1);
        let bolt = warehouse.product(&sku("A")).await;
        warehouse.count(bolt, 7, json!({})).await;
        world.look_until_verdict(&key("A"), Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);

        // Nobody told Odoo. What the owner held before it was settled is not kept, so it may be stale or a mismatch.
        put(&sku("A"), 8).await;
        let is_behind = |row: &CheckRow| row.is(Verdict::Stale) || row.is(Verdict::Mismatch);
        let key_of_a = key("A");
        world.look_until("A to be behind", |world| world.last(&key_of_a).is_some_and(|row| is_behind(&row))).await;
        // Somebody counted wrongly.
        warehouse.count(bolt, 99, json!({})).await;
        world.look_until_verdict(&key("A"), Verdict::Mismatch).await;
        warehouse.count(bolt, 8, json!({})).await;
        world.look_until_verdict(&key("A"), Verdict::Match).await;

        // The same product, the same place, two lots: two records of one key.
        let lots = warehouse.product_in_lots(&sku("L")).await;
        for name in ["L1", "L2"] {
            let lot = warehouse.lot(lots, name).await;
            warehouse.count(lots, 2, json!({ "lot_id": lot })).await;
        }
        put(&sku("L"), 4).await;
        world.look_until_verdict(&key("L"), Verdict::Duplicate).await;
    }
}

/// As the page of the pack says it.
const LOTS: &str = r#"
    [entity.thing]
    key = ["sku", "place", "lot"]
    fields.sku = { type = "text", store = "clear" }
    fields.place = { type = "text", store = "clear" }
    fields.lot = { type = "text", store = "clear" }
    fields.qty = { type = "integer", owner = "other" }
    [entity.thing.in.other]
    dataset = "lots"
    changed_at = "updated_at"
    fields = { sku = "sku", place = "place", lot = "lot", qty = "qty" }
    [entity.thing.in.odoo]
    dataset = "quants"
    scope = [{ path = "location_id.usage", eq = "internal" }, { path = "lot_id", is_null = false }]
    fields.sku = "product_id.default_code"
    fields.place = "location_id.complete_name"
    fields.lot = "lot_id.name"
    fields.qty = "quantity"
"#;

#[tokio::test]
async fn lots_in_the_key_are_kept_apart() {
    let warehouse = Warehouse::new().await;
    for (interface, product) in PAIRS {
        let other = Database::new(product).await;
        let (stamp, now) = (other.stamp(), other.now());
        let columns = "sku varchar(40), place varchar(40), lot varchar(40), qty integer";
        other.run(&format!("CREATE TABLE lots ({columns}, updated_at {stamp}, PRIMARY KEY (sku, place, lot))")).await;
        let mut world = world(&warehouse.odoo, interface, &other, LOTS).await;
        let sku = format!("B-{interface:?}");
        let key = |lot: &str| format!("{sku} / WH/Stock / {lot}");
        let mixed = warehouse.product_in_lots(&sku).await;
        let (first, second) = (warehouse.lot(mixed, "L1").await, warehouse.lot(mixed, "L2").await);
        warehouse.count(mixed, 2, json!({ "lot_id": first })).await;
        warehouse.count(mixed, 5, json!({ "lot_id": second })).await;
        // Pieces that nobody gave a lot: a record without that part of the key, and out of scope.
        warehouse.count(mixed, 1, json!({})).await;
        for (lot, quantity) in [("L1", 2), ("L2", 5), ("L3", 1)] {
            other.run(&format!("INSERT INTO lots VALUES ('{sku}', 'WH/Stock', '{lot}', {quantity}, {now})")).await;
        }
        for lot in ["L1", "L2"] {
            world.look_until_verdict(&key(lot), Verdict::Match).await;
        }
        world.look_until_verdict(&key("L3"), Verdict::Missing).await;
        warehouse.count(mixed, 4, json!({ "lot_id": second })).await;
        other.run(&format!("UPDATE lots SET updated_at = {now}")).await;
        world.look_until_verdict(&key("L2"), Verdict::Mismatch).await;
        assert!(world.last(&key("L1")).is_some_and(|row| row.is(Verdict::Match)));
        let third = warehouse.lot(mixed, "L3").await;
        warehouse.count(mixed, 1, json!({ "lot_id": third })).await;
        warehouse.count(mixed, 5, json!({ "lot_id": second })).await;
        for lot in ["L2", "L3"] {
            world.look_until_verdict(&key(lot), Verdict::Match).await;
        }
        assert_eq!(world.open_discrepancies().await, 0);
        let odd = |row: &CheckRow| row.is(Verdict::Duplicate) || row.is(Verdict::Invalid);
        assert!(!world.checks().iter().any(odd), "{:#?}", world.checks());
    }
}

/// As the page of the pack says it.
const SUMMED: &str = r#"
    [entity.thing]
    key = "sku"
    fields.sku = { type = "text", store = "clear" }
    fields.qty = { type = "integer", owner = "other" }
    [entity.thing.in.other]
    dataset = "stock"
    changed_at = "updated_at"
    fields = { sku = "sku", qty = "qty" }
    [entity.thing.in.odoo]
    dataset = "products"
    children.quants = { dataset = "stock_quant_ids", scope = [{ path = "location_id.usage", eq = "internal" }] }
    fields.sku = "default_code"
    fields.qty = { path = "quants[].quantity", agg = "sum" }
"#;

#[tokio::test]
async fn lots_and_places_are_summed_by_product() {
    let warehouse = Warehouse::new().await;
    let shelf = json!({ "name": "Shelf 1", "location_id": warehouse.place, "usage": "internal" });
    let shelf = warehouse.odoo.create("stock.location", shelf).await;
    for (interface, product) in PAIRS {
        let other = Database::new(product).await;
        other.create_stock().await;
        let mut world = world(&warehouse.odoo, interface, &other, SUMMED).await;
        let sku = format!("S-{interface:?}");
        let product = warehouse.product_in_lots(&sku).await;
        other.put(&sku, 0).await;
        world.look_until_verdict(&sku, Verdict::Match).await;
        // What was counted was taken from a place that is none of ours: there the product stands at minus seven.
        let (first, second) = (warehouse.lot(product, "L1").await, warehouse.lot(product, "L2").await);
        warehouse.count(product, 3, json!({ "lot_id": first })).await;
        warehouse.count(product, 2, json!({ "lot_id": second })).await;
        warehouse.count(product, 2, json!({ "lot_id": first, "location_id": shelf })).await;
        other.put(&sku, 7).await;
        world.look_until_verdict(&sku, Verdict::Match).await;
        other.put(&sku, 8).await;
        let is_behind = |row: &CheckRow| row.is(Verdict::Stale) || row.is(Verdict::Mismatch);
        world.look_until("the sum to differ", |world| world.last(&sku).is_some_and(|row| is_behind(&row))).await;
        assert_eq!(world.last(&sku).unwrap().fields, ["qty"]);
        warehouse.count(product, 3, json!({ "lot_id": first, "location_id": shelf })).await;
        world.look_until_verdict(&sku, Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);
    }
}
