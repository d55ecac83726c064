//! What a system allows us: requests a second, concurrency, rows a run. Everything that reads shares it.

/// The shared budget of one system.
#[derive(Debug)]
pub struct Budget {}
