//! The calls that the agent makes, over any [`aws::Transport`].

use std::sync::Arc;

use async_trait::async_trait;
use aws::{ClientError, Protocol, ServiceFacts, Transport, TransportError};
use aws::{ecr, ecs, logs};

/// The calls that the agent makes to its server.
#[async_trait]
pub(crate) trait Calls: Send + Sync {
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
            logs: logs::Client::new(Shared(transport)),
        }
    }
}

#[async_trait]
impl<T: Transport + 'static> Calls for Clients<T> {
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
