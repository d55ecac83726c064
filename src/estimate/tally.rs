//! Sums over clusters, and the share and interval that they stand for.

use serde::{Deserialize, Serialize};

use super::quantile::{Z, student};

/// Keys that were drawn together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Keys that were decided: good or bad. Keys on their way are left out.
    pub decided: u64,
    /// Those of them that are bad.
    pub bad: u64,
    /// Keys that could not be decided.
    pub unknown: u64,
}

/// What an estimate needs of all clusters drawn so far. Clusters must be drawn without regard to what is in them, and no
/// key twice. Stored in state as part of a walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    decided: Sums,
    /// As if every undecided key were good.
    best: Sums,
    /// As if every undecided key were bad.
    worst: Sums,
}

/// Sums over clusters of `keys` and `bad`, and of their products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sums {
    clusters: u64,
    keys: u64,
    bad: u64,
    keys_keys: u64,
    keys_bad: u64,
    bad_bad: u64,
    /// Clusters with a bad key.
    with_bad: u64,
    /// Clusters with a good key.
    with_good: u64,
}

/// A range of shares, each within 0.0..=1.0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// At least so large a share.
    pub low: f64,
    /// At most so large a share.
    pub high: f64,
}

/// The share of bad keys among all, as far as a sample tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Keys that were decided.
    pub sampled: u64,
    /// Those of them that are bad.
    pub bad: u64,
    /// Keys that could not be decided.
    pub unknown: u64,
    /// By how much the sample says less than as many keys drawn one by one; at least 1.
    pub design_effect: f64,
    /// The share among the decided.
    pub share: f64,
    /// Holds the true share in 95 of 100 samples. From the lower end with every unknown key good to the upper end with
    /// every unknown key bad.
    pub interval: Interval,
}

impl Tally {
    /// Adds a cluster. One without any key says nothing and is left out.
    pub fn add(&mut self, cluster: Cluster) {
        let Cluster { decided, bad, unknown } = cluster;
        self.decided.add(decided, bad);
        self.best.add(decided + unknown, bad);
        self.worst.add(decided + unknown, bad + unknown);
    }

    /// Keys that were decided.
    pub const fn sampled(&self) -> u64 {
        self.decided.keys
    }

    /// Clusters with at least one decided key.
    pub const fn clusters(&self) -> u64 {
        self.decided.clusters
    }

    /// The share of bad keys among `population` keys of which these were drawn; `None` when no key was decided.
    pub fn estimate(&self, population: u64) -> Option<Estimate> {
        let share = self.decided.share()?;
        let interval = |sums: &Sums| sums.interval(population);
        Some(Estimate {
            sampled: self.decided.keys,
            bad: self.decided.bad,
            unknown: self.best.keys - self.decided.keys,
            design_effect: self.decided.design_effect(),
            share,
            interval: Interval { low: interval(&self.best)?.low, high: interval(&self.worst)?.high },
        })
    }
}

impl Sums {
    fn add(&mut self, keys: u64, bad: u64) {
        if keys == 0 {
            return;
        }
        self.clusters += 1;
        self.keys += keys;
        self.bad += bad;
        self.keys_keys += keys * keys;
        self.keys_bad += keys * bad;
        self.bad_bad += bad * bad;
        self.with_bad += u64::from(bad > 0);
        self.with_good += u64::from(bad < keys);
    }

    fn share(&self) -> Option<f64> {
        (self.keys > 0).then(|| self.bad as f64 / self.keys as f64)
    }

    /// The design effect: what the clusters themselves show, and one cluster's worth of the assumption that its keys are
    /// all alike, which decides as long as few clusters have anything to tell.
    ///
    /// Without that part a sample that met one of few bad runs, or none, would be far too sure: the design effect of a
    /// rare thing cannot be seen in a sample that hardly met it (Franco et al. 2019, section 4).
    fn design_effect(&self) -> f64 {
        let Some(shown) = self.shown_design_effect() else { return self.alike() };
        let telling = self.with_bad.min(self.with_good) as f64;
        ((telling * shown + self.alike()) / (telling + 1.0)).max(1.0)
    }

    /// The design effect of clusters whose keys are all alike: as many keys as a cluster has, on average over keys.
    fn alike(&self) -> f64 {
        if self.keys == 0 { 1.0 } else { self.keys_keys as f64 / self.keys as f64 }
    }

    /// The variance of the share over clusters (the linearised ratio estimator, Cochran, *Sampling Techniques*, 3rd
    /// edition, 1977, 9A.1) in units of that of as many keys drawn one by one; `None` when there is none to see.
    fn shown_design_effect(&self) -> Option<f64> {
        let (share, clusters, keys) = (self.share()?, self.clusters as f64, self.keys as f64);
        if self.bad == 0 || self.bad == self.keys || self.clusters < 2 {
            return None;
        }
        let squares = self.bad_bad as f64 - 2.0 * share * self.keys_bad as f64 + share * share * self.keys_keys as f64;
        let between = clusters / (clusters - 1.0) * squares.max(0.0) / (keys * keys);
        Some((between / (share * (1.0 - share) / keys)).max(1.0))
    }

    /// Wilson's interval with the effective number of keys. The whole population has no uncertainty left: the finite
    /// population correction (Cochran 1977, 2.6) makes the effective number grow without end as the sample becomes it.
    fn interval(&self, population: u64) -> Option<Interval> {
        let share = self.share()?;
        let left = 1.0 - self.keys as f64 / population.max(self.keys) as f64;
        if left <= 0.0 {
            return Some(Interval { low: share, high: share });
        }
        let keys = self.keys as f64 / self.design_effect();
        // Korn and Graubard (1998): what was estimated from few clusters is known as badly as Student's quantile says.
        let freedom = (self.clusters as f64 - 1.0).max(1.0);
        let keys = keys * (Z / student(freedom)).powi(2);
        Some(wilson(share, keys / left))
    }
}

