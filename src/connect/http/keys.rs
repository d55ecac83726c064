//! Reading by key: batches of values of one path, confirmed to be all that there is.

use std::collections::HashSet;

use serde_json::Value as Json;

use super::HttpReader;
use super::decode::text_of;
use super::list::Whole;
use super::plan::Plan;
use super::request::Query;
use super::walk::Token;
use crate::config::pack::{Ask, Lookup, LookupStyle, Placeholder};
use crate::connect::{KEYS_A_STATEMENT, KeyedRead, ReadError};
use crate::model::mapping::Source;
use crate::model::{Interval, Key, Mapping, Raw};

/// Records that are asked for one by one in one read.
const ADDRESSES_AT_ONCE: usize = 10;
/// Bytes of values in one address: servers refuse lines from 8 KiB on.
const LONGEST_VALUES: usize = 4000;

impl HttpReader {
    pub(super) async fn read_keys(&self, mapping: &Mapping, keys: &[Key]) -> Result<KeyedRead, ReadError> {
        let plan = self.plan(mapping)?;
        let asked: HashSet<&Key> = keys.iter().filter(|key| key.is_usable()).collect();
        let now = self.client.clock.now();
        let mut read = KeyedRead { records: Vec::new(), window: Interval::new(now, now) };
        let Some((lookup, source)) = lookup_of(mapping, &plan) else {
            return Err(self.shape("its records cannot be asked for by any path of the key".to_owned()));
        };
        let mut values: Vec<String> = asked.iter().filter_map(|key| value_of(mapping, &plan, key, source)).collect();
        values.sort_unstable();
        values.dedup();
        if values.is_empty() {
            return Ok(read);
        }
        self.prove_lookup(mapping, &plan, lookup).await?;
        let mut batches = batches(&lookup.ask, &values);
        while let Some(batch) = batches.pop() {
            let whole = self.read_batch(mapping, &plan, lookup, &batch).await?;
            if whole.repeats && batch.len() > 1 {
                // What a list that is not paged leaves out may be there all the same: it is asked for alone.
                let found: Vec<String> =
                    whole.records.iter().filter_map(|record| value_of(mapping, &plan, &record.key, source)).collect();
                batches.extend(batch.into_iter().filter(|value| !found.contains(value)).map(|value| vec![value]));
            }
            let whole = self.confirmed(mapping, &plan, lookup, whole).await?;
            // The product may find more than it was asked for: `a` for `A`.
            read.records.extend(whole.records.into_iter().filter(|record| asked.contains(&record.key)));
            read.window.high = whole.window.high;
        }
        Ok(read)
    }

    /// What a search index found, as the product itself holds it: an index is late, and shows what has been removed.
    async fn confirmed(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        lookup: &Lookup,
        found: Whole,
    ) -> Result<Whole, ReadError> {
        let by_id = || plan.entity.lookups.iter().find(|lookup| lookup.path == plan.entity.id.to_string());
        let (Ask::Body { index: true, .. }, Some(by_id)) = (&lookup.ask, by_id()) else { return Ok(found) };
        let mut ids: Vec<String> = found.ids.iter().filter_map(text_of).collect();
        ids.sort_unstable();
        ids.dedup();
        self.prove_lookup(mapping, plan, by_id).await?;
        let mut confirmed = Whole { records: Vec::new(), ids: Vec::new(), ..found };
        for batch in batches(&by_id.ask, &ids) {
            let whole = self.read_batch(mapping, plan, by_id, &batch).await?;
            confirmed.records.extend(whole.records);
            confirmed.window.high = whole.window.high;
        }
        Ok(confirmed)
    }

