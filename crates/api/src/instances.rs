//! Container instances: describe, list, deregister, drain.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_container_instances.html>

use aws::Error;
use aws::ecs::{
    Attribute, ContainerInstance as Wire, ContainerInstanceField, ContainerInstanceStatus,
    DeregisterContainerInstanceRequest, DeregisterContainerInstanceResponse,
    DescribeContainerInstancesRequest, DescribeContainerInstancesResponse, ErrorKind, Failure,
    ListContainerInstancesRequest, ListContainerInstancesResponse, Resource,
    UpdateContainerAgentRequest, UpdateContainerAgentResponse,
    UpdateContainerInstancesStateRequest, UpdateContainerInstancesStateResponse, VersionInfo,
};
use model::{HostPort, Instance, InstanceStatus, Protocol, Resources, State};
use scheduler::{Command, Rejection, Reply};
use store::SubmitError;

use crate::agent::GPU;
use crate::door::{Door, odd_reply};
use crate::errors::{self, invalid, missing};
use crate::page::{Order, Page};
use crate::refuse::PARAMETER;
use crate::{placement, refer, view};

/// How many instances can be described at once.
const MOST_DESCRIBED: usize = 100;

/// How many instances can be changed at once.
const MOST_CHANGED: usize = 10;

pub(crate) fn describe(
    state: &State,
    request: &DescribeContainerInstancesRequest,
) -> Result<DescribeContainerInstancesResponse, Error> {
    let cluster = refer::cluster(state, request.cluster.as_deref())?;
    let given = request.container_instances.as_deref().unwrap_or_default();
    if given.is_empty() {
        return Err(invalid("Container instances cannot be empty."));
    }
    if given.len() > MOST_DESCRIBED {
        return Err(invalid(format!(
            "containerInstances: at most {MOST_DESCRIBED} can be described at once."
        )));
    }
    let include = request.include.as_deref().unwrap_or_default();
    if include.contains(&ContainerInstanceField::ContainerInstanceHealth) {
        return Err(PARAMETER.not_built("include", "CONTAINER_INSTANCE_HEALTH is"));
    }
    let tags = include.contains(&ContainerInstanceField::Tags);
    let (mut instances, mut failures) = (Vec::new(), Vec::new());
    for given in given {
        let key = refer::instance(state.realm(), &cluster, given)?;
        match state.instance(&key) {
            Some(instance) => instances.push(instance_view(state, instance, tags)),
            None => failures.push(missing(state.realm().instance(&key))),
        }
    }
    Ok(DescribeContainerInstancesResponse {
        container_instances: Some(instances),
        failures: Some(failures),
    })
}

pub(crate) fn list(
    state: &State,
    request: &ListContainerInstancesRequest,
) -> Result<ListContainerInstancesResponse, Error> {
    let cluster = refer::cluster(state, request.cluster.as_deref())?;
    let filter = request.filter.as_deref().filter(|text| !text.is_empty());
    let filter = filter.map(placement::expression).transpose().map_err(invalid)?;
    let wanted = |instance: &Instance| {
        let status = view::instance_status(instance.status);
        request.status.as_ref().is_none_or(|wanted| wanted.as_str() == status)
            && filter.as_ref().is_none_or(|filter| filter.holds(&state.facts(instance)))
    };
    let entries = state
        .instances(&cluster)
        .filter(|instance| wanted(instance))
        .map(|instance| (instance.key.instance.to_string(), state.realm().instance(&instance.key)))
        .collect();
    let question =
        ListContainerInstancesRequest { next_token: None, max_results: None, ..request.clone() };
    let token = request.next_token.as_deref();
    let page = Page::of_100("ListContainerInstances", token, request.max_results).of(&question)?;
    let (arns, next_token) = page.cut(entries, Order::Ascending)?;
    Ok(ListContainerInstancesResponse { container_instance_arns: Some(arns), next_token })
}

pub(crate) async fn deregister(
    door: &Door,
    request: DeregisterContainerInstanceRequest,
) -> Result<DeregisterContainerInstanceResponse, Error> {
    let command = read_deregister(&door.snapshot(), &request)?;
    let committed = door.submit(command).await?;
    let Reply::Instance(instance) = &committed.reply else {
        return Err(odd_reply("DeregisterContainerInstance", &committed.reply));
    };
    let mut wire = instance_view(&committed.state, instance, true);
    wire.status = Some("INACTIVE".to_owned());
    Ok(DeregisterContainerInstanceResponse { container_instance: Some(wire) })
}

/// The command for a DeregisterContainerInstance request.
pub(crate) fn read_deregister(
    state: &State,
    request: &DeregisterContainerInstanceRequest,
) -> Result<Command, Error> {
    let cluster = refer::cluster_of_nodes(state, request.cluster.as_deref())?;
    let given = request.container_instance.as_deref().unwrap_or_default();
    let key = refer::instance(state.realm(), &cluster, given)?;
    Ok(Command::DeregisterInstance { key, force: request.force.unwrap_or(false) })
}

/// UpdateContainerAgent. The server updates no agents: a node's agent is the program that was started
/// there, so there is never another version to offer.
pub(crate) fn update_agent(
    state: &State,
    request: &UpdateContainerAgentRequest,
) -> Result<UpdateContainerAgentResponse, Error> {
    let cluster = refer::cluster(state, request.cluster.as_deref())?;
    let given = request.container_instance.as_deref().unwrap_or_default();
    let key = refer::instance(state.realm(), &cluster, given)?;
    let Some(instance) = state.instance(&key) else {
        return Err(errors::rejection(state.realm(), &Rejection::InstanceNotFound(key)));
    };
    if !instance.agent.connected {
        return Err(invalid(format!(
            "The agent of the container instance {} is not connected; it cannot be updated.",
            key.instance
        )));
    }
    let version = instance.agent.version.as_deref().filter(|version| !version.is_empty());
    Err(match version {
        None => ErrorKind::MissingVersionException.with(
            "The Amazon ECS container agent on this container instance does not say which version it \
             is; nothing can be told of updates.",
        ),
        Some(version) => ErrorKind::NoUpdateAvailableException.with(format!(
            "There is no update available for this Amazon ECS container agent: it is version \
             {version}, and agents are updated where they run, by starting another `wharf agent` or \
             image."
        )),
    })
}

