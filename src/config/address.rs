//! Addresses of systems: the right scheme, no password in the config, SQLite paths from the config's directory.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::SystemKind;
use super::secret::{Referred, referred};
use super::section::{Node, Read as _};

/// A checked address.
pub(super) struct Address {
    /// With the login; what a driver takes.
    pub url: SecretString,
    /// Whether it stays on this machine: a file, a socket or a loopback address.
    pub is_local: bool,
}

const POSTGRES: &[&str] = &["postgres", "postgresql"];
const MYSQL: &[&str] = &["mysql", "mariadb"];

/// The address of a system of this kind. `password` is put into a URL that has none.
pub(super) fn system_address(node: Node<'_>, kind: SystemKind, password: Option<&SecretString>) -> Option<Address> {
    let referred = referred(node)?;
    match kind {
        SystemKind::Sqlite => sqlite(node, referred.text()),
        SystemKind::Postgres => server(node, &referred, POSTGRES, password),
        SystemKind::Mysql => server(node, &referred, MYSQL, password),
        SystemKind::Http => http(node, &referred),
    }
}

/// The address of a service. What is sent there proves who we are, so it goes over TLS unless it stays here.
fn http(node: Node<'_>, referred: &Referred) -> Option<Address> {
    let url = match Url::parse(referred.text().trim_end_matches('/')) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
        Ok(_) => return node.refuse("must begin with `https://`"),
        Err(error) => return node.refuse(format!("not an address such as `https://shop.example`: {error}")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return node.refuse("must not hold a login; the pack's `settings` take it");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return node.refuse("must not hold `?` or `#`");
    }
    let is_local = is_local(&url);
    if url.scheme() == "http" && !is_local {
        return node.refuse(
            "plain `http` would show the login to everybody on the way (and WooCommerce ignores it there); \
             use `https`, or an address of this machine",
        );
    }
    Some(Address { url: SecretString::from(String::from(url).trim_end_matches('/').to_owned()), is_local })
}

/// An address on the web that people or requests go to: TLS, unless it is of this machine. No login in it.
pub(super) fn web_address(node: Node<'_>, text: &str) -> Option<String> {
    let url = match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
        Ok(_) => return node.refuse("must begin with `https://`"),
        Err(error) => return node.refuse(format!("not an address such as `https://alerts.example.org`: {error}")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return node.refuse("must not hold a login");
    }
    if url.scheme() == "http" && !is_local(&url) {
        return node.refuse("plain `http` is for this machine only; use `https`");
    }
    Some(text.trim_end_matches('/').to_owned())
}

/// As [`web_address`], of an address that is a secret itself: who knows it may write there.
pub(super) fn secret_web_address(node: Node<'_>) -> Option<SecretString> {
    let secret = SecretString::read(node)?;
    web_address(node, secret.expose_secret())?;
    Some(secret)
}

/// The address of the state database: PostgreSQL, or a SQLite file.
pub(super) fn state_address(node: Node<'_>) -> Option<Address> {
    let referred = referred(node)?;
    if referred.text().starts_with("sqlite:") {
        return sqlite(node, referred.text());
    }
    let address = server(node, &referred, POSTGRES, None)?;
    if address.is_local { Some(address) } else { with_tls(node, &address) }
}

/// The state database is reached over TLS unless it is on this machine. The driver would fall back to no TLS.
fn with_tls(node: Node<'_>, address: &Address) -> Option<Address> {
    let mut url = Url::parse(address.url.expose_secret()).ok()?;
    let mode =
        url.query_pairs().find(|(name, _)| name == "sslmode" || name == "ssl-mode").map(|(_, mode)| mode.into_owned());
    match mode.as_deref() {
        Some("require" | "verify-ca" | "verify-full") => {}
        Some(_) => {
            return node.refuse(
                "the database is not on this machine, so `sslmode` must be `require`, `verify-ca` or `verify-full`",
            );
        }
        None => drop(url.query_pairs_mut().append_pair("sslmode", "require")),
    }
    Some(Address { url: SecretString::from(String::from(url)), is_local: false })
}

/// Never prints the text: it may hold a password.
fn server(node: Node<'_>, referred: &Referred, schemes: &[&str], password: Option<&SecretString>) -> Option<Address> {
    let mut url = match Url::parse(referred.text()) {
        Ok(url) => url,
        Err(error) => return node.refuse(format!("not a URL such as `{}://USER@HOST/DATABASE`: {error}", schemes[0])),
    };
    if !schemes.contains(&url.scheme()) {
        return node.refuse(format!("must begin with `{}://`", schemes[0]));
    }
    if matches!(referred, Referred::Plain(_)) && has_password(&url) {
        return node.refuse(
            "a password must not stand in the config; write the whole URL as `env:NAME` or `file:PATH`, \
             or (for a system) the password alone under `password`",
        );
    }
    if let Some(password) = password {
        if has_password(&url) {
            return node.refuse("already holds a password; remove it or the key `password`");
        }
        // The setter escapes everything but `%`, which it takes for an escape.
        let escaped = password.expose_secret().replace('%', "%25");
        if url.set_password(Some(&escaped)).is_err() {
            return node.refuse("has no host, so `password` cannot be used with it");
        }
    }
    let is_local = is_local(&url);
    Some(Address { url: SecretString::from(String::from(url)), is_local })
}

/// Drivers also take `?password=…`.
fn has_password(url: &Url) -> bool {
    url.password().is_some() || url.query_pairs().any(|(name, _)| name.to_lowercase().contains("password"))
}

/// Whether the URL's host is this machine.
pub(super) fn is_local(url: &Url) -> bool {
    let queried =
        url.query_pairs().find(|(name, _)| name == "host" || name == "hostaddr").map(|(_, host)| host.into_owned());
    if let Some(host) = queried {
        return host.starts_with('/') || is_loopback(&host);
    }
    match url.host() {
        None => true,
        Some(Host::Domain(name)) => {
            name.is_empty() || name.starts_with("%2F") || name.starts_with("%2f") || is_loopback(name)
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
    }
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn sqlite(node: Node<'_>, text: &str) -> Option<Address> {
    let Some(rest) = text.strip_prefix("sqlite:") else {
        return node.refuse("must begin with `sqlite:` and name a file: `sqlite:shop.db`");
    };
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path == ":memory:" {
        return node.refuse("must name a file: `sqlite:shop.db`");
    }
    let path = match Path::new(path).is_absolute() {
        true => path.to_owned(),
        false => format!("{}/{path}", encoded(&node.reading.base_dir.display().to_string())),
    };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Some(Address { url: SecretString::from(format!("sqlite://{path}{query}")), is_local: true })
}

/// The driver decodes `%` in the path and cuts it at `?`.
fn encoded(path: &str) -> String {
    path.replace('%', "%25").replace('?', "%3F")
}
