//! What a dataset's records look like: names and JSON types, from a page of them. Odoo says itself which fields a
//! model has.

use std::collections::BTreeMap;

use serde_json::Value;

use super::HttpReader;
use super::classify::{self, Fault};
use super::client::Answer;
use super::odoo;
use super::plan::{Plan, RESULT};
use crate::config::pack::{Dialect, JsonPath, Step};
use crate::connect::{Column, ReadError, Shape};
use crate::model::Mapping;

/// Records that are looked at.
const RECORDS: usize = 20;

/// Paths that are kept of one page: documents keyed by data have no end of them.
const MOST_PATHS: usize = 1_000;

/// Steps below a record's own members that are followed.
const DEEPEST: usize = 6;

/// What is known of one path.
#[derive(Default)]
struct Seen {
    types: Vec<&'static str>,
    nulls: usize,
    /// Values other than null.
    values: usize,
}

impl HttpReader {
    /// The paths of the records of the first page.
    pub(super) async fn describe_dataset(&self, mapping: &Mapping) -> Result<Shape, ReadError> {
        let plan = self.plan(mapping)?;
        if let Some(request) = plan.fields_of_model(&self.client.pack) {
            let columns = self.client.ask(&request, &mut |answer: &Answer| self.fields_of_model(answer)).await?;
            let dataset = mapping.dataset.name().to_owned();
            return Ok(Shape { dataset, columns, sampled: None, children: Vec::new() });
        }
        let size = plan.entity.page.size.min(RECORDS);
        // What the mapping reads is no limit here: everything is of interest.
        let request = plan.first_records(&self.client.pack, size);
        let document: Value = self.client.ask(&request, &mut whole_document).await?;
        let records = records(&document, &plan);
        let Some(records) = records else {
            return Err(self.client.bad("no list of records where the pack says it is".to_owned()));
        };
        Ok(Shape {
            dataset: mapping.dataset.name().to_owned(),
            columns: columns(records),
            sampled: Some(records.len() as u64),
            children: Vec::new(),
        })
    }

    /// The fields of a model of Odoo, which names them with their types.
    fn fields_of_model(&self, answer: &Answer) -> Result<Vec<Column>, Fault> {
        let document = whole_document(answer)?;
        let pack = &self.client.pack;
        let fields = if pack.dialect == Dialect::JsonRpc { document.get(RESULT) } else { Some(&document) };
        let other = || classify::without_records(pack, answer.status, answer.content_type(), &answer.text);
        fields.and_then(odoo::columns).ok_or_else(other)
    }
}

fn whole_document(answer: &Answer) -> Result<Value, Fault> {
    serde_json::from_str(&answer.text).map_err(|error| Fault::Bad(format!("it is not JSON (line {})", error.line())))
}

fn records<'d>(document: &'d Value, plan: &Plan) -> Option<&'d Vec<Value>> {
    let JsonPath(steps) = &plan.entity.items;
    let found = steps.iter().try_fold(document, |value, step| match step {
        Step::Member(name) => value.get(&**name),
        Step::Each | Step::Where(..) => None,
    });
    found?.as_array()
}

/// Every path of the records, by its name. `a.b` is a member, `a[]` stands for all elements of a list.
fn columns(records: &[Value]) -> Vec<Column> {
    let mut seen = BTreeMap::new();
    for record in records.iter().filter_map(Value::as_object) {
        for (name, value) in record {
            note(&mut seen, name.clone(), value, 0);
        }
    }
    let places = |path: &str| match path.strip_suffix("[]").or_else(|| path.rsplit_once('.').map(|(around, _)| around))
    {
        None => records.len(),
        Some(around) => seen.get(around).map_or(0, |seen| seen.values),
    };
    let column = |(name, path): (&String, &Seen)| Column {
        nullable: Some(path.nulls > 0 || path.values < places(name)),
        seen: path.values as u64,
        nulls: path.nulls as u64,
        ..Column::new(name, if path.types.is_empty() { "null".to_owned() } else { path.types.join(" or ") })
    };
    seen.iter().map(column).collect()
}

fn note(all: &mut BTreeMap<String, Seen>, path: String, value: &Value, depth: usize) {
    if all.len() >= MOST_PATHS && !all.contains_key(&path) {
        return;
    }
    let seen = all.entry(path.clone()).or_default();
    match type_name(value) {
        None => seen.nulls += 1,
        Some(name) => {
            seen.values += 1;
            if !seen.types.contains(&name) {
                seen.types.push(name);
            }
        }
    }
    if depth == DEEPEST {
        return;
    }
    for (member, value) in value.as_object().into_iter().flatten() {
        note(all, format!("{path}.{member}"), value, depth + 1);
    }
    for value in value.as_array().into_iter().flatten() {
        note(all, format!("{path}[]"), value, depth + 1);
    }
}

fn type_name(value: &Value) -> Option<&'static str> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_come_from_all_records() {
        let records = serde_json::json!([
            { "a": 1, "b": { "c": "x" }, "d": null, "e": [{ "f": 1 }, { "f": 2, "g": true }] },
            { "a": 1.5, "b": { "c": null }, "e": [] },
        ]);
        let columns = columns(records.as_array().unwrap());
        let shown: Vec<_> = columns
            .iter()
            .map(|column| format!("{} {} {:?}", column.name, column.type_name, column.nullable))
            .collect();
        let expect = [
            "a integer or number Some(false)",
            "b object Some(false)",
            "b.c text Some(true)",
            "d null Some(true)",
            "e list Some(false)",
            "e[] object Some(false)",
            "e[].f integer Some(false)",
            "e[].g boolean Some(true)",
        ];
        assert_eq!(shown, expect);
    }
}
