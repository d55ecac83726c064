//! Finds suspects: goes through both sides piece by piece and says which keys were not seen to agree. Gives no verdicts.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::compare::Side;
use crate::connect::{Extent, ReadError};
use crate::model::{Flow, FlowField, Tolerance};
use crate::sweep::{
    Choice, Facts, Form, Obstacle, Pace, Recipe, Sample, Span, Strategy, choose, common_forms, names_keys, parts_of,
    recipes,
};

use super::disk::Shelf;
use super::side::SweepSide;

mod cost;
mod named;
mod pages;
mod rows;
mod scan;
mod spans;

use pages::Pages;
use scan::Scan;
use spans::Spans;

/// A key in the canonical encoding.
pub type Name = Box<[u8]>;

/// Why a sweep stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// A side could not be read. Nothing is said of what was not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What does not fit into memory could not be kept on disk.
    #[error("the sweep's temporary files cannot be used")]
    Disk(#[from] io::Error),
    /// What was asked for is not possible.
    #[error("`--strategy digest` is not possible: {0}")]
    Impossible(String),
    /// A task of ours died.
    #[error("a task of the sweep died")]
    Died(#[from] tokio::task::JoinError),
}

/// What one piece came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Rows of the owner that were compared, by digest or one by one.
    pub owner_rows: u64,
    /// Rows of the target.
    pub target_rows: u64,
    /// Share of the whole that is done, in thousandths.
    pub done: u64,
}

/// What a sweep needs besides its sides.
#[derive(Clone, Debug)]
pub struct Options {
    /// What was asked for; `None` lets the sweep choose.
    pub strategy: Option<Strategy>,
    /// What it may keep in memory, in bytes.
    pub memory: usize,
}

/// A span of which so much differs that its rows are not compared here: whoever judges reads it as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Which keys.
    pub span: Span,
    /// Most of them that may be judged at once.
    pub most: u64,
    /// What their records may take in memory.
    pub bytes: usize,
}

/// What judging a [`Whole`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// All that differs in it has been judged.
    Through {
        /// Rows of the owner in it.
        owner_rows: u64,
        /// Rows of the target.
        target_rows: u64,
        /// Keys that differ, those in flight among them.
        differing: u64,
    },
    /// Nothing was judged: more keys differ than may be judged at once, or it took too long.
    TooMany,
    /// Nothing was judged: its records do not fit into memory.
    TooHeavy,
}

/// Goes through both sides.
pub struct Finder {
    owner: SweepSide,
    target: SweepSide,
    memory: usize,
    choice: Choice,
    is_free: bool,
    way: Way,
    extents: [Extent; 2],
    tolerances: Vec<Tolerance>,
    piece: Piece,
    sample: Option<Sample>,
    /// How rows that are read are compared, where they lie in spans of keys.
    plain: Comparison,
}

/// How the rows of spans are compared.
#[derive(Clone)]
enum Comparison {
    /// By hashes that the databases compute.
    Theirs(Arc<[Recipe; 2]>),
    /// By hashes of the rows as they come, computed here.
    Ours(Arc<[Recipe; 2]>),
    /// As records.
    Records,
}

/// Whether rows are looked at first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Look,
    GoOn,
}

enum Way {
    Spans(Spans),
    Pages(Pages),
    Scan(Scan),
    Over,
}

/// Rows that a piece read row by row may hold: two sides of these fit into the budget.
const MOST_ROWS: u64 = 50_000;
/// Rows of a piece that the database hashes.
const MOST_HASHED: u64 = 4_000_000;
/// So many spans can be gone through by themselves at most.
const MOST_DIVIDED: u64 = 1_024;
/// Rows that lie in the order of their keys at least so well are hashed by spans of keys.
const IN_ORDER: f64 = 0.9;

impl Finder {
    /// Looks at some rows of both sides and chooses the way.
    ///
    /// # Errors
    /// When a side cannot be read, or what was asked for is not possible.
    pub async fn begin(
        owner: SweepSide,
        target: SweepSide,
        tolerances: Vec<Tolerance>,
        options: Options,
    ) -> Result<Self, SweepError> {
        Self::open(owner, target, tolerances, options, First::Look).await
    }

