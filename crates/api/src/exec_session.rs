//! One session of ExecuteCommand: passes frames between its two ends for as long as both are here,
//! and waits for the one that is away.
//!
//! A frame that is under way when a websocket breaks is lost here and made good by the ends: neither
//! forgets what was not acknowledged. A client comes back by ResumeSession, or takes over from a
//! websocket that only seems to stand; the agent comes back by itself.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use channel::MessageType;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use shell::{OsEntropy, Shutdown};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::door::Door;
use crate::exec_life::{Life, Why};
use crate::exec_log::Tap;

/// Farewells may take so long.
const FAREWELL: Duration = Duration::from_secs(2);
/// An agent in the same process goes down with the server, and may say so within this time.
const GRACE: Duration = Duration::from_millis(500);
/// Output that is to be logged is stored so often, at least.
const LOG_EVERY: Duration = Duration::from_secs(2);
/// RFC 6455, 7.4.1.
const NORMAL: u16 = 1000;
/// Registered with IANA: who reads it comes back.
const RESTART: u16 = 1012;

/// Who comes to a session.
#[derive(Debug)]
pub(crate) enum Comes {
    /// A client that has shown its token.
    Client(Box<WebSocket>),
    /// The agent of the task's node.
    Agent(Box<WebSocket>),
    /// Nobody: the session is to end.
    End,
}

/// A websocket, by its two directions.
struct Line {
    sink: SplitSink<WebSocket, Message>,
    source: SplitStream<WebSocket>,
}

impl Line {
    fn of(socket: WebSocket) -> Self {
        let (sink, source) = socket.split();
        Self { sink, source }
    }

    /// Closes it without waiting long; the other end may be gone.
    async fn close(mut self, code: u16) {
        let frame = CloseFrame { code, reason: "".into() };
        drop(timeout(FAREWELL, self.sink.send(Message::Close(Some(frame)))).await);
        // What has come and was not read would turn the end of the connection into a reset, which
        // takes along what the other end has not read yet.
        tokio::spawn(timeout(FAREWELL, async move {
            while let Some(Ok(_)) = self.source.next().await {}
        }));
    }
}

/// What ended a stretch of time in which both ends were here.
enum Parted {
    /// The websocket broke.
    Client,
    /// The client closed it: that is the session's end.
    ClientLeft,
    Agent,
    AgentLeft,
    Came(Comes),
    /// Time has run out.
    Time,
    Shutdown,
}

/// A session and its ends.
pub(crate) struct Live<'a> {
    pub(crate) door: &'a Door,
    pub(crate) id: &'a str,
    pub(crate) life: Life,
    pub(crate) comes: mpsc::Receiver<Comes>,
    pub(crate) shutdown: Shutdown,
    pub(crate) tap: Option<Tap>,
    client: Option<Line>,
    agent: Option<Line>,
}

/// How a session ended here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// For good.
    Over(Why),
    /// The server goes down; both ends may find each other at the next.
    Left,
}

impl<'a> Live<'a> {
    pub(crate) fn new(
        door: &'a Door,
        id: &'a str,
        life: Life,
        comes: mpsc::Receiver<Comes>,
        shutdown: Shutdown,
        tap: Option<Tap>,
    ) -> Self {
        Self { door, id, life, comes, shutdown, tap, client: None, agent: None }
    }

    /// Lives to the end, however often the ends go and come back.
    pub(crate) async fn run(mut self) -> Ended {
        let ended = loop {
            let parted = if self.client.is_some() && self.agent.is_some() {
                self.both().await
            } else {
                self.alone().await
            };
            let now = Instant::now();
            match parted {
                Parted::Came(Comes::Client(socket)) => self.client_comes(*socket).await,
                Parted::Came(Comes::Agent(socket)) => {
                    self.agent = Some(Line::of(*socket));
                    self.life.agent_comes();
                    self.start().await;
                }
                Parted::Came(Comes::End) => break Ended::Over(Why::Terminated),
                Parted::Client => self.client_goes(now).await,
                Parted::Agent => {
                    self.agent = None;
                    self.life.agent_goes(now);
                }
                Parted::ClientLeft => break Ended::Over(Why::ClientGone),
                Parted::AgentLeft => break Ended::Over(Why::Closed),
                Parted::Time => {
                    let (at, why) = self.life.end();
                    if at <= now {
                        break Ended::Over(why);
                    }
                }
                Parted::Shutdown => break Ended::Left,
            }
            self.door.exec().mark(self.id, self.life.client_away());
        };
        self.farewell(ended).await;
        ended
    }

    async fn client_comes(&mut self, socket: WebSocket) {
        // Who comes with a new token takes over from a websocket that only seems to stand.
        if let Some(old) = self.client.replace(Line::of(socket)) {
            old.close(NORMAL).await;
        }
        self.life.client_comes(Instant::now());
        self.start().await;
    }

    async fn client_goes(&mut self, now: Instant) {
        self.client = None;
        self.life.client_goes(now);
        self.tell_agent(MessageType::PausePublication).await;
    }

    /// Tells the agent that its client is here: it greets, or repeats what may have been lost.
    async fn start(&mut self) {
        if self.client.is_some() {
            self.tell_agent(MessageType::StartPublication).await;
        }
    }

    async fn tell_agent(&mut self, kind: MessageType) {
        let Some(agent) = &mut self.agent else { return };
        let frame = channel::control(kind, Vec::new(), self.door.now(), &mut OsEntropy);
        // That it is gone is seen when it is read from.
        drop(timeout(FAREWELL, agent.sink.send(Message::Binary(frame.into()))).await);
    }

