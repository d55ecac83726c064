//! The decision for one key: the divergence's clock first, then the verdict.

use std::cmp::Ordering;
use std::time::Duration;

use super::history::{birth, comes_back, forget_oldest, has_gaps, held, left, newest_birth, observe, stored_against};
use super::standing;
use super::state::{equal, tolerant_equal};
use super::{Agreed, Context, FreshnessEvent, Held, Judgement, Look, Outcome, OwnerState, State, Track};
use crate::model::{Interval, Lag, Moment, Tolerance, Verdict};

/// The whole decision for one key of one flow. Both looks must come from complete reads; a key with an unread side
/// is `unknown` and is not judged.
///
/// `confirm` is the second read of the owner (the sandwich S, T, S). `None` for a first judgement: a bad verdict
/// then comes back with [`Judgement::needs_confirmation`].
pub fn judge(
    track: Option<Track>,
    owner: &Look,
    target: &Look,
    confirm: Option<&Look>,
    context: Context<'_>,
) -> Judgement {
    let mut states = track.as_ref().map(|track| track.states.clone()).unwrap_or_default();
    observe(&mut states, owner);
    if let Some(confirm) = confirm {
        observe(&mut states, confirm);
    }
    let held = held(&states, target, context.tolerances);
    let newest = states.len().saturating_sub(1);
    let arrived = states.last().is_some_and(|newest| equal(&newest.state, &target.state, context.tolerances));
    match track {
        // A record that was never in scope was never owed, and nothing tells it from one that has just left.
        None if arrived && states[newest].state == State::Absent => matched(Lag::ZERO, None),
        None if arrived => matched_at_once(&states[newest], owner, target, context),
        Some(track) if arrived => settled(&track, &states, target, context),
        track => {
            let older = held.filter(|held| *held < newest);
            differs(Case { states, older, owner, target, confirm, context }, track)
        }
    }
}

/// The judgement of a key without a history whose sides were found to [agree](super::agrees) at the first look.
/// The looks' states are not read: the fast path that needs no digests.
pub fn agreed_at_once(owner: &Look, target: &Look, context: Context<'_>) -> Judgement {
    let born = birth(owner, None);
    let state = OwnerState {
        state: owner.state.clone(),
        born,
        first_seen: owner.window.low,
        last_seen: owner.window.low,
        version: None,
        gap_after: false,
        touched: Moment::MIN,
    };
    matched_at_once(&state, owner, target, context)
}

/// What to keep of a key whose target could not be read: the owner's history goes on, the divergence's clock starts
/// as if the target lacked the owner's state, and nothing is said of the target.
pub fn target_unread(track: Option<Track>, owner: &Look, tolerances: &[Tolerance]) -> Track {
    let Some(mut track) = track else {
        let mut states = Vec::with_capacity(1);
        observe(&mut states, owner);
        let diverged = birth(owner, None);
        return Track {
            states,
            diverged,
            possible_until: diverged.high,
            target: None,
            target_version: None,
            target_born: Interval::new(Moment::MIN, owner.window.high),
            target_seen: Moment::MIN,
            counted_bad: false,
            target_moved: false,
            target_may_lead: false,
            standing: Vec::new(),
        };
    };
    let mut states = track.states.clone();
    observe(&mut states, owner);
    if led(&track, &states) {
        // The next look will not know any more which of the states are newer than the target's last one.
        track.possible_until = track.possible_until.max(newest_birth(&states));
        track.target_may_lead = false;
    }
    track.states = states;
    let held = last_held(&track, tolerances);
    forget_oldest(&mut track.states, held);
    track
}

/// Index of the owner's state that the target held when it could last be read.
fn last_held(track: &Track, tolerances: &[Tolerance]) -> Option<usize> {
    let target = track.target.as_ref()?;
    track.states.iter().rposition(|known| equal(&known.state, target, tolerances))
}

