//! Tasks as targets: they join their service's groups when they run, finish what they have begun
//! before they stop, and are gone at once when they die.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{
    BalancingChange, Book, Change, ContainerStatus, DesiredStatus, GroupId, GroupProtocol,
    NetworkMode, Place, PortMapping, Protocol, ServiceKey, ServiceTarget, State, StopCode, Target,
    TargetKey, TargetState, Task, TaskFacts, TaskKey, TaskProgress, TaskSpec, TaskStatus, Verdict,
    VerdictState,
};
use stdx::Timestamp;

use super::{progress, reports};
use crate::desk::Desk;
use crate::{Misfit, Rejection, Reply, TargetNews, TargetReport, words};

/// The most target groups of a service, an ECS quota.
const MOST_GROUPS: usize = 5;

// === What is asked for ===

/// Whether tasks of a definition can be these targets. Of groups that the service has already it is
/// not asked again whether they are in use.
pub(super) fn fit(
    state: &State,
    spec: &TaskSpec,
    wanted: &[ServiceTarget],
    known: &[ServiceTarget],
) -> Result<(), Rejection> {
    if wanted.len() > MOST_GROUPS {
        return Err(Rejection::Misfit(Misfit::TooMany(wanted.len())));
    }
    for (at, target) in wanted.iter().enumerate() {
        if wanted[..at].contains(target) {
            let ServiceTarget { group, container, container_port, .. } = target.clone();
            return Err(Rejection::Misfit(Misfit::Twice(group, container, container_port)));
        }
        let old = known.iter().any(|k| k.group == target.group);
        fits(state, spec, target, old).map_err(Rejection::Misfit)?;
    }
    Ok(())
}

fn fits(state: &State, spec: &TaskSpec, target: &ServiceTarget, old: bool) -> Result<(), Misfit> {
    let book = state.balancing();
    let group = &target.group;
    let Some(found) = book.group(group) else { return Err(Misfit::NoGroup(group.clone())) };
    if !old && !book.in_use(group) {
        return Err(Misfit::NoBalancer(group.clone()));
    }
    let container = &target.container;
    let Some(asked) = spec.container(container) else {
        return Err(Misfit::NoContainer(container.clone()));
    };
    let transport = transport(found.protocol);
    if mapping(&asked.ports, target.container_port, transport).is_none() {
        return Err(Misfit::NoPort(container.clone(), target.container_port));
    }
    let fitting = match found.kind {
        model::TargetKind::Instance => {
            matches!(spec.network_mode, NetworkMode::Bridge | NetworkMode::Host)
        }
        model::TargetKind::Ip => spec.network_mode == NetworkMode::Awsvpc,
    };
    if fitting {
        Ok(())
    } else {
        Err(Misfit::Network(group.clone(), found.kind, spec.network_mode))
    }
}

/// How a group's targets are reached; one of both transports has the same port for both.
const fn transport(protocol: GroupProtocol) -> Protocol {
    match protocol {
        GroupProtocol::Udp => Protocol::Udp,
        GroupProtocol::Http
        | GroupProtocol::Https
        | GroupProtocol::Tcp
        | GroupProtocol::Tls
        | GroupProtocol::TcpUdp => Protocol::Tcp,
    }
}

fn mapping(ports: &[PortMapping], port: u16, protocol: Protocol) -> Option<&PortMapping> {
    ports.iter().find(|m| m.container_port == port && m.protocol == protocol)
}

// === Joining ===

/// A task runs: it joins its deployment's groups, in so far as it is known where it listens. Tells
/// whether nothing is left to join.
pub(super) fn join(desk: &mut Desk<'_>, task: &Task, next: &TaskProgress) -> bool {
    if next.desired == DesiredStatus::Stopped {
        return true;
    }
    let state = desk.state;
    let Some(key) = task.facts.service_key() else { return true };
    let Some(service) = state.service(&key) else { return true };
    let deployment = task.facts.deployment.as_ref().and_then(|id| service.deployment(id));
    let Some(deployment) = deployment else { return true };
    let mut whole = true;
    let mut joined: BTreeMap<&GroupId, usize> = BTreeMap::new();
    for wanted in &deployment.load_balancers {
        if state.balancing().group(&wanted.group).is_none() {
            let words = words::no_such_group(&state.realm().group(&wanted.group));
            desk.say(&key, &words);
            continue;
        }
        let Some(place) = place(state, &task.facts, next, wanted) else {
            whole = false;
            continue;
        };
        if register(desk, &task.facts.key, place) {
            *joined.entry(&wanted.group).or_default() += 1;
        }
    }
    for (group, n) in joined {
        desk.say(&key, &words::registered(n, &state.realm().group(group)));
    }
    whole
}

