//! `[channel.NAME]`: one way to reach people.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::{Channel, ChannelKind, Email, SmtpTls};
use crate::config::address;
use crate::config::duration::bounded;
use crate::config::section::{Entry, Keys, Node, Read, Section};
use crate::model::EntityId;

pub(in crate::config) const KEYS: Keys = Keys {
    section: "[channel.NAME]",
    names: &[
        "kind",
        "url",
        "key",
        "token",
        "resend",
        "smtp",
        "user",
        "password",
        "tls_ca",
        "from",
        "to",
        "max_per_hour",
        "timeout",
        "fallback",
    ],
    not_yet: &[],
};

/// What a kind takes besides what all take.
const OWN: [(&str, &[&str]); 7] = [
    ("email", &["smtp", "user", "password", "tls_ca", "from", "to", "max_per_hour"]),
    ("slack", &["url", "max_per_hour"]),
    ("teams", &["url", "max_per_hour"]),
    ("pagerduty", &["url", "key"]),
    ("opsgenie", &["url", "key"]),
    ("alertmanager", &["url", "token", "resend"]),
    ("webhook", &["url", "key", "max_per_hour"]),
];

/// A person can read one message a minute for an hour, not more.
const MAX_PER_HOUR: u64 = 60;

pub(in crate::config) fn read(entry: &Entry<'_>, names: &[&str]) -> Option<Channel> {
    let name = entry.parsed_name::<EntityId>().map(|name| name.to_string());
    let section = entry.node.section(&KEYS)?;
    let timeout = section.get("timeout").and_then(|node| bounded(node, Duration::from_millis(100), LONGEST_TRY));
    let fallback = section.get("fallback").and_then(|node| fallback(node, entry.name, names));
    let kind = section.need("kind").and_then(|node| node.choice(&OWN.map(|(word, own)| (word, (word, own)))));
    let (word, own) = kind?;
    refuse_others(&section, word, own);
    let is_capped = own.contains(&"max_per_hour");
    let max_per_hour = section.get("max_per_hour").and_then(|node| node.within(1, 10_000)).unwrap_or(MAX_PER_HOUR);
    Some(Channel {
        name: name?,
        kind: read_kind(&section, word)?,
        max_per_hour: is_capped.then_some(max_per_hour),
        timeout: timeout.unwrap_or(Duration::from_secs(30)),
        fallback,
    })
}

/// The lease of a message outlives a try; see `alert::sender`.
const LONGEST_TRY: Duration = Duration::from_secs(120);

fn refuse_others(section: &Section<'_>, kind: &str, own: &[&str]) {
    for (_, keys) in OWN {
        for key in keys.iter().filter(|key| !own.contains(*key)) {
            if let Some(node) = section.get(key) {
                let message = match *key {
                    "max_per_hour" => {
                        format!("a channel of kind `{kind}` has no `max_per_hour`: the receiver groups by itself")
                    }
                    key => format!("a channel of kind `{kind}` has no `{key}`"),
                };
                section.reading.problem(node.at(), message);
            }
        }
    }
}

fn fallback(node: Node<'_>, own: &str, names: &[&str]) -> Option<String> {
    let name = node.text()?;
    if name == own {
        return node.refuse("a channel cannot stand in for itself");
    }
    known(node, names)
}

/// The name of a channel.
pub(super) fn known(node: Node<'_>, names: &[&str]) -> Option<String> {
    let name = node.text()?;
    if names.contains(&name) {
        return Some(name.to_owned());
    }
    node.reading.unknown(node.at(), name, "a channel", names.iter().copied());
    None
}

