//! The users' names and passwords as they reach the engine's process: a file, or the first line of its input. Never
//! its arguments, which other users of the machine can read.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::auth::{Login, Users};

/// The format of the file (TOML) and of the line (JSON).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logins {
    writer: Entry,
    reader: Option<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    user: String,
    password: String,
}

impl Logins {
    /// Of these users.
    pub fn from_users(users: &Users) -> Self {
        Self { writer: Entry::of(&users.writer), reader: users.reader.as_ref().map(Entry::of) }
    }

    /// One line of JSON.
    pub fn to_line(&self) -> String {
        // A struct of strings always has a JSON form.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// From one line of JSON.
    ///
    /// # Errors
    /// When it is not such a line. The text does not show it.
    pub fn from_line(line: &str) -> Result<Users> {
        let logins: Self =
            serde_json::from_str(line).ok().context("the first line of the input does not hold the logins")?;
        Ok(logins.users())
    }

    /// From a TOML file with `[writer]` and, if wanted, `[reader]`, each with `user` and `password`.
    ///
    /// # Errors
    /// When others can read the file, or it is not as said.
    pub fn from_file(path: &Path) -> Result<Users> {
        let shown = path.display();
        let metadata = std::fs::metadata(path).with_context(|| format!("cannot read `{shown}`"))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            bail!("others can read `{shown}`: run `chmod 600` on it");
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{shown}`"))?;
        let logins: Self = toml::from_str(&text).ok().with_context(|| {
            format!("`{shown}` must hold `[writer]` and may hold `[reader]`, each with `user` and `password`")
        })?;
        Ok(logins.users())
    }

    fn users(self) -> Users {
        Users { writer: self.writer.login(), reader: self.reader.map(Entry::login) }
    }
}

impl Entry {
    fn of(login: &Login) -> Self {
        Self { user: login.user.clone(), password: login.password.expose_secret().to_owned() }
    }

    fn login(self) -> Login {
        Login { user: self.user, password: self.password.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(mode: u32, text: &str) -> Result<Users> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        Logins::from_file(file.path())
    }

    #[test]
    fn a_file_must_be_private() {
        let text = "[writer]\nuser = \"w\"\npassword = \"x\"\n";
        assert_eq!(file(0o600, text).unwrap().writer.user, "w");
        assert!(file(0o640, text).unwrap_err().to_string().contains("chmod 600"));
        let wrong = file(0o600, "[writer]\nuser = \"w\"\npassword = 5\n").unwrap_err();
        assert!(format!("{wrong:#}").contains("must hold `[writer]`"));
    }

    #[test]
    fn a_line_carries_what_was_given() {
        let users = Logins::from_line(r#"{"writer":{"user":"w","password":"a\"b"},"reader":null}"#).unwrap();
        let again = Logins::from_line(&Logins::from_users(&users).to_line()).unwrap();
        assert_eq!(again.writer.password.expose_secret(), "a\"b");
        assert!(!Logins::from_line("secret").unwrap_err().to_string().contains("secret"));
    }
}
