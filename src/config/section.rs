//! Reading TOML by hand, so that every problem is found in one pass and knows its place.
//!
//! A [`Section`] is a table with a closed list of keys, a [`Node`] is a value. Both report what is wrong to their
//! [`Reading`] and answer `None`: callers go on with the next key.

use std::cell::RefCell;
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, Error as SyntaxError};

use super::problems::{At, Problem, Problems, line_and_column, nearest, on_one_line, quoted, suggestion};
use super::secret::Environment;
use crate::model::Number;

/// What reading one config text shares: the text, its surroundings and the problems found so far.
pub(super) struct Reading<'a> {
    pub text: &'a str,
    pub file: &'a Path,
    /// Relative paths begin here.
    pub base_dir: &'a Path,
    pub environment: &'a Environment,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<(At, String)>>,
    /// Lines that are not TOML: what else is found there is an echo of that.
    broken_lines: Vec<usize>,
}

impl<'a> Reading<'a> {
    pub fn new(text: &'a str, file: &'a Path, base_dir: &'a Path, environment: &'a Environment) -> Self {
        let (problems, warnings) = Default::default();
        Self { text, file, base_dir, environment, problems, warnings, broken_lines: Vec::new() }
    }

    /// Reports what is not TOML.
    pub fn report_syntax(&mut self, errors: &[SyntaxError]) {
        for error in errors {
            let at = At(error.span().map_or(0, |span| span.start));
            self.problem(at, format!("not TOML: {}", error.message().replace('\n', ", ")));
        }
        self.broken_lines = self.problems.borrow().iter().map(|problem| problem.line).collect();
    }

    /// Whether the text is TOML. If not, what seems to be missing may be hidden behind the mistake.
    pub fn is_toml(&self) -> bool {
        self.broken_lines.is_empty()
    }

    pub fn problem(&self, at: At, message: impl Into<String>) {
        self.report(at, message.into(), None);
    }

    pub fn problem_with_hint(&self, at: At, message: impl Into<String>, hint: impl Into<String>) {
        self.report(at, message.into(), Some(hint.into()));
    }

    /// Reports a name that nothing has. Silent where the text is not TOML: what is named may be hidden there.
    pub fn unknown<'n>(
        &self,
        at: At,
        found: &str,
        what: impl Display,
        known: impl IntoIterator<Item = &'n str> + Clone,
    ) {
        if self.is_toml() {
            self.problem_with_hint(at, format!("`{found}` is not {what}"), suggestion(found, known));
        }
    }

    fn report(&self, at: At, message: String, hint: Option<String>) {
        let (line, column) = line_and_column(self.text, at);
        if !self.broken_lines.contains(&line) {
            let message = on_one_line(&message);
            self.problems.borrow_mut().push(Problem { line, column, message, hint });
        }
    }

    /// A legal but risky combination.
    pub fn warning(&self, at: At, message: impl Into<String>) {
        self.warnings.borrow_mut().push((at, message.into()));
    }

    /// How many problems there are; compared later to know whether a part was read without any.
    pub fn count(&self) -> usize {
        self.problems.borrow().len()
    }

    /// All problems, if there are any.
    pub fn problems(&self) -> Option<Problems> {
        let list = self.problems.borrow().clone();
        (!list.is_empty()).then(|| Problems::new(self.file, list))
    }

    /// All warnings in the order of the file, each with its place.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.borrow().clone();
        warnings.sort();
        let place = |at| {
            let (line, column) = line_and_column(self.text, at);
            format!("{}:{line}:{column}", self.file.display())
        };
        warnings.into_iter().map(|(at, message)| format!("{}: {message}", place(at))).collect()
    }
}

/// A value that can be read from one node.
pub(super) trait Read: Sized {
    /// The value, or `None` after reporting what is wrong with it.
    fn read(node: Node<'_>) -> Option<Self>;
}

/// One value at its place.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    pub reading: &'a Reading<'a>,
    /// The key it stands under, or that its list stands under; problems name it.
    key: &'a str,
    pub value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Node<'a> {
    pub fn at(self) -> At {
        At(self.value.span().start)
    }

    /// The place of a byte of this value's text, if it is text: as exact as escapes allow.
    pub fn at_offset(self, offset: usize) -> At {
        let span = self.value.span();
        let raw = self.reading.text.get(span.clone()).unwrap_or_default();
        let text = self.value.get_ref().as_str().unwrap_or_default();
        raw.find(text).map_or(self.at(), |start| At(span.start + start + offset))
    }

    /// Reports a problem at this value, under the name of its key.
    pub fn refuse<T>(self, message: impl Display) -> Option<T> {
        self.reading.problem(self.at(), format!("`{}`: {message}", self.key));
        None
    }

