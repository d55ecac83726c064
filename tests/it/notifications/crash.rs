//! The auditor dies at each step of a message's way: it is told at least once, and twice only if it died between sending and
//! noting that.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use plumbline::fault::MESSAGE_POINTS;
use plumbline::state::StateStore;

use super::bench::{REST, secret};
use super::receiver::Receiver;
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

#[tokio::test]
async fn a_message_outlives_a_crash_at_every_point_of_its_way() {
    for point in MESSAGE_POINTS {
        let dir = tempfile::tempdir().unwrap();
        let hook = Receiver::start([]).await;
        let channel = "[channel.hook]\nkind = \"webhook\"\nurl = \"env:HOOK\"\nkey = \"env:KEY\"";
        std::fs::write(dir.path().join("plumbline.toml"), format!("{channel}\n{REST}")).unwrap();
        let state = StateStore::open(&format!("sqlite://{}", dir.path().join("state.db").display()), &secret()).await;
        let state = state.unwrap();
        state.migrate().await.unwrap();
        let opened_at = state.now().await.unwrap();

        let mut first = child(dir.path(), opened_at.micros(), &hook.url, &format!("{point}:1"));
        wait_until(async || first.try_wait().unwrap().is_some()).await;
        assert_eq!(first.wait().unwrap().signal(), Some(SIGABRT), "{point}: the child ended by itself");
        let mut second = child(dir.path(), opened_at.micros(), &hook.url, "");
        hook.has(1).await;
        wait_until(async || {
            let depths = state.outbox_depth(state.now().await.unwrap()).await.unwrap();
            depths.values().all(|depth| depth.waiting == 0)
        })
        .await;
        second.kill().unwrap();
        second.wait().unwrap();

        let requests = hook.requests();
        let expected = if *point == "outbox.sent" { 2 } else { 1 };
        assert_eq!(requests.len(), expected, "{point}");
        let ids: Vec<_> = requests.iter().map(|request| request.header("plumbline-id")).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{point}: {ids:?}");
    }
}
