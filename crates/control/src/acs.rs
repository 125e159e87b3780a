//! The agent communication service: one websocket an agent, over which it is told what to run.

use std::time::Duration;

use aws::agent::acs::{
    AgentMessage, ConnectQuery, PayloadMessage, Rejection, ServerMessage, TaskManifestMessage,
    TaskStopVerificationAck,
};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use model::{AgentInfo, InstanceKey, State as Snapshot, TaskStatus};
use scheduler::{Command, TaskReport};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use crate::Control;
use crate::handshake::{Refusal, instance};
use crate::mint::Minting;
use crate::outbox::{Outbox, manifest, to_stop};
use crate::sessions::Nudge;

/// An agent closes after a minute without a message that it knows.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// An agent that has said nothing for so long, while it should have answered heartbeats, is away.
const SILENCE: Duration = Duration::from_secs(65);
/// A frame from an agent is never larger.
const MOST_BYTES: usize = 1 << 20;
/// So many tasks go into one payload.
const MOST_TASKS: usize = 10;

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
        .on_upgrade(move |socket| async move {
            let (number, nudged) = control.sessions.begin(&key);
            let session = Session {
                control: control.clone(),
                key: key.clone(),
                query,
                socket,
                outbox: Outbox::default(),
                counter: 0,
                messages: 0,
            };
            let why = session.run(nudged).await;
            tracing::info!(instance = %key, why, "An agent's session has ended.");
            if control.sessions.end(&key, number) {
                report(&control, &key, AgentInfo::default()).await;
            }
        })
        .into_response()
}

/// Makes known whether the agent is there. What else is known of it stays.
async fn report(control: &Control, key: &InstanceKey, mut agent: AgentInfo) {
    if let Some(instance) = control.store.snapshot().instance(key)
        && !agent.connected
    {
        agent = AgentInfo { connected: false, ..instance.agent.clone() };
    }
    let command = Command::AgentSession { key: key.clone(), agent };
    if let Err(error) = control.store.submit(command).await {
        tracing::warn!(instance = %key, %error, "An agent's session could not be recorded.");
    }
}

/// The mint, now.
fn minting(control: &Control) -> Minting<'_> {
    Minting { mint: &*control.mint, now: control.clock.now() }
}

struct Session {
    control: Control,
    key: InstanceKey,
    query: ConnectQuery,
    socket: WebSocket,
    outbox: Outbox,
    /// One number for payloads and manifests together; it only grows, over sessions too.
    counter: i64,
    messages: u64,
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
        report(&self.control, &self.key, agent).await;
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

    /// What an agent is told first: all is well, what it should know of, what it has to do.
    async fn greet(&mut self) -> Result<(), Why> {
        self.heartbeat().await?;
        let state = self.control.store.snapshot();
        let manifest = TaskManifestMessage {
            cluster_arn: self.query.cluster.clone(),
            container_instance_arn: self.query.container_instance_arn.clone(),
            message_id: self.message_id(),
            generated_at: self.now(),
            timeline: self.count(),
            tasks: manifest(&state, &self.key),
        };
        self.send(&ServerMessage::TaskManifest(manifest)).await?;
        self.everything().await
    }

    async fn everything(&mut self) -> Result<(), Why> {
        let state = self.control.store.snapshot();
        let tasks = self.outbox.everything(&state, &self.key, minting(&self.control));
        self.payload(tasks).await?;
        // What the agent has of before this session may be old, and it may have lost it.
        self.renew(&state).await
    }

    /// Sends the credentials that are due.
    async fn renew(&mut self, state: &Snapshot) -> Result<(), Why> {
        let due = self.outbox.renewals(state, &self.key, minting(&self.control));
        for mut message in due {
            message.message_id = self.message_id();
            self.send(&ServerMessage::IamRoleCredentials(message)).await?;
        }
        Ok(())
    }

