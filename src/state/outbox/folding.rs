//! Messages that are told together, or must wait because a channel has had too many.

use sqlx::{AssertSqlSafe, Connection, Row};

use super::{COLUMNS, MUST, OutboxRow};
use crate::model::Moment;
use crate::state::{StateError, StateStore, sql};

impl StateStore {
    /// What waits for a digest of a channel that is due now. The oldest first.
    ///
    /// # Errors
    /// When the database does not answer or a row cannot be decrypted.
    pub async fn due_for_digest(&self, channel: &str, now: Moment, limit: u32) -> Result<Vec<OutboxRow>, StateError> {
        self.due(channel, "bundled = 1", now, limit).await
    }

    /// What is due on a channel that is full, and may be folded. The oldest first.
    ///
    /// # Errors
    /// When the database does not answer or a row cannot be decrypted.
    pub async fn due_beyond_rate(&self, channel: &str, now: Moment, limit: u32) -> Result<Vec<OutboxRow>, StateError> {
        self.due(channel, &format!("bundled = 0 AND NOT {MUST}"), now, limit).await
    }

    async fn due(&self, channel: &str, which: &str, now: Moment, limit: u32) -> Result<Vec<OutboxRow>, StateError> {
        let text = format!(
            "SELECT {COLUMNS} FROM outbox o WHERE channel = $1 AND status = 'waiting' AND next_at <= $2 \
             AND leased_until <= $2 AND {which} ORDER BY happened_at, id LIMIT $3"
        );
        let rows = sqlx::query(AssertSqlSafe(text))
            .bind(channel)
            .bind(now.micros())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(StateError::sql("list messages"))?;
        rows.iter().map(|row| self.message(row).map(|(row, _)| row)).collect()
    }

    /// Puts one message in the place of several. `false`: another auditor did, or began to send one of them.
    ///
    /// # Errors
    /// When the database does not answer; nothing has changed then.
    pub async fn fold(&self, folded: &[String], into: &OutboxRow, now: Moment) -> Result<bool, StateError> {
        let failed = StateError::sql("fold messages");
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        let mut transaction = connection.begin().await.map_err(&failed)?;
        let mut changed = 0;
        for part in folded.chunks(sql::ROWS) {
            let text = format!(
                "UPDATE outbox SET status = 'folded', settled_at = $1 WHERE status = 'waiting' AND leased_until <= $1 \
                 AND id IN ({})",
                sql::list(2, part.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(text)).bind(now.micros());
            for id in part {
                query = query.bind(id.as_str());
            }
            changed += query.execute(&mut *transaction).await.map_err(&failed)?.rows_affected();
        }
        if changed != folded.len() as u64 {
            transaction.rollback().await.map_err(&failed)?;
            return Ok(false);
        }
        self.insert_message(&mut transaction, into).await?;
        transaction.commit().await.map_err(&failed)?;
        Ok(true)
    }

    /// Lets a message that waits for a digest go alone. `false`: it does not wait any more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn unbundle(&self, id: &str) -> Result<bool, StateError> {
        let done = sqlx::query("UPDATE outbox SET bundled = 0 WHERE id = $1 AND status = 'waiting'").bind(id);
        let done = done.execute(&self.pool).await.map_err(StateError::sql("let a message go"))?;
        Ok(done.rows_affected() == 1)
    }

    /// How many messages a channel took after `since`, resolves left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delivered_since(&self, channel: &str, since: Moment) -> Result<u64, StateError> {
        let failed = StateError::sql("count messages");
        let row = sqlx::query(
            "SELECT COUNT(*) FROM outbox WHERE channel = $1 AND settled_at > $2 AND status = 'delivered' \
             AND kind <> 'resolved'",
        )
        .bind(channel)
        .bind(since.micros())
        .fetch_one(&self.pool)
        .await
        .map_err(&failed)?;
        let count: i64 = row.try_get(0).map_err(&failed)?;
        Ok(count.unsigned_abs())
    }

    /// When a channel was last told something of this kind.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn last_of_kind(&self, channel: &str, kind: &str) -> Result<Option<Moment>, StateError> {
        let failed = StateError::sql("look for a message");
        let text = "SELECT MAX(happened_at) FROM outbox WHERE channel = $1 AND kind = $2 AND incident = $3";
        let query = sqlx::query(text).bind(channel).bind(kind).bind(format!("{kind} {channel}"));
        let row = query.fetch_one(&self.pool).await.map_err(&failed)?;
        let last: Option<i64> = row.try_get(0).map_err(&failed)?;
        Ok(last.map(Moment::from_micros))
    }

    /// Messages that nobody sends wait until then.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn postpone(&self, ids: &[String], until: Moment) -> Result<(), StateError> {
        for part in ids.chunks(sql::ROWS) {
            let text = format!(
                "UPDATE outbox SET next_at = $1 WHERE status = 'waiting' AND leased_by = '' AND id IN ({})",
                sql::list(2, part.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(text)).bind(until.micros());
            for id in part {
                query = query.bind(id.as_str());
            }
            query.execute(&self.pool).await.map_err(StateError::sql("postpone messages"))?;
        }
        Ok(())
    }
}
