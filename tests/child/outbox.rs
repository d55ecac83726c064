//! The program that crash tests of messages kill: a step of an incident, then a sender.
//!
//! `outbox-child DIR OPENED_AT`: opens the state in `DIR/state.db` and the config `DIR/plumbline.toml`, tells of one incident
//! that began at OPENED_AT (microseconds since 1970), says `told`, and sends until it is killed.

#![allow(clippy::expect_used, reason = "a test program that cannot go on fails")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plumbline::alert::route::Routing;
use plumbline::alert::sender::{Pace, Sender};
use plumbline::alert::view::example_incident;
use plumbline::incident::{Happened, Incident, Step};
use plumbline::metrics::Metrics;
use plumbline::model::{Moment, TenantId};
use plumbline::state::{StateSecret, StateStore};
use tokio_util::sync::CancellationToken;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, opened_at] = &arguments[..] else { panic!("two arguments, got {}", arguments.len()) };
    let dir = Path::new(dir);
    let config = plumbline::config::load(&dir.join("plumbline.toml")).expect("the config is good");
    let url = format!("sqlite://{}", dir.join("state.db").display());
    let state = StateStore::open(&url, &StateSecret::from_bytes([7; 32])).await.expect("the state opens");
    state.migrate().await.expect("the state is migrated");

    let opened_at = Moment::from_micros(opened_at.parse().expect("a number"));
    let incident = Incident { opened_at, ..example_incident() };
    let step = Step { at: opened_at, happened: Happened::Opened };
    let outgoing = Routing::new(&config.alerting).outgoing(&incident, &step).expect("somebody is told");
    state.tell(&outgoing).await.expect("it is kept");
    println!("told");

    let pace = Pace { poll: Duration::from_millis(20), ..Pace::default() };
    let sender =
        Sender::new(Arc::clone(&config.alerting), Arc::new(Metrics::new()), &TenantId::default(), "child", pace);
    sender.expect("the channels are good").run(state, CancellationToken::new()).await;
}
