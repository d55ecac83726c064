//! Divergences and their lags: when one begins, when it ends, how often it counts.

use super::*;

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
    // A look at the owner alone in between, because the target could not be read, changes nothing of that.
    let unread = target_unread(ahead.track, &look(holds(3), 122), &[]);
    assert_eq!(unread.possible_until, at(122), "the target may have waited for the owner until then");
    let agreed = first(Some(unread), &look(holds(3), 125), &look(holds(3), 126));
    assert_eq!(agreed.event.expect("the owner was seen to change").lag.low, Duration::ZERO);
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
fn what_was_found_to_agree_has_arrived_and_is_left_by_the_target_alone() {
    // The change of second 100 is met by another probe, which finds at 103 that it has arrived. Then the target loses the
    // record, and the change is read only after that.
    let met = first(Some(tracked(holds(1))), &look(holds(2), 102), &look(holds(2), 103));
    assert!(met.verdict == Verdict::Match && met.event.is_some());
    let agreed = Agreed { looks: between(102, 103), counted: at(102) };
    let knows = Context { agreed: Some(agreed), ..context() };
    let change =
        Look { changed_at: Some(between(100, 100)), commit_within: Some(Duration::ZERO), ..look(holds(2), 105) };
    let change = Look { not_before: at(99), ..change };
    let lost = judge(None, &change, &look(State::Absent, 106), None, knows);
    assert_eq!((lost.verdict, lost.lag), (Verdict::InFlight, lag(0, 4)));
    assert_eq!(lost.track.unwrap().clock(), between(102, 106));
    // Had nobody met it, it would never have arrived.
    let never = first(None, &change, &look(State::Absent, 106));
    assert_eq!(never.track.unwrap().clock(), between(100, 100));
    // A change that came after they were found to agree is owed from then on.
    let newer = Look { changed_at: Some(between(104, 104)), ..change.clone() };
    let late = judge(None, &newer, &look(holds(1), 106), None, knows);
    assert_eq!(late.track.unwrap().clock(), between(104, 104));
    // And the arrival is counted once.
    let again = judge(None, &change, &look(holds(2), 106), None, knows);
    assert_eq!((again.verdict, again.event), (Verdict::Match, None));
    assert!(judge(None, &newer, &look(holds(2), 106), None, knows).event.is_some());
}

#[test]
fn who_was_found_to_agree_has_changed_since() {
    // The key may have changed at any time since the changes were read at 95, but a sample found it to agree at 98.
    let hot = Look { may_hide: true, ..changed(holds(2), 95, 105) };
    let hot = Look { changed_at: Some(between(104, 104)), commit_within: Some(Duration::ZERO), ..hot };
    let sampled = |looks| Context { agreed: Some(Agreed { looks, counted: Moment::MIN }), ..context() };
    let check = |owner: &Look, context: Context<'_>, changed: Interval, expect: Lag| {
        let event = judge(None, owner, &look(holds(2), 106), None, context).event.unwrap();
        assert_eq!((event.changed, event.lag), (changed, expect));
    };
    check(&hot, context(), between(95, 104), lag(0, 11));
    check(&hot, sampled(between(97, 98)), between(97, 104), lag(0, 9));
    let differs = judge(None, &hot, &look(holds(1), 106), None, sampled(between(97, 98)));
    assert_eq!(differs.track.unwrap().clock(), between(97, 104));
    // What they agreed on may be the change itself: it had arrived by then.
    let once = Look { changed_at: Some(between(96, 96)), may_hide: false, ..hot.clone() };
    check(&once, context(), between(96, 96), lag(0, 10));
    check(&once, sampled(between(98, 99)), between(96, 96), lag(0, 3));
}
