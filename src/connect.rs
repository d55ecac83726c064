//! Readers of external systems. They read and never write; healing goes through separate traits.
//!
//! A [`Reader`] answers with [`Record`]s in the entity's common language, with the time window in which the
//! answer was true, and says whether the answer is complete. It holds no business rules: scope, projection and
//! verdicts belong to the pure middle.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::config::{System, SystemKind};
use crate::model::{Interval, Key, Mapping, Moment, Record, SystemId};

pub use crate::model::{Column, Shape};

pub mod budget;
mod certificate;
mod count;
pub mod http;
mod key_index;
pub mod sql;
mod sweep;
mod translate;

pub use budget::{Budget, Told, Usage};
pub use count::count_keys;
pub use key_index::{Address, IndexParts, IndexState, IndexStatus, Indexed, KeyIndex, KeyStore, KeyStoreError};
pub use sweep::{Buckets, Extent, Group, Mark, OnGroup, OnRecord, Sweeper};
pub use translate::Translated;

/// A reader for `system`. Connects at its first use; needs a running tokio runtime.
///
/// # Errors
/// [`ReadError::Refused`] when the system's `url` is not one for its kind.
pub fn open(system: &System, clock: Arc<dyn Clock>) -> Result<Arc<dyn Reader>, ReadError> {
    let budget = Arc::new(Budget::new(system.id.clone(), system.budget));
    Ok(match system.kind {
        SystemKind::Http => Arc::new(http::open(system, clock, budget)?),
        SystemKind::Postgres | SystemKind::Mysql | SystemKind::Sqlite => Arc::new(sql::open(system, clock, budget)?),
    })
}

/// Keys that a database is asked for in one statement.
pub(crate) const KEYS_A_STATEMENT: usize = 1_000;

/// One way of reading an external system. SQL engines and HTTP packs implement it alike.
///
/// Every call is bounded by the system's statement timeout and budget and is safe to repeat.
#[async_trait]
pub trait Reader: Send + Sync {
    /// The system read.
    fn system(&self) -> &SystemId;

    /// What has been used of the system's budget since the start.
    fn usage(&self) -> Usage;

    /// Columns (or JSON paths) of the mapping's dataset and of its children's with their types, for `doctor` and the
    /// schema probe.
    async fn describe(&self, mapping: &Mapping) -> Result<Shape, ReadError>;

    /// Whether a column that [`describe`](Self::describe) no longer lists is not there, and not only hidden from this
    /// login: then the answer is [`ReadError::Refused`].
    async fn is_gone(&self, _dataset: &str, _column: &str) -> Result<bool, ReadError> {
        Ok(true)
    }

    /// The system's clock next to ours, measured once, at mid-round-trip.
    async fn clock(&self) -> Result<ClockReading, ReadError>;

    /// How far what this replica shows lies behind its primary, if that is more than the system's `max_replica_lag`. `None` for
    /// what is no replica, or where nothing tells.
    async fn behind(&self) -> Result<Option<Duration>, ReadError> {
        Ok(None)
    }

    /// Records that changed after `cursor`, oldest first, at most `limit` of them.
    ///
    /// Reads everything visible, also beyond the watermark; [`ChangesPage::next`] never passes what could still
    /// be committed with an older stamp, so the rows between watermark and present come again in the next call.
    async fn changes(&self, mapping: &Mapping, cursor: &Cursor, limit: usize) -> Result<ChangesPage, ReadError>;

    /// The records with these keys. Keys without a record are absent from the answer; a key with several
    /// records has them all. A key that the mapping cannot express here (another constant) is absent.
    async fn by_keys(&self, mapping: &Mapping, keys: &[Key]) -> Result<KeyedRead, ReadError>;

    /// How many keys one request or statement asks for: more of them take several, so that what is read of the first
    /// is older than what is read of the last.
    fn keys_at_once(&self, _mapping: &Mapping) -> usize {
        KEYS_A_STATEMENT
    }

    /// Time to do what reads by key will need. Nothing for a system that can be asked by key.
    async fn keep_up(&self, _mapping: &Mapping) -> Result<(), ReadError> {
        Ok(())
    }

    /// The place of key number `keys` of `within`, counted from 1 in the dataset's own order: where samples enter it.
    /// A SQL database goes there by an index; an API with numbered pages by a page's number.
    async fn landmark(&self, _mapping: &Mapping, _within: KeyRange<'_>, _keys: usize) -> Result<Reach, ReadError> {
        Ok(Reach::Nowhere)
    }

