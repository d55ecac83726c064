//! What shows that a promise is broken: figures, records, money.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Evaluator;
use super::contributors::contributors;
use crate::causes::chain;
use crate::config::show_duration;
use crate::incident::{BrokenSlo, Evidence, SAMPLES, SampleRecord};
use crate::ledger::LedgerError;
use crate::ledger::promises::WrongRecord;
use crate::model::{Currency, EntityId, Flow, FlowId, Moment, Money, Number, SystemId};
use crate::slo::{CauseStanding, Indicator, Judged, Minute, Promise};
use crate::state::HeldIncident;

/// Lags and wrong records are told of so long before now, or since the incident began.
const LAST: Duration = Duration::from_secs(3600);
/// Records whose money is added up.
const ADDED_UP: u64 = 10_000;
/// Minutes of a chart.
const CHART: i64 = 180;

/// What an open incident has already been given in this minute, once it names records: however many incidents are open, the
/// ledger is asked about each once a minute.
pub(super) fn of_this_minute(last: Option<&HeldIncident>, now: Moment) -> Option<Evidence> {
    let incident = &last?.incident;
    let (read, _) = incident.evidence.series.last()?;
    let is_known = incident.is_open() && !incident.lacks_records() && Minute::of(*read) == Minute::of(now);
    is_known.then(|| incident.evidence.clone())
}