fn read_kind(section: &Section<'_>, word: &str) -> Option<ChannelKind> {
    let secret_url = || section.need("url").and_then(address::secret_web_address);
    let key = || section.need("key").and_then(SecretString::read);
    let url = |default: &str| match section.get("url") {
        Some(node) => node.name().and_then(|text| address::web_address(node, text)),
        None => Some(default.to_owned()),
    };
    Some(match word {
        "email" => ChannelKind::Email(Box::new(email(section)?)),
        "slack" => ChannelKind::Slack { url: secret_url()? },
        "teams" => ChannelKind::Teams { url: secret_url()? },
        "pagerduty" => {
            let (url, key) = (url("https://events.pagerduty.com"), key());
            ChannelKind::Pagerduty { url: url?, key: key? }
        }
        "opsgenie" => {
            let (url, key) = (url("https://api.opsgenie.com"), key());
            ChannelKind::Opsgenie { url: url?, key: key? }
        }
        "alertmanager" => {
            let url = section.need("url").and_then(|node| address::web_address(node, node.name()?));
            let token = section.optional("token");
            let resend = section.get("resend").and_then(|node| bounded(node, Duration::from_secs(1), MINUTES_5));
            ChannelKind::Alertmanager { url: url?, token, resend: resend.unwrap_or(Duration::from_secs(60)) }
        }
        _ => {
            let (url, key) = (secret_url(), key());
            ChannelKind::Webhook { url: url?, key: key? }
        }
    })
}

const MINUTES_5: Duration = Duration::from_secs(300);

fn email(section: &Section<'_>) -> Option<Email> {
    let server = section.need("smtp").and_then(server);
    let tls_ca = section.get("tls_ca").and_then(certificate);
    let user = section.optional::<String>("user");
    let password = section.optional::<SecretString>("password");
    if let (Some(node), None) = (section.get("password"), section.get("user")) {
        node.refuse::<()>("a password needs a `user`");
    }
    let from = section.need("from").and_then(mailbox);
    let to = section.need("to").map(|node| node.one_or_many().into_iter().filter_map(mailbox).collect::<Vec<_>>());
    if to.as_ref().is_some_and(Vec::is_empty) && section.get("to").is_some_and(|node| node.one_or_many().is_empty()) {
        section.get("to")?.refuse::<()>("must name somebody");
    }
    let (host, port, tls) = server?;
    // Who names an authority wants TLS, also on this machine.
    let tls = if tls == SmtpTls::Off && section.get("tls_ca").is_some() { SmtpTls::Starttls } else { tls };
    Some(Email { host, port, tls, tls_ca, user, password, from: from?, to: to? })
}

/// `smtp://HOST:PORT` (STARTTLS, or none on this machine) or `smtps://HOST:PORT`.
fn server(node: Node<'_>) -> Option<(String, u16, SmtpTls)> {
    let text = node.name()?;
    let url = match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "smtp" | "smtps") && url.host_str().is_some() => url,
        Ok(_) => return node.refuse("must begin with `smtp://` or `smtps://`, such as `smtps://mail.example.org`"),
        Err(error) => return node.refuse(format!("not an address such as `smtps://mail.example.org`: {error}")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return node.refuse("must not hold a login; write `user` and `password`");
    }
    if url.path().len() > 1 || url.query().is_some() || url.fragment().is_some() {
        return node.refuse("must name a server and nothing behind it");
    }
    let is_local = url.host_str().is_some_and(address::is_loopback);
    let (tls, port) = match url.scheme() {
        "smtps" => (SmtpTls::Implicit, 465),
        _ if is_local => (SmtpTls::Off, 25),
        _ => (SmtpTls::Starttls, 587),
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    Some((host, url.port().unwrap_or(port), tls))
}

fn certificate(node: Node<'_>) -> Option<PathBuf> {
    let path = PathBuf::read(node)?;
    match std::fs::File::open(&path) {
        Ok(_) => Some(path),
        Err(error) => node.refuse(format!("`{}` cannot be read: {error}", path.display())),
    }
}

/// A mailbox of RFC 5322: `ops@example.org` or `Operations <ops@example.org>`.
fn mailbox(node: Node<'_>) -> Option<String> {
    let text = node.name()?;
    match text.parse::<lettre::message::Mailbox>() {
        Ok(_) => Some(text.to_owned()),
        Err(error) => node.refuse(format!("`{text}` is not a mail address: {error}")),
    }
}