    /// The records that lie in `range`, in the dataset's own order, at most `limit` of them. `None` when the system
    /// cannot go to a bound: it has no order of keys, or none of its records could have that key.
    async fn key_range(
        &self,
        _mapping: &Mapping,
        _range: KeyRange<'_>,
        _limit: usize,
    ) -> Result<Option<RangeRead>, ReadError> {
        Ok(None)
    }

    /// The next page of a list that can only be followed from its beginning, from where the call before left it (`None`:
    /// at the beginning). `None` when the dataset cannot even be followed; what [`landmark`](Self::landmark) enters need
    /// not be.
    ///
    /// # Errors
    /// [`ReadError::Cursor`] when the place is lost: the list must be followed anew.
    async fn follow(&self, _mapping: &Mapping, _from: Option<&Place>) -> Result<Option<Followed>, ReadError> {
        Ok(None)
    }

    /// All records as a stream, in bounded memory: of a database in key order, of an API in the order of its list.
    fn scan<'a>(&'a self, mapping: &'a Mapping, after: Option<&'a Key>) -> BoxStream<'a, Result<Record, ReadError>>;

    /// How to read everything in pieces, or have it compared by the database; `None` where only [`scan`](Self::scan)
    /// reads everything.
    fn sweeper(&self) -> Option<&dyn Sweeper> {
        None
    }

    /// What the system allows us, shared by everything that reads it, and what has been used of it.
    fn budget(&self) -> &Budget;

    /// What the login can do and how the reads would run: grants, plans, clock, missing columns.
    async fn doctor(&self, mappings: &[&Mapping]) -> Vec<Finding>;
}

/// The window of our timeline in which a read's snapshot was taken.
pub type ReadWindow = Interval;

/// Widens a window so that it covers another part of the same read.
fn cover(window: &mut Option<ReadWindow>, part: ReadWindow) {
    *window = Some(window.map_or(part, |known| known.hull(part)));
}

/// The other side's clock next to ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// Their clock minus ours, in microseconds.
    pub offset_micros: i64,
    /// The offset is known to plus or minus this much: half the round trip and their clock's granularity.
    pub uncertainty: Duration,
    /// When it was measured.
    pub measured_at: Moment,
}

impl ClockReading {
    /// Their stamp on our timeline: an interval as wide as what is not known.
    pub fn on_our_timeline(&self, stamp: Moment) -> Interval {
        let center = stamp.shifted(self.offset_micros.saturating_neg());
        Interval::new(center - self.uncertainty, center + self.uncertainty)
    }
}

/// Where a changes read goes on. Opaque to everyone but the reader that made it; kept in state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor(pub Vec<u8>);

impl Cursor {
    /// Everything from the first record on. An empty cursor ([`Cursor::default`]) begins at the present watermark
    /// instead and so only gives what changes from now on.
    pub fn from_beginning() -> Self {
        Self(vec![sql::position::BEGINNING])
    }
}

/// What a changes read gave.
#[derive(Debug)]
pub struct ChangesPage {
    /// Oldest first. May hold the same key twice if it changed between two statements; the later one is newer.
    pub records: Vec<Record>,
    /// From this index on, records may come again in a later read although nothing changes.
    pub first_again: usize,
    /// Where the next read goes on.
    pub next: Cursor,
    /// Their clock up to which nothing can appear any more, on our timeline; `None` when nothing is known yet.
    pub watermark: Option<Moment>,
    /// Whether everything visible was read. `false` when `limit` cut the read: call again at once.
    pub complete: bool,
    /// Records whose key has not been translated for as long as that may take, under this system's own key. They were
    /// among the records once, as what they are: without a key that names anything elsewhere.
    pub given_up: Vec<Record>,
    /// When the snapshot was taken.
    pub window: ReadWindow,
    /// Their clock as this read met it, if it tells.
    pub clock: Option<ClockReading>,
    /// Their clock was set back since the last read: records that were given before may come again, and one that
    /// is new cannot be told from them.
    pub set_back: bool,
}

/// What a read by key gave. Always complete: an incomplete read is an error.
#[derive(Debug)]
pub struct KeyedRead {
    /// In no promised order.
    pub records: Vec<Record>,
    /// When the snapshot was taken.
    pub window: ReadWindow,
}

/// A place in a dataset's own order. Opaque to everyone but the reader that made it; kept in state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place(pub Vec<u8>);

/// A place where a dataset can be entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landmark {
    /// For the system that it belongs to.
    pub place: Place,
    /// For other systems: the key of the record there. `None` when that record's key names nothing elsewhere, or the
    /// system's order has nothing to do with keys (numbered pages).
    pub key: Option<Key>,
}

