//! When a request that failed is sent again. Pure: chance is handed in.

use std::time::Duration;

/// Requests sent again after a failure that may pass.
pub(super) const MOST_RETRIES: u32 = 2;

/// Before the first one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The pause before retry number `retry`, counted from 1: 200 ms, then four times as long each time, stretched by chance
/// to at most twice that, so that what failed together does not come back together. `chance` is any number.
pub(super) fn pause(retry: u32, chance: u32) -> Duration {
    let shortest = FIRST_PAUSE * 4_u32.saturating_pow(retry.saturating_sub(1));
    shortest + shortest.mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_grow_and_chance_stretches_them() {
        let check = |retry: u32, chance: u32, millis: u64| {
            assert_eq!(pause(retry, chance), Duration::from_millis(millis), "{retry} {chance}");
        };
        check(1, 0, 200);
        check(1, u32::MAX, 400);
        check(2, 0, 800);
        check(2, u32::MAX, 1_600);
    }

    proptest! {
        #[test]
        fn a_pause_is_within_its_bounds_and_those_that_failed_together_come_back_apart(
            retry in 1..=MOST_RETRIES, one in any::<u32>(), other in any::<u32>(),
        ) {
            let shortest = FIRST_PAUSE * 4_u32.pow(retry - 1);
            prop_assert!((shortest..=shortest * 2).contains(&pause(retry, one)));
            if one.abs_diff(other) > u32::MAX / 100 {
                prop_assert!(pause(retry, one).abs_diff(pause(retry, other)) >= shortest / 101);
            }
        }
    }
}
