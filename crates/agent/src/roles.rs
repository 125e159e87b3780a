//! The newest credentials of the roles of the node's tasks, in memory alone.
//!
//! They come with a task's order and anew before they end. An agent that begins anew has none until
//! the server sends them again, which the first session asks for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws::agent::acs::RoleCredentials;
use tokio::sync::watch;

use crate::endpoints::Directory;
use crate::order::{Order, task_id};

/// So long the credentials of a task that was found again are waited for.
const WAIT: Duration = Duration::from_secs(60);

/// The credentials of the node's tasks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Roles {
    inner: Arc<Inner>,
}

struct Inner {
    /// By their id.
    known: Mutex<BTreeMap<String, Known>>,
    /// Grows whenever some come.
    news: watch::Sender<u64>,
    directory: Arc<Directory>,
}

struct Known {
    task: String,
    credentials: RoleCredentials,
}

impl Roles {
    pub(crate) fn new(directory: Arc<Directory>) -> Self {
        let inner = Inner { known: Mutex::default(), news: watch::Sender::default(), directory };
        Self { inner: Arc::new(inner) }
    }

    /// Takes credentials of a task's role, in place of older ones of the same id.
    pub(crate) fn put(&self, task_arn: &str, credentials: RoleCredentials) {
        let task = task_id(task_arn).to_owned();
        self.inner.directory.put_credentials(&task, credentials.clone());
        let id = credentials.credentials_id.clone();
        self.known().insert(id, Known { task, credentials });
        self.inner.news.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Forgets those of a task.
    pub(crate) fn forget(&self, task: &str) {
        self.known().retain(|_, known| known.task != task);
    }

    /// The newest of this id, if there are any.
    pub(crate) fn get(&self, id: &str) -> Option<RoleCredentials> {
        self.known().get(id).map(|known| known.credentials.clone())
    }

    /// The credentials of a task's execution role, waited for a while; none if it has no such role.
    ///
    /// # Errors
    /// They have not come, in the ECS agent's words.
    pub(crate) async fn execution(&self, order: &Order) -> Result<Option<RoleCredentials>, String> {
        let Some(role) = &order.execution_role else { return Ok(None) };
        let mut news = self.inner.news.subscribe();
        let come = async {
            loop {
                if let Some(credentials) = self.get(&role.credentials_id) {
                    return credentials;
                }
                if news.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(WAIT, come)
            .await
            .map(Some)
            .map_err(|_| "unable to find execution role credentials".to_owned())
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        // Every change is one insertion or removal.
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
