//! Bad answers of a store, through whole units: whatever it says, what cannot be read is unknown, never good, never bad.

use chrono::{DateTime, TimeDelta, Utc};
use plumbline::clock::{AnchoredClock, Clock};
use plumbline::connect::Cursor;
use plumbline::model::{Value, Verdict};
use serde_json::{Value as Json, json};

use super::captured::Captured;
use super::shop::{PRODUCTS, Shop, WOOCOMMERCE, config, sku};
use super::verdicts::Company;
use super::woo::Woo;

/// An answer that no store gave as we know, but servers and proxies do.
fn answer(status: u16, content_type: &str, body: &str) -> Captured {
    let headers = vec![("content-type".to_owned(), content_type.to_owned())];
    Captured { status, headers, body: body.as_bytes().to_vec() }
}

fn json_answer(status: u16, body: &Json) -> Captured {
    answer(status, "application/json; charset=UTF-8", &body.to_string())
}

fn with_header(mut captured: Captured, name: &str, value: &str) -> Captured {
    captured.headers.retain(|(known, _)| known != name);
    captured.headers.push((name.to_owned(), value.to_owned()));
    captured
}

/// What a login that may not list products is told: 401 without, 403 with a user (WordPress,
/// `rest_authorization_required_code`).
fn forbidden() -> Captured {
    let message = "Sorry, you cannot list resources.";
    json_answer(403, &json!({ "code": "woocommerce_rest_cannot_view", "message": message, "data": { "status": 403 } }))
}

