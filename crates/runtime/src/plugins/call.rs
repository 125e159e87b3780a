//! One question to a plugin: JSON by HTTP, over a connection of its own.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::Place;

/// What Docker says of the bodies.
const KIND: &str = "application/vnd.docker.plugins.v1.2+json";
/// An answer is never larger.
const MOST: usize = 4 << 20;

/// Asks and reads the answer; a refusal is the plugin's words.
pub(super) async fn call<Q: Serialize, A: DeserializeOwned>(
    place: &Place,
    path: &str,
    question: &Q,
) -> Result<A, String> {
    let body = serde_json::to_vec(question).map_err(|error| error.to_string())?;
    let unreachable = |error: io::Error| format!("it cannot be reached: {error}");
    let (status, answer) = match place {
        Place::Socket(socket) => {
            let stream = UnixStream::connect(socket).await.map_err(unreachable)?;
            exchange(stream, path, body).await
        }
        Place::Tcp(host) => {
            let stream = TcpStream::connect(host).await.map_err(unreachable)?;
            exchange(stream, path, body).await
        }
    }?;
    if let Some(words) = refusal(&answer) {
        return Err(words);
    }
    if status != 200 {
        let text = String::from_utf8_lossy(&answer);
        return Err(format!("it answered HTTP {status}: {}", text.trim()));
    }
    serde_json::from_slice(&answer)
        .map_err(|error| format!("its answer is not understood: {error}"))
}

/// The words of a refusal: `Err` of the answer, if it has any.
fn refusal(answer: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
    let words = answer.get("Err")?.as_str()?;
    (!words.is_empty()).then(|| words.to_owned())
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    path: &str,
    body: Vec<u8>,
) -> Result<(u16, Bytes), String> {
    let failed = |error: hyper::Error| format!("it does not answer: {}", stdx::chain(&error));
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(failed)?;
    let carried = tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, "plugin")
        .header(ACCEPT, KIND)
        .header(CONTENT_TYPE, KIND)
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(failed)?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), MOST).collect().await;
    carried.abort();
    let body = body.map_err(|error| format!("its answer broke off: {error}"))?;
    Ok((status, body.to_bytes()))
}
