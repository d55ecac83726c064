//! Places in a list whose pages are numbered and whose records come in the order of their ids: where samples enter it.
//!
//! A place is the id of a record and how many records were before it when it was found. The id is what counts; the
//! number only says on which page to begin to look, since records come and go.

use serde::{Deserialize, Serialize};

use super::HttpReader;
use super::list::Page;
use super::plan::Plan;
use super::request::Query;
use super::walk::Token;
use crate::config::pack::PageKind;
use crate::connect::{Bound, KeyRange, Landmark, Place, RangeRead, Reach, ReadError};
use crate::model::{Mapping, Raw};

/// The first byte of a place.
const FORMAT: u8 = 1;

/// Pages that are read to the left or right of where a place should be, before it counts as lost.
const MOST_STEPS: u64 = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spot {
    id: i64,
    /// Records up to and with this one.
    number: u64,
}

impl HttpReader {
    /// The place of record number `count` of `within`.
    pub(super) async fn find_place(
        &self,
        mapping: &Mapping,
        within: KeyRange<'_>,
        count: usize,
    ) -> Result<Reach, ReadError> {
        let plan = self.plan(mapping)?;
        let (Some(after), Some(until)) = (self.spot(within.after)?, self.spot(within.until)?) else {
            return Ok(Reach::Nowhere);
        };
        if !is_numbered(&plan) {
            return Ok(Reach::Nowhere);
        }
        let number = after.map_or(0, |after| after.number).saturating_add(count as u64);
        let index = number.saturating_sub(1);
        let page = self.page(mapping, &plan, &Query::default(), &token(&plan, index)).await?;
        let (Some(ids), Some(total)) = (numbers(&page), page.facts.total) else { return Ok(Reach::Nowhere) };
        if number > total {
            return Ok(Reach::End);
        }
        let first = first_index(&plan, index);
        // Records that the login may not read leave the page shorter: the last one stands for those behind it.
        let within_page = usize::try_from(index - first).unwrap_or(usize::MAX);
        let Some(&id) = ids.get(within_page).or(ids.last()) else { return Ok(Reach::End) };
        if until.is_some_and(|until| id > until.id) {
            return Ok(Reach::End);
        }
        // Records that went since may have moved the page to the left of where the range begins.
        if after.is_some_and(|after| id <= after.id) {
            return Ok(Reach::End);
        }
        let spot = Spot { id, number };
        Ok(Reach::At(Landmark { place: encode(spot).ok_or_else(|| self.shape(LOST.to_owned()))?, key: None }))
    }

    /// The records of `range`, at most `limit`. `None` where the list cannot be entered.
    pub(super) async fn read_range(
        &self,
        mapping: &Mapping,
        range: KeyRange<'_>,
        limit: usize,
    ) -> Result<Option<RangeRead>, ReadError> {
        let plan = self.plan(mapping)?;
        let (Some(after), Some(until)) = (self.spot(range.after)?, self.spot(range.until)?) else { return Ok(None) };
        if !is_numbered(&plan) {
            return Ok(None);
        }
        let size = plan.entity.page.size as u64;
        let (mut index, mut page) = self.begin_of(mapping, &plan, after).await?;
        let mut read = RangeRead { records: Vec::new(), window: page.window, complete: true };
        let mut last = after.map_or(i64::MIN, |after| after.id);
        loop {
            let (Some(ids), Some(total)) = (numbers(&page), page.facts.total) else { return Ok(None) };
            self.refuse_hidden(index, size, total, &ids)?;
            read.window.high = page.window.high.max(read.window.high);
            for (id, record) in ids.into_iter().zip(page.records) {
                if until.is_some_and(|until| id > until.id) {
                    return Ok(Some(read));
                }
                if id <= last {
                    continue;
                }
                if read.records.len() == limit {
                    read.complete = false;
                    return Ok(Some(read));
                }
                last = id;
                read.records.push(record);
            }
            index = first_index(&plan, index) + size;
            if index >= total {
                return Ok(Some(read));
            }
            page = self.page(mapping, &plan, &Query::default(), &token(&plan, index)).await?;
        }
    }

