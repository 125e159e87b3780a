//! HTTP and signing under the generated clients.

use std::sync::Arc;
use std::time::Duration;

use auth::{Outgoing, Scope, sign};
use aws::{Protocol, ServiceFacts, Transport, TransportError};
use shell::Clock;

use crate::Connection;

/// Sends signed calls to one server.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    client: reqwest::Client,
    connection: Connection,
    clock: Arc<dyn Clock>,
}

impl HttpTransport {
    /// A transport to a server. Connections are kept and used again.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(connection: Connection, clock: Arc<dyn Clock>) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(60))
            .no_proxy()
            .build()?;
        Ok(Self { client, connection, clock })
    }

    /// The server and the keys.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    fn request(
        &self,
        service: &ServiceFacts,
        operation: &str,
        body: &[u8],
        content: Protocol,
    ) -> Result<Outgoing, TransportError> {
        let mut request = Outgoing::to("POST", &self.connection.endpoint)
            .map_err(|e| TransportError::new("sign the request", e))?;
        let mut header = |name: &str, value: String| request.headers.push((name.to_owned(), value));
        header("content-type", content.request_type().to_owned());
        if let Some(prefix) = service.target_prefix {
            header("x-amz-target", format!("{prefix}.{operation}"));
        }
        let scope = Scope::new(self.connection.region.clone(), service.signing_name);
        sign(&mut request, body, &self.connection.credentials, &scope, self.clock.now());
        Ok(request)
    }
}

impl Transport for HttpTransport {
    async fn call(
        &self,
        service: &'static ServiceFacts,
        operation: &'static str,
        body: Vec<u8>,
        content: Protocol,
    ) -> Result<(u16, Vec<u8>), TransportError> {
        let endpoint = &self.connection.endpoint;
        let signed = self.request(service, operation, &body, content)?;
        let mut request = self.client.post(endpoint);
        for (name, value) in signed.headers.iter().filter(|(name, _)| name != "host") {
            request = request.header(name, value);
        }
        let attempt = || format!("reach {endpoint}");
        let response =
            request.body(body).send().await.map_err(|e| TransportError::new(attempt(), e))?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|e| TransportError::new(attempt(), e))?;
        Ok((status, body.to_vec()))
    }
}
