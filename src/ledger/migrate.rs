//! Brings the ledger's tables up to date. Every step is safe to run twice, and by two processes at once.

use std::collections::HashMap;
use std::time::Duration;

use clickhouse::{Client, Row};
use serde::Deserialize;

use super::schema::{self, FILES};
use super::{LedgerError, LedgerOptions};

/// DDL on a cluster waits for its replicas.
const LIMIT: Duration = Duration::from_secs(180);

/// Creates the database and every table that is missing; checks that what was applied before is what this release
/// holds. The client's own database is not used.
///
/// # Errors
/// When ClickHouse refuses or does not answer, or the ledger was begun by another release.
pub async fn migrate(client: &Client, options: &LedgerOptions) -> Result<(), LedgerError> {
    schema::check(options)?;
    // The statements name their database; the client's own may not exist yet, and a request for it would be refused.
    let client = &client.clone().with_database("default");
    for statement in schema::render(BEGIN, options) {
        run(client, "begin the schema", &statement).await?;
    }
    let mut applied = applied(client, options).await?;
    for (name, file) in FILES {
        let checksum = blake3::hash(file.as_bytes()).to_hex().to_string();
        match applied.remove(*name) {
            Some(known) if known == checksum => continue,
            Some(_) => return Err(LedgerError::ChangedMigration { name: (*name).to_owned() }),
            None => {}
        }
        for statement in schema::render(file, options) {
            run(client, &format!("run migration `{name}`"), &statement).await?;
        }
        remember(client, options, name, &checksum).await?;
    }
    Ok(())
}

/// The one table that must be there before the files. Rows of a name replace each other.
const BEGIN: &str = "
CREATE DATABASE IF NOT EXISTS ${database}${on_cluster};
CREATE TABLE IF NOT EXISTS ${database}.schema_migrations${on_cluster} (
    name       String,
    checksum   String,
    applied_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ${replicated}ReplacingMergeTree
ORDER BY name;
";

async fn run(client: &Client, action: &str, statement: &str) -> Result<(), LedgerError> {
    // `?` would be taken for a parameter.
    let query = client.query(&statement.replace('?', "??")).execute();
    timed(action, LIMIT, query).await
}

#[derive(Row, Deserialize)]
struct AppliedFile {
    name: String,
    checksum: String,
}

async fn applied(client: &Client, options: &LedgerOptions) -> Result<HashMap<String, String>, LedgerError> {
    let query = format!("SELECT name, checksum FROM {}.schema_migrations FINAL", options.database);
    let rows = timed("list migrations", LIMIT, client.query(&query).fetch_all::<AppliedFile>()).await?;
    Ok(rows.into_iter().map(|row| (row.name, row.checksum)).collect())
}

async fn remember(client: &Client, options: &LedgerOptions, name: &str, checksum: &str) -> Result<(), LedgerError> {
    let query = format!("INSERT INTO {}.schema_migrations (name, checksum) VALUES (?, ?)", options.database);
    timed("remember a migration", LIMIT, client.query(&query).bind(name).bind(checksum).execute()).await
}

/// Every call of the ledger has a limit.
pub(super) async fn timed<T>(
    action: &str,
    limit: Duration,
    call: impl Future<Output = clickhouse::error::Result<T>>,
) -> Result<T, LedgerError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(LedgerError::while_doing(action)),
        Err(_) => Err(LedgerError::TimedOut { action: action.to_owned(), limit }),
    }
}