/// The commands for an UpdateContainerInstancesState request, one for each instance.
pub(crate) fn read_update(
    state: &State,
    request: &UpdateContainerInstancesStateRequest,
) -> Result<Vec<Command>, Error> {
    let cluster = refer::cluster_of_nodes(state, request.cluster.as_deref())?;
    let status = match &request.status {
        Some(ContainerInstanceStatus::Active) => InstanceStatus::Active,
        Some(ContainerInstanceStatus::Draining) => InstanceStatus::Draining,
        _ => return Err(invalid("Container instance status should be one of [ACTIVE,DRAINING].")),
    };
    let given = request.container_instances.as_deref().unwrap_or_default();
    if given.is_empty() || given.len() > MOST_CHANGED {
        return Err(invalid(format!(
            "containerInstances: between 1 and {MOST_CHANGED} can be given."
        )));
    }
    let command = |given: &String| {
        let key = refer::instance(state.realm(), &cluster, given)?;
        Ok(Command::SetInstanceStatus { key, status })
    };
    given.iter().map(command).collect()
}

/// Each is changed by itself; what does not exist is told in `failures`.
pub(crate) async fn update_state(
    door: &Door,
    request: UpdateContainerInstancesStateRequest,
) -> Result<UpdateContainerInstancesStateResponse, Error> {
    let commands = read_update(&door.snapshot(), &request)?;
    let (mut instances, mut failures): (Vec<Wire>, Vec<Failure>) = (Vec::new(), Vec::new());
    for command in commands {
        match door.try_submit(command).await {
            Ok(committed) => {
                let Reply::Instance(instance) = &committed.reply else {
                    return Err(odd_reply("UpdateContainerInstancesState", &committed.reply));
                };
                instances.push(instance_view(&committed.state, instance, true));
            }
            Err(SubmitError::Rejected(Rejection::InstanceNotFound(key))) => {
                failures.push(missing(door.realm().instance(&key)));
            }
            Err(error) => return Err(errors::submit(door.realm(), &error)),
        }
    }
    Ok(UpdateContainerInstancesStateResponse {
        container_instances: Some(instances),
        failures: Some(failures),
    })
}

/// A container instance as it is described; its tags only where they are asked for.
pub(crate) fn instance_view(state: &State, instance: &Instance, tags: bool) -> Wire {
    let (running, pending) = state.instance_counts(&instance.key);
    let has_gpus = !instance.registered.gpus.is_empty();
    Wire {
        container_instance_arn: Some(state.realm().instance(&instance.key)),
        ec2_instance_id: instance.ec2_instance_id.clone(),
        version: Some(view::version(instance.version)),
        version_info: Some(VersionInfo {
            agent_version: instance.agent.version.clone(),
            agent_hash: instance.agent.hash.clone(),
            docker_version: instance.agent.docker_version.clone(),
        }),
        remaining_resources: Some(resources(&state.remaining(instance), has_gpus)),
        registered_resources: Some(resources(&instance.registered, has_gpus)),
        status: Some(view::instance_status(instance.status).to_owned()),
        agent_connected: Some(instance.agent.connected),
        running_tasks_count: Some(view::count(running)),
        pending_tasks_count: Some(view::count(pending)),
        attributes: Some(attributes(instance)),
        registered_at: Some(instance.registered_at),
        attachments: Some(Vec::new()),
        tags: Some(if tags { view::tags(&instance.tags) } else { Vec::new() }),
        ..Wire::default()
    }
}

fn attributes(instance: &Instance) -> Vec<Attribute> {
    instance
        .attributes
        .iter()
        .map(|attribute| Attribute {
            name: Some(attribute.name.clone()),
            value: attribute.value.clone(),
            ..Attribute::default()
        })
        .collect()
}

/// Resources in ECS's four entries; ports are those that are taken. An instance with GPUs has a fifth,
/// also when none of them is left.
fn resources(resources: &Resources, has_gpus: bool) -> Vec<Resource> {
    let resource = |name: &str, kind: &str| Resource {
        name: Some(name.to_owned()),
        r#type: Some(kind.to_owned()),
        double_value: Some(0.0),
        long_value: Some(0),
        integer_value: Some(0),
        string_set_value: None,
    };
    let whole = |name, value: u32| Resource {
        integer_value: Some(view::count(value)),
        ..resource(name, "INTEGER")
    };
    let ports = |name, protocol: Protocol| {
        let of = |port: &&HostPort| port.protocol == protocol;
        let ports = resources.ports.iter().filter(of).map(|port| port.port.to_string()).collect();
        Resource { string_set_value: Some(ports), ..resource(name, "STRINGSET") }
    };
    let mut all = vec![
        whole("CPU", resources.cpu),
        whole("MEMORY", resources.memory),
        ports("PORTS", Protocol::Tcp),
        ports("PORTS_UDP", Protocol::Udp),
    ];
    if has_gpus {
        let ids = resources.gpus.iter().map(ToString::to_string).collect();
        all.push(Resource { string_set_value: Some(ids), ..resource(GPU, "STRINGSET") });
    }
    all
}
