//! Spans of an integer key: digests of their parts, or all of their rows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::rows::{RowCounts, digests_of, hashes_of, names_of, read};
use super::{
    Comparison, Finder, Judged, MOST_HASHED, MOST_ROWS, Name, Pace, Piece, SweepError, Whole, shelve, since,
    thousandths,
};
use crate::audit::sweep::disk::Shelf;
use crate::connect::ReadError;
use crate::sweep::{PartDigest, Recipe, Sample, Span, differing_spans, grain, parts_of};

/// A span under way.
pub(super) struct Spans {
    comparison: Comparison,
    /// Where the next span begins.
    after: Option<i64>,
    /// Where the last one ends.
    end: Option<i64>,
    /// What of the keys up to there was done before, in thousandths, and behind which key.
    entered: (u64, i64),
    low: i64,
    high: i64,
    pace: Pace,
    /// Rows a key, as the last span had them.
    density: f64,
    is_done: bool,
    piece: Piece,
    /// What has been hashed so far.
    seen: Sample,
    /// Whether so much differs that spans are left to be judged as a whole.
    wide: bool,
    /// Such spans and their widths, in the order of their keys.
    handed: VecDeque<(Span, i64)>,
    /// Since when they wait, and how many of them did then.
    handed_since: (Instant, u32),
    /// The part of the memory that the rows of such a span may take.
    share: usize,
    /// Keys that such a span may hold: what fits into memory, and what whoever judges has room for.
    most: u64,
    room: u64,
    /// How often it turned out that less differs than the hashes say.
    misled: u32,
}

/// Rows of the first span: what comes of them says how large the next one is.
const FIRST_ROWS: f64 = 100_000.0;
/// Keys that the first span covers when nobody knows how many rows there are.
const FIRST: i64 = 20_000;
/// Parts in one statement.
const MOST_PARTS: f64 = 32_768.0;
/// A part with so many times the rows that it was meant to have is divided before its rows are hashed one by one.
const CROWDED: u64 = 8;
/// Rows whose hashes are asked for at once: some megabytes here.
const LISTED: u64 = 100_000;
/// Rows of a span that are hashed here: some megabytes, too.
const MOST_HASHED_HERE: u64 = 100_000;
/// When more than one row in so many differs, spans are judged as a whole: three reads of all rows cost less than three reads by
/// key of so many.
const WIDE: u64 = 8;
/// Rows that say enough for that.
const ENOUGH: u64 = 256;
/// What a key that differs takes in memory until it is recorded, its records left out.
const JUDGED: usize = 6_144;
/// The part of the memory that the rows of a span may take.
const SHARE: usize = 4;
/// The same where some spans are judged at once, as bytes; what such a row takes, and each of its fields.
const PACKED_SHARE: usize = 16;
const PACKED: usize = 48;
const PACKED_FIELD: usize = 16;
/// Spans that are left to be judged at once, at most.
const HANDED: usize = 24;
/// What a record takes, and each of its fields, where texts are short.
const RECORD: usize = 400;
const FIELD: usize = 48;
/// When less differs than hashes say, so often, rows are compared as records.
const MISLED: u32 = 2;
/// What of both sides is looked at first: so many rows in so many spans, evenly over the keys.
const LOOKED_AT: f64 = 4_096.0;
/// Spans of that where one statement does for all of them, and where each is one.
pub(super) const LOOKS: [i64; 2] = [64, 16];

impl Spans {
    pub(super) fn new(finder: &Finder, comparison: Comparison) -> Self {
        let (low, high) = finder.ends();
        let keys = (high as f64 - low as f64 + 1.0).max(1.0);
        let density = finder.rows().map_or(1.0, |rows| rows as f64 / keys);
        let first = if finder.rows().is_some() { (FIRST_ROWS / density) as i64 } else { FIRST };
        let pace = Pace::new(first, most_rows(&comparison));
        // A first look says how fine parts have to be.
        let (piece, seen) = (Piece::default(), finder.sample.unwrap_or_default());
        let record = RECORD + finder.owner.mapping.fields.len() * FIELD;
        let most = (finder.memory / JUDGED).min(finder.memory / SHARE / (record * 2)) as u64;
        let mut spans = Self {
            comparison,
            after: None,
            end: None,
            entered: (0, low.saturating_sub(1)),
            low,
            high,
            pace,
            density,
            is_done: false,
            piece,
            seen,
            wide: false,
            handed: VecDeque::new(),
            handed_since: (Instant::now(), 1),
            most,
            share: SHARE,
            room: u64::MAX,
            misled: 0,
        };
        spans.widen(finder, seen);
        spans
    }

