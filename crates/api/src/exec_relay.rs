//! The sessions of ExecuteCommand, and the two doors by which their ends come.
//!
//! The client comes with the token that ExecuteCommand gave, or that ResumeSession gives when its
//! websocket broke; each is good for once. The agent comes with its node's signature; after a restart
//! of the server it brings back a session that the server has forgotten. Nothing here is stored.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws::Error;
use aws::agent::acs::{ExecConnectQuery, ExecuteCommandMessage};
use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use channel::OpenDataChannel;
use http::StatusCode;
use model::{ContainerName, InstanceKey, TaskKey};
use shell::{OsEntropy, Shutdown};
use stdx::{Entropy, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use crate::door::Door;
use crate::exec::{self, Reach, too_many};
use crate::exec_life::Life;
use crate::exec_log::{Tap, Target};
use crate::exec_session::{Comes, Ended, Live, farewell};

/// A client says within this time who it is.
const HELLO: Duration = Duration::from_secs(30);
/// ECS's limit for a container.
const MOST_SESSIONS: usize = 2;
/// A frame is never larger.
const MOST_BYTES: usize = 1 << 20;
/// So many sessions that are over are remembered, so that an agent that missed the end hears it.
const MOST_OVER: usize = 1000;
/// After a restart the agents of sessions come back within this time, as a rule.
const SETTLING: Duration = Duration::from_secs(15);
/// A shutdown waits so long for the sessions to be left in order.
const DRAIN: Duration = Duration::from_secs(3);

/// What a session is for.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) container: (TaskKey, ContainerName),
    pub(crate) log: Target,
    /// The ARN of who opened it; none if the server was restarted since.
    pub(crate) owner: Option<String>,
}

/// The sessions of ExecuteCommand. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Exec(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    reach: Arc<dyn Reach>,
    shutdown: Shutdown,
    sessions: Mutex<Sessions>,
    /// How many sessions there are, for who waits for one or for none.
    changed: watch::Sender<usize>,
    begun: AtomicU64,
    since: Instant,
}

#[derive(Debug, Default)]
struct Sessions {
    open: BTreeMap<String, Entry>,
    over: VecDeque<String>,
    /// Those whose task still winds up: its log may be on its way.
    leaving: usize,
}

#[derive(Debug)]
struct Entry {
    opening: Opening,
    /// What the next client shows; gone once it has come.
    token: Option<String>,
    /// Where ends come to.
    comes: mpsc::Sender<Comes>,
    begun: Timestamp,
    /// Since when the client is away.
    away: Option<Instant>,
}

/// A session that is open, as it is described.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) id: String,
    pub(crate) opening: Opening,
    pub(crate) begun: Timestamp,
    pub(crate) connected: bool,
}

impl Exec {
    /// No sessions yet.
    pub fn new(reach: Arc<dyn Reach>, shutdown: Shutdown) -> Self {
        let (sessions, begun) = (Mutex::default(), AtomicU64::new(0));
        let (changed, since) = (watch::Sender::new(0), Instant::now());
        Self(Arc::new(Inner { reach, shutdown, sessions, changed, begun, since }))
    }

    pub(crate) fn reach(&self, instance: &InstanceKey, message: ExecuteCommandMessage) -> bool {
        self.0.reach.execute(instance, message)
    }

    /// Makes room for a session: its id and its client's token.
    pub(crate) fn open(&self, door: &Door, opening: Opening) -> Result<(String, String), Error> {
        let mut chance = OsEntropy;
        let digits = format!("{}{}", chance.hex32(), chance.hex32());
        let session = format!("{PREFIX}{}", digits.get(..DIGITS).unwrap_or_default());
        let token = token();
        let life = Life::opened(Instant::now());
        if !self.begin(door, &session, opening.clone(), life, Some(token.clone())) {
            return Err(too_many(&opening.container.1, MOST_SESSIONS));
        }
        Ok((session, token))
    }