/// A key without a history whose sides agree.
fn matched_at_once(state: &OwnerState, owner: &Look, target: &Look, context: Context<'_>) -> Judgement {
    let newest = if state.state == owner.state { birth(owner, None) } else { state.born };
    let mut born = with_hidden(newest, owner);
    let arrived = arrival(target, born.low).high;
    // An owner that left the state and came back to it unseen was waited for by a target that held it all along.
    let mut agreed = if owner.may_hide { arrived.max(newest.high) } else { arrived };
    if let Some(Agreed { looks, .. }) = context.agreed {
        if newest.low >= looks.low {
            // They agreed before: it is a change since then that has arrived.
            born.low = born.low.max(looks.low);
        } else if newest.high <= looks.low {
            agreed = agreed.min(looks.high).max(newest.high);
        }
    }
    let lag = Lag { low: Duration::ZERO, high: agreed.since(born.low) };
    // A target written last before the owner's change held the state already: the owner was touched, not changed.
    let held_before = target.changed_at.is_some_and(|stamp| stamp.high < born.low);
    let was_counted = context.agreed.is_some_and(|agreed| newest.high <= agreed.counted);
    let change_was_seen = owner.not_before > Moment::MIN && !held_before && !was_counted;
    let event = change_was_seen.then(|| FreshnessEvent { changed: born, lag, outcome: outcome(lag, context.deadline) });
    matched(lag, event)
}

/// When the owner left what the target was last seen to hold, if `born` is when it came to what it holds now.
fn with_hidden(born: Interval, owner: &Look) -> Interval {
    if owner.may_hide { Interval { low: born.low.min(owner.not_before), ..born } } else { born }
}

/// A key that differed and now agrees.
fn settled(track: &Track, states: &[OwnerState], target: &Look, context: Context<'_>) -> Judgement {
    let mut clock = track.clock();
    if led(track, states) {
        // What looked like a target that lacked the owner's state may have been one that held the next one already.
        clock.high = clock.high.max(newest_birth(states));
    }
    let lag = Lag::between(clock, caught_up(track, states, target, context));
    let event =
        (!track.counted_bad).then(|| FreshnessEvent { changed: clock, lag, outcome: outcome(lag, context.deadline) });
    matched(lag, event)
}

/// Whether the target may have held, at the last look, what the owner had come to hold between our reads of the two.
const fn led(track: &Track, states: &[OwnerState]) -> bool {
    track.target_may_lead && states.len() > track.states.len()
}

/// When the sides came to agree. A target that stood still was waited for by an owner that returned to an earlier
/// state, or it held the newest state before we saw it in the owner; where both may be, the bounds span both.
fn caught_up(track: &Track, states: &[OwnerState], target: &Look, context: Context<'_>) -> Interval {
    let Some((newest, earlier)) = states.split_last() else { return target.window };
    let came = agreed(newest, target, track);
    if track.target.as_ref() != Some(&target.state) {
        return came;
    }
    if earlier.iter().any(|known| equal(&known.state, &target.state, context.tolerances)) {
        // A target that was written since may have left what it holds and come back to it.
        return if is_rewritten(target, track) { came.hull(newest.born) } else { newest.born };
    }
    Interval::new(track.target_born.low, newest.born.high.max(track.target_born.high))
}

/// When the target and the owner's state came to agree: not later than with the later of the two. A target that was last
/// written before the owner came to hold the state was waited for; one that got it while it could not be read may have
/// agreed, and differed, and agreed again.
fn agreed(state: &OwnerState, target: &Look, track: &Track) -> Interval {
    let came = arrival(target, track.target_seen);
    Interval::new(came.low, came.high.max(state.born.high))
}

fn matched(lag: Lag, event: Option<FreshnessEvent>) -> Judgement {
    Judgement {
        verdict: Verdict::Match,
        likely: false,
        lag,
        needs_confirmation: false,
        event,
        owed_elsewhere: false,
        track: None,
    }
}

/// When the target came to hold what it holds: after `low`, not later than it was read, nor than its last write.
fn arrival(target: &Look, low: Moment) -> Interval {
    let written = target.committed_by();
    let high =
        written.filter(|written| *written >= low).map_or(target.window.high, |written| written.min(target.window.high));
    Interval::new(low.min(high), high)
}

fn outcome(lag: Lag, deadline: Duration) -> Outcome {
    if lag.high <= deadline {
        Outcome::Good
    } else if lag.low > deadline {
        Outcome::Bad
    } else {
        Outcome::Undecided
    }
}

impl Track {
    /// When the divergence began, as far as lag can be proven: up to when the owner may, unseen, have held what
    /// the target holds.
    #[must_use]
    pub fn clock(&self) -> Interval {
        Interval::new(self.diverged.low, self.diverged.high.max(self.possible_until))
    }

    /// What to keep of a first look whose values cannot be taken for what they are: nothing is known of the target. If
    /// the owner was not seen to change, no lag is owed either.
    #[must_use]
    pub fn doubted(self, change_was_seen: bool) -> Self {
        Self {
            target: None,
            target_version: None,
            target_seen: Moment::MIN,
            target_moved: false,
            target_may_lead: false,
            standing: Vec::new(),
            counted_bad: !change_was_seen,
            ..self
        }
    }

