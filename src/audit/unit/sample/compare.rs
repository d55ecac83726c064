//! One piece against the other side: the same piece there, and what each side says of keys that only the other showed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::FlowRun;
use super::piece::{MOST_EXTRA, Piece};
use crate::audit::run::Run;
use crate::audit::sampling::{Frame, Seen};
use crate::audit::unit::ask::patiently;
use crate::audit::unit::examine::{Sighting, grouped, key_digest};
use crate::audit::unit::{Unit, UnitFlow};
use crate::connect::{Bound, KeyRange, Landmark, RangeRead, ReadError};
use crate::model::{Key, Moment, Record};

/// What a target said when it was asked for the same piece: `Ok(None)` when it cannot be led to it.
pub(super) type Theirs = Result<Option<RangeRead>, ReadError>;

/// A piece is taken to have at least so many rows when that is reckoned.
const FEWEST_ROWS: usize = 10;

impl Unit {
    /// One piece of the owner's keys in every flow, and what the targets said of the same piece. Targets that did not show a key
    /// are asked for it all at once.
    pub(super) async fn compare_piece(
        &mut self,
        run: &mut Run,
        pass: u64,
        piece: &Piece,
        theirs: Vec<Option<Theirs>>,
        flows: &mut [FlowRun],
    ) {
        let parts = Arc::clone(&self.parts);
        let unusable = piece.read.records.iter().filter(|record| record.in_scope && !record.key.is_usable());
        unusable.for_each(|record| self.unusable_key(run, record, "key"));
        let ours = in_scope(&piece.read.records);
        let sightings: Vec<Sighting> =
            ours.iter().map(|(digest, records)| drawn(records[0].key.clone(), *digest, records.clone())).collect();
        let began = run.seen.len();
        let mut read = Vec::with_capacity(flows.len());
        let mut hidden = Vec::with_capacity(flows.len());
        for (flow, theirs) in theirs.into_iter().enumerate() {
            let theirs = theirs.and_then(|theirs| self.usable(run, flow, theirs));
            hidden.push(self.compare_shown(run, flow, piece, &sightings, theirs.as_ref()).await);
            read.push(theirs);
        }
        let asked = hidden.iter().map(Vec::as_slice).enumerate();
        let asked: Vec<(usize, &[&Sighting])> = asked.filter(|(_, hidden)| !hidden.is_empty()).collect();
        self.examine_flows(run, &asked, piece.read.window).await;
        let owned = ours.keys().copied().collect();
        for (flow, (theirs, found)) in read.into_iter().zip(flows).enumerate() {
            let name = &parts.flows[flow].name;
            let of_flow = run.seen[began..].iter().filter(|((of, _), _)| *of == flow);
            let seen: Vec<(u128, Seen)> = of_flow.map(|((_, key), seen)| (*key, *seen)).collect();
            found.drawn.add(&seen);
            self.sampling.add(name, Frame::Owner, pass, seen);
            if let Some(read) = theirs {
                let records = in_scope(&read.records);
                let seen = self.only_theirs(run, flow, &records, &owned, found).await;
                found.drawn.add(&seen);
                self.sampling.add(name, Frame::Target, pass, seen);
            }
        }
    }

