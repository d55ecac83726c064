//! Answers that must not be believed: each is an error of the right kind, and none a record too few.

use std::io::Write;
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use plumbline::connect::{Cursor, ReadError};
use serde_json::json;

use super::captured::Captured;
use super::served::{Served, json, param};
use super::shop::{Shop, config};
use super::woo::Woo;

/// `[system.store]` for a service with these settings of `json-api`.
pub fn json_api(settings: &str) -> String {
    format!(
        r#"
        kind = "http"
        pack = "json-api"
        url = "env:STORE"
        commit_delay = "0s"
        statement_timeout = "30s"
        budget = {{ requests_per_second = 1000, concurrency = 4 }}
        settings = {{ {settings} }}
        "#
    )
}

pub const ITEMS: &str = r#"
    dataset = "items"
    fields = { sku = "id", qty = "qty", name = "name" }
"#;

/// A reader of the items of a service.
pub fn items(settings: &str, url: &str) -> Shop {
    Shop::with(&config(&json_api(settings), ITEMS), url)
}

async fn read_all(shop: &Shop) -> Result<usize, ReadError> {
    let page = shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 10_000).await?;
    assert!(page.complete);
    Ok(page.records.len())
}

/// Reading everything fails with this kind of error, and its words hold this.
#[track_caller]
fn check(outcome: &Result<usize, ReadError>, code: &str, words: &str) {
    let Err(error) = outcome else { panic!("read {outcome:?}, wanted {code}: {words}") };
    assert_eq!(error.reason_code(), code, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test]
async fn refusals_in_all_shapes_of_woocommerce() {
    let store = Woo::start().await;
    let shop = Shop::new(&store.url);
    for (capture, code, words) in [
        ("error-401-no-auth", "refused", "Sorry, you cannot list resources.: the key is unknown"),
        ("error-401-http-basic", "refused", "came over plain http"),
        ("error-401-unknown-key", "refused", "the key is unknown"),
        ("error-401-wrong-secret", "refused", "Consumer secret is invalid."),
        ("error-404-route", "shape", "this WooCommerce has no such list"),
        ("error-400-per-page", "shape", "Invalid parameter(s): per_page"),
        ("error-400-orderby", "shape", "Invalid parameter(s): orderby"),
        ("error-400-date-only", "shape", "Invalid parameter(s): modified_after"),
    ] {
        store.always(Some(Captured::read(capture)));
        check(&read_all(&shop).await, code, words);
    }
    let forbidden = Captured { status: 403, ..Captured::read("error-401-no-auth") };
    store.always(Some(forbidden));
    check(&read_all(&shop).await, "refused", "it answered 403");
}

#[tokio::test]
async fn faults_of_server_and_proxy() {
    for (capture, code, words) in [
        ("infra-503-maintenance", "budget", "503: an HTML page instead of JSON; it asks to wait 600 s"),
        ("infra-502-bad-gateway", "unreachable", "502: an HTML page instead of JSON"),
        ("infra-500-db-down", "unreachable", "500: an HTML page instead of JSON"),
        ("infra-500-php-fatal", "unreachable", "it answered 500"),
        ("infra-200-php-warning-before-json", "bad_answer", "there is HTML (a PHP warning?) where JSON should begin"),
    ] {
        let store = Woo::start().await;
        store.always(Some(Captured::read(capture)));
        check(&read_all(&Shop::new(&store.url)).await, code, words);
    }
}

#[tokio::test]
async fn after_too_fast_nobody_asks_before_the_time() {
    let store = Woo::start().await;
    let shop = Shop::new(&store.url);
    store.instead(Captured { status: 429, ..Captured::read("infra-503-maintenance") });
    check(&read_all(&shop).await, "budget", "it asks to wait 600 s");
    store.take_requests();
    check(&read_all(&shop).await, "budget", "it asked us to wait for another");
    assert_eq!(store.take_requests(), [""; 0]);
}

#[tokio::test]
async fn a_short_pause_is_kept_and_the_request_sent_again() {
    for wait in ["1", "Sun, 22 Nov 2026 22:24:58 GMT"] {
        let answered = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let service = Served::by(move |_| {
            if answered.swap(true, std::sync::atomic::Ordering::SeqCst) {
                return json(&json!({ "data": [{ "id": 1 }] , "total": 1 }));
            }
            Response::builder()
                .status(429)
                .header("retry-after", wait)
                .header("date", "Sun, 22 Nov 2026 22:24:57 GMT")
                .body(Body::empty())
                .unwrap()
        })
        .await;
        let began = tokio::time::Instant::now();
        let shop = items("total = \"body:total\"", &service.url);
        assert_eq!(read_all(&shop).await.unwrap(), 1);
        assert!(began.elapsed() >= Duration::from_secs(1), "{wait}");
        assert_eq!(shop.reader.usage().retries, 1);
    }
}

#[tokio::test]
async fn a_limit_that_is_told_in_time_is_not_run_into() {
    let service = Served::by(|_| {
        let mut response = json(&json!({ "data": [], "total": 0 }));
        response.headers_mut().insert("x-ratelimit-remaining", "0".parse().unwrap());
        response.headers_mut().insert("x-ratelimit-reset", "300".parse().unwrap());
        response
    })
    .await;
    let shop = items("total = \"body:total\"", &service.url);
    check(&read_all(&shop).await, "budget", "it asked us to wait for another");
    assert_eq!(service.asked().len(), 1);
}

#[tokio::test]
async fn a_limit_that_the_body_tells_is_not_run_into() {
    let service =
        Served::by(|_| json(&json!({ "data": [{ "id": 1 }], "limit": { "left": 0, "reset": 300 }, "total": 1 }))).await;
    let settings = "total = \"body:total\", remaining = \"body:limit.left\", reset = \"body:limit.reset\"";
    let shop = items(settings, &service.url);
    assert_eq!(read_all(&shop).await.unwrap(), 1);
    let asked = service.asked().len();
    check(&read_all(&shop).await, "budget", "it asked us to wait for another");
    assert_eq!(service.asked().len(), asked);
}

#[tokio::test]
async fn a_success_with_an_error_in_it() {
    let service = Served::by(|_| json(&json!({ "error": { "message": "the database is away" }, "data": [] }))).await;
    check(&read_all(&items("", &service.url)).await, "unreachable", "it answered 200");
    let service = Served::by(|_| json(&json!({ "message": "hello" }))).await;
    check(&read_all(&items("", &service.url)).await, "bad_answer", "no list of records where the pack says it is");
}

fn head(rest: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sun, 22 Nov 2026 22:24:57 GMT\r\n{rest}\r\n\r\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn bodies_that_are_cut_short() {
    let body = br#"{"data":[{"id":1}]"#.to_vec();
    for header in ["Content-Length: 5000", "Transfer-Encoding: chunked"] {
        let chunk = if header.starts_with('T') { [b"12\r\n".to_vec(), body.clone()].concat() } else { body.clone() };
        let service = Served::bytes(vec![head(header), chunk], Duration::ZERO).await;
        check(&read_all(&items("", &service.url)).await, "bad_answer", "the answer was cut short");
    }
    // Without a length only the JSON tells.
    let service = Served::bytes(vec![head("Connection: close"), body], Duration::ZERO).await;
    check(&read_all(&items("", &service.url)).await, "bad_answer", "it ends in the middle");
}

#[tokio::test]
async fn bodies_that_drip() {
    let mut parts = vec![head("Content-Length: 1000000")];
    parts.extend(std::iter::repeat_n(b" ".to_vec(), 1000));
    let service = Served::bytes(parts, Duration::from_millis(50)).await;
    let text = config(&json_api(""), ITEMS).replace("statement_timeout = \"30s\"", "statement_timeout = \"1s\"");
    check(&read_all(&Shop::with(&text, &service.url)).await, "timed_out", "no answer");
}

#[tokio::test]
async fn a_small_answer_that_unpacks_to_a_gigabyte() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..1024 {
        packed.write_all(&zeros).unwrap();
    }
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 2 << 20);
    let service = Served::by(move |_| {
        let response =
            Response::builder().header("content-encoding", "gzip").header("content-type", "application/json");
        response.body(Body::from(packed.clone())).unwrap()
    })
    .await;
    check(&read_all(&items("", &service.url)).await, "bad_answer", "longer than `body_limit`");
}

