//! Blocks that ClickHouse refuses for good. They are kept with the reason until a person has looked at them.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::block::LedgerRow;
use crate::ledger::LedgerError;
use crate::ledger::spool::sync_dir;

#[derive(Serialize)]
struct DeadLetter<'a, T> {
    token: &'a str,
    table: &'a str,
    code: Option<u32>,
    reason: String,
    rows: &'a [T],
}

/// A directory with one JSON file for each refused block.
#[derive(Clone, Debug)]
pub(super) struct DeadLetters(PathBuf);

impl DeadLetters {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self(dir)
    }

    /// Whether the block of `token` was put here before.
    pub(super) fn holds(&self, token: &str) -> bool {
        self.path(token).exists()
    }

    /// Puts a block away, durably.
    pub(super) fn put<T: LedgerRow>(&self, token: &str, rows: &[T], error: &LedgerError) -> io::Result<PathBuf> {
        std::fs::create_dir_all(&self.0)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
        let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        let letter = DeadLetter { token, table: T::TABLE, code: error.code(), reason, rows };
        serde_json::to_writer(io::BufWriter::new(&mut file), &letter)?;
        file.flush()?;
        file.as_file().sync_all()?;
        let path = self.path(token);
        file.persist(&path).map_err(|error| error.error)?;
        sync_dir(&self.0)?;
        self.0.parent().map_or(Ok(()), sync_dir)?;
        Ok(path)
    }

    /// How many blocks are here.
    pub(super) fn count(&self) -> usize {
        let is_letter = |path: PathBuf| path.extension().is_some_and(|extension| extension == "json");
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        entries.filter(|entry| is_letter(entry.path())).count()
    }

    fn path(&self, token: &str) -> PathBuf {
        let name = token.replace('/', "-");
        Path::new(&self.0).join(format!("{name}.json"))
    }
}
