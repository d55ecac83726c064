//! What one run of a probe sends to owner and target, and what that costs where it is counted in points. Pure.

use std::ops::Add;
use std::time::Duration;

use super::{DAY, SamplePlan};
use crate::config::Config;
use crate::config::pack::{Ask, Lookup, Pack, PackEntity, PageKind};
use crate::model::mapping::Source;
use crate::model::{Flow, Mapping, SystemId};

/// Statements that measure a clock, and how long a measurement serves.
const CLOCK_CALLS: f64 = 3.0;
const CLOCK_GOOD_FOR: f64 = 10.0;
/// Statements of a changes read: the other side's time and the page.
const CHANGES_CALLS: f64 = 2.0;
/// Keys that a survey goes over in one statement once it has taken its stride.
const SURVEY_STEP: f64 = 20_000.0;
/// Statements of a survey beside its long strides, at most: it begins with short ones.
const SURVEY_MARKS: f64 = 900.0;
/// Requests for a piece of a list with numbered pages: where it ends, the page where it begins, and often the next one.
const PIECE_REQUESTS: f64 = 2.5;

/// Statements or requests, the rows that they give, and the points that they cost at most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Use {
    pub calls: f64,
    pub rows: f64,
    pub points: f64,
}

impl Add for Use {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { calls: self.calls + other.calls, rows: self.rows + other.rows, points: self.points + other.points }
    }
}

impl Use {
    const fn of_calls(calls: f64) -> Self {
        Self { calls, rows: 0.0, points: 0.0 }
    }
}

/// What a system can bear.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// Statements or requests a second.
    pub calls: f64,
    /// Points a second that are ours; `None` where it does not count in points.
    pub points: Option<f64>,
}

impl Rates {
    /// Of a system; of an unknown one a request a second.
    pub fn of(config: &Config, system: &SystemId) -> Self {
        let system = config.systems.get(system);
        let cost = system.and_then(|system| system.pack.as_deref()).and_then(|pack| pack.limit.cost.as_ref());
        let calls = system.map_or(1.0, |system| system.budget.requests_per_second);
        Self { calls, points: cost.map(crate::config::pack::Cost::ours) }
    }

    /// Seconds that it takes at these rates.
    pub fn seconds(&self, of_run: Use) -> f64 {
        let points = self.points.map_or(0.0, |rate| of_run.points / rate.max(1e-9));
        (of_run.calls / self.calls.max(1e-9)).max(points)
    }
}

/// What one run of a probe costs a flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Reading the owner; once for all its targets.
    pub owner: Use,
    /// Asking the owner for keys that this target shows.
    pub looked_up: Use,
    /// Reading the target.
    pub target: Use,
    pub interval: Duration,
}

impl Cost {
    pub fn of_changes(config: &Config, flow: &Flow, interval: Duration, keys: u64) -> Self {
        let [(owner, kept_owner), (_, kept)] = sides(config, flow, interval, keys);
        let owner = owner.changes(keys) + kept_owner;
        Self { owner, looked_up: Use::default(), target: kept, interval }
    }

    pub fn of_sample(config: &Config, flow: &Flow, sample: &SamplePlan, keys: u64) -> Self {
        let run = Run::of(sample, keys);
        let interval = sample.interval;
        let [(owner, kept_owner), (target, kept)] = sides(config, flow, interval, keys);
        if let (Side::Database, Side::Database) = (owner, target) {
            // The owner's pieces lead to the target's.
            let led = Use { rows: run.keys, ..Use::of_calls(run.pieces) };
            return Self {
                owner: owner.walk(&run) + kept_owner,
                looked_up: Use::default(),
                target: led + kept,
                interval,
            };
        }
        Self {
            owner: owner.walk(&run) + kept_owner,
            looked_up: owner.look_up(&run),
            target: target.walk(&run) + target.look_up(&run) + kept,
            interval,
        }
    }

    /// What the run sends to both.
    pub fn both(&self) -> Use {
        self.owner + self.looked_up + self.target
    }

    pub fn a_day(&self) -> f64 {
        runs_a_day(self.interval)
    }
}

pub(super) fn runs_a_day(interval: Duration) -> f64 {
    DAY.as_secs_f64() / interval.as_secs_f64().max(1e-3)
}

/// One run of a sample probe.
struct Run {
    keys: f64,
    pieces: f64,
    /// Its share of the survey.
    survey: f64,
}

impl Run {
    fn of(sample: &SamplePlan, all: u64) -> Self {
        let keys = sample.keys_per_run.min(all.max(1)) as f64;
        let runs = all as f64 / keys;
        let survey = (all as f64 / SURVEY_STEP + SURVEY_MARKS.min(runs)) / runs.max(1.0);
        Self { keys, pieces: (keys / sample.piece as f64).ceil(), survey }
    }
}

/// Both sides of a flow, each with what every run costs it: the clock, and an index of keys that keeps up.
fn sides<'c>(config: &'c Config, flow: &Flow, interval: Duration, keys: u64) -> [(Side<'c>, Use); 2] {
    [(&flow.id.owner, &flow.owner), (&flow.id.target, &flow.target)].map(|(system, mapping)| {
        let side = Side::of(config, system, mapping);
        let clock = Use::of_calls(clock_calls(interval));
        // A look that finds something sends as many again.
        let index = if mapping.key_index { side.changes(keys) } else { Use::default() };
        (side, clock + index)
    })
}

/// How a side is walked and asked.
#[derive(Clone, Copy)]
enum Side<'c> {
    Database,
    Service(Service<'c>),
}

/// A dataset of a pack.
#[derive(Clone, Copy)]
struct Service<'c> {
    pack: &'c Pack,
    entity: &'c PackEntity,
    /// How records are asked for by the mapping's key.
    lookup: Option<&'c Lookup>,
}

