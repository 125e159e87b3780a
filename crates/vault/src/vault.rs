//! The door to the vault: opening it, and getting work done in transactions and on snapshots.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redb::Database;
use shell::{Clock, OsEntropy};
use stdx::{Entropy, Timestamp};

use crate::arn::Realm;
use crate::key::{FILE as KEY_FILE, MasterKey, Purpose};
use crate::seal::Sealer;
use crate::tables::{Snapshot, Tables};
use crate::{MasterKeyError, VaultError};

/// The file's name in the vault's folder.
const FILE: &str = "vault.redb";

/// How to open the vault.
#[derive(Clone, Debug)]
pub struct VaultConfig {
    /// The folder of its files; it must exist.
    pub dir: PathBuf,
    /// The account, for ARNs.
    pub account: String,
    /// The region, for ARNs.
    pub region: String,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How many bytes of the file are kept in memory.
    pub cache_bytes: usize,
}

impl VaultConfig {
    /// With a cache of 4 MiB.
    pub fn new(
        dir: impl Into<PathBuf>,
        account: impl Into<String>,
        region: impl Into<String>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (account, region) = (account.into(), region.into());
        Self { dir: dir.into(), account, region, clock, cache_bytes: 4 * 1024 * 1024 }
    }
}

/// A page of an answer, and where the next one begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// The token for the next one; none on the last.
    pub next_token: Option<String>,
}

/// The vault. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Vault {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    sealer: Sealer,
    realm: Realm,
    clock: Arc<dyn Clock>,
}

/// What work in a transaction or on a snapshot is given beside the tables.
pub(crate) struct Desk<'a> {
    pub(crate) sealer: &'a Sealer,
    pub(crate) realm: &'a Realm,
    pub(crate) now: Timestamp,
}

impl Desk<'_> {
    /// Chance from the machine: the values that depend on it are names, not keys.
    pub(crate) fn chance(&self) -> impl Entropy {
        OsEntropy
    }
}

impl Vault {
    /// Opens the vault in `config.dir`, and makes it and its master key if there is none.
    ///
    /// # Errors
    /// The file cannot be opened, is not a vault, or another process has it open; the master key is
    /// gone, damaged or another vault's.
    pub fn open(config: VaultConfig) -> Result<Self, VaultError> {
        let database = redb::Builder::new()
            .set_cache_size(config.cache_bytes)
            .create(config.dir.join(FILE))
            .map_err(|error| VaultError::storage("open", error))?;
        let transaction = database.begin_write()?;
        let mut tables = Tables::open(&transaction)?;
        let known = tables.fingerprint()?;
        let path = config.dir.join(KEY_FILE);
        let master = match MasterKey::load(&config.dir)? {
            Some(master) => master,
            None if known.is_some() => return Err(MasterKeyError::Lost { path }.into()),
            None => MasterKey::create(&config.dir)?,
        };
        let fingerprint = master.derive(Purpose::Fingerprint);
        match known {
            Some(known) if known != fingerprint.as_slice() => {
                return Err(MasterKeyError::Foreign { path }.into());
            }
            Some(_) => {}
            None => tables.put_fingerprint(fingerprint.as_slice())?,
        }
        drop(tables);
        transaction.commit()?;
        let realm = Realm { region: config.region, account: config.account };
        let sealer = Sealer::new(&master);
        Ok(Self { inner: Arc::new(Inner { database, sealer, realm, clock: config.clock }) })
    }

    /// Does `work` in a transaction and returns when that is durable. A refusal takes everything
    /// back. Writers come one after the other; when the caller goes away the work is done all the
    /// same.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tables<'_>, &Desk<'_>) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let inner = Arc::clone(&self.inner);
        let task = tokio::task::spawn_blocking(move || {
            let mut transaction = inner.database.begin_write()?;
            // Opens in milliseconds after a crash; there are few writes, so they can afford it.
            transaction.set_quick_repair(true);
            let mut tables = Tables::open(&transaction)?;
            // An error drops the transaction, and with it all that was done.
            let result = work(&mut tables, &inner.desk())?;
            drop(tables);
            transaction.commit()?;
            Ok(result)
        });
        task.await.map_err(|_| VaultError::Closed)?
    }

    /// Reads from a snapshot, on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Snapshot, &Desk<'_>) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let inner = Arc::clone(&self.inner);
        let task = tokio::task::spawn_blocking(move || {
            work(&Snapshot::open(&inner.database)?, &inner.desk())
        });
        task.await.map_err(|_| VaultError::Closed)?
    }

    pub(crate) fn realm(&self) -> &Realm {
        &self.inner.realm
    }
}

impl Inner {
    fn desk(&self) -> Desk<'_> {
        Desk { sealer: &self.sealer, realm: &self.realm, now: self.clock.now() }
    }
}

/// Cuts a page out of what is listed. `passed` tells what earlier pages had, by its place and not by
/// a count, so that entries that come or go neither repeat others nor hide them.
pub(crate) fn cut<T>(
    items: Vec<T>,
    limit: usize,
    passed: impl Fn(&T) -> bool,
    token: impl Fn(&T) -> String,
) -> Page<T> {
    let mut items: Vec<T> = items.into_iter().skip_while(|item| passed(item)).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next_token = items.last().filter(|_| more).map(token);
    Page { items, next_token }
}

/// Separates the parts of a token.
const SEPARATOR: char = '\u{1f}';

/// A token of a list: opaque to clients, a place to us.
pub(crate) fn render_token(list: &str, parts: &[&str]) -> String {
    let mut text = list.to_owned();
    for part in parts {
        text.push(SEPARATOR);
        text.push_str(part);
    }
    URL_SAFE_NO_PAD.encode(text)
}

/// Reads what [`render_token`] made for the same list.
pub(crate) fn parse_token<const N: usize>(list: &str, token: &str) -> Option<[String; N]> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let mut parts = text.split(SEPARATOR);
    if parts.next() != Some(list) {
        return None;
    }
    parts.map(str::to_owned).collect::<Vec<_>>().try_into().ok()
}
