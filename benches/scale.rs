//! One auditor, then two, over a thousand flows: PostgreSQL (owner) and MariaDB (target) on private servers, a thousand
//! tables on each side, 10 thousand to 2 million records in all, 200 changes a second that the target follows.
//!
//! Nothing of it may grow with the number of records: memory, calls, the delay after which looks begin. Then two
//! auditors share the same flows through one state on PostgreSQL, and one is killed.
//!
//! `cargo bench --bench scale` runs both parts, `-- growth` or `-- sharing` one of them; numbers stand for other sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sqlx::{AssertSqlSafe, MySqlPool, PgPool};
use tokio::task::JoinHandle;

/// The servers of the tests, of which this needs a part.
#[allow(dead_code, clippy::expect_used, clippy::panic, reason = "written for tests")]
#[path = "../tests/it"]
mod it {
    pub mod support;
}
use it::support;

/// Processor time and memory of processes.
#[path = "common/process.rs"]
mod process;
use process::{processor_seconds, status_mb};

const FLOWS: u64 = 1_000;
const SIZES: [u64; 4] = [10_000, 100_000, 1_000_000, 2_000_000];
/// Two rounds of the changes probe.
const WATCHED: Duration = Duration::from_secs(60);
const CHANGES_PER_SECOND: u32 = 200;
/// How long the target follows behind.
const BEHIND: Duration = Duration::from_millis(300);

const CONFIG: &str = r#"
[plumbline]
data_dir = "{auditor}"
auditor = "{auditor}"
listen = "127.0.0.1:{port}"
{state}

[system.erp]
kind = "postgres"
url = "env:ERP_URL"
commit_delay = "0s"
budget = { requests_per_second = 10_000, concurrency = 8, rows_per_run = 1_000_000 }

[system.warehouse]
kind = "mariadb"
url = "env:WAREHOUSE_URL"
budget = { requests_per_second = 10_000, concurrency = 8, rows_per_run = 1_000_000 }

[entity."stock-${each}"]
for_each = {names}
class = "near_realtime"
key = "sku"
fields.sku = "text"
fields.title = { type = "text", owner = "erp" }
fields.quantity = { type = "integer", owner = "erp" }

[entity."stock-${each}".in.erp]
dataset = "stock_${each}"
changed_at = "updated_at"
fields = { sku = "sku", title = "title", quantity = "quantity" }

[entity."stock-${each}".in.warehouse]
dataset = "stock_${each}"
fields = { sku = "sku", title = "title", quantity = "quantity" }

[[probe]]
for_each = {names}
entity = "stock-${each}"
kind = "changes"
schedule = "every 30s"

[[probe]]
for_each = {names}
entity = "stock-${each}"
kind = "sample"
schedule = "every 300s"
keys_per_run = 100
"#;

/// Both systems.
struct Systems {
    erp: PgPool,
    warehouse: MySqlPool,
    environment: Vec<(&'static str, String)>,
}

/// An auditor; ended when dropped.
struct Serve {
    child: Child,
    metrics: String,
    log: PathBuf,
}

/// What the metrics say, by name and labels.
type Metrics = BTreeMap<String, f64>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // The client's TLS, which loopback does not use, must be told its cryptography. It fails if it was told before.
    drop(tokio_rustls::rustls::crypto::ring::default_provider().install_default());
    let (erp, warehouse) = (support::postgres().await.database().await, support::mariadb().await.database().await);
    let state = support::postgres().await.database().await;
    let systems = Systems {
        erp: erp.pool(),
        warehouse: warehouse.pool(),
        environment: vec![
            ("ERP_URL", erp.url()),
            ("WAREHOUSE_URL", warehouse.url()),
            ("STATE_URL", state.url()),
            ("SECRET_KEY", "5a".repeat(32)),
        ],
    };
    let arguments = Arguments::read();
    systems.create_tables().await?;
    if arguments.wants("growth") {
        growth(&systems, &arguments.sizes).await?;
    }
    if arguments.wants("sharing") {
        systems.grow(*arguments.sizes.last().context("no size")?).await?;
        sharing(&systems).await?;
    }
    Ok(())
}

/// What of it is to run.
struct Arguments {
    parts: BTreeSet<String>,
    sizes: Vec<u64>,
}

