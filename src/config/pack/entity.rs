//! `[entity.NAME]` of a pack: one dataset.

use std::collections::BTreeMap;
use std::time::Duration;

use super::read::parsed_path;
use super::{Ask, JsonPath, Lookup, LookupStyle, PackEntity, Paging, Since, SinceFormat, Values, fill};
use crate::config::condition;
use crate::config::duration;
use crate::config::problems::quoted;
use crate::config::section::{Entry, Keys, Node, Section};

pub(super) const KEYS: Keys = Keys {
    section: "[entity.NAME]",
    names: &[
        "path",
        "items",
        "id",
        "ordered",
        "query",
        "page",
        "changed_at",
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
    names: &["param", "until", "exclusive", "format", "query", "settle", "lookback"],
    not_yet: &[],
};
pub(super) const BY_KEYS: Keys = Keys {
    section: "[entity.NAME] by.PATH",
    names: &["path", "param", "style", "max", "query", "none", "at", "item"],
    not_yet: &[],
};
pub(super) const GONE_KEYS: Keys = Keys { section: "[entity.NAME] gone", names: &["path", "in"], not_yet: &[] };

const FORMATS: [(&str, SinceFormat); 4] = [
    ("naive", SinceFormat::Naive),
    ("rfc3339", SinceFormat::Rfc3339),
    ("seconds", SinceFormat::Seconds),
    ("milliseconds", SinceFormat::Milliseconds),
];
const STYLES: [(&str, LookupStyle); 2] = [("csv", LookupStyle::Csv), ("repeat", LookupStyle::Repeat)];
const TYPES: [&str; 6] = ["text", "integer", "number", "boolean", "list", "object"];

/// `any`: the entity stands for every dataset, whose name is part of the path.
pub(super) fn read(
    section: &Section<'_>,
    any: bool,
    values: &Values,
    pages: &BTreeMap<String, Paging>,
) -> Option<PackEntity> {
    let path = section.need("path").and_then(|node| entity_path(node, any, values));
    let items = section.get("items").map_or(Some(JsonPath::default()), |node| items(node, values));
    let id = section.need("id").and_then(|node| json_path(node, values));
    let page = section.need("page").and_then(|node| page(node, values, pages));
    let since = section.get("since").and_then(|node| node.section(&SINCE_KEYS)).and_then(|node| since(&node, values));
    let also = section.get("also").and_then(Node::list).unwrap_or_default();
    let query = section.get("query").map(|node| fill::query(node, values)).unwrap_or_default();
    Some(PackEntity {
        path: path?,
        items: items?,
        id: id?,
        ordered: section.or("ordered", false),
        query,
        page: page?,
        changed_at: section.get("changed_at").and_then(|node| fill::some_text(node, values)),
        since,
        also: also.into_iter().map(|node| fill::query(node, values)).collect(),
        gone: section.get("gone").and_then(gone),
        lookups: section.get("by").and_then(Node::entries).map(|by| lookups(&by, values)).unwrap_or_default(),
        columns: section.get("columns").and_then(Node::entries).map(|list| columns(&list)).unwrap_or_default(),
        blind: section.get("blind").map(Node::one_or_many).unwrap_or_default().into_iter().filter_map(column).collect(),
    })
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

fn json_path(node: Node<'_>, values: &Values) -> Option<JsonPath> {
    let text = fill::text(node, values)?;
    parsed_path(node, &text)
}

fn items(node: Node<'_>, values: &Values) -> Option<JsonPath> {
    let path = json_path(node, values)?;
    if path.0.iter().all(|step| matches!(step, super::Step::Member(_))) {
        return Some(path);
    }
    node.refuse(format!("`{path}`: it names one list and cannot reach through others"))
}

fn page(node: Node<'_>, values: &Values, pages: &BTreeMap<String, Paging>) -> Option<Paging> {
    let name = fill::text(node, values)?;
    let known = || quoted(pages.keys().map(String::as_str));
    pages.get(&name).cloned().or_else(|| node.refuse(format!("there is no `[page.{name}]`, only {}", known())))
}

/// `None` where a setting left the parameter's name empty: the product has no such filter.
fn since(section: &Section<'_>, values: &Values) -> Option<Since> {
    let param = section.need("param").and_then(|node| fill::some_text(node, values))?;
    let within_a_day = |node| duration::bounded(node, Duration::ZERO, Duration::from_secs(86_400));
    Some(Since {
        param,
        until: section.get("until").and_then(|node| fill::some_text(node, values)),
        exclusive: section.or("exclusive", false),
        format: section.need("format").and_then(|node| fill::choice(node, values, &FORMATS))?,
        query: section.get("query").map(|node| fill::query(node, values)).unwrap_or_default(),
        settle: section.get("settle").and_then(within_a_day).unwrap_or(Duration::from_secs(10)),
        lookback: section.get("lookback").and_then(within_a_day).unwrap_or(Duration::ZERO),
    })
}

fn gone(node: Node<'_>) -> Option<(JsonPath, Vec<crate::model::mapping::Literal>)> {
    let section = node.section(&GONE_KEYS)?;
    let path = section.need("path").and_then(|node| parsed_path(node, node.name()?));
    let values = section.need("in").and_then(condition::literals);
    Some((path?, values?))
}

fn lookups(by: &[Entry<'_>], values: &Values) -> Vec<Lookup> {
    by.iter().filter_map(|entry| lookup(entry, values)).collect()
}

/// `None` where a setting left the parameter's name or the address empty: the product has no such question.
fn lookup(entry: &Entry<'_>, values: &Values) -> Option<Lookup> {
    let section = entry.node.section(&BY_KEYS)?;
    let path = section.get("path").map_or_else(|| Some(entry.name.to_owned()), |node| fill::text(node, values))?;
    parsed_path(entry.node, &path)?;
    let (key, _) = section.exactly_one(&["param", "at"])?;
    let ask = if key == "at" { address(&section, values)? } else { filter(&section, values)? };
    Some(Lookup { path, ask })
}

fn address(section: &Section<'_>, values: &Values) -> Option<Ask> {
    let node = section.need("at")?;
    let path = fill::some_text(node, values)?;
    if !path.starts_with('/') || !path.contains("{value}") {
        return node.refuse("must begin with `/` and hold `{value}`; it stands below the dataset's `path`");
    }
    let item = section.get("item").map_or(Some(JsonPath::default()), |node| items(node, values));
    Some(Ask::At { path, item: item? })
}

fn filter(section: &Section<'_>, values: &Values) -> Option<Ask> {
    let param = section.need("param").and_then(|node| fill::some_text(node, values))?;
    let max = section.need("max").and_then(|node| fill::number(node, values)).unwrap_or(1);
    Some(Ask::Filter {
        param,
        style: section.get("style").and_then(|node| fill::choice(node, values, &STYLES)).unwrap_or(LookupStyle::Csv),
        max: usize::try_from(max).unwrap_or(1).clamp(1, 1000),
        query: section.get("query").map(|node| fill::query(node, values)).unwrap_or_default(),
        none: section.need("none").and_then(|node| fill::text(node, values))?,
    })
}

fn columns(entries: &[Entry<'_>]) -> BTreeMap<String, String> {
    let kinds = TYPES.map(|name| (name, name));
    let read = |entry: &Entry<'_>| {
        parsed_path(entry.node, entry.name)?;
        Some((entry.name.to_owned(), entry.node.choice(&kinds)?.to_owned()))
    };
    entries.iter().filter_map(read).collect()
}
