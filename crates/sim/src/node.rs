//! A pretended node: a machine, its agent, and the containers that run there. It speaks the agent
//! contract, keeps what a real agent keeps over its restarts, and loses what a machine loses with its
//! power.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use aws::agent::acs::{self, AgentMessage, ServerMessage, TaskIdentifier};
use aws::ecs::ContainerDefinition;
use model::{
    ContainerStatus, HealthStatus, InstanceKey, NetworkBinding, Protocol, Realm, Resource, TaskKey,
    TaskStatus,
};
use scheduler::{ContainerReport, TaskReport};
use stdx::{Entropy, SeededEntropy, Timestamp};

use crate::Image;
use crate::fleet::Machine;

/// Orders that are on their way have come after this: then a task that the manifest names and nobody
/// knows is gone.
const ORDERS_COME: Duration = Duration::from_secs(5);

/// A machine and its agent.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) machine: Machine,
    /// What it calls itself, if whoever started it said so.
    pub(crate) ec2: Option<String>,
    /// Under which ARN it is registered, once it is.
    pub(crate) arn: Option<String>,
    pub(crate) key: Option<InstanceKey>,
    /// Never to be seen again.
    pub(crate) gone: bool,
    /// The machine has power.
    pub(crate) powered: bool,
    /// The agent runs.
    pub(crate) awake: bool,
    /// The session that the agent believes to have.
    pub(crate) session: Option<u64>,
    /// Nothing comes through until then.
    pub(crate) cut_until: Timestamp,
    /// Starts take long until then.
    pub(crate) slow_until: Timestamp,
    /// Once it has told lies, what happens to its tasks proves nothing.
    pub(crate) liar: bool,
    pub(crate) tasks: BTreeMap<String, Local>,
    /// Ends of tasks that never began here and are still to be told.
    pub(crate) last_words: BTreeMap<String, String>,
    counter: i64,
    manifest: String,
    starts: u64,
    next_port: u16,
}

/// A task on its node.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) key: TaskKey,
    container: String,
    image: Image,
    /// `(in the container, on the host)`.
    ports: Vec<(u16, Option<u16>)>,
    checked: bool,
    gpus: Vec<String>,
    /// Tells its lives apart: what was to happen in an earlier one does not.
    pub(crate) run: u64,
    pub(crate) stage: Stage,
    bindings: Vec<NetworkBinding>,
    end: Option<(Option<i32>, Option<String>)>,
    /// What its health checks say, and what of that was told.
    pub(crate) health: (HealthStatus, HealthStatus),
    /// How far the server is known to know.
    pub(crate) told: Told,
    /// The report under way.
    pub(crate) reporting: Option<u64>,
}

/// How far a task has come on its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Starting,
    Running,
    Stopping,
    Over,
}

/// What the server has acknowledged of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    Nothing,
    Running,
    Stopped,
}

/// Something that happens on a node by itself.
#[derive(Clone, Debug)]
pub(crate) enum NodeEvent {
    Started {
        arn: String,
        run: u64,
    },
    Exited {
        arn: String,
        run: u64,
        code: i32,
    },
    Verdict {
        arn: String,
        run: u64,
        health: HealthStatus,
    },
    /// Tasks that a manifest named and that were not known then.
    LookFor(Vec<String>),
    /// A task that is over and told need not be remembered any longer.
    Forget {
        arn: String,
        run: u64,
    },
}

/// What a node does in answer to something.
#[derive(Debug)]
pub(crate) enum Deed {
    /// Says this over its session.
    Say(AgentMessage),
    /// This will happen here.
    Later(Duration, NodeEvent),
    /// A container begins: told for those who watch.
    Begins(TaskKey),
}

impl Node {
    pub(crate) fn new(machine: Machine) -> Self {
        Self {
            machine,
            ec2: None,
            arn: None,
            key: None,
            gone: false,
            powered: true,
            awake: true,
            session: None,
            cut_until: Timestamp::EPOCH,
            slow_until: Timestamp::EPOCH,
            liar: false,
            tasks: BTreeMap::new(),
            last_words: BTreeMap::new(),
            counter: -1,
            manifest: String::new(),
            starts: 0,
            next_port: 32_768,
        }
    }

    /// Whether its agent can do anything at all.
    pub(crate) fn up(&self) -> bool {
        self.powered && self.awake && !self.gone
    }

