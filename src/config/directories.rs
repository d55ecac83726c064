//! Directories of the user, from the environment.

use std::path::PathBuf;

/// Where fetched things are kept: `$XDG_CACHE_HOME`, else `~/.cache` (XDG base directory specification).
#[expect(clippy::disallowed_methods, reason = "config is the part that reads the environment")]
pub fn cache_dir() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")))
}