/// Wilson's score interval for a share seen in so many keys, which may be a fraction.
pub(super) fn wilson(share: f64, keys: f64) -> Interval {
    let z2 = Z * Z;
    let center = share + z2 / (2.0 * keys);
    let spread = Z * (share * (1.0 - share) / keys + z2 / (4.0 * keys * keys)).sqrt();
    let scale = 1.0 + z2 / keys;
    let low = if share <= 0.0 { 0.0 } else { ((center - spread) / scale).clamp(0.0, share) };
    let high = if share >= 1.0 { 1.0 } else { ((center + spread) / scale).clamp(share, 1.0) };
    Interval { low, high }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tally(clusters: &[(u64, u64, u64)]) -> Tally {
        let mut tally = Tally::default();
        clusters.iter().for_each(|&(decided, bad, unknown)| tally.add(Cluster { decided, bad, unknown }));
        tally
    }

    #[test]
    fn the_interval_is_wilsons() {
        let check = |bad: f64, keys: f64, low: f64, high: f64| {
            let found = wilson(bad / keys, keys);
            assert!((found.low - low).abs() < 5e-5 && (found.high - high).abs() < 5e-5, "{bad}/{keys}: {found:?}");
        };
        // Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I.
        check(81.0, 263.0, 0.2553, 0.3662);
        check(15.0, 148.0, 0.0624, 0.1605);
        check(0.0, 20.0, 0.0, 0.1611);
        check(1.0, 29.0, 0.0061, 0.1718);
    }

    #[test]
    fn keys_that_are_bad_together_count_for_less() {
        let spread = tally(&[(10, 1, 0); 40]).estimate(1_000_000).unwrap();
        let mut together = vec![(10, 0, 0); 36];
        together.extend([(10, 10, 0); 4]);
        let together = tally(&together).estimate(1_000_000).unwrap();
        assert_eq!((spread.share, together.share), (0.1, 0.1));
        // What is shown is 1 and 10 · 40 / 39; one cluster's worth of the assumption weighs little beside 40 of them.
        assert!((spread.design_effect - 50.0 / 41.0).abs() < 1e-9, "{spread:?}");
        assert!((together.design_effect - (4.0 * 400.0 / 39.0 + 10.0) / 5.0).abs() < 1e-9, "{together:?}");
        assert!(together.interval.low < spread.interval.low && together.interval.high > spread.interval.high);
    }

    #[test]
    fn a_sample_without_a_bad_key_still_has_an_upper_end() {
        let one = tally(&[(25, 0, 0); 40]).estimate(1_000_000).unwrap();
        assert_eq!((one.share, one.interval.low), (0.0, 0.0));
        // No better than 40 keys drawn one by one would tell: z² / (40 + z²), and a little for the few clusters.
        assert!(one.interval.high > 0.08 && one.interval.high < 0.1, "{one:?}");
        let all = tally(&[(25, 0, 0); 40]).estimate(1_000).unwrap();
        assert_eq!(all.interval, Interval { low: 0.0, high: 0.0 }, "everything was looked at");
        assert_eq!(Tally::default().estimate(10), None);
    }

    #[test]
    fn unknown_keys_widen_the_interval_both_ways_and_are_in_no_share() {
        let known = tally(&[(20, 2, 0); 30]).estimate(100_000).unwrap();
        let blind = tally(&[(20, 2, 5); 30]).estimate(100_000).unwrap();
        assert_eq!((blind.share, blind.sampled, blind.bad, blind.unknown), (known.share, 600, 60, 150));
        assert!(blind.interval.low < known.interval.low && blind.interval.high > 0.28, "{blind:?}");
        assert_eq!(tally(&[(0, 0, 5)]).estimate(10), None);
    }

    fn clusters() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
        let cluster = (0_u64..50, 0_u64..50, 0_u64..5).prop_map(|(keys, bad, unknown)| (keys, bad.min(keys), unknown));
        prop::collection::vec(cluster, 1..60)
    }

    proptest! {
        #[test]
        fn the_share_lies_in_its_interval_and_that_within_zero_and_one(clusters in clusters(), more in 0_u64..100_000) {
            let tally = tally(&clusters);
            let drawn: u64 = clusters.iter().map(|(keys, _, unknown)| keys + unknown).sum();
            if let Some(found) = tally.estimate(drawn + more) {
                prop_assert!(0.0 <= found.interval.low && found.interval.high <= 1.0);
                prop_assert!(found.interval.low <= found.share && found.share <= found.interval.high, "{found:?}");
                prop_assert!(found.design_effect >= 1.0);
            }
        }

        #[test]
        fn order_does_not_matter_and_a_larger_population_is_less_known(mut clusters in clusters(), more in 0_u64..10_000) {
            let forth = tally(&clusters);
            clusters.reverse();
            prop_assert_eq!(forth, tally(&clusters));
            let drawn: u64 = clusters.iter().map(|(keys, _, unknown)| keys + unknown).sum();
            if let (Some(near), Some(far)) = (forth.estimate(drawn + more), forth.estimate(drawn + 2 * more)) {
                prop_assert!(near.interval.low >= far.interval.low && near.interval.high <= far.interval.high);
            }
        }
    }
}
