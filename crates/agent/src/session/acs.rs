//! The agent communication service: orders in, acknowledgements out.

use std::sync::Arc;
use std::time::Duration;

use aws::agent::acs::{
    AgentMessage, ConnectQuery, PayloadMessage, RoleCredentials, ServerMessage, TaskManifestMessage,
};
use futures_util::StreamExt;
use shell::{OsEntropy, Shutdown};
use stdx::Backoff;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::socket::{self, Socket};
use crate::exec;

use super::{End, LIFE, LIFE_JITTER, Link, SILENCE, about, pause};

/// What keeps its meaning from one session to the next.
struct Acs {
    link: Arc<Link>,
    /// The highest number of a payload or a manifest; an older manifest is dropped.
    counter: i64,
    /// The last manifest: only what it asked for may be stopped by an answer.
    manifest: String,
    /// Answers that are ready to be sent.
    answers: mpsc::UnboundedSender<AgentMessage>,
    ready: mpsc::UnboundedReceiver<AgentMessage>,
    /// The sessions of ExecuteCommand, which outlive this one.
    execs: JoinSet<()>,
}

/// Sessions of ExecuteCommand may take so long to say that the agent goes down.
const FAREWELL: Duration = Duration::from_secs(2);

/// Keeps a session open until the agent goes down.
pub(crate) async fn keep(link: Arc<Link>, mut shutdown: Shutdown) {
    let (answers, ready) = mpsc::unbounded_channel();
    let (manifest, execs) = (String::new(), JoinSet::new());
    let mut acs = Acs { link, counter: -1, manifest, answers, ready, execs };
    let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(120));
    let mut first = true;
    loop {
        let began = acs.link.config.clock.now();
        let end = tokio::select! {
            end = acs.session(&mut first) => end,
            () = shutdown.wait() => return acs.farewell().await,
        };
        let lived = acs.link.config.clock.now().since(began);
        let wait = pause(end, lived, &mut backoff, &mut OsEntropy);
        tracing::info!(?end, ?wait, "The session for orders has ended.");
        tokio::select! {
            () = sleep(wait) => {}
            () = shutdown.wait() => return acs.farewell().await,
        }
    }
}

impl Acs {
    /// Lets the sessions of ExecuteCommand, which hear of the shutdown themselves, end.
    async fn farewell(&mut self) {
        let all = async { while self.execs.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, all).await.is_err() {
            tracing::debug!("Some sessions of ExecuteCommand were dropped.");
        }
    }

    async fn session(&mut self, first: &mut bool) -> End {
        let Some(endpoints) = self.link.endpoints().await else { return End::Failed };
        let config = &self.link.config;
        let query = ConnectQuery {
            agent_hash: config.hash.clone(),
            agent_version: config.version.clone(),
            cluster: config.cluster.clone(),
            container_instance_arn: self.link.instance.arn.clone(),
            docker_version: config.runtime_version.clone(),
            protocol_version: Some(2),
            send_credentials: *first,
            seq_num: 1,
        };
        let url = socket::url(&endpoints.acs, &query.render());
        let opened = socket::open(&url, config.signer.as_ref(), config.clock.as_ref()).await;
        let mut socket = match opened {
            Ok(socket) => socket,
            Err(end) => return end,
        };
        *first = false;
        tracing::info!(instance = self.link.instance.arn, "Connected to the server.");
        self.link.reached.send_modify(|n| *n = n.wrapping_add(1));
        let end = self.talk(&mut socket).await;
        match end {
            End::Expired => {
                socket::close(&mut socket, "ConnectionExpired: Reconnect to continue").await
            }
            End::Silent => socket::close(&mut socket, "").await,
            End::Closed(_) | End::Failed | End::Inactive => {}
        }
        end
    }

