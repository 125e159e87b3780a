//! The session's websocket, and the next one when it breaks.

use anyhow::{Context, Result, bail};
use aws::ClientError;
use aws::ssm::{Client, ResumeSessionRequest};
use channel::OpenDataChannel;
use futures_util::SinkExt;
use shell::OsEntropy;
use stdx::{Backoff, Entropy};
use tokio::net::TcpStream;
use tokio::time::{Duration, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::HttpTransport;

/// The server keeps a session whose client is away for two minutes.
const AWAY: Duration = Duration::from_secs(120);

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Where a session is, and how it is found again.
pub(super) struct Line {
    pub(super) url: String,
    pub(super) session: String,
    pub(super) ssm: Client<HttpTransport>,
}

impl Line {
    /// Opens a websocket and shows the token.
    pub(super) async fn open(&self, token: String) -> Result<Socket> {
        let (mut socket, _) = tokio_tungstenite::connect_async(&self.url)
            .await
            .with_context(|| format!("open the session's websocket at {}", self.url))?;
        let hello = OpenDataChannel {
            message_schema_version: "1.0".to_owned(),
            request_id: OsEntropy.uuid(),
            token_value: token,
            client_id: OsEntropy.uuid(),
            client_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        socket.send(Message::text(hello.text())).await.context("begin the session")?;
        Ok(socket)
    }

    /// The next websocket of a session whose last one broke.
    ///
    /// # Errors
    /// The server stays away, or the session is over.
    pub(super) async fn resume(&self) -> Result<Socket> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let again = async {
            loop {
                let request = ResumeSessionRequest { session_id: Some(self.session.clone()) };
                match self.ssm.resume_session(request).await {
                    Ok(answer) => match answer.token_value {
                        Some(token) => {
                            if let Ok(socket) = self.open(token).await {
                                return Ok(socket);
                            }
                        }
                        None => bail!("the connection broke, and the session ended meanwhile"),
                    },
                    Err(error) if refused(&error) => {
                        return Err(error).context("resume the session after its connection broke");
                    }
                    Err(_) => {}
                }
                sleep(backoff.delay(&mut OsEntropy)).await;
            }
        };
        match timeout(AWAY, again).await {
            Ok(result) => result,
            Err(_) => bail!("the connection to the server broke, and it stays away"),
        }
    }
}

/// Whether the server has answered, and will not answer otherwise.
fn refused(error: &ClientError) -> bool {
    error.service().is_some_and(|service| service.status < 500)
}
