//! Looks at keys of one flow: reads the target, judges, confirms what would be bad, and notes the outcome in the run.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{StreamExt, stream};
use uuid::Uuid;

use crate::audit::discrepancy::{self, Details, Step};
use crate::audit::entry::{Entry, OpenDiscrepancy};
use crate::audit::looks::{look, stamped};
use crate::audit::redact;
use crate::audit::run::{CheckParts, Run};
use crate::audit::sampling::Seen;
use crate::compare::{
    Context, Judgement, Look, Side, State, Track, agreed_at_once, agrees, differing, judge, state_of, target_unread,
};
use crate::connect::{KeyedRead, ReadError, ReadWindow};
use crate::ledger::rows::DiscrepancyRow;
use crate::model::digest::digest;
use crate::model::{Digest, Key, Lag, Mapping, Moment, Record, Verdict};
use crate::state::change::{BaselineChange, DiscrepancyChange, InFlightChange};

use super::{Unit, UnitFlow};

/// Keys in one read by key.
const KEYS_A_READ: usize = 1_000;
/// Reads by key under way at once; the system's budget may allow fewer.
const READS_AT_ONCE: usize = 2;

/// One key as the owner holds it.
#[derive(Debug)]
pub(super) struct Sighting {
    /// The key.
    pub key: Key,
    /// Its digest in memory.
    pub digest: u128,
    /// All records that the owner returned for it.
    pub records: Vec<Record>,
    /// The last complete read of the owner that would have shown the state.
    pub not_before: Moment,
    /// The record may have been given before, so that its coming proves no change.
    pub again: bool,
    /// Whether the record's stamp bounds the state's birth from above. Not for a sample: it looks for what no stamp
    /// shows, and takes nothing for older than it can see itself.
    pub stamp_bounds: bool,
}

/// The in-memory digest of a key.
pub(super) fn key_digest(key: &Key) -> u128 {
    digest(key.parts()).0
}

/// A key whose bad verdict still lacks the second read of the owner.
struct Unconfirmed<'a> {
    sighting: &'a Sighting,
    target: Vec<Record>,
    owner_look: Look,
    target_look: Look,
    context: Context<'a>,
}

/// What one look at a key came to, on its way into the run.
struct Outcome<'a> {
    sighting: &'a Sighting,
    owner: &'a [Record],
    target: &'a [Record],
    judgement: Judgement,
    reason: &'static str,
}

impl Unit {
    /// Examines keys of flow number `flow`. Returns how many could be decided.
    pub(super) async fn examine(
        &mut self,
        run: &mut Run,
        flow: usize,
        sightings: &[&Sighting],
        window: ReadWindow,
    ) -> u64 {
        let parts = Arc::clone(&self.parts);
        let unit_flow = &parts.flows[flow];
        let mut baselines = self.baselines(run, unit_flow, sightings).await;
        let asked: Vec<Vec<Key>> = sightings
            .chunks(KEYS_A_READ)
            .map(|chunk| chunk.iter().map(|sighting| sighting.key.clone()).collect())
            .collect();
        let reads = stream::iter(asked).map(|keys| {
            let (reader, mapping) = (Arc::clone(&unit_flow.target.reader), Arc::clone(&unit_flow.target.mapping));
            async move { reader.by_keys(&mapping, &keys).await }
        });
        let mut reads = reads.buffered(READS_AT_ONCE);
        let mut chunks = sightings.chunks(KEYS_A_READ);
        let mut unconfirmed = Vec::new();
        let mut decided = 0;
        while let (Some(read), Some(chunk)) = (reads.next().await, chunks.next()) {
            match read {
                Ok(read) => {
                    run.summary.target_records += read.records.len() as u64;
                    let mut by_key = grouped(read.records);
                    for sighting in chunk {
                        let target = by_key.remove(&sighting.digest).unwrap_or_default();
                        let context = context(unit_flow, baselines.remove(&sighting.digest));
                        let pending = self.first_look(run, flow, sighting, window, target, read.window, context);
                        decided += u64::from(pending.is_none());
                        unconfirmed.extend(pending);
                    }
                }
                Err(error) => {
                    self.note_failure(run, &error);
                    for sighting in chunk {
                        self.unread(run, flow, sighting, window, error.reason_code());
                    }
                }
            }
        }
        decided + self.confirm(run, flow, unconfirmed).await
    }

