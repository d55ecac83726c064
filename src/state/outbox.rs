//! Messages that are on their way: written with the change that they tell of, kept until delivered or refused for good.
//!
//! A message is claimed by one auditor for a while, sent, and settled. Who claimed it may die between sending and settling;
//! then it is sent once more, under the same id. Messages of one incident reach a channel in the order of what happened.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};

use super::{StateError, StateStore};
use crate::fault;
use crate::model::Moment;

mod folding;
mod settle;

const TABLE: &str = "outbox";
const COLUMNS: &str = "id, incident, channel, kind, severity, happened_at, due_at, bundled, attempts, payload";
/// Kinds of messages by which a channel comes to know of an incident.
const TELLING: &str = "('opened', 'reopened', 'worsened', 'reminder', 'escalated', 'undelivered')";
/// Messages, called `o`, that a full channel is sent all the same.
const MUST: &str = "(o.kind IN ('digest', 'more', 'undelivered') OR (o.kind = 'resolved' AND EXISTS (\
     SELECT 1 FROM outbox t WHERE t.incident = o.incident AND t.channel = o.channel AND t.kind <> 'resolved' \
     AND (t.status IN ('delivered', 'repeating') OR t.attempts > 0))))";
/// Kinds that are dropped when somebody looks after the incident, or it ends.
const PUSHING: &str = "('reminder', 'escalated')";

/// A message for one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Names the message for good: the same step of the same incident for the same channel has the same id.
    pub id: String,
    /// The incident, or what else it is about.
    pub incident: String,
    /// To whom.
    pub channel: String,
    /// What it tells: the step's word, or `digest`, `more`, `undelivered`.
    pub kind: String,
    /// The severity's word.
    pub severity: String,
    /// When that happened.
    pub happened_at: Moment,
    /// When it is to be told.
    pub due_at: Moment,
    /// Whether it waits to be told together with others.
    pub bundled: bool,
    /// What it says; encrypted at rest by the store.
    pub payload: Vec<u8>,
}

impl OutboxRow {
    /// The id of what happened to an incident at a moment, for a channel.
    pub fn id_of(incident: &str, channel: &str, kind: &str, happened_at: Moment) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in [incident, channel, kind, &happened_at.micros().to_string()] {
            hasher.update(part.as_bytes());
            hasher.update(&[0]);
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

/// Everything that one step of an incident gives to tell. Written by [`StateStore::enqueue`] in the step's transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The incident.
    pub incident: String,
    /// Somebody looks after it, or it is over: reminders and escalations that still wait are dropped.
    pub settles: bool,
    /// Reminders and escalations wait until then.
    pub quiet_until: Option<Moment>,
    /// New messages.
    pub rows: Vec<OutboxRow>,
    /// Told to every channel that knows of the incident.
    pub echo: Option<Echo>,
}

/// What every channel that knows of an incident is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The step's word.
    pub kind: String,
    /// The severity's word.
    pub severity: String,
    /// When it happened.
    pub happened_at: Moment,
    /// What it says.
    pub payload: Vec<u8>,
}

/// A message that this auditor sends now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The message.
    pub row: OutboxRow,
    /// How often it has been claimed, with this time.
    pub attempts: u64,
    /// By whom.
    pub auditor: String,
}

/// A channel's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxDepth {
    /// Due and not delivered.
    pub waiting: u64,
    /// Since when the oldest of them is due.
    pub oldest: Option<Moment>,
    /// Refused for good within a day.
    pub dead: u64,
}

impl StateStore {
    /// Writes what a step gives to tell, within the transaction that makes the step. Writing it twice is harmless.
    ///
    /// # Errors
    /// When the database refuses or does not answer.
    pub async fn enqueue(&self, transaction: &mut AnyConnection, outgoing: &Outgoing) -> Result<(), StateError> {
        if outgoing.settles {
            drop_pushing(transaction, &outgoing.incident).await?;
        }
        if let Some(until) = outgoing.quiet_until {
            postpone_pushing(transaction, &outgoing.incident, until).await?;
        }
        if let Some(echo) = &outgoing.echo {
            for (channel, bundled_until) in knowing(transaction, &outgoing.incident).await? {
                let row = echo_row(&outgoing.incident, channel, bundled_until, echo);
                self.insert_message(transaction, &row).await?;
            }
        }
        for row in &outgoing.rows {
            self.insert_message(transaction, row).await?;
        }
        fault::point("outbox.written");
        Ok(())
    }

    /// As [`StateStore::enqueue`], in a transaction of its own.
    ///
    /// # Errors
    /// When the database refuses or does not answer.
    pub async fn tell(&self, outgoing: &Outgoing) -> Result<(), StateError> {
        let failed = StateError::sql("write messages");
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        let mut transaction = connection.begin().await.map_err(&failed)?;
        self.enqueue(&mut transaction, outgoing).await?;
        transaction.commit().await.map_err(&failed)
    }

