//! The store's answers against captures of a real one: status, headers, and the names and types of all members.

use std::collections::BTreeSet;
use std::time::Duration;

use plumbline::sandbox::record::{Entity, status};
use plumbline::sandbox::store::{KEY, NewOrder, READ_KEY, READ_SECRET, SECRET};
use reqwest::Method;
use serde_json::{Value, json};

use super::asked::{Answered, Asker};
use super::company::{Company, customer, product, stock};
use crate::http::captured::Captured;

/// Headers that come from the connection, the server before the store, or the day.
const NOT_COMPARED: [&str; 5] = ["transfer-encoding", "connection", "content-length", "date", "server"];

/// A store with two products, a customer and two orders, one of them with two refunds.
struct Shop {
    company: Company,
    asker: Asker,
}

impl Shop {
    async fn open() -> Self {
        let company = Company::open().await;
        let store = &company.store;
        for (sku, title) in [("SKU-0001", "Garden Hose 1"), ("SKU-0002", "Tee & Shirt")] {
            company.put(store, Entity::Product, sku, &[product(title, 735)]).await;
            company.put(store, Entity::Stock, sku, &[stock(126)]).await;
        }
        company.put(store, Entity::Customer, "c0001", &[customer("Ada", "ada@x.example")]).await;
        let order = |customer: &str| NewOrder {
            status: status::OPEN.to_owned(),
            currency: "EUR".to_owned(),
            customer: customer.to_owned(),
            lines: vec![("SKU-0001".to_owned(), 2), ("SKU-0002".to_owned(), 1)],
        };
        let number = store.place(&order("c0001")).unwrap();
        store.place(&order("")).unwrap();
        store.refund(&number, 100, "goodwill").unwrap();
        store.refund(&number, 50, "second").unwrap();
        let asker = Asker::of(company.store.url());
        Self { company, asker }
    }

    async fn send(&self, method: Method, path: &str, login: Option<(&str, &str)>, body: Option<Value>) -> Answered {
        self.asker.send(method, path, login, body).await
    }

    async fn get(&self, path: &str) -> Answered {
        self.asker.get(path).await
    }

    async fn write(&self, method: Method, path: &str, body: Value) -> Answered {
        self.asker.write(method, path, body).await
    }
}

impl Answered {
    fn is_like(&self, capture: &str) {
        self.is_like_but(capture, &[]);
    }

    /// Has the status, the headers, and the members with the types of the capture. `free` are paths of which this
    /// store has something else, with the reason in the caller.
    fn is_like_but(&self, capture: &str, free: &[&str]) {
        let captured = Captured::read(capture);
        assert_eq!(self.status, captured.status, "{capture}: {}", self.body);
        let compared = |names: BTreeSet<String>| -> BTreeSet<String> {
            names.into_iter().filter(|name| !NOT_COMPARED.contains(&name.as_str())).collect()
        };
        let of_capture = captured.headers.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(compared(self.headers.clone()), compared(of_capture), "{capture}");
        for name in ["content-type", "allow", "access-control-expose-headers", "cache-control", "x-robots-tag"] {
            let ours = self.response_headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(ours, captured.header(name), "{capture}: {name}");
        }
        if captured.header("content-type").is_some_and(|kind| kind.starts_with("application/json")) {
            let free = |path: &String| !free.iter().any(|free| path.starts_with(free));
            let shape = |value: &Value| shape(value).into_iter().filter(|path| free(path)).collect::<BTreeSet<_>>();
            let (ours, theirs) = (shape(&self.json()), shape(&captured.json()));
            let (more, less): (Vec<_>, Vec<_>) =
                (ours.difference(&theirs).collect(), theirs.difference(&ours).collect());
            assert!(more.is_empty() && less.is_empty(), "{capture}: only here {more:#?}, only there {less:#?}");
        }
    }
}

/// Every path with the type of what is there.
fn shape(value: &Value) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    walk(value, String::new(), &mut paths);
    paths
}

fn walk(value: &Value, path: String, paths: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(elements) => {
            elements.iter().for_each(|element| walk(element, format!("{path}[]"), paths));
            "list"
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| walk(value, format!("{path}.{name}"), paths));
            "object"
        }
    };
    paths.insert(format!("{path} {kind}"));
}

/// Nobody writes categories, metadata or taxes here, and no fixture was caught without any.
const ELSEWHERE: [&str; 4] = [".related_ids[]", ".line_items[].meta_data[]", ".line_items[].taxes[]", ".tax_lines[]"];

