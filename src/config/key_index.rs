//! Which keys are found by an index that Plumbline keeps, and what that needs.

use super::mapping::Surroundings;
use super::section::{Node, Section};
use crate::model::mapping::FieldRule;

/// Whether the mapping asks for an index or its key does not lead back to the row.
pub(super) fn read(section: &Section<'_>, around: &Surroundings<'_>, rules: &[Option<FieldRule>]) -> bool {
    section.or("key_index", false) || cause(around, rules).is_some()
}

/// The first part of the key that does not lead back.
fn cause<'a>(around: &Surroundings<'a>, rules: &[Option<FieldRule>]) -> Option<&'a str> {
    let leads_back = |field: usize| rules.get(field)?.as_ref().map(FieldRule::leads_back);
    let field = around.key.iter().find(|field| leads_back(**field) == Some(false))?;
    around.fields.get(*field).map(|(name, _)| *name)
}

/// Reports what the index lacks: an address to fetch records by, and changes to follow.
pub(super) fn refuse_unfollowed(
    section: &Section<'_>,
    around: &Surroundings<'_>,
    rules: &[Option<FieldRule>],
    has_native: bool,
    has_order: bool,
) {
    let why = match cause(around, rules) {
        Some(name) => format!("`{name}` does not lead back to a row, so the key is found by an index"),
        None => "the key is found by an index".to_owned(),
    };
    let entries = section.get("fields").and_then(Node::entries).unwrap_or_default();
    let entry = entries.iter().find(|entry| Some(entry.name) == cause(around, rules));
    let at = entry.map(|entry| entry.name_at).or(section.get("key_index").map(Node::at)).unwrap_or(section.at);
    if !has_native {
        let hint = "add `native`: a column by which rows are fetched, with an index in the database";
        section.reading.problem_with_hint(at, format!("{why} of addresses"), hint);
    }
    if !has_order {
        let hint = "add `changed_at`, or `version = { sequence = \"…\" }`";
        section.reading.problem_with_hint(at, format!("{why}, which follows changes"), hint);
    }
}
