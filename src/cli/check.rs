//! `plumbline check`: is the config right, and what follows from it?

use std::path::{Path, PathBuf};

use super::{Exit, Failure};
use crate::alert::templates::Templates;
use crate::causes::chain;
use crate::config::{self, Config};

/// Where the config is; every command that needs one takes it.
#[derive(Debug, clap::Args)]
pub struct ConfigFile {
    /// The config file.
    #[arg(long, short, value_name = "FILE", default_value = "plumbline.toml")]
    pub config: PathBuf,
}

impl ConfigFile {
    /// The checked config.
    ///
    /// # Errors
    /// All its problems, as a usage failure.
    pub fn load(&self) -> Result<Config, Failure> {
        config::load(&self.config)
            .map_err(|problems| Failure::usage(anyhow::anyhow!("the config is not usable\n{problems}")))
    }
}

/// Prints flows, deadlines and warnings to stdout, or all problems to stderr.
pub fn run(file: &Path) -> Exit {
    let result = config::load(file);
    let text = config::render_check(&result);
    if let Ok(config) = &result {
        if let Err(error) = Templates::load(config.alerting.templates.as_deref()) {
            eprintln!("error: {}", chain(&error));
            return Exit::Usage;
        }
        print!("{text}");
        return Exit::Good;
    }
    eprint!("{text}");
    Exit::Usage
}
