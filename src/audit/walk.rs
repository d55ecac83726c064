//! A walk around all keys of one dataset: in pieces, in an order that chance decides, every piece once a pass.
//!
//! A *survey* goes over the key order in large steps and notes where the steps end; between two of these places lies an
//! *arc*. The walk then visits the arcs in rounds: in each round every arc once, in a new random order, and at each visit
//! the next piece of the arc. So after every few runs the pieces seen lie evenly over the whole order, as a sample should,
//! and at the end of the pass every key has been seen once. The next pass begins with a new survey from a new random
//! start.
//!
//! A dataset that cannot be entered anywhere is *followed* instead: one arc, without a survey, from its beginning to its
//! end.

use serde::{Deserialize, Serialize};

use crate::connect::{Landmark, Place};
use crate::model::Moment;

use super::entry::{key_from_bytes, key_to_bytes};

/// Arcs of a large dataset: from this many to twice as many.
const ARCS: usize = 100;
/// Keys that one statement of a survey may go over.
pub const LONGEST_STEP: usize = 20_000;

/// Where one system's keys are being walked. Stored in state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Walk {
    /// Numbers the passes from 1; 0 before the first survey.
    pub pass: u64,
    /// When this pass began.
    pub began: Option<Moment>,
    /// The last whole pass, if there was one.
    pub whole: Option<WholePass>,
    /// Keys seen in this pass.
    pub seen: u64,
    /// Keys that the survey went over, to about half a step; where a list is followed, its length if it tells.
    pub surveyed: u64,
    /// The dataset is followed from its beginning: what has been seen of a pass lies together, not all over the keys.
    pub is_followed: bool,
    survey: Option<Survey>,
    arcs: Vec<Stretch>,
    /// Arcs still to be visited in this round; the last one comes next.
    round: Vec<u32>,
}

/// A pass that came around.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WholePass {
    /// Its number.
    pub pass: u64,
    /// When it began: every key has been looked at since.
    pub began: Moment,
    /// When it ended.
    pub ended: Moment,
    /// Keys that it saw.
    pub keys: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Survey {
    /// Keys between two marks.
    step: usize,
    /// Keys still to go to the next mark.
    left: usize,
    marks: Vec<Mark>,
    /// Where the survey stands.
    at: Option<Mark>,
}

/// What is left of an arc.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Stretch {
    after: Option<Mark>,
    until: Option<Mark>,
    is_done: bool,
}

/// A landmark as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Mark {
    place: Place,
    key: Option<Vec<u8>>,
}

/// A visit to be made: the next piece of an arc.
#[derive(Clone, Debug, PartialEq)]
pub struct Visit {
    arc: usize,
    /// Where it begins; `None` at the first key of all.
    pub after: Option<Landmark>,
    /// Where the arc ends; `None` at the last key of all.
    pub until: Option<Landmark>,
}

/// The next hop of a survey.
#[derive(Clone, Debug, PartialEq)]
pub struct Hop {
    /// From where.
    pub after: Option<Landmark>,
    /// So many keys further.
    pub keys: usize,
}

impl From<&Landmark> for Mark {
    fn from(landmark: &Landmark) -> Self {
        Self { place: landmark.place.clone(), key: landmark.key.as_ref().map(key_to_bytes) }
    }
}

impl From<&Mark> for Landmark {
    fn from(mark: &Mark) -> Self {
        Self { place: mark.place.clone(), key: mark.key.as_deref().and_then(key_from_bytes) }
    }
}

impl Walk {
    /// Begins a pass with its survey. Steps are of `step` keys at first; the first one is cut short by `chance`, so that
    /// pieces do not begin at the same keys in every pass.
    pub fn begin(&mut self, now: Moment, step: usize, chance: u64) {
        let step = step.max(1);
        let left = 1 + usize::try_from(chance % step as u64).unwrap_or(0);
        let (whole, is_followed) = (self.whole, self.is_followed);
        let fresh = Self { pass: self.pass + 1, began: Some(now), whole, is_followed, ..Self::default() };
        *self = Self { survey: Some(Survey { step, left, marks: Vec::new(), at: None }), ..fresh };
    }

    /// The dataset cannot be entered anywhere: the pass that has just begun follows it from its beginning.
    pub fn follow(&mut self) {
        (self.survey, self.is_followed) = (None, true);
        self.arcs = vec![Stretch { after: None, until: None, is_done: false }];
    }

    /// The list that is followed says how many records it has.
    pub fn told(&mut self, total: Option<u64>) {
        self.surveyed = total.unwrap_or(self.surveyed);
    }

    /// A walk that stands somewhere in a pass, for tests of what is made of it.
    #[cfg(test)]
    pub(super) fn standing(pass: u64, surveyed: u64, whole: Option<WholePass>) -> Self {
        Self { pass, surveyed, whole, ..Self::default() }
    }

    /// Places mean nothing any more: the pass ends without coming around.
    pub fn forget(&mut self) {
        *self = Self { pass: self.pass, whole: self.whole, is_followed: self.is_followed, ..Self::default() };
    }

