//! Reading an Odoo: what its values mean, what changed, and what cannot be read.

use plumbline::connect::{Cursor, ReadError};
use serde_json::json;

use super::site::{FIELDS, Interface, PARTNERS, Site, keys, shown};
use crate::support::Odoo;

#[tokio::test]
async fn empty_archived_and_linked_come_as_what_they_are() {
    let odoo = Odoo::start().await;
    let acme = odoo.create("res.partner", json!({ "name": "Acme", "ref": "P-1", "is_company": true })).await;
    let ada = json!({ "name": "Ada", "ref": "P-2", "parent_id": acme, "email": "ada@acme.example" });
    let ada = odoo.create("res.partner", ada).await;
    odoo.create("res.partner", json!({ "name": "Gone", "ref": "P-3", "active": false })).await;
    for interface in Interface::ALL {
        let site = Site::partners(&odoo, interface);
        let mut records = site.by_refs(&["P-1", "P-2", "P-3", "P-4"]).await.unwrap();
        records.sort_by_key(super::site::key);
        let rows: Vec<String> = records.iter().map(|record| shown(record).join("|")).collect();
        let expect = [
            "P-1|Acme|null|true|null".to_owned(),
            format!("P-2|Ada|ada@acme.example|false|{acme}"),
            "P-3|Gone|null|false|null".to_owned(),
        ];
        assert_eq!(rows, expect, "{interface:?}");
        assert!(records.iter().all(|record| record.changed_at.is_some() && record.native.is_some()), "{interface:?}");
    }
    // Once deleted, it is not there; what lacks is an answer, not an error.
    odoo.unlink("res.partner", ada).await;
    for interface in Interface::ALL {
        let found = Site::partners(&odoo, interface).by_refs(&["P-1", "P-2"]).await.unwrap();
        assert_eq!(keys(&found, ""), ["P-1"], "{interface:?}");
    }
}

