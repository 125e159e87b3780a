//! Credentials for the roles of a task: who makes them, and when they are made anew.

use std::fmt::Debug;
use std::time::Duration;

use aws::agent::acs::{IamRoleCredentialsMessage, RoleCredentials, RoleType};
use model::{State, Task, TaskKey};
use stdx::Timestamp;

use crate::merge::effective;

/// For which of a task's two roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RolePurpose {
    /// What the program in the container may do (`taskRoleArn`).
    TaskApplication,
    /// What the node may do for the task: images, secrets, logs (`executionRoleArn`).
    TaskExecution,
}

/// Why there are no credentials. The words are those that a stopped task shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The role is not there, or its trust policy does not let ECS's tasks assume it.
    #[error(
        "ECS was unable to assume the role '{0}' that was provided for this task. Please verify that \
         the role being passed has the proper trust relationship and permissions and that your IAM \
         user has permissions to pass this role."
    )]
    CannotAssume(String),
}

/// Makes credentials for the roles of tasks. Equal arguments give equal credentials.
pub trait Mint: Send + Sync + Debug {
    /// Credentials for a role (an ARN, or a role's name) as this task assumes it. Their
    /// `credentials_id` depends on the task and the purpose alone, so that an agent can put newer
    /// ones in the place of older ones.
    ///
    /// # Errors
    ///
    /// The role can not be assumed by ECS's tasks.
    fn mint(
        &self,
        role: &str,
        task: &TaskKey,
        purpose: RolePurpose,
        now: Timestamp,
    ) -> Result<RoleCredentials, MintError>;
}

/// Credentials are made anew after so long; they are valid for six hours.
pub(crate) const RENEW_AFTER: Duration = Duration::from_secs(4 * 60 * 60);

/// A mint and the instant at which it is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Minting<'a> {
    pub(crate) mint: &'a dyn Mint,
    pub(crate) now: Timestamp,
}

impl Minting<'_> {
    /// Credentials for a role of a task, if it names one.
    pub(crate) fn of(
        self,
        role: Option<&String>,
        task: &TaskKey,
        purpose: RolePurpose,
    ) -> Result<Option<RoleCredentials>, MintError> {
        role.filter(|role| !role.is_empty())
            .map(|role| self.mint.mint(role, task, purpose, self.now))
            .transpose()
    }
}

/// Fresh credentials for a task that its agent has already: one message for each of its roles,
/// whose `message_id` is still to be filled in. A role that is gone gives none; what the task has
/// ends by itself.
pub(crate) fn renewals(
    state: &State,
    task: &Task,
    minting: Minting<'_>,
) -> Vec<IamRoleCredentialsMessage> {
    let definition = state.definition(&task.facts.definition);
    let Some(Ok((document, _))) = definition.map(|definition| effective(definition, task)) else {
        return Vec::new();
    };
    let key = &task.facts.key;
    let purposes = [
        (&document.task_role_arn, RolePurpose::TaskApplication),
        (&document.execution_role_arn, RolePurpose::TaskExecution),
    ];
    purposes
        .into_iter()
        .filter_map(|(role, purpose)| match minting.of(role.as_ref(), key, purpose) {
            Ok(credentials) => credentials.map(|credentials| (purpose, credentials)),
            Err(error) => {
                tracing::warn!(task = %key, %error, "A task's credentials are not renewed.");
                None
            }
        })
        .map(|(purpose, role_credentials)| IamRoleCredentialsMessage {
            message_id: String::new(),
            task_arn: state.realm().task(key),
            task_cluster_arn: Some(state.realm().cluster(&key.cluster)),
            role_type: match purpose {
                RolePurpose::TaskApplication => RoleType::TaskApplication,
                RolePurpose::TaskExecution => RoleType::TaskExecution,
            },
            role_credentials,
        })
        .collect()
}
