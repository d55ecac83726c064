//! The pieces in which auditors share a sweep, as whoever holds the unit sees them: it plans them, goes through some itself,
//! judges what others found, and settles each with the run that judged it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::probe::{Current, MEMORY, UnderWay};
use crate::audit::journal::{Journal, JournalError};
use crate::audit::sweep::chunk::{Content, plan, renewing};
use crate::audit::sweep::disk::Shelf;
use crate::audit::sweep::finder::{Finder, Name, Options, Piece, SweepError};
use crate::audit::sweep::sides;
use crate::audit::unit::{Unit, UnitError};
use crate::state::change::ChunkChange;
use crate::state::{Chunk, ChunksOf};

/// How a flow's sweep is shared. Part of a stored form.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct InChunks {
    /// What is read and how.
    plan: String,
    chunks: u32,
    settled: u32,
}

impl InChunks {
    pub(super) const fn is_through(&self) -> bool {
        self.settled >= self.chunks
    }
}

/// A piece that this unit goes through.
pub(super) struct Held {
    id: Uuid,
    token: u64,
    /// What of it the sweep has counted.
    counted: Piece,
}

/// A piece that has been gone through.
pub(super) struct Settling {
    change: ChunkChange,
    /// Rows of the owner and of the target that the sweep has not counted.
    rows: (u64, u64),
    /// Whether it was gone through here, and is leased until it is settled.
    is_ours: bool,
}

/// What there is to do.
pub(super) enum Next {
    /// The next piece of what is under way.
    Work,
    /// Nothing: what others found came in.
    Found,
    /// Nothing any more.
    Through,
    /// Nothing, until others are done.
    Nothing,
}

/// Rows beyond those that were counted.
const fn rows_since(piece: Piece, counted: Piece) -> (u64, u64) {
    let owner = piece.owner_rows.saturating_sub(counted.owner_rows);
    (owner, piece.target_rows.saturating_sub(counted.target_rows))
}

/// Pieces under lease.
pub(super) struct Leased {
    journal: Arc<dyn Journal>,
    chunks: Vec<(Uuid, u64)>,
    ttl: Duration,
    /// They have not been renewed for a while.
    is_due: bool,
}

impl Leased {
    async fn renew(&self) -> Result<bool, JournalError> {
        for (id, token) in &self.chunks {
            if !self.journal.renew_chunk(*id, *token, self.ttl).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Works while the leases are renewed. Whether the pieces still are ours shows when the run is committed.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        if self.is_due {
            drop(self.renew().await);
        }
        renewing(self.ttl, work, || async { drop(self.renew().await) }).await
    }
}

impl UnderWay {
    /// What has been gone through of a flow that is shared, when this is what has been of the piece under way.
    pub(super) fn overall_of(&self, current: &Current, shared: &InChunks, under_way: Piece) -> Piece {
        let mut sum = current.piece;
        let mut add = |(owner, target): (u64, u64)| {
            sum.owner_rows += owner;
            sum.target_rows += target;
        };
        self.settling.iter().for_each(|settling| add(settling.rows));
        let mut done = (u64::from(shared.settled) + self.settling.len() as u64) * 1_000;
        if let Some(held) = &self.chunk {
            add(rows_since(under_way, held.counted));
            done += under_way.done;
        }
        sum.done = (done / u64::from(shared.chunks.max(1))).min(1_000);
        sum
    }

    /// Everything that was found has been judged: counts it, and says what becomes of its pieces.
    pub(super) fn take_judged_chunks(&mut self) -> Vec<ChunkChange> {
        let Some(current) = &mut self.stored.current else { return Vec::new() };
        let mut changes = Vec::with_capacity(self.settling.len() + 1);
        for settling in self.settling.drain(..) {
            current.count(settling.rows);
            if let Some(shared) = &mut current.shared {
                shared.settled += 1;
            }
            changes.push(settling.change);
        }
        let finder = self.finder.as_ref();
        let under_way = finder.and_then(|finder| Some((finder.piece(), finder.rest()?)));
        if let (Some(held), Some((piece, rest))) = (&mut self.chunk, under_way)
            && piece != held.counted
        {
            current.count(rows_since(piece, held.counted));
            held.counted = piece;
            let content = Content::of(rest, piece).to_bytes();
            changes.push(ChunkChange { id: held.id, token: held.token, is_settled: false, content });
        }
        changes
    }
}

impl Current {
    fn count(&mut self, (owner, target): (u64, u64)) {
        self.piece.owner_rows += owner;
        self.piece.target_rows += target;
    }
}

impl Unit {
    fn store_failed(&self, source: JournalError) -> UnitError {
        UnitError::Store { unit: self.parts.name.clone(), source }
    }

