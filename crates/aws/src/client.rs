//! The client's side: what carries a call, and what may go wrong.

use std::future::Future;

use crate::Error;
use crate::facts::{OperationFacts, ServiceFacts};
use crate::protocol::Protocol;
use crate::schema::Shaped;
use crate::{json, query};

/// Carries calls to a service: HTTP and signing live with whoever implements it.
pub trait Transport: Send + Sync {
    /// Sends `body`, a request of `operation` encoded in `content`, and answers the HTTP status and
    /// body of whatever comes back.
    fn call(
        &self,
        service: &'static ServiceFacts,
        operation: &'static str,
        body: Vec<u8>,
        content: Protocol,
    ) -> impl Future<Output = Result<(u16, Vec<u8>), TransportError>> + Send;
}

/// A call that got no answer.
#[derive(Debug, thiserror::Error)]
#[error("{attempt}")]
pub struct TransportError {
    attempt: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl TransportError {
    /// A failure of `attempt` ("connect to 127.0.0.1:4747") because of `source`.
    pub fn new(
        attempt: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { attempt: attempt.into(), source: Some(source.into()) }
    }

    /// A failure that says everything itself.
    pub fn message(attempt: impl Into<String>) -> Self {
        Self { attempt: attempt.into(), source: None }
    }
}

/// Why a client's call has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The service answered an error.
    #[error("{0}")]
    Service(Error),
    /// There was no answer.
    #[error("call {operation}")]
    Transport {
        /// The operation called.
        operation: &'static str,
        /// What failed.
        #[source]
        source: TransportError,
    },
    /// There was an answer that is not one.
    #[error("understand the answer to {operation} (HTTP {status}): {reason}")]
    Decode {
        /// The operation called.
        operation: &'static str,
        /// The HTTP status of the answer.
        status: u16,
        /// What is wrong with it.
        reason: String,
    },
}

impl ClientError {
    /// The error that the service answered, if it did.
    pub const fn service(&self) -> Option<&Error> {
        match self {
            Self::Service(error) => Some(error),
            Self::Transport { .. } | Self::Decode { .. } => None,
        }
    }

    /// Whether repeating the call may help: nothing came back, or the service was at fault or busy.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Service(error) => {
                (error.status >= 500 && error.status != 501)
                    || error.status == 429
                    || error.code.contains("Throttl")
            }
            Self::Transport { .. } => true,
            Self::Decode { status, .. } => *status >= 500,
        }
    }
}

/// One call: encode, send, decode.
pub(crate) async fn call<T: Transport, Q: Shaped, R: Shaped>(
    transport: &T,
    service: &'static ServiceFacts,
    operation: &'static OperationFacts,
    request: &Q,
) -> Result<R, ClientError> {
    let name = operation.name;
    let unreadable = |status, reason| ClientError::Decode { operation: name, status, reason };
    let protocol = service.protocol();
    let body = match protocol {
        Protocol::Query | Protocol::Ec2 => query::encode_request(service, operation, request),
        _ => serde_json::to_vec(request).map_err(|error| error.to_string()),
    }
    .map_err(|reason| ClientError::Transport {
        operation: name,
        source: TransportError::message(format!("encode the request: {reason}")),
    })?;
    let (status, body) = transport
        .call(service, name, body, protocol)
        .await
        .map_err(|source| ClientError::Transport { operation: name, source })?;
    if !(200..300).contains(&status) {
        let error = match protocol {
            Protocol::Query | Protocol::Ec2 => query::decode_error(status, &body),
            _ => json::decode_error(status, &body),
        };
        return Err(error.map_or_else(|reason| unreadable(status, reason), ClientError::Service));
    }
    match protocol {
        Protocol::Query | Protocol::Ec2 => query::decode_response(operation, &body),
        _ => crate::codec::parse(&body)
            .and_then(serde_json::from_value)
            .map_err(|error| error.to_string()),
    }
    .map_err(|reason| unreadable(status, reason))
}
