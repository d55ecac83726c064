//! `[plumbline.ledger]`: where the history is kept.

use secrecy::SecretString;
use url::Url;

use super::section::{Keys, Node, Section};
use super::{Ledger, address};

pub(super) const KEYS: Keys = Keys {
    section: "[plumbline.ledger]",
    names: &["url", "database", "user", "password", "cluster", "libchdb"],
    not_yet: &[],
};

impl Default for Ledger {
    /// The embedded engine, database `plumbline`.
    fn default() -> Self {
        Self { url: None, database: "plumbline".to_owned(), user: None, password: None, cluster: None, libchdb: None }
    }
}

pub(super) fn read(section: &Section<'_>) -> Ledger {
    let ledger = Ledger {
        url: section.get("url").and_then(server).map(|url| String::from(url).trim_end_matches('/').to_owned()),
        database: section.get("database").and_then(identifier).unwrap_or_else(|| Ledger::default().database),
        user: section.optional("user"),
        password: section.optional::<SecretString>("password"),
        cluster: section.get("cluster").and_then(identifier),
        libchdb: section.optional("libchdb"),
    };
    if section.get("url").is_none() {
        for key in ["user", "password", "cluster"] {
            if let Some(node) = section.get(key) {
                section.reading.problem(node.at(), format!("`{key}` is for a ClickHouse server; set `url` too"));
            }
        }
    }
    warn_if_open(section, &ledger);
    ledger
}

fn server(node: Node<'_>) -> Option<Url> {
    let text = node.text()?;
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return node.refuse(format!("not a URL: {error}")),
    };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return node.refuse("must be `http://HOST:PORT` or `https://HOST:PORT`");
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return node.refuse("must hold no login and no parameters; set `user` and `password`");
    }
    Some(url)
}

/// Warns when anybody on the way could read or write the history.
fn warn_if_open(section: &Section<'_>, ledger: &Ledger) {
    let Some(parsed) = ledger.url.as_deref().and_then(|url| Url::parse(url).ok()) else { return };
    if address::is_local(&parsed) {
        return;
    }
    let at = section.get("url").map_or(section.at, Node::at);
    if ledger.user.is_none() {
        section.reading.warning(at, "the ledger is reached over the network without a `user`");
    }
    if parsed.scheme() == "http" {
        section.reading.warning(at, "the ledger is reached over the network without TLS; use `https://`");
    }
}

/// A name that needs no quoting in ClickHouse.
fn identifier(node: Node<'_>) -> Option<String> {
    let text = node.name()?;
    let plain = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if text.chars().all(plain) && !text.starts_with(|first: char| first.is_ascii_digit()) {
        return Some(text.to_owned());
    }
    node.refuse(format!("`{text}` may hold letters, digits and `_` and must not begin with a digit"))
}
