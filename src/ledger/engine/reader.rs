//! How commands read the ledger of a running auditor: one process has the engine's directory, and leaves beside the tables
//! where it takes questions and with which login one may read. The file is its owner's alone, and the login ends with the
//! process: a file that a killed one left behind opens nothing.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::auth::Login;

const FILE: &str = "reader.json";

/// Where a running engine takes questions, and the login that may only read.
#[derive(Clone, Debug)]
pub struct ReaderAccess {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// Name and password.
    pub login: Login,
}

/// The form of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    url: String,
    user: String,
    password: String,
}

impl ReaderAccess {
    /// What the engine on this directory has left; `None` when none has.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn find(data_dir: &Path) -> io::Result<Option<Self>> {
        let text = match std::fs::read_to_string(data_dir.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Stored { url, user, password } = serde_json::from_str(&text)
            .map_err(|_| io::Error::new(ErrorKind::InvalidData, "it does not hold a login"))?;
        Ok(Some(Self { url, login: Login { user, password: SecretString::from(password) } }))
    }

    /// Leaves it for others, all of it or nothing.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub(super) fn leave(&self, data_dir: &Path) -> io::Result<()> {
        let Login { user, password } = &self.login;
        let stored =
            Stored { url: self.url.clone(), user: user.clone(), password: password.expose_secret().to_owned() };
        let text = serde_json::to_string(&stored).map_err(io::Error::other)?;
        let fresh = data_dir.join(format!("{FILE}.new"));
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(fresh, data_dir.join(FILE))
    }

    /// Takes back what was left; what cannot be is of no use to anybody.
    pub(super) fn take_back(data_dir: &Path) {
        let path: PathBuf = data_dir.join(FILE);
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::debug!(%error, "`{}` stays: {error}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_left_is_found_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert!(ReaderAccess::find(dir.path()).unwrap().is_none());
        let login = Login { user: "reader".to_owned(), password: SecretString::from("a\"b") };
        let access = ReaderAccess { url: "http://127.0.0.1:8123".to_owned(), login };
        access.leave(dir.path()).unwrap();
        access.leave(dir.path()).unwrap();
        let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let found = ReaderAccess::find(dir.path()).unwrap().unwrap();
        assert_eq!((found.url.as_str(), found.login.password.expose_secret()), ("http://127.0.0.1:8123", "a\"b"));
        ReaderAccess::take_back(dir.path());
        assert!(ReaderAccess::find(dir.path()).unwrap().is_none());
        std::fs::write(dir.path().join(FILE), "{\"password\": 5}").unwrap();
        assert!(!ReaderAccess::find(dir.path()).unwrap_err().to_string().contains('5'));
    }
}
