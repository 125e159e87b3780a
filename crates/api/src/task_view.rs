//! A task as it is described.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html>

use aws::ecs::{
    Attribute, Connectivity, Container, ContainerOverride, ManagedAgent, ManagedAgentName,
    Task as Wire, TaskOverride,
};
use model::{
    ContainerFacts, ContainerName, ContainerProgress, ContainerSpec, ExecAgentStatus, HealthStatus,
    Instance, LaunchType, State, Task, TaskDefinition,
};

use crate::{fargate, network, overrides, view};

/// The attribute that tells an instance's zone.
pub(crate) const ZONE: &str = "ecs.availability-zone";

/// The attribute that tells an instance's architecture.
const ARCHITECTURE: &str = "ecs.cpu-architecture";

/// A task as it is described; its tags only where they are asked for.
pub(crate) fn task_view(state: &State, task: &Task, tags: bool) -> Wire {
    let (facts, progress, realm) = (&task.facts, &task.progress, state.realm());
    let instance = state.instance_of(facts);
    let definition = state.definition(&facts.definition);
    let overrides = facts.overrides.as_ref().and_then(overrides::decode).unwrap_or_default();
    let attribute =
        |name: &str| instance.and_then(|i| i.attribute(name).flatten()).map(str::to_owned);
    let architecture = attribute(ARCHITECTURE).map(|value| Attribute {
        name: Some(ARCHITECTURE.to_owned()),
        value: Some(value),
        ..Attribute::default()
    });
    // Who uses Fargate has no container instances.
    let of_cluster = facts.instance_key().filter(|_| facts.launch_type != LaunchType::Fargate);
    Wire {
        attachments: Some(network::attachments(realm, task)),
        attributes: Some(architecture.into_iter().collect()),
        availability_zone: Some(attribute(ZONE).unwrap_or_else(|| zone(&realm.region))),
        cluster_arn: Some(realm.cluster(facts.cluster())),
        connectivity: Some(connectivity(instance.map(|i| &**i))),
        connectivity_at: progress.connected_at,
        capacity_provider_name: facts.provider.as_ref().map(ToString::to_string),
        container_instance_arn: of_cluster.map(|key| realm.instance(&key)),
        containers: Some(containers(state, task, definition.map(|d| &**d), &overrides)),
        cpu: Some(facts.reserved.cpu.to_string()),
        created_at: Some(facts.created_at),
        desired_status: Some(view::desired_status(progress.desired).to_owned()),
        enable_execute_command: Some(facts.enable_execute_command),
        ephemeral_storage: fargate::storage(facts.launch_type),
        execution_stopped_at: progress.execution_stopped_at,
        group: Some(facts.group.clone()),
        health_status: Some(view::health(health(task, definition.map(|d| &**d)))),
        inference_accelerators: Some(Vec::new()),
        last_status: Some(view::task_status(progress.status).to_owned()),
        launch_type: Some(view::launch_type(facts.launch_type)),
        memory: Some(facts.reserved.memory.to_string()),
        overrides: Some(complete(overrides, &facts.containers)),
        platform_family: fargate::family(facts.launch_type),
        platform_version: fargate::runs_on(facts.launch_type),
        pull_started_at: progress.pull_started_at,
        pull_stopped_at: progress.pull_stopped_at,
        started_at: progress.started_at,
        started_by: facts.started_by.clone(),
        stop_code: progress.stop_code.map(view::stop_code),
        stopped_at: progress.stopped_at,
        stopped_reason: progress.stopped_reason.clone(),
        stopping_at: progress.stopping_at,
        tags: Some(if tags { view::tags(&facts.tags) } else { Vec::new() }),
        task_arn: Some(realm.task(&facts.key)),
        task_definition_arn: Some(realm.definition(&facts.definition)),
        version: Some(view::version(progress.version)),
        ..Wire::default()
    }
}

/// The zone of nodes that name none: the region's first.
pub(crate) fn zone(region: &str) -> String {
    format!("{region}a")
}

fn connectivity(instance: Option<&Instance>) -> Connectivity {
    if instance.is_some_and(|instance| instance.agent.connected) {
        Connectivity::Connected
    } else {
        Connectivity::Disconnected
    }
}

