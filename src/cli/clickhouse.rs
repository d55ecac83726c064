//! `plumbline clickhouse`: the ledger's embedded engine, as a process of its own.

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, Failure};
use crate::ledger::engine::{self, EngineOptions, Logins, READY, Users};

/// Serves ClickHouse's HTTP interface on loopback, with the engine inside.
#[derive(Debug, Args)]
pub struct ClickhouseArgs {
    /// Where the tables are; made if missing.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// Loopback address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8123")]
    listen: SocketAddr,

    /// The file libchdb.so, if it is not in the data directory, the cache or a system directory.
    #[arg(long, value_name = "FILE")]
    libchdb: Option<PathBuf>,

    /// TOML file with `[writer]` and `[reader]`, each with `user` and `password`; only its owner may read it.
    #[arg(long, value_name = "FILE", required_unless_present = "supervised")]
    logins: Option<PathBuf>,

    /// Take the logins from the first line of the standard input, and end when the input ends.
    #[arg(long, conflicts_with = "logins")]
    supervised: bool,
}

/// Runs the command on a runtime of its own.
///
/// # Errors
/// As [`run`].
pub fn start(args: ClickhouseArgs) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(run(args));
    // A statement that does not end must not hold up the end of the process.
    runtime.shutdown_timeout(Duration::from_secs(2));
    outcome.map(|()| Exit::Good).map_err(Failure::from)
}

/// Serves until a signal, or the end of the input if supervised.
///
/// # Errors
/// When the engine cannot start.
pub async fn run(args: ClickhouseArgs) -> Result<()> {
    let users = tokio::task::spawn_blocking(move || users(args.logins, args.supervised)).await??;
    let options = EngineOptions {
        listen: args.listen,
        libchdb: args.libchdb,
        cache_dir: crate::config::cache_dir(),
        ..EngineOptions::new(args.data_dir, users)
    };
    let stop = stopped(args.supervised)?;
    engine::run(options, announce, stop).await
}

fn users(logins: Option<PathBuf>, supervised: bool) -> Result<Users> {
    let Some(path) = logins.filter(|_| !supervised) else {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).context("cannot read the logins")?;
        return Logins::from_line(&line);
    };
    Logins::from_file(&path)
}

fn announce(address: SocketAddr) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{READY}{address}")?;
    output.flush().context("cannot say that the engine is ready")
}

/// Ready when the process should end.
fn stopped(supervised: bool) -> Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            // The parent decides when a terminal's Ctrl-C reaches both.
            _ = interrupt.recv(), if !supervised => {}
            () = input_ended(), if supervised => {}
        }
    })
}

/// Ready when the other end of the standard input is closed: the parent has ended, or wants this process to end.
async fn input_ended() {
    let (sender, ended) = tokio::sync::oneshot::channel();
    // A thread of its own: a blocked read must not hold up the end of the runtime.
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let copied = std::io::copy(&mut input, &mut std::io::sink());
        // Nobody waits when the process ends by a signal.
        sender.send(copied).map(drop).unwrap_or_default();
    });
    ended.await.map(drop).unwrap_or_default();
}