    async fn insert_message(&self, connection: &mut AnyConnection, row: &OutboxRow) -> Result<(), StateError> {
        sqlx::query(
            "INSERT INTO outbox (id, incident, channel, kind, severity, status, happened_at, due_at, next_at, bundled, \
             attempts, leased_by, leased_until, settled_at, error, payload) \
             VALUES ($1, $2, $3, $4, $5, 'waiting', $6, $7, $7, $8, 0, '', 0, 0, '', $9) ON CONFLICT (id) DO NOTHING",
        )
        .bind(row.id.as_str())
        .bind(row.incident.as_str())
        .bind(row.channel.as_str())
        .bind(row.kind.as_str())
        .bind(row.severity.as_str())
        .bind(row.happened_at.micros())
        .bind(row.due_at.micros())
        .bind(i64::from(row.bundled))
        .bind(self.seal(TABLE, &row.id, "", &row.payload))
        .execute(connection)
        .await
        .map_err(StateError::sql("write a message"))?;
        Ok(())
    }

    /// Takes the next message that is due on a channel, for `ttl`: nobody else has it until then. Messages that wait to be
    /// told together are left. A channel that is `full` has only those that must be told all the same: what stands for
    /// several, and the end of what was told alone.
    ///
    /// # Errors
    /// When the database does not answer or a row cannot be decrypted.
    pub async fn claim(
        &self,
        channel: &str,
        auditor: &str,
        now: Moment,
        ttl: Duration,
        full: bool,
    ) -> Result<Option<Claimed>, StateError> {
        // What came before of the same incident goes first; and the row is looked at again under its lock, so that one of
        // two auditors gets it.
        let must = if full { format!("AND {MUST}") } else { String::new() };
        let text = format!(
            "UPDATE outbox SET leased_by = $1, leased_until = $2, attempts = attempts + 1 WHERE id = (\
             SELECT id FROM outbox o WHERE channel = $3 AND status IN ('waiting', 'repeating') AND next_at <= $4 \
             AND leased_until <= $4 AND bundled = 0 {must} AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.incident = o.incident \
             AND e.channel = o.channel AND e.status = 'waiting' AND e.happened_at < o.happened_at AND e.due_at <= $4) \
             ORDER BY next_at, happened_at, id LIMIT 1) \
             AND leased_until <= $4 AND status IN ('waiting', 'repeating') RETURNING {COLUMNS}"
        );
        let row = sqlx::query(AssertSqlSafe(text))
            .bind(auditor)
            .bind((now + ttl).micros())
            .bind(channel)
            .bind(now.micros())
            .fetch_optional(&self.pool)
            .await
            .map_err(StateError::sql("take a message"))?;
        let Some(row) = row else { return Ok(None) };
        let (row, attempts) = self.message(&row)?;
        Ok(Some(Claimed { row, attempts, auditor: auditor.to_owned() }))
    }

