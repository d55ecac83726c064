//! `[settings.NAME]` of a pack: what the user of a pack must say, and values for it.

use secrecy::SecretString;

use super::Values;
use crate::config::section::{Entry, Keys, Node, Read, Section};

pub(super) const KEYS: Keys =
    Keys { section: "[settings.NAME]", names: &["kind", "choices", "default", "optional", "help"], not_yet: &[] };

const KINDS: [(&str, Kind); 4] =
    [("text", Kind::Text), ("integer", Kind::Integer), ("choice", Kind::Choice), ("secret", Kind::Secret)];

/// What a setting holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Kind {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// One of a few words.
    Choice,
    /// Text that is given as `env:` or `file:` and never shown.
    Secret,
}

/// A declared setting.
#[derive(Clone, Debug)]
pub(in crate::config) struct Setting {
    pub name: String,
    pub kind: Kind,
    pub choices: Vec<String>,
    /// `None`: must be given.
    pub default: Option<String>,
    pub help: String,
}

/// Reads all declarations.
pub(super) fn read(entries: &[Entry<'_>]) -> Vec<Setting> {
    entries.iter().filter_map(read_one).collect()
}

fn read_one(entry: &Entry<'_>) -> Option<Setting> {
    let section = entry.node.section(&KEYS)?;
    if entry.name == "url" {
        section.reading.problem(entry.name_at, "`url` is the system's own `url` and cannot be a setting");
    }
    let kind = section.need("kind").and_then(|node| node.choice(&KINDS))?;
    let texts = |node: Node<'_>| -> Vec<String> { node.one_or_many().into_iter().filter_map(String::read).collect() };
    let choices = section.get("choices").map(texts).unwrap_or_default();
    if (kind == Kind::Choice) == choices.is_empty() {
        section.reading.problem(section.at, "`choices` belongs to settings of kind `choice`, and to all of them");
    }
    let default = section.get("default").and_then(|node| default(node, kind, &choices));
    let optional = section.or("optional", false);
    if kind == Kind::Secret && section.get("default").is_some() {
        section.reading.problem(section.at, "a secret has no default; write `optional = true`");
    }
    let help = section.need("help").and_then(String::read).unwrap_or_default();
    let default = default.or_else(|| optional.then(String::new));
    Some(Setting { name: entry.name.to_owned(), kind, choices, default, help })
}

fn default(node: Node<'_>, kind: Kind, choices: &[String]) -> Option<String> {
    if kind == Kind::Integer {
        return u64::read(node).map(|number| number.to_string());
    }
    let text = node.text()?;
    if kind == Kind::Choice && !choices.iter().any(|choice| choice == text) {
        return node.refuse(format!("`{text}` is not one of the `choices`"));
    }
    Some(text.to_owned())
}

/// What stands for settings that nobody gave: their defaults, else a value of the right kind. For checking a pack
/// by itself.
pub(super) fn stand_ins(settings: &[Setting], values: &mut Values) {
    for setting in settings {
        if values.has(&setting.name) {
            continue;
        }
        let value = setting.default.clone().unwrap_or_else(|| match setting.kind {
            Kind::Integer => "1".to_owned(),
            Kind::Choice => setting.choices.first().cloned().unwrap_or_default(),
            Kind::Text | Kind::Secret => "x".to_owned(),
        });
        match setting.kind {
            Kind::Secret => values.set_secret(&setting.name, SecretString::from(value)),
            _ => values.set(&setting.name, value),
        }
    }
}

/// Takes the user's values of the declared settings.
pub(super) fn take(settings: &[Setting], given: Option<Node<'_>>, section: &Section<'_>, values: &mut Values) {
    let entries = given.and_then(Node::entries).unwrap_or_default();
    for entry in &entries {
        match settings.iter().find(|setting| setting.name == entry.name) {
            Some(setting) => take_one(setting, entry.node, values),
            None => {
                let known = settings.iter().map(|setting| setting.name.as_str());
                entry.node.reading.unknown(entry.name_at, entry.name, "a setting of this pack", known);
            }
        }
    }
    for setting in settings {
        if entries.iter().any(|entry| entry.name == setting.name) {
            continue;
        }
        match (&setting.default, setting.kind) {
            (Some(default), Kind::Secret) => values.set_secret(&setting.name, SecretString::from(default.clone())),
            (Some(default), _) => values.set(&setting.name, default.clone()),
            (None, _) => {
                let at = given.map_or(section.at, Node::at);
                let message = format!("setting `{}` of the pack is missing: {}", setting.name, setting.help);
                section.reading.problem(at, message);
            }
        }
    }
}

fn take_one(setting: &Setting, node: Node<'_>, values: &mut Values) {
    match setting.kind {
        Kind::Secret => {
            if let Some(secret) = SecretString::read(node) {
                values.set_secret(&setting.name, secret);
            }
        }
        Kind::Integer => {
            if let Some(number) = u64::read(node) {
                values.set(&setting.name, number.to_string());
            }
        }
        Kind::Choice => {
            let choices: Vec<(&str, &str)> =
                setting.choices.iter().map(|choice| (choice.as_str(), choice.as_str())).collect();
            if let Some(word) = node.choice(&choices) {
                values.set(&setting.name, word);
            }
        }
        Kind::Text => {
            if let Some(text) = node.text() {
                values.set(&setting.name, text);
            }
        }
    }
}