/// How far a [`Reader::landmark`] came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To this place.
    At(Landmark),
    /// There are fewer keys than that.
    End,
    /// The system cannot be entered anywhere but by key.
    Nowhere,
}

/// A bound of a [`KeyRange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound<'b> {
    /// None: from the first record, or to the last.
    Open,
    /// A place of the same system.
    Place(&'b Place),
    /// Where a key lies in the system's own order, whether there is a record or not.
    Key(&'b Key),
}

/// A piece of a dataset in its own order: behind `after`, up to and with `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRange<'b> {
    /// Exclusive.
    pub after: Bound<'b>,
    /// Inclusive.
    pub until: Bound<'b>,
}

impl KeyRange<'_> {
    /// The whole dataset.
    pub const ALL: Self = Self { after: Bound::Open, until: Bound::Open };
}

/// What a read of a key range gave.
#[derive(Debug)]
pub struct RangeRead {
    /// In the dataset's own order. Records whose key has a null part are never among them.
    pub records: Vec<Record>,
    /// When the snapshot was taken.
    pub window: ReadWindow,
    /// Whether these are all; `false` when `limit` cut the read.
    pub complete: bool,
}

/// One page of a list that is followed.
#[derive(Debug)]
pub struct Followed {
    /// What was not on the pages before.
    pub records: Vec<Record>,
    /// When the page was read.
    pub window: ReadWindow,
    /// Where the list goes on; `None` when this page was the last.
    pub next: Option<Place>,
    /// Records in the whole list, if it says so.
    pub total: Option<u64>,
}

/// Why a read gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system did not take the connection, or dropped it.
    #[error("`{system}` cannot be reached: {reason}")]
    Unreachable {
        /// Which system.
        system: SystemId,
        /// What the driver said, without credentials.
        reason: String,
    },
    /// The login was refused or may not read this.
    #[error("`{system}` refused access: {reason}")]
    Refused {
        /// Which system.
        system: SystemId,
        /// What the system said.
        reason: String,
    },
    /// No answer within the limit.
    #[error("no answer from `{system}` within {limit:?}")]
    TimedOut {
        /// Which system.
        system: SystemId,
        /// The limit.
        limit: Duration,
    },
    /// A table or column of the mapping does not exist there (any more).
    #[error("`{system}` does not have what the mapping names: {reason}")]
    Shape {
        /// Which system.
        system: SystemId,
        /// What is missing.
        reason: String,
    },
    /// The budget of the system is used up.
    #[error("the budget of `{system}` is used up: {limit}")]
    Budget {
        /// Which system.
        system: SystemId,
        /// Which limit.
        limit: String,
    },
    /// An answer that cannot be understood or was cut short.
    #[error("could not read the answer of `{system}`: {reason}")]
    BadAnswer {
        /// Which system.
        system: SystemId,
        /// What was wrong.
        reason: String,
    },
    /// The stored cursor was made by another mapping or version.
    #[error("the stored position for `{system}` does not fit its mapping: {reason}")]
    Cursor {
        /// Which system.
        system: SystemId,
        /// What does not fit.
        reason: String,
    },
    /// Our index of the system's keys does not tell yet.
    #[error("`{system}` cannot be asked by key yet: {reason}")]
    Index {
        /// Which system.
        system: SystemId,
        /// Why.
        reason: String,
    },
}

impl ReadError {
    /// The system that could not be read.
    pub const fn system(&self) -> &SystemId {
        match self {
            Self::Unreachable { system, .. }
            | Self::Refused { system, .. }
            | Self::TimedOut { system, .. }
            | Self::Shape { system, .. }
            | Self::Budget { system, .. }
            | Self::BadAnswer { system, .. }
            | Self::Cursor { system, .. }
            | Self::Index { system, .. } => system,
        }
    }

    /// A word from a closed list, for metrics and the ledger.
    pub const fn reason_code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Refused { .. } => "refused",
            Self::TimedOut { .. } => "timed_out",
            Self::Shape { .. } => "shape",
            Self::Budget { .. } => "budget",
            Self::BadAnswer { .. } => "bad_answer",
            Self::Cursor { .. } => "cursor",
            Self::Index { .. } => "index",
        }
    }
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Works, with a risk.
    Warning,
    /// Does not work, or is not safe.
    Error,
}

/// One thing that `doctor` looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What was looked at: "clock", "grants", "by-key read of order".
    pub subject: String,
    /// What was found and, unless ok, what to do.
    pub message: String,
}
