//! How many keys must be drawn to see a drift, and what a sample without a bad key vouches for.

use super::CONFIDENCE;
use super::quantile::Z;
use super::tally::wilson;

/// How finely the moment within a pass at which a drift begins is looked at.
const MOMENTS: u32 = 200;

/// Keys to draw from `population`, after a drift began, so that at least one of `bad` keys is among them in 95 of 100
/// cases; `None` when none is bad. Up to twice the population.
///
/// The walk draws every key once a pass, in an order that chance decides, and begins the next pass in a new order. A drift
/// begins somewhere within a pass: the keys that were drawn before come again in the next one only. Bad keys that lie
/// together in runs of `clump` count once for each run: a draw meets the run or does not.
pub fn keys_to_see(population: u64, bad: u64, clump: u64) -> Option<u64> {
    if bad == 0 || population == 0 {
        return None;
    }
    let runs = (bad as f64 / clump.max(1) as f64).max(1.0);
    // In passes. After two of them every key has been drawn whole, so the upper end is enough.
    let (mut too_few, mut enough) = (0.0, 2.0);
    for _ in 0..60 {
        let middle = f64::midpoint(too_few, enough);
        if missed(middle, runs) <= 1.0 - CONFIDENCE { enough = middle } else { too_few = middle }
    }
    Some(((enough * population as f64).ceil() as u64).clamp(1, 2 * population))
}

/// The chance that `runs` runs of bad keys are all missed by drawing so many passes' worth of keys, on average over the
/// moment at which the drift begins.
///
/// Within one pass the chance that a run lies behind the first `share` of the order is `1 − share` for each, which is the
/// limit of the hypergeometric distribution for populations that are large next to `runs`.
fn missed(drawn: f64, runs: f64) -> f64 {
    let of_moment = |moment: u32| {
        let left = (f64::from(moment) + 0.5) / f64::from(MOMENTS);
        let here = (1.0 - drawn.min(left)).powf(runs);
        here * (1.0 - (drawn - left).clamp(0.0, 1.0)).powf(runs)
    };
    (0..MOMENTS).map(of_moment).sum::<f64>() / f64::from(MOMENTS)
}

/// The upper end of the interval after `keys` of `population` in clusters of `cluster` were all good: as wide as one key
/// of each cluster leaves it, because a sample without a bad key cannot tell how alike neighbours are.
pub fn at_most_when_all_good(population: u64, keys: u64, cluster: u64) -> f64 {
    let left = 1.0 - keys as f64 / population.max(1) as f64;
    if left <= 0.0 {
        return 0.0;
    }
    if keys == 0 {
        return 1.0;
    }
    wilson(0.0, keys as f64 / cluster.max(1) as f64 / left).high
}

/// Keys that must all be good, drawn in clusters of `cluster`, for the interval's upper end to be below `share`; at most
/// `population`.
///
/// Wilson's upper end for no bad key is `z² / (n + z²)`, solved for n, times the keys of a cluster, with the finite
/// population correction solved for the number of keys.
pub fn keys_to_vouch(population: u64, share: f64, cluster: u64) -> u64 {
    if share <= 0.0 {
        return population;
    }
    let endless = Z * Z * (1.0 - share) / share * cluster.max(1) as f64;
    let population = population as f64;
    (endless * population / (endless + population)).ceil().clamp(0.0, population) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::worlds::Dice;

    #[test]
    fn fewer_bad_keys_and_bad_keys_together_take_more_draws() {
        let keys = |bad, clump| keys_to_see(100_000, bad, clump);
        assert_eq!(keys(0, 1), None);
        assert!(keys(1_000, 1) < keys(100, 1) && keys(100, 1) < keys(10, 1) && keys(10, 1) < keys(1, 1));
        assert_eq!(keys(100, 100), keys(1, 1), "a single run is as hard to meet as a single key");
        // A rare drift in a large population: ln 0.05 / ln (1 − share), the rule of three.
        assert!((2_990..3_010).contains(&keys_to_see(10_000_000, 10_000, 1).unwrap()));
        // A single key: more than one pass, because it may have been drawn just before it went bad.
        assert!((130_000..200_000).contains(&keys(1, 1).unwrap()), "{:?}", keys(1, 1));
    }

    #[test]
    fn good_keys_vouch_for_what_they_are_needed_for() {
        for (population, share, cluster) in [(1_000_000, 0.001, 1), (1_000_000, 0.01, 25), (5_000, 0.001, 25)] {
            let needed = keys_to_vouch(population, share, cluster);
            assert!(at_most_when_all_good(population, needed, cluster) <= share * 1.0001, "{population} {share}");
            assert!(at_most_when_all_good(population, needed * 9 / 10, cluster) > share, "{population} {share}");
        }
        assert_eq!(keys_to_vouch(100, 0.0, 1), 100);
        assert_eq!((at_most_when_all_good(100, 100, 10), at_most_when_all_good(100, 0, 10)), (0.0, 1.0));
    }

    /// Walks simulated populations in a new random order each pass; the drift begins at a random moment of a pass. It is
    /// missed about 5 times in 100, as said.
    #[test]
    fn simulated_walks_see_a_drift_as_often_as_said() {
        let mut dice = Dice::new(7);
        for (population, bad) in [(2_000_u64, 20_u64), (2_000, 2), (1_000, 1), (3_000, 6), (300, 30)] {
            let needed = keys_to_see(population, bad, 1).unwrap();
            let worlds = 3_000;
            let seen = (0..worlds).filter(|_| is_seen(&mut dice, population, bad, needed)).count();
            let share = seen as f64 / f64::from(worlds);
            // Four standard errors of 3,000 trials at 95 %, and what rounding up to whole keys adds for few of them.
            assert!((0.934..0.968).contains(&share), "{bad} of {population} in {needed} draws: seen {share}");
        }
    }

    /// Draws until a bad key comes, keeping count of what this pass has not drawn yet: all keys and bad ones.
    fn is_seen(dice: &mut Dice, population: u64, bad: u64, draws: u64) -> bool {
        let mut undrawn = dice.below(population);
        let mut undrawn_bad = (0..bad).filter(|_| dice.below(population) < undrawn).count() as u64;
        for _ in 0..draws {
            if undrawn == 0 {
                (undrawn, undrawn_bad) = (population, bad);
            }
            if dice.below(undrawn) < undrawn_bad {
                return true;
            }
            undrawn -= 1;
        }
        false
    }
}
