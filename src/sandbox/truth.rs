//! What really happened, from the systems' own write log. Pure, but for the log's lock.
//!
//! Every writer notes what a key held after its commit, and the interval in which it committed. From that the
//! episodes in which a target differed from its owner follow without asking the auditor.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use super::Entity;
use crate::model::{Interval, Lag, Moment};

/// What a record says, in the common language, as far as both systems can hold it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// A product.
    Product {
        /// Its name, at most [`TITLE_LENGTH`] characters.
        title: String,
        /// Its price in cents.
        cents: i64,
    },
    /// A confirmed order.
    Order {
        /// `open` or `shipped`.
        status: String,
        /// Its total in cents.
        cents: i64,
    },
    /// The pieces of a product.
    Stock {
        /// How many.
        pieces: i64,
    },
}

/// Longest title that the warehouse can hold, in characters.
pub const TITLE_LENGTH: usize = 24;

/// Which system wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that is right.
    Owner,
    /// The one that must follow.
    Target,
}

/// One committed write.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Whose.
    pub side: Side,
    /// Of what.
    pub entity: Entity,
    /// Of which.
    pub key: String,
    /// All records of the key afterwards.
    pub contents: Vec<Content>,
    /// The commit lies in here.
    pub committed: Interval,
}

/// The write log of both systems.
#[derive(Debug, Default)]
pub struct WriteLog(Mutex<Vec<Write>>);

impl WriteLog {
    /// Notes a write.
    pub fn note(&self, write: Write) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(write);
    }

    /// A copy of everything noted so far.
    pub fn writes(&self) -> Vec<Write> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// A time in which the target differed from the owner: from the moment the owner left the state that the target
/// held until the target caught up with that change.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// When it began.
    pub began: Interval,
    /// When it ended; `None` if it had not when the company closed.
    pub ended: Option<Interval>,
}

impl Episode {
    /// How long it lasted at least; until `closing` if it had not ended.
    pub fn length(&self, closing: Moment) -> Duration {
        self.ended.map_or(closing, |ended| ended.low).since(self.began.high)
    }

    /// How long the change took; `None` if it has not arrived.
    pub fn lag(&self) -> Option<Lag> {
        self.ended.map(|ended| Lag::between(self.began, ended))
    }

    /// Whether it was going on at some moment of `span`.
    pub fn overlaps(&self, span: Interval) -> bool {
        self.began.low <= span.high && self.ended.is_none_or(|ended| ended.high >= span.low)
    }
}

/// The episodes of every key that ever differed, oldest first.
pub fn episodes(writes: &[Write]) -> BTreeMap<(Entity, String), Vec<Episode>> {
    let mut tracks: BTreeMap<(Entity, String), Track> = BTreeMap::new();
    let mut ordered: Vec<&Write> = writes.iter().collect();
    ordered.sort_by_key(|write| write.committed.low);
    for write in ordered {
        tracks.entry((write.entity, write.key.clone())).or_default().follow(write);
    }
    tracks.into_iter().map(|(address, track)| (address, track.finish())).collect()
}

/// One key followed through time. Both sides begin with no record.
#[derive(Default)]
struct Track {
    /// Every state that the owner has left, and when; oldest first.
    left: Vec<(Vec<Content>, Interval)>,
    owner: Vec<Content>,
    target: Vec<Content>,
    /// How many of `left` were older than the state that the target last held.
    held: usize,
    since: Option<Interval>,
    episodes: Vec<Episode>,
}

impl Track {
    fn follow(&mut self, write: &Write) {
        match write.side {
            Side::Owner => self.owner_wrote(write),
            Side::Target => self.target_wrote(write),
        }
    }

    fn owner_wrote(&mut self, write: &Write) {
        if write.contents == self.owner {
            return;
        }
        let before = std::mem::replace(&mut self.owner, write.contents.clone());
        self.left.push((before, write.committed));
        if self.target == self.owner {
            self.caught_up(write.committed);
        } else if self.since.is_none() {
            self.since = Some(write.committed);
        }
    }

