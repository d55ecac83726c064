//! What can go wrong with the state database, and whether trying again can help.

use crate::retry::Decision;

/// Why a question to the state database has no answer.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Neither SQLite nor PostgreSQL.
    #[error("the state url must begin with `sqlite://` or `postgres://`")]
    Url,
    /// No connection.
    #[error("could not open the state database")]
    Open(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("could not migrate the state database")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// The database was begun with another secret.
    #[error(
        "the secret key is not the one this state database was begun with; restore `secret.key` (or the configured \
         key) from its backup"
    )]
    WrongSecret,
    /// A row that this secret did not encrypt, or that was changed behind our back.
    #[error("a row of `{table}` in the state database cannot be decrypted or read")]
    Unreadable {
        /// The table.
        table: &'static str,
    },
    /// A statement failed.
    #[error("could not {action} in the state database")]
    Sql {
        /// What was attempted.
        action: &'static str,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
}

impl StateError {
    /// Names the attempt: `.map_err(StateError::sql("take leases"))`.
    pub(super) fn sql(action: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |source| Self::Sql { action, source }
    }

    /// Whether the same call may succeed later.
    pub fn decision(&self) -> Decision {
        match self {
            Self::Url | Self::Migrate(_) | Self::WrongSecret | Self::Unreadable { .. } => Decision::Fail,
            Self::Open(source) | Self::Sql { source, .. } => decide(source),
        }
    }
}

fn decide(error: &sqlx::Error) -> Decision {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => {
            Decision::Retry
        }
        sqlx::Error::Database(error) => decide_by_code(error.code().as_deref().unwrap_or_default()),
        _ => Decision::Fail,
    }
}

/// PostgreSQL: appendix A of its manual, five characters; lost connections (08), rolled back by concurrency (40),
/// out of resources (53), cancelled or shutting down (57), system errors (58).
/// SQLite: its result codes, extended codes keep the primary one in the low byte; busy 5, locked 6, out of
/// memory 7, read-only for the moment 8, I/O error 10, full 13, cannot open 14.
fn decide_by_code(code: &str) -> Decision {
    let again = if code.len() == 5 {
        ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
    } else {
        code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 7 | 8 | 10 | 13 | 14))
    };
    if again { Decision::Retry } else { Decision::Fail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_whether_to_try_again() {
        let check = |code: &str, expect: Decision| assert_eq!(decide_by_code(code), expect, "`{code}`");
        for code in ["5", "261", "517", "6", "10", "13", "778", "08006", "40001", "40P01", "53100", "57P01"] {
            check(code, Decision::Retry);
        }
        for code in ["1", "19", "2067", "23505", "42P01", "22021", ""] {
            check(code, Decision::Fail);
        }
    }
}
