//! Pieces of an integer key's order, and which parts of a piece differ between two sides.

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

/// A row, reduced to its key and a hash of what is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowHash {
    /// Its key.
    pub key: i64,
    /// Seeded with the key where a database computes it, so that it says nothing beside another key.
    pub hash: u128,
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

    /// All parts, in order.
    pub fn spans(&self, within: Span) -> Vec<Span> {
        (0..self.count).map(|part| self.span(part, within)).collect()
    }
}

/// The spans in which two sides differ, with the rows that each holds at most on one side. The digests are parallel to
/// the spans.
pub fn differing_spans(spans: &[Span], owner: &[PartDigest], target: &[PartDigest]) -> Vec<(Span, u64)> {
    let sides = owner.iter().zip(target);
    let differing = spans.iter().zip(sides).filter(|(_, (owner, target))| owner != target);
    differing.map(|(span, (owner, target))| (*span, owner.rows.max(target.rows))).collect()
}

/// The keys of which not exactly one row a side is there, or whose rows have other hashes; in order.
pub fn differing_keys(mut owner: Vec<RowHash>, mut target: Vec<RowHash>) -> Vec<i64> {
    owner.sort_unstable();
    target.sort_unstable();
    let (mut owner, mut target) = (owner.as_slice(), target.as_slice());
    let mut differing = Vec::new();
    while let Some(key) = [owner, target].iter().filter_map(|rows| Some(rows.first()?.key)).min() {
        let (ours, theirs) = (rows_of(key, &mut owner), rows_of(key, &mut target));
        if ours.len() != 1 || ours != theirs {
            differing.push(key);
        }
    }
    differing
}

fn rows_of<'a>(key: i64, rows: &mut &'a [RowHash]) -> &'a [RowHash] {
    let (of_key, rest) = rows.split_at(rows.iter().take_while(|row| row.key == key).count());
    *rows = rest;
    of_key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_a_span_without_gaps() {
        let check = |span: Span, extent, most, expect: (i64, i64)| {
            let parts = parts_of(span, extent, most);
            assert_eq!((parts.step, parts.count), expect);
            let spans = parts.spans(span);
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
    fn spans_differ_by_rows_or_by_hash() {
        let span = Span { after: Some(0), until: Some(40) };
        let spans = parts_of(span, (0, 0), 4).spans(span);
        let digest = |rows, hash| PartDigest { rows, hash };
        let ours = [digest(10, 1), digest(10, 2), digest(10, 3), digest(0, 0)];
        let theirs = [digest(10, 1), digest(10, 7), digest(9, 3), digest(0, 0)];
        assert_eq!(differing_spans(&spans, &ours, &theirs), [(spans[1], 10), (spans[2], 10)]);
        assert_eq!(differing_spans(&spans, &ours, &ours), []);
    }

    #[test]
    fn keys_differ_by_hash_by_absence_and_when_they_come_twice() {
        let check = |ours: &[(i64, u128)], theirs: &[(i64, u128)], expect: &[i64]| {
            let rows =
                |rows: &[(i64, u128)]| rows.iter().map(|(key, hash)| RowHash { key: *key, hash: *hash }).collect();
            assert_eq!(differing_keys(rows(ours), rows(theirs)), expect, "{ours:?} {theirs:?}");
        };
        check(&[], &[], &[]);
        check(&[(3, 1), (1, 2)], &[(1, 2), (3, 1)], &[]);
        check(&[(1, 2), (3, 1)], &[(1, 1), (3, 2)], &[1, 3]);
        check(&[(1, 2)], &[(2, 2), (i64::MIN, 0)], &[i64::MIN, 1, 2]);
        check(&[(1, 2), (1, 2)], &[(1, 2)], &[1]);
        check(&[(1, 2), (1, 2)], &[(1, 2), (1, 2)], &[1]);
    }
}
