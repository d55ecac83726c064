//! `for_each = ["shop-de", "shop-fr"]`: one block for several things that are alike.
//!
//! The block is repeated before anything is read: once for each name, which takes the place of `${each}` in its texts and
//! names, and of the block's own name unless that says `${each}` itself. Places stay those of the block as it is written;
//! problems name the repetition. Blocks inside are repeated first: their own `${each}` is theirs.

use std::borrow::Cow;
use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

use super::problems::At;
use super::section::Reading;

const KEY: &str = "for_each";
/// Stands for the name of the repetition.
pub(super) const EACH: &str = "${each}";

/// Repeats the blocks that say so.
pub(super) fn expand(reading: &Reading<'_>, root: &mut DeTable<'_>) {
    if let Some(systems) = table_in(root, "system") {
        expand_blocks(reading, systems, true);
    }
    if let Some(entities) = table_in(root, "entity") {
        for (_, entity) in entities.iter_mut() {
            if let DeValue::Table(entity) = entity.get_mut()
                && let Some(mappings) = table_in(entity, "in")
            {
                expand_blocks(reading, mappings, false);
            }
        }
        expand_blocks(reading, entities, true);
    }
    for list in ["probe", "slo"] {
        if let Some(DeValue::Array(blocks)) = root.get_mut(list).map(Spanned::get_mut) {
            expand_list(reading, blocks);
        }
    }
}

fn table_in<'t, 'i>(table: &'t mut DeTable<'i>, key: &str) -> Option<&'t mut DeTable<'i>> {
    match table.get_mut(key)?.get_mut() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

fn is_repeated(block: &DeValue<'_>) -> bool {
    block.as_table().is_some_and(|block| block.contains_key(KEY))
}

/// Systems (or entities) that are all the same would be read twice; the same mapping may well fit several systems.
fn expand_blocks(reading: &Reading<'_>, blocks: &mut DeTable<'_>, must_differ: bool) {
    let repeated: Vec<String> = blocks
        .iter()
        .filter(|(_, block)| is_repeated(block.get_ref()))
        .map(|(name, _)| name.get_ref().to_string())
        .collect();
    for name in repeated {
        let Some((name, mut block)) = blocks.remove_entry(name.as_str()) else { continue };
        let names_differ = name.get_ref().contains(EACH);
        let Some(names) = names_of(reading, &mut block, At(name.span().start), must_differ) else { continue };
        for (each, at) in names {
            let own = if names_differ { name.get_ref().replace(EACH, &each) } else { each.clone() };
            if blocks.contains_key(own.as_str()) {
                reading.problem(at, format!("`{own}` is there twice"));
                continue;
            }
            let mut copy = Copy::new(reading, &each);
            let block = copy.of(&block);
            blocks.insert(Spanned::new(copy.moved(name.span()), DeString::Owned(own)), block);
        }
    }
}

fn expand_list(reading: &Reading<'_>, blocks: &mut DeArray<'_>) {
    if !blocks.iter().any(|block| is_repeated(block.get_ref())) {
        return;
    }
    for mut block in std::mem::replace(blocks, DeArray::new()) {
        if !is_repeated(block.get_ref()) {
            blocks.push(block);
            continue;
        }
        let at = At(block.span().start);
        let names = names_of(reading, &mut block, at, true).unwrap_or_default();
        names.iter().for_each(|(each, _)| blocks.push(Copy::new(reading, each).of(&block)));
    }
}

/// Takes the names out of a block; `None` after reporting what is wrong with them.
fn names_of(
    reading: &Reading<'_>,
    block: &mut Spanned<DeValue<'_>>,
    at: At,
    must_differ: bool,
) -> Option<Vec<(String, At)>> {
    let DeValue::Table(table) = block.get_mut() else { return None };
    let names = read_names(reading, &table.remove(KEY)?)?;
    if must_differ && names.len() > 1 && !mentions_each(block.get_ref()) {
        let message = format!("`{KEY}`: all of these would be the same; `{EACH}` stands for the name in texts");
        reading.problem(at, message);
        return None;
    }
    Some(names)
}

/// The names with their places.
fn read_names(reading: &Reading<'_>, names: &Spanned<DeValue<'_>>) -> Option<Vec<(String, At)>> {
    let refuse = |at: usize, message: &str| {
        reading.problem(At(at), format!("`{KEY}`: {message}"));
        None
    };
    let Some(list) = names.get_ref().as_array().filter(|list| !list.is_empty()) else {
        return refuse(names.span().start, "must be a list of names: `[\"shop-de\", \"shop-fr\"]`");
    };
    let mut read: Vec<(String, At)> = Vec::new();
    for item in list {
        let Some(name) = item.get_ref().as_str() else {
            return refuse(item.span().start, "must be a list of names: `[\"shop-de\", \"shop-fr\"]`");
        };
        let at = At(item.span().start);
        if read.iter().any(|(known, _)| known == name) {
            reading.problem(at, format!("`{name}` is there twice"));
            continue;
        }
        read.push((name.to_owned(), at));
    }
    Some(read)
}

fn mentions_each(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::String(text) => text.contains(EACH),
        DeValue::Array(items) => items.iter().any(|item| mentions_each(item.get_ref())),
        DeValue::Table(table) => {
            table.iter().any(|(name, value)| name.get_ref().contains(EACH) || mentions_each(value.get_ref()))
        }
        _ => false,
    }
}

/// One repetition of a block while it is made: its places tell which one it is.
struct Copy<'c, 'r> {
    reading: &'c Reading<'r>,
    each: &'c str,
    /// The repetition of what was in a repetition (or in none: 0) already.
    repetitions: HashMap<usize, usize>,
}

impl<'c, 'r> Copy<'c, 'r> {
    fn new(reading: &'c Reading<'r>, each: &'c str) -> Self {
        Self { reading, each, repetitions: HashMap::new() }
    }

    fn of<'i>(&mut self, value: &Spanned<DeValue<'i>>) -> Spanned<DeValue<'i>> {
        let inner = match value.get_ref() {
            DeValue::String(text) => DeValue::String(self.put_in(text)),
            DeValue::Array(items) => {
                let mut copy = DeArray::new();
                items.iter().for_each(|item| copy.push(self.of(item)));
                DeValue::Array(copy)
            }
            DeValue::Table(table) => DeValue::Table(self.of_table(table)),
            plain => plain.clone(),
        };
        Spanned::new(self.moved(value.span()), inner)
    }

    fn of_table<'i>(&mut self, table: &DeTable<'i>) -> DeTable<'i> {
        let mut copy = DeTable::new();
        for (name, value) in table {
            let own = self.put_in(name.get_ref());
            if copy.contains_key(&*own) {
                self.reading.problem(At(name.span().start), format!("`{own}` is there twice"));
                continue;
            }
            let value = self.of(value);
            copy.insert(Spanned::new(self.moved(name.span()), own), value);
        }
        copy
    }

    fn put_in<'i>(&self, text: &DeString<'i>) -> DeString<'i> {
        if text.contains(EACH) { Cow::Owned(text.replace(EACH, self.each)) } else { text.clone() }
    }

    fn moved(&mut self, span: std::ops::Range<usize>) -> std::ops::Range<usize> {
        let (inside, repetition) = self.reading.repetition_of(At(span.start));
        let own = *self.repetitions.entry(repetition).or_insert_with(|| self.reading.repeat(repetition, self.each));
        let start = self.reading.in_repetition(inside, own).0;
        start..start + span.len()
    }
}
