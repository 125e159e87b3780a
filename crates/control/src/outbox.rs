//! What an agent should be told, as a function of the state and of what it was told before in this
//! session.

use std::collections::BTreeMap;

use aws::agent::acs;
use model::{DesiredStatus, InstanceKey, State, Task, TaskId, TaskStatus};

use crate::payload;

/// What was sent in this session.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    sent: BTreeMap<TaskId, DesiredStatus>,
}

impl Outbox {
    /// The task as a payload has it, if the agent has to be told of it. A task that runs and should
    /// is not sent: the agent has it, or reports its end.
    pub(crate) fn task(&mut self, state: &State, task: &Task) -> Option<acs::Task> {
        let id = &task.facts.key.task;
        if task.progress.status == TaskStatus::Stopped {
            self.sent.remove(id);
            return None;
        }
        let due = match task.progress.desired {
            DesiredStatus::Stopped => true,
            DesiredStatus::Running => task.progress.status < TaskStatus::Running,
        };
        if !due || self.sent.get(id) == Some(&task.progress.desired) {
            return None;
        }
        match payload::task(state, task) {
            Ok(payload) => {
                self.sent.insert(id.clone(), task.progress.desired);
                Some(payload)
            }
            Err(error) => {
                let error = stdx::chain(&error);
                tracing::error!(task = %task.facts.key, %error, "A task cannot be sent.");
                None
            }
        }
    }

    /// Every task of the instance that the agent has to be told of.
    pub(crate) fn everything(&mut self, state: &State, key: &InstanceKey) -> Vec<acs::Task> {
        state.tasks_on(key).filter_map(|task| self.task(state, task)).collect()
    }
}

/// Every task that the instance should know of, shortly.
pub(crate) fn manifest(state: &State, key: &InstanceKey) -> Vec<acs::TaskIdentifier> {
    state
        .tasks_on(key)
        .filter(|task| task.progress.status != TaskStatus::Stopped)
        .map(|task| identifier(state, task))
        .collect()
}

/// Of the tasks that the agent has beyond the manifest, those that it shall stop: all but those that
/// have been placed there since.
pub(crate) fn to_stop(
    state: &State,
    key: &InstanceKey,
    candidates: Vec<acs::TaskIdentifier>,
) -> Vec<acs::TaskIdentifier> {
    let known: Vec<String> = state
        .tasks_on(key)
        .filter(|task| task.progress.status != TaskStatus::Stopped)
        .map(|task| state.realm().task(&task.facts.key))
        .collect();
    candidates
        .into_iter()
        .filter(|candidate| !known.contains(&candidate.task_arn))
        .map(|candidate| acs::TaskIdentifier {
            desired_status: acs::DesiredStatus::Stopped,
            ..candidate
        })
        .collect()
}

fn identifier(state: &State, task: &Task) -> acs::TaskIdentifier {
    acs::TaskIdentifier {
        task_arn: state.realm().task(&task.facts.key),
        task_cluster_arn: state.realm().cluster(task.facts.cluster()),
        desired_status: match task.progress.desired {
            DesiredStatus::Running => acs::DesiredStatus::Running,
            DesiredStatus::Stopped => acs::DesiredStatus::Stopped,
        },
    }
}
