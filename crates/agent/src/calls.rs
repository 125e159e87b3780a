//! The calls that the agent makes, over any [`Door`].

use std::sync::Arc;

use async_trait::async_trait;
use aws::agent::acs::RoleCredentials;
use aws::{ClientError, Protocol, ServiceFacts, Transport, TransportError};
use aws::{ecr, ecs, logs, secretsmanager, ssm};

use crate::endpoints::Server;

/// The way to the server: as the node, or with the credentials of a task's role.
pub trait Door: Transport {
    /// The same way with other credentials.
    #[must_use]
    fn with(&self, credentials: &RoleCredentials) -> Self;

    /// Reads an object of the server's S3.
    fn object(
        &self,
        bucket: &str,
        key: &str,
    ) -> impl Future<Output = Result<Vec<u8>, ObjectError>> + Send;
}

/// An object that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The server's answer.
    #[error("{code}: {message} (HTTP {status})")]
    Answer {
        /// S3's name of it, such as `NoSuchKey` or `AccessDenied`.
        code: String,
        /// Its words.
        message: String,
        /// The HTTP status.
        status: u16,
    },
    /// There was no answer.
    #[error("no answer")]
    Transport(#[from] TransportError),
}

impl ObjectError {
    /// Reads S3's answer of an error.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
    pub fn from_answer(status: u16, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let element = |name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            rest.split_once('<').map(|(value, _)| value.to_owned())
        };
        Self::Answer {
            code: element("Code").unwrap_or_else(|| "UnknownError".to_owned()),
            message: element("Message").unwrap_or_else(|| "the answer has no words".to_owned()),
            status,
        }
    }

    /// Whether asking again may help.
    pub const fn retryable(&self) -> bool {
        match self {
            Self::Answer { status, .. } => *status >= 500 && *status != 501,
            Self::Transport(_) => true,
        }
    }
}

/// The calls that the agent makes to its server.
#[async_trait]
pub(crate) trait Calls: Send + Sync {
    /// The same with the credentials of a task's role.
    fn with(&self, credentials: &RoleCredentials) -> Arc<dyn Calls>;
    async fn parameters(
        &self,
        request: ssm::GetParametersRequest,
    ) -> Result<ssm::GetParametersResult, ClientError>;
    async fn secret(
        &self,
        request: secretsmanager::GetSecretValueRequest,
    ) -> Result<secretsmanager::GetSecretValueResponse, ClientError>;
    async fn object(&self, bucket: &str, key: &str) -> Result<Vec<u8>, ObjectError>;
    async fn register(
        &self,
        request: ecs::RegisterContainerInstanceRequest,
    ) -> Result<ecs::RegisterContainerInstanceResponse, ClientError>;
    async fn discover(
        &self,
        request: ecs::DiscoverPollEndpointRequest,
    ) -> Result<ecs::DiscoverPollEndpointResponse, ClientError>;
    async fn report(&self, request: ecs::SubmitTaskStateChangeRequest) -> Result<(), ClientError>;
    async fn registry_token(&self) -> Result<ecr::GetAuthorizationTokenResponse, ClientError>;
    async fn create_log_group(&self, group: &str) -> Result<(), ClientError>;
    async fn create_log_stream(&self, group: &str, stream: &str) -> Result<(), ClientError>;
    async fn put_log_events(
        &self,
        request: logs::PutLogEventsRequest,
    ) -> Result<logs::PutLogEventsResponse, ClientError>;
}

/// One transport for the clients of several services.
struct Shared<T>(Arc<T>);

impl<T: Transport> Transport for Shared<T> {
    fn call(
        &self,
        service: &'static ServiceFacts,
        operation: &'static str,
        body: Vec<u8>,
        content: Protocol,
    ) -> impl Future<Output = Result<(u16, Vec<u8>), TransportError>> + Send {
        self.0.call(service, operation, body, content)
    }
}

/// [`Calls`] by the generated clients.
pub(crate) struct Clients<T> {
    door: Arc<T>,
    ssm: ssm::Client<Shared<T>>,
    secrets: secretsmanager::Client<Shared<T>>,
    ecs: ecs::Client<Shared<T>>,
    ecr: ecr::Client<Shared<T>>,
    logs: logs::Client<Shared<T>>,
}

