//! `plumbline pack`, `check` and `doctor` as an engineer meets them who connects a service for the first time.

use std::path::Path;
use std::process::{Command, Output};

use axum::http::Uri;
use serde_json::json;

use super::served::{Served, json, param};
use super::shopify::TOKEN;

fn plumbline(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plumbline"));
    command
        .args(arguments)
        .current_dir(directory)
        .env("ACME_TOKEN", "t0ken")
        .env("SHOPIFY_TOKEN", TOKEN)
        .output()
        .expect("the binary runs")
}

#[track_caller]
pub fn check(output: &Output, code: i32, words: &[&str]) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "no `{word}` in:\n{text}");
    }
    assert!(!text.contains("t0ken") && !text.contains(TOKEN), "{text}");
}

/// Runs the binary while the service answers.
pub async fn while_served(directory: &Path, arguments: &[&str]) -> Output {
    let directory = directory.to_owned();
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let run = move || plumbline(&directory, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.unwrap()
}

const CONFIG: &str = r#"
[system.acme]
kind = "http"
pack = "acme.toml"
url = "URL"
settings = { token = "env:ACME_TOKEN" }
budget = { requests_per_second = 1000, concurrency = 4 }

[system.erp]
kind = "sqlite"
url = "sqlite:erp.db"

[entity.order]
key = "number"
fields.number = "integer"
fields.total = { type = "money", owner = "erp" }

[entity.order.in.acme]
dataset = "orders"
fields.number = { path = "id" }
fields.total = { path = "amount.cents", unit = "minor", currency = "EUR" }

[entity.order.in.erp]
dataset = "orders"
changed_at = "at"
fields = { number = "number", total = { path = "total", currency = "EUR" } }

[[probe]]
entity = "order"
kind = "changes"
schedule = "every 30s"
"#;

fn orders(uri: &Uri) -> axum::http::Response<axum::body::Body> {
    let order = |id: i64| json!({ "id": id, "amount": { "cents": 1999 }, "updated_at": "2026-11-01T10:00:00Z" });
    let data = match (param(uri, "ids"), param(uri, "updated_since"), param(uri, "page").as_deref()) {
        (Some(ids), ..) => {
            [7, 8].into_iter().filter(|id| ids.split(',').any(|asked| asked == id.to_string())).collect()
        }
        (None, None, Some("1")) => vec![7, 8],
        _ => vec![],
    };
    let total = data.len();
    let mut response = json(&json!({ "data": data.into_iter().map(order).collect::<Vec<_>>() }));
    response.headers_mut().insert("x-total-count", total.into());
    response
}

#[tokio::test]
async fn from_nothing_to_mapped_records() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    check(&plumbline(directory, &["pack", "new", "acme"]), 0, &["wrote ./acme.toml", "plumbline pack test acme.toml"]);
    check(&plumbline(directory, &["pack", "new", "acme"]), 2, &["cannot write `./acme.toml`"]);
    check(&plumbline(directory, &["pack", "test", "acme.toml"]), 0, &["orders", "updated_since", "ok: acme"]);
    check(&plumbline(directory, &["pack", "test", "woocommerce"]), 0, &["customers", "all are read", "id, email"]);
    check(&plumbline(directory, &["pack", "test", "none.toml"]), 2, &["`none.toml` cannot be read"]);

    let service = Served::by(orders).await;
    std::fs::write(directory.join("plumbline.toml"), CONFIG.replace("URL", &service.url)).unwrap();
    check(&plumbline(directory, &["check"]), 0, &["order: erp -> acme"]);
    let live = while_served(directory, &["pack", "test", "--system", "acme"]).await;
    check(&live, 0, &["list: 2 records, total 2", "changes: `updated_since` filters", "by `id`: `ids` filters"]);
    let sample = ["pack", "sample", "--system", "acme", "--entity", "order"];
    let shown = while_served(directory, &sample).await;
    check(&shown, 0, &["amount.cents  1999", "19.99 EUR", "updated_at", "2026-11-01T10:00:00.000000Z", "2 records"]);

    // The same from a recorded answer, with the service gone.
    drop(service);
    let answer = "HTTP/1.1 200 OK\r\nDate: x\r\n\r\n{\"data\":[{\"id\":9,\"amount\":{\"cents\":\"soon\"}}]}";
    std::fs::write(directory.join("orders.http"), answer).unwrap();
    let recorded = plumbline(directory, &[&sample[..], &["--answer", "orders.http"]].concat());
    check(&recorded, 0, &["\"soon\"", "invalid (", "not readable", "1 records"]);
    check(&while_served(directory, &sample).await, 3, &["`acme` cannot be reached"]);
    check(&plumbline(directory, &["pack", "sample", "--system", "erp", "--entity", "order"]), 2, &["is a database"]);
}

#[tokio::test]
async fn mistakes_in_a_pack_are_found_by_check() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    check(&plumbline(directory, &["pack", "new", "acme"]), 0, &[]);
    let pack = std::fs::read_to_string(directory.join("acme.toml")).unwrap();
    std::fs::write(directory.join("acme.toml"), pack.replace("page = \"numbered\"", "pages = \"numbered\"")).unwrap();
    std::fs::write(directory.join("plumbline.toml"), CONFIG.replace("URL", "https://acme.example")).unwrap();
    check(&plumbline(directory, &["check"]), 2, &["plumbline.toml:4:8: `pack`: acme.toml:", "did you mean `page`?"]);
    check(&plumbline(directory, &["pack", "test", "acme.toml"]), 2, &["acme.toml:", "unknown key `pages`"]);
}
