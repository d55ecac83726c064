//! Where requests may go: to the host of the system, and to addresses that its name may mean.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

/// Whether a link or redirect stays on the system: the same scheme, host and port.
pub(super) fn same_origin(base: &Url, other: &Url) -> bool {
    base.scheme() == other.scheme()
        && base.host() == other.host()
        && base.port_or_known_default() == other.port_or_known_default()
}

/// Whether a public name may mean this address. A name that suddenly means this machine, or a link-local address
/// where cloud providers keep secrets, is an attack or a mistake. Private networks are where an ERP lives.
pub(super) fn may_mean(name: &str, address: IpAddr) -> bool {
    let local = name == "localhost" || name.ends_with(".localhost");
    match address {
        _ if address.is_loopback() => local,
        IpAddr::V4(address) => {
            !(address.is_unspecified() || address.is_link_local() || address.is_multicast() || address.is_broadcast())
        }
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => may_mean(name, IpAddr::V4(mapped)),
            None => !(address.is_unspecified() || address.is_unicast_link_local() || address.is_multicast()),
        },
    }
}

/// The system's resolver, with [`may_mean`] behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked;

#[derive(Debug, thiserror::Error)]
#[error("`{name}` means no address that may be called; found {found}")]
struct Forbidden {
    name: String,
    found: String,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> =
                found.iter().copied().filter(|address| may_mean(&name, address.ip())).collect();
            if allowed.is_empty() {
                let found = found.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ");
                return Err(Box::from(Forbidden { name, found }));
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_on_the_system() {
        let base = Url::parse("https://shop.example/wp-json").unwrap();
        let check = |other: &str, expect: bool| {
            assert_eq!(same_origin(&base, &Url::parse(other).unwrap()), expect, "{other}");
        };
        check("https://shop.example/other?page=2", true);
        check("https://shop.example:443/", true);
        check("https://SHOP.example/", true);
        check("http://shop.example/", false);
        check("https://shop.example:8443/", false);
        check("https://evil.example/", false);
        check("https://shop.example.evil.example/", false);
    }

    #[test]
    fn names_do_not_mean_this_machine() {
        let check = |name: &str, address: &str, expect: bool| {
            assert_eq!(may_mean(name, address.parse().unwrap()), expect, "{name} {address}");
        };
        check("shop.example", "203.0.113.7", true);
        check("erp.intra", "10.0.0.7", true);
        check("shop.example", "127.0.0.1", false);
        check("shop.example", "::1", false);
        check("shop.example", "::ffff:127.0.0.1", false);
        check("shop.example", "169.254.169.254", false);
        check("shop.example", "0.0.0.0", false);
        check("shop.example", "fe80::1", false);
        check("localhost", "127.0.0.1", true);
    }
}
