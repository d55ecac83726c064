//! The spool: a run's rows, its state change and a commit record as one fsynced unit.
//!
//! [`Spool::commit`] appends one frame (concurrent commits share an fsync), then applies the state change. A crash
//! before the fsync: the run never happened. After it: the restart applies what was not applied, in order, and the
//! rows are shipped. So no row is lost, and no position is ahead of its rows. The rows of a frame belong to the
//! ledger if and only if its state change was applied.
//!
//! Segments are sealed by size or age; the [`Shipper`](super::Shipper) takes sealed segments in order, whose frames
//! are all decided. One process owns a spool directory.

mod frame;
mod recover;
mod segment;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use frame::FrameError;
pub use recover::Recovered;
pub use segment::SegmentId;
pub(crate) use segment::sync_dir;

use super::rows::RunRows;
use crate::retry::Decision;
use crate::state::change::StateChange;
use crate::state::{Applied, StateError, StateStore};

/// How a spool is kept.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// Bytes on disk beyond which commits wait for the shipper.
    pub max_bytes: u64,
    /// A segment of this size is sealed.
    pub segment_bytes: u64,
    /// A segment of this age is sealed.
    pub segment_age: Duration,
}

impl SpoolOptions {
    /// At most `max_bytes`; segments of 16 MiB or 1 second.
    pub fn new(max_bytes: u64) -> Self {
        Self { max_bytes, segment_bytes: 16 << 20, segment_age: Duration::from_secs(1) }
    }
}

/// Why a run could not be committed, or a spool not opened.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process owns the directory.
    #[error("the spool `{0}` is in use by another process")]
    InUse(PathBuf),
    /// No space left. Nothing of the run was kept; try again when there is space.
    #[error("no space left for the spool `{dir}`; free some, the run is repeated")]
    Full {
        /// The spool.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file system failed.
    #[error("could not {action} in the spool `{dir}`")]
    File {
        /// What was attempted.
        action: &'static str,
        /// The spool.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A whole frame that cannot be read.
    #[error("a run in `{path}` cannot be read")]
    Frame {
        /// The segment.
        path: PathBuf,
        /// Why.
        #[source]
        source: FrameError,
    },
    /// A run beyond the largest frame.
    #[error("a run of {bytes} bytes is too large for the spool; lower its rows per run")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A run that cannot be written as bytes.
    #[error("a run could not be encoded")]
    Encode(#[source] postcard::Error),
    /// The state database refuses the change for good. The run never happened.
    #[error("the state database refused the run")]
    State(#[source] StateError),
    /// The spool is being shut down. Whether the run happened is decided at the next start.
    #[error("the spool is closed")]
    Closed,
}

impl SpoolError {
    fn file(action: &'static str, dir: &Path) -> impl Fn(io::Error) -> Self {
        move |source| {
            let dir = dir.to_owned();
            match source.kind() {
                // A file over its limit is what a quota or `RLIMIT_FSIZE` makes of a full disk.
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    Self::Full { dir, source }
                }
                _ => Self::File { action, dir, source },
            }
        }
    }

    /// Whether the run may succeed when it is repeated.
    pub fn decision(&self) -> Decision {
        match self {
            Self::Full { .. } | Self::File { .. } => Decision::Retry,
            Self::State(error) => error.decision(),
            Self::InUse(_) | Self::Frame { .. } | Self::TooLarge { .. } | Self::Encode(_) | Self::Closed => {
                Decision::Fail
            }
        }
    }
}

/// How full the spool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolStatus {
    /// Bytes on disk or about to be.
    pub bytes: u64,
    /// Segments not yet shipped, the open one included.
    pub segments: usize,
    /// Age of the oldest of them.
    pub oldest_age: Duration,
    /// Commits that wait because the spool is full.
    pub waiting: usize,
}

/// A spool directory and the tasks that write it. Cheap to clone; the tasks end with the last clone.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    _tasks: Arc<Tasks>,
}

struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// What the writer, the applier and the shipper share.
struct Shared {
    dir: PathBuf,
    options: SpoolOptions,
    state: StateStore,
    /// Names this directory in the state database's list of applied runs.
    id: String,
    registry: Mutex<Registry>,
    /// Rung when a segment may have become ready, or bytes free.
    changed: Notify,
    /// Held for as long as the spool is open.
    _lock: File,
}

#[derive(Default)]
struct Registry {
    bytes: u64,
    waiting: usize,
    segments: VecDeque<SegmentEntry>,
}

