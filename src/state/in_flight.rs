//! Keys that differ and are looked at again until the divergence ends or its deadline has passed.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::change::InFlightChange;
use super::{StateError, StateStore, sql};
use crate::model::Moment;

const TABLE: &str = "in_flight";

/// One unsettled key of one flow.
#[derive(Clone, Debug, PartialEq)]
pub struct InFlight {
    /// The flow, as [`crate::model::FlowId`] writes it.
    pub flow: String,
    /// Keyed BLAKE3 of the key, 32 hex digits.
    pub key_hash: String,
    /// When to look again.
    pub due_at: Moment,
    /// When its deadline passes.
    pub overdue_at: Moment,
    /// Key and track, encoded.
    pub payload: Vec<u8>,
}

/// How many keys of a flow are in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowInFlight {
    /// The flow.
    pub flow: String,
    /// Unsettled keys.
    pub count: u64,
    /// Of these, past their deadline.
    pub overdue: u64,
    /// The earliest deadline, if it has passed.
    pub oldest_overdue_at: Option<Moment>,
}

impl StateStore {
    /// Keys of `flows` that are due by `now`, the longest due first, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer or a row cannot be decrypted.
    pub async fn in_flight_due(
        &self,
        flows: &[String],
        now: Moment,
        limit: usize,
    ) -> Result<Vec<InFlight>, StateError> {
        let text = format!(
            "SELECT flow, key_hash, due_at, overdue_at, payload FROM in_flight \
             WHERE due_at <= $1 AND flow IN ({}) ORDER BY due_at LIMIT $2",
            sql::list(3, flows.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(text)).bind(now.micros()).bind(rows_limit(limit));
        for flow in flows {
            query = query.bind(flow.as_str());
        }
        let rows = query.fetch_all(&self.pool).await.map_err(StateError::sql("read due keys"))?;
        rows.iter().map(|row| self.in_flight_row(row)).collect()
    }

    /// Keys of `flow` whose hash comes after `after`, in hash order, at most `limit`: for taking up a whole flow in
    /// bounded batches.
    ///
    /// # Errors
    /// When the database does not answer or a row cannot be decrypted.
    pub async fn in_flight_after(&self, flow: &str, after: &str, limit: usize) -> Result<Vec<InFlight>, StateError> {
        let query = sqlx::query(
            "SELECT flow, key_hash, due_at, overdue_at, payload FROM in_flight \
             WHERE flow = $1 AND key_hash > $2 ORDER BY key_hash LIMIT $3",
        );
        let query = query.bind(flow).bind(after).bind(rows_limit(limit));
        let rows = query.fetch_all(&self.pool).await.map_err(StateError::sql("read keys in flight"))?;
        rows.iter().map(|row| self.in_flight_row(row)).collect()
    }

    /// What is kept of the given keys of `flow`; keys that are not in flight are left out.
    ///
    /// # Errors
    /// When the database does not answer or a row cannot be decrypted.
    pub async fn in_flight_get(&self, flow: &str, key_hashes: &[String]) -> Result<Vec<InFlight>, StateError> {
        let mut found = Vec::new();
        for part in key_hashes.chunks(sql::ROWS) {
            let text = format!(
                "SELECT flow, key_hash, due_at, overdue_at, payload FROM in_flight \
                 WHERE flow = $1 AND key_hash IN ({})",
                sql::list(2, part.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(text)).bind(flow);
            for key_hash in part {
                query = query.bind(key_hash.as_str());
            }
            let rows = query.fetch_all(&self.pool).await.map_err(StateError::sql("read keys in flight"))?;
            for row in &rows {
                found.push(self.in_flight_row(row)?);
            }
        }
        Ok(found)
    }

    /// Counts by flow, from an index alone. Flows without keys in flight are left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn in_flight_stats(&self, now: Moment) -> Result<Vec<FlowInFlight>, StateError> {
        let failed = StateError::sql("count keys in flight");
        let rows = sqlx::query(
            "SELECT flow, COUNT(*) AS count, COUNT(CASE WHEN overdue_at <= $1 THEN 1 END) AS overdue, \
             MIN(overdue_at) AS oldest FROM in_flight GROUP BY flow ORDER BY flow",
        )
        .bind(now.micros())
        .fetch_all(&self.pool)
        .await
        .map_err(&failed)?;
        rows.iter().map(|row| flow_in_flight(row, now).map_err(&failed)).collect()
    }

    /// How many keys are in flight over all flows: what the bound is held against.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn in_flight_count(&self) -> Result<u64, StateError> {
        let failed = StateError::sql("count keys in flight");
        let row = sqlx::query("SELECT COUNT(*) FROM in_flight").fetch_one(&self.pool).await.map_err(&failed)?;
        Ok(row.try_get::<i64, _>(0).map_err(&failed)?.unsigned_abs())
    }

