//! From the bytes of WooCommerce answers to mapped records: a captured page of 98 whole products, of which the mapping
//! takes six values each. One core, in processor time; best of several rounds. Asked of it: 150 MB/s.
//!
//! The limits of the same run: the JSON parser alone, checking the same bytes and keeping nothing, and building its
//! own tree of all values.

#![allow(clippy::expect_used, clippy::panic, reason = "a measurement that cannot go on fails")]

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use plumbline::config::{Environment, parse_with};
use plumbline::connect::http::Recorded;
use serde::de::IgnoredAny;

const ANSWER: &str = include_str!("../tests/fixtures/woocommerce/products-last-page.http");
const WANTED: f64 = 150.0;
const ROUNDS: usize = 15;
const PAGES: usize = 100;

const CONFIG: &str = r#"
[system.store]
kind = "http"
pack = "woocommerce"
url = "https://store.example"
settings = { key = "env:KEY", secret = "env:KEY" }
[system.erp]
kind = "sqlite"
url = "sqlite:erp.db"
[entity.product]
key = "sku"
fields.sku = "text"
fields.qty = { type = "integer", owner = "erp" }
fields.price = { type = "money", owner = "erp" }
fields.name = { type = "text", owner = "erp" }
[entity.product.in.store]
dataset = "products"
fields.sku = "sku"
fields.qty = "stock_quantity"
fields.price = { path = "regular_price", currency = "USD", steps = ["empty_is_null"] }
fields.name = { path = "name", steps = ["html_decode"] }
[entity.product.in.erp]
dataset = "product"
changed_at = "changed_at"
fields = { sku = "sku", qty = "qty", name = "name", price = { path = "price", currency = "USD" } }
"#;

fn main() {
    let environment = Environment::fixed([("KEY", "key")]);
    let config = parse_with(CONFIG, Path::new("plumbline.toml"), Path::new("/nowhere"), &environment);
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    let store = "store".parse().expect("a name");
    let mapping = &config.entities[&"product".parse().expect("a name")].mappings[&store];
    let pack = config.systems[&store].pack.as_deref().expect("an HTTP system has a pack");
    let recorded = Recorded::new(pack, mapping).expect("the mapping fits");
    let (_, body) = ANSWER.split_once("\r\n\r\n").expect("an answer has a body");

    let mapped = best(|| {
        let read = recorded.read(body, |record| drop(black_box(record))).expect("it is readable");
        assert_eq!(read, 98);
    });
    let skipped = best(|| {
        black_box(serde_json::from_str::<IgnoredAny>(body).expect("it is JSON"));
    });
    let tree = best(|| drop(black_box(serde_json::from_str::<serde_json::Value>(body).expect("it is JSON"))));
    let speed = |took: Duration| (body.len() * PAGES) as f64 / took.as_secs_f64() / 1e6;
    println!("json, bytes of an answer to mapped records, {} KB a page, one core", body.len() / 1000);
    let reached = speed(mapped);
    println!("  {reached:.0} MB/s, wanted {WANTED}: {}", if reached >= WANTED { "met" } else { "missed" });
    println!("  {:.0} MB/s the parser alone, keeping nothing (limit)", speed(skipped));
    println!("  {:.3} of the limit", skipped.as_secs_f64() / mapped.as_secs_f64());
    println!("  {:.0} MB/s the parser building its tree of all values", speed(tree));
}

/// The shortest time that so many pages took.
fn best(mut page: impl FnMut()) -> Duration {
    let mut round = || {
        let began = processor_time();
        (0..PAGES).for_each(|_| page());
        processor_time() - began
    };
    (0..ROUNDS).map(|_| round()).min().unwrap_or(Duration::MAX)
}

/// What this thread has used of a core so far. What else runs on the machine does not count, nor does waiting for it.
fn processor_time() -> Duration {
    // The kernel brings the figure up to date when it switches.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells how long a thread ran");
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("the first figure is nanoseconds on a processor"))
}
