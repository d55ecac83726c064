//! Confirmed, lasting differences while they live. Their history is in the ledger.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use uuid::Uuid;

use super::change::DiscrepancyChange;
use super::in_flight::rows_limit;
use super::{StateError, StateStore, sql};
use crate::model::Moment;

const TABLE: &str = "discrepancies";
const COLUMNS: &str = "id, flow, key_hash, status, verdict, opened_at, changed_at, since, payload";
const OPEN: &str = "status IN ('open', 'resolving')";

/// A discrepancy as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Discrepancy {
    /// Its id.
    pub id: Uuid,
    /// The flow, as [`crate::model::FlowId`] writes it.
    pub flow: String,
    /// Keyed BLAKE3 of the key, 32 hex digits.
    pub key_hash: String,
    /// `open`, `resolving`, `resolved`, `accepted`.
    pub status: String,
    /// The verdict's word.
    pub verdict: String,
    /// When it was opened.
    pub opened_at: Moment,
    /// When it last changed.
    pub changed_at: Moment,
    /// Since when the sides differ.
    pub since: Moment,
    /// Key, differing fields, values.
    pub payload: Vec<u8>,
}

/// Open discrepancies of one flow with one verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCount {
    /// The flow.
    pub flow: String,
    /// The verdict's word.
    pub verdict: String,
    /// How many.
    pub count: u64,
}

impl StateStore {
    /// The open discrepancies of the given keys of `flow`, by key hash.
    ///
    /// # Errors
    /// When the database does not answer or a row cannot be decrypted.
    pub async fn open_discrepancies(
        &self,
        flow: &str,
        key_hashes: &[String],
    ) -> Result<HashMap<String, Discrepancy>, StateError> {
        let mut found = HashMap::new();
        for part in key_hashes.chunks(sql::ROWS) {
            let text = format!(
                "SELECT {COLUMNS} FROM discrepancies WHERE {OPEN} AND flow = $1 AND key_hash IN ({}) \
                 ORDER BY opened_at",
                sql::list(2, part.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(text)).bind(flow);
            for key_hash in part {
                query = query.bind(key_hash.as_str());
            }
            let rows = query.fetch_all(&self.pool).await.map_err(StateError::sql("read discrepancies"))?;
            for row in &rows {
                let discrepancy = self.discrepancy_row(row)?;
                found.insert(discrepancy.key_hash.clone(), discrepancy);
            }
        }
        Ok(found)
    }

    /// Open discrepancies by flow and verdict.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn open_discrepancy_counts(&self) -> Result<Vec<OpenCount>, StateError> {
        let failed = StateError::sql("count discrepancies");
        let text = format!(
            "SELECT flow, verdict, COUNT(*) AS count FROM discrepancies WHERE {OPEN} \
             GROUP BY flow, verdict ORDER BY flow, verdict"
        );
        let rows = sqlx::query(AssertSqlSafe(text)).fetch_all(&self.pool).await.map_err(&failed)?;
        let count = |row: &AnyRow| -> Result<OpenCount, sqlx::Error> {
            let count = row.try_get::<i64, _>("count")?.unsigned_abs();
            Ok(OpenCount { flow: row.try_get("flow")?, verdict: row.try_get("verdict")?, count })
        };
        rows.iter().map(|row| count(row).map_err(&failed)).collect()
    }

    /// Open discrepancies, the oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer or a row cannot be decrypted.
    pub async fn list_open_discrepancies(&self, limit: usize) -> Result<Vec<Discrepancy>, StateError> {
        let text = format!("SELECT {COLUMNS} FROM discrepancies WHERE {OPEN} ORDER BY opened_at, id LIMIT $1");
        let rows = sqlx::query(AssertSqlSafe(text))
            .bind(rows_limit(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(StateError::sql("list discrepancies"))?;
        rows.iter().map(|row| self.discrepancy_row(row)).collect()
    }

    /// Removes discrepancies that were settled longer than `keep` ago; says how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_settled_discrepancies(&self, keep: Duration) -> Result<u64, StateError> {
        let done = sqlx::query(
            "DELETE FROM discrepancies WHERE status IN ('resolved', 'accepted') \
             AND changed_at < (SELECT now_us FROM database_clock) - $1",
        )
        .bind(i64::try_from(keep.as_micros()).unwrap_or(i64::MAX))
        .execute(&self.pool)
        .await
        .map_err(StateError::sql("remove settled discrepancies"))?;
        Ok(done.rows_affected())
    }

    fn discrepancy_row(&self, row: &AnyRow) -> Result<Discrepancy, StateError> {
        let failed = StateError::sql("read discrepancies");
        let id: String = row.try_get(0).map_err(&failed)?;
        let moment = |column: usize| row.try_get(column).map(Moment::from_micros).map_err(&failed);
        Ok(Discrepancy {
            payload: self.unseal(TABLE, "", &id, row.try_get(8).map_err(&failed)?)?,
            id: id.parse().map_err(|_| StateError::Unreadable { table: TABLE })?,
            flow: row.try_get(1).map_err(&failed)?,
            key_hash: row.try_get(2).map_err(&failed)?,
            status: row.try_get(3).map_err(&failed)?,
            verdict: row.try_get(4).map_err(&failed)?,
            opened_at: moment(5)?,
            changed_at: moment(6)?,
            since: moment(7)?,
        })
    }

    /// Writes the steps of one run, in their order.
    pub(super) async fn change_discrepancies(
        &self,
        connection: &mut AnyConnection,
        changes: &[DiscrepancyChange],
    ) -> Result<(), StateError> {
        for part in changes.chunks(sql::ROWS) {
            for steps in without_repeats(part) {
                self.upsert_discrepancies(connection, steps).await?;
            }
        }
        Ok(())
    }

    async fn upsert_discrepancies(
        &self,
        connection: &mut AnyConnection,
        steps: &[DiscrepancyChange],
    ) -> Result<(), StateError> {
        let text = format!(
            "INSERT INTO discrepancies ({COLUMNS}) VALUES {} ON CONFLICT (id) DO UPDATE SET \
             status = excluded.status, verdict = excluded.verdict, changed_at = excluded.changed_at, \
             since = excluded.since, payload = excluded.payload",
            sql::rows(steps.len(), 9)
        );
        let mut query = sqlx::query(AssertSqlSafe(text)).persistent(steps.len() == sql::ROWS);
        for step in steps {
            let id = step.id.to_string();
            let payload = self.seal(TABLE, "", &id, &step.payload);
            query = query
                .bind(id)
                .bind(step.flow.as_str())
                .bind(step.key_hash.as_str())
                .bind(step.status.as_str())
                .bind(step.verdict.as_str())
                .bind(step.at.micros())
                .bind(step.at.micros())
                .bind(step.since.micros())
                .bind(payload);
        }
        query.execute(connection).await.map_err(StateError::sql("write discrepancies"))?;
        Ok(())
    }
}

/// Splits where an id would come twice: one statement must not touch a row twice.
fn without_repeats(steps: &[DiscrepancyChange]) -> Vec<&[DiscrepancyChange]> {
    let mut parts = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut from = 0;
    for (position, step) in steps.iter().enumerate() {
        if !seen.insert(step.id) {
            parts.push(&steps[from..position]);
            from = position;
            seen.clear();
            seen.insert(step.id);
        }
    }
    parts.push(&steps[from..]);
    parts.retain(|part| !part.is_empty());
    parts
}
