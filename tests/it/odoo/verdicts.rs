//! Odoo as owner of customers, orders and invoices, and as target of stock: every verdict.

use std::time::Duration;

use plumbline::ledger::rows::CheckRow;
use plumbline::model::Verdict;
use serde_json::{Value, json};

use super::site::Interface;
use crate::support::Odoo;
use crate::verdicts::pair::{Database, Product};
use crate::world::World;

/// Units over an Odoo and a database, with a changes probe and a deadline.
async fn world(odoo: &Odoo, interface: Interface, other: &Database, entity: &str) -> World {
    world_of(odoo, interface, other, entity, "kind = \"changes\"\nschedule = \"every 200ms\"").await
}

/// Units with some probe.
async fn world_of(odoo: &Odoo, interface: Interface, other: &Database, entity: &str, probe: &str) -> World {
    let system = interface.system(&odoo.database, "reader");
    let kind = other.kind();
    let config = format!(
        r#"
        [system.odoo]
        {system}
        [system.other]
        kind = "{kind}"
        url = "env:OTHER"
        commit_delay = "2s"
        {entity}
        [[probe]]
        entity = "thing"
        {probe}
        [[slo]]
        name = "thing"
        entity = "thing"
        indicator = "freshness"
        within = "2s"
        objective = "99%"
        window = "30d"
        "#
    );
    let variables = [("ODOO", odoo.url.clone()), ("KEY", odoo.key("reader").to_owned()), ("OTHER", other.url())];
    World::open(&config, &variables).await
}

/// Each interface once, each kind of database once.
const PAIRS: [(Interface, Product); 2] =
    [(Interface::Json2, Product::Postgres), (Interface::JsonRpc, Product::Mariadb)];

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
        let lots = json!({ "name": sku("L"), "default_code": sku("L"), "is_storable": true, "tracking": "lot" });
        let lots = warehouse.odoo.create("product.product", lots).await;
        for name in ["L1", "L2"] {
            let lot = warehouse.odoo.create("stock.lot", json!({ "name": name, "product_id": lots })).await;
            warehouse.count(lots, 2, json!({ "lot_id": lot })).await;
        }
        put(&sku("L"), 4).await;
        world.look_until_verdict(&key("L"), Verdict::Duplicate).await;
    }
}

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
        let probe = "kind = \"sample\"\nschedule = \"every 1s\"\nkeys_per_run = 20";
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

fn documents(move_type: &str) -> String {
    format!(
        r#"
        [entity.thing]
        key = "number"
        fields.number = {{ type = "text", store = "clear" }}
        fields.total = {{ type = "money", owner = "odoo" }}
        fields.paid = {{ type = "text", owner = "odoo" }}
        [entity.thing.in.odoo]
        dataset = "invoices"
        scope = [{{ path = "move_type", eq = "{move_type}" }}, {{ path = "state", eq = "posted" }}]
        fields.number = "name"
        fields.total = {{ path = "amount_total", currency = {{ path = "currency_id.name" }} }}
        fields.paid = "payment_state"
        [entity.thing.in.other]
        dataset = "documents"
        fields = {{ number = "number", paid = "paid", total = {{ path = "cents", unit = "minor", currency = "USD" }} }}
        "#
    )
}

#[tokio::test]
async fn invoices_refunds_and_payments_are_kept_apart() {
    let odoo = Odoo::start().await;
    let other = Database::new(Product::Postgres).await;
    other.run("CREATE TABLE documents (number varchar(40) PRIMARY KEY, cents bigint, paid varchar(20))").await;
    let mut invoices = world(&odoo, Interface::Json2, &other, &documents("out_invoice")).await;
    let mut refunds = world(&odoo, Interface::Json2, &other, &documents("out_refund")).await;
    let customer = odoo.create("res.partner", json!({ "name": "Ada" })).await;
    let post = async |move_type: &str| {
        let line = json!([0, 0, { "name": "Bolts", "quantity": 2, "price_unit": 10.005, "tax_ids": [] }]);
        let invoice = json!({ "move_type": move_type, "partner_id": customer, "invoice_date": "2026-11-20",
                              "invoice_line_ids": [line] });
        let id = odoo.create("account.move", invoice).await;
        odoo.call("account.move", "action_post", json!({ "ids": [id] })).await;
        (id, odoo.read("account.move", id, &["name"]).await["name"].as_str().unwrap().to_owned())
    };
    let (invoice, invoice_number) = post("out_invoice").await;
    let (_, refund_number) = post("out_refund").await;
    invoices.look_until_verdict(&invoice_number, Verdict::Missing).await;
    refunds.look_until_verdict(&refund_number, Verdict::Missing).await;
    // What is out of scope is absent here, as it is there.
    let is_of_no_concern = |world: &World, number: &str| world.last(number).is_none_or(|row| row.is(Verdict::Match));
    assert!(is_of_no_concern(&invoices, &refund_number) && is_of_no_concern(&refunds, &invoice_number));
    for number in [&invoice_number, &refund_number] {
        other.run(&format!("INSERT INTO documents VALUES ('{number}', 2001, 'not_paid')")).await;
    }
    invoices.look_until_verdict(&invoice_number, Verdict::Match).await;
    refunds.look_until_verdict(&refund_number, Verdict::Match).await;
    // Paying moves the invoice.
    let context = json!({ "active_model": "account.move", "active_ids": [invoice] });
    let payment = json!({ "vals_list": [{}], "context": context });
    let payment = odoo.call("account.payment.register", "create", payment).await;
    odoo.call("account.payment.register", "action_create_payments", json!({ "ids": payment })).await;
    let paid = odoo.read("account.move", invoice, &["payment_state"]).await;
    let stale = invoices.look_until_verdict(&invoice_number, Verdict::Stale).await;
    assert_eq!(stale.fields, ["paid"]);
    other.run(&format!("UPDATE documents SET paid = {} WHERE number = '{invoice_number}'", quoted(&paid))).await;
    invoices.look_until_verdict(&invoice_number, Verdict::Match).await;
}

fn quoted(record: &Value) -> String {
    format!("'{}'", record["payment_state"].as_str().unwrap())
}
