//! Where an index of keys is kept.

use async_trait::async_trait;

use crate::connect::Cursor;
use crate::model::{Key, Moment};

/// An address that had a key when it was last read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The common key (before any `xref`).
    pub key: Key,
    /// The system's own address, as text.
    pub native: String,
}

/// How far an index is, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexState {
    /// Grows whenever an address is dropped: who read by an older one reads its changes again.
    pub version: i64,
    /// Where the changes go on.
    pub cursor: Cursor,
    /// Addresses held.
    pub entries: u64,
    /// Everything that could be seen by then is held; `None` while it is filled for the first time.
    pub complete_through: Option<Moment>,
}

/// Our own store failed.
#[derive(Debug, thiserror::Error)]
#[error("the index of keys cannot be kept: {0}")]
pub struct KeyStoreError(pub String);

/// A durable table of keys and addresses. Several processes may use it at once.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// The index of this name and form; begins one, empty and at the first record, when there is none.
    async fn state(&self, name: &str, form: &str) -> Result<IndexState, KeyStoreError>;

    /// The addresses of these keys, and the index's version right after they were read.
    async fn find(&self, name: &str, form: &str, keys: &[&Key]) -> Result<(Vec<Address>, i64), KeyStoreError>;

    /// Adds addresses and moves on, as one. `None` when the version is another by now: nothing was done then. Else
    /// how many of the addresses are new.
    async fn add(
        &self,
        name: &str,
        form: &str,
        moved: &IndexState,
        addresses: &[Address],
    ) -> Result<Option<u64>, KeyStoreError>;

    /// Drops addresses and goes back to `from.cursor` if the version is still that of `from`. Whether it was done.
    async fn drop_stale(
        &self,
        name: &str,
        form: &str,
        from: &IndexState,
        stale: &[Address],
    ) -> Result<bool, KeyStoreError>;
}
