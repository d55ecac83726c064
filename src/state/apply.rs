//! One run's change, in one transaction, once.

use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use uuid::Uuid;

use super::change::{Lease, StateChange, schema_name, sweep_name, walk_name};
use super::{StateError, StateStore, baselines, sql};
use crate::fault;

/// What became of a run's change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is in the database, by this call.
    Now,
    /// It was in the database before.
    Already,
    /// The lease, or that of a piece of a sweep, has gone to another holder; nothing was changed and the run never happened.
    Fenced,
}

impl StateStore {
    /// Applies everything that `change` holds, or nothing. Calling it again is harmless.
    ///
    /// # Errors
    /// When the database refuses or does not answer; nothing was changed then, unless the answer to the commit was
    /// lost: call again to learn it.
    pub async fn apply(&self, change: &StateChange) -> Result<Applied, StateError> {
        self.apply_from("", change).await
    }

    /// As [`StateStore::apply`], remembering the spool that holds the run, so that only its spool forgets it.
    pub(crate) async fn apply_from(&self, spool: &str, change: &StateChange) -> Result<Applied, StateError> {
        let failed = StateError::sql("apply a run");
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        let mut transaction = connection.begin().await.map_err(&failed)?;
        // The run first, then the lease: a run that was applied stays applied when its lease has moved on.
        if !self.remember_run(&mut transaction, spool, change.run_id).await? {
            transaction.rollback().await.map_err(&failed)?;
            return Ok(Applied::Already);
        }
        if !hold_lease(&mut transaction, &change.lease).await? {
            transaction.rollback().await.map_err(&failed)?;
            return Ok(Applied::Fenced);
        }
        if !self.change_chunks(&mut transaction, &change.lease.unit, &change.chunks).await? {
            transaction.rollback().await.map_err(&failed)?;
            return Ok(Applied::Fenced);
        }
        self.write_positions(&mut transaction, change).await?;
        self.change_in_flight(&mut transaction, &change.in_flight).await?;
        baselines::change(&mut transaction, &change.baselines).await?;
        self.change_discrepancies(&mut transaction, &change.discrepancies).await?;
        fault::point("state.changed");
        transaction.commit().await.map_err(&failed)?;
        fault::point("state.committed");
        Ok(Applied::Now)
    }

    async fn remember_run(
        &self,
        connection: &mut AnyConnection,
        spool: &str,
        run_id: Uuid,
    ) -> Result<bool, StateError> {
        let done = sqlx::query(
            "INSERT INTO applied_runs (run_id, spool, applied_at) \
             SELECT $1, $2, now_us FROM database_clock WHERE true ON CONFLICT (run_id) DO NOTHING",
        )
        .bind(run_id.to_string())
        .bind(spool)
        .execute(connection)
        .await
        .map_err(StateError::sql("remember a run"))?;
        Ok(done.rows_affected() == 1)
    }

    async fn write_positions(&self, connection: &mut AnyConnection, change: &StateChange) -> Result<(), StateError> {
        let unit = change.lease.unit.as_str();
        let position = change.position.iter().map(|position| (unit.to_owned(), position));
        let walk = change.walk.iter().map(|walk| (walk_name(unit), walk));
        let schema = change.schema.iter().map(|schema| (schema_name(unit), schema));
        let sweep = change.sweep.iter().map(|sweep| (sweep_name(unit), sweep));
        for (name, position) in position.chain(walk).chain(schema).chain(sweep) {
            sqlx::query(
                "INSERT INTO positions (unit, position) VALUES ($1, $2) \
                 ON CONFLICT (unit) DO UPDATE SET position = excluded.position",
            )
            .bind(name.as_str())
            .bind(self.seal("positions", &name, "", position))
            .execute(&mut *connection)
            .await
            .map_err(StateError::sql("write a position"))?;
        }
        Ok(())
    }

    /// Forgets runs whose spool segment is gone: nothing can replay them.
    pub(crate) async fn forget_runs(&self, run_ids: &[Uuid]) -> Result<(), StateError> {
        for part in run_ids.chunks(sql::ROWS) {
            let text = format!("DELETE FROM applied_runs WHERE run_id IN ({})", sql::list(1, part.len()));
            let mut query = sqlx::query(AssertSqlSafe(text));
            for run_id in part {
                query = query.bind(run_id.to_string());
            }
            query.execute(&self.pool).await.map_err(StateError::sql("forget shipped runs"))?;
        }
        Ok(())
    }

    /// The runs remembered for `spool`.
    pub(crate) async fn runs_of(&self, spool: &str) -> Result<Vec<Uuid>, StateError> {
        let rows: Vec<(String,)> = sqlx::query_as("SELECT run_id FROM applied_runs WHERE spool = $1")
            .bind(spool)
            .fetch_all(&self.pool)
            .await
            .map_err(StateError::sql("list applied runs"))?;
        let parsed = rows.iter().map(|(run_id,)| run_id.parse());
        parsed.collect::<Result<_, _>>().map_err(|_| StateError::Unreadable { table: "applied_runs" })
    }
}

/// Takes the lease row's lock until the transaction ends, so that the lease cannot change hands in between. A
/// lease that has run out but was not taken by another still counts: nobody else has worked in the meantime.
pub(super) async fn hold_lease(connection: &mut AnyConnection, lease: &Lease) -> Result<bool, StateError> {
    let done = sqlx::query("UPDATE leases SET token = token WHERE unit = $1 AND token = $2")
        .bind(lease.unit.as_str())
        .bind(i64::try_from(lease.token).unwrap_or(i64::MAX))
        .execute(connection)
        .await
        .map_err(StateError::sql("check a lease"))?;
    Ok(done.rows_affected() == 1)
}
