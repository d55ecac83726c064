//! Records as the service sent them next to what the mapping makes of them: for people who write packs and mappings.

use std::sync::Arc;

use super::client::Answer;
use super::decode::{self, Shape, text_of};
use super::plan::Plan;
use super::request::Query;
use super::walk::Token;
use super::{HttpReader, open};
use crate::clock::Clock;
use crate::config::System;
use crate::config::pack::{Ask, Pack, PackEntity};
use crate::connect::{Budget, Finding, ReadError, Severity};
use crate::model::mapping::{Dataset, Mapping, Source, Stamp};
use crate::model::{EntityId, Raw, Record, SystemId};

/// One record before and after the mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    /// The mapping's sources with what the service sent for them, in the mapping's order.
    pub raw: Vec<(String, String)>,
    /// What the mapping makes of it.
    pub record: Record,
}

/// Reads the first page of a mapping's dataset and shows at most `limit` of its records.
///
/// # Errors
/// As any read of the system.
pub async fn sample(
    system: &System,
    mapping: &Mapping,
    clock: Arc<dyn Clock>,
    limit: usize,
) -> Result<Vec<Sampled>, ReadError> {
    let reader = reader(system, clock)?;
    let plan = reader.plan(mapping)?;
    let text = reader.text_of_page(&plan).await?;
    sampled(&plan, mapping, &text, limit).map_err(|reason| reader.client.bad(reason))
}

/// Shows at most `limit` records of a recorded answer: JSON, or a whole HTTP answer as `curl -i` prints it.
///
/// # Errors
/// In words, what of the answer does not fit.
pub fn sample_recorded(pack: &Pack, mapping: &Mapping, answer: &str, limit: usize) -> Result<Vec<Sampled>, String> {
    let plan = Plan::new(pack, mapping)?;
    sampled(&plan, mapping, body_of(answer), limit)
}

/// Reads recorded answers into records, as the reader does with live ones.
#[derive(Debug)]
pub struct Recorded<'m> {
    plan: Plan,
    mapping: &'m Mapping,
}

impl<'m> Recorded<'m> {
    /// For answers of this mapping's dataset.
    ///
    /// # Errors
    /// In words, what of the mapping the pack does not have.
    pub fn new(pack: &Pack, mapping: &'m Mapping) -> Result<Self, String> {
        Ok(Self { plan: Plan::new(pack, mapping)?, mapping })
    }

    /// Hands every record of an answer's body to `on_record`; says how many there were.
    ///
    /// # Errors
    /// In words, what of the answer does not fit. Records may have been handed over by then.
    pub fn read(&self, body: &str, mut on_record: impl FnMut(Record)) -> Result<usize, String> {
        let mut count = 0;
        let mut on_row = |row: &mut Vec<Raw>, inner: &mut decode::Inner| {
            count += 1;
            on_record(self.plan.record_of(self.mapping, row, inner));
        };
        let plan = &self.plan;
        let around = decode::read(body, &plan.outer.shape, &plan.record, &mut on_row).map_err(|error| error.0)?;
        if around.has_records { Ok(count) } else { Err(format!("no list of records at `{}`", plan.entity.items)) }
    }
}

/// The body of an answer with its head, or the text itself.
fn body_of(answer: &str) -> &str {
    if !answer.starts_with("HTTP/") {
        return answer;
    }
    let body = answer.split_once("\r\n\r\n").or_else(|| answer.split_once("\n\n"));
    body.map_or(answer, |(_, body)| body)
}

fn sampled(plan: &Plan, mapping: &Mapping, text: &str, limit: usize) -> Result<Vec<Sampled>, String> {
    let mut samples = Vec::new();
    let mut on_row = |row: &mut Vec<Raw>, inner: &mut decode::Inner| {
        if samples.len() < limit {
            samples.push(one(plan, mapping, row, inner));
        }
    };
    let around = decode::read(text, &plan.outer.shape, &plan.record, &mut on_row).map_err(|error| error.0)?;
    if around.has_records {
        return Ok(samples);
    }
    // The answer of a single record.
    let item = plan.entity.lookups.iter().find_map(|lookup| match &lookup.ask {
        Ask::At { item, .. } => Some(item.clone()),
        Ask::Filter { .. } | Ask::Body { .. } => None,
    });
    let shape = Shape::default().with_record(&item.unwrap_or_default());
    let mut on_row = |row: &mut Vec<Raw>, inner: &mut decode::Inner| samples.push(one(plan, mapping, row, inner));
    let around = decode::read(text, &shape, &plan.record, &mut on_row).map_err(|error| error.0)?;
    if around.has_records {
        return Ok(samples);
    }
    Err(format!("there is no list of records at `{}`, and no single record", plan.entity.items))
}

