//! The auditor's rows as the judge's reports.

use std::collections::HashMap;
use std::time::Duration;

use crate::ledger::Looks;
use crate::ledger::rows::{DiscrepancyRow, FreshnessRow};
use crate::model::{Interval, Lag, Moment, Verdict};
use crate::sandbox::Entity;
use crate::sandbox::score::{Freshness, Report, Reports};

/// Translates what the ledger holds. Freshness events hold the hash of their key only; `looks` say which key that is.
///
/// # Errors
/// When the ledger speaks of something that the company does not have.
pub fn reports(
    discrepancies: &[DiscrepancyRow],
    freshness: &[FreshnessRow],
    looks: &[Looks],
) -> anyhow::Result<Reports> {
    let keys: HashMap<&str, &str> = looks.iter().map(|looks| (looks.key_hash.as_str(), looks.key.as_str())).collect();
    let opened_or_changed = discrepancies.iter().filter(|row| row.event == "opened" || row.event == "changed");
    Ok(Reports {
        discrepancies: opened_or_changed.map(report).collect::<anyhow::Result<_>>()?,
        freshness: freshness.iter().map(|row| event(row, &keys)).collect::<anyhow::Result<_>>()?,
        agreed: looks.iter().map(agreed).collect::<anyhow::Result<_>>()?,
    })
}

fn report(row: &DiscrepancyRow) -> anyhow::Result<Report> {
    Ok(Report {
        entity: entity(&row.entity)?,
        key: row.key.clone(),
        at: Moment::from_micros(row.at),
        opened: row.event == "opened",
        verdict: verdict(&row.verdict)?,
        likely: row.likely,
    })
}

fn agreed(looks: &Looks) -> anyhow::Result<((Entity, String), Vec<Moment>)> {
    let at = looks.agreed.iter().map(|at| Moment::from_micros(*at)).collect();
    Ok(((entity(&looks.entity)?, looks.key.clone()), at))
}

/// A change that is late may still be on its way: then only the lower bound of its lag is a promise.
fn event(row: &FreshnessRow, keys: &HashMap<&str, &str>) -> anyhow::Result<Freshness> {
    let key = keys.get(row.key_hash.as_str()).map(|key| (*key).to_owned());
    Ok(Freshness {
        entity: entity(&row.entity)?,
        key: key.ok_or_else(|| anyhow::anyhow!("the ledger has a freshness event without a check"))?,
        changed: Interval::new(Moment::from_micros(row.changed_low), Moment::from_micros(row.changed_high)),
        lag: Lag { low: Duration::from_micros(row.lag_low_us), high: Duration::from_micros(row.lag_high_us) },
        settled: row.outcome != "bad",
    })
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
