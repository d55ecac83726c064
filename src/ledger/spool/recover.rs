//! What a spool does at its start: cut a torn tail, seal, apply what was not applied, in order.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use uuid::Uuid;

use super::frame::{self, Entry};
use super::segment::{self, SegmentId, sync_dir};
use super::{Began, Fate, ReadySegment, Registry, SegmentEntry, Shared, SpoolError, SpoolOptions, blocking};
use crate::fault;
use crate::ledger::rows::RunRows;
use crate::state::change::StateChange;
use crate::state::{Applied, StateStore};

/// What was found at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Segments that an earlier process left.
    pub segments: usize,
    /// Runs in them whose change was applied now.
    pub applied: usize,
    /// Runs whose change had been applied.
    pub already: usize,
    /// Runs that never happened: fenced off, or taken back.
    pub dropped: usize,
    /// Bytes of unfinished writes that were cut off. Nobody was told that they were safe.
    pub torn_bytes: u64,
    /// Copies of segments whose middle cannot be read: the disk lost data that had been written safely.
    pub damaged: Vec<PathBuf>,
    pub(super) next_number: u64,
}

/// A segment as found on disk.
struct Found {
    id: SegmentId,
    entries: Vec<Entry>,
    bytes: u64,
    /// Since it was last written.
    age: Duration,
}

pub(super) async fn open(
    dir: &Path,
    options: SpoolOptions,
    state: &StateStore,
) -> Result<(Arc<Shared>, Recovered), SpoolError> {
    let own_dir = dir.to_owned();
    let (lock, id, found, mut recovered) = blocking(move || {
        let failed = SpoolError::file("open the spool", &own_dir);
        make_dir(&own_dir).map_err(&failed)?;
        let lock = lock(&own_dir)?;
        let id = spool_id(&own_dir).map_err(&failed)?;
        let (found, recovered) = find(&own_dir, &lock).map_err(&failed)?;
        fault::point("recover.truncated");
        Ok((lock, id, found, recovered))
    })
    .await?;
    let shared = Shared {
        dir: dir.to_owned(),
        options,
        state: state.clone(),
        id,
        registry: Mutex::new(Registry::default()),
        changed: Notify::new(),
        _lock: lock,
    };
    let shared = Arc::new(shared);
    apply_all(&shared, found, &mut recovered).await?;
    Ok((shared, recovered))
}

fn make_dir(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    sync_dir(dir)?;
    dir.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_dir)
}

