//! Following a list that cannot be entered anywhere: page after page from its beginning, one call each. Between two calls
//! hours may pass.
//!
//! A cursor goes on behind the record that it was made for. Numbered pages shift when records come and go, so the page
//! that holds the last record read is looked for first; what comes behind that record is new.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::HttpReader;
use super::list::Page;
use super::places::is_numbered;
use super::plan::Plan;
use super::request::Query;
use super::walk::{Astray, Token, hash};
use crate::config::pack::PageKind;
use crate::connect::{Followed, Place, ReadError};
use crate::model::{Mapping, Moment, Raw};

/// The first byte of a place in a list that is followed; one that is entered anywhere has 1.
const FORMAT: u8 = 2;

/// Pages that are read around where the last record was, before it counts as lost.
const MOST_TRIES: u64 = 21;

/// Within this time a list with an unchanged total is taken not to have moved.
const STEADY: std::time::Duration = std::time::Duration::from_secs(60);

/// Where a list was left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stand {
    /// Digest of what is read and how.
    fingerprint: u64,
    /// When the last page was read.
    at: Moment,
    /// What comes next.
    next: Next,
    /// Records so far.
    seen: u64,
    /// The list's length at first and at last, if it tells.
    totals: Option<(u64, u64)>,
    pages: u64,
    /// A page read earlier: the one whose number is the last power of two. Whoever meets it again walks in circles
    /// (Brent's cycle detection: one mark finds a circle of any length).
    mark: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Next {
    /// The page of this name.
    Named(String),
    /// The page behind the record of this id.
    After(i64),
    /// What lies behind the record with this id, by its hash, which was the one with so many before it.
    Behind { id: u64, index: u64 },
}

/// A page and which of its records are new.
struct Turned {
    page: Page,
    /// Records of the page that were read before.
    known: usize,
    /// Records of the list before the page's first.
    index: u64,
}

impl HttpReader {
    /// The next page of a list; `None` where it can be entered anywhere or is longer than the product gives.
    pub(super) async fn follow_list(
        &self,
        mapping: &Mapping,
        from: Option<&Place>,
    ) -> Result<Option<Followed>, ReadError> {
        let plan = self.plan(mapping)?;
        if is_numbered(&plan) {
            return Ok(None);
        }
        let stand = from.map(|place| decode(place, plan.fingerprint()).ok_or_else(|| self.lost())).transpose()?;
        let turned = match &stand {
            None => {
                Turned { page: self.page(mapping, &plan, &Query::default(), &Token::First).await?, known: 0, index: 0 }
            }
            Some(stand) => self.turn(mapping, &plan, stand).await?,
        };
        if turned.page.facts.total.zip(plan.entity.page.cap).is_some_and(|(total, cap)| total > cap) {
            return Ok(None);
        }
        let next = self.left_at(&plan, stand.as_ref(), &turned)?;
        let Turned { page, known, .. } = turned;
        let next = next.map(|stand| encode(&stand).ok_or_else(|| self.lost())).transpose()?;
        let records = page.records.into_iter().skip(known).collect();
        Ok(Some(Followed { records, window: page.window, next, total: page.facts.total }))
    }

    async fn turn(&self, mapping: &Mapping, plan: &Plan, stand: &Stand) -> Result<Turned, ReadError> {
        match &stand.next {
            Next::Named(name) => match self.page(mapping, plan, &Query::default(), &Token::Named(name.clone())).await {
                Ok(page) => Ok(Turned { page, known: 0, index: 0 }),
                // Products forget cursors after some time.
                Err(ReadError::Shape { .. }) => Err(self.lost()),
                Err(error) => Err(error),
            },
            Next::After(id) => {
                let page = self.page(mapping, plan, &Query::default(), &Token::After(*id)).await?;
                let is_behind = |other: &Raw| matches!(other, Raw::Int(other) if other > id);
                if !page.ids.iter().all(is_behind) {
                    return Err(self.astray(Astray::Unordered));
                }
                Ok(Turned { page, known: 0, index: 0 })
            }
            Next::Behind { id, index } => self.turn_numbered(mapping, plan, stand, (*id, *index)).await,
        }
    }

    async fn turn_numbered(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        stand: &Stand,
        (id, index): (u64, u64),
    ) -> Result<Turned, ReadError> {
        if is_page(plan) && stand.totals.is_some() && self.client.clock.now().since(stand.at) < STEADY {
            let behind = first_behind(plan, index);
            let page = self.page(mapping, plan, &Query::default(), &token(plan, behind)).await?;
            if page.facts.total == stand.totals.map(|(_, last)| last) {
                return Ok(Turned { page, known: 0, index: behind });
            }
        }
        for number in 0..MOST_TRIES {
            let Some(start) = around(plan, index, number) else { continue };
            let page = self.page(mapping, plan, &Query::default(), &token(plan, start)).await?;
            let Some(place) = page.ids.iter().position(|known| hash(known) == id) else { continue };
            let known = place + 1;
            let is_last = page.facts.total.is_some_and(|total| start + page.facts.rows >= total);
            if known < page.ids.len() || is_last {
                return Ok(Turned { page, known, index: start });
            }
            let behind = if is_page(plan) { first_behind(plan, start) } else { start + page.facts.rows };
            let page = self.page(mapping, plan, &Query::default(), &token(plan, behind)).await?;
            return Ok(Turned { page, known: 0, index: behind });
        }
        Err(self.lost())
    }

