//! What comes next in a walk: a survey of the key order, a piece of it, or the next page of a list that is followed.

use uuid::Uuid;

use super::draw::{Draw, Quota};
use crate::audit::unit::{SideParts, Unit};
use crate::audit::walk::{Visit, Walk};
use crate::connect::{Bound, KeyRange, Landmark, Place, RangeRead, Reach, ReadError};
use crate::estimate::piece_of;

/// Statements of a survey that one run may make; a longer survey goes on in the next run.
const HOPS_A_RUN: usize = 400;
/// A piece of the target may have so many times the rows of the owner's before the two orders count as different.
pub(super) const MOST_EXTRA: usize = 20;

/// One piece of a walk, as it was read.
pub(super) struct Piece {
    pub visit: Visit,
    /// Where it ended; `None` at the arc's end. Of a list that is followed: where it goes on.
    pub at: Option<Landmark>,
    /// How many records the list that is followed says it has.
    pub total: Option<u64>,
    pub read: RangeRead,
}

/// What comes next in a walk.
pub(super) enum Next {
    Piece(Box<Piece>),
    /// Nothing in this run: it has drawn its keys, the pass is over, or the survey goes on in the next run.
    Enough,
    /// Nothing in this part of the run: its time is over.
    Later,
    /// Nothing ever: the system can neither be entered nor followed.
    Nowhere,
}

/// A piece to be read.
pub(super) struct Ahead {
    visit: Visit,
    is_followed: bool,
    /// Keys that it should have.
    keys: usize,
}

impl Unit {
    /// Reads the walk's next piece, and what has to be read to know where it lies.
    pub(super) async fn next_piece(
        &self,
        side: &SideParts,
        walk: &mut Walk,
        quota: Quota,
        draw: &mut Draw,
    ) -> Result<Next, ReadError> {
        if quota.is_drawn() {
            return Ok(Next::Enough);
        }
        if walk.is_over() {
            walk.begin(self.shared.clock.now(), quota.keys, chance());
        }
        match survey(side, walk, || draw.is_over(self.shared.clock.now())).await? {
            Surveyed::All => {}
            Surveyed::Part => return Ok(Next::Enough),
            Surveyed::Later => return Ok(Next::Later),
            Surveyed::Nowhere => walk.follow(),
        }
        match Ahead::of(walk, quota) {
            Some(ahead) => ahead.read(side).await,
            None => Ok(Next::Enough),
        }
    }
}

impl Ahead {
    /// The next piece of a walk whose survey is done; `None` when its pass is over or the quota is drawn.
    pub(super) fn of(walk: &mut Walk, quota: Quota) -> Option<Self> {
        if quota.is_drawn() {
            return None;
        }
        let keys = usize::try_from(piece_of(quota.keys as u64)).unwrap_or(quota.keys);
        let keys = keys.min(quota.keys - quota.drawn).max(1);
        Some(Self { visit: walk.visit(chance)?, is_followed: walk.is_followed, keys })
    }

    /// Reads it.
    pub(super) async fn read(self, side: &SideParts) -> Result<Next, ReadError> {
        let Self { visit, is_followed, keys } = self;
        if is_followed {
            return next_page(side, visit).await;
        }
        let bound = |landmark: &'_ Option<Landmark>| landmark.as_ref().map(|landmark| landmark.place.clone());
        let (after, until) = (bound(&visit.after), bound(&visit.until));
        let after = after.as_ref().map_or(Bound::Open, Bound::Place);
        let until = until.as_ref().map_or(Bound::Open, Bound::Place);
        let reach = side.reader.landmark(&side.mapping, KeyRange { after, until }, keys).await?;
        let at = if let Reach::At(landmark) = reach { Some(landmark) } else { None };
        let until = at.as_ref().map_or(until, |landmark| Bound::Place(&landmark.place));
        let read = side.reader.key_range(&side.mapping, KeyRange { after, until }, keys * MOST_EXTRA).await?;
        // A reader that gave the place goes there; rows beyond the limit are more of one key than anybody means.
        Ok(read.map_or(Next::Nowhere, |read| Next::Piece(Box::new(Piece { visit, at, total: None, read }))))
    }
}

/// How far a survey came.
enum Surveyed {
    All,
    Part,
    Later,
    Nowhere,
}

/// Goes on with a survey until it is done, has made its hops or `is_over` says that it is time for others.
async fn survey(
    side: &SideParts,
    walk: &mut Walk,
    mut is_over: impl FnMut() -> bool + Send,
) -> Result<Surveyed, ReadError> {
    for _ in 0..HOPS_A_RUN {
        let Some(hop) = walk.hop() else { return Ok(Surveyed::All) };
        let after = hop.after.as_ref().map_or(Bound::Open, |after| Bound::Place(&after.place));
        let range = KeyRange { after, until: Bound::Open };
        match side.reader.landmark(&side.mapping, range, hop.keys).await? {
            Reach::At(landmark) => walk.hopped(hop.keys, &landmark, chance()),
            Reach::End => walk.surveyed_all(hop.keys),
            Reach::Nowhere => return Ok(Surveyed::Nowhere),
        }
        if walk.hop().is_some() && is_over() {
            return Ok(Surveyed::Later);
        }
    }
    Ok(if walk.hop().is_none() { Surveyed::All } else { Surveyed::Part })
}

/// Reads the next page of a list that is followed.
async fn next_page(side: &SideParts, visit: Visit) -> Result<Next, ReadError> {
    let from: Option<&Place> = visit.after.as_ref().map(|after| &after.place);
    let Some(page) = side.reader.follow(&side.mapping, from).await? else { return Ok(Next::Nowhere) };
    let read = RangeRead { records: page.records, window: page.window, complete: true };
    let at = page.next.map(|place| Landmark { place, key: None });
    Ok(Next::Piece(Box::new(Piece { visit, at, total: page.total, read })))
}

/// A list that does not add up at its end is followed anew; one that could not be read is gone on with.
pub(super) fn forget_a_list_that_lies(walk: &mut Walk, error: &ReadError) {
    if walk.is_followed && matches!(error, ReadError::Refused { .. }) {
        walk.forget();
    }
}

/// A number that nobody can foretell: the random part of a UUID.
fn chance() -> u64 {
    Uuid::new_v4().as_u64_pair().1 & (u64::MAX >> 2)
}
