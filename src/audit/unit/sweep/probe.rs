//! The sweep on a schedule: in parts, each committed with the suspects it judged and where it goes on.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::audit::entry::key_from_bytes;
use crate::audit::run::{Keys, Run, Summary, ledger_time};
use crate::audit::sweep::disk::Shelf;
use crate::audit::sweep::finder::{Finder, Name, Piece, SweepError};
use crate::audit::sweep::lag::{Replicas, WHILE_BEHIND};
use crate::audit::sweep::sides;
use crate::audit::unit::{Unit, UnitError};
use crate::causes::chain;
use crate::ledger::rows::SweepRow;
use crate::metrics::{RunKind, Skip};
use crate::model::{Key, Moment, Verdict};
use crate::sweep::{Choice, Sample};

use super::rate::Rate;
use super::shared::{Held, InChunks, Next, Settling};

/// A sweep under way, and what of it outlives the process.
#[derive(Default)]
pub(in crate::audit::unit) struct UnderWay {
    pub(super) stored: Stored,
    pub(super) finder: Option<Finder>,
    /// Found and not judged yet: the checkpoint waits for them.
    suspects: Option<Shelf<Name>>,
    /// The piece under way, where the flow is shared in pieces.
    pub(super) chunk: Option<Held>,
    /// Pieces that have been gone through and wait for their suspects, too.
    pub(super) settling: Vec<Settling>,
    /// When the leases of these were last prolonged.
    pub(super) renewed_at: Option<Moment>,
    replicas: Replicas,
    /// When the next part may begin.
    next: Option<Moment>,
    rate: Rate,
}

/// The stored form. A format of its own: changing it means raising [`FORMAT`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Stored {
    /// The sweep under way, if there is one.
    pub current: Option<Current>,
    /// When the last one was completed.
    completed: Option<Moment>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Current {
    pub id: Uuid,
    began: Moment,
    /// Flows that are done.
    done: Vec<String>,
    /// How the flow under way is shared in pieces, if it is.
    pub shared: Option<InChunks>,
    /// What of it has been gone through and judged.
    pub piece: Piece,
    /// Bad verdicts in the flow under way.
    differences: u64,
    /// Of them: keys that the target lacks.
    missing: u64,
    /// Of them: keys that the owner lacks.
    extra: u64,
    /// Keys that may have been on their way: they are decided later, and count neither way.
    waiting: u64,
    /// Keys that could not be decided.
    unknown: u64,
}

impl Current {
    fn begun(id: Uuid, began: Moment) -> Self {
        Self {
            id,
            began,
            done: Vec::new(),
            shared: None,
            piece: Piece::default(),
            differences: 0,
            missing: 0,
            extra: 0,
            waiting: 0,
            unknown: 0,
        }
    }

    /// Adds up what a part found.
    fn note(&mut self, found: &Summary) {
        let bad = Verdict::ALL.into_iter().filter(|verdict| verdict.is_bad());
        self.differences += bad.map(|verdict| found.of(verdict)).sum::<u64>();
        self.missing += found.of(Verdict::Missing);
        self.extra += found.of(Verdict::Extra);
        self.waiting += found.of(Verdict::InFlight);
        self.unknown += found.of(Verdict::Unknown);
    }

    /// What the flow that is done says of its keys. What was not suspected agrees.
    const fn decided(&self, owner_rows: u64) -> Keys {
        let others = (self.differences - self.extra) + self.waiting + self.unknown;
        Keys {
            good: owner_rows.saturating_sub(others),
            bad: self.differences,
            missing: self.missing,
            unknown: self.unknown,
        }
    }

    /// The flow under way begins anew.
    pub(super) fn flow_anew(&mut self) {
        let Self { id, began, .. } = *self;
        let done = std::mem::take(&mut self.done);
        *self = Self { done, ..Self::begun(id, began) };
    }

    /// The next flow begins.
    fn next_flow(&mut self, done: String) {
        let Self { id, began, .. } = *self;
        let mut flows = std::mem::take(&mut self.done);
        flows.push(done);
        *self = Self { done: flows, ..Self::begun(id, began) };
    }
}

const FORMAT: u8 = 3;
/// Before sweeps were shared. What such a release has begun begins anew.
const UNSHARED: u8 = 2;
/// After a failure, or while no key may enter the queue, the sweep rests.
const REST: Duration = Duration::from_secs(10);
/// While others have all pieces that are left, the sweep looks so often whether they are done.
const WAIT: Duration = Duration::from_millis(500);
/// What a sweep on a schedule may keep in memory, in bytes.
pub const MEMORY: usize = 64 << 20;
/// Suspects that one read asks for.
const BATCH: usize = 1_000;
/// Suspects of one part: a run stays small enough to be spooled as one.
const MOST_SUSPECTS: u64 = 20_000;
/// Suspects that wait in memory.
const KEPT: usize = 4_000;

