//! The agent communication service: one websocket an agent, over which it is told what to run.

use std::time::Duration;

use aws::agent::acs::{AgentMessage, ConnectQuery, Rejection, ServerMessage};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use model::{AgentInfo, InstanceKey, State as Snapshot};
use scheduler::Command;
use store::SubmitError;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use crate::Control;
use crate::dialogue::{Dialogue, Moment};
use crate::handshake::{Refusal, instance};
use crate::sessions::Nudge;

/// An agent closes after a minute without a message that it knows.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// An agent that has said nothing for so long, while it should have answered heartbeats, is away.
const SILENCE: Duration = Duration::from_secs(65);
/// What could not be recorded is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// A frame from an agent is never larger.
const MOST_BYTES: usize = 1 << 20;
/// What agents say here is short. The buffer is there as long as the session, and there are thousands.
const READ_BYTES: usize = 4 << 10;

/// `GET /acs/ws`.
pub(crate) async fn connect(
    State(control): State<Control>,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Response {
    let query = match ConnectQuery::parse(&query.unwrap_or_default()) {
        Ok(query) => query,
        Err(error) => return Refusal(Rejection::BadRequest, error.to_string()).into_response(),
    };
    let key = match instance(&control.store.snapshot(), &query.container_instance_arn) {
        Ok(key) => key,
        Err(refusal) => return refusal.into_response(),
    };
    upgrade
        .max_message_size(MOST_BYTES)
        .read_buffer_size(READ_BYTES)
        .on_upgrade(move |socket| async move {
            let (number, nudged) = control.sessions.begin(&key);
            let (cluster, arn) = (query.cluster.clone(), query.container_instance_arn.clone());
            let dialogue = Dialogue::new(key.clone(), cluster, arn);
            let session =
                Session { control: control.clone(), key: key.clone(), query, socket, dialogue };
            let why = session.run(nudged).await;
            tracing::info!(instance = %key, why, "An agent's session has ended.");
            if control.sessions.end(&key, number) {
                away(&control, &key).await;
            }
        })
        .into_response()
}

/// Makes known what an agent says of itself and whether it is there.
async fn record(control: &Control, key: &InstanceKey, agent: AgentInfo) -> Result<(), SubmitError> {
    let command = Command::AgentSession { key: key.clone(), agent };
    control.store.submit(command).await.map(drop)
}

/// Makes known that the agent is away; what else is known of it stays. Nobody else would tell, and
/// tasks would be placed where nobody hears of them: so it is tried until it is written, another
/// session has begun, or the server ends. After a restart no session stands anyway.
async fn away(control: &Control, key: &InstanceKey) {
    let mut shutdown = control.shutdown.clone();
    loop {
        let state = control.store.snapshot();
        let Some(known) = state.instance(key).map(|instance| instance.agent.clone()) else {
            return;
        };
        match record(control, key, AgentInfo { connected: false, ..known.clone() }).await {
            // A session that began meanwhile may have been recorded before.
            Ok(()) if control.sessions.is_open(key) => {
                drop(record(control, key, AgentInfo { connected: true, ..known }).await);
                return;
            }
            Ok(()) | Err(SubmitError::Rejected(_) | SubmitError::Closed) => return,
            Err(error) => {
                tracing::warn!(instance = %key, %error, "That an agent is away could not be recorded; it is tried again.");
            }
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
        if control.sessions.is_open(key) {
            return;
        }
    }
}

/// What is true now, and who makes credentials.
fn moment<'a>(control: &'a Control, state: &'a Snapshot) -> Moment<'a> {
    let (revision, now) = (control.store.revision(), control.clock.now());
    Moment { state, revision, mint: &*control.mint, now }
}

struct Session {
    control: Control,
    key: InstanceKey,
    query: ConnectQuery,
    socket: WebSocket,
    dialogue: Dialogue,
}

/// Why a session ends.
type Why = &'static str;

impl Session {
    async fn run(mut self, mut nudged: mpsc::UnboundedReceiver<Nudge>) -> Why {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let agent = AgentInfo {
            connected: true,
            connected_changed_at: None,
            version: given(&self.query.agent_version),
            hash: given(&self.query.agent_hash),
            docker_version: given(&self.query.docker_version),
        };
        tracing::info!(instance = %self.key, version = self.query.agent_version, "An agent has connected.");
        if let Err(error) = record(&self.control, &self.key, agent).await {
            // Unrecorded it would get no tasks as long as the session stands. The agent comes back.
            tracing::warn!(instance = %self.key, %error, "An agent's session could not be recorded.");
            drop(self.socket.send(Message::Close(None)).await);
            return "it could not be recorded";
        }
        if let Err(why) = self.greet().await {
            return why;
        }
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        let mut heard = Instant::now();
        let mut shutdown = self.control.shutdown.clone();
        loop {
            let step = tokio::select! {
                nudge = nudged.recv() => self.nudged(nudge, &mut nudged).await,
                message = self.socket.recv() => {
                    heard = Instant::now();
                    self.received(message).await
                }
                _ = heartbeat.tick() => {
                    if heard.elapsed() > SILENCE {
                        Err("the agent has been silent")
                    } else {
                        self.beat().await
                    }
                }
                () = shutdown.wait() => Err("the server shuts down"),
            };
            if let Err(why) = step {
                // 1001, "going away": the agent comes back at once. It may be gone itself.
                drop(self.socket.send(Message::Close(None)).await);
                return why;
            }
        }
    }

    async fn greet(&mut self) -> Result<(), Why> {
        let state = self.control.store.snapshot();
        let said = self.dialogue.greet(moment(&self.control, &state));
        self.say(said).await
    }

    async fn say(&mut self, said: Vec<ServerMessage>) -> Result<(), Why> {
        for message in said {
            self.send(&message).await?;
        }
        self.refuse().await;
        Ok(())
    }

    /// Ends the tasks that can not be sent because a role of theirs can not be assumed.
    async fn refuse(&mut self) {
        for report in self.dialogue.refused() {
            if let Err(error) = self.control.store.submit(Command::ReportTask(report)).await {
                tracing::warn!(instance = %self.key, %error, "A task that can not run was not stopped.");
            }
        }
    }

    /// Takes what else is waiting too, so that tasks placed together are sent together.
    async fn nudged(
        &mut self,
        first: Option<Nudge>,
        nudged: &mut mpsc::UnboundedReceiver<Nudge>,
    ) -> Result<(), Why> {
        let mut next = first;
        let mut tasks = Vec::new();
        let state = self.control.store.snapshot();
        while let Some(nudge) = next {
            match nudge {
                Nudge::Task(key) => {
                    tasks.extend(self.dialogue.task(moment(&self.control, &state), &key));
                }
                Nudge::Everything => {
                    tasks.extend(self.dialogue.everything(moment(&self.control, &state)));
                }
                Nudge::Execute(message) => {
                    self.send(&ServerMessage::ExecuteCommand(message)).await?;
                }
                Nudge::Deregistered => return Err("the instance was deregistered"),
                Nudge::Superseded => return Err("another session of the agent has begun"),
            }
            next = nudged.try_recv().ok();
        }
        let said = self.dialogue.payloads(tasks, moment(&self.control, &state));
        self.say(said).await
    }

    async fn received(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), Why> {
        let text = match message {
            None | Some(Ok(Message::Close(_))) => return Err("the agent closed it"),
            Some(Err(_)) => return Err("the connection broke"),
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => return Ok(()),
        };
        match AgentMessage::decode(&text) {
            Ok(message) => {
                let state = self.control.store.snapshot();
                if let Some(answer) = self.dialogue.hear(moment(&self.control, &state), message) {
                    self.send(&answer).await?;
                }
            }
            Err(error) => {
                let error = stdx::chain(&error);
                tracing::warn!(instance = %self.key, error, "An agent's frame cannot be read.");
            }
        }
        Ok(())
    }

    /// What is due from time to time.
    async fn beat(&mut self) -> Result<(), Why> {
        let state = self.control.store.snapshot();
        let said = self.dialogue.beat(moment(&self.control, &state));
        self.say(said).await
    }

    async fn send(&mut self, message: &ServerMessage) -> Result<(), Why> {
        let text = Message::Text(message.encode().into());
        self.socket.send(text).await.map_err(|_| "the connection broke")
    }
}
