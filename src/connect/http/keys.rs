//! Reading by key: batches of values of one path, confirmed to be all that there is.

use std::collections::HashSet;

use super::HttpReader;
use super::decode::text_of;
use super::list::{Query, Whole};
use super::plan::Plan;
use super::walk::Token;
use crate::config::pack::{Ask, Lookup, LookupStyle};
use crate::connect::{KeyedRead, ReadError};
use crate::model::mapping::Source;
use crate::model::{Interval, Key, Mapping, Raw};

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
            let whole = self.read_batch(mapping, &plan, &lookup.ask, &batch).await?;
            if whole.repeats && batch.len() > 1 {
                // What a list that is not paged leaves out may be there all the same: it is asked for alone.
                let found: Vec<String> =
                    whole.records.iter().filter_map(|record| value_of(mapping, &plan, &record.key, source)).collect();
                batches.extend(batch.into_iter().filter(|value| !found.contains(value)).map(|value| vec![value]));
            }
            // The product may find more than it was asked for: `a` for `A`.
            read.records.extend(whole.records.into_iter().filter(|record| asked.contains(&record.key)));
            read.window.high = whole.window.high;
        }
        Ok(read)
    }

    async fn read_batch(
        &self,
        mapping: &Mapping,
        plan: &Plan,
        ask: &Ask,
        values: &[String],
    ) -> Result<Whole, ReadError> {
        match ask {
            Ask::Filter { .. } => self.whole(mapping, plan, &filter_query(ask, values)).await,
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
                Ok(Whole { records, window, repeats: false })
            }
        }
    }

    /// Shows that a question can be trusted: a filter must give nothing for a value that no record has, and an address
    /// must give the record that the list shows, or "not found" would mean nothing.
    pub(super) async fn prove_lookup(&self, mapping: &Mapping, plan: &Plan, lookup: &Lookup) -> Result<(), ReadError> {
        let what = format!("{} by {}", plan.url, lookup.path);
        if self.is_proven(&what) {
            return Ok(());
        }
        match &lookup.ask {
            Ask::Filter { param, none, .. } => {
                let query = filter_query(&lookup.ask, std::slice::from_ref(none));
                let page = self.page(mapping, plan, &query, &Token::First).await?;
                if page.facts.rows > 0 || page.facts.total.is_some_and(|total| total > 0) {
                    return Err(self.shape(format!(
                        "it ignores `{param}`: asked for `{none}`, which no record has, it gives records all the same"
                    )));
                }
            }
            Ask::At { path, item } => {
                let page = self.page(mapping, plan, &[], &Token::First).await?;
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

/// The value that selects a key; `None` when no record can have it.
fn value_of(mapping: &Mapping, plan: &Plan, key: &Key, source: usize) -> Option<String> {
    let raw = mapping.raw_key(key)?.into_iter().find(|(index, _)| *index == source)?.1;
    let Some(Source::Path(path)) = mapping.sources.get(source) else { return None };
    let is_integer = plan.entity.columns.get(path).is_some_and(|kind| kind == "integer");
    let text = text_of(&raw).filter(|text| !text.is_empty())?;
    // Asked for a word where a number belongs, products refuse the whole batch.
    let fits = !is_integer || matches!(raw, Raw::Int(_)) || text.parse::<i64>().is_ok();
    fits.then_some(text)
}

/// Values for one request each. A value with a comma would be taken for two, so it goes alone.
fn batches(ask: &Ask, values: &[String]) -> Vec<Vec<String>> {
    let Ask::Filter { style, max, .. } = ask else { return vec![values.to_vec()] };
    let mut batches: Vec<Vec<String>> = Vec::new();
    let mut batch: Vec<String> = Vec::new();
    let mut length = 0;
    for value in values {
        if *style == LookupStyle::Csv && value.contains(',') {
            batches.push(vec![value.clone()]);
            continue;
        }
        if batch.len() >= *max || (length + value.len() > LONGEST_VALUES && !batch.is_empty()) {
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

fn filter_query(ask: &Ask, values: &[String]) -> Query {
    let Ask::Filter { param, style, query: more, .. } = ask else { return Query::new() };
    let mut query: Query = match style {
        LookupStyle::Csv => vec![(param.clone(), values.join(","))],
        LookupStyle::Repeat => values.iter().map(|value| (param.clone(), value.clone())).collect(),
    };
    query.extend_from_slice(more);
    query
}

#[cfg(test)]
mod tests {
    use super::*;

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
