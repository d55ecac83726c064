//! Who is told of incidents, how and when: `[alert]`, `[channel.NAME]`, `[team.NAME]`, `[[route]]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;
use secrecy::SecretString;

use super::duration::bounded;
use super::section::{Keys, Node, Section};
use super::{address, zone};
use crate::incident::Severity;
use crate::model::{EntityId, SystemId};

pub(super) mod channel;
pub(super) mod hours;
pub(super) mod route;
pub(super) mod team;

pub use hours::Hours;

pub(super) const KEYS: Keys = Keys {
    section: "[alert]",
    names: &["templates", "link", "time_zone", "fallback_after", "heartbeat_url", "heartbeat_every"],
    not_yet: &[],
};

/// Everything that the config says about messages.
#[derive(Debug)]
pub struct Alerting {
    /// Directory whose templates take the place of the built-in ones of the same name.
    pub templates: Option<PathBuf>,
    /// Where people reach Plumbline in a browser; links in messages begin with it.
    pub link: Option<String>,
    /// Zone of times in messages and of `hours`. Default UTC.
    pub time_zone: Tz,
    /// How long a message may be due before another channel is told that it does not get through. Default 10 min.
    pub fallback_after: Duration,
    /// Asked with GET at every heartbeat, so that somebody outside notices the auditor's death.
    pub heartbeat_url: Option<SecretString>,
    /// How often. Default 1 min.
    pub heartbeat_every: Duration,
    /// `[channel.NAME]`, by name.
    pub channels: BTreeMap<String, Channel>,
    /// `[team.NAME]`, in declared order.
    pub teams: Vec<Team>,
    /// `[[route]]`, in declared order.
    pub routes: Vec<Route>,
}

impl Default for Alerting {
    fn default() -> Self {
        Self {
            templates: None,
            link: None,
            time_zone: Tz::UTC,
            fallback_after: Duration::from_secs(600),
            heartbeat_url: None,
            heartbeat_every: Duration::from_secs(60),
            channels: BTreeMap::new(),
            teams: Vec::new(),
            routes: Vec::new(),
        }
    }
}

/// `[channel.NAME]`: one way to reach people.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ChannelKind,
    /// Messages an hour, beyond which the rest is told in one. Only for channels that hold no state of an alert.
    pub max_per_hour: Option<u64>,
    /// How long one try may take. Default 30 s.
    pub timeout: Duration,
    /// Who is told when this channel does not deliver. Default: the next one by name.
    pub fallback: Option<String>,
}

/// What a channel is, with what it needs.
#[derive(Debug, Clone)]
pub enum ChannelKind {
    /// Mail by SMTP.
    Email(Box<Email>),
    /// A Slack incoming webhook.
    Slack {
        /// The webhook's address, which is its secret.
        url: SecretString,
    },
    /// A Microsoft Teams workflow that takes a webhook.
    Teams {
        /// The workflow's address, which is its secret.
        url: SecretString,
    },
    /// PagerDuty's Events API, version 2.
    Pagerduty {
        /// Where the API is.
        url: String,
        /// The integration's key.
        key: SecretString,
    },
    /// Opsgenie's Alert API, or one like it.
    Opsgenie {
        /// Where the API is.
        url: String,
        /// The integration's key.
        key: SecretString,
    },
    /// Alertmanager's API, version 2.
    Alertmanager {
        /// Where it is.
        url: String,
        /// Sent as a bearer token.
        token: Option<SecretString>,
        /// How often what fires is sent again. Default 1 min.
        resend: Duration,
    },
    /// Any service that takes JSON.
    Webhook {
        /// Where it is; may hold a secret.
        url: SecretString,
        /// Signs the body.
        key: SecretString,
    },
}

impl ChannelKind {
    /// The word that the config uses.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Slack { .. } => "slack",
            Self::Teams { .. } => "teams",
            Self::Pagerduty { .. } => "pagerduty",
            Self::Opsgenie { .. } => "opsgenie",
            Self::Alertmanager { .. } => "alertmanager",
            Self::Webhook { .. } => "webhook",
        }
    }

    /// Whether the receiver keeps an alert until it is resolved, under a key that tells repetitions. Such a receiver groups
    /// by itself, and an alert that was folded into another one could not be resolved there.
    pub const fn holds_alerts(&self) -> bool {
        matches!(self, Self::Pagerduty { .. } | Self::Opsgenie { .. } | Self::Alertmanager { .. })
    }
}

/// Mail by SMTP.
#[derive(Debug, Clone)]
pub struct Email {
    /// The server's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How TLS is used.
    pub tls: SmtpTls,
    /// Certificate authority to trust, PEM; else the system's.
    pub tls_ca: Option<PathBuf>,
    /// Login.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// Sender, as `Plumbline <plumbline@example.org>`.
    pub from: String,
    /// Receivers.
    pub to: Vec<String>,
}

/// How TLS is used with a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// Not at all: loopback only.
    Off,
    /// After STARTTLS (RFC 3207), always; never fallen back from.
    Starttls,
    /// From the first byte (RFC 8314).
    Implicit,
}

/// `[team.NAME]`: whose entities and systems these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Its name.
    pub name: String,
    /// The entities it owns.
    pub entities: Vec<EntityId>,
    /// The systems it owns.
    pub systems: Vec<SystemId>,
}

/// `[[route]]`: which incidents go to which channels. Every route that matches counts.
#[derive(Debug, Clone)]
pub struct Route {
    /// Only this severity.
    pub severity: Option<Severity>,
    /// Only these entities; all when empty.
    pub entities: Vec<EntityId>,
    /// Only incidents about these systems: blamed, blind, owner or target; all when empty.
    pub systems: Vec<SystemId>,
    /// Only incidents of these teams; all when empty.
    pub teams: Vec<String>,
    /// Only then. Tickets wait for it; a page is never kept waiting.
    pub hours: Option<Hours>,
    /// Where to.
    pub channels: Vec<String>,
    /// Whom to tell when nobody acknowledges.
    pub escalation: Option<Escalation>,
    /// How often to tell again while nobody acknowledges.
    pub remind_every: Option<Duration>,
    /// Tickets of so long are told together.
    pub digest: Option<Duration>,
}

/// Whom to tell when nobody acknowledges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// After so long.
    pub after: Duration,
    /// Where to.
    pub to: Vec<String>,
}

/// `[alert]` alone; channels, teams and routes are read with the sections that they name.
pub(super) fn read(section: &Section<'_>) -> Alerting {
    let defaults = Alerting::default();
    let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
    Alerting {
        templates: section.get("templates").and_then(directory),
        link: section.get("link").and_then(link),
        time_zone: section.get("time_zone").and_then(zone::read).unwrap_or(defaults.time_zone),
        fallback_after: section
            .get("fallback_after")
            .and_then(|node| bounded(node, Duration::from_secs(1), day))
            .unwrap_or(defaults.fallback_after),
        heartbeat_url: section.get("heartbeat_url").and_then(address::secret_web_address),
        heartbeat_every: section
            .get("heartbeat_every")
            .and_then(|node| bounded(node, Duration::from_secs(1), 60 * minute))
            .unwrap_or(defaults.heartbeat_every),
        ..defaults
    }
}

fn directory(node: Node<'_>) -> Option<PathBuf> {
    let path = node.reading.base_dir.join(node.name()?);
    if path.is_dir() { Some(path) } else { node.refuse(format!("`{}` is not a directory", path.display())) }
}

fn link(node: Node<'_>) -> Option<String> {
    let address = address::web_address(node, node.name()?)?;
    Some(address.trim_end_matches('/').to_owned())
}
