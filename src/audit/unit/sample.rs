//! The sample probe: pieces of the owner's keys, the same pieces of the targets' keys, and what each side says of the
//! keys that only the other one showed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::audit::run::{Run, Summary};
use crate::audit::sampling::{Frame, Seen};
use crate::audit::walk::{Visit, Walk};
use crate::config::SampleSize;
use crate::connect::{Bound, KeyRange, Landmark, Place, RangeRead, Reach, ReadError};
use crate::estimate::{keys_for, piece_of};
use crate::metrics::{RunKind, Skip};
use crate::model::{Key, Moment, Record};

use super::examine::{Sighting, grouped, key_digest};
use super::{SampleParts, SideParts, Unit, UnitError};

/// Keys of a run as long as nobody knows how many there are.
const KEYS_AT_FIRST: usize = 1_000;
/// Statements of a survey that one run may make; a longer survey goes on in the next run.
const HOPS_A_RUN: usize = 400;
/// Pieces that one run may read beyond one for each key: pages without records come to an end.
const MORE_PIECES: usize = 400;
/// A piece of the target may have so many times the rows of the owner's before the two orders count as different.
const MOST_EXTRA: usize = 20;
/// A piece is taken to have at least so many rows when that is reckoned.
const FEWEST_ROWS: usize = 10;

/// One piece of a walk, as it was read.
struct Piece {
    visit: Visit,
    /// Where it ended; `None` at the arc's end. Of a list that is followed: where it goes on.
    at: Option<Landmark>,
    read: RangeRead,
}

/// What comes next in a walk.
enum Next {
    Piece(Box<Piece>),
    /// Nothing in this run: it has drawn its keys, the pass is over, or the survey goes on in the next run.
    Enough,
    /// Nothing in this part of the run: its time is over.
    Later,
    /// Nothing ever: the system can neither be entered nor followed.
    Nowhere,
}

/// A run that takes longer than this is made in parts, each committed by itself: between them changes and keys in
/// flight get their turn.
const PART: Duration = Duration::from_secs(2);

/// What one tick of the schedule draws, over all its parts.
#[derive(Debug, Default)]
pub(super) struct Draw {
    /// By the walk's system.
    quotas: HashMap<String, Quota>,
    /// The part under way ends here.
    until: Option<Moment>,
    /// Its time was over before it had drawn everything.
    is_cut: bool,
}

impl Draw {
    /// Whether another part is to follow.
    pub(super) const fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn begin_part(&mut self, now: Moment) {
        (self.until, self.is_cut) = (Some(now + PART), false);
    }

    /// The part's work on a walk is over.
    fn note(&mut self, walk: &str, quota: Quota, is_cut: bool) {
        self.quotas.insert(walk.to_owned(), Quota { is_done: !is_cut, ..quota });
    }

    /// Whether the part has to end; if so, another one follows.
    fn is_over(&mut self, now: Moment) -> bool {
        let is_over = self.until.is_some_and(|until| until <= now);
        self.is_cut |= is_over;
        is_over
    }
}

/// How many keys a tick draws from one walk.
#[derive(Clone, Copy, Debug)]
struct Quota {
    keys: usize,
    drawn: usize,
    pieces: usize,
    /// Nothing more in this tick.
    is_done: bool,
}

impl Quota {
    fn of_run(sample: &SampleParts, walk: &Walk) -> Self {
        Self { keys: keys_of_run(sample, walk), drawn: 0, pieces: 0, is_done: false }
    }

    fn draw(&mut self, piece: &Piece) {
        self.drawn += piece.read.records.len();
        self.pieces += 1;
    }

    const fn is_drawn(&self) -> bool {
        self.is_done || self.drawn >= self.keys || self.pieces >= self.keys + MORE_PIECES
    }