    /// For a sweep that has begun: chooses the way without a look at rows.
    ///
    /// # Errors
    /// When a side cannot be read.
    pub async fn resume(
        owner: SweepSide,
        target: SweepSide,
        tolerances: Vec<Tolerance>,
        options: Options,
    ) -> Result<Self, SweepError> {
        Self::open(owner, target, tolerances, options, First::GoOn).await
    }

    async fn open(
        owner: SweepSide,
        target: SweepSide,
        tolerances: Vec<Tolerance>,
        options: Options,
        first: First,
    ) -> Result<Self, SweepError> {
        let (ours, theirs) = both(extent(owner.clone()), extent(target.clone())).await?;
        let extents = [ours, theirs];
        let recipes = if options.strategy == Some(Strategy::Stream) {
            Err(Obstacle::Mapping(String::new()))
        } else {
            common_recipes(&owner, &target, Hashed::There).await?
        };
        let can_hash = extents.iter().all(|extent| extent.is_counted || extent.pages.is_some());
        let recipes = recipes.and_then(|recipes| {
            let reason = "neither spans of keys nor pages of the tables can be read".to_owned();
            if can_hash { Ok(recipes) } else { Err(Obstacle::Mapping(reason)) }
        });
        let mut finder = Self {
            owner,
            target,
            memory: options.memory,
            choice: Choice { strategy: Strategy::Stream, reason: String::new() },
            is_free: options.strategy.is_none(),
            way: Way::Over,
            extents,
            tolerances,
            piece: Piece::default(),
            sample: None,
            plain: Comparison::Records,
        };
        let obstacle = recipes.as_ref().err().map(Obstacle::to_string);
        let recipes = recipes.ok().map(|recipes| Comparison::Theirs(Arc::new(recipes)));
        finder.plain = finder.plain_recipes().await?;
        if first == First::Look {
            finder.sample = finder.look(recipes.as_ref().unwrap_or(&finder.plain)).await?;
        }
        let read_for_one = if finder.goes_by_spans() { 1 } else { pages::ROWS_A_BUCKET };
        let costs = match &recipes {
            Some(Comparison::Theirs(recipes))
                if first == First::Look && finder.is_free && !finder.sample().is_wide() =>
            {
                cost::measure(&finder, recipes).await?
            }
            _ => None,
        };
        let facts = Facts { obstacle, sample: finder.sample, read_for_one, costs };
        finder.choice = choose(options.strategy, &facts).map_err(SweepError::Impossible)?;
        finder.way = finder.way(recipes.filter(|_| finder.choice.strategy == Strategy::Digest))?;
        Ok(finder)
    }

    /// Looks at some rows of both sides, to know about how many differ.
    async fn look(&self, comparison: &Comparison) -> Result<Option<Sample>, SweepError> {
        let Some(rows) = self.rows() else { return Ok(None) };
        if !self.is_counted() {
            return if self.owner.only.is_none() { named::look(self, rows).await } else { Ok(None) };
        }
        let [at_once, one_by_one] = spans::LOOKS;
        let looks = if matches!(comparison, Comparison::Theirs(_)) { at_once } else { one_by_one };
        let Some(spans) = spans::looks(self.ends(), rows, looks) else { return Ok(None) };
        let mut sample = Sample::default();
        if let Comparison::Theirs(recipes) = comparison {
            let (differing, rows) = rows::hashes_of(self, recipes, spans).await?;
            sample.add(rows.0.max(rows.1), differing.len() as u64);
            return Ok(Some(sample));
        }
        for span in spans {
            let (found, rows) = rows::read(self, comparison, span).await?;
            sample.add(rows.0.max(rows.1), found.len() as u64);
        }
        Ok(Some(sample))
    }

