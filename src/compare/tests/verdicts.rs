//! What a key comes to: in flight, missing, stale, mismatch, and when.

use super::*;

#[test]
fn the_deadline_itself_is_still_in_flight() {
    let track = tracked(holds(1));
    assert_eq!(track.overdue_at(DEADLINE), at(130));
    let on_time = first(Some(track.clone()), &look(holds(2), 130), &look(holds(1), 130));
    assert_eq!((on_time.verdict, on_time.event), (Verdict::InFlight, None));
    let late = first(Some(track), &look(holds(2), 131), &look(holds(1), 131));
    assert!(late.verdict.is_bad() && late.needs_confirmation && late.event.is_none());
}

#[test]
fn what_is_wrong_past_the_deadline() {
    let check = |owner: State, target: State, expect: Verdict, likely: bool| {
        let track = first(None, &changed(owner.clone(), 99, 100), &look(target.clone(), 101)).track;
        let judgement = confirmed(track, &look(owner.clone(), 140), &look(target.clone(), 140), context());
        assert_eq!((judgement.verdict, judgement.likely), (expect, likely), "{owner:?} {target:?}");
        let bad = FreshnessEvent { changed: between(99, 100), lag: lag(40, 41), outcome: Outcome::Bad };
        assert_eq!(judgement.event, Some(bad), "{owner:?} {target:?}");
    };
    check(holds(2), State::Absent, Verdict::Missing, false);
    check(State::Absent, holds(1), Verdict::Extra, false);
    check(holds(2), holds(1), Verdict::Stale, true);
    check(holds(2), State::Duplicate(2), Verdict::Duplicate, false);
    check(State::Duplicate(2), State::Duplicate(2), Verdict::Duplicate, false);
    check(State::Invalid(vec![0]), State::Invalid(vec![0]), Verdict::Invalid, false);
    check(holds(2), State::Invalid(vec![0]), Verdict::Invalid, false);
}

#[test]
fn duplicates_and_unreadable_values_do_not_wait_for_the_deadline() {
    for state in [State::Duplicate(2), State::Invalid(vec![1])] {
        let owner = changed(holds(2), 99, 100);
        let target = look(state, 101);
        assert!(first(None, &owner, &target).needs_confirmation);
        assert!(confirmed(None, &owner, &target, context()).verdict.is_bad());
    }
}

#[test]
fn a_missing_translation_waits_for_the_deadline() {
    let untranslated = || State::Untranslated(vec![0]);
    for (owner, target) in [(holds(2), untranslated()), (untranslated(), holds(2)), (untranslated(), untranslated())] {
        let judgement = first(None, &changed(owner.clone(), 99, 100), &look(target.clone(), 101));
        assert_eq!(
            (judgement.verdict, judgement.needs_confirmation),
            (Verdict::InFlight, false),
            "{owner:?} {target:?}"
        );
        let late = confirmed(judgement.track.clone(), &look(owner.clone(), 140), &look(target.clone(), 140), context());
        assert_eq!((late.verdict, late.likely), (Verdict::Invalid, false), "{owner:?} {target:?}");
        let arrived = first(judgement.track, &look(holds(2), 110), &look(holds(2), 110));
        assert_eq!(arrived.verdict, Verdict::Match, "{owner:?} {target:?}");
    }
}

#[test]
fn a_translation_that_goes_missing_later_waits_from_then_on() {
    // The record itself is old: written at 100, looked at from 1000 on.
    let owner = |seconds| Look {
        changed_at: Some(between(99, 100)),
        commit_within: Some(Duration::ZERO),
        ..look(holds(2), seconds)
    };
    let judgement = first(None, &owner(1_000), &look(State::Untranslated(vec![0]), 1_000));
    assert_eq!(judgement.verdict, Verdict::InFlight);
    let late = confirmed(judgement.track, &owner(1_040), &look(State::Untranslated(vec![0]), 1_040), context());
    assert_eq!(late.verdict, Verdict::Invalid);
}

#[test]
fn a_known_older_state_is_stale_for_certain() {
    let track = tracked(holds(1));
    let track = first(Some(track), &look(holds(3), 110), &look(holds(1), 110)).track;
    let track = first(track, &look(holds(3), 120), &look(holds(2), 120)).track.unwrap();
    assert_eq!(track.diverged, between(100, 110), "2 was left when 3 was born, or by a state between");
    let judgement = confirmed(Some(track), &look(holds(3), 150), &look(holds(2), 150), context());
    assert_eq!((judgement.verdict, judgement.likely), (Verdict::Stale, false));
}

