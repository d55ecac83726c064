//! The protocols of Odoo's external interface: JSON-2 and JSON-RPC, with domains, pages by id and errors in answers.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Response;
use plumbline::connect::{Cursor, ReadError};
use serde_json::{Value as Json, json};

use super::served::{Posted, Served, json};
use super::shop::{Shop, config, sku};

const PACK: &str = r#"
[pack]
id = "acme"
title = "Acme on Odoo"
schema = 1
verified = "2026-11-23"
access = "an API key of a user who may read"

[settings.api]
kind = "choice"
choices = ["json2", "jsonrpc"]
help = "the interface"

[settings.key]
kind = "secret"
help = "API key"

[http]
base = "${url}"
dialect = "${api}"

[auth]
kind = "odoo"
database = "acme"
user = "auditor"
token = "${key}"

[[error]]
body = "error.data.name"
eq = "odoo.exceptions.AccessError"
do = "refused"

[[error]]
body = "error"
do = "shape"

[page.ids]
kind = "keyset"
body = { limit = "{size}", domain = [["id", ">", "{last}"]] }
size = 10

[entity.products]
model = "product.product"
body = { domain = [], order = "id", context = { active_test = false } }
id = "id"
ordered = true
page = "ids"
changed_at = "write_date"
since = { body = { domain = [["write_date", ">=", "{low}"]] }, format = "spaced" }
by.id = { body = { domain = [["id", "in", "{values}"]] }, max = 50, none = "0" }
by.default_code = { body = { domain = [["default_code", "in", "{values}"]] }, max = 50, none = "no such product" }

[entity.products.columns]
id = "integer"
default_code = "text"
qty = "integer"
name = "text"
write_date = "text"
"#;

fn shop(api: &str, path: &str, service: &Served) -> Shop {
    let system = format!(
        r#"
        kind = "http"
        pack = "acme.toml"
        url = "env:STORE"
        settings = {{ api = "{api}", key = "env:TOKEN" }}
        commit_delay = "0s"
        budget = {{ requests_per_second = 1000, concurrency = 4 }}
        "#
    );
    let mapping = format!("dataset = \"products\"\nfields = {{ sku = \"{path}\", qty = \"qty\", name = \"name\" }}");
    Shop::taught(PACK, &config(&system, &mapping), &service.url)
}

fn product(id: i64) -> Json {
    json!({ "id": id * 3, "default_code": format!("A{id}"), "qty": id, "name": "x", "write_date": "2026-01-01 00:00:00" })
}

/// The products of a domain, in the order and number that is asked for.
fn search_read(arguments: &Json) -> Json {
    assert_eq!(arguments["order"], "id");
    assert_eq!(arguments["context"]["active_test"], false);
    let terms = arguments["domain"].as_array().unwrap();
    let fits = |product: &Json| terms.iter().all(|term| holds(product, term));
    let limit = usize::try_from(arguments["limit"].as_u64().unwrap()).unwrap();
    let fields = arguments["fields"].as_array().unwrap();
    let read = |product: Json| -> Json {
        let named = fields.iter().map(|name| name.as_str().unwrap());
        named.map(|name| (name.to_owned(), product[name].clone())).collect()
    };
    (1..=25).map(product).filter(fits).take(limit).map(read).collect()
}

fn holds(product: &Json, term: &Json) -> bool {
    let value = &product[term[0].as_str().unwrap()];
    match term[1].as_str().unwrap() {
        ">" => value.as_i64().unwrap() > term[2].as_i64().unwrap(),
        ">=" => value.as_str().unwrap() >= term[2].as_str().unwrap(),
        "in" => term[2].as_array().unwrap().contains(value),
        other => panic!("`{other}` is not asked for"),
    }
}

/// Answers both interfaces; whatever is no read is a failure of the test.
fn service(request: &Posted) -> Response<Body> {
    match request.uri.path() {
        "/json/2/product.product/search_read" => {
            assert_eq!(request.headers["authorization"], "bearer t0ken");
            assert_eq!(request.headers["x-odoo-database"], "acme");
            json(&search_read(&request.body))
        }
        "/jsonrpc" => {
            assert!(!request.headers.contains_key("authorization"));
            let params = &request.body["params"];
            assert_eq!((&request.body["jsonrpc"], &request.body["method"]), (&json!("2.0"), &json!("call")));
            let arguments = &params["args"];
            let result = match params["method"].as_str().unwrap() {
                "authenticate" => {
                    assert_eq!(
                        (&params["service"], arguments),
                        (&json!("common"), &json!(["acme", "auditor", "t0ken", {}]))
                    );
                    json!(2)
                }
                "execute_kw" => {
                    assert_eq!(params["service"], "object");
                    let call = &arguments.as_array().unwrap()[..6];
                    assert_eq!(
                        call,
                        [
                            json!("acme"),
                            json!(2),
                            json!("t0ken"),
                            json!("product.product"),
                            json!("search_read"),
                            json!([])
                        ]
                    );
                    search_read(&arguments[6])
                }
                other => panic!("`{other}` is no read"),
            };
            json(&json!({ "jsonrpc": "2.0", "id": request.body["id"], "result": result }))
        }
        other => panic!("`{other}` is not asked for"),
    }
}

