//! The embedded container engine: the default [`Runtime`].
//!
//! This side of it is small: it writes down what is to be, asks the zygote for shims, and asks shims
//! for everything else. What it knows it can read again from the node after a restart.

mod adopt;
mod demand;
mod etc;
mod images;
mod places;
mod plugin_volumes;
mod prepare;
mod runtime;
mod session;
mod shim_client;
mod slots;
mod teardown;
mod users;
mod volumes;
mod zygote_client;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shell::Clock;
use tokio::sync::mpsc;

pub use self::images::Images;
pub use self::teardown::teardown;
pub use self::users::UserNamespaces;

use self::places::{Places, SandboxRecord};
use self::shim_client::ShimConnection;
use self::slots::{Slot, SlotKind, Slots};
use self::users::{Lease, Ranges};
use self::zygote_client::ZygoteClient;
use crate::engine::Fault;
use crate::engine::cgroup::Cgroups;
use crate::shim::Birth;
use crate::shim::proto::{Failure, FailureKind, Reply};
use crate::{ContainerId, Event, RuntimeError, SandboxId};

/// What the engine is given.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// Containers' writable layers and logs.
    pub state_dir: PathBuf,
    /// Sockets and records; best in a file system that a reboot empties.
    pub run_dir: PathBuf,
    /// The cgroup under which all sandboxes are, such as `/wharf`.
    pub cgroup_parent: String,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where images come from.
    pub images: Arc<dyn Images>,
    /// The program whose `main` calls [`crate::zygote_main`]; none for this very program.
    pub helper_exe: Option<PathBuf>,
    /// So many sandboxes are kept ready in advance, and more after a burst of orders; 0 for none.
    pub warm_slots: usize,
    /// Another engine for the containers: an OCI runtime such as `runc`, by name or path. None for
    /// the embedded one.
    pub oci_runtime: Option<PathBuf>,
    /// A user namespace for each sandbox; none for the node's own.
    pub users: Option<UserNamespaces>,
}

/// The embedded engine. Dropping it leaves containers running; [`Embedded::open`] finds them again.
#[derive(Debug)]
pub struct Embedded {
    inner: Arc<Inner>,
}

/// What the engine's tasks share.
#[derive(Debug)]
pub(crate) struct Inner {
    config: EmbeddedConfig,
    places: Places,
    cgroups: Cgroups,
    zygote: Mutex<ZygoteClient>,
    slots: Slots,
    /// The ids that sandboxes' user namespaces are given.
    ranges: Ranges,
    names: Mutex<Names>,
    /// Held while volumes are made, mounted or removed.
    volumes: Mutex<()>,
    events: mpsc::UnboundedSender<Event>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<Event>>>,
    /// Held for as long as this engine lives.
    _lock: File,
}

/// What is remembered only to spare a look at the node.
#[derive(Debug, Default)]
struct Names {
    sandboxes: BTreeMap<SandboxId, SandboxRecord>,
    containers: BTreeMap<ContainerId, SandboxId>,
    removing: BTreeSet<SandboxId>,
    /// The ids of sandboxes' user namespaces.
    leases: BTreeMap<SandboxId, Lease>,
    /// Network namespaces that nobody has asked for yet, which is done as soon as a sandbox stands.
    networks: BTreeMap<SandboxId, OwnedFd>,
    births: u64,
}

/// A system error.
pub(crate) fn system(attempt: impl Into<String>) -> impl FnOnce(io::Error) -> RuntimeError {
    move |source| RuntimeError::System { attempt: attempt.into(), source }
}

impl From<Fault> for RuntimeError {
    fn from(fault: Fault) -> Self {
        Self::System { attempt: fault.attempt, source: fault.source }
    }
}

/// What a shim's refusal means at the seam.
fn refused(id: &str, failure: Failure) -> RuntimeError {
    let id = id.to_owned();
    match failure.kind {
        FailureKind::NotFound => RuntimeError::NotFound { what: "container", id },
        FailureKind::Invalid => RuntimeError::Invalid { id, why: failure.why },
        FailureKind::Start => RuntimeError::Start { id, why: failure.why },
        FailureKind::System => RuntimeError::System {
            attempt: format!("the shim of {id} failed"),
            source: io::Error::other(failure.why),
        },
        FailureKind::Unknown => RuntimeError::Unsupported {
            what: format!("do this with {id}"),
            why: format!("it was started by an older version ({}); start it anew", failure.why),
        },
    }
}

/// An answer that does not fit the question: the shim is broken.
fn odd(id: &str, reply: &Reply) -> RuntimeError {
    RuntimeError::System {
        attempt: format!("ask the shim of {id}"),
        source: io::Error::other(format!("it answered {reply:?}")),
    }
}

