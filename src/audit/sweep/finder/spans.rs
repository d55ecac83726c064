//! Spans of an integer key: digests of their parts, or all of their rows.

use std::sync::Arc;
use std::time::Instant;

use super::{
    Finder, MOST_HASHED, MOST_ROWS, Name, Pace, Piece, Position, SweepError, both, shelve, since, thousandths,
};
use crate::audit::sweep::disk::Shelf;
use crate::audit::sweep::side::SweepSide;
use crate::connect::{Mark, ReadError};
use crate::sweep::{Matching, Recipe, Span, differing_spans, is_wide, parts_of};

/// A span under way.
pub(super) struct Spans {
    recipes: Option<Arc<[Recipe; 2]>>,
    /// Where the next span begins.
    after: Option<i64>,
    low: i64,
    high: i64,
    pace: Pace,
    is_done: bool,
    piece: Piece,
    parts: u64,
    differing: u64,
}

/// Keys that the first span covers when nobody knows how many rows there are.
const FIRST: i64 = 20_000;
/// Parts of a span: of half a second's rows each holds some thousand.
const PARTS: u32 = 256;
/// Parts that are looked at before damage is called wide.
const TRIED: u64 = 64;

impl Spans {
    pub(super) fn new(finder: &Finder, recipes: Option<Arc<[Recipe; 2]>>) -> Self {
        let ends = finder.extents.iter().filter_map(|extent| extent.keys);
        let (low, high) = ends.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1))).unwrap_or((0, 0));
        let most = if recipes.is_some() { MOST_HASHED } else { MOST_ROWS };
        let pace = Pace::new(FIRST, most);
        let (piece, parts, differing) = (Piece::default(), 0, 0);
        Self { recipes, after: None, low, high, pace, is_done: false, piece, parts, differing }
    }

    /// Goes on where another sweep left off.
    pub(super) fn go_on(&mut self, from: Position) {
        self.after = Some(from.after);
        self.piece = from.piece;
    }

    pub(super) const fn position(&self) -> Option<Position> {
        match self.after {
            Some(after) => Some(Position { after, piece: self.piece }),
            None => None,
        }
    }

    fn span(&self) -> (Span, i64) {
        let width = self.pace.width();
        let begin = self.after.unwrap_or(self.low.saturating_sub(1));
        let until = begin.saturating_add(width);
        let until = (until < self.high).then_some(until);
        (Span { after: self.after, until }, until.unwrap_or(self.high).saturating_sub(begin).max(1))
    }

    pub(super) const fn is_done(&self) -> bool {
        self.is_done
    }

    pub(super) async fn next(
        &mut self,
        finder: &mut Finder,
        suspects: &mut Shelf<Name>,
    ) -> Result<Option<Piece>, SweepError> {
        if self.is_done {
            return Ok(None);
        }
        let (span, width) = self.span();
        let began = Instant::now();
        let done = match self.recipes.clone() {
            Some(recipes) => self.by_digests(finder, &recipes, span, suspects).await,
            None => by_rows(finder, span, suspects).await,
        };
        let rows = match done {
            Ok(rows) => rows,
            Err(SweepError::Read(ReadError::TimedOut { .. })) if self.pace.too_long() => {
                // Denser than the spans before: a smaller one.
                return Ok(Some(self.piece));
            }
            Err(error) => return Err(error),
        };
        self.pace.took(width, rows.0.max(rows.1), since(began));
        self.piece.owner_rows += rows.0;
        self.piece.target_rows += rows.1;
        self.after = span.until;
        self.is_done = span.until.is_none();
        let reached = i128::from(span.until.unwrap_or(self.high)) - i128::from(self.low) + 1;
        self.piece.done = thousandths(reached, i128::from(self.high) - i128::from(self.low) + 1);
        if finder.is_free && self.recipes.is_some() && self.parts >= TRIED && is_wide(self.differing, self.parts) {
            finder.give_up_digests(self.differing, self.parts);
            self.recipes = None;
            self.pace = Pace::new(FIRST, MOST_ROWS);
        }
        Ok(Some(self.piece))
    }

    async fn by_digests(
        &mut self,
        finder: &Finder,
        recipes: &Arc<[Recipe; 2]>,
        span: Span,
        suspects: &mut Shelf<Name>,
    ) -> Result<(u64, u64), SweepError> {
        let parts = parts_of(span, (self.low, self.high), PARTS);
        let digests = |side: &SweepSide, mark: Mark| {
            let (side, recipes) = (side.clone(), Arc::clone(recipes));
            async move {
                let recipe = &recipes[mark as usize];
                match side.sweeper() {
                    Some(sweeper) => sweeper.digest_span(&side.mapping, recipe, mark, span, &parts).await,
                    None => Ok(Default::default()),
                }
            }
        };
        let (ours, theirs) = both(digests(&finder.owner, Mark::Owner), digests(&finder.target, Mark::Target)).await?;
        let mut differing = 0;
        for (part, rows) in differing_spans(span, &parts, &ours, &theirs) {
            // A part in which most keys of a gap lie can be large.
            let pieces = u32::try_from(rows / MOST_ROWS + 1).unwrap_or(u32::MAX);
            let smaller = parts_of(part, (self.low, self.high), pieces);
            for number in 0..smaller.count {
                by_rows(finder, smaller.span(number, part), suspects).await?;
            }
            let keys = i128::from(part.until.unwrap_or(self.high)) - i128::from(part.after.unwrap_or(self.low));
            differing += u64::try_from(keys / i128::from(parts.step)).unwrap_or(0).max(1);
        }
        self.parts += ours.len().max(theirs.len()) as u64;
        self.differing += differing.min(ours.len().max(theirs.len()) as u64);
        let sum = |side: std::collections::BTreeMap<i64, crate::sweep::PartDigest>| {
            side.values().map(|part| part.rows).sum::<u64>()
        };
        Ok((sum(ours), sum(theirs)))
    }
}

/// Reads a span on both sides and compares it row by row. Gives how many rows each side had.
async fn by_rows(finder: &Finder, span: Span, suspects: &mut Shelf<Name>) -> Result<(u64, u64), SweepError> {
    let (owner, target) = (finder.owner.clone(), finder.target.clone());
    let (ours, theirs) = both(owner.span(span), target.span(span)).await?;
    let rows = (ours.read, theirs.read);
    let mut matching = Matching::new(finder.tolerances.clone());
    let mut found: Vec<Name> = Vec::new();
    for (side, rows) in super::SIDES.into_iter().zip([ours, theirs]) {
        matching.take(side, rows.batch, |name| found.push(name.into()));
    }
    found.extend(matching.drain().map(|open| open.name));
    shelve(suspects, found)?;
    Ok(rows)
}
