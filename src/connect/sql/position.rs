//! What a cursor holds, and how far it may move. Pure.
//!
//! Reading changes goes in *passes*. A pass begins at the settled bound: everything below it has been read and
//! nothing can appear there any more. It ends when everything visible has been read; a pass that `limit` cuts
//! goes on in the next call behind the last row. Only at the end of a pass does the settled bound move, to the
//! watermark that was taken before the pass's first statement. So rows that were committed late with an older
//! stamp are met by the next pass, and rows between the bound and the present come again in each pass.

use serde::{Deserialize, Serialize};

use super::text::Arg;
use crate::connect::Cursor;

/// The first byte of a cursor without children.
const FORMAT: u8 = 1;

/// The first byte of a cursor with the positions of children beside the mapping's own.
const FORMAT_WITH_CHILDREN: u8 = 2;

/// A cursor that asks for everything from the beginning.
pub(in crate::connect) const BEGINNING: u8 = 0;

/// How many past maxima of a sequence are remembered.
const MARKS: usize = 64;

/// A pass older than this is ended at the first chance, so that late rows are not left waiting by an endless one.
const LONG_PASS_MICROS: i64 = 60_000_000;

/// A clock that is adjusted goes back by less; one that is set goes back by more.
const SMALL_STEP_MICROS: i64 = 10_000_000;

/// How long before we notice a clock may have been set back: what was written since then is read again.
const UNWATCHED_MICROS: i64 = 3_600_000_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Digest of what is read and in which order.
    pub fingerprint: u64,
    pub settled: Settled,
    pub pass: Option<Pass>,
    /// Sequences only: their clock, and the largest number seen by then.
    pub marks: Vec<(i64, Arg)>,
}

/// Where a changes read goes on: in the mapping's own dataset, and in that of each kind of children by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Place {
    pub own: Position,
    pub children: Vec<(String, Position)>,
}

/// What a cursor says.
#[derive(Debug, PartialEq)]
pub(super) struct Known {
    pub own: KnownPosition,
    /// None when the cursor was written before children were followed.
    pub children: Vec<(String, Position)>,
}

/// What a cursor says of the mapping's own dataset.
#[derive(Debug, PartialEq)]
pub(super) enum KnownPosition {
    /// Nobody has read yet.
    Nothing,
    /// Everything is wanted from the beginning.
    Beginning,
    /// The last read ended here.
    At(Position),
}

/// Everything below has been read for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Settled {
    /// Nothing yet.
    Nothing,
    /// Rows written before this time by their clock, in microseconds.
    Until(i64),
    /// Rows with a number up to this.
    Number(Arg),
}

/// A pass that was cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pass {
    /// Their clock at the pass's first statement.
    pub started: i64,
    /// The watermark before it, on their clock: what the pass covers when it ends.
    pub covers: i64,
    /// What is settled when the pass ends.
    pub goal: Settled,
    /// The stamp or number of the last row read.
    pub reach: Arg,
    /// The key of the last row read; empty when it cannot be compared with.
    pub keys: Vec<Arg>,
    /// Rows that may come again because they tie with the last one.
    pub ties: usize,
}

/// The last row of a page.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LastRow {
    pub reach: Arg,
    pub keys: Vec<Arg>,
    /// Rows at the end of the page that cannot be told from it.
    pub ties: usize,
    /// Its stamp by their clock, if it tells.
    pub micros: Option<i64>,
}

/// Why a cursor was not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfit(pub &'static str);

impl Position {
    /// A position at which nothing has been read.
    pub const fn start(fingerprint: u64, settled: Settled) -> Self {
        Self { fingerprint, settled, pass: None, marks: Vec::new() }
    }

    /// The position, if it was made for this dataset, key and order.
    pub fn checked(self, fingerprint: u64) -> Result<Self, Unfit> {
        if self.fingerprint != fingerprint {
            return Err(Unfit("dataset, key or order have changed since"));
        }
        Ok(self)
    }

