//! Looks at keys of one flow: reads the target, judges, and confirms what would be bad.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::looks::{look, stamped, told};
use crate::audit::queue::Slot;
use crate::audit::run::Run;
use crate::compare::{Agreed, Context, Judgement, Look, Side, State, agreed_at_once, agrees, judge, state_of};
use crate::connect::{KeyedRead, ReadError, ReadWindow};
use crate::model::digest::digest;
use crate::model::{Digest, Key, Mapping, Moment, Record, Verdict};

use super::ask::{Answer, Answers, Question, patiently};
use super::settle::Outcome;
use super::{Unit, UnitFlow};

/// A bad verdict that is confirmed later than this after the target was read needs another look at the target. What is asked
/// for beside the owner to confirm it is waited for no longer, if it is in trouble.
pub(super) const LATE: Duration = Duration::from_secs(1);
/// How often a key that moves while it is confirmed is judged anew. The last time, what was seen is what counts.
const ROUNDS: usize = 3;

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
    /// Whether it may have changed more than once since `not_before`.
    pub may_hide: bool,
}

/// The in-memory digest of a key.
pub(super) fn key_digest(key: &Key) -> u128 {
    digest(key.parts()).0
}

/// A key whose bad verdict still lacks the second read of the owner.
pub(super) struct Unconfirmed<'a> {
    pub sighting: &'a Sighting,
    target: Vec<Record>,
    owner_look: Look,
    pub target_look: Look,
    context: Context<'a>,
}