    fn chunks_of(&self, flow: usize) -> Option<ChunksOf> {
        let current = self.sweep.stored.current.as_ref()?;
        let plan = current.shared.as_ref()?.plan.clone();
        let flow = self.parts.flows[flow].name.clone();
        Some(ChunksOf { unit: self.parts.name.clone(), sweep: current.id, flow, plan })
    }

    /// Looks at both sides, and divides the flow into pieces where its keys lie in spans.
    pub(super) async fn open_finder(&mut self, flow: usize) -> Result<Result<Finder, SweepError>, UnitError> {
        let parts = Arc::clone(&self.parts);
        let Some(current) = &mut self.sweep.stored.current else { return Err(self.lease_lost()) };
        let plan = plan(&parts.owner.mapping, &parts.flows[flow]);
        if current.shared.as_ref().is_some_and(|shared| shared.plan != plan) {
            current.flow_anew();
        }
        let is_known = current.shared.is_some();
        let [owner, target] = sides(&parts, flow);
        let tolerances = parts.flows[flow].tolerances.clone();
        let options = Options { strategy: None, memory: MEMORY };
        let opened = if is_known {
            Finder::resume(owner, target, tolerances, options).await
        } else {
            Finder::begin(owner, target, tolerances, options).await
        };
        let finder = match opened {
            Ok(finder) => finder,
            Err(error) => return Ok(Err(error)),
        };
        let choice = finder.choice();
        tracing::info!(flow = %parts.flows[flow].flow.id, strategy = %choice.strategy, "swept: {}", choice.reason);
        let rows = parts.sweep.as_ref().map_or(u64::MAX, |sweep| sweep.chunk_rows);
        match finder.divided(rows) {
            Some(spans) => {
                let contents = spans.into_iter().map(|span| Content::of(span, Piece::default()).to_bytes());
                self.plan_chunks(flow, plan, &contents.collect::<Vec<_>>()).await?;
            }
            // It was planned by spans, and its rows do not lie in these any more.
            None if is_known => {
                if let Some(current) = &mut self.sweep.stored.current {
                    current.flow_anew();
                }
            }
            _ => {}
        }
        Ok(Ok(finder))
    }

    fn lease_lost(&self) -> UnitError {
        UnitError::LeaseLost(self.parts.name.clone())
    }

    async fn plan_chunks(&mut self, flow: usize, plan: String, contents: &[Vec<u8>]) -> Result<(), UnitError> {
        let Some(current) = &mut self.sweep.stored.current else { return Ok(()) };
        current.shared.get_or_insert(InChunks { plan, chunks: 0, settled: 0 });
        let Some(of) = self.chunks_of(flow) else { return Ok(()) };
        let planned = self.shared.journal.plan_chunks(&self.lease, &self.shared.auditor, &of, contents).await;
        let chunks = planned.map_err(|error| self.store_failed(error))?.ok_or_else(|| self.lease_lost())?;
        if let Some(shared) = self.sweep.stored.current.as_mut().and_then(|current| current.shared.as_mut()) {
            shared.chunks = chunks;
        }
        Ok(())
    }

