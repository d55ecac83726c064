//! Puts what a look at a key came to into the run: its check, its freshness event, its place in the queue, its
//! discrepancy.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use uuid::Uuid;

use crate::audit::discrepancy::{self, Details, Step};
use crate::audit::entry::{Entry, OpenDiscrepancy};
use crate::audit::redact;
use crate::audit::run::{CheckParts, Run};
use crate::audit::sampling::Seen;
use crate::compare::{Context, Judgement, Look, Side, State, Track, differing, target_unread};
use crate::connect::ReadWindow;
use crate::ledger::rows::DiscrepancyRow;
use crate::model::{Key, Lag, Moment, Record, Verdict};
use crate::state::change::{BaselineChange, DiscrepancyChange, InFlightChange};

use super::examine::Sighting;
use super::{Unit, UnitFlow};

/// What one look at a key came to, on its way into the run.
pub(super) struct Outcome<'a> {
    pub sighting: &'a Sighting,
    pub owner: &'a [Record],
    pub target: &'a [Record],
    pub judgement: Judgement,
    pub reason: &'static str,
}

impl Unit {
    /// Notes that the target (or the owner) could not be read for a key: unknown, and looked at again.
    pub(super) fn unread(
        &mut self,
        run: &mut Run,
        flow: usize,
        sighting: &Sighting,
        window: ReadWindow,
        reason: &'static str,
    ) {
        let parts = Arc::clone(&self.parts);
        let unit_flow = &parts.flows[flow];
        let mut look = self.owner_look(sighting, &sighting.records, window, sighting.not_before);
        look.state = self.state(unit_flow, Side::Owner, &sighting.records);
        let known = self.queue.get((flow, sighting.digest)).map(|entry| entry.track.clone());
        let track = target_unread(known, &look, &unit_flow.tolerances);
        let outcome = unknown(sighting, track, window, reason);
        self.settle(run, flow, outcome, window.high);
    }

    /// Notes that the owner could not be read for a key in flight: unknown, its track stands, it is looked at again.
    pub(super) fn owner_unread_at(
        &mut self,
        run: &mut Run,
        slot: (usize, u128),
        window: ReadWindow,
        reason: &'static str,
    ) {
        let Some(entry) = self.queue.get(slot) else { return };
        let (key, track) = (entry.key.clone(), entry.track.clone());
        let (digest, records, not_before) = (slot.1, Vec::new(), Moment::MIN);
        let (again, stamp_bounds, may_hide) = (false, true, false);
        let sighting = Sighting { key, digest, records, not_before, again, stamp_bounds, may_hide };
        let outcome = unknown(&sighting, track, window, reason);
        self.settle(run, slot.0, outcome, window.high);
    }

    /// Puts one outcome into the run: its check, its freshness event, its place in the queue, its discrepancy.
    pub(super) fn settle(&mut self, run: &mut Run, flow: usize, outcome: Outcome<'_>, at: Moment) {
        let parts = Arc::clone(&self.parts);
        let unit_flow = &parts.flows[flow];
        let slot = (flow, outcome.sighting.digest);
        let Outcome { sighting, mut judgement, .. } = outcome;
        let fields = fields_of(unit_flow, outcome.owner, outcome.target);
        let doubtful = {
            let records = (outcome.owner, outcome.target);
            self.is_doubtful(unit_flow, judgement.verdict, &sighting.key, records, &fields)
        };
        let known = self.queue.get(slot);
        if doubtful {
            // A record that came before proves no change by coming.
            let change_was_seen = sighting.not_before > Moment::MIN && !sighting.again;
            // Of a track that stands still while its values are in doubt nothing else says that its time is over.
            let is_over = known.is_some_and(|entry| at.since(entry.track.clock().high) > unit_flow.flow.deadline);
            judgement = doubted(judgement, known.map(|entry| &entry.track), change_was_seen, is_over);
        }
        let before = known.and_then(|entry| entry.discrepancy);
        // A record that came before and agrees may have been counted then.
        let counted_before = known.is_none() && sighting.again && judgement.verdict == Verdict::Match;
        if parts.sample.is_some() {
            let verdict = (!judgement.owed_elsewhere).then_some(judgement.verdict);
            run.seen.push((slot, Seen::of(verdict)));
        }
        if judgement.owed_elsewhere {
            // The change that is missing here was made on the target's side: the opposite flow answers for it.
            self.forget(run, unit_flow, slot, &sighting.key);
            return;
        }
        let key_hash = self.key_hash(&sighting.key);
        let untranslated = fields.iter().any(|field| field.owner.is_untranslated() || field.target.is_untranslated());
        let reason = match judgement.verdict {
            Verdict::Invalid if doubtful => "schema",
            Verdict::Invalid | Verdict::InFlight if untranslated => "xref",
            _ => outcome.reason,
        };
        let check = CheckParts {
            at,
            key_hash: String::new(),
            key: self.key_text(&sighting.key),
            verdict: judgement.verdict,
            likely: judgement.likely,
            lag: judgement.lag,
            reason,
            fields: self.redacted(unit_flow, &fields),
        };
        if self.shared.only_reports {
            self.report(run, unit_flow, slot, (sighting, &judgement), CheckParts { key_hash, ..check });
            return;
        }
        if known.is_some_and(|entry| self.is_unproven(&entry.track)) {
            judgement.event = None;
        }
        if let Some(event) = judgement.event.as_ref().filter(|_| !counted_before) {
            run.freshness(&unit_flow.flow, &key_hash, at, event);
            self.shared.metrics.lag(&unit_flow.flow.id, event.lag);
        }
        let step = discrepancy::step(before, judgement.verdict, Uuid::now_v7());
        if let Some(step) = step {
            self.note_step(run, unit_flow, sighting, &key_hash, step, &judgement, &fields, at);
        }
        let open = step.map_or(before, Step::open_after);
        self.requeue(run, unit_flow, slot, sighting, &key_hash, judgement.track.as_ref(), open);
        self.shared.metrics.checks(&unit_flow.flow.id, judgement.verdict, 1);
        run.check(&unit_flow.flow, CheckParts { key_hash, ..check });
    }

