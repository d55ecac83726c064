//! The pack `json-api`: every way of paging, by-key reads in every style, changes in every format.

use axum::body::Body;
use axum::http::{Response, Uri};
use plumbline::connect::{Cursor, Severity};
use plumbline::model::Value;
use serde_json::{Value as Json, json};

use super::hostile::{ITEMS, items, json_api};
use super::served::{Served, json, param};
use super::shop::{Shop, config};

/// 25 items, as a service would hold them.
fn all_items() -> Vec<Json> {
    let item = |id: i64| json!({ "id": id, "qty": id * 10, "name": "x", "updated_at": "2026-01-01T00:00:00Z" });
    (1..=25).map(item).collect()
}

fn is_item(item: &Json, id: &str) -> bool {
    id.parse::<i64>().is_ok_and(|id| item["id"] == id)
}

fn slice(from: usize, size: usize) -> Vec<Json> {
    all_items().into_iter().skip(from).take(size).collect()
}

fn number(uri: &Uri, name: &str, default: usize) -> usize {
    param(uri, name).map_or(default, |text| text.parse().unwrap())
}

/// Answers in every style at once; the settings decide which is used.
fn service(uri: &Uri) -> Response<Body> {
    if uri.path() == "/" {
        return Response::builder().status(404).body(Body::empty()).unwrap();
    }
    let size = number(uri, "per_page", 10).min(10);
    if let Some(id) = uri.path().strip_prefix("/items/") {
        return match all_items().into_iter().find(|item| is_item(item, id)) {
            Some(item) => json(&json!({ "item": item })),
            None => Response::builder().status(404).body(Body::empty()).unwrap(),
        };
    }
    let asked: Vec<String> = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .filter(|(name, _)| name == "ids")
        .flat_map(|(_, ids)| ids.split(',').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    if !asked.is_empty() {
        let found = |item: &Json| asked.contains(&item["id"].to_string());
        let data: Vec<Json> = all_items().into_iter().filter(found).collect();
        return json(&json!({ "meta": { "total": data.len() }, "data": data }));
    }
    let from = match (param(uri, "cursor"), param(uri, "offset")) {
        (Some(cursor), _) => cursor.strip_prefix("after-").unwrap().parse().unwrap(),
        (None, Some(offset)) => offset.parse().unwrap(),
        (None, None) => (number(uri, "page", 1) - 1) * size,
    };
    let next = from + size;
    let cursor = (next < 25).then(|| format!("after-{next}"));
    let mut response = json(&json!({ "data": slice(from, size), "meta": { "total": 25 }, "next_cursor": cursor }));
    if let Some(cursor) = cursor {
        let link = format!("<{}?per_page={size}&cursor={cursor}>; rel=\"next\"", uri.path());
        response.headers_mut().insert("link", link.parse().unwrap());
    }
    response
}

#[tokio::test]
async fn every_way_of_paging() {
    let service = Served::by(service).await;
    for settings in [
        "size = 10",
        "size = 10, total = \"body:meta.total\"",
        "size = 10, paging = \"offset\"",
        "size = 10, paging = \"offset\", total = \"body:meta.total\"",
        // The service gives ten at most, whatever is asked for.
        "size = 20, paging = \"offset\", total = \"body:meta.total\"",
        "size = 10, paging = \"cursor\", total = \"body:meta.total\"",
        "size = 10, paging = \"link\"",
    ] {
        let shop = items(settings, &service.url);
        let page = shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 10_000).await;
        let page = page.unwrap_or_else(|error| panic!("{settings}: {error}"));
        assert_eq!(page.records.len(), 25, "{settings}");
    }
}

/// Between two pages the first record goes, or one comes in front of it: the others are all read, each once.
#[tokio::test]
async fn a_list_that_moves_while_it_is_read_loses_nothing() {
    for (settings, goes) in [
        ("paging = \"offset\"", true),
        ("paging = \"offset\"", false),
        ("paging = \"offset\", total = \"body:total\"", true),
        ("paging = \"offset\", total = \"body:total\"", false),
        ("total = \"body:total\"", true),
        ("total = \"body:total\"", false),
        ("", false),
    ] {
        let moved = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let service = Served::by(move |uri| {
            if uri.path() == "/" {
                return Response::builder().status(404).body(Body::empty()).unwrap();
            }
            let all: Vec<i64> = match moved.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 => (1..=25).collect(),
                _ if goes => (2..=25).collect(),
                _ => (0..=25).collect(),
            };
            let from = param(uri, "offset").map_or((number(uri, "page", 1) - 1) * 10, |from| from.parse().unwrap());
            let data: Vec<Json> = all.iter().skip(from).take(10).map(|id| json!({ "id": id, "qty": 1 })).collect();
            json(&json!({ "data": data, "total": all.len() }))
        })
        .await;
        let shop = items(&format!("size = 10, {settings}"), &service.url);
        let page = shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 10_000).await.unwrap();
        let read: std::collections::BTreeSet<String> =
            page.records.iter().map(|record| record.key.to_string()).collect();
        let lost: Vec<i64> = (2..=25).filter(|id| !read.contains(&id.to_string())).collect();
        assert_eq!(lost, [0; 0], "{settings}, a record goes: {goes}");
    }
}

