//! Crashes of the auditor at the worst moments: no row lost, none twice, no position ahead of its
//! rows. The child program does numbered runs; in the end the ledger must hold each run's rows exactly once.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use clickhouse::{Client, Row};
use plumbline::fault::{POINTS, RECOVERY_POINTS};
use plumbline::ledger::engine::{EmbeddedEngine, EmbeddedOptions};
use plumbline::ledger::{LedgerOptions, migrate};
use plumbline::state::StateStore;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

#[allow(dead_code, reason = "the child uses the rest")]
#[path = "../child/workload.rs"]
mod workload;

/// An engine and a directory for the child's state and spool.
struct Place {
    engine: EmbeddedEngine,
    dir: tempfile::TempDir,
}

/// What the child is told.
#[derive(Clone, Copy)]
struct Task<'a> {
    entity: &'a str,
    total: u64,
    padding: usize,
    /// `name:nth` of the point at which it aborts.
    fault: &'a str,
}

struct Running {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Running {
    async fn says(&mut self, begin: &str) -> Option<String> {
        while let Some(line) = self.said.next_line().await.unwrap() {
            if line.starts_with(begin) {
                return Some(line);
            }
        }
        None
    }
}

impl Place {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = crate::engine::options(dir.path().join("engine"));
        Self::with(dir, options).await
    }

    async fn with(dir: tempfile::TempDir, options: EmbeddedOptions) -> Self {
        let engine = EmbeddedEngine::start(options).await.unwrap();
        let place = Self { engine, dir };
        migrate(&place.client(), &LedgerOptions::default()).await.unwrap();
        place
    }

    fn client(&self) -> Client {
        let client = Client::default().with_url(self.engine.url()).with_database("default");
        client.with_user(self.engine.user()).with_password(self.engine.password())
    }

    fn home(&self, entity: &str) -> PathBuf {
        self.dir.path().join(entity)
    }

    fn command(&self, program: &[&str], task: Task<'_>) -> Command {
        let home = self.home(task.entity);
        std::fs::create_dir_all(&home).unwrap();
        let mut words = program.to_vec();
        words.push(env!("CARGO_BIN_EXE_crash-child"));
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(home);
        command.args([&self.engine.url(), self.engine.user(), self.engine.password(), task.entity]);
        command.args([task.total.to_string(), task.padding.to_string()]);
        if !task.fault.is_empty() {
            command.env("PLUMBLINE_FAULT", task.fault);
        }
        command.stdout(Stdio::piped()).kill_on_drop(true);
        command
    }

    fn start(&self, task: Task<'_>) -> Running {
        Self::running(&mut self.command(&[], task))
    }

    fn running(command: &mut Command) -> Running {
        let mut child = command.spawn().unwrap();
        let output = child.stdout.take().unwrap();
        Running { child, said: BufReader::new(output).lines() }
    }

    async fn run(&self, task: Task<'_>) -> ExitStatus {
        let mut running = self.start(task);
        let done = running.says("done").await;
        let status = running.child.wait().await.unwrap();
        assert_eq!(status.success(), done.is_some(), "{status}");
        status
    }

    async fn state(&self, entity: &str) -> StateStore {
        let url = format!("sqlite://{}", self.home(entity).join("state.db").display());
        StateStore::open(&url, &workload::secret()).await.unwrap()
    }

    /// The number of the last run that each unit's position stands at.
    async fn positions(&self, entity: &str) -> Vec<u64> {
        let state = self.state(entity).await;
        let mut numbers = vec![];
        for owner in workload::OWNERS {
            let position = state.position(&workload::unit(entity, owner)).await.unwrap();
            numbers.push(workload::number_of(position));
        }
        state.close().await;
        numbers
    }

    /// Finishes all runs up to a number that no unit has reached, then checks that every row is there once.
    async fn finish(&self, entity: &str) {
        let total = self.positions(entity).await.into_iter().max().unwrap() + 5;
        let status = self.run(Task { entity, total, padding: 0, fault: "" }).await;
        assert!(status.success(), "{entity}: {status}");
        self.check(entity, total).await;
    }