/// The verdict over the essential containers that have a check.
fn health(task: &Task, definition: Option<&TaskDefinition>) -> HealthStatus {
    let checked = |name: &ContainerName| {
        let spec = definition.and_then(|definition| definition.spec.container(name));
        spec.is_some_and(|spec| spec.essential && spec.has_health_check)
    };
    task.health(checked)
}

fn containers(
    state: &State,
    task: &Task,
    definition: Option<&TaskDefinition>,
    overrides: &TaskOverride,
) -> Vec<Container> {
    let changed = |name: &ContainerName| {
        let mut all = overrides.container_overrides.iter().flatten();
        all.find(|o| o.name.as_deref() == Some(name.as_str()))
    };
    task.facts
        .containers
        .iter()
        .map(|facts| {
            let progress = task.progress.containers.iter().find(|c| c.name == facts.name);
            let spec = definition.and_then(|definition| definition.spec.container(&facts.name));
            let mut wire = container(facts, progress, spec, changed(&facts.name));
            wire.container_arn = Some(state.realm().container(&task.facts.key, &facts.id));
            wire.network_interfaces = Some(network::interfaces(&task.facts));
            wire.task_arn = Some(state.realm().task(&task.facts.key));
            if task.facts.enable_execute_command {
                wire.managed_agents = Some(vec![exec_agent(progress)]);
            }
            wire
        })
        .collect()
}

/// What runs ExecuteCommand sessions: pending until its node has told of it.
fn exec_agent(progress: Option<&ContainerProgress>) -> ManagedAgent {
    let agent = progress.and_then(|progress| progress.exec_agent.as_ref());
    let status = agent.map_or(ExecAgentStatus::Pending, |agent| agent.status);
    ManagedAgent {
        name: Some(ManagedAgentName::ExecuteCommandAgent),
        last_status: Some(view::exec_agent_status(status).to_owned()),
        last_started_at: agent.and_then(|agent| agent.started_at),
        reason: agent.and_then(|agent| agent.reason.clone()),
    }
}

fn container(
    facts: &ContainerFacts,
    progress: Option<&ContainerProgress>,
    spec: Option<&ContainerSpec>,
    changed: Option<&ContainerOverride>,
) -> Container {
    let size = |changed: Option<i32>, spec: Option<u32>| {
        changed.map(|size| size.to_string()).or_else(|| spec.map(|size| size.to_string()))
    };
    Container {
        name: Some(facts.name.to_string()),
        image: spec.map(|spec| spec.image.clone()),
        image_digest: progress.and_then(|p| p.image_digest.clone()),
        runtime_id: progress.and_then(|p| p.runtime_id.clone()),
        last_status: progress.map(|p| view::container_status(p.status).to_owned()),
        exit_code: progress.and_then(|p| p.exit_code),
        reason: progress.and_then(|p| p.reason.clone()),
        network_bindings: Some(
            progress.iter().flat_map(|p| &p.bindings).map(view::binding).collect(),
        ),
        health_status: Some(view::health(progress.map_or(HealthStatus::Unknown, |p| p.health))),
        cpu: size(changed.and_then(|c| c.cpu), spec.map(|spec| spec.cpu)),
        memory: size(changed.and_then(|c| c.memory), spec.and_then(|spec| spec.memory)),
        memory_reservation: size(
            changed.and_then(|c| c.memory_reservation),
            spec.and_then(|spec| spec.memory_reservation),
        ),
        gpu_ids: (!facts.gpus.is_empty())
            .then(|| facts.gpus.iter().map(ToString::to_string).collect()),
        ..Container::default()
    }
}

/// ECS names every container in the overrides that it shows, changed or not.
fn complete(given: TaskOverride, containers: &[ContainerFacts]) -> TaskOverride {
    let changed = given.container_overrides.unwrap_or_default();
    let all = containers.iter().map(|facts| {
        let same = |o: &&ContainerOverride| o.name.as_deref() == Some(facts.name.as_str());
        changed.iter().find(same).cloned().unwrap_or_else(|| ContainerOverride {
            name: Some(facts.name.to_string()),
            ..ContainerOverride::default()
        })
    });
    TaskOverride {
        container_overrides: Some(all.collect()),
        inference_accelerator_overrides: Some(Vec::new()),
        ..given
    }
}
