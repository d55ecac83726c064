//! Which keys changed lately. Who changes often may have changed more than once between two looks.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::model::Moment;

/// Keys that are remembered at most. With more, the oldest are forgotten: their lags are then measured by the stamp of
/// the last change alone.
const MOST: usize = 65_536;
/// A key that has not changed for so many looks is not one that changes between all of them.
const LOOKS: u32 = 30;
/// So far apart are two looks that anything may have happened in between.
const FAR_APART: u32 = 3;

/// Keys of one unit that were seen to change, with the time of the look that last showed it. In memory alone: after a
/// start, the first look is far from the last one.
#[derive(Debug, Default)]
pub struct Recent {
    /// When, and with which number.
    changed: HashMap<u128, (Moment, u64)>,
    order: VecDeque<(u64, u128)>,
    noted: u64,
}

impl Recent {
    /// Whether a key that a look at `now` shows changed may have changed more than once since the last complete look at
    /// `not_before`. `interval` is the probe's.
    pub fn may_hide(&self, key: u128, not_before: Moment, now: Moment, interval: Duration) -> bool {
        now.since(not_before) > interval * FAR_APART
            || self.changed.get(&key).is_some_and(|(changed, _)| now.since(*changed) <= interval * LOOKS)
    }

    /// Remembers that a look at `now` showed a change of `key`.
    pub fn note(&mut self, key: u128, now: Moment) {
        self.noted += 1;
        self.changed.insert(key, (now, self.noted));
        self.order.push_back((self.noted, key));
        while self.order.len() > MOST {
            let Some((number, key)) = self.order.pop_front() else { break };
            // A key that has changed again has a later place, too.
            if self.changed.get(&key).is_some_and(|(_, latest)| *latest == number) {
                self.changed.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(2);

    fn at(seconds: i64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn who_changed_lately_or_was_not_looked_at_may_hide_a_change() {
        let mut recent = Recent::default();
        recent.note(1, at(100));
        let check = |key, not_before, now, expect| {
            assert_eq!(recent.may_hide(key, at(not_before), at(now), EVERY), expect, "{key} {not_before} {now}");
        };
        check(1, 100, 102, true);
        check(1, 158, 160, true);
        check(1, 159, 161, false);
        check(2, 100, 102, false);
        check(2, 100, 106, false);
        check(2, 100, 107, true);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut recent = Recent::default();
        recent.note(7, at(1));
        for key in 0..MOST as u128 {
            recent.note(1_000 + key, at(2));
            recent.note(7, at(2));
        }
        assert!(recent.changed.len() <= MOST && recent.order.len() == MOST);
        assert!(recent.may_hide(7, at(1), at(2), EVERY));
        assert!(!recent.may_hide(1_000, at(1), at(2), EVERY));
    }
}