impl<'c> Side<'c> {
    fn of(config: &'c Config, system: &SystemId, mapping: &Mapping) -> Self {
        let pack = config.systems.get(system).and_then(|system| system.pack.as_deref());
        match pack.and_then(|pack| Some((pack, pack.entity(mapping.dataset.name())?))) {
            Some((pack, entity)) => Self::Service(Service { pack, entity, lookup: lookup_of(entity, mapping) }),
            None => Self::Database,
        }
    }

    /// A read of what changed, if nothing did; of so many keys where all of them must be read.
    fn changes(&self, keys: u64) -> Use {
        let Self::Service(service) = self else { return Use::of_calls(CHANGES_CALLS) };
        let entity = service.entity;
        let lists = 1.0 + entity.also.len() as f64;
        match entity.since {
            Some(_) => Use { rows: 0.0, ..service.pages(lists) } + Use::of_calls(CHANGES_CALLS - 1.0),
            None => service.pages((keys as f64 / entity.page.size as f64).ceil().max(lists)),
        }
    }

    fn walk(&self, run: &Run) -> Use {
        let Self::Service(service) = self else {
            return Use { rows: run.keys, ..Use::of_calls(2.0 * run.pieces + run.survey) };
        };
        let page = &service.entity.page;
        let is_numbered = matches!(page.kind, PageKind::Page { .. } | PageKind::Offset { .. });
        service.pages(match (is_numbered, &page.total) {
            (true, Some(_)) if service.entity.ordered => PIECE_REQUESTS * run.pieces + run.survey,
            // The page before is read again, to see that nothing fell between two.
            (true, None) if matches!(page.kind, PageKind::Page { .. }) => 2.0 * run.keys / page.size as f64,
            _ => (run.keys / page.size as f64).ceil(),
        })
    }

    /// Asking for keys that the other side showed.
    fn look_up(&self, run: &Run) -> Use {
        let of_piece = match self {
            Self::Database => Use::of_calls(1.0),
            Self::Service(service) => service.keys(run.keys / run.pieces.max(1.0)),
        };
        Use { calls: run.pieces * of_piece.calls, rows: run.keys, points: run.pieces * of_piece.points }
    }
}

impl Service<'_> {
    /// So many full pages.
    fn pages(&self, pages: f64) -> Use {
        let points = self.pack.points_of_page(self.entity).unwrap_or_default();
        Use { calls: pages, rows: pages * self.entity.page.size as f64, points: pages * points }
    }

    /// Questions for so many keys.
    fn keys(&self, keys: f64) -> Use {
        let Some(lookup) = self.lookup else { return Use::of_calls(keys.ceil()) };
        let found = self.asked(lookup, keys);
        match &lookup.ask {
            // What the index finds is read again by its address.
            Ask::Body { index: true, .. } => self.by_id().map_or(found, |by_id| found + self.asked(by_id, keys)),
            _ => found,
        }
    }

    fn asked(&self, lookup: &Lookup, keys: f64) -> Use {
        let most = keys_a_request(lookup);
        let calls = (keys / most as f64).ceil();
        let in_each = most.min(keys.ceil() as usize);
        let points = self.pack.points_of_keys(self.entity, lookup, in_each).unwrap_or_default();
        Use { points: calls * points, ..Use::of_calls(calls) }
    }

    fn by_id(&self) -> Option<&Lookup> {
        let id = self.entity.id.to_string();
        self.entity.lookups.iter().find(|lookup| lookup.path == id)
    }
}

/// How records are asked for by the path of the mapping's key.
fn lookup_of<'e>(entity: &'e PackEntity, mapping: &Mapping) -> Option<&'e Lookup> {
    let is_mapped =
        |path: &str| mapping.sources.iter().any(|source| matches!(source, Source::Path(known) if known == path));
    entity.lookups.iter().find(|lookup| is_mapped(&lookup.path))
}

/// Keys that one request asks for.
fn keys_a_request(lookup: &Lookup) -> usize {
    match &lookup.ask {
        Ask::Filter { max, .. } | Ask::Body { max, .. } => (*max).max(1),
        Ask::At { .. } => 1,
    }
}

/// One run of a schema probe: the columns of each table, or a page of the dataset.
pub(super) fn of_schema(config: &Config, system: &SystemId, mapping: &Mapping) -> Use {
    match Side::of(config, system, mapping) {
        Side::Database => Use::of_calls(1.0 + mapping.children.len() as f64),
        Side::Service(service) => Use { rows: 0.0, ..service.pages(1.0) },
    }
}

/// A page of the dataset, or a question for keys of the mapping, that costs more than one request may.
pub(super) fn too_dear(config: &Config, system: &SystemId, mapping: &Mapping) -> Option<String> {
    let Side::Service(service) = Side::of(config, system, mapping) else { return None };
    let most = service.pack.limit.cost.as_ref()?.most;
    let page = service.pages(1.0).points;
    let keys = service.lookup.map_or(0.0, |lookup| service.asked(lookup, keys_a_request(lookup) as f64).points);
    let points = page.max(keys);
    (points > most).then(|| {
        format!(
            "a request for `{}` costs up to {points:.0} points, one may cost {most:.0}: lower what the pack's settings \
             ask for at once",
            mapping.dataset.name()
        )
    })
}

fn clock_calls(interval: Duration) -> f64 {
    CLOCK_CALLS * (interval.as_secs_f64() / CLOCK_GOOD_FOR).min(1.0)
}