impl UnderWay {
    /// From state; `None` when it is of another format.
    pub(in crate::audit::unit) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&format, body) = bytes.split_first()?;
        if format == UNSHARED {
            return Some(Self::default());
        }
        let stored = postcard::from_bytes(body).ok().filter(|_| format == FORMAT)?;
        Some(Self { stored, ..Self::default() })
    }

    fn to_bytes(&self) -> Vec<u8> {
        // Serialising into a growing vector fails only for types that postcard cannot express; these it can.
        postcard::to_extend(&self.stored, vec![FORMAT]).unwrap_or_default()
    }

    /// Whether none has ever begun.
    pub(in crate::audit::unit) const fn is_new(&self) -> bool {
        self.stored.current.is_none() && self.stored.completed.is_none()
    }

    /// Forgets what has not been committed: the sweep goes on behind its last checkpoint.
    fn step_back(&mut self, next: Moment) {
        (self.finder, self.suspects, self.next) = (None, None, Some(next));
        (self.chunk, self.settling) = (None, Vec::new());
    }

    /// What of the flow under way has been gone through, judged or not.
    fn overall(&self) -> Piece {
        let Some(current) = &self.stored.current else { return Piece::default() };
        let under_way = self.finder.as_ref().map_or(Piece::default(), Finder::piece);
        match &current.shared {
            Some(shared) => self.overall_of(current, shared, under_way),
            None => under_way,
        }
    }
}

/// How a part of a sweep ended.
enum Ended {
    /// There is more.
    Cut,
    /// The flow has been gone through.
    Through,
    /// What is left others go through, or a replica lags: not before so long.
    Waits(Duration),
    /// A side could not be read.
    Failed,
}

impl Unit {
    /// Begins a sweep, unless one is under way.
    pub fn begin_sweep(&mut self) {
        if self.sweep.stored.current.is_some() {
            let (entity, owner) = (&self.parts.entity, &self.parts.owner.system);
            self.shared.metrics.skipped(RunKind::Sweep, entity, owner, Skip::Overlap);
            return;
        }
        let (id, began) = (Uuid::now_v7(), self.shared.clock.now());
        self.sweep.stored.current = Some(Current::begun(id, began));
        self.sweep.next = None;
        tracing::info!(unit = %self.parts.name, "a sweep begins");
    }

    /// Whether a sweep is under way.
    pub fn is_sweeping(&self) -> bool {
        self.sweep.stored.current.is_some()
    }

    /// When the sweep under way goes on. Outside of its hours it is asked again every now and then.
    pub(in crate::audit::unit) fn sweep_goes_on(&self) -> Option<Moment> {
        let now = self.shared.clock.now();
        self.sweep.stored.current.as_ref()?;
        let hours = self.parts.sweep.as_ref()?.hours;
        let next = self.sweep.next.unwrap_or(now);
        if hours.is_none_or(|hours| hours.hold(now)) { Some(next) } else { Some(next.max(now + REST)) }
    }

    /// One part of the sweep under way, committed as one.
    ///
    /// # Errors
    /// When the lease is lost, or state or spool fail. A system that cannot be read is a recorded outcome.
    pub async fn sweep_part(&mut self) -> Result<Summary, UnitError> {
        let mut run = Run::begin(RunKind::Sweep, self.lease.clone(), self.shared.clock.now());
        let Some(current) = self.sweep.stored.current.clone() else {
            run.summary.complete = true;
            return Ok(run.summary);
        };
        let flow = self.parts.flows.iter().position(|flow| !current.done.contains(&flow.name));
        let Some(flow) = flow else {
            self.complete_sweep(&mut run);
            return self.commit(run, None).await;
        };
        if !self.still_has_chunks().await? {
            self.sweep.step_back(self.shared.clock.now());
        }
        if self.room() == 0 {
            // Suspects wait until there is room: they are neither dropped nor decided early.
            run.summary.failure = Some("in_flight_full");
            let (entity, owner) = (&self.parts.entity, &self.parts.owner.system);
            self.shared.metrics.skipped(RunKind::Sweep, entity, owner, Skip::InFlightFull);
            self.sweep.next = Some(self.shared.clock.now() + REST);
            return self.commit(run, None).await;
        }
        let mut suspects = self.sweep.suspects.take().unwrap_or_else(|| Shelf::new(KEPT));
        let before = self.sweep.overall();
        let ended = match self.go_on(&mut run, flow, &mut suspects).await? {
            Ok(ended) => ended,
            Err(error) => {
                self.note_sweep_failure(&mut run, &error);
                Ended::Failed
            }
        };
        if let Ended::Waits(rest) = ended {
            self.sweep.next = Some(self.shared.clock.now() + rest);
            if suspects.is_empty() && self.sweep.settling.is_empty() && run.summary.total() == 0 {
                return Ok(run.summary);
            }
        }
        let is_judged = self.leased().during(self.judge_all(&mut run, flow, &mut suspects)).await;
        if self.sweep.finder.is_some() {
            let took = self.shared.clock.now().since(run.started);
            let speed = self.sweep.rate.went(flow, before, self.sweep.overall(), took);
            self.shared.metrics.sweep_speed(&self.parts.flows[flow].flow.id, speed.records_a_second, speed.left);
        }
        self.close_part(&mut run, flow, (ended, is_judged), suspects);
        self.commit(run, None).await
    }