    /// Puts into the run what a key came to, and keeps it only while it is not decided. For whoever wants nothing but that: of a
    /// million keys each thing that is not told counts.
    fn report(
        &mut self,
        run: &mut Run,
        unit_flow: &UnitFlow,
        slot: (usize, u128),
        (sighting, judgement): (&Sighting, &Judgement),
        check: CheckParts,
    ) {
        if judgement.verdict.is_bad() {
            self.forget(run, unit_flow, slot, &sighting.key);
        } else {
            self.requeue(run, unit_flow, slot, sighting, &check.key_hash, judgement.track.as_ref(), None);
        }
        run.report(check);
    }

    /// Whether the last look that could tell lies in the time in which a shape changed and nobody knew yet: what it saw
    /// differ may have been the change, and no lag is measured by it.
    fn is_unproven(&self, track: &Track) -> bool {
        self.unproven.is_some_and(|span| (span.low..=span.high).contains(&track.target_seen))
    }

    /// Whether a bad verdict may come from a change of a shape that nobody has accepted yet: then the values are not
    /// wrong but unreadable for what they are.
    fn is_doubtful(
        &self,
        unit_flow: &UnitFlow,
        verdict: Verdict,
        key: &Key,
        (owner, target): (&[Record], &[Record]),
        fields: &[DifferingField],
    ) -> bool {
        if self.doubts.is_empty() {
            return false;
        }
        let sides = [&self.parts.owner.system, &unit_flow.target.system];
        // A record whose key was cut or changed its type is not found under it, and is there under another.
        let in_key = || {
            let mut parts = self.parts.key.iter().zip(key.parts());
            parts.any(|(field, part)| self.doubts.concern(sides, *field, [part, part]))
        };
        let lost = |records: &[Record]| records.iter().any(|record| !record.in_scope);
        match verdict {
            Verdict::Stale | Verdict::Mismatch | Verdict::Conflict | Verdict::Invalid | Verdict::InFlight => {
                fields.iter().any(|field| {
                    let index = unit_flow.flow.fields[field.index].index;
                    self.doubts.concern(sides, index, [&field.owner, &field.target])
                })
            }
            Verdict::Missing => in_key() || self.doubts.concern_scope(sides[1]) && lost(target),
            Verdict::Extra => in_key() || self.doubts.concern_scope(sides[0]) && lost(owner),
            Verdict::Duplicate => in_key(),
            Verdict::Match | Verdict::Unknown => false,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one call site; names each part of the entry it writes")]
    fn requeue(
        &mut self,
        run: &mut Run,
        unit_flow: &UnitFlow,
        slot: (usize, u128),
        sighting: &Sighting,
        key_hash: &str,
        track: Option<&Track>,
        discrepancy: Option<OpenDiscrepancy>,
    ) {
        let Some(track) = track else {
            self.forget(run, unit_flow, slot, &sighting.key);
            return;
        };
        let due_at = unit_flow.pace.next_look(self.shared.clock.now(), track.diverged.high, track.clock().high);
        let entry = Entry { key: sighting.key.clone(), track: track.clone(), due_at, discrepancy };
        let overdue_at = track.overdue_at(unit_flow.flow.deadline);
        run.in_flight.push(InFlightChange {
            flow: unit_flow.name.clone(),
            key_hash: key_hash.to_owned(),
            entry: Some(entry.to_stored(overdue_at)),
        });
        if self.queue.insert(slot, entry) {
            self.shared.in_flight.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn forget(&mut self, run: &mut Run, unit_flow: &UnitFlow, slot: (usize, u128), key: &Key) {
        if self.queue.remove(slot).is_some() {
            self.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
            let key_hash = self.key_hash(key);
            run.in_flight.push(InFlightChange { flow: unit_flow.name.clone(), key_hash, entry: None });
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one call site; everything a discrepancy's step tells")]
    fn note_step(
        &self,
        run: &mut Run,
        unit_flow: &UnitFlow,
        sighting: &Sighting,
        key_hash: &str,
        step: Step,
        judgement: &Judgement,
        fields: &[DifferingField],
        at: Moment,
    ) {
        let discrepancy = step.discrepancy();
        let since = judgement.track.as_ref().map_or(crate::model::Interval::new(at, at), |track| track.diverged);
        let clear = |field: &DifferingField| (field.name.clone(), field.owner.to_string(), field.target.to_string());
        let details = Details {
            key: sighting.key.to_string(),
            likely: judgement.likely,
            fields: fields.iter().map(clear).collect(),
        };
        run.discrepancies.push(DiscrepancyChange {
            id: discrepancy.id,
            flow: unit_flow.name.clone(),
            key_hash: key_hash.to_owned(),
            status: step.status().to_owned(),
            verdict: discrepancy.verdict.as_str().to_owned(),
            at,
            since: since.high,
            payload: details.to_bytes(),
        });
        let flow = &unit_flow.flow;
        run.discrepancy_event(DiscrepancyRow {
            tenant: flow.tenant.to_string(),
            entity: flow.id.entity.to_string(),
            owner: flow.id.owner.to_string(),
            target: flow.id.target.to_string(),
            at: crate::audit::run::ledger_time(at),
            discrepancy_id: discrepancy.id,
            run_id: run.id,
            event: step.event().to_owned(),
            key_hash: key_hash.to_owned(),
            key: self.key_text(&sighting.key),
            verdict: discrepancy.verdict.as_str().to_owned(),
            likely: judgement.likely,
            since_low: crate::audit::run::ledger_time(since.low),
            since_high: crate::audit::run::ledger_time(since.high),
            fields: fields.iter().map(|field| field.name.clone()).collect(),
        });
    }

    #[expect(clippy::too_many_arguments, reason = "two call sites; the look, its context and its judgement")]
    pub(super) fn note_baseline(
        &self,
        run: &mut Run,
        unit_flow: &UnitFlow,
        sighting: &Sighting,
        owner: &Look,
        context: Context<'_>,
        judgement: &Judgement,
        agreed_at: Moment,
    ) {
        let State::Present(held) = &owner.state else { return };
        let (Verdict::Match, Some(agreed)) = (judgement.verdict, held.two_way) else { return };
        if context.baseline != Some(agreed) {
            let key_hash = self.key_hash(&sighting.key);
            run.baselines.push(BaselineChange { pair: unit_flow.pair.clone(), key_hash, digest: agreed.0, agreed_at });
        }
    }

    fn redacted(&self, unit_flow: &UnitFlow, fields: &[DifferingField]) -> Vec<(String, String, String)> {
        let redact = |field: &DifferingField| {
            let rule = self.parts.fields[unit_flow.flow.fields[field.index].index].store;
            let secret = &self.shared.secret;
            (field.name.clone(), redact::value(&field.owner, rule, secret), redact::value(&field.target, rule, secret))
        };
        fields.iter().map(redact).collect()
    }
}

/// What a judgement comes to whose values may come from a change of a shape: nothing is known of the key that was not
/// known before, neither that the sides differ nor for how long. A key in flight stays so, unless its time `is_over`.
/// `change_was_seen`: whether the owner is known to have changed, so that a lag is owed once the values can be read again.
fn doubted(judgement: Judgement, known: Option<&Track>, change_was_seen: bool, is_over: bool) -> Judgement {
    let stays = judgement.verdict == Verdict::InFlight && !is_over;
    Judgement {
        verdict: if stays { Verdict::InFlight } else { Verdict::Invalid },
        likely: false,
        event: None,
        track: known.cloned().or(judgement.track.map(|track| track.doubted(change_was_seen))),
        ..judgement
    }
}

/// The outcome of a look that could not read a side.
fn unknown<'s>(sighting: &'s Sighting, track: Track, window: ReadWindow, reason: &'static str) -> Outcome<'s> {
    let judgement = Judgement {
        verdict: Verdict::Unknown,
        likely: false,
        lag: Lag::between(track.clock(), window),
        needs_confirmation: false,
        event: None,
        owed_elsewhere: false,
        track: Some(track),
    };
    Outcome { sighting, owner: &[], target: &[], judgement, reason }
}

/// One field in which two records differ.
struct DifferingField {
    index: usize,
    name: String,
    owner: crate::model::Value,
    target: crate::model::Value,
}

/// The differing fields of two single records; nothing when a side has none or several.
fn fields_of(unit_flow: &UnitFlow, owner: &[Record], target: &[Record]) -> Vec<DifferingField> {
    let ([owner], [target]) = (owner, target) else { return Vec::new() };
    let flow = &unit_flow.flow;
    let part = |index: usize| DifferingField {
        index,
        name: flow.fields[index].name.to_string(),
        owner: owner.fields[flow.fields[index].index].clone(),
        target: target.fields[flow.fields[index].index].clone(),
    };
    differing(flow, owner, target).into_iter().map(part).collect()
}