impl Embedded {
    /// Opens the engine on its folders: starts the zygote, finds the sandboxes that are there, clears
    /// away what no sandbox owns. Call it in a tokio runtime.
    ///
    /// # Errors
    ///
    /// Another engine uses the folders; there are no usable cgroups; this is not root; user namespaces
    /// are asked for, and the kernel or the state folder's file system cannot have them.
    pub async fn open(mut config: EmbeddedConfig) -> Result<Self, RuntimeError> {
        if !rustix::process::geteuid().is_root() {
            return Err(RuntimeError::Unsupported {
                what: "run containers itself".into(),
                why: "that needs root; run it as root, or use Docker Engine".into(),
            });
        }
        crate::engine::cgroup::check_group(&config.cgroup_parent)?;
        if let Some(name) = &config.oci_runtime {
            let found = crate::engine::oci::find_program(name);
            config.oci_runtime = Some(found.map_err(|why| RuntimeError::Unsupported {
                what: "run containers by another engine".into(),
                why,
            })?);
        }
        let shown = config.run_dir.display().to_string();
        let places = Places::make(&config.run_dir, &config.state_dir)
            .map_err(system(format!("make {shown} and {}", config.state_dir.display())))?;
        let lock = patient_lock(&places)
            .await
            .map_err(system(format!("lock {shown} (is another engine running on it?)")))?;
        let cgroups = Cgroups::detect()?;
        let program = config.helper_exe.clone().unwrap_or_else(zygote_client::own_program);
        let zygote = ZygoteClient::start(&program)
            .map_err(system(format!("start the zygote from {}", program.display())))?;
        let (events, receiver) = mpsc::unbounded_channel();
        let slots = Slots::new(config.warm_slots);
        let ranges = Ranges::new(config.users);
        let inner = Arc::new(Inner {
            config,
            places,
            cgroups,
            zygote: Mutex::new(zygote),
            slots,
            ranges,
            names: Mutex::default(),
            volumes: Mutex::default(),
            events,
            receiver: Mutex::new(Some(receiver)),
            _lock: lock,
        });
        inner.adopt_all().await?;
        inner.try_users().await?;
        slots::refill_later(&inner, false);
        Ok(Self { inner })
    }

    /// Whether this node can give sandboxes user namespaces of their own.
    ///
    /// # Errors
    /// Why it can not, in words.
    pub fn hardened(&self) -> Result<(), String> {
        self.inner.ranges.hardened()
    }
}

/// The lock of the run folder. An engine that is ending holds it for a moment longer than whatever
/// else says that it has ended, so one refusal is not yet another engine.
async fn patient_lock(places: &Places) -> io::Result<File> {
    let mut patience = 100_u8;
    loop {
        match places.lock() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && patience > 0 => {
                patience -= 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            done => return done,
        }
    }
}

/// A lock whose holders cannot panic half-way: what it guards is whole even after a panic.
pub(crate) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// Makes a shim that is not yet a sandbox's.
    fn bear(&self, kind: SlotKind) -> Result<(ShimConnection, Slot), RuntimeError> {
        let number = {
            let mut names = guard(&self.names);
            names.births += 1;
            names.births
        };
        let now = self.config.clock.now().as_millis();
        let parent = &self.config.cgroup_parent;
        let group = format!("{parent}/{now:x}-{}-{number}", std::process::id());
        let SlotKind { network, pid, ipc, hardened: _ } = kind;
        let lease = self.ranges.lease(kind)?;
        let users = lease.as_ref().map(Lease::range);
        let birth = Birth { group: group.clone(), network, pid, ipc, users };
        let stream = guard(&self.zygote).bear(&birth);
        let connection = stream.and_then(ShimConnection::born_with);
        Ok((connection.map_err(system("make a shim"))?, Slot { group, lease }))
    }

    /// What is known of a sandbox, remembered or read.
    fn sandbox(&self, id: &SandboxId) -> Result<SandboxRecord, RuntimeError> {
        if let Some(record) = guard(&self.names).sandboxes.get(id) {
            return Ok(record.clone());
        }
        let record = self.places.record(id).map_err(system(format!("read the record of {id}")))?;
        record.ok_or_else(|| RuntimeError::NotFound { what: "sandbox", id: id.to_string() })
    }

    /// The sandbox of a container.
    fn sandbox_of(&self, container: &ContainerId) -> Result<SandboxId, RuntimeError> {
        if let Some(sandbox) = guard(&self.names).containers.get(container) {
            return Ok(sandbox.clone());
        }
        check_name(container.as_str())?;
        let found = self.places.sandbox_of(container).map_err(system("read the run folder"))?;
        found.ok_or_else(|| RuntimeError::NotFound { what: "container", id: container.to_string() })
    }
}

/// A name as the seam has it.
pub(crate) fn check_name(name: &str) -> Result<(), RuntimeError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.len() <= 64 && name.chars().all(plain) {
        return Ok(());
    }
    let why = "a name is 1 to 64 letters, digits, - and _".to_owned();
    Err(RuntimeError::Invalid { id: name.to_owned(), why })
}