    /// Looks for suspects for a while.
    async fn go_on(
        &mut self,
        run: &mut Run,
        flow: usize,
        suspects: &mut Shelf<Name>,
    ) -> Result<Result<Ended, SweepError>, UnitError> {
        let mut finder = match self.sweep.finder.take() {
            Some(finder) => finder,
            None => match self.open_finder(flow).await? {
                Ok(finder) => finder,
                Err(error) => return Ok(Err(error)),
            },
        };
        let ended = self.look_on(run, flow, &mut finder, suspects).await;
        self.sweep.finder = Some(finder);
        ended
    }

    async fn look_on(
        &mut self,
        run: &mut Run,
        flow: usize,
        finder: &mut Finder,
        suspects: &mut Shelf<Name>,
    ) -> Result<Result<Ended, SweepError>, UnitError> {
        let part = self.parts.sweep.as_ref().map_or(Duration::ZERO, |sweep| sweep.part);
        let until = self.shared.clock.now() + part;
        let mut judged = 0;
        loop {
            if self.is_behind(flow).await {
                return Ok(Ok(Ended::Waits(WHILE_BEHIND)));
            }
            let has_work = match self.next_chunk(flow, finder, suspects).await? {
                Ok(Next::Work) => true,
                Ok(Next::Found) => false,
                Ok(Next::Through) => return Ok(Ok(Ended::Through)),
                Ok(Next::Nothing) => return Ok(Ok(Ended::Waits(WAIT))),
                Err(error) => return Ok(Err(error)),
            };
            if has_work {
                match self.go_through_piece(run, flow, finder, suspects).await {
                    Ok(checked) => judged += checked,
                    Err(error) => return Ok(Err(error)),
                }
                if finder.is_over() && !self.settle_chunk(flow, finder) {
                    return Ok(Ok(Ended::Through));
                }
            }
            if self.shared.clock.now() >= until || suspects.len() + judged >= MOST_SUSPECTS || self.room() == 0 {
                return Ok(Ok(Ended::Cut));
            }
        }
    }

    /// Whether a side of the flow is a replica that lags.
    async fn is_behind(&mut self, flow: usize) -> bool {
        let now = self.shared.clock.now();
        let behind = self.sweep.replicas.behind(&sides(&self.parts, flow), now).await;
        let lag = behind.as_ref().map_or(Duration::ZERO, |behind| behind.lag);
        self.shared.metrics.sweep_rests(&self.parts.flows[flow].flow.id, lag);
        behind.is_some()
    }

    /// One piece; what has to be judged as a whole is. Says how many keys were.
    async fn go_through_piece(
        &mut self,
        run: &mut Run,
        flow: usize,
        finder: &mut Finder,
        suspects: &mut Shelf<Name>,
    ) -> Result<u64, SweepError> {
        finder.judge_at_most(self.room().min(MOST_SUSPECTS));
        self.leased().during(finder.next(suspects)).await?;
        let Some(whole) = finder.whole() else { return Ok(0) };
        let parts = std::sync::Arc::clone(&self.parts);
        self.measure_clock(&parts.owner).await;
        self.measure_clock(&parts.flows[flow].target).await;
        let before = run.summary.total();
        let outcome = self.leased().during(self.judge_span(run, flow, &whole)).await;
        finder.take_judged(outcome.map_err(Into::into))?;
        Ok(run.summary.total() - before)
    }

    /// Judges suspects while keys may enter the queue. `true` when none is left.
    async fn judge_all(&mut self, run: &mut Run, flow: usize, suspects: &mut Shelf<Name>) -> bool {
        let parts = std::sync::Arc::clone(&self.parts);
        self.measure_clock(&parts.owner).await;
        self.measure_clock(&parts.flows[flow].target).await;
        let mut judged = 0;
        while !suspects.is_empty() && judged < MOST_SUSPECTS && self.room() > 0 {
            let most = usize::try_from(self.room()).unwrap_or(usize::MAX).min(BATCH);
            let names = match suspects.take(most) {
                Ok(names) => names,
                Err(error) => {
                    self.note_sweep_failure(run, &error.into());
                    return false;
                }
            };
            let keys: Vec<Key> = names.iter().filter_map(|name| key_from_bytes(name)).collect();
            judged += keys.len() as u64;
            if !self.judge_suspects(run, flow, &keys).await {
                return false;
            }
        }
        suspects.is_empty()
    }

