//! A fresh database for each test.

use std::path::PathBuf;

use sqlx::pool::PoolOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor, MySql, Pool, Postgres, Sqlite, SqlitePool};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::environment;
use super::server::{PrivateServer, Product};

/// The PostgreSQL that the tests of this run share.
pub async fn postgres() -> &'static TestServer<Postgres> {
    static SHARED: OnceCell<TestServer<Postgres>> = OnceCell::const_new();
    SHARED.get_or_init(TestServer::shared).await
}

/// The MariaDB that the tests of this run share.
pub async fn mariadb() -> &'static TestServer<MySql> {
    static SHARED: OnceCell<TestServer<MySql>> = OnceCell::const_new();
    SHARED.get_or_init(TestServer::shared).await
}

/// A server that tests share. Its transactions, logins and settings are shared too; databases are not.
pub struct TestServer<P: Product> {
    url: String,
    /// Kept running while the process lives, when the run has started none.
    _own: Option<PrivateServer<P>>,
}

impl<P: Product> TestServer<P>
where
    for<'c> &'c mut P::Connection: Executor<'c, Database = P>,
{
    async fn shared() -> Self {
        if let Some(url) = environment(P::VARIABLE) {
            return Self { url, _own: None };
        }
        let own = PrivateServer::start().await;
        Self { url: own.url(), _own: Some(own) }
    }

    /// The superuser's URL.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// A new, empty database.
    pub async fn database(&self) -> TestDatabase<P> {
        TestDatabase::create(&self.url).await
    }
}

impl<P: Product> PrivateServer<P>
where
    for<'c> &'c mut P::Connection: Executor<'c, Database = P>,
{
    /// A new, empty database.
    pub async fn database(&self) -> TestDatabase<P> {
        TestDatabase::create(&self.url()).await
    }
}

/// A database of one test. It goes with its server.
pub struct TestDatabase<P: Product> {
    name: String,
    url: String,
    pool: Pool<P>,
}

impl<P: Product> TestDatabase<P>
where
    for<'c> &'c mut P::Connection: Executor<'c, Database = P>,
{
    async fn create(server_url: &str) -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let mut connection = P::Connection::connect(server_url).await.expect("the test server answers");
        // The name is ours, made of hexadecimal digits.
        let statement = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        connection.execute(statement).await.expect("a database can be made");
        connection.close().await.expect("a connection can be closed");
        let (server, _) = server_url.rsplit_once('/').expect("the URL names a database");
        let url = format!("{server}/{name}");
        let pool = PoolOptions::new().max_connections(8).connect_lazy(&url).expect("the URL is valid");
        Self { name, url, pool }
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL with the superuser's login.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Its URL with another login.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        let (scheme, rest) = self.url.split_once("://").expect("the URL has a scheme");
        let (_, address) = rest.split_once('@').expect("the URL has a login");
        format!("{scheme}://{user}:{password}@{address}")
    }

    /// Connections with the superuser's login.
    pub fn pool(&self) -> Pool<P> {
        self.pool.clone()
    }
}

/// A SQLite file of one test, in write-ahead mode. It goes when this value is dropped.
pub struct TestSqlite {
    directory: TempDir,
    pool: SqlitePool,
}

/// A new, empty SQLite file.
pub async fn sqlite() -> TestSqlite {
    let directory = tempfile::Builder::new().prefix("plumbline-test-").tempdir().expect("a temporary directory");
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(directory.path().join("test.db"))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    let pool: Pool<Sqlite> = PoolOptions::new().max_connections(4).connect_with(options).await.expect("a file opens");
    TestSqlite { directory, pool }
}

impl TestSqlite {
    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("test.db")
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("sqlite://{}", self.path().display())
    }

    /// Connections that may write.
    pub fn pool(&self) -> SqlitePool {
        self.pool.clone()
    }
}