/// Puts a target in; whether it was not there. One that another task left behind on the port goes.
fn register(desk: &mut Desk<'_>, task: &TaskKey, key: TargetKey) -> bool {
    if let Some(before) = desk.state.balancing().target(&key) {
        if before.task.as_ref() == Some(task) {
            return false;
        }
        desk.put(Change::Balancing(BalancingChange::DeleteTarget(key.clone())));
    }
    let target = Target {
        key,
        zone: None,
        task: Some(task.clone()),
        registered_at: desk.now,
        draining_since: None,
    };
    desk.put(Change::Balancing(BalancingChange::PutTarget(Arc::new(target))));
    true
}

/// Where a task listens for a group; none as long as its node has not told.
fn place(
    state: &State,
    facts: &TaskFacts,
    progress: &TaskProgress,
    wanted: &ServiceTarget,
) -> Option<TargetKey> {
    let instance = state.instance_of(facts)?;
    let spec = &state.definition(&facts.definition)?.spec;
    let protocol = transport(state.balancing().group(&wanted.group)?.protocol);
    let ports = &spec.container(&wanted.container)?.ports;
    let mapping = mapping(ports, wanted.container_port, protocol)?;
    let port = match spec.network_mode {
        NetworkMode::Host => mapping.host_port.unwrap_or(mapping.container_port),
        NetworkMode::Bridge => match mapping.host_port.filter(|port| *port != 0) {
            Some(port) => port,
            None => published(progress, wanted, protocol)?,
        },
        NetworkMode::Awsvpc => {
            let place = Place::Ip(facts.interface()?.address.into());
            return Some(TargetKey {
                group: wanted.group.clone(),
                place,
                port: mapping.container_port,
            });
        }
        NetworkMode::None => return None,
    };
    let place = Place::Instance(instance.target_id().to_owned());
    Some(TargetKey { group: wanted.group.clone(), place, port })
}

/// The port that the node chose.
fn published(progress: &TaskProgress, wanted: &ServiceTarget, protocol: Protocol) -> Option<u16> {
    let container = progress.containers.iter().find(|c| c.name == wanted.container)?;
    container.bindings.iter().filter(|b| b.protocol == protocol).find_map(|binding| {
        let offset = wanted.container_port.checked_sub(binding.container_port)?;
        (offset <= binding.more).then(|| binding.host_port.checked_add(offset)).flatten()
    })
}

// === Leaving ===

/// A task is told to stop: its targets begin to drain and it waits for them. Tells which groups they
/// leave. Of a task whose instance is gone nobody would report the end: it is over.
pub(super) fn leave(desk: &mut Desk<'_>, task: &Task, next: &mut TaskProgress) -> Vec<GroupId> {
    let (state, now) = (desk.state, desk.now);
    if state.instance_of(&task.facts).is_none() {
        reports::end(next, now);
        forget(desk, &task.facts.key);
        return Vec::new();
    }
    let mut groups = Vec::new();
    for target in state.balancing().targets_of(&task.facts.key) {
        next.status = next.status.max(TaskStatus::Deactivating);
        if target.draining_since.is_none() {
            let leaving = Target { draining_since: Some(now), ..Target::clone(target) };
            desk.put(Change::Balancing(BalancingChange::PutTarget(Arc::new(leaving))));
            groups.push(target.key.group.clone());
        }
    }
    groups
}

/// Says what [`leave`] has begun, of the tasks of one service.
pub(super) fn say_left(desk: &mut Desk<'_>, service: &ServiceKey, left: &[Vec<GroupId>]) {
    let tasks = left.iter().filter(|groups| !groups.is_empty()).count();
    if tasks == 0 {
        return;
    }
    let mut count: BTreeMap<&GroupId, usize> = BTreeMap::new();
    left.iter().flatten().for_each(|group| *count.entry(group).or_default() += 1);
    desk.say(service, &words::draining(tasks));
    for (group, n) in count {
        let words = words::deregistered(n, &desk.state.realm().group(group));
        desk.say(service, &words);
    }
}

/// A task is over: its targets are gone, whatever they had.
pub(super) fn forget(desk: &mut Desk<'_>, task: &TaskKey) {
    for target in desk.state.balancing().targets_of(task) {
        desk.put(Change::Balancing(BalancingChange::DeleteTarget(target.key.clone())));
    }
}

/// A container is over though its task is not yet: nothing is sent to it any more.
pub(super) fn drop_dead(desk: &mut Desk<'_>, task: &Task, next: &TaskProgress) {
    let book = desk.state.balancing();
    if next.status == TaskStatus::Stopped || book.targets_of(&task.facts.key).next().is_none() {
        return;
    }
    let service = task.facts.service_key().and_then(|key| desk.state.service(&key));
    let deployment = task.facts.deployment.as_ref();
    let Some(deployment) = service.zip(deployment).and_then(|(s, id)| s.deployment(id)) else {
        return;
    };
    for wanted in &deployment.load_balancers {
        let over = next
            .containers
            .iter()
            .any(|c| c.name == wanted.container && c.status == ContainerStatus::Stopped);
        let key = over.then(|| place(desk.state, &task.facts, next, wanted)).flatten();
        let mine = |t: &&Arc<Target>| t.task.as_ref() == Some(&task.facts.key);
        if let Some(key) = key.filter(|key| book.target(key).as_ref().is_some_and(mine)) {
            desk.put(Change::Balancing(BalancingChange::DeleteTarget(key)));
        }
    }
}

