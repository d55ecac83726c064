//! The auditor dies at each step of a message's way, from the transaction that moves its incident on: it is told at least
//! once, and twice only if the auditor died between sending and noting that.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use plumbline::alert::view::example_incident;
use plumbline::fault::{INCIDENT_POINTS, MESSAGE_POINTS};
use plumbline::state::StateStore;

use super::bench::{REST, secret};
use super::receiver::{Receiver, Request};
use crate::support::wait_until;

const SIGABRT: i32 = 6;

fn child(dir: &std::path::Path, opened_at: i64, url: &str, fault: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_outbox-child"))
        .arg(dir)
        .arg(opened_at.to_string())
        .env("HOOK", url)
        .env("KEY", "0123456789abcdef")
        .env("PLUMBLINE_FAULT", fault)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// What a channel is told when the auditor dies at the `nth` passing of `point`, and another goes on.
async fn told(point: &str, nth: usize) -> Vec<Request> {
    let dir = tempfile::tempdir().unwrap();
    let hook = Receiver::start([]).await;
    let channel = "[channel.hook]\nkind = \"webhook\"\nurl = \"env:HOOK\"\nkey = \"env:KEY\"";
    std::fs::write(dir.path().join("plumbline.toml"), format!("{channel}\n{REST}")).unwrap();
    let state = StateStore::open(&format!("sqlite://{}", dir.path().join("state.db").display()), &secret()).await;
    let state = state.unwrap();
    state.migrate().await.unwrap();
    let opened_at = state.now().await.unwrap();

    let mut first = child(dir.path(), opened_at.micros(), &hook.url, &format!("{point}:{nth}"));
    wait_until(async || first.try_wait().unwrap().is_some()).await;
    assert_eq!(first.wait().unwrap().signal(), Some(SIGABRT), "{point}: the child ended by itself");
    let mut second = child(dir.path(), opened_at.micros(), &hook.url, "");
    hook.has(2).await;
    wait_until(async || {
        let depths = state.outbox_depth(state.now().await.unwrap()).await.unwrap();
        depths.values().all(|depth| depth.waiting == 0)
    })
    .await;
    second.kill().unwrap();
    second.wait().unwrap();
    let steps = state.incident_steps(example_incident().id).await.unwrap();
    let moves: Vec<&str> = steps.iter().map(|step| step.happened.as_str()).filter(|word| *word != "notified").collect();
    assert_eq!(moves, ["opened", "resolved"], "{point}:{nth}");
    hook.requests()
}

#[tokio::test]
async fn beginning_and_end_of_an_incident_outlive_a_crash_at_every_point_of_their_way() {
    for point in INCIDENT_POINTS.iter().chain(MESSAGE_POINTS) {
        for nth in 1..=2 {
            let requests = told(point, nth).await;
            let expected = if *point == "outbox.sent" { 3 } else { 2 };
            assert_eq!(requests.len(), expected, "{point}:{nth}");
            let mut told: Vec<(String, String)> = requests.iter().map(kind_and_id).collect();
            told.dedup();
            let kinds: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
            assert_eq!(kinds, ["opened", "resolved"], "{point}:{nth}: a repetition has the name of what it repeats");
        }
    }
}

fn kind_and_id(request: &Request) -> (String, String) {
    let kind = request.json()["message"]["kind"].as_str().unwrap().to_owned();
    (kind, request.header("plumbline-id").unwrap().to_owned())
}
