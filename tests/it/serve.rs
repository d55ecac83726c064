//! `plumbline serve` as a process: endpoints, stopping, taking up again, sharing work.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clickhouse::Client;
use plumbline::ledger::engine::EmbeddedEngine;

use crate::engine;
use crate::support::{self, free_port, http_client, postgres, wait_until};

const NOW: &str = "strftime('%Y-%m-%d %H:%M:%f', 'now')";

/// A running auditor; killed when dropped.
pub struct Serve {
    child: Child,
    address: String,
    log: std::path::PathBuf,
}

impl Serve {
    pub fn start(config: &Path, port: u16, environment: &[(&str, &str)]) -> Self {
        let log = config.with_extension("log");
        let child = Command::new(env!("CARGO_BIN_EXE_plumbline"))
            .args(["serve", "--config"])
            .arg(config)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, address: format!("http://127.0.0.1:{port}"), log }
    }

    /// The body of an answer, or nothing while the server does not answer.
    async fn get(&self, path: &str) -> Option<(u16, String)> {
        let client = http_client(Duration::from_secs(10));
        let answer = client.get(format!("{}{path}", self.address)).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.text().await.ok()?))
    }

    async fn ready(&self) {
        wait_until(|| async { self.get("/readyz").await.is_some_and(|(status, _)| status == 200) }).await;
    }

    /// The sum of all series of a metric; NaN while there are none.
    async fn metric(&self, name: &str) -> f64 {
        support::metric(&self.address, name).await
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What it did and what it waits for, while it can still tell.
            let told = Command::new("curl").args(["-sm", "5", &format!("{}/metrics", self.address)]).output();
            let told = told.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
            let zero = |line: &&str| !line.starts_with('#') && !line.ends_with(" 0") && !line.contains("_bucket");
            told.lines().filter(zero).for_each(|line| eprintln!("    {line}"));
        }
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            // The directory goes with the test.
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let last = log.lines().rev().take(40).collect::<Vec<_>>();
            eprintln!("{}:", self.log.display());
            last.iter().rev().for_each(|line| eprintln!("    {line}"));
        }
    }
}

