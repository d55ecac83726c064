//! Crashes at the worst moments, of the auditor and of the engine: no row lost, none twice, no position ahead of its
//! rows. The child program does numbered runs; in the end the ledger must hold each run's rows exactly once.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use clickhouse::{Client, Row};
use plumbline::fault::{POINTS, RECOVERY_POINTS};
use plumbline::ledger::engine::{EmbeddedEngine, EmbeddedOptions};
use plumbline::ledger::{LedgerOptions, migrate};
use plumbline::state::StateStore;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

#[allow(dead_code, reason = "the child uses the rest")]
use crate::support;

#[path = "../child/workload.rs"]
#[allow(dead_code, reason = "the child program uses the rest")]
mod workload;

const SIGKILL: i32 = 9;

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
    /// Age at which its segments are sealed.
    segment_ms: u64,
}

impl<'a> Task<'a> {
    /// Runs until it is killed, unless told otherwise.
    const fn new(entity: &'a str) -> Self {
        Self { entity, total: u64::MAX, padding: 0, fault: "", segment_ms: 20 }
    }
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

    async fn kill(mut self) {
        self.child.start_kill().unwrap();
        let status = self.child.wait().await.unwrap();
        assert_eq!(status.signal(), Some(SIGKILL), "the child ended by itself: {status}");
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
        command.args([task.total.to_string(), task.padding.to_string(), task.segment_ms.to_string()]);
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
        let status = self.run(Task { total, ..Task::new(entity) }).await;
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
            ("count() FROM plumbline.estimates", runs),
            ("count() FROM plumbline.schema_changes", runs),
            ("count() FROM plumbline.sweeps", runs),
            ("sum(checks) FROM plumbline.checks_minute", checks),
            ("sum(events) FROM plumbline.freshness_minute", checks),
        ] {
            let query = format!("SELECT {question} WHERE entity = ?");
            let found = self.client().query(&query).bind(entity).fetch_one::<u64>().await.unwrap();
            assert_eq!(found, answer, "{entity}: {question}");
        }
    }

    /// `None` while the engine does not answer.
    async fn rows_of(&self, entity: &str) -> Option<u64> {
        let query = "SELECT count() FROM plumbline.checks WHERE entity = ?";
        self.client().query(query).bind(entity).fetch_one::<u64>().await.ok()
    }

    /// Waits until the engine is up and rows arrive.
    async fn takes_rows(&self, entity: &str) {
        let mut before = None;
        support::wait_until(async || {
            before = self.rows_of(entity).await;
            before.is_some()
        })
        .await;
        support::wait_until(async || self.rows_of(entity).await > before).await;
    }

    async fn kill_engine(&self) {
        let process = self.engine.process_id().expect("the engine runs");
        let status = Command::new("kill").args(["-KILL", &process.to_string()]).status().await.unwrap();
        assert!(status.success());
        support::wait_until(async || self.engine.process_id() != Some(process)).await;
    }

    fn spooled_bytes(&self, entity: &str) -> u64 {
        let files = std::fs::read_dir(self.home(entity).join("spool")).unwrap();
        files.filter_map(|file| file.unwrap().metadata().ok()).map(|metadata| metadata.len()).sum()
    }

    async fn end(self) {
        self.engine.stop().await;
        self.dir.close().unwrap();
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
            // Far more runs than it takes: how many segments they need depends on how fast these are shipped.
            let status = place.run(Task { total: 400, fault: &fault, ..Task::new(&entity) }).await;
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
        let run = async |fault: &str| place.run(Task { total: 40, fault, ..Task::new(&entity) }).await;
        assert!(!run("spool.synced:5").await.success());
        let fault = format!("{point}:1");
        assert!(!run(&fault).await.success(), "the child passed `{fault}` alive");
        assert!(!run("spool.synced:3").await.success());
        place.finish(&entity).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_kills_under_load_lose_nothing() {
    let place = Place::new().await;
    let mut random = StdRng::seed_from_u64(20_261_122);
    let mut reached = vec![0; 2];
    for kill in 0..200 {
        let mut running = place.start(Task { segment_ms: 50, ..Task::new("kills") });
        // One in four hits the start and the recovery, the others the work.
        if kill % 4 > 0 {
            running.says("ready").await.expect("the child recovers");
        }
        tokio::time::sleep(Duration::from_micros(random.random_range(0..150_000))).await;
        running.kill().await;
        if kill % 20 == 19 {
            let before = std::mem::replace(&mut reached, place.positions("kills").await);
            let grew = reached.iter().zip(&before).all(|(now, before)| now > before);
            assert!(grew, "the work goes on: {before:?}, then {reached:?}");
        }
    }
    place.finish("kills").await;
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_killed_twenty_times_and_away_for_a_minute_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let gate = dir.path().join("closed");
    let program = gated_program(dir.path(), &gate);
    let options = EmbeddedOptions { program, ..crate::engine::options(dir.path().join("engine")) };
    let place = Place::with(dir, options).await;
    let entity = "engine";
    let mut random = StdRng::seed_from_u64(5);
    let mut running = place.start(Task { segment_ms: 100, ..Task::new(entity) });
    let mut during_inserts = 0;
    let mut noticed = 0;
    while noticed < 20 {
        place.takes_rows(entity).await;
        tokio::time::sleep(Duration::from_micros(random.random_range(0..200_000))).await;
        place.kill_engine().await;
        // An auditor that had nothing to send, or no turn on a busy machine, until the engine was back noticed nothing.
        let failed = tokio::select! {
            said = running.says("failed") => Some(said.expect("the auditor lives")),
            () = place.takes_rows(entity) => None,
        };
        noticed += u32::from(failed.is_some());
        during_inserts += u32::from(failed.is_some_and(|failed| !failed.contains("(Connect)")));
    }
    assert!(during_inserts > 0, "no kill met an insert");
    place.takes_rows(entity).await;

    std::fs::write(&gate, "").unwrap();
    place.kill_engine().await;
    let (positions, spooled) = (place.positions(entity).await, place.spooled_bytes(entity));
    let away = Instant::now();
    while away.elapsed() < Duration::from_secs(60) {
        assert!(!place.engine.is_up());
        assert!(running.child.try_wait().unwrap().is_none(), "the auditor lives without its ledger");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let went_on = place.positions(entity).await.iter().zip(&positions).all(|(now, before)| now > before);
    assert!(went_on, "probes go on without the ledger");
    assert!(place.spooled_bytes(entity) > spooled, "what they find is spooled");
    std::fs::remove_file(&gate).unwrap();
    place.takes_rows(entity).await;
    running.kill().await;
    place.finish(entity).await;
    place.end().await;
}

/// The engine's program, which does not start while the file `gate` exists.
fn gated_program(dir: &Path, gate: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;

    let path = dir.join("gated");
    let text = format!(
        "#!/bin/sh\nif [ -e '{}' ]; then exit 1; fi\nexec '{}' \"$@\"\n",
        gate.display(),
        env!("CARGO_BIN_EXE_plumbline")
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_with_a_clear_error_and_goes_on_when_there_is_space() {
    let place = Place::new().await;
    let entity = "full";
    let total = 20;
    // A run of 6 MB against files of at most 5 MB. The shell has the signal ignored that would end the child.
    let script = "trap '' XFSZ; exec prlimit --fsize=5000000: \"$@\"";
    let task = Task { total, padding: 6_000_000, ..Task::new(entity) };
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
