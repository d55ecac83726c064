//! Verdicts case by case. Times are seconds, the deadline is 30 s, states are numbers.

use super::*;
use crate::model::{Currency, Money, Number};

const DEADLINE: Duration = Duration::from_secs(30);

fn at(seconds: i64) -> Moment {
    Moment::from_micros(seconds * 1_000_000)
}

fn between(low: i64, high: i64) -> Interval {
    Interval::new(at(low), at(high))
}

fn lag(low: u64, high: u64) -> Lag {
    Lag { low: Duration::from_secs(low), high: Duration::from_secs(high) }
}

fn holds(content: u128) -> State {
    State::Present(Held { digest: Digest(content), two_way: None, one_way: None, tolerant: Vec::new() })
}

fn look(state: State, when: i64) -> Look {
    Look::new(state, between(when, when))
}

/// A look at an owner that was seen to change after `not_before`.
fn changed(state: State, not_before: i64, when: i64) -> Look {
    Look { not_before: at(not_before), ..look(state, when) }
}

fn context() -> Context<'static> {
    Context { deadline: DEADLINE, baseline: None, tolerances: &[] }
}

fn first(track: Option<Track>, owner: &Look, target: &Look) -> Judgement {
    judge(track, owner, target, None, context())
}

/// A judgement with its sandwich when it needs one: the owner is read again, unchanged, just after the target.
fn confirmed(track: Option<Track>, owner: &Look, target: &Look, context: Context<'_>) -> Judgement {
    let judgement = judge(track.clone(), owner, target, None, context);
    if !judgement.needs_confirmation {
        return judgement;
    }
    let again = Look { window: target.window, ..owner.clone() };
    let judgement = judge(track, owner, target, Some(&again), context);
    assert!(!judgement.needs_confirmation);
    judgement
}

/// A key whose owner went from state 1 to 2 at about second 100 while the target held `target`.
fn tracked(target: State) -> Track {
    let judgement = first(None, &changed(holds(2), 99, 100), &look(target, 101));
    assert_eq!(judgement.verdict, Verdict::InFlight);
    judgement.track.unwrap()
}

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
fn a_target_that_was_ahead_of_an_old_read_owes_nothing_for_that_time() {
    // The owner is read at 100 and goes on to 3 while the target keeps us waiting until 120, when it holds 3 already.
    let ahead = first(None, &changed(holds(2), 99, 100), &look(holds(3), 120));
    assert_eq!((ahead.verdict, ahead.lag.low), (Verdict::InFlight, Duration::ZERO));
    let check = |owner: u128, expect_low: u64| {
        let agreed = first(ahead.track.clone(), &look(holds(owner), 125), &look(holds(owner), 126));
        let event = agreed.event.expect("the owner was seen to change");
        assert_eq!((agreed.verdict, event.lag.low), (Verdict::Match, Duration::from_secs(expect_low)), "{owner}");
    };
    check(3, 0);
    check(4, 0);
    // An owner that did not move was not overtaken: the target lacked its state as long as it was seen to.
    check(2, 20);
}

