//! The index itself: follows the changes of one mapping and answers which addresses had a key.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::store::{Address, IndexState, KeyStore, KeyStoreError};
use crate::clock::Clock;
use crate::connect::{Cursor, ReadError, ReadWindow, Reader};
use crate::model::{EntityId, Interval, Key, Mapping, Moment, Record, SystemId};

/// Records in one page: large enough to amortise a transaction, small enough to bound memory.
const PAGE: usize = 5_000;

/// An index that finds nothing new is written down at least this often: a restart goes on from there.
const WRITTEN_DOWN: Duration = Duration::from_secs(60);

/// How long a read by key waits for an index that has been complete before to catch up.
const CATCH_UP: Duration = Duration::from_secs(5);

/// How long a read by key waits for an index that is being filled.
const FILL_A_LITTLE: Duration = Duration::from_secs(1);

/// So many pages are read however long they take: enough for an index that is nearly complete.
const FEWEST_PAGES: usize = 3;

/// What an index is made of.
pub struct IndexParts {
    /// Whose keys.
    pub mapping: Arc<Mapping>,
    /// Reads the system; knows nothing of the index.
    pub reader: Arc<dyn Reader>,
    /// Where it is kept.
    pub store: Arc<dyn KeyStore>,
    /// Tells when reads begin.
    pub clock: Arc<dyn Clock>,
}

/// How an index stands, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexStatus {
    /// Addresses held.
    pub entries: u64,
    /// Everything that could be seen by then is held; `None` while it is filled for the first time.
    pub complete_through: Option<Moment>,
}

/// An index of the keys of one mapping. Shared by everything that reads the mapping by key.
pub struct KeyIndex {
    name: String,
    form: String,
    entity: EntityId,
    system: SystemId,
    mapping: Arc<Mapping>,
    addresses: Mapping,
    reader: Arc<dyn Reader>,
    store: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    progress: tokio::sync::Mutex<Progress>,
    status: Mutex<Option<IndexStatus>>,
}

/// How far we have come: at least as far as what is stored.
#[derive(Default)]
struct Progress {
    /// `None` before the store has been asked.
    state: Option<IndexState>,
    pass: Pass,
    /// Up to when we have seen ourselves that everything is held.
    complete_through: Option<Moment>,
    written_at: Option<Instant>,
}

/// A pass over the changes. What it ends with is complete as of its first page: rows that were committed late, behind
/// what had been read by then, come with the next pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pass {
    /// Perhaps one is under way that we did not begin.
    #[default]
    Unknown,
    /// None is under way.
    Between,
    /// One is, since then.
    Began(Moment),
}

impl Pass {
    /// With a page that was read at `at`.
    const fn with_page(self, at: Moment) -> Self {
        match self {
            Self::Between => Self::Began(at),
            pass => pass,
        }
    }

    /// What is complete when the pass ends.
    const fn covers(self) -> Option<Moment> {
        match self {
            Self::Began(at) => Some(at),
            Self::Unknown | Self::Between => None,
        }
    }
}

/// What was found of keys.
pub(super) struct Found {
    pub addresses: Vec<Address>,
    /// When what was found was everything.
    pub window: ReadWindow,
    /// The state of the index that it was found in.
    pub as_of: IndexState,
}

/// Named after entity and system, as stored.
pub(super) fn name_of(mapping: &Mapping) -> String {
    format!("{}/{}", mapping.entity, mapping.system)
}

impl KeyIndex {
    /// `None` when the mapping has no addresses.
    pub fn new(parts: IndexParts) -> Option<Self> {
        let IndexParts { mapping, reader, store, clock } = parts;
        Some(Self {
            name: name_of(&mapping),
            form: mapping.key_index_form(),
            entity: mapping.entity.clone(),
            system: mapping.system.clone(),
            addresses: mapping.addresses()?,
            mapping,
            reader,
            store,
            clock,
            progress: tokio::sync::Mutex::default(),
            status: Mutex::default(),
        })
    }

    /// The entity whose keys these are.
    pub const fn entity(&self) -> &EntityId {
        &self.entity
    }