/// `count` entities from `erp` to `store`, each with a table of its own.
fn config(dir: &Path, name: &str, head: &str, port: u16, count: usize) -> std::path::PathBuf {
    let mut text = format!(
        "[plumbline]\nlisten = \"127.0.0.1:{port}\"\ndata_dir = \"{name}-data\"\nlease = \"2s\"\n\
         auditor = \"{name}\"\n{head}\n\
         [system.erp]\nkind = \"sqlite\"\nurl = \"sqlite:erp.db\"\ncommit_delay = \"100ms\"\n\
         budget = {{ requests_per_second = 1000, concurrency = 4, rows_per_run = 10_000 }}\n\
         [system.store]\nkind = \"sqlite\"\nurl = \"sqlite:store.db\"\ncommit_delay = \"100ms\"\n"
    );
    for number in 0..count {
        text.push_str(&format!(
            "[entity.stock{number}]\nkey = \"sku\"\nfields.sku = {{ type = \"text\", store = \"clear\" }}\n\
             fields.qty = {{ type = \"integer\", owner = \"erp\" }}\n\
             [entity.stock{number}.in.erp]\ndataset = \"stock{number}\"\nchanged_at = \"updated_at\"\n\
             fields = {{ sku = \"sku\", qty = \"qty\" }}\n\
             [entity.stock{number}.in.store]\ndataset = \"stock{number}\"\nfields = {{ sku = \"sku\", qty = \"qty\" }}\n\
             [[probe]]\nentity = \"stock{number}\"\nkind = \"changes\"\nschedule = \"every 250ms\"\n"
        ));
    }
    text.push_str(
        "[[slo]]\nname = \"fresh\"\nindicator = \"freshness\"\nwithin = \"2s\"\nobjective = \"99%\"\nwindow = \"30d\"\n",
    );
    let path = dir.join(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    path
}

/// Writes something else into a config.
fn edit(config: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(config).unwrap();
    assert!(text.contains(from), "no `{from}` in {text}");
    std::fs::write(config, text.replace(from, to)).unwrap();
}

/// Time to see a key in flight and to end the auditor before the key is late, also on a busy machine.
fn promise_later(config: &Path) {
    edit(config, "within = \"2s\"", "within = \"5s\"");
}

/// The two systems' files in `dir`.
async fn systems(dir: &Path, count: usize) -> (sqlx::SqlitePool, sqlx::SqlitePool) {
    let mut pools = Vec::new();
    for name in ["erp.db", "store.db"] {
        let url = format!("sqlite://{}?mode=rwc", dir.join(name).display());
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        sqlx::query("PRAGMA journal_mode = WAL").execute(&pool).await.unwrap();
        for number in 0..count {
            let table = format!("CREATE TABLE stock{number} (sku TEXT PRIMARY KEY, qty INTEGER, updated_at TEXT)");
            sqlx::query(sqlx::AssertSqlSafe(table)).execute(&pool).await.unwrap();
        }
        pools.push(pool);
    }
    let store = pools.pop().unwrap();
    (pools.pop().unwrap(), store)
}

async fn put(pool: &sqlx::SqlitePool, table: usize, sku: &str, qty: i64) {
    let text = format!(
        "INSERT INTO stock{table} VALUES ('{sku}', {qty}, {NOW}) \
         ON CONFLICT (sku) DO UPDATE SET qty = excluded.qty, updated_at = excluded.updated_at"
    );
    sqlx::query(sqlx::AssertSqlSafe(text)).execute(pool).await.unwrap();
}

/// A ClickHouse over HTTP that several auditors can share.
pub async fn shared_ledger(dir: &Path) -> (EmbeddedEngine, Client, String) {
    let engine = EmbeddedEngine::start(engine::options(dir.join("shared-ledger"))).await.unwrap();
    let client = Client::default()
        .with_url(engine.url())
        .with_user(engine.user())
        .with_password(engine.password())
        .with_database("plumbline");
    let head = format!("url = \"{}\"\nuser = \"{}\"\npassword = \"env:LEDGER_PASSWORD\"", engine.url(), engine.user());
    (engine, client, format!("[plumbline.ledger]\n{head}"))
}

pub async fn count(client: &Client, query: &str) -> u64 {
    client.query(query).fetch_one::<u64>().await.unwrap_or_else(|error| {
        // Whoever waits asks again; a test that fails shows why it was none.
        eprintln!("`{query}`: {error}");
        0
    })
}

#[tokio::test]
async fn two_auditors_share_the_units_and_one_takes_over_when_the_other_is_killed() {
    const UNITS: usize = 6;
    let dir = tempfile::tempdir().unwrap();
    let (erp, store) = systems(dir.path(), UNITS).await;
    let state = postgres().await.database().await;
    let (_engine, ledger, ledger_head) = shared_ledger(dir.path()).await;
    let head = format!("state = \"env:STATE\"\nsecret_key = \"env:SECRET\"\n{ledger_head}");
    let state_url = state.url();
    let secret = "5".repeat(64);
    let environment =
        [("STATE", state_url.as_str()), ("SECRET", secret.as_str()), ("LEDGER_PASSWORD", _engine.password())];
    let mut auditors = Vec::new();
    for name in ["one", "two"] {
        let port = free_port();
        let path = config(dir.path(), name, &head, port, UNITS);
        promise_later(&path);
        auditors.push(Serve::start(&path, port, &environment));
    }
    let second = auditors.pop().unwrap();
    let first = auditors.pop().unwrap();
    let half = (UNITS / 2) as f64;
    wait_until(|| async {
        first.metric("plumbline_lease_held").await == half && second.metric("plumbline_lease_held").await == half
    })
    .await;
    // A change before a unit's first look is none that it is to find.
    let looked = "SELECT uniqExact(entity) FROM runs WHERE probe = 'changes'";
    wait_until(|| async { count(&ledger, looked).await == UNITS as u64 }).await;

    // A change in every table, so that each unit has a key in flight, whoever holds it.
    for table in 0..UNITS {
        put(&erp, table, "A", 1).await;
    }
    wait_until(|| async {
        first.metric("plumbline_in_flight_keys").await + second.metric("plumbline_in_flight_keys").await == UNITS as f64
    })
    .await;
    first.signal("-KILL");
    wait_until(|| async { second.metric("plumbline_lease_held").await == UNITS as f64 }).await;
    // The keys in flight came along with their clocks: they become missing, then are resolved.
    wait_until(|| async {
        count(&ledger, "SELECT uniqExact(entity) FROM discrepancy_events WHERE event = 'opened'").await == UNITS as u64
    })
    .await;
    for table in 0..UNITS {
        put(&store, table, "A", 1).await;
    }
    wait_until(|| async {
        count(&ledger, "SELECT uniqExact(entity) FROM discrepancy_events WHERE event = 'resolved'").await
            == UNITS as u64
    })
    .await;
    let twice = "SELECT count() - uniqExact(discrepancy_id, event) FROM discrepancy_events";
    assert_eq!(count(&ledger, twice).await, 0);
    let openings = "SELECT count() FROM discrepancy_events WHERE event = 'opened'";
    assert_eq!(count(&ledger, openings).await, UNITS as u64);
}

#[tokio::test]
async fn a_stopped_auditor_takes_up_where_it_left_off() {
    let dir = tempfile::tempdir().unwrap();
    let (erp, store) = systems(dir.path(), 1).await;
    let (engine, ledger, head) = shared_ledger(dir.path()).await;
    let environment = [("LEDGER_PASSWORD", engine.password())];
    let port = free_port();
    let path = config(dir.path(), "one", &head, port, 1);
    promise_later(&path);
    let mut serve = Serve::start(&path, port, &environment);
    serve.ready().await;
    assert_eq!(serve.get("/healthz").await.map(|(status, _)| status), Some(200));
    wait_until(|| async { serve.metric("plumbline_probe_runs_total").await > 0.0 }).await;
    put(&erp, 0, "A", 1).await;
    wait_until(|| async { serve.metric("plumbline_in_flight_keys").await == 1.0 }).await;
    serve.signal("-TERM");
    assert!(serve.child.wait().unwrap().success());
    // The gentle stop shipped everything.
    assert!(count(&ledger, "SELECT count() FROM checks WHERE verdict = 'in_flight'").await > 0);

    // Changed while nobody looked: found after the restart, next to the key that was in flight.
    put(&erp, 0, "B", 2).await;
    let serve = Serve::start(&path, port, &environment);
    wait_until(|| async {
        count(&ledger, "SELECT uniqExact(key) FROM discrepancy_events WHERE event = 'opened'").await == 2
    })
    .await;
    for (sku, qty) in [("A", 1), ("B", 2)] {
        put(&store, 0, sku, qty).await;
    }
    wait_until(|| async {
        count(&ledger, "SELECT uniqExact(key) FROM discrepancy_events WHERE event = 'resolved'").await == 2
    })
    .await;
    // One divergence each, counted once each, across the restart.
    wait_until(|| async { count(&ledger, "SELECT count() FROM freshness WHERE outcome = 'bad'").await == 2 }).await;
    drop(serve);
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let dir = tempfile::tempdir().unwrap();
    systems(dir.path(), 1).await;
    let port = free_port();
    // A ledger that never answers keeps the gentle stop waiting for its spool.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let head = format!("[plumbline.ledger]\nurl = \"http://{}\"", silent.local_addr().unwrap());
    let path = config(dir.path(), "one", &head, port, 1);
    let mut serve = Serve::start(&path, port, &[]);
    wait_until(|| async { serve.metric("plumbline_spool_bytes").await > 0.0 }).await;
    serve.signal("-TERM");
    let log = path.with_extension("log");
    wait_until(|| async { std::fs::read_to_string(&log).unwrap().contains("again to stop at once") }).await;
    assert!(serve.child.try_wait().unwrap().is_none(), "a gentle stop waits for the spool");
    serve.signal("-INT");
    assert!(serve.child.wait().unwrap().success());
    let spool = dir.path().join("one-data/spool");
    let kept = std::fs::read_dir(spool).unwrap().filter_map(Result::ok);
    assert!(kept.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "spool")).count() > 0);
}