impl Arguments {
    fn read() -> Self {
        let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
        let sizes: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
        let parts = words.into_iter().filter(|word| word.parse::<u64>().is_err()).collect();
        Self { parts, sizes: if sizes.is_empty() { SIZES.to_vec() } else { sizes } }
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.contains(part)
    }
}

/// One auditor, and ever more records.
async fn growth(systems: &Systems, sizes: &[u64]) -> anyhow::Result<()> {
    println!(
        "scale: {FLOWS} flows from PostgreSQL to MariaDB, {CHANGES_PER_SECOND} changes a second, changes every 30 s, \
         samples of 100 keys every 5 min; over {} s",
        WATCHED.as_secs()
    );
    println!(
        "  {:>9}  {:>11} {:>10} {:>9} {:>9} {:>8} {:>8} {:>8}  {:>22}  {:>7}",
        "records",
        "first looks",
        "MB at most",
        "engine MB",
        "of a core",
        "calls/s",
        "rows/s",
        "checks/s",
        "delay p50 p95 p99",
        "skipped"
    );
    for &records in sizes {
        systems.grow(records).await?;
        watch(systems, records).await?;
    }
    Ok(())
}

/// A new auditor over so many records: its first looks, then its daily work.
async fn watch(systems: &Systems, records: u64) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let started = Instant::now();
    let mut serve = Serve::start(systems, dir.path(), "one", "").await?;
    let load = systems.load();
    // Every new walk and cursor begins at once; what is measured is what comes then.
    serve.wait_until(|metrics| looked_at(metrics, "changes") + looked_at(metrics, "sample") == 2_000).await?;
    let first = started.elapsed().as_secs_f64();
    let (began, before, busy) = (Instant::now(), serve.metrics().await?, processor_seconds(serve.child.id())?);
    tokio::time::sleep(WATCHED).await;
    let (after, took) = (serve.metrics().await?, began.elapsed().as_secs_f64());
    let busy = (processor_seconds(serve.child.id())? - busy) / took;
    let grown = |name: &str| sum(&after, name) - sum(&before, name);
    println!(
        "  {records:>9}  {first:>9.1} s {:>10.1} {:>9.1} {:>7.1} % {:>8.0} {:>8.0} {:>8.0}  {:>22}  {:>7.0}",
        status_mb(serve.child.id(), "VmHWM:")?,
        engine_mb(serve.child.id()),
        busy * 100.0,
        grown("plumbline_reads_total") / took,
        grown("plumbline_rows_total") / took,
        grown("plumbline_checks_total") / took,
        delays(&before, &after),
        grown("plumbline_probe_runs_skipped_total"),
    );
    expect_well(&after)?;
    load.abort();
    Ok(())
}

/// Two auditors on one state, of which one is killed.
async fn sharing(systems: &Systems) -> anyhow::Result<()> {
    let state = "state = \"env:STATE_URL\"\nsecret_key = \"env:SECRET_KEY\"\n";
    let (one_dir, two_dir) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let mut one = Serve::start(systems, one_dir.path(), "one", state).await?;
    let load = systems.load();
    one.wait_until(|metrics| sum(metrics, "plumbline_lease_held") >= 1_000.0).await?;
    let began = Instant::now();
    let mut two = Serve::start(systems, two_dir.path(), "two", state).await?;
    two.wait_until(|metrics| sum(metrics, "plumbline_lease_held") >= 500.0).await?;
    let shared = began.elapsed();
    let half =
        |metrics: &Metrics| sum(metrics, "plumbline_lease_held") as u64 == 500 && looked_at(metrics, "changes") >= 500;
    two.wait_until(half).await?;
    one.wait_until(|metrics| sum(metrics, "plumbline_lease_held") as u64 == 500).await?;

    one.child.kill()?;
    let killed = Instant::now();
    two.wait_until(|metrics| sum(metrics, "plumbline_lease_held") >= 1_000.0).await?;
    let taken = killed.elapsed();
    let mut some_were = None;
    two.wait_until(|metrics| {
        let all = looked_at(metrics, "changes");
        if all >= 750 {
            some_were.get_or_insert_with(|| killed.elapsed());
        }
        all == 1_000
    })
    .await?;
    let all = killed.elapsed();
    expect_well(&two.metrics().await?)?;
    load.abort();
    println!("scale: two auditors share {FLOWS} flows through a state on PostgreSQL, one is killed");
    println!("  from the start of the second until both hold half    {:>6.1} s", shared.as_secs_f64());
    println!("  from the kill until the other holds all flows        {:>6.1} s", taken.as_secs_f64());
    println!(
        "  … until it has looked at half of the orphaned ones   {:>6.1} s",
        some_were.unwrap_or(all).as_secs_f64()
    );
    println!("  … until it has looked at all of them                 {:>6.1} s", all.as_secs_f64());
    println!("  memory of the other, at most                         {:>6.1} MB", status_mb(two.child.id(), "VmHWM:")?);
    Ok(())
}

