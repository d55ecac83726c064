//! Verdicts case by case. Times are seconds, the deadline is 30 s, states are numbers.

use super::*;
use crate::model::Number;

mod events;
mod unseen;
mod values;
mod verdicts;

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
    Context { deadline: DEADLINE, baseline: None, tolerances: &[], agreed: None }
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
