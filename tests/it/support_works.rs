//! The ground under the other tests holds: servers start, keep data over a crash, and take settings.

use sqlx::{Connection, Executor, Row};

use crate::support::{self, PrivateMariadb, PrivatePostgres};

#[tokio::test]
async fn each_test_has_its_own_postgres_database() {
    let server = support::postgres().await;
    let (one, other) = (server.database().await, server.database().await);
    one.pool().execute("CREATE TABLE only_here (id int)").await.unwrap();
    let error = other.pool().execute("SELECT id FROM only_here").await.unwrap_err();
    assert!(error.to_string().contains("only_here"), "{error}");
    assert_ne!(one.name(), other.name());
}

#[tokio::test]
async fn each_test_has_its_own_mariadb_database() {
    let server = support::mariadb().await;
    let (one, other) = (server.database().await, server.database().await);
    one.pool().execute("CREATE TABLE only_here (id int)").await.unwrap();
    let error = other.pool().execute("SELECT id FROM only_here").await.unwrap_err();
    assert!(error.to_string().contains("only_here"), "{error}");
    assert_ne!(server.url(), one.url());
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let database = support::postgres().await.database().await;
    let url = database.url_as("postgres", "wrong");
    let error = sqlx::PgPool::connect(&url).await.unwrap_err();
    assert!(error.to_string().contains("password authentication failed"), "{error}");
    let database = support::mariadb().await.database().await;
    let error = sqlx::MySqlPool::connect(&database.url_as("admin", "wrong")).await.unwrap_err();
    assert!(error.to_string().contains("Access denied"), "{error}");
}

#[tokio::test]
async fn a_sqlite_file_can_be_opened_by_its_url() {
    let file = support::sqlite().await;
    file.pool().execute("CREATE TABLE here (id int)").await.unwrap();
    sqlx::SqlitePool::connect(&file.url()).await.unwrap().execute("SELECT id FROM here").await.unwrap();
    assert!(file.path().is_file());
}

#[tokio::test]
async fn a_private_postgres_keeps_its_data_over_a_kill_and_takes_settings() {
    let mut server = PrivatePostgres::start_with(&[("wal_level", "logical")]).await;
    let database = server.database().await;
    database.pool().execute("CREATE TABLE kept AS SELECT 7 AS id").await.unwrap();
    server.kill().await;
    assert!(sqlx::PgConnection::connect(&database.url()).await.is_err());
    server.set_config("statement_timeout", "12345");
    server.restart().await;
    let pool = sqlx::PgPool::connect(&database.url()).await.unwrap();
    let row = pool
        .fetch_one("SELECT id, current_setting('wal_level'), current_setting('statement_timeout') FROM kept")
        .await
        .unwrap();
    let seen: (i32, String, String) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(seen, (7, "logical".to_owned(), "12345ms".to_owned()));
}

#[tokio::test]
async fn a_private_mariadb_keeps_its_data_over_a_kill_and_takes_settings() {
    let mut server = PrivateMariadb::start().await;
    let database = server.database().await;
    database.pool().execute("CREATE TABLE kept (id int)").await.unwrap();
    database.pool().execute("INSERT INTO kept VALUES (7)").await.unwrap();
    let port = server.port();
    server.kill().await;
    assert!(sqlx::MySqlConnection::connect(&database.url()).await.is_err());
    server.set_config("max_connections", "123");
    server.restart().await;
    assert_eq!(server.port(), port);
    let pool = sqlx::MySqlPool::connect(&database.url()).await.unwrap();
    let row = pool.fetch_one("SELECT id, @@max_connections FROM kept").await.unwrap();
    assert_eq!((row.get::<i32, _>(0), row.get::<u64, _>(1)), (7, 123));
}

#[test]
fn the_engine_library_is_installed() {
    assert!(support::libchdb().ends_with("libchdb.so"));
}

#[test]
fn the_clients_of_other_makers_are_installed() {
    assert!(support::python().is_file());
    assert!(support::node_modules().join("@clickhouse/client").is_dir());
}