    /// Where the list is left behind this page; `None` at its end.
    fn left_at(&self, plan: &Plan, before: Option<&Stand>, turned: &Turned) -> Result<Option<Stand>, ReadError> {
        let Turned { page, known, index } = turned;
        let seen = before.map_or(0, |stand| stand.seen) + page.ids.len().saturating_sub(*known) as u64;
        let first = before.and_then(|stand| stand.totals).map(|(first, _)| first);
        let totals = page.facts.total.map(|total| (first.unwrap_or(total), total));
        let Some(next) = self.next_of(plan, page, *index)? else {
            return self.adds_up(seen, totals).map(|()| None);
        };
        let mark = match &next {
            Next::Named(name) => xxh3_64(name.as_bytes()),
            // They only grow.
            Next::After(id) => id.cast_unsigned(),
            Next::Behind { .. } => xxh3_64(&page.ids.iter().flat_map(|id| hash(id).to_le_bytes()).collect::<Vec<_>>()),
        };
        if before.is_some_and(|stand| stand.mark == mark) {
            return Err(self.astray(Astray::Loop("it came to a page that it had passed before".to_owned())));
        }
        let pages = before.map_or(0, |stand| stand.pages) + 1;
        let mark = before.filter(|_| !pages.is_power_of_two()).map_or(mark, |stand| stand.mark);
        let (fingerprint, at) = (plan.fingerprint(), page.window.high);
        Ok(Some(Stand { fingerprint, at, next, seen, totals, pages, mark }))
    }

    fn next_of(&self, plan: &Plan, page: &Page, index: u64) -> Result<Option<Next>, ReadError> {
        match plan.entity.page.kind {
            PageKind::Cursor { .. } | PageKind::Link { .. } => return Ok(page.facts.next.clone().map(Next::Named)),
            PageKind::Keyset => return self.behind_last(page),
            PageKind::Page { .. } | PageKind::Offset { .. } => {}
        }
        let (rows, size) = (page.facts.rows, plan.entity.page.size as u64);
        let behind = index + rows;
        if is_page(plan)
            && let Some(total) = page.facts.total
            && rows < size.min(total.saturating_sub(index))
        {
            let expected = size.min(total.saturating_sub(index));
            return Err(self.astray(Astray::Short(format!(
                "a page of {expected} records holds {rows}; the login may not read the others"
            ))));
        }
        let ends = page.facts.total.map_or(rows == 0, |total| rows == 0 || behind >= total);
        let last = page.ids.last().filter(|_| !ends);
        Ok(last.map(|id| Next::Behind { id: hash(id), index: behind - 1 }))
    }

    /// A keyset goes on behind the last id: they must be numbers in ascending order.
    fn behind_last(&self, page: &Page) -> Result<Option<Next>, ReadError> {
        let number = |id: &Raw| if let Raw::Int(id) = id { Some(*id) } else { None };
        let ids: Option<Vec<i64>> = page.ids.iter().map(number).collect();
        match ids.filter(|ids| ids.is_sorted()) {
            Some(ids) => Ok(ids.last().copied().map(Next::After)),
            None => Err(self.astray(Astray::Unordered)),
        }
    }

    /// At the end of the list: whether as many records came as it says it has.
    fn adds_up(&self, seen: u64, totals: Option<(u64, u64)>) -> Result<(), ReadError> {
        match totals {
            Some((first, last)) if seen < first.min(last) => Err(self.astray(Astray::Short(format!(
                "the list says it has {} records and gave {seen}; the login may not read the others",
                first.min(last)
            )))),
            _ => Ok(()),
        }
    }

    fn lost(&self) -> ReadError {
        let reason = "the place in the list is lost".to_owned();
        ReadError::Cursor { system: self.client.system.clone(), reason }
    }
}

fn is_page(plan: &Plan) -> bool {
    matches!(plan.entity.page.kind, PageKind::Page { .. })
}

/// The page that begins at, or holds, the record of this index.
fn token(plan: &Plan, index: u64) -> Token {
    match &plan.entity.page.kind {
        PageKind::Page { first, .. } => Token::Number(first + index / plan.entity.page.size as u64),
        _ => Token::Number(index),
    }
}

/// The first index behind the page that holds this one.
fn first_behind(plan: &Plan, index: u64) -> u64 {
    let size = plan.entity.page.size as u64;
    (index / size + 1) * size
}

/// Where to look for a record that was at `index`: there, then by turns a page before and behind, further and further.
/// `None` for what lies before the list.
fn around(plan: &Plan, index: u64, number: u64) -> Option<u64> {
    let size = plan.entity.page.size as u64;
    let start = if is_page(plan) { index / size * size } else { index };
    // Without numbers of their own, pages overlap by a record, so that none falls between two.
    let step = if is_page(plan) { size } else { size.max(2) - 1 };
    let away = number.div_ceil(2) * step;
    match number % 2 {
        1 if start == 0 => None,
        1 if start >= away => Some(start - away),
        1 if start + step > away => Some(0),
        1 => None,
        _ => Some(start + away),
    }
}

fn encode(stand: &Stand) -> Option<Place> {
    postcard::to_extend(stand, vec![FORMAT]).ok().map(Place)
}

fn decode(place: &Place, fingerprint: u64) -> Option<Stand> {
    let (&FORMAT, body) = place.0.split_first()? else { return None };
    postcard::from_bytes(body).ok().filter(|stand: &Stand| stand.fingerprint == fingerprint)
}