    /// How rows that are read are compared: by hashes where those of equal records are equal.
    async fn plain_recipes(&self) -> Result<Comparison, SweepError> {
        let flow = &self.owner.flow;
        let is_exact = |field: &FlowField| {
            field.tolerance.is_none() && field.owner_projection.is_empty() && field.target_projection.is_empty()
        };
        let is_limited = self.owner.only.is_some() || self.target.only.is_some();
        if is_limited || !flow.fields.iter().all(is_exact) {
            return Ok(Comparison::Records);
        }
        let Ok(recipes) = common_recipes(&self.owner, &self.target, Hashed::Here).await? else {
            return Ok(Comparison::Records);
        };
        // Rows out of scope would be suspects wherever only one side holds them.
        let mut sides = recipes.iter().zip([&self.owner.mapping, &self.target.mapping]);
        let is_named = sides.all(|(recipe, mapping)| names_keys(recipe, mapping) && mapping.scope.is_empty());
        let can_hash = self.is_counted() || is_named;
        Ok(if can_hash { Comparison::Ours(Arc::new(recipes)) } else { Comparison::Records })
    }

    /// The smallest and the largest key of both sides.
    fn ends(&self) -> (i64, i64) {
        let ends = self.extents.iter().filter_map(|extent| extent.keys);
        ends.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1))).unwrap_or((0, 0))
    }

    fn is_counted(&self) -> bool {
        self.extents.iter().all(|extent| extent.is_counted)
    }

    /// What the first look at some rows said; nothing when there was none.
    pub fn sample(&self) -> Sample {
        self.sample.unwrap_or_default()
    }

    /// About how many keys differ, from the first look, if there was one.
    pub fn about(&self) -> Option<u64> {
        let sample = self.sample?;
        Some((self.rows()? as f64 * sample.share()).round() as u64)
    }

    fn has_pages(&self) -> bool {
        self.extents.iter().all(|extent| extent.pages.is_some())
    }

    /// Whether digests are asked for by spans of keys, and not by the tables' pages.
    fn goes_by_spans(&self) -> bool {
        let in_order = self.extents.iter().all(|extent| extent.in_order >= IN_ORDER);
        self.is_counted() && (in_order || !self.has_pages())
    }

    fn way(&self, digests: Option<Comparison>) -> Result<Way, SweepError> {
        Ok(match digests {
            Some(digests) if self.goes_by_spans() => Way::Spans(Spans::new(self, digests)),
            Some(Comparison::Theirs(recipes)) if self.has_pages() => Way::Pages(Pages::new(self, recipes)),
            _ if self.is_counted() => Way::Spans(Spans::new(self, self.plain.clone())),
            _ => Way::Scan(Scan::new(self)?),
        })
    }

    /// All keys in spans of about so many rows, which can be gone through by themselves; `None` where that cannot be.
    pub fn divided(&self, rows: u64) -> Option<Vec<Span>> {
        let count = (self.rows().unwrap_or(0) / rows.max(1)).clamp(1, MOST_DIVIDED);
        let parts = parts_of(Span::ALL, self.ends(), u32::try_from(count).unwrap_or(1));
        matches!(self.way, Way::Spans(_)).then(|| parts.spans(Span::ALL))
    }

    /// Goes through this span next, and nothing else; `piece` is what was gone through of it before. `false` where keys do not
    /// lie in spans.
    pub fn enter(&mut self, span: Span, piece: Piece) -> bool {
        let Way::Spans(spans) = &mut self.way else { return false };
        spans.enter(span, piece);
        self.piece = piece;
        true
    }

    /// What is left of the span under way.
    pub const fn rest(&self) -> Option<Span> {
        match &self.way {
            Way::Spans(spans) => Some(spans.rest()),
            _ => None,
        }
    }

    /// How differences are looked for at present, and why.
    pub const fn choice(&self) -> &Choice {
        &self.choice
    }

    /// Whether everything has been gone through.
    pub const fn is_over(&self) -> bool {
        match &self.way {
            Way::Spans(spans) => spans.is_done(),
            Way::Pages(pages) => pages.is_done(),
            Way::Scan(scan) => scan.is_done(),
            Way::Over => true,
        }
    }

    /// What has been gone through.
    pub const fn piece(&self) -> Piece {
        self.piece
    }

    /// Rows that have waited on disk for their partners.
    pub const fn spilled(&self) -> u64 {
        match &self.way {
            Way::Scan(scan) => scan.spilled(),
            Way::Pages(pages) => pages.spilled(),
            _ => 0,
        }
    }

    /// Rows of the larger side, as its database estimates them.
    pub fn rows(&self) -> Option<u64> {
        self.extents.iter().filter_map(|extent| extent.rows).max()
    }

    /// Goes through the next piece; `None` when everything has been gone through. Suspects are put on the shelf.
    ///
    /// # Errors
    /// When a side cannot be read, or the disk fails.
    pub async fn next(&mut self, suspects: &mut Shelf<Name>) -> Result<Option<Piece>, SweepError> {
        if self.is_over() {
            return Ok(None);
        }
        // A way may put another one in its place.
        let mut way = std::mem::replace(&mut self.way, Way::Over);
        let piece = match &mut way {
            Way::Spans(spans) => spans.next(self, suspects).await,
            Way::Pages(pages) => pages.next(self, suspects).await,
            Way::Scan(scan) => scan.next(self, suspects).await,
            Way::Over => return Ok(None),
        };
        if matches!(self.way, Way::Over) {
            self.way = way;
        }
        self.piece = piece?;
        Ok(Some(self.piece))
    }

    /// The first of the spans that the last [`next`](Self::next) left to be judged as a whole, if it did. It comes again until
    /// [`take_judged`](Self::take_judged) is told what became of it.
    pub fn whole(&self) -> Option<Whole> {
        self.wholes().into_iter().next()
    }

    /// All spans that the last [`next`](Self::next) left to be judged, in the order in which [`take_judged`](Self::take_judged)
    /// wants to hear of them. More than one only where any number of keys can be judged.
    pub fn wholes(&self) -> Vec<Whole> {
        match &self.way {
            Way::Spans(spans) => spans.wholes(self.memory),
            _ => Vec::new(),
        }
    }

    /// Whoever judges spans as a whole holds their rows as bytes, of some spans at once.
    pub fn hold_packed(&mut self) {
        let fields = self.owner.mapping.fields.len();
        if let Way::Spans(spans) = &mut self.way {
            spans.hold_packed(self.memory, fields);
        }
    }

    /// At most so many keys can be judged at once from here on.
    pub fn judge_at_most(&mut self, keys: u64) {
        if let Way::Spans(spans) = &mut self.way {
            spans.judge_at_most(keys);
        }
    }

    /// What became of the first span that was left to be judged. Unless it was gone through, the ones behind it are left again
    /// later. What took too long is tried again as a smaller one.
    ///
    /// # Errors
    /// When a side could not be read.
    pub fn take_judged(&mut self, judged: Result<Judged, SweepError>) -> Result<(), SweepError> {
        let Way::Spans(spans) = &mut self.way else { return Ok(()) };
        match judged {
            Ok(judged) => {
                spans.judged(judged);
                self.piece = spans.piece();
                Ok(())
            }
            Err(SweepError::Read(ReadError::TimedOut { .. })) if spans.judged(Judged::TooMany) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Everything is read from here on: most of what was hashed differs.
    fn give_up_digests(&mut self, differing: u64, of: u64, what: &str) {
        let reason = format!("{differing} of {of} {what} differ: reading them all costs less");
        tracing::info!(flow = %self.owner.flow.id, "the sweep goes on by stream: {reason}");
        self.choice = Choice { strategy: Strategy::Stream, reason };
    }
}

async fn extent(side: SweepSide) -> Result<Extent, ReadError> {
    match side.sweeper() {
        Some(sweeper) => sweeper.extent(&side.mapping).await,
        None => Ok(Extent { in_order: 1.0, ..Extent::default() }),
    }
}

/// Who hashes rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hashed {
    There,
    Here,
}

