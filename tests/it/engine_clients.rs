//! The embedded engine, used by clients that others wrote for ClickHouse servers.

use std::path::Path;
use std::process::Stdio;

use secrecy::ExposeSecret;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::engine::TestEngine;
use crate::support;

/// Runs a client's script against the engine; its own assertions decide.
async fn run_script(test: &TestEngine, program: &Path, script: &str, arguments: &[&str]) {
    let mut child = Command::new(program)
        .arg(support::repository_file("tests/clients").join(script))
        .args(arguments)
        .env("NODE_PATH", support::node_modules())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the client runs");
    let reader = test.engine.reader().expect("there is a reader");
    let logins = [test.engine.user(), test.engine.password(), &reader.user, reader.password.expose_secret()].join("\n");
    child.stdin.take().expect("piped").write_all(logins.as_bytes()).await.expect("the client reads");
    let output = child.wait_with_output().await.expect("the client ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains(" passed"), "{script} failed:\n{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse_connect_from_pypi_works() {
    let test = TestEngine::start().await;
    let url = test.engine.url();
    let (host, port) = url.trim_start_matches("http://").split_once(':').expect("host and port");
    run_script(&test, &support::python(), "python/interface.py", &[host, port]).await;
    test.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse_client_from_npm_works() {
    let test = TestEngine::start().await;
    run_script(&test, Path::new("node"), "node/interface.mjs", &[&test.engine.url()]).await;
    test.engine.stop().await;
}
