//! Container instances: they register, come back, drain, lose their agent, and leave.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use model::{
    AgentInfo, Attribute, Change, FARGATE_CAPABILITY, Instance, InstanceKey, InstanceStatus,
    ServiceKey, StopCode, Task,
};

use super::{active_cluster, progress, reports, run_task, targets};
use crate::desk::Desk;
use crate::{RegisterInstance, Rejection, Reply, words};

/// The attribute by which an instance says that it is external.
const EXTERNAL: &str = "ecs.capability.external";

/// The attribute by which an instance says where its published ports are reached.
const ADDRESS: &str = "wharf.address";

/// RegisterContainerInstance. One that comes back keeps its status, its tags and the attributes that
/// its agent does not send again; one that comes back to a server that has forgotten it is taken in
/// under the id that it knows itself by, since the agent would give up otherwise.
pub(super) fn register(
    desk: &mut Desk<'_>,
    register: &RegisterInstance,
) -> Result<Reply, Rejection> {
    if register.cluster.is_fargates() {
        fargates(register)?;
    } else {
        active_cluster(desk.state, &register.cluster)?;
    }
    let instance = register.known_as.clone().unwrap_or_else(|| desk.ids.hex32().into());
    let key = InstanceKey { cluster: register.cluster.clone(), instance };
    let external = register.attributes.iter().any(|a| a.name == EXTERNAL);
    let next = match desk.state.instance(&key) {
        Some(before) => Instance {
            external,
            ec2_instance_id: register.ec2_instance_id.clone().or(before.ec2_instance_id.clone()),
            address: address(register).or(before.address),
            registered: register.resources.clone(),
            attributes: merged(&before.attributes, &register.attributes),
            version: before.version + 1,
            ..Instance::clone(before)
        },
        None => Instance {
            key,
            status: InstanceStatus::Active,
            external,
            ec2_instance_id: register.ec2_instance_id.clone(),
            address: address(register),
            registered: register.resources.clone(),
            attributes: register.attributes.clone(),
            agent: AgentInfo::default(),
            tags: register.tags.clone(),
            registered_at: desk.now,
            version: 1,
        },
    };
    desk.put(Change::PutInstance(Arc::new(next.clone())));
    Ok(Reply::Instance(Box::new(next)))
}

/// Where nodes stand that offer Fargate alone, nobody else stands.
fn fargates(register: &RegisterInstance) -> Result<(), Rejection> {
    if register.attributes.iter().any(|a| a.name == FARGATE_CAPABILITY) {
        return Ok(());
    }
    Err(Rejection::ClusterNotFound(register.cluster.clone()))
}

/// Where its published ports are reached: what it says, else from where it asks.
fn address(register: &RegisterInstance) -> Option<IpAddr> {
    let said = register.attributes.iter().find(|a| a.name == ADDRESS);
    said.and_then(|a| a.value.as_deref()?.parse().ok()).or(register.address)
}

/// Those sent now, and those from before that an agent sends only once. A capability that is not
/// sent again is gone.
fn merged(before: &[Attribute], sent: &[Attribute]) -> Vec<Attribute> {
    let capability = |name: &str| {
        ["ecs.", "com.amazonaws.ecs.", "wharf."]
            .iter()
            .any(|whose| name.strip_prefix(whose).is_some_and(|n| n.starts_with("capability.")))
    };
    let kept = before
        .iter()
        .filter(|a| !capability(&a.name) && !sent.iter().any(|other| other.name == a.name));
    sent.iter().chain(kept).cloned().collect()
}

/// UpdateContainerInstancesState, one of them.
pub(super) fn set_status(
    desk: &mut Desk<'_>,
    key: &InstanceKey,
    status: InstanceStatus,
) -> Result<Reply, Rejection> {
    stands(desk, key)?;
    let before = find(desk, key)?;
    if before.status == status {
        return Ok(Reply::Instance(Box::new(Instance::clone(before))));
    }
    let next = Instance { status, version: before.version + 1, ..Instance::clone(before) };
    desk.put(Change::PutInstance(Arc::new(next.clone())));
    for service in services_on(desk, key) {
        desk.disturb(&service);
    }
    Ok(Reply::Instance(Box::new(next)))
}