    const fn left(&self) -> u64 {
        self.keys.saturating_sub(self.drawn) as u64
    }
}

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
        let planned = self.walk_owner(&mut run, sample, draw, &mut flows).await;
        for flow in 0..parts.flows.len() {
            if self.sampling.walks_alone(&parts.flows[flow].name) {
                self.walk_target(&mut run, (sample, draw), flow, &mut flows[flow]).await;
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
    async fn walk_owner(
        &mut self,
        run: &mut Run,
        sample: &SampleParts,
        draw: &mut Draw,
        flows: &mut [FlowRun],
    ) -> Option<u64> {
        let parts = Arc::clone(&self.parts);
        let name = parts.owner.system.to_string();
        let mut walk = self.sampling.walks.entry(name.clone()).or_default().clone();
        let mut quota = draw.quotas.get(&name).copied().unwrap_or_else(|| Quota::of_run(sample, &walk));
        let (mut failed, mut is_cut) = (None, false);
        loop {
            match self.next_piece(&parts.owner, &mut walk, quota, draw).await {
                Ok(Next::Piece(piece)) => {
                    let (pass, now) = (walk.pass, self.shared.clock.now());
                    quota.draw(&piece);
                    run.summary.owner_records += piece.read.records.len() as u64;
                    for (flow, found) in flows.iter_mut().enumerate() {
                        self.compare_piece(run, flow, pass, &piece, found).await;
                    }
                    let seen = piece.read.records.len() as u64;
                    if walk.visited(&piece.visit, piece.at.as_ref(), seen, now) {
                        self.note_whole_pass(run, &walk, None);
                        break;
                    }
                    if !quota.is_drawn() && draw.is_over(self.shared.clock.now()) {
                        is_cut = true;
                        break;
                    }
                }
                Ok(Next::Enough) => break,
                Ok(Next::Later) => {
                    is_cut = true;
                    break;
                }
                Ok(Next::Nowhere) => {
                    // Its keys are drawn from the targets.
                    (0..flows.len()).for_each(|flow| self.walk_alone(flow));
                    self.sampling.walks.remove(&name);
                    return None;
                }
                Err(ReadError::Cursor { .. }) => {
                    // The key is another than when the walk began: places in the old order mean nothing.
                    tracing::warn!(unit = %parts.name, "the order of keys has changed: the walk begins anew");
                    walk.forget();
                    break;
                }
                Err(error) => {
                    self.tell(&error);
                    run.summary.failure = Some(error.reason_code());
                    failed = Some(quota.left());
                    forget_a_list_that_lies(&mut walk, &error);
                    break;
                }
            }
        }
        draw.note(&name, quota, is_cut);
        self.sampling.walks.insert(name, walk);
        failed
    }

    /// Draws from the keys of a target whose order is not the owner's, and asks the owner for them.
    async fn walk_target(
        &mut self,
        run: &mut Run,
        (sample, draw): (&SampleParts, &mut Draw),
        flow: usize,
        found: &mut FlowRun,
    ) {
        let parts = Arc::clone(&self.parts);
        let side = &parts.flows[flow].target;
        let name = side.system.to_string();
        let mut walk = self.sampling.walks.get(&name).cloned().unwrap_or_default();
        let mut quota = draw.quotas.get(&name).copied().unwrap_or_else(|| Quota::of_run(sample, &walk));
        let mut is_cut = false;
        loop {
            match self.next_piece(side, &mut walk, quota, draw).await {
                Ok(Next::Piece(piece)) => {
                    let (pass, now) = (walk.pass, self.shared.clock.now());
                    quota.draw(&piece);
                    run.summary.target_records += piece.read.records.len() as u64;
                    let theirs = in_scope(&piece.read.records);
                    let owned = HashSet::new();
                    let seen = self.only_theirs(run, flow, &theirs, &owned, found).await;
                    found.drawn.add(&seen);
                    self.sampling.add(&parts.flows[flow].name, Frame::Target, pass, seen);
                    let records = piece.read.records.len() as u64;
                    if walk.visited(&piece.visit, piece.at.as_ref(), records, now) {
                        self.note_whole_pass(run, &walk, Some(flow));
                        break;
                    }
                    if !quota.is_drawn() && draw.is_over(self.shared.clock.now()) {
                        is_cut = true;
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
                    return;
                }
                Err(ReadError::Cursor { .. }) => {
                    walk.forget();
                    break;
                }
                Err(error) => {
                    self.note_failure(run, &error);
                    found.drawn.expected += quota.left();
                    forget_a_list_that_lies(&mut walk, &error);
                    break;
                }
            }
        }
        draw.note(&name, quota, is_cut);
        self.sampling.walks.insert(name, walk);
    }

    /// A walk came around: everything has been looked at since it began.
    fn note_whole_pass(&self, run: &mut Run, walk: &Walk, flow: Option<usize>) {
        let Some(whole) = walk.whole else { return };
        for (number, unit_flow) in self.parts.flows.iter().enumerate() {
            if flow.is_none_or(|flow| flow == number) {
                run.whole_pass(&unit_flow.flow, (whole.began, whole.ended), whole.keys);
            }
        }
        let took = whole.ended.since(whole.began);
        tracing::info!(unit = %self.parts.name, keys = whole.keys, ?took, "every key has been looked at once");
    }

    /// Reads the walk's next piece.
    async fn next_piece(
        &self,
        side: &SideParts,
        walk: &mut Walk,
        quota: Quota,
        draw: &mut Draw,
    ) -> Result<Next, ReadError> {
        if quota.is_drawn() {
            return Ok(Next::Enough);
        }
        let Quota { keys, drawn, .. } = quota;
        if walk.is_over() {
            walk.begin(self.shared.clock.now(), keys, chance());
        }
        match survey(side, walk, || draw.is_over(self.shared.clock.now())).await? {
            Surveyed::All => {}
            Surveyed::Part => return Ok(Next::Enough),
            Surveyed::Later => return Ok(Next::Later),
            Surveyed::Nowhere => walk.follow(),
        }
        let Some(visit) = walk.visit(chance) else { return Ok(Next::Enough) };
        if walk.is_followed {
            return next_page(side, walk, visit).await;
        }
        let piece = usize::try_from(piece_of(keys as u64)).unwrap_or(keys).min(keys - drawn).max(1);
        let bound = |landmark: &'_ Option<Landmark>| landmark.as_ref().map(|landmark| landmark.place.clone());
        let (after, until) = (bound(&visit.after), bound(&visit.until));
        let after = after.as_ref().map_or(Bound::Open, Bound::Place);
        let until = until.as_ref().map_or(Bound::Open, Bound::Place);
        let reach = side.reader.landmark(&side.mapping, KeyRange { after, until }, piece).await?;
        let at = if let Reach::At(landmark) = reach { Some(landmark) } else { None };
        let until = at.as_ref().map_or(until, |landmark| Bound::Place(&landmark.place));
        let read = side.reader.key_range(&side.mapping, KeyRange { after, until }, piece * MOST_EXTRA).await?;
        // A reader that gave the place goes there; rows beyond the limit are more of one key than anybody means.
        Ok(read.map_or(Next::Nowhere, |read| Next::Piece(Box::new(Piece { visit, at, read }))))
    }

    /// One piece of the owner's keys in one flow.
    async fn compare_piece(&mut self, run: &mut Run, flow: usize, pass: u64, piece: &Piece, found: &mut FlowRun) {
        let parts = Arc::clone(&self.parts);
        let name = &parts.flows[flow].name;
        if flow == 0 {
            let unusable = piece.read.records.iter().filter(|record| record.in_scope && !record.key.is_usable());
            unusable.for_each(|record| self.unusable_key(run, record, "key"));
        }
        let ours = in_scope(&piece.read.records);
        let theirs = match self.sampling.walks_alone(name) {
            true => None,
            false => self.same_piece(run, flow, piece).await,
        };
        let sightings: Vec<Sighting> =
            ours.iter().map(|(digest, records)| drawn(records[0].key.clone(), *digest, records.clone())).collect();
        let (mut there, window) = match &theirs {
            Some(read) => (grouped(read.records.clone()), Some(read.window)),
            None => (HashMap::new(), None),
        };
        let (shown, hidden): (Vec<&Sighting>, Vec<&Sighting>) =
            sightings.iter().partition(|sighting| there.contains_key(&sighting.digest));
        let began = run.seen.len();
        if let Some(window) = window {
            self.examine_read(run, flow, &shown, piece.read.window, &mut there, window).await;
        }
        if !hidden.is_empty() {
            self.examine(run, flow, &hidden, piece.read.window).await;
        }
        let seen: Vec<(u128, Seen)> = run.seen[began..].iter().map(|((_, key), seen)| (*key, *seen)).collect();
        found.drawn.add(&seen);
        self.sampling.add(name, Frame::Owner, pass, seen);
        if let Some(read) = theirs {
            let owned = ours.keys().copied().collect();
            let records = in_scope(&read.records);
            let seen = self.only_theirs(run, flow, &records, &owned, found).await;
            found.drawn.add(&seen);
            self.sampling.add(name, Frame::Target, pass, seen);
        }
    }

    /// The same piece of the target's keys. `None` when the target cannot be led to it, or its order turns out to be
    /// another: from then on it has a walk of its own.
    async fn same_piece(&mut self, run: &mut Run, flow: usize, piece: &Piece) -> Option<RangeRead> {
        let parts = Arc::clone(&self.parts);
        let unit_flow = &parts.flows[flow];
        let end = if piece.at.is_some() { &piece.at } else { &piece.visit.until };
        let (after, until) = (led(&piece.visit.after), led(end));
        if after.is_some() && until.is_none() && piece.at.is_some() {
            // The last row's key names nothing elsewhere: the next piece begins for the target where this one did.
            return None;
        }
        let Some((after, until)) = after.zip(until) else {
            self.walk_alone(flow);
            return None;
        };
        let most = piece.read.records.len().max(FEWEST_ROWS) * MOST_EXTRA;
        let side = &unit_flow.target;
        let read = side.reader.key_range(&side.mapping, KeyRange { after, until }, most).await;
        match read {
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

    fn walk_alone(&mut self, flow: usize) {
        let unit_flow = &self.parts.flows[flow];
        if self.sampling.walks_alone(&unit_flow.name) {
            return;
        }
        tracing::info!(flow = %unit_flow.flow.id, "the target's keys lie in another order: they are walked by themselves");
        self.sampling.walk_alone(&unit_flow.name);
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
        let read = match parts.owner.reader.by_keys(&parts.owner.mapping, &keys).await {
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

/// How far a survey came.
enum Surveyed {
    All,
    Part,
    Later,
    Nowhere,
}

/// Goes on with a survey until it is done, has made its hops or `is_over` says that it is time for others.
async fn survey(
    side: &SideParts,
    walk: &mut Walk,
    mut is_over: impl FnMut() -> bool + Send,
) -> Result<Surveyed, ReadError> {
    for _ in 0..HOPS_A_RUN {
        let Some(hop) = walk.hop() else { return Ok(Surveyed::All) };
        let after = hop.after.as_ref().map_or(Bound::Open, |after| Bound::Place(&after.place));
        let range = KeyRange { after, until: Bound::Open };
        match side.reader.landmark(&side.mapping, range, hop.keys).await? {
            Reach::At(landmark) => walk.hopped(hop.keys, &landmark, chance()),
            Reach::End => walk.surveyed_all(hop.keys),
            Reach::Nowhere => return Ok(Surveyed::Nowhere),
        }
        if walk.hop().is_some() && is_over() {
            return Ok(Surveyed::Later);
        }
    }
    Ok(if walk.hop().is_none() { Surveyed::All } else { Surveyed::Part })
}

/// Reads the next page of a list that is followed.
async fn next_page(side: &SideParts, walk: &mut Walk, visit: Visit) -> Result<Next, ReadError> {
    let from: Option<&Place> = visit.after.as_ref().map(|after| &after.place);
    let Some(page) = side.reader.follow(&side.mapping, from).await? else { return Ok(Next::Nowhere) };
    walk.told(page.total);
    let read = RangeRead { records: page.records, window: page.window, complete: true };
    let at = page.next.map(|place| Landmark { place, key: None });
    Ok(Next::Piece(Box::new(Piece { visit, at, read })))
}

/// A list that does not add up at its end is followed anew; one that could not be read is gone on with.
fn forget_a_list_that_lies(walk: &mut Walk, error: &ReadError) {
    if walk.is_followed && matches!(error, ReadError::Refused { .. }) {
        walk.forget();
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
    Sighting { key, digest, records, not_before: Moment::MIN, again: false, stamp_bounds: false }
}

/// The records whose keys belong to the frame, by key: usable and in scope.
fn in_scope(records: &[Record]) -> HashMap<u128, Vec<Record>> {
    let mut by_key: HashMap<u128, Vec<Record>> = HashMap::with_capacity(records.len());
    for record in records.iter().filter(|record| record.in_scope && record.key.is_usable()) {
        by_key.entry(key_digest(&record.key)).or_default().push(record.clone());
    }
    by_key
}

/// How many keys the next run looks at.
fn keys_of_run(sample: &SampleParts, walk: &Walk) -> usize {
    let keys = match sample.size {
        SampleSize::Keys(keys) => keys,
        SampleSize::EveryKeyWithin(within) => {
            let keys = usize::try_from(keys_for(walk.keys(), within, sample.interval)).unwrap_or(usize::MAX);
            if walk.knows_keys() { keys } else { keys.max(KEYS_AT_FIRST) }
        }
    };
    keys.min(sample.most).max(1)
}

/// A number that nobody can foretell: the random part of a UUID.
fn chance() -> u64 {
    Uuid::new_v4().as_u64_pair().1 & (u64::MAX >> 2)
}
