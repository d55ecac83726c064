//! Goes through pieces of sweeps of units that another auditor holds. What is suspect in them is left in state: whoever holds
//! the unit judges it, so that a key has one history, and commits the piece with its verdicts, once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::chunk::{Content, plan, renewing};
use super::disk::Shelf;
use super::finder::{Finder, Name, Options, SweepError};
use super::lag::Replicas;
use super::sides;
use crate::audit::unit::{MEMORY_OF_SWEEP, Shared, UnitParts};
use crate::causes::chain;
use crate::metrics::Store;
use crate::state::change::UnitName;
use crate::state::{Chunk, ChunksOf, Left, StateError, StateStore};

/// How often sweeps are looked for that others have begun.
const PAUSE: Duration = Duration::from_secs(1);
/// How long after a failure.
const REST: Duration = Duration::from_secs(10);
/// Suspects of a piece that are kept in state. With more of them a piece is better judged as a whole.
const MOST_FOUND: u64 = 10_000;

/// Joins sweeps of others.
pub struct Joiner {
    units: BTreeMap<UnitName, Arc<UnitParts>>,
    shared: Arc<Shared>,
    state: StateStore,
    lease_time: Duration,
}

/// Why a sweep could not be joined.
#[derive(Debug, thiserror::Error)]
enum JoinError {
    #[error(transparent)]
    Sweep(#[from] SweepError),
    #[error(transparent)]
    State(#[from] StateError),
}

impl Joiner {
    /// Over `units`, with leases of `lease_time`.
    pub fn new(units: &[Arc<UnitParts>], shared: Arc<Shared>, state: StateStore, lease_time: Duration) -> Self {
        let units = units.iter().filter(|parts| parts.sweep.is_some());
        let units = units.map(|parts| (parts.name.clone(), Arc::clone(parts))).collect();
        Self { units, shared, state, lease_time }
    }

    /// Runs until `stop`. A piece under way is given back then.
    pub async fn run(self, stop: CancellationToken) {
        let mut pause = PAUSE;
        while !self.units.is_empty() && stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            pause = match self.join_all(&stop).await {
                Ok(()) => PAUSE,
                Err(error) => {
                    if let JoinError::State(_) = error {
                        self.shared.metrics.store_error(Store::State);
                    }
                    tracing::warn!("a sweep could not be joined: {}", chain(&error));
                    REST
                }
            };
        }
    }

    async fn join_all(&self, stop: &CancellationToken) -> Result<(), JoinError> {
        for of in self.state.sweeps_to_join(&self.shared.auditor).await? {
            let Some(parts) = self.units.get(&of.unit) else { continue };
            let is_it = |flow: &crate::audit::unit::UnitFlow| {
                flow.name == of.flow && plan(&parts.owner.mapping, flow) == of.plan
            };
            // With another config one would find something else in it.
            let Some(flow) = parts.flows.iter().position(is_it) else { continue };
            self.join(&of, parts, flow, stop).await?;
        }
        Ok(())
    }

    async fn join(
        &self,
        of: &ChunksOf,
        parts: &UnitParts,
        flow: usize,
        stop: &CancellationToken,
    ) -> Result<(), JoinError> {
        let mut finder: Option<Finder> = None;
        let (mut replicas, sides) = (Replicas::default(), sides(parts, flow));
        while !stop.is_cancelled() && self.may_work(parts) {
            if replicas.behind(&sides, self.shared.clock.now()).await.is_some() {
                break;
            }
            let taken = self.state.join_chunk(of, &self.shared.auditor, self.lease_time).await?;
            let Some(mut chunk) = taken else { break };
            let went = self.work_on(&mut chunk, &mut finder, (parts, flow), stop).await;
            let left = *went.as_ref().unwrap_or(&Left::Open);
            let is_ours = self.state.leave_chunk(&of.unit, &chunk, left).await?;
            match went? {
                Left::Found if is_ours => self.shared.metrics.swept_chunk(&parts.flows[flow].flow.id),
                Left::Found => {}
                // What comes next may differ less.
                Left::Wide => finder = None,
                Left::Open => break,
            }
        }
        Ok(())
    }

    fn may_work(&self, parts: &UnitParts) -> bool {
        let hours = parts.sweep.as_ref().and_then(|sweep| sweep.hours);
        hours.is_none_or(|hours| hours.hold(self.shared.clock.now()))
    }

    /// Goes through a piece, while its lease is renewed.
    async fn work_on(
        &self,
        chunk: &mut Chunk,
        finder: &mut Option<Finder>,
        of: (&UnitParts, usize),
        stop: &CancellationToken,
    ) -> Result<Left, JoinError> {
        let (id, token) = (chunk.id, chunk.token);
        let renew = || async move {
            // Whether it is still ours shows when it is left.
            drop(self.state.renew_chunk(id, token, self.lease_time).await);
        };
        let work = stop.run_until_cancelled(self.go_through(chunk, finder, of));
        Ok(renewing(self.lease_time, work, renew).await.transpose()?.unwrap_or(Left::Open))
    }

    async fn go_through(
        &self,
        chunk: &mut Chunk,
        finder: &mut Option<Finder>,
        (parts, flow): (&UnitParts, usize),
    ) -> Result<Left, JoinError> {
        // What cannot be gone through here is left to whoever planned it.
        let Some(mut content) = Content::from_bytes(&chunk.content) else { return Ok(Left::Wide) };
        let finder = match finder {
            Some(finder) => finder,
            none => {
                let [owner, target] = sides(parts, flow);
                let options = Options { strategy: None, memory: MEMORY_OF_SWEEP };
                none.insert(Finder::resume(owner, target, parts.flows[flow].tolerances.clone(), options).await?)
            }
        };
        if !finder.enter(content.span(), content.piece) {
            return Ok(Left::Wide);
        }
        let mut suspects: Shelf<Name> = Shelf::new(usize::try_from(MOST_FOUND).unwrap_or(usize::MAX));
        while !finder.is_over() {
            finder.next(&mut suspects).await?;
            if finder.whole().is_some() || suspects.len() > MOST_FOUND {
                return Ok(Left::Wide);
            }
        }
        content.piece = finder.piece();
        content.found = suspects.take(usize::MAX).map_err(SweepError::from)?;
        chunk.content = content.to_bytes();
        Ok(Left::Found)
    }
}
