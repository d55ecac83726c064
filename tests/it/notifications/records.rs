//! The first message of an incident waits a little for the records that show what is wrong.

use std::time::Duration;

use plumbline::alert::sender::Pace;
use plumbline::incident::Happened::Opened;
use plumbline::incident::{Cause, Evidence, Incident, IncidentId, Step};
use plumbline::state::{Changed, IncidentChange, Untold};
use uuid::Uuid;

use super::bench::{Bench, QUICK};
use super::receiver::{Receiver, Request};
use crate::support::wait_until;

const HOOK: &str = "[channel.hook]\nkind = \"webhook\"\nurl = \"env:HOOK\"\nkey = \"env:KEY\"";

/// An incident that opened before the ledger had the checks which found it out.
async fn opens_without_records(bench: &Bench) -> Incident {
    let incident = bench.incident(1, Duration::ZERO).await;
    let incident = Incident { evidence: Evidence::default(), ..incident };
    let opened = Step { at: incident.opened_at, happened: Opened };
    let change = IncidentChange { incident: incident.clone(), version: None, steps: vec![opened] };
    assert_eq!(bench.state.change_incident(&change, None, &bench.teller()).await.unwrap(), Changed::Done);
    incident
}

fn samples(request: &Request) -> usize {
    request.json()["message"]["samples"].as_array().unwrap().len()
}

#[tokio::test]
async fn the_first_message_waits_for_records_and_keeps_nobody_waiting() {
    let hook = Receiver::start([]).await;
    let bench = Bench::new(HOOK, &[("HOOK", &hook.url)]).await;
    let incident = opens_without_records(&bench).await;
    // It has nothing to say of records.
    let blind = Incident {
        id: IncidentId(Uuid::from_u128(2)),
        cause: "blind store".parse::<Cause>().unwrap(),
        ..incident.clone()
    };
    bench.opens(&blind).await;
    let _sending = bench.start_at("auditor", Pace { records_within: Duration::from_secs(3600), ..QUICK });
    let first = hook.has(1).await;
    assert_eq!(first[0].json()["subject"], format!("plumbline-{}", blind.id));

    // The next evaluation has found them.
    let held = bench.state.incident(incident.id).await.unwrap().unwrap();
    let evidence = bench.incident(1, Duration::ZERO).await.evidence;
    let change =
        IncidentChange { incident: Incident { evidence, ..held.incident }, version: Some(held.version), steps: vec![] };
    assert_eq!(bench.state.change_incident(&change, None, &Untold).await.unwrap(), Changed::Done);
    let told = hook.has(2).await;
    assert_eq!(
        (told[1].json()["subject"].as_str(), samples(&told[1])),
        (Some(&*format!("plumbline-{}", incident.id)), 3)
    );
    assert_eq!(told[1].json()["message"]["kind"], "opened");
    bench.quiet().await;
    assert_eq!(hook.requests().len(), 2);
    let told = async || bench.state.incident_steps(incident.id).await.unwrap().len() == 2;
    wait_until(told).await;
}

#[tokio::test]
async fn the_first_message_leaves_without_records_when_there_are_none_in_time() {
    let hook = Receiver::start([]).await;
    let bench = Bench::new(HOOK, &[("HOOK", &hook.url)]).await;
    let incident = opens_without_records(&bench).await;
    let _sending = bench.start();
    let told = hook.has(1).await;
    assert_eq!((told[0].json()["message"]["kind"].as_str(), samples(&told[0])), (Some("opened"), 0));
    // What is over is told at once, after its beginning.
    bench.resolves(&incident).await;
    assert_eq!(hook.has(2).await[1].json()["message"]["kind"], "resolved");
}
