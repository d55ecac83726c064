//! What really happened, from the systems' own write logs. Pure.
//!
//! Every writer notes what a key held after its commit, and the interval in which it committed. From that the
//! episodes in which a target differed from its owner follow without asking the auditor.

use std::collections::BTreeMap;
use std::time::Duration;

use super::book::Write;
use super::record::{Content, Entity, System};
use crate::model::{Interval, Lag, Moment};

/// A key in one target.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Of what.
    pub entity: Entity,
    /// Where it must follow.
    pub target: System,
    /// Of which.
    pub key: String,
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
    /// From its certain beginning to its certain end, or to `closing` if it had not ended.
    pub fn span(&self, closing: Moment) -> Interval {
        let end = self.ended.map_or(closing, |ended| ended.low);
        Interval::new(self.began.high, end.max(self.began.high))
    }

    /// How long it lasted at least; until `closing` if it had not ended.
    pub fn length(&self, closing: Moment) -> Duration {
        let span = self.span(closing);
        span.high.since(span.low)
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
pub fn episodes(writes: &[Write]) -> BTreeMap<Address, Vec<Episode>> {
    let mut tracks: BTreeMap<Address, Track> = BTreeMap::new();
    let mut ordered: Vec<&Write> = writes.iter().collect();
    ordered.sort_by_key(|write| write.committed.low);
    for write in ordered {
        let of = |target| Address { entity: write.entity, target, key: write.key.clone() };
        let held = |target| held(write, target);
        if write.system == write.entity.owner() {
            for target in write.entity.targets() {
                tracks.entry(of(*target)).or_default().owner_wrote(held(*target), write.committed);
            }
        } else {
            tracks.entry(of(write.system)).or_default().target_wrote(held(write.system), write.committed);
        }
    }
    tracks.into_iter().map(|(address, track)| (address, track.finish())).collect()
}

/// From when on which side held a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Since this moment.
    pub since: Moment,
    /// Whether the owner held it.
    pub owner: bool,
    /// Whether the target held it.
    pub target: bool,
}

/// Which side held every key when, oldest first.
pub fn standings(writes: &[Write]) -> BTreeMap<Address, Vec<Standing>> {
    let mut standings: BTreeMap<Address, Vec<Standing>> = BTreeMap::new();
    let mut ordered: Vec<&Write> = writes.iter().collect();
    ordered.sort_by_key(|write| write.committed.low);
    for write in ordered {
        let is_owner = write.system == write.entity.owner();
        for target in write.entity.targets().iter().filter(|target| is_owner || **target == write.system) {
            let address = Address { entity: write.entity, target: *target, key: write.key.clone() };
            let of_key = standings.entry(address).or_default();
            let (owner, held_there) = of_key.last().map_or((false, false), |last| (last.owner, last.target));
            let holds = !held(write, *target).is_empty();
            let since = write.committed.high;
            let now = if is_owner {
                Standing { since, owner: holds, target: held_there }
            } else {
                Standing { since, owner, target: holds }
            };
            if of_key.last().is_none_or(|last| (last.owner, last.target) != (now.owner, now.target)) {
                of_key.push(now);
            }
        }
    }
    standings
}

/// What the write leaves of all that concerns `target`.
fn held(write: &Write, target: System) -> Vec<Content> {
    write.contents.iter().filter_map(|content| content.for_target(write.entity, target)).collect()
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
    fn owner_wrote(&mut self, contents: Vec<Content>, committed: Interval) {
        if contents == self.owner {
            return;
        }
        let before = std::mem::replace(&mut self.owner, contents);
        self.left.push((before, committed));
        if self.target == self.owner {
            self.caught_up(committed);
        } else if self.since.is_none() {
            self.since = Some(committed);
        }
    }

    fn target_wrote(&mut self, contents: Vec<Content>, committed: Interval) {
        if contents == self.target {
            return;
        }
        self.target = contents;
        if self.target == self.owner {
            return self.caught_up(committed);
        }
        let reached = self.left.iter().rposition(|(state, _)| *state == self.target);
        match reached.filter(|index| *index >= self.held && self.since.is_some()) {
            Some(index) => {
                self.close(committed);
                self.held = index;
                self.since = Some(self.left[index].1);
            }
            None if self.since.is_none() => self.since = Some(committed),
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
    use super::super::record::{Field, status};
    use super::*;

    fn at(seconds: i64) -> Interval {
        let moment = Moment::from_micros(seconds * 1_000_000);
        Interval::new(moment, moment)
    }

    fn owner(seconds: i64, pieces: &[i64]) -> Write {
        write(System::Warehouse, seconds, pieces)
    }

    fn target(seconds: i64, pieces: &[i64]) -> Write {
        write(System::Erp, seconds, pieces)
    }

    fn write(system: System, seconds: i64, pieces: &[i64]) -> Write {
        let contents = pieces.iter().map(|pieces| Content::default().with(Field::Pieces, pieces)).collect();
        Write { system, entity: Entity::Stock, key: "a".to_owned(), contents, committed: at(seconds) }
    }

    fn found(writes: &[Write], entity: Entity, target: System) -> Vec<(i64, Option<i64>)> {
        let seconds = |interval: Interval| interval.low.micros() / 1_000_000;
        let episodes = episodes(writes).remove(&Address { entity, target, key: "a".to_owned() }).unwrap_or_default();
        let pair = |episode: &Episode| (seconds(episode.began), episode.ended.map(seconds));
        episodes.iter().map(pair).collect()
    }

    fn check(writes: &[Write], expect: &[(i64, Option<i64>)]) {
        assert_eq!(found(writes, Entity::Stock, System::Erp), expect);
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

    #[test]
    fn every_target_is_followed_by_itself() {
        let elsewhere = write(System::Store, 4, &[5]);
        let writes = [owner(1, &[5]), target(2, &[5]), elsewhere];
        check(&writes, &[(1, Some(2))]);
        assert_eq!(found(&writes, Entity::Stock, System::Store), [(1, Some(4))]);
    }

    #[test]
    fn an_order_that_is_cancelled_must_vanish() {
        let order = |system, seconds, state: &str| {
            let contents = vec![Content::default().with(Field::Status, state)];
            Write { system, entity: Entity::Order, key: "a".to_owned(), contents, committed: at(seconds) }
        };
        let writes = [
            order(System::Store, 1, status::PENDING),
            order(System::Store, 5, status::OPEN),
            order(System::Erp, 6, status::OPEN),
            order(System::Store, 10, status::CANCELLED),
            order(System::Erp, 12, status::CANCELLED),
        ];
        assert_eq!(found(&writes, Entity::Order, System::Erp), [(5, Some(6)), (10, Some(12))]);
        assert_eq!(found(&writes, Entity::Order, System::Warehouse), [(5, Some(10))], "nothing to forget there");
    }
}
