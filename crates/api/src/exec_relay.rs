//! Brings the two ends of an ExecuteCommand session together and passes frames between them.
//!
//! The client comes with the token that ExecuteCommand gave, once; the agent comes with its node's
//! signature. Frames pass unread, but for the log's tap.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws::Error;
use aws::agent::acs::ExecuteCommandMessage;
use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use channel::{MessageType, OpenDataChannel};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use model::{ContainerName, InstanceKey, TaskKey};
use shell::{OsEntropy, Shutdown};
use stdx::Entropy;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::door::Door;
use crate::exec::{Reach, too_many};
use crate::exec_log::Tap;

/// A client that has not come by then comes no more.
const TOKEN_LIFE: Duration = Duration::from_secs(60);
/// The agent is waited for so long once the client is there.
const AGENT_COMES: Duration = Duration::from_secs(30);
/// A session in which nothing is said ends, as ECS documents.
const IDLE: Duration = Duration::from_secs(20 * 60);
/// ECS's limit for a container.
const MOST_SESSIONS: usize = 2;
/// A frame is never larger.
const MOST_BYTES: usize = 1 << 20;
/// Output that is to be logged is stored so often, at least.
const LOG_EVERY: Duration = Duration::from_secs(2);
/// Farewells may take so long.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a session is for.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) container: (TaskKey, ContainerName),
    pub(crate) log_group: Option<String>,
}

/// The sessions of ExecuteCommand. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Exec(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    reach: Arc<dyn Reach>,
    shutdown: Shutdown,
    sessions: Mutex<BTreeMap<String, Entry>>,
    begun: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    opening: Opening,
    /// Gone once a client has come with it.
    token: Option<String>,
    /// Where the agent's websocket goes; gone once it has come.
    agent: Option<oneshot::Sender<WebSocket>>,
    /// Where it is waited for; gone once the client has come.
    comes: Option<oneshot::Receiver<WebSocket>>,
}

impl Exec {
    /// No sessions yet.
    pub fn new(reach: Arc<dyn Reach>, shutdown: Shutdown) -> Self {
        let (sessions, begun) = (Mutex::default(), AtomicU64::new(0));
        Self(Arc::new(Inner { reach, shutdown, sessions, begun }))
    }

    pub(crate) fn reach(&self, instance: &InstanceKey, message: ExecuteCommandMessage) -> bool {
        self.0.reach.execute(instance, message)
    }

    /// Makes room for a session: its id and its client's token.
    pub(crate) fn open(&self, door: &Door, opening: Opening) -> Result<(String, String), Error> {
        let mut chance = OsEntropy;
        let digits = format!("{}{}", chance.hex32(), chance.hex32());
        let session = format!("ecs-execute-command-{}", digits.get(..17).unwrap_or_default());
        let token = format!("{}{}", chance.hex32(), chance.hex32());
        let mut sessions = self.sessions();
        let same = |entry: &&Entry| entry.opening.container == opening.container;
        if sessions.values().filter(same).count() >= MOST_SESSIONS {
            return Err(too_many(&opening.container.1, MOST_SESSIONS));
        }
        let (agent, comes) = oneshot::channel();
        let entry =
            Entry { opening, token: Some(token.clone()), agent: Some(agent), comes: Some(comes) };
        sessions.insert(session.clone(), entry);
        drop(sessions);
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        let (door, id) = (door.clone(), session.clone());
        tokio::spawn(async move {
            sleep(TOKEN_LIFE).await;
            let waits = door.exec().sessions().get(&id).is_some_and(|e| e.token.is_some());
            if waits {
                tracing::info!(session = id, "Nobody came for an ExecuteCommand session.");
                door.exec().forget(&id);
            }
        });
        Ok((session, token))
    }

    /// Drops a session; an agent that waits for it is let go.
    pub(crate) fn forget(&self, session: &str) {
        self.sessions().remove(session);
    }

    /// How many there are, and how many there have been.
    pub(crate) fn counts(&self) -> (usize, u64) {
        (self.sessions().len(), self.0.begun.load(Ordering::Relaxed))
    }

