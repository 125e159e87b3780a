//! The seam to the ECS server: what the endpoints ask of it, as the node or as a task's role.

use async_trait::async_trait;
use aws::agent::acs::RoleCredentials;
use aws::{ClientError, ecs};

/// What the endpoints ask of the ECS server.
#[async_trait]
pub(crate) trait Server: Send + Sync {
    /// The tags of a task or a container instance, asked as the node.
    async fn tags(&self, arn: &str) -> Result<Vec<ecs::Tag>, ClientError>;

    /// Whether a task is protected, asked as its role.
    async fn get_protection(
        &self,
        role: &RoleCredentials,
        request: ecs::GetTaskProtectionRequest,
    ) -> Result<ecs::GetTaskProtectionResponse, ClientError>;

    /// Protects a task or ends its protection, as its role.
    async fn update_protection(
        &self,
        role: &RoleCredentials,
        request: ecs::UpdateTaskProtectionRequest,
    ) -> Result<ecs::UpdateTaskProtectionResponse, ClientError>;
}
