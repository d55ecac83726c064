//! Secrets: references to the environment or to files, never text in the config.
//!
//! The only place that reads the environment.

use std::collections::BTreeMap;
use std::path::Path;

use secrecy::SecretString;

use super::section::{Node, Read};

/// Where `env:NAME` references look.
#[derive(Clone, Debug)]
pub enum Environment {
    /// The environment of this process.
    Process,
    /// These variables and no others.
    Fixed(BTreeMap<String, String>),
}

impl Environment {
    /// These variables and no others.
    pub fn fixed<'v>(variables: impl IntoIterator<Item = (&'v str, &'v str)>) -> Self {
        Self::Fixed(variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[expect(clippy::disallowed_methods, reason = "config is what reads the environment")]
    fn get(&self, name: &str) -> Option<String> {
        match self {
            Self::Process => std::env::var(name).ok(),
            Self::Fixed(variables) => variables.get(name).cloned(),
        }
    }
}

/// Text in the config, or what it refers to.
pub(super) enum Referred {
    /// Stands in the config.
    Plain(String),
    /// Came from the environment or from a file.
    Secret(String),
}

impl Referred {
    pub fn text(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Secret(text) => text,
        }
    }
}

/// Follows `env:NAME` and `file:PATH`; other text is plain.
pub(super) fn referred(node: Node<'_>) -> Option<Referred> {
    let text = node.text()?;
    let found = if let Some(name) = text.strip_prefix("env:") {
        variable(node, name)?
    } else if let Some(path) = text.strip_prefix("file:") {
        file(node, Path::new(path))?
    } else {
        return Some(Referred::Plain(text.to_owned()));
    };
    if found.trim().is_empty() {
        return node.refuse(format!("`{text}` is empty"));
    }
    Some(Referred::Secret(found))
}

fn variable(node: Node<'_>, name: &str) -> Option<String> {
    if name.is_empty() {
        return node.refuse("`env:` must be followed by the name of a variable");
    }
    let found = node.reading.environment.get(name);
    found.or_else(|| node.refuse(format!("environment variable `{name}` is not set")))
}

/// The file's text without the line break at its end.
fn file(node: Node<'_>, path: &Path) -> Option<String> {
    if path.as_os_str().is_empty() {
        return node.refuse("`file:` must be followed by a path");
    }
    match std::fs::read_to_string(node.reading.base_dir.join(path)) {
        Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => node.refuse(format!("`{}` cannot be read: {error}", path.display())),
    }
}

impl Read for SecretString {
    fn read(node: Node<'_>) -> Option<Self> {
        match referred(node)? {
            Referred::Secret(secret) => Some(Self::from(secret)),
            Referred::Plain(_) => node.refuse("a secret must not stand here; write `env:NAME` or `file:PATH`"),
        }
    }
}
