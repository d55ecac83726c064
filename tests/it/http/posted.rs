//! Reads that are POSTs: GraphQL, with its variables, its cursors and its errors in answers of status 200.

use axum::body::Body;
use axum::http::Response;
use plumbline::connect::{Cursor, ReadError};
use plumbline::model::Record;
use serde_json::{Value as Json, json};

use super::served::{Posted, Served, json};
use super::shop::{Shop, config, sku};

const PACK: &str = r#"
[pack]
id = "acme"
title = "Acme GraphQL"
schema = 1
verified = "2026-11-23"
access = "a token that may read"

[settings.token]
kind = "secret"
help = "API token"

[http]
base = "${url}/api"
dialect = "graphql"

[auth]
kind = "header"
name = "X-Acme-Token"
value = "${token}"

[[error]]
body = "errors[].extensions.code"
eq = "THROTTLED"
do = "throttle"

[[error]]
body = "errors[].extensions.code"
eq = "ACCESS_DENIED"
do = "refused"

[[error]]
status = 200
body = "errors"
do = "shape"

[page.cursor]
kind = "cursor"
body = { first = "{size}", after = "{cursor}" }
from = "body:data.list.pageInfo.endCursor"
more = "body:data.list.pageInfo.hasNextPage"
size = 10

[entity.items]
path = "/graphql.json"
document = """
query ($first: Int!, $after: String, $query: String) {
  list: items(first: $first, after: $after, query: $query) {
    nodes { id sku quantity name updatedAt } pageInfo { hasNextPage endCursor }
  }
}"""
items = "data.list.nodes"
id = "id"
page = "cursor"
changed_at = "updatedAt"
since = { body = { query = "updated_at:>='{low}'" }, format = "rfc3339" }
by.sku = { body = { query = "{values}" }, search = "sku", max = 20, none = "no such item" }

[entity.items.by.id]
document = "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Item { id sku quantity name updatedAt } } }"
items = "data.nodes"
body = { ids = "{values}" }
max = 50
none = "gid://acme/Item/0"

[entity.items.columns]
id = "text"
sku = "text"
quantity = "integer"
name = "text"
updatedAt = "text"
"#;

const SYSTEM: &str = r#"
    kind = "http"
    pack = "acme.toml"
    url = "env:STORE"
    settings = { token = "env:TOKEN" }
    commit_delay = "0s"
    budget = { requests_per_second = 1000, concurrency = 4 }
"#;

/// Items by `path` of their key.
fn shop(pack: &str, path: &str, service: &Served) -> Shop {
    let mapping =
        format!(r#"dataset = "items"{n}fields = {{ sku = "{path}", qty = "quantity", name = "name" }}"#, n = "\n");
    Shop::taught(pack, &config(SYSTEM, &mapping), &service.url)
}

fn item(number: i64) -> Json {
    json!({ "id": format!("gid://acme/Item/{number}"), "sku": format!("A \"{number}\""), "quantity": number,
            "name": "x", "updatedAt": "2026-01-01T00:00:00Z" })
}

/// Twenty-five items, by list, search or id.
fn service(request: &Posted) -> Response<Body> {
    assert_eq!(request.headers["x-acme-token"], "t0ken");
    assert_eq!(request.uri.path(), "/api/graphql.json");
    let variables = &request.body["variables"];
    if let Some(ids) = variables["ids"].as_array() {
        let found = |id: &Json| (1..=25).map(item).find(|item| item["id"] == *id).unwrap_or(Json::Null);
        return json(&json!({ "data": { "nodes": ids.iter().map(found).collect::<Vec<_>>() } }));
    }
    let asked = variables["query"].as_str().unwrap_or_default();
    let fits = |item: &Json| match asked.strip_prefix("updated_at:>='") {
        Some(low) => item["updatedAt"].as_str().unwrap() >= low.trim_end_matches('\''),
        None if asked.is_empty() => true,
        None => {
            let term = format!("sku:\"{}\"", item["sku"].as_str().unwrap().replace('"', "\\\""));
            asked.split(" OR ").any(|asked| asked == term)
        }
    };
    let found: Vec<Json> = (1..=25).map(item).filter(fits).collect();
    json(&page(&found, variables))
}

/// One page of what was found.
fn page(found: &[Json], variables: &Json) -> Json {
    let from = variables["after"].as_str().map_or(0, |cursor| cursor.strip_prefix("to-").unwrap().parse().unwrap());
    let until = found.len().min(from + usize::try_from(variables["first"].as_u64().unwrap()).unwrap());
    let info = json!({ "hasNextPage": until < found.len(), "endCursor": format!("to-{until}") });
    json!({ "data": { "list": { "nodes": found[from..until], "pageInfo": info } } })
}

fn skus(records: &[Record]) -> Vec<String> {
    let mut skus: Vec<String> = records.iter().map(sku).collect();
    skus.sort();
    skus
}

#[tokio::test]
async fn lists_follow_the_cursor_in_the_answer_to_the_page_that_says_it_is_the_last() {
    let service = Served::posts(service).await;
    let shop = shop(PACK, "sku", &service);
    let read = shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 1000).await.unwrap();
    assert_eq!((read.records.len(), read.complete), (25, true));
    let asked = service.asked();
    let lists: Vec<&String> = asked.iter().filter(|asked| asked.contains("\"first\":10")).collect();
    assert_eq!(lists.len(), 3, "{asked:#?}");
    assert!(!lists[0].contains("\"after\""), "the first page has no cursor: {}", lists[0]);
    assert!(lists[2].contains("\"after\":\"to-20\""), "{}", lists[2]);
}