/// Every answer that is no list of products, with the reason that the check must tell.
fn bad_answers() -> Vec<(&'static str, Captured, &'static str)> {
    let captured = |name: &'static str, reason| (name, Captured::read(name), reason);
    let firewall = "<!DOCTYPE html><title>Attention Required!</title>";
    vec![
        captured("error-401-no-auth", "refused"),
        captured("error-401-http-basic", "refused"),
        captured("error-401-unknown-key", "refused"),
        captured("error-401-wrong-secret", "refused"),
        captured("oauth1-http-bad-signature", "refused"),
        ("403 of WooCommerce", forbidden(), "refused"),
        ("403 of a firewall", answer(403, "text/html", firewall), "refused"),
        ("401 of a password on the directory", answer(401, "text/html", "<html>401"), "refused"),
        captured("infra-503-maintenance", "budget"),
        captured("infra-502-bad-gateway", "unreachable"),
        captured("infra-500-db-down", "unreachable"),
        captured("infra-500-php-fatal", "unreachable"),
        captured("infra-200-php-warning-before-json", "bad_answer"),
        captured("error-404-route", "shape"),
        captured("error-400-per-page", "shape"),
        captured("error-400-orderby", "shape"),
        captured("error-400-date-only", "shape"),
        captured("error-400-modified-after", "shape"),
        captured("error-400-status", "shape"),
        captured("customers-modified-after-ignored", "shape"),
        ("429 without a time", answer(429, "text/plain", "slow down"), "budget"),
        ("200 with an error", json_answer(200, &json!({ "code": "internal", "message": "no database" })), "bad_answer"),
        ("200 with a login page", answer(200, "text/html", "<!DOCTYPE html><p>log in"), "bad_answer"),
        ("200 of another type", answer(200, "text/plain", "ok"), "bad_answer"),
        ("200 and cut short", answer(200, "application/json", "[{\"id\":10,\"sku\":\"A\","), "bad_answer"),
        ("200 and nothing", answer(200, "application/json", ""), "bad_answer"),
        (
            "a redirect to another host",
            with_header(answer(302, "text/html", ""), "location", "https://elsewhere.example/wp-json/wc/v3/products"),
            "bad_answer",
        ),
    ]
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_unknown_and_never_bad() {
    let company = Company::new().await;
    for (number, (what, captured, reason)) in bad_answers().into_iter().enumerate() {
        // A reader that knows nothing of the answers before.
        let mut world = company.world("1s").await;
        company.store.always(Some(captured));
        let sku = format!("A-{number}");
        company.erp.put(&sku, 3).await;
        let row = world.look_until_verdict(&sku, Verdict::Unknown).await;
        assert_eq!(row.reason, reason, "{what}");
        assert_eq!(world.verdicts(&sku), ["unknown"], "{what}");
        assert_eq!(world.open_discrepancies().await, 0, "{what}");
        company.store.always(None);
        company.erp.delete(&sku).await;
    }
}

#[tokio::test]
async fn records_that_the_key_may_not_read_are_unknown() {
    let company = Company::new().await;
    let mut world = company.world("1s").await;
    let hidden = company.store.add("products", json!({ "sku": "A", "stock_quantity": 3 }));
    company.store.hide(hidden);
    company.erp.put("A", 3).await;
    let row = world.look_until_verdict("A", Verdict::Unknown).await;
    assert_eq!((row.reason.as_str(), world.open_discrepancies().await), ("refused", 0));
}

fn http_date(time: DateTime<Utc>) -> String {
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn now() -> DateTime<Utc> {
    AnchoredClock::from_machine().now().to_utc()
}

/// "Too fast, come back in a moment": the look waits, and says afterwards what it would have said.
#[tokio::test]
async fn a_short_wait_is_kept_to_and_changes_no_verdict() {
    for by_date in [false, true] {
        let company = Company::new().await;
        company.store.add("products", json!({ "sku": "A", "stock_quantity": 3 }));
        let mut world = company.world("60s").await;
        // The first look proves the filter; the second one is a single request.
        company.erp.put("A", 2).await;
        world.look_until_verdict("A", Verdict::InFlight).await;
        company.store.take_requests();
        let until = now() + TimeDelta::seconds(3);
        let wait = if by_date { http_date(until) } else { "2".to_owned() };
        let too_fast = answer(429, "application/json", "{\"message\":\"Too many requests\"}");
        company.store.instead(with_header(too_fast, "retry-after", &wait));
        company.erp.put("A", 3).await;
        world.look_until_verdict("A", Verdict::Match).await;
        let asked = company.store.asked_at();
        let gap = asked[1] - asked[0];
        assert!(
            gap >= TimeDelta::seconds(2) || by_date && asked[1] >= until - TimeDelta::seconds(1),
            "{wait}: {asked:?}"
        );
        assert!(world.checks().iter().all(|row| !row.is(Verdict::Unknown)), "{wait}");
        assert_eq!(world.open_discrepancies().await, 0);
    }
}

/// "Too fast, come back in ten minutes": what is asked meanwhile is unknown, and nobody asks the store.
#[tokio::test]
async fn a_long_wait_is_unknown_until_it_is_over_and_nobody_asks() {
    for (status, by_date) in [(429, false), (429, true), (503, false), (503, true)] {
        let company = Company::new().await;
        let mut world = company.world("1s").await;
        let wait = if by_date { http_date(now() + TimeDelta::seconds(600)) } else { "600".to_owned() };
        company.store.instead(with_header(answer(status, "text/html", "<html>"), "retry-after", &wait));
        company.erp.put("A", 3).await;
        let row = world.look_until_verdict("A", Verdict::Unknown).await;
        assert_eq!(row.reason, "budget");
        company.store.take_requests();
        company.erp.put("B", 3).await;
        world.look_until_verdict("B", Verdict::Unknown).await;
        world.recheck().await;
        assert_eq!(company.store.take_requests(), [""; 0], "{status} {wait}");
        assert_eq!(world.open_discrepancies().await, 0);
        assert!(world.checks().iter().all(|row| row.is(Verdict::Unknown)), "{status} {wait}");
    }
}

/// A list whose records of the page before come again, or whose length changes with each page, is read again, and if that
/// does not help, unknown.
#[tokio::test]
async fn a_list_that_will_not_stand_still_is_unknown() {
    let store = Woo::start().await;
    for number in 0..250 {
        store.add("products", json!({ "sku": format!("S-{number:03}") }));
    }
    let shop = Shop::new(&store.url);
    // More records than before, on every page: none of those that were there is left out.
    store.grow_each_page(true);
    let page = shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 10_000).await.unwrap();
    let read: std::collections::BTreeSet<String> = page.records.iter().map(sku).collect();
    assert!((0..250).all(|number| read.contains(&format!("S-{number:03}"))));
    assert_eq!(read.len(), page.records.len(), "each once");
    store.grow_each_page(false);
    // Fewer on every page: what moved to a page that was read already would be left out.
    store.shrink_each_page(true);
    let error = shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 10_000).await.unwrap_err();
    assert_eq!(error.reason_code(), "bad_answer");
    assert!(error.to_string().contains("keeps changing while it is read"), "{error}");
}

/// 01:30 on the first of November came twice in New York. The bound lies between the two.
#[tokio::test]
async fn a_bound_within_the_repeated_hour_takes_the_later_one_and_leaves_the_earlier() {
    let store = Woo::start().await;
    for (number, utc) in [("EARLIER", "05:30:00"), ("LATER", "06:30:00")] {
        let id = store.add("products", json!({ "sku": number }));
        let stamps = json!({
            "date_modified_gmt": format!("2026-11-01T{utc}"),
            "date_modified": "2026-11-01T01:30:00",
        });
        store.write_directly("products", id, stamps);
    }
    // The clock in the answers says 06:00 UTC: a reader that begins to look begins there.
    let begin: DateTime<Utc> = "2026-11-01T06:00:30Z".parse().unwrap();
    store.set_clock_off_by(begin - now());
    let shop = Shop::new(&store.url);
    let begun = shop.reader.changes(&shop.mapping, &Cursor::default(), 1000).await.unwrap();
    let found: Vec<String> = begun.records.iter().map(sku).collect();
    assert_eq!(found, ["LATER"]);
    let asked = store.take_requests();
    assert!(asked.iter().any(|request| request.contains("modified_after=2026-11-01T06%3A00")), "{asked:?}");
}