    /// The power went: containers are over, and the agent will find that out.
    pub(crate) fn lose_power(&mut self) {
        self.powered = false;
        self.forget_session();
        for local in self.tasks.values_mut().filter(|local| local.stage != Stage::Over) {
            local.run += 1;
            local.stage = Stage::Over;
            local.end =
                Some((None, Some("the container ended while nobody watched it".to_owned())));
        }
    }

    /// The agent ended or starts anew; containers run on.
    pub(crate) fn forget_session(&mut self) {
        self.session = None;
        self.counter = -1;
        self.last_words.clear();
        for local in self.tasks.values_mut() {
            local.reporting = None;
        }
    }

    /// What the server says.
    pub(crate) fn hear(
        &mut self,
        realm: &Realm,
        message: ServerMessage,
        chance: &mut SeededEntropy,
        now: Timestamp,
    ) -> Vec<Deed> {
        let mut deeds = Vec::new();
        match message {
            ServerMessage::Heartbeat { message_id, .. } => {
                deeds.push(Deed::Say(AgentMessage::HeartbeatAck { message_id }));
            }
            ServerMessage::Payload(payload) => {
                self.counter = self.counter.max(payload.seq_num);
                for task in payload.tasks {
                    match task.desired_status {
                        acs::DesiredStatus::Running => {
                            self.run(realm, task, chance, now, &mut deeds)
                        }
                        acs::DesiredStatus::Stopped => self.stop(&task.arn, chance, &mut deeds),
                        acs::DesiredStatus::Unrecognized(_) => {}
                    }
                }
                deeds.push(Deed::Say(AgentMessage::Ack {
                    cluster: payload.cluster_arn,
                    container_instance: payload.container_instance_arn,
                    message_id: payload.message_id,
                }));
            }
            ServerMessage::TaskManifest(manifest) => {
                if manifest.timeline <= self.counter {
                    return deeds;
                }
                self.counter = manifest.timeline;
                self.manifest.clone_from(&manifest.message_id);
                let unknown = manifest
                    .tasks
                    .iter()
                    .filter(|t| t.desired_status == acs::DesiredStatus::Running)
                    .filter(|t| !self.tasks.contains_key(&t.task_arn))
                    .map(|t| t.task_arn.clone());
                let unknown: Vec<String> = unknown.collect();
                if !unknown.is_empty() {
                    deeds.push(Deed::Later(ORDERS_COME, NodeEvent::LookFor(unknown)));
                }
                let stop_candidates = self.candidates(&manifest.tasks);
                if !stop_candidates.is_empty() {
                    let message_id = manifest.message_id;
                    let message =
                        AgentMessage::TaskStopVerification { message_id, stop_candidates };
                    deeds.push(Deed::Say(message));
                }
            }
            ServerMessage::TaskStopVerificationAck(ack) if ack.message_id == self.manifest => {
                for task in ack.stop_tasks {
                    self.stop(&task.task_arn, chance, &mut deeds);
                }
            }
            // Nothing else is sent to a node that asks for nothing else.
            _ => {}
        }
        deeds
    }

    /// Tasks that run here though the manifest does not want them.
    fn candidates(&self, manifest: &[TaskIdentifier]) -> Vec<TaskIdentifier> {
        let wanted = |arn: &String| {
            manifest
                .iter()
                .any(|t| t.task_arn == *arn && t.desired_status != acs::DesiredStatus::Stopped)
        };
        let unwanted = self.tasks.iter().filter(|(arn, t)| t.stage != Stage::Over && !wanted(arn));
        let name = |(arn, _): (&String, &Local)| TaskIdentifier {
            task_arn: arn.clone(),
            task_cluster_arn: String::new(),
            desired_status: acs::DesiredStatus::Stopped,
        };
        unwanted.map(name).collect()
    }

