//! Rows of one table, cut into blocks in the same way each time, and their way into ClickHouse.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::native::{Block, Columns};
use crate::ledger::LedgerError;
use crate::ledger::migrate::timed;
use crate::ledger::rows::{
    CheckRow, CoverageRow, DiscrepancyRow, EstimateRow, FreshnessRow, IncidentRow, RunRow, RunRows, SampleRow,
    SchemaChangeRow, SloMinuteRow, SweepRow, TotalsRow,
};

const SEND_LIMIT: Duration = Duration::from_secs(60);
const ANSWER_LIMIT: Duration = Duration::from_secs(300);
const LOOK_UP_LIMIT: Duration = Duration::from_secs(60);
/// An insert that has not ended after so long is told, long before it is given up: nothing else would say why rows
/// that are needed now are not there.
const TELL_AFTER: Duration = Duration::from_secs(15);

/// Most rows of a block, unless one run has more. Part of the deduplication token's meaning: blocks that were cut
/// otherwise are recognised by looking up, not by token.
pub(super) const ROWS: usize = 250_000;

/// A row that the shipper carries.
pub(super) trait LedgerRow: Columns + Serialize + Clone + Send + Sync + Sized + 'static {
    /// Its table.
    const TABLE: &'static str;
    /// The column that its partition is made of.
    const TIME: &'static str;
    fn run_id(&self) -> Uuid;
    /// The value of the column [`LedgerRow::TIME`].
    fn micros(&self) -> i64;
    fn take(rows: &mut RunRows) -> Vec<Self>;
}

macro_rules! ledger_row {
    ($row:ty, $table:literal, $field:ident, $time:ident) => {
        impl LedgerRow for $row {
            const TABLE: &'static str = $table;
            const TIME: &'static str = stringify!($time);

            fn run_id(&self) -> Uuid {
                self.run_id
            }

            fn micros(&self) -> i64 {
                self.$time
            }

            fn take(rows: &mut RunRows) -> Vec<Self> {
                std::mem::take(&mut rows.$field)
            }
        }
    };
}

ledger_row!(CheckRow, "checks", checks, at);
ledger_row!(FreshnessRow, "freshness", freshness, decided_at);
ledger_row!(RunRow, "runs", runs, ended_at);
ledger_row!(CoverageRow, "coverage", coverage, to);
ledger_row!(DiscrepancyRow, "discrepancy_events", discrepancies, at);
ledger_row!(EstimateRow, "estimates", estimates, at);
ledger_row!(SchemaChangeRow, "schema_changes", schema_changes, at);
ledger_row!(SampleRow, "samples", samples, at);
ledger_row!(SloMinuteRow, "slo_minute", slo_minutes, at);
ledger_row!(IncidentRow, "incident_events", incident_events, at);
ledger_row!(SweepRow, "sweeps", sweeps, at);
ledger_row!(TotalsRow, "totals", totals, at);

/// Whole runs together up to `limit` rows; a run with more is cut by itself.
pub(super) fn cut<T>(runs: Vec<Vec<T>>, limit: usize) -> Vec<Vec<T>> {
    let mut blocks: Vec<Vec<T>> = Vec::new();
    let mut block: Vec<T> = Vec::new();
    for mut run in runs {
        if !block.is_empty() && block.len() + run.len() > limit {
            blocks.push(std::mem::take(&mut block));
        }
        while run.len() > limit {
            let rest = run.split_off(limit);
            blocks.push(std::mem::replace(&mut run, rest));
        }
        block.append(&mut run);
    }
    if !block.is_empty() {
        blocks.push(block);
    }
    blocks
}

/// Sends `rows` as one block, which ClickHouse takes once for each `token`.
pub(super) async fn insert<T: LedgerRow>(client: &Client, token: &str, rows: &Arc<Vec<T>>) -> Result<(), LedgerError> {
    let failed = || LedgerError::while_doing(format!("insert into `{}`", T::TABLE));
    let rows = Arc::clone(rows);
    // Writing a quarter of a million rows takes longer than an async thread may be held up.
    let block = tokio::task::spawn_blocking(move || Block::new(&rows)).await;
    let block = block.map_err(|error| clickhouse::error::Error::Other(error.into())).map_err(failed())?;
    let statement = format!("INSERT INTO {} ({}) FORMAT Native", T::TABLE, block.column_list());
    let mut insert = client.insert_formatted_with(statement).with_timeouts(Some(SEND_LIMIT), Some(ANSWER_LIMIT));
    for (name, value) in one_block(token) {
        insert = insert.with_setting(name, value);
    }
    let sent = async {
        for piece in block.into_pieces() {
            insert.send(piece).await?;
        }
        insert.end().await
    };
    telling(T::TABLE, sent).await.map_err(failed())
}

/// Waits for an insert, and says so while it takes long.
async fn telling<O>(table: &str, insert: impl Future<Output = O>) -> O {
    let mut insert = pin!(insert);
    let mut waited = Duration::ZERO;
    loop {
        if let Ok(outcome) = tokio::time::timeout(TELL_AFTER, &mut insert).await {
            return outcome;
        }
        waited += TELL_AFTER;
        let (seconds, limit) = (waited.as_secs(), ANSWER_LIMIT.as_secs());
        tracing::warn!("ClickHouse has not answered an insert into `{table}` for {seconds} s; waiting up to {limit} s");
    }
}

