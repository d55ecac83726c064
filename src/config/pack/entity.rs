//! `[entity.NAME]` of a pack: one dataset.

use std::collections::BTreeMap;
use std::time::Duration;

use super::read::parsed_path;
use super::{
    Body, Bounds, Dialect, JsonPath, PackEntity, Paging, Placeholder, Question, Since, SinceFormat, Values, body, by,
    fill, graphql,
};
use crate::config::condition;
use crate::config::duration;
use crate::config::problems::quoted;
use crate::config::section::{Entry, Keys, Node, Section};
use crate::model::mapping::EpochUnit;

pub(super) const KEYS: Keys = Keys {
    section: "[entity.NAME]",
    names: &[
        "path",
        "document",
        "fragment",
        "model",
        "body",
        "items",
        "whole",
        "parts",
        "id",
        "ordered",
        "query",
        "page",
        "changed_at",
        "epoch",
        "since",
        "also",
        "gone",
        "by",
        "columns",
        "blind",
    ],
    not_yet: &[],
};
pub(super) const SINCE_KEYS: Keys = Keys {
    section: "[entity.NAME] since",
    names: &["param", "until", "query", "body", "exclusive", "format", "settle", "lookback"],
    not_yet: &[],
};
pub(super) const GONE_KEYS: Keys = Keys { section: "[entity.NAME] gone", names: &["path", "in"], not_yet: &[] };

pub(super) const PART_KEYS: Keys = Keys { section: "[entity.NAME] parts", names: &["list", "more"], not_yet: &[] };

const FORMATS: [(&str, SinceFormat); 5] = [
    ("naive", SinceFormat::Naive),
    ("rfc3339", SinceFormat::Rfc3339),
    ("spaced", SinceFormat::Spaced),
    ("seconds", SinceFormat::Seconds),
    ("milliseconds", SinceFormat::Milliseconds),
];
const STAMPS: [(&str, Option<EpochUnit>); 3] =
    [("text", None), ("seconds", Some(EpochUnit::Seconds)), ("milliseconds", Some(EpochUnit::Milliseconds))];
const TYPES: [&str; 6] = ["text", "integer", "number", "boolean", "list", "object"];

/// Why a key of addresses may not stand in a pack that sends bodies.
pub(super) const FOR_ADDRESSES: &str = "is for addresses; packs of this `[http] dialect` send a `body`";
/// Why a key of bodies may not stand in a pack that sends none.
pub(super) const FOR_BODIES: &str = "belongs to packs that send bodies: `[http] dialect`";

/// What the pack says outside of its datasets.
#[derive(Clone, Copy)]
pub(super) struct Around<'p> {
    pub dialect: Dialect,
    pub values: &'p Values,
    pub pages: &'p BTreeMap<String, Paging>,
}

/// `any`: the entity stands for every dataset, whose name is part of the path or model.
pub(super) fn read(section: &Section<'_>, any: bool, around: &Around<'_>) -> Option<PackEntity> {
    let Around { dialect, values, pages } = *around;
    let question = question(section, any, dialect, values);
    let items = section.get("items").map_or(Some(JsonPath::default()), |node| match dialect {
        Dialect::GraphQl => inner_items(node, values),
        _ => items(node, values),
    });
    let id = section.need("id").and_then(|node| path_in_json(node, values));
    let page = section.need("page").and_then(|node| page(node, values, pages));
    let since = section.get("since").and_then(|node| node.section(&SINCE_KEYS));
    let since = since.and_then(|section| self::since(&section, dialect, values));
    let also = section.get("also").and_then(Node::list).unwrap_or_default();
    let query = section.get("query").map(|node| fill::query(node, values)).unwrap_or_default();
    let columns = section.get("columns").and_then(Node::entries).map(|list| columns(&list)).unwrap_or_default();
    let by_keys = section.get("by").and_then(Node::entries).unwrap_or_default();
    let entity = PackEntity {
        question: question?,
        body: section.get("body").map_or(Some(Body::default()), |node| body::read(node, values, &[]))?,
        items: items?,
        whole: section.get("whole").and_then(|node| path_in_json(node, values)),
        parts: section.get("parts").and_then(Node::list).unwrap_or_default().into_iter().filter_map(part).collect(),
        id: id?,
        ordered: section.or("ordered", false),
        query,
        page: page?,
        changed_at: section.get("changed_at").and_then(|node| fill::some_text(node, values)),
        epoch: section.get("epoch").and_then(|node| fill::choice(node, values, &STAMPS)).flatten(),
        since,
        also: also.into_iter().map(|node| fill::query(node, values)).collect(),
        gone: section.get("gone").and_then(gone),
        lookups: by::read(&by_keys, dialect, &fragment(section, values), values),
        columns,
        blind: section.get("blind").map(Node::one_or_many).unwrap_or_default().into_iter().filter_map(column).collect(),
    };
    refuse_misfits(section, &entity)?;
    refuse_unknown_variables(section, &entity)?;
    Some(entity)
}

