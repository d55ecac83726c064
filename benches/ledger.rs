//! Check rows into the embedded engine: through its HTTP interface with the `clickhouse` crate's typed insert, next to
//! what the engine itself does with the same rows (`INSERT … SELECT` inside of it). The ratio is what counts; both are
//! taken in the same run. Asked of it: 300,000 check rows a second.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clickhouse::Client;
use plumbline::ledger::engine::{EmbeddedEngine, EmbeddedOptions};
use plumbline::ledger::rows::CheckRow;
use plumbline::ledger::{LedgerOptions, embedded_client, migrate};
use uuid::Uuid;

const BATCH: u64 = 100_000;
const BATCHES: u64 = 10;
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
        run_id: Uuid::from_u128(u128::from(number / 1000)),
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

async fn insert(client: &Client, batches: &[Vec<CheckRow>]) -> anyhow::Result<Duration> {
    let started = Instant::now();
    for (number, batch) in batches.iter().enumerate() {
        let mut insert = client.insert::<CheckRow>("checks").await?;
        insert = insert.with_setting("insert_deduplication_token", format!("batch {number}"));
        for row in batch {
            insert.write(row).await?;
        }
        insert.end().await?;
    }
    Ok(started.elapsed())
}

/// The same rows once more, from a table without order, a batch an insert, without leaving the engine.
async fn insert_inside(client: &Client) -> anyhow::Result<Duration> {
    client.query("CREATE TABLE source ENGINE = Memory AS SELECT * FROM checks").execute().await?;
    client.query("TRUNCATE TABLE checks").execute().await?;
    let started = Instant::now();
    for number in 0..BATCHES {
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
    let batches: Vec<Vec<CheckRow>> =
        (0..BATCHES).map(|batch| (batch * BATCH..(batch + 1) * BATCH).map(row).collect()).collect();

    let over_http = rows_per_second(BATCH * BATCHES, insert(&client, &batches).await?);
    let count: u64 = client.query("SELECT count() FROM checks").fetch_one().await?;
    anyhow::ensure!(count == BATCH * BATCHES, "{count} rows arrived of {}", BATCH * BATCHES);
    let inside = rows_per_second(BATCH * BATCHES, insert_inside(&client).await?);

    println!("ledger: check rows per second, {} rows in inserts of {BATCH}", BATCH * BATCHES);
    println!("  through HTTP, typed insert   {over_http:>10.0}");
    println!("  inside the engine            {inside:>10.0}");
    println!("  ratio                        {:>10.2}", over_http / inside);
    println!("  wanted through HTTP          {WANTED:>10.0}  {}", if over_http >= WANTED { "met" } else { "missed" });
    engine.stop().await;
    Ok(())
}
