//! When a unit does what: the loop over its schedules, and what gets its turn in between.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::audit::timing::next_tick;
use crate::config::Schedule;
use crate::metrics::{RunKind, Skip};
use crate::model::Moment;

use super::ask;
use super::sample::Draw;
use super::{PATIENCE, Unit, UnitError};

/// How often a unit with open changes of shapes asks whether somebody has accepted one.
const ACCEPTANCES: Duration = Duration::from_secs(5);
/// First samples of a new auditor begin within so long.
const FIRST_SAMPLES: Duration = Duration::from_secs(10);
/// The loop wakes at least this often, so that a change of the schedule's clock cannot hold it for long.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

impl Unit {
    /// Runs until `stop`: changes and samples on schedule, unsettled keys when they are due. A run that began is
    /// finished.
    ///
    /// # Errors
    /// When the lease is lost, or state or spool fail.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), UnitError> {
        let mut changes = self.first_tick(self.parts.changes.as_ref(), self.position.last_complete == Moment::MIN);
        let sample = self.parts.sample.clone().map(|sample| sample.schedule);
        let mut samples = self.first_tick(sample.as_ref(), self.sampling.walks.is_empty());
        if self.sampling.walks.is_empty() {
            // A thousand new walks do not begin in one moment.
            samples = samples.map(|tick| tick + remainder(self.parts.jitter, FIRST_SAMPLES));
        }
        let schema = self.parts.schema.as_ref().map(|schema| schema.schedule.clone());
        let mut shapes = self.first_tick(schema.as_ref(), self.schemas.is_empty());
        let mut acceptances = self.shared.clock.now();
        let sweep = self.parts.sweep.as_ref().map(|sweep| sweep.schedule.clone());
        let mut sweeps = self.first_tick(sweep.as_ref(), self.sweep.is_new());
        let totals = self.parts.totals.as_ref().map(|totals| totals.schedule.clone());
        let mut sums = self.first_tick(totals.as_ref(), false);
        self.publish();
        loop {
            let due = self.queue.next_due();
            let waits = self.schemas.open().next().is_some().then_some(acceptances);
            let (goes_on, drills) = (self.sweep_goes_on(), self.drill_goes_on());
            let wake = [changes, samples, shapes, waits, due, sweeps, goes_on, sums, drills]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(Moment::MAX);
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(wake.since(self.shared.clock.now()).min(LONGEST_SLEEP)) => {}
            }
            let now = self.shared.clock.now();
            // Before anything is judged: what a change of shape puts in doubt must be known then.
            if shapes.is_some_and(|tick| tick <= now) {
                self.begins(RunKind::Schema, shapes);
                self.schema().await?;
                shapes = self.following_tick(RunKind::Schema, schema.as_ref(), shapes);
            } else if waits.is_some_and(|tick| tick <= now) {
                acceptances = now + ACCEPTANCES;
                if self.something_was_accepted().await? {
                    self.schema().await?;
                }
            }
            if self.queue.next_due().is_some_and(|due| due <= now) {
                self.begins(RunKind::Recheck, self.queue.next_due());
                self.recheck_due().await?;
            }
            let is_due = |tick: Option<Moment>| tick.is_some_and(|tick| tick <= now);
            if is_due(changes) || is_due(samples) {
                self.keep_up().await;
            }
            if changes.is_some_and(|tick| tick <= now) {
                self.begins(RunKind::Changes, changes);
                self.catch_up(&stop).await?;
                changes = self.following_tick(RunKind::Changes, self.parts.changes.as_ref(), changes);
            }
            if samples.is_some_and(|tick| tick <= now) && !stop.is_cancelled() {
                self.begins(RunKind::Sample, samples);
                self.draw(&stop, &mut changes).await?;
                samples = self.following_tick(RunKind::Sample, sample.as_ref(), samples);
            }
            if is_due(sums) && !stop.is_cancelled() {
                self.begins(RunKind::Totals, sums);
                self.totals().await?;
                sums = self.following_tick(RunKind::Totals, totals.as_ref(), sums);
            }
            if is_due(self.drill_goes_on()) && !stop.is_cancelled() {
                self.drill_part().await?;
            }
            if sweeps.is_some_and(|tick| tick <= now) {
                self.begin_sweep();
                sweeps = self.following_tick(RunKind::Sweep, sweep.as_ref(), sweeps);
            }
            if self.sweep_goes_on().is_some_and(|moment| moment <= now) && !stop.is_cancelled() {
                self.sweep_part().await?;
            }
            self.publish();
        }
    }

    fn begins(&self, kind: RunKind, due: Option<Moment>) {
        let now = self.shared.clock.now();
        self.shared.metrics.began(kind, now.since(due.unwrap_or(now)));
    }

    /// Time for indexes of keys. What cannot be read fails again, and is told, when keys are asked for.
    async fn keep_up(&self) {
        let sides = self.parts.flows.iter().map(|flow| &flow.target).chain([&self.parts.owner]);
        for side in sides {
            let kept_up = ask::patiently(&*side.reader, PATIENCE.0, side.reader.keep_up(&side.mapping));
            if let Err(error) = kept_up.await {
                tracing::debug!(unit = %self.parts.name, "{error}");
            }
        }
    }

    /// Changes reads until everything visible has been read, looking at due keys in between.
    async fn catch_up(&mut self, stop: &CancellationToken) -> Result<(), UnitError> {
        loop {
            let summary = self.changes().await?;
            if summary.complete || summary.failure.is_some() || stop.is_cancelled() {
                return Ok(());
            }
            let now = self.shared.clock.now();
            if self.queue.next_due().is_some_and(|due| due <= now) {
                self.recheck_due().await?;
            }
        }
    }

    /// The keys of one tick of the sample probe. Against a slow budget that takes long: due keys and due changes get their
    /// turn in between.
    async fn draw(&mut self, stop: &CancellationToken, changes: &mut Option<Moment>) -> Result<(), UnitError> {
        let mut draw = Draw::default();
        loop {
            let summary = self.sample_part(&mut draw).await?;
            if !draw.is_cut() || summary.failure.is_some() || stop.is_cancelled() {
                return Ok(());
            }
            let now = self.shared.clock.now();
            if self.queue.next_due().is_some_and(|due| due <= now) {
                self.recheck_due().await?;
            }
            if changes.is_some_and(|tick| tick <= now) {
                self.begins(RunKind::Changes, *changes);
                self.catch_up(stop).await?;
                *changes = self.following_tick(RunKind::Changes, self.parts.changes.as_ref(), *changes);
            }
        }
    }

    /// A probe that has never run begins at once, so that its cursor or walk stands; others keep to the schedule.
    fn first_tick(&self, schedule: Option<&Schedule>, is_new: bool) -> Option<Moment> {
        let now = self.shared.clock.now();
        if is_new { schedule.map(|_| now) } else { self.tick_after(schedule, now) }
    }

    fn tick_after(&self, schedule: Option<&Schedule>, now: Moment) -> Option<Moment> {
        next_tick(schedule?, now, self.parts.jitter)
    }

    /// The next tick after now; ticks that passed meanwhile are skipped and counted.
    fn following_tick(&self, kind: RunKind, schedule: Option<&Schedule>, last: Option<Moment>) -> Option<Moment> {
        let now = self.shared.clock.now();
        let next = self.tick_after(schedule, now);
        if let Some(missed) = last.and_then(|last| self.tick_after(schedule, last)).filter(|missed| *missed <= now) {
            let (entity, owner) = (&self.parts.entity, &self.parts.owner.system);
            self.shared.metrics.skipped(kind, entity, owner, Skip::Overlap);
            tracing::debug!(unit = %self.parts.name, ?missed, "a run took longer than its interval");
        }
        next
    }
}

fn remainder(time: Duration, of: Duration) -> Duration {
    Duration::from_nanos((time.as_nanos() % of.as_nanos()) as u64)
}