/// When a target that is leaving has had its time.
pub(crate) fn drained_at(book: &Book, target: &Target) -> Timestamp {
    let delay = book.group(&target.key.group).map(|group| group.settings.deregistration_delay);
    target.draining_since.unwrap_or(Timestamp::EPOCH) + delay.unwrap_or_default()
}

/// The draining of targets is over, in so far as it is.
pub(super) fn end(
    desk: &mut Desk<'_>,
    targets: &[TargetKey],
    tasks: &[TaskKey],
) -> Result<Reply, Rejection> {
    let book = desk.state.balancing();
    let due =
        |target: &Target| target.draining_since.is_some() && drained_at(book, target) <= desk.now;
    let gone: BTreeSet<TargetKey> = targets
        .iter()
        .filter(|key| book.target(key).is_some_and(|target| due(target)))
        .cloned()
        .collect();
    remove(desk, &gone, tasks.iter().cloned().collect());
    if desk.is_idle() { Err(Rejection::Stale) } else { Ok(Reply::Done) }
}

/// Takes targets out, and stops the tasks that waited for nothing else.
fn remove(desk: &mut Desk<'_>, gone: &BTreeSet<TargetKey>, mut waiting: BTreeSet<TaskKey>) {
    let state = desk.state;
    for key in gone {
        waiting.extend(state.balancing().target(key).and_then(|target| target.task.clone()));
        desk.put(Change::Balancing(BalancingChange::DeleteTarget(key.clone())));
    }
    let mut stopped: BTreeMap<ServiceKey, Vec<&TaskKey>> = BTreeMap::new();
    for key in &waiting {
        let Some(task) = state.task(key) else { continue };
        let still = state.balancing().targets_of(key).any(|target| !gone.contains(&target.key));
        if still || task.progress.status != TaskStatus::Deactivating {
            continue;
        }
        let mut next = TaskProgress::clone(&task.progress);
        next.status = TaskStatus::Stopping;
        desk.put(progress(key, next));
        if task.progress.stop_code == Some(StopCode::ServiceSchedulerInitiated)
            && let Some(service) = task.facts.service_key()
        {
            stopped.entry(service).or_default().push(key);
        }
    }
    for (service, tasks) in stopped {
        desk.say(&service, &words::stopped(tasks.iter().map(|key| &key.task)));
    }
}

// === What the balancer sees ===

/// Takes in what the balancer has seen. What it saw of an earlier registration counts no more.
pub(super) fn report(desk: &mut Desk<'_>, reports: &[TargetReport]) -> Result<Reply, Rejection> {
    let state = desk.state;
    let mut idle = BTreeSet::new();
    for seen in reports {
        let Some(target) = state.balancing().target(&seen.key) else { continue };
        if target.registered_at != seen.registered_at {
            continue;
        }
        match &seen.news {
            TargetNews::Idle { since } if target.draining_since == Some(*since) => {
                idle.insert(seen.key.clone());
            }
            TargetNews::Idle { .. } => {}
            TargetNews::Health { state, reason, description } => {
                let verdict = Verdict {
                    state: *state,
                    reason: *reason,
                    description: description.clone(),
                    since: desk.now,
                };
                judge(desk, target, verdict);
            }
        }
    }
    remove(desk, &idle, BTreeSet::new());
    Ok(Reply::Done)
}

/// A verdict on a target. A balancer that has just begun knows nothing yet, which is no news.
fn judge(desk: &mut Desk<'_>, target: &Target, mut verdict: Verdict) {
    let before = desk.state.balancing().verdict_of(target);
    if let Some(before) = before {
        let known = before.state != VerdictState::Initial;
        if known && verdict.state == VerdictState::Initial {
            return;
        }
        if before.state == verdict.state {
            verdict.since = before.since;
        }
        if **before == verdict {
            return;
        }
    }
    let worse = verdict.state != VerdictState::Healthy
        && before.is_some_and(|before| before.state != verdict.state);
    let change = BalancingChange::PutVerdict(target.key.clone(), Arc::new(verdict));
    desk.put(Change::Balancing(change));
    let task = target.task.as_ref().filter(|_| worse).and_then(|key| desk.state.task(key));
    if let Some(service) = task.and_then(|task| task.facts.service_key()) {
        desk.disturb(&service);
    }
}

/// The first target of a task that is unhealthy, with the verdict.
pub(super) fn unhealthy<'a>(state: &'a State, task: &TaskKey) -> Option<(&'a Target, &'a Verdict)> {
    let book = state.balancing();
    book.targets_of(task)
        .find(|target| book.state_of(target) == TargetState::Unhealthy)
        .and_then(|target| Some((&**target, &**book.verdict_of(target)?)))
}
