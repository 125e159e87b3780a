//! HTTP and signing under the generated clients.

use std::sync::Arc;
use std::time::Duration;

use auth::{Outgoing, Scope, sign};
use aws::{Protocol, ServiceFacts, Transport, TransportError};
use shell::Clock;

use crate::Connection;

/// The SHA-256 of nothing, which S3 wants to be told of a request without a body.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

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

    /// The same server and connections with other keys.
    #[must_use]
    pub fn with(&self, credentials: auth::Credentials) -> Self {
        let connection = Connection { credentials, ..self.connection.clone() };
        Self { client: self.client.clone(), connection, clock: Arc::clone(&self.clock) }
    }

    /// Reads an object by S3's GetObject, path-style: `path` is `/bucket/key`, percent-encoded.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn object(&self, path: &str) -> Result<(u16, Vec<u8>), TransportError> {
        let url = format!("{}{path}", self.connection.endpoint.trim_end_matches('/'));
        let attempt = || format!("reach {}", self.connection.endpoint);
        let mut request =
            Outgoing::to("GET", &url).map_err(|e| TransportError::new("sign the request", e))?;
        request.headers.push(("x-amz-content-sha256".to_owned(), EMPTY_SHA256.to_owned()));
        let scope = Scope::new(self.connection.region.clone(), "s3");
        sign(&mut request, &[], &self.connection.credentials, &scope, self.clock.now());
        let mut get = self.client.get(&url);
        for (name, value) in request.headers.iter().filter(|(name, _)| name != "host") {
            get = get.header(name, value);
        }
        let response = get.send().await.map_err(|e| TransportError::new(attempt(), e))?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|e| TransportError::new(attempt(), e))?;
        Ok((status, body.to_vec()))
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
