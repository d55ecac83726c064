//! What becomes of a message that was sent, or was not taken.

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, Connection};

use super::{Claimed, OutboxRow};
use crate::model::Moment;
use crate::state::{StateError, StateStore};

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Delivered,
    Dead,
    Cancelled,
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

impl StateStore {
    /// The receiver took a message. With `again_at` it is sent once more then, as long as nothing newer of its incident goes
    /// to the channel; `next` is a message that follows from it. `false`: somebody else has it by now.
    ///
    /// # Errors
    /// When the database does not answer; the message will be sent once more then.
    pub async fn delivered(
        &self,
        claimed: &Claimed,
        now: Moment,
        again_at: Option<Moment>,
        next: Option<&OutboxRow>,
    ) -> Result<bool, StateError> {
        let failed = StateError::sql("settle a message");
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        let mut transaction = connection.begin().await.map_err(&failed)?;
        sqlx::query(
            "UPDATE outbox SET status = 'delivered' WHERE incident = $1 AND channel = $2 AND status = 'repeating' \
             AND happened_at < $3",
        )
        .bind(claimed.row.incident.as_str())
        .bind(claimed.row.channel.as_str())
        .bind(claimed.row.happened_at.micros())
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        let settled = match again_at {
            Some(at) => repeat(&mut transaction, claimed, now, at).await?,
            None => end(&mut transaction, claimed, End::Delivered, now, "").await?,
        };
        if let (true, Some(row)) = (settled, next) {
            self.insert_message(&mut transaction, row).await?;
        }
        transaction.commit().await.map_err(&failed)?;
        Ok(settled)
    }

    /// A message did not get through and is tried again at `at`.
    ///
    /// # Errors
    /// When the database does not answer; the message is tried again when its claim has run out.
    pub async fn retry(&self, claimed: &Claimed, at: Moment, error: &str) -> Result<(), StateError> {
        let text = "UPDATE outbox SET leased_by = '', leased_until = 0, next_at = $1, error = $2 \
                    WHERE id = $3 AND leased_by = $4 AND attempts = $5";
        let done = if_held(sqlx::query(text).bind(at.micros()).bind(error), claimed).execute(&self.pool).await;
        done.map(drop).map_err(StateError::sql("put a message back"))
    }

    /// A message was claimed too early: it is put back unsent until `at`, as if nobody had claimed it.
    ///
    /// # Errors
    /// When the database does not answer; the message is tried again when its claim has run out.
    pub async fn put_off(&self, claimed: &Claimed, at: Moment) -> Result<(), StateError> {
        let text = "UPDATE outbox SET leased_by = '', leased_until = 0, next_at = $1, attempts = attempts - 1 \
                    WHERE id = $2 AND leased_by = $3 AND attempts = $4";
        let done = if_held(sqlx::query(text).bind(at.micros()), claimed).execute(&self.pool).await;
        done.map(drop).map_err(StateError::sql("put a message off"))
    }

    /// The receiver will never take a message. What follows is told elsewhere, in the same transaction.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn refused(
        &self,
        claimed: &Claimed,
        now: Moment,
        error: &str,
        elsewhere: Option<&OutboxRow>,
    ) -> Result<bool, StateError> {
        let failed = StateError::sql("give a message up");
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        let mut transaction = connection.begin().await.map_err(&failed)?;
        let settled = end(&mut transaction, claimed, End::Dead, now, error).await?;
        if let (true, Some(row)) = (settled, elsewhere) {
            self.insert_message(&mut transaction, row).await?;
        }
        transaction.commit().await.map_err(&failed)?;
        Ok(settled)
    }

    /// A message that has nothing to say any more is dropped.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn cancelled(&self, claimed: &Claimed, now: Moment) -> Result<bool, StateError> {
        let mut connection = self.pool.acquire().await.map_err(StateError::sql("drop a message"))?;
        end(&mut connection, claimed, End::Cancelled, now, "").await
    }
}

/// Ends a claimed message, unless somebody else has claimed it since.
async fn end(
    connection: &mut AnyConnection,
    claimed: &Claimed,
    how: End,
    now: Moment,
    error: &str,
) -> Result<bool, StateError> {
    let text = "UPDATE outbox SET status = $1, settled_at = $2, error = $3, leased_by = '', leased_until = 0 \
                WHERE id = $4 AND leased_by = $5 AND attempts = $6 AND status IN ('waiting', 'repeating')";
    let query = sqlx::query(text).bind(how.as_str()).bind(now.micros()).bind(error);
    let done = if_held(query, claimed).execute(connection).await.map_err(StateError::sql("end a message"))?;
    Ok(done.rows_affected() == 1)
}

async fn repeat(
    connection: &mut AnyConnection,
    claimed: &Claimed,
    now: Moment,
    at: Moment,
) -> Result<bool, StateError> {
    let text = "UPDATE outbox SET status = 'repeating', settled_at = $1, next_at = $2, error = '', leased_by = '', \
                leased_until = 0 \
                WHERE id = $3 AND leased_by = $4 AND attempts = $5 AND status IN ('waiting', 'repeating')";
    let query = sqlx::query(text).bind(now.micros()).bind(at.micros());
    let done = if_held(query, claimed).execute(connection).await;
    Ok(done.map_err(StateError::sql("keep a message for later"))?.rows_affected() == 1)
}

/// Binds the last three parameters of a statement about a claimed message: its id, who claimed it, and at which try.
fn if_held<'q>(query: Query<'q, Any, AnyArguments>, claimed: &Claimed) -> Query<'q, Any, AnyArguments> {
    let attempts = i64::try_from(claimed.attempts).unwrap_or(i64::MAX);
    query.bind(claimed.row.id.clone()).bind(claimed.auditor.clone()).bind(attempts)
}
