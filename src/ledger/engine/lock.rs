//! One engine per data directory.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Held while this process uses the directory. The system frees it when the process dies, however it dies.
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the directory.
    ///
    /// # Errors
    /// When another process has it; the text names its process id.
    pub fn take(dir: &Path) -> Result<Self> {
        let path = dir.join("engine.lock");
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.with_context(|| format!("cannot open `{}`", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                file.read_to_string(&mut owner)?;
                bail!("the engine of process `{}` uses `{}` already", owner.trim(), dir.display());
            }
            Err(TryLockError::Error(error)) => return Err(error).context(format!("cannot lock `{}`", path.display())),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_engine() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::take(dir.path()).unwrap();
        let refused = DirectoryLock::take(dir.path()).err().unwrap().to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(lock);
        assert!(DirectoryLock::take(dir.path()).is_ok());
    }
}
