//! Memory does not grow with the length of a list.

use axum::http::Uri;
use futures_util::StreamExt;

use super::hostile::items;
use super::served::{Served, param};

const PAGE: usize = 1000;
const PAGES: usize = 1000;

/// What one page more may cost for good: buffers of the allocator, not records.
const ALLOWED_KIB: u64 = 48 * 1024;

fn page(uri: &Uri) -> axum::http::Response<axum::body::Body> {
    let number: usize = param(uri, "cursor").map_or(0, |cursor| cursor.parse().unwrap());
    let mut body = String::from("{\"data\":[");
    for id in number * PAGE..(number + 1) * PAGE {
        let comma = if body.ends_with('[') { "" } else { "," };
        body.push_str(&format!("{comma}{{\"id\":{id},\"qty\":7,\"name\":\"a product\",\"more\":[1,2,3]}}"));
    }
    let next = if number + 1 < PAGES { format!("\"{}\"", number + 1) } else { "null".to_owned() };
    body.push_str(&format!("],\"total\":{},\"next_cursor\":{next}}}", PAGE * PAGES));
    axum::http::Response::new(body.into())
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_million_records_take_no_more_memory_than_a_few() {
    let service = Served::by(page).await;
    let shop = items("size = 1000, paging = \"cursor\", total = \"body:total\"", &service.url);
    let mut records = shop.reader.scan(&shop.mapping, None);
    let (mut count, mut early) = (0, 0);
    while let Some(record) = records.next().await {
        assert!(record.unwrap().key.is_usable());
        count += 1;
        if count == 50 * PAGE {
            early = resident_kib();
        }
    }
    assert_eq!(count, PAGE * PAGES);
    let late = resident_kib();
    assert!(late < early + ALLOWED_KIB, "{early} KiB after 50 pages, {late} KiB after {PAGES}");
}
