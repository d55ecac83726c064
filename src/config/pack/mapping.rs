//! What a pack adds to a mapping, and what of a mapping its product cannot do.

use super::{JsonPath, Pack, PackEntity, Question, Relations, Step};
use crate::config::problems::suggestion;
use crate::config::section::Section;
use crate::model::mapping::{Mapping, Origin, Source, Stamp};

/// Fills in what the pack knows (the stamp, the record's own address) and reports what it cannot read.
pub(in crate::config) fn complete(section: &Section<'_>, mapping: &mut Mapping, pack: &Pack) {
    let dataset = mapping.dataset.name();
    let Some(entity) = pack.entity(dataset) else {
        let known = pack.entities.keys().map(String::as_str);
        let at = section.get("dataset").map_or(section.at, |node| node.at());
        section.reading.unknown(at, dataset, format!("a dataset of pack `{}`", pack.id), known);
        return;
    };
    refuse_paths(section, mapping, entity);
    if pack.dialect.is_odoo() && pack.relations == Relations::Flat {
        refuse_links(section, mapping);
    }
    let is_blind = |path: &str| entity.blind.iter().any(|blind| blind == path);
    let blind = mapping.children.iter_mut().filter(|children| is_blind(children.dataset.name()));
    blind.for_each(|children| children.bumps_parent = false);
    if mapping.changed_at.is_none()
        && let Some(path) = &entity.changed_at
    {
        let source = index(mapping, path);
        mapping.changed_at = Some(Stamp { source, zone: chrono_tz::UTC, epoch: entity.epoch });
    }
    if mapping.native.is_none() {
        mapping.native = Some(index(mapping, &entity.id.to_string()));
    }
    find_by_index(section, mapping, entity);
    refuse_key(section, mapping, entity);
}

/// What cannot be asked for by its key can be asked for by its address, once an index of keys leads there.
fn find_by_index(section: &Section<'_>, mapping: &mut Mapping, entity: &PackEntity) {
    let is_asked_for = |path: &str| entity.lookups.iter().any(|lookup| lookup.path == path);
    let native = mapping.native.and_then(|source| path_of(mapping, source));
    let by_native = native.is_some_and(is_asked_for);
    let by_key = key_paths(mapping).any(is_asked_for);
    if mapping.key_index && !by_native {
        let message = match native {
            Some(path) => format!("the key is found by an index, and records cannot be asked for by `{path}`"),
            None => "the key is found by an index, and records have no address to be asked for by".to_owned(),
        };
        section.reading.problem(section.at, message);
    }
    mapping.key_index |= !by_key && by_native && mapping.changed_at.is_some() && key_paths(mapping).next().is_some();
    if mapping.key_index && mapping.changed_at.is_none() {
        section.reading.problem(section.at, "the key is found by an index, which follows changes: add `changed_at`");
    }
    if mapping.key_index && entity.since.is_none() {
        let message = "the key is found by an index, and the pack knows no way to ask for changes: every read by key reads the whole list";
        section.reading.warning(section.at, message);
    }
}

fn index(mapping: &mut Mapping, path: &str) -> usize {
    let source = Source::Path(path.to_owned());
    mapping.sources.iter().position(|known| *known == source).unwrap_or_else(|| {
        mapping.sources.push(source);
        mapping.sources.len() - 1
    })
}

fn refuse_paths(section: &Section<'_>, mapping: &Mapping, entity: &PackEntity) {
    for children in &mapping.children {
        let list = children.dataset.name();
        let paths = children.sources.iter();
        for path in paths.filter_map(|source| if let Source::Path(path) = source { Some(path) } else { None }) {
            match path.parse::<JsonPath>() {
                Ok(_) => refuse_unasked(section, &format!("{list}[].{path}"), entity),
                Err(error) => section.reading.problem(section.at, format!("`{path}`: {error}")),
            }
        }
    }
    for source in &mapping.sources {
        let Source::Path(path) = source else {
            section.reading.problem(section.at, "`sql` is for databases; a pack reads paths");
            continue;
        };
        match path.parse::<JsonPath>() {
            Ok(_) if is_document(entity) => refuse_unasked(section, path, entity),
            Ok(parsed) => warn_unknown(section, path, &parsed, entity),
            Err(error) => section.reading.problem(section.at, format!("`{path}`: {error}")),
        }
    }
}

