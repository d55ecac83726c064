//! The past of the promises of a config, evaluated again.

use super::facts::{FactsError, read_all};
use super::{in_words, watched};
use crate::config::Config;
use crate::ledger::Ledger;
use crate::slo::{Episode, Maintenance, Minute, backtest};

/// What would have happened to one promise about one flow or queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// The SLO's name.
    pub slo: String,
    /// The promise in words.
    pub promise: String,
    /// The flow or queue, in words.
    pub about: String,
    /// When somebody would have been told.
    pub episodes: Vec<Episode>,
    /// The first minute with facts.
    pub began: Option<Minute>,
}

/// Holds the promises of `config` against the ledger at the end of each minute of `[from, to)`.
///
/// # Errors
/// When the ledger refuses or does not answer.
pub async fn past(
    config: &Config,
    ledger: &Ledger,
    maintenance: &[Maintenance],
    (from, to): (Minute, Minute),
) -> Result<Vec<Past>, FactsError> {
    let mut watched = watched(config);
    // Single minutes over all that is replayed, and what tiers look back before it.
    watched.iter_mut().for_each(|one| one.replays = to.0 - from.0);
    read_all(ledger, &mut watched, to, None).await?;
    let replay = |one: &super::Watched| {
        let (counted, _) = one.counted(to, maintenance);
        let flow = one.flow.as_ref().map(|flow| &flow.id);
        let queue = one.queue.as_ref().map(|(system, queue)| (system, queue.as_str()));
        let of_queue = || queue.map_or_else(String::new, |(system, queue)| format!("{queue} of {system}"));
        Past {
            slo: one.promise.name.clone(),
            promise: in_words(&one.promise, flow, &one.fields, queue),
            about: flow.map_or_else(of_queue, ToString::to_string),
            episodes: backtest(&one.promise, &one.series, &counted, (from, to)),
            began: one.series.began(),
        }
    };
    Ok(watched.iter().map(replay).collect())
}