    /// As [`Unit::examine`], with what the target holds already read: `target` has the records of every key.
    pub(super) async fn examine_read(
        &mut self,
        run: &mut Run,
        flow: usize,
        sightings: &[&Sighting],
        window: ReadWindow,
        target: &mut HashMap<u128, Vec<Record>>,
        target_window: ReadWindow,
    ) {
        let parts = Arc::clone(&self.parts);
        let unit_flow = &parts.flows[flow];
        let mut baselines = self.baselines(run, unit_flow, sightings).await;
        let mut unconfirmed = Vec::new();
        for sighting in sightings {
            let records = target.remove(&sighting.digest).unwrap_or_default();
            let context = context(unit_flow, baselines.remove(&sighting.digest));
            unconfirmed.extend(self.first_look(run, flow, sighting, window, records, target_window, context));
        }
        self.confirm(run, flow, unconfirmed).await;
    }

    /// The first judgement of a key; `Some` when it is bad and must be confirmed.
    #[expect(clippy::too_many_arguments, reason = "one call site; the two sides and their windows belong together")]
    fn first_look<'a>(
        &mut self,
        run: &mut Run,
        flow: usize,
        sighting: &'a Sighting,
        owner_window: ReadWindow,
        target: Vec<Record>,
        target_window: ReadWindow,
        context: Context<'a>,
    ) -> Option<Unconfirmed<'a>> {
        let parts = Arc::clone(&self.parts);
        let unit_flow = &parts.flows[flow];
        let (owner, target) = without_stand_ins(unit_flow, &sighting.records, target);
        let known = self.queue.get((flow, sighting.digest));
        let owner_look = self.owner_look(sighting, owner, owner_window, sighting.not_before);
        if known.is_none()
            && !unit_flow.flow.is_two_way()
            && let ([one], [held]) = (owner, target.as_slice())
            && one.in_scope
            && held.in_scope
            && agrees(&unit_flow.flow, one, held)
        {
            let held = self.stamped_target(unit_flow, &target, target_window);
            let mut judgement = agreed_at_once(&owner_look, &held, context);
            judgement.event = judgement.event.filter(|_| !sighting.again);
            let outcome = Outcome { sighting, owner: &[], target: &[], judgement, reason: "" };
            self.settle(run, flow, outcome, target_window.high);
            return None;
        }
        let track = known.map(|entry| entry.track.clone());
        let target_look = self.target_look(unit_flow, &target, target_window);
        let owner_look = Look { state: self.state(unit_flow, Side::Owner, owner), ..owner_look };
        let is_new = track.is_none();
        let mut judgement = judge(track, &owner_look, &target_look, None, context);
        if is_new && sighting.again && judgement.verdict == Verdict::Match {
            judgement.event = None;
        }
        if judgement.needs_confirmation {
            return Some(Unconfirmed { sighting, target, owner_look, target_look, context });
        }
        self.note_baseline(run, unit_flow, sighting, &owner_look, context, &judgement, target_window.high);
        let outcome = Outcome { sighting, owner, target: &target, judgement, reason: "" };
        self.settle(run, flow, outcome, target_window.high);
        None
    }

    /// The second read of the owner for keys that would be bad (the sandwich). Returns how many were decided.
    async fn confirm(&mut self, run: &mut Run, flow: usize, pending: Vec<Unconfirmed<'_>>) -> u64 {
        let parts = Arc::clone(&self.parts);
        let mut decided = 0;
        for chunk in pending.chunks(KEYS_A_READ) {
            let keys: Vec<Key> = chunk.iter().map(|one| one.sighting.key.clone()).collect();
            let read = parts.owner.reader.by_keys(&parts.owner.mapping, &keys).await;
            match read {
                Ok(read) => {
                    run.summary.owner_records += read.records.len() as u64;
                    decided += chunk.len() as u64;
                    self.confirmed(run, flow, chunk, read);
                }
                Err(error) => {
                    self.note_failure(run, &error);
                    for one in chunk {
                        let window = one.owner_look.window;
                        self.unread(run, flow, one.sighting, window, error.reason_code());
                    }
                }
            }
        }
        decided
    }

    fn confirmed(&mut self, run: &mut Run, flow: usize, chunk: &[Unconfirmed<'_>], read: KeyedRead) {
        let parts = Arc::clone(&self.parts);
        let unit_flow = &parts.flows[flow];
        let mut by_key = grouped(read.records);
        for one in chunk {
            let records = by_key.remove(&one.sighting.digest).unwrap_or_default();
            let (records, _) = without_stand_ins(unit_flow, &records, one.target.clone());
            let seen_at = one.owner_look.window.low;
            let mut second = self.owner_look(one.sighting, records, read.window, seen_at);
            second.state = self.state(unit_flow, Side::Owner, records);
            let track = self.queue.get((flow, one.sighting.digest)).map(|entry| entry.track.clone());
            let judgement = judge(track, &one.owner_look, &one.target_look, Some(&second), one.context);
            self.note_baseline(run, unit_flow, one.sighting, &second, one.context, &judgement, read.window.high);
            let outcome =
                Outcome { sighting: one.sighting, owner: records, target: &one.target, judgement, reason: "" };
            self.settle(run, flow, outcome, read.window.high);
        }
    }

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
        let sighting = Sighting { key, digest, records, not_before, again: false, stamp_bounds: true };
        let outcome = unknown(&sighting, track, window, reason);
        self.settle(run, slot.0, outcome, window.high);
    }

    /// Puts one outcome into the run: its check, its freshness event, its place in the queue, its discrepancy.
    fn settle(&mut self, run: &mut Run, flow: usize, outcome: Outcome<'_>, at: Moment) {
        let parts = Arc::clone(&self.parts);
        let unit_flow = &parts.flows[flow];
        let slot = (flow, outcome.sighting.digest);
        let Outcome { sighting, judgement, .. } = outcome;
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
        let fields = fields_of(unit_flow, outcome.owner, outcome.target);
        if let Some(event) = &judgement.event {
            run.freshness(&unit_flow.flow, &key_hash, at, event);
            self.shared.metrics.lag(&unit_flow.flow.id, event.lag);
        }
        let before = self.queue.get(slot).and_then(|entry| entry.discrepancy);
        let step = discrepancy::step(before, judgement.verdict, Uuid::now_v7());
        if let Some(step) = step {
            self.note_step(run, unit_flow, sighting, &key_hash, step, &judgement, &fields, at);
        }
        let open = step.map_or(before, Step::open_after);
        self.requeue(run, unit_flow, slot, sighting, &key_hash, judgement.track.as_ref(), open);
        self.shared.metrics.checks(&unit_flow.flow.id, judgement.verdict, 1);
        let untranslated = fields.iter().any(|field| field.owner.is_untranslated() || field.target.is_untranslated());
        let reason = match judgement.verdict {
            Verdict::Invalid if untranslated => "xref",
            _ => outcome.reason,
        };
        let redacted = self.redacted(unit_flow, &fields);
        run.check(
            &unit_flow.flow,
            CheckParts {
                at,
                key_hash,
                key: self.key_text(&sighting.key),
                verdict: judgement.verdict,
                likely: judgement.likely,
                lag: judgement.lag,
                reason,
                fields: redacted,
            },
        );
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
        let due_at = unit_flow.pace.next_look(self.shared.clock.now(), track.diverged.high);
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

    /// For two-way flows: what both sides last agreed on, by key digest.
    async fn baselines(&self, run: &mut Run, unit_flow: &UnitFlow, sightings: &[&Sighting]) -> HashMap<u128, Digest> {
        if !unit_flow.flow.is_two_way() {
            return HashMap::new();
        }
        let hashes: Vec<String> = sightings.iter().map(|sighting| self.key_hash(&sighting.key)).collect();
        let known = self.shared.journal.baselines(&unit_flow.pair, &hashes).await.unwrap_or_else(|error| {
            // Without its baseline a conflict reads as a mismatch, and nothing automatic happens: safe, but said.
            tracing::warn!(flow = %unit_flow.flow.id, "baselines could not be read: {error}");
            run.summary.failure.get_or_insert("state");
            HashMap::new()
        });
        let of = |(sighting, hash): (&&Sighting, &String)| Some((sighting.digest, Digest(*known.get(hash)?)));
        sightings.iter().zip(&hashes).filter_map(of).collect()
    }

    #[expect(clippy::too_many_arguments, reason = "two call sites; the look, its context and its judgement")]
    fn note_baseline(
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

    fn owner_look(&self, sighting: &Sighting, records: &[Record], window: ReadWindow, not_before: Moment) -> Look {
        let records: Vec<&Record> = records.iter().collect();
        let stamps = self.stamps(&self.parts.owner);
        let mut look = stamped(&records, window, &stamps, not_before);
        look.commit_within = look.commit_within.filter(|_| sighting.stamp_bounds);
        look
    }

    fn stamped_target(&self, flow: &UnitFlow, records: &[Record], window: ReadWindow) -> Look {
        stamped(&records.iter().collect::<Vec<_>>(), window, &self.stamps(&flow.target), Moment::MIN)
    }

    fn target_look(&self, flow: &UnitFlow, records: &[Record], window: ReadWindow) -> Look {
        let records: Vec<&Record> = records.iter().collect();
        look(&flow.flow, Side::Target, &records, window, &self.stamps(&flow.target), Moment::MIN)
    }

    fn state(&self, flow: &UnitFlow, side: Side, records: &[Record]) -> State {
        state_of(&flow.flow, side, &records.iter().collect::<Vec<_>>())
    }

    fn redacted(&self, unit_flow: &UnitFlow, fields: &[DifferingField]) -> Vec<(String, String, String)> {
        let redact = |field: &DifferingField| {
            let rule = self.parts.fields[unit_flow.flow.fields[field.index].index].store;
            let secret = &self.shared.secret;
            (field.name.clone(), redact::value(&field.owner, rule, secret), redact::value(&field.target, rule, secret))
        };
        fields.iter().map(redact).collect()
    }

    pub(super) fn note_failure(&mut self, run: &mut Run, error: &ReadError) {
        self.tell(error);
        run.summary.failure.get_or_insert(error.reason_code());
    }
}

/// Records of both sides for one key, without those that only stand for a key that has no translation while the other
/// side holds nothing: nothing is wrong about a key that nobody holds.
fn without_stand_ins<'r>(flow: &UnitFlow, owner: &'r [Record], mut target: Vec<Record>) -> (&'r [Record], Vec<Record>) {
    let (owners, targets) = (&flow.flow.owner, &flow.target.mapping);
    if owners.xref.is_empty() && targets.xref.is_empty() {
        return (owner, target);
    }
    let held = |mapping: &Mapping, records: &[Record]| {
        records.iter().any(|record| record.in_scope && !mapping.is_stand_in(record))
    };
    let (owner_holds, target_holds) = (held(owners, owner), held(targets, &target));
    if !owner_holds {
        target.retain(|record| !targets.is_stand_in(record));
    }
    let is_nothing = !target_holds && owner.iter().all(|record| owners.is_stand_in(record));
    (if is_nothing { &[] } else { owner }, target)
}

fn context(unit_flow: &UnitFlow, baseline: Option<Digest>) -> Context<'_> {
    Context { deadline: unit_flow.flow.deadline, baseline, tolerances: &unit_flow.tolerances }
}

/// The outcome of a look that could not read a side.
fn unknown<'s>(sighting: &'s Sighting, track: Track, window: ReadWindow, reason: &'static str) -> Outcome<'s> {
    let judgement = Judgement {
        verdict: Verdict::Unknown,
        likely: false,
        lag: Lag::between(track.diverged, window),
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

pub(super) fn grouped(records: Vec<Record>) -> HashMap<u128, Vec<Record>> {
    let mut by_key: HashMap<u128, Vec<Record>> = HashMap::with_capacity(records.len());
    for record in records {
        by_key.entry(key_digest(&record.key)).or_default().push(record);
    }
    by_key
}
