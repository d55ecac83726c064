//! How the promises stand, as state keeps it for commands: the ledger may be out of their reach.

use serde::{Deserialize, Serialize};

use super::contributors::contributors;
use super::facts::Gauges;
use super::told::state_word;
use super::{Held, Watched, in_words, judged};
use crate::incident::Contributors;
use crate::slo::{Evaluation, Minute};

/// All promises at one minute. The stored form is this, as JSON after a format byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The minute, since 1970.
    pub minute: i64,
    /// A line a promise and flow.
    pub lines: Vec<Line>,
}

/// One promise about one flow or queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The SLO's name.
    pub slo: String,
    /// The promise in words.
    pub promise: String,
    /// Entity name; empty for a queue.
    pub entity: String,
    /// Owner system; the system of a queue.
    pub owner: String,
    /// Target system; the name of a queue.
    pub target: String,
    /// `kept`, `burning`, `no_data`, `holding` or `overdrawn`.
    pub state: String,
    /// Share of good, everything unknown good and everything unknown bad.
    pub sli: (f64, f64),
    /// The same with maintenance counted.
    pub raw: (f64, f64),
    /// Burn over the first tier's long window, everything unknown good.
    pub burn: f64,
    /// What is left of the budget, as a share of it.
    pub budget_left: f64,
    /// Counted minutes until it is used up.
    pub exhausted_in: Option<i64>,
    /// Seen share of the first tier's long window.
    pub coverage: f64,
    /// Keys past their deadline.
    pub overdue: u64,
    /// What uses up most of the budget.
    #[serde(default)]
    pub contributors: Contributors,
}

const FORMAT: u8 = 1;

impl Status {
    pub(super) fn of(minute: Minute, watched: &[Watched], evaluations: &[Evaluation], held: &Held) -> Self {
        let judged = judged(watched, evaluations);
        let contributors = |one, found: &Evaluation| match found.sli.0 < 1.0 {
            true => contributors(one, &judged, held, minute),
            false => Contributors::default(),
        };
        let told = watched.iter().zip(evaluations);
        let lines = told.map(|(one, found)| line(one, found, &held.gauges, contributors(one, found))).collect();
        Self { minute: minute.0, lines }
    }

    pub(super) fn to_stored(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        // Serialising into a vector fails only for maps whose keys are no texts; there are none.
        let written = serde_json::to_writer(&mut bytes, self);
        debug_assert!(written.is_ok(), "{written:?}");
        bytes
    }

    /// From state; `None` when it is of another format.
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        let (&format, body) = bytes.split_first()?;
        if format == FORMAT { serde_json::from_slice(body).ok() } else { None }
    }
}

fn line(one: &Watched, found: &Evaluation, gauges: &Gauges, contributors: Contributors) -> Line {
    let (entity, owner, target) = one.place();
    let flow = one.flow.as_ref().map(|flow| &flow.id);
    let queue = one.queue.as_ref().map(|(system, queue)| (system, queue.as_str()));
    Line {
        slo: one.promise.name.clone(),
        promise: in_words(&one.promise, flow, &one.fields, queue),
        entity: entity.to_owned(),
        owner: owner.to_owned(),
        target: target.to_owned(),
        state: state_word(found).to_owned(),
        sli: found.sli,
        raw: found.raw,
        burn: found.burn().best,
        budget_left: found.budget_left,
        exhausted_in: found.exhausted_in,
        coverage: found.coverage,
        overdue: one.gauge().map_or(0, |gauge| gauges.last(&gauge).overdue),
        contributors,
    }
}