struct SegmentEntry {
    id: SegmentId,
    began: Began,
    sealed: bool,
    bytes: u64,
    runs: Vec<(Uuid, Fate)>,
}

impl SegmentEntry {
    fn ready(&self) -> Option<ReadySegment> {
        let decided = self.runs.iter().all(|(_, fate)| *fate != Fate::Undecided);
        (self.sealed && decided).then(|| ReadySegment {
            id: self.id,
            began: self.began,
            runs: self.runs.iter().map(|(run_id, fate)| (*run_id, *fate == Fate::Ship)).collect(),
        })
    }
}

/// When a segment's first frame was written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Began {
    /// By this process.
    Here(Instant),
    /// By an earlier one: the segment had this age when the spool was opened.
    Before(Duration, Instant),
}

impl Began {
    fn age(self) -> Duration {
        match self {
            Self::Here(since) => since.elapsed(),
            Self::Before(age, since) => age + since.elapsed(),
        }
    }
}

/// What becomes of a frame's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Undecided,
    Ship,
    Drop,
}

impl From<Applied> for Fate {
    fn from(applied: Applied) -> Self {
        match applied {
            Applied::Now | Applied::Already => Self::Ship,
            Applied::Fenced => Self::Drop,
        }
    }
}

enum Job {
    Commit { frame: Vec<u8>, change: Box<StateChange>, room: Room, reply: oneshot::Sender<Result<Applied, SpoolError>> },
    Discard { run_id: Uuid, reply: oneshot::Sender<Result<(), SpoolError>> },
    Seal { reply: oneshot::Sender<()> },
}

/// A sealed segment whose runs are all decided.
#[derive(Clone, Debug)]
pub(crate) struct ReadySegment {
    pub(crate) id: SegmentId,
    began: Began,
    /// All runs, and whether their rows belong to the ledger.
    pub(crate) runs: Vec<(Uuid, bool)>,
}

impl ReadySegment {
    /// No part of it can have been shipped longer ago than this.
    pub(crate) fn age(&self) -> Duration {
        self.began.age()
    }
}

impl Spool {
    /// Opens `dir` (made when absent), cuts off a torn tail, seals what is there and applies to `state`, in order,
    /// what was not applied. Take leases only after this: a new token would fence off one's own spooled runs.
    ///
    /// # Errors
    /// When another process owns the directory, a file cannot be read or written, a frame was written under
    /// another secret or by another release, or the state database does not answer.
    pub async fn open(dir: &Path, options: SpoolOptions, state: &StateStore) -> Result<(Self, Recovered), SpoolError> {
        let (shared, recovered) = recover::open(dir, options, state).await?;
        let (jobs, inbox) = mpsc::channel(64);
        let (undecided, to_apply) = mpsc::unbounded_channel();
        let next = recovered.next_number;
        let tasks = vec![
            tokio::spawn(writer::write(Arc::clone(&shared), inbox, undecided, next)),
            tokio::spawn(writer::apply(Arc::clone(&shared), to_apply, jobs.downgrade())),
        ];
        Ok((Self { shared, jobs, _tasks: Arc::new(Tasks(tasks)) }, recovered))
    }

    /// Makes a run durable and applies its change: all of it or nothing. Waits while the spool is full, and while
    /// the state database is away. When the call is dropped half-way, the run still happens or not as a whole.
    ///
    /// # Errors
    /// Any error but [`SpoolError::Closed`] means that the run never happened.
    pub async fn commit(&self, change: StateChange, rows: &RunRows) -> Result<Applied, SpoolError> {
        let frame = frame::encode(&self.shared.state.secret().spool_cipher(), &change, rows)?;
        let room = self.reserve(frame.len() as u64).await;
        let (reply, answer) = oneshot::channel();
        let job = Job::Commit { frame, change: Box::new(change), room, reply };
        if self.jobs.send(job).await.is_err() {
            return Err(SpoolError::Closed);
        }
        answer.await.map_err(|_| SpoolError::Closed)?
    }

    /// Seals the open segment now, so that the shipper can take it.
    pub async fn seal(&self) {
        let (reply, done) = oneshot::channel();
        if self.jobs.send(Job::Seal { reply }).await.is_ok() {
            // An error means that the writer is gone, and with it the open segment.
            drop(done.await);
        }
    }

    /// How full it is.
    pub fn status(&self) -> SpoolStatus {
        let registry = self.shared.registry();
        SpoolStatus {
            bytes: registry.bytes,
            segments: registry.segments.len(),
            oldest_age: registry.segments.front().map_or(Duration::ZERO, |segment| segment.began.age()),
            waiting: registry.waiting,
        }
    }

