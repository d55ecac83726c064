//! TOML to checked config. Three steps, three types: raw (spans) → checked (this file) → built (clients, pools).
//!
//! Code after startup sees only the checked form. [`load`] reports every problem at once, each with
//! file:line:column, what was found, what is allowed and the nearest known name.
//!
//! `section` is how TOML is read; `read` puts the sections together; each other file reads one section. A new key is
//! one name in the section's `KEYS`, one line that reads it and one row in docs/config.md.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use secrecy::SecretString;

use crate::model::{EntityId, Field, FieldName, Flow, FlowId, Mapping, SystemId, TenantId};
use crate::slo::{Indicator, Maintenance, Promise};
use crate::totals::{Calendar, Fields};

mod address;
pub mod alerting;
mod calendar;
mod children;
mod condition;
mod directories;
mod duration;
mod entity;
mod field;
mod field_rule;
mod flows;
mod hours;
mod key_index;
mod ledger;
mod maintenance;
mod mapping;
pub mod pack;
mod plumbline;
mod probe;
mod problems;
mod read;
mod render;
mod repeat;
mod schedule;
mod secret;
mod section;
mod slo;
mod sql_expression;
mod step;
mod system;
mod xref;

mod zone;

#[cfg(test)]
mod tests;

pub use alerting::Alerting;
pub use directories::cache_dir;
pub use duration::{parse_duration, show as show_duration};
pub use hours::Hours;
pub use pack::Pack;
pub use problems::{Problem, Problems};
pub use render::render_check;
pub use secret::Environment;

/// A commented config that shows every part; `plumbline check` accepts it.
pub const EXAMPLE: &str = include_str!("../plumbline.example.toml");

/// Reads and checks a config file.
///
/// # Errors
/// All problems at once, among them that the file cannot be read.
pub fn load(path: &Path) -> Result<Config, Problems> {
    let text = std::fs::read_to_string(path).map_err(|error| Problems::unreadable(path, &error))?;
    // The parent of a bare file name is empty, and an empty path cannot be made absolute.
    let absolute = std::path::absolute(path).map_err(|error| Problems::unreadable(path, &error))?;
    let base_dir = absolute.parent().unwrap_or(Path::new("/"));
    parse(&text, path, base_dir)
}

/// Checks a config text. `file` is the name in problems; relative paths begin at `base_dir`.
///
/// # Errors
/// All problems at once.
pub fn parse(text: &str, file: &Path, base_dir: &Path) -> Result<Config, Problems> {
    parse_with(text, file, base_dir, &Environment::Process)
}

/// As [`parse`], with `env:` references looked up in `environment`.
///
/// # Errors
/// All problems at once.
pub fn parse_with(text: &str, file: &Path, base_dir: &Path, environment: &Environment) -> Result<Config, Problems> {
    read::read(section::Reading::new(text, file, base_dir, environment))
}

/// The checked config.
#[derive(Debug)]
pub struct Config {
    /// `[plumbline]`.
    pub plumbline: Plumbline,
    /// `[system.NAME]`.
    pub systems: BTreeMap<SystemId, System>,
    /// `[entity.NAME]`.
    pub entities: BTreeMap<EntityId, Entity>,
    /// Derived from ownership: one for each entity, owner and other system with at least one compared field.
    pub flows: Vec<Arc<Flow>>,
    /// `[[probe]]`.
    pub probes: Vec<Probe>,
    /// `[[slo]]`.
    pub slos: Vec<Slo>,
    /// `[[maintenance]]`, the earliest first.
    pub maintenance: Vec<Maintenance>,
    /// `[alert]`, `[channel.NAME]`, `[team.NAME]`, `[[route]]`.
    pub alerting: Arc<Alerting>,
    /// Legal but risky combinations, to be logged at startup.
    pub warnings: Vec<String>,
}

/// `[plumbline]`: the auditor itself.
#[derive(Debug)]
pub struct Plumbline {
    /// Whose systems these are. Default `default`.
    pub tenant: TenantId,
    /// Where the embedded state, ledger, spool and keys live. Default `plumbline-data` beside the config file.
    pub data_dir: PathBuf,
    /// State database: `sqlite` file in `data_dir` unless a `postgres://` URL is given.
    pub state_url: Option<SecretString>,
    /// ClickHouse server; the embedded engine when absent.
    pub ledger: Ledger,
    /// Address for health, readiness and metrics. Default `127.0.0.1:9464`.
    pub listen: std::net::SocketAddr,
    /// Bearer token for everything but `/healthz`; required when `listen` is not loopback.
    pub http_token: Option<SecretString>,
    /// 32 secret bytes under which keys and values are hashed and state is encrypted; made in `data_dir` when absent.
    pub secret_key: Option<SecretString>,
    /// How long a lease lives without renewal. Default 15 s.
    pub lease: Duration,
    /// How many keys may be in flight before their probe is slowed. Default 250,000.
    pub max_in_flight: u64,
    /// How many bytes the spool may hold before probes wait. Default 1 GiB.
    pub max_spool_bytes: u64,
    /// Name of this auditor process. Default host name and process id.
    pub auditor: Option<String>,
}

/// `[plumbline.ledger]`.
#[derive(Debug)]
pub struct Ledger {
    /// `http://…` of a ClickHouse server; `None` starts the embedded engine.
    pub url: Option<String>,
    /// Database. Default `plumbline`.
    pub database: String,
    /// Login.
    pub user: Option<String>,
    /// Password.
    pub password: Option<SecretString>,
    /// Cluster name for replicated, distributed tables.
    pub cluster: Option<String>,
    /// Path of `libchdb.so`; else it is looked for in `data_dir` and the system library path.
    pub libchdb: Option<PathBuf>,
}

