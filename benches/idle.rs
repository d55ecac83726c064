//! `serve` when nothing changes: 200 flows over SQLite, each looked at every 30 s, with the embedded ledger. Reads the
//! process's own memory and processor time from `/proc` (the engine is a child and is not counted).
//!
//! Asked of it: less than 100 MB resident, less than 2 % of a core.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;

/// Processor time and memory of processes.
#[path = "common/process.rs"]
mod process;
use process::{processor_seconds, status_mb};

const FLOWS: usize = 200;
/// Two rounds of the schedule.
const WATCHED: Duration = Duration::from_secs(60);
const WANTED_MB: f64 = 100.0;
const WANTED_SHARE: f64 = 0.02;

/// The auditor; ended when dropped.
struct Serve(Child);

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(Command::new("kill").arg(self.0.id().to_string()).status());
        drop(self.0.wait());
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    for name in ["erp.db", "store.db"] {
        create_tables(&dir.path().join(name)).await?;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config = dir.path().join("plumbline.toml");
    std::fs::write(&config, config_text(port)?)?;
    let log = std::fs::File::create(dir.path().join("log"))?;
    let mut serve = Serve(
        Command::new(env!("CARGO_BIN_EXE_plumbline"))
            .args(["serve", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?,
    );
    every_flow_has_run(&mut serve, port).await?;

    let pid = serve.0.id();
    let (began, before) = (Instant::now(), processor_seconds(pid)?);
    tokio::time::sleep(WATCHED).await;
    let share = (processor_seconds(pid)? - before) / began.elapsed().as_secs_f64();
    let resident = status_mb(pid, "VmRSS:")?;
    let met = |is_met: bool| if is_met { "met" } else { "missed" };
    println!("idle: `serve` with {FLOWS} flows, every 30 s, over {:.0} s; without the engine", WATCHED.as_secs_f64());
    println!("  resident        {resident:>8.1} MB   wanted under {WANTED_MB} MB: {}", met(resident < WANTED_MB));
    println!("  resident, peak  {:>8.1} MB", status_mb(pid, "VmHWM:")?);
    println!(
        "  of a core       {:>8.2} %    wanted under {} %: {}",
        share * 100.0,
        WANTED_SHARE * 100.0,
        met(share < WANTED_SHARE)
    );
    Ok(())
}

async fn create_tables(path: &Path) -> anyhow::Result<()> {
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}?mode=rwc", path.display())).await?;
    sqlx::query("PRAGMA journal_mode = WAL").execute(&pool).await?;
    for number in 0..FLOWS {
        let table = format!(
            "CREATE TABLE stock{number} (sku TEXT PRIMARY KEY, quantity INTEGER, updated_at TEXT); \
             CREATE INDEX changed{number} ON stock{number} (updated_at, sku);"
        );
        sqlx::raw_sql(AssertSqlSafe(table)).execute(&pool).await?;
    }
    pool.close().await;
    Ok(())
}

fn config_text(port: u16) -> anyhow::Result<String> {
    let mut text = format!(
        "[plumbline]\nlisten = \"127.0.0.1:{port}\"\ndata_dir = \"data\"\n\
         [system.erp]\nkind = \"sqlite\"\nurl = \"sqlite:erp.db\"\ncommit_delay = \"1s\"\n\
         [system.store]\nkind = \"sqlite\"\nurl = \"sqlite:store.db\"\ncommit_delay = \"1s\"\n"
    );
    for number in 0..FLOWS {
        write!(
            text,
            "[entity.stock{number}]\nclass = \"near_realtime\"\nkey = \"sku\"\nfields.sku = \"text\"\n\
             fields.quantity = {{ type = \"integer\", owner = \"erp\" }}\n\
             [entity.stock{number}.in.erp]\ndataset = \"stock{number}\"\nchanged_at = \"updated_at\"\n\
             fields = {{ sku = \"sku\", quantity = \"quantity\" }}\n\
             [entity.stock{number}.in.store]\ndataset = \"stock{number}\"\n\
             fields = {{ sku = \"sku\", quantity = \"quantity\" }}\n\
             [[probe]]\nentity = \"stock{number}\"\nkind = \"changes\"\nschedule = \"every 30s\"\n"
        )?;
    }
    Ok(text)
}

/// Waits until the first look of every unit is over: what comes then is idling.
async fn every_flow_has_run(serve: &mut Serve, port: u16) -> anyhow::Result<()> {
    // The client's TLS, which loopback does not use, must be told its cryptography. It fails if it was told before.
    drop(tokio_rustls::rustls::crypto::ring::default_provider().install_default());
    let address = format!("http://127.0.0.1:{port}/metrics");
    loop {
        if let Some(status) = serve.0.try_wait()? {
            anyhow::bail!("the auditor ended with {status}");
        }
        let text = match reqwest::get(&address).await {
            Ok(answer) => answer.text().await?,
            Err(_) => String::new(),
        };
        let has_run = |line: &&str| {
            line.starts_with("plumbline_probe_duration_seconds_count")
                && line.contains("changes")
                && !line.ends_with(" 0")
        };
        if text.lines().filter(has_run).count() >= FLOWS {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