    /// Every channel's messages, by its name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn outbox_depth(&self, now: Moment) -> Result<BTreeMap<String, OutboxDepth>, StateError> {
        let failed = StateError::sql("count messages");
        let mut depths: BTreeMap<String, OutboxDepth> = BTreeMap::new();
        let waiting = "SELECT channel, COUNT(*), MIN(due_at) FROM outbox WHERE status = 'waiting' AND due_at <= $1 \
             AND bundled = 0 GROUP BY channel";
        for row in sqlx::query(waiting).bind(now.micros()).fetch_all(&self.pool).await.map_err(&failed)? {
            let depth = depths.entry(row.try_get(0).map_err(&failed)?).or_default();
            depth.waiting = row.try_get::<i64, _>(1).map_err(&failed)?.unsigned_abs();
            depth.oldest = Some(Moment::from_micros(row.try_get(2).map_err(&failed)?));
        }
        let dead = "SELECT channel, COUNT(*) FROM outbox WHERE status = 'dead' AND settled_at > $1 GROUP BY channel";
        let day_ago = now - Duration::from_secs(86_400);
        for row in sqlx::query(dead).bind(day_ago.micros()).fetch_all(&self.pool).await.map_err(&failed)? {
            let depth = depths.entry(row.try_get(0).map_err(&failed)?).or_default();
            depth.dead = row.try_get::<i64, _>(1).map_err(&failed)?.unsigned_abs();
        }
        Ok(depths)
    }

    /// What an earlier process of this auditor had claimed is free at once; nobody else can be sending it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn release_claims(&self, auditor: &str) -> Result<u64, StateError> {
        let text = "UPDATE outbox SET leased_by = '', leased_until = 0 WHERE leased_by = $1 AND leased_until > 0";
        let done = sqlx::query(text).bind(auditor).execute(&self.pool).await;
        Ok(done.map_err(StateError::sql("release messages"))?.rows_affected())
    }

    /// Channels that messages wait for.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn channels_waited_for(&self) -> Result<Vec<String>, StateError> {
        let text = "SELECT DISTINCT channel FROM outbox WHERE status IN ('waiting', 'repeating') ORDER BY channel";
        let rows: Vec<(String,)> =
            sqlx::query_as(text).fetch_all(&self.pool).await.map_err(StateError::sql("list channels"))?;
        Ok(rows.into_iter().map(|(channel,)| channel).collect())
    }

    /// Forgets messages that ended before then.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_messages(&self, before: Moment) -> Result<u64, StateError> {
        let text = "DELETE FROM outbox WHERE status NOT IN ('waiting', 'repeating') AND settled_at < $1 \
             AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.incident = outbox.incident \
             AND o.status IN ('waiting', 'repeating'))";
        let done = sqlx::query(text).bind(before.micros()).execute(&self.pool).await;
        Ok(done.map_err(StateError::sql("forget messages"))?.rows_affected())
    }

    fn message(&self, row: &AnyRow) -> Result<(OutboxRow, u64), StateError> {
        let failed = StateError::sql("read a message");
        let moment = |column| row.try_get(column).map(Moment::from_micros);
        let id: String = row.try_get("id").map_err(&failed)?;
        let payload = self.unseal(TABLE, &id, "", row.try_get("payload").map_err(&failed)?)?;
        let attempts = row.try_get::<i64, _>("attempts").map_err(&failed)?.unsigned_abs();
        let message = OutboxRow {
            id,
            incident: row.try_get("incident").map_err(&failed)?,
            channel: row.try_get("channel").map_err(&failed)?,
            kind: row.try_get("kind").map_err(&failed)?,
            severity: row.try_get("severity").map_err(&failed)?,
            happened_at: moment("happened_at").map_err(&failed)?,
            due_at: moment("due_at").map_err(&failed)?,
            bundled: row.try_get::<i64, _>("bundled").map_err(&failed)? != 0,
            payload,
        };
        Ok((message, attempts))
    }
}

/// Where the beginning still waits for a digest, the end waits with it.
fn echo_row(incident: &str, channel: String, bundled_until: Option<Moment>, echo: &Echo) -> OutboxRow {
    OutboxRow {
        id: OutboxRow::id_of(incident, &channel, &echo.kind, echo.happened_at),
        incident: incident.to_owned(),
        channel,
        kind: echo.kind.clone(),
        severity: echo.severity.clone(),
        happened_at: echo.happened_at,
        due_at: bundled_until.map_or(echo.happened_at, |until| until.max(echo.happened_at)),
        bundled: bundled_until.is_some(),
        payload: echo.payload.clone(),
    }
}

/// Channels that know of an incident, or may: a message that was being sent when it was dropped may have arrived. With the
/// time at which a digest will tell them, if it waits for one.
async fn knowing(connection: &mut AnyConnection, incident: &str) -> Result<Vec<(String, Option<Moment>)>, StateError> {
    let text = format!(
        "SELECT channel, MAX(CASE WHEN status = 'waiting' AND bundled = 1 THEN due_at ELSE -1 END) FROM outbox \
         WHERE incident = $1 AND kind IN {TELLING} AND status <> 'dead' \
         AND (attempts > 0 OR (status <> 'cancelled' AND kind NOT IN {PUSHING})) GROUP BY channel ORDER BY channel"
    );
    let rows: Vec<(String, i64)> = sqlx::query_as(AssertSqlSafe(text))
        .bind(incident)
        .fetch_all(connection)
        .await
        .map_err(StateError::sql("list who knows of an incident"))?;
    let bundled = |due: i64| (due >= 0).then(|| Moment::from_micros(due));
    Ok(rows.into_iter().map(|(channel, due)| (channel, bundled(due))).collect())
}

async fn drop_pushing(connection: &mut AnyConnection, incident: &str) -> Result<(), StateError> {
    let text = format!(
        "UPDATE outbox SET status = 'cancelled', settled_at = (SELECT now_us FROM database_clock) \
         WHERE incident = $1 AND status = 'waiting' AND kind IN {PUSHING}"
    );
    let query = sqlx::query(AssertSqlSafe(text)).bind(incident);
    query.execute(connection).await.map_err(StateError::sql("drop reminders"))?;
    Ok(())
}

async fn postpone_pushing(connection: &mut AnyConnection, incident: &str, until: Moment) -> Result<(), StateError> {
    let text = format!(
        "UPDATE outbox SET due_at = $1, next_at = $1 WHERE incident = $2 AND status = 'waiting' AND due_at < $1 \
         AND kind IN {PUSHING}"
    );
    let query = sqlx::query(AssertSqlSafe(text)).bind(until.micros()).bind(incident);
    query.execute(connection).await.map_err(StateError::sql("postpone reminders"))?;
    Ok(())
}
