//! The program that crash tests of messages kill: an incident opens and ends, and a sender tells of it.
//!
//! `outbox-child DIR OPENED_AT`: opens the state in `DIR/state.db` and the config `DIR/plumbline.toml`, opens one incident as
//! of OPENED_AT (microseconds since 1970) unless it is there, ends it unless it has ended, and sends until it is killed.

#![allow(clippy::expect_used, reason = "a test program that cannot go on fails")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plumbline::alert::sender::{Pace, Sender};
use plumbline::alert::teller::Teller;
use plumbline::alert::view::example_incident;
use plumbline::incident::{Happened, Incident, Step};
use plumbline::metrics::Metrics;
use plumbline::model::{Moment, TenantId};
use plumbline::state::{Changed, HeldIncident, IncidentChange, StateSecret, StateStore};
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
    let teller = Teller::new(Arc::clone(&config.alerting));
    live(&state, &teller, Incident { opened_at, ..example_incident() }).await;

    let pace = Pace { poll: Duration::from_millis(20), ..Pace::default() };
    let sender =
        Sender::new(Arc::clone(&config.alerting), Arc::new(Metrics::new()), &TenantId::default(), "child", pace);
    sender.expect("the channels are good").run(state, CancellationToken::new()).await;
}

/// The incident opens and ends, as far as it has not.
async fn live(state: &StateStore, teller: &Teller, incident: Incident) {
    let known = state.incident(incident.id).await.expect("the state answers");
    if known.is_none() {
        let step = Step { at: incident.opened_at, happened: Happened::Opened };
        change(state, teller, IncidentChange { incident: incident.clone(), version: None, steps: vec![step] }).await;
    }
    let HeldIncident { mut incident, version } =
        state.incident(incident.id).await.expect("the state answers").expect("it is there");
    if incident.is_open() {
        let now = state.now().await.expect("the state answers");
        let step = incident.resolve("ann", now).expect("it is open");
        change(state, teller, IncidentChange { incident, version: Some(version), steps: vec![step] }).await;
    }
}

async fn change(state: &StateStore, teller: &Teller, change: IncidentChange) {
    let changed = state.change_incident(&change, None, teller).await.expect("the state answers");
    assert_eq!(changed, Changed::Done, "nobody else is here");
}
