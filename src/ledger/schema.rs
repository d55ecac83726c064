//! The migration files as SQL for one server or for a cluster.
//!
//! On one server a table is a MergeTree under its own name. On a cluster each file's table becomes `NAME_local`, a
//! ReplicatedMergeTree on every replica, and `NAME` is a Distributed table over it, sharded by the key that the file
//! names in its line `-- distributed: NAME by KEY`. The key depends on the row alone, so that a repeated block is split
//! as it was before and each shard recognises its part.

use super::LedgerError;

/// What differs between ledgers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerOptions {
    /// Database that holds the tables; made when absent.
    pub database: String,
    /// Cluster for replicated, distributed tables.
    pub cluster: Option<String>,
    /// Days to keep checks, freshness events and queue samples.
    pub checks_days: u32,
    /// Days to keep events of discrepancies, incidents, resyncs and messages.
    pub events_days: u32,
    /// Days to keep rollups, runs, coverage, estimates, sweeps and totals.
    pub rollup_days: u32,
}

impl Default for LedgerOptions {
    fn default() -> Self {
        Self { database: "plumbline".to_owned(), cluster: None, checks_days: 90, events_days: 730, rollup_days: 730 }
    }
}

/// Migration files in order. Append-only: an applied file never changes.
pub(super) const FILES: &[(&str, &str)] = &[
    ("20261122000001_checks", include_str!("../../migrations/clickhouse/20261122000001_checks.sql")),
    ("20261122000002_freshness", include_str!("../../migrations/clickhouse/20261122000002_freshness.sql")),
    ("20261122000003_runs", include_str!("../../migrations/clickhouse/20261122000003_runs.sql")),
    ("20261122000004_events", include_str!("../../migrations/clickhouse/20261122000004_events.sql")),
    ("20261122000005_measures", include_str!("../../migrations/clickhouse/20261122000005_measures.sql")),
    ("20261122000006_population", include_str!("../../migrations/clickhouse/20261122000006_population.sql")),
    ("20261123000001_schema", include_str!("../../migrations/clickhouse/20261123000001_schema.sql")),
    ("20261124000002_promises", include_str!("../../migrations/clickhouse/20261124000002_promises.sql")),
    ("20261125000001_totals", include_str!("../../migrations/clickhouse/20261125000001_totals.sql")),
    ("20261125000002_sweeps", include_str!("../../migrations/clickhouse/20261125000002_sweeps.sql")),
];

/// Blocks that a table remembers by their token, and for how long. Beyond that the shipper looks rows up.
const DURABLE: &str = "non_replicated_deduplication_window = 20000, replicated_deduplication_window = 20000, \
                       replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, \
                       fsync_part_directory = 1";

