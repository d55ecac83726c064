//! The embedded engine as a process: it is killed, refused, stopped and left alone.

use std::path::PathBuf;
use std::process::Stdio;

use plumbline::ledger::engine::{EmbeddedEngine, EmbeddedOptions};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::engine::{TestEngine, create, events, insert, options};
use crate::support;

fn is_running(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A killed process that nobody has waited for is a zombie.
    !status.is_empty() && !status.contains(") Z ")
}

async fn kill(pid: u32) {
    let status = Command::new("kill").arg("-9").arg(pid.to_string()).status().await.expect("kill runs");
    assert!(status.success(), "no process {pid}");
}

/// Every insert that was answered is there, once, after twenty kills in the middle of inserts.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_lose_nothing_and_repeat_nothing() {
    let test = TestEngine::start().await;
    let (client, url) = (test.writer(), test.engine.url());
    create(&client).await;
    let rows = events(200);
    let mut batch = 0_u64;
    for round in 1..=20 {
        let victim = test.engine.process_id().expect("the engine runs");
        let killer = tokio::spawn(kill(victim));
        // Batches go on until the engine is up again; each is repeated with its token until it is answered.
        while test.engine.restarts() < round || !test.engine.is_up() {
            let mut own = rows.clone();
            own.iter_mut().for_each(|row| row.id += batch * 1000);
            support::wait_until(|| async { insert(&client, &format!("batch {batch}"), &own).await.is_ok() }).await;
            batch += 1;
        }
        killer.await.unwrap();
    }
    let (count, distinct): (u64, u64) =
        client.query("SELECT count(), uniqExact(id) FROM events").fetch_one().await.unwrap();
    assert_eq!((count, distinct), (batch * 200, batch * 200));
    assert_eq!(test.engine.url(), url, "the address stays");
    test.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_has_one_engine() {
    let test = TestEngine::start().await;
    let refused = EmbeddedEngine::start(options(test.dir.path().to_owned())).await.unwrap_err().to_string();
    let pid = test.engine.process_id().unwrap().to_string();
    assert!(refused.contains(&pid) && refused.contains("already"), "{refused}");
    test.engine.stop().await;
    let again = EmbeddedEngine::start(options(test.dir.path().to_owned())).await.unwrap();
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_wrong_library_says_how_to_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let with = |libchdb: PathBuf| EmbeddedOptions { libchdb: Some(libchdb), ..options(dir.path().join("data")) };
    let missing = EmbeddedEngine::start(with(dir.path().join("libchdb.so"))).await.unwrap_err().to_string();
    assert!(missing.contains("make libchdb") && missing.contains("@chdb/lib-linux-x64-gnu@26.5.3"), "{missing}");
    std::fs::write(dir.path().join("libchdb.so"), "not a library").unwrap();
    let wrong = EmbeddedEngine::start(with(dir.path().join("libchdb.so"))).await.unwrap_err().to_string();
    assert!(wrong.contains("cannot open"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_the_process_and_keeps_the_tables() {
    let test = TestEngine::start().await;
    create(&test.writer()).await;
    insert(&test.writer(), "a", &events(10)).await.unwrap();
    let pid = test.engine.process_id().unwrap();
    let dir = test.dir;
    test.engine.stop().await;
    assert!(!is_running(pid));
    let again = TestEngine::start_on(dir).await;
    assert_eq!(again.writer().query("SELECT count() FROM events").fetch_one::<u64>().await.unwrap(), 10);
    again.engine.stop().await;
}

/// The pipe to the parent closes however the parent ends, and the engine ends with it.
#[tokio::test(flavor = "multi_thread")]
async fn the_engine_ends_with_its_parent() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = Command::new(env!("CARGO_BIN_EXE_plumbline"))
        .args(["clickhouse", "--supervised", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .arg("--libchdb")
        .arg(support::libchdb())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = engine.stdin.take().unwrap();
    input.write_all(b"{\"writer\":{\"user\":\"w\",\"password\":\"p\"},\"reader\":null}\n").await.unwrap();
    let mut lines = BufReader::new(engine.stdout.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().unwrap().starts_with("ready 127.0.0.1:"));
    drop(input);
    assert!(engine.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_cleanly_and_other_addresses_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let logins = dir.path().join("logins.toml");
    std::fs::write(&logins, "[writer]\nuser = \"w\"\npassword = \"p\"\n").unwrap();
    std::fs::set_permissions(&logins, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let command = |listen: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plumbline"));
        command.args(["clickhouse", "--listen", listen, "--data-dir"]).arg(dir.path().join("data"));
        command.arg("--libchdb").arg(support::libchdb()).arg("--logins").arg(&logins);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    };
    let refused = command("0.0.0.0:0").output().await.unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("loopback only"), "{refused:?}");
    let mut engine = command("127.0.0.1:0").spawn().unwrap();
    let mut lines = BufReader::new(engine.stdout.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().unwrap().starts_with("ready "));
    let pid = engine.id().unwrap().to_string();
    assert!(Command::new("kill").arg(pid).status().await.unwrap().success());
    assert!(engine.wait().await.unwrap().success(), "SIGTERM is a clean end");
}
