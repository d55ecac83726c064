//! `for_each = ["shop-de", "shop-fr"]`: one block for several systems that are alike.
//!
//! The block is repeated before anything is read: once for each name, which takes the place of the block's own name and
//! of `${each}` in its texts. Places stay those of the block as it is written; problems name the repetition.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::problems::At;
use super::section::Reading;

const KEY: &str = "for_each";
const EACH: &str = "${each}";

/// Repeats the blocks of `[system.NAME]` and `[entity.NAME.in.SYSTEM]` that say so.
pub(super) fn expand(reading: &Reading<'_>, root: &mut DeTable<'_>) {
    if let Some(systems) = table_in(root, "system") {
        expand_blocks(reading, systems, true);
    }
    let Some(entities) = table_in(root, "entity") else { return };
    for (_, entity) in entities.iter_mut() {
        if let DeValue::Table(entity) = entity.get_mut()
            && let Some(mappings) = table_in(entity, "in")
        {
            expand_blocks(reading, mappings, false);
        }
    }
}

fn table_in<'t, 'i>(table: &'t mut DeTable<'i>, key: &str) -> Option<&'t mut DeTable<'i>> {
    match table.get_mut(key)?.get_mut() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// Systems that are all the same would be read twice; the same mapping may well fit several systems.
fn expand_blocks(reading: &Reading<'_>, blocks: &mut DeTable<'_>, must_differ: bool) {
    let repeated: Vec<String> = blocks
        .iter()
        .filter(|(_, block)| block.get_ref().as_table().is_some_and(|block| block.contains_key(KEY)))
        .map(|(name, _)| name.get_ref().to_string())
        .collect();
    for name in repeated {
        let Some((name, mut block)) = blocks.remove_entry(name.as_str()) else { continue };
        let DeValue::Table(table) = block.get_mut() else { continue };
        let Some(names) = table.remove(KEY).and_then(|names| read_names(reading, &names)) else { continue };
        if must_differ && names.len() > 1 && !mentions_each(block.get_ref()) {
            let message = format!("`{KEY}`: all of these would be the same; `{EACH}` stands for the name in texts");
            reading.problem(At(name.span().start), message);
            continue;
        }
        for (each, at) in names {
            if blocks.contains_key(each.as_str()) {
                reading.problem(at, format!("`{each}` is there twice"));
                continue;
            }
            let mut instance = block.clone();
            put_in(&mut instance, &each);
            reading.note_repeated(At(name.span().start), &each);
            blocks.insert(Spanned::new(name.span(), DeString::Owned(each)), instance);
        }
    }
}

/// The names with their places; `None` after reporting what is wrong with them.
fn read_names(reading: &Reading<'_>, names: &Spanned<DeValue<'_>>) -> Option<Vec<(String, At)>> {
    let refuse = |at: usize, message: &str| {
        reading.problem(At(at), format!("`{KEY}`: {message}"));
        None
    };
    let Some(list) = names.get_ref().as_array().filter(|list| !list.is_empty()) else {
        return refuse(names.span().start, "must be a list of names: `[\"shop-de\", \"shop-fr\"]`");
    };
    let mut read = Vec::new();
    for item in list {
        let Some(name) = item.get_ref().as_str() else {
            return refuse(item.span().start, "must be a list of names: `[\"shop-de\", \"shop-fr\"]`");
        };
        read.push((name.to_owned(), At(item.span().start)));
    }
    Some(read)
}

fn mentions_each(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::String(text) => text.contains(EACH),
        DeValue::Array(items) => items.iter().any(|item| mentions_each(item.get_ref())),
        DeValue::Table(table) => table.values().any(|value| mentions_each(value.get_ref())),
        _ => false,
    }
}

fn put_in(value: &mut Spanned<DeValue<'_>>, each: &str) {
    match value.get_mut() {
        DeValue::String(text) if text.contains(EACH) => *text = Cow::Owned(text.replace(EACH, each)),
        DeValue::Array(items) => items.iter_mut().for_each(|item| put_in(item, each)),
        DeValue::Table(table) => table.iter_mut().for_each(|(_, value)| put_in(value, each)),
        _ => {}
    }
}