    /// Whether `watermark`, on their clock, shows that their clock was set back. A small step may also come from
    /// sessions that a login newly cannot look into.
    pub fn is_set_back_by(&self, watermark: i64) -> bool {
        let back = |settled: i64| settled.saturating_sub(watermark) > SMALL_STEP_MICROS;
        self.pass.is_none() && matches!(self.settled, Settled::Until(settled) if back(settled))
    }

    /// The position for a pass that begins under `watermark`, on their clock. A watermark before the settled bound
    /// means that their clock was set back: what is written from now on carries stamps that were read already.
    pub fn set_back_to(mut self, watermark: i64) -> Self {
        if let (None, Settled::Until(settled)) = (&self.pass, &self.settled) {
            let back = settled.saturating_sub(watermark);
            let margin = if back > SMALL_STEP_MICROS { UNWATCHED_MICROS } else { 0 };
            if back > 0 {
                self.settled = Settled::Until(watermark.saturating_sub(margin));
            }
        }
        self
    }

    /// What will be settled when a pass that begins now ends. `watermark` is on their clock.
    fn goal(&self, watermark: i64, sequence: bool) -> Settled {
        if !sequence {
            return Settled::Until(watermark);
        }
        let mark = self.marks.iter().rev().find(|(seen_at, _)| *seen_at < watermark);
        mark.map_or_else(|| self.settled.clone(), |(_, number)| Settled::Number(number.clone()))
    }

    /// What is settled when the pass under way, or one that begins at `watermark`, ends: what lies behind it is read
    /// again by the next pass.
    pub fn ends_at(&self, watermark: i64, sequence: bool) -> Settled {
        self.pass.as_ref().map_or_else(|| self.goal(watermark, sequence), |pass| pass.goal.clone())
    }

    /// Up to when the pass under way, or one that begins at `watermark`, has seen everything when it ends.
    pub fn covers(&self, watermark: i64) -> i64 {
        let before = if let Settled::Until(micros) = self.settled { micros } else { i64::MIN };
        self.pass.as_ref().map_or(watermark, |pass| pass.covers).max(before)
    }

    /// The position after a page of a pass that began at `watermark` unless one is under way. `last` is `None` for
    /// an empty page, `cut` when there is more to read.
    pub fn after(&self, watermark: i64, now: i64, last: Option<LastRow>, cut: bool, sequence: bool) -> Self {
        let mut next = self.clone();
        let covers = self.covers(watermark);
        let (goal, started) = match &self.pass {
            Some(pass) => (pass.goal.clone(), pass.started),
            None => (self.goal(watermark, sequence), now),
        };
        if sequence && let Some(last) = &last {
            next.mark(now, last.reach.clone());
        }
        next.pass = None;
        match last {
            Some(last) if cut && !overlong(&goal, started, now, &last) => {
                let again = self.pass.as_ref().filter(|pass| pass.reach == last.reach).map_or(0, |pass| pass.ties);
                let ties = last.ties + again;
                next.pass = Some(Pass { started, covers, goal, reach: last.reach, keys: last.keys, ties });
            }
            _ => {
                if let Some(used) = next.marks.iter().position(|mark| Settled::Number(mark.1.clone()) == goal) {
                    next.marks.drain(..=used);
                }
                next.settled = goal;
            }
        }
        next
    }

    fn mark(&mut self, now: i64, number: Arg) {
        match self.marks.last_mut() {
            // Nothing new: the older time is the better one.
            Some((_, known)) if *known == number => return,
            _ => self.marks.push((now, number)),
        }
        if self.marks.len() > MARKS {
            let mut position = 0;
            self.marks.retain(|_| {
                position += 1;
                position % 2 == 0 || position > MARKS
            });
        }
    }
}

fn overlong(goal: &Settled, started: i64, now: i64, last: &LastRow) -> bool {
    let Settled::Until(goal) = goal else { return false };
    now.saturating_sub(started) > LONG_PASS_MICROS && last.micros.is_some_and(|micros| micros > *goal)
}

