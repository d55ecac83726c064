//! One value at its place, and the plain types that are read from one.

use std::fmt::Display;
use std::str::FromStr;

use toml::Spanned;
use toml::de::DeValue;

use super::{Entry, Keys, Reading, Section, entries};
use crate::config::problems::{At, nearest, quoted};
use crate::model::Number;

/// A value that can be read from one node.
pub(in crate::config) trait Read: Sized {
    /// The value, or `None` after reporting what is wrong with it.
    fn read(node: Node<'_>) -> Option<Self>;
}

/// One value at its place.
#[derive(Clone, Copy)]
pub(in crate::config) struct Node<'a> {
    pub reading: &'a Reading<'a>,
    /// The key it stands under, or that its list stands under; problems name it.
    pub key: &'a str,
    pub value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Node<'a> {
    pub fn at(self) -> At {
        At(self.value.span().start)
    }

    /// The place of a byte of this value's text, if it is text: as exact as escapes allow.
    pub fn at_offset(self, offset: usize) -> At {
        let (inside, _) = self.reading.repetition_of(self.at());
        let raw = self.reading.text.get(inside.0..inside.0 + self.value.span().len()).unwrap_or_default();
        let text = self.value.get_ref().as_str().unwrap_or_default();
        raw.find(text).map_or(self.at(), |start| At(self.at().0 + start + offset))
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

    /// A number within bounds, both allowed.
    pub fn within<T: Read + PartialOrd + Display>(self, low: T, high: T) -> Option<T> {
        let number = T::read(self)?;
        if (&low..=&high).contains(&&number) {
            return Some(number);
        }
        self.refuse(format!("must be from {low} to {high}, found {number}"))
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
pub(in crate::config) fn number(node: Node<'_>) -> Option<Number> {
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