/// A run that failed would make every other figure meaningless.
fn expect_well(metrics: &Metrics) -> anyhow::Result<()> {
    let failed: Vec<_> = metrics
        .iter()
        .filter(|(series, value)| {
            series.starts_with("plumbline_probe_runs_total") && !series.contains("\"ok\"") && **value > 0.0
        })
        .collect();
    anyhow::ensure!(failed.is_empty(), "runs that were not ok: {failed:?}");
    Ok(())
}

/// How many flows this process has looked at by a probe.
fn looked_at(metrics: &Metrics, probe: &str) -> usize {
    runs_of(metrics, probe).values().filter(|count| **count >= 1.0).count()
}

/// Runs of a probe by its series.
fn runs_of<'m>(metrics: &'m Metrics, probe: &str) -> BTreeMap<&'m str, f64> {
    let of_probe = format!("probe=\"{probe}\"");
    let is_count =
        |series: &str| series.starts_with("plumbline_probe_duration_seconds_count") && series.contains(&of_probe);
    metrics.iter().filter(|(series, _)| is_count(series)).map(|(series, count)| (series.as_str(), *count)).collect()
}

fn sum(metrics: &Metrics, name: &str) -> f64 {
    let of_name =
        |series: &&String| series.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
    metrics.iter().filter(|(series, _)| of_name(series)).map(|(_, value)| value).sum()
}

/// Upper bounds of the delays of half, 95 and 99 % of all looks.
fn delays(before: &Metrics, after: &Metrics) -> String {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for (series, count) in
        after.iter().filter(|(series, _)| series.starts_with("plumbline_probe_start_delay_seconds_bucket"))
    {
        let bound = series.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
        let bound = bound.and_then(|text| text.replace("+Inf", "inf").parse().ok()).unwrap_or(f64::INFINITY);
        let grown = count - before.get(series).copied().unwrap_or_default();
        match buckets.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, sum)) => *sum += grown,
            None => buckets.push((bound, grown)),
        }
    }
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    let at =
        |share: f64| buckets.iter().find(|(_, count)| *count >= all * share).map_or(f64::INFINITY, |(bound, _)| *bound);
    [0.5, 0.95, 0.99].map(|share| format!("{} ms", at(share) * 1000.0)).join(" ")
}

impl Systems {
    async fn create_tables(&self) -> anyhow::Result<()> {
        let columns = "sku VARCHAR(20) PRIMARY KEY, title VARCHAR(80) NOT NULL, quantity INTEGER NOT NULL";
        each(|number| async move {
            let erp = format!("CREATE TABLE stock_{number:04} ({columns}, updated_at TIMESTAMPTZ NOT NULL)");
            let index = format!("CREATE INDEX changed_{number:04} ON stock_{number:04} (updated_at, sku)");
            let warehouse = format!("CREATE TABLE stock_{number:04} ({columns})");
            for text in [erp, index] {
                sqlx::query(AssertSqlSafe(text)).execute(&self.erp).await?;
            }
            sqlx::query(AssertSqlSafe(warehouse)).execute(&self.warehouse).await?;
            Ok(())
        })
        .await
    }

