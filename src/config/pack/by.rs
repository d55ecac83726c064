//! `by.PATH` of a pack's dataset: how records are asked for by one of their paths.

use super::entity::{FOR_ADDRESSES, FOR_BODIES, document, inner_items, items, path_in_json};
use super::read::parsed_path;
use super::{Answered, Ask, Dialect, JsonPath, Lookup, LookupStyle, Placeholder, Values, body, fill};
use crate::config::section::{Entry, Keys, Node, Section};

pub(super) const KEYS: Keys = Keys {
    section: "[entity.NAME] by.PATH",
    names: &[
        "path", "param", "style", "query", "body", "search", "index", "document", "items", "whole", "max", "none",
        "at", "item",
    ],
    not_yet: &[],
};

const STYLES: [(&str, LookupStyle); 2] = [("csv", LookupStyle::Csv), ("repeat", LookupStyle::Repeat)];

/// `fragment` is part of every document of the dataset.
pub(super) fn read(by: &[Entry<'_>], dialect: Dialect, fragment: &str, values: &Values) -> Vec<Lookup> {
    by.iter().filter_map(|entry| lookup(entry, dialect, fragment, values)).collect()
}

/// `None` where a setting left the parameter's name or the address empty: the product has no such question.
fn lookup(entry: &Entry<'_>, dialect: Dialect, fragment: &str, values: &Values) -> Option<Lookup> {
    let section = entry.node.section(&KEYS)?;
    let path = section.get("path").map_or_else(|| Some(entry.name.to_owned()), |node| fill::text(node, values))?;
    parsed_path(entry.node, &path)?;
    if dialect != Dialect::Rest {
        section.refuse(&["param", "style", "query", "at", "item"], FOR_ADDRESSES);
        return Some(Lookup { path, ask: in_body(&section, dialect, fragment, values)? });
    }
    section.refuse(&["body", "search", "index", "document", "items", "whole"], FOR_BODIES);
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
    Some(Ask::Filter {
        param,
        style: section.get("style").and_then(|node| fill::choice(node, values, &STYLES)).unwrap_or(LookupStyle::Csv),
        max: most(section, values),
        query: section.get("query").map(|node| fill::query(node, values)).unwrap_or_default(),
        none: section.need("none").and_then(|node| fill::text(node, values))?,
    })
}

fn in_body(section: &Section<'_>, dialect: Dialect, fragment: &str, values: &Values) -> Option<Ask> {
    let node = section.need("body")?;
    let body = body::read(node, values, &[Placeholder::Values])?;
    if !body.mentions(Placeholder::Values) {
        return node.refuse("it has no place for `{values}`");
    }
    if dialect != Dialect::GraphQl {
        section.refuse(&["document", "items", "whole", "search", "index"], "belongs to the dialect `graphql`");
    }
    let own = match section.get("document") {
        Some(node) => Some(Answered {
            text: document(node, fragment, values)?,
            items: section.need("items").and_then(|node| inner_items(node, values))?,
            whole: section.get("whole").and_then(|node| path_in_json(node, values)),
        }),
        None => None,
    };
    Some(Ask::Body {
        body,
        search: section.get("search").and_then(Node::name).map(str::to_owned),
        max: most(section, values),
        none: section.need("none").and_then(|node| fill::text(node, values))?,
        document: own,
        index: section.or("index", false),
    })
}

fn most(section: &Section<'_>, values: &Values) -> usize {
    let max = section.need("max").and_then(|node| fill::number(node, values)).unwrap_or(1);
    usize::try_from(max).unwrap_or(1).clamp(1, 1000)
}