    async fn check(&self, entity: &str, total: u64) {
        assert_eq!(self.positions(entity).await, [total; 2], "{entity}");
        let state = self.state(entity).await;
        assert_eq!(state.in_flight_count().await.unwrap(), 2, "{entity}: one key of each unit");
        state.close().await;
        assert!(!self.home(entity).join("dead-letters").exists(), "{entity}: nothing was refused");
        let query = "SELECT owner, toUInt64(splitByChar('-', key)[1]) AS number, count() AS rows, \
                     uniqExact(key_hash) AS keys FROM plumbline.checks WHERE entity = ? \
                     GROUP BY owner, number ORDER BY owner, number";
        let found = self.client().query(query).bind(entity).fetch_all::<RunInLedger>().await.unwrap();
        let expected: Vec<RunInLedger> = workload::OWNERS
            .iter()
            .flat_map(|owner| (1..=total).map(|number| RunInLedger::expected(owner, number)))
            .collect();
        let wrong: Vec<_> = found.iter().filter(|run| !expected.contains(run)).take(5).collect();
        assert_eq!((found.len(), wrong), (expected.len(), vec![]), "{entity}: runs in the ledger");
        let checks: u64 = expected.iter().map(|run| run.rows).sum();
        let runs = 2 * total;
        for (question, answer) in [
            ("count() FROM plumbline.freshness", checks),
            ("count() FROM plumbline.runs", runs),
            ("count() FROM plumbline.coverage", runs),
            ("count() FROM plumbline.discrepancy_events", runs),
            ("sum(checks) FROM plumbline.checks_minute", checks),
            ("sum(events) FROM plumbline.freshness_minute", checks),
        ] {
            let query = format!("SELECT {question} WHERE entity = ?");
            let found = self.client().query(&query).bind(entity).fetch_one::<u64>().await.unwrap();
            assert_eq!(found, answer, "{entity}: {question}");
        }
    }
}

#[derive(Debug, PartialEq, Row, Deserialize)]
struct RunInLedger {
    owner: String,
    number: u64,
    rows: u64,
    keys: u64,
}

impl RunInLedger {
    fn expected(owner: &str, number: u64) -> Self {
        let rows = workload::check_count(number);
        Self { owner: owner.to_owned(), number, rows, keys: rows }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_each_boundary_loses_nothing() {
    let place = Place::new().await;
    for (position, point) in POINTS.iter().enumerate() {
        for nth in [1, 4] {
            let entity = format!("point_{position}_{nth}");
            let fault = format!("{point}:{nth}");
            let status = place.run(Task { entity: &entity, total: 40, padding: 0, fault: &fault }).await;
            assert!(!status.success(), "the child passed `{fault}` alive");
            place.finish(&entity).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_during_recovery_loses_nothing() {
    let place = Place::new().await;
    for (position, point) in RECOVERY_POINTS.iter().enumerate() {
        let entity = format!("recovery_{position}");
        let run = async |fault: &str| place.run(Task { entity: &entity, total: 40, padding: 0, fault }).await;
        assert!(!run("spool.synced:5").await.success());
        let fault = format!("{point}:1");
        assert!(!run(&fault).await.success(), "the child passed `{fault}` alive");
        assert!(!run("spool.synced:3").await.success());
        place.finish(&entity).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_with_a_clear_error_and_goes_on_when_there_is_space() {
    let place = Place::new().await;
    let entity = "full";
    let total = 20;
    // A run of 6 MB against files of at most 5 MB. The shell has the signal ignored that would end the child.
    let script = "trap '' XFSZ; exec prlimit --fsize=5000000: \"$@\"";
    let task = Task { entity, total, padding: 6_000_000, fault: "" };
    let mut running = Place::running(&mut place.command(&["sh", "-c", script, "sh"], task));
    let refused = running.says("refused").await.expect("the child meets its limit");
    assert!(refused.contains("no space left for the spool"), "{refused}");
    let before = place.positions(entity).await;
    assert!(before[0] < workload::PADDED_RUN, "the run never happened: {before:?}");
    let process = running.child.id().expect("the child runs").to_string();
    let status = Command::new("prlimit").args(["--pid", &process, "--fsize=unlimited:"]).status().await.unwrap();
    assert!(status.success());
    running.says("done").await.expect("the child goes on");
    assert!(running.child.wait().await.unwrap().success());
    place.check(entity, total).await;
}