    /// As many records on both sides as there shall be.
    async fn grow(&self, records: u64) -> anyhow::Result<()> {
        let rows = records / FLOWS;
        each(|number| async move {
            let table = format!("stock_{number:04}");
            let count = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}")));
            let there: i64 = count.fetch_one(&self.erp).await?;
            let values = "concat('SKU-', n), concat('Article number ', n), n % 97";
            let insert = format!(
                "INSERT INTO {table} SELECT {values}, '2026-01-01 00:00:00Z' FROM generate_series({}, {rows}) n",
                there + 1
            );
            sqlx::query(AssertSqlSafe(insert)).execute(&self.erp).await?;
            let insert = format!(
                "INSERT INTO {table} SELECT {values} FROM (SELECT seq AS n FROM seq_1_to_{rows} WHERE seq > {there}) numbers"
            );
            sqlx::query(AssertSqlSafe(insert)).execute(&self.warehouse).await?;
            sqlx::query(AssertSqlSafe(format!("ANALYZE {table}"))).execute(&self.erp).await?;
            Ok(())
        })
        .await
    }

    /// Changes of records anywhere, which the target follows.
    fn load(&self) -> JoinHandle<anyhow::Result<()>> {
        let (erp, warehouse) = (self.erp.clone(), self.warehouse.clone());
        tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(4);
            let mut beat = tokio::time::interval(Duration::from_secs(1) / CHANGES_PER_SECOND);
            loop {
                beat.tick().await;
                let (table, sku) = (random.random_range(1..=FLOWS), random.random_range(1..=10));
                let (erp, warehouse) = (erp.clone(), warehouse.clone());
                tokio::spawn(async move {
                    let change = |stamp: &str| {
                        AssertSqlSafe(format!(
                            "UPDATE stock_{table:04} SET quantity = quantity + 1{stamp} WHERE sku = 'SKU-{sku}'"
                        ))
                    };
                    sqlx::query(change(", updated_at = clock_timestamp()")).execute(&erp).await?;
                    tokio::time::sleep(BEHIND).await;
                    sqlx::query(change("")).execute(&warehouse).await
                });
            }
        })
    }
}

/// Does something for the table of each flow, a few at once.
async fn each<W>(work: impl Fn(u64) -> W) -> anyhow::Result<()>
where
    W: Future<Output = anyhow::Result<()>>,
{
    stream::iter(1..=FLOWS).map(work).buffer_unordered(4).try_collect().await
}

impl Serve {
    async fn start(systems: &Systems, dir: &Path, auditor: &str, state: &str) -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = write_config(dir, auditor, port, state)?;
        let log = dir.join("log");
        let child = Command::new(env!("CARGO_BIN_EXE_plumbline"))
            .args(["serve", "--config"])
            .arg(&config)
            .envs(systems.environment.iter().map(|(name, value)| (*name, value.as_str())))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .spawn()?;
        Ok(Self { child, metrics: format!("http://127.0.0.1:{port}/metrics"), log })
    }

    async fn metrics(&self) -> anyhow::Result<Metrics> {
        let text = reqwest::get(&self.metrics).await?.text().await?;
        let series = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        Ok(series.filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?))).collect())
    }

    /// Waits until the metrics say so.
    async fn wait_until(&mut self, mut condition: impl FnMut(&Metrics) -> bool) -> anyhow::Result<()> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(&self.log)?;
                let last: Vec<_> = log.lines().rev().take(5).collect();
                anyhow::bail!("the auditor ended with {status}: {last:#?}");
            }
            // It does not listen from the first moment on.
            if self.metrics().await.is_ok_and(|metrics| condition(&metrics)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(Command::new("kill").arg(self.child.id().to_string()).status());
        drop(self.child.wait());
    }
}

fn write_config(dir: &Path, auditor: &str, port: u16, state: &str) -> anyhow::Result<PathBuf> {
    let mut names = String::from("[");
    for number in 1..=FLOWS {
        write!(names, "\"{number:04}\", ")?;
    }
    names.push(']');
    let text = CONFIG
        .replace("{auditor}", auditor)
        .replace("{port}", &port.to_string())
        .replace("{state}", state)
        .replace("{names}", &names);
    let path = dir.join("plumbline.toml");
    std::fs::write(&path, text)?;
    Ok(path)
}

/// Resident memory of the engine at its peak; 0 when it cannot be found.
fn engine_mb(pid: u32) -> f64 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| status_mb(child.parse().ok()?, "VmHWM:").ok()).sum()
}
