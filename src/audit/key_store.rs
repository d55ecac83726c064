//! Indexes of keys in the state database, and those of a config.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use async_trait::async_trait;

use crate::clock::Clock;
use crate::connect::{Address, Cursor, IndexParts, IndexState, Indexed, KeyIndex, KeyStore, KeyStoreError, Reader};
use crate::model::digest::DigestKey;
use crate::model::{Key, Mapping, Value};
use crate::state::{HeldAddress, KeyIndexId, KeyIndexRow, StateError, StateSecret, StateStore};

/// The indexes of a config, each made once however many flows read through it.
pub struct Indexes {
    store: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    made: Mutex<Vec<Arc<KeyIndex>>>,
}

impl Indexes {
    /// In the state database. `secret` hashes keys.
    pub fn new(state: StateStore, secret: DigestKey, clock: Arc<dyn Clock>) -> Self {
        Self { store: Arc::new(InState { state, secret }), clock, made: Mutex::default() }
    }

    /// For a single look: in a directory that goes with what is returned beside them.
    ///
    /// # Errors
    /// When there is no place for temporary files.
    pub async fn for_a_look(secret: DigestKey, clock: Arc<dyn Clock>) -> anyhow::Result<(Self, tempfile::TempDir)> {
        let dir = tempfile::tempdir().context("no place for an index of keys")?;
        let url = format!("sqlite://{}", dir.path().join("keys.db").display());
        let state = StateStore::open(&url, &StateSecret::in_dir(dir.path())?).await?;
        state.migrate().await?;
        Ok((Self::new(state, secret, clock), dir))
    }

    /// The indexes made so far.
    pub fn all(&self) -> Vec<Arc<KeyIndex>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `reader` with the mapping's index before it. `None` when the mapping has no addresses.
    pub fn before(&self, reader: Arc<dyn Reader>, mapping: &Arc<Mapping>) -> Option<Arc<dyn Reader>> {
        let index = self.of(&reader, mapping)?;
        Some(Arc::new(Indexed::new(reader, mapping, index)?))
    }

    fn of(&self, reader: &Arc<dyn Reader>, mapping: &Arc<Mapping>) -> Option<Arc<KeyIndex>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |index: &&Arc<KeyIndex>| *index.entity() == mapping.entity && *index.system() == mapping.system;
        if let Some(known) = made.iter().find(is_it) {
            return Some(Arc::clone(known));
        }
        let index = Arc::new(KeyIndex::new(IndexParts {
            mapping: Arc::clone(mapping),
            reader: Arc::clone(reader),
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
        })?);
        made.push(Arc::clone(&index));
        Some(index)
    }
}

/// Keys and addresses are hashed before they reach a table, addresses and positions encrypted.
struct InState {
    state: StateStore,
    secret: DigestKey,
}

impl InState {
    fn id(&self, name: &str, form: &str) -> KeyIndexId {
        let hash = self.hash(&Key::new([Value::from(name), Value::from(form)]));
        KeyIndexId { name: name.to_owned(), id: (hash >> 65) as i64 }
    }

    fn hash(&self, key: &Key) -> u128 {
        self.secret.keyed(key.parts()).0
    }

    fn hash_of_native(&self, native: &str) -> u128 {
        self.secret.keyed([&Value::from(native)]).0
    }

    fn held(&self, address: &Address) -> HeldAddress {
        HeldAddress {
            key_hash: self.hash(&address.key),
            native_hash: self.hash_of_native(&address.native),
            native: address.native.clone().into_bytes(),
        }
    }
}

fn failed(error: StateError) -> KeyStoreError {
    KeyStoreError(crate::causes::chain(&error))
}

fn row(name: &str, state: &IndexState) -> KeyIndexRow {
    KeyIndexRow {
        name: name.to_owned(),
        version: state.version,
        position: state.cursor.0.clone(),
        entries: state.entries,
        complete_through: state.complete_through,
    }
}

#[async_trait]
impl KeyStore for InState {
    async fn state(&self, name: &str, form: &str) -> Result<IndexState, KeyStoreError> {
        let beginning = Cursor::from_beginning().0;
        let row = self.state.key_index(&self.id(name, form), &beginning).await.map_err(failed)?;
        let KeyIndexRow { version, position, entries, complete_through, .. } = row;
        Ok(IndexState { version, cursor: Cursor(position), entries, complete_through })
    }

    async fn find(&self, name: &str, form: &str, keys: &[&Key]) -> Result<(Vec<Address>, i64), KeyStoreError> {
        let by_hash: HashMap<u128, &Key> = keys.iter().map(|key| (self.hash(key), *key)).collect();
        let hashes: Vec<u128> = by_hash.keys().copied().collect();
        let (held, version) = self.state.addresses_of(&self.id(name, form), &hashes).await.map_err(failed)?;
        let address = |held: HeldAddress| {
            let key = (*by_hash.get(&held.key_hash)?).clone();
            Some(Address { key, native: String::from_utf8(held.native).ok()? })
        };
        Ok((held.into_iter().filter_map(address).collect(), version))
    }

    async fn add(
        &self,
        name: &str,
        form: &str,
        moved: &IndexState,
        addresses: &[Address],
    ) -> Result<Option<u64>, KeyStoreError> {
        let held: Vec<HeldAddress> = addresses.iter().map(|address| self.held(address)).collect();
        self.state.add_addresses(&self.id(name, form), &row(name, moved), &held).await.map_err(failed)
    }

    async fn drop_stale(
        &self,
        name: &str,
        form: &str,
        from: &IndexState,
        stale: &[Address],
    ) -> Result<bool, KeyStoreError> {
        let held = |address: &Address| (self.hash(&address.key), self.hash_of_native(&address.native));
        let stale: Vec<(u128, u128)> = stale.iter().map(held).collect();
        self.state.drop_addresses(&self.id(name, form), &row(name, from), &stale).await.map_err(failed)
    }
}
