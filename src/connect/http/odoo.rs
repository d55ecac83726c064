//! Records of Odoo: what to ask for so that paths reach linked records, and what its values mean. Pure.
//!
//! Odoo has no null: an empty field is `false`, whatever its type. `search_read` gives a link as `[id, "name"]` and a
//! list of lines as ids; `web_search_read` (17.0 and newer) gives of both what its specification asks for, and a link
//! that it asks nothing of as an id.

use serde_json::{Map, Value as Json, json};

use super::decode::Inner;
use crate::config::pack::{JsonPath, PackEntity, Relations, Step};
use crate::connect::Column;
use crate::model::mapping::{Children, Condition, Literal, Mapping, Origin, Test};
use crate::model::{FieldType, Raw};

/// The methods that are ever called. All are reads.
pub(super) const SEARCH_READ: &str = "search_read";
pub(super) const WEB_SEARCH_READ: &str = "web_search_read";
pub(super) const FIELDS_GET: &str = "fields_get";

/// Where `web_search_read` holds the records.
pub(super) const RECORDS: &str = "records";

const ID: &str = "id";
const DISPLAY_NAME: &str = "display_name";

/// What the values of a record mean, by slot.
#[derive(Debug)]
pub(super) struct Meanings {
    record: Vec<Meaning>,
    lists: Vec<Vec<Meaning>>,
}

/// What a value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// `false` is no.
    Boolean,
    /// `false` is null.
    Value,
    /// `false` is null, `[id, "name"]` the id.
    Link,
    /// `false` is null, `[id, "name"]` the name.
    Name,
}

impl Meanings {
    /// `paths` are those of the record's slots, of which the mapping's sources are the first.
    pub fn new(entity: &PackEntity, relations: Relations, mapping: &Mapping, paths: &[JsonPath]) -> Self {
        let record = paths.iter().enumerate().map(|(slot, path)| {
            let kind = entity.columns.get(&path.to_string()).map(String::as_str);
            match kind {
                Some("boolean") => Meaning::Boolean,
                None if is_asked_yes_or_no(mapping, slot) => Meaning::Boolean,
                _ if relations == Relations::Nested => Meaning::Value,
                _ if path.0.get(1).is_some_and(is_name) => Meaning::Name,
                None | Some("integer") => Meaning::Link,
                Some(_) => Meaning::Value,
            }
        });
        let of_list = |(number, children): (usize, &Children)| {
            let slots = 0..children.sources.len();
            let meaning = |slot| if is_yes_or_no_of(mapping, number, slot) { Meaning::Boolean } else { Meaning::Value };
            slots.map(meaning).collect()
        };
        Self { record: record.collect(), lists: mapping.children.iter().enumerate().map(of_list).collect() }
    }

    /// Turns what Odoo sends into what it means.
    pub fn apply(&self, row: &mut [Raw], inner: &mut Inner) {
        row.iter_mut().zip(&self.record).for_each(|(raw, meaning)| meaning.apply(raw));
        for (rows, meanings) in inner.iter_mut().zip(&self.lists) {
            for row in rows {
                row.iter_mut().zip(meanings).for_each(|(raw, meaning)| meaning.apply(raw));
            }
        }
    }
}

impl Meaning {
    fn apply(self, raw: &mut Raw) {
        match raw {
            Raw::Bool(false) if self != Self::Boolean => *raw = Raw::Null,
            Raw::Text(text) if matches!(self, Self::Link | Self::Name) => {
                if let Ok((id, name)) = serde_json::from_str::<(i64, String)>(text) {
                    *raw = if self == Self::Name { Raw::Text(name.into()) } else { Raw::Int(id) };
                }
            }
            _ => {}
        }
    }
}

fn is_name(step: &Step) -> bool {
    *step == Step::Member(DISPLAY_NAME.into())
}

/// Whether the mapping takes the source for a boolean.
fn is_asked_yes_or_no(mapping: &Mapping, source: usize) -> bool {
    let rules = || mapping.fields.iter().flatten();
    let is_field = rules().any(|rule| rule.field_type == FieldType::Boolean && rule.origin == Origin::Source(source));
    let whens = rules().filter_map(|rule| rule.when.as_ref());
    is_field || mapping.scope.iter().chain(whens).any(|condition| is_boolean_test(condition, source))
}

