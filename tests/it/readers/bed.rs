//! One database of each engine, a reader on it, and mappings in a line.

use std::sync::Arc;
use std::time::Duration;

use plumbline::clock::{AnchoredClock, Clock};
use plumbline::config::{BudgetConfig, System, SystemKind, TlsMode};
use plumbline::connect::{self, Reader};
use plumbline::model::mapping::{Dataset, FieldRule, Origin, Source, Stamp, VersionRule};
use plumbline::model::{FieldType, Key, Mapping, Record};
use sqlx::{AssertSqlSafe, Connection, Executor, MySql, Postgres, SqliteConnection};

use crate::support::{self, TestDatabase, TestSqlite};

pub enum Bed {
    Postgres(TestDatabase<Postgres>),
    Mariadb(TestDatabase<MySql>),
    Sqlite(TestSqlite),
}

impl Bed {
    pub async fn postgres() -> Self {
        Self::Postgres(support::postgres().await.database().await)
    }

    pub async fn mariadb() -> Self {
        Self::Mariadb(support::mariadb().await.database().await)
    }

    pub async fn sqlite() -> Self {
        Self::Sqlite(support::sqlite().await)
    }

    pub async fn each() -> [Self; 3] {
        [Self::postgres().await, Self::mariadb().await, Self::sqlite().await]
    }

    pub fn name(&self) -> &'static str {
        self.pick("PostgreSQL", "MariaDB", "SQLite")
    }

    /// What the engine at hand needs.
    pub fn pick<T>(&self, postgres: T, mariadb: T, sqlite: T) -> T {
        match self {
            Self::Postgres(_) => postgres,
            Self::Mariadb(_) => mariadb,
            Self::Sqlite(_) => sqlite,
        }
    }

    /// Runs statements with a login that may write.
    pub async fn run(&self, sql: &str) {
        let safe = AssertSqlSafe(sql.to_owned());
        let outcome = match self {
            Self::Postgres(database) => database.pool().execute(safe).await.map(|_| ()),
            Self::Mariadb(database) => database.pool().execute(safe).await.map(|_| ()),
            // A connection of its own: others in a pool still know the table as it was.
            Self::Sqlite(file) => {
                let mut connection = SqliteConnection::connect(&file.url()).await.unwrap();
                connection.execute("PRAGMA busy_timeout = 30000").await.unwrap();
                connection.execute(safe).await.map(|_| ())
            }
        };
        outcome.unwrap_or_else(|error| panic!("{}: {sql}: {error}", self.name()));
    }

    pub fn url(&self) -> String {
        match self {
            Self::Postgres(database) => database.url(),
            Self::Mariadb(database) => database.url(),
            Self::Sqlite(file) => file.url(),
        }
    }

    pub fn system(&self) -> System {
        System {
            pack: None,
            id: "erp".parse().unwrap(),
            kind: self.pick(SystemKind::Postgres, SystemKind::Mysql, SystemKind::Sqlite),
            url: self.url().into(),
            tls: TlsMode::Off,
            tls_ca: None,
            commit_delay: Duration::ZERO,
            statement_timeout: Duration::from_secs(30),
            max_replica_lag: Duration::from_secs(10),
            budget: BudgetConfig { requests_per_second: 100_000.0, concurrency: 4, rows_per_run: 1_000_000 },
            time_zone: chrono_tz::UTC,
        }
    }

    pub fn reader(&self) -> Arc<dyn Reader> {
        open(&self.system())
    }
}

pub fn open(system: &System) -> Arc<dyn Reader> {
    connect::open(system, clock()).unwrap()
}

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(AnchoredClock::from_machine())
}

/// A mapping of `table` whose fields are its columns; the first `keys` of them are the key.
pub fn mapping(table: &str, keys: usize, columns: &[(&str, FieldType)]) -> Mapping {
    let rule = |(index, (_, field_type)): (usize, &(&str, FieldType))| {
        Some(FieldRule {
            field_type: *field_type,
            origin: Origin::Source(index),
            when: None,
            steps: Vec::new(),
            scale: None,
            minor_units: false,
            currency: None,
            zone: chrono_tz::UTC,
            epoch: None,
        })
    };
    Mapping {
        entity: "thing".parse().unwrap(),
        system: "erp".parse().unwrap(),
        dataset: Dataset::Table(table.to_owned()),
        sources: columns.iter().map(|(name, _)| Source::Path((*name).to_owned())).collect(),
        key: (0..keys).collect(),
        native: None,
        key_index: false,
        changed_at: None,
        version: None,
        source_version: None,
        scope: Vec::new(),
        children: Vec::new(),
        xref: Vec::new(),
        fields: columns.iter().enumerate().map(rule).collect(),
        via: Vec::new(),
    }
}

/// Adds the stamp column.
pub fn stamped(mut mapping: Mapping, column: &str) -> Mapping {
    let source = source(&mut mapping, column);
    mapping.changed_at = Some(Stamp { source, zone: chrono_tz::UTC, epoch: None });
    mapping
}

/// Adds a column that counts up over the table.
pub fn sequenced(mut mapping: Mapping, column: &str) -> Mapping {
    mapping.version = Some(VersionRule::Sequence(source(&mut mapping, column)));
    mapping
}

fn source(mapping: &mut Mapping, column: &str) -> usize {
    let wanted = Source::Path(column.to_owned());
    mapping.sources.iter().position(|source| *source == wanted).unwrap_or_else(|| {
        mapping.sources.push(wanted);
        mapping.sources.len() - 1
    })
}

pub fn texts(keys: &[&str]) -> Vec<Key> {
    keys.iter().map(|key| Key::from(*key)).collect()
}

pub fn numbers(keys: impl IntoIterator<Item = i64>) -> Vec<Key> {
    keys.into_iter().map(Key::from).collect()
}

/// The keys of records, sorted, as people read them.
pub fn keys_of(records: &[Record]) -> Vec<String> {
    let mut keys: Vec<_> = records.iter().map(|record| record.key.to_string()).collect();
    keys.sort();
    keys
}

/// A record's field as people read it.
pub fn shown(records: &[Record], key: impl Into<Key>, field: usize) -> String {
    let key = key.into();
    let mut found = records.iter().filter(|record| record.key == key);
    let record = found.next().unwrap_or_else(|| panic!("no record {key:?}"));
    assert!(found.next().is_none(), "several records {key:?}");
    record.fields[field].to_string()
}
