//! `[system.NAME]`: one external system.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::address::{Address, system_address};
use super::section::{Keys, Node, Read, Section};
use super::{BudgetConfig, Pack, System, SystemKind, TlsMode, duration, pack, zone};
use crate::model::SystemId;

pub(super) const KEYS: Keys = Keys {
    section: "[system.NAME]",
    names: &[
        "for_each",
        "kind",
        "url",
        "password",
        "pack",
        "settings",
        "tls",
        "tls_ca",
        "commit_delay",
        "statement_timeout",
        "max_replica_lag",
        "budget",
        "time_zone",
    ],
    not_yet: &[],
};

pub(super) const BUDGET_KEYS: Keys = Keys {
    section: "[system.NAME] budget",
    names: &["requests_per_second", "concurrency", "rows_per_run"],
    not_yet: &[],
};

const KINDS: [(&str, SystemKind); 5] = [
    ("postgres", SystemKind::Postgres),
    ("mysql", SystemKind::Mysql),
    ("mariadb", SystemKind::Mysql),
    ("sqlite", SystemKind::Sqlite),
    ("http", SystemKind::Http),
];
const TLS_MODES: [(&str, TlsMode); 3] =
    [("off", TlsMode::Off), ("require", TlsMode::Require), ("verify", TlsMode::Verify)];

pub(super) fn read(id: SystemId, section: &Section<'_>) -> Option<System> {
    let kind = section.need("kind").and_then(|node| node.choice(&KINDS));
    let password = section.optional::<SecretString>("password");
    let time_zone = section.get("time_zone").and_then(zone::read).unwrap_or(chrono_tz::UTC);
    let budget = section.get("budget").and_then(|node| node.section(&BUDGET_KEYS));
    let statement_timeout = section.get("statement_timeout").and_then(statement_timeout);
    let max_replica_lag = section.get("max_replica_lag").and_then(max_replica_lag);
    let commit_delay = section.get("commit_delay").and_then(commit_delay);
    let tls_ca = section.get("tls_ca").and_then(readable_file);
    let tls = section.get("tls").and_then(|node| node.choice(&TLS_MODES));
    let url = section.need("url");
    // The rest depends on the kind.
    let kind = kind?;
    let address = url.and_then(|node| system_address(node, kind, password.as_ref()));
    refuse_what_kinds_lack(section, kind);
    let pack = match kind {
        SystemKind::Http => Some(pack::read_use(section, address.as_ref()?)?),
        _ => None,
    };
    let address = address?;
    let defaults = pack.as_deref().map_or_else(BudgetConfig::default, BudgetConfig::of_pack);
    Some(System {
        id,
        kind,
        tls: if kind == SystemKind::Http { http_tls(&address) } else { tls_mode(section, &address, tls) },
        url: address.url,
        tls_ca,
        commit_delay: commit_delay.unwrap_or_else(|| kind.default_commit_delay()),
        statement_timeout: statement_timeout.unwrap_or(Duration::from_secs(30)),
        max_replica_lag: max_replica_lag.unwrap_or(Duration::from_secs(10)),
        budget: budget.map_or(defaults, |section| read_budget(&section, defaults)),
        pack,
        time_zone,
    })
}

impl SystemKind {
    /// PostgreSQL knows its oldest running transaction; the others need a declared delay.
    const fn default_commit_delay(self) -> Duration {
        match self {
            Self::Postgres => Duration::ZERO,
            Self::Mysql | Self::Sqlite | Self::Http => Duration::from_secs(5),
        }
    }
}

fn refuse_what_kinds_lack(section: &Section<'_>, kind: SystemKind) {
    let (what, keys): (&str, &[&'static str]) = match kind {
        SystemKind::Sqlite => ("a SQLite file", &["password", "tls", "tls_ca", "pack", "settings", "max_replica_lag"]),
        SystemKind::Http => ("a system of kind `http`", &["password", "tls", "max_replica_lag"]),
        SystemKind::Mysql => ("a MySQL or MariaDB database", &["pack", "settings", "max_replica_lag"]),
        SystemKind::Postgres => ("a database", &["pack", "settings"]),
    };
    for key in keys {
        if let Some(node) = section.get(key) {
            section.reading.problem(node.at(), format!("{what} has no `{key}`"));
        }
    }
}

/// Certificates of HTTP systems are always checked; plain `http` is for this machine only, which the address tells.
const fn http_tls(address: &Address) -> TlsMode {
    if address.is_local { TlsMode::Off } else { TlsMode::Verify }
}

fn tls_mode(section: &Section<'_>, address: &Address, declared: Option<TlsMode>) -> TlsMode {
    let mode = declared.unwrap_or(if address.is_local { TlsMode::Off } else { TlsMode::Require });
    if mode == TlsMode::Off && !address.is_local {
        let at = section.get("tls").map_or(section.at, Node::at);
        section.reading.problem(at, "`off` is for loopback only; use `require` or `verify`");
    }
    if let (Some(ca), false) = (section.get("tls_ca"), mode == TlsMode::Verify) {
        section.reading.problem(ca.at(), "a certificate authority is used only with `tls = \"verify\"`");
    }
    mode
}

fn readable_file(node: Node<'_>) -> Option<PathBuf> {
    let path = PathBuf::read(node)?;
    match std::fs::File::open(&path) {
        Ok(_) => Some(path),
        Err(error) => node.refuse(format!("`{}` cannot be read: {error}", path.display())),
    }
}

fn commit_delay(node: Node<'_>) -> Option<Duration> {
    duration::bounded(node, Duration::ZERO, Duration::from_secs(86_400))
}

fn max_replica_lag(node: Node<'_>) -> Option<Duration> {
    duration::bounded(node, Duration::from_secs(1), Duration::from_secs(86_400))
}

fn statement_timeout(node: Node<'_>) -> Option<Duration> {
    duration::bounded(node, Duration::from_millis(100), Duration::from_secs(3600))
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { requests_per_second: 50.0, concurrency: 4, rows_per_run: 100_000 }
    }
}

/// More connections than this no system grants to an auditor.
const MOST_AT_ONCE: usize = 256;
/// The rows of a run are held in memory.
const MOST_ROWS: usize = 10_000_000;

impl BudgetConfig {
    /// What a pack says its product bears.
    fn of_pack(pack: &Pack) -> Self {
        let (requests_per_second, concurrency) = (pack.limit.requests_per_second, pack.limit.concurrency);
        Self { requests_per_second, concurrency, ..Self::default() }
    }
}

fn read_budget(section: &Section<'_>, defaults: BudgetConfig) -> BudgetConfig {
    BudgetConfig {
        requests_per_second: section.get("requests_per_second").and_then(rate).unwrap_or(defaults.requests_per_second),
        concurrency: section
            .get("concurrency")
            .and_then(|node| node.within(1, MOST_AT_ONCE))
            .unwrap_or(defaults.concurrency),
        rows_per_run: section
            .get("rows_per_run")
            .and_then(|node| node.within(1, MOST_ROWS))
            .unwrap_or(defaults.rows_per_run),
    }
}

/// A rate may have a fraction: one request in ten seconds is 0.1.
fn rate(node: Node<'_>) -> Option<f64> {
    let rate = crate::model::Number::read(node)?.to_f64_lossy();
    if (0.001..=1_000_000.0).contains(&rate) {
        return Some(rate);
    }
    node.refuse(format!("must be from 0.001 to 1000000, found {rate}"))
}