/// `[system.NAME]`: one external system.
#[derive(Debug)]
pub struct System {
    /// Its name.
    pub id: SystemId,
    /// What it is.
    pub kind: SystemKind,
    /// Of kind `http`: what teaches us the product, its settings filled in.
    pub pack: Option<Arc<Pack>>,
    /// Where it is, with the read-only login.
    pub url: SecretString,
    /// How TLS is used. Default `require` unless the host is loopback.
    pub tls: TlsMode,
    /// Certificate authority to trust, PEM.
    pub tls_ca: Option<PathBuf>,
    /// The longest time between a row's stamp and its commit. PostgreSQL finds out by itself (default 0 there,
    /// 5 s elsewhere); a declared value is added.
    pub commit_delay: Duration,
    /// Longest time a statement may take. Default 30 s.
    pub statement_timeout: Duration,
    /// A sweep rests while this replica lies further behind its primary. Default 10 s.
    pub max_replica_lag: Duration,
    /// What the system allows us.
    pub budget: BudgetConfig,
    /// Zone of time stamps that do not name their instant. Default UTC.
    pub time_zone: Tz,
}

/// What a system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemKind {
    /// PostgreSQL 12 and newer.
    Postgres,
    /// MySQL 8 and MariaDB 10.5 and newer.
    Mysql,
    /// A SQLite file.
    Sqlite,
    /// A service that speaks HTTP, as its pack says.
    Http,
}

/// How TLS is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS: loopback only.
    Off,
    /// TLS, any certificate.
    Require,
    /// TLS, certificate and host name checked.
    Verify,
}

/// What a system allows us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetConfig {
    /// Statements (or requests) a second. Default 50.
    pub requests_per_second: f64,
    /// At once. Default 4.
    pub concurrency: usize,
    /// Rows a run. Default 100,000.
    pub rows_per_run: usize,
}

/// `[entity.NAME]`: a business thing that lives in several systems.
#[derive(Debug)]
pub struct Entity {
    /// Its name.
    pub id: EntityId,
    /// In declared order; mappings and records refer to them by index.
    pub fields: Vec<Field>,
    /// Indices of the key fields.
    pub key: Vec<usize>,
    /// How each system holds it.
    pub mappings: BTreeMap<SystemId, Arc<Mapping>>,
    /// Where people can look at a record in a system: an address with `{key}` in it.
    pub links: BTreeMap<SystemId, String>,
    /// Default deadline class.
    pub class: Class,
}

/// Default deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Class {
    /// Within 30 seconds.
    Realtime,
    /// Within 5 minutes.
    #[default]
    NearRealtime,
    /// Within 24 hours.
    Batch,
}

impl Class {
    /// The class's deadline.
    pub const fn deadline(self) -> Duration {
        match self {
            Self::Realtime => Duration::from_secs(30),
            Self::NearRealtime => Duration::from_secs(300),
            Self::Batch => Duration::from_secs(86_400),
        }
    }
}

/// `[[probe]]`: a scheduled, read-only look.
#[derive(Debug)]
pub struct Probe {
    /// What it looks at.
    pub entity: EntityId,
    /// The owner whose changes it reads or whose keys it walks; of a schema probe any owner.
    pub owner: SystemId,
    /// How it looks.
    pub kind: ProbeKind,
    /// When.
    pub schedule: Schedule,
}

/// How a probe looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// What the owner changed, then the same keys in the targets.
    Changes,
    /// Pieces of the key order on both sides, in a walk that comes around.
    Sample(SampleSize),
    /// Columns and JSON shapes of every system that holds the entity.
    Schema,
    /// Everything on both sides.
    Sweep(SweepSettings),
    /// What each side comes to by day, currency and status.
    Totals(TotalsSettings),
}

/// How a sweep goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepSettings {
    /// Hours in which it may go on; any when absent.
    pub hours: Option<Hours>,
    /// About how many rows make a piece that one auditor takes. Default 500,000.
    pub chunk_rows: u64,
}

/// What a totals probe adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TotalsSettings {
    /// The fields, by their indices in the entity.
    pub fields: Fields,
    /// Where business days begin.
    pub calendar: Calendar,
    /// How many days each run looks at, the present one among them. Default 7.
    pub days: u32,
}

impl ProbeKind {
    /// The word that the config uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changes => "changes",
            Self::Sample(_) => "sample",
            Self::Schema => "schema",
            Self::Sweep(_) => "sweep",
            Self::Totals(_) => "totals",
        }
    }
}

/// How many keys one run of a sample probe looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleSize {
    /// So many of the owner's keys. Default 1,000.
    Keys(usize),
    /// As many as it takes to have looked at every key at least once in so long.
    EveryKeyWithin(Duration),
}

/// When a probe runs.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// `every 30s`.
    Every(Duration),
    /// `cron 0 */5 * * * *` in a time zone. Boxed: a parsed schedule is large.
    Cron(Box<cron::Schedule>, Tz),
}

/// `[[slo]]`: a promise that can be measured. One that selects several flows is made about each of them.
#[derive(Debug)]
pub struct Slo {
    /// What is promised, and when somebody is told.
    pub promise: Promise,
    /// The flows it speaks of; none for a queue.
    pub flows: Vec<FlowId>,
    /// Only of these fields of theirs; of all when empty.
    pub fields: Vec<FieldName>,
    /// The queue it speaks of, and the system that has it.
    pub queue: Option<(SystemId, String)>,
}

impl Slo {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.promise.name
    }

    /// Of a promise of freshness: good when the lag is at most this.
    pub fn within(&self) -> Option<Duration> {
        match self.promise.indicator {
            Indicator::Freshness(within) => Some(within),
            _ => None,
        }
    }
}
