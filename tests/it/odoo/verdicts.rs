//! Odoo as owner of customers and orders: every verdict.

use std::time::Duration;

use plumbline::model::Verdict;
use serde_json::json;

use super::site::Interface;
use super::units::{PAIRS, world, world_of};
use crate::support::Odoo;
use crate::verdicts::pair::{Database, Product};

const CUSTOMER: &str = r#"
    [entity.thing]
    key = "ref"
    fields.ref = { type = "text", store = "clear" }
    fields.name = { type = "text", owner = "odoo" }
    fields.email = { type = "text", owner = "odoo" }
    [entity.thing.in.odoo]
    dataset = "partners"
    scope = [{ path = "active", eq = true }, { path = "ref", is_null = false }]
    fields = { ref = "ref", name = "name", email = "email" }
    [entity.thing.in.other]
    dataset = "customer"
    changed_at = "at"
    fields = { ref = "ref", name = "name", email = "email" }
"#;

#[tokio::test]
async fn customers_of_odoo_are_followed_or_not() {
    let odoo = Odoo::start().await;
    for (interface, product) in PAIRS {
        let other = Database::new(product).await;
        let stamp = other.stamp();
        let table = "ref varchar(40) PRIMARY KEY, name varchar(60), email varchar(60)";
        other.run(&format!("CREATE TABLE customer ({table}, at {stamp})")).await;
        let mut world = world(&odoo, interface, &other, CUSTOMER).await;
        let key = format!("C-{interface:?}");
        let now = other.now();
        let ada = odoo.create("res.partner", json!({ "name": "Ada", "ref": key })).await;
        world.look_until_verdict(&key, Verdict::Missing).await;
        // No e-mail here, no e-mail there.
        other.run(&format!("INSERT INTO customer VALUES ('{key}', 'Ada', NULL, {now})")).await;
        world.look_until_verdict(&key, Verdict::Match).await;
        odoo.write("res.partner", ada, json!({ "email": "ada@acme.example" })).await;
        let stale = world.look_until_verdict(&key, Verdict::Stale).await;
        assert_eq!(stale.fields, ["email"]);
        other.run(&format!("UPDATE customer SET email = 'ada@acme.example', at = {now}")).await;
        world.look_until_verdict(&key, Verdict::Match).await;
        // An archived customer has left; the same holds for one that comes back.
        odoo.write("res.partner", ada, json!({ "active": false })).await;
        world.look_until_verdict(&key, Verdict::Extra).await;
        odoo.write("res.partner", ada, json!({ "active": true })).await;
        world.look_until_verdict(&key, Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);
        // Each read begins a quarter of an hour earlier: the next world would see this one's customer.
        odoo.unlink("res.partner", ada).await;
    }
}

#[tokio::test]
async fn what_statements_in_sql_changed_is_found_by_samples() {
    let odoo = Odoo::start().await;
    let other = Database::new(Product::Postgres).await;
    other
        .run("CREATE TABLE customer (ref varchar(40) PRIMARY KEY, name varchar(60), email varchar(60), at timestamptz)")
        .await;
    let partner = |number: i64| json!({ "name": "Ada", "ref": format!("S-{number:02}") });
    let partners: Vec<_> = (0..30).map(partner).collect();
    odoo.call("res.partner", "create", json!({ "vals_list": partners })).await;
    other
        .run("INSERT INTO customer SELECT 'S-' || to_char(n, 'FM00'), 'Ada', NULL, now() FROM generate_series(0, 29) n")
        .await;
    odoo.sql("UPDATE res_partner SET name = 'Eve' WHERE ref = 'S-07'; DELETE FROM res_partner WHERE ref = 'S-11'")
        .await;
    for interface in Interface::NESTED {
        let probe = ["sample", "every 1s", "keys_per_run = 20"];
        let mut world = world_of(&odoo, interface, &other, CUSTOMER, probe).await;
        let began = tokio::time::Instant::now();
        // The one is met on the way around Odoo's records, the other on the way around those of the target.
        while ["S-07", "S-11"].iter().any(|key| world.last(key).is_none()) {
            assert!(began.elapsed() < Duration::from_secs(120), "never met: {:#?}", world.checks());
            assert_eq!(world.sample().await.failure, None);
        }
        for (key, verdict) in [("S-07", Verdict::Mismatch), ("S-11", Verdict::Extra)] {
            world.look_until_verdict(key, verdict).await;
        }
        assert_eq!(world.open_discrepancies().await, 2, "{interface:?}: {:#?}", world.discrepancies());
    }
}

const ORDER: &str = r#"
    [entity.thing]
    key = "ref"
    fields.ref = { type = "text", store = "clear" }
    fields.total = { type = "money", owner = "odoo" }
    fields.pieces = { type = "integer", owner = "odoo" }
    [entity.thing.in.odoo]
    dataset = "orders"
    children.lines = { dataset = "order_line" }
    fields.ref = "client_order_ref"
    fields.total = { path = "amount_untaxed", currency = { path = "currency_id.name" } }
    fields.pieces = { path = "lines[].product_uom_qty", agg = "sum" }
    [entity.thing.in.other]
    dataset = "orders"
    fields = { ref = "ref", pieces = "pieces", total = { path = "cents", unit = "minor", currency = "USD" } }
"#;

#[tokio::test]
async fn orders_of_odoo_agree_down_to_their_lines() {
    let odoo = Odoo::start().await;
    let customer = odoo.create("res.partner", json!({ "name": "Ada" })).await;
    let product = odoo.create("product.product", json!({ "name": "Bolt", "list_price": 2.5 })).await;
    for (interface, kind) in PAIRS {
        let other = Database::new(kind).await;
        other.run("CREATE TABLE orders (ref varchar(40) PRIMARY KEY, cents bigint, pieces integer)").await;
        let mut world = world(&odoo, interface, &other, ORDER).await;
        let key = format!("W-{interface:?}");
        let line = |quantity: i64| json!([0, 0, { "product_id": product, "product_uom_qty": quantity }]);
        let order = json!({ "partner_id": customer, "client_order_ref": key, "order_line": [line(2), line(3)] });
        let order = odoo.create("sale.order", order).await;
        other.run(&format!("INSERT INTO orders VALUES ('{key}', 1250, 5)")).await;
        world.look_until_verdict(&key, Verdict::Match).await;
        // The amounts change with the line, and the order with the amounts.
        let search = json!({ "domain": [["order_id", "=", order]], "order": "id" });
        let lines = odoo.call("sale.order.line", "search", search).await;
        odoo.write("sale.order.line", lines[0].as_i64().unwrap(), json!({ "product_uom_qty": 4 })).await;
        let stale = world.look_until_verdict(&key, Verdict::Stale).await;
        assert_eq!(stale.fields, ["total", "pieces"]);
        other.run("UPDATE orders SET cents = 1750, pieces = 7").await;
        world.look_until_verdict(&key, Verdict::Match).await;
    }
}
