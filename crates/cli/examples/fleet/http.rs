//! Signed calls over kept connections of HTTP/1.1, with as little work for each as can be: the processor
//! is shared with the server that is measured.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use auth::{Outgoing, Scope, sign};
use cli::Connection;
use shell::{Clock, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest head of an answer.
const LONGEST_HEAD: usize = 16 * 1024;

/// Where the server is and how calls to it are signed.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) connection: Connection,
    /// `host:port`.
    pub(crate) address: String,
    scope: Scope,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The error's type, or the status.
    pub(crate) fn outcome(&self) -> String {
        if self.status == 200 {
            return "200".to_owned();
        }
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let kind = body["__type"].as_str().unwrap_or("?");
        format!("{} {kind}", self.status)
    }

    /// The body of a good answer.
    pub(crate) fn json(&self) -> Result<serde_json::Value> {
        if self.status != 200 {
            bail!("{}: {}", self.outcome(), String::from_utf8_lossy(&self.body));
        }
        serde_json::from_slice(&self.body).context("read an answer")
    }
}

impl Server {
    pub(crate) fn new(connection: Connection) -> Result<Self> {
        let address = connection.endpoint.strip_prefix("http://").context("an http:// endpoint")?;
        let address = address.trim_end_matches('/').to_owned();
        let scope = Scope::new(connection.region.clone(), "ecs");
        Ok(Self { connection, address, scope })
    }

    /// The bytes of a signed call.
    pub(crate) fn request(&self, operation: &str, body: &[u8]) -> Vec<u8> {
        let mut signed = Outgoing {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            query: String::new(),
            headers: vec![
                ("host".to_owned(), self.address.clone()),
                ("content-type".to_owned(), "application/x-amz-json-1.1".to_owned()),
                (
                    "x-amz-target".to_owned(),
                    format!("AmazonEC2ContainerServiceV20141113.{operation}"),
                ),
            ],
        };
        sign(&mut signed, body, &self.connection.credentials, &self.scope, SystemClock.now());
        let mut bytes = Vec::with_capacity(640 + body.len());
        bytes.extend_from_slice(b"POST / HTTP/1.1\r\n");
        for (name, value) in &signed.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        bytes
    }
}

/// One kept connection.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Link {
    pub(crate) async fn open(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) async fn call(&mut self, request: &[u8]) -> std::io::Result<Answer> {
        let odd = |why: &str| std::io::Error::other(why.to_owned());
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(odd("the server closed the connection"));
            }
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            if self.buffer.len() > LONGEST_HEAD {
                return Err(odd("the head of the answer is too long"));
            }
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| odd("the answer has no status"))?;
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|length| length.trim().parse::<usize>().ok())
            .ok_or_else(|| odd("the answer has no length"))?;
        while self.buffer.len() < head + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(odd("the answer broke off"));
            }
        }
        Ok(Answer { status, body: self.buffer[head..head + length].to_vec() })
    }
}

/// Connections that are kept while nobody uses them.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    pub(crate) server: Arc<Server>,
    idle: Arc<Mutex<Vec<Link>>>,
}

impl Pool {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        Self { server, idle: Arc::default() }
    }

    /// Calls an operation with a body of JSON.
    pub(crate) async fn call(&self, operation: &str, body: &[u8]) -> std::io::Result<Answer> {
        let request = self.server.request(operation, body);
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut link = match kept {
            Some(link) => link,
            None => Link::open(&self.server.address).await?,
        };
        let answer = link.call(&request).await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(link);
        Ok(answer)
    }

    /// The same for what has to succeed.
    pub(crate) async fn ask(
        &self,
        operation: &str,
        body: &serde_json::Value,
    ) -> Result<serde_json::Value> {
        let answer = self.call(operation, body.to_string().as_bytes()).await;
        answer.context("reach the server")?.json().with_context(|| operation.to_owned())
    }
}