    /// Begins a session's life; false if its container has too many.
    fn begin(
        &self,
        door: &Door,
        id: &str,
        opening: Opening,
        life: Life,
        token: Option<String>,
    ) -> bool {
        let mut sessions = self.sessions();
        if !sessions.make_room(&opening) {
            return false;
        }
        let (comes, coming) = mpsc::channel(4);
        let log = opening.log.clone();
        let (begun, away) = (door.now(), life.client_away());
        let entry = Entry { opening, token, comes, begun, away };
        sessions.open.insert(id.to_owned(), entry);
        sessions.leaving += 1;
        self.0.changed.send_replace(sessions.leaving);
        drop(sessions);
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        let (door, id, shutdown) = (door.clone(), id.to_owned(), self.0.shutdown.clone());
        tokio::spawn(async move {
            let tap = Tap::begin(&door, &log, &id).await;
            let ended = Live::new(&door, &id, life, coming, shutdown, tap).run().await;
            let why = match ended {
                Ended::Over(why) => why.reason(),
                Ended::Left => "the server goes down",
            };
            tracing::info!(session = id, why, "An ExecuteCommand session has ended.");
            let mut sessions = door.exec().sessions();
            sessions.forget(&id);
            sessions.leaving -= 1;
            door.exec().0.changed.send_replace(sessions.leaving);
        });
        true
    }

    /// Drops a session; an end that waits in it is let go.
    pub(crate) fn forget(&self, session: &str) {
        self.sessions().forget(session);
    }

    /// Ends a session; false if there is none.
    pub(crate) fn terminate(&self, session: &str) -> bool {
        let mut sessions = self.sessions();
        let Some(entry) = sessions.open.get(session) else { return false };
        // Nothing else fills this queue; were it full, dropping the entry ends the session as well.
        drop(entry.comes.try_send(Comes::End));
        sessions.forget(session);
        true
    }

    /// A new token for a client whose websocket broke; none if the session is over. After a restart
    /// the session's agent may have to come back first, which is waited for.
    pub(crate) async fn resume(&self, session: &str) -> Option<String> {
        let mut changed = self.0.changed.subscribe();
        let again = async {
            loop {
                if let Some(entry) = self.sessions().open.get_mut(session) {
                    let token = token();
                    entry.token = Some(token.clone());
                    return Some(token);
                }
                if self.sessions().over.iter().any(|over| over == session) {
                    return None;
                }
                changed.changed().await.ok()?;
            }
        };
        let settles = self.0.since + SETTLING;
        tokio::time::timeout_at(settles.max(Instant::now()), again).await.ok().flatten()
    }

    /// The open sessions, by id.
    pub(crate) fn list(&self) -> Vec<Open> {
        let sessions = self.sessions();
        let all = sessions.open.iter().map(|(id, entry)| Open {
            id: id.clone(),
            opening: entry.opening.clone(),
            begun: entry.begun,
            connected: entry.token.is_none() && entry.away.is_none(),
        });
        all.collect()
    }

    /// How many there are, and how many there have been.
    pub(crate) fn counts(&self) -> (usize, u64) {
        (self.sessions().open.len(), self.0.begun.load(Ordering::Relaxed))
    }

    /// Notes since when a session's client is away.
    pub(crate) fn mark(&self, session: &str, away: Option<Instant>) {
        if let Some(entry) = self.sessions().open.get_mut(session) {
            entry.away = away;
        }
    }

    /// Waits for the sessions to be left in order, once shutdown has been told; for a few seconds at
    /// most.
    pub async fn drained(&self) {
        let mut changed = self.0.changed.subscribe();
        let none = changed.wait_for(|leaving| *leaving == 0);
        if timeout(DRAIN, none).await.is_err() {
            tracing::debug!("Some sessions of ExecuteCommand did not end in time.");
        }
    }

