//! `[plumbline]`: the auditor itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::section::{Keys, Node, Read, Section};
use super::{Plumbline, address, duration, ledger};
use crate::model::TenantId;

pub(super) const KEYS: Keys = Keys {
    section: "[plumbline]",
    names: &[
        "tenant",
        "data_dir",
        "state",
        "ledger",
        "listen",
        "http_token",
        "secret_key",
        "lease",
        "max_in_flight",
        "max_spool_bytes",
        "auditor",
    ],
    not_yet: &[],
};

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);
/// Short enough to type, too long to guess.
const SHORTEST_TOKEN: usize = 16;

/// Each key in flight takes memory and a row of state.
const MOST_IN_FLIGHT: u64 = 100_000_000;

impl Plumbline {
    /// What holds when `[plumbline]` says nothing. `base_dir` is the directory of the config file.
    pub(super) fn defaults(base_dir: &Path) -> Self {
        Self {
            tenant: TenantId::default(),
            data_dir: base_dir.join("plumbline-data"),
            state_url: None,
            ledger: super::Ledger::default(),
            listen: DEFAULT_LISTEN,
            http_token: None,
            secret_key: None,
            lease: Duration::from_secs(15),
            max_in_flight: 250_000,
            max_spool_bytes: 1 << 30,
            auditor: None,
        }
    }
}

pub(super) fn read(section: &Section<'_>) -> Plumbline {
    let defaults = Plumbline::defaults(section.reading.base_dir);
    let listen = section.get("listen").and_then(socket_address).unwrap_or(defaults.listen);
    let http_token = section.get("http_token").and_then(token);
    if !listen.ip().is_loopback() && section.get("http_token").is_none() {
        let at = section.get("listen").map_or(section.at, Node::at);
        section.reading.problem(at, format!("`{listen}` can be reached from other machines; set `http_token`"));
    }
    Plumbline {
        tenant: section.get("tenant").and_then(Node::parsed).unwrap_or(defaults.tenant),
        data_dir: section.or("data_dir", defaults.data_dir),
        state_url: section.get("state").and_then(address::state_address).map(|address| address.url),
        ledger: section
            .get("ledger")
            .and_then(|node| node.section(&ledger::KEYS))
            .map_or(defaults.ledger, |section| ledger::read(&section)),
        listen,
        http_token,
        secret_key: section.get("secret_key").and_then(secret_key),
        lease: section.get("lease").and_then(lease).unwrap_or(defaults.lease),
        max_in_flight: section
            .get("max_in_flight")
            .and_then(|node| node.within(1, MOST_IN_FLIGHT))
            .unwrap_or(defaults.max_in_flight),
        max_spool_bytes: section.get("max_spool_bytes").and_then(spool_bytes).unwrap_or(defaults.max_spool_bytes),
        auditor: section.optional("auditor"),
    }
}

fn socket_address(node: Node<'_>) -> Option<SocketAddr> {
    let text = node.text()?;
    text.parse()
        .ok()
        .or_else(|| node.refuse(format!("`{text}` is not an address with a port, such as `127.0.0.1:9464`")))
}

fn token(node: Node<'_>) -> Option<SecretString> {
    let token = SecretString::read(node)?;
    if token.expose_secret().chars().count() < SHORTEST_TOKEN {
        return node.refuse(format!("the token must have at least {SHORTEST_TOKEN} characters"));
    }
    Some(token)
}

fn secret_key(node: Node<'_>) -> Option<SecretString> {
    let key = SecretString::read(node)?;
    let digits = key.expose_secret();
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return node.refuse("the key must be 64 hexadecimal digits (32 bytes), as `openssl rand -hex 32` prints");
    }
    Some(key)
}

fn lease(node: Node<'_>) -> Option<Duration> {
    duration::bounded(node, Duration::from_secs(1), Duration::from_secs(3600))
}

/// Less than this holds not even one probe run.
const SMALLEST_SPOOL: u64 = 1 << 20;

fn spool_bytes(node: Node<'_>) -> Option<u64> {
    let bytes = duration::bytes(node)?;
    if bytes < SMALLEST_SPOOL {
        node.refuse(format!("must be at least `1MiB`, found {bytes} bytes"))
    } else {
        Some(bytes)
    }
}

impl Read for PathBuf {
    /// A relative path begins at the config file.
    fn read(node: Node<'_>) -> Option<Self> {
        Some(node.reading.base_dir.join(node.name()?))
    }
}
