//! Opening a websocket by a signed handshake.

use std::time::Duration;

use aws::agent::acs::Rejection;
use futures_util::SinkExt;
use shell::Clock;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::End;
use crate::config::Signer;

/// A websocket to the server.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const HANDSHAKE: Duration = Duration::from_secs(30);

/// The URL to be signed for and to be opened: the base that the server told, and its query.
pub(super) fn url(base: &str, query: &str) -> String {
    format!("{}/ws?{query}", base.trim_end_matches('/'))
}

/// The same URL with a websocket's scheme.
fn websocket(url: &str) -> String {
    match url.split_once("://") {
        Some(("http", rest)) => format!("ws://{rest}"),
        Some(("https", rest)) => format!("wss://{rest}"),
        _ => url.to_owned(),
    }
}

/// Opens a websocket.
///
/// # Errors
/// How the session ended before it began; why is told to the log.
pub(super) async fn open(url: &str, signer: &dyn Signer, clock: &dyn Clock) -> Result<Socket, End> {
    let failed = |why: String| {
        let place = url.split('?').next().unwrap_or(url);
        tracing::warn!(url = place, why, "A session with the server could not be opened.");
        End::Failed
    };
    let request = signed(url, signer, clock).map_err(failed)?;
    match tokio::time::timeout(HANDSHAKE, connect_async(request)).await {
        Err(_) => Err(failed("no answer within 30 s".to_owned())),
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(Error::Http(response))) => {
            let body = response.body().as_deref().unwrap_or_default();
            let body = String::from_utf8_lossy(body);
            match Rejection::parse(&body) {
                Some((Rejection::InactiveInstance, why)) => {
                    tracing::error!(why, "The server says that this instance is deregistered.");
                    Err(End::Inactive)
                }
                Some((reason, why)) => Err(failed(format!("{}: {why}", reason.as_str()))),
                None => Err(failed(format!("HTTP {}: {body}", response.status()))),
            }
        }
        Ok(Err(error)) => Err(failed(stdx::chain(&error))),
    }
}

/// Opens the websocket of a session of ExecuteCommand.
///
/// # Errors
/// The status with which the server refused it, if it did; why is told to the log.
pub(super) async fn open_exec(
    url: &str,
    signer: &dyn Signer,
    clock: &dyn Clock,
) -> Result<Socket, Option<u16>> {
    let failed = |why: String| {
        let place = url.split('?').next().unwrap_or(url);
        tracing::warn!(url = place, why, "A session of ExecuteCommand could not reach the server.");
        None
    };
    let request = signed(url, signer, clock).map_err(failed)?;
    match tokio::time::timeout(HANDSHAKE, connect_async(request)).await {
        Err(_) => Err(failed("no answer within 30 s".to_owned())),
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(Error::Http(response))) => {
            failed(format!("HTTP {}", response.status()));
            Err(Some(response.status().as_u16()))
        }
        Ok(Err(error)) => Err(failed(stdx::chain(&error))),
    }
}

/// The request of a signed handshake.
fn signed(url: &str, signer: &dyn Signer, clock: &dyn Clock) -> Result<Request, String> {
    let mut request = websocket(url).into_client_request().map_err(|error| error.to_string())?;
    let signed = signer.sign(url, b"", clock.now()).map_err(|error| error.to_string())?;
    for (name, value) in signed {
        let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
        let value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

/// Sends a text frame.
///
/// # Errors
/// The session is over.
pub(super) async fn send(socket: &mut Socket, text: String) -> Result<(), End> {
    socket.send(Message::text(text)).await.map_err(|_| End::Closed(None))
}

/// Says that the session is over, as the ECS agent does.
pub(super) async fn close(socket: &mut Socket, reason: &'static str) {
    let frame = CloseFrame { code: CloseCode::Normal, reason: reason.into() };
    // The other side may be gone; a server that does not read must not hold us up.
    drop(tokio::time::timeout(Duration::from_secs(1), socket.close(Some(frame))).await);
}

/// The text in what was received, if it is any.
///
/// # Errors
/// The session is over.
pub(super) fn text(received: Option<Result<Message, Error>>) -> Result<Option<String>, End> {
    match received {
        None | Some(Err(_)) => Err(End::Closed(None)),
        Some(Ok(Message::Close(frame))) => Err(End::Closed(frame.map(|frame| frame.code.into()))),
        Some(Ok(Message::Text(text))) => Ok(Some(text.to_string())),
        Some(Ok(_)) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_follow_the_base() {
        assert_eq!(url("http://h:1/acs/", "a=b"), "http://h:1/acs/ws?a=b");
        assert_eq!(websocket("http://h:1/acs/ws?a=b"), "ws://h:1/acs/ws?a=b");
        assert_eq!(websocket("https://h/ws"), "wss://h/ws");
    }
}