    async fn talk(&mut self, socket: &mut Socket) -> End {
        let expires = Instant::now() + about(LIFE, LIFE_JITTER);
        let mut silent = Instant::now() + about(SILENCE, SILENCE);
        loop {
            let result = tokio::select! {
                received = socket.next() => match socket::text(received) {
                    Ok(Some(text)) => {
                        if self.hear(&text) {
                            silent = Instant::now() + about(SILENCE, SILENCE);
                        }
                        Ok(())
                    }
                    Ok(None) => Ok(()),
                    Err(end) => Err(end),
                },
                Some(answer) = self.ready.recv() => socket::send(socket, answer.encode()).await,
                () = sleep_until(silent) => Err(End::Silent),
                () = sleep_until(expires) => Err(End::Expired),
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    /// Follows a message; whether it was a recognised one.
    fn hear(&mut self, text: &str) -> bool {
        let message = match ServerMessage::decode(text) {
            Ok(message) => message,
            Err(error) => {
                let error = stdx::chain(&error);
                tracing::warn!(error, "A frame from the server cannot be read.");
                return false;
            }
        };
        match message {
            ServerMessage::Heartbeat { message_id, .. } => {
                self.answer(AgentMessage::HeartbeatAck { message_id });
            }
            ServerMessage::Payload(payload) => self.payload(payload),
            ServerMessage::TaskManifest(manifest) => self.manifest(manifest),
            ServerMessage::TaskStopVerificationAck(ack) => {
                if ack.message_id == self.manifest {
                    for task in ack.stop_tasks {
                        tracing::warn!(
                            task = task.task_arn,
                            "The server does not want this task here; it is stopped."
                        );
                        self.link.node.stop(&task.task_arn);
                    }
                }
            }
            ServerMessage::IamRoleCredentials(message) => {
                self.answer(acknowledge(&message.message_id, &message.role_credentials));
                let roles = &self.link.node.context().roles;
                roles.put(&message.task_arn, message.role_credentials);
            }
            ServerMessage::StageUpdate(update) | ServerMessage::PerformUpdate(update) => {
                self.answer(AgentMessage::Nack {
                    cluster: update.cluster_arn,
                    container_instance: update.container_instance_arn,
                    message_id: update.message_id,
                    reason: "Updates are disabled".to_owned(),
                });
            }
            ServerMessage::AttachTaskNetworkInterfaces(_)
            | ServerMessage::AttachInstanceNetworkInterfaces(_)
            | ServerMessage::ConfirmAttachment(_) => {
                tracing::warn!(
                    "Network interfaces and volumes cannot be attached by this agent yet."
                );
            }
            ServerMessage::ExecuteCommand(message) => {
                while self.execs.try_join_next().is_some() {}
                self.execs.spawn(exec::run(Arc::clone(&self.link), message));
            }
            ServerMessage::Close { message } | ServerMessage::Error { message } => {
                tracing::info!(message, "The server has something to say.");
            }
            ServerMessage::Unrecognized { r#type } => {
                tracing::debug!(r#type, "A message of an unknown type is skipped.");
                return false;
            }
        }
        true
    }

    /// Asks about tasks that run here and should not. An old manifest is dropped without a word.
    fn manifest(&mut self, manifest: TaskManifestMessage) {
        if manifest.timeline <= self.counter {
            tracing::debug!(timeline = manifest.timeline, "An old manifest is dropped.");
            return;
        }
        self.counter = manifest.timeline;
        self.manifest.clone_from(&manifest.message_id);
        let stop_candidates = self.link.node.stop_candidates(&manifest.tasks);
        self.link.node.look_for(&manifest.tasks);
        let message_id = manifest.message_id;
        self.answer(AgentMessage::Ack {
            cluster: manifest.cluster_arn,
            container_instance: manifest.container_instance_arn,
            message_id: message_id.clone(),
        });
        if !stop_candidates.is_empty() {
            self.answer(AgentMessage::TaskStopVerification { message_id, stop_candidates });
        }
    }

    /// Begins what is ordered at once, and acknowledges it as soon as it is written down.
    fn payload(&mut self, payload: PayloadMessage) {
        if payload.message_id.is_empty()
            || payload.cluster_arn.is_empty()
            || payload.container_instance_arn.is_empty()
        {
            tracing::warn!("A payload without its names is ignored.");
            return;
        }
        self.counter = self.counter.max(payload.seq_num);
        let ack = AgentMessage::Ack {
            cluster: payload.cluster_arn,
            container_instance: payload.container_instance_arn,
            message_id: payload.message_id.clone(),
        };
        let roles = payload.tasks.iter().flat_map(|task| {
            [&task.role_credentials, &task.execution_role_credentials].into_iter().flatten()
        });
        let of_roles: Vec<_> =
            roles.map(|credentials| acknowledge(&payload.message_id, credentials)).collect();
        let (node, answers) = (Arc::clone(&self.link.node), self.answers.clone());
        let written = node.follow(payload.tasks);
        tokio::spawn(async move {
            written.await;
            // The session may be over; the server sends the payload again then.
            for answer in std::iter::once(ack).chain(of_roles) {
                drop(answers.send(answer));
            }
        });
    }

    fn answer(&self, message: AgentMessage) {
        // We hold the other end ourselves.
        drop(self.answers.send(message));
    }
}

/// Says that credentials have arrived.
fn acknowledge(message_id: &str, credentials: &RoleCredentials) -> AgentMessage {
    AgentMessage::IamRoleCredentialsAck {
        message_id: message_id.to_owned(),
        expiration: credentials.expiration.clone(),
        credentials_id: credentials.credentials_id.clone(),
    }
}