#[tokio::test]
async fn probe_once_tells_agreement_by_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let (erp, store) = systems(dir.path(), 1).await;
    let path = config(dir.path(), "one", "", free_port(), 1);
    let probe = |format: &'static str| {
        let path = path.clone();
        async move {
            let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_plumbline"))
                .args(["probe", "stock0", "--once", "--format", format, "--config"])
                .arg(path)
                .output()
                .await
                .unwrap();
            (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
        }
    };
    put(&erp, 0, "A", 1).await;
    put(&store, 0, "A", 1).await;
    assert_eq!(probe("table").await, (0, "stock0: erp -> store: 1 match\n".to_owned()));

    put(&erp, 0, "B", 2).await;
    let (code, table) = probe("table").await;
    assert_eq!((code, table.as_str()), (1, "stock0: erp -> store: 1 match, 1 missing\n  missing    B\n"));
    put(&store, 0, "B", 3).await;
    let (code, json) = probe("json").await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let differing = &json["flows"][0]["differing"][0];
    assert_eq!((code, &differing["key"]), (1, &serde_json::json!("B")));
    assert_eq!(differing["fields"][0], serde_json::json!({ "field": "qty", "owner": "2", "target": "3" }));
    let (code, csv) = probe("csv").await;
    assert_eq!(code, 1);
    assert!(csv.starts_with("entity,owner,target,key,verdict,likely,reason,differences\nstock0,erp,store,B,"), "{csv}");

    std::fs::remove_file(dir.path().join("store.db")).unwrap();
    assert_eq!(probe("table").await.0, 3);
}