    fn in_flight_row(&self, row: &AnyRow) -> Result<InFlight, StateError> {
        let failed = StateError::sql("read keys in flight");
        let flow: String = row.try_get(0).map_err(&failed)?;
        let key_hash: String = row.try_get(1).map_err(&failed)?;
        let payload = self.unseal(TABLE, &flow, &key_hash, row.try_get(4).map_err(&failed)?)?;
        let due_at = Moment::from_micros(row.try_get(2).map_err(&failed)?);
        let overdue_at = Moment::from_micros(row.try_get(3).map_err(&failed)?);
        Ok(InFlight { flow, key_hash, due_at, overdue_at, payload })
    }

    /// Writes the changes of one run: settled keys leave, the others come in or are replaced.
    pub(super) async fn change_in_flight(
        &self,
        connection: &mut AnyConnection,
        changes: &[InFlightChange],
    ) -> Result<(), StateError> {
        let mut changes: Vec<&InFlightChange> = changes.iter().collect();
        // By flow for the deletes; stable, so that of two changes of one key the later one stays the later one.
        changes.sort_by(|a, b| (&a.flow, &a.key_hash).cmp(&(&b.flow, &b.key_hash)));
        let last_of_key: Vec<&InFlightChange> = changes
            .chunk_by(|a, b| (&a.flow, &a.key_hash) == (&b.flow, &b.key_hash))
            .filter_map(|same| same.last().copied())
            .collect();
        let (kept, settled): (Vec<_>, Vec<_>) = last_of_key.into_iter().partition(|change| change.entry.is_some());
        for flow in settled.chunk_by(|a, b| a.flow == b.flow) {
            for part in flow.chunks(sql::ROWS) {
                delete(connection, part).await?;
            }
        }
        for part in kept.chunks(sql::ROWS) {
            self.upsert(connection, part).await?;
        }
        Ok(())
    }

    async fn upsert(&self, connection: &mut AnyConnection, part: &[&InFlightChange]) -> Result<(), StateError> {
        let text = format!(
            "INSERT INTO in_flight (flow, key_hash, due_at, overdue_at, payload) VALUES {} \
             ON CONFLICT (flow, key_hash) DO UPDATE SET \
             due_at = excluded.due_at, overdue_at = excluded.overdue_at, payload = excluded.payload",
            sql::rows(part.len(), 5)
        );
        let mut query = sqlx::query(AssertSqlSafe(text)).persistent(part.len() == sql::ROWS);
        for change in part {
            let Some(entry) = &change.entry else { continue };
            query = query
                .bind(change.flow.as_str())
                .bind(change.key_hash.as_str())
                .bind(entry.due_at.micros())
                .bind(entry.overdue_at.micros())
                .bind(self.seal(TABLE, &change.flow, &change.key_hash, &entry.payload));
        }
        query.execute(connection).await.map_err(StateError::sql("write keys in flight"))?;
        Ok(())
    }
}

async fn delete(connection: &mut AnyConnection, part: &[&InFlightChange]) -> Result<(), StateError> {
    let Some(first) = part.first() else { return Ok(()) };
    let text = format!("DELETE FROM in_flight WHERE flow = $1 AND key_hash IN ({})", sql::list(2, part.len()));
    let persistent = part.len() == sql::ROWS;
    let mut query = sqlx::query(AssertSqlSafe(text)).persistent(persistent).bind(first.flow.as_str());
    for change in part {
        query = query.bind(change.key_hash.as_str());
    }
    query.execute(connection).await.map_err(StateError::sql("remove settled keys"))?;
    Ok(())
}

fn flow_in_flight(row: &AnyRow, now: Moment) -> Result<FlowInFlight, sqlx::Error> {
    let oldest = Moment::from_micros(row.try_get("oldest")?);
    Ok(FlowInFlight {
        flow: row.try_get("flow")?,
        count: row.try_get::<i64, _>("count")?.unsigned_abs(),
        overdue: row.try_get::<i64, _>("overdue")?.unsigned_abs(),
        oldest_overdue_at: (oldest <= now).then_some(oldest),
    })
}

pub(super) fn rows_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
