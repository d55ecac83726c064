//! What may have happened between two looks, and what is in doubt.

use super::*;

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
    // They agreed as late as the owner did that, at 109.
    assert_eq!(event(true, 108), Some((between(100, 109), lag(0, 9))));
    assert_eq!(event(false, 104), None);
    assert_eq!(event(true, 104), Some((between(100, 109), lag(0, 9))));
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
        let seen = first(None, &Look { not_before: at(99), ..owner(1_i64, 100) }, &look(holds(1), 101)).track;
        let seen = first(seen, &owner(1, 120), &look(holds(1), 121)).track;
        confirmed(seen, &owner(version, 139), &look(holds(3), 140), context())
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
fn a_target_that_was_written_while_nobody_could_look_may_have_agreed_meanwhile() {
    // The owner goes to 2 at 100 and stays there. The target holds 1 when it can be read again.
    let unread = target_unread(None, &changed(holds(2), 99, 100), &[]);
    let target = |written| Look {
        changed_at: Some(between(written, written)),
        commit_within: Some(Duration::ZERO),
        ..look(holds(1), 150)
    };
    let back = |track: &Track, target: &Look| confirmed(Some(track.clone()), &look(holds(2), 149), target, context());
    assert_eq!(back(&unread, &target(95)).verdict, Verdict::Stale, "it was written last before the owner changed");
    let written = back(&unread, &target(145));
    assert_eq!((written.verdict, written.lag.low), (Verdict::InFlight, Duration::from_secs(5)));
    // From then on nothing excuses it.
    let late =
        confirmed(written.track, &look(holds(2), 180), &Look { window: between(180, 180), ..target(145) }, context());
    assert!(late.verdict.is_bad(), "{late:?}");
    // The same of one whose change is read late.
    let change =
        Look { changed_at: Some(between(100, 100)), commit_within: Some(Duration::ZERO), ..changed(holds(2), 99, 149) };
    assert!(confirmed(None, &change, &target(95), context()).verdict.is_bad());
    assert_eq!(confirmed(None, &change, &target(145), context()).verdict, Verdict::InFlight);
}

#[test]
fn what_nobody_saw_the_owner_change_the_target_may_have_left_until_it_was_read() {
    // Found by a sample, which takes no stamp for a proof.
    let sampled = first(None, &look(holds(2), 100), &look(holds(1), 103)).track.unwrap();
    assert_eq!(sampled.clock().high, at(103));
    assert_eq!(tracked(holds(1)).clock().high, at(100), "a change that was seen");
    // A sweep does take it for one: what is old on the owner's side is owed since then.
    let stamped =
        Look { changed_at: Some(between(40, 40)), commit_within: Some(Duration::ZERO), ..look(holds(2), 100) };
    assert_eq!(first(None, &stamped, &look(holds(1), 103)).track.unwrap().clock().high, at(40));
}

#[test]
fn a_target_ahead_of_the_owners_read_may_have_got_it_as_late_as_it_was_read() {
    // The owner goes to 2 right after it is read at 100, and the target, which answers late, has it at 108.
    let ahead = first(None, &changed(holds(1), 95, 100), &look(holds(2), 108)).track;
    let owner =
        Look { changed_at: Some(between(101, 101)), commit_within: Some(Duration::ZERO), ..look(holds(2), 110) };
    let settled = first(ahead, &owner, &look(holds(2), 111));
    assert_eq!(settled.lag.high, Duration::from_secs(13), "from 95 to 108");
}

#[test]
fn an_owner_that_may_have_come_back_ends_a_lag_as_late_as_with_its_last_change() {
    // Nobody could look between 90 and 120. The owner changed last at 115, the target was written last at 100.
    let stamp = |second| Some(between(second, second));
    let owner = Look { changed_at: stamp(115), commit_within: Some(Duration::ZERO), ..changed(holds(2), 90, 120) };
    let target = Look { changed_at: stamp(100), commit_within: Some(Duration::ZERO), ..look(holds(2), 121) };
    // It left 2 after 90 and came back to it at 115.
    let hidden = first(None, &Look { may_hide: true, ..owner.clone() }, &target).event.unwrap();
    assert_eq!((hidden.changed.low, hidden.lag), (at(90), lag(0, 25)));
    // If it cannot have changed twice, it was touched.
    assert_eq!(first(None, &owner, &target).event, None);
}