/// Samples under the real scheduler, with the real ledger: a walk comes around, what it says is in the ledger and in the
/// metrics, and drift that no stamp shows is found beside a changes probe that cannot see it.
#[tokio::test]
async fn samples_run_on_schedule_and_what_they_say_is_in_ledger_and_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let (erp, store) = systems(dir.path(), 1).await;
    for number in 0..120 {
        put(&erp, 0, &format!("K{number:03}"), number).await;
        put(&store, 0, &format!("K{number:03}"), number).await;
    }
    let (_engine, ledger, head) = shared_ledger(dir.path()).await;
    let port = free_port();
    let path = config(dir.path(), "one", &head, port, 1);
    let sample = "[[probe]]\nentity = \"stock0\"\nkind = \"sample\"\nschedule = \"every 500ms\"\nkeys_per_run = 50\n";
    std::fs::write(&path, format!("{}{sample}", std::fs::read_to_string(&path).unwrap())).unwrap();
    let serve = Serve::start(&path, port, &[("LEDGER_PASSWORD", _engine.password())]);
    serve.ready().await;
    wait_until(|| async { serve.metric("plumbline_sample_every_key_seconds").await.is_finite() }).await;
    sqlx::query("UPDATE stock0 SET qty = -1 WHERE sku = 'K077'").execute(&store).await.unwrap();
    wait_until(|| async { serve.metric("plumbline_discrepancies_open").await >= 1.0 }).await;
    let bad =
        "SELECT count() FROM estimates WHERE measure = 'agreement' AND bad = 1 AND estimate < 1 AND low <= estimate";
    wait_until(|| async { count(&ledger, bad).await > 0 }).await;
    let whole = "SELECT count() FROM coverage WHERE probe = 'sample_pass' AND expected = 120 AND from < to";
    assert!(count(&ledger, whole).await > 0);
    assert!(count(&ledger, "SELECT count() FROM checks WHERE probe = 'sample' AND verdict = 'match'").await >= 120);
    let opened = "SELECT count() FROM discrepancy_events WHERE event = 'opened'";
    wait_until(|| async { count(&ledger, opened).await > 0 }).await;
    assert_eq!(count(&ledger, opened).await, 1);
    assert!(serve.metric("plumbline_sampled_keys").await >= 50.0);
}

