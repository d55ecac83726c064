//! Systems that count in points instead of requests: a bucket that holds so many, and fills at so many a second. Pure.
//!
//! They say with every answer what it cost and what is left. We keep a bucket of our own beside theirs, a share of the
//! size and of the filling, so that however fast we are, the rest stays for everybody else who uses the system.

use std::time::Duration;

use tokio::time::Instant;

/// What an answer says about points.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Told {
    /// What the request was thought to cost beforehand; so much must be there for one like it.
    pub asked: f64,
    /// What it did cost.
    pub used: f64,
    /// What is left in their bucket.
    pub available: f64,
    /// What their bucket holds.
    pub maximum: f64,
    /// Points that are put into it each second.
    pub restore: f64,
}

/// Our share of a system's points.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    left: f64,
    at: Instant,
    /// What the last answer said.
    pub told: Option<Told>,
}

impl Bucket {
    pub const fn new(at: Instant) -> Self {
        Self { left: f64::INFINITY, at, told: None }
    }

    /// Takes note of an answer. Says how long nothing may be asked now: until our share is no longer overdrawn, and
    /// until there is enough for another request like this one.
    pub fn spend(&mut self, now: Instant, told: Told, share: f64) -> Duration {
        let (size, filling) = (told.maximum * share, told.restore * share);
        let restored = filling * now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + restored).min(size) - told.used;
        (self.at, self.told) = (now, Some(told));
        let overdrawn = (-self.left).max(0.0) / filling;
        let lacking = (told.asked - told.available).max(0.0) / told.restore;
        // Without a filling there is nothing to wait for.
        let seconds = overdrawn.max(lacking);
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(asked: f64, used: f64, available: f64) -> Told {
        Told { asked, used, available, maximum: 2000.0, restore: 100.0 }
    }

    #[test]
    fn what_is_lacking_is_waited_for() {
        let now = Instant::now();
        let check = |told: Told, share: f64, expect: f64| {
            let wait = Bucket::new(now).spend(now, told, share).as_secs_f64();
            assert!((wait - expect).abs() < 1e-6, "{told:?}: {wait}");
        };
        check(told(50.0, 50.0, 1950.0), 0.5, 0.0);
        // Others have emptied it: 50 − 10 are lacking, at 100 a second.
        check(told(50.0, 40.0, 10.0), 0.5, 0.4);
        // Refused: it did cost nothing and wants 500.
        check(told(500.0, 0.0, 100.0), 0.5, 4.0);
        // Ours holds a tenth, 200, and gets 10 a second.
        check(told(500.0, 500.0, 1500.0), 0.1, 30.0);
        check(Told { restore: 0.0, ..told(50.0, 40.0, 10.0) }, 0.5, 0.0);
    }

    /// Fifty probes share the bucket of a system that holds 2,000 and gets 100 a second; each request costs 10 to 90.
    fn spent_by_fifty(share: f64, seconds: u64) -> f64 {
        let began = Instant::now();
        let end = began + Duration::from_secs(seconds);
        let mut ours = Bucket::new(began);
        let (mut now, mut available, mut spent) = (began, 2000.0_f64, 0.0);
        let mut held_until = began;
        for request in 0_u32.. {
            // Somebody of the fifty is always there to ask.
            let turn = now.max(held_until) + Duration::from_millis(2);
            if turn >= end {
                break;
            }
            available = (available + 100.0 * (turn - now).as_secs_f64()).min(2000.0);
            now = turn;
            let cost = f64::from(10 + (request * 37) % 81);
            assert!(available >= cost, "the system would refuse this");
            available -= cost;
            spent += cost;
            held_until = held_until.max(now + ours.spend(now, told(100.0, cost, available), share));
        }
        spent
    }

    #[test]
    fn fifty_probes_keep_their_share_within_two_percent() {
        for share in [0.1, 0.5, 1.0] {
            let spent = spent_by_fifty(share, 2000);
            let allowed = share * (2000.0 + 100.0 * 2000.0);
            assert!((0.98..=1.02).contains(&(spent / allowed)), "{share}: {spent} of {allowed}");
        }
    }
}
