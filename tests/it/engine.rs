//! The embedded engine, used by the `clickhouse` crate.

use std::path::PathBuf;

use clickhouse::{Client, Row};
use plumbline::ledger::engine::{EmbeddedEngine, EmbeddedOptions};
use serde::{Deserialize, Serialize};

use crate::support;

/// A running engine on a directory of its own.
pub struct TestEngine {
    pub engine: EmbeddedEngine,
    pub dir: tempfile::TempDir,
}

impl TestEngine {
    pub async fn start() -> Self {
        Self::start_on(tempfile::tempdir().expect("a temporary directory")).await
    }

    pub async fn start_on(dir: tempfile::TempDir) -> Self {
        let engine = EmbeddedEngine::start(options(dir.path().to_owned())).await.expect("the engine starts");
        Self { engine, dir }
    }

    pub fn writer(&self) -> Client {
        let client = Client::default().with_url(self.engine.url());
        client.with_user(self.engine.user()).with_password(self.engine.password())
    }
}

pub fn options(data_dir: PathBuf) -> EmbeddedOptions {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_plumbline"));
    EmbeddedOptions { libchdb: Some(support::libchdb()), ..EmbeddedOptions::new(program, data_dir) }
}

#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct Event {
    pub id: u64,
    pub text: String,
    pub words: Vec<String>,
}

pub fn events(count: u64) -> Vec<Event> {
    let text = |id: u64| format!("line\n\n{id}; drop table events");
    (0..count).map(|id| Event { id, text: text(id), words: vec![id.to_string(); 2] }).collect()
}

pub async fn insert(client: &Client, token: &str, rows: &[Event]) -> clickhouse::error::Result<()> {
    let mut insert = client.insert::<Event>("events").await?.with_setting("insert_deduplication_token", token);
    for row in rows {
        insert.write(row).await?;
    }
    insert.end().await
}

pub async fn create(client: &Client) {
    let sql = "CREATE TABLE events (id UInt64, text String, words Array(String)) ENGINE = MergeTree ORDER BY id \
               SETTINGS non_replicated_deduplication_window = 100, fsync_after_insert = 1";
    client.query(sql).execute().await.expect("the table can be made");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clickhouse_crate_inserts_and_selects() {
    let test = TestEngine::start().await;
    let client = test.writer();
    create(&client).await;
    let rows = events(100_000);
    insert(&client, "a", &rows).await.unwrap();
    insert(&client, "a", &rows).await.unwrap();
    let read: Vec<Event> = client.query("SELECT ?fields FROM events ORDER BY id").fetch_all().await.unwrap();
    assert_eq!(read, rows);
    let by_parameter = client.query("SELECT text FROM events WHERE id = {id:UInt64}").param("id", 7);
    assert_eq!(by_parameter.fetch_one::<String>().await.unwrap(), rows[7].text);
    let parts = client.query("SELECT count() FROM system.parts WHERE table = 'events' AND level = 0");
    assert_eq!(parts.fetch_one::<u64>().await.unwrap(), 1, "one insert is one block");
    test.engine.stop().await;
}