    fn note_sweep_failure(&mut self, run: &mut Run, error: &SweepError) {
        match error {
            SweepError::Read(error) => self.note_failure(run, error),
            _ => {
                tracing::warn!(unit = %self.parts.name, "the sweep stopped: {}", chain(error));
                run.summary.failure.get_or_insert("internal");
            }
        }
    }

    /// Moves the checkpoint when everything found before it has been judged.
    fn close_part(&mut self, run: &mut Run, flow: usize, (ended, is_judged): (Ended, bool), suspects: Shelf<Name>) {
        let now = self.shared.clock.now();
        if matches!(ended, Ended::Failed) || run.summary.failure.is_some() {
            self.sweep.step_back(now + REST);
            return;
        }
        let piece = self.sweep.overall();
        let way = self.sweep.finder.as_ref().map(|finder| (finder.choice().clone(), finder.sample()));
        let Some(current) = &mut self.sweep.stored.current else { return };
        current.note(&run.summary);
        let unit_flow = &self.parts.flows[flow];
        self.shared.metrics.swept(
            &unit_flow.flow.id,
            piece.done as f64 / 1_000.0,
            piece.owner_rows + piece.target_rows,
            current.differences,
        );
        if !is_judged {
            self.sweep.suspects = Some(suspects);
            return;
        }
        run.chunks = self.sweep.take_judged_chunks();
        let Some(current) = &mut self.sweep.stored.current else { return };
        let is_through = current.shared.as_ref().map_or(matches!(ended, Ended::Through), InChunks::is_through);
        let row = sweep_row(run, &unit_flow.flow, current, (piece, way), is_through, now);
        if is_through {
            run.coverage(&unit_flow.flow, (current.began, now), piece.owner_rows, piece.owner_rows, "");
            run.swept_keys(&unit_flow.flow, now, &current.decided(piece.owner_rows));
            current.next_flow(unit_flow.name.clone());
            self.sweep.finder = None;
        }
        run.swept(row);
        if self
            .parts
            .flows
            .iter()
            .all(|flow| self.sweep.stored.current.as_ref().is_some_and(|current| current.done.contains(&flow.name)))
        {
            self.complete_sweep(run);
        }
        run.sweep = Some(self.sweep.to_bytes());
    }

    fn complete_sweep(&mut self, run: &mut Run) {
        let now = self.shared.clock.now();
        if let Some(current) = self.sweep.stored.current.take() {
            tracing::info!(unit = %self.parts.name, took = ?now.since(current.began), "the sweep is complete");
        }
        self.sweep.stored.completed = Some(now);
        run.summary.complete = true;
        run.sweep = Some(self.sweep.to_bytes());
    }
}

fn sweep_row(
    run: &Run,
    flow: &crate::model::Flow,
    current: &Current,
    (piece, way): (Piece, Option<(Choice, Sample)>),
    is_through: bool,
    now: Moment,
) -> SweepRow {
    let (choice, sample) = way.unzip();
    let sample = sample.unwrap_or_default();
    SweepRow {
        tenant: flow.tenant.to_string(),
        entity: flow.id.entity.to_string(),
        owner: flow.id.owner.to_string(),
        target: flow.id.target.to_string(),
        at: ledger_time(now),
        run_id: run.id,
        sweep_id: current.id,
        event: if is_through { "completed" } else { "checkpoint" }.to_owned(),
        verified_through: ledger_time(current.began),
        owner_records: piece.owner_rows,
        target_records: piece.target_rows,
        differences: current.differences,
        strategy: choice.as_ref().map(|choice| choice.strategy.to_string()).unwrap_or_default(),
        strategy_reason: choice.map(|choice| choice.reason).unwrap_or_default(),
        first_looked_at: sample.rows,
        first_differing: sample.differing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_s_keys_are_good_unless_somebody_doubts_them() {
        let current = Current {
            differences: 5,
            missing: 2,
            extra: 1,
            waiting: 3,
            unknown: 4,
            ..Current::begun(Uuid::nil(), Moment::from_micros(0))
        };
        // Four of the owner's hundred keys differ, three may be on their way, of four nothing is known.
        assert_eq!(current.decided(100), Keys { good: 89, bad: 5, missing: 2, unknown: 4 });
        assert_eq!(current.decided(3).good, 0, "keys that went while it ran");
    }
}
