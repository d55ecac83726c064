//! A service that bears less than we were told and does not say how much.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use serde_json::json;
use tokio::time::Instant;

use super::hostile::{ITEMS, json_api};
use super::served::{Served, json, param};
use super::shop::{Shop, config};

/// Answers at most so many requests within any second; says "too fast" to all others, and no more.
#[derive(Clone)]
struct Gate {
    most: usize,
    came: Arc<Mutex<VecDeque<Instant>>>,
    /// Good answers and refusals.
    counts: Arc<Mutex<[usize; 2]>>,
}

impl Gate {
    fn admits(&self) -> bool {
        let mut came = self.came.lock().unwrap();
        let now = Instant::now();
        while came.front().is_some_and(|first| now - *first >= Duration::from_secs(1)) {
            came.pop_front();
        }
        let admits = came.len() < self.most;
        if admits {
            came.push_back(now);
        }
        self.counts.lock().unwrap()[usize::from(!admits)] += 1;
        admits
    }
}

#[tokio::test]
async fn a_limit_that_nobody_tells_is_found_and_kept() {
    let gate = Gate { most: 20, came: Arc::default(), counts: Arc::default() };
    let at_the_gate = gate.clone();
    let service = Served::by(move |uri| {
        if !at_the_gate.admits() {
            return Response::builder().status(429).body(Body::empty()).unwrap();
        }
        let id: i64 = param(uri, "ids").and_then(|ids| ids.parse().ok()).unwrap_or(0);
        let data: Vec<_> = (id > 0).then(|| json!({ "id": id, "qty": 1 })).into_iter().collect();
        json(&json!({ "data": data, "total": data.len() }))
    })
    .await;
    // Told: 200 a second. Borne: 20.
    let system = json_api("total = \"body:total\"").replace("requests_per_second = 1000", "requests_per_second = 200");
    let shop = Shop::with(&config(&system, ITEMS), &service.url);
    let mut read = 0;
    for round in 0..10 {
        for number in 1..=20 {
            let id = (round * 20 + number).to_string();
            // A read that is refused three times is an error, and is asked for again later, as a probe does.
            while shop.by_skus(&[id.as_str()]).await.is_err() {}
            read += 1;
        }
    }
    let [good, refused] = *gate.counts.lock().unwrap();
    assert_eq!(read, 200);
    assert!(refused > 0, "the limit was met");
    assert!(refused * 4 < good, "it is not run into again and again: {refused} refusals, {good} answers");
    assert!(shop.reader.budget().share() < 0.5, "the rate that was told is not what is used");
}