impl Place {
    /// As the mapping's own position alone where there are no children to follow.
    pub fn encode(&self) -> Result<Cursor, Unfit> {
        let encoded = if self.children.is_empty() {
            postcard::to_extend(&self.own, vec![FORMAT])
        } else {
            postcard::to_extend(self, vec![FORMAT_WITH_CHILDREN])
        };
        encoded.map(Cursor).map_err(|_| Unfit("it cannot be encoded"))
    }

    pub fn decode(cursor: &Cursor) -> Result<Known, Unfit> {
        let damaged = |_| Unfit("it is damaged");
        let (own, children) = match cursor.0.split_first() {
            None => (KnownPosition::Nothing, Vec::new()),
            Some((&BEGINNING, [])) => (KnownPosition::Beginning, Vec::new()),
            Some((&FORMAT, body)) => (KnownPosition::At(postcard::from_bytes(body).map_err(damaged)?), Vec::new()),
            Some((&FORMAT_WITH_CHILDREN, body)) => {
                let place: Self = postcard::from_bytes(body).map_err(damaged)?;
                (KnownPosition::At(place.own), place.children)
            }
            Some(_) => return Err(Unfit("it was written by another version")),
        };
        Ok(Known { own, children })
    }

    /// Whether a watermark lies before what any part has settled: their clock was set back.
    pub fn is_set_back_by(&self, watermark: i64) -> bool {
        let mut children = self.children.iter();
        self.own.is_set_back_by(watermark) || children.any(|(_, position)| position.is_set_back_by(watermark))
    }

    /// Every part as [`Position::set_back_to`].
    pub fn set_back_to(self, watermark: i64) -> Self {
        let children = self.children.into_iter().map(|(name, position)| (name, position.set_back_to(watermark)));
        Self { own: self.own.set_back_to(watermark), children: children.collect() }
    }

    /// Up to when everything has been seen when the passes under way, or those that begin at `watermark`, end.
    pub fn covers(&self, watermark: i64) -> i64 {
        let children = self.children.iter().map(|(_, position)| position.covers(watermark));
        children.fold(self.own.covers(watermark), i64::min)
    }
}