    fn target_wrote(&mut self, write: &Write) {
        if write.contents == self.target {
            return;
        }
        self.target = write.contents.clone();
        if self.target == self.owner {
            return self.caught_up(write.committed);
        }
        let reached = self.left.iter().rposition(|(state, _)| *state == self.target);
        match reached.filter(|index| *index >= self.held && self.since.is_some()) {
            Some(index) => {
                self.close(write.committed);
                self.held = index;
                self.since = Some(self.left[index].1);
            }
            None if self.since.is_none() => self.since = Some(write.committed),
            None => {}
        }
    }

    fn caught_up(&mut self, at: Interval) {
        self.close(at);
        self.held = self.left.len();
        self.since = None;
    }

    fn close(&mut self, at: Interval) {
        if let Some(began) = self.since {
            self.episodes.push(Episode { began, ended: Some(at) });
        }
    }

    fn finish(mut self) -> Vec<Episode> {
        if let Some(began) = self.since {
            self.episodes.push(Episode { began, ended: None });
        }
        self.episodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Interval {
        let moment = Moment::from_micros(seconds * 1_000_000);
        Interval::new(moment, moment)
    }

    fn owner(seconds: i64, pieces: &[i64]) -> Write {
        write(Side::Owner, seconds, pieces)
    }

    fn target(seconds: i64, pieces: &[i64]) -> Write {
        write(Side::Target, seconds, pieces)
    }

    fn write(side: Side, seconds: i64, pieces: &[i64]) -> Write {
        let contents = pieces.iter().map(|pieces| Content::Stock { pieces: *pieces }).collect();
        Write { side, entity: Entity::Stock, key: "a".to_owned(), contents, committed: at(seconds) }
    }

    fn check(writes: &[Write], expect: &[(i64, Option<i64>)]) {
        let found = episodes(writes).remove(&(Entity::Stock, "a".to_owned())).unwrap_or_default();
        let expect: Vec<Episode> =
            expect.iter().map(|(began, ended)| Episode { began: at(*began), ended: ended.map(at) }).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn a_change_that_arrives_is_one_episode() {
        check(&[owner(1, &[5]), target(3, &[5])], &[(1, Some(3))]);
    }

    #[test]
    fn a_touch_begins_nothing() {
        check(&[owner(1, &[5]), target(1, &[5]), owner(4, &[5])], &[(1, Some(1))]);
    }

    #[test]
    fn later_changes_do_not_restart_the_clock_while_the_target_stands_still() {
        check(
            &[owner(1, &[5]), target(2, &[5]), owner(10, &[6]), owner(12, &[7]), owner(14, &[8])],
            &[(1, Some(2)), (10, None)],
        );
    }

    #[test]
    fn reaching_a_newer_state_moves_the_clock() {
        let writes =
            [owner(1, &[5]), target(2, &[5]), owner(10, &[6]), owner(12, &[7]), target(13, &[6]), target(15, &[7])];
        check(&writes, &[(1, Some(2)), (10, Some(13)), (12, Some(15))]);
    }

    #[test]
    fn a_wrong_value_goes_on_until_it_is_right() {
        let writes = [owner(1, &[5]), target(2, &[5]), owner(10, &[6]), target(11, &[999]), target(20, &[6])];
        check(&writes, &[(1, Some(2)), (10, Some(20))]);
    }

    #[test]
    fn two_records_differ_from_one() {
        check(&[owner(1, &[5]), target(2, &[5, 5]), target(9, &[5])], &[(1, Some(9))]);
    }

    #[test]
    fn a_target_that_moves_by_itself_begins_an_episode() {
        check(&[owner(1, &[5]), target(2, &[5]), target(7, &[4]), target(9, &[5])], &[(1, Some(2)), (7, Some(9))]);
    }

    #[test]
    fn going_back_to_what_the_target_holds_ends_it() {
        check(&[owner(1, &[5]), target(2, &[5]), owner(7, &[6]), owner(9, &[5])], &[(1, Some(2)), (7, Some(9))]);
    }

    #[test]
    fn a_record_that_is_gone_differs_until_the_target_forgets_it() {
        check(&[owner(1, &[5]), target(2, &[5]), owner(7, &[]), target(9, &[])], &[(1, Some(2)), (7, Some(9))]);
    }
}
