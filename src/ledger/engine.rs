//! `plumbline clickhouse`: ClickHouse's engine as a small process of its own, behind ClickHouse's HTTP interface.
//!
//! [`run`] is the process: it opens libchdb on a data directory and serves HTTP on loopback. [`EmbeddedEngine`] is
//! the auditor's side: it starts that process, restarts it when it dies, and never loads the library itself, so
//! nothing that the engine does can take the auditor down.
//!
//! What the engine's process promises: an answered insert is on disk; two users, of which the reader cannot change
//! anything; no statement reaches files, hosts or programs; results are streamed in bounded memory; it ends when the
//! process that started it ends.

mod answer;
mod auth;
mod blocks;
mod body;
mod chdb;
mod core;
mod encode;
mod error;
mod formats;
mod guard;
mod http;
mod lexer;
mod locate;
mod lock;
mod logins;
mod reader;
mod request;
mod session;
mod settings;
mod statement;
mod supervisor;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

pub use auth::{Login, Role, Users};
pub use core::CLICKHOUSE_VERSION;
pub use locate::{HOW_TO_GET, LIBCHDB_VERSION, find as find_libchdb};
pub use logins::Logins;
pub use reader::ReaderAccess;
pub use settings::Limits;
pub use supervisor::{EmbeddedEngine, EmbeddedOptions, EngineError, READY};

/// How the engine's process is set up.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Where the tables are; made if missing. One process per directory.
    pub data_dir: PathBuf,
    /// Loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The library's file, if it is not where it is looked for.
    pub libchdb: Option<PathBuf>,
    /// The user's cache directory, where `make libchdb` puts the library.
    pub cache_dir: Option<PathBuf>,
    /// Who may use it.
    pub users: Users,
    /// Statements at a time; more wait.
    pub max_statements: usize,
    /// Largest data of one insert, decompressed.
    pub max_insert_bytes: u64,
    /// Bounds of every statement.
    pub limits: Limits,
}

impl EngineOptions {
    /// On loopback, with a free port and the usual limits.
    pub fn new(data_dir: PathBuf, users: Users) -> Self {
        Self {
            data_dir,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            libchdb: None,
            cache_dir: None,
            users,
            max_statements: 32,
            max_insert_bytes: 512 << 20,
            limits: Limits::default(),
        }
    }
}

/// How long statements may go on after the stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until `stop` is ready. `ready` is told the address once requests are taken.
///
/// # Errors
/// When the address is not loopback or is taken, another engine has the directory, or libchdb is missing or another
/// version.
pub async fn run(
    options: EngineOptions,
    ready: impl FnOnce(SocketAddr) -> Result<()>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    if !options.listen.ip().is_loopback() {
        bail!("the engine listens on loopback only, not on `{}`: put a proxy with TLS in front of it", options.listen);
    }
    let dir = &options.data_dir;
    std::fs::create_dir_all(dir.join("tmp")).with_context(|| format!("cannot make `{}`", dir.display()))?;
    let dir = dir.canonicalize()?;
    let lock = lock::DirectoryLock::take(&dir)?;
    let library = locate::find(options.libchdb.as_deref(), &dir, options.cache_dir.as_deref())?;
    let listener =
        TcpListener::bind(options.listen).await.with_context(|| format!("cannot listen on `{}`", options.listen))?;
    let address = listener.local_addr()?;
    let (limits, max_insert_bytes) = (options.limits, options.max_insert_bytes);
    let engine =
        tokio::task::spawn_blocking(move || core::Engine::start(&library, &dir, limits, max_insert_bytes)).await??;
    let engine = Arc::new(engine);
    let service = http::Service {
        engine: engine.clone(),
        users: options.users,
        turns: Arc::new(Semaphore::new(options.max_statements)),
    };
    let expiry = tokio::spawn(expire_sessions(engine));
    ready(address)?;
    tracing::info!(%address, "the ledger's engine takes requests on {address}");
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let shutdown = async move {
        stop.await;
        // Whoever waits for the deadline below has ended already if this fails.
        stopping.send(()).unwrap_or(());
    };
    // Answers go out at once; see `embedded_client` for what waiting costs.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("a connection stays slow: {error}");
        }
    });
    let serving = axum::serve(listener, http::router(Arc::new(service))).with_graceful_shutdown(shutdown);
    let deadline = async {
        stopped.await.unwrap_or(());
        tokio::time::sleep(STOP_TIMEOUT).await;
    };
    let outcome = tokio::select! {
        outcome = serving => outcome.context("the HTTP interface failed"),
        () = deadline => Ok(()),
    };
    expiry.abort();
    drop(lock);
    outcome
}

async fn expire_sessions(engine: Arc<core::Engine>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        engine.sessions.expire(Instant::now());
    }
}
