//! The master key: 32 random bytes in a file that only its owner reads, made at the first start. What
//! seals is never the key itself but what HKDF (RFC 5869) derives from it.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

/// The file's name in the vault's folder.
pub(crate) const FILE: &str = "master-key.json";

/// The length of a key, in bytes.
pub(crate) const LENGTH: usize = 32;

/// The form of the file that this version writes and reads.
const VERSION: u32 = 1;

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MasterKeyError {
    /// The file could not be read or written.
    #[error("{attempt} the master key file {}", path.display())]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file is there and does not hold a key.
    #[error(
        "read the master key file {}: it must hold version 1 and a key of 64 hexadecimal digits as \
         JSON. Restore it from a backup: without it nothing in the vault can be read", path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The vault has values and its key is gone.
    #[error(
        "find the master key file {}: the vault beside it was sealed with it. Restore it from a \
         backup, or move the vault's folder away to begin with an empty one", path.display()
    )]
    Lost {
        /// Where the file has to be.
        path: PathBuf,
    },
    /// The file holds another vault's key.
    #[error(
        "use the master key file {}: the vault beside it was sealed with another key. Restore the \
         one that belongs to it", path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The operating system gave no random bytes.
    #[error("make a master key: the operating system gives no random bytes")]
    NoRandomness,
}

/// The master key. `Debug` does not show it, and it is wiped when it is dropped.
pub(crate) struct MasterKey(Zeroizing<[u8; LENGTH]>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// The file's content.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    key: String,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// For what a key is derived. The words are part of what is on disk: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Wrapping the keys of values.
    Wrap,
    /// Telling whether this is the key of this vault, without telling the key.
    Fingerprint,
}

impl Purpose {
    const fn info(self) -> &'static [u8] {
        match self {
            Self::Wrap => b"wharf vault 1: wrap data keys",
            Self::Fingerprint => b"wharf vault 1: fingerprint",
        }
    }
}

impl MasterKey {
    /// The key in `dir`, if there is one. A file that others may read is made private.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>, MasterKeyError> {
        let path = dir.join(FILE);
        let failed = |attempt| {
            let path = path.clone();
            move |source| MasterKeyError::Io { attempt, path, source }
        };
        let bytes = match fs::read(&path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read")(error)),
        };
        restrict(&path).map_err(failed("restrict the mode of"))?;
        let malformed = || MasterKeyError::Malformed { path: path.clone() };
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
        let mut key = Zeroizing::new([0; LENGTH]);
        hex::decode_to_slice(stored.key.as_bytes(), key.as_mut()).map_err(|_| malformed())?;
        if stored.version == VERSION { Ok(Some(Self(key))) } else { Err(malformed()) }
    }

    /// Makes a key in `dir` and stores it durably, for its owner only.
    pub(crate) fn create(dir: &Path) -> Result<Self, MasterKeyError> {
        let path = dir.join(FILE);
        let mut key = Zeroizing::new([0; LENGTH]);
        SystemRandom::new().fill(key.as_mut()).map_err(|_| MasterKeyError::NoRandomness)?;
        let stored = Stored { version: VERSION, key: hex::encode(key.as_ref()) };
        let write = || -> io::Result<()> {
            let mut text = Zeroizing::new(serde_json::to_vec(&stored)?);
            text.push(b'\n');
            // What a start that was killed left here is no key yet.
            let temporary = dir.join(format!(".{FILE}.new"));
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            restrict(&temporary)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(|source| MasterKeyError::Io { attempt: "write", path, source })?;
        Ok(Self(key))
    }

    /// What HKDF-SHA256 derives for a purpose.
    pub(crate) fn derive(&self, purpose: Purpose) -> Zeroizing<[u8; LENGTH]> {
        let pseudorandom = Salt::new(HKDF_SHA256, &[]).extract(self.0.as_ref());
        let mut key = Zeroizing::new([0; LENGTH]);
        let info = [purpose.info()];
        let filled = pseudorandom.expand(&info, HKDF_SHA256).and_then(|okm| okm.fill(key.as_mut()));
        filled.expect("HKDF-SHA256 gives 32 bytes");
        key
    }
}

/// Takes away what others may do with the file.
fn restrict(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_private_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        assert!(MasterKey::load(dir.path()).unwrap().is_none());
        let made = MasterKey::create(dir.path()).unwrap();
        let path = dir.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let read = MasterKey::load(dir.path()).unwrap().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(made.derive(Purpose::Wrap), read.derive(Purpose::Wrap));
        assert_ne!(made.derive(Purpose::Wrap), made.derive(Purpose::Fingerprint));
        assert_ne!(made.derive(Purpose::Wrap), made.0);
        assert_eq!(format!("{made:?}"), "MasterKey(…)");
        fs::write(&path, "{\"version\":1,\"key\":\"00\"}").unwrap();
        assert!(matches!(MasterKey::load(dir.path()), Err(MasterKeyError::Malformed { .. })));
    }
}