/// What has a meaning only beside something else that is not there.
fn refuse_misfits(section: &Section<'_>, entity: &PackEntity) -> Option<()> {
    if !entity.ordered && entity.page.kind == super::PageKind::Keyset {
        return section.get("page")?.refuse("pages by `keyset` need `ordered = true`");
    }
    if entity.whole.is_some() && !entity.items.0.contains(&super::Step::Each) {
        return section.get("whole")?.refuse("belongs to `items` that reach through a list");
    }
    let is_index = |ask: &super::Ask| matches!(ask, super::Ask::Body { index: true, .. });
    let id = entity.id.to_string();
    if entity.lookups.iter().any(|lookup| is_index(&lookup.ask))
        && entity.lookups.iter().all(|lookup| lookup.path != id)
    {
        return section.get("by")?.refuse(format!("what an `index` finds is read again by `{id}`, which is not there"));
    }
    Some(())
}

/// What is asked, and where.
fn question(section: &Section<'_>, any: bool, dialect: Dialect, values: &Values) -> Option<Question> {
    let path = || section.need("path").and_then(|node| entity_path(node, any, values));
    match dialect {
        Dialect::Rest => {
            section.refuse(&["document", "fragment", "model", "body", "whole", "parts"], FOR_BODIES);
            path().map(Question::Path)
        }
        Dialect::GraphQl => {
            section.refuse(&["model", "query", "also"], FOR_ADDRESSES);
            let fragment = fragment(section, values);
            let text = section.need("document").and_then(|node| document(node, &fragment, values));
            Some(Question::Document { path: path()?, text: text? })
        }
        Dialect::Json2 | Dialect::JsonRpc => {
            section.refuse(&["path", "document", "fragment", "query", "also", "whole", "parts"], FOR_ADDRESSES);
            let model = section.need("model").and_then(|node| model(node, any, values));
            model.map(Question::Model)
        }
    }
}

/// What belongs to every document of the dataset.
fn fragment(section: &Section<'_>, values: &Values) -> String {
    section.get("fragment").and_then(|node| fill::text(node, values)).unwrap_or_default()
}

/// A GraphQL document that only reads.
pub(super) fn document(node: Node<'_>, fragment: &str, values: &Values) -> Option<String> {
    let mut text = fill::text(node, values)?;
    if !fragment.is_empty() {
        text.push('\n');
        text.push_str(fragment);
    }
    match graphql::variables(&text) {
        Ok(_) => Some(text),
        Err(error) => node.refuse(error),
    }
}

fn model(node: Node<'_>, any: bool, values: &Values) -> Option<String> {
    let model = fill::text(node, values)?;
    if any != (model == "{dataset}") {
        return node.refuse("`{dataset}` is the model of the entity `*`, and only there");
    }
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._".contains(&byte);
    if any || (!model.is_empty() && model.bytes().all(is_name)) {
        return Some(model);
    }
    node.refuse(format!("`{model}` is not the name of a model, such as `res.partner`"))
}

/// A GraphQL server ignores values of variables that its document does not have: a filter would filter nothing.
fn refuse_unknown_variables(section: &Section<'_>, entity: &PackEntity) -> Option<()> {
    let Question::Document { text, .. } = &entity.question else { return Some(()) };
    let known = graphql::variables(text).unwrap_or_default();
    let mut missing = None;
    let mut look_at = |known: &[String], body: &Body| {
        let unknown = body.names().find(|name| !known.iter().any(|known| known == name));
        missing = missing.take().or_else(|| unknown.map(str::to_owned));
    };
    look_at(&known, &entity.body);
    look_at(&known, &entity.page.body);
    if let Some(Since { bounds: Bounds::Body(body), .. }) = &entity.since {
        look_at(&known, body);
    }
    for lookup in &entity.lookups {
        match &lookup.ask {
            super::Ask::Body { body, document: None, .. } => look_at(&known, body),
            super::Ask::Body { body, document: Some(own), .. } => {
                look_at(&graphql::variables(&own.text).unwrap_or_default(), body);
            }
            super::Ask::Filter { .. } | super::Ask::At { .. } => {}
        }
    }
    match missing {
        None => Some(()),
        Some(name) => {
            section.reading.problem(section.at, format!("the document has no variable `${name}`, which a `body` sets"));
            None
        }
    }
}