    /// Rows of spans that are judged as a whole are held as bytes, of some spans at once.
    pub(super) fn hold_packed(&mut self, memory: usize, fields: usize) {
        self.share = PACKED_SHARE;
        self.most = (memory / PACKED_SHARE / ((PACKED + fields * PACKED_FIELD) * 2)) as u64;
        if self.wide {
            self.pace = Pace::new(self.keys_of(self.most), self.most);
        }
    }

    /// Leaves spans to be judged as a whole from here on if so much differs of what was seen.
    fn widen(&mut self, finder: &Finder, seen: Sample) {
        let can = finder.owner.only.is_none() && !matches!(self.comparison, Comparison::Theirs(_));
        if can && !self.wide && seen.rows >= ENOUGH && seen.differing > seen.rows / WIDE {
            self.wide = true;
            self.pace = Pace::new(self.keys_of(self.most), self.most);
        }
    }

    pub(super) const fn piece(&self) -> Piece {
        self.piece
    }

    pub(super) fn wholes(&self, memory: usize) -> Vec<Whole> {
        let whole = |&(span, width): &(Span, i64)| Whole {
            span,
            // Keys lie closer here than elsewhere: no reason to read the span again.
            most: (self.most * 2).min(self.room),
            // Twice of what rows are reckoned to take. A single row is judged whatever it takes.
            bytes: if width > 1 { memory / self.share * 2 } else { usize::MAX },
        };
        self.handed.iter().map(whole).collect()
    }

    pub(super) const fn judge_at_most(&mut self, keys: u64) {
        self.room = if keys > 0 { keys } else { 1 };
    }

    /// How many keys of the order hold so many rows, about.
    fn keys_of(&self, rows: u64) -> i64 {
        (rows as f64 / self.density.max(f64::MIN_POSITIVE)) as i64
    }

    pub(super) fn judged(&mut self, judged: Judged) -> bool {
        let Some((span, width)) = self.handed.pop_front() else { return true };
        let (began, count) = self.handed_since;
        let (rows, differing) = match judged {
            Judged::Through { owner_rows, target_rows, differing } => ((owner_rows, target_rows), differing),
            Judged::TooMany | Judged::TooHeavy => {
                self.handed.clear();
                if judged == Judged::TooHeavy {
                    self.most = (self.most / 2).max(1);
                }
                self.pace = Pace::new(width / 2, self.most);
                self.density *= 2.0;
                return width > 1;
            }
        };
        if self.handed.is_empty() {
            // Three statements, one after the other.
            self.went(span, width, rows, since(began) / 3 / count);
        } else {
            self.went_on(span, rows);
        }
        // Half of what led here, so that it does not go to and fro.
        if self.wide && differing <= rows.0.max(rows.1) / (WIDE * 2) {
            self.wide = false;
            self.misled += 1;
            if self.misled >= MISLED {
                self.comparison = Comparison::Records;
            }
            self.pace = Pace::new(width, most_rows(&self.comparison));
        }
        true
    }

    /// Goes through these keys only, of which this piece was done before.
    pub(super) fn enter(&mut self, span: Span, piece: Piece) {
        (self.after, self.end) = (span.after, span.until);
        self.entered = (piece.done, span.after.unwrap_or(self.low.saturating_sub(1)));
        (self.piece, self.is_done) = (piece, false);
        self.handed.clear();
    }

    pub(super) const fn rest(&self) -> Span {
        Span { after: self.after, until: self.end }
    }

    pub(super) const fn is_done(&self) -> bool {
        self.is_done
    }

    /// The span behind this key.
    fn span(&self, after: Option<i64>) -> (Span, i64) {
        let mut width = self.pace.width();
        if self.wide {
            width = width.min(self.keys_of(self.room)).max(1);
        }
        let begin = after.unwrap_or(self.low.saturating_sub(1));
        let until = begin.saturating_add(width);
        let until = if until < self.end.unwrap_or(self.high) { Some(until) } else { self.end };
        (Span { after, until }, until.unwrap_or(self.high).saturating_sub(begin).max(1))
    }

