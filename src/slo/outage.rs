//! The smallest outage that a tier detects.

use super::promise::{Objective, Tier};

/// How long everything must be bad before a tier fires, after a good window; and how many bad checks that takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outage {
    /// Minutes in which everything is bad.
    pub minutes: i64,
    /// The share of bad that, going on for the whole long window, fires it.
    pub share: f64,
    /// Checks that must be bad in the long window, at the planned number of checks.
    pub bad: u64,
}

/// The smallest outage that `tier` detects at `checks_per_minute`; at least `least_bad` checks must be bad. `None` when so
/// few checks are made that even a total failure is too few of them.
pub fn smallest_outage(tier: &Tier, objective: Objective, checks_per_minute: f64, least_bad: u64) -> Option<Outage> {
    let share = tier.factor * objective.budget();
    let checks = checks_per_minute * tier.long as f64;
    let bad = (up(checks * share) as u64).max(least_bad).max(1);
    let whole = up(share * tier.long as f64);
    let for_least = if checks_per_minute > 0.0 { up(bad as f64 / checks_per_minute) } else { i64::MAX };
    let minutes = whole.max(for_least).max(1);
    (minutes <= tier.long).then_some(Outage { minutes, share, bad })
}

/// Rounded up, but for what floats add.
fn up(value: f64) -> i64 {
    (value - 1e-6).ceil() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::Severity;

    #[test]
    fn outages_are_as_long_as_the_budget_and_the_number_of_checks_say() {
        let page = Tier { severity: Severity::Page, factor: 14.4, long: 60, short: 5 };
        let objective = Objective::new(0.995).unwrap();
        let check = |per_minute: f64, least: u64, expect: Option<(i64, u64)>| {
            let found = smallest_outage(&page, objective, per_minute, least).map(|found| (found.minutes, found.bad));
            assert_eq!(found, expect, "{per_minute} a minute, at least {least}");
        };
        // 14.4 x 0.5 % of an hour are 4.32 minutes.
        check(100.0, 3, Some((5, 432)));
        check(0.1, 3, Some((30, 3)));
        check(0.01, 3, None);
        check(0.0, 1, None);
    }
}
