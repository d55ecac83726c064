//! Reading a store: changes, keys, and what must not be believed.

use plumbline::connect::{Bound, ChangesPage, Cursor, KeyRange, Reach, ReadError};
use plumbline::model::Value;
use serde_json::json;

use super::captured::Captured;
use super::shop::{Shop, sku};
use super::woo::Woo;

async fn everything(shop: &Shop) -> Result<ChangesPage, ReadError> {
    shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 10_000).await
}

fn skus(page: &ChangesPage) -> Vec<String> {
    let mut skus: Vec<String> = page.records.iter().map(sku).collect();
    skus.sort_unstable();
    skus
}

#[tokio::test]
async fn everything_is_read_page_by_page() {
    let store = Woo::start().await;
    for number in 0..250 {
        store.add("products", json!({ "sku": format!("S-{number:03}") }));
    }
    let shop = Shop::new(&store.url);
    let page = everything(&shop).await.unwrap();
    assert!(page.complete);
    assert_eq!(page.records.len(), 250);
    let asked = store.take_requests();
    assert!(asked.iter().any(|request| request.contains("page=3")), "{asked:?}");
    assert!(asked.iter().all(|request| request.contains("_fields=sku") || request.contains("_fields=id")), "{asked:?}");
}

#[tokio::test]
async fn only_what_changed_is_read_next_time() {
    let store = Woo::start().await;
    let old = store.add("products", json!({ "sku": "OLD", "stock_quantity": 1 }));
    store.write_directly("products", old, json!({ "date_modified_gmt": "2026-01-01T00:00:00" }));
    let shop = Shop::new(&store.url);
    let begun = shop.reader.changes(&shop.mapping, &Cursor::default(), 1000).await.unwrap();
    assert_eq!(skus(&begun), [""; 0]);
    store.add("products", json!({ "sku": "NEW", "stock_quantity": 7 }));
    let page = shop.reader.changes(&shop.mapping, &begun.next, 1000).await.unwrap();
    assert_eq!(skus(&page), ["NEW"]);
    assert!(page.watermark.is_some());
    // Until the watermark has passed the change it comes again.
    let again = shop.reader.changes(&shop.mapping, &page.next, 1000).await.unwrap();
    assert_eq!(skus(&again), ["NEW"]);
}

#[tokio::test]
async fn a_pass_that_is_cut_goes_on_where_it_was() {
    let store = Woo::start().await;
    for number in 0..450 {
        store.add("products", json!({ "sku": format!("S-{number:03}") }));
    }
    let shop = Shop::new(&store.url);
    let (mut cursor, mut seen, mut calls) = (Cursor::from_beginning(), Vec::new(), 0);
    loop {
        let page = shop.reader.changes(&shop.mapping, &cursor, 200).await.unwrap();
        assert!(page.records.len() <= 200);
        assert_eq!(page.watermark.is_some(), page.complete);
        seen.extend(skus(&page));
        (cursor, calls) = (page.next, calls + 1);
        if page.complete {
            break;
        }
    }
    assert_eq!((seen.len(), calls), (450, 3));
}

#[tokio::test]
async fn what_went_to_the_trash_is_seen_leaving() {
    let store = Woo::start().await;
    let id = store.add("products", json!({ "sku": "A" }));
    let shop = Shop::new(&store.url);
    let begun = shop.reader.changes(&shop.mapping, &Cursor::default(), 1000).await.unwrap();
    store.trash("products", id);
    let page = shop.reader.changes(&shop.mapping, &begun.next, 1000).await.unwrap();
    assert_eq!(page.records.iter().map(|record| record.in_scope).collect::<Vec<_>>(), [false]);
    assert_eq!(shop.by_skus(&["A"]).await.unwrap(), []);
}

