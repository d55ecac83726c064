//! Reading TOML by hand, so that every problem is found in one pass and knows its place.
//!
//! A [`Section`] is a table with a closed list of keys, a [`Node`] is a value. Both report what is wrong to their
//! [`Reading`] and answer `None`: callers go on with the next key.

use std::fmt::Display;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::problems::{At, nearest, quoted, suggestion};

mod node;
mod reading;

pub(super) use node::{Node, Read, number};
pub(super) use reading::Reading;

/// A key chosen by the user and its value.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub name: &'a str,
    pub name_at: At,
    pub node: Node<'a>,
}

impl Entry<'_> {
    /// The key as a checked name.
    pub fn parsed_name<T: FromStr<Err: Display>>(&self) -> Option<T> {
        match self.name.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                self.node.reading.problem(self.name_at, format!("`{}` cannot be a name: {error}", self.name));
                None
            }
        }
    }
}

fn entries<'a>(reading: &'a Reading<'a>, table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
    let entry = |(key, value): (&'a Spanned<DeString<'a>>, &'a Spanned<DeValue<'a>>)| {
        let name: &'a str = key.get_ref();
        Entry { name, name_at: At(key.span().start), node: Node { reading, key: name, value } }
    };
    let mut entries: Vec<_> = table.iter().map(entry).collect();
    entries.sort_by_key(|entry| reading.repetition_of(entry.name_at));
    entries
}

/// The keys that a kind of section knows.
pub(super) struct Keys {
    /// How the section is written, for docs: `[system.NAME]`.
    pub section: &'static str,
    /// The keys it reads.
    pub names: &'static [&'static str],
    /// Keys with a meaning that is not built yet.
    pub not_yet: &'static [&'static str],
}

/// A table with a closed list of keys.
pub(super) struct Section<'a> {
    pub reading: &'a Reading<'a>,
    pub at: At,
    table: &'a DeTable<'a>,
    keys: &'static Keys,
}

impl<'a> Section<'a> {
    pub fn new(reading: &'a Reading<'a>, at: At, table: &'a DeTable<'a>, keys: &'static Keys) -> Self {
        for Entry { name, name_at, .. } in entries(reading, table) {
            if keys.not_yet.contains(&name) {
                reading.problem(name_at, format!("`{name}` is not supported yet"));
            } else if !keys.names.contains(&name) {
                let hint = suggestion(name, keys.names.iter().copied());
                reading.problem_with_hint(name_at, format!("unknown key `{name}`"), hint);
            }
        }
        Self { reading, at, table, keys }
    }

    /// The value of a key, if it is there.
    pub fn get(&self, key: &'static str) -> Option<Node<'a>> {
        debug_assert!(self.keys.names.contains(&key), "`{key}` is missing from the keys of {}", self.keys.section);
        self.table.get(key).map(|value| Node { reading: self.reading, key, value })
    }

    /// The value of a key; reports when it is missing.
    pub fn need(&self, key: &'static str) -> Option<Node<'a>> {
        let node = self.get(key);
        if node.is_none() && self.reading.is_toml() && !self.is_misspelt(key) {
            self.reading.problem(self.at, format!("key `{key}` is missing"));
        }
        node
    }

    /// Whether an unknown key was probably meant to be this one: it has been reported as that.
    fn is_misspelt(&self, key: &str) -> bool {
        let names = self.keys.names;
        let mut unknown = self.table.keys().map(|name| name.get_ref().as_ref()).filter(|name| !names.contains(name));
        unknown.any(|name| nearest(name, names.iter().copied()) == Some(key))
    }

    /// A value that may be there.
    pub fn optional<T: Read>(&self, key: &'static str) -> Option<T> {
        self.get(key).and_then(T::read)
    }

    /// A value with a default.
    pub fn or<T: Read>(&self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// Reports those of `keys` that are there: they have no meaning beside what else the section says.
    pub fn refuse(&self, keys: &[&'static str], why: &str) {
        for key in keys {
            if let Some(node) = self.get(key) {
                node.refuse::<()>(why);
            }
        }
    }

    /// The one key of `choices` that is there; reports when there is none or more than one.
    pub fn exactly_one(&self, choices: &[&'static str]) -> Option<(&'static str, Node<'a>)> {
        let found: Vec<_> = choices.iter().filter_map(|key| Some((*key, self.get(key)?))).collect();
        match found[..] {
            [one] => Some(one),
            [] => {
                if self.reading.is_toml() && !choices.iter().any(|key| self.is_misspelt(key)) {
                    let names = quoted(choices.iter().copied());
                    self.reading.problem(self.at, format!("one of {names} is missing"));
                }
                None
            }
            [(first, _), (_, second), ..] => second.refuse(format!("cannot stand together with `{first}`")),
        }
    }
}
