//! Check rows on their way into the embedded engine: runs are committed to the spool, the shipper carries its segments
//! over HTTP into the engine, rollup included, until the engine has acknowledged the last of them as written and synced.
//! Next to it what the engine itself does with the same rows (`INSERT … SELECT` inside of it). The ratio is what counts;
//! both are taken in the same run. Asked of it: 300,000 check rows a second from the spool into the engine.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clickhouse::Client;
use plumbline::ledger::engine::{EmbeddedEngine, EmbeddedOptions};
use plumbline::ledger::rows::{CheckRow, RunRows};
use plumbline::ledger::{LedgerOptions, Shipper, Spool, SpoolOptions, embedded_client, migrate};
use plumbline::state::change::{Lease, StateChange};
use plumbline::state::{StateSecret, StateStore};
use uuid::Uuid;

/// Checks of a run: a page of the `changes` probe.
const RUN: u64 = 10_000;
const RUNS: u64 = 100;
const ROWS: u64 = RUN * RUNS;
/// Rows of an insert inside the engine; about those of a segment.
const BATCH: u64 = 100_000;
const WANTED: f64 = 300_000.0;

fn row(number: u64) -> CheckRow {
    let is_bad = number.is_multiple_of(50);
    let values = |value: &str| if is_bad { vec![value.to_owned()] } else { Vec::new() };
    CheckRow {
        tenant: "default".to_owned(),
        entity: "order".to_owned(),
        owner: "store".to_owned(),
        target: "erp".to_owned(),
        at: 1_800_000_000_000_000 + number as i64 * 37,
        run_id: Uuid::from_u128(u128::from(number / RUN)),
        token: 7,
        probe: "changes".to_owned(),
        key_hash: format!("{:032x}", u128::from(number) * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
        key: format!("eu/{number}"),
        verdict: if is_bad { "mismatch" } else { "match" }.to_owned(),
        likely: false,
        lag_low_us: number % 900_000,
        lag_high_us: number % 900_000 + 100_000,
        deadline_us: 60_000_000,
        reason: String::new(),
        fields: values("total"),
        owner_values: values("19.90"),
        target_values: values("19.00"),
    }
}

fn rows_per_second(rows: u64, took: Duration) -> f64 {
    rows as f64 / took.as_secs_f64()
}

/// A spool with a state database of its own.
struct Place {
    spool: Spool,
    lease: Lease,
}

impl Place {
    async fn new(dir: &Path) -> anyhow::Result<Self> {
        let url = format!("sqlite://{}", dir.join("state.db").display());
        let state = StateStore::open(&url, &StateSecret::from_bytes([7; 32])).await?;
        state.migrate().await?;
        let units = ["changes/order/store".to_owned()];
        let leases = state.acquire(&units, "bench", Duration::from_secs(3600), 1).await?;
        let lease = leases.into_iter().next().ok_or_else(|| anyhow::anyhow!("no lease"))?;
        let (spool, _) = Spool::open(&dir.join("spool"), SpoolOptions::new(4 << 30), &state).await?;
        Ok(Self { spool, lease })
    }

    /// Commits all runs, one after the other as one unit does.
    async fn commit(&self, runs: &[RunRows]) -> anyhow::Result<Duration> {
        let started = Instant::now();
        for rows in runs {
            let change = StateChange::new(rows.checks[0].run_id, self.lease.clone());
            self.spool.commit(change, rows).await?;
        }
        self.spool.seal().await;
        Ok(started.elapsed())
    }
}

fn run(number: u64) -> RunRows {
    RunRows { checks: (number * RUN..(number + 1) * RUN).map(row).collect(), ..RunRows::default() }
}

/// The same rows once more, from a table without order, a batch an insert, without leaving the engine.
async fn insert_inside(client: &Client) -> anyhow::Result<Duration> {
    client.query("CREATE TABLE source ENGINE = Memory AS SELECT * FROM checks").execute().await?;
    client.query("TRUNCATE TABLE checks").execute().await?;
    let started = Instant::now();
    for number in 0..ROWS / BATCH {
        let sql = "INSERT INTO checks SELECT * FROM source LIMIT {size:UInt64} OFFSET {from:UInt64}";
        client.query(sql).param("size", BATCH).param("from", number * BATCH).execute().await?;
    }
    Ok(started.elapsed())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let program = PathBuf::from(env!("CARGO_BIN_EXE_plumbline"));
    let engine = EmbeddedEngine::start(EmbeddedOptions::new(program, dir.path().to_owned())).await?;
    let client = embedded_client(&engine.url()).with_user(engine.user()).with_password(engine.password());
    let options = LedgerOptions { checks_days: 3_650, ..LedgerOptions::default() };
    migrate(&client, &options).await?;
    let client = client.with_database(&options.database);
    let place = Place::new(dir.path()).await?;
    let runs: Vec<RunRows> = (0..RUNS).map(run).collect();
    let committed = rows_per_second(ROWS, place.commit(&runs).await?);
    drop(runs);

    let mut shipper = Shipper::new(place.spool.clone(), client.clone(), dir.path().join("dead-letters"));
    let started = Instant::now();
    let segments = shipper.drain().await?;
    let shipped = rows_per_second(ROWS, started.elapsed());
    let count: u64 = client.query("SELECT count() FROM checks").fetch_one().await?;
    let rolled_up: u64 = client.query("SELECT sum(checks) FROM checks_minute").fetch_one().await?;
    anyhow::ensure!((count, rolled_up) == (ROWS, ROWS), "{count} and {rolled_up} rows arrived of {ROWS}");
    let inside = rows_per_second(ROWS, insert_inside(&client).await?);

    println!("ledger: check rows per second, {ROWS} rows in {segments} segments");
    println!("  into the spool, runs of {RUN}      {committed:>10.0}");
    println!("  from the spool, acknowledged      {shipped:>10.0}");
    println!("  inside the engine                 {inside:>10.0}");
    println!("  ratio                             {:>10.2}", shipped / inside);
    println!(
        "  wanted from the spool             {WANTED:>10.0}  {}",
        if shipped >= WANTED { "met" } else { "missed" }
    );
    engine.stop().await;
    Ok(())
}
