//! The wires between the systems and all who reach them from outside: the sync job and the auditor.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::Url;

use super::record::System;
use super::wire::{Cut, Wire};

/// A wire to every system that is reached over a network. Files have none.
#[derive(Default)]
pub struct Network {
    wires: BTreeMap<System, Wire>,
}

impl Network {
    /// Lays a wire to the system at `url` and says how to reach it through that. A file is reached as it is.
    ///
    /// # Errors
    /// When the URL names no host and port of this machine, or there is no free port.
    pub async fn lay(&mut self, system: System, url: &str, round_trip: Duration) -> anyhow::Result<String> {
        if url.starts_with("sqlite:") {
            return Ok(url.to_owned());
        }
        let mut through = Url::parse(url).with_context(|| format!("the URL of the {system}"))?;
        let (host, port) = (through.host_str().unwrap_or_default(), through.port_or_known_default());
        let port =
            port.or_else(|| default_port(through.scheme())).with_context(|| format!("the {system} has no port"))?;
        let to = tokio::net::lookup_host((host, port)).await.with_context(|| format!("the host of the {system}"))?;
        let to: SocketAddr = to.into_iter().next().with_context(|| format!("the {system} has no address"))?;
        let wire = Wire::open(to).await?;
        wire.set_delay(round_trip);
        let (address, port) = (wire.addr().ip().to_string(), wire.addr().port());
        let set = through.set_host(Some(&address)).is_ok() && through.set_port(Some(port)).is_ok();
        anyhow::ensure!(set, "the URL of the {system} cannot lead elsewhere");
        self.wires.insert(system, wire);
        // Whoever adds a path to it adds the slash, too.
        Ok(through.as_str().trim_end_matches('/').to_owned())
    }

    /// From now on nobody reaches the system, until it is [mended](Self::mend).
    pub fn cut(&self, system: System) {
        if let Some(wire) = self.wires.get(&system) {
            wire.cut(Cut::Refusing);
        }
    }

    /// The system can be reached again.
    pub fn mend(&self, system: System) {
        if let Some(wire) = self.wires.get(&system) {
            wire.mend();
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "postgres" | "postgresql" => Some(5432),
        "mysql" | "mariadb" => Some(3306),
        _ => None,
    }
}