    async fn read_batch(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        lookup: &Lookup,
        values: &[String],
    ) -> Result<Whole, ReadError> {
        match &lookup.ask {
            Ask::Filter { .. } | Ask::Body { document: None, .. } => {
                self.whole(mapping, plan, &filter_query(plan, lookup, values)).await
            }
            Ask::Body { document: Some(document), .. } => {
                let page = self.own(mapping, plan, document, &filter_query(plan, lookup, values)).await?;
                Ok(Whole { records: page.records, ids: page.ids, window: page.window, repeats: false })
            }
            Ask::At { path, item } => {
                let mut records = Vec::new();
                let now = self.client.clock.now();
                let mut window = Interval::new(now, now);
                for value in values {
                    if let Some(page) = self.at(mapping, plan, path, item, value).await? {
                        window.high = page.window.high;
                        records.extend(page.records);
                    }
                }
                window.high = window.high.max(self.client.clock.now());
                Ok(Whole { records, ids: Vec::new(), window, repeats: false })
            }
        }
    }

    /// Shows that a question can be trusted: a filter must give nothing for a value that no record has, and an address
    /// must give the record that the list shows, or "not found" would mean nothing.
    pub(super) async fn prove_lookup(&self, mapping: &Mapping, plan: &Plan, lookup: &Lookup) -> Result<(), ReadError> {
        let what = format!("{} of {} by {}", plan.url, plan.dataset, lookup.path);
        if self.is_proven(&what) {
            return Ok(());
        }
        match &lookup.ask {
            Ask::Filter { none, .. } | Ask::Body { none, .. } => {
                let query = filter_query(plan, lookup, std::slice::from_ref(none));
                let page = match &lookup.ask {
                    Ask::Body { document: Some(document), .. } => self.own(mapping, plan, document, &query).await?,
                    _ => self.page(mapping, plan, &query, &Token::First).await?,
                };
                if !page.ids.is_empty() || page.facts.total.is_some_and(|total| total > 0) {
                    let name = asked_by(&lookup.ask);
                    return Err(self.shape(format!(
                        "it ignores `{name}`: asked for `{none}`, which no record has, it gives records all the same"
                    )));
                }
            }
            Ask::At { path, item } => {
                let page = self.page(mapping, plan, &Query::default(), &Token::First).await?;
                let Some(id) = page.ids.first().and_then(text_of) else { return Ok(()) };
                if self.at(mapping, plan, path, item, &id).await?.is_none() {
                    return Err(self.shape(format!("`{path}` finds none of the records that the list shows")));
                }
            }
        }
        self.set_proven(what);
        Ok(())
    }
}

/// The path of the key by which records can be asked for, and its source.
pub(super) fn lookup_of<'p>(mapping: &Mapping, plan: &'p Plan) -> Option<(&'p Lookup, usize)> {
    let sources = mapping.key.iter().filter_map(|field| {
        let rule = mapping.fields.get(*field)?.as_ref()?;
        if let crate::model::mapping::Origin::Source(source) = rule.origin { Some(source) } else { None }
    });
    sources.into_iter().find_map(|source| {
        let Some(Source::Path(path)) = mapping.sources.get(source) else { return None };
        plan.entity.lookups.iter().find(|lookup| lookup.path == *path).map(|lookup| (lookup, source))
    })
}

/// How many keys are asked for at once. Addresses of single records are asked for one by one.
pub(super) fn keys_at_once(mapping: &Mapping, plan: &Plan) -> Option<usize> {
    Some(match &lookup_of(mapping, plan)?.0.ask {
        Ask::Filter { max, .. } | Ask::Body { max, .. } => (*max).clamp(1, KEYS_A_STATEMENT),
        Ask::At { .. } => ADDRESSES_AT_ONCE,
    })
}

/// The value that selects a key; `None` when no record can have it.
fn value_of(mapping: &Mapping, plan: &Plan, key: &Key, source: usize) -> Option<String> {
    let raw = mapping.raw_key(key)?.into_iter().find(|(index, _)| *index == source)?.1;
    let Some(Source::Path(path)) = mapping.sources.get(source) else { return None };
    let is_integer = is_integer(plan, path);
    let text = text_of(&raw).filter(|text| !text.is_empty())?;
    // Asked for a word where a number belongs, products refuse the whole batch.
    let fits = !is_integer || matches!(raw, Raw::Int(_)) || text.parse::<i64>().is_ok();
    fits.then_some(text)
}