    /// Leaves the next spans to be judged as a whole: several where there is room for whatever they hold.
    fn hand_over(&mut self) {
        let most = if self.room == u64::MAX { HANDED } else { 1 };
        let mut next = Some(self.after);
        while let Some(after) = next.filter(|_| self.handed.len() < most) {
            let (span, width) = self.span(after);
            self.handed.push_back((span, width));
            next = (span.until != self.end).then_some(span.until);
        }
        self.handed_since = (Instant::now(), u32::try_from(self.handed.len()).unwrap_or(1));
    }

    pub(super) async fn next(&mut self, finder: &mut Finder, suspects: &mut Shelf<Name>) -> Result<Piece, SweepError> {
        if self.wide {
            if self.handed.is_empty() {
                self.hand_over();
            }
            return Ok(self.piece);
        }
        let (span, width) = self.span(self.after);
        let began = Instant::now();
        let done = match self.comparison.clone() {
            Comparison::Theirs(recipes) => self.by_digests(finder, &recipes, (span, width), suspects).await,
            plain => self.by_rows(finder, &plain, span, suspects).await,
        };
        let rows = match done {
            Ok(Some(rows)) => rows,
            // The same span again, to be judged as a whole.
            Ok(None) => return Ok(self.piece),
            Err(SweepError::Read(ReadError::TimedOut { .. })) if self.pace.too_long() => {
                // Denser than the spans before: a smaller one.
                return Ok(self.piece);
            }
            Err(error) => return Err(error),
        };
        self.went(span, width, rows, since(began));
        if finder.is_free && matches!(self.comparison, Comparison::Theirs(_)) && self.seen.is_wide() {
            finder.give_up_digests(self.seen.differing, self.seen.rows, "rows");
            self.comparison = finder.plain.clone();
            self.pace = Pace::new(width, most_rows(&self.comparison));
            self.widen(finder, self.seen);
        }
        Ok(self.piece)
    }

    fn went(&mut self, span: Span, width: i64, rows: RowCounts, took: Duration) {
        let most = rows.0.max(rows.1);
        self.pace.took(width, most, took);
        self.density = most as f64 / width as f64;
        self.went_on(span, rows);
    }

    fn went_on(&mut self, span: Span, rows: RowCounts) {
        self.piece.owner_rows += rows.0;
        self.piece.target_rows += rows.1;
        self.after = span.until;
        self.is_done = span.until == self.end;
        let (before, from) = self.entered;
        let keys_to = |key: Option<i64>| i128::from(key.unwrap_or(self.high)) - i128::from(from);
        let share = if self.is_done { 1_000 } else { thousandths(keys_to(span.until), keys_to(self.end)) };
        self.piece.done = before + (1_000 - before.min(1_000)) * share / 1_000;
    }

    /// All rows of a span; `None` when so many are suspect that it is better judged as a whole.
    async fn by_rows(
        &mut self,
        finder: &Finder,
        comparison: &Comparison,
        span: Span,
        suspects: &mut Shelf<Name>,
    ) -> Result<Option<RowCounts>, SweepError> {
        let (found, rows) = read(finder, comparison, span).await?;
        self.widen(finder, Sample { rows: rows.0.max(rows.1), differing: found.len() as u64 });
        if self.wide {
            return Ok(None);
        }
        shelve(suspects, found)?;
        Ok(Some(rows))
    }

    /// Digests of a span's parts, or of its rows where most parts would differ.
    async fn by_digests(
        &mut self,
        finder: &Finder,
        recipes: &Arc<[Recipe; 2]>,
        (span, width): (Span, i64),
        suspects: &mut Shelf<Name>,
    ) -> Result<Option<RowCounts>, SweepError> {
        let expected = width as f64 * self.density;
        let parts = |rows: u64| {
            let most = (expected / rows as f64).clamp(1.0, MOST_PARTS) as u32;
            parts_of(span, (self.low, self.high), most).spans(span)
        };
        let (lists, mut rows) = match grain(self.seen) {
            None => (parts(LISTED).into_iter().map(|part| vec![part]).collect(), None),
            Some(grain) => {
                let (small, rows) = self.narrow(finder, recipes, parts(grain), grain).await?;
                (in_lists(&small), Some(rows))
            }
        };
        let (mut found, mut listed) = (0, (0, 0));
        for list in lists {
            let (differing, of) = hashes_of(finder, recipes, list).await?;
            found += differing.len() as u64;
            listed = (listed.0 + of.0, listed.1 + of.1);
            shelve(suspects, names_of(finder, &differing))?;
        }
        let rows = *rows.get_or_insert(listed);
        self.seen.add(rows.0.max(rows.1), found);
        Ok(Some(rows))
    }

