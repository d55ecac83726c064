//! Where connections come from, without waiting for a server that is known to be away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool};
use tokio::task::AbortHandle;

use crate::connect::certificate::is_refused;

/// Between two attempts at a server that answers at once that it cannot be reached.
const PAUSE: Duration = Duration::from_secs(1);

/// A pool that keeps calm while its server is away.
///
/// The pool itself tries for as long as connecting may take before it gives up. Readers of one system would spend
/// that time again at every read, and the other systems that they look at would wait with them. So only the first
/// of them waits; then one task goes on trying, and reads fail at once until it has succeeded.
pub(super) struct Source<Db: Database> {
    pool: Pool<Db>,
    away: Arc<AtomicBool>,
    /// The task that goes on trying; ended with the source.
    attempts: Mutex<Option<AbortHandle>>,
}

impl<Db: Database> Source<Db> {
    pub fn new(pool: Pool<Db>) -> Self {
        Self { pool, away: Arc::new(AtomicBool::new(false)), attempts: Mutex::new(None) }
    }

    /// A connection, or at once the error of a server that is away.
    pub async fn connection(&self) -> Result<PoolConnection<Db>, sqlx::Error> {
        if self.away.load(Ordering::Acquire) {
            return Err(sqlx::Error::PoolTimedOut);
        }
        let outcome = self.pool.acquire().await;
        if outcome.as_ref().is_err_and(is_away) {
            self.go_on_trying();
        }
        outcome
    }

    fn go_on_trying(&self) {
        if self.away.swap(true, Ordering::AcqRel) {
            return;
        }
        let (pool, away) = (self.pool.clone(), Arc::clone(&self.away));
        let attempts = tokio::spawn(async move {
            // A connection goes into the pool; another error is for the next read to tell.
            while pool.acquire().await.is_err_and(|error| is_away(&error)) {
                tokio::time::sleep(PAUSE).await;
            }
            away.store(false, Ordering::Release);
        });
        *self.attempts.lock().unwrap_or_else(PoisonError::into_inner) = Some(attempts.abort_handle());
    }
}

impl<Db: Database> Drop for Source<Db> {
    fn drop(&mut self) {
        if let Some(attempts) = self.attempts.get_mut().unwrap_or_else(PoisonError::into_inner) {
            attempts.abort();
        }
    }
}

/// Whether nobody answered, rather than refused or was not to be trusted.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Io(error) => !is_refused(error),
        _ => false,
    }
}
