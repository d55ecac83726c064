//! Values: two-way fields, tolerances, and rows that swapped theirs.

use super::*;
use crate::model::{Currency, Money};

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