    /// Whether the target was never seen and nothing says since when it may differ.
    fn is_doubted(&self) -> bool {
        self.target.is_none() && self.target_seen == Moment::MIN && self.counted_bad
    }
}

/// A key whose sides differ.
struct Case<'a> {
    states: Vec<OwnerState>,
    /// Index of the older state of the owner that the target holds.
    older: Option<usize>,
    owner: &'a Look,
    target: &'a Look,
    confirm: Option<&'a Look>,
    context: Context<'a>,
}

fn differs(case: Case<'_>, track: Option<Track>) -> Judgement {
    if two_way(&case) == Some(TwoWay::TargetMoved) {
        return owed_elsewhere();
    }
    let mut event = track.as_ref().and_then(|track| ended(&case, track));
    let known = track.as_ref().map(|track| track.standing.clone()).unwrap_or_default();
    let mut track = advanced(&case, track);
    let deadline = case.context.deadline;
    track.standing = standing::taken_in(&known, case.owner, case.target, case.confirm, deadline);
    let window = case.target.window;
    let mut lag = Lag::between(track.clock(), window);
    // Only what is proven is late: a target that moves while the owner outruns our looks may have agreed in between.
    // Whether it leads is settled by the confirmation that a late key needs.
    let late = lag.low > case.context.deadline;
    if track.target_may_lead {
        lag.low = Duration::ZERO;
    }
    // A target that holds a state of the owner, though an older one, is only as late as that.
    let stands_apart = case.older.is_none() && standing::is_late(&track.standing, window, deadline);
    let (verdict, likely) = verdict(&case, &track, late || stands_apart);
    let likely = likely || (verdict.is_bad() && stands_apart && !late);
    let needs_confirmation = verdict.is_bad() && !is_confirmed(&case);
    if event.is_none() && !track.counted_bad && lag.low > case.context.deadline {
        track.counted_bad = true;
        event = Some(FreshnessEvent { changed: track.clock(), lag, outcome: Outcome::Bad });
    }
    let event = event.filter(|_| !needs_confirmation);
    let held = case.older.or_else(|| last_held(&track, case.context.tolerances));
    forget_oldest(&mut track.states, held);
    Judgement { verdict, likely, lag, needs_confirmation, event, owed_elsewhere: false, track: Some(track) }
}

/// Nothing is owed by this flow, so nothing is kept.
fn owed_elsewhere() -> Judgement {
    Judgement { verdict: Verdict::InFlight, owed_elsewhere: true, ..matched(Lag::ZERO, None) }
}

/// Where the clock stands after a look at a target that holds an older state: later than before only if the target
/// really reached a newer state of the owner.
fn restarted(case: &Case<'_>, track: &Track) -> Option<Interval> {
    if stands_still(case, track) { None } else { left(&case.states, case.older?) }
}

/// Whether the target holds what it held at the last look that could read it. An unreadable look is no move.
fn stands_still(case: &Case<'_>, track: &Track) -> bool {
    !is_readable(&case.target.state) || track.target.as_ref() == Some(&case.target.state)
}

/// Whether the target was written since the last look and holds the same again: it may have held something else in
/// between, or been given once more what the owner had come back to.
fn is_rewritten(target: &Look, track: &Track) -> bool {
    let same = track.target.as_ref() == Some(&target.state);
    same && matches!((&track.target_version, &target.version), (Some(before), Some(now)) if before != now)
}

/// The event of a divergence that ended because the target reached a newer, though not the newest, state.
fn ended(case: &Case<'_>, track: &Track) -> Option<FreshnessEvent> {
    let forward = restarted(case, track)?.high > track.diverged.high;
    if !forward || track.counted_bad {
        return None;
    }
    let lag = Lag::between(track.clock(), agreed(&case.states[case.older?], case.target, track));
    Some(FreshnessEvent { changed: track.clock(), lag, outcome: outcome(lag, case.context.deadline) })
}