#[test]
fn a_state_written_after_the_change_is_likely_wrong() {
    let written = |when| Look { changed_at: Some(between(when, when)), ..look(holds(7), 140) };
    let owner = look(holds(2), 140);
    for (when, expect) in [(90, Verdict::Stale), (105, Verdict::Mismatch)] {
        let judgement = confirmed(Some(tracked(holds(7))), &owner, &written(when), context());
        assert_eq!((judgement.verdict, judgement.likely), (expect, true));
    }
}

#[test]
fn a_target_seen_to_move_to_something_unknown_is_likely_wrong() {
    let track = first(Some(tracked(holds(1))), &look(holds(2), 110), &look(holds(9), 110)).track;
    let judgement = confirmed(track, &look(holds(2), 140), &look(holds(9), 140), context());
    assert_eq!((judgement.verdict, judgement.likely), (Verdict::Mismatch, true));
}

#[test]
fn the_stored_version_tells_stale_from_mismatch() {
    let version = |number: i64| Some(Version::Sequence(Number::from(number)));
    let owner = |when| Look { version: version(8), ..changed(holds(2), 99, when) };
    let target = |stored: i64, when| Look { source_version: Some(Value::from(stored)), ..look(holds(9), when) };
    for (stored, expect) in [(7, Verdict::Stale), (8, Verdict::Mismatch)] {
        let track = first(None, &owner(100), &target(stored, 101)).track;
        let judgement = confirmed(track, &owner(140), &target(stored, 140), context());
        assert_eq!((judgement.verdict, judgement.likely), (expect, false), "{stored}");
    }
}

#[test]
fn a_stored_version_between_two_known_ones_moves_the_clock() {
    let owner = |content, number: i64, when| Look {
        version: Some(Version::Sequence(Number::from(number))),
        ..look(holds(content), when)
    };
    let target = Look { source_version: Some(Value::from(15_i64)), ..look(holds(15), 121) };
    let track = first(None, &owner(10, 10, 100), &look(holds(1), 101)).track;
    let track = first(track, &owner(20, 20, 120), &target).track.unwrap();
    assert_eq!(track.diverged, between(100, 120));
}

#[test]
fn the_sandwich_must_be_read_after_the_target() {
    let track = tracked(holds(1));
    let (owner, target) = (look(holds(2), 140), look(holds(1), 141));
    let judged = |when| judge(Some(track.clone()), &owner, &target, Some(&look(holds(2), when)), context());
    assert!(judged(140).needs_confirmation);
    assert!(!judged(141).needs_confirmation);
}

#[test]
fn an_owner_that_moves_under_the_sandwich() {
    let track = tracked(holds(1));
    let (owner, target) = (look(holds(2), 140), look(holds(3), 141));
    let arrived = judge(Some(track.clone()), &owner, &target, Some(&look(holds(3), 142)), context());
    assert_eq!(arrived.verdict, Verdict::Match);
    let hot = judge(Some(track.clone()), &owner, &target, Some(&look(holds(4), 142)), context());
    assert_eq!((hot.verdict, hot.likely, hot.needs_confirmation), (Verdict::InFlight, false, false));
    assert_eq!(hot.lag, lag(0, 42), "the owner may have held 3 just before: a wide interval");
    assert_eq!(hot.event, None);
    let one_behind = judge(Some(track), &owner, &look(holds(2), 141), Some(&look(holds(4), 142)), context());
    assert_eq!(one_behind.verdict, Verdict::InFlight);
}

#[test]
fn a_hot_key_with_a_dead_sync_grows_late() {
    let mut track = Some(tracked(holds(1)));
    let mut last = None;
    for step in 1..200 {
        let when = 100 + step;
        let owner = look(holds(u128::try_from(step).unwrap() + 2), when);
        let judgement = judge(track, &owner, &look(holds(1), when), Some(&look(owner.state.clone(), when)), context());
        // The target may have been ahead of the owner's first read: only a second later is it proven.
        assert_eq!(judgement.verdict, if when <= 131 { Verdict::InFlight } else { Verdict::Stale });
        assert_eq!(judgement.event.is_some(), when == 132, "one event, when it became late");
        track = judgement.track;
        assert_eq!(track.as_ref().unwrap().diverged, between(99, 100));
        assert!(track.as_ref().unwrap().states.len() <= MAX_STATES);
        last = Some(judgement.lag);
    }
    assert_eq!(last, Some(lag(198, 200)));
}

#[test]
fn forgetting_states_keeps_the_one_that_the_target_holds() {
    let mut track = tracked(holds(1));
    track = first(Some(track), &look(holds(3), 101), &look(holds(2), 101)).track.unwrap();
    for step in 4..300 {
        track = first(Some(track), &look(holds(step), 101), &look(holds(2), 101)).track.unwrap();
    }
    let judgement = confirmed(Some(track), &look(holds(300), 140), &look(holds(2), 140), context());
    assert_eq!((judgement.verdict, judgement.likely), (Verdict::Stale, false));
}