    /// At most one end is here: what it says is not passed on, and so not acknowledged.
    async fn alone(&mut self) -> Parted {
        let (until, _) = self.life.end();
        let client = async {
            match &mut self.client {
                Some(line) => silence(line).await,
                None => std::future::pending().await,
            }
        };
        let agent = async {
            match &mut self.agent {
                Some(line) => silence(line).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // The end of the sender is that of the session's place: somebody has ended it.
            came = self.comes.recv() => Parted::Came(came.unwrap_or(Comes::End)),
            left = client => if left { Parted::ClientLeft } else { Parted::Client },
            left = agent => if left { Parted::AgentLeft } else { Parted::Agent },
            () = sleep_until(until) => Parted::Time,
            () = self.shutdown.wait() => Parted::Shutdown,
        }
    }

    /// Both are here. The directions go by themselves, so that neither waits for the other.
    async fn both(&mut self) -> Parted {
        let (Some(client), Some(agent)) = (&mut self.client, &mut self.agent) else {
            return Parted::Time;
        };
        let life = Mutex::new(self.life);
        let (door, tap) = (self.door, &mut self.tap);
        let down = down(door, &mut agent.source, &mut client.sink, tap, &life);
        let up = up(&mut client.source, &mut agent.sink, &life);
        let mut grace = self.shutdown.clone();
        let parted = tokio::select! {
            parted = up => parted,
            parted = down => parted,
            came = self.comes.recv() => Parted::Came(came.unwrap_or(Comes::End)),
            () = time(&life) => Parted::Time,
            () = async {
                grace.wait().await;
                tokio::time::sleep(GRACE).await;
            } => Parted::Shutdown,
        };
        self.life = life.into_inner().unwrap_or_else(PoisonError::into_inner);
        parted
    }

    /// Tells both ends, as far as they are here.
    async fn farewell(&mut self, ended: Ended) {
        let code = match ended {
            Ended::Over(_) => NORMAL,
            Ended::Left => RESTART,
        };
        if let Some(mut client) = self.client.take() {
            if let Ended::Over(why) = ended
                && !why.words().is_empty()
            {
                farewell(self.door, self.id, &mut client.sink, why.words()).await;
            }
            client.close(code).await;
        }
        if let Some(agent) = self.agent.take() {
            agent.close(code).await;
        }
        if let Some(tap) = self.tap.take() {
            match ended {
                Ended::Over(_) => tap.end(self.door.now()).await,
                Ended::Left => tap.leave(self.door.now()).await,
            }
        }
    }
}

/// Tells a client why its session is over.
pub(crate) async fn farewell(
    door: &Door,
    session: &str,
    client: &mut (impl futures_util::Sink<Message, Error = axum::Error> + Unpin),
    words: &str,
) {
    let frame = channel::closing(session, words, door.now(), &mut OsEntropy);
    // A client that is gone or does not read needs no telling.
    drop(timeout(FAREWELL, client.send(Message::Binary(frame.into()))).await);
}

/// Reads until the websocket ends; whether it was closed in so many words.
async fn silence(line: &mut Line) -> bool {
    while let Some(Ok(message)) = line.source.next().await {
        if let Message::Close(frame) = message {
            return is_end(frame.as_ref());
        }
    }
    false
}

/// A websocket that is closed as RFC 6455 has it ends the session; any other end is a break.
fn is_end(frame: Option<&CloseFrame>) -> bool {
    frame.is_none_or(|frame| frame.code == NORMAL)
}

/// Ends when the time of a session has run out.
async fn time(life: &Mutex<Life>) {
    loop {
        let (until, _) = life.lock().unwrap_or_else(PoisonError::into_inner).end();
        if Instant::now() >= until {
            return;
        }
        sleep_until(until).await;
    }
}

fn heard(life: &Mutex<Life>) {
    life.lock().unwrap_or_else(PoisonError::into_inner).heard(Instant::now());
}

/// From the client to the agent.
async fn up(
    from: &mut SplitStream<WebSocket>,
    to: &mut SplitSink<WebSocket, Message>,
    life: &Mutex<Life>,
) -> Parted {
    while let Some(Ok(message)) = from.next().await {
        match message {
            Message::Binary(_) => heard(life),
            // Who it is has been told, and pings are this websocket's own.
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(frame) if is_end(frame.as_ref()) => return Parted::ClientLeft,
            Message::Close(_) => return Parted::Client,
        }
        if to.send(message).await.is_err() {
            return Parted::Agent;
        }
    }
    Parted::Client
}

/// From the agent to the client.
async fn down(
    door: &Door,
    from: &mut SplitStream<WebSocket>,
    to: &mut SplitSink<WebSocket, Message>,
    tap: &mut Option<Tap>,
    life: &Mutex<Life>,
) -> Parted {
    let mut store = tokio::time::interval(LOG_EVERY);
    loop {
        let message = tokio::select! {
            next = from.next() => match next {
                Some(Ok(message)) => message,
                None | Some(Err(_)) => return Parted::Agent,
            },
            _ = store.tick(), if tap.is_some() => {
                if let Some(tap) = tap {
                    tap.flush().await;
                }
                continue;
            }
        };
        let bytes = match &message {
            Message::Binary(bytes) => bytes,
            Message::Close(frame) if is_end(frame.as_ref()) => return Parted::AgentLeft,
            Message::Close(_) => return Parted::Agent,
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) => continue,
        };
        heard(life);
        if let Some(tap) = tap
            && tap.see(bytes, door.now())
        {
            tap.flush().await;
        }
        let last = channel::is_closing(bytes);
        if to.send(message).await.is_err() {
            return Parted::Client;
        }
        if last {
            return Parted::AgentLeft;
        }
    }
}
