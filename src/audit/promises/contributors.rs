//! What uses up most of a promise's budget: records, hours, targets.

use std::collections::HashMap;
use std::time::Duration;

use super::{Held, Parts, Watched};
use crate::causes::chain;
use crate::incident::Contributors;
use crate::model::{FlowId, Moment};
use crate::slo::{Judged, Minute};

/// Records, hours and targets that are named.
const NAMED: usize = 3;
/// Records are asked for again after so many minutes while something burns, and after so many otherwise.
const AGAIN: (i64, i64) = (1, 60);

/// The records of each flow that came to differ most often.
#[derive(Debug, Default)]
pub(super) struct WorstKeys {
    read: Option<Minute>,
    by_flow: HashMap<String, Vec<(String, u64)>>,
}

impl WorstKeys {
    /// The worst of a flow.
    fn of(&self, flow: &FlowId) -> Vec<(String, u64)> {
        self.by_flow.get(&flow.to_string()).cloned().unwrap_or_default()
    }
}

/// Asks the ledger which records differ most often, when it is time to. What cannot be read stays as it was.
pub(super) async fn refresh(parts: &Parts, watched: &[Watched], held: &mut Held, now: Minute, is_burning: bool) {
    let after = if is_burning { AGAIN.0 } else { AGAIN.1 };
    if held.worst_keys.read.is_some_and(|read| now.0 - read.0 < after) {
        return;
    }
    held.worst_keys.read = Some(now);
    let minutes = watched.iter().map(|one| one.promise.window.minutes()).max().unwrap_or(0);
    let window = Duration::from_secs(60 * u64::try_from(minutes).unwrap_or(0));
    match parts.ledger.worst_keys(Moment::max(now.start() - window, Moment::from_micros(0)), NAMED as u64).await {
        Ok(rows) => {
            held.worst_keys.by_flow.clear();
            for row in rows {
                let flow = format!("{}: {} -> {}", row.entity, row.owner, row.target);
                held.worst_keys.by_flow.entry(flow).or_default().push((row.key, row.times));
            }
        }
        Err(error) => tracing::warn!("the records that differ most often cannot be read: {}", chain(&error)),
    }
}

/// What uses up most of the budget of one promise; its targets are those of all flows of the promise.
pub(super) fn contributors(one: &Watched, judged: &[Judged<'_>], held: &Held, now: Minute) -> Contributors {
    let Some(flow) = &one.flow else { return Contributors::default() };
    let (counted, _) = one.counted(now, &held.maintenance);
    let hours = one.series.worst_hours(&counted, (one.promise.window_begin(now), now.plus(1)), NAMED);
    Contributors {
        keys: held.worst_keys.of(&flow.id),
        hours: hours.into_iter().map(|(hour, bad)| (hour.start(), bad)).collect(),
        targets: targets(judged, &one.promise.name),
    }
}

fn targets(judged: &[Judged<'_>], slo: &str) -> Vec<(String, u64)> {
    let mut sums: HashMap<&str, u64> = HashMap::new();
    for one in judged.iter().filter(|one| one.promise.name == slo) {
        let Some(flow) = one.flow else { continue };
        *sums.entry(flow.target.as_str()).or_default() += one.evaluation.counts.bad;
    }
    let mut worst: Vec<(String, u64)> =
        sums.into_iter().filter(|(_, bad)| *bad > 0).map(|(target, bad)| (target.to_owned(), bad)).collect();
    worst.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    worst.truncate(NAMED);
    worst
}
