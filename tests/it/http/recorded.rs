//! What a real store answered, as it was captured: each trap of the captures, read through the pack.

use plumbline::config::Config;
use plumbline::connect::http::{Sampled, sample_recorded};
use plumbline::model::{EntityId, SystemId, Value};

use super::captured::Captured;
use super::shop::{WOOCOMMERCE, parsed};

/// A config whose entity `thing` is this dataset with these fields.
fn thing(dataset: &str, fields: &str, mapped: &str) -> Config {
    let text = format!(
        r#"
        [system.store]
        {WOOCOMMERCE}
        [system.erp]
        kind = "sqlite"
        url = "sqlite:erp.db"
        [entity.thing]
        key = "id"
        fields.id = {{ type = "integer", owner = "store" }}
        {fields}
        [entity.thing.in.store]
        dataset = "{dataset}"
        fields.id = "id"
        {mapped}
        [entity.thing.in.erp]
        dataset = "thing"
        fields.id = "id"
        "#
    );
    parsed(&text, "https://store.example")
}

/// The records of a captured answer.
#[track_caller]
fn records(config: &Config, capture: &str) -> Vec<Sampled> {
    let store: SystemId = "store".parse().unwrap();
    let entity: EntityId = "thing".parse().unwrap();
    let mapping = &config.entities[&entity].mappings[&store];
    let pack = config.systems[&store].pack.as_deref().unwrap();
    let file = crate::support::repository_file(&format!("tests/fixtures/woocommerce/{capture}.http"));
    let answer = std::fs::read_to_string(file).unwrap();
    sample_recorded(pack, mapping, &answer, usize::MAX).unwrap_or_else(|reason| panic!("{capture}: {reason}"))
}

fn field(sample: &Sampled, index: usize) -> String {
    sample.record.fields[index].to_string()
}

fn stamps(samples: &[Sampled]) -> Vec<String> {
    samples.iter().map(|sample| format!("{:?}", sample.record.changed_at.unwrap())).collect()
}

#[test]
fn every_captured_list_is_read_whole() {
    let config = thing("products", "", "");
    for (capture, count) in [
        ("products-page1", 10),
        ("products-page2", 10),
        ("products-last-page", 98),
        ("products-beyond-last", 0),
        ("products-orderby-id-asc", 10),
        ("products-fields", 100),
        ("products-by-sku", 2),
        ("products-modified-after-gmt", 10),
        ("products-modified-after-Z", 5),
        ("products-orderby-modified-asc", 10),
        ("product-variable", 1),
        ("product-put-noop", 1),
        // Asked for alone, a variation is answered among the products; the pack never asks so.
        ("product-variation-as-product", 1),
    ] {
        let found = records(&config, capture);
        assert_eq!(found.len(), count, "{capture}");
        assert!(found.iter().all(|sample| sample.record.key.is_usable() && sample.record.changed_at.is_some()));
    }
}

#[test]
fn orders_with_everything_in_them_are_read() {
    let orders = thing("orders", "", "");
    for (capture, count) in [
        ("orders-page1", 10),
        ("orders-orderby-id-asc", 5),
        ("orders-modified-after-gmt-asc", 10),
        ("orders-status-filter", 3),
        ("order-fully-refunded", 1),
    ] {
        assert_eq!(records(&orders, capture).len(), count, "{capture}");
    }
    let fields = "fields.fees = \"money\"\nfields.discount = \"money\"";
    let mapped = r#"
        children.fees = { dataset = "fee_lines" }
        children.coupons = { dataset = "coupon_lines" }
        fields.fees = { path = "fees[].total", agg = "sum", currency = { path = "currency" } }
        fields.discount = { path = "coupons[].discount", agg = "sum", currency = { path = "currency" } }
    "#;
    let order = &records(&thing("orders", fields, mapped), "order-coupon-fee")[0];
    assert!(field(order, 1).starts_with("3.5 "), "{}", field(order, 1));
    assert!(field(order, 2).starts_with("20.45 "), "{}", field(order, 2));
}

#[test]
fn the_repeated_hour_of_new_york_is_two_hours() {
    // Both say 01:30 by the site's clock; one was an hour later.
    let orders = thing("orders", "", "");
    let found = records(&orders, "orders-modified-dst-hour-gmt");
    assert_eq!(
        stamps(&found),
        ["2026-11-01T06:30:00.000000Z", "2026-11-01T05:30:00.000000Z", "2026-11-01T06:18:47.000000Z",]
    );
    // By local stamps they cannot be told apart, so they say nothing.
    let local = thing("orders", "", "changed_at = { path = \"date_modified\", zone = \"America/New_York\" }");
    assert!(records(&local, "orders-modified-dst-hour-gmt").iter().all(|sample| sample.record.changed_at.is_none()));
    let ambiguous = records(&orders, "orders-modified-dst-hour-local");
    assert!(ambiguous.len() < found.len(), "asked by local time, the store loses one: {}", ambiguous.len());
}

#[test]
fn a_bound_that_names_its_zone_loses_records() {
    // Why the pack sends bounds without a zone.
    let orders = thing("orders", "", "");
    assert_eq!(records(&orders, "orders-modified-after-Z-and-gmt").len(), 0);
    assert_eq!(records(&orders, "orders-modified-same-second").len(), 5);
    assert_eq!(Captured::read("orders-modified-same-second").header("x-wp-total"), Some("30"));
    let products = thing("products", "", "");
    assert_eq!(records(&products, "products-modified-after-Z-and-gmt").len(), 0);
    assert_eq!(records(&products, "products-modified-after-local").len(), 2);
}

