//! Pools: how a session is set up so that it can only read, and is always bounded.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Database, Executor, Pool, Row};

use super::engine::{Engine, Pooled};
use super::mysql::MysqlDriver;
use super::postgres::PostgresDriver;
use super::source::Source;
use super::sqlite::SqliteDriver;
use super::watermark::APPLICATION_NAME;
use super::{Arc, Budget, Clock, HashMap, Mutex, ReadError, SqlReader, System, SystemKind};
use crate::config::TlsMode;

/// The longest time that connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection that has been idle for longer is asked whether it still lives before it is used.
const IDLE_BEFORE_PING: Duration = Duration::from_secs(5);

/// A reader for a SQL system. Connects at the first use.
pub(in crate::connect) fn open(
    system: &System,
    clock: Arc<dyn Clock>,
    budget: Arc<Budget>,
) -> Result<SqlReader, ReadError> {
    let limit = system.statement_timeout.max(Duration::from_millis(1));
    let mut file = None;
    let url = system.url.expose_secret();
    let engine: Arc<dyn Engine> = match system.kind {
        SystemKind::Postgres => {
            let options = postgres_options(system, url, limit)?;
            Arc::new(Pooled::<PostgresDriver> {
                source: Source::new(pool(system).connect_lazy_with(options)),
                clock: clock.clone(),
                limit,
                described: AtomicU64::new(0),
            })
        }
        SystemKind::Mysql => {
            let options = mysql_options(system, url)?;
            let pool = pool(system).after_connect(move |connection, _| Box::pin(settle_mysql(connection, limit)));
            let source = Source::new(pool.connect_lazy_with(options));
            Arc::new(Pooled::<MysqlDriver> { source, clock: clock.clone(), limit, described: AtomicU64::new(0) })
        }
        SystemKind::Sqlite => {
            let options = sqlite_options(system, url, limit)?;
            file = Some(options.get_filename().to_path_buf());
            let pool: Pool<sqlx::Sqlite> = pool(system).connect_lazy_with(options);
            let source = Source::new(pool);
            Arc::new(Pooled::<SqliteDriver> { source, clock: clock.clone(), limit, described: AtomicU64::new(0) })
        }
        SystemKind::Http => {
            let reason = "it is not a database".to_owned();
            return Err(ReadError::Refused { system: system.id.clone(), reason });
        }
    };
    Ok(SqlReader {
        system: system.id.clone(),
        engine,
        budget,
        clock,
        commit_delay: system.commit_delay,
        limit,
        max_replica_lag: system.max_replica_lag,
        tls: system.tls,
        file,
        plans: Mutex::new(HashMap::new()),
    })
}

fn pool<Db: Database>(system: &System) -> PoolOptions<Db> {
    let connections = u32::try_from(system.budget.concurrency.max(1)).unwrap_or(u32::MAX);
    PoolOptions::new()
        .max_connections(connections)
        .min_connections(0)
        .idle_timeout(Duration::from_secs(300))
        .acquire_timeout(CONNECT)
        .test_before_acquire(false)
        .before_acquire(|connection: &mut Db::Connection, meta| {
            Box::pin(async move {
                if meta.idle_for > IDLE_BEFORE_PING {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

/// The drivers' own parsers do not mind a wrong scheme.
fn checked<'a>(system: &System, url: &'a str, schemes: &[&str], expect: &str) -> Result<&'a str, ReadError> {
    if schemes.iter().any(|scheme| url.starts_with(scheme)) { Ok(url) } else { Err(not_a_url(system, expect)) }
}

fn not_a_url(system: &System, expect: &str) -> ReadError {
    // What the parser says may repeat the password.
    let reason = format!("`url` is not one for this kind of system; expected `{expect}`");
    ReadError::Refused { system: system.id.clone(), reason }
}

fn postgres_options(system: &System, url: &str, limit: Duration) -> Result<PgConnectOptions, ReadError> {
    let expect = "postgres://user:password@host:5432/database";
    let url = checked(system, url, &["postgres://", "postgresql://"], expect)?;
    let options = PgConnectOptions::from_str(url).map_err(|_| not_a_url(system, expect))?;
    let millis = limit.as_millis().to_string();
    let mut options = options
        .application_name(APPLICATION_NAME)
        .options([
            ("default_transaction_read_only", "on"),
            ("default_transaction_isolation", "repeatable read"),
            ("statement_timeout", &millis),
            ("lock_timeout", &millis),
            ("idle_in_transaction_session_timeout", &millis),
            // A passive reader takes one processor at most.
            ("max_parallel_workers_per_gather", "0"),
            // Compiling a statement takes longer than the short ones that we send.
            ("jit", "off"),
        ])
        .ssl_mode(match system.tls {
            TlsMode::Off => PgSslMode::Disable,
            TlsMode::Require => PgSslMode::Require,
            TlsMode::Verify => PgSslMode::VerifyFull,
        });
    if let Some(authority) = &system.tls_ca {
        options = options.ssl_root_cert(authority);
    }
    Ok(options)
}

fn mysql_options(system: &System, url: &str) -> Result<MySqlConnectOptions, ReadError> {
    let expect = "mysql://user:password@host:3306/database";
    let url = checked(system, url, &["mysql://", "mariadb://"], expect)?;
    // MariaDB's own scheme means the same.
    let url = url.strip_prefix("mariadb://").map_or_else(|| url.to_owned(), |rest| format!("mysql://{rest}"));
    let options = MySqlConnectOptions::from_str(&url).map_err(|_| not_a_url(system, expect))?;
    let mut options = options.charset("utf8mb4").ssl_mode(match system.tls {
        TlsMode::Off => MySqlSslMode::Disabled,
        TlsMode::Require => MySqlSslMode::Required,
        TlsMode::Verify => MySqlSslMode::VerifyIdentity,
    });
    if let Some(authority) = &system.tls_ca {
        options = options.ssl_ca(authority);
    }
    Ok(options)
}

/// The driver has set UTC and utf8mb4 already.
async fn settle_mysql(connection: &mut MySqlConnection, limit: Duration) -> Result<(), sqlx::Error> {
    let version: String = connection.fetch_one("SELECT VERSION()").await?.try_get(0)?;
    // MariaDB counts in seconds and has its own name for it.
    let timeout = if version.to_lowercase().contains("mariadb") {
        format!("max_statement_time = {:.3}", limit.as_secs_f64())
    } else {
        format!("max_execution_time = {}", limit.as_millis())
    };
    let seconds = limit.as_secs().max(1);
    let settings =
        format!("SET SESSION {timeout}, lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}");
    connection.execute(sqlx::AssertSqlSafe(settings)).await?;
    connection.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
    connection.execute("SET SESSION TRANSACTION READ ONLY").await?;
    Ok(())
}

fn sqlite_options(system: &System, url: &str, limit: Duration) -> Result<SqliteConnectOptions, ReadError> {
    let expect = "sqlite:path/to/file.db";
    let url = checked(system, url, &["sqlite:"], expect)?;
    let options = SqliteConnectOptions::from_str(url).map_err(|_| not_a_url(system, expect))?;
    let path: PathBuf = options.get_filename().to_path_buf();
    Ok(options
        .filename(path)
        .read_only(true)
        .create_if_missing(false)
        .shared_cache(false)
        .busy_timeout(limit.min(Duration::from_secs(5)))
        .pragma("query_only", "ON"))
}

/// Whether this process could write a file: it is opened for writing and closed again.
pub(super) fn could_write(path: &std::path::Path) -> bool {
    std::fs::OpenOptions::new().write(true).open(path).is_ok()
}
