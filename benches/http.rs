//! A service that speaks HTTP, on loopback: how well its budget is kept while fifty probes read it at once, and what a
//! million records in pages do to memory.
//!
//! The service is the limit of the first part: it counts what arrives, so that nothing depends on what the client believes.
//! Asked: 2 % of the configured rate, and memory that does not grow with the list.

#![allow(clippy::expect_used, clippy::panic, reason = "a measurement that cannot go on fails")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::Uri;
use futures_util::StreamExt;
use plumbline::clock::AnchoredClock;
use plumbline::config::{Environment, parse_with};
use plumbline::connect::{self, Reader};
use plumbline::model::{EntityId, Key, Mapping, SystemId, Value};

const RATE: f64 = 100.0;
const PROBES: usize = 50;
const SECONDS: u64 = 30;

const PAGE: usize = 1_000;
const RECORDS: usize = 1_000_000;

fn config(rate: f64) -> String {
    format!(
        r#"
[system.store]
kind = "http"
pack = "json-api"
url = "env:STORE"
budget = {{ requests_per_second = {rate}, concurrency = 16 }}
settings = {{ size = {PAGE}, paging = "cursor", total = "body:total" }}
[system.erp]
kind = "sqlite"
url = "sqlite:erp.db"
[entity.stock]
key = "sku"
fields.sku = "text"
fields.qty = {{ type = "integer", owner = "erp" }}
[entity.stock.in.store]
dataset = "items"
fields = {{ sku = "id", qty = "qty" }}
[entity.stock.in.erp]
dataset = "stock"
changed_at = "updated_at"
fields = {{ sku = "sku", qty = "qty" }}
"#
    )
}

fn reader(url: &str, rate: f64) -> (Arc<dyn Reader>, Arc<Mapping>) {
    let environment = Environment::fixed([("STORE", url)]);
    let parsed = parse_with(&config(rate), Path::new("plumbline.toml"), Path::new("/nowhere"), &environment);
    let config = parsed.unwrap_or_else(|problems| panic!("{problems}"));
    let store: SystemId = "store".parse().expect("a name");
    let entity: EntityId = "stock".parse().expect("a name");
    let mapping = Arc::clone(&config.entities[&entity].mappings[&store]);
    let reader = connect::open(&config.systems[&store], Arc::new(AnchoredClock::from_machine())).expect("a reader");
    (reader, mapping)
}

/// A service of `RECORDS` items in pages; it notes when each request came.
async fn serve() -> (String, Arc<Mutex<Vec<Instant>>>) {
    let came = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&came);
    let routes = Router::new().fallback(move |uri: Uri| {
        noted.lock().expect("nobody panics with it").push(Instant::now());
        async move { answer(&uri) }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, came)
}

fn answer(uri: &Uri) -> String {
    let query = uri.query().unwrap_or_default();
    let param = |name: &str| {
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
    };
    let item = |id: usize| format!("{{\"id\":{id},\"qty\":7,\"name\":\"a product of some kind\",\"more\":[1,2,3]}}");
    if let Some(id) = param("ids").and_then(|ids| ids.parse::<usize>().ok()) {
        let data = if id == 0 { String::new() } else { item(id) };
        return format!("{{\"data\":[{data}],\"total\":{}}}", usize::from(id > 0));
    }
    let from: usize = param("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let items: Vec<String> = (from..from + PAGE).map(item).collect();
    let next = if from + PAGE < RECORDS { format!("\"{}\"", from + PAGE) } else { "null".to_owned() };
    format!("{{\"data\":[{}],\"total\":{RECORDS},\"next_cursor\":{next}}}", items.join(","))
}

#[tokio::main]
async fn main() {
    keep_the_budget().await;
    read_a_million().await;
}

async fn keep_the_budget() {
    let (url, came) = serve().await;
    let (reader, mapping) = reader(&url, RATE);
    let began = Instant::now();
    let end = began + Duration::from_secs(SECONDS);
    let probes = (1..=PROBES).map(|number| {
        let (reader, mapping) = (Arc::clone(&reader), Arc::clone(&mapping));
        tokio::spawn(async move {
            let key = Key::new([Value::from(number.to_string().as_str())]);
            while Instant::now() < end {
                reader.by_keys(&mapping, std::slice::from_ref(&key)).await.expect("the service answers");
            }
        })
    });
    futures_util::future::join_all(probes).await;
    let came = came.lock().expect("nobody panics with it");
    // A second's worth may come at once at the beginning; from then on the rate counts.
    let steady = (began + Duration::from_secs(1), end);
    let count = came.iter().filter(|at| (steady.0..steady.1).contains(*at)).count() as f64;
    let share = count / (RATE * (SECONDS - 1) as f64);
    let busiest =
        came.iter().map(|from| came.iter().filter(|at| (*from..*from + Duration::from_secs(1)).contains(*at)).count());
    println!("http, {PROBES} probes at once on a budget of {RATE} requests a second, {SECONDS} s");
    let met = if (0.98..=1.02).contains(&share) { "met" } else { "missed" };
    println!("  {:.2} requests a second, {share:.4} of the budget, wanted 0.98 to 1.02: {met}", share * RATE);
    println!("  {} at most within any second (the first may have two seconds' worth)", busiest.max().unwrap_or(0));
}

async fn read_a_million() {
    let (url, _) = serve().await;
    let (reader, mapping) = reader(&url, 100_000.0);
    println!("http, {RECORDS} records in pages of {PAGE}, through the reader into nothing");
    let began = Instant::now();
    let (mut records, mut count) = (reader.scan(&mapping, None), 0);
    while let Some(record) = records.next().await {
        assert!(record.expect("the service answers").key.is_usable());
        count += 1;
        if [10_000, 100_000, 250_000, 500_000, RECORDS].contains(&count) {
            println!("  {:.1} MB resident after {count}", resident_mb());
        }
    }
    println!("  {:.0} records a second", count as f64 / began.elapsed().as_secs_f64());
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it is there");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("a number") / 1024.0
}