#[test]
fn an_owner_that_comes_back_to_its_values_may_have_come_back_to_the_targets() {
    // The target follows to 1 and stands still there while the owner goes through `states`, one every ten seconds.
    let check = |states: [u128; 6], expect: Verdict| {
        let behind = first(None, &changed(holds(1), 89, 90), &look(holds(0), 91)).track;
        let mut track = first(behind, &look(holds(2), 100), &look(holds(1), 101)).track;
        let mut last = None;
        for (when, state) in (110..).step_by(10).zip(states) {
            let judgement = confirmed(track, &look(holds(state), when), &look(holds(1), when), context());
            (track, last) = (judgement.track, Some(judgement.verdict));
        }
        assert_eq!(last, Some(expect), "{states:?}");
    };
    check([3, 4, 5, 6, 7, 8], Verdict::Stale);
    check([3, 4, 3, 4, 3, 4], Verdict::InFlight);
    // One that stands still has not come back since.
    check([3, 2, 2, 2, 2, 2], Verdict::Stale);
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

#[test]
fn an_arrival_is_bounded_by_the_looks_around_it() {
    let track = tracked(holds(1));
    let judgement = first(Some(track.clone()), &look(holds(2), 110), &look(holds(2), 111));
    let good = FreshnessEvent { changed: between(99, 100), lag: lag(1, 12), outcome: Outcome::Good };
    assert_eq!((judgement.verdict, judgement.event, judgement.track), (Verdict::Match, Some(good), None));
    let written =
        Look { changed_at: Some(between(104, 105)), commit_within: Some(Duration::ZERO), ..look(holds(2), 111) };
    assert_eq!(first(Some(track.clone()), &look(holds(2), 110), &written).lag, lag(1, 6));
    let late = first(Some(track), &look(holds(2), 140), &look(holds(2), 140));
    assert_eq!(late.event.unwrap().outcome, Outcome::Undecided);
}

#[test]
fn each_divergence_counts_once() {
    let late = confirmed(Some(tracked(holds(1))), &look(holds(2), 140), &look(holds(1), 140), context());
    assert_eq!(late.event.unwrap().outcome, Outcome::Bad);
    let settled = first(late.track.clone(), &look(holds(2), 150), &look(holds(2), 150));
    assert_eq!((settled.verdict, settled.event), (Verdict::Match, None));
    let newer = first(late.track, &look(holds(3), 150), &look(holds(2), 150));
    assert_eq!((newer.verdict, newer.event), (Verdict::InFlight, None));
    let settled = first(newer.track, &look(holds(3), 151), &look(holds(3), 151));
    assert_eq!(settled.event.unwrap().outcome, Outcome::Good, "3 is a new divergence");
}

#[test]
fn reaching_a_newer_state_ends_a_divergence() {
    let track = first(Some(tracked(holds(1))), &look(holds(3), 105), &look(holds(1), 105)).track;
    let judgement = first(track, &look(holds(3), 110), &look(holds(2), 110));
    // The low bound is 0: for all we saw the target's 1 may be a state of the owner between 2 and 3.
    let event = FreshnessEvent { changed: between(99, 105), lag: lag(0, 11), outcome: Outcome::Good };
    assert_eq!((judgement.verdict, judgement.event), (Verdict::InFlight, Some(event)));
}

#[test]
fn going_back_to_an_older_state_moves_the_clock_back() {
    let track = first(Some(tracked(holds(1))), &look(holds(3), 105), &look(holds(1), 105)).track;
    let track = first(track, &look(holds(4), 125), &look(holds(3), 125)).track.unwrap();
    assert_eq!(track.diverged, between(105, 125));
    let track = first(Some(track), &look(holds(4), 126), &look(holds(2), 126)).track.unwrap();
    assert_eq!(track.diverged, between(100, 105));
}

#[test]
fn an_owner_that_returns_ends_the_episode() {
    let track = first(None, &changed(holds(2), 99, 100), &look(holds(1), 101)).track;
    let track = first(track, &look(holds(1), 110), &look(holds(1), 110));
    assert_eq!((track.verdict, track.track), (Verdict::Match, None));
}

#[test]
fn a_touch_starts_nothing() {
    let version = |number: i64| Some(Version::Sequence(Number::from(number)));
    let track = tracked(holds(1));
    let touch = Look { version: version(9), changed_at: Some(between(120, 120)), ..look(holds(2), 120) };
    let judgement = first(Some(track.clone()), &touch, &look(holds(1), 120));
    let after = judgement.track.unwrap();
    assert_eq!((after.states.len(), after.diverged), (1, track.diverged));
    // The target was last written before the touch: it held the state already, nothing arrived.
    let target = Look { changed_at: Some(between(50, 51)), ..look(holds(2), 121) };
    let agreed = first(None, &Look { not_before: at(119), ..touch }, &target);
    assert_eq!((agreed.verdict, agreed.event), (Verdict::Match, None));
}

#[test]
fn a_record_that_was_never_owed_arrives_nowhere() {
    let draft = first(None, &changed(State::Absent, 99, 100), &look(State::Absent, 101));
    assert_eq!((draft.verdict, draft.event), (Verdict::Match, None));
    // One that is seen to leave is a change like any other.
    let track = first(None, &changed(State::Absent, 99, 100), &look(holds(1), 101)).track;
    let left = first(track, &look(State::Absent, 105), &look(State::Absent, 105));
    assert_eq!(left.event.map(|event| event.outcome), Some(Outcome::Good));
}

#[test]
fn a_change_that_arrived_before_we_looked() {
    let judgement = first(None, &changed(holds(2), 99, 100), &look(holds(2), 101));
    let good = FreshnessEvent { changed: between(99, 100), lag: lag(0, 2), outcome: Outcome::Good };
    assert_eq!((judgement.verdict, judgement.event), (Verdict::Match, Some(good)));
    assert_eq!(first(None, &look(holds(2), 100), &look(holds(2), 101)).event, None, "no change was seen");
}

#[test]
fn a_stamp_narrows_a_birth_unless_it_contradicts_what_was_seen() {
    let stamped = |low, high, commit_within| {
        let owner = Look { changed_at: Some(between(low, high)), commit_within, ..changed(holds(2), 90, 100) };
        first(None, &owner, &look(holds(1), 100)).track.unwrap().diverged
    };
    assert_eq!(stamped(95, 96, Some(Duration::ZERO)), between(95, 96));
    assert_eq!(stamped(95, 96, None), between(95, 100));
    assert_eq!(stamped(95, 96, Some(Duration::from_secs(2))), between(95, 98));
    assert_eq!(stamped(10, 20, Some(Duration::ZERO)), between(90, 100), "the clock jumped back");
    assert_eq!(stamped(200, 210, Some(Duration::ZERO)), between(90, 100), "the clock jumped ahead");
}

#[test]
fn a_target_that_stood_still_was_ahead_or_waited_for() {
    // The owner went from 1 to 2 just after it was read, or it was in 2 before and has returned: not known.
    let ahead = first(None, &changed(holds(1), 79, 100), &look(holds(2), 101));
    let settled = first(ahead.track, &look(holds(2), 110), &look(holds(2), 111));
    assert_eq!(settled.lag, lag(0, 31));
    assert_eq!(settled.event.unwrap().outcome, Outcome::Undecided);
}

#[test]
fn an_unreadable_look_is_no_move_of_the_target() {
    let track = tracked(holds(1));
    let track = confirmed(Some(track), &look(holds(2), 105), &look(State::Invalid(vec![0]), 105), context()).track;
    let track = first(track, &look(holds(3), 110), &look(holds(1), 110)).track.unwrap();
    assert_eq!((track.diverged, track.target_moved), (between(99, 100), false));
}

#[test]
fn what_the_target_holds_is_kept_however_long_it_cannot_be_read() {
    let moves = 3 * MAX_STATES as i64;
    let check = |unread: fn(Track, &Look) -> Track| {
        let earlier = first(None, &changed(holds(1), 99, 100), &look(holds(0), 100)).track;
        let mut track = first(earlier, &look(holds(2), 101), &look(holds(1), 101)).track.unwrap();
        for step in 1..=moves {
            track = unread(track, &look(holds(100 + step as u128), 101 + step));
            assert!(track.states.len() <= MAX_STATES);
        }
        let end = 110 + moves;
        let newest = holds(100 + moves as u128);
        let judgement = confirmed(Some(track), &look(newest, end), &look(holds(1), end), context());
        assert_eq!((judgement.verdict, judgement.likely), (Verdict::Stale, false));
        assert_eq!(judgement.track.unwrap().diverged, between(100, 101), "since the owner left it");
    };
    check(|track, owner| target_unread(Some(track), owner, &[]));
    check(|track, owner| {
        let target = Look { state: State::Invalid(vec![0]), ..owner.clone() };
        confirmed(Some(track), owner, &target, context()).track.unwrap()
    });
}

#[test]
fn values_swapped_between_two_rows_are_both_found() {
    for (owner, target) in [(1, 2), (2, 1)] {
        let stamp = |when| Some(between(when, when));
        let owner =
            Look { changed_at: stamp(10), commit_within: Some(Duration::ZERO), ..changed(holds(owner), 9, 100) };
        let target = Look { changed_at: stamp(11), ..look(holds(target), 100) };
        assert_eq!(confirmed(None, &owner, &target, context()).verdict, Verdict::Mismatch);
    }
}

#[test]
fn two_way_fields_need_a_baseline() {
    let both = |content: u128, one_way: u128| {
        State::Present(Held {
            digest: Digest(content * 1000 + one_way),
            two_way: Some(Digest(content)),
            one_way: Some(Digest(one_way)),
            tolerant: Vec::new(),
        })
    };
    let check = |owner: State, target: State, baseline: Option<u128>, expect: Verdict| {
        let context = Context { baseline: baseline.map(Digest), ..context() };
        let track = judge(None, &changed(owner.clone(), 99, 100), &look(target.clone(), 101), None, context).track;
        let judgement = confirmed(track, &look(owner.clone(), 140), &look(target.clone(), 140), context);
        assert_eq!(judgement.verdict, expect, "{owner:?} {target:?}");
        judgement
    };
    check(both(2, 0), both(3, 0), Some(1), Verdict::Conflict);
    check(both(2, 0), both(3, 0), None, Verdict::Mismatch);
    assert!(!check(both(2, 0), both(1, 0), Some(1), Verdict::Stale).likely);
    let owed = check(both(1, 0), both(2, 0), Some(1), Verdict::InFlight);
    assert!(owed.owed_elsewhere && owed.track.is_none() && owed.event.is_none());
    assert!(!check(both(1, 5), both(2, 6), Some(1), Verdict::Stale).owed_elsewhere);
}

#[test]
fn tolerance_is_of_the_owners_value_and_null_is_near_null_only() {
    let number = |text: &str| text.parse::<Number>().unwrap();
    let value = |text: &str| Value::Number(number(text));
    let check = |tolerance: &Tolerance, owner: Value, target: Value, expect: bool| {
        assert_eq!(state::within(tolerance, &owner, &target), expect, "{tolerance:?} {owner} {target}");
    };
    let cent = Tolerance::Absolute(number("0.01"));
    check(&cent, value("10.00"), value("10.01"), true);
    check(&cent, value("10.00"), value("10.011"), false);
    let percent = Tolerance::Relative(number("0.01"));
    check(&percent, value("-100"), value("-101"), true);
    check(&percent, value("0"), value("0.001"), false);
    check(&percent, value("0"), value("0"), true);
    let money = |text: &str, code: &str| Value::Money(Money { amount: number(text), currency: code.parse().unwrap() });
    check(&cent, money("1.00", "EUR"), money("1.01", "EUR"), true);
    check(&cent, money("1.00", "EUR"), money("1.00", "USD"), false);
    let second = Tolerance::Time(Duration::from_secs(1));
    check(&second, Value::Time(at(10)), Value::Time(at(9)), true);
    check(&second, Value::Time(at(10)), Value::Time(Moment::from_micros(11_000_001)), false);
    check(&cent, Value::Null, Value::Null, true);
    check(&cent, Value::Null, value("0"), false);
    let _: Currency = "EUR".parse().unwrap();
}

#[test]
fn tolerant_values_drift_without_losing_the_divergence() {
    let holds = |text: &str| {
        State::Present(Held {
            digest: Digest(1),
            two_way: None,
            one_way: None,
            tolerant: vec![Value::Number(text.parse().unwrap())],
        })
    };
    let tolerances = [Tolerance::Absolute("0.05".parse().unwrap())];
    let context = Context { tolerances: &tolerances, ..context() };
    let judged = |track, owner: &str, when| {
        judge(track, &changed(holds(owner), when - 1, when), &look(holds("10.00"), when), None, context)
    };
    assert_eq!(judged(None, "10.05", 100).verdict, Verdict::Match);
    let differs = judged(None, "10.06", 110);
    assert_eq!((differs.verdict, differs.track.as_ref().unwrap().diverged), (Verdict::InFlight, between(109, 110)));
    assert_eq!(judged(differs.track, "10.01", 120).verdict, Verdict::Match);
}

#[test]
fn a_change_that_may_hide_others_began_at_any_time_since_the_look_before() {
    let owner = |may_hide| Look {
        changed_at: Some(between(108, 109)),
        commit_within: Some(Duration::ZERO),
        may_hide,
        ..changed(holds(1), 100, 110)
    };
    let written = |seconds| Some(between(seconds, seconds));
    let target =
        |stamp| Look { changed_at: written(stamp), commit_within: Some(Duration::ZERO), ..look(holds(1), 111) };
    let event =
        |may_hide, stamp| first(None, &owner(may_hide), &target(stamp)).event.map(|event| (event.changed, event.lag));
    assert_eq!(event(false, 108), Some((between(108, 109), lag(0, 0))));
    // What the target was given at 108 may be what the owner came to hold at 101 and came back to at 108.
    assert_eq!(event(true, 108), Some((between(100, 109), lag(0, 8))));
    assert_eq!(event(false, 104), None);
    assert_eq!(event(true, 104), Some((between(100, 109), lag(0, 4))));
    let differs = |may_hide| first(None, &owner(may_hide), &look(holds(2), 111)).track.unwrap();
    assert_eq!((differs(false).diverged, differs(true).diverged), (between(108, 109), between(100, 109)));
    // Written between the two looks, but before the change that was seen: it came of one that was not.
    let late = Look { changed_at: written(104), ..look(holds(2), 150) };
    let late = confirmed(Some(differs(true)), &look(holds(1), 150), &late, context());
    assert_eq!((late.verdict, late.likely), (Verdict::Stale, true));
}

/// What is kept of a first look at 101 whose target's values came from a changed schema.
fn doubted(change_was_seen: bool) -> Track {
    tracked(holds(1)).doubted(change_was_seen)
}

#[test]
fn a_key_in_doubt_that_agrees_when_it_can_be_read_measures_no_lag() {
    let agreed = first(Some(doubted(false)), &look(holds(2), 110), &look(holds(2), 111));
    assert_eq!((agreed.verdict, agreed.event, agreed.track), (Verdict::Match, None, None));
    // A change that was seen is owed an event, however wide: the target may have followed at any time since.
    let followed = first(Some(doubted(true)), &look(holds(2), 110), &look(holds(2), 111)).event.unwrap();
    assert_eq!((followed.changed, followed.lag), (between(99, 100), lag(0, 12)));
}

#[test]
fn a_key_in_doubt_may_have_come_to_differ_as_late_as_it_can_be_read_again() {
    let differs = first(Some(doubted(false)), &look(holds(2), 120), &look(holds(3), 121));
    assert_eq!((differs.verdict, differs.event), (Verdict::InFlight, None));
    let track = differs.track.unwrap();
    assert_eq!((track.diverged.low, track.diverged.high), (at(99), at(121)));
    // No change of the owner is late: none was seen.
    let late = confirmed(Some(track), &look(holds(2), 152), &look(holds(3), 152), context());
    assert!(late.verdict.is_bad() && late.event.is_none(), "{late:?}");
}

#[test]
fn an_owner_that_changes_while_its_key_is_in_doubt_starts_a_clock_of_its_own() {
    let changed = first(Some(doubted(false)), &changed(holds(3), 118, 119), &look(holds(1), 121)).track.unwrap();
    assert_eq!((changed.diverged, changed.counted_bad), (between(118, 119), false));
}

/// An owner that was seen in 1, 2 and 3 and may have held more in between, and a target that holds 1, written `before`.
fn outran(before: i64) -> Track {
    let target = |seconds| Look { version: Some(Version::Stamp(at(before))), ..look(holds(1), seconds) };
    let track = first(None, &changed(holds(1), 90, 91), &Look { state: holds(9), ..target(92) }).track;
    let track = first(track, &look(holds(2), 100), &target(101)).track;
    first(track, &look(holds(3), 125), &target(126)).track.unwrap()
}

#[test]
fn an_owner_that_comes_back_while_the_target_cannot_be_read_ends_the_lag_itself() {
    let owner = changed(holds(2), 99, 100);
    let track = target_unread(None, &owner, &[]);
    // The target was last written at 95: it has held 1 all the time, and the owner has come back to it.
    let target = Look { changed_at: Some(between(95, 95)), commit_within: Some(Duration::ZERO), ..look(holds(1), 112) };
    let event = first(Some(track), &changed(holds(1), 105, 111), &target).event.unwrap();
    assert_eq!((event.changed, event.lag), (between(99, 100), lag(0, 12)));
}

#[test]
fn a_target_that_was_written_again_may_have_agreed_unseen() {
    let target = |written| Look { version: Some(Version::Stamp(at(written))), ..look(holds(1), 140) };
    let stood_still = confirmed(Some(outran(95)), &look(holds(3), 139), &target(95), context());
    assert_eq!(stood_still.verdict, Verdict::Stale, "{stood_still:?}");
    // The owner may have come back to 1 before it went to 3, and the target may have followed.
    let written_again = confirmed(Some(outran(95)), &look(holds(3), 139), &target(138), context());
    assert_eq!(written_again.verdict, Verdict::InFlight, "{written_again:?}");
    // From then on nothing excuses it.
    let later = Look { version: Some(Version::Stamp(at(138))), ..look(holds(1), 156) };
    let late = confirmed(written_again.track, &look(holds(3), 155), &later, context());
    assert_eq!(late.verdict, Verdict::Stale, "{late:?}");
}

#[test]
fn an_owner_that_was_touched_may_have_held_unseen_what_the_target_moved_to() {
    let owner =
        |version, when| Look { version: Some(Version::Sequence(Number::from(version))), ..look(holds(2), when) };
    let track = |version| {
        let first = first(None, &Look { not_before: at(99), ..owner(1_i64, 100) }, &look(holds(1), 101));
        confirmed(first.track, &owner(version, 139), &look(holds(3), 140), context())
    };
    // In the same version: it has held 2 all the time.
    assert_eq!(track(1).verdict, Verdict::Mismatch);
    // Two versions later: it may have gone to 3 and come back, and the target may have followed it there.
    assert_eq!(track(3).verdict, Verdict::InFlight);
    // The target stands still from then on, and touches excuse nothing.
    let late = confirmed(track(3).track, &owner(4, 172), &look(holds(3), 172), context());
    assert_eq!(late.verdict, Verdict::Mismatch, "{late:?}");
}

#[test]
fn an_owner_that_returns_to_what_was_written_again_may_have_been_waited_for_or_followed() {
    let back = |written| {
        let target = Look { version: Some(Version::Stamp(at(written))), ..look(holds(1), 140) };
        first(Some(outran(95)), &changed(holds(1), 138, 139), &target).event.unwrap().lag
    };
    // Stood still: the owner's return ended it, at 138 or 139. It had left 1 between 91 and 100.
    assert_eq!(back(95), lag(38, 48));
    // Written again after 126: it may have left 1 and followed the owner's return.
    assert_eq!(back(138), lag(26, 49));
}

#[test]
fn tracks_read_back_and_other_formats_do_not() {
    let track = Track {
        states: vec![
            OwnerState {
                state: State::Present(Held {
                    digest: Digest(u128::MAX),
                    two_way: Some(Digest(1)),
                    one_way: Some(Digest(2)),
                    tolerant: vec![Value::Null, Value::Number("1.5".parse().unwrap()), Value::Time(at(3))],
                }),
                born: between(1, 2),
                first_seen: at(3),
                last_seen: at(3),
                version: Some(Version::Sequence("18446744073709551616".parse().unwrap())),
                gap_after: true,
                touched: at(4),
            },
            OwnerState {
                state: State::Untranslated(vec![3]),
                born: Interval { low: Moment::MIN, high: at(4) },
                first_seen: at(5),
                last_seen: at(5),
                version: Some(Version::Tag("W/\"1\"".into())),
                gap_after: false,
                touched: Moment::MIN,
            },
        ],
        diverged: between(1, 2),
        target: Some(State::Duplicate(3)),
        target_version: Some(Version::Stamp(at(6))),
        target_born: between(6, 7),
        target_seen: at(8),
        counted_bad: true,
        possible_until: at(9),
        target_moved: true,
        target_may_lead: true,
        standing: vec![Standing { field: 2, target: u64::MAX, since: at(10), counted: at(11), looks: 3 }],
    };
    let bytes = track.to_bytes();
    assert_eq!(Track::from_bytes(&bytes), Some(track));
    assert_eq!(Track::from_bytes(&[]), None);
    assert_eq!(Track::from_bytes(&[0, 1, 2]), None);
    assert_eq!(Track::from_bytes(&bytes[..bytes.len() - 1]), None);
}