    fn run(
        &mut self,
        realm: &Realm,
        task: acs::Task,
        chance: &mut SeededEntropy,
        now: Timestamp,
        deeds: &mut Vec<Deed>,
    ) {
        if let Some(known) = self.tasks.get_mut(&task.arn) {
            if known.stage == Stage::Over {
                // It asks for the last report again.
                known.told = known.told.min(Told::Running);
            }
            return;
        }
        let Ok(Resource::Task(key)) = realm.parse(&task.arn) else { return };
        let definition =
            task.wharf.and_then(|wharf| wharf.container_definitions.into_iter().next());
        let Some(definition) = definition else {
            self.last_words.insert(task.arn, "the payload has no definitions".to_owned());
            return;
        };
        self.starts += 1;
        let mut local = Local {
            key,
            container: definition.name.clone().unwrap_or_default(),
            image: Image::of(definition.image.as_deref().unwrap_or_default()),
            // In a network of its own it has all ports to itself.
            ports: if task.elastic_network_interfaces.is_empty() {
                ports(&definition)
            } else {
                Vec::new()
            },
            checked: definition.health_check.is_some(),
            gpus: task.associations.into_iter().map(|gpu| gpu.name).collect(),
            run: self.starts,
            stage: Stage::Starting,
            bindings: Vec::new(),
            end: None,
            health: (HealthStatus::Unknown, HealthStatus::Unknown),
            told: Told::Nothing,
            reporting: None,
        };
        let slow = if self.slow_until > now { 20_000 } else { 0 };
        let mut after = Duration::from_millis(20 + chance.below(180) + chance.below(slow + 1));
        if let Image::Slow(more) = local.image {
            after += more;
        }
        local.run = self.starts;
        deeds.push(Deed::Begins(local.key.clone()));
        deeds
            .push(Deed::Later(after, NodeEvent::Started { arn: task.arn.clone(), run: local.run }));
        self.tasks.insert(task.arn, local);
    }

    /// Ends a task. One that is not known has ended: that is told.
    pub(crate) fn stop(&mut self, arn: &str, chance: &mut SeededEntropy, deeds: &mut Vec<Deed>) {
        let Some(local) = self.tasks.get_mut(arn) else {
            let why = "TaskStateError: Agent could not progress task's state to stopped";
            self.last_words.insert(arn.to_owned(), why.to_owned());
            return;
        };
        match local.stage {
            Stage::Over => local.told = local.told.min(Told::Running),
            Stage::Stopping => {}
            Stage::Starting | Stage::Running => {
                local.stage = Stage::Stopping;
                let after = Duration::from_millis(1 + chance.below(50));
                let (arn, run) = (arn.to_owned(), local.run);
                deeds.push(Deed::Later(after, NodeEvent::Exited { arn, run, code: 0 }));
            }
        }
    }

    /// Something happens here by itself.
    pub(crate) fn happen(&mut self, event: NodeEvent) -> Vec<Deed> {
        match event {
            NodeEvent::Started { arn, run } => self.started(&arn, run),
            NodeEvent::Exited { arn, run, code } => {
                if let Some(local) = self.life(&arn, run) {
                    local.stage = Stage::Over;
                    local.end = Some((Some(code), None));
                }
                Vec::new()
            }
            NodeEvent::Verdict { arn, run, health } => {
                if let Some(local) = self.life(&arn, run).filter(|t| t.stage == Stage::Running) {
                    local.health.0 = health;
                }
                Vec::new()
            }
            NodeEvent::Forget { arn, run } => {
                let told = |t: &Local| t.run == run && t.told == Told::Stopped;
                if self.tasks.get(&arn).is_some_and(told) {
                    self.tasks.remove(&arn);
                }
                Vec::new()
            }
            NodeEvent::LookFor(arns) => {
                for arn in arns.into_iter().filter(|arn| !self.tasks.contains_key(arn)) {
                    let why = "The task is not on its instance any more.";
                    self.last_words.insert(arn, why.to_owned());
                }
                Vec::new()
            }
        }
    }

    fn life(&mut self, arn: &str, run: u64) -> Option<&mut Local> {
        let powered = self.powered;
        self.tasks.get_mut(arn).filter(|t| powered && t.run == run && t.stage != Stage::Over)
    }

