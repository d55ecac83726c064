//! A pack file: its sections in the order in which they need each other.

use std::collections::BTreeMap;

use secrecy::SecretString;
use toml::de::DeTable;

use super::{
    Auth, Dialect, ErrorRule, JsonPath, Limits, Meaning, Pack, Place, Relations, Values, auth, entity, fill, limit,
    page, settings,
};
use crate::config::duration;
use crate::config::problems::{At, Problems};
use crate::config::section::{Entry, Keys, Node, Read, Reading, Section};

pub(super) const KEYS: Keys = Keys {
    section: "top level",
    names: &["pack", "settings", "http", "auth", "limit", "error", "page", "entity"],
    not_yet: &["action", "webhook"],
};
pub(super) const PACK_KEYS: Keys =
    Keys { section: "[pack]", names: &["id", "title", "schema", "verified", "access"], not_yet: &[] };
pub(super) const HTTP_KEYS: Keys = Keys {
    section: "[http]",
    names: &["base", "dialect", "relations", "headers", "clock", "fields_param", "body_limit"],
    not_yet: &[],
};
pub(super) const ERROR_KEYS: Keys =
    Keys { section: "[[error]]", names: &["status", "header", "body", "eq", "ne", "do", "say"], not_yet: &[] };

const MEANINGS: [(&str, Meaning); 4] = [
    ("refused", Meaning::Refused),
    ("shape", Meaning::Shape),
    ("throttle", Meaning::Throttle),
    ("retry", Meaning::Retry),
];

const RELATIONS: [(&str, Relations); 2] = [("nested", Relations::Nested), ("flat", Relations::Flat)];
const DIALECTS: [(&str, Dialect); 4] =
    [("rest", Dialect::Rest), ("graphql", Dialect::GraphQl), ("json2", Dialect::Json2), ("jsonrpc", Dialect::JsonRpc)];

/// The only form of packs so far.
const SCHEMA: u64 = 1;
const BODY_LIMIT: u64 = 32 << 20;
const LARGEST_BODY: u64 = 1 << 30;

/// The settings that a pack declares; nothing where they cannot be read.
pub(in crate::config) fn declared(text: &str, file: &std::path::Path) -> Vec<settings::Setting> {
    let environment = crate::config::Environment::Fixed(BTreeMap::new());
    let reading = Reading::new(text, file, std::path::Path::new("/"), &environment);
    let (root, _) = DeTable::parse_recoverable(text);
    let root = Section::new(&reading, At(0), root.get_ref(), &KEYS);
    let entries = root.get("settings").and_then(Node::entries).unwrap_or_default();
    settings::read(&entries)
}

/// Reads the text behind `reading`. Settings without a value get their default, else a stand-in.
pub(super) fn read(mut reading: Reading<'_>, values: &Values) -> Result<Pack, Problems> {
    let (root, errors) = DeTable::parse_recoverable(reading.text);
    reading.report_syntax(&errors);
    let pack = read_sections(&Section::new(&reading, At(0), root.get_ref(), &KEYS), values);
    match (reading.problems(), pack) {
        (None, Some(pack)) => Ok(pack),
        (Some(problems), _) => Err(problems),
        // Nothing is left out without a problem; this keeps that promise visible.
        (None, None) => {
            reading.problem(At(0), "the pack is not complete");
            Err(reading.problems().unwrap_or_else(|| Problems::new(reading.file, Vec::new())))
        }
    }
}

fn read_sections(root: &Section<'_>, values: &Values) -> Option<Pack> {
    let declared = root.get("settings").and_then(Node::entries).unwrap_or_default();
    let mut values = values.clone();
    settings::stand_ins(&settings::read(&declared), &mut values);
    if !values.has("url") {
        values.set("url", "https://host.example");
    }
    let values = &values;
    let about = root.need("pack").and_then(|node| node.section(&PACK_KEYS)).map(|section| about(&section));
    let http = root.need("http").and_then(|node| node.section(&HTTP_KEYS)).map(|section| http(&section, values));
    let auth = match root.get("auth") {
        Some(node) => node.section(&auth::KEYS).and_then(|section| auth::read(&section, values)),
        None => Some(Auth::None),
    };
    let limit = match root.get("limit") {
        Some(node) => node.section(&limit::KEYS).map(|section| limit::read(&section, values)),
        None => Some(Limits::default()),
    };
    let errors = read_errors(root, values);
    let http = http.flatten();
    let dialect = http.as_ref().map_or(Dialect::Rest, |http| http.dialect);
    if let Some(Auth::Odoo { .. }) = &auth
        && !matches!(dialect, Dialect::Json2 | Dialect::JsonRpc)
    {
        root.get("auth")?.refuse::<()>("`kind = \"odoo\"` belongs to the dialects `json2` and `jsonrpc`");
    }
    let pages = read_pages(root, dialect, values);
    let entities = read_entities(root, dialect, values, &pages);
    let Http { base, dialect, relations, headers, clock, fields_param, body_limit } = http?;
    let [id, title, verified, access] = about??;
    Some(Pack {
        id,
        title,
        verified,
        access,
        base,
        dialect,
        relations,
        headers,
        clock,
        fields_param,
        body_limit,
        auth: auth?,
        limit: limit?,
        errors,
        entities,
    })
}

fn about(section: &Section<'_>) -> Option<[String; 4]> {
    if let Some(node) = section.need("schema")
        && let Some(schema) = u64::read(node)
        && schema != SCHEMA
    {
        return node.refuse(format!("this program reads packs of schema {SCHEMA}, found {schema}"));
    }
    let [id, title, verified, access] =
        ["id", "title", "verified", "access"].map(|key| section.need(key).and_then(String::read));
    Some([id?, title?, verified?, access?])
}