/// The same for a source of children.
fn is_yes_or_no_of(mapping: &Mapping, number: usize, source: usize) -> bool {
    let of_these = mapping.fields.iter().flatten().filter_map(|rule| match &rule.origin {
        Origin::Children(origin) if origin.children == number => Some((rule, origin)),
        _ => None,
    });
    let scope = mapping.children.get(number).map(|children| &children.scope[..]).unwrap_or_default();
    scope.iter().any(|condition| is_boolean_test(condition, source))
        || of_these.into_iter().any(|(rule, origin)| {
            (rule.field_type == FieldType::Boolean && origin.source == Some(source))
                || origin.only.as_ref().is_some_and(|only| is_boolean_test(only, source))
        })
}

fn is_boolean_test(condition: &Condition, source: usize) -> bool {
    let is_boolean = |literal: &Literal| matches!(literal, Literal::Bool(_));
    condition.source == source
        && match &condition.test {
            Test::Equal(literal) | Test::NotEqual(literal) => is_boolean(literal),
            Test::In(literals) | Test::NotIn(literals) => literals.iter().any(is_boolean),
            Test::IsNull(_) => false,
        }
}

/// Where the values are that these paths ask for. With nested relations a link of which another path asks more is an
/// object; with flat ones its parts stand at the link itself.
///
/// # Errors
/// In words, the path that does not reach.
pub(super) fn places(relations: Relations, paths: &mut [JsonPath]) -> Result<(), String> {
    match relations {
        Relations::Nested => {
            let all = paths.to_vec();
            let is_link = |path: &JsonPath| all.iter().any(|other| leads_on(path, other));
            paths.iter_mut().filter(|path| is_link(path)).for_each(|path| path.0.push(Step::Member(ID.into())));
        }
        Relations::Flat => {
            for path in paths {
                if !path.is_flat_in_odoo() {
                    return Err(format!(
                        "`{path}` leads into linked records: `relations = \"nested\"`, Odoo 17 and newer"
                    ));
                }
                path.0.truncate(1);
            }
        }
    }
    Ok(())
}

/// Whether `other` goes on where `path` ends.
fn leads_on(path: &JsonPath, other: &JsonPath) -> bool {
    !path.0.is_empty() && other.0.len() > path.0.len() && other.0.starts_with(&path.0)
}

/// What `web_search_read` must be asked for to give these paths.
pub(super) fn specification<'p>(paths: impl IntoIterator<Item = &'p JsonPath>) -> Json {
    let mut specification = Map::new();
    paths.into_iter().for_each(|path| specify(&mut specification, &path.0));
    Json::Object(specification)
}

fn specify(specification: &mut Map<String, Json>, steps: &[Step]) {
    let Some((step, rest)) = steps.split_first() else { return };
    match step {
        Step::Each => specify(specification, rest),
        Step::Where(member, _) => {
            specification.entry(&**member).or_insert_with(|| json!({}));
            specify(specification, rest);
        }
        Step::Member(name) => {
            let field = specification.entry(&**name).or_insert_with(|| json!({}));
            if rest.iter().all(|step| *step == Step::Each) {
                return;
            }
            if let Some(field) = field.as_object_mut()
                && let Some(below) = field.entry("fields").or_insert_with(|| json!({})).as_object_mut()
            {
                specify(below, rest);
            }
        }
    }
}

/// What asks for the fields of a model.
pub(super) fn fields_arguments() -> Map<String, Json> {
    Map::from_iter([("attributes".to_owned(), json!(["type", "required", "selection"]))])
}

/// The fields of a model, of what `fields_get` gives; `None` if it is something else.
pub(super) fn columns(fields: &Json) -> Option<Vec<Column>> {
    let mut columns: Vec<Column> = fields.as_object()?.iter().map(column).collect::<Option<_>>()?;
    columns.sort_unstable_by(|left, right| left.name.cmp(&right.name));
    Some(columns)
}

fn column((name, field): (&String, &Json)) -> Option<Column> {
    let kind = field.get("type")?.as_str()?;
    let required = field.get("required").and_then(Json::as_bool).unwrap_or_default();
    let value = |pair: &Json| Some(pair.get(0)?.as_str()?.to_owned());
    Some(Column {
        nullable: Some(!required && kind != "boolean" && !is_list(kind)),
        // A list that depends on who asks is given as something else, or not at all.
        values: field.get("selection").and_then(Json::as_array).and_then(|all| all.iter().map(value).collect()),
        ..Column::new(name, type_name(kind))
    })
}

