//! What one run of a probe sends to owner and target. Pure.

use std::ops::Add;
use std::time::Duration;

use super::{DAY, SamplePlan};
use crate::config::Config;
use crate::config::pack::{Ask, PackEntity, PageKind};
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

/// Statements or requests and the rows that they give.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Use {
    pub calls: f64,
    pub rows: f64,
}

impl Add for Use {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { calls: self.calls + other.calls, rows: self.rows + other.rows }
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
    pub fn of_changes(flow: &Flow, interval: Duration) -> Self {
        let keep = |mapping: &Mapping| Use { calls: clock_calls(interval) + index_calls(mapping), rows: 0.0 };
        let read = Use { calls: CHANGES_CALLS, rows: 0.0 };
        Self { owner: read + keep(&flow.owner), looked_up: Use::default(), target: keep(&flow.target), interval }
    }

    pub fn of_sample(config: &Config, flow: &Flow, sample: &SamplePlan, keys: u64) -> Self {
        let run = Run::of(sample, keys);
        let [kept_owner, kept] = [&flow.owner, &flow.target].map(|mapping| {
            let calls = clock_calls(sample.interval) + index_calls(mapping);
            Use { calls, rows: 0.0 }
        });
        let [owner, target] = [(&flow.id.owner, &flow.owner), (&flow.id.target, &flow.target)]
            .map(|(system, mapping)| Side::of(config, system, mapping));
        let interval = sample.interval;
        if let (Side::Database, Side::Database) = (owner, target) {
            // The owner's pieces lead to the target's.
            let led = Use { calls: run.pieces, rows: run.keys };
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

/// How a side is walked and asked.
#[derive(Clone, Copy)]
enum Side<'c> {
    Database,
    Service(&'c PackEntity, Option<usize>),
}

impl<'c> Side<'c> {
    fn of(config: &'c Config, system: &SystemId, mapping: &Mapping) -> Self {
        let pack = config.systems.get(system).and_then(|system| system.pack.as_deref());
        match pack.and_then(|pack| pack.entity(mapping.dataset.name())) {
            Some(entity) => Self::Service(entity, keys_a_request(entity, mapping)),
            None => Self::Database,
        }
    }

    fn walk(&self, run: &Run) -> Use {
        let Self::Service(entity, _) = self else {
            return Use { calls: 2.0 * run.pieces + run.survey, rows: run.keys };
        };
        let page = &entity.page;
        let is_numbered = matches!(page.kind, PageKind::Page { .. } | PageKind::Offset { .. });
        let calls = match (is_numbered, &page.total) {
            (true, Some(_)) if entity.ordered => PIECE_REQUESTS * run.pieces + run.survey,
            // The page before is read again, to see that nothing fell between two.
            (true, None) if matches!(page.kind, PageKind::Page { .. }) => 2.0 * run.keys / page.size as f64,
            _ => run.keys / page.size as f64,
        };
        Use { calls, rows: calls * page.size as f64 }
    }

    /// Asking for keys that the other side showed.
    fn look_up(&self, run: &Run) -> Use {
        let calls = match self {
            Self::Database => run.pieces,
            Self::Service(_, most) => {
                let in_a_piece = run.keys / run.pieces.max(1.0);
                run.pieces * (in_a_piece / most.unwrap_or(1).max(1) as f64).ceil()
            }
        };
        Use { calls, rows: run.keys }
    }
}

/// Keys that one request asks for, by the path of the mapping's key.
fn keys_a_request(entity: &PackEntity, mapping: &Mapping) -> Option<usize> {
    let is_mapped =
        |path: &str| mapping.sources.iter().any(|source| matches!(source, Source::Path(known) if known == path));
    entity.lookups.iter().find(|lookup| is_mapped(&lookup.path)).map(|lookup| match &lookup.ask {
        Ask::Filter { max, .. } | Ask::Body { max, .. } => *max,
        Ask::At { .. } => 1,
    })
}

/// Statements of one run by which an index of keys keeps up. A look that finds something sends as many again.
fn index_calls(mapping: &Mapping) -> f64 {
    if mapping.key_index { CHANGES_CALLS } else { 0.0 }
}

fn clock_calls(interval: Duration) -> f64 {
    CLOCK_CALLS * (interval.as_secs_f64() / CLOCK_GOOD_FOR).min(1.0)
}
