//! The seam to the ECS server: what the endpoints ask of it, as the node or as a task's role.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use aws::agent::acs::RoleCredentials;
use aws::{ClientError, Transport, ecs};

/// What the endpoints ask of the ECS server.
#[async_trait]
pub trait Server: Send + Sync + Debug {
    /// The tags of a task or a container instance, asked as the node.
    ///
    /// # Errors
    /// What the server answers, or that it does not.
    async fn tags(&self, arn: &str) -> Result<Vec<ecs::Tag>, ClientError>;

    /// Whether a task is protected, asked as its role.
    ///
    /// # Errors
    /// What the server answers, or that it does not.
    async fn get_protection(
        &self,
        role: &RoleCredentials,
        request: ecs::GetTaskProtectionRequest,
    ) -> Result<ecs::GetTaskProtectionResponse, ClientError>;

    /// Protects a task or ends its protection, as its role.
    ///
    /// # Errors
    /// What the server answers, or that it does not.
    async fn update_protection(
        &self,
        role: &RoleCredentials,
        request: ecs::UpdateTaskProtectionRequest,
    ) -> Result<ecs::UpdateTaskProtectionResponse, ClientError>;
}

/// Makes transports that sign with a role's credentials.
pub trait AsRole: Send + Sync + Debug {
    /// What carries the calls.
    type Transport: Transport;

    /// A transport to the same server that signs with these.
    fn transport(&self, role: &RoleCredentials) -> Self::Transport;
}

/// The [`Server`] by the generated clients.
pub struct ServerClient<T, R> {
    node: ecs::Client<T>,
    roles: Arc<R>,
}

impl<T, R: Debug> Debug for ServerClient<T, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerClient").field("roles", &self.roles).finish_non_exhaustive()
    }
}

impl<T: Transport, R: AsRole> ServerClient<T, R> {
    /// Calls as the node by `node`, and as a task's role by what `roles` makes.
    pub fn new(node: T, roles: R) -> Self {
        Self { node: ecs::Client::new(node), roles: Arc::new(roles) }
    }
}

#[async_trait]
impl<T: Transport + 'static, R: AsRole + 'static> Server for ServerClient<T, R> {
    async fn tags(&self, arn: &str) -> Result<Vec<ecs::Tag>, ClientError> {
        let request = ecs::ListTagsForResourceRequest { resource_arn: Some(arn.to_owned()) };
        Ok(self.node.list_tags_for_resource(request).await?.tags.unwrap_or_default())
    }

    async fn get_protection(
        &self,
        role: &RoleCredentials,
        request: ecs::GetTaskProtectionRequest,
    ) -> Result<ecs::GetTaskProtectionResponse, ClientError> {
        ecs::Client::new(self.roles.transport(role)).get_task_protection(request).await
    }

    async fn update_protection(
        &self,
        role: &RoleCredentials,
        request: ecs::UpdateTaskProtectionRequest,
    ) -> Result<ecs::UpdateTaskProtectionResponse, ClientError> {
        ecs::Client::new(self.roles.transport(role)).update_task_protection(request).await
    }
}
