//! Pieces of sweeps under way: planned by whoever holds the unit, gone through by any auditor, settled with the run that
//! judged what was found in them.

use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use uuid::Uuid;

use super::apply::hold_lease;
use super::change::{ChunkChange, Lease};
use super::leases::micros;
use super::{StateError, StateStore};

const TABLE: &str = "sweep_chunks";
/// Pieces of a unit that may wait for being judged: more are not gone through ahead.
const MOST_FOUND: i64 = 16;

/// Whose piece it is: one flow of one sweep of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunksOf {
    /// The unit.
    pub unit: String,
    /// The sweep.
    pub sweep: Uuid,
    /// The flow.
    pub flow: String,
    /// Says what is read and how.
    pub plan: String,
}

/// A piece that was taken, or that was gone through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The piece.
    pub id: Uuid,
    /// Grows each time somebody takes it; writes with an older one are refused.
    pub token: u64,
    /// What it is, encoded.
    pub content: Vec<u8>,
}

/// How somebody who does not hold the unit leaves a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Gone through; what was found waits for being judged.
    Found,
    /// For whoever holds the unit: so much differs that it is better judged at once.
    Wide,
    /// As it was.
    Open,
}

impl Left {
    const fn status(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Wide => "wide",
            Self::Open => "open",
        }
    }
}

impl StateStore {
    /// Divides a flow's sweep into these pieces, unless that was done before; the unit's earlier pieces go. What `auditor`, who
    /// takes the sweep up, had before is free again. Says how many pieces there are; `None` when the lease has gone to
    /// another holder.
    ///
    /// # Errors
    /// When the database does not answer; nothing has changed then.
    pub async fn plan_chunks(
        &self,
        lease: &Lease,
        auditor: &str,
        of: &ChunksOf,
        contents: &[Vec<u8>],
    ) -> Result<Option<u32>, StateError> {
        let failed = StateError::sql("plan a sweep");
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        let mut transaction = connection.begin().await.map_err(&failed)?;
        if !hold_lease(&mut transaction, lease).await? {
            return Ok(None);
        }
        let known = "SELECT COUNT(*) FROM sweep_chunks WHERE unit = $1 AND sweep = $2 AND flow = $3 AND plan = $4";
        let known = bind_of(sqlx::query(known), of).fetch_one(&mut *transaction).await.map_err(&failed)?;
        let known: i64 = known.try_get(0).map_err(&failed)?;
        if known == 0 || contents.is_empty() {
            let gone = sqlx::query("DELETE FROM sweep_chunks WHERE unit = $1").bind(of.unit.as_str());
            gone.execute(&mut *transaction).await.map_err(&failed)?;
            for (number, content) in (0_i64..).zip(contents) {
                self.add_chunk(&mut transaction, of, number, content).await?;
            }
        } else {
            let text = "UPDATE sweep_chunks SET auditor = '', expires_at = 0 \
                        WHERE unit = $1 AND auditor = $2 AND status IN ('open', 'wide')";
            let freed = sqlx::query(text).bind(of.unit.as_str()).bind(auditor);
            freed.execute(&mut *transaction).await.map_err(&failed)?;
        }
        transaction.commit().await.map_err(&failed)?;
        let planned = if known == 0 { contents.len() } else { known.unsigned_abs() as usize };
        Ok(Some(u32::try_from(planned).unwrap_or(u32::MAX)))
    }

    async fn add_chunk(
        &self,
        connection: &mut AnyConnection,
        of: &ChunksOf,
        number: i64,
        content: &[u8],
    ) -> Result<(), StateError> {
        let id = Uuid::now_v7().to_string();
        let text = "INSERT INTO sweep_chunks (unit, sweep, flow, plan, id, number, status, auditor, token, expires_at, content) \
                    VALUES ($1, $2, $3, $4, $5, $6, 'open', '', 0, 0, $7)";
        let query = bind_of(sqlx::query(text), of).bind(id.as_str()).bind(number);
        let query = query.bind(self.seal(TABLE, &of.unit, &id, content));
        query.execute(connection).await.map_err(StateError::sql("plan a sweep"))?;
        Ok(())
    }

