//! Tables whose rows do not lie in key order: digests of buckets of keys, piece by piece of the tables' own pages, then the
//! rows of the buckets that differ.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::{Finder, MOST_HASHED, Name, Pace, Piece, Shelving, SweepError, since, thousandths};
use crate::audit::sweep::disk::{Shelf, Spilled};
use crate::audit::sweep::side::{Rows, SweepSide};
use crate::compare::Side;
use crate::connect::{Buckets, Mark, ReadError};
use crate::sweep::{Matching, PartDigest, Recipe};

/// Both tables under way.
pub(super) struct Pages {
    recipes: Arc<[Recipe; 2]>,
    buckets: Buckets,
    sides: [OneSide; 2],
    /// The buckets that differ, once both sides have been hashed.
    only: Option<Vec<i64>>,
    matching: Matching,
    spilled: Option<Spilled>,
    on_disk: u64,
    piece: Piece,
    is_done: bool,
}

struct OneSide {
    side: SweepSide,
    mark: Mark,
    pages: u64,
    next: u64,
    pace: Pace,
    digests: BTreeMap<i64, PartDigest>,
}

/// Pages of the first piece.
const FIRST: i64 = 500;
/// Rows of a bucket: what is read for one difference.
pub(super) const ROWS_A_BUCKET: u64 = 64;
/// The most buckets: more would not fit into the memory that PostgreSQL takes for groups.
const MOST_BUCKETS: u64 = 32_768;

impl Pages {
    pub(super) fn new(finder: &Finder, recipes: Arc<[Recipe; 2]>) -> Self {
        let rows = finder.rows().unwrap_or(0);
        let buckets = (rows / ROWS_A_BUCKET).clamp(16, MOST_BUCKETS).next_power_of_two();
        let side = |side: &SweepSide, mark: Mark| OneSide {
            side: side.clone(),
            mark,
            pages: finder.extents[mark as usize].pages.unwrap_or(0),
            next: 0,
            pace: Pace::new(FIRST, MOST_HASHED),
            digests: BTreeMap::new(),
        };
        Self {
            recipes,
            buckets: Buckets(u32::try_from(buckets).unwrap_or(16)),
            sides: [side(&finder.owner, Mark::Owner), side(&finder.target, Mark::Target)],
            only: None,
            matching: Matching::new(finder.tolerances.clone()),
            spilled: None,
            on_disk: 0,
            piece: Piece::default(),
            is_done: false,
        }
    }

    pub(super) const fn spilled(&self) -> u64 {
        self.on_disk
    }

    pub(super) const fn is_done(&self) -> bool {
        self.is_done
    }

    pub(super) async fn next(&mut self, finder: &mut Finder, suspects: &mut Shelf<Name>) -> Result<Piece, SweepError> {
        match self.only.clone() {
            None => self.hash(finder).await?,
            Some(only) => self.read(finder, &only, suspects).await?,
        }
        let pass = self.sides.iter().map(|side| thousandths(side.next.into(), side.pages.into())).min().unwrap_or(0);
        // The second pass reads little.
        self.piece.done = if self.is_done { 1_000 } else { pass.min(999) };
        Ok(self.piece)
    }

    async fn hash(&mut self, finder: &mut Finder) -> Result<(), SweepError> {
        let (recipes, buckets) = (&self.recipes, self.buckets);
        let [owner, target] = &mut self.sides;
        let (ours, theirs) = tokio::join!(owner.hash(recipes, buckets), target.hash(recipes, buckets));
        self.piece.owner_rows += ours?;
        self.piece.target_rows += theirs?;
        if self.sides.iter().all(OneSide::is_over) {
            let differing = self.differing();
            if finder.is_free && differing.len() as u64 * 2 > u64::from(self.buckets.0) {
                finder.give_up_digests(differing.len() as u64, self.buckets.0.into(), "buckets");
                let way = finder.way(None)?;
                finder.way = way;
                return Ok(());
            }
            self.is_done = differing.is_empty();
            self.only = Some(differing);
            for side in &mut self.sides {
                (side.next, side.pace) = (0, Pace::new(FIRST, MOST_HASHED));
            }
        }
        Ok(())
    }