/// Hundreds of products saved in one second, some of them after it was read: bounds leave their own second out, and stamps
/// do not tell what came first.
#[tokio::test]
async fn what_was_saved_in_a_second_that_was_read_already_is_not_lost() {
    let store = Woo::start().await;
    let shop = Shop::new(&store.url);
    let begin = shop.reader.changes(&shop.mapping, &Cursor::default(), 1000).await.unwrap().next;
    let second = now().format("%Y-%m-%dT%H:%M:%S").to_string();
    let add = |from: usize, to: usize| {
        for number in from..to {
            let id = store.add("products", json!({ "sku": format!("S-{number:03}") }));
            store.write_directly("products", id, json!({ "date_modified_gmt": second }));
        }
    };
    add(0, 100);
    let (first, cursor) = read_on(&shop, begin).await;
    assert_eq!(first.len(), 100);
    add(100, 330);
    let (second, _) = read_on(&shop, cursor).await;
    assert!((100..330).all(|number| second.contains(&format!("S-{number:03}"))), "{}", second.len());
}

/// Reads on to the end in short reads.
async fn read_on(shop: &Shop, mut cursor: Cursor) -> (std::collections::BTreeSet<String>, Cursor) {
    let mut read = std::collections::BTreeSet::new();
    loop {
        let page = shop.reader.changes(&shop.mapping, &cursor, 100).await.unwrap();
        read.extend(page.records.iter().map(sku));
        cursor = page.next;
        if page.complete {
            return (read, cursor);
        }
    }
}

#[tokio::test]
async fn drafts_and_private_products_are_there_and_variations_are_not_among_them() {
    let store = Woo::start().await;
    for status in ["publish", "draft", "private", "pending"] {
        store.add("products", json!({ "sku": status, "status": status }));
    }
    let variation = store.add("variations", json!({ "sku": "VARIATION" }));
    let shop = Shop::new(&store.url);
    let page = shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 1000).await.unwrap();
    let mut found: Vec<String> = page.records.iter().map(sku).collect();
    found.sort_unstable();
    assert_eq!(found, ["draft", "pending", "private", "publish"]);
    // By its id a variation is not a product, though a search by number finds it.
    let by_id = Shop::with(&config(WOOCOMMERCE, &PRODUCTS.replace("sku = \"sku\"", "sku = \"id\"")), &store.url);
    assert_eq!(by_id.by_skus(&[&variation.to_string()]).await.unwrap(), []);
    assert_eq!(shop.by_skus(&["VARIATION"]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn stock_that_is_not_managed_is_not_zero() {
    let company = Company::new().await;
    let mut world = company.world("1s").await;
    let unmanaged = json!({ "sku": "A", "manage_stock": false, "stock_quantity": null });
    let id = company.store.add("products", unmanaged);
    company.erp.put("A", 0).await;
    let row = world.look_until_verdict("A", Verdict::Mismatch).await;
    assert_eq!((row.owner_values, row.target_values), (vec!["0".to_owned()], vec!["null".to_owned()]));
    company.store.save("products", id, json!({ "manage_stock": true, "stock_quantity": 0 }));
    world.look_until_verdict("A", Verdict::Match).await;
}

#[tokio::test]
async fn names_are_read_as_people_see_them() {
    let store = Woo::start().await;
    store.add("products", json!({ "sku": "A", "name": "Nuts &amp; Bolts &#8211; 5&quot; &lt;M8&gt; &amp;amp;" }));
    let found = Shop::new(&store.url).by_skus(&["A"]).await.unwrap();
    assert_eq!(found[0].fields[2], Value::from("Nuts & Bolts – 5\" <M8> &amp;"), "once, not twice");
}

#[tokio::test]
async fn customers_of_every_role_are_read() {
    let store = Woo::start().await;
    for role in ["customer", "shop_manager", "subscriber"] {
        store.add("customers", json!({ "email": format!("{role}@store.example"), "role": role }));
    }
    let customers = "dataset = \"customers\"\nfields = { sku = \"email\", qty = \"id\", name = \"first_name\" }";
    let shop = Shop::with(&config(WOOCOMMERCE, customers), &store.url);
    let page = shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 1000).await.unwrap();
    assert_eq!(page.records.len(), 3);
    // The store would take no notice of a bound: none is sent, and what is old is left out here.
    let asked = store.take_requests();
    assert!(asked.iter().all(|request| !request.contains("modified_after")), "{asked:?}");
    let since = shop.reader.changes(&shop.mapping, &page.next, 1000).await.unwrap();
    assert!(since.complete && since.records.len() <= 3);
    assert_eq!(shop.by_skus(&["subscriber@store.example"]).await.unwrap().len(), 1);
}