    /// Takes the first free piece for `auditor`, who holds the unit.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_chunk(&self, of: &ChunksOf, auditor: &str, ttl: Duration) -> Result<Option<Chunk>, StateError> {
        let free = "SELECT MIN(number) FROM sweep_chunks WHERE unit = $1 AND sweep = $2 AND flow = $3 AND plan = $4 \
                    AND status IN ('open', 'wide') AND expires_at <= (SELECT now_us FROM database_clock)";
        self.take_first(free, of, auditor, ttl).await
    }

    /// Takes the first free piece for an `auditor` who does not hold the unit; none while many wait for being judged.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn join_chunk(&self, of: &ChunksOf, auditor: &str, ttl: Duration) -> Result<Option<Chunk>, StateError> {
        let free = format!(
            "SELECT MIN(number) FROM sweep_chunks WHERE unit = $1 AND sweep = $2 AND flow = $3 AND plan = $4 \
             AND status = 'open' AND expires_at <= (SELECT now_us FROM database_clock) \
             AND (SELECT COUNT(*) FROM sweep_chunks WHERE unit = $1 AND status = 'found') < {MOST_FOUND}"
        );
        self.take_first(&free, of, auditor, ttl).await
    }

    async fn take_first(
        &self,
        free: &str,
        of: &ChunksOf,
        auditor: &str,
        ttl: Duration,
    ) -> Result<Option<Chunk>, StateError> {
        let failed = StateError::sql("take a piece of a sweep");
        // Of two who choose the same piece at once the second finds it taken.
        let text = format!(
            "UPDATE sweep_chunks SET auditor = $5, token = token + 1, \
             expires_at = (SELECT now_us FROM database_clock) + $6 \
             WHERE unit = $1 AND sweep = $2 AND flow = $3 AND plan = $4 AND number = ({free}) \
             AND expires_at <= (SELECT now_us FROM database_clock) AND status IN ('open', 'wide') RETURNING id, token, content"
        );
        let query = bind_of(sqlx::query(AssertSqlSafe(text)), of).bind(auditor).bind(micros(ttl));
        let row = query.fetch_optional(&self.pool).await.map_err(&failed)?;
        row.map(|row| self.chunk_row(of, &row)).transpose()
    }

    /// Prolongs the lease of a piece. `false` when another has taken it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn renew_chunk(&self, id: Uuid, token: u64, ttl: Duration) -> Result<bool, StateError> {
        let done = sqlx::query(
            "UPDATE sweep_chunks SET expires_at = (SELECT now_us FROM database_clock) + $1 \
             WHERE id = $2 AND token = $3 AND status IN ('open', 'wide')",
        )
        .bind(micros(ttl))
        .bind(id.to_string())
        .bind(token_value(token))
        .execute(&self.pool)
        .await
        .map_err(StateError::sql("renew a piece of a sweep"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Leaves a piece of this unit. `false` when another has taken it: nothing was changed then.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn leave_chunk(&self, unit: &str, chunk: &Chunk, left: Left) -> Result<bool, StateError> {
        let id = chunk.id.to_string();
        let done = sqlx::query(
            "UPDATE sweep_chunks SET status = $1, content = $2, expires_at = 0 \
             WHERE id = $3 AND token = $4 AND status = 'open'",
        )
        .bind(left.status())
        .bind(self.seal(TABLE, unit, &id, &chunk.content))
        .bind(id.as_str())
        .bind(token_value(chunk.token))
        .execute(&self.pool)
        .await
        .map_err(StateError::sql("leave a piece of a sweep"))?;
        Ok(done.rows_affected() == 1)
    }

    /// The pieces that others went through and whose suspects have not been judged.
    ///
    /// # Errors
    /// When the database does not answer or a row cannot be decrypted.
    pub async fn found_chunks(&self, of: &ChunksOf) -> Result<Vec<Chunk>, StateError> {
        let text = "SELECT id, token, content FROM sweep_chunks \
                    WHERE unit = $1 AND sweep = $2 AND flow = $3 AND plan = $4 AND status = 'found' ORDER BY number";
        let rows = bind_of(sqlx::query(text), of).fetch_all(&self.pool).await;
        let rows = rows.map_err(StateError::sql("read pieces of a sweep"))?;
        rows.iter().map(|row| self.chunk_row(of, row)).collect()
    }

    /// Sweeps with pieces that anybody may take: those of units that `auditor` does not hold.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sweeps_to_join(&self, auditor: &str) -> Result<Vec<ChunksOf>, StateError> {
        let failed = StateError::sql("list sweeps");
        let rows = sqlx::query(
            "SELECT DISTINCT unit, sweep, flow, plan FROM sweep_chunks \
             WHERE status = 'open' AND expires_at <= (SELECT now_us FROM database_clock) \
             AND unit NOT IN (SELECT unit FROM leases WHERE auditor = $1) ORDER BY unit",
        )
        .bind(auditor)
        .fetch_all(&self.pool)
        .await
        .map_err(&failed)?;
        let of = |row: &AnyRow| {
            let sweep: String = row.try_get(1).map_err(&failed)?;
            let sweep = sweep.parse().map_err(|_| StateError::Unreadable { table: TABLE })?;
            let (unit, flow) = (row.try_get(0).map_err(&failed)?, row.try_get(2).map_err(&failed)?);
            Ok(ChunksOf { unit, sweep, flow, plan: row.try_get(3).map_err(&failed)? })
        };
        rows.iter().map(of).collect()
    }

    /// Writes what a run did of pieces. `false` when another has taken one of them.
    pub(super) async fn change_chunks(
        &self,
        connection: &mut AnyConnection,
        unit: &str,
        changes: &[ChunkChange],
    ) -> Result<bool, StateError> {
        for change in changes {
            let id = change.id.to_string();
            let status = if change.is_settled { "settled" } else { "open" };
            let done = sqlx::query(
                "UPDATE sweep_chunks SET status = $1, content = $2 \
                 WHERE id = $3 AND token = $4 AND status <> 'settled'",
            )
            .bind(status)
            .bind(self.seal(TABLE, unit, &id, &change.content))
            .bind(id.as_str())
            .bind(token_value(change.token))
            .execute(&mut *connection)
            .await
            .map_err(StateError::sql("settle a piece of a sweep"))?;
            if done.rows_affected() != 1 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn chunk_row(&self, of: &ChunksOf, row: &AnyRow) -> Result<Chunk, StateError> {
        let failed = StateError::sql("read a piece of a sweep");
        let id: String = row.try_get(0).map_err(&failed)?;
        let token: i64 = row.try_get(1).map_err(&failed)?;
        let content = self.unseal(TABLE, &of.unit, &id, row.try_get(2).map_err(&failed)?)?;
        let id = id.parse().map_err(|_| StateError::Unreadable { table: TABLE })?;
        Ok(Chunk { id, token: token.unsigned_abs(), content })
    }
}

type AnyQuery<'q> = sqlx::query::Query<'q, sqlx::Any, <sqlx::Any as sqlx::Database>::Arguments>;

fn bind_of<'q>(query: AnyQuery<'q>, of: &'q ChunksOf) -> AnyQuery<'q> {
    query.bind(of.unit.as_str()).bind(of.sweep.to_string()).bind(of.flow.as_str()).bind(of.plan.as_str())
}

fn token_value(token: u64) -> i64 {
    i64::try_from(token).unwrap_or(i64::MAX)
}
