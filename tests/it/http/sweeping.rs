//! A sweep of an API against a database: no order in common, and little memory, so that what waits for its partner waits on
//! disk.

use axum::body::Body;
use axum::http::{Response, Uri};
use plumbline::audit::sweep::Ended;
use plumbline::sweep::Strategy;
use serde_json::{Value as Json, json};

use super::hostile::json_api;
use super::served::{Served, json, param};
use crate::config_text::ConfigText;
use crate::support::postgres;
use crate::sweep::bed::{Way, sweep_with};

const ITEMS: i64 = 4_000;
const PAGE: usize = 100;

/// Missing here: 7 and 3,999. Extra: 9,001. Others: the amount of 11, the name of 2,500.
fn item(id: i64) -> Json {
    let qty = if id == 11 { -1 } else { id * 10 };
    let name = if id == 2_500 { "another".to_owned() } else { format!("item {id}") };
    json!({ "id": format!("K-{id}"), "qty": qty, "name": name })
}

/// The last ones come first: by the time that both sides have shown a key, nearly all others wait.
fn held() -> Vec<i64> {
    (1..=ITEMS).filter(|id| ![7, 3_999].contains(id)).chain([9_001]).rev().collect()
}

fn service(uri: &Uri) -> Response<Body> {
    if uri.path() == "/" {
        return Response::builder().status(404).body(Body::empty()).unwrap();
    }
    let (held, total) = (held(), held().len());
    if let Some(ids) = param(uri, "ids") {
        let ids: Vec<i64> = ids.split(',').filter_map(|id| id.strip_prefix("K-")?.parse().ok()).collect();
        let data: Vec<Json> = held.into_iter().filter(|id| ids.contains(id)).map(item).collect();
        return json(&json!({ "total": data.len(), "data": data }));
    }
    let from: usize = param(uri, "cursor").map_or(0, |cursor| cursor.parse().unwrap());
    let data: Vec<Json> = held.into_iter().skip(from).take(PAGE).map(item).collect();
    let next = (from + PAGE < total).then(|| (from + PAGE).to_string());
    json(&json!({ "data": data, "total": total, "next_cursor": next }))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_against_a_database_waits_on_disk_and_is_exact() {
    let (service, erp) = (Served::by(service).await, postgres().await.database().await);
    for statement in [
        "CREATE TABLE item (id text PRIMARY KEY, qty bigint, name text)".to_owned(),
        format!("INSERT INTO item SELECT 'K-' || n, n * 10, 'item ' || n FROM generate_series(1, {ITEMS}) s(n)"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&erp.pool()).await.unwrap();
    }
    let entity = r#"
        key = ["id"]
        fields.id = { type = "text", store = "clear" }
        fields.qty = { type = "integer", owner = "erp" }
        fields.name = { type = "text", owner = "erp" }
    "#;
    let fields = "fields = { id = \"id\", qty = \"qty\", name = \"name\" }";
    let settings =
        format!("size = {PAGE}, paging = \"cursor\", total = \"body:total\", ids_style = \"csv\", ids_max = 50");
    let config = ConfigText::new()
        .database("erp", "postgres", "env:ERP", "")
        .system("store", &json_api(&settings))
        .entity("item", entity)
        .mapping("item", "erp", &format!("dataset = \"item\"\n{fields}"))
        .mapping("item", "store", &format!("dataset = \"items\"\n{fields}"))
        .fresh_within("item", "1s")
        .text();
    let urls = [("ERP", erp.url()), ("STORE", service.url.clone())];
    for memory in [100_000, 64 << 20] {
        let asked = service.asked().len();
        let swept = sweep_with(&config, &urls, Way { memory, ..Way::default() }, |_| {}).await;
        let expect = ["K-11 mismatch qty", "K-2500 mismatch name", "K-3999 missing ", "K-7 missing ", "K-9001 extra "];
        assert_eq!(swept.lines(), expect, "{memory}");
        assert_eq!((swept.report.ended.clone(), swept.strategy()), (Ended::Complete, Strategy::Stream));
        assert_eq!(swept.report.piece.target_rows, ITEMS as u64 - 1);
        let spilled = swept.report.spilled;
        assert_eq!(spilled > 0, memory < 1 << 20, "{spilled} rows waited on disk with {memory} bytes");
        assert!(service.asked().len() < asked + 60, "pages, and the suspects by key");
    }
}