fn one(plan: &Plan, mapping: &Mapping, row: &mut [Raw], inner: &mut decode::Inner) -> Sampled {
    let name = |source: &Source| match source {
        Source::Path(text) | Source::Sql(text) => text.clone(),
    };
    let mut raw: Vec<(String, String)> =
        mapping.sources.iter().zip(row.iter()).map(|(source, raw)| (name(source), shown(raw))).collect();
    for (children, rows) in mapping.children.iter().zip(inner.iter()) {
        raw.push((format!("{}[]", children.dataset.name()), format!("{} elements", rows.len())));
    }
    Sampled { raw, record: plan.record_of(mapping, row, inner) }
}

/// A raw value as JSON would write it.
fn shown(raw: &Raw) -> String {
    match raw {
        Raw::Null => "null".to_owned(),
        Raw::Text(text) if text.starts_with(['{', '[']) => text.to_string(),
        Raw::Text(text) => format!("{text:?}"),
        Raw::Undecodable(what) => format!("({what})"),
        other => text_of(other).unwrap_or_default(),
    }
}

/// Tries every dataset of a system's pack: its list, its filters, its questions by key. Datasets that any service may
/// have (`*`) are left out.
///
/// # Errors
/// When there is no client for the system.
pub async fn try_datasets(system: &System, clock: Arc<dyn Clock>) -> Result<Vec<Finding>, ReadError> {
    let reader = reader(system, clock)?;
    let pack = Arc::clone(&reader.client.pack);
    let mut findings = reader.findings(&[]).await;
    for (dataset, entity) in pack.entities.iter().filter(|(dataset, _)| *dataset != "*") {
        let mapping = bare(&system.id, dataset, entity);
        let Ok(mapping) = mapping else { continue };
        reader.try_dataset(dataset, &mapping, &mut findings).await;
    }
    Ok(findings)
}

fn reader(system: &System, clock: Arc<dyn Clock>) -> Result<HttpReader, ReadError> {
    open(system, clock, Arc::new(Budget::new(system.id.clone(), system.budget)))
}

/// A mapping that maps nothing but the stamp.
fn bare(system: &SystemId, dataset: &str, pack: &PackEntity) -> Result<Mapping, String> {
    let entity: EntityId = "dataset".parse().map_err(|error| format!("{error}"))?;
    Ok(Mapping {
        entity,
        system: system.clone(),
        dataset: Dataset::Table(dataset.to_owned()),
        sources: pack.changed_at.clone().map(Source::Path).into_iter().collect(),
        key: Vec::new(),
        native: None,
        key_index: false,
        changed_at: pack.changed_at.as_ref().map(|_| Stamp { source: 0, zone: chrono_tz::UTC, epoch: pack.epoch }),
        version: None,
        source_version: None,
        scope: Vec::new(),
        children: Vec::new(),
        xref: Vec::new(),
        fields: Vec::new(),
        via: Vec::new(),
    })
}

impl HttpReader {
    /// The text of the first page.
    async fn text_of_page(&self, plan: &Plan) -> Result<String, ReadError> {
        let request = self.request(plan, &Query::default(), &Token::First)?;
        self.client.ask(&request, &mut |answer: &Answer| Ok(answer.text.clone())).await
    }

    async fn try_dataset(&self, dataset: &str, mapping: &Mapping, findings: &mut Vec<Finding>) {
        let mut add = |severity, message| {
            findings.push(Finding { severity, subject: dataset.to_owned(), message });
        };
        let plan = match self.plan(mapping) {
            Ok(plan) => plan,
            Err(error) => return add(Severity::Error, error.to_string()),
        };
        match self.page(mapping, &plan, &Query::default(), &Token::First).await {
            Ok(page) => {
                let total = page.facts.total.map_or_else(|| "no total".to_owned(), |total| format!("total {total}"));
                add(Severity::Ok, format!("list: {} records, {total}", page.facts.rows));
                if page.ids.contains(&Raw::Null) {
                    add(Severity::Error, format!("a record without `{}`, its id", plan.entity.id));
                }
                if mapping.changed_at.is_some() && page.records.iter().any(|record| record.changed_at.is_none()) {
                    add(Severity::Error, "a record without a readable stamp at `changed_at`".to_owned());
                }
            }
            Err(error) => return add(Severity::Error, format!("list: {error}")),
        }
        if let Some(since) = &plan.entity.since {
            match self.prove_since(mapping, &plan).await {
                Ok(()) => add(Severity::Ok, format!("changes: `{}` filters", since.bounds.name())),
                Err(error) => add(Severity::Error, format!("changes: {error}")),
            }
        }
        for lookup in &plan.entity.lookups {
            match self.prove_lookup(mapping, &plan, lookup).await {
                Ok(()) => add(Severity::Ok, format!("by `{}`: {}", lookup.path, super::doctor::proven(&lookup.ask))),
                Err(error) => add(Severity::Error, format!("by `{}`: {error}", lookup.path)),
            }
        }
    }
}