    fn started(&mut self, arn: &str, run: u64) -> Vec<Deed> {
        let taken: Vec<u16> = self
            .tasks
            .values()
            .filter(|t| t.stage != Stage::Over)
            .flat_map(|t| t.bindings.iter().map(|b| b.host_port))
            .collect();
        let busy: Vec<String> = self
            .tasks
            .iter()
            .filter(|(other, t)| *other != arn && t.stage != Stage::Over)
            .flat_map(|(_, t)| t.gpus.iter().cloned())
            .collect();
        let mut next = self.next_port;
        let Some(local) = self.life(arn, run) else { return Vec::new() };
        if local.stage != Stage::Starting {
            return Vec::new();
        }
        let mut fail = |why: &str| {
            local.stage = Stage::Over;
            local.end = Some((None, Some(why.to_owned())));
            Vec::new()
        };
        if local.image == Image::Missing {
            return fail(
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): not found",
            );
        }
        if local.gpus.iter().any(|gpu| busy.contains(gpu)) {
            return fail("CannotStartContainerError: the GPU is another task's");
        }
        if local.ports.iter().any(|(_, host)| host.is_some_and(|port| taken.contains(&port))) {
            return fail("CannotStartContainerError: the port is already allocated");
        }
        for (container_port, host) in local.ports.clone() {
            while taken.contains(&next) || next < 32_768 {
                next = next.checked_add(1).unwrap_or(32_768);
            }
            let host_port = host.unwrap_or(next);
            next = next.checked_add(u16::from(host.is_none())).unwrap_or(32_768);
            let bind_ip = Ipv4Addr::UNSPECIFIED.into();
            let protocol = Protocol::Tcp;
            local.bindings.push(NetworkBinding {
                bind_ip,
                container_port,
                host_port,
                more: 0,
                protocol,
            });
        }
        local.stage = Stage::Running;
        let mut deeds = Vec::new();
        let later = |after, event| Deed::Later(after, event);
        if local.checked {
            let (arn, health) = (arn.to_owned(), HealthStatus::Healthy);
            let verdict = NodeEvent::Verdict { arn, run, health };
            deeds.push(later(Duration::from_millis(500), verdict));
        }
        match local.image {
            Image::Exits(after, code) => {
                deeds.push(later(after, NodeEvent::Exited { arn: arn.to_owned(), run, code }));
            }
            Image::Sick(after) => {
                let (arn, health) = (arn.to_owned(), HealthStatus::Unhealthy);
                deeds.push(later(after, NodeEvent::Verdict { arn, run, health }));
            }
            Image::Good | Image::Missing | Image::Slow(_) | Image::Mute(_) => {}
        }
        self.next_port = next;
        deeds
    }

    /// What is to be told of a task's health.
    pub(crate) fn verdict(&self, arn: &str) -> Option<(TaskKey, String, HealthStatus)> {
        let local = self.tasks.get(arn).filter(|t| t.stage == Stage::Running)?;
        let (is, told) = local.health;
        (is != told).then(|| (local.key.clone(), local.container.clone(), is))
    }

    /// What is to be told of a task and is not under way.
    pub(crate) fn news(&self, arn: &str) -> Option<(Told, TaskReport)> {
        let local = self.tasks.get(arn)?;
        let (told, status, container) = match local.stage {
            Stage::Starting => return None,
            Stage::Stopping if local.bindings.is_empty() && local.told < Told::Running => {
                return None;
            }
            Stage::Running | Stage::Stopping => {
                (Told::Running, TaskStatus::Running, ContainerStatus::Running)
            }
            Stage::Over => (Told::Stopped, TaskStatus::Stopped, ContainerStatus::Stopped),
        };
        if local.reporting.is_some() || local.told >= told {
            return None;
        }
        let (exit_code, reason) = local.end.clone().unwrap_or_default();
        let container = ContainerReport {
            name: local.container.as_str().into(),
            status: Some(container),
            runtime_id: Some(format!("runtime-{}", local.run)),
            image_digest: None,
            exit_code,
            reason: reason.clone(),
            bindings: (told == Told::Running).then(|| local.bindings.clone()),
        };
        let report = TaskReport {
            key: local.key.clone(),
            status: Some(status),
            reason,
            containers: vec![container],
            pull_started_at: None,
            pull_stopped_at: None,
            execution_stopped_at: None,
        };
        Some((told, report))
    }
}

fn ports(definition: &ContainerDefinition) -> Vec<(u16, Option<u16>)> {
    let whole = |n: Option<i32>| n.and_then(|n| u16::try_from(n).ok());
    let mappings = definition.port_mappings.iter().flatten();
    mappings
        .filter_map(|m| Some((whole(m.container_port)?, whole(m.host_port).filter(|p| *p > 0))))
        .collect()
}