#[test]
fn money_is_exact_whatever_the_currency_has() {
    let fields = "fields.total = \"money\"\nfields.refunds = \"text\"";
    let mapped =
        "fields.total = { path = \"total\", currency = { path = \"currency\" } }\nfields.refunds = \"refunds\"";
    let config = thing("orders", fields, mapped);
    let jpy = records(&config, "order-jpy");
    assert!(field(&jpy[0], 1).starts_with("619.5"), "{}", field(&jpy[0], 1));
    assert!(field(&jpy[0], 1).contains("JPY"));
    let refunded = records(&config, "order-two-refunds");
    assert!(field(&refunded[0], 2).contains("\"total\":\"-1.00\""));
    assert!(field(&records(&config, "order-fully-refunded")[0], 2).starts_with("[{"));
}

#[test]
fn prices_of_lines_that_are_floats_keep_their_digits() {
    let config = thing("orders", "fields.lines = \"text\"", "fields.lines = \"line_items\"");
    let lines = field(&records(&config, "order-single")[0], 1);
    assert!(lines.contains("\"price\":7.345"), "{lines}");
}

#[test]
fn names_are_decoded_and_absent_values_are_null() {
    let fields = "fields.name = \"text\"\nfields.qty = \"integer\"\nfields.sale = \"decimal\"";
    let mapped = "fields.name = { path = \"name\", steps = [\"html_decode\"] }\nfields.qty = \"stock_quantity\"\n\
        fields.sale = { path = \"sale_price\", steps = [\"empty_is_null\"] }";
    let config = thing("products", fields, mapped);
    let all = records(&config, "products-last-page");
    let names: Vec<String> = all.iter().map(|sample| field(sample, 1)).collect();
    assert!(names.iter().all(|name| !name.contains("&amp;") && !name.contains("&#")), "{names:?}");
    assert!(all.iter().any(|sample| sample.record.fields[2] == Value::Null), "stock that is not managed");
    assert!(all.iter().any(|sample| sample.record.fields[3] == Value::Null), "no sale price");
    assert!(!all.iter().any(|sample| matches!(sample.record.fields[3], Value::Invalid(_))));
}

#[test]
fn what_is_in_the_trash_is_absent() {
    let orders = thing("orders", "", "");
    for capture in ["orders-status-trash", "order-get-trashed"] {
        assert!(records(&orders, capture).iter().all(|sample| !sample.record.in_scope), "{capture}");
    }
    assert_eq!(records(&orders, "orders-include-trashed").len(), 0);
    assert!(records(&orders, "orders-include").iter().all(|sample| sample.record.in_scope));
    let products = thing("products", "", "");
    assert!(records(&products, "products-status-trash").iter().all(|sample| !sample.record.in_scope));
}

#[test]
fn other_datasets_are_read_too() {
    let customers = thing("customers", "fields.email = \"text\"", "fields.email = \"email\"");
    assert_eq!(records(&customers, "customers-page1").len(), 5);
    assert_eq!(field(&records(&customers, "customer-single")[0], 1), "cust001@customer.example");
    assert_eq!(records(&customers, "customers-role-all").len(), 2);
    assert_eq!(records(&thing("variations", "", ""), "variations-global").len(), 5);
    assert_eq!(records(&thing("variations", "", ""), "product-variation").len(), 1);
    assert_eq!(records(&thing("variations", "", ""), "product-variations").len(), 3);
    assert_eq!(records(&thing("refunds", "", ""), "order-refunds-list").len(), 2);
    assert_eq!(records(&thing("refunds", "", ""), "order-refund-single").len(), 1);
    assert_eq!(records(&thing("refunds", "", ""), "order-refund-line-items").len(), 1);
    assert_eq!(records(&thing("refunds", "", ""), "refunds-global").len(), 5);
    // A variation is never in a list of products, whatever is asked.
    assert_eq!(records(&thing("products", "", ""), "products-include-variation").len(), 0);
    // Of four ids one does not exist: it is left out without a word.
    assert_eq!(records(&thing("products", "", ""), "products-include").len(), 3);
}

#[test]
fn lines_and_refunds_of_an_order_are_its_children() {
    let fields =
        "fields.pieces = \"integer\"\nfields.skus = \"json\"\nfields.refunded = \"money\"\nfields.lines = \"integer\"";
    let mapped = r#"
        children.lines = { dataset = "line_items" }
        children.refunds = { dataset = "refunds" }
        fields.pieces = { path = "lines[].quantity", agg = "sum" }
        fields.skus = { path = "lines[].sku", agg = "list" }
        fields.refunded = { path = "refunds[].total", agg = "sum", currency = { path = "currency" } }
        fields.lines = { path = "lines[]", agg = "count" }
    "#;
    let config = thing("orders", fields, mapped);
    let order = &records(&config, "order-two-refunds")[0];
    assert_eq!(field(order, 1), "5");
    assert_eq!(field(order, 2), r#"["SKU-0001","SKU-0148"]"#);
    assert!(field(order, 3).starts_with("-1.5"), "{}", field(order, 3));
    assert_eq!(field(order, 4), "2");
    let none = &records(&config, "order-single")[0];
    assert!(field(none, 3).starts_with('0'), "no refunds: {}", field(none, 3));
    let store: SystemId = "store".parse().unwrap();
    let entity: EntityId = "thing".parse().unwrap();
    let children = &config.entities[&entity].mappings[&store].children;
    assert_eq!(children.iter().map(|children| children.bumps_parent).collect::<Vec<_>>(), [true, false]);
}
