//! Asks both sides about the same spans at once.

use std::sync::Arc;

use super::{Comparison, Finder, Name, SweepError, SweepSide, both};
use crate::connect::Mark;
use crate::sweep::{Matching, PartDigest, Recipe, Span, differing_keys};

/// The digests of spans on both sides.
pub(super) async fn digests_of(
    finder: &Finder,
    recipes: &Arc<[Recipe; 2]>,
    spans: &[Span],
) -> Result<(Vec<PartDigest>, Vec<PartDigest>), SweepError> {
    let spans: Arc<[Span]> = spans.into();
    let of = |side: &SweepSide, mark: Mark| {
        let (side, recipes, spans) = (side.clone(), Arc::clone(recipes), Arc::clone(&spans));
        async move {
            match side.sweeper() {
                Some(sweeper) => sweeper.digest_spans(&side.mapping, &recipes[mark as usize], mark, &spans).await,
                None => Ok(Vec::new()),
            }
        }
    };
    both(of(&finder.owner, Mark::Owner), of(&finder.target, Mark::Target)).await
}

/// The keys in some spans whose rows the two databases hash differently, and how many rows each side has there.
pub(super) async fn hashes_of(
    finder: &Finder,
    recipes: &Arc<[Recipe; 2]>,
    spans: Vec<Span>,
) -> Result<(Vec<i64>, RowCounts), SweepError> {
    let spans: Arc<[Span]> = spans.into();
    let of = |side: &SweepSide, mark: Mark| {
        let (side, recipes, spans) = (side.clone(), Arc::clone(recipes), Arc::clone(&spans));
        async move {
            match side.sweeper() {
                Some(sweeper) => sweeper.hash_rows(&side.mapping, &recipes[mark as usize], mark, &spans).await,
                None => Ok(Vec::new()),
            }
        }
    };
    let (ours, theirs) = both(of(&finder.owner, Mark::Owner), of(&finder.target, Mark::Target)).await?;
    let rows = (ours.len() as u64, theirs.len() as u64);
    Ok((differing_keys(ours, theirs), rows))
}

/// Keys with these numbers.
pub(super) fn names_of(finder: &Finder, keys: &[i64]) -> Vec<Name> {
    keys.iter().map(|key| finder.owner.name_of(*key)).collect()
}

/// Rows of the owner and of the target.
pub(super) type RowCounts = (u64, u64);

/// Reads a span on both sides. Gives the keys that were not seen to agree, and how many rows each side has.
pub(super) async fn read(
    finder: &Finder,
    comparison: &Comparison,
    span: Span,
) -> Result<(Vec<Name>, RowCounts), SweepError> {
    let Comparison::Ours(recipes) = comparison else { return by_records(finder, span).await };
    let of = |side: &SweepSide, mark: Mark| {
        let (side, recipes) = (side.clone(), Arc::clone(recipes));
        async move {
            match side.sweeper() {
                Some(sweeper) => sweeper.read_hashes(&side.mapping, &recipes[mark as usize], mark, span).await,
                None => Ok(Vec::new()),
            }
        }
    };
    let (ours, theirs) = both(of(&finder.owner, Mark::Owner), of(&finder.target, Mark::Target)).await?;
    let rows = (ours.len() as u64, theirs.len() as u64);
    Ok((names_of(finder, &differing_keys(ours, theirs)), rows))
}

async fn by_records(finder: &Finder, span: Span) -> Result<(Vec<Name>, RowCounts), SweepError> {
    let (owner, target) = (finder.owner.clone(), finder.target.clone());
    let (ours, theirs) = both(owner.span(span), target.span(span)).await?;
    let rows = (ours.read, theirs.read);
    let mut matching = Matching::new(finder.tolerances.clone());
    let mut found: Vec<Name> = Vec::new();
    for (side, rows) in super::SIDES.into_iter().zip([ours, theirs]) {
        matching.take(side, rows.batch, |name| found.push(name.into()));
    }
    found.extend(matching.drain().map(|open| open.name));
    Ok((found, rows))
}
