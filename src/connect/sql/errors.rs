//! What a driver's error means: SQLSTATE, MySQL error numbers, SQLite result codes.
//!
//! Messages of database errors name columns, tables and logins, never passwords; messages that could hold a
//! connection string are not passed on.

use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;

use super::engine::Failure;
use crate::connect::ReadError;
use crate::connect::certificate::{is_refused, with_advice};
use crate::model::SystemId;

/// A failure in the words of the reader's callers.
pub(super) fn read_error(system: &SystemId, limit: Duration, failure: Failure) -> ReadError {
    let system = system.clone();
    let error = match failure {
        Failure::TimedOut(limit) => return ReadError::TimedOut { system, limit },
        Failure::Changed(column) => {
            return ReadError::Shape { system, reason: format!("the type of column `{column}` has just changed") };
        }
        Failure::Driver(error) => error,
    };
    match error {
        sqlx::Error::Database(error) => database_error(system, limit, error.as_ref()),
        sqlx::Error::Io(error) => ReadError::Unreachable { system, reason: with_advice(error.to_string(), &error) },
        sqlx::Error::Tls(error) => {
            ReadError::Unreachable { system, reason: with_advice(format!("TLS: {error}"), error.as_ref()) }
        }
        sqlx::Error::PoolTimedOut => {
            ReadError::Unreachable { system, reason: "no connection in time; is the server up?".to_owned() }
        }
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            ReadError::Unreachable { system, reason: "the connection was closed".to_owned() }
        }
        sqlx::Error::Configuration(_) => {
            ReadError::Refused { system, reason: "the connection settings were not accepted; check `url`".to_owned() }
        }
        sqlx::Error::ColumnNotFound(name) => ReadError::Shape { system, reason: format!("no column `{name}`") },
        other => ReadError::BadAnswer { system, reason: other.to_string() },
    }
}

fn database_error(system: SystemId, limit: Duration, error: &dyn DatabaseError) -> ReadError {
    let reason = error.message().to_owned();
    match meaning(error) {
        Meaning::TimedOut => ReadError::TimedOut { system, limit },
        Meaning::Refused => ReadError::Refused { system, reason },
        Meaning::Shape => ReadError::Shape { system, reason },
        Meaning::Unreachable => ReadError::Unreachable { system, reason },
        Meaning::Other => ReadError::BadAnswer { system, reason },
    }
}

/// A statement that the server refused leaves a healthy connection behind, unless its prepared form is what is
/// wrong.
pub(super) fn leaves_connection_healthy(failure: &Failure) -> bool {
    matches!(failure, Failure::Driver(sqlx::Error::Database(_))) && !is_stale(failure)
}

/// Whether the statement may be sent once more on a fresh connection: the pooled one had gone stale, or a
/// changed table made its prepared statement useless.
pub(super) fn is_stale(failure: &Failure) -> bool {
    match failure {
        Failure::Driver(sqlx::Error::Io(error)) => !is_refused(error),
        Failure::Driver(sqlx::Error::Database(error)) => {
            matches!(error.code().as_deref(), Some("0A000" | "26000" | "57P01"))
                || mysql_number(error.as_ref()) == Some(1615)
        }
        _ => false,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    TimedOut,
    Refused,
    Shape,
    Unreachable,
    Other,
}

fn mysql_number(error: &dyn DatabaseError) -> Option<u16> {
    error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number)
}

fn meaning(error: &dyn DatabaseError) -> Meaning {
    if let Some(number) = mysql_number(error) {
        return of_mysql(number);
    }
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        return of_sqlite(&code, error.message());
    }
    of_sqlstate(&code)
}

/// PostgreSQL, appendix "Error Codes".
fn of_sqlstate(code: &str) -> Meaning {
    match code {
        // query_canceled, lock_not_available
        "57014" | "55P03" => Meaning::TimedOut,
        // undefined column, table, function, object, schema; ambiguous column; datatype mismatch
        "42703" | "42P01" | "42883" | "42704" | "3F000" | "42702" | "42804" => Meaning::Shape,
        "42501" | "3D000" => Meaning::Refused,
        _ if code.starts_with("28") => Meaning::Refused,
        // connection exceptions, too many connections, shutdowns
        _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("57P") => Meaning::Unreachable,
        _ => Meaning::Other,
    }
}

/// MySQL server error reference; 1969 and 4031 are MariaDB's and MySQL's own.
const fn of_mysql(number: u16) -> Meaning {
    match number {
        // query interrupted, lock wait, max_statement_time, max_execution_time
        1205 | 1317 | 1969 | 3024 => Meaning::TimedOut,
        // access denied to server, database, table, column; unknown database; must change password
        1044 | 1045 | 1049 | 1142 | 1143 | 1227 | 1370 | 1698 | 1820 => Meaning::Refused,
        // unknown column, unknown table, wrong field, view refers to what is gone
        1054 | 1146 | 1051 | 1109 | 1305 | 1356 => Meaning::Shape,
        // too many connections, shutdown, connection killed, inactivity
        1040 | 1053 | 1077 | 1079 | 1152 | 1184 | 1203 | 1927 | 4031 => Meaning::Unreachable,
        _ => Meaning::Other,
    }
}

/// SQLite result codes; a missing table or column only shows in the text of code 1.
fn of_sqlite(code: &str, message: &str) -> Meaning {
    let primary = code.parse::<u32>().unwrap_or(1) & 0xff;
    match primary {
        1 if message.contains("no such") => Meaning::Shape,
        // busy, locked, interrupted
        5 | 6 | 9 => Meaning::TimedOut,
        // permission, authorisation, read-only
        3 | 8 | 23 => Meaning::Refused,
        // I/O, cannot open
        10 | 14 => Meaning::Unreachable,
        _ => Meaning::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_one_meaning() {
        assert_eq!(of_sqlstate("28P01"), Meaning::Refused);
        assert_eq!(of_sqlstate("42703"), Meaning::Shape);
        assert_eq!(of_sqlstate("57014"), Meaning::TimedOut);
        assert_eq!(of_sqlstate("57P01"), Meaning::Unreachable);
        assert_eq!(of_sqlstate("22003"), Meaning::Other);
        assert_eq!(of_mysql(1045), Meaning::Refused);
        assert_eq!(of_mysql(1054), Meaning::Shape);
        assert_eq!(of_mysql(1969), Meaning::TimedOut);
        assert_eq!(of_sqlite("1", "no such column: t.x"), Meaning::Shape);
        assert_eq!(of_sqlite("1", "near \"x\": syntax error"), Meaning::Other);
        assert_eq!(of_sqlite("261", "database is locked"), Meaning::TimedOut);
        assert_eq!(of_sqlite("9", "interrupted"), Meaning::TimedOut);
    }

    #[test]
    fn connection_settings_are_not_repeated() {
        let secret = sqlx::Error::Configuration("postgres://u:hunter2@h/d is odd".into());
        let error = read_error(&"erp".parse().unwrap(), Duration::ZERO, Failure::Driver(secret));
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