#[tokio::test]
async fn pages_that_are_smaller_than_asked_for_are_noticed() {
    let service = Served::by(service).await;
    let shop = items("size = 20, total = \"body:meta.total\"", &service.url);
    let outcome = shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 10_000).await;
    assert!(outcome.unwrap_err().to_string().contains("says it has 25 records and gave"));
}

#[tokio::test]
async fn records_by_id_in_every_style() {
    let service = Served::by(service).await;
    for settings in [
        "ids_style = \"csv\", ids_max = 2",
        "ids_style = \"repeat\", ids_max = 2",
        "ids_param = \"\", id_path = \"/{value}\", item = \"item\"",
    ] {
        let shop = items(settings, &service.url);
        let found = shop.by_skus(&["3", "25", "26", "1"]).await.unwrap_or_else(|error| panic!("{settings}: {error}"));
        let mut quantities: Vec<&Value> = found.iter().map(|record| &record.fields[1]).collect();
        quantities.sort_by_key(|value| format!("{value:?}").len());
        assert_eq!(found.len(), 3, "{settings}");
        assert!(quantities.contains(&&Value::from(250_i64)), "{settings}");
    }
}

#[tokio::test]
async fn what_a_list_without_pages_leaves_out_is_asked_for_alone() {
    // Gives two records at most and knows no pages when asked for ids.
    let service = Served::by(|uri| {
        let ids = param(uri, "ids").unwrap_or_default();
        let found = |item: &Json| ids.split(',').any(|id| is_item(item, id));
        let data: Vec<Json> = all_items().into_iter().filter(found).take(2).collect();
        json(&json!({ "data": data }))
    })
    .await;
    let shop = items("", &service.url);
    assert_eq!(shop.by_skus(&["1", "2", "3", "4", "99"]).await.unwrap().len(), 4);
}

#[tokio::test]
async fn an_address_that_finds_nothing_proves_nothing() {
    let service = Served::by(|uri| match uri.path() {
        "/items" => json(&json!({ "data": slice(0, 3) })),
        _ => Response::builder().status(404).body(Body::empty()).unwrap(),
    })
    .await;
    let shop = items("ids_param = \"\", id_path = \"/one/{value}\"", &service.url);
    let error = shop.by_skus(&["1"]).await.unwrap_err();
    assert!(error.to_string().contains("finds none of the records that the list shows"), "{error}");
}

#[tokio::test]
async fn stamps_may_be_numbers() {
    for (stamp, number) in [("seconds", 1_763_632_800_i64), ("milliseconds", 1_763_632_800_000)] {
        let answer = move |uri: &Uri| match param(uri, "page").as_deref() {
            Some("1") => json(&json!({ "data": [{ "id": 1, "qty": 1, "updated_at": number }] })),
            _ => json(&json!({ "data": [] })),
        };
        let service = Served::by(answer).await;
        let shop = items(&format!("stamp = \"{stamp}\""), &service.url);
        let page = shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 100).await.unwrap();
        let shown = format!("{:?}", page.records[0].changed_at.unwrap());
        assert_eq!(shown, "2025-11-20T10:00:00.000000Z", "{stamp}");
    }
}

#[tokio::test]
async fn changes_are_asked_for_in_every_format() {
    for (format, form) in
        [("rfc3339", "20??-??-??T??:??:??Z"), ("naive", "20??-??-??T??:??:??"), ("seconds", "??????????")]
    {
        let service = Served::by(|uri| match param(uri, "since") {
            Some(_) => json(&json!({ "data": [] })),
            None => json(&json!({ "data": slice(0, 3) })),
        })
        .await;
        let shop = items(&format!("since_param = \"since\", since_format = \"{format}\""), &service.url);
        shop.reader.changes(&shop.mapping, &Cursor::default(), 100).await.unwrap();
        let asked = service.asked();
        let since = asked.iter().rev().find_map(|uri| param(&uri.parse().unwrap(), "since")).unwrap();
        let fits = since.len() == form.len()
            && since.chars().zip(form.chars()).all(|(found, form)| form == '?' || found == form);
        assert!(fits, "{format}: {since}");
    }
}

