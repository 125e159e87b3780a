//! Credentials for the roles of tasks, made of the root key and of what the state says of the role.

use std::sync::Arc;
use std::time::Duration;

use auth::{RoleSession, SessionMint};
use aws::agent::acs::RoleCredentials;
use control::{Mint, MintError, RolePurpose};
use model::TaskKey;
use stdx::Timestamp;
use store::Store;

/// How long credentials of a task are valid, as ECS has it.
const VALIDITY: Duration = Duration::from_secs(6 * 60 * 60);

/// Mints for the roles of the store.
#[derive(Debug)]
pub(crate) struct TaskMint {
    pub(crate) store: Store,
    pub(crate) sessions: Arc<SessionMint>,
}

impl Mint for TaskMint {
    fn mint(
        &self,
        role: &str,
        task: &TaskKey,
        purpose: RolePurpose,
        now: Timestamp,
    ) -> Result<RoleCredentials, MintError> {
        let state = self.store.snapshot();
        let refused = || MintError::CannotAssume(role.to_owned());
        let role = api::assumable_by_tasks(&state, role, now).ok_or_else(refused)?;
        let expires = now + VALIDITY;
        let session = RoleSession {
            role_arn: state.realm().role(role),
            role_id: role.id.clone(),
            name: task.task.to_string(),
            issued: now.as_millis(),
            expires: expires.as_millis(),
            task: Some(task.to_string()),
            policies: Vec::new(),
            policy_arns: Vec::new(),
        };
        let credentials = self.sessions.mint(&session);
        let token = credentials.session_token.map(|token| token.reveal().to_owned());
        Ok(RoleCredentials {
            credentials_id: self.sessions.name(&format!("{task} {purpose:?}")),
            role_arn: session.role_arn,
            access_key_id: credentials.access_key_id,
            secret_access_key: credentials.secret.reveal().to_owned(),
            session_token: token.unwrap_or_default(),
            expiration: expires.rfc3339(),
            credential_scope: None,
        })
    }
}