    /// The system that holds the records.
    pub const fn system(&self) -> &SystemId {
        &self.system
    }

    /// How it stands; `None` before this process has used it.
    pub fn status(&self) -> Option<IndexStatus> {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long ago everything that could be seen was held; `None` while it is filled for the first time.
    pub fn lag(&self) -> Option<Duration> {
        Some(self.now().since(self.status()?.complete_through?))
    }

    /// Whether it has been complete before.
    pub(super) fn is_live(&self) -> bool {
        self.status().is_some_and(|status| status.complete_through.is_some())
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(super) fn not_settled(&self, reason: &str) -> ReadError {
        ReadError::Index { system: self.system.clone(), reason: format!("keys of `{}`: {reason}", self.entity) }
    }

    fn failed(&self, error: &KeyStoreError) -> ReadError {
        self.not_settled(&error.to_string())
    }

    /// The addresses of `keys`, from an index that holds everything that could be seen at `needed`.
    pub(super) async fn find(&self, keys: &HashSet<&Key>, needed: Moment) -> Result<Found, ReadError> {
        let keys: Vec<&Key> = keys.iter().copied().collect();
        let until = Instant::now() + CATCH_UP;
        loop {
            let as_of = self.follow(needed, None).await?;
            let (addresses, version) =
                self.store.find(&self.name, &self.form, &keys).await.map_err(|error| self.failed(&error))?;
            // Somebody dropped an address meanwhile, perhaps one that has come back since we last read.
            if version == as_of.version {
                let low = as_of.complete_through.unwrap_or(needed);
                let window = Interval::new(low, self.now().max(low));
                return Ok(Found { addresses, window, as_of });
            }
            if Instant::now() >= until {
                return Err(self.not_settled("its index is being changed all the time"));
            }
        }
    }

    /// Reads changes until everything that could be seen at `needed` is held, for at most about `wait`; without that for
    /// as long as a read by key may wait.
    ///
    /// # Errors
    /// [`ReadError::Index`] when it takes longer; what was read is kept.
    pub(super) async fn follow(&self, needed: Moment, wait: Option<Duration>) -> Result<IndexState, ReadError> {
        let mut progress = self.progress.lock().await;
        self.take_up(&mut progress).await?;
        let until = Instant::now() + wait.unwrap_or(if self.is_live() { CATCH_UP } else { FILL_A_LITTLE });
        let mut pages = 0;
        loop {
            if let (Some(through), Some(state)) = (progress.complete_through, &progress.state)
                && through >= needed
            {
                return Ok(IndexState { complete_through: Some(through), ..state.clone() });
            }
            self.read_page(&mut progress).await?;
            pages += 1;
            if pages >= FEWEST_PAGES
                && Instant::now() >= until
                && progress.complete_through.is_none_or(|through| through < needed)
            {
                let held = self.status().map_or(0, |status| status.entries);
                return Err(self.not_settled(&format!("their index is not complete yet ({held} so far)")));
            }
        }
    }

    /// Goes on from what is stored if somebody has dropped addresses since, or if we have just begun.
    async fn take_up(&self, progress: &mut Progress) -> Result<(), ReadError> {
        let stored = self.store.state(&self.name, &self.form).await.map_err(|error| self.failed(&error))?;
        if progress.state.as_ref().is_none_or(|state| state.version != stored.version) {
            self.publish(&stored, None);
            let pass = if stored.cursor == Cursor::from_beginning() { Pass::Between } else { Pass::Unknown };
            *progress = Progress { state: Some(stored), pass, ..Progress::default() };
        }
        Ok(())
    }

    async fn read_page(&self, progress: &mut Progress) -> Result<(), ReadError> {
        let Some(state) = progress.state.clone() else { return self.take_up(progress).await };
        let page = match self.reader.changes(&self.addresses, &state.cursor, PAGE).await {
            Err(ReadError::Cursor { .. }) if state.cursor != Cursor::from_beginning() => {
                tracing::warn!(entity = %self.entity, system = %self.system, "the index of keys is filled anew");
                progress.state = Some(IndexState { cursor: Cursor::from_beginning(), ..state });
                progress.pass = Pass::Between;
                return Ok(());
            }
            page => page?,
        };
        progress.pass = progress.pass.with_page(page.window.low);
        let addresses = self.addresses_in(&page.records)?;
        let through = progress.pass.covers().filter(|_| page.complete).or(progress.complete_through);
        let stored_through = through.or(state.complete_through);
        let moved = IndexState { cursor: page.next, complete_through: stored_through, ..state };
        if !self.keep(progress, moved, &addresses).await? {
            // Somebody dropped addresses: what was read is read again, from what is stored.
            return self.take_up(progress).await;
        }
        if page.complete {
            progress.pass = Pass::Between;
            progress.complete_through = through;
        }
        if let Some(state) = &progress.state {
            if through.is_some() && !self.is_live() {
                let entries = state.entries;
                tracing::info!(entity = %self.entity, system = %self.system, entries, "the index of keys is complete");
            }
            self.publish(state, progress.complete_through);
        }
        Ok(())
    }

    /// The records' keys and addresses, each pair once. Records without a usable key cannot be asked for by one.
    fn addresses_in(&self, records: &[Record]) -> Result<Vec<Address>, ReadError> {
        let mut seen = HashSet::with_capacity(records.len());
        let mut addresses = Vec::with_capacity(records.len());
        for record in records {
            let key = Key::new(self.addresses_key(record));
            // What a product shows among its changes as thrown away cannot be asked for by its address.
            if !key.is_usable() || !record.in_scope {
                continue;
            }
            let Some(native) = self.mapping.address_of(record) else {
                return Err(self.not_settled("a record has no address: `native` is empty or no text"));
            };
            let address = Address { key, native: native.to_owned() };
            if seen.insert(address.clone()) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }

    fn addresses_key(&self, record: &Record) -> Vec<crate::model::Value> {
        self.mapping.key.iter().map(|field| record.fields[*field].clone()).collect()
    }

    /// Writes down what is new. Without anything new the place is only remembered, and written down now and then: to go
    /// on from an older place finds the same again. `false` when the version is another by now.
    async fn keep(
        &self,
        progress: &mut Progress,
        mut moved: IndexState,
        addresses: &[Address],
    ) -> Result<bool, ReadError> {
        let new = match self.is_live() {
            true => self.not_held(addresses).await?,
            // While it is filled, nearly everything is new.
            false => addresses.to_vec(),
        };
        let is_due = progress.written_at.is_none_or(|at| at.elapsed() >= WRITTEN_DOWN);
        if !new.is_empty() || is_due {
            let added = self.store.add(&self.name, &self.form, &moved, &new).await;
            let Some(added) = added.map_err(|error| self.failed(&error))? else { return Ok(false) };
            moved.entries += added;
            progress.written_at = Some(Instant::now());
        }
        progress.state = Some(moved);
        Ok(true)
    }

    async fn not_held(&self, addresses: &[Address]) -> Result<Vec<Address>, ReadError> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let keys: HashSet<&Key> = addresses.iter().map(|address| &address.key).collect();
        let keys: Vec<&Key> = keys.into_iter().collect();
        let (held, _) = self.store.find(&self.name, &self.form, &keys).await.map_err(|error| self.failed(&error))?;
        let held: HashSet<&Address> = held.iter().collect();
        Ok(addresses.iter().filter(|address| !held.contains(address)).cloned().collect())
    }

    /// Drops addresses that were found in `as_of` and turned out to hold their keys no longer.
    pub(super) async fn drop_stale(&self, as_of: IndexState, stale: &[Address]) -> Result<(), ReadError> {
        let mut progress = self.progress.lock().await;
        let dropped = self.store.drop_stale(&self.name, &self.form, &as_of, stale).await;
        // If somebody else was faster, the next round finds out what is left to drop.
        dropped.map_err(|error| self.failed(&error))?;
        self.take_up(&mut progress).await
    }

    fn publish(&self, state: &IndexState, through: Option<Moment>) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let complete_through = through.or(state.complete_through);
        *status = Some(IndexStatus { entries: state.entries, complete_through });
    }
}
