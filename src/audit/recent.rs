//! What was seen lately of keys that may be met again soon. In memory alone: after a start, the first look is far from the
//! last one.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use crate::model::Moment;

/// Keys that are remembered at most. With more, the oldest are forgotten: their lags are then measured by the stamp of
/// the last change alone.
const MOST: usize = 65_536;
/// A key that has not changed for so many looks is not one that changes between all of them.
const LOOKS: u32 = 30;
/// So far apart are two looks that anything may have happened in between.
const FAR_APART: u32 = 3;

/// The latest thing noted of each key, of as many keys as are remembered.
#[derive(Debug)]
pub struct Lately<K, T> {
    /// What was noted, and with which number.
    noted: HashMap<K, (T, u64)>,
    order: VecDeque<(u64, K)>,
    number: u64,
}

impl<K, T> Default for Lately<K, T> {
    fn default() -> Self {
        Self { noted: HashMap::new(), order: VecDeque::new(), number: 0 }
    }
}

impl<K: Copy + Eq + Hash, T: Copy> Lately<K, T> {
    /// What was noted last of a key.
    pub fn get(&self, key: K) -> Option<T> {
        self.noted.get(&key).map(|(what, _)| *what)
    }

    /// Remembers something of a key, in place of what was noted of it before.
    pub fn note(&mut self, key: K, what: T) {
        self.number += 1;
        self.noted.insert(key, (what, self.number));
        self.order.push_back((self.number, key));
        while self.order.len() > MOST {
            let Some((number, key)) = self.order.pop_front() else { break };
            // A key that was noted again has a later place, too.
            if self.noted.get(&key).is_some_and(|(_, latest)| *latest == number) {
                self.noted.remove(&key);
            }
        }
    }
}

/// Keys of one unit that were seen to change, with the time of the look that last showed it. Who changes often may have
/// changed more than once between two looks.
#[derive(Debug, Default)]
pub struct Recent {
    changed: Lately<u128, Moment>,
}

impl Recent {
    /// Whether a key that a look at `now` shows changed may have changed more than once since the last complete look at
    /// `not_before`. `interval` is the probe's.
    pub fn may_hide(&self, key: u128, not_before: Moment, now: Moment, interval: Duration) -> bool {
        now.since(not_before) > interval * FAR_APART
            || self.changed.get(key).is_some_and(|changed| now.since(changed) <= interval * LOOKS)
    }

    /// Whether a key is among those that were seen to change.
    pub fn holds(&self, key: u128) -> bool {
        self.changed.get(key).is_some()
    }

    /// Remembers that a look at `now` showed a change of `key`.
    pub fn note(&mut self, key: u128, now: Moment) {
        self.changed.note(key, now);
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
        let mut lately = Lately::default();
        lately.note(7, 'a');
        for key in 0..MOST {
            lately.note(1_000 + key, 'b');
            lately.note(7, 'c');
        }
        assert!(lately.noted.len() <= MOST && lately.order.len() == MOST);
        assert_eq!((lately.get(7), lately.get(1_000)), (Some('c'), None));
    }
}