#[tokio::test]
async fn records_have_the_members_of_real_ones() {
    let shop = Shop::open().await;
    shop.get("/products/10").await.is_like_but("product-simple", &[".related_ids[]"]);
    shop.get("/customers/2").await.is_like("customer-single");
    let mut order = ELSEWHERE.to_vec();
    // Nothing is sent here, and the captured order has been completed.
    order.extend([".shipping_lines[]", ".date_completed"]);
    shop.get("/orders/1001").await.is_like_but("order-two-refunds", &order);
    shop.get("/orders/1001/refunds").await.is_like("order-refunds-list");
    shop.get("/orders/1001/refunds/1").await.is_like("order-refund-single");
    // One of the captured refunds names lines.
    shop.get("/refunds?per_page=1").await.is_like_but("refunds-global", &[".line_items[]", "[].line_items[]"]);
    shop.send(Method::GET, "/", None, None).await.is_like_but("index-site", &[".namespaces[]", ".authentication"]);
}

#[tokio::test]
async fn writes_answer_as_real_ones() {
    let shop = Shop::open().await;
    let items =
        json!({ "status": "processing", "currency": "EUR", "line_items": [{ "product_id": 10, "quantity": 2 }] });
    let written = shop.write(Method::POST, "/orders", items).await;
    // The captured store taxes.
    written.is_like_but("order-create", &ELSEWHERE);
    assert_eq!(written.json()["total"], "14.70");
    let put = shop.write(Method::PUT, "/orders/1003", json!({ "status": "completed" })).await;
    put.is_like_but("order-put-status", &[&ELSEWHERE[..], &[".refunds[]"]].concat());
    let refund = shop.write(Method::POST, "/orders/1003/refunds", json!({ "amount": "1.00", "reason": "x" })).await;
    refund.is_like("order-refund-create");
    let after = shop.get("/orders/1003").await;
    after.is_like_but("order-after-refund", &[&ELSEWHERE[..], &[".date_completed"]].concat());
    shop.write(Method::POST, "/orders/1003/refunds", json!({ "amount": "999999.00" }))
        .await
        .is_like("order-refund-too-much");
    // Products that were just written have two members more, here as there.
    shop.write(Method::PUT, "/products/10", json!({})).await.is_like_but("product-put-noop", &[".related_ids[]"]);
    let stock = shop.write(Method::PUT, "/products/10", json!({ "stock_quantity": 55 })).await;
    stock.is_like_but("product-put-stock", &[".related_ids[]"]);
    assert_eq!(stock.json()["stock_quantity"], 55);
    let updates = json!({ "update": [
        { "id": 10, "stock_quantity": 43 },
        { "id": 99_999_999, "stock_quantity": 1 },
        { "id": 11, "stock_quantity": 44 },
    ] });
    let batch = shop.write(Method::POST, "/products/batch", updates).await;
    batch.is_like_but("products-batch-partial-error", &[".update[].related_ids[]"]);
    let create = json!({ "create": [{ "name": "dup", "sku": "SKU-0001" }] });
    shop.write(Method::POST, "/products/batch", create).await.is_like("products-batch-duplicate-sku");
}

#[tokio::test]
async fn deletes_answer_as_real_ones() {
    let shop = Shop::open().await;
    // The captured orders were taxed, sent and paid with coupons, and the first is another customer's than ours.
    let free =
        [&ELSEWHERE[..], &[".shipping_lines[]", ".fee_lines[]", ".coupon_lines[]", ".date_paid", "._links.customer"]];
    let deleted = shop.write(Method::DELETE, "/orders/1002", json!({})).await;
    deleted.is_like_but("order-delete-trash", &free.concat());
    let items = json!({ "status": "pending", "currency": "JPY", "line_items": [{ "product_id": 10, "quantity": 2 }] });
    shop.write(Method::POST, "/orders", items).await;
    let erased = shop.write(Method::DELETE, "/orders/1003?force=true", json!({})).await;
    erased.is_like_but("order-delete-force", &free.concat());
    let gone = shop.get("/orders/1003").await;
    gone.is_like("order-get-deleted");
    assert_eq!(gone.json(), Captured::read("order-get-deleted").json());
}