impl<T: Transport> Clients<T> {
    pub(crate) fn new(transport: T) -> Self {
        let transport = Arc::new(transport);
        Self {
            ecs: ecs::Client::new(Shared(Arc::clone(&transport))),
            ecr: ecr::Client::new(Shared(Arc::clone(&transport))),
            logs: logs::Client::new(Shared(Arc::clone(&transport))),
            ssm: ssm::Client::new(Shared(Arc::clone(&transport))),
            secrets: secretsmanager::Client::new(Shared(Arc::clone(&transport))),
            door: transport,
        }
    }
}

#[async_trait]
impl<T: Door + 'static> Server for Clients<T> {
    async fn tags(&self, arn: &str) -> Result<Vec<ecs::Tag>, ClientError> {
        let request = ecs::ListTagsForResourceRequest { resource_arn: Some(arn.to_owned()) };
        Ok(self.ecs.list_tags_for_resource(request).await?.tags.unwrap_or_default())
    }

    async fn get_protection(
        &self,
        role: &RoleCredentials,
        request: ecs::GetTaskProtectionRequest,
    ) -> Result<ecs::GetTaskProtectionResponse, ClientError> {
        ecs::Client::new(self.door.with(role)).get_task_protection(request).await
    }

    async fn update_protection(
        &self,
        role: &RoleCredentials,
        request: ecs::UpdateTaskProtectionRequest,
    ) -> Result<ecs::UpdateTaskProtectionResponse, ClientError> {
        ecs::Client::new(self.door.with(role)).update_task_protection(request).await
    }
}

#[async_trait]
impl<T: Door + 'static> Calls for Clients<T> {
    fn with(&self, credentials: &RoleCredentials) -> Arc<dyn Calls> {
        Arc::new(Self::new(self.door.with(credentials)))
    }

    async fn parameters(
        &self,
        request: ssm::GetParametersRequest,
    ) -> Result<ssm::GetParametersResult, ClientError> {
        self.ssm.get_parameters(request).await
    }

    async fn secret(
        &self,
        request: secretsmanager::GetSecretValueRequest,
    ) -> Result<secretsmanager::GetSecretValueResponse, ClientError> {
        self.secrets.get_secret_value(request).await
    }

    async fn object(&self, bucket: &str, key: &str) -> Result<Vec<u8>, ObjectError> {
        self.door.object(bucket, key).await
    }

    async fn register(
        &self,
        request: ecs::RegisterContainerInstanceRequest,
    ) -> Result<ecs::RegisterContainerInstanceResponse, ClientError> {
        self.ecs.register_container_instance(request).await
    }

    async fn discover(
        &self,
        request: ecs::DiscoverPollEndpointRequest,
    ) -> Result<ecs::DiscoverPollEndpointResponse, ClientError> {
        self.ecs.discover_poll_endpoint(request).await
    }

    async fn report(&self, request: ecs::SubmitTaskStateChangeRequest) -> Result<(), ClientError> {
        self.ecs.submit_task_state_change(request).await.map(|_| ())
    }

    async fn registry_token(&self) -> Result<ecr::GetAuthorizationTokenResponse, ClientError> {
        self.ecr.get_authorization_token(ecr::GetAuthorizationTokenRequest::default()).await
    }

    async fn create_log_group(&self, group: &str) -> Result<(), ClientError> {
        let request = logs::CreateLogGroupRequest {
            log_group_name: Some(group.to_owned()),
            ..Default::default()
        };
        self.logs.create_log_group(request).await.map(|_| ())
    }

    async fn create_log_stream(&self, group: &str, stream: &str) -> Result<(), ClientError> {
        let request = logs::CreateLogStreamRequest {
            log_group_name: Some(group.to_owned()),
            log_stream_name: Some(stream.to_owned()),
        };
        self.logs.create_log_stream(request).await.map(|_| ())
    }

    async fn put_log_events(
        &self,
        request: logs::PutLogEventsRequest,
    ) -> Result<logs::PutLogEventsResponse, ClientError> {
        self.logs.put_log_events(request).await
    }
}

/// Whether the server answered this error.
pub(crate) fn is(error: &ClientError, code: &str) -> bool {
    error.service().is_some_and(|service| service.code == code)
}
