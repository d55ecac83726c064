//! `${setting}` in a pack's texts.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use crate::config::section::{Node, Read};

/// The values of a pack's settings, and `url`.
#[derive(Clone, Debug, Default)]
pub struct Values(BTreeMap<String, Value>);

#[derive(Clone, Debug)]
enum Value {
    Plain(String),
    Secret(SecretString),
}

impl Values {
    /// Sets a value that may be shown.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), Value::Plain(value.into()));
    }

    /// Sets a value that is never shown.
    pub fn set_secret(&mut self, name: &str, value: SecretString) {
        self.0.insert(name.to_owned(), Value::Secret(value));
    }

    /// Whether there is a value of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// A text whose settings are filled in.
struct Filled {
    text: String,
    has_secret: bool,
}

fn fill(node: Node<'_>, values: &Values) -> Option<Filled> {
    let mut rest = node.text()?;
    let mut filled = Filled { text: String::with_capacity(rest.len()), has_secret: false };
    while let Some((before, after)) = rest.split_once("${") {
        filled.text.push_str(before);
        let Some((name, after)) = after.split_once('}') else { return node.refuse("`${` without a `}`") };
        match values.0.get(name) {
            Some(Value::Plain(value)) => filled.text.push_str(value),
            Some(Value::Secret(value)) => {
                filled.text.push_str(value.expose_secret());
                filled.has_secret = true;
            }
            None => {
                node.reading.unknown(node.at(), name, "a setting of this pack", values.0.keys().map(String::as_str));
                return None;
            }
        }
        rest = after;
    }
    filled.text.push_str(rest);
    Some(filled)
}

/// A text that may be shown; a secret in it is refused.
pub(super) fn text(node: Node<'_>, values: &Values) -> Option<String> {
    let filled = fill(node, values)?;
    if filled.has_secret {
        return node.refuse("a secret setting may stand only under `[auth]` and in `headers`");
    }
    Some(filled.text)
}

/// As [`text`], but `None` where the settings leave nothing: an empty text switches a part off.
pub(super) fn some_text(node: Node<'_>, values: &Values) -> Option<String> {
    text(node, values).filter(|text| !text.is_empty())
}

/// A text that may hold secrets.
pub(super) fn secret(node: Node<'_>, values: &Values) -> Option<SecretString> {
    Some(SecretString::from(fill(node, values)?.text))
}

/// A whole number, also as the text of a setting.
pub(super) fn number(node: Node<'_>, values: &Values) -> Option<u64> {
    if node.value.get_ref().as_str().is_none() {
        return u64::read(node);
    }
    let text = text(node, values)?;
    text.parse().ok().or_else(|| node.refuse(format!("`{text}` is not a whole number")))
}

/// One of a few words, also as the text of a setting.
pub(super) fn choice<T: Clone>(node: Node<'_>, values: &Values, choices: &[(&str, T)]) -> Option<T> {
    if node.value.get_ref().as_str().is_none_or(|text| !text.contains("${")) {
        return node.choice(choices);
    }
    let text = text(node, values)?;
    let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| value.clone());
    let known = || crate::config::problems::quoted(choices.iter().map(|(word, _)| *word));
    found.or_else(|| node.refuse(format!("`{text}` is not allowed, only {}", known())))
}

/// Query parameters: names with texts.
pub(super) fn query(node: Node<'_>, values: &Values) -> Vec<(String, String)> {
    let entries = node.entries().unwrap_or_default();
    entries.into_iter().filter_map(|entry| Some((entry.name.to_owned(), text(entry.node, values)?))).collect()
}
