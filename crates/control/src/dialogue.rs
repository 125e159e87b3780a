//! What a session says to its agent, as a function of the state and of what was said before in it.
//! The session brings it to the socket; a simulation brings it to a pretended agent.

use aws::agent::acs::{
    AgentMessage, PayloadMessage, ServerMessage, Task, TaskManifestMessage, TaskStopVerificationAck,
};
use model::{InstanceKey, State, TaskKey, TaskStatus};
use scheduler::TaskReport;
use stdx::Timestamp;

use crate::mint::{Mint, Minting};
use crate::outbox::{Outbox, manifest, to_stop};

/// So many tasks go into one payload.
const MOST_TASKS: usize = 10;
/// Where counting begins: beyond the milliseconds since 1970 that were counted by before, for agents
/// that remember.
const COUNT_FROM: i64 = 1 << 42;
/// So many messages may be made of one revision before the next one's are reached.
const COUNTS_OF_A_REVISION: u32 = 20;

/// One session's half of the talk. A new session begins with a new one: whatever the agent was told
/// before may be lost.
#[derive(Debug)]
pub struct Dialogue {
    key: InstanceKey,
    /// The cluster, as the agent named it when it connected.
    cluster: String,
    /// The instance's ARN, as the agent named it.
    instance: String,
    outbox: Outbox,
    /// One number for payloads and manifests together. It only grows, over sessions and restarts of the
    /// server too, whatever its clock does: an agent drops a manifest that seems old.
    counter: i64,
    messages: u64,
}

/// What is said is made from these.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// What is true.
    pub state: &'a State,
    /// The number of the durable round that made it so, or of a later one.
    pub revision: u64,
    /// Who makes the credentials of tasks' roles.
    pub mint: &'a dyn Mint,
    /// The present instant.
    pub now: Timestamp,
}

impl<'a> Moment<'a> {
    fn minting(self) -> Minting<'a> {
        Minting { mint: self.mint, now: self.now }
    }
}

impl Dialogue {
    /// The talk with an instance's agent, under the names by which the agent knows itself.
    pub fn new(key: InstanceKey, cluster: String, instance: String) -> Self {
        let outbox = Outbox::default();
        Self { key, cluster, instance, outbox, counter: 0, messages: 0 }
    }

    /// What an agent is told first: all is well, what it should know of, what it has to do.
    pub fn greet(&mut self, moment: Moment<'_>) -> Vec<ServerMessage> {
        let mut said = vec![self.heartbeat(moment.now)];
        said.push(ServerMessage::TaskManifest(TaskManifestMessage {
            cluster_arn: self.cluster.clone(),
            container_instance_arn: self.instance.clone(),
            message_id: self.message_id(moment.now),
            generated_at: moment.now.as_millis(),
            timeline: self.count(moment.revision),
            tasks: manifest(moment.state, &self.key),
        }));
        let tasks = self.everything(moment);
        said.extend(self.payloads(tasks, moment));
        // What the agent has of before this session may be old, and it may have lost it.
        said.extend(self.renew(moment));
        said
    }

    /// Every task of the instance that the agent has to be told of.
    pub fn everything(&mut self, moment: Moment<'_>) -> Vec<Task> {
        self.outbox.everything(moment.state, &self.key, moment.minting())
    }

    /// A task as the agent has to be told of it, if it has to be.
    pub fn task(&mut self, moment: Moment<'_>, key: &TaskKey) -> Option<Task> {
        self.outbox.task(moment.state, moment.state.task(key)?, moment.minting())
    }

    /// Tasks as payloads.
    pub fn payloads(&mut self, mut tasks: Vec<Task>, moment: Moment<'_>) -> Vec<ServerMessage> {
        let now = moment.now;
        let mut said = Vec::new();
        while !tasks.is_empty() {
            let later = tasks.split_off(tasks.len().min(MOST_TASKS));
            said.push(ServerMessage::Payload(PayloadMessage {
                cluster_arn: self.cluster.clone(),
                container_instance_arn: self.instance.clone(),
                message_id: self.message_id(now),
                seq_num: self.count(moment.revision),
                generated_at: now.as_millis(),
                timeline: None,
                tasks: std::mem::replace(&mut tasks, later),
            }));
        }
        said
    }

    /// The answer to what the agent says, if it asks for one.
    pub fn hear(&mut self, moment: Moment<'_>, message: AgentMessage) -> Option<ServerMessage> {
        match message {
            // The store has what was ordered, and the agent's reports say what came of it.
            AgentMessage::HeartbeatAck { .. }
            | AgentMessage::Ack { .. }
            | AgentMessage::IamRoleCredentialsAck { .. } => None,
            AgentMessage::Nack { message_id, reason, .. } => {
                tracing::warn!(instance = %self.key, message_id, reason, "An agent refused a message.");
                None
            }
            AgentMessage::TaskStopVerification { message_id, stop_candidates } => {
                Some(ServerMessage::TaskStopVerificationAck(TaskStopVerificationAck {
                    generated_at: moment.now.as_millis(),
                    message_id,
                    stop_tasks: to_stop(moment.state, &self.key, stop_candidates),
                }))
            }
            AgentMessage::Unrecognized { r#type } => {
                tracing::debug!(instance = %self.key, r#type, "An agent sent a message of an unknown type.");
                None
            }
        }
    }

    /// What is due from time to time: a sign of life, and credentials before the old ones end.
    pub fn beat(&mut self, moment: Moment<'_>) -> Vec<ServerMessage> {
        let mut said = vec![self.heartbeat(moment.now)];
        said.extend(self.renew(moment));
        said
    }

    /// The ends of tasks that can not be sent because a role of theirs can not be assumed, as if the
    /// agent had told of them.
    pub fn refused(&mut self) -> Vec<TaskReport> {
        let report = |(key, reason)| TaskReport {
            key,
            status: Some(TaskStatus::Stopped),
            reason: Some(reason),
            containers: Vec::new(),
            pull_started_at: None,
            pull_stopped_at: None,
            execution_stopped_at: None,
        };
        self.outbox.refused().into_iter().map(report).collect()
    }

    /// The credentials that are due.
    fn renew(&mut self, moment: Moment<'_>) -> Vec<ServerMessage> {
        let due = self.outbox.renewals(moment.state, &self.key, moment.minting());
        let named = |mut message: aws::agent::acs::IamRoleCredentialsMessage| {
            message.message_id = self.message_id(moment.now);
            ServerMessage::IamRoleCredentials(message)
        };
        due.into_iter().map(named).collect()
    }

    fn heartbeat(&mut self, now: Timestamp) -> ServerMessage {
        ServerMessage::Heartbeat { healthy: true, message_id: self.message_id(now) }
    }

    fn count(&mut self, revision: u64) -> i64 {
        let revision = i64::try_from(revision).unwrap_or(i64::MAX);
        let first = revision.saturating_mul(1 << COUNTS_OF_A_REVISION).saturating_add(COUNT_FROM);
        self.counter = first.max(self.counter + 1);
        self.counter
    }

    fn message_id(&mut self, now: Timestamp) -> String {
        self.messages += 1;
        format!("{}-{}", now.as_millis(), self.messages)
    }
}
