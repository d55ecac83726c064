//! Two auditors on one state database.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bench::Bench;
use super::receiver::Receiver;
use crate::support::{postgres, sqlite};

/// Each message once, and each incident's in order, however many auditors send.
async fn check(url: &str) {
    const INCIDENTS: u128 = 60;
    let hook = Receiver::start([]).await;
    let config = "[channel.hook]\nkind = \"webhook\"\nurl = \"env:HOOK\"\nkey = \"env:KEY\"\nmax_per_hour = 10000";
    let bench = Bench::over(url, config, &[("HOOK", &hook.url)]).await;
    let other = Bench::over(url, config, &[("HOOK", &hook.url)]).await;
    let _senders = [bench.start_as("one"), other.start_as("two")];
    for number in 0..INCIDENTS {
        let incident = bench.incident(number, Duration::from_secs(60)).await;
        bench.opens(&incident).await;
        // The same step told twice, as by an auditor that repeats what it was not sure of.
        other.opens(&incident).await;
        bench.resolves(&incident).await;
    }
    hook.has(2 * INCIDENTS as usize).await;
    bench.quiet().await;
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for request in hook.requests() {
        let message = request.json();
        let word = |name: &str| message["message"][name].as_str().unwrap().to_owned();
        told.entry(word("incident")).or_default().push(word("kind"));
    }
    assert_eq!(told.len(), INCIDENTS as usize);
    assert!(told.values().all(|kinds| kinds == &["opened", "resolved"]), "{told:?}");
}

#[tokio::test]
async fn two_auditors_send_one_message_sqlite() {
    let file = sqlite().await;
    check(&file.url()).await;
}

#[tokio::test]
async fn two_auditors_send_one_message_postgres() {
    let database = postgres().await.database().await;
    check(&database.url()).await;
}