    /// Spends a token: where its client comes to.
    fn spend(&self, session: &str, given: &str) -> Option<mpsc::Sender<Comes>> {
        let mut sessions = self.sessions();
        let entry = sessions.open.get_mut(session)?;
        let right = entry.token.as_ref().is_some_and(|token| same(token, given));
        if !right {
            return None;
        }
        entry.token = None;
        Some(entry.comes.clone())
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    /// Whether the container may have one session more; the one whose client has been away longest
    /// gives way.
    fn make_room(&mut self, opening: &Opening) -> bool {
        let same = self.open.iter().filter(|(_, e)| e.opening.container == opening.container);
        if same.clone().count() < MOST_SESSIONS {
            return true;
        }
        let away = same.filter_map(|(id, entry)| Some((entry.away?, id.clone()))).min();
        let Some((_, id)) = away else { return false };
        if let Some(entry) = self.open.get(&id) {
            drop(entry.comes.try_send(Comes::End));
        }
        self.forget(&id);
        true
    }

    fn forget(&mut self, id: &str) {
        if self.open.remove(id).is_some() {
            if self.over.len() >= MOST_OVER {
                self.over.pop_front();
            }
            self.over.push_back(id.to_owned());
        }
    }
}

/// What the id of every session begins with, as ECS's do, and how many digits follow.
const PREFIX: &str = "ecs-execute-command-";
const DIGITS: usize = 17;

/// Whether a text can be a session's id.
pub(crate) fn is_id(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        rest.len() == DIGITS && rest.bytes().all(hex)
    })
}

/// Where the clients of a session go.
pub(crate) fn stream_url(door: &Door, session: &str) -> String {
    let base = door.config().endpoints.registry.replacen("http", "ws", 1);
    format!("{base}/v1/data-channel/{session}?role=publish_subscribe")
}

fn token() -> String {
    format!("{}{}", OsEntropy.hex32(), OsEntropy.hex32())
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
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Response {
    let known = |door: &Door| door.exec().sessions().open.get(&session).map(|e| e.comes.clone());
    let mut comes = known(&door);
    if comes.is_none() {
        let asked = ExecConnectQuery::parse(query.as_deref().unwrap_or_default());
        let over = door.exec().sessions().over.contains(&session);
        let right = |asked: &ExecConnectQuery| asked.resumed && !over && is_id(&session);
        if let Some(asked) = asked.ok().filter(right)
            && let Some(opening) = exec::find(&door, &asked.task_arn, &asked.container_name)
            && door.exec().begin(&door, &session, opening, Life::found(Instant::now()), None)
        {
            tracing::info!(session, task = asked.task_arn, "An agent has brought a session back.");
            comes = known(&door);
        }
    }
    let Some(comes) = comes else {
        return (StatusCode::NOT_FOUND, "there is no such session\n").into_response();
    };
    upgrade
        .max_message_size(MOST_BYTES)
        .on_upgrade(move |socket| async move {
            // The session may be over by now; the agent sees its websocket end then.
            drop(comes.send(Comes::Agent(Box::new(socket))).await);
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
        .on_upgrade(move |socket| async move { welcome(&door, &session, socket).await })
        .into_response()
}

/// A client's websocket, until its token has been seen.
async fn welcome(door: &Door, session: &str, mut client: WebSocket) {
    let Ok(Some(token)) = timeout(HELLO, first(&mut client)).await else {
        tracing::info!(session, "A client did not say who it is.");
        return;
    };
    if let Some(comes) = door.exec().spend(session, &token) {
        // The session may have ended just now: the client sees its websocket end.
        drop(comes.send(Comes::Client(Box::new(client))).await);
        return;
    }
    tracing::info!(session, "A client's token was refused.");
    let words = "The session's token is wrong, old or used: start another session.";
    farewell(door, session, &mut client, words).await;
    drop(timeout(HELLO, client.send(Message::Close(None))).await);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_known_by_their_form() {
        assert!(is_id("ecs-execute-command-0123456789abcdef0"));
        for other in ["", "user-0123456789abcdef0", "ecs-execute-command-", "../x"] {
            assert!(!is_id(other), "{other}");
        }
        assert!(!is_id("ecs-execute-command-0123456789ABCDEF0"));
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(same("abc", "abc"));
        assert!(!same("abc", "abd") && !same("abc", "ab") && !same("", "a"));
    }
}
