//! The changes probe: what the owner changed, then the same keys in the targets.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::audit::position::Position;
use crate::audit::run::{CheckParts, Run, Summary};
use crate::audit::timing::interval_of;
use crate::connect::{ChangesPage, ReadError, ReadWindow};
use crate::metrics::{RunKind, Skip};
use crate::model::digest::digest;
use crate::model::{Lag, Moment, Record, Value, Verdict};

use super::examine::{Sighting, key_digest};
use super::{Unit, UnitError};

/// Rows in one run: large enough to amortise a commit, small enough to bound memory.
const ROWS_A_RUN: usize = 10_000;
/// An idle unit tells the ledger what it has covered at every second look, but not more often than the first and at
/// least as often as the second: often enough for a promise of seconds, without a write for every look.
const IDLE_COMMIT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

impl Unit {
    /// One run: one page of the owner's changes, examined in every flow, committed as one.
    ///
    /// # Errors
    /// When the lease is lost, or state or spool fail. A system that cannot be read is a recorded outcome.
    pub async fn changes(&mut self) -> Result<Summary, UnitError> {
        let parts = Arc::clone(&self.parts);
        let mut run = Run::begin(RunKind::Changes, self.lease.clone(), self.shared.clock.now());
        let room = self.room() / parts.flows.len().max(1) as u64;
        if room == 0 {
            return self.refuse_for_room(run).await;
        }
        let limit = ROWS_A_RUN.min(parts.rows_per_run).min(usize::try_from(room).unwrap_or(usize::MAX));
        match parts.owner.reader.changes(&parts.owner.mapping, &self.position.cursor, limit).await {
            Ok(page) => self.take_page(run, page).await,
            Err(error) => {
                self.blind(&mut run, &error);
                self.commit(run, None).await
            }
        }
    }

    async fn take_page(&mut self, mut run: Run, page: ChangesPage) -> Result<Summary, UnitError> {
        let parts = Arc::clone(&self.parts);
        run.summary.owner_records = page.records.len() as u64;
        run.summary.complete = page.complete;
        // Stamps need the clock that made them; where nothing was read it is not asked.
        if !page.records.is_empty() {
            self.measure_clock(&parts.owner).await;
        }
        if let Some(reading) = page.clock {
            self.hear_clock(&parts.owner.system, reading);
        }
        self.reads_again |= page.set_back;
        let not_before = self.position.last_complete;
        page.given_up.iter().for_each(|record| self.unusable_key(&mut run, record, "xref"));
        let mut next = Position {
            cursor: page.next,
            last_complete: if page.complete { page.window.low } else { self.position.last_complete },
            covered_to: page.watermark.unwrap_or(self.position.covered_to),
            seen: HashMap::new(),
            seen_now: HashMap::new(),
        };
        let (sightings, again) = self.new_sightings(&mut run, page.records, page.first_again, not_before);
        sightings.iter().for_each(|sighting| self.recent.note(sighting.digest, run.started));
        let borrowed: Vec<&Sighting> = sightings.iter().collect();
        let mut decided = vec![0; parts.flows.len()];
        if !borrowed.is_empty() {
            let asked: Vec<(usize, &[&Sighting])> = (0..parts.flows.len()).map(|flow| (flow, &*borrowed)).collect();
            decided = self.examine_flows(&mut run, &asked, page.window).await;
        }
        for (flow, decided) in parts.flows.iter().zip(decided) {
            let expected = borrowed.len() as u64;
            let blind = if decided < expected { "target" } else { "" };
            if expected > 0 {
                run.coverage(&flow.flow, (self.covered_from(&page.window), next.covered_to), expected, decided, blind);
            }
            let share = if expected == 0 { 1.0 } else { decided as f64 / expected as f64 };
            self.shared.metrics.coverage(&flow.flow.id, share);
        }
        self.reads_again &= !page.complete;
        self.remember(&mut next, again, page.complete);
        let now = self.shared.clock.now();
        let quiet = run.summary.total() == 0 && run.summary.failure.is_none() && page.complete;
        // What is stored stays a place to go on from: reading again from there finds nothing new either.
        if quiet && now.since(self.committed_at) < self.idle_commit(now) {
            self.position = next;
            return Ok(self.idle(run));
        }
        for flow in parts.flows.iter().filter(|_| quiet) {
            run.coverage(&flow.flow, (self.covered_from(&page.window), next.covered_to), 0, 0, "");
        }
        self.committed_at = now;
        let stored = next.to_bytes();
        let summary = self.commit(run, Some(stored)).await?;
        self.told_to = next.covered_to;
        self.position = next;
        Ok(summary)
    }

    fn idle_commit(&self, now: Moment) -> Duration {
        (self.changes_interval(now) * 2).clamp(IDLE_COMMIT.0, IDLE_COMMIT.1)
    }

    pub(super) fn changes_interval(&self, now: Moment) -> Duration {
        self.parts.changes.as_ref().map_or(IDLE_COMMIT.1, |schedule| interval_of(schedule, now))
    }

    /// Where the coverage of the present run begins: where that of the last one told of ended.
    fn covered_from(&self, window: &ReadWindow) -> Moment {
        if self.told_to == Moment::MIN { window.low } else { self.told_to }
    }