/// The entity of what is broken, if it is the same everywhere.
pub(super) fn entity(found: &CauseStanding, judged: &[Judged<'_>]) -> Option<EntityId> {
    let mut entities = found.broken.iter().filter_map(|index| judged[*index].flow).map(|flow| &flow.entity);
    let first = entities.next()?;
    entities.all(|entity| entity == first).then(|| first.clone())
}

/// The broken promises, each once with its worst figures.
pub(super) fn broken(found: &CauseStanding, judged: &[Judged<'_>], now: Moment) -> Vec<BrokenSlo> {
    let mut broken: Vec<BrokenSlo> = Vec::new();
    for index in &found.broken {
        let one = &judged[*index];
        if broken.iter().any(|known| known.name == one.promise.name) {
            continue;
        }
        let evaluation = one.evaluation;
        let tier = evaluation.firing().or_else(|| evaluation.tiers.iter().max_by_key(|status| status.state));
        broken.push(BrokenSlo {
            name: one.promise.name.clone(),
            promise: in_words(one.promise, one.flow, one.fields, one.queue),
            tier: tier.map_or_else(String::new, |status| status.tier.to_string()),
            burn: tier.map_or(0.0, |status| status.long.best),
            sli_best: evaluation.sli.0,
            sli_worst: evaluation.sli.1,
            objective: one.promise.objective.share(),
            budget_left: evaluation.budget_left,
            since: now,
        });
    }
    broken
}

/// `99.5 % of stock changes erp -> store within 5m over 30d`; with fields `of stock (price, qty) changes`.
pub fn in_words(
    promise: &Promise,
    flow: Option<&FlowId>,
    fields: &[String],
    queue: Option<(&SystemId, &str)>,
) -> String {
    let (objective, window) = (promise.objective, promise.window);
    let (entity, path) = match flow {
        Some(flow) => (flow.entity.as_str(), format!("{} -> {}", flow.owner, flow.target)),
        None => ("", String::new()),
    };
    let entity = match fields {
        [] => entity.to_owned(),
        fields => format!("{entity} ({})", fields.join(", ")),
    };
    let place = queue.map_or_else(String::new, |(system, queue)| format!("`{queue}` of {system}"));
    match promise.indicator {
        Indicator::Freshness(within) => {
            format!("{objective} of {entity} changes {path} within {} {window}", show_duration(within))
        }
        Indicator::Agreement => format!("{objective} of sampled {entity} records agree {path} {window}"),
        Indicator::Completeness => format!("{objective} of sampled {entity} records are there {path} {window}"),
        Indicator::TotalsVariance => format!("{objective} of lines of {entity} totals tie out {path} {window}"),
        Indicator::QueueAge(within) => {
            format!("{objective} of looks at {place} find nothing older than {} {window}", show_duration(within))
        }
        Indicator::QueueDepth(at_most) => {
            format!("{objective} of looks at {place} find at most {at_most} entries {window}")
        }
        Indicator::ProbeAvailability => {
            format!("{objective} of runs of the probes of {entity} {path} end well {window}")
        }
    }
}

impl Evaluator {
    /// Figures and records of the promise that burns fastest. What cannot be read is left out: people are told all the
    /// same.
    pub(super) async fn evidence(&self, worst: usize, last: Option<&HeldIncident>, judged: &[Judged<'_>]) -> Evidence {
        let one = &self.watched[worst];
        let now = self.parts.clock.now();
        let minute = Minute::of(now);
        let held = self.held.as_ref();
        let series = one.series.shares(minute, CHART);
        let series = series.into_iter().map(|(minute, share)| (minute.start(), share)).collect();
        let Some(flow) = &one.flow else { return Evidence { series, ..Evidence::default() } };
        let open = last.filter(|held| held.incident.is_open()).map(|held| held.incident.opened_at);
        let since = open.map_or(now, |opened| opened.min(now)) - LAST;
        let gauge = held.zip(one.gauge()).map(|(held, gauge)| held.gauges.last(&gauge)).unwrap_or_default();
        let mut evidence = Evidence {
            overdue: gauge.overdue,
            oldest: (gauge.overdue > 0).then(|| now - gauge.oldest),
            series,
            contributors: held.map(|held| contributors(one, judged, held, minute)).unwrap_or_default(),
            ..Evidence::default()
        };
        if let Err(error) = self.read_evidence(flow, &one.fields, (since, now), &mut evidence).await {
            tracing::warn!(flow = %flow.id, "evidence cannot be read: {}", chain(&error));
        }
        evidence
    }

    /// Already masked: the ledger keeps keys and values as their store rules say.
    fn shown(&self, record: WrongRecord, flow: &Flow) -> SampleRecord {
        let WrongRecord { key, verdict, fields, owner_values, target_values } = record;
        let entity = self.parts.config.entities.get(&flow.id.entity);
        let link = entity.and_then(|entity| link(&entity.links, &flow.id, &key));
        SampleRecord { key, verdict, fields, owner_values, target_values, link }
    }

    async fn read_evidence(
        &self,
        flow: &Flow,
        fields: &[String],
        (since, now): (Moment, Moment),
        evidence: &mut Evidence,
    ) -> Result<(), LedgerError> {
        let ledger = &self.parts.ledger;
        let lags = ledger.lag_quantiles(&flow.id, now - LAST).await?;
        evidence.lag_p99_us = lags.map(|lags| u64::try_from(lags.p99.as_micros()).unwrap_or(u64::MAX));
        let keys = ledger.checked_keys(&flow.id, since).await?;
        (evidence.checked, evidence.wrong) = (keys.checked, keys.wrong);
        let mut wrong = ledger.wrong_records(&flow.id, since, ADDED_UP).await?;
        if !fields.is_empty() {
            wrong.retain(|record| record.fields.is_empty() || record.fields.iter().any(|field| fields.contains(field)));
            evidence.wrong = wrong.len() as u64;
        }
        evidence.money_at_risk = money_at_risk(&wrong);
        evidence.samples = wrong.into_iter().take(SAMPLES as usize).map(|record| self.shown(record, flow)).collect();
        Ok(())
    }
}

/// Where people look at a record: in the target, which is wrong, else in the owner. A key that may not be stored in clear
/// has no link; the config sees to that.
fn link(links: &BTreeMap<SystemId, String>, flow: &FlowId, key: &str) -> Option<String> {
    let link = links.get(&flow.target).or_else(|| links.get(&flow.owner))?;
    Some(link.replace("{key}", &escaped(key)))
}

/// As a part of a path (RFC 3986, 2.3: what is not unreserved is escaped).
fn escaped(key: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escape = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    key.bytes().map(escape).collect()
}

/// By how much differing amounts differ, a sum a currency. Amounts that may not be stored cannot be added up.
fn money_at_risk(wrong: &[WrongRecord]) -> Vec<Money> {
    let mut sums: BTreeMap<Currency, Number> = BTreeMap::new();
    for record in wrong {
        for (ours, theirs) in record.owner_values.iter().zip(&record.target_values) {
            let (Some(ours), Some(theirs)) = (money(ours), money(theirs)) else { continue };
            if ours.currency == theirs.currency {
                let sum = sums.entry(ours.currency).or_insert(Number::ZERO);
                *sum = sum.plus(&ours.amount.distance(&theirs.amount));
            }
        }
    }
    sums.into_iter().map(|(currency, amount)| Money { amount, currency }).collect()
}

fn money(text: &str) -> Option<Money> {
    let (amount, currency) = text.split_once(' ')?;
    Some(Money { amount: amount.parse().ok()?, currency: currency.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(values: &[(&str, &str)]) -> WrongRecord {
        WrongRecord {
            key: "a".to_owned(),
            verdict: "mismatch".to_owned(),
            fields: vec!["total".to_owned(); values.len()],
            owner_values: values.iter().map(|(owner, _)| (*owner).to_owned()).collect(),
            target_values: values.iter().map(|(_, target)| (*target).to_owned()).collect(),
        }
    }

    #[test]
    fn links_lead_to_the_target_and_hold_any_key() {
        let systems = |names: &[&str]| -> BTreeMap<SystemId, String> {
            let link = |name: &&str| (name.parse().unwrap(), format!("https://{name}.example.org/{{key}}/edit"));
            names.iter().map(link).collect()
        };
        let flow = FlowId {
            entity: "stock".parse().unwrap(),
            owner: "erp".parse().unwrap(),
            target: "store".parse().unwrap(),
        };
        let check = |names: &[&str], key: &str, expect: Option<&str>| {
            assert_eq!(link(&systems(names), &flow, key).as_deref(), expect, "{key}");
        };
        check(&["erp", "store"], "S-1", Some("https://store.example.org/S-1/edit"));
        check(&["erp"], "a/b c", Some("https://erp.example.org/a%2Fb%20c/edit"));
        check(&["crm"], "S-1", None);
    }

    #[test]
    fn money_is_added_up_by_currency() {
        let records = [
            wrong(&[("12.50 EUR", "10.00 EUR"), ("4", "5")]),
            wrong(&[("1 EUR", "3.25 EUR")]),
            wrong(&[("100 JPY", "90 JPY"), ("1 EUR", "1 USD")]),
            wrong(&[("#a1b2", "#c3d4"), ("paid", "open")]),
        ];
        let shown: Vec<String> = money_at_risk(&records).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["4.75 EUR", "10 JPY"]);
    }
}