    /// Where to begin to read so that nothing behind `after` is left out: the first page, or one whose first record is
    /// not behind it.
    async fn begin_of(&self, mapping: &Mapping, plan: &Plan, after: Option<Spot>) -> Result<(u64, Page), ReadError> {
        let size = plan.entity.page.size as u64;
        let mut index = first_index(plan, after.map_or(0, |after| after.number.saturating_sub(1)));
        for _ in 0..MOST_STEPS {
            let page = self.page(mapping, plan, &Query::default(), &token(plan, index)).await?;
            let first = numbers(&page).and_then(|ids| ids.first().copied());
            if index == 0 || first.zip(after).is_some_and(|(first, after)| first <= after.id) {
                return Ok((index, page));
            }
            // Records before it went: it moved to the left.
            index = index.saturating_sub(size);
        }
        Err(self.shape(LOST.to_owned()))
    }

    fn refuse_hidden(&self, index: u64, size: u64, total: u64, ids: &[i64]) -> Result<(), ReadError> {
        let expected = size.min(total.saturating_sub(index));
        if (ids.len() as u64) < expected {
            let reason = format!("a page of {expected} records holds {}; the login may not read the others", ids.len());
            return Err(ReadError::Refused { system: self.client.system.clone(), reason });
        }
        Ok(())
    }

    /// `None` for a bound that this list does not know: a key.
    fn spot(&self, bound: Bound<'_>) -> Result<Option<Option<Spot>>, ReadError> {
        match bound {
            Bound::Open => Ok(Some(None)),
            Bound::Key(_) => Ok(None),
            Bound::Place(place) => match decode(place) {
                Some(spot) => Ok(Some(Some(spot))),
                None => {
                    let reason = "the place was not made by a list with numbered pages".to_owned();
                    Err(ReadError::Cursor { system: self.client.system.clone(), reason })
                }
            },
        }
    }
}

const LOST: &str = "a place in the list is lost: too many records went";

/// Whether a page can be asked for by its number, the list tells its length and comes in the order of ids.
pub(super) fn is_numbered(plan: &Plan) -> bool {
    let page = &plan.entity.page;
    let numbered = matches!(page.kind, PageKind::Page { .. } | PageKind::Offset { .. });
    numbered && plan.entity.ordered && page.total.is_some() && page.cap.is_none()
}

/// The page that holds the record of this index.
fn token(plan: &Plan, index: u64) -> Token {
    match &plan.entity.page.kind {
        PageKind::Page { first, .. } => Token::Number(first + index / plan.entity.page.size as u64),
        _ => Token::Number(first_index(plan, index)),
    }
}

/// The index of the first record of that page.
fn first_index(plan: &Plan, index: u64) -> u64 {
    let size = plan.entity.page.size as u64;
    index / size * size
}

/// The page's ids, if all are numbers in ascending order.
fn numbers(page: &Page) -> Option<Vec<i64>> {
    let ids: Vec<i64> =
        page.ids.iter().map(|id| if let Raw::Int(id) = id { Some(*id) } else { None }).collect::<Option<_>>()?;
    ids.windows(2).all(|pair| pair[0] < pair[1]).then_some(ids)
}

fn encode(spot: Spot) -> Option<Place> {
    postcard::to_extend(&spot, vec![FORMAT]).ok().map(Place)
}

fn decode(place: &Place) -> Option<Spot> {
    match place.0.split_first() {
        Some((&FORMAT, body)) => postcard::from_bytes(body).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_survive_the_way_through_state() {
        let spot = Spot { id: -7, number: 9 };
        assert_eq!(decode(&encode(spot).unwrap()), Some(spot));
        assert_eq!(decode(&Place(vec![2, 1, 1])), None);
        assert_eq!(decode(&Place(Vec::new())), None);
    }
}