struct Http {
    base: url::Url,
    dialect: Dialect,
    relations: Relations,
    headers: Vec<(String, SecretString)>,
    clock: Option<String>,
    fields_param: Option<String>,
    body_limit: usize,
}

fn http(section: &Section<'_>, values: &Values) -> Option<Http> {
    let base = section.need("base").and_then(|node| base(node, values));
    let dialect = section.get("dialect").map_or(Some(Dialect::Rest), |node| fill::choice(node, values, &DIALECTS));
    let relations = match section.get("relations") {
        None => Some(Relations::Flat),
        Some(node) if dialect.is_some_and(|dialect| !dialect.is_odoo()) => {
            node.refuse("belongs to the dialects `json2` and `jsonrpc`")
        }
        Some(node) => fill::choice(node, values, &RELATIONS),
    };
    let headers = section.get("headers").and_then(Node::entries).unwrap_or_default();
    let header = |entry: &Entry<'_>| Some((entry.name.to_owned(), fill::secret(entry.node, values)?));
    let body_limit = section.get("body_limit").and_then(body_limit).unwrap_or(BODY_LIMIT);
    Some(Http {
        headers: headers.iter().filter_map(header).collect(),
        clock: section.get("clock").and_then(|node| fill::some_text(node, values)),
        fields_param: section.get("fields_param").and_then(|node| fill::some_text(node, values)),
        body_limit: usize::try_from(body_limit).unwrap_or(usize::MAX),
        base: base?,
        dialect: dialect?,
        relations: relations?,
    })
}

fn body_limit(node: Node<'_>) -> Option<u64> {
    let bytes = duration::bytes(node)?;
    if (1024..=LARGEST_BODY).contains(&bytes) {
        return Some(bytes);
    }
    node.refuse("must be from `1KiB` to `1GiB`")
}

fn base(node: Node<'_>, values: &Values) -> Option<url::Url> {
    let text = fill::text(node, values)?;
    match url::Url::parse(text.trim_end_matches('/')) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
        _ => node.refuse(format!("`{text}` must be an address such as `https://host.example/api`")),
    }
}

fn read_errors(root: &Section<'_>, values: &Values) -> Vec<ErrorRule> {
    let nodes = root.get("error").and_then(Node::list).unwrap_or_default();
    nodes.into_iter().filter_map(|node| error_rule(&node.section(&ERROR_KEYS)?, values)).collect()
}

fn error_rule(section: &Section<'_>, values: &Values) -> Option<ErrorRule> {
    let status =
        section.get("status").and_then(|node| node.within(100, 599)).and_then(|status: u64| status.try_into().ok());
    let text = section.get("body").and_then(|node| fill::some_text(node, values).map(|text| (node, text)));
    let body = text.and_then(|(node, text)| parsed_path(node, &text));
    let switched_off = section.get("body").is_some() && body.is_none();
    let names = ["status", "header", "body"].map(|key| section.get(key).is_some());
    if names == [false; 3] || names[1..] == [true; 2] {
        section.reading.problem(section.at, "a rule names a `status`, and a `header` or a path in the `body`");
    }
    let meaning = section.need("do").and_then(|node| node.choice(&MEANINGS));
    let rule = ErrorRule {
        status,
        header: section.get("header").and_then(|node| fill::text(node, values)).map(|name| name.to_ascii_lowercase()),
        body,
        ne: section.get("ne").and_then(|node| fill::text(node, values)),
        eq: section.get("eq").and_then(|node| fill::text(node, values)),
        meaning: meaning?,
        say: section.optional("say"),
    };
    (!switched_off).then_some(rule)
}

fn read_pages(root: &Section<'_>, dialect: Dialect, values: &Values) -> BTreeMap<String, super::Paging> {
    let entries = root.need("page").and_then(Node::entries).unwrap_or_default();
    let read = |entry: &Entry<'_>| {
        let section = entry.node.section(&page::KEYS)?;
        Some((entry.name.to_owned(), page::read(&section, dialect, values)?))
    };
    entries.iter().filter_map(read).collect()
}

fn read_entities(
    root: &Section<'_>,
    dialect: Dialect,
    values: &Values,
    pages: &BTreeMap<String, super::Paging>,
) -> BTreeMap<String, super::PackEntity> {
    let entries = root.need("entity").and_then(Node::entries).unwrap_or_default();
    let read = |entry: &Entry<'_>| {
        let section = entry.node.section(&entity::KEYS)?;
        Some((
            entry.name.to_owned(),
            entity::read(&section, entry.name == "*", &entity::Around { dialect, values, pages })?,
        ))
    };
    entries.iter().filter_map(read).collect()
}

/// A path into JSON.
pub(super) fn parsed_path(node: Node<'_>, text: &str) -> Option<JsonPath> {
    match text.parse() {
        Ok(path) => Some(path),
        Err(error) => node.refuse(format!("`{text}`: {error}")),
    }
}

/// `header:NAME` or `body:PATH`; nothing where a setting left it empty.
pub(super) fn place(node: Node<'_>, values: &Values) -> Option<Place> {
    let text = fill::some_text(node, values)?;
    if let Some(name) = text.strip_prefix("header:").filter(|name| !name.is_empty()) {
        return Some(Place::Header(name.to_ascii_lowercase()));
    }
    match text.strip_prefix("body:") {
        Some(path) => parsed_path(node, path).map(Place::Body),
        None => node.refuse(format!("`{text}` must be `header:NAME` or `body:PATH`")),
    }
}
