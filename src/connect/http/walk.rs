//! Walking a list page by page: where the next page is, and whether what came adds up. Pure.
//!
//! A short page is never the last one by itself. A list ends where its total, a missing next page or an empty page
//! says so; it is complete when as many records came as it says it has.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::config::pack::{PageKind, Paging};
use crate::model::Raw;

/// Which page comes next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Token {
    /// The first one.
    First,
    /// The page of this number, or with this many records before it.
    Number(u64),
    /// The page that the one before named, by a word or an address.
    Named(String),
    /// The page behind this id.
    After(i64),
}

/// What one page said beside its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Records in the page, also those that were dropped.
    pub rows: u64,
    /// Records in the list, if the page says so.
    pub total: Option<u64>,
    /// The next page's name, if the page names one.
    pub next: Option<String>,
}

/// Why a walk cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Astray {
    /// The list never ends.
    Loop(String),
    /// The list changed while it was read: begin again.
    Moved(String),
    /// Fewer records than the list says it has.
    Short(String),
    /// The list is not in the order that was asked for.
    Unordered,
    /// The list is longer than what the product gives of it.
    Capped(u64),
}

/// A walk under way. Memory is bounded by two pages and eight bytes a page.
#[derive(Debug)]
pub(super) struct Walk {
    paging: Paging,
    ordered: bool,
    token: Option<Token>,
    /// Records so far, each once.
    pub seen: u64,
    /// The list's length at first: what came later is read by the next read.
    first_total: Option<u64>,
    total: Option<u64>,
    last_id: Option<i64>,
    /// The page to come begins with this record, the last one of the page before: where it does not, records have moved.
    overlap: Option<u64>,
    recent: [HashSet<u64>; 2],
    named: HashSet<u64>,
}

/// What a walk must know to go on in a later call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Halt {
    pub token: Token,
    pub seen: u64,
    pub first_total: Option<u64>,
    pub total: Option<u64>,
    pub last_id: Option<i64>,
    pub overlap: Option<u64>,
}

impl Walk {
    /// `ordered`: the list comes in ascending order of numeric ids.
    pub fn new(paging: &Paging, ordered: bool) -> Self {
        let (recent, named) = Default::default();
        let paging = paging.clone();
        Self {
            paging,
            ordered,
            token: Some(Token::First),
            seen: 0,
            first_total: None,
            total: None,
            last_id: None,
            overlap: None,
            recent,
            named,
        }
    }

    /// Goes on where an earlier walk was halted.
    pub fn resume(paging: &Paging, ordered: bool, halt: &Halt) -> Self {
        let mut walk = Self::new(paging, ordered);
        (walk.token, walk.seen) = (Some(halt.token.clone()), halt.seen);
        (walk.first_total, walk.total, walk.last_id) = (halt.first_total, halt.total, halt.last_id);
        walk.overlap = halt.overlap;
        walk.recent[1].extend(halt.overlap);
        walk
    }

    /// What is needed to go on later; `None` at the end.
    pub fn halt(&self) -> Option<Halt> {
        let token = self.token.clone()?;
        let Self { seen, first_total, total, last_id, overlap, .. } = *self;
        Some(Halt { token, seen, first_total, total, last_id, overlap })
    }

    /// The page to read next; `None` at the end.
    pub fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// The page behind the first one, for lists with numbered pages.
    pub fn second(&self) -> Option<Token> {
        match &self.paging.kind {
            PageKind::Page { first, .. } => Some(Token::Number(first + 1)),
            PageKind::Offset { .. } => Some(Token::Number(self.seen)),
            PageKind::Cursor { .. } | PageKind::Link { .. } | PageKind::Keyset => None,
        }
    }

