//! The sample probe: pieces of the owner's keys, the same pieces of the targets' keys, and what each side says of the
//! keys that only the other one showed.

use std::sync::Arc;

use super::ask::patiently;
use super::{SampleParts, SideParts, Unit, UnitError, UnitParts};
use crate::audit::run::{Run, Summary};
use crate::audit::sampling::Seen;
use crate::audit::walk::Walk;
use crate::connect::ReadError;
use crate::metrics::{RunKind, Skip};

mod compare;
mod draw;
mod piece;

pub(super) use draw::Draw;
use piece::{Ahead, Next, Piece, forget_a_list_that_lies};

/// What a run has drawn from one frame.
#[derive(Clone, Copy, Debug, Default)]
struct Drawn {
    expected: u64,
    decided: u64,
}

impl Drawn {
    fn add(&mut self, seen: &[(u128, Seen)]) {
        self.expected += seen.len() as u64;
        self.decided += seen.iter().filter(|(_, seen)| *seen != Seen::Unknown).count() as u64;
    }
}

/// What a run found out about one flow.
#[derive(Clone, Copy, Debug, Default)]
struct FlowRun {
    drawn: Drawn,
    /// Keys in the target's pieces.
    theirs: u64,
    /// Those of them that the owner has, but elsewhere in its order.
    astray: u64,
}

/// What a run is to draw.
type Drawing<'d> = (&'d SampleParts, &'d mut Draw);

/// Whose keys a walk goes over.
#[derive(Clone, Copy, Debug)]
enum Whose {
    Owner,
    /// Of the flow with this number, whose target's order is not the owner's.
    Target(usize),
}

impl Whose {
    fn side(self, parts: &UnitParts) -> &SideParts {
        match self {
            Self::Owner => &parts.owner,
            Self::Target(flow) => &parts.flows[flow].target,
        }
    }
}

/// How a walk's part of a run ended.
enum Ended {
    /// It has drawn its keys, came around, or goes on in another part.
    Enough,
    /// The system can neither be entered nor followed.
    Nowhere,
    /// The system could not be read, with so many keys left to draw.
    Failed(ReadError, u64),
}

impl Unit {
    /// One run of the sample probe: the next pieces of the walk, in every flow.
    ///
    /// # Errors
    /// When the lease is lost, or state or spool fail. A system that cannot be read is a recorded outcome.
    pub async fn sample(&mut self) -> Result<Summary, UnitError> {
        let mut draw = Draw::default();
        let mut total = self.sample_part(&mut draw).await?;
        while draw.is_cut() && total.failure.is_none() {
            total.add(&self.sample_part(&mut draw).await?);
        }
        Ok(total)
    }

    /// One part of a run, committed as one.
    pub(super) async fn sample_part(&mut self, draw: &mut Draw) -> Result<Summary, UnitError> {
        let parts = Arc::clone(&self.parts);
        let Some(sample) = &parts.sample else { return Ok(Summary { complete: true, ..Summary::default() }) };
        let mut run = Run::begin(RunKind::Sample, self.lease.clone(), self.shared.clock.now());
        run.summary.complete = true;
        if self.room() == 0 {
            run.summary.failure = Some("in_flight_full");
            self.shared.metrics.skipped(run.kind, &parts.entity, &parts.owner.system, Skip::InFlightFull);
            return self.commit(run, None).await;
        }
        self.measure_clock(&parts.owner).await;
        for flow in &parts.flows {
            self.measure_clock(&flow.target).await;
        }
        let mut flows = vec![FlowRun::default(); parts.flows.len()];
        draw.begin_part(self.shared.clock.now());
        let planned = self.walk_owner(&mut run, (sample, draw), &mut flows).await;
        for flow in 0..parts.flows.len() {
            if self.sampling.walks_alone(&parts.flows[flow].name) {
                self.walk_target(&mut run, (sample, draw), flow, &mut flows).await;
            }
        }
        self.note_coverage(&mut run, planned, &flows);
        self.commit(run, None).await
    }

    /// Takes what a run's looks decided of sampled keys that were waiting, and tells what the samples say now.
    pub(super) fn settle_samples(&mut self, run: &mut Run) {
        let seen = std::mem::take(&mut run.seen);
        let parts = Arc::clone(&self.parts);
        let has_settled = self.sampling.settle(&seen, |flow| parts.flows[flow].name.clone());
        let decided = self.sampling.take_decided();
        if !decided.is_empty() {
            let now = self.shared.clock.now();
            parts.flows.iter().for_each(|flow| run.samples(&flow.flow, &flow.name, now, &decided));
        }
        if has_settled || run.kind == RunKind::Sample {
            self.note_estimates(run);
            run.walk = Some(self.sampling.to_bytes());
        }
    }

    fn note_estimates(&self, run: &mut Run) {
        let now = self.shared.clock.now();
        for flow in &self.parts.flows {
            let (owner, target) = (self.parts.owner.system.as_str(), flow.target.system.as_str());
            for finding in self.sampling.findings(&flow.name, owner, target) {
                run.estimate(&flow.flow, now, &finding);
                let share = [finding.low, finding.share, finding.high];
                self.shared.metrics.sampled(&flow.flow.id, finding.measure, finding.estimate.sampled, share);
            }
        }
    }

    fn note_coverage(&self, run: &mut Run, planned: Option<u64>, flows: &[FlowRun]) {
        let span = (run.started, self.shared.clock.now());
        for (flow, found) in self.parts.flows.iter().zip(flows) {
            let Drawn { expected, decided } = found.drawn;
            // Without the owner nothing is drawn: what was planned is what is missing.
            let blind = match planned {
                Some(_) => "owner",
                None if decided < expected => "target",
                None => "",
            };
            let expected = expected.max(planned.unwrap_or(0));
            run.coverage(&flow.flow, span, expected, decided, blind);
            if self.parts.changes.is_none() {
                let share = if expected == 0 { 1.0 } else { decided as f64 / expected as f64 };
                self.shared.metrics.coverage(&flow.flow.id, share);
            }
        }
    }