/// One block an insert, known by its token in the table and in the rollups behind it.
fn one_block(token: &str) -> [(&'static str, String); 9] {
    let more_than_a_block = "10000000";
    [
        ("async_insert", "0".to_owned()),
        ("insert_deduplicate", "1".to_owned()),
        ("insert_deduplication_token", token.to_owned()),
        // Without this, a crash between a table and its rollup would leave the rollup short: the repeated block
        // would be dropped before it came there.
        ("deduplicate_blocks_in_dependent_materialized_views", "1".to_owned()),
        ("max_insert_block_size", more_than_a_block.to_owned()),
        ("min_insert_block_size_rows", more_than_a_block.to_owned()),
        ("min_insert_block_size_bytes", "4000000000".to_owned()),
        ("max_partitions_per_insert_block", "0".to_owned()),
        ("max_insert_threads", "1".to_owned()),
    ]
}

#[derive(Row, Deserialize)]
struct Present {
    #[serde(with = "clickhouse::serde::uuid")]
    run_id: Uuid,
    day: u32,
    count: u64,
}

/// How many rows of each run and day are in the table: blocks come in order and are whole in each partition, so these
/// are the first rows of that run and day.
pub(super) type PresentRows = HashMap<(Uuid, u32), u64>;

/// Looks `blocks` up by run id.
pub(super) async fn look_up<T: LedgerRow>(client: &Client, blocks: &[Arc<Vec<T>>]) -> Result<PresentRows, LedgerError> {
    let rows = || blocks.iter().flat_map(|rows| rows.iter());
    let (Some(first), Some(last)) = (rows().map(T::micros).min(), rows().map(T::micros).max()) else {
        return Ok(PresentRows::new());
    };
    let mut run_ids: Vec<Uuid> = rows().map(T::run_id).collect();
    run_ids.sort();
    run_ids.dedup();
    let mut present = PresentRows::new();
    for part in run_ids.chunks(500) {
        let text = format!(
            "SELECT run_id, toYYYYMMDD(?) AS day, count() AS count FROM ? \
             WHERE ? BETWEEN fromUnixTimestamp64Micro(?, 'UTC') AND fromUnixTimestamp64Micro(?, 'UTC') \
             AND run_id IN ({}) GROUP BY run_id, day",
            part.iter().map(|run_id| format!("'{run_id}'")).collect::<Vec<_>>().join(", ")
        );
        let time = clickhouse::sql::Identifier(T::TIME);
        let query = client
            .query(&text)
            .bind(time)
            .bind(clickhouse::sql::Identifier(T::TABLE))
            .bind(clickhouse::sql::Identifier(T::TIME))
            .bind(first)
            .bind(last);
        let action = format!("look runs up in `{}`", T::TABLE);
        for row in timed(&action, LOOK_UP_LIMIT, query.fetch_all::<Present>()).await? {
            present.insert((row.run_id, row.day), row.count);
        }
    }
    Ok(present)
}

/// The rows that are not present yet; takes those that are out of `present`.
pub(super) fn absent<T: LedgerRow>(block: &[T], present: &mut PresentRows) -> Vec<T> {
    let is_absent = |row: &&T| match present.get_mut(&(row.run_id(), day(row.micros()))) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    block.iter().filter(is_absent).cloned().collect()
}

/// `toYYYYMMDD` of a `DateTime64(6, 'UTC')`.
fn day(micros: i64) -> u32 {
    let date = crate::model::Moment::from_micros(micros).to_utc().format("%Y%m%d").to_string();
    date.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_stay_together_unless_they_are_too_large() {
        let check = |sizes: &[usize], expect: &[usize]| {
            let runs: Vec<Vec<usize>> = sizes.iter().map(|size| (0..*size).collect()).collect();
            let blocks: Vec<usize> = cut(runs, 10).iter().map(Vec::len).collect();
            assert_eq!(blocks, expect, "{sizes:?}");
        };
        check(&[], &[]);
        check(&[0, 0], &[]);
        check(&[4, 4, 4], &[8, 4]);
        check(&[10, 1], &[10, 1]);
        check(&[3, 25, 2], &[3, 10, 10, 7]);
        check(&[30], &[10, 10, 10]);
    }

    fn run(id: u128, micros: i64) -> RunRow {
        RunRow {
            tenant: "default".to_owned(),
            entity: "stock".to_owned(),
            owner: "erp".to_owned(),
            probe: "changes".to_owned(),
            run_id: Uuid::from_u128(id),
            token: 1,
            auditor: "a".to_owned(),
            started_at: micros,
            ended_at: micros,
            outcome: "ok".to_owned(),
            reason: String::new(),
            owner_records: 0,
            target_records: 0,
            checks: 0,
            in_flight: 0,
        }
    }

    #[test]
    fn what_is_present_is_left_out_by_run_and_day() {
        let day_us = 86_400_000_000;
        let rows = vec![run(1, 0), run(1, 1), run(1, day_us), run(2, 0)];
        let mut present =
            PresentRows::from([((Uuid::from_u128(1), 19_700_101), 1), ((Uuid::from_u128(2), 19_700_101), 1)]);
        assert_eq!(absent(&rows, &mut present), vec![run(1, 1), run(1, day_us)]);
    }
}