/// What is hashed alike of both sides; else why nothing is.
async fn common_recipes(
    owner: &SweepSide,
    target: &SweepSide,
    hashed: Hashed,
) -> Result<Result<[Recipe; 2], Obstacle>, ReadError> {
    let flow: &Flow = &owner.flow;
    let names: Vec<&str> = flow.fields.iter().map(|field| field.name.as_str()).collect();
    let found = match recipes(flow, &names, &[]) {
        Ok(found) => found,
        Err(obstacle) => return Ok(Err(obstacle)),
    };
    let mut forms: Vec<Vec<Form>> = Vec::with_capacity(2);
    for (side, recipe) in [owner, target].into_iter().zip(&found) {
        let Some(sweeper) = side.sweeper() else {
            return Ok(Err(Obstacle::NotADatabase(side.mapping.system.to_string())));
        };
        let forms_of_side = match hashed {
            Hashed::There => sweeper.forms(&side.mapping, recipe).await?,
            Hashed::Here => sweeper.plain_forms(&side.mapping, recipe).await?,
        };
        match forms_of_side {
            Ok(of_side) => forms.push(of_side),
            Err(obstacle) => return Ok(Err(obstacle)),
        }
    }
    let (owners, targets) = (owner.mapping.system.to_string(), target.mapping.system.to_string());
    let reads_as: Vec<_> = found[0].key.iter().chain(&found[0].values).map(|item| item.reads_as).collect();
    let Some(common) = common_forms(&forms[0], &forms[1], &reads_as) else {
        return Ok(Err(Obstacle::Mapping(format!("`{owners}` and `{targets}` hold a field in different types"))));
    };
    Ok(Ok(found.map(|recipe| with_forms(recipe, &common))))
}

