//! The journal of `serve`: state in its database, runs through the spool.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::ledger::rows::RunRows;
use crate::ledger::{Spool, SpoolError};
use crate::metrics::Store;
use crate::state::change::{InFlightEntry, Lease, StateChange};
use crate::state::{Acceptance, Applied, Chunk, ChunksOf, StateError, StateStore};

use super::journal::{Committed, Journal, JournalError};

/// State and spool together.
pub struct Durable {
    /// The small mutable part.
    pub state: StateStore,
    /// On the way to state and ledger.
    pub spool: Spool,
}

fn state_failed(error: StateError) -> JournalError {
    JournalError::new(Store::State, error)
}

#[async_trait]
impl Journal for Durable {
    async fn position(&self, unit: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.state.position(unit).await.map_err(state_failed)
    }

    async fn in_flight_after(
        &self,
        flow: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, InFlightEntry)>, JournalError> {
        let found = self.state.in_flight_after(flow, after, limit).await.map_err(state_failed)?;
        let entry = |key: crate::state::InFlight| {
            let entry = InFlightEntry { due_at: key.due_at, overdue_at: key.overdue_at, payload: key.payload };
            (key.key_hash, entry)
        };
        Ok(found.into_iter().map(entry).collect())
    }

    async fn baselines(&self, pair: &str, key_hashes: &[String]) -> Result<HashMap<String, u128>, JournalError> {
        let found = self.state.baselines(pair, key_hashes).await.map_err(state_failed)?;
        Ok(found.into_iter().map(|(key_hash, baseline)| (key_hash, baseline.digest)).collect())
    }

    async fn accepted_changes(&self, entity: &str) -> Result<Vec<Acceptance>, JournalError> {
        self.state.accepted_changes(entity).await.map_err(state_failed)
    }

    async fn plan_chunks(
        &self,
        lease: &Lease,
        auditor: &str,
        of: &ChunksOf,
        contents: &[Vec<u8>],
    ) -> Result<Option<u32>, JournalError> {
        self.state.plan_chunks(lease, auditor, of, contents).await.map_err(state_failed)
    }

    async fn take_chunk(&self, of: &ChunksOf, auditor: &str, ttl: Duration) -> Result<Option<Chunk>, JournalError> {
        self.state.take_chunk(of, auditor, ttl).await.map_err(state_failed)
    }

    async fn renew_chunk(&self, id: Uuid, token: u64, ttl: Duration) -> Result<bool, JournalError> {
        self.state.renew_chunk(id, token, ttl).await.map_err(state_failed)
    }

    async fn found_chunks(&self, of: &ChunksOf) -> Result<Vec<Chunk>, JournalError> {
        self.state.found_chunks(of).await.map_err(state_failed)
    }

    async fn commit(&self, change: StateChange, rows: RunRows) -> Result<Committed, JournalError> {
        match self.spool.commit(change, &rows).await {
            Ok(Applied::Now | Applied::Already) => Ok(Committed::Yes),
            Ok(Applied::Fenced) => Ok(Committed::Fenced),
            Err(SpoolError::State(error)) => Err(state_failed(error)),
            Err(error) => Err(JournalError::new(Store::Spool, error)),
        }
    }
}
