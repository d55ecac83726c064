//! How much one tick of the schedule draws, and in which parts.

use std::collections::HashMap;
use std::time::Duration;

use super::piece::Piece;
use crate::audit::unit::SampleParts;
use crate::audit::walk::Walk;
use crate::config::SampleSize;
use crate::estimate::keys_for;
use crate::model::Moment;

/// Keys of a run as long as nobody knows how many there are.
const KEYS_AT_FIRST: usize = 1_000;
/// Pieces that one run may read beyond one for each key: pages without records come to an end.
const MORE_PIECES: usize = 400;

/// A run that takes longer than this is made in parts, each committed by itself: between them changes and keys in
/// flight get their turn.
const PART: Duration = Duration::from_millis(500);

/// What one tick of the schedule draws, over all its parts.
#[derive(Debug, Default)]
pub(in crate::audit::unit) struct Draw {
    /// By the walk's system.
    quotas: HashMap<String, Quota>,
    /// The part under way ends here.
    until: Option<Moment>,
    /// Its time was over before it had drawn everything.
    is_cut: bool,
}

impl Draw {
    /// Whether another part is to follow.
    pub(in crate::audit::unit) const fn is_cut(&self) -> bool {
        self.is_cut
    }

    pub(super) fn begin_part(&mut self, now: Moment) {
        (self.until, self.is_cut) = (Some(now + PART), false);
    }

    /// What is left to draw from a walk.
    pub(super) fn quota(&self, name: &str, sample: &SampleParts, walk: &Walk) -> Quota {
        self.quotas.get(name).copied().unwrap_or_else(|| Quota::of_run(sample, walk))
    }

    /// The part's work on a walk is over.
    pub(super) fn note(&mut self, walk: &str, quota: Quota, is_cut: bool) {
        self.quotas.insert(walk.to_owned(), Quota { is_done: !is_cut, ..quota });
    }

    /// Whether the part has to end; if so, another one follows.
    pub(super) fn is_over(&mut self, now: Moment) -> bool {
        let is_over = self.until.is_some_and(|until| until <= now);
        self.is_cut |= is_over;
        is_over
    }
}

/// How many keys a tick draws from one walk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    pub keys: usize,
    pub drawn: usize,
    pieces: usize,
    /// Nothing more in this tick.
    is_done: bool,
}

impl Quota {
    fn of_run(sample: &SampleParts, walk: &Walk) -> Self {
        Self { keys: keys_of_run(sample, walk), drawn: 0, pieces: 0, is_done: false }
    }

    pub fn draw(&mut self, piece: &Piece) {
        self.drawn += piece.read.records.len();
        self.pieces += 1;
    }

    pub const fn is_drawn(&self) -> bool {
        self.is_done || self.drawn >= self.keys || self.pieces >= self.keys + MORE_PIECES
    }

    pub const fn left(&self) -> u64 {
        self.keys.saturating_sub(self.drawn) as u64
    }
}

/// How many keys the next run looks at.
fn keys_of_run(sample: &SampleParts, walk: &Walk) -> usize {
    let keys = match sample.size {
        SampleSize::Keys(keys) => keys,
        SampleSize::EveryKeyWithin(within) => {
            let keys = usize::try_from(keys_for(walk.keys(), within, sample.interval)).unwrap_or(usize::MAX);
            if walk.knows_keys() { keys } else { keys.max(KEYS_AT_FIRST) }
        }
    };
    keys.min(sample.most).max(1)
}
