//! A thousand worlds with known damage: how often the interval holds the truth.
//!
//! Each world is a dataset in key order with bad keys one by one and in runs of neighbours, as failed batches leave them.
//! A sample draws pieces of the key order as the walk does.

use super::{Cluster, Tally};

/// Numbers that look like chance and are the same each time (SplitMix64, Steele, Lea, Flood, OOPSLA 2014).
pub(super) struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `end`, which is left out.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    fn share(&mut self) -> f64 {
        self.next() as f64 / 2_f64.powi(64)
    }
}

/// What kind of damage and sample.
#[derive(Clone, Copy, Debug)]
struct World {
    keys: u64,
    /// Bad keys one by one.
    lone: f64,
    /// Keys in bad runs.
    in_runs: f64,
    /// Longest run.
    longest: u64,
    cluster: u64,
    clusters: u64,
}

impl World {
    fn damage(&self, dice: &mut Dice) -> Vec<bool> {
        let mut bad: Vec<bool> = (0..self.keys).map(|_| dice.share() < self.lone).collect();
        let mut left = (self.in_runs * self.keys as f64) as u64;
        while left > 0 {
            let run = (1 + dice.below(self.longest)).min(left);
            let start = dice.below(self.keys);
            (0..run).for_each(|step| bad[((start + step) % self.keys) as usize] = true);
            left -= run;
        }
        bad
    }

    /// Pieces of the order, drawn without putting back.
    fn sample(&self, dice: &mut Dice, bad: &[bool]) -> Tally {
        let mut pieces: Vec<&[bool]> = bad.chunks(self.cluster as usize).collect();
        let mut tally = Tally::default();
        for _ in 0..self.clusters.min(pieces.len() as u64) {
            let piece = pieces.swap_remove(dice.below(pieces.len() as u64) as usize);
            let bad = piece.iter().filter(|bad| **bad).count() as u64;
            tally.add(Cluster { decided: piece.len() as u64, bad, unknown: 0 });
        }
        tally
    }

    /// A world whose damage and sample are chance's: up to 4 % of lone bad keys, up to 10 % in runs of up to 200
    /// neighbours, 120 to 1,000 clusters drawn (3 to 25 runs of the probe with its defaults).
    fn of(dice: &mut Dice) -> Self {
        Self {
            keys: 20_000 + dice.below(30_000),
            lone: 0.04 * dice.share() * dice.share(),
            in_runs: 0.1 * dice.share(),
            longest: 1 + dice.below(200),
            cluster: 10 + dice.below(16),
            clusters: 120 + dice.below(880),
        }
    }

    /// Whether the interval of one sample holds the truth.
    fn holds(&self, dice: &mut Dice) -> bool {
        let bad = self.damage(dice);
        let truth = bad.iter().filter(|bad| **bad).count() as f64 / self.keys as f64;
        let found = self.sample(dice, &bad).estimate(self.keys).expect("keys were drawn");
        (found.interval.low..=found.interval.high).contains(&truth)
    }
}

fn held(worlds: u64, world: impl Fn(&mut Dice) -> World) -> f64 {
    let holds = |seed: &u64| {
        let mut dice = Dice::new(*seed);
        world(&mut dice).holds(&mut dice)
    };
    (1..=worlds).filter(holds).count() as f64 / worlds as f64
}

#[test]
fn the_interval_holds_the_truth_in_95_of_100_worlds() {
    let share = held(1_000, World::of);
    println!("1,000 seeded worlds: the interval holds the truth in {:.1} %", share * 100.0);
    assert!((0.94..=0.965).contains(&share), "{share}");
}

#[test]
fn runs_of_bad_keys_are_not_taken_for_lone_ones() {
    let world = World { keys: 30_000, lone: 0.0, in_runs: 0.05, longest: 200, cluster: 25, clusters: 300 };
    let share = held(300, |_| world);
    assert!(share >= 0.92, "{share}");
    // The same sample read as if its keys had been drawn one by one would promise far more than it keeps.
    let naive = |seed: &u64| {
        let mut dice = Dice::new(*seed);
        let bad = world.damage(&mut dice);
        let truth = bad.iter().filter(|bad| **bad).count() as f64 / world.keys as f64;
        let found = world.sample(&mut dice, &bad).estimate(world.keys).expect("keys were drawn");
        let alone = super::tally::wilson(found.share, found.sampled as f64);
        (alone.low..=alone.high).contains(&truth)
    };
    let naive = (1..=300).filter(naive).count() as f64 / 300.0;
    assert!(naive < 0.6, "{naive}");
}

#[test]
fn a_sample_that_met_nothing_bad_does_not_say_that_nothing_is() {
    let world = World { keys: 30_000, lone: 0.0, in_runs: 0.01, longest: 200, cluster: 25, clusters: 40 };
    let mut silent = 0;
    for seed in 1..=300 {
        let mut dice = Dice::new(seed);
        let bad = world.damage(&mut dice);
        let truth = bad.iter().filter(|bad| **bad).count() as f64 / world.keys as f64;
        let found = world.sample(&mut dice, &bad).estimate(world.keys).expect("keys were drawn");
        if found.bad == 0 {
            silent += 1;
            assert!(found.interval.high >= truth, "{found:?}, truth {truth}");
        }
    }
    assert!(silent > 100, "most of these samples miss the few bad runs: {silent}");
}