/// Without nested relations a linked record is an id and a name, and a list of lines is ids.
fn refuse_links(section: &Section<'_>, mapping: &Mapping) {
    const NESTED: &str = "it takes `relations = \"nested\"` among the settings, and Odoo 17 or newer";
    for children in &mapping.children {
        let list = children.dataset.name();
        section.reading.problem(section.at, format!("the records hold no lines of `{list}`; {NESTED}"));
    }
    for source in &mapping.sources {
        let Source::Path(path) = source else { continue };
        if path.parse::<JsonPath>().is_ok_and(|parsed| !parsed.is_flat_in_odoo()) {
            section.reading.problem(section.at, format!("`{path}` leads into linked records; {NESTED}"));
        }
    }
}

const fn is_document(entity: &PackEntity) -> bool {
    matches!(entity.question, Question::Document { .. })
}

/// A document names what it wants: what is not in it would be null for ever. Elements of a list are picked by what the
/// list's column stands for; members of children have columns of their own, `lines[].quantity`.
fn refuse_unasked(section: &Section<'_>, path: &str, entity: &PackEntity) {
    let picks = |(column, kind): (&String, &String)| {
        let below = path.strip_prefix(column.as_str()).unwrap_or_default();
        kind == "list" && below.starts_with('[') && !below.starts_with("[]")
    };
    let is_asked = entity.columns.contains_key(path) || entity.columns.iter().any(picks);
    if !is_document(entity) || is_asked {
        return;
    }
    let hint = suggestion(path, entity.columns.keys().map(String::as_str));
    section.reading.problem(section.at, format!("the pack does not ask for `{path}`; {hint}"));
}

/// A pack need not know every path of its product: plugins add their own.
fn warn_unknown(section: &Section<'_>, path: &str, parsed: &JsonPath, entity: &PackEntity) {
    let Some(Step::Member(first)) = parsed.0.first() else { return };
    let known = |column: &String| column == path || column.as_str() == &**first;
    if entity.columns.is_empty() || entity.columns.keys().any(known) {
        return;
    }
    let hint = suggestion(path, entity.columns.keys().map(String::as_str));
    section.reading.warning(section.at, format!("the pack does not know `{path}`; {hint}"));
}

/// Records must be found by their key, or verdicts on single records could never be given.
fn refuse_key(section: &Section<'_>, mapping: &Mapping, entity: &PackEntity) {
    let paths: Vec<&str> = key_paths(mapping).collect();
    if mapping.key_index
        || paths.is_empty()
        || paths.iter().any(|path| entity.lookups.iter().any(|lookup| lookup.path == *path))
    {
        return;
    }
    let known: Vec<&str> = entity.lookups.iter().map(|lookup| lookup.path.as_str()).collect();
    let message = match known[..] {
        [] => "records cannot be asked for by a path: the pack (or its settings) names none".to_owned(),
        _ => format!("records cannot be asked for by `{}`, only by `{}`", paths.join("`, `"), known.join("`, `")),
    };
    section.reading.problem(section.at, format!("the key: {message}"));
}

fn key_paths(mapping: &Mapping) -> impl Iterator<Item = &str> {
    mapping.key.iter().filter_map(|field| {
        let Some(Some(rule)) = mapping.fields.get(*field) else { return None };
        let Origin::Source(source) = rule.origin else { return None };
        path_of(mapping, source)
    })
}

fn path_of(mapping: &Mapping, source: usize) -> Option<&str> {
    match mapping.sources.get(source)? {
        Source::Path(path) => Some(path.as_str()),
        Source::Sql(_) => None,
    }
}