fn advanced(case: &Case<'_>, track: Option<Track>) -> Track {
    let Some(mut track) = track else { return begun(case) };
    if track.is_doubted() {
        return begun_anew(case, &track);
    }
    let stands_still = stands_still(case, &track);
    let led = led(&track, &case.states) && has_gaps(&case.states);
    if let Some(diverged) = restarted(case, &track) {
        track.counted_bad &= diverged.high <= track.diverged.high;
        track.diverged = diverged;
        track.possible_until = diverged.high;
        track.target_moved = false;
    } else if !stands_still {
        track.target_moved = track.target.is_some();
    }
    // What the target came to hold the owner may have held unseen: a state that we never saw, or one that it returned to.
    let since = case.older.map_or(0, |older| (older + 1).min(case.states.len()));
    let comes_back = case.older.is_some() && comes_back(&case.states);
    let moved = !stands_still || is_rewritten(case.target, &track) || comes_back;
    let unseen = moved && has_gaps(&case.states[since..]);
    if led || unseen {
        track.possible_until = track.possible_until.max(newest_birth(&case.states));
    }
    if (!stands_still || is_rewritten(case.target, &track)) && is_out_of_sight(case, track.target_seen) {
        track.possible_until = track.possible_until.max(arrival(case.target, track.target_seen).high);
    }
    track.target_may_lead = !stands_still && may_lead(case);
    if !stands_still {
        track.target_born = arrival(case.target, track.target_seen);
        track.target = Some(case.target.state.clone());
    }
    if is_readable(&case.target.state) {
        track.target_version.clone_from(&case.target.version);
    }
    if tells(&case.target.state) {
        track.target_seen = track.target_seen.max(case.target.window.low);
    }
    track.states.clone_from(&case.states);
    track
}

/// Whether nobody has looked at the target for longer than the deadline. One that was written meanwhile may have held the
/// newest state, and have left it again with its last write.
fn is_out_of_sight(case: &Case<'_>, seen: Moment) -> bool {
    case.target.window.low.since(seen) > case.context.deadline
}

/// The first look that differs. What the owner held before is not known: the clock starts at the birth of what it
/// holds now, unless the target holds that already and the owner has moved on between its two reads. A translation may
/// have gone missing as late as now, whatever the record's age.
fn begun(case: &Case<'_>) -> Track {
    let newest = case.states.first().map_or(case.owner.window, |first| first.born);
    let first = with_hidden(newest, case.owner);
    let mut diverged = case.older.and_then(|older| left(&case.states, older)).unwrap_or(first);
    for look in [case.owner, case.target] {
        if matches!(look.state, State::Untranslated(_)) {
            diverged.high = diverged.high.max(look.window.high);
        }
    }
    let is_unseen = case.owner.not_before == Moment::MIN && diverged.high >= case.owner.window.low;
    if is_unseen && is_readable(&case.target.state) {
        // Nothing says when the owner changed: the target may have left what they agreed on, as late as when it was read.
        diverged.high = diverged.high.max(case.target.window.high);
    }
    if let Some(written) = case.target.committed_by()
        && is_out_of_sight(case, diverged.high)
    {
        diverged.high = diverged.high.max(written.min(case.target.window.high));
    }
    if let Some(Agreed { looks, .. }) = case.context.agreed {
        // An owner that may hold still what they agreed on was left by the target, at any time since.
        let may_hold_still = case.older.is_none() && newest.low <= looks.high;
        diverged.low = diverged.low.max(looks.low);
        diverged.high = diverged.high.max(if may_hold_still { case.target.window.high } else { looks.low });
    }
    Track {
        diverged,
        possible_until: if case.older.is_none() {
            newest_birth(&case.states).max(diverged.high)
        } else {
            diverged.high
        },
        states: case.states.clone(),
        target: is_readable(&case.target.state).then(|| case.target.state.clone()),
        target_version: case.target.version.clone().filter(|_| is_readable(&case.target.state)),
        target_born: arrival(case.target, case.target.not_before),
        target_seen: if tells(&case.target.state) { case.target.window.low } else { Moment::MIN },
        counted_bad: false,
        target_moved: false,
        target_may_lead: may_lead(case),
        standing: Vec::new(),
    }
}

/// The first look that can tell that a key differs which was in doubt before: if the owner has not changed since, the
/// sides may have come to differ as late as now.
fn begun_anew(case: &Case<'_>, doubted: &Track) -> Track {
    let mut track = begun(case);
    let Some(newest) = case.states.last() else { return track };
    let stands = doubted.states.last().is_some_and(|known| known.state == newest.state);
    track.diverged = newest.born;
    if stands {
        track.diverged.high = newest.born.high.max(case.target.window.high);
    }
    track.possible_until = track.possible_until.max(track.diverged.high);
    track.counted_bad = stands;
    track
}

/// Whether the owner may have moved to what the target holds between the two reads. Not if the target was last
/// written before the owner was read.
fn may_lead(case: &Case<'_>) -> bool {
    let written_before = case.target.committed_by().is_some_and(|committed| committed < case.owner.window.low);
    case.older.is_none() && is_readable(&case.target.state) && !is_confirmed(case) && !written_before
}

