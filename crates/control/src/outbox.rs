//! What an agent should be told, as a function of the state and of what it was told before in this
//! session.

use std::collections::BTreeMap;

use aws::agent::acs;
use aws::agent::acs::IamRoleCredentialsMessage;
use model::{DesiredStatus, InstanceKey, State, Task, TaskId, TaskKey, TaskStatus};
use stdx::Timestamp;

use crate::mint::{Minting, RENEW_AFTER, renewals};
use crate::payload::{self, PayloadError};

/// What was sent in this session.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    sent: BTreeMap<TaskId, DesiredStatus>,
    /// When the credentials were made that the agent has of a task.
    minted: BTreeMap<TaskId, Timestamp>,
    /// Tasks that can not run, and why, until somebody has told the store.
    refused: Vec<(TaskKey, String)>,
}

impl Outbox {
    /// The task as a payload has it, if the agent has to be told of it. A task that runs and should
    /// is not sent: the agent has it, or reports its end.
    pub(crate) fn task(
        &mut self,
        state: &State,
        task: &Task,
        minting: Minting<'_>,
    ) -> Option<acs::Task> {
        let id = &task.facts.key.task;
        if task.progress.status == TaskStatus::Stopped {
            self.sent.remove(id);
            self.minted.remove(id);
            return None;
        }
        let wanted = ordered(task);
        let due = match wanted {
            DesiredStatus::Stopped => true,
            DesiredStatus::Running => task.progress.status < TaskStatus::Running,
        };
        if !due || self.sent.get(id) == Some(&wanted) {
            return None;
        }
        match payload::task(state, task, minting) {
            Ok(payload) => {
                if wanted == DesiredStatus::Running {
                    self.minted.insert(id.clone(), minting.now);
                }
                self.sent.insert(id.clone(), wanted);
                Some(payload)
            }
            Err(PayloadError::Role(error)) => {
                self.refused.push((task.facts.key.clone(), error.to_string()));
                None
            }
            Err(error) => {
                let error = stdx::chain(&error);
                tracing::error!(task = %task.facts.key, %error, "A task cannot be sent.");
                None
            }
        }
    }

    /// Every task of the instance that the agent has to be told of.
    pub(crate) fn everything(
        &mut self,
        state: &State,
        key: &InstanceKey,
        minting: Minting<'_>,
    ) -> Vec<acs::Task> {
        state.tasks_on(key).filter_map(|task| self.task(state, task, minting)).collect()
    }

    /// Credentials that are due: of tasks whose last ones are old, or were not sent in this session.
    pub(crate) fn renewals(
        &mut self,
        state: &State,
        key: &InstanceKey,
        minting: Minting<'_>,
    ) -> Vec<IamRoleCredentialsMessage> {
        let mut due = Vec::new();
        for task in state.tasks_on(key) {
            let id = &task.facts.key.task;
            let fresh = self.minted.get(id).is_some_and(|at| minting.now.since(*at) < RENEW_AFTER);
            if task.progress.status != TaskStatus::Stopped && !fresh {
                due.extend(renewals(state, task, minting));
                self.minted.insert(id.clone(), minting.now);
            }
        }
        due
    }

    /// The tasks that can not run and of which nobody knows yet, with the reasons.
    pub(crate) fn refused(&mut self) -> Vec<(TaskKey, String)> {
        std::mem::take(&mut self.refused)
    }
}

/// What the agent is told to make of a task. One whose targets drain runs on: it is told to stop when it
/// has finished what it had begun.
pub(crate) fn ordered(task: &Task) -> DesiredStatus {
    match task.progress.status {
        TaskStatus::Deactivating => DesiredStatus::Running,
        TaskStatus::Provisioning
        | TaskStatus::Pending
        | TaskStatus::Activating
        | TaskStatus::Running
        | TaskStatus::Stopping
        | TaskStatus::Deprovisioning
        | TaskStatus::Stopped => task.progress.desired,
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
        desired_status: match ordered(task) {
            DesiredStatus::Running => acs::DesiredStatus::Running,
            DesiredStatus::Stopped => acs::DesiredStatus::Stopped,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{
        Change, DefinitionKey, LaunchType, Realm, Resources, Revision, Tags, TaskFacts,
        TaskProgress,
    };

    use super::*;
    use crate::mint::{Mint, MintError, RolePurpose};

    #[derive(Debug)]
    struct NoMint;

    impl Mint for NoMint {
        fn mint(
            &self,
            role: &str,
            _: &TaskKey,
            _: RolePurpose,
            _: Timestamp,
        ) -> Result<acs::RoleCredentials, MintError> {
            Err(MintError::CannotAssume(role.to_owned()))
        }
    }

    #[test]
    fn a_task_that_drains_runs_on_for_its_agent() {
        let facts = TaskFacts {
            key: TaskKey { cluster: "default".into(), task: "0f".into() },
            definition: DefinitionKey { family: "web".into(), revision: Revision(1) },
            instance: Some("i".into()),
            host: None,
            provider: None,
            terms: None,
            launch_type: LaunchType::Ec2,
            group: "service:web".to_owned(),
            started_by: None,
            service: Some("web".into()),
            deployment: None,
            overrides: None,
            reserved: Resources::default(),
            containers: Vec::new(),
            tags: Tags::default(),
            enable_ecs_managed_tags: false,
            enable_execute_command: false,
            network: None,
            created_at: Timestamp::EPOCH,
        };
        let instance = InstanceKey { cluster: "default".into(), instance: "i".into() };
        let minting = Minting { mint: &NoMint, now: Timestamp::EPOCH };
        let mut state = State::new(Realm::new("us-east-1", "000000000000"));
        state.apply(&Change::PutTask(Arc::new(facts.clone())));
        let mut outbox = Outbox::default();
        for (status, manifested, sent) in [
            (TaskStatus::Deactivating, acs::DesiredStatus::Running, 0),
            (TaskStatus::Stopping, acs::DesiredStatus::Stopped, 1),
            (TaskStatus::Stopping, acs::DesiredStatus::Stopped, 0),
        ] {
            let desired = DesiredStatus::Stopped;
            let progress = TaskProgress { status, desired, ..TaskProgress::first(&facts) };
            state.apply(&Change::PutProgress(facts.key.clone(), Arc::new(progress)));
            let told = manifest(&state, &instance);
            assert_eq!(told.first().map(|task| &task.desired_status), Some(&manifested));
            assert_eq!(outbox.everything(&state, &instance, minting).len(), sent, "{status:?}");
        }
    }
}