#[tokio::test]
async fn changes_are_asked_for_in_the_body() {
    let service = Served::posts(service).await;
    let shop = shop(PACK, "sku", &service);
    let read = shop.reader.changes(&shop.mapping, &Cursor::default(), 1000).await.unwrap();
    assert_eq!((read.records.len(), read.complete), (0, true), "all of them are old");
    let asked = service.asked();
    assert!(asked.last().unwrap().contains("updated_at:>='20"), "{asked:#?}");
}

#[tokio::test]
async fn records_are_found_by_id_and_by_search() {
    let service = Served::posts(service).await;
    let by_id = shop(PACK, "id", &service);
    let ids = ["gid://acme/Item/3", "gid://acme/Item/25", "gid://acme/Item/26"];
    assert_eq!(skus(&by_id.by_skus(&ids).await.unwrap()), ["gid://acme/Item/25", "gid://acme/Item/3"]);
    let by_sku = shop(PACK, "sku", &service);
    assert_eq!(skus(&by_sku.by_skus(&["A \"7\"", "A \"77\""]).await.unwrap()), ["A \"7\""]);
}

#[tokio::test]
async fn a_filter_that_is_ignored_is_noticed() {
    let ignoring = Served::posts(|request: &Posted| {
        let found: Vec<Json> = (1..=3).map(item).collect();
        json(&page(&found, &request.body["variables"]))
    })
    .await;
    let shop = shop(PACK, "sku", &ignoring);
    let error = shop.reader.changes(&shop.mapping, &Cursor::default(), 10).await.unwrap_err();
    assert!(error.to_string().contains("it ignores `query`: asked for changes after"), "{error}");
    let error = shop.by_skus(&["A"]).await.unwrap_err();
    assert!(error.to_string().contains("it ignores `query`: asked for `no such item`"), "{error}");
}

/// What a read comes to when the service answers with this.
async fn outcome(answer: Json) -> Result<usize, ReadError> {
    let service = Served::posts(move |_: &Posted| json(&answer)).await;
    let shop = shop(PACK, "sku", &service);
    shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 1000).await.map(|read| read.records.len())
}

#[tokio::test]
async fn errors_come_with_status_200_and_beside_records() {
    let errors = |code: &str| json!([{ "message": "Said so.", "extensions": { "code": code } }]);
    let whole = json!({ "list": { "nodes": [item(1)], "pageInfo": { "hasNextPage": false, "endCursor": "c" } } });
    assert_eq!(outcome(json!({ "data": whole })).await.unwrap(), 1);
    for (code, data, expect) in [
        ("ACCESS_DENIED", Json::Null, "refused"),
        ("ACCESS_DENIED", whole.clone(), "refused"),
        ("undefinedField", Json::Null, "shape"),
        ("anything", whole.clone(), "shape"),
        ("THROTTLED", Json::Null, "budget"),
    ] {
        let error = outcome(json!({ "data": data, "errors": errors(code) })).await.unwrap_err();
        assert_eq!(error.reason_code(), expect, "{error}");
        assert!(error.to_string().contains("it answered 200: Said so."), "{error}");
    }
}

#[tokio::test]
async fn a_page_that_does_not_say_whether_it_is_the_last_is_no_page() {
    for (info, expect) in [
        (json!({}), "does not say whether there is a next page"),
        (json!({ "endCursor": "c" }), "does not say whether there is a next page"),
        (json!({ "hasNextPage": true }), "says that there is a next page and does not name it"),
        (json!({ "hasNextPage": true, "endCursor": "same" }), "the list never ends"),
    ] {
        let error = outcome(json!({ "data": { "list": { "nodes": [item(1)], "pageInfo": info } } })).await.unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
    }
    let error = outcome(json!({ "data": { "list": null } })).await.unwrap_err();
    assert!(error.to_string().contains("no list of records"), "{error}");
}

#[tokio::test]
async fn too_fast_once_is_asked_again() {
    let times = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let service = Served::posts(move |request: &Posted| {
        if times.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1 {
            let errors = json!([{ "message": "Throttled", "extensions": { "code": "THROTTLED" } }]);
            return json(&json!({ "errors": errors }));
        }
        service(request)
    })
    .await;
    let shop = shop(PACK, "sku", &service);
    let read = shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 1000).await.unwrap();
    assert_eq!(read.records.len(), 25);
    assert_eq!(shop.reader.usage().retries, 1);
}

#[tokio::test]
async fn a_post_is_never_redirected() {
    let service = Served::posts(|_: &Posted| {
        Response::builder().status(307).header("location", "/other").body(Body::empty()).unwrap()
    })
    .await;
    let shop = shop(PACK, "sku", &service);
    let error = shop.by_skus(&["A"]).await.unwrap_err();
    assert!(error.to_string().contains("it redirects a POST"), "{error}");
}

#[tokio::test]
async fn doctor_says_what_is_sent() {
    let service = Served::posts(service).await;
    let shop = shop(PACK, "sku", &service);
    let findings = shop.reader.doctor(&[&shop.mapping]).await;
    let all: Vec<String> = findings
        .iter()
        .map(|finding| format!("{:?} {}: {}", finding.severity, finding.subject, finding.message))
        .collect();
    for expect in [
        "Ok read-only: not provable: GraphQL `query` only; ask for a token that may read",
        "Ok list of stock: no total, but every list says where it ends; 10 a request",
        "Ok changes of stock: `query` filters",
        "Ok by-key read of stock: `query` filters; 20 keys a request",
    ] {
        assert!(all.iter().any(|line| line == expect), "no `{expect}` in {all:#?}");
    }
    let shape = shop.reader.describe(&shop.mapping).await.unwrap();
    assert!(shape.columns.iter().any(|column| column.name == "quantity" && column.type_name == "integer"));
}
