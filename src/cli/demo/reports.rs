//! The auditor's rows as the judge's reports.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::super::view::CostLine;
use super::super::view::feed;
use crate::ledger::rows::{DiscrepancyRow, FreshnessRow};
use crate::ledger::{Looks, Notice, SampledShare, Second};
use crate::metrics::Metrics;
use crate::model::{Interval, Lag, Moment, Verdict};
use crate::sandbox::score::{Cost, Estimated, Freshness, Report, Reports, Share, Tally};
use crate::sandbox::truth::Address;
use crate::sandbox::{Entity, System};

/// What the ledger holds of a day.
#[derive(Debug, Default)]
pub struct Rows {
    /// Every step in the life of discrepancies.
    pub discrepancies: Vec<DiscrepancyRow>,
    /// Decided changes.
    pub freshness: Vec<FreshnessRow>,
    /// Keys that were looked at.
    pub looks: Vec<Looks>,
    /// Checks by second.
    pub seconds: Vec<Second>,
    /// Blindness.
    pub blind: Vec<Notice>,
    /// Changed schemas.
    pub reshaped: Vec<Notice>,
    /// What samples said.
    pub shares: Vec<SampledShare>,
}

/// Translates what the ledger holds; of what the looks cost it knows nothing. Freshness events hold the hash of their key only; looks say which key that is.
///
/// # Errors
/// When the ledger speaks of something that the company does not have.
pub fn reports(rows: &Rows) -> anyhow::Result<Reports> {
    let keys: HashMap<&str, &str> =
        rows.looks.iter().map(|looks| (looks.key_hash.as_str(), looks.key.as_str())).collect();
    let until = next_steps(&rows.discrepancies);
    let steps = rows.discrepancies.iter().zip(until);
    let opened_or_changed = steps.filter(|(row, _)| row.event == "opened" || row.event == "changed");
    Ok(Reports {
        discrepancies: opened_or_changed.map(report).collect::<anyhow::Result<_>>()?,
        freshness: rows.freshness.iter().map(|row| event(row, &keys)).collect::<anyhow::Result<_>>()?,
        agreed: rows.looks.iter().map(agreed).collect::<anyhow::Result<_>>()?,
        tallies: rows.seconds.iter().map(tally).collect::<anyhow::Result<_>>()?,
        blind: rows.blind.iter().map(notice).collect::<anyhow::Result<_>>()?,
        reshaped: rows.reshaped.iter().map(notice).collect::<anyhow::Result<_>>()?,
        estimated: rows.shares.iter().map(estimated).collect::<anyhow::Result<_>>()?,
        cost: BTreeMap::new(),
    })
}

fn address(entity_word: &str, target: &str, key: &str) -> anyhow::Result<Address> {
    Ok(Address { entity: entity(entity_word)?, target: system(target)?, key: key.to_owned() })
}

/// When each step's discrepancy took its next one.
fn next_steps(rows: &[DiscrepancyRow]) -> Vec<Moment> {
    let mut next: HashMap<uuid::Uuid, i64> = HashMap::new();
    let mut until: Vec<(usize, Moment)> = Vec::with_capacity(rows.len());
    let mut latest_first: Vec<usize> = (0..rows.len()).collect();
    latest_first.sort_by_key(|&index| std::cmp::Reverse(rows[index].at));
    for index in latest_first {
        let later = next.insert(rows[index].discrepancy_id, rows[index].at);
        until.push((index, later.map_or(Moment::MAX, Moment::from_micros)));
    }
    until.sort_by_key(|(index, _)| *index);
    until.into_iter().map(|(_, until)| until).collect()
}

fn report((row, until): (&DiscrepancyRow, Moment)) -> anyhow::Result<Report> {
    Ok(Report {
        address: address(&row.entity, &row.target, &row.key)?,
        at: Moment::from_micros(row.at),
        until,
        opened: row.event == "opened",
        verdict: verdict(&row.verdict)?,
        likely: row.likely,
    })
}

fn agreed(looks: &Looks) -> anyhow::Result<(Address, Vec<Moment>)> {
    let at = looks.agreed.iter().map(|at| Moment::from_micros(*at)).collect();
    Ok((address(&looks.entity, &looks.target, &looks.key)?, at))
}

/// A change that is late may still be on its way: then only the lower bound of its lag is a promise.
fn event(row: &FreshnessRow, keys: &HashMap<&str, &str>) -> anyhow::Result<Freshness> {
    let key = keys.get(row.key_hash.as_str());
    let key = key.ok_or_else(|| anyhow::anyhow!("the ledger has a freshness event without a check"))?;
    Ok(Freshness {
        address: address(&row.entity, &row.target, key)?,
        changed: Interval::new(Moment::from_micros(row.changed_low), Moment::from_micros(row.changed_high)),
        lag: Lag { low: Duration::from_micros(row.lag_low_us), high: Duration::from_micros(row.lag_high_us) },
        settled: row.outcome != "bad",
        undecided: row.outcome == "undecided",
    })
}

fn tally(second: &Second) -> anyhow::Result<Tally> {
    Ok(Tally {
        owner: system(&second.owner)?,
        target: system(&second.target)?,
        at: Moment::from_micros(second.second.saturating_mul(1_000_000)),
        checks: second.checks,
        unknown: second.unknown,
    })
}

fn notice(notice: &Notice) -> anyhow::Result<(System, Moment)> {
    Ok((system(&notice.system)?, Moment::from_micros(notice.at)))
}

fn estimated(row: &SampledShare) -> anyhow::Result<Estimated> {
    let known = [Share::Agreement, Share::Completeness, Share::Extra];
    let measure = known.into_iter().find(|measure| measure.as_str() == row.measure);
    Ok(Estimated {
        entity: entity(&row.entity)?,
        target: system(&row.target)?,
        measure: measure.ok_or_else(|| anyhow::anyhow!("the ledger holds an unknown measure `{}`", row.measure))?,
        at: Moment::from_micros(row.at),
        low: row.low,
        high: row.high,
    })
}

/// What every system was asked and has answered so far.
///
/// # Errors
/// When the metrics speak of a system that the company does not have.
pub fn cost(metrics: &Metrics) -> anyhow::Result<BTreeMap<System, Cost>> {
    let cost = |line: &CostLine| Ok((system(&line.system)?, Cost { calls: line.calls, records: line.records }));
    feed::costs(metrics).iter().map(cost).collect()
}

/// The verdict with this word.
///
/// # Errors
/// When there is none.
pub fn verdict(word: &str) -> anyhow::Result<Verdict> {
    let found = Verdict::ALL.into_iter().find(|verdict| verdict.as_str() == word);
    found.ok_or_else(|| anyhow::anyhow!("the ledger holds an unknown verdict `{word}`"))
}

fn entity(word: &str) -> anyhow::Result<Entity> {
    let found = Entity::ALL.into_iter().find(|entity| entity.as_str() == word);
    found.ok_or_else(|| anyhow::anyhow!("the ledger holds an unknown entity `{word}`"))
}

fn system(word: &str) -> anyhow::Result<System> {
    let found = System::ALL.into_iter().find(|system| system.as_str() == word);
    found.ok_or_else(|| anyhow::anyhow!("the ledger holds an unknown system `{word}`"))
}