/// Whether a look could tell what the side held.
const fn is_readable(state: &State) -> bool {
    matches!(state, State::Absent | State::Present(_))
}

/// Whether a look could tell that the target does not hold what the owner holds. What cannot be read may be anything.
const fn tells(state: &State) -> bool {
    !matches!(state, State::Invalid(_))
}

/// Whether the owner was read again after the target.
fn is_confirmed(case: &Case<'_>) -> bool {
    case.confirm.is_some_and(|confirm| confirm.window.low >= case.target.window.high)
}

/// Whether the two reads of the owner around the target's show that it moved in between.
fn owner_moved(case: &Case<'_>) -> bool {
    case.confirm.is_some_and(|confirm| confirm.state != case.owner.state || confirm.version != case.owner.version)
}

/// The verdict of differing sides, and whether stale against mismatch is only likely.
fn verdict(case: &Case<'_>, track: &Track, late: bool) -> (Verdict, bool) {
    let Some(newest) = case.states.last() else { return (Verdict::Unknown, false) };
    match (&newest.state, &case.target.state) {
        (State::Duplicate(_), _) | (_, State::Duplicate(_)) => (Verdict::Duplicate, false),
        (State::Invalid(_), _) | (_, State::Invalid(_)) => (Verdict::Invalid, false),
        _ if !late => (Verdict::InFlight, false),
        (State::Untranslated(_), _) | (_, State::Untranslated(_)) => (Verdict::Invalid, false),
        (State::Present(_), State::Absent) => (Verdict::Missing, false),
        (State::Absent, State::Present(_)) => (Verdict::Extra, false),
        _ => content_verdict(case, track, newest),
    }
}

/// Past the deadline, both sides present, contents differ.
fn content_verdict(case: &Case<'_>, track: &Track, newest: &OwnerState) -> (Verdict, bool) {
    if case.older.is_some() {
        return (Verdict::Stale, false);
    }
    match two_way(case) {
        Some(TwoWay::BothMoved) => return (Verdict::Conflict, false),
        Some(TwoWay::OwnerMoved) => return (Verdict::Stale, false),
        Some(TwoWay::NoBaseline) => return (Verdict::Mismatch, true),
        Some(TwoWay::TargetMoved) | None => {}
    }
    match stored_against(newest, case.target) {
        Some(Ordering::Less) => (Verdict::Stale, false),
        Some(Ordering::Equal) if !owner_moved(case) => (Verdict::Mismatch, false),
        _ if owner_moved(case) => (Verdict::Stale, true),
        _ => (guess(case, track), true),
    }
}

/// The target holds a state that we never saw the owner in. Written after the owner changed, it is more likely
/// wrong; untouched since before, it is more likely what the owner held before we looked.
fn guess(case: &Case<'_>, track: &Track) -> Verdict {
    // The clock may reach back to changes that were not seen; what was written between those and this one came of them.
    let changed = case.states.first().map_or(Moment::MIN, |first| first.born.low).max(track.diverged.low);
    let written_after = case.target.changed_at.is_some_and(|stamp| stamp.high >= changed);
    if track.target_moved || written_after { Verdict::Mismatch } else { Verdict::Stale }
}

/// What the agreed baseline says about two-way fields that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TwoWay {
    /// Only the owner left the baseline: this flow owes the change.
    OwnerMoved,
    /// Only the target left it, and nothing else differs: the opposite flow owes the change.
    TargetMoved,
    /// Both left it.
    BothMoved,
    /// The sides never agreed as far as we know.
    NoBaseline,
}

fn two_way(case: &Case<'_>) -> Option<TwoWay> {
    let (State::Present(owner), State::Present(target)) = (&case.states.last()?.state, &case.target.state) else {
        return None;
    };
    let (ours, theirs) = (owner.two_way?, target.two_way?);
    if ours == theirs {
        return None;
    }
    let Some(baseline) = case.context.baseline else { return Some(TwoWay::NoBaseline) };
    match (ours == baseline, theirs == baseline) {
        (true, _) => only_two_way_differs(owner, target, case).then_some(TwoWay::TargetMoved),
        (_, true) => only_two_way_differs(owner, target, case).then_some(TwoWay::OwnerMoved),
        _ => Some(TwoWay::BothMoved),
    }
}

fn only_two_way_differs(owner: &Held, target: &Held, case: &Case<'_>) -> bool {
    owner.one_way == target.one_way && tolerant_equal(owner, target, case.context.tolerances)
}