fn is_integer(plan: &Plan, path: &str) -> bool {
    plan.entity.columns.get(path).is_some_and(|kind| kind == "integer")
}

/// Values for one request each. A value with a comma would be taken for two, so it goes alone.
fn batches(ask: &Ask, values: &[String]) -> Vec<Vec<String>> {
    let (style, max) = match ask {
        Ask::Filter { style, max, .. } => (Some(*style), *max),
        Ask::Body { max, .. } => (None, *max),
        Ask::At { .. } => return vec![values.to_vec()],
    };
    let mut batches: Vec<Vec<String>> = Vec::new();
    let mut batch: Vec<String> = Vec::new();
    let mut length = 0;
    for value in values {
        if style == Some(LookupStyle::Csv) && value.contains(',') {
            batches.push(vec![value.clone()]);
            continue;
        }
        if batch.len() >= max || (length + value.len() > LONGEST_VALUES && !batch.is_empty()) {
            batches.push(std::mem::take(&mut batch));
            length = 0;
        }
        length += value.len() + 3;
        batch.push(value.clone());
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

fn filter_query(plan: &Plan, lookup: &Lookup, values: &[String]) -> Query {
    let mut query = Query::default();
    match &lookup.ask {
        Ask::Filter { param, style, query: more, .. } => {
            query.params = match style {
                LookupStyle::Csv => vec![(param.clone(), values.join(","))],
                LookupStyle::Repeat => values.iter().map(|value| (param.clone(), value.clone())).collect(),
            };
            query.params.extend_from_slice(more);
        }
        Ask::Body { body, search, .. } => {
            let values = match search {
                Some(field) => Json::from(search_text(field, values)),
                None => values.iter().map(|value| typed(value, is_integer(plan, &lookup.path))).collect(),
            };
            body.fill(&[(Placeholder::Values, values)], &mut query.body);
        }
        Ask::At { .. } => {}
    }
    query
}

fn typed(value: &str, is_integer: bool) -> Json {
    let number = is_integer.then(|| value.parse::<i64>().ok()).flatten();
    number.map_or_else(|| Json::from(value), Json::from)
}

/// Terms of a search for any of these values (Shopify, API search syntax: phrases stand in quotes, `\` escapes).
fn search_text(field: &str, values: &[String]) -> String {
    let term = |value: &String| format!("{field}:\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    values.iter().map(term).collect::<Vec<_>>().join(" OR ")
}

fn asked_by(ask: &Ask) -> String {
    match ask {
        Ask::Filter { param, .. } => param.clone(),
        Ask::Body { body, .. } => body.names().collect::<Vec<_>>().join("`, `"),
        Ask::At { path, .. } => path.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_term() {
        let values = ["A 1", "x\" OR id:*", "back\\"].map(str::to_owned);
        let expect = r#"sku:"A 1" OR sku:"x\" OR id:*" OR sku:"back\\""#;
        assert_eq!(search_text("sku", &values), expect);
        assert_eq!([typed("7", true), typed("7", false), typed("x", true)], [Json::from(7), "7".into(), "x".into()]);
    }

    #[test]
    fn batches_are_bounded_and_commas_stay_whole() {
        let ask =
            |style, max| Ask::Filter { param: "sku".to_owned(), style, max, query: Vec::new(), none: "-".to_owned() };
        let values = ["a", "b,c", "d", "e"].map(str::to_owned);
        let batched = |style| batches(&ask(style, 2), &values).iter().map(|batch| batch.join("|")).collect::<Vec<_>>();
        assert_eq!(batched(LookupStyle::Csv), ["b,c", "a|d", "e"]);
        assert_eq!(batched(LookupStyle::Repeat), ["a|b,c", "d|e"]);
        let long = vec!["x".repeat(3000), "y".repeat(3000)];
        assert_eq!(batches(&ask(LookupStyle::Csv, 100), &long).len(), 2);
    }
}
