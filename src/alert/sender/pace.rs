//! How often the outbox is looked at, and how long after a try the next one comes.

use std::time::Duration;

use crate::retry::Backoff;

/// No receiver keeps us away for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// How a sender works.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How often it looks for what is due.
    pub poll: Duration,
    /// How long it waits before the second try; doubled for each further one.
    pub first_wait: Duration,
    /// The longest wait between two tries.
    pub longest_wait: Duration,
    /// How long the beginning of an incident waits at most for records that show what is wrong: the ledger gets them some
    /// seconds after it is known that they are late.
    pub records_within: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            first_wait: Duration::from_secs(2),
            longest_wait: Duration::from_secs(300),
            records_within: Duration::from_secs(20),
        }
    }
}

impl Pace {
    /// How long to wait after the `tries`-th try failed; at least `asked` if the receiver asked for that, within reason.
    /// Drawn from the upper half of its step, so that what failed together does not come back together.
    pub fn wait_after(&self, tries: u64, asked: Option<Duration>) -> Duration {
        let doublings = u32::try_from(tries.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
        let step = (self.first_wait * 2_u32.pow(doublings)).min(self.longest_wait);
        Backoff::new(step, step).next_wait().max(asked.unwrap_or_default()).min(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let steps = [2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map(Duration::from_secs);
        for (tries, step) in (1..).zip(steps) {
            let wait = Pace::default().wait_after(tries, None);
            assert!(wait >= step / 2 && wait <= step, "after try {tries}: {wait:?} is outside its step of {step:?}");
        }
        assert!(Pace::default().wait_after(u64::MAX, None) <= Duration::from_secs(300));
    }

    #[test]
    fn receivers_are_left_alone_as_long_as_they_ask_within_reason() {
        let check = |asked: u64, expect: u64| {
            let wait = Pace::default().wait_after(1, Some(Duration::from_secs(asked)));
            assert_eq!(wait, Duration::from_secs(expect), "asked for {asked} s");
        };
        check(90, 90);
        check(86_400, 3600);
    }
}
