//! Incidents and their timelines. What people are told is written in the transaction that changes the incident.

use async_trait::async_trait;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};

use super::change::Lease;
use super::in_flight::rows_limit;
use super::{StateError, StateStore, apply, sql};
use crate::fault;
use crate::incident::{Incident, IncidentId, Step};
use crate::model::{Moment, TenantId};

const TABLE: &str = "incidents";
const STEPS: &str = "incident_steps";

/// An incident as it stands, and how often it was changed.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldIncident {
    /// The incident.
    pub incident: Incident,
    /// To be handed back when it is changed.
    pub version: i64,
}

/// What becomes of an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentChange {
    /// As it is from now on.
    pub incident: Incident,
    /// The version that was looked at; `None` when it is new.
    pub version: Option<i64>,
    /// What happened.
    pub steps: Vec<Step>,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is in the database.
    Done,
    /// Somebody else changed the incident meanwhile, or opened one of the same cause: look again. Nothing was changed.
    Overtaken,
    /// The lease has gone to another holder. Nothing was changed.
    Fenced,
}

/// A step that the ledger does not have yet.
#[derive(Clone, Debug, PartialEq)]
pub struct UntoldStep {
    /// The incident as it stands now.
    pub incident: Incident,
    /// The step's place in the timeline.
    pub number: i64,
    /// What happened.
    pub step: Step,
}

/// Writes what a step gives to tell, within the transaction that makes the step.
#[async_trait]
pub trait Tell: Send + Sync {
    /// Writes it. `incident` is as it is after the step.
    async fn tell(
        &self,
        state: &StateStore,
        transaction: &mut AnyConnection,
        incident: &Incident,
        step: &Step,
    ) -> Result<(), StateError>;
}

/// Nobody is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Untold;

#[async_trait]
impl Tell for Untold {
    async fn tell(
        &self,
        _state: &StateStore,
        _transaction: &mut AnyConnection,
        _incident: &Incident,
        _step: &Step,
    ) -> Result<(), StateError> {
        Ok(())
    }
}

impl StateStore {
    /// Open incidents and those that ended since `since`; of each cause the last one.
    ///
    /// # Errors
    /// When the database does not answer or a row cannot be decrypted.
    pub async fn last_incidents(&self, tenant: &TenantId, since: Moment) -> Result<Vec<HeldIncident>, StateError> {
        let rows = sqlx::query(
            "SELECT id, version, payload, cause FROM incidents \
             WHERE tenant = $1 AND (state <> 'resolved' OR resolved_at >= $2) ORDER BY cause, opened_at DESC",
        )
        .bind(tenant.as_str())
        .bind(since.micros())
        .fetch_all(&self.pool)
        .await
        .map_err(StateError::sql("read incidents"))?;
        let mut all = rows.iter().map(|row| self.incident_row(row)).collect::<Result<Vec<_>, _>>()?;
        // Of one cause the open one comes first: an ended one cannot be younger than it.
        all.dedup_by(|later, first| later.incident.cause == first.incident.cause);
        Ok(all)
    }

    /// Incidents, the youngest first: only open ones, or all; at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer or a row cannot be decrypted.
    pub async fn incidents(
        &self,
        tenant: &TenantId,
        only_open: bool,
        limit: usize,
    ) -> Result<Vec<HeldIncident>, StateError> {
        let which = if only_open { "AND state <> 'resolved'" } else { "" };
        let text = format!(
            "SELECT id, version, payload FROM incidents WHERE tenant = $1 {which} ORDER BY opened_at DESC, id LIMIT $2"
        );
        let query = sqlx::query(AssertSqlSafe(text)).bind(tenant.as_str()).bind(rows_limit(limit));
        let rows = query.fetch_all(&self.pool).await.map_err(StateError::sql("list incidents"))?;
        rows.iter().map(|row| self.incident_row(row)).collect()
    }