    /// The survey's next hop; `None` when there is no survey under way.
    pub fn hop(&self) -> Option<Hop> {
        let survey = self.survey.as_ref()?;
        Some(Hop { after: survey.at.as_ref().map(Landmark::from), keys: survey.left.min(LONGEST_STEP) })
    }

    /// The hop of `keys` keys ended there.
    pub fn hopped(&mut self, keys: usize, at: &Landmark, chance: u64) {
        let Some(survey) = &mut self.survey else { return };
        survey.at = Some(Mark::from(at));
        survey.left -= keys.min(survey.left);
        self.surveyed += keys as u64;
        if survey.left > 0 {
            return;
        }
        // A place without a key of its own cannot be found in other systems: the arc goes on to the next one.
        if at.key.is_some() || survey.marks.iter().all(|mark| mark.key.is_none()) {
            survey.marks.push(Mark::from(at));
        }
        if survey.marks.len() >= 2 * ARCS {
            let keep = (chance % 2) as usize;
            let mut number = 0;
            survey.marks.retain(|_| {
                number += 1;
                number % 2 == keep
            });
            survey.step *= 2;
        }
        survey.left = survey.step;
    }

    /// The hop of `keys` keys came to the end: the survey is done and the walk can begin.
    pub fn surveyed_all(&mut self, keys: usize) {
        let Some(survey) = self.survey.take() else { return };
        self.is_followed = false;
        self.surveyed += keys as u64 / 2;
        let mut after = None;
        for mark in survey.marks {
            self.arcs.push(Stretch { after: after.replace(mark.clone()), until: Some(mark), is_done: false });
        }
        self.arcs.push(Stretch { after, until: None, is_done: false });
    }

    /// Whether a pass must begin before anything can be visited.
    pub fn is_over(&self) -> bool {
        self.survey.is_none() && self.arcs.iter().all(|arc| arc.is_done)
    }

    /// The next visit; `chance` gives the order of each round. `None` while the survey lasts or when the pass is over.
    pub fn visit(&mut self, mut chance: impl FnMut() -> u64) -> Option<Visit> {
        if self.survey.is_some() {
            return None;
        }
        if self.round.is_empty() {
            let open = self.arcs.iter().enumerate().filter(|(_, arc)| !arc.is_done);
            self.round = open.filter_map(|(number, _)| u32::try_from(number).ok()).collect();
            shuffle(&mut self.round, &mut chance);
        }
        let arc = *self.round.last()? as usize;
        let stretch = self.arcs.get(arc)?;
        let landmark = |mark: &Option<Mark>| mark.as_ref().map(Landmark::from);
        Some(Visit { arc, after: landmark(&stretch.after), until: landmark(&stretch.until) })
    }

    /// The visit was made: `keys` keys were seen up to `at`, or to the arc's end (`None`). Says whether this was the
    /// pass's last visit.
    pub fn visited(&mut self, visit: &Visit, at: Option<&Landmark>, keys: u64, now: Moment) -> bool {
        self.round.pop();
        self.seen += keys;
        let Some(stretch) = self.arcs.get_mut(visit.arc) else { return false };
        match at {
            // Other systems go on from the last place that they could be led to.
            Some(at) => {
                let key = at.key.as_ref().map(key_to_bytes);
                let before = stretch.after.take().and_then(|mark| mark.key);
                stretch.after = Some(Mark { place: at.place.clone(), key: key.or(before) });
            }
            None => stretch.is_done = true,
        }
        let came_around = self.is_over();
        if let (true, Some(began)) = (came_around, self.began) {
            self.whole = Some(WholePass { pass: self.pass, began, ended: now, keys: self.seen });
        }
        came_around
    }

    /// How many keys there are, as far as is known: what the last whole pass saw or the survey went over, and not less
    /// than what has been seen since.
    pub fn keys(&self) -> u64 {
        let known = if self.survey.is_some() { 0 } else { self.surveyed };
        let known = if known > 0 { known } else { self.whole.map_or(0, |whole| whole.keys) };
        known.max(self.seen)
    }

    /// Whether anything but what was seen tells how many keys there are.
    pub fn knows_keys(&self) -> bool {
        self.survey.is_none() && self.surveyed > 0 || self.whole.is_some()
    }

    /// How much of this pass is done, within 0.0..=1.0; 0 as long as nobody knows how many keys there are.
    pub fn done(&self) -> f64 {
        if self.is_over() && self.pass > 0 {
            return 1.0;
        }
        if self.is_followed && !self.knows_keys() {
            return 0.0;
        }
        self.seen as f64 / self.keys().max(1) as f64
    }

    /// Since when every key has been looked at, as far as can be proved: since the last whole pass began.
    pub fn every_key_since(&self) -> Option<Moment> {
        self.whole.map(|whole| whole.began)
    }
}