impl KnownPosition {
    /// The position for a dataset, key and order; `None` when nobody has read yet.
    pub fn fitting(self, fingerprint: u64) -> Result<Option<Position>, Unfit> {
        match self {
            Self::Nothing => Ok(None),
            Self::Beginning => Ok(Some(Position::start(fingerprint, Settled::Nothing))),
            Self::At(position) => position.checked(fingerprint).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(reach: i64, ties: usize) -> LastRow {
        LastRow { reach: Arg::Int(reach), keys: vec![Arg::Int(1)], ties, micros: Some(reach) }
    }

    fn in_a_pass() -> Position {
        let mut position = Position::start(7, Settled::Until(5));
        position.pass = Some(Pass {
            started: 1,
            covers: 1,
            goal: Settled::Until(9),
            reach: Arg::Text("x".to_owned()),
            keys: vec![Arg::Null],
            ties: 3,
        });
        position
    }

    #[test]
    fn cursors_survive_the_way_through_state() {
        let own = in_a_pass();
        let place = Place { own: own.clone(), children: Vec::new() };
        let known = Place::decode(&place.encode().unwrap()).unwrap();
        assert_eq!(known.own.fitting(7), Ok(Some(own.clone())));
        assert_eq!(Place::decode(&Cursor::default()).unwrap().own.fitting(7), Ok(None));
        assert!(Place::decode(&place.encode().unwrap()).unwrap().own.fitting(8).is_err(), "another mapping");
        assert!(Place::decode(&Cursor(vec![9, 9])).is_err());
        assert!(Place::decode(&Cursor(vec![FORMAT, 0xff])).is_err());
        let children = vec![("lines".to_owned(), Position::start(3, Settled::Until(4)))];
        let with_children = Place { own: own.clone(), children: children.clone() };
        let known = Place::decode(&with_children.encode().unwrap()).unwrap();
        assert_eq!((known.own, known.children), (KnownPosition::At(own), children));
    }

    #[test]
    fn what_all_parts_cover_is_what_is_covered() {
        let children = vec![("lines".to_owned(), in_a_pass())];
        let place = Place { own: Position::start(1, Settled::Until(0)), children };
        assert_eq!(place.own.covers(9), 9);
        assert_eq!(place.covers(9), 5, "the pass under way began at 1, and 5 was settled before");
    }

    #[test]
    fn only_a_whole_pass_settles_and_only_to_the_watermark_before_it() {
        let start = Position::start(0, Settled::Until(100));
        let cut = start.after(200, 210, Some(last(150, 1)), true, false);
        assert_eq!(cut.settled, Settled::Until(100));
        let whole = cut.after(300, 310, Some(last(290, 1)), false, false);
        assert_eq!((whole.settled, whole.pass), (Settled::Until(200), None));
    }

    #[test]
    fn a_clock_that_is_set_back_is_followed() {
        let second = 1_000_000;
        let check = |settled: i64, watermark: i64, expect: i64| {
            let before = Position::start(0, Settled::Until(settled * second));
            assert_eq!(before.is_set_back_by(watermark * second), expect < watermark, "{settled} {watermark}");
            let position = before.set_back_to(watermark * second);
            assert_eq!(position.settled, Settled::Until(expect * second), "{settled} {watermark}");
        };
        check(10_000, 10_000, 10_000);
        check(10_000, 9_995, 9_995);
        check(10_000, 5_000, 1_400);
    }

    #[test]
    fn ties_add_up_until_the_stamp_moves() {
        let start = Position::start(0, Settled::Nothing);
        let first = start.after(1, 0, Some(last(5, 2)), true, false);
        let second = first.after(1, 0, Some(last(5, 3)), true, false);
        assert_eq!(second.pass.as_ref().unwrap().ties, 5);
        assert_eq!(second.after(1, 0, Some(last(6, 1)), true, false).pass.unwrap().ties, 1);
    }

    #[test]
    fn an_endless_pass_is_ended_once_it_is_past_its_goal() {
        let start = Position::start(0, Settled::Until(0));
        let cut = start.after(1000, 1000, Some(last(900, 1)), true, false);
        let late = 1000 + LONG_PASS_MICROS + 1;
        let behind = cut.after(late, late, Some(last(950, 1)), true, false);
        assert!(behind.pass.is_some(), "not yet past the goal");
        let beyond = cut.after(late, late, Some(last(1001, 1)), true, false);
        assert_eq!((beyond.settled, beyond.pass), (Settled::Until(1000), None));
    }

    #[test]
    fn numbers_settle_once_all_transactions_from_then_are_over() {
        let start = Position::start(0, Settled::Nothing);
        let first = start.after(90, 100, Some(last(10, 1)), false, true);
        assert_eq!(first.settled, Settled::Nothing, "no watermark is past the first look yet");
        let held = first.after(100, 110, Some(last(12, 1)), false, true);
        assert_eq!(held.settled, Settled::Nothing);
        let moved = held.after(105, 120, Some(last(12, 1)), false, true);
        assert_eq!(moved.settled, Settled::Number(Arg::Int(10)));
        let last_move = moved.after(115, 130, None, false, true);
        assert_eq!(last_move.settled, Settled::Number(Arg::Int(12)));
    }

    #[test]
    fn marks_are_bounded_and_keep_the_oldest_times_apart() {
        let mut position = Position::start(0, Settled::Nothing);
        for now in 0..1000 {
            position.mark(now, Arg::Int(now));
        }
        assert!(position.marks.len() <= MARKS + 1);
        assert!(position.marks.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(position.marks.last().unwrap().0, 999);
    }
}