    /// One incident.
    ///
    /// # Errors
    /// When the database does not answer or the row cannot be decrypted.
    pub async fn incident(&self, id: IncidentId) -> Result<Option<HeldIncident>, StateError> {
        let row = sqlx::query("SELECT id, version, payload FROM incidents WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await
            .map_err(StateError::sql("read an incident"))?;
        row.map(|row| self.incident_row(&row)).transpose()
    }

    /// The timeline of an incident.
    ///
    /// # Errors
    /// When the database does not answer or a row cannot be decrypted.
    pub async fn incident_steps(&self, id: IncidentId) -> Result<Vec<Step>, StateError> {
        let rows =
            sqlx::query("SELECT incident, number, payload FROM incident_steps WHERE incident = $1 ORDER BY number")
                .bind(id.to_string())
                .fetch_all(&self.pool)
                .await
                .map_err(StateError::sql("read a timeline"))?;
        rows.iter().map(|row| self.step_row(row).map(|(_, _, step)| step)).collect()
    }

    /// Changes an incident, writes its steps, and what `tell` makes of them, all or nothing. With a `lease` only for as
    /// long as that is held.
    ///
    /// # Errors
    /// When the database refuses or does not answer; nothing was changed then, unless the answer to the commit was lost.
    pub async fn change_incident(
        &self,
        change: &IncidentChange,
        lease: Option<&Lease>,
        tell: &dyn Tell,
    ) -> Result<Changed, StateError> {
        let failed = StateError::sql("change an incident");
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        let mut transaction = connection.begin().await.map_err(&failed)?;
        if let Some(lease) = lease
            && !apply::hold_lease(&mut transaction, lease).await?
        {
            transaction.rollback().await.map_err(&failed)?;
            return Ok(Changed::Fenced);
        }
        let is_written = match change.version {
            Some(version) => self.update_incident(&mut transaction, &change.incident, version).await?,
            None => self.insert_incident(&mut transaction, &change.incident).await?,
        };
        if !is_written {
            transaction.rollback().await.map_err(&failed)?;
            return Ok(Changed::Overtaken);
        }
        self.insert_steps(&mut transaction, &change.incident, &change.steps).await?;
        for step in &change.steps {
            tell.tell(self, &mut transaction, &change.incident, step).await?;
        }
        fault::point("incident.changed");
        transaction.commit().await.map_err(&failed)?;
        fault::point("incident.committed");
        Ok(Changed::Done)
    }

    /// Adds a step to a timeline within somebody's transaction: a message that went out, a reminder.
    ///
    /// # Errors
    /// When the database refuses or does not answer.
    pub async fn insert_steps(
        &self,
        connection: &mut AnyConnection,
        incident: &Incident,
        steps: &[Step],
    ) -> Result<(), StateError> {
        let id = incident.id.to_string();
        for step in steps {
            let failed = StateError::sql("write a timeline");
            let row = sqlx::query("SELECT COALESCE(MAX(number), 0) + 1 FROM incident_steps WHERE incident = $1")
                .bind(id.as_str())
                .fetch_one(&mut *connection)
                .await
                .map_err(&failed)?;
            let number: i64 = row.try_get(0).map_err(&failed)?;
            let payload = self.seal(STEPS, &id, &number.to_string(), &step.to_stored());
            sqlx::query("INSERT INTO incident_steps (incident, number, told, payload) VALUES ($1, $2, 0, $3)")
                .bind(id.as_str())
                .bind(number)
                .bind(payload)
                .execute(&mut *connection)
                .await
                .map_err(&failed)?;
        }
        Ok(())
    }

    /// As [`StateStore::insert_steps`], in a transaction of its own. Nothing happens when there is no such incident.
    ///
    /// # Errors
    /// When the database refuses or does not answer.
    pub async fn add_steps(&self, incident: &Incident, steps: &[Step]) -> Result<(), StateError> {
        let failed = StateError::sql("add to a timeline");
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        let mut transaction = connection.begin().await.map_err(&failed)?;
        // Takes the incident's lock, so that two writers do not give their steps the same number.
        let text = "UPDATE incidents SET version = version WHERE id = $1";
        let locked = sqlx::query(text).bind(incident.id.to_string()).execute(&mut *transaction).await;
        if locked.map_err(&failed)?.rows_affected() == 1 {
            self.insert_steps(&mut transaction, incident, steps).await?;
        }
        transaction.commit().await.map_err(&failed)
    }

    async fn insert_incident(&self, connection: &mut AnyConnection, incident: &Incident) -> Result<bool, StateError> {
        let id = incident.id.to_string();
        let done = sqlx::query(
            "INSERT INTO incidents (id, tenant, cause, state, severity, opened_at, resolved_at, version, payload) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8) ON CONFLICT DO NOTHING",
        )
        .bind(id.as_str())
        .bind(incident.tenant.as_str())
        .bind(incident.cause.to_string())
        .bind(incident.state.as_str())
        .bind(incident.severity.as_str())
        .bind(incident.opened_at.micros())
        .bind(ended_at(incident))
        .bind(self.seal(TABLE, "", &id, &incident.to_stored()))
        .execute(connection)
        .await
        .map_err(StateError::sql("open an incident"))?;
        Ok(done.rows_affected() == 1)
    }

    async fn update_incident(
        &self,
        connection: &mut AnyConnection,
        incident: &Incident,
        version: i64,
    ) -> Result<bool, StateError> {
        let id = incident.id.to_string();
        let done = sqlx::query(
            "UPDATE incidents SET state = $1, severity = $2, resolved_at = $3, payload = $4, version = version + 1 \
             WHERE id = $5 AND version = $6",
        )
        .bind(incident.state.as_str())
        .bind(incident.severity.as_str())
        .bind(ended_at(incident))
        .bind(self.seal(TABLE, "", &id, &incident.to_stored()))
        .bind(id.as_str())
        .bind(version)
        .execute(connection)
        .await
        .map_err(StateError::sql("change an incident"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Steps that the ledger does not have yet, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer or a row cannot be decrypted.
    pub async fn untold_steps(&self, limit: usize) -> Result<Vec<UntoldStep>, StateError> {
        let rows = sqlx::query(
            "SELECT incident, number, payload FROM incident_steps WHERE told = 0 ORDER BY incident, number LIMIT $1",
        )
        .bind(rows_limit(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(StateError::sql("read steps that the ledger lacks"))?;
        let mut untold = Vec::with_capacity(rows.len());
        for row in &rows {
            let (id, number, step) = self.step_row(row)?;
            if let Some(held) = self.incident(id).await? {
                untold.push(UntoldStep { incident: held.incident, number, step });
            }
        }
        Ok(untold)
    }

    /// Remembers that the ledger has these steps.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn steps_told(&self, steps: &[UntoldStep]) -> Result<(), StateError> {
        for told in steps {
            sqlx::query("UPDATE incident_steps SET told = 1 WHERE incident = $1 AND number = $2")
                .bind(told.incident.id.to_string())
                .bind(told.number)
                .execute(&self.pool)
                .await
                .map_err(StateError::sql("remember what the ledger has"))?;
        }
        Ok(())
    }

    /// Removes incidents that ended before `end`, with their timelines: their history is in the ledger. Says how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_incidents(&self, end: Moment) -> Result<u64, StateError> {
        let failed = StateError::sql("remove old incidents");
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT id FROM incidents WHERE state = 'resolved' AND resolved_at < $1 \
             AND NOT EXISTS (SELECT 1 FROM incident_steps WHERE incident = id AND told = 0) LIMIT 1000",
        )
        .bind(end.micros())
        .fetch_all(&self.pool)
        .await
        .map_err(&failed)?;
        for part in rows.chunks(sql::ROWS) {
            for (table, column) in [("incident_steps", "incident"), ("incidents", "id")] {
                let text = format!("DELETE FROM {table} WHERE {column} IN ({})", sql::list(1, part.len()));
                let mut query = sqlx::query(AssertSqlSafe(text));
                for (id,) in part {
                    query = query.bind(id.as_str());
                }
                query.execute(&self.pool).await.map_err(&failed)?;
            }
        }
        Ok(rows.len() as u64)
    }

    fn incident_row(&self, row: &AnyRow) -> Result<HeldIncident, StateError> {
        let failed = StateError::sql("read incidents");
        let id: String = row.try_get(0).map_err(&failed)?;
        let payload = self.unseal(TABLE, "", &id, row.try_get(2).map_err(&failed)?)?;
        let incident = Incident::from_stored(&payload).map_err(|_| StateError::Unreadable { table: TABLE })?;
        Ok(HeldIncident { incident, version: row.try_get(1).map_err(&failed)? })
    }

    fn step_row(&self, row: &AnyRow) -> Result<(IncidentId, i64, Step), StateError> {
        let failed = StateError::sql("read a timeline");
        let unreadable = || StateError::Unreadable { table: STEPS };
        let incident: String = row.try_get(0).map_err(&failed)?;
        let number: i64 = row.try_get(1).map_err(&failed)?;
        let payload = self.unseal(STEPS, &incident, &number.to_string(), row.try_get(2).map_err(&failed)?)?;
        let step = Step::from_stored(&payload).map_err(|_| unreadable())?;
        Ok((incident.parse().map_err(|_| unreadable())?, number, step))
    }
}

fn ended_at(incident: &Incident) -> i64 {
    incident.resolved_at.map_or(0, Moment::micros)
}