    /// The oldest segment, if it is sealed and all its runs are decided.
    pub(crate) fn ready(&self) -> Option<ReadySegment> {
        self.shared.registry().segments.front()?.ready()
    }

    /// All segments that are there now.
    pub(crate) fn segment_ids(&self) -> HashSet<SegmentId> {
        self.shared.registry().segments.iter().map(|segment| segment.id).collect()
    }

    /// The segment after `id`, if it is sealed and all its runs are decided.
    pub(crate) fn ready_after(&self, id: SegmentId) -> Option<ReadySegment> {
        self.shared.registry().segments.iter().find(|segment| segment.id > id)?.ready()
    }

    /// Resolves when something changes after this call: a segment may be ready.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.shared.changed.notified()
    }

    /// The rows of the runs of `segment` that belong to the ledger, in order.
    pub(crate) async fn read(&self, segment: &ReadySegment) -> Result<Vec<RunRows>, SpoolError> {
        let shared = Arc::clone(&self.shared);
        let segment = segment.clone();
        blocking(move || recover::read_rows(&shared, &segment)).await
    }

    /// Removes a shipped segment, durably, and forgets its runs.
    pub(crate) async fn remove(&self, ready: &ReadySegment) -> Result<(), SpoolError> {
        let shared = Arc::clone(&self.shared);
        let id = ready.id;
        blocking(move || segment::remove(&shared.dir, id).map_err(SpoolError::file("remove a segment", &shared.dir)))
            .await?;
        self.shared.forget_segment(id);
        let run_ids: Vec<Uuid> = ready.runs.iter().map(|(run_id, _)| *run_id).collect();
        self.shared.state.forget_runs(&run_ids).await.map_err(SpoolError::State)
    }

    /// Where the spool lies.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    async fn reserve(&self, bytes: u64) -> Room {
        let mut waiting = Waiting { shared: &self.shared, counted: false };
        loop {
            let changed = self.shared.changed.notified();
            if self.shared.take_room(bytes) {
                return Room { shared: Arc::clone(&self.shared), bytes };
            }
            waiting.count();
            changed.await;
        }
    }
}

/// Counts a commit as waiting until it has its room, or is dropped.
struct Waiting<'a> {
    shared: &'a Shared,
    counted: bool,
}

impl Waiting<'_> {
    fn count(&mut self) {
        if !self.counted {
            self.counted = true;
            self.shared.registry().waiting += 1;
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.counted {
            self.shared.registry().waiting -= 1;
        }
    }
}

/// Bytes set aside for a frame; free again when dropped, unless the frame was written.
struct Room {
    shared: Arc<Shared>,
    bytes: u64,
}

impl Room {
    /// The bytes now belong to a segment.
    fn used(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.shared.free(self.bytes);
        }
    }
}

impl Shared {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        // Nothing panics while it is held; counts and lists stay whole even if something did.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run larger than the whole spool passes when it is alone.
    fn take_room(&self, bytes: u64) -> bool {
        let mut registry = self.registry();
        let fits = registry.bytes == 0 || registry.bytes + bytes <= self.options.max_bytes;
        if fits {
            registry.bytes += bytes;
        }
        fits
    }

    fn free(&self, bytes: u64) {
        let mut registry = self.registry();
        registry.bytes = registry.bytes.saturating_sub(bytes);
        drop(registry);
        self.changed.notify_waiters();
    }

    fn forget_segment(&self, id: SegmentId) {
        let mut registry = self.registry();
        if let Some(position) = registry.segments.iter().position(|segment| segment.id == id)
            && let Some(gone) = registry.segments.remove(position)
        {
            registry.bytes = registry.bytes.saturating_sub(gone.bytes);
        }
        drop(registry);
        self.changed.notify_waiters();
    }

    fn decide(&self, id: SegmentId, run_id: Uuid, fate: Fate) {
        let mut registry = self.registry();
        let segment = registry.segments.iter_mut().find(|segment| segment.id == id);
        let run = segment.and_then(|segment| segment.runs.iter_mut().find(|(known, _)| *known == run_id));
        if let Some((_, decided)) = run {
            *decided = fate;
        }
        drop(registry);
        self.changed.notify_waiters();
    }
}

/// File work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, SpoolError> {
    // A join error means a panic or a shut-down runtime: in both cases there is no spool any more.
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(SpoolError::Closed))
}
