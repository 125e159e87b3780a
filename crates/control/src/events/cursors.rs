//! How far everything has been told of, in memory: by task, since there may be a million of them, and by
//! name for all else.

use std::collections::BTreeMap;

use model::{InstanceKey, ServiceKey, State, TaskKey};

/// The cursor that says that there are cursors.
pub(super) const BEGUN: &str = "begun";

/// What stands before a task's key in the name of its cursor.
const TASK: &str = "task/";

/// How far things have been told of.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    tasks: BTreeMap<TaskKey, u64>,
    others: BTreeMap<String, u64>,
}

/// The name of a task's cursor.
pub(super) fn of_task(key: &TaskKey) -> String {
    format!("{TASK}{key}")
}

impl Cursors {
    /// As they lie in the outbox. Those of tasks that are no more are left out, and named beside.
    pub(super) fn read(names: BTreeMap<String, u64>, state: &State) -> (Self, Vec<String>) {
        let (mut these, mut gone) = (Self::default(), Vec::new());
        for (name, number) in names {
            let Some((cluster, id)) = name.strip_prefix(TASK).and_then(|key| key.split_once('/'))
            else {
                these.others.insert(name, number);
                continue;
            };
            let key = TaskKey { cluster: cluster.into(), task: id.into() };
            match state.task(&key) {
                // Its own key, which shares its texts.
                Some(task) => {
                    these.tasks.insert(task.facts.key.clone(), number);
                }
                None => gone.push(name),
            }
        }
        (these, gone)
    }

    /// Whether a version of a task is still to be told.
    pub(super) fn is_behind(&self, key: &TaskKey, version: u64) -> bool {
        self.tasks.get(key).is_none_or(|told| *told < version)
    }

    /// Moves a task's cursor, unless it is there; whether it was behind.
    pub(super) fn move_task(&mut self, key: &TaskKey, version: u64) -> bool {
        let behind = self.is_behind(key, version);
        if behind {
            self.tasks.insert(key.clone(), version);
        }
        behind
    }

    /// Moves another cursor, unless it is there; whether it was behind.
    pub(super) fn move_to(&mut self, name: &str, number: u64) -> bool {
        match self.others.get(name) {
            Some(told) if *told >= number => false,
            _ => {
                self.others.insert(name.to_owned(), number);
                true
            }
        }
    }

    /// Forgets a task; whether it was known.
    pub(super) fn forget_task(&mut self, key: &TaskKey) -> bool {
        self.tasks.remove(key).is_some()
    }

    /// Forgets something else; whether it was known.
    pub(super) fn forget(&mut self, name: &str) -> bool {
        self.others.remove(name).is_some()
    }

    /// The tasks that are known and are no more.
    pub(super) fn missing_tasks(&self, state: &State) -> Vec<TaskKey> {
        self.tasks.keys().filter(|key| state.task(key).is_none()).cloned().collect()
    }

    /// The names of what else is known and is no more.
    pub(super) fn missing(&self, state: &State) -> Vec<String> {
        let there = |cursor: &str| {
            let mut parts = cursor.splitn(4, '/');
            let (kind, a, b) = (parts.next(), parts.next(), parts.next());
            match (kind, a, b) {
                (Some("instance"), Some(a), Some(b)) => {
                    state.instance(&InstanceKey { cluster: a.into(), instance: b.into() }).is_some()
                }
                (Some("rule"), Some(a), None) => state.bus().rule(&a.into()).is_some(),
                (Some(BEGUN), None, None) => true,
                (_, Some(a), Some(b)) => {
                    state.service(&ServiceKey { cluster: a.into(), service: b.into() }).is_some()
                }
                _ => false,
            }
        };
        self.others.keys().filter(|cursor| !there(cursor)).cloned().collect()
    }
}