/// DeregisterContainerInstance: with force its tasks are over for the books, since nobody will
/// report of them any more.
pub(super) fn deregister(
    desk: &mut Desk<'_>,
    key: &InstanceKey,
    force: bool,
) -> Result<Reply, Rejection> {
    stands(desk, key)?;
    let instance = find(desk, key)?;
    let tasks: Vec<&Task> = desk.state.tasks_on(key).filter(|t| t.holds_resources()).collect();
    if !force && !tasks.is_empty() {
        return Err(Rejection::InstanceHasTasks(key.clone(), tasks.len()));
    }
    for task in tasks {
        let reason = words::DEREGISTERED_BY_FORCE.to_owned();
        lose(desk, task, reason);
    }
    desk.put(Change::DeleteInstance(key.clone()));
    Ok(Reply::Instance(Box::new(Instance::clone(instance))))
}

/// A task is over because its instance is gone. It keeps the reason for which it was stopped before.
pub(super) fn lose(desk: &mut Desk<'_>, task: &Task, reason: String) {
    let mut next = match task.progress.stop_code {
        Some(_) => model::TaskProgress::clone(&task.progress),
        None => {
            let code = StopCode::TerminationNotice;
            run_task::told_to_stop(&task.progress, desk.now, code, reason)
        }
    };
    reports::end(&mut next, desk.now);
    targets::forget(desk, &task.facts.key);
    desk.put(progress(&task.facts.key, next));
    if let Some(service) = task.facts.service_key() {
        desk.disturb(&service);
    }
}

/// The agent's session began or ended.
pub(super) fn session(
    desk: &mut Desk<'_>,
    key: &InstanceKey,
    agent: &AgentInfo,
) -> Result<Reply, Rejection> {
    let before = find(desk, key)?;
    let was = &before.agent;
    let changed = was.connected != agent.connected;
    let agent = AgentInfo {
        connected: agent.connected,
        connected_changed_at: if changed { Some(desk.now) } else { was.connected_changed_at },
        version: agent.version.clone().or(was.version.clone()),
        hash: agent.hash.clone().or(was.hash.clone()),
        docker_version: agent.docker_version.clone().or(was.docker_version.clone()),
    };
    if agent == *was {
        return Ok(Reply::Instance(Box::new(Instance::clone(before))));
    }
    let next = Instance { agent, version: before.version + 1, ..Instance::clone(before) };
    desk.put(Change::PutInstance(Arc::new(next.clone())));
    Ok(Reply::Instance(Box::new(next)))
}

/// After a start of the server no session stands.
pub(super) fn disconnect_all(desk: &mut Desk<'_>) -> Result<Reply, Rejection> {
    for before in desk.state.all_instances().filter(|i| i.agent.connected) {
        let mut next = Instance::clone(before);
        next.agent.connected = false;
        next.agent.connected_changed_at = Some(desk.now);
        next.version += 1;
        desk.put(Change::PutInstance(Arc::new(next)));
    }
    Ok(Reply::Done)
}

/// Whether instances may be asked for something there.
fn stands(desk: &Desk<'_>, key: &InstanceKey) -> Result<(), Rejection> {
    match key.cluster.is_fargates() {
        true => Ok(()),
        false => active_cluster(desk.state, &key.cluster).map(|_| ()),
    }
}

fn services_on(desk: &Desk<'_>, key: &InstanceKey) -> BTreeSet<ServiceKey> {
    let live = desk.state.tasks_on(key).filter(|t| t.holds_resources());
    live.filter_map(|t| t.facts.service_key()).collect()
}

fn find<'a>(desk: &Desk<'a>, key: &InstanceKey) -> Result<&'a Arc<Instance>, Rejection> {
    desk.state.instance(key).ok_or_else(|| Rejection::InstanceNotFound(key.clone()))
}
