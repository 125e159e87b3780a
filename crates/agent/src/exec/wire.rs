//! A session's end on this node, over one websocket after another.
//!
//! A websocket that breaks takes nothing with it: the program runs on, the server is dialled again,
//! and once it says that the client is there too, both ends repeat what was not acknowledged.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use channel::{AgentEvent, AgentSide};
use futures_util::{SinkExt, StreamExt};
use shell::{Clock, OsEntropy};
use stdx::{Backoff, Timestamp};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::session::Socket;

/// What was sent is waited for so long at the end.
const FAREWELL: Duration = Duration::from_secs(5);
/// The other end closes a websocket within this time after this one has.
const LINGER: Duration = Duration::from_secs(1);
/// A server that is away is dialled again for so long.
const AWAY: Duration = Duration::from_secs(120);
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The session is over for the server, or was away for too long.
pub(crate) struct Gone;

/// Opens the session's next websocket.
#[async_trait]
pub(crate) trait Dial: Send + Sync {
    /// Dials once.
    async fn dial(&self) -> Dialled;
}

/// What came of dialling.
pub(crate) enum Dialled {
    /// The server is there and knows the session.
    Up(Box<Socket>),
    /// It may be there later.
    Later,
    /// It does not want the session any more.
    Never,
}

/// Dials until the server is there; none if that takes too long or it says no.
async fn redial(dial: Arc<dyn Dial>) -> Option<Socket> {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let again = async {
        loop {
            match dial.dial().await {
                Dialled::Up(socket) => return Some(*socket),
                Dialled::Never => return None,
                Dialled::Later => sleep(backoff.delay(&mut OsEntropy)).await,
            }
        }
    };
    timeout(AWAY, again).await.ok().flatten()
}

enum Line {
    Up(Box<Socket>),
    /// One task dials; dropping it stops it.
    Down(JoinSet<Option<Socket>>),
}

/// One session and the websocket that carries it now.
pub(crate) struct Wire<'a> {
    line: Line,
    /// None in tests that have no second websocket.
    dial: Option<Arc<dyn Dial>>,
    pub(crate) side: AgentSide,
    pub(crate) clock: &'a dyn Clock,
}

impl<'a> Wire<'a> {
    pub(crate) fn new(
        socket: Socket,
        dial: Option<Arc<dyn Dial>>,
        session: &str,
        clock: &'a dyn Clock,
    ) -> Self {
        Self { line: Line::Up(Box::new(socket)), dial, side: AgentSide::new(session), clock }
    }

    /// Sends what is ready. While the line is down it stays where it is.
    pub(crate) async fn flush(&mut self) -> Result<(), Gone> {
        let Line::Up(socket) = &mut self.line else { return Ok(()) };
        while let Some(frame) = self.side.next_frame() {
            if socket.feed(Message::binary(frame)).await.is_err() {
                return self.cut();
            }
        }
        if socket.flush().await.is_err() { self.cut() } else { Ok(()) }
    }

    /// The websocket broke.
    fn cut(&mut self) -> Result<(), Gone> {
        let dial = self.dial.clone().ok_or(Gone)?;
        self.side.cut();
        let mut dialling = JoinSet::new();
        dialling.spawn(redial(dial));
        self.line = Line::Down(dialling);
        Ok(())
    }

    /// What comes next from the client. Nothing is lost when this is dropped.
    pub(crate) async fn receive(&mut self) -> Result<Vec<AgentEvent>, Gone> {
        loop {
            match &mut self.line {
                Line::Up(socket) => match socket.next().await {
                    Some(Ok(Message::Binary(frame))) => return Ok(self.take(&frame)),
                    Some(Ok(Message::Close(frame))) if is_end(frame.as_ref()) => return Err(Gone),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => self.cut()?,
                    Some(Ok(_)) => return Ok(Vec::new()),
                },
                Line::Down(dialling) => match dialling.join_next().await {
                    Some(Ok(Some(socket))) => self.line = Line::Up(Box::new(socket)),
                    Some(Ok(None) | Err(_)) | None => return Err(Gone),
                },
            }
        }
    }

    fn take(&mut self, frame: &[u8]) -> Vec<AgentEvent> {
        let taken = self.side.receive(frame, self.clock.now(), &mut OsEntropy);
        taken.unwrap_or_else(|error| {
            tracing::debug!(%error, "A frame of a session cannot be read.");
            Vec::new()
        })
    }

    /// Until something is to be sent again.
    pub(crate) async fn due(due: Option<Timestamp>, now: Timestamp) {
        match due {
            Some(at) => sleep(at.since(now)).await,
            None => std::future::pending().await,
        }
    }

    /// Ends the session with words for the user, once all else has arrived. A client that is away
    /// for a while is waited for; the relay says when that is too long.
    pub(crate) async fn close(&mut self, words: &str) -> Result<(), Gone> {
        self.flush().await?;
        let mut patience = Instant::now() + FAREWELL;
        while !self.side.is_settled() {
            let paused = self.side.is_paused();
            let (due, now) = (self.side.due(), self.clock.now());
            tokio::select! {
                received = self.receive() => drop(received?),
                () = Self::due(due, now) => self.side.tick(self.clock.now()).map_err(|_| Gone)?,
                () = sleep_until(patience), if !paused => break,
            }
            if paused && !self.side.is_paused() {
                patience = Instant::now() + FAREWELL;
            }
            self.flush().await?;
        }
        self.leave(words).await
    }

    /// Ends the session at once.
    pub(crate) async fn leave(&mut self, words: &str) -> Result<(), Gone> {
        self.side.close(words, self.clock.now(), &mut OsEntropy);
        self.flush().await?;
        let Line::Up(socket) = &mut self.line else { return Err(Gone) };
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let sent = timeout(FAREWELL, (**socket).close(Some(frame)));
        sent.await.map_err(|_| Gone)?.map_err(|_| Gone)?;
        // What has come and was not read would turn the end of the connection into a reset, which takes
        // along what the relay has not read yet. A relay that does not close it as well has its time.
        drop(timeout(LINGER, async { while let Some(Ok(_)) = socket.next().await {} }).await);
        Ok(())
    }
}

/// Whether a closing means the session's end: the relay says so by an ordinary one. Any other, such as
/// of a server or a proxy that is restarted, is a break.
fn is_end(frame: Option<&CloseFrame>) -> bool {
    frame.is_none_or(|frame| frame.code == CloseCode::Normal)
}
