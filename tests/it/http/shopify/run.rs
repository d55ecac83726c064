//! Running a document on what the store holds.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::gid;
use super::language::{Document, Selection, Value};

type Records = BTreeMap<(&'static str, i64), Json>;
type Arguments = BTreeMap<String, Value>;

/// One run.
pub struct Run<'s> {
    records: &'s Records,
    index: &'s Records,
    denied: &'s [String],
    variables: &'s Json,
    errors: Vec<Json>,
    used: f64,
}

impl<'s> Run<'s> {
    pub fn new(records: &'s Records, index: &'s Records, denied: &'s [String], variables: &'s Json) -> Self {
        Self { records, index, denied, variables, errors: Vec::new(), used: 0.0 }
    }

    /// The answer: data, errors, and the points used.
    pub fn document(mut self, document: &Document) -> Json {
        let root = self.root(document);
        let data = self.object(document, &root, &document.selections);
        let mut answer = json!({ "data": data, "used": self.used });
        if self.errors.iter().any(|error| error["extensions"]["code"] == "undefinedField") {
            answer = json!({ "used": 0.0 });
        }
        if !self.errors.is_empty() {
            answer["errors"] = json!(self.errors);
        }
        answer
    }

    /// The values of the fields that a query begins with.
    fn root(&self, document: &Document) -> Json {
        let mut root = json!({ "__typename": "QueryRoot" });
        for selection in &document.selections {
            let Selection::Field { name, arguments, .. } = selection else { panic!("a field is expected") };
            let argument = |name: &str| arguments.get(name).map_or(Json::Null, |value| value.of(self.variables));
            root[name] = match name.as_str() {
                "productVariants" => self.search("ProductVariant", &argument("query")),
                "inventoryItems" => self.search("InventoryItem", &argument("query")),
                "orders" => self.search("Order", &argument("query")),
                "customers" => self.search("Customer", &argument("query")),
                "location" => self.at(argument("id").as_str().unwrap()),
                "nodes" => argument("ids").as_array().unwrap().iter().map(|id| self.at(id.as_str().unwrap())).collect(),
                other => panic!("`{other}` is not what a query begins with"),
            };
        }
        root
    }

    /// The record at an address, as it is; null when there is none.
    fn at(&self, id: &str) -> Json {
        let found = self.records.iter().find(|(_, record)| record["id"] == id);
        found.map_or(Json::Null, |((kind, id), record)| self.with_levels(kind, *id, record))
    }

    /// Items and locations know their levels.
    fn with_levels(&self, kind: &str, id: i64, record: &Json) -> Json {
        let mut record = record.clone();
        let side = match kind {
            "InventoryItem" => "item",
            "Location" => "location",
            _ => return record,
        };
        let levels = self.records.iter().filter(|((kind, _), _)| *kind == "InventoryLevel").map(|(_, level)| level);
        record["inventoryLevels"] =
            levels.filter(|level| level[side]["id"] == gid(kind, id)).cloned().collect::<Vec<_>>().into();
        record
    }

    /// Records that the search finds, as they are now, in the order of their numbers.
    fn search(&self, kind: &'static str, query: &Json) -> Json {
        let hits = self.index.iter().filter(|((known, _), indexed)| *known == kind && fits(indexed, query));
        let found = hits.map(|((_, id), indexed)| {
            let record = self.records.get(&(kind, *id)).unwrap_or(indexed);
            self.with_levels(kind, *id, record)
        });
        found.collect()
    }

    fn object(&mut self, document: &Document, object: &Json, selections: &[Selection]) -> Json {
        let mut out = Map::new();
        self.add(document, object, selections, &mut out);
        Json::Object(out)
    }

    fn add(&mut self, document: &Document, object: &Json, selections: &[Selection], out: &mut Map<String, Json>) {
        for selection in selections {
            match selection {
                Selection::Spread(name) => self.add(document, object, &document.fragments[name], out),
                Selection::On(kind, below) if object["__typename"] == **kind => self.add(document, object, below, out),
                Selection::On(..) => {}
                Selection::Field { alias, name, arguments, below } => {
                    let value = self.field(document, object, name, arguments, below);
                    out.insert(alias.clone(), value);
                }
            }
        }
    }

