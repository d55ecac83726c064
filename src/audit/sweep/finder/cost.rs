//! What digests and plain reads cost each side, measured on some thousand rows.

use std::sync::Arc;
use std::time::Instant;

use super::{Comparison, Finder, SweepError, SweepSide, both, since};
use crate::connect::{Mark, ReadError};
use crate::sweep::{Cost, Recipe, Span, parts_of};

/// Rows that are measured.
const ROWS: f64 = 20_000.0;
/// Smaller tables are soon swept either way.
const SMALL: u64 = 200_000;
/// Rows of a part whose digest is asked for.
const PART: u32 = 512;
/// Fewer rows tell nothing.
const ENOUGH: u64 = 2_000;

/// What both sides take for a span from the middle of the keys; `None` where that says nothing.
pub(super) async fn measure(finder: &Finder, recipes: &Arc<[Recipe; 2]>) -> Result<Option<[Cost; 2]>, SweepError> {
    let Some(rows) = finder.rows().filter(|rows| *rows >= SMALL && finder.goes_by_spans()) else { return Ok(None) };
    let (low, high) = finder.ends();
    let width = ((high as f64 - low as f64) / rows as f64 * ROWS) as i64;
    let middle = low.midpoint(high);
    let span = Span { after: Some(middle), until: Some(middle.saturating_add(width)) };
    match measured(finder, recipes, span).await {
        Err(SweepError::Read(ReadError::TimedOut { .. })) => Ok(None),
        measured => measured,
    }
}

async fn measured(finder: &Finder, recipes: &Arc<[Recipe; 2]>, span: Span) -> Result<Option<[Cost; 2]>, SweepError> {
    let parts: Arc<[Span]> = parts_of(span, finder.ends(), ROWS as u32 / PART).spans(span).into();
    let digests = |side: &SweepSide, mark: Mark| digest(side.clone(), Arc::clone(recipes), mark, Arc::clone(&parts));
    let plains = |side: &SweepSide, mark: Mark| plain(side.clone(), finder.plain.clone(), mark, span);
    // The first read of the rows may come from disk: it is nobody's cost.
    both(digests(&finder.owner, Mark::Owner), digests(&finder.target, Mark::Target)).await?;
    let plain = both(plains(&finder.owner, Mark::Owner), plains(&finder.target, Mark::Target)).await?;
    let digest = both(digests(&finder.owner, Mark::Owner), digests(&finder.target, Mark::Target)).await?;
    let cost = |side: &SweepSide, digest: Measured, plain: Measured| {
        let is_enough = digest.rows >= ENOUGH && plain.rows >= ENOUGH;
        let system = side.mapping.system.to_string();
        is_enough.then(|| Cost { system, digests: digest.rate(), reads: plain.rate() })
    };
    let ours = cost(&finder.owner, digest.0, plain.0);
    Ok(ours.zip(cost(&finder.target, digest.1, plain.1)).map(<[Cost; 2]>::from))
}

/// So many rows in so many seconds.
#[derive(Clone, Copy, Default)]
struct Measured {
    rows: u64,
    seconds: f64,
}

impl Measured {
    fn new(rows: u64, began: Instant) -> Self {
        Self { rows, seconds: since(began).as_secs_f64() }
    }

    fn rate(self) -> f64 {
        self.rows as f64 / self.seconds.max(1e-6)
    }
}

async fn digest(
    side: SweepSide,
    recipes: Arc<[Recipe; 2]>,
    mark: Mark,
    parts: Arc<[Span]>,
) -> Result<Measured, ReadError> {
    let began = Instant::now();
    let Some(sweeper) = side.sweeper() else { return Ok(Measured::default()) };
    let found = sweeper.digest_spans(&side.mapping, &recipes[mark as usize], mark, &parts).await?;
    Ok(Measured::new(found.iter().map(|part| part.rows).sum(), began))
}

async fn plain(side: SweepSide, comparison: Comparison, mark: Mark, span: Span) -> Result<Measured, ReadError> {
    let began = Instant::now();
    let rows = match (comparison, side.sweeper()) {
        (Comparison::Ours(recipes), Some(sweeper)) => {
            sweeper.read_hashes(&side.mapping, &recipes[mark as usize], mark, span).await?.len() as u64
        }
        _ => side.span(span).await?.read,
    };
    Ok(Measured::new(rows, began))
}