/// 25 items an hour apart; of a list of more than ten only the first ten are given, but the total is told.
fn capped(uri: &Uri) -> Response<Body> {
    let stamp = |id: usize| format!("2026-01-{:02}T{:02}:00:00Z", 1 + id / 24, id % 24);
    let within = |id: &usize| {
        let after = param(uri, "since").is_none_or(|since| stamp(*id) >= since);
        after && param(uri, "until").is_none_or(|until| stamp(*id) < until)
    };
    let found: Vec<usize> = (0..25).filter(within).collect();
    let from = (number(uri, "page", 1) - 1) * 5;
    let given = found.iter().take(10).skip(from).take(5);
    let data: Vec<Json> = given.map(|id| json!({ "id": id, "qty": 1, "updated_at": stamp(*id) })).collect();
    json(&json!({ "meta": { "total": found.len() }, "data": data }))
}

#[tokio::test]
async fn a_list_that_is_longer_than_what_is_given_is_split_by_time() {
    let service = Served::by(capped).await;
    let settings = "size = 5, total = \"body:meta.total\", cap = 10, since_param = \"since\"";
    let shop = items(&format!("{settings}, until_param = \"until\""), &service.url);
    let (mut cursor, mut seen) = (Cursor::from_beginning(), Vec::new());
    loop {
        let page = shop.reader.changes(&shop.mapping, &cursor, 7).await.unwrap();
        seen.extend(page.records.iter().map(|record| record.key.to_string().parse::<i64>().unwrap()));
        cursor = page.next;
        if page.complete {
            break;
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (0..25).collect::<Vec<_>>());
    // Without an upper bound it cannot be split, and ten of 25 are not all.
    let shop = items(settings, &service.url);
    let outcome = shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 1000).await;
    assert!(outcome.unwrap_err().to_string().contains("the list has 25 records, more than the product gives of one"));
}

#[tokio::test]
async fn a_service_without_a_filter_is_read_whole_and_filtered_here() {
    let service = Served::by(service).await;
    let shop = items("size = 10, paging = \"cursor\"", &service.url);
    let begun = shop.reader.changes(&shop.mapping, &Cursor::default(), 100).await.unwrap();
    assert_eq!(begun.records.len(), 0, "all of them are old");
    assert!(begun.complete);
}

#[tokio::test]
async fn a_dataset_describes_itself() {
    let service = Served::by(service).await;
    let shop = items("size = 10, total = \"body:meta.total\"", &service.url);
    let shape = shop.reader.describe(&shop.mapping).await.unwrap();
    let columns: Vec<_> =
        shape.columns.iter().map(|column| (column.name.as_str(), column.type_name.as_str())).collect();
    assert_eq!(columns, [("id", "integer"), ("name", "text"), ("qty", "integer"), ("updated_at", "text")]);
}

#[tokio::test]
async fn doctor_tells_what_can_be_relied_on() {
    let service = Served::by(service).await;
    let shop = items("size = 10, total = \"body:meta.total\"", &service.url);
    let findings = shop.reader.doctor(&[&shop.mapping]).await;
    let all: Vec<_> = findings
        .iter()
        .map(|finding| format!("{:?} {}: {}", finding.severity, finding.subject, finding.message))
        .collect();
    assert_eq!(all[0], "Ok read-only: not provable: GET only; ask for a login that may only read");
    assert!(all[1].starts_with("Ok clock: "), "{all:?}");
    assert_eq!(all[2], "Ok list of stock: 25 records, 10 a request");
    assert_eq!(
        all[3],
        "Warning changes of stock: the product cannot be asked for changes: every read reads everything"
    );
    assert_eq!(all[4], "Ok by-key read of stock: `ids` filters; 50 keys a request");
    let wrong = ITEMS.replace("\"name\"", "\"title\"");
    let shop = Shop::with(&config(&json_api("size = 10"), &wrong), &service.url);
    let findings = shop.reader.doctor(&[&shop.mapping]).await;
    assert!(findings.iter().any(|finding| finding.message == "no record of the first page has `title`"));
    service_is_gone(service, &shop).await;
}

async fn service_is_gone(service: Served, shop: &Shop) {
    drop(service);
    let findings = shop.reader.doctor(&[&shop.mapping]).await;
    assert!(findings.iter().any(|finding| finding.severity == Severity::Error));
}
