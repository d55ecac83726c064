use std::collections::BTreeSet;

use super::super::Faults;
use super::super::record::{Field, status};
use super::*;

fn minute(options: &Options) -> Vec<Action> {
    Plan::new(options.clone()).take_while(|action| action.at < Duration::from_secs(60)).collect()
}

fn basic(seed: u64) -> Options {
    Options::for_run(seed, Some(Duration::from_secs(60)), Duration::from_secs(1), Faults::basic())
}

fn every_kind(seed: u64) -> Options {
    Options::for_run(seed, Some(Duration::from_secs(60)), Duration::from_secs(1), Faults::all())
}

/// Everything that is planted, of a day of ten minutes.
fn planted(seed: u64) -> Vec<Action> {
    let options = Options::for_run(seed, Some(Duration::from_secs(600)), Duration::from_secs(1), Faults::all());
    let day = Plan::new(options).take_while(|action| action.at < Duration::from_secs(600));
    day.filter(|action| action.fault.is_some()).collect()
}

#[test]
fn a_seed_decides_everything() {
    assert_eq!(minute(&every_kind(7)), minute(&every_kind(7)));
    assert_ne!(minute(&every_kind(7)), minute(&every_kind(8)));
}

#[test]
fn every_kind_is_planted_in_a_minute_and_none_too_late_to_be_seen() {
    for seed in 0..20 {
        for options in [basic(seed), every_kind(seed)] {
            let actions = minute(&options);
            let planted: Vec<&Action> = actions.iter().filter(|action| action.fault.is_some()).collect();
            let kinds: BTreeSet<FaultKind> =
                planted.iter().filter_map(|action| Some(action.fault.as_ref()?.kind)).collect();
            assert_eq!(kinds.len(), options.faults.keys.len(), "seed {seed}: {kinds:?}");
            let last = options.last_fault.expect("an end");
            assert!(planted.iter().all(|action| action.at <= last), "seed {seed}");
            assert!(planted.len() >= 12, "seed {seed}: {}", planted.len());
        }
    }
}

#[test]
fn systems_are_disturbed_one_at_a_time_and_in_every_way() {
    for seed in 0..20 {
        let mut until = Duration::ZERO;
        let mut kinds = BTreeSet::new();
        for action in minute(&every_kind(seed)) {
            let Deed::Disturb(disturbance) = action.deed else { continue };
            assert!(action.at > until, "seed {seed}: {disturbance:?}");
            until = action.at + disturbance.lasts;
            kinds.insert(disturbance.kind);
        }
        assert!(kinds.len() >= 2, "seed {seed}: {kinds:?}");
        assert!(minute(&basic(seed)).iter().all(|action| !matches!(action.deed, Deed::Disturb(_))));
    }
}

#[test]
fn no_key_is_spoiled_twice_at_a_time() {
    for seed in 0..20 {
        let mut until: BTreeMap<(Entity, String), Duration> = BTreeMap::new();
        for action in minute(&every_kind(seed)) {
            let (Some(fault), Some((entity, keys))) = (&action.fault, action.deed.keys()) else { continue };
            for key in keys {
                let address = (entity, key.to_owned());
                assert!(until.get(&address).is_none_or(|end| *end <= action.at), "seed {seed}: {address:?}");
                until.insert(address, fault.life.map_or(Duration::MAX, |life| action.at + life));
            }
        }
    }
}

#[test]
fn time_goes_forward_and_hot_keys_stay_hot() {
    for seed in 0..20 {
        let actions = minute(&every_kind(seed));
        assert!(actions.is_sorted_by_key(|action| action.at), "seed {seed}");
        for planted in &actions {
            let Some(Fault { kind: FaultKind::HotKey, life, .. }) = &planted.fault else { continue };
            let during = planted.at..planted.at + life.expect("a hot key cools down");
            let same = |action: &&Action| during.contains(&action.at) && action.deed.keys() == planted.deed.keys();
            assert!(actions.iter().filter(same).count() > 30, "seed {seed}");
        }
    }
}

#[test]
fn a_fault_shows_in_its_targets_and_a_partial_one_in_one_of_two() {
    for seed in 0..10 {
        for action in planted(seed) {
            let (Some(fault), Some((entity, _))) = (&action.fault, action.deed.keys()) else { panic!("{action:?}") };
            assert!(fault.targets.iter().all(|target| entity.targets().contains(target)), "{action:?}");
            if let Deed::Change(change) = &action.deed {
                assert!(fault.targets.iter().all(|target| change.moves().contains(target)), "{action:?}");
            }
            let expect = if fault.kind == FaultKind::Partial { 1..=1 } else { 1..=2 };
            assert!(expect.contains(&fault.targets.len()), "{action:?}");
        }
    }
}

#[test]
fn changes_follow_each_other() {
    let mut held: BTreeMap<(Entity, String), Content> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for action in minute(&every_kind(3)) {
        let Deed::Change(change) = action.deed else { continue };
        let address = (change.entity, change.key.clone());
        if let Some(before) = held.get(&address) {
            assert_eq!(Some(before), change.before.as_ref(), "{address:?}");
        }
        let state = |content: &Option<Content>| content.as_ref().map_or("", |held| held.text(Field::Status)).to_owned();
        if change.entity == Entity::Order && change.after.is_some() {
            let step = (state(&change.before), state(&change.after));
            let allowed = step.0 == step.1
                || [("", status::PENDING), ("", status::OPEN), (status::PENDING, status::OPEN)]
                    .into_iter()
                    .chain([(status::OPEN, status::SHIPPED), (status::OPEN, status::CANCELLED)])
                    .chain([(status::SHIPPED, status::CANCELLED)])
                    .any(|(from, to)| step == (from.to_owned(), to.to_owned()));
            assert!(allowed, "{step:?}");
            seen.insert(step);
        }
        match change.after {
            Some(after) => drop(held.insert(address, after)),
            None => drop(held.remove(&address)),
        }
    }
    assert!(seen.len() >= 5, "{seen:?}");
}

#[test]
fn days_are_busier_than_nights() {
    let options = Options { day: Some(Duration::from_secs(60)), ..basic(1) };
    let actions = minute(&options);
    let (first, second): (Vec<_>, Vec<_>) = actions.iter().partition(|action| action.at < Duration::from_secs(30));
    assert!(first.len() > second.len() * 3 / 2, "{} by day, {} by night", first.len(), second.len());
}