fn lock(dir: &Path) -> Result<File, SpoolError> {
    let failed = SpoolError::file("lock the spool", dir);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(dir.join("lock")).map_err(&failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SpoolError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// A name that stays with the directory.
fn spool_id(dir: &Path) -> io::Result<String> {
    let path = dir.join("id");
    if let Ok(id) = std::fs::read_to_string(&path)
        && let Ok(id) = id.trim().parse::<Uuid>()
    {
        return Ok(id.to_string());
    }
    let id = Uuid::new_v4().to_string();
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    writeln!(file, "{id}")?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    sync_dir(dir)?;
    Ok(id)
}

fn find(dir: &Path, lock: &File) -> io::Result<(Vec<Found>, Recovered)> {
    let now = file_system_now(lock)?;
    let ids = segment::list(dir)?;
    let mut recovered = Recovered {
        segments: ids.len(),
        next_number: ids.last().map_or(1, |last| last.number + 1),
        ..Recovered::default()
    };
    let mut found = Vec::with_capacity(ids.len());
    for (position, id) in ids.iter().enumerate() {
        let path = id.path(dir);
        let written = std::fs::metadata(&path)?.modified()?;
        let bytes = std::fs::read(&path)?;
        let (entries, end) = frame::scan(&bytes);
        if end < bytes.len() {
            let open = position + 1 == ids.len();
            if !open {
                recovered.damaged.push(keep_copy(dir, *id)?);
            }
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(end as u64)?;
            file.sync_all()?;
            recovered.torn_bytes += (bytes.len() - end) as u64;
        }
        let age = now.duration_since(written).unwrap_or_default();
        found.push(Found { id: *id, entries, bytes: end as u64, age });
    }
    Ok((found, recovered))
}

/// Now, by the clock that stamps the segments.
fn file_system_now(mut lock: &File) -> io::Result<SystemTime> {
    lock.set_len(0)?;
    writeln!(lock, "{}", std::process::id())?;
    lock.metadata()?.modified()
}

/// Only the last segment was open when its process ended; a hole in another one is the disk's doing.
fn keep_copy(dir: &Path, id: SegmentId) -> io::Result<PathBuf> {
    let copy = dir.join(format!("{id}.damaged"));
    std::fs::copy(id.path(dir), &copy)?;
    File::open(&copy)?.sync_all()?;
    sync_dir(dir)?;
    tracing::error!("segment `{id}` is damaged; a copy is kept as `{}`", copy.display());
    Ok(copy)
}

async fn apply_all(shared: &Arc<Shared>, found: Vec<Found>, recovered: &mut Recovered) -> Result<(), SpoolError> {
    let discarded: HashSet<Uuid> = found.iter().flat_map(|found| &found.entries).filter_map(discarded).collect();
    let mut present = HashSet::new();
    for Found { id, entries, bytes, age } in found {
        let mut runs = Vec::with_capacity(entries.len());
        for (run_id, change) in changes(shared, id, entries).await? {
            present.insert(run_id);
            let fate = if discarded.contains(&run_id) { None } else { Some(apply(shared, &change).await?) };
            match fate {
                Some(Applied::Now) => recovered.applied += 1,
                Some(Applied::Already) => recovered.already += 1,
                Some(Applied::Fenced) | None => recovered.dropped += 1,
            }
            runs.push((run_id, fate.map_or(Fate::Drop, Fate::from)));
        }
        let mut registry = shared.registry();
        registry.bytes += bytes;
        let began = Began::Before(age, Instant::now());
        registry.segments.push_back(SegmentEntry { id, began, sealed: true, bytes, runs });
    }
    forget_others(shared, &present).await
}

fn discarded(entry: &Entry) -> Option<Uuid> {
    match entry {
        Entry::Discard { run_id } => Some(*run_id),
        Entry::Run { .. } => None,
    }
}

async fn apply(shared: &Shared, change: &StateChange) -> Result<Applied, SpoolError> {
    let applied = shared.state.apply_from(&shared.id, change).await.map_err(SpoolError::State)?;
    fault::point("recover.applied");
    Ok(applied)
}

/// A crash between the removal of a segment and the forgetting of its runs leaves these behind.
async fn forget_others(shared: &Shared, present: &HashSet<Uuid>) -> Result<(), SpoolError> {
    let mut known = shared.state.runs_of(&shared.id).await.map_err(SpoolError::State)?;
    known.retain(|run_id| !present.contains(run_id));
    shared.state.forget_runs(&known).await.map_err(SpoolError::State)?;
    fault::point("recover.forgotten");
    Ok(())
}

async fn changes(
    shared: &Arc<Shared>,
    id: SegmentId,
    entries: Vec<Entry>,
) -> Result<Vec<(Uuid, StateChange)>, SpoolError> {
    let shared = Arc::clone(shared);
    blocking(move || {
        let runs = decode(&shared, id, &entries)?;
        Ok(runs.into_iter().map(|(run_id, change, _)| (run_id, change)).collect())
    })
    .await
}

fn decode(shared: &Shared, id: SegmentId, entries: &[Entry]) -> Result<Vec<(Uuid, StateChange, RunRows)>, SpoolError> {
    let path = id.path(&shared.dir);
    let bytes = std::fs::read(&path).map_err(SpoolError::file("read a segment", &shared.dir))?;
    decode_bytes(shared, &path, &bytes, entries)
}

fn decode_bytes(
    shared: &Shared,
    path: &Path,
    bytes: &[u8],
    entries: &[Entry],
) -> Result<Vec<(Uuid, StateChange, RunRows)>, SpoolError> {
    let cipher = shared.state.secret().spool_cipher();
    let mut runs = Vec::with_capacity(entries.len());
    for entry in entries {
        let Entry::Run { run_id, offset, length } = *entry else { continue };
        let body = bytes.get(offset..offset + length).unwrap_or_default();
        let (change, rows) = frame::decode(&cipher, run_id, body)
            .map_err(|source| SpoolError::Frame { path: path.to_owned(), source })?;
        runs.push((run_id, change, rows));
    }
    Ok(runs)
}

/// The rows of the runs of a sealed segment that belong to the ledger.
pub(super) fn read_rows(shared: &Shared, segment: &ReadySegment) -> Result<Vec<RunRows>, SpoolError> {
    let path = segment.id.path(&shared.dir);
    let bytes = std::fs::read(&path).map_err(SpoolError::file("read a segment", &shared.dir))?;
    let (entries, _) = frame::scan(&bytes);
    let shipped: HashSet<Uuid> = segment.runs.iter().filter(|(_, ship)| *ship).map(|(run_id, _)| *run_id).collect();
    let wanted: Vec<Entry> = entries
        .into_iter()
        .filter(|entry| matches!(entry, Entry::Run { run_id, .. } if shipped.contains(run_id)))
        .collect();
    let runs = decode_bytes(shared, &path, &bytes, &wanted)?;
    Ok(runs.into_iter().map(|(_, _, rows)| rows).collect())
}
