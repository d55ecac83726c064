//! What the commands that look once have in common: readers of all systems, and how long they wait.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::plan::Readers;
use crate::clock::Clock;
use crate::config::Config;
use crate::connect;

/// How long a command waits for keys in flight.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Wait {
    /// Wait at most so many seconds for changes that are on their way.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
}

impl Wait {
    /// At most so long.
    pub(super) const fn most(self) -> Duration {
        Duration::from_secs(self.wait)
    }
}

/// A reader for each system of the config; none is connected yet.
pub(super) fn readers(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Readers> {
    let mut readers = Readers::new();
    for system in config.systems.values() {
        readers.insert(system.id.clone(), connect::open(system, Arc::clone(clock))?);
    }
    Ok(readers)
}
