//! Segment files: names, order, and durable creation, repair and removal.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use uuid::Uuid;

use crate::fault;

/// Names a segment in the directory, in the ledger's deduplication tokens and in dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// Grows by one with each segment of a spool: the order of replay.
    pub number: u64,
    /// Makes the name unlike that of any other spool's segment.
    pub unique: Uuid,
}

const SUFFIX: &str = ".spool";

impl SegmentId {
    pub(super) fn new(number: u64) -> Self {
        Self { number, unique: Uuid::new_v4() }
    }

    pub(super) fn path(self, dir: &Path) -> PathBuf {
        dir.join(format!("{self}{SUFFIX}"))
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}-{}", self.number, self.unique.simple())
    }
}

impl FromStr for SegmentId {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let (number, unique) = name.split_once('-').ok_or(())?;
        Ok(Self { number: number.parse().map_err(|_| ())?, unique: unique.parse().map_err(|_| ())? })
    }
}

/// The segments in `dir`, in order. Files with other names are not ours.
pub(super) fn list(dir: &Path) -> io::Result<Vec<SegmentId>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let id: Option<SegmentId> =
            name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).and_then(|name| name.parse().ok());
        found.extend(id);
    }
    found.sort();
    Ok(found)
}

/// A name in a directory is durable once the directory is.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Removes a segment so that it stays removed.
pub(super) fn remove(dir: &Path, id: SegmentId) -> io::Result<()> {
    match std::fs::remove_file(id.path(dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fault::point("ship.deleted");
    sync_dir(dir)?;
    fault::point("ship.synced");
    Ok(())
}

/// The segment that is being written.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub(super) id: SegmentId,
    file: File,
    /// Bytes known to be on disk; what lies beyond was never acknowledged.
    durable: u64,
    /// A failed append is still in the file. Nothing more may be written before it is cut off: after a restart it
    /// would come back to life in front of what was written later.
    damaged: bool,
}

impl OpenSegment {
    pub(super) fn create(dir: &Path, id: SegmentId) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).open(id.path(dir))?;
        sync_dir(dir)?;
        fault::point("spool.created");
        Ok(Self { id, file, durable: 0, damaged: false })
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// Appends `frames` and makes them durable, or leaves the segment as it was.
    pub(super) fn append(&mut self, frames: &[Vec<u8>]) -> io::Result<()> {
        if self.damaged {
            self.cut()?;
        }
        self.damaged = true;
        if let Err(error) = self.write_and_sync(frames) {
            // The first error is the one to report; a cut that fails too is tried again before the next append.
            drop(self.cut());
            return Err(error);
        }
        self.damaged = false;
        self.durable += frames.iter().map(|frame| frame.len() as u64).sum::<u64>();
        Ok(())
    }

    /// Whether it may be sealed: nothing in the file but what was acknowledged.
    pub(super) fn mend(&mut self) -> bool {
        !self.damaged || self.cut().is_ok()
    }

    fn write_and_sync(&mut self, frames: &[Vec<u8>]) -> io::Result<()> {
        for frame in frames {
            self.file.write_all(frame)?;
        }
        fault::point("spool.written");
        self.file.sync_data()?;
        fault::point("spool.synced");
        Ok(())
    }

    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.durable)?;
        self.file.sync_all()?;
        self.damaged = false;
        Ok(())
    }
}
