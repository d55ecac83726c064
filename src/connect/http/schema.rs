//! What a dataset's records look like: names and JSON types, from a page of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::HttpReader;
use super::classify::Fault;
use super::client::Answer;
use super::plan::Plan;
use crate::config::pack::{JsonPath, Step};
use crate::connect::{Column, ReadError, Shape};
use crate::model::Mapping;

/// Records that are looked at.
const RECORDS: usize = 20;

/// What is known of one path.
#[derive(Default)]
struct Seen {
    types: Vec<&'static str>,
    null: bool,
    records: usize,
}

impl HttpReader {
    /// The members of the records of the first page, and of objects in them.
    pub(super) async fn describe_dataset(&self, mapping: &Mapping) -> Result<Shape, ReadError> {
        let plan = self.plan(mapping)?;
        let size = plan.entity.page.size.min(RECORDS);
        // What the mapping reads is no limit here: everything is of interest.
        let request = plan.first_records(&self.client.pack, size);
        let document: Value = self.client.ask(&request, &mut whole_document).await?;
        let records = records(&document, &plan);
        let Some(records) = records else {
            return Err(self.client.bad("no list of records where the pack says it is".to_owned()));
        };
        Ok(Shape { columns: columns(records) })
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

fn columns(records: &[Value]) -> Vec<Column> {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    for record in records.iter().filter_map(Value::as_object) {
        for (name, value) in record {
            note(&mut seen, name.clone(), value);
            for (member, value) in value.as_object().into_iter().flatten() {
                note(&mut seen, format!("{name}.{member}"), value);
            }
        }
    }
    let column = |(name, seen): (String, Seen)| Column {
        name,
        type_name: if seen.types.is_empty() { "null".to_owned() } else { seen.types.join(" or ") },
        nullable: Some(seen.null || seen.records < records.len()),
    };
    seen.into_iter().map(column).collect()
}

fn note(seen: &mut BTreeMap<String, Seen>, path: String, value: &Value) {
    let seen = seen.entry(path).or_default();
    seen.records += 1;
    match type_name(value) {
        None => seen.null = true,
        Some(name) if !seen.types.contains(&name) => seen.types.push(name),
        Some(_) => {}
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
            { "a": 1, "b": { "c": "x" }, "d": null },
            { "a": 1.5, "b": { "c": null } },
        ]);
        let columns = columns(records.as_array().unwrap());
        let shown: Vec<_> = columns
            .iter()
            .map(|column| format!("{} {} {:?}", column.name, column.type_name, column.nullable))
            .collect();
        let expect =
            ["a integer or number Some(false)", "b object Some(false)", "b.c text Some(true)", "d null Some(true)"];
        assert_eq!(shown, expect);
    }
}
