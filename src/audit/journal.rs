//! Where runs are committed and where units take up again: durable for `serve`, in memory for a single look.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::ledger::rows::RunRows;
use crate::metrics::Store;
use crate::state::change::{InFlightEntry, Lease, StateChange};
use crate::state::{Acceptance, Chunk, ChunksOf};

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

    /// Divides a flow's sweep into pieces that auditors share, unless that was done before. What this auditor had of
    /// them is free again. Says how many there are; `None` when
    /// the lease has gone to another holder, or nothing is kept.
    async fn plan_chunks(
        &self,
        _lease: &Lease,
        _auditor: &str,
        _of: &ChunksOf,
        _contents: &[Vec<u8>],
    ) -> Result<Option<u32>, JournalError> {
        Ok(None)
    }

    /// Takes a free piece of a sweep for whoever holds the unit.
    async fn take_chunk(&self, _of: &ChunksOf, _auditor: &str, _ttl: Duration) -> Result<Option<Chunk>, JournalError> {
        Ok(None)
    }

    /// Prolongs the lease of a piece; `false` when another has taken it.
    async fn renew_chunk(&self, _id: Uuid, _token: u64, _ttl: Duration) -> Result<bool, JournalError> {
        Ok(false)
    }

    /// Pieces that others went through and whose suspects wait for being judged.
    async fn found_chunks(&self, _of: &ChunksOf) -> Result<Vec<Chunk>, JournalError> {
        Ok(Vec::new())
    }

    /// Keeps a run: its state change and its rows, both or neither. Returns once it is durable.
    async fn commit(&self, change: StateChange, rows: RunRows) -> Result<Committed, JournalError>;
}