/// Fisher and Yates' shuffle.
fn shuffle(numbers: &mut [u32], mut chance: impl FnMut() -> u64) {
    for last in (1..numbers.len()).rev() {
        let other = (chance() % (last as u64 + 1)) as usize;
        numbers.swap(last, other);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Key;

    fn at(seconds: i64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    fn mark(number: usize) -> Landmark {
        Landmark { place: Place(number.to_le_bytes().to_vec()), key: Some(Key::from(number as i64)) }
    }

    fn number(landmark: &Option<Landmark>) -> Option<usize> {
        let bytes = landmark.as_ref()?.place.0.clone();
        Some(usize::from_le_bytes(bytes.try_into().expect("eight bytes")))
    }

    /// Walks the keys 1 to `keys` in pieces of `piece` for one pass; gives the pieces in the order of the visits.
    fn pass(
        walk: &mut Walk,
        keys: usize,
        step: usize,
        piece: usize,
        mut chance: impl FnMut() -> u64,
    ) -> Vec<(usize, usize)> {
        walk.begin(at(1), step, chance());
        while let Some(hop) = walk.hop() {
            let to = number(&hop.after).unwrap_or(0) + hop.keys;
            if to > keys { walk.surveyed_all(hop.keys) } else { walk.hopped(hop.keys, &mark(to), chance()) }
        }
        let mut pieces = Vec::new();
        while let Some(visit) = walk.visit(&mut chance) {
            let after = number(&visit.after).unwrap_or(0);
            let end = number(&visit.until).unwrap_or(keys);
            let until = (after + piece).min(end);
            let reached = (after + piece <= end).then(|| mark(until));
            pieces.push((after, until));
            let came_around = walk.visited(&visit, reached.as_ref(), (until - after) as u64, at(2));
            assert_eq!(came_around, walk.is_over());
        }
        pieces
    }

    proptest! {
        #[test]
        fn a_pass_sees_every_key_once(keys in 0_usize..30_000, step in 1_usize..2_000, piece in 1_usize..300, seed in any::<u64>()) {
            let mut state = seed;
            let chance = move || { state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407); state >> 33 };
            let mut walk = Walk::default();
            let mut pieces = pass(&mut walk, keys, step, piece, chance);
            prop_assert_eq!(walk.seen, keys as u64);
            prop_assert_eq!(walk.whole, Some(WholePass { pass: 1, began: at(1), ended: at(2), keys: keys as u64 }));
            prop_assert_eq!(walk.every_key_since(), Some(at(1)));
            pieces.sort_unstable();
            pieces.retain(|(after, until)| after < until);
            let joined = pieces.windows(2).all(|pair| pair[0].1 == pair[1].0);
            prop_assert!(joined && pieces.first().is_none_or(|first| first.0 == 0));
            prop_assert_eq!(pieces.last().map_or(0, |last| last.1), keys);
            prop_assert!(walk.arcs.len() <= 2 * ARCS + 1);
            let stored = postcard::to_allocvec(&walk).expect("postcard can express it");
            prop_assert_eq!(postcard::from_bytes::<Walk>(&stored).expect("as written"), walk);
        }
    }

    #[test]
    fn the_first_visits_lie_all_over_the_keys() {
        let mut state = 1_u64;
        let mut walk = Walk::default();
        let chance = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let pieces = pass(&mut walk, 1_000_000, 1_000, 25, chance);
        let mut quarters = [0; 4];
        pieces.iter().take(40).for_each(|(after, _)| quarters[after * 4 / 1_000_001] += 1);
        assert!(quarters.iter().all(|count| *count >= 4), "{quarters:?}");
        assert_eq!(walk.done(), 1.0);
    }

    #[test]
    fn a_list_is_followed_from_its_beginning_to_its_end() {
        let mut walk = Walk::default();
        walk.begin(at(1), 100, 7);
        walk.follow();
        assert_eq!((walk.hop(), walk.knows_keys(), walk.done()), (None, false, 0.0));
        walk.told(Some(30));
        for page in 0..3 {
            let visit = walk.visit(|| 0).expect("not over");
            assert_eq!((number(&visit.after), &visit.until), ((page > 0).then_some(page * 10), &None));
            let next = Landmark { key: None, ..mark((page + 1) * 10) };
            let came_around = walk.visited(&visit, (page < 2).then_some(&next), 10, at(2));
            assert_eq!((came_around, walk.seen), (page == 2, (page as u64 + 1) * 10));
        }
        assert_eq!(walk.whole, Some(WholePass { pass: 1, began: at(1), ended: at(2), keys: 30 }));
        // The next pass finds out again whether it can be entered.
        walk.begin(at(3), 100, 7);
        assert!(walk.is_followed && walk.hop().is_some());
        walk.surveyed_all(7);
        assert!(!walk.is_followed);
        walk.follow();
        walk.forget();
        assert!(walk.is_followed, "what was seen before stays no sample");
    }

    #[test]
    fn what_is_known_of_the_number_of_keys_grows_better() {
        let mut walk = Walk::default();
        assert_eq!((walk.keys(), walk.is_over(), walk.done()), (0, true, 0.0));
        pass(&mut walk, 777, 100, 10, || 0);
        assert_eq!(walk.keys(), 777);
        walk.begin(at(5), 100, 0);
        assert_eq!((walk.keys(), walk.pass, walk.every_key_since()), (777, 2, Some(at(1))));
    }
}