    /// The parts that differ, each so small that its rows are soon hashed one by one, and the rows of all parts.
    async fn narrow(
        &self,
        finder: &Finder,
        recipes: &Arc<[Recipe; 2]>,
        mut open: Vec<Span>,
        grain: u64,
    ) -> Result<(Vec<(Span, u64)>, RowCounts), SweepError> {
        let (mut small, mut rows) = (Vec::new(), None);
        while !open.is_empty() {
            let (ours, theirs) = digests_of(finder, recipes, &open).await?;
            rows.get_or_insert((sum(&ours), sum(&theirs)));
            let differing = differing_spans(&open, &ours, &theirs);
            open.clear();
            for (part, rows) in differing {
                let pieces = u32::try_from(rows / grain + 1).unwrap_or(u32::MAX);
                let smaller = parts_of(part, (self.low, self.high), pieces);
                // Keys lie close by each other in some parts and far apart in others.
                if rows > grain * CROWDED && smaller.count > 1 {
                    open.extend(smaller.spans(part));
                } else {
                    small.push((part, rows));
                }
            }
        }
        Ok((small, rows.unwrap_or_default()))
    }
}

const fn most_rows(comparison: &Comparison) -> u64 {
    match comparison {
        Comparison::Theirs(_) => MOST_HASHED,
        Comparison::Ours(_) => MOST_HASHED_HERE,
        Comparison::Records => MOST_ROWS,
    }
}

fn sum(parts: &[PartDigest]) -> u64 {
    parts.iter().map(|part| part.rows).sum()
}

/// The spans in lists whose rows fit into memory.
fn in_lists(spans: &[(Span, u64)]) -> Vec<Vec<Span>> {
    let mut lists: Vec<Vec<Span>> = Vec::new();
    let mut room = 0;
    for (span, rows) in spans {
        match lists.last_mut().filter(|_| *rows <= room) {
            Some(list) => list.push(*span),
            None => {
                lists.push(vec![*span]);
                room = LISTED;
            }
        }
        room = room.saturating_sub(*rows);
    }
    lists
}

/// Spans of a few rows, evenly over the keys; `None` where the tables are so small that all of them is soon read.
pub(super) fn looks((low, high): (i64, i64), rows: u64, looks: i64) -> Option<Vec<Span>> {
    let keys = i128::from(high) - i128::from(low) + 1;
    let width = (keys as f64 / rows.max(1) as f64 * LOOKED_AT / looks as f64) as i128;
    let step = keys / i128::from(looks);
    if width < 1 || step < width * 4 {
        return None;
    }
    let begin = |look: i64| i128::from(low) - 1 + i128::from(look) * step;
    let narrow = |key: i128| i64::try_from(key).ok();
    // Nothing lies before the smallest number of all.
    let span = |look| Some(Span { after: narrow(begin(look)), until: Some(narrow(begin(look) + width)?) });
    (0..looks).map(span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_hold_what_fits() {
        let span = |number: i64| Span { after: Some(number), until: Some(number + 1) };
        let check = |rows: &[u64], expect: &[usize]| {
            let spans: Vec<(Span, u64)> = rows.iter().zip(0..).map(|(rows, number)| (span(number), *rows)).collect();
            let lists = in_lists(&spans);
            assert_eq!(lists.iter().map(Vec::len).collect::<Vec<_>>(), expect, "{rows:?}");
            assert_eq!(lists.concat(), spans.iter().map(|(span, _)| *span).collect::<Vec<_>>());
        };
        check(&[], &[]);
        check(&[5, 6], &[2]);
        check(&[LISTED, 1, 1], &[1, 2]);
        check(&[1, LISTED, 1], &[1, 1, 1]);
        check(&[LISTED * 3, LISTED / 2, LISTED / 2], &[1, 2]);
    }

    #[test]
    fn looks_lie_evenly_and_leave_small_tables_alone() {
        assert_eq!(looks((1, 10_000), 10_000, 64), None);
        let found = looks((1, 3_000_000), 1_000_000, 64).unwrap();
        assert_eq!(found.len(), 64);
        assert_eq!(found[0], Span { after: Some(0), until: Some(192) });
        assert_eq!(found[1].after, Some(46_875));
        assert!(
            looks((i64::MIN, i64::MAX), 1_000_000, 16).unwrap().windows(2).all(|pair| pair[0].until < pair[1].after)
        );
    }
}
