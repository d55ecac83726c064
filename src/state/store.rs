//! The handle on the state database.

use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, Executor, Row};

use super::dialect::Dialect;
use super::secret::Cipher;
use super::{StateError, StateSecret, migrations};
use crate::model::Moment;

/// The state database. Cheap to clone: clones share the connections.
#[derive(Clone)]
pub struct StateStore {
    pub(super) pool: AnyPool,
    pub(super) dialect: Dialect,
    pub(super) cipher: Cipher,
    pub(super) secret: StateSecret,
}

impl StateStore {
    /// Connects to `sqlite://file` (created when absent) or `postgres://…`. Call [`StateStore::migrate`] before
    /// anything else.
    ///
    /// # Errors
    /// [`StateError::Url`] for another kind of URL, [`StateError::Open`] when there is no connection.
    pub async fn open(url: &str, secret: &StateSecret) -> Result<Self, StateError> {
        sqlx::any::install_default_drivers();
        let dialect = Dialect::of(url)?;
        let pool = AnyPoolOptions::new()
            .max_connections(dialect.connections())
            .acquire_timeout(Duration::from_secs(15))
            .after_connect(move |connection, _| {
                Box::pin(async move { connection.execute(dialect.session()).await.map(drop) })
            })
            .connect(&dialect.connect_url(url)?)
            .await
            .map_err(StateError::Open)?;
        Ok(Self { pool, dialect, cipher: secret.state_cipher(), secret: secret.clone() })
    }

    /// Brings the schema up to date and makes sure that the secret is the one the database was begun with.
    ///
    /// # Errors
    /// [`StateError::Migrate`], or [`StateError::WrongSecret`].
    pub async fn migrate(&self) -> Result<(), StateError> {
        migrations::migrator(self.dialect).run(&self.pool).await.map_err(StateError::Migrate)?;
        self.check_secret().await
    }

    async fn check_secret(&self) -> Result<(), StateError> {
        let failed = StateError::sql("check the secret key");
        sqlx::query("INSERT INTO settings (name, value) VALUES ('secret', $1) ON CONFLICT (name) DO NOTHING")
            .bind(self.secret.fingerprint())
            .execute(&self.pool)
            .await
            .map_err(&failed)?;
        let row = sqlx::query("SELECT value FROM settings WHERE name = 'secret'").fetch_one(&self.pool).await;
        let begun_with: String = row.map_err(&failed)?.try_get(0).map_err(&failed)?;
        if begun_with == self.secret.fingerprint() { Ok(()) } else { Err(StateError::WrongSecret) }
    }

    /// Now, by the database's clock: the timeline of deadlines that survive a restart.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn now(&self) -> Result<Moment, StateError> {
        let failed = StateError::sql("read the clock");
        let row = sqlx::query("SELECT now_us FROM database_clock").fetch_one(&self.pool).await.map_err(&failed)?;
        Ok(Moment::from_micros(row.try_get(0).map_err(&failed)?))
    }

    /// Where `unit` goes on, as its last applied run left it.
    ///
    /// # Errors
    /// When the database does not answer, or the row was encrypted under another secret.
    pub async fn position(&self, unit: &str) -> Result<Option<Vec<u8>>, StateError> {
        let failed = StateError::sql("read a position");
        let row = sqlx::query("SELECT position FROM positions WHERE unit = $1")
            .bind(unit)
            .fetch_optional(&self.pool)
            .await
            .map_err(&failed)?;
        let Some(row) = row else { return Ok(None) };
        self.unseal("positions", unit, "", row.try_get(0).map_err(&failed)?).map(Some)
    }

    /// Closes the connections; further calls fail.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// For tests that break the database.
    #[cfg(test)]
    pub(crate) fn pool(&self) -> AnyPool {
        self.pool.clone()
    }

    pub(crate) fn secret(&self) -> &StateSecret {
        &self.secret
    }

    /// Encrypts a column of the row of `table` that `group` and `name` identify.
    pub(super) fn seal(&self, table: &str, group: &str, name: &str, clear: &[u8]) -> Vec<u8> {
        self.cipher.seal(&place(table, group, name), clear)
    }

    pub(super) fn unseal(
        &self,
        table: &'static str,
        group: &str,
        name: &str,
        sealed: &[u8],
    ) -> Result<Vec<u8>, StateError> {
        self.cipher.open(&place(table, group, name), sealed).map_err(|_| StateError::Unreadable { table })
    }
}

/// Parts are separated by a byte that no table, flow, unit or hash contains.
fn place(table: &str, group: &str, name: &str) -> Vec<u8> {
    [table, group, name].join("\0").into_bytes()
}
