//! Who may ask what: the tasks of the node and the credentials of their roles, by the random ids
//! that only their own containers are told.
//!
//! Invariants: an id is 128 bits that nobody can guess; it is the same for a container's whole life,
//! also for the next agent, because it follows from a key in the agent's data folder; credentials
//! belong to one task and go with it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws::agent::acs::RoleCredentials;
use hmac::{Hmac, KeyInit as _, Mac as _};
use runtime::ContainerId;
use sha2::Sha256;
use shell::OsEntropy;
use stdx::Entropy as _;

use super::meta::{ContainerMeta, TaskMeta, TaskNetwork};

/// Where tasks find the endpoints, whatever node they run on.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
/// The key's file in the agent's data folder.
const KEY_FILE: &str = "endpoints.key";

/// Whence a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// From a container's own address, which the packet filter vouches for.
    Container(Ipv4Addr),
    /// From a process in the machine's own network.
    Machine,
}

/// The tasks and credentials of the node. Shared as `Arc<Directory>`.
pub struct Directory {
    key: [u8; 32],
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    tasks: BTreeMap<String, Arc<TaskMeta>>,
    /// Endpoint id to the task's id and the container's place.
    endpoints: BTreeMap<String, (String, usize)>,
    /// Credentials id to the task's id and the newest credentials.
    credentials: BTreeMap<String, (String, RoleCredentials)>,
}

/// Shows neither key nor ids: whoever has an id has what it stands for.
impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}

impl Directory {
    /// An empty directory whose ids follow from `key`.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, inner: Mutex::default() }
    }

    /// An empty directory with the key of the agent's data folder, made at the first start.
    ///
    /// # Errors
    /// The key's file can be neither read nor made.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(KEY_FILE);
        let mut key = [0; 32];
        match fs::File::open(&path) {
            Ok(mut file) => file.read_exact(&mut key)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                for chunk in key.chunks_exact_mut(8) {
                    chunk.copy_from_slice(&OsEntropy.next_u64().to_ne_bytes());
                }
                let beside = path.with_extension("new");
                let options = fs::OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&beside);
                options?.write_all(&key)?;
                fs::rename(&beside, &path)?;
            }
            Err(error) => return Err(error),
        }
        Ok(Self::new(key))
    }

    /// The id by which a container asks for what concerns it: a random UUID's form.
    pub fn endpoint_id(&self, container: &ContainerId) -> String {
        let tag = self.derive("endpoint", container.as_str());
        let hex = hex::encode(tag.get(..16).unwrap_or(&tag));
        let part = |from, to| hex.get(from..to).unwrap_or_default();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    }

    /// The name that the metadata gives a container in place of Docker's.
    pub(crate) fn docker_name(&self, task: &TaskMeta, container: &ContainerMeta) -> String {
        let plain = |c: &char| c.is_ascii_alphanumeric();
        let name: String = container.name.chars().filter(plain).collect();
        let tail = hex::encode(self.derive("name", container.id.as_str()));
        let tail = tail.get(..20).unwrap_or(&tail);
        format!("ecs-{}-{}-{name}-{tail}", task.family, task.revision)
    }

    fn derive(&self, purpose: &str, of: &str) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(of.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Shows a task as it is now, in place of what was known of it.
    pub fn put_task(&self, task: TaskMeta) {
        let ids: Vec<String> =
            task.containers.iter().map(|container| self.endpoint_id(&container.id)).collect();
        let mut inner = self.inner();
        for (index, id) in ids.into_iter().enumerate() {
            inner.endpoints.insert(id, (task.id.clone(), index));
        }
        inner.tasks.insert(task.id.clone(), Arc::new(task));
    }

    /// Forgets a task and its credentials.
    pub fn remove_task(&self, task: &str) {
        let mut inner = self.inner();
        inner.tasks.remove(task);
        inner.endpoints.retain(|_, (of, _)| of != task);
        inner.credentials.retain(|_, (of, _)| of != task);
    }

    /// Keeps a task's credentials, in place of older ones of the same id. The task need not be known
    /// yet, but is answered only once it is.
    pub fn put_credentials(&self, task: &str, credentials: RoleCredentials) {
        let id = credentials.credentials_id.clone();
        self.inner().credentials.insert(id, (task.to_owned(), credentials));
    }

    /// Forgets credentials.
    pub fn remove_credentials(&self, credentials_id: &str) {
        self.inner().credentials.remove(credentials_id);
    }

    /// What a container is told of the endpoints, for its environment. `credentials_id` is that of
    /// its task's role, if the task has one.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html>
    pub fn environment(
        &self,
        container: &ContainerId,
        credentials_id: Option<&str>,
    ) -> Vec<(String, String)> {
        let id = self.endpoint_id(container);
        let mut variables = vec![
            ("ECS_CONTAINER_METADATA_URI", format!("http://{ADDRESS}/v3/{id}")),
            ("ECS_CONTAINER_METADATA_URI_V4", format!("http://{ADDRESS}/v4/{id}")),
            ("ECS_AGENT_URI", format!("http://{ADDRESS}/api/{id}")),
        ];
        if let Some(id) = credentials_id {
            let path = format!("/v2/credentials/{id}");
            variables.push(("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", path));
        }
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The task and the container's place behind an endpoint's id, if the asker may have it.
    pub(crate) fn find(&self, endpoint: &str, asker: Asker) -> Option<(Arc<TaskMeta>, usize)> {
        let inner = self.inner();
        let (task, index) = inner.endpoints.get(endpoint)?;
        let task = inner.tasks.get(task).filter(|task| owns(task, asker))?;
        Some((Arc::clone(task), *index))
    }

    /// The task and the container's place behind a container's address.
    pub(crate) fn find_by_address(&self, asker: Asker) -> Option<(Arc<TaskMeta>, usize)> {
        let Asker::Container(address) = asker else { return None };
        self.inner().tasks.values().filter(|task| owns(task, asker)).find_map(|task| {
            let index = task.containers.iter().position(|c| c.address == Some(address))?;
            Some((Arc::clone(task), index))
        })
    }

    /// Credentials by their id, if the asker may have them.
    pub(crate) fn credentials(&self, id: &str, asker: Asker) -> Option<RoleCredentials> {
        let inner = self.inner();
        let (task, credentials) = inner.credentials.get(id)?;
        let task = inner.tasks.get(task)?;
        (task.credentials_id.as_deref() == Some(id) && owns(task, asker))
            .then(|| credentials.clone())
    }

    /// The newest credentials of a task's role.
    pub(crate) fn role_of(&self, task: &TaskMeta) -> Option<RoleCredentials> {
        let inner = self.inner();
        let (of, credentials) = inner.credentials.get(task.credentials_id.as_deref()?)?;
        (*of == task.id).then(|| credentials.clone())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic under the lock leaves whole entries: every change is one insertion or removal.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request that came so may be the task's own.
fn owns(task: &TaskMeta, asker: Asker) -> bool {
    match (task.network, asker) {
        (TaskNetwork::Bridge | TaskNetwork::Own, Asker::Container(address)) => {
            task.containers.iter().any(|container| container.address == Some(address))
        }
        (TaskNetwork::Host, Asker::Machine) => true,
        (TaskNetwork::Bridge | TaskNetwork::Own, Asker::Machine)
        | (TaskNetwork::Host, Asker::Container(_))
        | (TaskNetwork::None, _) => false,
    }
}