#[tokio::test]
async fn packed_answers_are_unpacked() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(br#"{"data":[{"id":1}],"total":1}"#).unwrap();
    let packed = packed.finish().unwrap();
    let cut = packed[..packed.len() - 10].to_vec();
    let serve = |bytes: Vec<u8>| {
        Served::by(move |_| {
            let response = Response::builder().header("content-encoding", "gzip");
            response.body(Body::from(bytes.clone())).unwrap()
        })
    };
    let service = serve(packed).await;
    assert_eq!(read_all(&items("total = \"body:total\"", &service.url)).await.unwrap(), 1);
    let service = serve(cut).await;
    check(&read_all(&items("", &service.url)).await, "bad_answer", "the answer was cut short");
}

#[tokio::test]
async fn a_page_of_html_with_a_good_status() {
    let service = Served::by(|_| {
        let response = Response::builder().header("content-type", "text/html");
        response.body(Body::from("<!DOCTYPE html><p>log in")).unwrap()
    })
    .await;
    check(&read_all(&items("", &service.url)).await, "bad_answer", "there is HTML");
    let service = Served::by(|_| {
        let response = Response::builder().header("content-type", "text/plain");
        response.body(Body::from("ok")).unwrap()
    })
    .await;
    check(&read_all(&items("", &service.url)).await, "bad_answer", "it says it is `text/plain`");
}

