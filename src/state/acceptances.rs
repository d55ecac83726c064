//! Changes of shapes that somebody accepted.

use sqlx::Row;

use super::{StateError, StateStore};
use crate::model::Moment;

/// An accepted change of a column or JSON path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The system that changed.
    pub system: String,
    /// Its table or dataset.
    pub dataset: String,
    /// The change in words.
    pub change: String,
    /// When it was accepted.
    pub at: Moment,
    /// By whom.
    pub by: String,
}

impl StateStore {
    /// Keeps that somebody accepted changes of what an entity is made of, as of now. Accepting again is harmless.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn accept_changes(
        &self,
        entity: &str,
        by: &str,
        changes: &[(String, String, String)],
    ) -> Result<(), StateError> {
        let failed = StateError::sql("accept changes");
        let mut transaction = self.pool.begin().await.map_err(&failed)?;
        for (system, dataset, change) in changes {
            sqlx::query(
                "INSERT INTO accepted_changes (entity, system, dataset, change, accepted_at, accepted_by) \
                 SELECT $1, $2, $3, $4, now_us, $5 FROM database_clock WHERE true \
                 ON CONFLICT (entity, system, dataset, change) \
                 DO UPDATE SET accepted_at = excluded.accepted_at, accepted_by = excluded.accepted_by",
            )
            .bind(entity)
            .bind(system.as_str())
            .bind(dataset.as_str())
            .bind(change.as_str())
            .bind(by)
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        }
        transaction.commit().await.map_err(&failed)
    }

    /// What was accepted for an entity, ever.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn accepted_changes(&self, entity: &str) -> Result<Vec<Acceptance>, StateError> {
        let failed = StateError::sql("read accepted changes");
        let rows = sqlx::query(
            "SELECT system, dataset, change, accepted_at, accepted_by FROM accepted_changes WHERE entity = $1",
        )
        .bind(entity)
        .fetch_all(&self.pool)
        .await
        .map_err(&failed)?;
        let of = |row: &sqlx::any::AnyRow| {
            Ok(Acceptance {
                system: row.try_get(0)?,
                dataset: row.try_get(1)?,
                change: row.try_get(2)?,
                at: Moment::from_micros(row.try_get(3)?),
                by: row.try_get(4)?,
            })
        };
        rows.iter().map(of).collect::<Result<_, _>>().map_err(&failed)
    }
}
