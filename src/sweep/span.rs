//! Pieces of an integer key's order, and which parts of a piece differ between two sides.

use std::collections::BTreeMap;

/// A piece of the keys: behind `after`, up to and with `until`. Open ends hold what lies beyond all that was there when
/// the sweep began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Exclusive; `None` is open.
    pub after: Option<i64>,
    /// Inclusive; `None` is open.
    pub until: Option<i64>,
}

impl Span {
    /// All keys.
    pub const ALL: Self = Self { after: None, until: None };
}

/// What a database says of one part of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartDigest {
    /// Rows in it.
    pub rows: u64,
    /// Exclusive or of the rows' seeded hashes.
    pub hash: i64,
}

/// How a span is divided: parts number 0 to `count - 1` of `step` keys each, from `low` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The first key of part 0.
    pub low: i64,
    /// The last key that is counted from; what lies beyond belongs to the last part.
    pub high: i64,
    /// Keys in one part, at least 1.
    pub step: i64,
    /// How many parts.
    pub count: i64,
}

/// Divides a span into at most `most` parts of equal width; `low` and `high` stand for open ends.
pub fn parts_of(span: Span, (low, high): (i64, i64), most: u32) -> Parts {
    let low = span.after.map_or(low, |after| after.saturating_add(1));
    let high = span.until.unwrap_or(high).max(low);
    let width = i128::from(high) - i128::from(low) + 1;
    let step = (width + i128::from(most.max(1)) - 1) / i128::from(most.max(1));
    let step = i64::try_from(step).unwrap_or(i64::MAX).max(1);
    let count = i64::try_from((width + i128::from(step) - 1) / i128::from(step)).unwrap_or(1).max(1);
    Parts { low, high, step, count }
}

impl Parts {
    /// One part as a span of its own; the ends of `within` are those of the outer parts.
    pub fn span(&self, part: i64, within: Span) -> Span {
        let begin = |part: i64| i128::from(self.low) + i128::from(part) * i128::from(self.step);
        let narrow = |key: i128| i64::try_from(key).unwrap_or(i64::MAX);
        let after = if part == 0 { within.after } else { Some(narrow(begin(part) - 1)) };
        let until = if part == self.count - 1 { within.until } else { Some(narrow(begin(part + 1) - 1)) };
        Span { after, until }
    }
}

/// The parts in which two sides differ, neighbours joined, as spans; with the rows that they hold at most on one side.
pub fn differing_spans(
    span: Span,
    parts: &Parts,
    owner: &BTreeMap<i64, PartDigest>,
    target: &BTreeMap<i64, PartDigest>,
) -> Vec<(Span, u64)> {
    let mut differing: Vec<(Span, u64)> = Vec::new();
    let mut last = None;
    for part in 0..parts.count {
        let of = |side: &BTreeMap<i64, PartDigest>| side.get(&part).copied().unwrap_or_default();
        let (ours, theirs) = (of(owner), of(target));
        if ours == theirs {
            continue;
        }
        let (one, rows) = (parts.span(part, span), ours.rows.max(theirs.rows));
        match differing.last_mut() {
            Some((joined, sum)) if last == Some(part - 1) => {
                joined.until = one.until;
                *sum += rows;
            }
            _ => differing.push((one, rows)),
        }
        last = Some(part);
    }
    differing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(rows: &[(i64, u64, i64)]) -> BTreeMap<i64, PartDigest> {
        rows.iter().map(|(part, rows, hash)| (*part, PartDigest { rows: *rows, hash: *hash })).collect()
    }

    #[test]
    fn parts_cover_a_span_without_gaps() {
        let check = |span: Span, extent, most, expect: (i64, i64)| {
            let parts = parts_of(span, extent, most);
            assert_eq!((parts.step, parts.count), expect);
            let spans: Vec<Span> = (0..parts.count).map(|part| parts.span(part, span)).collect();
            assert_eq!((spans[0].after, spans[spans.len() - 1].until), (span.after, span.until));
            assert!(spans.windows(2).all(|pair| pair[0].until == pair[1].after), "{spans:?}");
        };
        check(Span { after: Some(10), until: Some(110) }, (0, 0), 10, (10, 10));
        check(Span { after: Some(10), until: Some(13) }, (0, 0), 10, (1, 3));
        check(Span::ALL, (1, 1_000), 7, (143, 7));
        check(Span::ALL, (5, 5), 7, (1, 1));
        check(Span::ALL, (i64::MIN, i64::MAX), 4, (1 << 62, 4));
    }

    #[test]
    fn neighbours_that_differ_are_read_as_one() {
        let span = Span { after: Some(0), until: Some(40) };
        let parts = parts_of(span, (0, 0), 4);
        let ours = digests(&[(0, 10, 1), (1, 10, 2), (2, 10, 3), (3, 10, 4)]);
        let theirs = digests(&[(0, 10, 1), (1, 10, 7), (2, 9, 3)]);
        let found = differing_spans(span, &parts, &ours, &theirs);
        assert_eq!(found, [(Span { after: Some(10), until: Some(40) }, 30)]);
        assert_eq!(differing_spans(span, &parts, &ours, &ours), []);
    }

    #[test]
    fn a_part_without_rows_on_both_sides_agrees() {
        let span = Span { after: Some(0), until: Some(40) };
        let parts = parts_of(span, (0, 0), 4);
        let ours = digests(&[(3, 1, 4)]);
        assert_eq!(
            differing_spans(span, &parts, &ours, &digests(&[])),
            [(Span { after: Some(30), until: Some(40) }, 1)]
        );
    }
}
