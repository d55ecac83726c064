//! Whether the process can do its work, part by part: told by the engine, shown by the server.

use async_trait::async_trait;

/// Whether the process can do its work.
#[async_trait]
pub trait Status: Send + Sync {
    /// Asked for every `/readyz`; has a few seconds to answer.
    async fn readiness(&self) -> Readiness;
}

/// The parts that the work needs, and which of them are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// In the order in which they are shown.
    pub parts: Vec<Part>,
}

/// One part that the work needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// `state`, `ledger`, `spool`, `leases`.
    pub name: &'static str,
    /// Whether it is there.
    pub ready: bool,
    /// What was found, for people; never a secret.
    pub detail: String,
}

impl Readiness {
    /// Adds a part.
    #[must_use]
    pub fn with(mut self, name: &'static str, ready: bool, detail: impl Into<String>) -> Self {
        self.parts.push(Part { name, ready, detail: detail.into() });
        self
    }

    /// Whether all parts are there.
    pub fn is_ready(&self) -> bool {
        self.parts.iter().all(|part| part.ready)
    }
}