    /// Ends the tasks that can not be sent because a role of theirs can not be assumed.
    async fn refuse(&mut self) {
        for (key, reason) in self.outbox.refused() {
            let report = TaskReport {
                key,
                status: Some(TaskStatus::Stopped),
                reason: Some(reason),
                containers: Vec::new(),
                pull_started_at: None,
                pull_stopped_at: None,
                execution_stopped_at: None,
            };
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
                    if let Some(task) = state.task(&key) {
                        tasks.extend(self.outbox.task(&state, task, minting(&self.control)));
                    }
                }
                Nudge::Everything => {
                    let minting = minting(&self.control);
                    tasks.extend(self.outbox.everything(&state, &self.key, minting));
                }
                Nudge::Execute(message) => {
                    self.send(&ServerMessage::ExecuteCommand(message)).await?;
                }
                Nudge::Deregistered => return Err("the instance was deregistered"),
                Nudge::Superseded => return Err("another session of the agent has begun"),
            }
            next = nudged.try_recv().ok();
        }
        self.payload(tasks).await
    }

    async fn payload(&mut self, tasks: Vec<aws::agent::acs::Task>) -> Result<(), Why> {
        for tasks in tasks.chunks(MOST_TASKS) {
            let message = PayloadMessage {
                cluster_arn: self.query.cluster.clone(),
                container_instance_arn: self.query.container_instance_arn.clone(),
                message_id: self.message_id(),
                seq_num: self.count(),
                generated_at: self.now(),
                timeline: None,
                tasks: tasks.to_vec(),
            };
            self.send(&ServerMessage::Payload(message)).await?;
        }
        self.refuse().await;
        Ok(())
    }

    async fn received(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), Why> {
        let text = match message {
            None | Some(Ok(Message::Close(_))) => return Err("the agent closed it"),
            Some(Err(_)) => return Err("the connection broke"),
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => return Ok(()),
        };
        match AgentMessage::decode(&text) {
            // The store has what was ordered, and the agent's reports say what came of it.
            Ok(
                AgentMessage::HeartbeatAck { .. }
                | AgentMessage::Ack { .. }
                | AgentMessage::IamRoleCredentialsAck { .. },
            ) => {}
            Ok(AgentMessage::Nack { message_id, reason, .. }) => {
                tracing::warn!(instance = %self.key, message_id, reason, "An agent refused a message.");
            }
            Ok(AgentMessage::TaskStopVerification { message_id, stop_candidates }) => {
                let state = self.control.store.snapshot();
                let ack = TaskStopVerificationAck {
                    generated_at: self.now(),
                    message_id,
                    stop_tasks: to_stop(&state, &self.key, stop_candidates),
                };
                self.send(&ServerMessage::TaskStopVerificationAck(ack)).await?;
            }
            Ok(AgentMessage::Unrecognized { r#type }) => {
                tracing::debug!(instance = %self.key, r#type, "An agent sent a message of an unknown type.");
            }
            Err(error) => {
                let error = stdx::chain(&error);
                tracing::warn!(instance = %self.key, error, "An agent's frame cannot be read.");
            }
        }
        Ok(())
    }

    /// What is due from time to time: a sign of life, and credentials before the old ones end.
    async fn beat(&mut self) -> Result<(), Why> {
        self.heartbeat().await?;
        let state = self.control.store.snapshot();
        self.renew(&state).await
    }

    async fn heartbeat(&mut self) -> Result<(), Why> {
        let message_id = self.message_id();
        self.send(&ServerMessage::Heartbeat { healthy: true, message_id }).await
    }

    async fn send(&mut self, message: &ServerMessage) -> Result<(), Why> {
        let text = Message::Text(message.encode().into());
        self.socket.send(text).await.map_err(|_| "the connection broke")
    }

    fn now(&self) -> i64 {
        self.control.clock.now().as_millis()
    }

    fn count(&mut self) -> i64 {
        self.counter = self.now().max(self.counter + 1);
        self.counter
    }

    fn message_id(&mut self) -> String {
        self.messages += 1;
        format!("{}-{}", self.now(), self.messages)
    }
}
