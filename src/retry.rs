//! Trying again: a decision as a type, and how long to wait before.

use std::time::Duration;

use rand::Rng;

/// What a failure asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The same call may succeed later: the other side is away, busy or full.
    Retry,
    /// The same call will fail again: it is wrong, or refused.
    Fail,
}

/// Waits that double up to a limit, each drawn from the upper half of its step so that processes that failed
/// together do not return together.
#[derive(Clone, Debug)]
pub struct Backoff {
    step: Duration,
    first: Duration,
    limit: Duration,
}

impl Backoff {
    /// Waits from about `first` to `limit`.
    pub fn new(first: Duration, limit: Duration) -> Self {
        Self { step: first, first, limit }
    }

    /// How long to wait before the next try.
    pub fn next_wait(&mut self) -> Duration {
        let step = self.step;
        self.step = (step * 2).min(self.limit);
        step.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Back to the first step, after a success.
    pub fn reset(&mut self) {
        self.step = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<Duration> = (0..6).map(|_| backoff.next_wait()).collect();
        let limits = [100, 200, 400, 800, 1000, 1000].map(Duration::from_millis);
        for (wait, limit) in waits.iter().zip(limits) {
            assert!(*wait >= limit / 2 && *wait <= limit, "{wait:?} is outside its step of {limit:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }
}
