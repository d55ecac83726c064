//! Times in which something is worked on, as people say them: recorded, never erased.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{StateError, StateStore};
use crate::model::Moment;

/// A time in which something is worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenanceRow {
    /// Its name.
    pub id: String,
    /// From.
    pub from: Moment,
    /// To; half-open.
    pub to: Moment,
    /// Names of systems; none for everything.
    pub systems: Vec<String>,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
}

impl StateStore {
    /// Records a time of maintenance.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn add_maintenance(&self, row: &MaintenanceRow) -> Result<(), StateError> {
        sqlx::query(
            "INSERT INTO maintenance (id, from_at, to_at, systems, reason, made_by, made_at) \
             SELECT $1, $2, $3, $4, $5, $6, now_us FROM database_clock",
        )
        .bind(row.id.as_str())
        .bind(row.from.micros())
        .bind(row.to.micros())
        .bind(row.systems.join(" "))
        .bind(row.reason.as_str())
        .bind(row.by.as_str())
        .execute(&self.pool)
        .await
        .map_err(StateError::sql("record maintenance"))?;
        Ok(())
    }

    /// Ends maintenance that goes on, at `at`; what has passed stays recorded. Says whether there was such a one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_maintenance(&self, id: &str, at: Moment) -> Result<bool, StateError> {
        let done = sqlx::query("UPDATE maintenance SET to_at = $1 WHERE id = $2 AND to_at > $1 AND from_at <= $1")
            .bind(at.micros())
            .bind(id)
            .execute(&self.pool)
            .await
            .map_err(StateError::sql("end maintenance"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Maintenance that has not ended before `since`, the earliest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn maintenance(&self, since: Moment) -> Result<Vec<MaintenanceRow>, StateError> {
        let failed = StateError::sql("read maintenance");
        let rows = sqlx::query(
            "SELECT id, from_at, to_at, systems, reason, made_by FROM maintenance WHERE to_at >= $1 \
             ORDER BY from_at, id LIMIT 10000",
        )
        .bind(since.micros())
        .fetch_all(&self.pool)
        .await
        .map_err(&failed)?;
        rows.iter().map(|row| maintenance_row(row).map_err(&failed)).collect()
    }
}

fn maintenance_row(row: &AnyRow) -> Result<MaintenanceRow, sqlx::Error> {
    let systems: String = row.try_get(3)?;
    Ok(MaintenanceRow {
        id: row.try_get(0)?,
        from: Moment::from_micros(row.try_get(1)?),
        to: Moment::from_micros(row.try_get(2)?),
        systems: systems.split_whitespace().map(str::to_owned).collect(),
        reason: row.try_get(4)?,
        by: row.try_get(5)?,
    })
}
