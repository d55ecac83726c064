//! The owner's last states: when each was born, and which of them the target holds.

use std::cmp::Ordering;

use super::state::equal;
use super::{Look, MAX_STATES, OwnerState, State};
use crate::model::mapping::literal_moment;
use crate::model::{Interval, Moment, Number, Tolerance, Value, Version};

/// When the state of `look` was born: after the last read without it, not later than the first read with it,
/// narrowed by the record's own stamp unless that contradicts what was seen.
pub(super) fn birth(look: &Look, previous: Option<&OwnerState>) -> Interval {
    let last_without = previous.map_or(Moment::MIN, |previous| previous.last_seen);
    let seen = Interval::new(look.not_before.max(last_without).min(look.window.high), look.window.high);
    let Some(stamp) = look.changed_at else { return seen };
    let high = look.committed_by().unwrap_or(Moment::MAX);
    // An older stamp under a new state was not written by the change that made it.
    if previous.is_some_and(|previous| stamp_stood_still(previous, look)) {
        return seen;
    }
    seen.intersect(Interval { low: stamp.low, high }).unwrap_or(seen)
}

fn stamp_stood_still(previous: &OwnerState, look: &Look) -> bool {
    matches!((&previous.version, &look.version), (Some(Version::Stamp(before)), Some(Version::Stamp(now))) if before == now)
}

/// Adds what a look at the owner showed. The same state again is no new state: a touch that changes nothing starts
/// nothing. A look older than what is known adds nothing.
pub(super) fn observe(states: &mut Vec<OwnerState>, look: &Look) {
    let born = birth(look, states.last());
    if let Some(last) = states.last_mut() {
        if look.window.high < last.last_seen {
            return;
        }
        if last.state == look.state {
            last.last_seen = last.last_seen.max(look.window.low);
            let moved = matches!((&last.version, &look.version), (Some(before), Some(now)) if before != now);
            if moved && !consecutive(last.version.as_ref(), look.version.as_ref()) {
                last.touched = last.touched.max(birth(look, None).high);
            }
            last.version = look.version.clone().or(last.version.take());
            return;
        }
        last.gap_after = !consecutive(last.version.as_ref(), look.version.as_ref());
    }
    states.push(OwnerState {
        state: look.state.clone(),
        born,
        first_seen: look.window.low,
        last_seen: look.window.low,
        version: look.version.clone(),
        gap_after: false,
        touched: Moment::MIN,
    });
}

/// Whether no state can lie between two versions.
fn consecutive(earlier: Option<&Version>, later: Option<&Version>) -> bool {
    match (earlier, later) {
        (Some(Version::Sequence(earlier)), Some(Version::Sequence(later))) => {
            earlier.plus(&Number::from(1_i64)) == *later
        }
        _ => false,
    }
}

/// Whether the owner may have held states that were not seen since the first one known.
pub(super) fn has_gaps(states: &[OwnerState]) -> bool {
    states.iter().any(|state| state.gap_after || state.touched > Moment::MIN)
}

/// Whether the owner may well have held one of its states at a time when nobody looked: it returns to states that it has
/// left, and changes faster than it is looked at.
pub(super) fn comes_back(states: &[OwnerState]) -> bool {
    let known = states.iter().enumerate();
    let returns =
        known.clone().any(|(index, known)| states[..index].iter().any(|earlier| earlier.state == known.state));
    returns && outruns(states)
}

/// Whether two states, one after the other, were each seen for less than half of the time that passed unseen behind them. An
/// owner that rests for longer than it is not looked at is seen twice in one of them.
fn outruns(states: &[OwnerState]) -> bool {
    let is_short = |pair: &[OwnerState]| {
        let (seen, unseen) = (pair[0].last_seen.since(pair[0].first_seen), pair[1].first_seen.since(pair[0].last_seen));
        pair[0].gap_after && seen * 2 < unseen
    };
    let short: Vec<bool> = states.windows(2).map(is_short).collect();
    short.windows(2).any(|pair| pair[0] && pair[1])
}

/// When the owner came to hold the newest state for the last time, at the latest.
pub(super) fn newest_birth(states: &[OwnerState]) -> Moment {
    states.last().map_or(Moment::MIN, |newest| newest.born.high.max(newest.touched))
}

/// Index of the latest state that the target holds. Content decides; where no content is equal, the owner's
/// version as the target stores it: then the target holds that state or an unseen one right after it.
pub(super) fn held(states: &[OwnerState], target: &Look, tolerances: &[Tolerance]) -> Option<usize> {
    let same = states.iter().rposition(|known| equal(&known.state, &target.state, tolerances));
    same.or_else(|| held_by_version(states, target))
}

fn held_by_version(states: &[OwnerState], target: &Look) -> Option<usize> {
    if !matches!(target.state, State::Present(_)) || stored_against(states.last()?, target)? != Ordering::Less {
        return None;
    }
    states.iter().rposition(|known| stored_against(known, target).is_some_and(Ordering::is_ge))
}

/// The version that the target stores, compared with the version of one of the owner's states. `None` when one
/// is missing or they have no order.
pub(super) fn stored_against(known: &OwnerState, target: &Look) -> Option<Ordering> {
    match (known.version.as_ref()?, target.source_version.as_ref()?) {
        (Version::Sequence(version), Value::Number(stored)) => Some(stored.cmp(version)),
        (Version::Sequence(version), Value::Text(stored)) => Some(stored.parse::<Number>().ok()?.cmp(version)),
        (Version::Stamp(version), Value::Time(stored)) => Some(stored.cmp(version)),
        (Version::Stamp(version), Value::Text(stored)) => Some(literal_moment(stored)?.cmp(version)),
        (Version::Tag(version), Value::Text(stored)) if version == stored => Some(Ordering::Equal),
        _ => None,
    }
}

/// When the owner left the state at `index`: with the birth of the next one, or, when states may be missing
/// between the two, at any time since it was last seen.
pub(super) fn left(states: &[OwnerState], index: usize) -> Option<Interval> {
    let next = states.get(index + 1)?;
    let known = &states[index];
    let low = if known.gap_after { known.last_seen.min(next.born.low) } else { next.born.low };
    Some(Interval::new(low, next.born.high))
}

/// Forgets the oldest states beyond [`MAX_STATES`], but not the one that the target holds.
pub(super) fn forget_oldest(states: &mut Vec<OwnerState>, held: Option<usize>) {
    if states.len() <= MAX_STATES {
        return;
    }
    let surplus = states.len() - MAX_STATES;
    if held.is_some_and(|held| held < surplus) {
        let kept = held.unwrap_or_default();
        states.drain(kept + 1..=surplus);
        states.drain(..kept);
        states[0].gap_after = true;
    } else {
        states.drain(..surplus);
    }
}