#[tokio::test]
async fn records_are_found_by_their_number() {
    let store = Woo::start().await;
    for sku in ["A", "b", "with, comma", "Köln & Söhne"] {
        store.add("products", json!({ "sku": sku, "stock_quantity": 5, "name": "Nuts &amp; Bolts" }));
    }
    let shop = Shop::new(&store.url);
    let found = shop.by_skus(&["A", "B", "with, comma", "Köln & Söhne", "none"]).await.unwrap();
    let mut skus: Vec<String> = found.iter().map(sku).collect();
    skus.sort_unstable();
    // `B` is not `b`, whatever the store's database thinks.
    assert_eq!(skus, ["A", "Köln & Söhne", "with, comma"]);
    assert_eq!(found[0].fields[2], Value::from("Nuts & Bolts"), "names come HTML-encoded");
    assert!(found[0].native.is_some());
}

#[tokio::test]
async fn two_records_of_one_number_are_both_found() {
    let store = Woo::start().await;
    store.add("products", json!({ "sku": "A" }));
    store.add("variations", json!({ "sku": "A" }));
    assert_eq!(Shop::new(&store.url).by_skus(&["A"]).await.unwrap().len(), 2);
}

#[tokio::test]
async fn stock_that_is_not_managed_is_null() {
    let store = Woo::start().await;
    store.add("products", json!({ "sku": "A", "manage_stock": false, "stock_quantity": null }));
    let found = Shop::new(&store.url).by_skus(&["A"]).await.unwrap();
    assert_eq!(found[0].fields[1], Value::Null);
}

#[tokio::test]
async fn records_that_the_key_may_not_read_make_a_read_incomplete() {
    let store = Woo::start().await;
    let hidden = store.add("products", json!({ "sku": "A" }));
    store.add("products", json!({ "sku": "B" }));
    store.hide(hidden);
    let shop = Shop::new(&store.url);
    let error = shop.by_skus(&["A", "B"]).await.unwrap_err();
    assert!(matches!(&error, ReadError::Refused { reason, .. } if reason.contains("2 records and gave 1")), "{error}");
    assert!(matches!(everything(&shop).await, Err(ReadError::Refused { .. })));
    assert_eq!(shop.by_skus(&["B"]).await.unwrap().len(), 1, "others are not affected");
}

#[tokio::test]
async fn a_list_that_shrinks_while_it_is_read_is_read_again() {
    let store = Woo::start().await;
    let ids: Vec<i64> =
        (0..150).map(|number| store.add("products", json!({ "sku": format!("S-{number:03}") }))).collect();
    let shop = Shop::new(&store.url);
    // Once the first page was given its first record goes: the 101st moves to the page that was read already.
    store.vanish_after(1, ids[0]);
    let page = everything(&shop).await.unwrap();
    let mut read = skus(&page);
    read.dedup();
    assert!(read.contains(&"S-100".to_owned()));
    assert!(read.len() >= 149, "{}", read.len());
}

#[tokio::test]
async fn a_filter_that_filters_nothing_is_noticed() {
    let store = Woo::start().await;
    store.add("products", json!({ "sku": "A" }));
    let shop = Shop::new(&store.url);
    // As customers answer: `modified_after` is not known there and everybody comes.
    store.always(Some(Captured::read("customers-modified-after-ignored")));
    let error = shop.reader.changes(&shop.mapping, &Cursor::default(), 1000).await.unwrap_err();
    assert!(
        matches!(&error, ReadError::Shape { reason, .. } if reason.contains("ignores `modified_after`")),
        "{error}"
    );
    let error = shop.by_skus(&["A"]).await.unwrap_err();
    assert!(matches!(&error, ReadError::Shape { reason, .. } if reason.contains("ignores `sku`")), "{error}");
}

#[tokio::test]
async fn what_is_deleted_for_good_is_absent_when_looked_at() {
    let store = Woo::start().await;
    let id = store.add("products", json!({ "sku": "A" }));
    let shop = Shop::new(&store.url);
    assert_eq!(shop.by_skus(&["A"]).await.unwrap().len(), 1);
    store.delete("products", id);
    assert_eq!(shop.by_skus(&["A"]).await.unwrap(), []);
}