#[tokio::test]
async fn paths_lead_into_lines_and_linked_records() {
    let odoo = Odoo::start().await;
    let acme = json!({ "name": "Acme", "ref": "P-1", "email": "box@acme.example" });
    let acme = odoo.create("res.partner", acme).await;
    let product = json!({ "name": "Bolt", "default_code": "B-1", "is_storable": true, "list_price": 2.5 });
    let product = odoo.create("product.product", product).await;
    let line = |quantity: f64| json!([0, 0, { "product_id": product, "product_uom_qty": quantity }]);
    let order = json!({ "partner_id": acme, "client_order_ref": "W-1", "order_line": [line(2.0), line(3.5)] });
    odoo.create("sale.order", order).await;
    odoo.create("sale.order", json!({ "partner_id": acme, "client_order_ref": "W-2" })).await;
    let fields = r#"
        fields.ref = { type = "text", store = "clear", owner = "odoo" }
        fields.customer = "text"
        fields.partner = "integer"
        fields.company = "text"
        fields.pieces = "decimal"
        fields.codes = "json"
        fields.net = "money"
        fields.state = "text"
    "#;
    let mapping = r#"
        dataset = "orders"
        children.lines = { dataset = "order_line" }
        fields.ref = "client_order_ref"
        fields.customer = "partner_id.email"
        fields.partner = "partner_id"
        fields.company = "partner_id.parent_id.name"
        fields.pieces = { path = "lines[].product_uom_qty", agg = "sum" }
        fields.codes = { path = "lines[].product_id.default_code", agg = "list" }
        fields.net = { path = "amount_untaxed", currency = { path = "currency_id.name" } }
        fields.state = "state"
    "#;
    for interface in Interface::NESTED {
        let mut records = Site::with(&odoo, interface, fields, mapping).by_refs(&["W-1", "W-2"]).await.unwrap();
        records.sort_by_key(super::site::key);
        let rows: Vec<String> = records.iter().map(|record| shown(record).join("|")).collect();
        let expect = [
            format!(r#"W-1|box@acme.example|{acme}|null|5.5|["B-1","B-1"]|13.75 USD|draft"#),
            format!("W-2|box@acme.example|{acme}|null|0|[]|0 USD|draft"),
        ];
        assert_eq!(rows, expect, "{interface:?}");
    }
}

#[tokio::test]
async fn changes_come_by_write_date_also_those_committed_late() {
    let odoo = Odoo::start().await;
    odoo.create("res.partner", json!({ "name": "Old", "ref": "OLD" })).await;
    let late = odoo.create("res.partner", json!({ "name": "Late", "ref": "LATE" })).await;
    odoo.sql("UPDATE res_partner SET write_date = write_date - interval '2 days'").await;
    for interface in Interface::ALL {
        let site = Site::partners(&odoo, interface);
        let begun = site.since(&Cursor::default()).await.unwrap();
        assert_eq!(keys(&begun.records, ""), [""; 0], "{interface:?}");
        let reference = format!("NEW-{interface:?}");
        let new = odoo.create("res.partner", json!({ "name": "New", "ref": reference, "active": false })).await;
        let page = site.since(&begun.next).await.unwrap();
        assert_eq!(keys(&page.records, ""), [reference.as_str()], "{interface:?}");
        assert!(page.watermark.is_some());
        // A transaction that began ten minutes ago commits only now: its stamp is behind what has been read.
        let began = "(now() AT TIME ZONE 'UTC') - interval '10 minutes'";
        odoo.sql(&format!("UPDATE res_partner SET comment = 'x', write_date = {began} WHERE id = {late}")).await;
        let page = site.since(&page.next).await.unwrap();
        assert_eq!(keys(&page.records, ""), ["LATE".to_owned(), reference.clone()], "{interface:?}");
        // The first microsecond of a second and the last are of one second: none is lost at a bound.
        odoo.sql(&format!("UPDATE res_partner SET write_date = date_trunc('second', write_date) WHERE id = {new}"))
            .await;
        let again = site.since(&page.next).await.unwrap();
        assert_eq!(keys(&again.records, "NEW"), [reference.as_str()], "{interface:?}");
        odoo.unlink("res.partner", new).await;
        odoo.sql(&format!("UPDATE res_partner SET write_date = now() - interval '2 days' WHERE id = {late}")).await;
    }
}

#[tokio::test]
async fn everything_is_read_page_by_page_in_the_order_of_ids() {
    let odoo = Odoo::start().await;
    let partner = |number: i64| json!({ "name": format!("Z {}", 9_999 - number), "ref": format!("N-{number:04}") });
    let partners: Vec<_> = (0..1_203).map(partner).collect();
    odoo.call("res.partner", "create", json!({ "vals_list": partners })).await;
    let expect: Vec<String> = (0..1_203).map(|number| format!("N-{number:04}")).collect();
    for interface in Interface::ALL {
        let site = Site::partners(&odoo, interface);
        let (mut cursor, mut found, mut calls) = (Cursor::from_beginning(), Vec::new(), 0);
        loop {
            let page = site.reader.changes(&site.mapping, &cursor, 600).await.unwrap();
            calls += 1;
            found.extend(keys(&page.records, "N-"));
            cursor = page.next;
            if page.complete {
                break;
            }
        }
        found.sort_unstable();
        assert_eq!(found, expect, "{interface:?}");
        assert!(calls > 1, "a read is cut at its limit: {calls}");
        let asked: Vec<&str> = expect.iter().map(String::as_str).collect();
        assert_eq!(keys(&site.by_refs(&asked[..450]).await.unwrap(), ""), expect[..450], "{interface:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_said_and_never_empty() {
    let odoo = Odoo::start().await;
    odoo.create("res.partner", json!({ "name": "Acme", "ref": "P-1" })).await;
    let orders = "dataset = \"orders\"\nfields = { ref = \"client_order_ref\" }";
    let reference = "fields.ref = { type = \"text\", store = \"clear\", owner = \"odoo\" }";
    for interface in Interface::NESTED {
        let system = |user: &str| interface.system(&odoo.database, user);
        let ask = async |system: &str, key: &str, fields: &str, mapping: &str| {
            Site::of(&odoo, system, key, fields, mapping).by_refs(&["P-1"]).await.unwrap_err()
        };
        let wrong_key = ask(&system("reader"), "wrong", FIELDS, PARTNERS).await;
        assert!(matches!(&wrong_key, ReadError::Refused { .. }), "{interface:?}: {wrong_key:?}");
        let blind = ask(&system("blind"), odoo.key("blind"), reference, orders).await;
        assert!(matches!(&blind, ReadError::Refused { reason, .. } if reason.contains("not allowed")), "{blind:?}");
        let no_field = PARTNERS.replace("\"email\"", "\"e_mail\"");
        let no_field = ask(&system("reader"), odoo.key("reader"), FIELDS, &no_field).await;
        assert!(matches!(&no_field, ReadError::Shape { reason, .. } if reason.contains("e_mail")), "{no_field:?}");
        let no_model = "dataset = \"x.nothing\"\nfields = { ref = \"name\" }";
        let no_model = ask(&system("admin"), odoo.key("admin"), reference, no_model).await;
        assert!(matches!(&no_model, ReadError::Shape { reason, .. } if reason.contains("x.nothing")), "{no_model:?}");
        // What is said holds no key.
        for error in [&wrong_key, &blind] {
            assert!(!format!("{error:?}").contains(odoo.key("blind")), "{error:?}");
        }
    }
}

/// The group that the page of the pack asks for, as `tests/odoo/setup.py` makes it.
#[tokio::test]
async fn the_login_that_the_page_asks_for_reads_and_writes_nothing_of_it() {
    let odoo = Odoo::start().await;
    let partner = odoo.create("res.partner", json!({ "name": "Acme", "ref": "P-1" })).await;
    let datasets = [
        "res.partner",
        "product.product",
        "stock.quant",
        "sale.order",
        "sale.order.line",
        "account.move",
        "account.payment",
    ];
    for model in datasets {
        let read = json!({ "domain": [], "limit": 1, "specification": { "write_date": {}, "display_name": {} } });
        let (status, body) = odoo.call_as("reader", model, "web_search_read", &read).await;
        assert_eq!(status, 200, "{model}: {body}");
        let (status, body) = odoo.call_as("reader", model, "create", &json!({ "vals_list": [{}] })).await;
        assert_eq!((status, &body["name"]), (403, &json!("odoo.exceptions.AccessError")), "{model}: {body}");
    }
    let write = json!({ "ids": [partner], "vals": { "name": "Other" } });
    assert_eq!(odoo.call_as("reader", "res.partner", "write", &write).await.0, 403);
}
