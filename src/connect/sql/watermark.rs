//! Their clock, and up to when nothing can be committed any more with an older stamp.

use std::time::Duration;

use super::engine::Kind;
use super::text::{Dialect, Statement};
use crate::model::{Raw, RawRow};

/// What is assumed where other sessions' transactions cannot be seen.
pub(super) const BLIND_DELAY: Duration = Duration::from_secs(5);

/// A transaction takes its start time a moment before others can see it.
const RACE: Duration = Duration::from_secs(1);

/// A prepared transaction tells when it was prepared, not when it began.
const PREPARED_BEFORE: Duration = Duration::from_secs(60);

/// The name that our sessions give themselves.
pub(super) const APPLICATION_NAME: &str = "plumbline";

/// What the database said about its time, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its clock.
    pub now: i64,
    /// When the oldest running transaction began.
    pub oldest: Option<i64>,
    /// When the oldest prepared transaction was prepared.
    pub prepared: Option<i64>,
    /// Whether there are sessions whose transactions the login may not see.
    pub blind: bool,
    /// On a standby: up to when it has replayed.
    pub replayed: Option<i64>,
}

/// One row of five columns: now, oldest, prepared, blind, replayed.
pub(super) fn statement(dialect: Dialect) -> Statement {
    let sql = match dialect {
        Dialect::Postgres => postgres(),
        // `SYSDATE` is the moment of evaluation; the session's zone is UTC.
        Dialect::Mysql => "SELECT CAST(TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', SYSDATE(6)) AS SIGNED), \
             CAST(NULL AS SIGNED), CAST(NULL AS SIGNED), CAST(0 AS SIGNED), CAST(NULL AS SIGNED)"
            .to_owned(),
        // 2440587.5 is the Julian day of 1970-01-01; the clock has milliseconds.
        Dialect::Sqlite => {
            "SELECT CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000, NULL, NULL, 0, NULL"
                .to_owned()
        }
    };
    Statement::new(dialect, sql)
}

/// Our own sessions are read-only and do not count. Vacuum and WAL senders write no rows. A session that the login
/// may not look into shows neither its type nor the start of its transaction.
fn postgres() -> String {
    let micros = |time: &str| format!("(extract(epoch FROM {time}) * 1000000)::int8");
    let others = format!(
        "FROM pg_stat_activity a WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() \
         AND NOT (a.usename = current_user AND a.application_name = '{APPLICATION_NAME}')"
    );
    format!(
        "SELECT {now}, (SELECT {start} {others} AND a.backend_type NOT IN ('autovacuum worker', 'walsender')), \
         (SELECT {prepared} FROM pg_prepared_xacts WHERE database = current_database()), \
         (SELECT count(*) {others} AND a.backend_type IS NULL), \
         CASE WHEN pg_is_in_recovery() THEN coalesce({replayed}, 0) END",
        now = micros("clock_timestamp()"),
        start = micros("min(a.xact_start)"),
        prepared = micros("min(prepared)"),
        replayed = micros("pg_last_xact_replay_timestamp()"),
    )
}

pub(super) const KINDS: [Kind; 5] = [Kind::Int { bytes: 8, signed: true }; 5];

impl Answer {
    /// `None` when the row is not what was asked for.
    pub fn read(row: &RawRow) -> Option<Self> {
        let int = |index: usize| if let Some(Raw::Int(value)) = row.get(index) { Some(*value) } else { None };
        Some(Self {
            now: int(0)?,
            oldest: int(1),
            prepared: int(2),
            blind: int(3).is_some_and(|sessions| sessions > 0),
            replayed: int(4),
        })
    }

    /// The watermark on their clock: nothing can appear any more with an older stamp.
    pub fn watermark(&self, dialect: Dialect, commit_delay: Duration) -> i64 {
        let delay = micros(commit_delay);
        if dialect != Dialect::Postgres {
            return self.now.saturating_sub(delay);
        }
        let assumed = self.now.saturating_sub(delay.max(micros(BLIND_DELAY)));
        let mut watermark = self.now.min(self.oldest.unwrap_or(i64::MAX)).saturating_sub(delay);
        if self.blind {
            watermark = watermark.min(assumed);
        }
        if let Some(prepared) = self.prepared {
            watermark = watermark.min(prepared.saturating_sub(delay).saturating_sub(micros(PREPARED_BEFORE)));
        }
        // A standby does not show the primary's transactions.
        if let Some(replayed) = self.replayed {
            watermark = watermark.min(assumed).min(replayed.saturating_sub(delay.max(micros(BLIND_DELAY))));
        }
        watermark.saturating_sub(micros(RACE))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const IDLE: Answer = Answer { now: 1000 * SECOND, oldest: None, prepared: None, blind: false, replayed: None };

    fn check(answer: Answer, delay: u64, expect_seconds: i64) {
        let watermark = answer.watermark(Dialect::Postgres, Duration::from_secs(delay));
        assert_eq!(watermark / SECOND, expect_seconds, "{answer:?}");
    }

    #[test]
    fn the_oldest_thing_that_can_still_commit_decides() {
        check(IDLE, 0, 999);
        check(IDLE, 10, 989);
        check(Answer { oldest: Some(900 * SECOND), ..IDLE }, 0, 899);
        check(Answer { oldest: Some(900 * SECOND), ..IDLE }, 10, 889);
        check(Answer { blind: true, ..IDLE }, 0, 994);
        check(Answer { blind: true, oldest: Some(990 * SECOND), ..IDLE }, 20, 969);
        check(Answer { prepared: Some(500 * SECOND), ..IDLE }, 0, 439);
        check(Answer { replayed: Some(700 * SECOND), ..IDLE }, 0, 694);
    }

    #[test]
    fn elsewhere_the_declared_delay_decides() {
        assert_eq!(IDLE.watermark(Dialect::Mysql, Duration::from_secs(5)), 995 * SECOND);
        assert_eq!(IDLE.watermark(Dialect::Sqlite, Duration::ZERO), 1000 * SECOND);
    }
}
