//! The few things that SQLite and PostgreSQL cannot say in the same words.

use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::StateError;

/// Which database holds the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    pub(super) fn of(url: &str) -> Result<Self, StateError> {
        match url.split(':').next() {
            Some("sqlite") => Ok(Self::Sqlite),
            Some("postgres" | "postgresql") => Ok(Self::Postgres),
            _ => Err(StateError::Url),
        }
    }

    /// The URL as connected to: a SQLite file is created when absent; PostgreSQL beyond loopback needs TLS unless
    /// the URL says otherwise.
    pub(super) fn connect_url(self, url: &str) -> Result<String, StateError> {
        match self {
            Self::Sqlite if url.contains("mode=") => Ok(url.to_owned()),
            Self::Sqlite => Ok(format!("{url}{}mode=rwc", if url.contains('?') { '&' } else { '?' })),
            Self::Postgres => {
                let options = PgConnectOptions::from_str(url).map_err(StateError::Open)?;
                let host = options.get_host();
                let near = host.starts_with('/') || matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]");
                if near || url.contains("sslmode=") || url.contains("ssl-mode=") {
                    return Ok(url.to_owned());
                }
                Ok(options.ssl_mode(PgSslMode::Require).to_url_lossy().into())
            }
        }
    }

    /// Run on every new connection.
    pub(super) const fn session(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                 PRAGMA foreign_keys = ON"
            }
            Self::Postgres => {
                "SET statement_timeout = '30s'; SET lock_timeout = '10s'; SET client_min_messages = warning"
            }
        }
    }

    /// `database_clock.now_us`: microseconds since the epoch by the database's clock. SQLite knows milliseconds.
    pub(super) const fn clock_view(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "CREATE VIEW database_clock AS \
                 SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000 AS now_us"
            }
            Self::Postgres => {
                "CREATE VIEW database_clock AS \
                 SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) AS now_us"
            }
        }
    }

    /// SQLite allows one writer; a few connections are enough for its readers.
    pub(super) const fn connections(self) -> u32 {
        match self {
            Self::Sqlite => 4,
            Self::Postgres => 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_their_database() {
        assert_eq!(Dialect::of("sqlite:///tmp/state.db").unwrap(), Dialect::Sqlite);
        assert_eq!(Dialect::of("postgres://localhost/state").unwrap(), Dialect::Postgres);
        assert!(matches!(Dialect::of("mysql://localhost/state"), Err(StateError::Url)));
    }

    #[test]
    fn a_distant_postgres_needs_tls_unless_told_otherwise() {
        let check = |url: &str, tls: bool| {
            let connected = Dialect::Postgres.connect_url(url).unwrap();
            assert_eq!(connected.contains("sslmode=require"), tls, "{connected}");
        };
        check("postgres://plumbline@db.example.org/state", true);
        check("postgres://plumbline@db.example.org/state?sslmode=prefer", false);
        check("postgres://plumbline@127.0.0.1:5433/state", false);
        check("postgres://plumbline@localhost/state", false);
    }
}