    /// Spends a token.
    fn spend(&self, session: &str, given: &str) -> Option<(Opening, oneshot::Receiver<WebSocket>)> {
        let mut sessions = self.sessions();
        let entry = sessions.get_mut(session)?;
        let right = entry.token.as_ref().is_some_and(|token| same(token, given));
        if !right {
            return None;
        }
        entry.token = None;
        Some((entry.opening.clone(), entry.comes.take()?))
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares without telling by the time it takes where they differ.
fn same(token: &str, given: &str) -> bool {
    let differing = token.bytes().zip(given.bytes()).fold(0, |seen, (a, b)| seen | (a ^ b));
    token.len() == given.len() && differing == 0
}

/// `GET /v1/data-channel/{session}`: for clients, who show their token in the first frame.
pub(crate) fn client_routes() -> Router<Door> {
    Router::new().route("/v1/data-channel/{session}", get(client_comes))
}

/// `GET /exec/{session}`: for agents; the caller puts the check of signatures in front.
pub(crate) fn agent_routes() -> Router<Door> {
    Router::new().route("/exec/{session}", get(agent_comes))
}

async fn agent_comes(
    State(door): State<Door>,
    Path(session): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let waiting = door.exec().sessions().get_mut(&session).and_then(|entry| entry.agent.take());
    let Some(waiting) = waiting else {
        return (StatusCode::NOT_FOUND, "there is no such session, or its agent is here already\n")
            .into_response();
    };
    upgrade
        .max_message_size(MOST_BYTES)
        .on_upgrade(move |socket| async move {
            // The client may be gone; the agent sees its websocket end then.
            drop(waiting.send(socket));
        })
        .into_response()
}

async fn client_comes(
    State(door): State<Door>,
    Path(session): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade
        .max_message_size(MOST_BYTES)
        .on_upgrade(move |socket| async move {
            let why = serve(&door, &session, socket).await;
            tracing::info!(session, why, "An ExecuteCommand session has ended.");
        })
        .into_response()
}

/// A client's websocket, from its token to its end.
async fn serve(door: &Door, session: &str, mut client: WebSocket) -> &'static str {
    let Ok(Some(token)) = timeout(AGENT_COMES, first(&mut client)).await else {
        return "the client did not say who it is";
    };
    let Some((opening, comes)) = door.exec().spend(session, &token) else {
        let words = "The session's token is wrong, old or used: start another session.";
        farewell(door, session, &mut client, words).await;
        return "the client's token was refused";
    };
    let why = match timeout(AGENT_COMES, comes).await {
        Ok(Ok(agent)) => {
            let tap = match opening.log_group {
                Some(group) => Tap::begin(door.config().logs.clone(), group, session).await,
                None => None,
            };
            relay(door, session, client, agent, tap).await
        }
        Ok(Err(_)) | Err(_) => {
            let words = "The task's node did not open the session. Its agent's log says why.";
            farewell(door, session, &mut client, words).await;
            "the agent did not come"
        }
    };
    door.exec().forget(session);
    why
}

/// The token in the first frame.
async fn first(client: &mut WebSocket) -> Option<String> {
    loop {
        let opened = match client.recv().await?.ok()? {
            Message::Text(text) => OpenDataChannel::read(text.as_bytes()),
            Message::Binary(bytes) => OpenDataChannel::read(&bytes),
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return None,
        };
        return opened.ok().map(|opened| opened.token_value);
    }
}

/// Tells the client why its session is over.
async fn farewell(door: &Door, session: &str, client: &mut WebSocket, words: &str) {
    let frame = channel::closing(session, words, door.now(), &mut OsEntropy);
    let telling = async {
        client.send(Message::Binary(frame.into())).await?;
        client.send(Message::Close(None)).await
    };
    // A client that is gone or does not read needs no telling.
    drop(timeout(FAREWELL, telling).await);
}

type Sink = SplitSink<WebSocket, Message>;
type Source = SplitStream<WebSocket>;

/// Passes frames until one end is gone. Both directions go by themselves, so that neither waits for
/// the other.
async fn relay(
    door: &Door,
    session: &str,
    client: WebSocket,
    agent: WebSocket,
    mut tap: Option<Tap>,
) -> &'static str {
    let (mut to_client, from_client) = client.split();
    let (mut to_agent, from_agent) = agent.split();
    let kind = MessageType::StartPublication;
    let start = channel::control(kind, Vec::new(), door.now(), &mut OsEntropy);
    if to_agent.send(Message::Binary(start.into())).await.is_err() {
        return "the agent is gone";
    }
    let said = Mutex::new(Instant::now());
    let mut shutdown = door.exec().0.shutdown.clone();
    let (why, words) = tokio::select! {
        () = up(from_client, &mut to_agent, &said) => ("the client is gone", ""),
        closed = down(door, from_agent, &mut to_client, &mut tap, &said) => match closed {
            true => ("it was closed", ""),
            false => ("the agent is gone", "The connection to the task's node was lost."),
        },
        () = idle(&said) => ("nothing was said", "The session was idle for 20 minutes."),
        () = shutdown.wait() => ("the server shuts down", "The server is shutting down."),
    };
    if !words.is_empty() {
        let frame = channel::closing(session, words, door.now(), &mut OsEntropy);
        drop(timeout(FAREWELL, to_client.send(Message::Binary(frame.into()))).await);
    }
    drop(timeout(FAREWELL, to_client.send(Message::Close(None))).await);
    drop(timeout(FAREWELL, to_agent.send(Message::Close(None))).await);
    if let Some(tap) = tap {
        tap.end(door.now()).await;
    }
    why
}

/// Ends when nothing has been said for long.
async fn idle(said: &Mutex<Instant>) {
    loop {
        let until = *said.lock().unwrap_or_else(PoisonError::into_inner) + IDLE;
        if Instant::now() >= until {
            return;
        }
        sleep_until(until).await;
    }
}

fn heard(said: &Mutex<Instant>) {
    *said.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
}

/// From the client to the agent.
async fn up(mut from: Source, to: &mut Sink, said: &Mutex<Instant>) {
    while let Some(Ok(message)) = from.next().await {
        match message {
            Message::Binary(_) => heard(said),
            // Who it is has been told, and pings are this websocket's own.
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return,
        }
        if to.send(message).await.is_err() {
            return;
        }
    }
}

/// From the agent to the client; whether the agent closed the session itself.
async fn down(
    door: &Door,
    mut from: Source,
    to: &mut Sink,
    tap: &mut Option<Tap>,
    said: &Mutex<Instant>,
) -> bool {
    let mut store = tokio::time::interval(LOG_EVERY);
    loop {
        let message = tokio::select! {
            next = from.next() => match next {
                Some(Ok(message)) => message,
                None | Some(Err(_)) => return false,
            },
            _ = store.tick(), if tap.is_some() => {
                if let Some(tap) = tap {
                    tap.flush().await;
                }
                continue;
            }
        };
        let Message::Binary(bytes) = &message else {
            if matches!(message, Message::Close(_)) {
                return true;
            }
            continue;
        };
        heard(said);
        if let Some(tap) = tap
            && tap.see(bytes, door.now())
        {
            tap.flush().await;
        }
        if to.send(message).await.is_err() {
            return true;
        }
    }
}
