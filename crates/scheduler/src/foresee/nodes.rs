//! Nodes that do what they are told: each task becomes running, then healthy, and stops when it is
//! asked to; each target is found healthy. What they report comes as the commands that the reports of
//! real agents and of the balancer would make.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use model::{
    BalancingChange, ContainerStatus, DesiredStatus, HealthStatus, HostPort, NetworkBinding,
    NetworkMode, State, TargetKey, Task, TaskKey, TaskStatus, VerdictState,
};
use stdx::Timestamp;

use super::Habits;
use crate::{Command, ContainerReport, TargetNews, TargetReport, TaskReport};

/// Where the ports begin that nodes choose themselves.
const EPHEMERAL: u16 = 32_768;

/// Something that a node will do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Run(TaskKey),
    Heal(TaskKey),
    End(TaskKey),
    FindHealthy(TargetKey),
    FindIdle(TargetKey),
}

/// What all nodes will do, and when.
#[derive(Debug)]
pub(super) struct Nodes {
    habits: Habits,
    deeds: BTreeSet<(Timestamp, Deed)>,
    known: BTreeMap<Deed, Timestamp>,
}

impl Nodes {
    pub(super) fn new(habits: Habits) -> Self {
        Self { habits, deeds: BTreeSet::new(), known: BTreeMap::new() }
    }

    /// When something is done next.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.deeds.first().map(|(at, _)| *at)
    }

    /// A task as it now stands: what its node will do about it.
    pub(super) fn look(&mut self, task: &Task, now: Timestamp) {
        let (key, progress) = (&task.facts.key, &task.progress);
        if task.facts.instance.is_none() {
            return;
        }
        match (progress.desired, progress.status) {
            (DesiredStatus::Running, status) if status < TaskStatus::Running => {
                self.will(now + self.habits.start, Deed::Run(key.clone()));
            }
            (DesiredStatus::Running, TaskStatus::Running) => {
                let judged = |health| health != HealthStatus::Unknown;
                if !progress.containers.iter().any(|c| judged(c.health)) {
                    self.will(now + self.habits.healthy, Deed::Heal(key.clone()));
                }
            }
            // While its targets drain it goes on.
            (DesiredStatus::Stopped, TaskStatus::Deactivating | TaskStatus::Stopped) => {}
            (DesiredStatus::Stopped, _) => {
                self.will(now + self.habits.stop, Deed::End(key.clone()))
            }
            (DesiredStatus::Running, _) => {}
        }
    }

    /// A target came or began to leave.
    pub(super) fn target(&mut self, change: &BalancingChange, now: Timestamp) {
        if let BalancingChange::PutTarget(target) = change {
            let deed = match target.draining_since {
                None => Deed::FindHealthy(target.key.clone()),
                Some(_) => Deed::FindIdle(target.key.clone()),
            };
            self.will(now + self.habits.healthy, deed);
        }
    }

    fn will(&mut self, at: Timestamp, deed: Deed) {
        // What is under way is not begun again.
        if !self.known.contains_key(&deed) {
            self.known.insert(deed.clone(), at);
            self.deeds.insert((at, deed));
        }
    }

    /// The reports that are due, as commands.
    pub(super) fn due(&mut self, state: &State, now: Timestamp) -> Vec<Command> {
        let mut reports = Vec::new();
        while let Some((at, deed)) = self.deeds.first().cloned() {
            if at > now {
                break;
            }
            self.deeds.remove(&(at, deed.clone()));
            self.known.remove(&deed);
            reports.extend(report(state, deed));
        }
        reports
    }
}

fn report(state: &State, deed: Deed) -> Option<Command> {
    match deed {
        Deed::Run(key) => {
            let task = state.task(&key).filter(|t| t.progress.desired == DesiredStatus::Running)?;
            Some(reported(state, task, TaskStatus::Running, ContainerStatus::Running))
        }
        Deed::End(key) => {
            let task = state.task(&key)?;
            Some(reported(state, task, TaskStatus::Stopped, ContainerStatus::Stopped))
        }
        Deed::Heal(key) => {
            let task = state.task(&key)?;
            let spec = &state.definition(&task.facts.definition)?.spec;
            let checked = spec.containers.iter().filter(|c| c.has_health_check);
            let health: Vec<_> = checked.map(|c| (c.name.clone(), HealthStatus::Healthy)).collect();
            (!health.is_empty()).then_some(Command::ReportHealth { key, health })
        }
        Deed::FindHealthy(key) => {
            let health = TargetNews::Health {
                state: VerdictState::Healthy,
                reason: None,
                description: None,
            };
            let registered_at = state.balancing().target(&key)?.registered_at;
            Some(Command::ReportTargets(vec![TargetReport { key, registered_at, news: health }]))
        }
        Deed::FindIdle(key) => {
            let target = state.balancing().target(&key)?;
            let (registered_at, since) = (target.registered_at, target.draining_since?);
            let news = TargetNews::Idle { since };
            Some(Command::ReportTargets(vec![TargetReport { key, registered_at, news }]))
        }
    }
}

fn reported(state: &State, task: &Task, status: TaskStatus, each: ContainerStatus) -> Command {
    let over = each == ContainerStatus::Stopped;
    let bindings = if over { BTreeMap::new() } else { bindings(state, task) };
    let containers = task.facts.containers.iter().map(|container| ContainerReport {
        name: container.name.clone(),
        status: Some(each),
        runtime_id: None,
        image_digest: None,
        exit_code: over.then_some(0),
        reason: None,
        bindings: bindings.get(&container.name).cloned(),
    });
    Command::ReportTask(TaskReport {
        key: task.facts.key.clone(),
        status: Some(status),
        reason: None,
        containers: containers.collect(),
        pull_started_at: None,
        pull_stopped_at: None,
        execution_stopped_at: None,
    })
}

/// The ports that a node chooses for what asks for any: the lowest that are free.
fn bindings(state: &State, task: &Task) -> BTreeMap<model::ContainerName, Vec<NetworkBinding>> {
    let mut chosen = BTreeMap::new();
    let Some(definition) = state.definition(&task.facts.definition) else { return chosen };
    let Some(key) = task.facts.instance_key() else { return chosen };
    if definition.spec.network_mode != NetworkMode::Bridge {
        return chosen;
    }
    let others = state.tasks_on(&key).filter(|t| t.holds_resources());
    let mut taken: BTreeSet<HostPort> = others.flat_map(Task::host_ports).collect();
    for container in &definition.spec.containers {
        let mut list = Vec::new();
        for mapping in &container.ports {
            let free =
                |port: &u16| !taken.contains(&HostPort { protocol: mapping.protocol, port: *port });
            let asked = mapping.host_port.filter(|port| *port != 0);
            let Some(host_port) = asked.or_else(|| (EPHEMERAL..=u16::MAX).find(free)) else {
                continue;
            };
            taken.insert(HostPort { protocol: mapping.protocol, port: host_port });
            list.push(NetworkBinding {
                bind_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                container_port: mapping.container_port,
                host_port,
                more: 0,
                protocol: mapping.protocol,
            });
        }
        chosen.insert(container.name.clone(), list);
    }
    chosen
}