#[tokio::test]
async fn a_page_that_repeats_for_ever() {
    let service = Served::by(|_| json(&json!({ "data": [{ "id": 1 }, { "id": 2 }] }))).await;
    check(&read_all(&items("size = 2", &service.url)).await, "bad_answer", "the list never ends");
    check(&read_all(&items("size = 2, paging = \"offset\"", &service.url)).await, "bad_answer", "the list never ends");
}

#[tokio::test]
async fn a_cursor_that_never_advances() {
    let service = Served::by(|uri| {
        let id = param(uri, "cursor").map_or(1, |_| 2);
        json(&json!({ "data": [{ "id": id }], "next_cursor": "again" }))
    })
    .await;
    check(&read_all(&items("paging = \"cursor\"", &service.url)).await, "bad_answer", "the list never ends");
}

#[tokio::test]
async fn records_that_come_twice_count_once() {
    let service = Served::by(|uri| {
        let page: usize = param(uri, "page").map_or(1, |page| page.parse().unwrap());
        let ids = [vec![1, 2], vec![2, 3]].get(page - 1).cloned().unwrap_or_default();
        let data: Vec<_> = ids.into_iter().map(|id| json!({ "id": id })).collect();
        json(&json!({ "data": data }))
    })
    .await;
    assert_eq!(read_all(&items("size = 2", &service.url)).await.unwrap(), 3);
}

#[tokio::test]
async fn nothing_is_sent_to_another_host() {
    let other = Served::by(|_| json(&json!({ "data": [{ "id": 1 }] }))).await;
    let target = format!("{}/items", other.url);
    let to = target.clone();
    let service =
        Served::by(move |_| Response::builder().status(302).header("location", &to).body(Body::empty()).unwrap()).await;
    check(
        &read_all(&items("auth = \"bearer\", token = \"env:TOKEN\"", &service.url)).await,
        "bad_answer",
        "redirects to another host",
    );
    let service = Served::by(move |_| json(&json!({ "data": [{ "id": 1 }], "next": target }))).await;
    let settings = "paging = \"link\", link_from = \"body:next\"";
    check(&read_all(&items(settings, &service.url)).await, "bad_answer", "leads to another host");
    assert_eq!(other.asked(), [""; 0]);
}

#[tokio::test]
async fn redirects_within_the_system_are_followed_but_not_for_ever() {
    let service = Served::by(|uri| match uri.path() {
        "/items" => Response::builder().status(301).header("location", "/v2/items").body(Body::empty()).unwrap(),
        _ => json(&json!({ "data": [{ "id": 1 }], "total": 1 })),
    })
    .await;
    assert_eq!(read_all(&items("total = \"body:total\"", &service.url)).await.unwrap(), 1);
    let service =
        Served::by(|uri| Response::builder().status(301).header("location", uri.path()).body(Body::empty()).unwrap())
            .await;
    check(&read_all(&items("", &service.url)).await, "bad_answer", "redirects more than 3 times");
}

#[tokio::test]
async fn a_name_that_is_gone_and_a_port_where_nobody_listens() {
    check(&read_all(&items("", "https://shop.invalid")).await, "unreachable", "cannot be reached");
    let port = crate::support::free_port();
    check(&read_all(&items("", &format!("http://127.0.0.1:{port}"))).await, "unreachable", "refused");
}

#[tokio::test]
async fn secrets_and_addresses_are_in_no_message() {
    let service = Served::by(|_| Response::builder().status(401).body(Body::empty()).unwrap()).await;
    let shop = items("auth = \"bearer\", token = \"env:TOKEN\"", &service.url);
    let error = shop.by_skus(&["someone@example.org"]).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("t0ken"));
    assert!(!error.to_string().contains("someone"), "{error}");
}