    /// Draws from the owner's keys. Gives the number of keys that were planned if the owner could not be read.
    async fn walk_owner(&mut self, run: &mut Run, drawing: Drawing<'_>, flows: &mut [FlowRun]) -> Option<u64> {
        match self.walk(run, drawing, Whose::Owner, flows).await {
            Ended::Enough => None,
            Ended::Nowhere => {
                // Its keys are drawn from the targets.
                (0..flows.len()).for_each(|flow| self.walk_alone(flow));
                None
            }
            Ended::Failed(error, left) => {
                self.tell(&error);
                run.summary.failure = Some(error.reason_code());
                Some(left)
            }
        }
    }

    /// Draws from the keys of a target whose order is not the owner's, and asks the owner for them.
    async fn walk_target(&mut self, run: &mut Run, drawing: Drawing<'_>, flow: usize, flows: &mut [FlowRun]) {
        if let Ended::Failed(error, left) = self.walk(run, drawing, Whose::Target(flow), flows).await {
            self.note_failure(run, &error);
            flows[flow].drawn.expected += left;
        }
    }

    /// Goes on with a walk until its part of the run is over.
    async fn walk(&mut self, run: &mut Run, (sample, draw): Drawing<'_>, whose: Whose, flows: &mut [FlowRun]) -> Ended {
        let parts = Arc::clone(&self.parts);
        let side = whose.side(&parts);
        let name = side.system.to_string();
        let mut walk = self.sampling.walks.entry(name.clone()).or_default().clone();
        let mut quota = draw.quota(&name, sample, &walk);
        let (mut failed, mut is_cut) = (None, false);
        let mut came = None;
        loop {
            let next = match came.take() {
                Some(came) => came,
                None => {
                    let patience = self.patience(self.shared.clock.now());
                    patiently(&*side.reader, patience, self.next_piece(side, &mut walk, quota, draw)).await
                }
            };
            match next {
                Ok(Next::Piece(piece)) => {
                    let (pass, now) = (walk.pass, self.shared.clock.now());
                    if walk.is_followed {
                        walk.told(piece.total);
                    }
                    quota.draw(&piece);
                    let seen = piece.read.records.len() as u64;
                    let came_around = walk.visited(&piece.visit, piece.at.as_ref(), seen, now);
                    is_cut = !came_around && !quota.is_drawn() && draw.is_over(now);
                    let is_last = came_around || is_cut;
                    // The next piece is read while this one is compared.
                    let ahead = if is_last { None } else { Ahead::of(&mut walk, quota) };
                    let ahead = self.read_ahead(side, ahead);
                    ((), came) = tokio::join!(self.take_piece(run, whose, pass, &piece, flows), ahead);
                    if came_around {
                        self.note_whole_pass(run, &walk, whose);
                    }
                    if is_last {
                        break;
                    }
                }
                Ok(Next::Enough) => break,
                Ok(Next::Later) => {
                    is_cut = true;
                    break;
                }
                Ok(Next::Nowhere) => {
                    self.sampling.walks.remove(&name);
                    return Ended::Nowhere;
                }
                Err(ReadError::Cursor { .. }) => {
                    // The key is another than when the walk began: places in the old order mean nothing.
                    tracing::warn!(unit = %parts.name, system = %name, "the order of keys has changed: the walk begins anew");
                    walk.forget();
                    break;
                }
                Err(error) => {
                    forget_a_list_that_lies(&mut walk, &error);
                    failed = Some(error);
                    break;
                }
            }
        }
        draw.note(&name, quota, is_cut);
        self.sampling.walks.insert(name, walk);
        failed.map_or(Ended::Enough, |error| Ended::Failed(error, quota.left()))
    }

    /// What comes of reading a piece, which asks nothing more of the unit.
    fn read_ahead<'s>(
        &self,
        side: &'s SideParts,
        ahead: Option<Ahead>,
    ) -> impl Future<Output = Option<Result<Next, ReadError>>> + use<'s> {
        let patience = self.patience(self.shared.clock.now());
        async move {
            match ahead {
                Some(ahead) => Some(patiently(&*side.reader, patience, ahead.read(side)).await),
                None => None,
            }
        }
    }

    async fn take_piece(&mut self, run: &mut Run, whose: Whose, pass: u64, piece: &Piece, flows: &mut [FlowRun]) {
        let records = piece.read.records.len() as u64;
        match whose {
            Whose::Owner => {
                run.summary.owner_records += records;
                let theirs = self.same_pieces(piece).await;
                self.compare_piece(run, pass, piece, theirs, flows).await;
            }
            Whose::Target(flow) => {
                run.summary.target_records += records;
                self.ask_for_piece(run, flow, pass, piece, &mut flows[flow]).await;
            }
        }
    }

    /// A walk came around: everything has been looked at since it began.
    fn note_whole_pass(&self, run: &mut Run, walk: &Walk, whose: Whose) {
        let Some(whole) = walk.whole else { return };
        for (number, unit_flow) in self.parts.flows.iter().enumerate() {
            if matches!(whose, Whose::Owner) || matches!(whose, Whose::Target(flow) if flow == number) {
                run.whole_pass(&unit_flow.flow, (whole.began, whole.ended), whole.keys);
            }
        }
        let took = whole.ended.since(whole.began);
        tracing::info!(unit = %self.parts.name, keys = whole.keys, ?took, "every key has been looked at once");
    }
}
