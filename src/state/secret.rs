//! The secret of an installation: encrypts what state and spool hold of records, keys the ledger's hashes.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::{Rng, RngCore};

use crate::model::digest::DigestKey;

/// File in the data directory that holds the secret when the config gives none.
pub const SECRET_FILE: &str = "secret.key";

/// Why there is no usable secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Not 64 hexadecimal digits.
    #[error("the secret key must be 64 hexadecimal digits (32 bytes), as `openssl rand -hex 32` prints them")]
    Format,
    /// Others may read the file.
    #[error("`{0}` can be read by other users; run `chmod 600` on it")]
    Exposed(PathBuf),
    /// The file cannot be read or made.
    #[error("could not read or create the secret key `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// 32 secret bytes, from which a key for each purpose is derived. Cheap to clone; never printed.
#[derive(Clone)]
pub struct StateSecret([u8; 32]);

impl StateSecret {
    /// From 32 secret bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// From 64 hexadecimal digits, as the config and the key file write it.
    ///
    /// # Errors
    /// [`SecretError::Format`] when the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self, SecretError> {
        let digits = text.trim();
        if digits.len() != 64 || !digits.is_ascii() {
            return Err(SecretError::Format);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| SecretError::Format)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| SecretError::Format)?;
        }
        Ok(Self(bytes))
    }

    /// Read from [`SECRET_FILE`] in `data_dir`; made there, readable by its owner only, when absent.
    ///
    /// # Errors
    /// When the file cannot be read or made, others may read it, or it holds something else.
    pub fn in_dir(data_dir: &Path) -> Result<Self, SecretError> {
        let path = data_dir.join(SECRET_FILE);
        if !path.exists() {
            make(data_dir, &path).map_err(|source| SecretError::File { path: path.clone(), source })?;
        }
        let failed = |source| SecretError::File { path: path.clone(), source };
        let mode = std::fs::metadata(&path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(SecretError::Exposed(path));
        }
        Self::from_hex(&std::fs::read_to_string(&path).map_err(failed)?)
    }

    /// The key under which keys and values are hashed before they reach the ledger.
    pub fn digest_key(&self) -> DigestKey {
        DigestKey::new(blake3::derive_key("plumbline 2026 ledger digests", &self.0))
    }

    /// Encrypts rows of the state database.
    pub(crate) fn state_cipher(&self) -> Cipher {
        Cipher::new(blake3::derive_key("plumbline 2026 state payloads", &self.0))
    }

    /// Encrypts frames of the spool.
    pub(crate) fn spool_cipher(&self) -> Cipher {
        Cipher::new(blake3::derive_key("plumbline 2026 spool frames", &self.0))
    }

    /// Tells one secret from another without saying anything about it.
    pub(crate) fn fingerprint(&self) -> String {
        blake3::Hash::from_bytes(blake3::derive_key("plumbline 2026 fingerprint", &self.0)).to_hex()[..32].to_owned()
    }
}

impl fmt::Debug for StateSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateSecret(..)")
    }
}

/// Written aside and linked into place: a crash leaves the whole file or none, a second process never replaces it.
fn make(data_dir: &Path, path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(data_dir)?;
    let mut bytes = [0_u8; 32];
    rand::rng().fill(&mut bytes);
    let mut file = tempfile::NamedTempFile::new_in(data_dir)?;
    writeln!(file, "{}", blake3::Hash::from_bytes(bytes).to_hex())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => std::fs::File::open(data_dir)?.sync_all(),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

const NONCE: usize = 24;

/// XChaCha20-Poly1305 with a random nonce in front. The extended nonce is long enough to be drawn at random for
/// every row ever written.
#[derive(Clone)]
pub(crate) struct Cipher(XChaCha20Poly1305);

/// The bytes were not sealed under this key, or for this place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotOurs;

impl Cipher {
    fn new(key: [u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(&key.into()))
    }

    /// Encrypts `clear`; it opens only with the same `place`, so that rows cannot be swapped.
    pub(crate) fn seal(&self, place: &[u8], clear: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: clear, aad: place };
        // Encryption fails only for inputs beyond 256 GiB, which no caller can hold.
        let Ok(sealed) = self.0.encrypt(XNonce::from_slice(&nonce), payload) else {
            unreachable!("a payload of {} bytes was refused by the cipher", clear.len())
        };
        let mut out = Vec::with_capacity(NONCE + sealed.len());
        out.extend(nonce);
        out.extend(sealed);
        out
    }

    /// Decrypts what [`Cipher::seal`] made for the same `place`.
    pub(crate) fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, NotOurs> {
        let (nonce, body) = sealed.split_at_checked(NONCE).ok_or(NotOurs)?;
        let payload = Payload { msg: body, aad: place };
        self.0.decrypt(XNonce::from_slice(nonce), payload).map_err(|_| NotOurs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_open_only_at_their_place_and_with_their_secret() {
        let cipher = StateSecret::from_bytes([7; 32]).state_cipher();
        let sealed = cipher.seal(b"in_flight/a", b"bob@example.org");
        assert!(!sealed.windows(3).any(|part| part == b"bob"));
        assert_eq!(cipher.open(b"in_flight/a", &sealed), Ok(b"bob@example.org".to_vec()));
        assert_eq!(cipher.open(b"in_flight/b", &sealed), Err(NotOurs));
        assert_eq!(StateSecret::from_bytes([8; 32]).state_cipher().open(b"in_flight/a", &sealed), Err(NotOurs));
        assert_eq!(StateSecret::from_bytes([7; 32]).spool_cipher().open(b"in_flight/a", &sealed), Err(NotOurs));
        assert_eq!(cipher.open(b"in_flight/a", b"short"), Err(NotOurs));
    }

    #[test]
    fn the_key_file_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateSecret::in_dir(dir.path()).unwrap();
        let second = StateSecret::in_dir(dir.path()).unwrap();
        assert_eq!(first.fingerprint(), second.fingerprint());
        let path = dir.path().join(SECRET_FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(StateSecret::in_dir(dir.path()), Err(SecretError::Exposed(_))));
    }

    #[test]
    fn anything_but_64_hex_digits_is_refused() {
        for text in ["", "abc", &"g".repeat(64), &"é".repeat(32), &"0".repeat(66)] {
            assert!(matches!(StateSecret::from_hex(text), Err(SecretError::Format)), "`{text}`");
        }
        assert!(StateSecret::from_hex(&format!("{}\n", "0aF9".repeat(16))).is_ok());
    }
}
