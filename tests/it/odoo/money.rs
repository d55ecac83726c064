//! Odoo as owner of invoices and payments.

use plumbline::model::Verdict;
use serde_json::{Value, json};

use super::site::Interface;
use super::units::{PAIRS, world};
use crate::support::Odoo;
use crate::verdicts::pair::{Database, Product};
use crate::world::World;

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

const PAYMENT: &str = r#"
    [entity.thing]
    key = "memo"
    fields.memo = { type = "text", store = "clear" }
    fields.amount = { type = "money", owner = "odoo" }
    fields.state = { type = "text", owner = "odoo" }
    [entity.thing.in.odoo]
    dataset = "payments"
    scope = [{ path = "payment_type", eq = "inbound" }, { path = "state", ne = "draft" }]
    fields.memo = "memo"
    fields.amount = { path = "amount", currency = { path = "currency_id.name" } }
    fields.state = "state"
    [entity.thing.in.other]
    dataset = "receipts"
    fields = { memo = "memo", state = "state", amount = { path = "cents", unit = "minor", currency = "USD" } }
"#;

#[tokio::test]
async fn payments_are_followed_or_not() {
    let odoo = Odoo::start().await;
    let customer = odoo.create("res.partner", json!({ "name": "Ada" })).await;
    for (interface, product) in PAIRS {
        let other = Database::new(product).await;
        other.run("CREATE TABLE receipts (memo varchar(40) PRIMARY KEY, cents bigint, state varchar(20))").await;
        let mut world = world(&odoo, interface, &other, PAYMENT).await;
        let key = format!("P-{interface:?}");
        let pay = async |memo: &str, kind: &str| {
            let payment = json!({ "payment_type": kind, "partner_type": "customer", "partner_id": customer,
                                  "amount": 19.99, "memo": memo, "date": "2026-11-20" });
            odoo.create("account.payment", payment).await
        };
        let payment = pay(&key, "inbound").await;
        let given_back = pay(&format!("{key}-back"), "outbound").await;
        // A draft is of no concern, nor is what we pay.
        let post = json!({ "ids": [payment, given_back] });
        odoo.call("account.payment", "action_post", post).await;
        world.look_until_verdict(&key, Verdict::Missing).await;
        assert_eq!(world.open_discrepancies().await, 1);
        let posted = state(&odoo, payment).await;
        // It arrives with an amount that it never had.
        other.run(&format!("INSERT INTO receipts VALUES ('{key}', 1899, '{posted}')")).await;
        let wrong = world.look_until_verdict(&key, Verdict::Mismatch).await;
        assert_eq!(wrong.fields, ["amount"]);
        other.run("UPDATE receipts SET cents = 1999").await;
        world.look_until_verdict(&key, Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);
        // The bank has it: the payment moves on.
        odoo.call("account.payment", "action_validate", json!({ "ids": [payment] })).await;
        let paid = state(&odoo, payment).await;
        assert_ne!(paid, posted);
        let stale = world.look_until_verdict(&key, Verdict::Stale).await;
        assert_eq!(stale.fields, ["state"]);
        other.run(&format!("UPDATE receipts SET state = '{paid}'")).await;
        world.look_until_verdict(&key, Verdict::Match).await;
        assert_eq!(world.open_discrepancies().await, 0);
        assert!(world.last(&format!("{key}-back")).is_none_or(|row| row.is(Verdict::Match)));
        // Each read begins a quarter of an hour earlier: the next world would see this one's payment.
        odoo.sql("UPDATE account_payment SET write_date = write_date - interval '2 days'").await;
    }
}

async fn state(odoo: &Odoo, payment: i64) -> String {
    odoo.read("account.payment", payment, &["state"]).await["state"].as_str().unwrap().to_owned()
}