    /// Takes note of a page. Says for each of its records whether it is new: a record that was there on the page
    /// before comes again when others moved in front of it.
    pub fn take(&mut self, ids: &[Raw], facts: &Facts) -> Result<Vec<bool>, Astray> {
        if let (Some(cap), Some(total)) = (self.paging.cap, facts.total)
            && total > cap
        {
            return Err(Astray::Capped(total));
        }
        let overlapped = self.overlap.take();
        if overlapped.is_some_and(|last| !ids.iter().any(|id| hash(id) == last)) {
            return Err(Astray::Moved("a record is no longer where it was, at the end of the page before".to_owned()));
        }
        let fresh = self.fresh(ids)?;
        let count = fresh.iter().filter(|fresh| **fresh).count() as u64;
        self.seen += count;
        if let (Some(before), Some(now)) = (self.total, facts.total)
            && now < before
        {
            return Err(Astray::Moved(format!("its total went from {before} to {now} between two pages")));
        }
        self.total = facts.total.or(self.total);
        self.first_total = self.first_total.or(facts.total);
        let token = match overlapped {
            // Nothing but the record of the page before: this is the end.
            Some(_) if facts.rows == 1 => None,
            // Others came in front and pushed the page to the right; or it is the same for ever, which the next one shows.
            Some(_) if count == 0 => self.without_overlap(),
            _ => {
                let token = self.next(facts)?;
                self.overlapping(token, ids, facts)
            }
        };
        if token.is_some() && facts.rows > 0 && count == 0 && overlapped.is_none() {
            return Err(Astray::Loop("a page holds only records of the page before it".to_owned()));
        }
        if let Some(Token::Named(name)) = &token
            && !self.named.insert(xxhash_rust::xxh3::xxh3_64(name.as_bytes()))
        {
            return Err(Astray::Loop("a page names a next page that was read already".to_owned()));
        }
        self.token = token;
        match (&self.token, self.first_total) {
            (None, Some(total)) if self.seen < total => Err(Astray::Short(format!(
                "the list says it has {total} records and gave {}; the login may not read the others, \
                 or they were removed meanwhile",
                self.seen
            ))),
            _ => Ok(fresh),
        }
    }

    /// Where only the number of records before it says where a page begins and no total tells of records that went, each
    /// page begins with the last record of the page before.
    fn overlapping(&mut self, token: Option<Token>, ids: &[Raw], facts: &Facts) -> Option<Token> {
        match (&self.paging.kind, token, ids.last()) {
            (PageKind::Offset { .. }, Some(Token::Number(number)), Some(last))
                if self.total.is_none() && facts.rows > 1 =>
            {
                self.overlap = Some(hash(last));
                Some(Token::Number(number - 1))
            }
            (_, token, _) => token,
        }
    }

    /// The page behind the record of the page before.
    fn without_overlap(&self) -> Option<Token> {
        match self.token {
            Some(Token::Number(number)) => Some(Token::Number(number + 1)),
            _ => None,
        }
    }

    fn fresh(&mut self, ids: &[Raw]) -> Result<Vec<bool>, Astray> {
        if self.ordered && ids.iter().all(|id| matches!(id, Raw::Int(_))) {
            return self.fresh_in_order(ids);
        }
        let hashes: Vec<u64> = ids.iter().map(hash).collect();
        let [before, present] = &mut self.recent;
        std::mem::swap(before, present);
        present.clear();
        Ok(hashes.into_iter().map(|id| !before.contains(&id) & present.insert(id)).collect())
    }

    fn fresh_in_order(&mut self, ids: &[Raw]) -> Result<Vec<bool>, Astray> {
        let ids: Vec<i64> = ids.iter().filter_map(|id| if let Raw::Int(id) = id { Some(*id) } else { None }).collect();
        if ids.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err(Astray::Unordered);
        }
        let mut last = self.last_id;
        let fresh = ids.iter().map(|id| {
            let fresh = last.is_none_or(|last| *id > last);
            last = last.max(Some(*id));
            fresh
        });
        let fresh = fresh.collect();
        self.last_id = last;
        Ok(fresh)
    }

    fn next(&self, facts: &Facts) -> Result<Option<Token>, Astray> {
        let size = self.paging.size as u64;
        let number = match &self.token {
            Some(Token::Number(number)) => Some(*number),
            _ => None,
        };
        let ends = |read: u64| match self.total {
            Some(total) => read >= total,
            None => facts.rows == 0,
        };
        Ok(match &self.paging.kind {
            PageKind::Page { first, .. } => {
                let number = number.unwrap_or(*first);
                let read = (number.saturating_sub(*first) + 1).saturating_mul(size);
                (!ends(read)).then_some(Token::Number(number + 1))
            }
            PageKind::Offset { .. } => {
                // A product that gives smaller pages than asked for must not make us jump.
                let step = if facts.rows == 0 { size } else { facts.rows.min(size) };
                let read = number.unwrap_or(0).saturating_add(step);
                (!ends(read)).then_some(Token::Number(read))
            }
            PageKind::Cursor { .. } | PageKind::Link { .. } => facts.next.clone().map(Token::Named),
            PageKind::Keyset if facts.rows == 0 || self.total.is_some_and(|total| self.seen >= total) => None,
            // Without numbers in order there is nothing to go on from.
            PageKind::Keyset => Some(Token::After(self.last_id.ok_or(Astray::Unordered)?)),
        })
    }
}