    /// What the next read need not examine again. The pages of one catch-up are one read: only when it is complete
    /// is forgotten what the read before it has seen.
    fn remember(&mut self, next: &mut Position, again: HashMap<u128, u64>, complete: bool) {
        let mut seen_now = std::mem::take(&mut self.position.seen_now);
        seen_now.extend(again);
        if complete {
            next.seen = seen_now;
        } else {
            next.seen = std::mem::take(&mut self.position.seen);
            next.seen_now = seen_now;
        }
    }

    /// The records that have not been examined in this state yet; unusable keys are reported at once. Beside them
    /// the content, by key, of what may come again.
    fn new_sightings(
        &self,
        run: &mut Run,
        records: Vec<Record>,
        first_again: usize,
        not_before: Moment,
    ) -> (Vec<Sighting>, HashMap<u128, u64>) {
        let again = self.reads_again;
        let interval = self.changes_interval(run.started);
        let mut comes_again = HashMap::with_capacity(records.len().saturating_sub(first_again));
        let mut by_key: HashMap<u128, usize> = HashMap::with_capacity(records.len());
        let mut sightings: Vec<Sighting> = Vec::with_capacity(records.len());
        for (index, record) in records.into_iter().enumerate() {
            let key_digest = key_digest(&record.key);
            let content = content_of(&record);
            if index >= first_again {
                comes_again.insert(key_digest, content);
            }
            if self.position.has_seen(key_digest, content) {
                continue;
            }
            if !record.key.is_usable() {
                self.unusable_key(run, &record, "key");
                continue;
            }
            if self.parts.owner.mapping.is_stand_in(&record) {
                // It comes again when it has its translation, or has waited for it too long.
                self.tell_key(run, &record, "xref", |_| Verdict::InFlight);
                continue;
            }
            match by_key.entry(key_digest) {
                std::collections::hash_map::Entry::Occupied(place) => sightings[*place.get()].records.push(record),
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(sightings.len());
                    let key = record.key.clone();
                    let (digest, records) = (key_digest, vec![record]);
                    let may_hide = self.recent.may_hide(digest, not_before, run.started, interval);
                    sightings.push(Sighting { key, digest, records, not_before, again, stamp_bounds: true, may_hide });
                }
            }
        }
        (sightings, comes_again)
    }

    /// A record whose key is empty, unreadable or not translated names nothing that could be looked up elsewhere. A
    /// translation may still be on its way as long as the record's last change is younger than the deadline.
    pub(super) fn unusable_key(&self, run: &mut Run, record: &Record, reason: &'static str) {
        if !record.key.parts().iter().any(Value::is_untranslated) {
            self.tell_key(run, record, reason, |_| Verdict::Invalid);
            return;
        }
        let now = self.shared.clock.now();
        let stamps = self.stamps(&self.parts.owner);
        let changed = record.changed_at.and_then(|stamp| stamps.interval(stamp));
        self.tell_key(run, record, "xref", |deadline| match changed {
            Some(changed) if now.since(changed.high) <= deadline => Verdict::InFlight,
            _ => Verdict::Invalid,
        });
    }

    fn tell_key(&self, run: &mut Run, record: &Record, reason: &'static str, verdict: impl Fn(Duration) -> Verdict) {
        for flow in &self.parts.flows {
            run.check(
                &flow.flow,
                CheckParts {
                    at: self.shared.clock.now(),
                    key_hash: self.key_hash(&record.key),
                    key: self.key_text(&record.key),
                    verdict: verdict(flow.flow.deadline),
                    likely: false,
                    lag: Lag::ZERO,
                    reason,
                    fields: Vec::new(),
                },
            );
        }
    }

    /// The owner could not be read: nothing is known of any flow.
    fn blind(&mut self, run: &mut Run, error: &ReadError) {
        self.tell(error);
        run.summary.failure = Some(error.reason_code());
        let from = self.told_to;
        for flow in &self.parts.flows {
            if from != Moment::MIN {
                run.coverage(&flow.flow, (from, run.started), 0, 0, "owner");
            }
            self.shared.metrics.coverage(&flow.flow.id, 0.0);
        }
    }

    /// The in-flight queue is full: the probe waits instead of dropping anything, and says so.
    async fn refuse_for_room(&mut self, mut run: Run) -> Result<Summary, UnitError> {
        let held = self.shared.in_flight.load(Ordering::Relaxed);
        tracing::warn!(
            unit = %self.parts.name,
            "the in-flight queue is full ({held} keys, `max_in_flight` = {}): changes are not read until keys settle",
            self.shared.max_in_flight
        );
        run.summary.failure = Some("in_flight_full");
        self.shared.metrics.skipped(run.kind, &self.parts.entity, &self.parts.owner.system, Skip::InFlightFull);
        for flow in &self.parts.flows {
            run.coverage(&flow.flow, (self.told_to, run.started), 0, 0, "auditor");
            self.shared.metrics.coverage(&flow.flow.id, 0.0);
        }
        self.commit(run, None).await
    }

    /// An idle run that moved nothing is not written anywhere; metrics tell that it ran.
    fn idle(&mut self, run: Run) -> Summary {
        self.tell_recovery();
        self.count_run(run.kind, self.shared.clock.now().since(run.started), &run.summary);
        run.summary
    }
}

/// Digest of everything a record says, to know it again in the overlap.
fn content_of(record: &Record) -> u64 {
    let fields = digest(record.fields.iter()).0;
    let stamp = record.changed_at.map_or(0, Moment::micros) as u64;
    (fields as u64) ^ ((fields >> 64) as u64) ^ stamp.rotate_left(17) ^ u64::from(record.in_scope)
}