    /// As [`Self::refuse`], with what to write instead.
    pub fn refuse_with_hint<T>(self, message: impl Display, hint: impl Into<String>) -> Option<T> {
        self.reading.problem_with_hint(self.at(), format!("`{}`: {message}", self.key), hint);
        None
    }

    /// Reports a value of the wrong type, without printing it: it may be a secret in the wrong place.
    pub fn wrong_type<T>(self, wanted: &str) -> Option<T> {
        let found = match self.value.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a decimal number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.refuse(format!("must be {wanted}, found {found}"))
    }

    pub fn text(self) -> Option<&'a str> {
        self.value.get_ref().as_str().or_else(|| self.wrong_type("text"))
    }

    /// Text that is not empty and holds no control characters.
    pub fn name(self) -> Option<&'a str> {
        let text = self.text()?;
        if text.trim().is_empty() {
            return self.refuse("must not be empty");
        }
        if text.chars().any(char::is_control) {
            return self.refuse("must not hold control characters");
        }
        Some(text)
    }

    /// Text in the form that `T` parses, such as the names of systems.
    pub fn parsed<T: FromStr<Err: Display>>(self) -> Option<T> {
        let text = self.text()?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => self.refuse(format!("`{text}` is not allowed: {error}")),
        }
    }

    /// One of a few words.
    pub fn choice<T: Clone>(self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(value.clone());
        }
        let words = choices.iter().map(|(word, _)| *word);
        let message = format!("`{text}` is not allowed, only {}", quoted(words.clone()));
        match nearest(text, words) {
            Some(word) => self.refuse_with_hint(message, format!("did you mean `{word}`?")),
            None => self.refuse(message),
        }
    }

    pub fn list(self) -> Option<Vec<Node<'a>>> {
        match self.value.get_ref() {
            DeValue::Array(items) => Some(items.iter().map(|value| Node { value, ..self }).collect()),
            _ => self.wrong_type("a list"),
        }
    }

    /// A list, or a single value that stands for a list of one.
    pub fn one_or_many(self) -> Vec<Node<'a>> {
        match self.value.get_ref() {
            DeValue::Array(items) => items.iter().map(|value| Node { value, ..self }).collect(),
            _ => vec![self],
        }
    }

    pub fn is_table(self) -> bool {
        self.value.get_ref().is_table()
    }

    /// A table whose keys are names chosen by the user, in declared order.
    pub fn entries(self) -> Option<Vec<Entry<'a>>> {
        let Some(table) = self.value.get_ref().as_table() else { return self.wrong_type("a table") };
        Some(entries(self.reading, table))
    }

    /// A table with a closed list of keys. Reports the unknown ones.
    pub fn section(self, keys: &'static Keys) -> Option<Section<'a>> {
        let Some(table) = self.value.get_ref().as_table() else { return self.wrong_type("a table") };
        Some(Section::new(self.reading, self.at(), table, keys))
    }

    /// As [`Self::section`] for a table that was read before: its unknown keys have been reported.
    pub fn quiet_section(self, keys: &'static Keys) -> Option<Section<'a>> {
        let table = self.value.get_ref().as_table()?;
        Some(Section { reading: self.reading, at: self.at(), table, keys })
    }
}

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
    entries.sort_by_key(|entry| entry.name_at);
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

impl Read for String {
    fn read(node: Node<'_>) -> Option<Self> {
        node.name().map(str::to_owned)
    }
}

impl Read for bool {
    fn read(node: Node<'_>) -> Option<Self> {
        node.value.get_ref().as_bool().or_else(|| node.wrong_type("`true` or `false`"))
    }
}

impl Read for u64 {
    fn read(node: Node<'_>) -> Option<Self> {
        let Some(integer) = node.value.get_ref().as_integer() else { return node.wrong_type("a whole number") };
        match Self::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Some(number),
            Err(_) => node.refuse(format!("must be a whole number from 0 to {}, found `{integer}`", Self::MAX)),
        }
    }
}

impl Read for usize {
    fn read(node: Node<'_>) -> Option<Self> {
        let number = u64::read(node)?;
        Self::try_from(number).ok().or_else(|| node.refuse(format!("`{number}` is too large")))
    }
}

/// A number in the config, as TOML or as text. Exact: taken as it is written, never through a float.
pub(super) fn number(node: Node<'_>) -> Option<Number> {
    match node.value.get_ref() {
        DeValue::String(text) => text.parse().ok(),
        DeValue::Float(float) => float.as_str().parse().ok(),
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse().ok(),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(Number::from),
        _ => None,
    }
}

impl Read for Number {
    fn read(node: Node<'_>) -> Option<Self> {
        number(node).or_else(|| node.wrong_type("a decimal number"))
    }
}