/// The statements of `file`, ready to be sent one by one.
pub(super) fn render(file: &str, options: &LedgerOptions) -> Vec<String> {
    let mut text = String::with_capacity(file.len() * 2);
    for line in file.lines() {
        match (line.strip_prefix("-- distributed: "), &options.cluster) {
            (Some(rule), Some(cluster)) => text.push_str(&distributed(rule, cluster)),
            _ if line.trim_start().starts_with("--") => {}
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    let text = fill(&text, options);
    text.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

/// `checks by sipHash64(key_hash)` as the table that spreads over the cluster.
fn distributed(rule: &str, cluster: &str) -> String {
    let (table, key) = rule.split_once(" by ").unwrap_or((rule, "rand()"));
    format!(
        "CREATE TABLE IF NOT EXISTS ${{database}}.{table}${{on_cluster}} AS ${{database}}.{table}_local \
         ENGINE = Distributed('{cluster}', '${{database}}', '{table}_local', {key});"
    )
}

fn fill(text: &str, options: &LedgerOptions) -> String {
    let clustered = options.cluster.is_some();
    let on_cluster = options.cluster.as_ref().map(|cluster| format!(" ON CLUSTER '{cluster}'")).unwrap_or_default();
    text.replace("${database}", &options.database)
        .replace("${on_cluster}", &on_cluster)
        .replace("${if_empty}", if clustered { "" } else { " IF EMPTY" })
        .replace("${local}", if clustered { "_local" } else { "" })
        .replace("${replicated}", if clustered { "Replicated" } else { "" })
        .replace("${durable}", DURABLE)
        .replace("${checks_days}", &options.checks_days.to_string())
        .replace("${events_days}", &options.events_days.to_string())
        .replace("${rollup_days}", &options.rollup_days.to_string())
}

/// The longest time that rows can be kept, in days: `DateTime` ends in 2106, and a time beyond it wraps around to a
/// date that is long past. Fifty years leave a margin until 2056.
pub(super) const MOST_DAYS: u32 = 50 * 365;

/// Names are written into DDL, where nothing can be bound.
pub(super) fn check(options: &LedgerOptions) -> Result<(), LedgerError> {
    for name in std::iter::once(&options.database).chain(&options.cluster) {
        let letters = name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
        if name.is_empty() || !letters || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(LedgerError::Name(name.clone()));
        }
    }
    let too_long = |days: &u32| *days > MOST_DAYS;
    let days = [options.checks_days, options.events_days, options.rollup_days].into_iter().find(too_long);
    days.map_or(Ok(()), |days| Err(LedgerError::Days(days)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(options: &LedgerOptions) -> String {
        FILES.iter().flat_map(|(_, file)| render(file, options)).collect::<Vec<_>>().join(";\n")
    }

    #[test]
    fn rows_are_not_kept_longer_than_the_calendar_of_the_ledger() {
        let check_days = |days: u32| check(&LedgerOptions { checks_days: days, ..LedgerOptions::default() });
        assert!(check_days(MOST_DAYS).is_ok());
        let refused = check_days(36_500).unwrap_err().to_string();
        assert_eq!(refused, "`36500` days are more than the ledger can keep rows: at most 18250");
    }

    #[test]
    fn one_server_gets_plain_tables() {
        let sql = all(&LedgerOptions::default());
        assert!(!sql.contains("${"), "{sql}");
        for word in ["ReplicatedMergeTree", "Distributed", "ON CLUSTER", "_local"] {
            assert!(!sql.contains(word), "`{word}` in {sql}");
        }
        assert!(sql.contains("CREATE TABLE IF NOT EXISTS plumbline.checks ("));
    }

    #[test]
    fn a_cluster_gets_a_distributed_table_for_each_local_one() {
        let options = LedgerOptions {
            cluster: Some("main".to_owned()),
            database: "audit".to_owned(),
            ..LedgerOptions::default()
        };
        let sql = all(&options);
        assert!(!sql.contains("${"), "{sql}");
        let count = |text: &str| sql.matches(text).count();
        assert_eq!(count("_local ON CLUSTER 'main' ("), count("ENGINE = Distributed('main', 'audit', "));
        assert_eq!(count("ENGINE = ReplicatedMergeTree") + count("ENGINE = ReplicatedAggregatingMergeTree"), 19);
        assert_eq!(count("ENGINE = MergeTree") + count("ENGINE = AggregatingMergeTree"), 0);
        assert_eq!(count("rand()"), 0, "a random shard would let a repeated block through");
        assert!(sql.contains(
            "CREATE TABLE IF NOT EXISTS audit.checks ON CLUSTER 'main' AS audit.checks_local ENGINE = \
             Distributed('main', 'audit', 'checks_local', sipHash64(tenant, entity, key_hash))"
        ));
        assert!(sql.contains("TO audit.checks_minute_local AS"), "views feed the local rollup");
    }

    #[test]
    fn every_table_remembers_blocks_and_syncs_them() {
        let sql = all(&LedgerOptions::default());
        let tables = sql.matches("CREATE TABLE").count();
        assert_eq!(tables, 19);
        for setting in ["non_replicated_deduplication_window", "fsync_after_insert", "fsync_part_directory"] {
            assert_eq!(sql.matches(setting).count(), tables, "{setting}");
        }
        assert_eq!(sql.matches("TTL ").count(), tables - 1, "all but the population of reports");
    }

    #[test]
    fn names_are_checked_before_they_are_written() {
        let check = |database: &str| {
            check(&LedgerOptions { database: database.to_owned(), ..LedgerOptions::default() }).is_ok()
        };
        assert!(check("plumbline_2"));
        for bad in ["", "a b", "a'b", "2a", "a;b", "ä"] {
            assert!(!check(bad), "`{bad}`");
        }
    }
}