    fn field(
        &mut self,
        document: &Document,
        object: &Json,
        name: &str,
        arguments: &Arguments,
        below: &[Selection],
    ) -> Json {
        let kind = object["__typename"].as_str().unwrap_or_default();
        if self.denied.contains(&format!("{kind}.{name}")) {
            self.fail(&format!("Access denied for {name} field."), "ACCESS_DENIED");
            return Json::Null;
        }
        let argument = |name: &str| arguments.get(name).map(|value| value.of(self.variables));
        let value = match name {
            "inventoryLevel" => {
                let place = argument("locationId").unwrap();
                let levels = object["inventoryLevels"].as_array().unwrap();
                levels.iter().find(|level| level["location"]["id"] == place).cloned().unwrap_or_default()
            }
            _ => match object.get(name) {
                Some(value) => value.clone(),
                None => {
                    self.fail(&format!("Field '{name}' doesn't exist on type '{kind}'"), "undefinedField");
                    return Json::Null;
                }
            },
        };
        match value {
            Json::Array(items) if is_connection(below) => self.connection(document, &items, &argument, below),
            Json::Array(items) => {
                let names = argument("names");
                let is_asked =
                    |item: &&Json| names.as_ref().is_none_or(|names| names.as_array().unwrap().contains(&item["name"]));
                items.iter().filter(is_asked).map(|item| self.value(document, item, below)).collect()
            }
            other => self.value(document, &other, below),
        }
    }

    fn value(&mut self, document: &Document, value: &Json, below: &[Selection]) -> Json {
        if value.is_object() {
            self.used += 1.0;
            assert!(!below.is_empty(), "fields of an object must be named");
            return self.object(document, value, below);
        }
        value.clone()
    }

    /// One page of a connection. The cursor is the address of the last record before it.
    fn connection(
        &mut self,
        document: &Document,
        items: &[Json],
        argument: &dyn Fn(&str) -> Option<Json>,
        below: &[Selection],
    ) -> Json {
        let found: Vec<&Json> =
            items.iter().filter(|item| fits(item, &argument("query").unwrap_or_default())).collect();
        let after = argument("after").filter(|after| !after.is_null());
        let from = after.map_or(0, |after| {
            let id = after.as_str().unwrap().strip_prefix("after ").unwrap().to_owned();
            found.iter().position(|item| item["id"] == id).unwrap() + 1
        });
        let first = argument("first").and_then(|first| first.as_u64()).expect("`first` is needed");
        assert!(first <= 250, "a page holds 250 at most");
        let until = found.len().min(from + usize::try_from(first).unwrap());
        let end = found[from..until].last().map(|item| format!("after {}", item["id"].as_str().unwrap()));
        self.used += 2.0;
        let page = json!({
            "__typename": "Connection", "nodes": found[from..until],
            "pageInfo": { "__typename": "PageInfo", "hasNextPage": until < found.len(), "endCursor": end },
        });
        self.object(document, &page, below)
    }

    fn fail(&mut self, message: &str, code: &str) {
        self.errors.push(json!({ "message": message, "extensions": { "code": code } }));
    }
}

fn is_connection(below: &[Selection]) -> bool {
    below.iter().any(|selection| matches!(selection, Selection::Field { name, .. } if name == "pageInfo"))
}

/// Whether the search finds a record: terms joined by `OR`, `updated_at:>='…'` or `name:"…"`.
fn fits(record: &Json, query: &Json) -> bool {
    let query = query.as_str().unwrap_or_default();
    let term = |term: &str| {
        if let Some(low) = term.strip_prefix("updated_at:>='") {
            let low = low.strip_suffix('\'').unwrap();
            assert!(low.ends_with('Z'), "the search takes no other zone");
            return record["updatedAt"].as_str().unwrap() >= low;
        }
        let (name, phrase) = term.split_once(":\"").unwrap();
        let phrase = phrase.strip_suffix('"').unwrap().replace("\\\"", "\"");
        let known = match name {
            "email" => &record["defaultEmailAddress"]["emailAddress"],
            "sku" | "barcode" | "name" => &record[name],
            other => panic!("`{other}` is no filter"),
        };
        // Words are found in whatever case, and within longer ones.
        known.as_str().is_some_and(|known| known.to_lowercase().contains(&phrase.to_lowercase()))
    };
    query.is_empty() || query.split(" OR ").any(term)
}
