//! Where runs are committed and where units take up again: durable for `serve`, in memory for a single look.

use std::collections::HashMap;
use std::error::Error;

use async_trait::async_trait;

use crate::ledger::rows::RunRows;
use crate::metrics::Store;
use crate::state::Acceptance;
use crate::state::change::{InFlightEntry, StateChange};

/// What became of a committed run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It counts.
    Yes,
    /// Another auditor holds the unit now: the run never happened.
    Fenced,
}

/// One of our own stores failed.
#[derive(Debug, thiserror::Error)]
#[error("{} failed", store.as_str())]
pub struct JournalError {
    /// Which.
    pub store: Store,
    /// Why.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl JournalError {
    /// A failure of `store`.
    pub fn new(store: Store, source: impl Error + Send + Sync + 'static) -> Self {
        Self { store, source: Box::new(source) }
    }
}

/// Keeps what units must not lose.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Where the unit stands.
    async fn position(&self, unit: &str) -> Result<Option<Vec<u8>>, JournalError>;

    /// Up to `limit` in-flight keys of a flow with a key hash after `after`, in hash order.
    async fn in_flight_after(
        &self,
        flow: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, InFlightEntry)>, JournalError>;

    /// What both sides of a two-way pair last agreed on, by key hash.
    async fn baselines(&self, pair: &str, key_hashes: &[String]) -> Result<HashMap<String, u128>, JournalError>;

    /// The changes of shapes that somebody accepted for an entity; none where nobody can accept anything.
    async fn accepted_changes(&self, _entity: &str) -> Result<Vec<Acceptance>, JournalError> {
        Ok(Vec::new())
    }

    /// Keeps a run: its state change and its rows, both or neither. Returns once it is durable.
    async fn commit(&self, change: StateChange, rows: RunRows) -> Result<Committed, JournalError>;
}