fn column(node: Node<'_>) -> Option<String> {
    let text = node.name()?;
    parsed_path(node, text).map(|_| text.to_owned())
}

fn entity_path(node: Node<'_>, any: bool, values: &Values) -> Option<String> {
    let path = fill::text(node, values)?;
    if any != path.contains("{dataset}") {
        return node.refuse("`{dataset}` belongs into the path of the entity `*`, and only there");
    }
    if !path.starts_with('/') && !any {
        return node.refuse("must begin with `/`; it stands below `base`");
    }
    Some(path)
}

pub(super) fn path_in_json(node: Node<'_>, values: &Values) -> Option<JsonPath> {
    let text = fill::text(node, values)?;
    parsed_path(node, &text)
}

pub(super) fn items(node: Node<'_>, values: &Values) -> Option<JsonPath> {
    let path = path_in_json(node, values)?;
    if path.0.iter().all(|step| matches!(step, super::Step::Member(_))) {
        return Some(path);
    }
    node.refuse(format!("`{path}`: it names one list and cannot reach through others"))
}

/// As [`items`], also through lists: `nodes[].levels.nodes`.
pub(super) fn inner_items(node: Node<'_>, values: &Values) -> Option<JsonPath> {
    let path = path_in_json(node, values)?;
    let lists = path.0.iter().filter(|step| **step == super::Step::Each).count();
    if lists <= 1 && !path.0.iter().any(|step| matches!(step, super::Step::Where(..))) {
        return Some(path);
    }
    node.refuse(format!("`{path}`: it can reach through one list, and pick no elements"))
}

fn part(node: Node<'_>) -> Option<(String, JsonPath)> {
    let section = node.section(&PART_KEYS)?;
    let list = section.need("list").and_then(column);
    let more = section.need("more").and_then(|node| parsed_path(node, node.name()?));
    Some((list?, more?))
}

fn page(node: Node<'_>, values: &Values, pages: &BTreeMap<String, Paging>) -> Option<Paging> {
    let name = fill::text(node, values)?;
    let known = || quoted(pages.keys().map(String::as_str));
    pages.get(&name).cloned().or_else(|| node.refuse(format!("there is no `[page.{name}]`, only {}", known())))
}

/// `None` where a setting left the parameter's name empty: the product has no such filter.
fn since(section: &Section<'_>, dialect: Dialect, values: &Values) -> Option<Since> {
    let within_a_day = |node| duration::bounded(node, Duration::ZERO, Duration::from_secs(86_400));
    let bounds = if dialect == Dialect::Rest { params(section, values)? } else { bounds_in_body(section, values)? };
    Some(Since {
        bounds,
        exclusive: section.or("exclusive", false),
        format: section.need("format").and_then(|node| fill::choice(node, values, &FORMATS))?,
        settle: section.get("settle").and_then(within_a_day).unwrap_or(Duration::from_secs(10)),
        lookback: section.get("lookback").and_then(within_a_day).unwrap_or(Duration::ZERO),
    })
}

fn params(section: &Section<'_>, values: &Values) -> Option<Bounds> {
    section.refuse(&["body"], FOR_BODIES);
    Some(Bounds::Params {
        low: section.need("param").and_then(|node| fill::some_text(node, values))?,
        high: section.get("until").and_then(|node| fill::some_text(node, values)),
        query: section.get("query").map(|node| fill::query(node, values)).unwrap_or_default(),
    })
}

fn bounds_in_body(section: &Section<'_>, values: &Values) -> Option<Bounds> {
    section.refuse(&["param", "until", "query"], FOR_ADDRESSES);
    let node = section.need("body")?;
    let body = body::read(node, values, &[Placeholder::Low, Placeholder::High])?;
    if body.mentions(Placeholder::Low) {
        return Some(Bounds::Body(body));
    }
    node.refuse("it has no place for `{low}`")
}

fn gone(node: Node<'_>) -> Option<(JsonPath, Vec<crate::model::mapping::Literal>)> {
    let section = node.section(&GONE_KEYS)?;
    let path = section.need("path").and_then(|node| parsed_path(node, node.name()?));
    let values = section.need("in").and_then(condition::literals);
    Some((path?, values?))
}

fn columns(entries: &[Entry<'_>]) -> BTreeMap<String, String> {
    let kinds = TYPES.map(|name| (name, name));
    let read = |entry: &Entry<'_>| {
        parsed_path(entry.node, entry.name)?;
        Some((entry.name.to_owned(), entry.node.choice(&kinds)?.to_owned()))
    };
    entries.iter().filter_map(read).collect()
}