    fn differing(&self) -> Vec<i64> {
        let [owner, target] = &self.sides;
        let differs = |bucket: &i64| owner.digests.get(bucket) != target.digests.get(bucket);
        (0..i64::from(self.buckets.0)).filter(differs).collect()
    }

    async fn read(&mut self, finder: &Finder, only: &[i64], suspects: &mut Shelf<Name>) -> Result<(), SweepError> {
        let (recipes, buckets) = (&self.recipes, self.buckets);
        let [owner, target] = &mut self.sides;
        let (ours, theirs) = tokio::join!(owner.read(recipes, (buckets, only)), target.read(recipes, (buckets, only)));
        let mut found: Vec<Name> = Vec::new();
        for (side, rows) in [(Side::Owner, ours?), (Side::Target, theirs?)] {
            self.matching.take(side, rows.batch, |name| found.push(name.into()));
        }
        if self.matching.bytes() > finder.memory / 2 {
            self.spill()?;
        }
        if self.sides.iter().all(OneSide::is_over) {
            self.is_done = true;
            if self.spilled.is_some() {
                self.spill()?;
            }
            super::shelve(suspects, std::mem::take(&mut found))?;
            let mut shelving = Shelving::new(suspects);
            self.matching.drain().for_each(|open| shelving.push(&open.name));
            if let Some(spilled) = self.spilled.take() {
                spilled.settle(&mut self.matching, |name| shelving.push(name))?;
            }
            shelving.disk?;
        }
        Ok(super::shelve(suspects, found)?)
    }

    fn spill(&mut self) -> std::io::Result<()> {
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            none => none.insert(Spilled::new()?),
        };
        self.on_disk += self.matching.len() as u64;
        self.matching.drain().try_for_each(|open| spilled.put(&open))
    }
}

impl OneSide {
    const fn is_over(&self) -> bool {
        self.next > self.pages
    }

    /// The next pages. The last piece is open at its end: rows written meanwhile lie behind it.
    fn range(&self) -> Range<u64> {
        let end = self.next.saturating_add(self.pace.width().unsigned_abs());
        self.next..if end > self.pages { u64::from(u32::MAX) } else { end }
    }

    fn went(&mut self, range: &Range<u64>, rows: u64, began: Instant) {
        let width = i64::try_from(range.end.min(self.pages + 1).saturating_sub(range.start)).unwrap_or(i64::MAX);
        self.pace.took(width.max(1), rows, since(began));
        self.next = range.end.min(self.pages + 1);
    }

    async fn hash(&mut self, recipes: &[Recipe; 2], buckets: Buckets) -> Result<u64, SweepError> {
        let (Some(sweeper), false) = (self.side.sweeper(), self.is_over()) else { return Ok(0) };
        let (range, began) = (self.range(), Instant::now());
        let recipe = &recipes[self.mark as usize];
        let found = sweeper.digest_pages(&self.side.mapping, recipe, self.mark, range.clone(), buckets).await;
        let found = match found {
            Err(ReadError::TimedOut { .. }) if self.pace.too_long() => return Ok(0),
            found => found?,
        };
        let mut rows = 0;
        for (bucket, part) in found {
            let sum = self.digests.entry(bucket).or_default();
            sum.rows += part.rows;
            sum.hash ^= part.hash;
            rows += part.rows;
        }
        self.went(&range, rows, began);
        Ok(rows)
    }

    async fn read(&mut self, recipes: &[Recipe; 2], buckets: (Buckets, &[i64])) -> Result<Rows, SweepError> {
        let mut rows = Rows::default();
        let (Some(sweeper), false) = (self.side.sweeper(), self.is_over()) else { return Ok(rows) };
        let (range, began) = (self.range(), Instant::now());
        let recipe = &recipes[self.mark as usize];
        let side = self.side.clone();
        let mut add = |record| side.add(&mut rows, &record);
        let read = sweeper.read_pages(&self.side.mapping, recipe, range.clone(), buckets, &mut add).await;
        match read {
            Err(ReadError::TimedOut { .. }) if self.pace.too_long() => return Ok(Rows::default()),
            read => read?,
        };
        // So few of the pages' rows are read that their number says nothing of the time.
        let width = range.end.min(self.pages + 1).saturating_sub(range.start);
        self.went(&range, width, began);
        Ok(rows)
    }
}