/// What the schema probe finds is shown by the commands, and an acceptance reaches the auditor that runs.
#[tokio::test]
async fn a_change_of_a_column_is_shown_and_accepted_while_the_auditor_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, client, head) = shared_ledger(dir.path()).await;
    let (port, (_erp, _store)) = (free_port(), systems(dir.path(), 1).await);
    let path = config(dir.path(), "one", &head, port, 1);
    let probe = "[[probe]]\nentity = \"stock0\"\nkind = \"schema\"\nschedule = \"every 500ms\"\n";
    std::fs::write(&path, format!("{}{probe}", std::fs::read_to_string(&path).unwrap())).unwrap();
    let password = engine.password().to_owned();
    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plumbline"));
        command.args(arguments).arg("--config").arg(&path).env("LEDGER_PASSWORD", &password);
        let output = command.output().unwrap();
        (output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    };
    assert_eq!(command(&["schema", "list"]), (Some(0), "no change waits to be accepted\n".to_owned()));
    assert!(!dir.path().join("one-data").exists(), "looking makes nothing");

    let serve = Serve::start(&path, port, &[("LEDGER_PASSWORD", &password)]);
    serve.ready().await;
    let has_looked = async || {
        let metrics = serve.get("/metrics").await.map(|(_, text)| text).unwrap_or_default();
        let is_look = |line: &&str| line.starts_with("plumbline_probe_runs_total") && line.contains("probe=\"schema\"");
        metrics.lines().filter(is_look).any(|line| !line.ends_with(" 0"))
    };
    wait_until(has_looked).await;
    let url = format!("sqlite://{}", dir.path().join("store.db").display());
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
    sqlx::query("ALTER TABLE stock0 RENAME COLUMN qty TO quantity").execute(&mut connection).await.unwrap();
    wait_until(async || serve.metric("plumbline_schema_changes_open").await > 0.5).await;

    let (code, listed) = command(&["schema", "list"]);
    assert_eq!(code, Some(1), "{listed}");
    for part in ["stock0/store", "qty renamed: qty -> quantity", "stock0: erp -> store"] {
        assert!(listed.contains(part), "no `{part}` in {listed}");
    }
    let (_, found) = command(&["doctor"]);
    assert!(found.contains("schema of stock0") && found.contains("`plumbline schema accept stock0/store`"), "{found}");
    let (code, refused) = command(&["schema", "accept", "stock0/erp"]);
    assert_eq!(code, Some(2), "{refused}");
    assert!(refused.contains("waiting: `stock0/store`"), "{refused}");
    let (code, accepted) = command(&["schema", "accept", "stock0/store", "--by", "ann"]);
    assert_eq!(code, Some(0), "{accepted}");
    assert!(accepted.contains("accepted: `stock0`: qty renamed: qty -> quantity"), "{accepted}");
    wait_until(async || serve.metric("plumbline_schema_changes_open").await < 0.5).await;
    assert_eq!(command(&["schema", "list"]).0, Some(0));
    let steps = "SELECT count() FROM schema_changes WHERE entity = 'stock0' AND path = 'qty' AND \
                 event IN ('renamed', 'accepted') AND fields = ['qty']";
    wait_until(async || count(&client, steps).await == 2).await;
    serve.signal("-TERM");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A sample probe alone, on a cron schedule: it runs when the clock says so, and not more often.
#[tokio::test]
async fn samples_run_when_cron_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (erp, store) = systems(dir.path(), 1).await;
    for number in 0..60 {
        put(&erp, 0, &format!("K{number:03}"), number).await;
        put(&store, 0, &format!("K{number:03}"), number).await;
    }
    let (_engine, ledger, head) = shared_ledger(dir.path()).await;
    let port = free_port();
    let path = config(dir.path(), "one", &head, port, 1);
    let changes = "kind = \"changes\"\nschedule = \"every 250ms\"\n";
    let sample = "kind = \"sample\"\nschedule = \"cron */2 * * * * *\"\nevery_key_within = \"1m\"\n";
    edit(&path, changes, sample);
    let serve = Serve::start(&path, port, &[("LEDGER_PASSWORD", _engine.password())]);
    serve.ready().await;
    wait_until(|| async { serve.metric("plumbline_sample_every_key_seconds").await.is_finite() }).await;
    sqlx::query("UPDATE stock0 SET qty = -1 WHERE sku = 'K033'").execute(&store).await.unwrap();
    wait_until(|| async { serve.metric("plumbline_discrepancies_open").await >= 1.0 }).await;
    wait_until(|| async { count(&ledger, "SELECT count() FROM runs WHERE probe = 'sample'").await >= 4 }).await;
    // One run follows the start, the others come with every second second.
    let too_many = "SELECT toUInt64(count() > 2 + dateDiff('second', min(started_at), max(started_at)) / 2) FROM runs \
                    WHERE probe = 'sample'";
    assert_eq!(count(&ledger, too_many).await, 0);
    assert_eq!(count(&ledger, "SELECT count() FROM runs WHERE probe = 'changes'").await, 0);
}