fn with_forms(mut recipe: Recipe, forms: &[Form]) -> Recipe {
    for (item, form) in recipe.key.iter_mut().chain(&mut recipe.values).zip(forms) {
        item.form = *form;
    }
    recipe
}

/// Runs the same work on both sides at once, each in a task of its own.
async fn both<T: Send + 'static>(
    owner: impl Future<Output = Result<T, ReadError>> + Send + 'static,
    target: impl Future<Output = Result<T, ReadError>> + Send + 'static,
) -> Result<(T, T), SweepError> {
    let (owner, target) = (AbortOnDrop::spawn(owner), AbortOnDrop::spawn(target));
    let (owner, target) = tokio::join!(owner.outcome(), target.outcome());
    Ok((owner??, target??))
}

/// A task that ends when nobody waits for it any more.
pub(in crate::audit) struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T: Send + 'static> AbortOnDrop<T> {
    /// Begins it.
    pub fn spawn(task: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }

    /// What it came to.
    pub async fn outcome(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Puts names on a shelf where nothing can be said of a disk that fails; it is said at the end.
struct Shelving<'s> {
    suspects: &'s mut Shelf<Name>,
    disk: io::Result<()>,
}

impl<'s> Shelving<'s> {
    const fn new(suspects: &'s mut Shelf<Name>) -> Self {
        Self { suspects, disk: Ok(()) }
    }

    fn push(&mut self, name: &[u8]) {
        if self.disk.is_ok() {
            self.disk = self.suspects.push(name.into());
        }
    }
}

fn shelve(suspects: &mut Shelf<Name>, mut found: Vec<Name>) -> io::Result<()> {
    found.sort_unstable();
    found.dedup();
    found.into_iter().try_for_each(|name| suspects.push(name))
}

/// Share in thousandths.
fn thousandths(part: i128, whole: i128) -> u64 {
    u64::try_from((part * 1_000 / whole.max(1)).clamp(0, 1_000)).unwrap_or(1_000)
}

/// Time since `began`; for how fast pieces are, not for verdicts.
fn since(began: Instant) -> Duration {
    began.elapsed()
}

const SIDES: [Side; 2] = [Side::Owner, Side::Target];