#[tokio::test]
async fn refusals_are_the_real_ones() {
    let shop = Shop::open().await;
    let bad = shop.asker.write_text(Method::PUT, "/products/10", "{bad json").await;
    bad.is_like("error-400-bad-json");
    assert_eq!(bad.json(), Captured::read("error-400-bad-json").json());
    for (path, capture) in [
        ("/products/99999999", "error-404-product"),
        ("/orders/99999999", "error-404-order"),
        ("/customers/99999999", "error-404-customer"),
        ("/nope", "error-404-route"),
        ("/products?per_page=101", "error-400-per-page"),
        ("/orders?modified_after=yesterday-ish", "error-400-modified-after"),
        ("/orders?modified_after=2026-11-05", "error-400-date-only"),
        ("/orders?status=nope", "error-400-status"),
        ("/orders?orderby=total_foo", "error-400-orderby"),
    ] {
        let answered = shop.get(path).await;
        answered.is_like(capture);
        assert_eq!(answered.json(), Captured::read(capture).json(), "{path}");
    }
    let changes = [
        (json!({ "stock_quantity": "abc" }), "error-400-stock-type"),
        (json!({ "stock_quantity": 1.5 }), "error-400-stock-decimal"),
        (json!({ "regular_price": 12.5 }), "error-400-price-number"),
    ];
    for (body, capture) in changes {
        let answered = shop.write(Method::PUT, "/products/10", body).await;
        answered.is_like(capture);
        assert_eq!(answered.json(), Captured::read(capture).json(), "{capture}");
    }
    let duplicate = shop.write(Method::POST, "/products", json!({ "name": "dup", "sku": "SKU-0001" })).await;
    duplicate.is_like("error-400-duplicate-sku");
    assert_eq!(duplicate.json(), Captured::read("error-400-duplicate-sku").json());
    let many: Vec<Value> = (0..101).map(|_| json!({ "id": 10 })).collect();
    let many = shop.write(Method::POST, "/products/batch", json!({ "update": many })).await;
    many.is_like("error-413-batch-101");
    let hook = shop.write(Method::POST, "/webhooks", json!({ "topic": "order.exploded" })).await;
    hook.is_like("webhook-create-bad-topic");
}

#[tokio::test]
async fn wrong_logins_are_told_apart_as_by_a_real_store() {
    let shop = Shop::open().await;
    for (login, capture) in [
        (None, "error-401-no-auth"),
        (Some(("ck_0000", SECRET)), "error-401-unknown-key"),
        (Some((KEY, "cs_0000")), "error-401-wrong-secret"),
    ] {
        let answered = shop.send(Method::GET, "/wc/v3/products", login, None).await;
        answered.is_like(capture);
        assert_eq!(answered.json(), Captured::read(capture).json());
    }
    let body = Some(json!({ "stock_quantity": 1 }));
    let answered = shop.send(Method::PUT, "/wc/v3/products/10", Some((READ_KEY, READ_SECRET)), body).await;
    answered.is_like("error-401-read-key-write");
    assert_eq!(answered.json(), Captured::read("error-401-read-key-write").json());
}

#[tokio::test]
async fn maintenance_looks_like_maintenance() {
    let shop = Shop::open().await;
    let until = shop.company.clock.now() + Duration::from_secs(60);
    shop.company.store.switches().outage(until);
    let answered = shop.get("/products").await;
    answered.is_like("infra-503-maintenance");
    assert_eq!(answered.body.as_bytes(), Captured::read("infra-503-maintenance").body);
    let seconds: u64 = answered.header("retry-after").parse().unwrap();
    assert!((55..=60).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn pages_tell_of_each_other() {
    let shop = Shop::open().await;
    for number in 3..=25 {
        let sku = format!("SKU-{number:04}");
        shop.company.put(&shop.company.store, Entity::Product, &sku, &[product("Hose", 100)]).await;
    }
    for (path, capture, records) in [
        ("/products?per_page=10&page=1", "products-page1", 10),
        ("/products?per_page=10&page=2", "products-page2", 10),
        ("/products?per_page=20&page=2", "products-last-page", 5),
        ("/products?per_page=100&page=99", "products-beyond-last", 0),
    ] {
        let answered = shop.get(path).await;
        // The captured lists hold products of other kinds.
        answered.is_like_but(capture, &["[]"]);
        assert_eq!(answered.ids().len(), records, "{path}");
        assert_eq!(answered.header("x-wp-total"), "25");
        let captured = Captured::read(capture);
        let rels = |link: &str| link.split("rel=").skip(1).map(|rel| rel[..6].to_owned()).collect::<Vec<_>>();
        assert_eq!(rels(answered.header("link")), rels(captured.header("link").unwrap()), "{path}");
    }
    let last = shop.get("/products?per_page=100&page=99").await;
    assert!(last.header("link").contains("page=1>; rel=\"prev\""), "{}", last.header("link"));
    let head = shop.send(Method::HEAD, "/wc/v3/products?per_page=1", Some((READ_KEY, READ_SECRET)), None).await;
    assert_eq!((head.header("x-wp-total"), head.header("x-wp-totalpages"), &*head.body), ("25", "25", ""));
}