const BOTH: [&str; 2] = ["json2", "jsonrpc"];

#[tokio::test]
async fn lists_go_on_behind_the_last_id() {
    for api in BOTH {
        let service = Served::posts(service).await;
        let shop = shop(api, "default_code", &service);
        let read = shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 1000).await.unwrap();
        assert_eq!((read.records.len(), read.complete), (25, true), "{api}");
        let asked = service.asked();
        let domains = [
            "\"domain\":[]",
            "\"domain\":[[\"id\",\">\",30]]",
            "\"domain\":[[\"id\",\">\",60]]",
            "\"domain\":[[\"id\",\">\",75]]",
        ];
        for domain in domains {
            assert_eq!(asked.iter().filter(|asked| asked.contains(domain)).count(), 1, "{api} {domain}: {asked:#?}");
        }
        let logins = asked.iter().filter(|asked| asked.contains("authenticate")).count();
        assert_eq!(logins, usize::from(api == "jsonrpc"), "once");
    }
}

#[tokio::test]
async fn a_read_that_was_cut_goes_on_behind_the_last_id() {
    let service = Served::posts(service).await;
    let shop = shop("json2", "default_code", &service);
    let (mut cursor, mut seen) = (Cursor::from_beginning(), Vec::new());
    loop {
        let read = shop.reader.changes(&shop.mapping, &cursor, 10).await.unwrap();
        seen.extend(read.records.iter().map(sku));
        cursor = read.next;
        if read.complete {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 25);
}

#[tokio::test]
async fn changes_and_records_are_asked_for_by_domains() {
    for api in BOTH {
        let service = Served::posts(service).await;
        let by_code = shop(api, "default_code", &service);
        assert_eq!(by_code.by_skus(&["A7", "A77"]).await.unwrap().iter().map(sku).collect::<Vec<_>>(), ["A7"]);
        let by_id = shop(api, "id", &service);
        let found = by_id.by_skus(&["9", "10"]).await.unwrap();
        assert_eq!(found.iter().map(sku).collect::<Vec<_>>(), ["9"], "{api}: ids are numbers");
        let read = by_code.reader.changes(&by_code.mapping, &Cursor::default(), 10).await.unwrap();
        assert_eq!((read.records.len(), read.complete), (0, true));
        let asked = service.asked();
        assert!(asked.last().unwrap().contains("[\"write_date\",\">=\",\"20"), "{asked:#?}");
        assert!(!asked.last().unwrap().contains('T') || api == "jsonrpc", "no zone, no `T`: {asked:#?}");
    }
}

/// What a read by key comes to when every answer is this one.
async fn outcome(api: &str, status: u16, answer: Json) -> ReadError {
    let service = Served::posts(move |_: &Posted| {
        let mut response = json(&answer);
        *response.status_mut() = status.try_into().unwrap();
        response
    })
    .await;
    shop(api, "default_code", &service).by_skus(&["A1"]).await.unwrap_err()
}

#[tokio::test]
async fn errors_say_what_they_are() {
    let error = |name: &str| {
        json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": 0, "message": "Odoo Server Error",
                "data": { "name": name, "message": "Said so." } } })
    };
    for (api, status, answer, code, words) in [
        (
            "jsonrpc",
            200,
            json!({ "jsonrpc": "2.0", "id": 1, "result": false }),
            "refused",
            "does not know user `auditor`",
        ),
        ("jsonrpc", 200, error("odoo.exceptions.AccessError"), "refused", "Said so."),
        ("jsonrpc", 200, error("builtins.ValueError"), "shape", "Said so."),
        ("jsonrpc", 200, json!({ "jsonrpc": "2.0", "id": 1 }), "bad_answer", "no list of records"),
        (
            "json2",
            401,
            json!({ "name": "werkzeug.exceptions.Unauthorized", "message": "Invalid apikey" }),
            "refused",
            "Invalid apikey",
        ),
        ("json2", 404, json!({ "name": "x", "message": "no model" }), "shape", "no model"),
        ("json2", 200, json!({ "length": 0 }), "bad_answer", "no list of records"),
    ] {
        let error = outcome(api, status, answer).await;
        assert_eq!(error.reason_code(), code, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains("t0ken"), "{error}");
    }
}

#[tokio::test]
async fn a_product_that_ignores_where_to_go_on_is_noticed() {
    let times = Arc::new(Mutex::new(0));
    let service = Served::posts(move |request: &Posted| {
        *times.lock().unwrap() += 1;
        assert!(*times.lock().unwrap() < 20, "it would go on for ever");
        let mut arguments = request.body.clone();
        let kept = |term: &&Json| term[0] != "id";
        arguments["domain"] = arguments["domain"].as_array().unwrap().iter().filter(kept).cloned().collect();
        json(&search_read(&arguments))
    })
    .await;
    let shop = shop("json2", "default_code", &service);
    let error = shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 1000).await.unwrap_err();
    assert!(error.to_string().contains("the list never ends"), "{error}");
}