    /// What prolongs the leases of the pieces that were or are gone through here and are not settled yet.
    pub(super) fn leased(&mut self) -> Leased {
        let ttl = self.parts.sweep.as_ref().map_or(Duration::MAX, |sweep| sweep.lease);
        let now = self.shared.clock.now();
        let is_due = self.sweep.renewed_at.is_none_or(|at| now.since(at) >= ttl / 3);
        if is_due {
            self.sweep.renewed_at = Some(now);
        }
        let settling = self.sweep.settling.iter().filter(|settling| settling.is_ours);
        let settling = settling.map(|settling| (settling.change.id, settling.change.token));
        let chunks = settling.chain(self.sweep.chunk.iter().map(|held| (held.id, held.token))).collect();
        Leased { journal: Arc::clone(&self.shared.journal), chunks, ttl, is_due }
    }

    /// Whether nobody else has taken what was gone through here and is not settled yet.
    pub(super) async fn still_has_chunks(&mut self) -> Result<bool, UnitError> {
        self.leased().renew().await.map_err(|error| self.store_failed(error))
    }

    /// Takes up the next piece where none is under way: first what others found.
    pub(super) async fn next_chunk(
        &mut self,
        flow: usize,
        finder: &mut Finder,
        suspects: &mut Shelf<Name>,
    ) -> Result<Result<Next, SweepError>, UnitError> {
        let Some(of) = self.chunks_of(flow).filter(|_| self.sweep.chunk.is_none()) else {
            return Ok(Ok(Next::Work));
        };
        let found = self.shared.journal.found_chunks(&of).await.map_err(|error| self.store_failed(error))?;
        let is_new = |chunk: &&Chunk| !self.sweep.settling.iter().any(|settling| settling.change.id == chunk.id);
        if let Some(chunk) = found.iter().find(is_new) {
            return Ok(self.take_in(chunk, suspects)?.map(|()| Next::Found));
        }
        let lease = self.parts.sweep.as_ref().map_or(Duration::ZERO, |sweep| sweep.lease);
        let taken = self.shared.journal.take_chunk(&of, &self.shared.auditor, lease).await;
        let Some(chunk) = taken.map_err(|error| self.store_failed(error))? else {
            let current = self.sweep.stored.current.as_ref();
            let left = current.and_then(|current| current.shared.as_ref());
            let left = left.map_or(0, |shared| u64::from(shared.chunks - shared.settled.min(shared.chunks)));
            return Ok(Ok(if left <= self.sweep.settling.len() as u64 { Next::Through } else { Next::Nothing }));
        };
        let content = self.content(&chunk)?;
        finder.enter(content.span(), content.piece);
        self.sweep.chunk = Some(Held { id: chunk.id, token: chunk.token, counted: content.piece });
        Ok(Ok(Next::Work))
    }

    fn content(&self, chunk: &Chunk) -> Result<Content, UnitError> {
        let format = UnitError::Format { unit: self.parts.name.clone(), what: "piece of a sweep" };
        Content::from_bytes(&chunk.content).ok_or(format)
    }

    /// What another auditor found in a piece waits for being judged.
    fn take_in(&mut self, chunk: &Chunk, suspects: &mut Shelf<Name>) -> Result<Result<(), SweepError>, UnitError> {
        let mut content = self.content(chunk)?;
        for name in std::mem::take(&mut content.found) {
            if let Err(error) = suspects.push(name) {
                return Ok(Err(error.into()));
            }
        }
        let rows = rows_since(content.piece, content.counted);
        content.counted = content.piece;
        let change = ChunkChange { id: chunk.id, token: chunk.token, is_settled: true, content: content.to_bytes() };
        self.sweep.settling.push(Settling { change, rows, is_ours: false });
        Ok(Ok(()))
    }

    /// The piece under way has been gone through. `false` when there was none: the flow is not shared.
    pub(super) fn settle_chunk(&mut self, flow: usize, finder: &Finder) -> bool {
        let Some(held) = self.sweep.chunk.take() else { return false };
        let rows = rows_since(finder.piece(), held.counted);
        let content = finder.rest().map_or_else(Content::default, |rest| Content::of(rest, finder.piece()));
        let change = ChunkChange { id: held.id, token: held.token, is_settled: true, content: content.to_bytes() };
        self.sweep.settling.push(Settling { change, rows, is_ours: true });
        self.shared.metrics.swept_chunk(&self.parts.flows[flow].flow.id);
        true
    }
}