/// The keys of one flow on their way to their verdicts.
struct LookAt<'a> {
    flow: usize,
    /// What the target has not been heard of yet.
    portions: std::slice::Chunks<'a, &'a Sighting>,
    baselines: HashMap<u128, Digest>,
    unconfirmed: Vec<Unconfirmed<'a>>,
    decided: u64,
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
        self.examine_flows(run, &[(flow, sightings)], window).await.into_iter().sum()
    }

    /// Examines keys of several flows, as their targets answer: one that keeps us waiting does not keep the others.
    /// Returns how many could be decided, of each.
    pub(super) async fn examine_flows(
        &mut self,
        run: &mut Run,
        asked: &[(usize, &[&Sighting])],
        window: ReadWindow,
    ) -> Vec<u64> {
        let parts = Arc::clone(&self.parts);
        let mut looks = Vec::with_capacity(asked.len());
        let mut questions = Vec::with_capacity(asked.len());
        for &(flow, sightings) in asked {
            let unit_flow = &parts.flows[flow];
            let at_once = unit_flow.target.reader.keys_at_once(&unit_flow.target.mapping).max(1);
            questions.push(self.question(unit_flow, looks.len(), sightings, at_once));
            let baselines = self.baselines(run, unit_flow, sightings).await;
            looks.push(LookAt {
                flow,
                portions: sightings.chunks(at_once),
                baselines,
                unconfirmed: Vec::new(),
                decided: 0,
            });
        }
        let mut answers = Answers::to(questions);
        while let Some((number, answer)) = answers.next().await {
            let look = &mut looks[number];
            match answer {
                Answer::Clock(heard) => self.take_clock(&parts.flows[look.flow].target.system, heard),
                Answer::Keys(read) => {
                    let portion = look.portions.next().unwrap_or_default();
                    self.take_answer(run, &parts.flows[look.flow], look, portion, window, read);
                }
                Answer::GivenUp(error) => {
                    self.note_failure(run, &error);
                    for sighting in look.portions.by_ref().flatten() {
                        self.unread(run, look.flow, sighting, window, error.reason_code());
                    }
                }
            }
            let look = &mut looks[number];
            if look.portions.len() == 0 && !look.unconfirmed.is_empty() {
                let unconfirmed = std::mem::take(&mut look.unconfirmed);
                look.decided += self.confirm(run, look.flow, unconfirmed).await;
            }
        }
        looks.iter().map(|look| look.decided).collect()
    }

    fn question(&self, flow: &UnitFlow, number: usize, sightings: &[&Sighting], at_once: usize) -> Question {
        let keys = |portion: &[&Sighting]| portion.iter().map(|sighting| sighting.key.clone()).collect();
        let (reader, mapping) = (Arc::clone(&flow.target.reader), Arc::clone(&flow.target.mapping));
        let now = self.shared.clock.now();
        Question {
            number,
            reader,
            mapping,
            keys: sightings.chunks(at_once).map(keys).collect(),
            clock: self.clocks.wants(&flow.target.system, now),
            patience: self.patience(now),
        }
    }

    /// What a target holds of a portion of keys.
    fn take_answer<'a>(
        &mut self,
        run: &mut Run,
        unit_flow: &'a UnitFlow,
        look: &mut LookAt<'a>,
        portion: &'a [&'a Sighting],
        window: ReadWindow,
        read: Result<KeyedRead, ReadError>,
    ) {
        match read {
            Ok(read) => {
                run.summary.target_records += read.records.len() as u64;
                let mut by_key = grouped(read.records);
                for sighting in portion {
                    let target = by_key.remove(&sighting.digest).unwrap_or_default();
                    let baseline = look.baselines.remove(&sighting.digest);
                    let context = context(unit_flow, baseline, self.met.get((look.flow, sighting.digest)));
                    let pending = self.first_look(run, look.flow, sighting, window, target, read.window, context);
                    look.decided += u64::from(pending.is_none());
                    look.unconfirmed.extend(pending);
                }
            }
            Err(error) => {
                self.note_failure(run, &error);
                for sighting in portion {
                    self.unread(run, look.flow, sighting, window, error.reason_code());
                }
            }
        }
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
            let baseline = baselines.remove(&sighting.digest);
            let context = context(unit_flow, baseline, self.met.get((flow, sighting.digest)));
            unconfirmed.extend(self.first_look(run, flow, sighting, window, records, target_window, context));
        }
        self.confirm(run, flow, unconfirmed).await;
    }

    /// The first judgement of a key; `Some` when it is bad and must be confirmed.
    #[expect(clippy::too_many_arguments, reason = "few call sites; the two sides and their windows belong together")]
    pub(super) fn first_look<'a>(
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
            let judgement = agreed_at_once(&owner_look, &held, context);
            self.note_met((flow, sighting.digest), &judgement, &owner_look, &held);
            let outcome = Outcome { sighting, owner: &[], target: &[], judgement, reason: "" };
            self.settle(run, flow, outcome, target_window.high);
            return None;
        }
        let track = known.map(|entry| entry.track.clone());
        let target_look = self.target_look(unit_flow, &target, target_window);
        let owner_look = told_of_owner(unit_flow, owner, owner_look);
        let judgement = judge(track, &owner_look, &target_look, None, context);
        if judgement.needs_confirmation {
            return Some(Unconfirmed { sighting, target, owner_look, target_look, context });
        }
        self.note_met((flow, sighting.digest), &judgement, &owner_look, &target_look);
        self.note_baseline(run, unit_flow, sighting, &owner_look, context, &judgement, target_window.high);
        let outcome = Outcome { sighting, owner, target: &target, judgement, reason: "" };
        self.settle(run, flow, outcome, target_window.high);
        None
    }

    /// The second read of the owner for keys that would be bad (the sandwich). Returns how many were decided.
    ///
    /// Where the owner makes us wait for it, the target is read once more: what it held then says nothing of now. A key that
    /// has moved meanwhile is judged anew, and confirmed again if it is bad.
    pub(super) async fn confirm(&mut self, run: &mut Run, flow: usize, mut pending: Vec<Unconfirmed<'_>>) -> u64 {
        let parts = Arc::clone(&self.parts);
        let owner = &parts.owner;
        let at_once = owner.reader.keys_at_once(&owner.mapping).max(1);
        let mut decided = 0;
        for round in 1..=ROUNDS {
            self.know_shapes_of(flow, &pending).await;
            let mut moved = Vec::new();
            while !pending.is_empty() {
                let chunk: Vec<Unconfirmed<'_>> = pending.drain(..at_once.min(pending.len())).collect();
                let keys: Vec<Key> = chunk.iter().map(|one| one.sighting.key.clone()).collect();
                let patience = self.patience(self.shared.clock.now());
                match patiently(&*owner.reader, patience, owner.reader.by_keys(&owner.mapping, &keys)).await {
                    Ok(read) => {
                        run.summary.owner_records += read.records.len() as u64;
                        let asked = chunk.len();
                        let late = if round < ROUNDS { self.late(flow, &chunk, read.window).await } else { Ok(None) };
                        match late {
                            Ok(late) => {
                                let again = self.confirmed(run, flow, chunk, read, late);
                                decided += (asked - again.len()) as u64;
                                moved.extend(again);
                            }
                            Err(error) => self.unconfirmed(run, flow, &chunk, &error),
                        }
                    }
                    Err(error) => self.unconfirmed(run, flow, &chunk, &error),
                }
            }
            pending = moved;
        }
        decided
    }

    /// Before a key is called wrong for the first time, the shapes are looked at as they were then or later.
    pub(super) async fn know_shapes_of(&mut self, flow: usize, pending: &[Unconfirmed<'_>]) {
        let is_new = |one: &&Unconfirmed<'_>| {
            self.queue.get((flow, one.sighting.digest)).is_none_or(|entry| entry.discrepancy.is_none())
        };
        if let Some(read) = pending.iter().filter(is_new).map(|one| one.target_look.window.high).max() {
            self.know_shapes(flow, read).await;
        }
    }

    /// What the target holds now of keys whose confirmation was late; `None` if it was not.
    async fn late(
        &self,
        flow: usize,
        chunk: &[Unconfirmed<'_>],
        confirmed: ReadWindow,
    ) -> Result<Option<KeyedRead>, ReadError> {
        let seen = chunk.iter().map(|one| one.target_look.window.high).min();
        if seen.is_none_or(|seen| confirmed.high.since(seen) <= LATE) {
            return Ok(None);
        }
        let target = &self.parts.flows[flow].target;
        let keys: Vec<Key> = chunk.iter().map(|one| one.sighting.key.clone()).collect();
        patiently(&*target.reader, LATE, target.reader.by_keys(&target.mapping, &keys)).await.map(Some)
    }

    /// A side could not be read again: nothing is known.
    pub(super) fn unconfirmed(&mut self, run: &mut Run, flow: usize, chunk: &[Unconfirmed<'_>], error: &ReadError) {
        self.note_failure(run, error);
        for one in chunk {
            self.unread(run, flow, one.sighting, one.owner_look.window, error.reason_code());
        }
    }

    /// Judges keys whose owner was read again; gives those that have to be confirmed once more. `late` is what the target
    /// was found to hold after that.
    pub(super) fn confirmed<'s>(
        &mut self,
        run: &mut Run,
        flow: usize,
        chunk: Vec<Unconfirmed<'s>>,
        read: KeyedRead,
        late: Option<KeyedRead>,
    ) -> Vec<Unconfirmed<'s>> {
        let parts = Arc::clone(&self.parts);
        let unit_flow = &parts.flows[flow];
        let mut by_key = grouped(read.records);
        let mut late = late.map(|late| (grouped(late.records), late.window));
        let mut again = Vec::new();
        for mut one in chunk {
            let records = by_key.remove(&one.sighting.digest).unwrap_or_default();
            let records = owners_without_stand_ins(unit_flow, &records, &one.target);
            let seen_at = one.owner_look.window.low;
            let second = self.owner_look(one.sighting, records, read.window, seen_at);
            let second = told_of_owner(unit_flow, records, second);
            let known = self.queue.get((flow, one.sighting.digest)).map(|entry| entry.track.clone());
            let mut at = read.window.high;
            let mut confirm = Some(&second);
            if let Some((held, window)) = &mut late {
                let (_, target) =
                    without_stand_ins(unit_flow, records, held.remove(&one.sighting.digest).unwrap_or_default());
                let look = self.target_look(unit_flow, &target, *window);
                at = window.high;
                if look.state != one.target_look.state || look.version != one.target_look.version {
                    // The look before this one is forgotten: what it showed was never told.
                    (one.target, one.target_look, one.owner_look) = (target, look, second.clone());
                    confirm = None;
                }
            }
            let judgement = judge(known, &one.owner_look, &one.target_look, confirm, one.context);
            if judgement.needs_confirmation {
                again.push(one);
                continue;
            }
            self.note_met((flow, one.sighting.digest), &judgement, &second, &one.target_look);
            self.note_baseline(run, unit_flow, one.sighting, &second, one.context, &judgement, at);
            let outcome =
                Outcome { sighting: one.sighting, owner: records, target: &one.target, judgement, reason: "" };
            self.settle(run, flow, outcome, at);
        }
        again
    }

    /// For two-way flows: what both sides last agreed on, by key digest.
    pub(super) async fn baselines(
        &self,
        run: &mut Run,
        unit_flow: &UnitFlow,
        sightings: &[&Sighting],
    ) -> HashMap<u128, Digest> {
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

    /// Remembers when the sides of a key were found to agree that was followed, or changes often.
    fn note_met(&mut self, slot: Slot, judgement: &Judgement, owner: &Look, target: &Look) {
        let is_followed = self.queue.get(slot).is_some();
        if judgement.verdict != Verdict::Match || !(is_followed || self.recent.holds(slot.1)) {
            return;
        }
        let before = self.met.get(slot).map_or(Moment::MIN, |met| met.counted);
        let counted = if is_followed { owner.window.high } else { before };
        self.met.note(slot, Agreed { looks: owner.window.hull(target.window), counted });
    }

    pub(super) fn owner_look(
        &self,
        sighting: &Sighting,
        records: &[Record],
        window: ReadWindow,
        not_before: Moment,
    ) -> Look {
        let records: Vec<&Record> = records.iter().collect();
        let stamps = self.stamps(&self.parts.owner);
        let mut look = stamped(&records, window, &stamps, not_before);
        look.commit_within = look.commit_within.filter(|_| sighting.stamp_bounds);
        look.may_hide = sighting.may_hide;
        look
    }

    fn stamped_target(&self, flow: &UnitFlow, records: &[Record], window: ReadWindow) -> Look {
        stamped(&records.iter().collect::<Vec<_>>(), window, &self.stamps(&flow.target), Moment::MIN)
    }

    fn target_look(&self, flow: &UnitFlow, records: &[Record], window: ReadWindow) -> Look {
        let records: Vec<&Record> = records.iter().collect();
        look(&flow.flow, Side::Target, &records, window, &self.stamps(&flow.target), Moment::MIN)
    }

    pub(super) fn state(&self, flow: &UnitFlow, side: Side, records: &[Record]) -> State {
        state_of(&flow.flow, side, &records.iter().collect::<Vec<_>>())
    }

    pub(super) fn note_failure(&mut self, run: &mut Run, error: &ReadError) {
        self.tell(error);
        run.summary.failure.get_or_insert(error.reason_code());
    }
}

/// The owner's part of [`without_stand_ins`].
fn owners_without_stand_ins<'r>(flow: &UnitFlow, owner: &'r [Record], target: &[Record]) -> &'r [Record] {
    if flow.flow.owner.xref.is_empty() && flow.target.mapping.xref.is_empty() {
        return owner;
    }
    without_stand_ins(flow, owner, target.to_vec()).0
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

fn told_of_owner(flow: &UnitFlow, records: &[Record], look: Look) -> Look {
    told(&flow.flow, Side::Owner, &records.iter().collect::<Vec<_>>(), look)
}

/// What else judging a key needs. `agreed`: when its sides were found to agree, if it was followed lately.
pub(super) fn context(unit_flow: &UnitFlow, baseline: Option<Digest>, agreed: Option<Agreed>) -> Context<'_> {
    Context { deadline: unit_flow.flow.deadline, baseline, tolerances: &unit_flow.tolerances, agreed }
}

pub(super) fn grouped(records: Vec<Record>) -> HashMap<u128, Vec<Record>> {
    let mut by_key: HashMap<u128, Vec<Record>> = HashMap::with_capacity(records.len());
    for record in records {
        by_key.entry(key_digest(&record.key)).or_default().push(record);
    }
    by_key
}