#[tokio::test]
async fn a_date_that_is_off_loses_no_change() {
    for hours in [-2, 2] {
        let store = Woo::start().await;
        // Only the proxy's clock is off; what stamps the records is right.
        store.set_clock_off_by(chrono::TimeDelta::hours(hours));
        let shop = Shop::new(&store.url);
        let begun = shop.reader.changes(&shop.mapping, &Cursor::default(), 1000).await.unwrap();
        store.add("products", json!({ "sku": "NEW" }));
        let page = shop.reader.changes(&shop.mapping, &begun.next, 1000).await.unwrap();
        assert_eq!(skus(&page), ["NEW"], "{hours}");
        let clock = shop.reader.clock().await.unwrap();
        assert!((clock.offset_micros - hours * 3_600_000_000).abs() < 3_000_000, "{clock:?}");
        assert!(clock.uncertainty >= std::time::Duration::from_secs(1));
    }
}

#[tokio::test]
async fn bounds_are_sent_in_utc_without_saying_so() {
    let store = Woo::start().await;
    let shop = Shop::new(&store.url);
    shop.reader.changes(&shop.mapping, &Cursor::default(), 1000).await.unwrap();
    let asked = store.take_requests();
    let bounded: Vec<_> = asked.iter().filter(|request| request.contains("modified_after=")).collect();
    assert!(bounded.len() >= 3, "proof, list and trash: {asked:?}");
    for request in bounded {
        let query = request.split_once('?').unwrap().1;
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let bound = &pairs.iter().find(|(name, _)| name == "modified_after").unwrap().1;
        assert!(bound.parse::<chrono::NaiveDateTime>().is_ok(), "{bound}");
        assert!(request.contains("dates_are_gmt=true"), "{request}");
    }
}

#[tokio::test]
async fn a_list_in_the_order_of_its_ids_is_entered_anywhere() {
    let store = Woo::start().await;
    let ids: Vec<i64> =
        (0..350).map(|number| store.add("products", json!({ "sku": format!("S-{number:03}") }))).collect();
    let shop = Shop::new(&store.url);
    let mark = async |within: KeyRange<'_>, keys: usize| match shop.reader.landmark(&shop.mapping, within, keys).await {
        Ok(Reach::At(landmark)) => landmark.place,
        other => panic!("{other:?}"),
    };
    let first = mark(KeyRange::ALL, 120).await;
    let rest = KeyRange { after: Bound::Place(&first), until: Bound::Open };
    let second = mark(rest, 100).await;
    let piece = KeyRange { after: Bound::Place(&first), until: Bound::Place(&second) };
    let read = async |limit: usize| {
        let read = shop.reader.key_range(&shop.mapping, piece, limit).await.unwrap().unwrap();
        (read.records.iter().map(sku).collect::<Vec<_>>(), read.complete)
    };
    let expect: Vec<String> = (120..220).map(|number| format!("S-{number:03}")).collect();
    assert_eq!(read(1000).await, (expect.clone(), true));
    assert_eq!(read(30).await, (expect[..30].to_vec(), false));
    assert_eq!(shop.reader.landmark(&shop.mapping, rest, 1000).await.unwrap(), Reach::End);
    // What goes in front of a place moves the pages, not the piece.
    ids[..110].iter().for_each(|id| store.delete("products", *id));
    assert_eq!(read(1000).await, (expect, true));
    // The order of ids has nothing to do with the keys of the mapping.
    let key = plumbline::model::Key::new([Value::from("S-100")]);
    let by_key = KeyRange { after: Bound::Key(&key), until: Bound::Open };
    assert!(shop.reader.key_range(&shop.mapping, by_key, 10).await.unwrap().is_none());
}