/// Tells ids apart.
pub(super) fn hash(id: &Raw) -> u64 {
    let text = super::decode::text_of(id).unwrap_or_default();
    let kind = u64::from(matches!(id, Raw::Text(_)));
    xxhash_rust::xxh3::xxh3_64_with_seed(text.as_bytes(), kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(kind: PageKind) -> Paging {
        Paging { kind, size_param: None, body: crate::config::pack::Body::default(), size: 2, total: None, cap: None }
    }

    fn numbered() -> Paging {
        paging(PageKind::Page { param: "page".to_owned(), first: 1 })
    }

    fn cursor() -> Paging {
        let from = crate::config::pack::Place::Header("next".to_owned());
        paging(PageKind::Cursor { param: "cursor".to_owned(), from, more: None })
    }

    fn ids(ids: &[i64]) -> Vec<Raw> {
        ids.iter().map(|id| Raw::Int(*id)).collect()
    }

    fn facts(rows: u64, total: Option<u64>, next: Option<&str>) -> Facts {
        Facts { rows, total, next: next.map(str::to_owned) }
    }

    #[test]
    fn a_short_page_is_not_the_last() {
        let paging = numbered();
        let mut walk = Walk::new(&paging, true);
        walk.take(&ids(&[1]), &facts(1, None, None)).unwrap();
        assert_eq!(walk.token(), Some(&Token::Number(2)));
        walk.take(&ids(&[2, 3]), &facts(2, None, None)).unwrap();
        walk.take(&[], &facts(0, None, None)).unwrap();
        assert_eq!(walk.token(), None);
        assert_eq!(walk.seen, 3);
    }

    #[test]
    fn totals_end_a_list_and_must_add_up() {
        let paging = numbered();
        let mut walk = Walk::new(&paging, true);
        walk.take(&ids(&[1, 2]), &facts(2, Some(3), None)).unwrap();
        walk.take(&ids(&[3]), &facts(1, Some(3), None)).unwrap();
        assert_eq!(walk.token(), None);
        // A record that the login may not read is left out of the page, not out of the total.
        let mut walk = Walk::new(&paging, true);
        assert!(matches!(walk.take(&ids(&[1]), &facts(1, Some(2), None)), Err(Astray::Short(_))));
        // Something left while we read: what it pushed to the page before was not seen.
        let mut walk = Walk::new(&paging, true);
        walk.take(&ids(&[1, 2]), &facts(2, Some(5), None)).unwrap();
        assert!(matches!(walk.take(&ids(&[4, 5]), &facts(2, Some(4), None)), Err(Astray::Moved(_))));
    }

    #[test]
    fn records_pushed_to_the_next_page_count_once() {
        let paging = numbered();
        for ordered in [true, false] {
            let mut walk = Walk::new(&paging, ordered);
            walk.take(&ids(&[3, 5]), &facts(2, Some(3), None)).unwrap();
            let fresh = walk.take(&ids(&[5, 7]), &facts(2, Some(4), None)).unwrap();
            assert_eq!(fresh, [false, true], "{ordered}");
        }
    }

    #[test]
    fn a_page_that_comes_again_for_ever_is_noticed() {
        let paging = numbered();
        for ordered in [true, false] {
            let mut walk = Walk::new(&paging, ordered);
            walk.take(&ids(&[1, 2]), &facts(2, None, None)).unwrap();
            assert!(matches!(walk.take(&ids(&[1, 2]), &facts(2, None, None)), Err(Astray::Loop(_))), "{ordered}");
        }
    }

    #[test]
    fn cursors_must_advance() {
        let paging = cursor();
        let mut walk = Walk::new(&paging, false);
        walk.take(&ids(&[1]), &facts(1, None, Some("a"))).unwrap();
        walk.take(&[], &facts(0, None, Some("b"))).unwrap();
        assert_eq!(walk.token(), Some(&Token::Named("b".to_owned())), "an empty page is not the last");
        assert!(matches!(walk.take(&ids(&[3]), &facts(1, None, Some("a"))), Err(Astray::Loop(_))));
    }

    #[test]
    fn a_keyset_goes_on_behind_the_last_id_and_ends_with_an_empty_page() {
        let paging = paging(PageKind::Keyset);
        let mut walk = Walk::new(&paging, true);
        walk.take(&ids(&[3]), &facts(1, None, None)).unwrap();
        assert_eq!(walk.token(), Some(&Token::After(3)), "a short page is not the last");
        walk.take(&ids(&[5, 8]), &facts(2, None, None)).unwrap();
        walk.take(&[], &facts(0, None, None)).unwrap();
        assert_eq!((walk.token(), walk.seen), (None, 3));
        // The product takes no notice of where to go on.
        let mut walk = Walk::new(&paging, true);
        walk.take(&ids(&[3, 5]), &facts(2, None, None)).unwrap();
        assert!(matches!(walk.take(&ids(&[3, 5]), &facts(2, None, None)), Err(Astray::Loop(_))));
        let text = [Raw::Text("gid".into())];
        assert_eq!(Walk::new(&paging, true).take(&text, &facts(1, None, None)), Err(Astray::Unordered));
    }

    #[test]
    fn smaller_pages_than_asked_for_skip_nothing() {
        let paging = paging(PageKind::Offset { param: "offset".to_owned() });
        let mut walk = Walk::new(&paging, false);
        walk.take(&ids(&[1]), &facts(1, Some(3), None)).unwrap();
        assert_eq!(walk.token(), Some(&Token::Number(1)));
        walk.take(&ids(&[2]), &facts(1, Some(3), None)).unwrap();
        walk.take(&ids(&[3]), &facts(1, Some(3), None)).unwrap();
        assert_eq!(walk.token(), None);
    }

    #[test]
    fn pages_by_offset_without_a_total_overlap() {
        let paging = Paging { size: 3, ..paging(PageKind::Offset { param: "offset".to_owned() }) };
        let walk = |pages: &[&[i64]]| {
            let mut walk = Walk::new(&paging, false);
            let mut taken = Ok(Vec::new());
            for page in pages {
                taken = walk.take(&ids(page), &facts(page.len() as u64, None, None));
            }
            (taken, walk)
        };
        let number = |number: u64| Some(Token::Number(number));
        let (_, at) = walk(&[&[1, 2, 3]]);
        assert_eq!(at.token().cloned(), number(2));
        let (taken, at) = walk(&[&[1, 2, 3], &[3, 4, 5]]);
        assert_eq!((taken, at.token().cloned(), at.seen), (Ok(vec![false, true, true]), number(4), 5));
        let (_, at) = walk(&[&[1, 2, 3], &[3, 4, 5], &[5]]);
        assert_eq!((at.token(), at.seen), (None, 5), "nothing behind the last one");
        // One record before went: the third is now where nobody would look again.
        assert!(matches!(walk(&[&[1, 2, 3], &[4, 5, 6]]).0, Err(Astray::Moved(_))));
        assert!(matches!(walk(&[&[1, 2, 3], &[]]).0, Err(Astray::Moved(_))));
        // One came in front: the same page again, and then what lies behind.
        let (taken, at) = walk(&[&[1, 2, 3], &[1, 2, 3], &[3, 4, 5]]);
        assert_eq!((taken, at.seen), (Ok(vec![false, true, true]), 5));
        // The same page for ever.
        assert!(matches!(walk(&[&[1, 2, 3], &[1, 2, 3], &[1, 2, 3]]).0, Err(Astray::Loop(_))));
        let halted = Walk::resume(&paging, false, &walk(&[&[1, 2, 3]]).1.halt().unwrap());
        assert_eq!((halted.token().cloned(), halted.overlap), (number(2), Some(hash(&Raw::Int(3)))));
    }

    #[test]
    fn an_order_that_is_ignored_is_noticed() {
        let paging = numbered();
        assert_eq!(Walk::new(&paging, true).take(&ids(&[2, 1]), &facts(2, None, None)), Err(Astray::Unordered));
    }

    #[test]
    fn a_list_that_is_longer_than_what_is_given_is_not_walked() {
        let paging = Paging { cap: Some(10), ..numbered() };
        assert!(Walk::new(&paging, true).take(&ids(&[1, 2]), &facts(2, Some(10), None)).is_ok());
        let capped = Walk::new(&paging, true).take(&ids(&[1, 2]), &facts(2, Some(11), None));
        assert_eq!(capped, Err(Astray::Capped(11)));
    }

    #[test]
    fn a_halted_walk_goes_on() {
        let paging = numbered();
        let mut walk = Walk::new(&paging, true);
        walk.take(&ids(&[1, 2]), &facts(2, Some(3), None)).unwrap();
        let mut walk = Walk::resume(&paging, true, &walk.halt().unwrap());
        assert_eq!(walk.take(&ids(&[2, 3]), &facts(2, Some(3), None)).unwrap(), [false, true]);
        assert_eq!((walk.seen, walk.token()), (3, None));
    }
}
