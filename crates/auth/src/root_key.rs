//! The root key: the one long-term access key of a fresh cluster, made at the first start and kept
//! in a file that only its owner reads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use stdx::Entropy;

use crate::crypto::hmac;
use crate::{Credentials, Key, KeyStore, Principal, SecretString};

/// The file's name in the data folder.
const FILE: &str = "root-key.json";

/// The alphabet of access key ids (RFC 4648, section 6).
pub(crate) const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The root key of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootKey {
    access_key_id: String,
    secret: SecretString,
}

/// Why there is no root key.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyError {
    /// The file could not be read or written.
    #[error("{attempt} the root key file {}", path.display())]
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
        "read the root key file {}: it must hold accessKeyId and secretAccessKey as JSON. Restore \
         it from a backup, or move it away to have a new key made", path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A key, from the file or from the configuration, that no client could use.
    #[error("use the root key '{id}': {why}")]
    Unusable {
        /// The access key id.
        id: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The file's content.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    access_key_id: String,
    secret_access_key: String,
}

impl RootKey {
    /// A key from the configuration.
    ///
    /// # Errors
    /// An id that is not 16 to 128 word characters, or a secret shorter than 8 characters.
    pub fn new(
        access_key_id: impl Into<String>,
        secret: impl Into<SecretString>,
    ) -> Result<Self, RootKeyError> {
        let (access_key_id, secret) = (access_key_id.into(), secret.into());
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let why = if !(16..=128).contains(&access_key_id.len()) || !access_key_id.bytes().all(word)
        {
            "an access key id has 16 to 128 letters, digits and underscores"
        } else if secret.reveal().len() < 8 || secret.reveal().chars().any(char::is_whitespace) {
            "a secret access key has at least 8 characters and no white space"
        } else {
            return Ok(Self { access_key_id, secret });
        };
        Err(RootKeyError::Unusable { id: access_key_id, why })
    }

    /// A new key of AWS's form: `AKIA` and 16 characters, and a secret of 40.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        let mut id = "AKIA".to_owned();
        for _ in 0..16 {
            let index = usize::try_from(entropy.below(32)).expect("it is below 32");
            id.push(char::from(BASE32[index]));
        }
        let mut bytes = Vec::with_capacity(32);
        while bytes.len() < 30 {
            bytes.extend_from_slice(&entropy.next_u64().to_be_bytes());
        }
        bytes.truncate(30);
        Self { access_key_id: id, secret: SecretString::new(STANDARD.encode(bytes)) }
    }

    /// The key in `dir`, made and stored durably (mode 0600) if there is none yet. `dir` must
    /// exist.
    ///
    /// # Errors
    /// The file cannot be read or written, or does not hold a usable key. A damaged file is never
    /// replaced: everything signed with the old key would stop working.
    pub fn load_or_create(dir: &Path, entropy: &mut dyn Entropy) -> Result<Self, RootKeyError> {
        if let Some(key) = Self::load(dir)? {
            return Ok(key);
        }
        let path = dir.join(FILE);
        let key = Self::generate(entropy);
        let temporary = dir.join(format!(".{FILE}.{:016x}", entropy.next_u64()));
        let attempt = "write";
        key.write(dir, &temporary, &path).map_err(|source| RootKeyError::Io {
            attempt,
            path: path.clone(),
            source,
        })?;
        Ok(key)
    }

    /// The key in `dir`, if there is one.
    ///
    /// # Errors
    /// The file cannot be read, or does not hold a usable key.
    pub fn load(dir: &Path) -> Result<Option<Self>, RootKeyError> {
        let path = dir.join(FILE);
        let failed = |attempt| {
            let path = path.clone();
            move |source| RootKeyError::Io { attempt, path, source }
        };
        match fs::read(&path) {
            Ok(bytes) => {
                let stored: Stored = serde_json::from_slice(&bytes)
                    .map_err(|source| RootKeyError::Malformed { path: path.clone(), source })?;
                restrict(&path).map_err(failed("restrict the mode of"))?;
                Self::new(stored.access_key_id, stored.secret_access_key).map(Some)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read")(error)),
        }
    }

    /// Writes a whole file beside the final one, then gives it its name: a crash leaves all of it
    /// or nothing.
    fn write(&self, dir: &Path, temporary: &Path, path: &Path) -> io::Result<()> {
        let stored = Stored {
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret.reveal().to_owned(),
        };
        let mut text = serde_json::to_string_pretty(&stored)?;
        text.push('\n');
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        if let Err(error) = written.and_then(|()| fs::rename(temporary, path)) {
            // The error that matters is the first one.
            fs::remove_file(temporary).unwrap_or(());
            return Err(error);
        }
        File::open(dir)?.sync_all()
    }

    /// Such as `AKIAIOSFODNN7EXAMPLE`.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The secret access key.
    pub const fn secret(&self) -> &SecretString {
        &self.secret
    }

    /// A key for one purpose that follows from this one and tells nothing of it.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        hmac(self.secret.reveal().as_bytes(), purpose.as_bytes())
    }

    /// What a client signs with.
    pub fn credentials(&self) -> Credentials {
        Credentials::new(self.access_key_id.clone(), self.secret.clone())
    }

    /// The key store that knows this key alone, as the root user of `account`.
    pub fn store(&self, account: &str) -> impl KeyStore + Clone + Send + Sync + 'static {
        RootStore { key: self.clone(), principal: root_principal(account) }
    }
}

/// `arn:aws:iam::<account>:root`.
fn root_principal(account: &str) -> Principal {
    Principal {
        account: account.to_owned(),
        arn: format!("arn:aws:iam::{account}:root"),
        user_id: account.to_owned(),
    }
}

#[derive(Clone)]
struct RootStore {
    key: RootKey,
    principal: Principal,
}

impl KeyStore for RootStore {
    fn find(&self, access_key_id: &str) -> Option<Key> {
        (access_key_id == self.key.access_key_id).then(|| Key {
            secret: self.key.secret.clone(),
            session_token: None,
            expires: None,
            principal: self.principal.clone(),
            role: None,
        })
    }
}

/// Takes away what others may do with the file, should a copy or a restore have given it.
fn restrict(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}