fn is_list(kind: &str) -> bool {
    matches!(kind, "one2many" | "many2many")
}

/// The JSON type of a field of Odoo (fields.py: `type`).
fn type_name(kind: &str) -> &'static str {
    match kind {
        "boolean" => "boolean",
        "integer" | "many2one" | "many2one_reference" => "integer",
        "float" | "monetary" => "number",
        "json" | "properties" | "properties_definition" => "object",
        kind if is_list(kind) => "list",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(texts: &[&str]) -> Vec<JsonPath> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn specifications_ask_for_what_paths_lead_to() {
        let check = |texts: &[&str], expect: Json| assert_eq!(specification(&paths(texts)), expect, "{texts:?}");
        check(&["id", "name"], json!({ "id": {}, "name": {} }));
        check(
            &["partner_id", "partner_id.country_id.code", "partner_id.ref"],
            json!({ "partner_id": { "fields": { "country_id": { "fields": { "code": {} } }, "ref": {} } } }),
        );
        check(
            &["order_line[].product_id.default_code", "order_line[sequence=10].name", "tag_ids[]"],
            json!({
                "order_line": { "fields": {
                    "product_id": { "fields": { "default_code": {} } }, "sequence": {}, "name": {}
                } },
                "tag_ids": {},
            }),
        );
    }

    #[test]
    fn a_link_of_which_more_is_asked_is_an_object() {
        let mut nested = paths(&["partner_id", "partner_id.ref", "partner_id_2", "id"]);
        places(Relations::Nested, &mut nested).unwrap();
        assert_eq!(nested, paths(&["partner_id.id", "partner_id.ref", "partner_id_2", "id"]));
    }

    #[test]
    fn flat_paths_stay_at_the_link() {
        let mut flat = paths(&["id", "partner_id", "partner_id.id", "partner_id.display_name"]);
        places(Relations::Flat, &mut flat).unwrap();
        assert_eq!(flat, paths(&["id", "partner_id", "partner_id", "partner_id"]));
        for text in ["partner_id.ref", "order_line[].name", "partner_id.parent_id.id"] {
            let error = places(Relations::Flat, &mut paths(&[text])).unwrap_err();
            assert!(error.contains(text) && error.contains("nested"), "{error}");
        }
    }

    #[test]
    fn false_is_null_but_for_booleans() {
        let check = |meaning: Meaning, raw: Raw, expect: Raw| {
            let mut raw = raw;
            meaning.apply(&mut raw);
            assert_eq!(raw, expect, "{meaning:?}");
        };
        let link = || Raw::Text(r#"[6, "Ada, [x]"]"#.into());
        check(Meaning::Boolean, Raw::Bool(false), Raw::Bool(false));
        check(Meaning::Value, Raw::Bool(false), Raw::Null);
        check(Meaning::Name, Raw::Bool(false), Raw::Null);
        check(Meaning::Value, Raw::Bool(true), Raw::Bool(true));
        check(Meaning::Link, link(), Raw::Int(6));
        check(Meaning::Name, link(), Raw::Text("Ada, [x]".into()));
        check(Meaning::Value, link(), link());
        check(Meaning::Link, Raw::Text("[1,2]".into()), Raw::Text("[1,2]".into()));
        check(Meaning::Link, Raw::Int(6), Raw::Int(6));
    }

    #[test]
    fn fields_have_the_types_of_their_values() {
        let fields = json!({
            "name": { "type": "char", "required": true },
            "state": { "type": "selection", "selection": [["draft", "Draft"], ["sale", "Sales Order"]] },
            "active": { "type": "boolean", "required": false },
            "line_ids": { "type": "one2many", "required": false },
            "partner_id": { "type": "many2one", "required": false },
            "amount": { "type": "monetary" },
        });
        let columns = columns(&fields).unwrap();
        let shown: Vec<String> = columns
            .iter()
            .map(|column| format!("{} {} {}", column.name, column.type_name, column.nullable.unwrap()))
            .collect();
        let expect = [
            "active boolean false",
            "amount number true",
            "line_ids list false",
            "name text false",
            "partner_id integer true",
            "state text true",
        ];
        assert_eq!(shown, expect);
        assert_eq!(columns[5].values, Some(vec!["draft".to_owned(), "sale".to_owned()]));
        assert!(super::columns(&json!([1])).is_none() && super::columns(&json!({ "a": 1 })).is_none());
    }
}
