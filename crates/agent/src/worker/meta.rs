//! A task as it tells itself at `169.254.170.2`: a snapshot of its view.

use runtime::Mount;

use crate::endpoints::{ContainerMeta, LaunchType, Phase, TaskMeta, TaskNetwork, VolumeMeta};
use crate::plan::devices::gpus;
use crate::plan::{ContainerPlan, NetworkPlan};
use crate::task::{ContainerState, Desired, Fetch, Run, SandboxState, Status, TaskView};

/// The task as it is now. `cluster` is the configured one.
pub(super) fn snapshot(view: &TaskView, cluster: &str) -> TaskMeta {
    let (order, state) = (&view.plan.order, &view.state);
    let pulls = || state.containers.iter().filter_map(|container| container.pulled);
    let desired = if view.stopping() || state.desired == Desired::Stopped {
        Phase::Stopped
    } else {
        Phase::Running
    };
    let containers = view
        .containers()
        .map(|(index, plan, state)| container(view, index, plan, state, desired))
        .collect::<Vec<_>>();
    TaskMeta {
        id: view.plan.id.clone(),
        arn: order.arn.clone(),
        // Such a task may be of another cluster than the node is; AWS tells its ARN.
        cluster: if order.on_fargate() { order.cluster.clone() } else { cluster.to_owned() },
        family: order.family.clone(),
        revision: order.version.clone(),
        service_name: order.service.clone(),
        launch_type: LaunchType::from_word(order.launch_type.as_deref()),
        availability_zone: order.zone.clone(),
        desired,
        known: match state.status {
            Status::Pending if state.sandbox == SandboxState::Ready => Phase::Created,
            Status::Pending => Phase::None,
            Status::Running => Phase::Running,
            Status::Stopped => Phase::Stopped,
        },
        cpu: order.cpu,
        memory: order.memory,
        pull_started_at: pulls().map(|(from, _)| from).min(),
        pull_stopped_at: pulls().map(|(_, to)| to).max(),
        execution_stopped_at: state.execution_stopped_at,
        network: match view.plan.network {
            NetworkPlan::Bridge | NetworkPlan::Runtime => TaskNetwork::Bridge,
            NetworkPlan::Own(_) => TaskNetwork::Own,
            NetworkPlan::Host => TaskNetwork::Host,
            NetworkPlan::None => TaskNetwork::None,
        },
        interface: order.interface.clone(),
        sandbox: view.plan.sandbox.id.clone(),
        credentials_id: order.task_role.as_ref().map(|role| role.credentials_id.clone()),
        containers,
    }
}

fn container(
    view: &TaskView,
    index: usize,
    plan: &ContainerPlan,
    state: &ContainerState,
    desired: Phase,
) -> ContainerMeta {
    let order = &view.plan.order;
    let definition = order.containers.get(index);
    let log = definition.and_then(|d| d.log_configuration.as_ref());
    let place = state.place.as_ref();
    let number = |value: Option<i32>| value.map_or(0, i64::from);
    ContainerMeta {
        id: plan.id.clone(),
        name: plan.name.clone(),
        image: plan.image.clone(),
        image_id: match &state.image {
            Fetch::Present(image) => image.id.clone(),
            _ => String::new(),
        },
        ports: place.map(|place| place.bindings.clone()).unwrap_or_default(),
        labels: plan.template.labels.clone(),
        desired: if state.end().is_some() { Phase::Stopped } else { desired },
        known: phase(state),
        exit_code: state.end().and_then(|end| end.code),
        cpu: number(definition.and_then(|d| d.cpu)),
        memory: number(definition.and_then(|d| d.memory)),
        created_at: state.started_at,
        started_at: state.started_at,
        finished_at: state.end().and(state.ended_at),
        address: place.and_then(|place| place.address),
        attachment: place.and_then(|place| place.address).map(|_| view.plan.network_id(index)),
        health: plan.template.health.as_ref().map(|_| {
            let (health, since) = state.health.unzip();
            (health.unwrap_or(runtime::Health::Unknown), since)
        }),
        volumes: plan.template.mounts.iter().filter_map(volume).collect(),
        log_driver: log.and_then(|log| log.log_driver.as_ref()).map(|d| d.as_str().to_owned()),
        log_options: log.and_then(|log| log.options.clone()).unwrap_or_default(),
        arn: order.container_arns.get(index).filter(|arn| !arn.is_empty()).cloned(),
        restarts: plan.restart.as_ref().map(|_| state.restarts),
        gpus: gpus(order, &plan.name).map(str::to_owned).collect(),
    }
}

fn phase(state: &ContainerState) -> Phase {
    match (&state.run, &state.image) {
        (Run::Over(_), _) => Phase::Stopped,
        (Run::Running { .. } | Run::Stopping { .. } | Run::Restarting(_) | Run::Clearing(_), _) => {
            Phase::Running
        }
        (Run::Starting, _) => Phase::Created,
        (Run::Waiting, Fetch::Present(_)) => Phase::Pulled,
        (Run::Waiting, _) => Phase::None,
    }
}

fn volume(mount: &Mount) -> Option<VolumeMeta> {
    let text = |path: &std::path::Path| path.display().to_string();
    match mount {
        Mount::Bind { source, target, .. } => Some(VolumeMeta {
            source: text(source),
            destination: text(target),
            ..VolumeMeta::default()
        }),
        Mount::Volume { name, target, .. } => Some(VolumeMeta {
            docker_name: name.clone(),
            destination: text(target),
            ..VolumeMeta::default()
        }),
        Mount::Tmpfs { .. } => None,
    }
}
