//! Every task of the node as its worker last saw it, for those who ask: sessions, metrics, reports.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime::{ContainerId, SandboxId};
use tokio::sync::{mpsc, watch};

use crate::task::{Happening, TaskView};

/// The tasks of the node. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Board {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    tasks: Mutex<BTreeMap<String, Entry>>,
    /// Grows with each change of a health check's verdict.
    health: watch::Sender<u64>,
}

struct Entry {
    view: TaskView,
    mail: mpsc::UnboundedSender<Happening>,
}

impl Board {
    /// Adds a task. False if it is there already.
    pub(crate) fn add(&self, view: &TaskView, mail: mpsc::UnboundedSender<Happening>) -> bool {
        let mut tasks = self.tasks();
        if tasks.contains_key(&view.plan.id) {
            return false;
        }
        tasks.insert(view.plan.id.clone(), Entry { view: view.clone(), mail });
        true
    }

    /// Shows a task as it is now; whether that is news.
    pub(crate) fn show(&self, view: &TaskView) -> bool {
        let mut tasks = self.tasks();
        let Some(entry) = tasks.get_mut(&view.plan.id) else { return true };
        if entry.view.state == view.state {
            return false;
        }
        let verdicts =
            |v: &TaskView| -> Vec<_> { v.state.containers.iter().map(|c| c.health).collect() };
        let news = verdicts(&entry.view) != verdicts(view);
        entry.view = view.clone();
        drop(tasks);
        if news {
            self.inner.health.send_modify(|n| *n = n.wrapping_add(1));
        }
        true
    }

    /// Takes a task away.
    pub(crate) fn remove(&self, id: &str) {
        self.tasks().remove(id);
    }

    /// Whether the task is here, running or over.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.tasks().contains_key(id)
    }

    /// Sends something to a task. False if there is no such task.
    pub(crate) fn send(&self, id: &str, happening: Happening) -> bool {
        match self.tasks().get(id) {
            // A worker that has ended has nothing more to do for it.
            Some(entry) => {
                drop(entry.mail.send(happening));
                true
            }
            None => false,
        }
    }

    /// Sends something about a container to its task, which has the sandbox's name.
    pub(crate) fn send_about(
        &self,
        sandbox: &SandboxId,
        container: &ContainerId,
        happening: impl FnOnce(usize) -> Happening,
    ) {
        let tasks = self.tasks();
        let Some(entry) = tasks.get(sandbox.as_str()) else { return };
        let index = entry.view.plan.containers.iter().position(|plan| plan.id == *container);
        if let Some(index) = index {
            drop(entry.mail.send(happening(index)));
        }
    }

    /// Every task as it was last seen.
    pub(crate) fn all(&self) -> Vec<TaskView> {
        self.tasks().values().map(|entry| entry.view.clone()).collect()
    }

    /// Resolves on each change of a health check's verdict.
    pub(crate) fn health_changes(&self) -> watch::Receiver<u64> {
        self.inner.health.subscribe()
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        // A panic under the lock leaves whole entries: every change is one assignment.
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
