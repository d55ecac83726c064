//! What surprises whoever reads a WooCommerce store, one by one, as it was seen on a real one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use plumbline::clock::Clock;
use plumbline::model::Moment;
use plumbline::sandbox::book::{Book, Manner, WriteLog};
use plumbline::sandbox::record::{Content, Entity, Field, status};
use plumbline::sandbox::store::{NewOrder, Store};
use reqwest::Method;
use serde_json::{Value, json};

use super::asked::Asker;
use super::company::{customer, product, stock};

/// A clock that stands until it is set.
#[derive(Default)]
struct SetClock(AtomicI64);

impl SetClock {
    fn set(&self, time: &str) {
        let time: chrono::DateTime<chrono::Utc> = time.parse().unwrap();
        self.0.store(time.timestamp_micros(), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Moment {
        Moment::from_micros(self.0.load(Ordering::SeqCst))
    }
}

struct Shop {
    clock: Arc<SetClock>,
    store: Store,
    asker: Asker,
}

impl Shop {
    /// Opens at noon of an ordinary day.
    async fn open() -> Self {
        let clock = Arc::new(SetClock::default());
        clock.set("2026-11-05T12:00:00Z");
        let store = Store::open(Arc::new(WriteLog::default()), Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        let asker = Asker::of(store.url());
        Self { clock, store, asker }
    }

    async fn put(&self, entity: Entity, key: &str, content: Content) {
        self.store.write(entity, key, &[content], Manner::default()).await.unwrap();
    }

    async fn products(&self, count: usize) {
        for number in 1..=count {
            self.put(Entity::Product, &format!("SKU-{number:04}"), product("Brass bob", 100)).await;
        }
    }

    fn place(&self, currency: &str) -> String {
        let lines = vec![("SKU-0001".to_owned(), 1)];
        let (status, currency) = (status::OPEN.to_owned(), currency.to_owned());
        self.store.place(&NewOrder { status, currency, lines, ..NewOrder::default() }).unwrap()
    }

    async fn ids(&self, path: &str) -> Vec<u64> {
        self.asker.get(path).await.ids()
    }

    async fn member(&self, path: &str, name: &str) -> Value {
        self.asker.get(path).await.json()[name].clone()
    }
}

#[tokio::test]
async fn stamps_are_local_and_gmt_and_do_not_say_so() {
    let shop = Shop::open().await;
    shop.products(1).await;
    let record = shop.asker.get("/products/10").await.json();
    assert_eq!(record["date_modified"], "2026-11-05T07:00:00");
    assert_eq!(record["date_modified_gmt"], "2026-11-05T12:00:00");
}

#[tokio::test]
async fn the_hour_that_comes_twice() {
    let shop = Shop::open().await;
    for (sku, time) in [("SKU-0001", "2026-11-01T05:30:00.9Z"), ("SKU-0002", "2026-11-01T06:30:00Z")] {
        shop.clock.set(time);
        shop.put(Entity::Product, sku, product("Brass bob", 100)).await;
    }
    for (query, expect) in [
        ("modified_after=2026-11-01T01:29:59&modified_before=2026-11-01T01:30:01", vec![10, 11]),
        ("modified_after=2026-11-01T05:29:59&modified_before=2026-11-01T05:30:01&dates_are_gmt=true", vec![10]),
        ("modified_after=2026-11-01T05:29:59&dates_are_gmt=true", vec![10, 11]),
    ] {
        assert_eq!(shop.ids(&format!("/products?{query}&orderby=id&order=asc")).await, expect, "{query}");
    }
}

#[tokio::test]
async fn bounds_are_exclusive_and_a_z_together_with_gmt_shifts_them() {
    let shop = Shop::open().await;
    shop.products(3).await;
    for (query, found) in [
        ("modified_after=2026-11-05T11:59:59&modified_before=2026-11-05T12:00:01&dates_are_gmt=true", 3),
        ("modified_after=2026-11-05T12:00:00&dates_are_gmt=true", 0),
        ("modified_before=2026-11-05T12:00:00&dates_are_gmt=true", 0),
        ("modified_after=2026-11-05T06:59:59&modified_before=2026-11-05T07:00:01", 3),
        ("modified_after=2026-11-05T11:59:59Z&modified_before=2026-11-05T12:00:01Z", 3),
        ("modified_after=2026-11-05T11:59:59Z&modified_before=2026-11-05T12:00:01Z&dates_are_gmt=true", 0),
    ] {
        assert_eq!(shop.ids(&format!("/products?{query}")).await.len(), found, "{query}");
    }
}

#[tokio::test]
async fn changes_within_a_second_look_alike_and_come_by_id() {
    let shop = Shop::open().await;
    shop.products(5).await;
    let path = "/products?orderby=modified&order=asc&per_page=2&page=2&_fields=id,date_modified_gmt";
    let page = shop.asker.get(path).await.json();
    let stamp = "2026-11-05T12:00:00";
    let expect = json!([{ "id": 12, "date_modified_gmt": stamp }, { "id": 13, "date_modified_gmt": stamp }]);
    assert_eq!(page, expect);
}

#[tokio::test]
async fn the_trash_is_a_status_that_any_does_not_mean() {
    let shop = Shop::open().await;
    shop.products(1).await;
    let (first, second) = (shop.place("EUR"), shop.place("EUR"));
    shop.clock.set("2026-11-05T12:00:07Z");
    let deleted = shop.asker.write(Method::DELETE, &format!("/orders/{first}"), json!({})).await;
    assert_eq!((deleted.status, &deleted.json()["status"]), (200, &json!("processing")), "the answer shows what was");
    let trashed = shop.asker.get(&format!("/orders/{first}")).await.json();
    assert_eq!((&trashed["status"], &trashed["date_modified_gmt"]), (&json!("trash"), &json!("2026-11-05T12:00:07")));
    assert_eq!(shop.ids("/orders?status=any").await, [1002]);
    assert_eq!(shop.ids("/orders").await, [1002]);
    assert_eq!(shop.ids("/orders?include=1001").await, [0; 0]);
    assert_eq!(shop.ids("/orders?status=trash").await, [1001]);
    let again = shop.asker.write(Method::DELETE, &format!("/orders/{first}"), json!({})).await;
    assert_eq!(again.status, 410);
    let gone = shop.asker.write(Method::DELETE, &format!("/orders/{second}?force=true"), json!({})).await;
    assert_eq!(gone.status, 200);
    assert_eq!(shop.asker.get(&format!("/orders/{second}")).await.status, 404);
    assert_eq!(shop.ids("/orders?status=trash").await, [1001]);
}

#[tokio::test]
async fn a_touch_that_changes_nothing_moves_the_stamp_and_a_script_does_not() {
    let shop = Shop::open().await;
    shop.products(1).await;
    shop.clock.set("2026-11-05T12:01:00Z");
    shop.asker.write(Method::PUT, "/products/10", json!({})).await;
    assert_eq!(shop.member("/products/10", "date_modified_gmt").await, "2026-11-05T12:01:00");
    shop.clock.set("2026-11-05T12:02:00Z");
    let unstamped = Manner { unstamped: true, ..Manner::default() };
    shop.store.write(Entity::Product, "SKU-0001", &[product("Steel bob", 100)], unstamped).await.unwrap();
    assert_eq!(shop.member("/products/10", "name").await, "Steel bob");
    assert_eq!(shop.member("/products/10", "date_modified_gmt").await, "2026-11-05T12:01:00");
}

#[tokio::test]
async fn a_refund_moves_its_order_and_taking_it_back_does_not() {
    let shop = Shop::open().await;
    shop.products(1).await;
    let path = format!("/orders/{}", shop.place("EUR"));
    shop.clock.set("2026-11-05T12:01:00Z");
    let refund = shop.asker.write(Method::POST, &format!("{path}/refunds"), json!({ "amount": "0.40" })).await;
    assert_eq!(shop.member(&path, "date_modified_gmt").await, "2026-11-05T12:01:00");
    shop.clock.set("2026-11-05T12:02:00Z");
    let id = &refund.json()["id"];
    assert_eq!(shop.asker.write(Method::DELETE, &format!("{path}/refunds/{id}"), json!({})).await.status, 501);
    shop.asker.write(Method::DELETE, &format!("{path}/refunds/{id}?force=true"), json!({})).await;
    let order = shop.asker.get(&path).await.json();
    assert_eq!((&order["refunds"], &order["date_modified_gmt"]), (&json!([]), &json!("2026-11-05T12:01:00")));
}

#[tokio::test]
async fn decimals_are_the_settings_and_not_the_currencys() {
    let shop = Shop::open().await;
    shop.products(1).await;
    for (currency, total) in [("JPY", "100.00"), ("EUR", "1.00")] {
        let path = format!("/orders/{}", shop.place(currency));
        assert_eq!(shop.member(&path, "total").await, total);
    }
    let written = shop.asker.write(Method::PUT, "/products/10", json!({ "regular_price": "7.345" })).await;
    assert_eq!((&written.json()["regular_price"], &written.json()["price"]), (&json!("7.345"), &json!("7.345")));
    let held = shop.store.read(Entity::Product, "SKU-0001").await.unwrap();
    assert_eq!(held[0].text(Field::Price), "734.5");
}

#[tokio::test]
async fn names_are_encoded_and_numbers_are_found_in_any_case() {
    let shop = Shop::open().await;
    shop.put(Entity::Product, "sku-a", product("Nuts & <Bolts>", 100)).await;
    shop.put(Entity::Product, "with, comma", product("Comma", 100)).await;
    assert_eq!(shop.member("/products/10", "name").await, "Nuts &amp; &lt;Bolts&gt;");
    for (sku, expect) in [("SKU-A", vec![10]), ("none,sku-A", vec![10]), ("with,%20comma", vec![11]), ("none", vec![])]
    {
        assert_eq!(shop.ids(&format!("/products?sku={sku}&orderby=id&order=asc")).await, expect, "{sku}");
    }
    // Exactly is what counts in the company.
    assert_eq!(shop.store.read(Entity::Product, "SKU-A").await.unwrap(), []);
    let taken = shop.asker.write(Method::POST, "/products", json!({ "sku": "SKU-A" })).await;
    assert_eq!(taken.json()["code"], "product_invalid_sku");
}

#[tokio::test]
async fn unknown_ids_and_parameters_are_passed_over() {
    let shop = Shop::open().await;
    shop.products(3).await;
    assert_eq!(shop.ids("/products?include=12,10,11,99999999&orderby=include").await, [12, 10, 11]);
    assert_eq!(shop.ids("/products?colour=green&updated_since=2030-01-01").await.len(), 3);
}

#[tokio::test]
async fn stock_counts_only_where_it_is_managed() {
    let shop = Shop::open().await;
    shop.products(1).await;
    let ignored = shop.asker.write(Method::PUT, "/products/10", json!({ "stock_quantity": 5 })).await.json();
    assert_eq!((&ignored["manage_stock"], &ignored["stock_quantity"]), (&json!(false), &Value::Null));
    shop.put(Entity::Stock, "SKU-0001", stock(0)).await;
    let product = shop.asker.get("/products/10").await.json();
    assert_eq!((&product["stock_quantity"], &product["stock_status"]), (&json!(0), &json!("outofstock")));
}

#[tokio::test]
async fn customers_know_no_dates_and_hide_other_users() {
    let shop = Shop::open().await;
    shop.put(Entity::Customer, "c0001", customer("Ada", "ada@x.example")).await;
    for (query, found) in [
        ("modified_after=2030-01-01T00:00:00", vec![2]),
        ("role=all&orderby=id&order=asc", vec![1, 2]),
        ("role=administrator", vec![1]),
        ("email=ADA@x.example", vec![2]),
        ("email=nobody@x.example", vec![]),
    ] {
        assert_eq!(shop.ids(&format!("/customers?{query}")).await, found, "{query}");
    }
    let trashed = shop.asker.write(Method::DELETE, "/customers/2", json!({})).await;
    assert_eq!((trashed.status, &trashed.json()["code"]), (501, &json!("woocommerce_rest_trash_not_supported")));
    assert_eq!(shop.asker.write(Method::DELETE, "/customers/2?force=true", json!({})).await.status, 200);
    assert_eq!(shop.store.read(Entity::Customer, "c0001").await.unwrap(), []);
}

#[tokio::test]
async fn what_goes_is_one_record_for_product_and_stock() {
    let log = Arc::new(WriteLog::default());
    let clock: Arc<dyn Clock> = Arc::new(SetClock::default());
    let store = Store::open(Arc::clone(&log), clock).await.unwrap();
    let write = async |entity, contents: &[Content], softly| {
        let manner = Manner { softly, ..Manner::default() };
        store.write(entity, "SKU-0001", contents, manner).await.unwrap();
    };
    write(Entity::Product, &[product("Brass bob", 100)], false).await;
    write(Entity::Stock, &[stock(4)], false).await;
    write(Entity::Product, &[], true).await;
    assert_eq!(store.read(Entity::Stock, "SKU-0001").await.unwrap(), []);
    // Out of the trash again, with the stock it had.
    write(Entity::Product, &[product("Steel bob", 100)], false).await;
    assert_eq!(store.read(Entity::Stock, "SKU-0001").await.unwrap(), [stock(4)]);
    write(Entity::Product, &[], false).await;
    write(Entity::Product, &[product("Iron bob", 100)], false).await;
    assert_eq!(store.read(Entity::Stock, "SKU-0001").await.unwrap(), []);
    let mut said: Vec<usize> =
        log.writes().iter().filter(|write| write.entity == Entity::Stock).map(|write| write.contents.len()).collect();
    said.dedup();
    assert_eq!(said, [0, 1, 0, 1, 0], "each of it was noted for the stock, too");
    // What is about one of them is not noted for the other.
    let before = log.writes().len();
    write(Entity::Product, &[product("Lead bob", 100)], false).await;
    write(Entity::Stock, &[stock(4)], false).await;
    let noted: Vec<Entity> = log.writes()[before..].iter().map(|write| write.entity).collect();
    assert_eq!(noted, [Entity::Product, Entity::Stock]);
}