    /// The keys that the target's piece shows. Gives those that it does not show.
    async fn compare_shown<'s>(
        &mut self,
        run: &mut Run,
        flow: usize,
        piece: &Piece,
        sightings: &'s [Sighting],
        theirs: Option<&RangeRead>,
    ) -> Vec<&'s Sighting> {
        let Some(theirs) = theirs else { return sightings.iter().collect() };
        let mut there = grouped(theirs.records.clone());
        let (shown, hidden): (Vec<&Sighting>, Vec<&Sighting>) =
            sightings.iter().partition(|sighting| there.contains_key(&sighting.digest));
        self.examine_read(run, flow, &shown, piece.read.window, &mut there, theirs.window).await;
        hidden
    }

    /// The same piece of the keys of every target that can be led to it, all at once: none is older than it needs to be.
    pub(super) async fn same_pieces(&self, piece: &Piece) -> Vec<Option<Theirs>> {
        let patience = self.patience(self.shared.clock.now());
        join_all(self.parts.flows.iter().map(|flow| self.same_piece(flow, piece, patience))).await
    }

    /// The same piece of one target's keys; `None` when it is not asked for that.
    async fn same_piece(&self, flow: &UnitFlow, piece: &Piece, patience: Duration) -> Option<Theirs> {
        if self.sampling.walks_alone(&flow.name) {
            return None;
        }
        let end = if piece.at.is_some() { &piece.at } else { &piece.visit.until };
        let (after, until) = (led(&piece.visit.after), led(end));
        if after.is_some() && until.is_none() && piece.at.is_some() {
            // The last row's key names nothing elsewhere: the next piece begins for the target where this one did.
            return None;
        }
        let Some((after, until)) = after.zip(until) else { return Some(Ok(None)) };
        let most = piece.read.records.len().max(FEWEST_ROWS) * MOST_EXTRA;
        let side = &flow.target;
        let read = side.reader.key_range(&side.mapping, KeyRange { after, until }, most);
        Some(patiently(&*side.reader, patience, read).await)
    }

    /// What can be used of a target's piece. A target that cannot be led to it, or whose order turns out to be another, has
    /// a walk of its own from now on.
    fn usable(&mut self, run: &mut Run, flow: usize, theirs: Theirs) -> Option<RangeRead> {
        match theirs {
            Ok(Some(read)) if read.complete => {
                run.summary.target_records += read.records.len() as u64;
                Some(read)
            }
            Ok(_) => {
                self.walk_alone(flow);
                None
            }
            Err(error) => {
                // The keys are asked for one by one and will say the same.
                self.note_failure(run, &error);
                None
            }
        }
    }

    /// From now on the target has a walk of its own.
    pub(super) fn walk_alone(&mut self, flow: usize) {
        let unit_flow = &self.parts.flows[flow];
        if self.sampling.walks_alone(&unit_flow.name) {
            return;
        }
        tracing::info!(flow = %unit_flow.flow.id, "the target's keys lie in another order: they are walked by themselves");
        self.sampling.walk_alone(&unit_flow.name);
    }

    /// One piece of the keys of a target that has a walk of its own.
    pub(super) async fn ask_for_piece(
        &mut self,
        run: &mut Run,
        flow: usize,
        pass: u64,
        piece: &Piece,
        found: &mut FlowRun,
    ) {
        let theirs = in_scope(&piece.read.records);
        let seen = self.only_theirs(run, flow, &theirs, &HashSet::new(), found).await;
        found.drawn.add(&seen);
        let name = self.parts.flows[flow].name.clone();
        self.sampling.add(&name, Frame::Target, pass, seen);
    }

    /// Asks the owner for keys that the target showed and the owner's piece did not hold. Gives how each of the target's
    /// keys came out: only those that the owner lacks are judged, unless the owner cannot be walked itself.
    async fn only_theirs(
        &mut self,
        run: &mut Run,
        flow: usize,
        theirs: &HashMap<u128, Vec<Record>>,
        owned: &HashSet<u128>,
        found: &mut FlowRun,
    ) -> Vec<(u128, Seen)> {
        let parts = Arc::clone(&self.parts);
        let mut seen: Vec<(u128, Seen)> = Vec::with_capacity(theirs.len());
        let (known, asked): (Vec<u128>, Vec<u128>) = theirs.keys().partition(|key| owned.contains(key));
        seen.extend(known.into_iter().map(|key| (key, Seen::Good)));
        found.theirs += theirs.len() as u64;
        if asked.is_empty() {
            return seen;
        }
        let keys: Vec<Key> = asked.iter().filter_map(|key| Some(theirs.get(key)?.first()?.key.clone())).collect();
        let (owner, patience) = (&parts.owner, self.patience(self.shared.clock.now()));
        let read = match patiently(&*owner.reader, patience, owner.reader.by_keys(&owner.mapping, &keys)).await {
            Ok(read) => read,
            Err(error) => {
                self.note_failure(run, &error);
                seen.extend(asked.into_iter().map(|key| (key, Seen::Unknown)));
                return seen;
            }
        };
        run.summary.owner_records += read.records.len() as u64;
        let mut held = grouped(read.records);
        let is_stand_in = |record: &Record| parts.owner.mapping.is_stand_in(record);
        let is_held = |records: &Vec<Record>| records.iter().any(|record| record.in_scope && !is_stand_in(record));
        // An owner that cannot be walked is compared where the target's keys lead.
        let owner_walks = self.sampling.walks.contains_key(parts.owner.system.as_str());
        let mut absent = Vec::new();
        for digest in asked {
            match held.remove(&digest) {
                Some(records) if is_held(&records) && owner_walks => {
                    found.astray += 1;
                    seen.push((digest, Seen::Good));
                }
                records => {
                    let Some(first) = theirs.get(&digest).and_then(|records| records.first()) else { continue };
                    let records = records.unwrap_or_default();
                    let key = first.key.clone();
                    absent.push(drawn(key, digest, records));
                }
            }
        }
        if found.astray > 100 && found.astray * 2 > found.theirs && !self.sampling.walks_alone(&parts.flows[flow].name)
        {
            self.walk_alone(flow);
        }
        let began = run.seen.len();
        let absent: Vec<&Sighting> = absent.iter().collect();
        if !absent.is_empty() {
            self.examine(run, flow, &absent, read.window).await;
        }
        seen.extend(run.seen[began..].iter().map(|((_, key), seen)| (*key, *seen)));
        seen
    }
}

/// Where a landmark leads in another system; `None` when its key names nothing there.
fn led(landmark: &Option<Landmark>) -> Option<Bound<'_>> {
    match landmark {
        None => Some(Bound::Open),
        Some(landmark) => landmark.key.as_ref().map(Bound::Key),
    }
}

/// A drawn key: that it was drawn proves no change, and its stamp no age.
fn drawn(key: Key, digest: u128, records: Vec<Record>) -> Sighting {
    Sighting { key, digest, records, not_before: Moment::MIN, again: false, stamp_bounds: false, may_hide: false }
}

/// The records whose keys belong to the frame, by key: usable and in scope.
fn in_scope(records: &[Record]) -> HashMap<u128, Vec<Record>> {
    let mut by_key: HashMap<u128, Vec<Record>> = HashMap::with_capacity(records.len());
    for record in records.iter().filter(|record| record.in_scope && record.key.is_usable()) {
        by_key.entry(key_digest(&record.key)).or_default().push(record.clone());
    }
    by_key
}
