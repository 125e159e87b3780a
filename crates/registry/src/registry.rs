//! The registry itself: what it knows, what it stores, and the one way to change either.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use shell::Clock;
use stdx::{Entropy, Timestamp};

use crate::content::Content;
use crate::database::Records;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::state::{Change, Repository, State};
use crate::upload::Upload;

/// How long a blob that no image needs is kept, and an upload that nobody goes on with.
pub(crate) const GRACE: Duration = Duration::from_secs(24 * 3600);

/// Between two collections of garbage.
const COLLECT_EVERY: Duration = Duration::from_secs(3600);

/// What a registry is made of.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Its folder; nobody else's.
    pub dir: PathBuf,
    /// The account whose registry it is: ECR's `registryId`.
    pub account: String,
    /// The region, for ARNs and URIs.
    pub region: String,
    /// Whether a push makes the repository it needs. ECR refuses such a push.
    pub create_on_push: bool,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// A container registry: OCI content and ECR's facts about it.
pub struct Registry {
    pub(crate) config: RegistryConfig,
    pub(crate) content: Content,
    state: RwLock<State>,
    /// The lock of whoever changes anything: records, and which files exist.
    records: Mutex<Records>,
    uploads: Mutex<BTreeMap<String, Arc<Upload>>>,
    opened_at: Timestamp,
}

/// What a collection of garbage removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs that no image of their repository needed.
    pub links: usize,
    /// Files that no repository needed.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Uploads that nobody went on with.
    pub uploads: usize,
}

impl Registry {
    /// Opens a registry, making its folder if absent. Blocks while it reads its records.
    pub fn open(config: RegistryConfig) -> Result<Arc<Self>, RegistryError> {
        std::fs::create_dir_all(&config.dir).map_err(RegistryError::disk("create", &config.dir))?;
        let (records, state) = Records::open(&config.dir.join("registry.redb"))?;
        let content = Content::open(&config.dir)?;
        let opened_at = config.clock.now();
        Ok(Arc::new(Self {
            config,
            content,
            state: RwLock::new(state),
            records: Mutex::new(records),
            uploads: Mutex::default(),
            opened_at,
        }))
    }

    /// The account whose registry it is.
    pub fn account(&self) -> &str {
        &self.config.account
    }

    /// The host in image references: `<account>.dkr.ecr.<region>.amazonaws.com`.
    pub fn host(&self) -> String {
        format!("{}.dkr.ecr.{}.amazonaws.com", self.config.account, self.config.region)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one way to change something: `decide` sees the present and says what changes; it is
    /// durable before anyone sees it. `decide` may also put files in their place: nothing else
    /// moves while it runs. Blocks.
    pub(crate) fn change<T>(
        &self,
        decide: impl FnOnce(&State) -> Result<(Vec<Change>, T), RegistryError>,
    ) -> Result<T, RegistryError> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let (changes, reply) = decide(&self.state())?;
        if !changes.is_empty() {
            records.write(&changes)?;
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            changes.into_iter().for_each(|change| state.apply(change));
        }
        Ok(reply)
    }

    /// Does blocking work off the threads that serve connections.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let this = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&this)).await {
            Ok(done) => done,
            Err(lost) => Err(RegistryError::records("changed")(lost)),
        }
    }

    pub(crate) fn no_repository(&self, name: &str) -> RegistryError {
        RegistryError::RepositoryNotFound {
            name: name.to_owned(),
            registry: self.config.account.clone(),
        }
    }

    /// A repository, or the error that it does not exist.
    pub(crate) fn find<'a>(
        &self,
        state: &'a State,
        name: &str,
    ) -> Result<&'a Repository, RegistryError> {
        state.repositories.get(name).ok_or_else(|| self.no_repository(name))
    }

    /// A blob's size, if it may be pulled from the repository. It counts as used from now on.
    pub(crate) fn blob(&self, name: &str, digest: &Digest) -> Result<Option<u64>, RegistryError> {
        let Some(mut blob) = self.find(&self.state(), name)?.blobs.get(digest).copied() else {
            return Ok(None);
        };
        // In memory only: whoever asks is about to push an image that needs it, or pulls one. Once
        // an hour is often enough.
        let now = self.now();
        if now.since(blob.used_at) > COLLECT_EVERY {
            blob.used_at = now;
            let change = Change::Blob(name.to_owned(), digest.clone(), Some(blob));
            self.state.write().unwrap_or_else(PoisonError::into_inner).apply(change);
        }
        Ok(Some(blob.bytes))
    }

    pub(crate) fn uploads(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Upload>>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name for an upload that cannot be guessed.
    pub(crate) fn new_id() -> String {
        shell::OsEntropy.uuid()
    }

    /// Removes what nobody needs: uploads and blobs that have lain idle for `grace`, and files that
    /// belong to no repository any more. Blocks.
    pub fn collect_garbage(&self, grace: Duration) -> Result<Collected, RegistryError> {
        let before = self.now() - grace;
        let mut collected = Collected::default();
        self.uploads().retain(|_, upload| {
            let keep = upload.used_at() >= before;
            collected.uploads += usize::from(!keep);
            keep
        });
        // Uses are remembered in memory, so nothing can be called idle before it was watched long enough.
        if self.opened_at <= before {
            collected.links = self.change(|state| {
                let unused = |(name, repository): (&String, &Repository)| {
                    let name = name.clone();
                    let digests = repository.unused(before).into_iter();
                    digests
                        .map(move |digest| Change::Blob(name.clone(), digest, None))
                        .collect::<Vec<_>>()
                };
                let changes: Vec<Change> = state.repositories.iter().flat_map(unused).collect();
                let count = changes.len();
                Ok((changes, count))
            })?;
        }
        for digest in self.content.older_than(before)? {
            // One at a time, each looked at again: a push may want it at this very moment.
            collected.bytes += self.change(|state| {
                if state.needs(&digest) {
                    return Ok((Vec::new(), 0));
                }
                collected.files += 1;
                Ok((Vec::new(), self.content.remove(&digest)?))
            })?;
        }
        Ok(collected)
    }

    /// Collects garbage now and then until it is time to stop.
    pub async fn maintain(self: Arc<Self>, mut shutdown: shell::Shutdown) {
        loop {
            match self.blocking(|registry| registry.collect_garbage(GRACE)).await {
                Ok(collected) if collected == Collected::default() => {}
                Ok(collected) => {
                    tracing::info!(?collected, "the registry has removed what nobody needs")
                }
                Err(error) => {
                    tracing::warn!(
                        error = stdx::chain(&error),
                        "the registry could not collect its garbage"
                    );
                }
            }
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(COLLECT_EVERY) => {}
            }
        }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("config", &self.config).finish_non_exhaustive()
    }
}
