//! What the nodes' agents call: register, find the sockets, report.
//!
//! Agents take `ClientException` and `InvalidParameterException` for final and stop, so they are
//! answered only where a repetition could not help either.

use aws::Error;
use aws::ecs::{
    AttachmentStateChange, Attribute as WireAttribute, ContainerStateChange,
    DiscoverPollEndpointRequest, DiscoverPollEndpointResponse, ManagedAgentName,
    ManagedAgentStateChange, PlatformDevice, PlatformDeviceType, RegisterContainerInstanceRequest,
    RegisterContainerInstanceResponse, Resource, SubmitAttachmentStateChangesRequest,
    SubmitAttachmentStateChangesResponse, SubmitContainerStateChangeRequest,
    SubmitContainerStateChangeResponse, SubmitTaskStateChangeRequest,
    SubmitTaskStateChangeResponse, VersionInfo,
};
use model::{
    AgentInfo, Attribute, ClusterName, ContainerStatus, GpuId, HostPort, Instance, InstanceKey,
    NetworkBinding, Protocol, Realm, Resources, State,
};
use scheduler::{Command, ContainerReport, ExecAgentReport, RegisterInstance, Reply, TaskReport};
use serde::Deserialize;

use crate::definition::TASK_NETWORK;
use crate::door::{Caller, Door, odd_reply};
use crate::errors::{client, invalid};
use crate::instances::instance_view;
use crate::task_view::{ZONE, zone};
use crate::{refer, tag_list, view};

/// What every report is answered with.
const ACCEPT: &str = "ACCEPT";

/// The resource that GPUs are.
pub(crate) const GPU: &str = "GPU";

/// A node joins, or comes back. All its attributes are answered: the stock agent insists.
pub(crate) async fn register(
    door: &Door,
    caller: &Caller,
    request: RegisterContainerInstanceRequest,
) -> Result<RegisterContainerInstanceResponse, Error> {
    let versions = request.version_info.clone();
    let command =
        RegisterInstance { address: caller.source, ..read_register(&door.snapshot(), request)? };
    let mut committed = door.submit(Command::RegisterInstance(command)).await?;
    let Reply::Instance(instance) = &committed.reply else {
        return Err(odd_reply("RegisterContainerInstance", &committed.reply));
    };
    let instance = instance.clone();
    if let Some(agent) = versions.and_then(|versions| told(&instance, versions)) {
        let key = instance.key.clone();
        committed = door.submit(Command::AgentSession { key, agent }).await?;
    }
    let state = &committed.state;
    let instance = state.instance(&instance.key).map_or(&*instance, |now| now);
    Ok(RegisterContainerInstanceResponse {
        container_instance: Some(instance_view(state, instance, true)),
    })
}

/// The versions that the agent told with its registration, if they are news.
fn told(instance: &Instance, versions: VersionInfo) -> Option<AgentInfo> {
    let agent = AgentInfo {
        version: versions.agent_version.or_else(|| instance.agent.version.clone()),
        hash: versions.agent_hash.or_else(|| instance.agent.hash.clone()),
        docker_version: versions.docker_version.or_else(|| instance.agent.docker_version.clone()),
        ..instance.agent.clone()
    };
    (agent != instance.agent).then_some(agent)
}

/// The command for a RegisterContainerInstance request.
pub(crate) fn read_register(
    state: &State,
    request: RegisterContainerInstanceRequest,
) -> Result<RegisterInstance, Error> {
    // The stock agent looks for these words in a ClientException before it makes the cluster itself.
    let cluster = refer::cluster_of_nodes(state, request.cluster.as_deref())
        .map_err(|error| client(error.message))?;
    let known_as = match request.container_instance_arn.as_deref() {
        None | Some("") => None,
        Some(given) => Some(refer::instance(state.realm(), &cluster, given)?.instance),
    };
    let mut attributes: Vec<Attribute> =
        request.attributes.unwrap_or_default().into_iter().map(attribute).collect();
    // AWS's own agent waits for an interface of EC2's, which nobody here gives it. It is told from
    // Wharf's by the versions, which only that one sends with its registration.
    if request.version_info.is_none() {
        attributes.retain(|attribute| attribute.name != TASK_NETWORK);
    }
    if !attributes.iter().any(|attribute| attribute.name == ZONE) {
        // An agent tells its custom attributes the first time only.
        let known =
            known_as.clone().map(|instance| InstanceKey { cluster: cluster.clone(), instance });
        let before = known.and_then(|key| state.instance(&key)?.attribute(ZONE).flatten());
        let value = before.map_or_else(|| zone(&state.realm().region), str::to_owned);
        attributes.push(Attribute { name: ZONE.to_owned(), value: Some(value) });
    }
    let mut resources = resources(request.total_resources.as_deref().unwrap_or_default())?;
    resources.gpus.extend(gpus(request.platform_devices.as_deref().unwrap_or_default()));
    Ok(RegisterInstance {
        cluster,
        known_as,
        ec2_instance_id: instance_id(request.instance_identity_document.as_deref()),
        address: None,
        resources,
        attributes,
        tags: tag_list::read(request.tags.as_ref())?,
    })
}

/// The agent makes no difference between no value and an empty one; it is answered what it sent.
fn attribute(wire: WireAttribute) -> Attribute {
    Attribute { name: wire.name.unwrap_or_default(), value: wire.value }
}

/// What of an EC2 instance's identity document is of use. Its signature is not looked at: who may
/// register is told by the request's own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdentityDocument {
    instance_id: Option<String>,
}

fn instance_id(document: Option<&str>) -> Option<String> {
    let document: IdentityDocument = serde_json::from_str(document?).ok()?;
    document.instance_id.filter(|id| !id.is_empty())
}

/// Kinds of resources that ECS does not know of either are left out.
fn resources(given: &[Resource]) -> Result<Resources, Error> {
    let mut read = Resources::default();
    for resource in given {
        let name = resource.name.as_deref().unwrap_or_default();
        match name {
            "CPU" => read.cpu = amount(name, resource)?,
            "MEMORY" => read.memory = amount(name, resource)?,
            "PORTS" => ports(&mut read, resource, Protocol::Tcp)?,
            "PORTS_UDP" => ports(&mut read, resource, Protocol::Udp)?,
            GPU => read.gpus.extend(resource.string_set_value.iter().flatten().map(|id| gpu(id))),
            other => {
                tracing::debug!(resource = other, "a node offers what nothing here can ask for")
            }
        }
    }
    Ok(read)
}

/// The GPUs among a node's devices. The stock agent tells of them here, and not in its resources.
fn gpus(devices: &[PlatformDevice]) -> impl Iterator<Item = GpuId> + '_ {
    let gpus = devices.iter().filter(|d| d.r#type == Some(PlatformDeviceType::Gpu));
    gpus.filter_map(|device| device.id.as_ref()).filter(|id| !id.is_empty()).map(|id| gpu(id))
}

fn gpu(id: &str) -> GpuId {
    GpuId::from(id)
}

fn amount(name: &str, resource: &Resource) -> Result<u32, Error> {
    let whole = resource
        .integer_value
        .map(i64::from)
        .or(resource.long_value)
        .ok_or_else(|| invalid(format!("totalResources: {name} has no integerValue.")))?;
    u32::try_from(whole).map_err(|_| invalid(format!("totalResources: {name} can not be {whole}.")))
}

fn ports(read: &mut Resources, resource: &Resource, protocol: Protocol) -> Result<(), Error> {
    for text in resource.string_set_value.iter().flatten() {
        let port = text
            .parse()
            .map_err(|_| invalid(format!("totalResources: \"{text}\" is not a port.")))?;
        read.ports.insert(HostPort { protocol, port });
    }
    Ok(())
}

/// Where the agent's two sockets are. The answer is the same for every agent, which keeps it for
/// twelve hours.
pub(crate) async fn discover(
    door: &Door,
    request: DiscoverPollEndpointRequest,
) -> Result<DiscoverPollEndpointResponse, Error> {
    refer::cluster_name(door.realm(), request.cluster.as_deref())?;
    Ok(DiscoverPollEndpointResponse {
        endpoint: Some(door.config().endpoints.agent.clone()),
        telemetry_endpoint: Some(door.config().endpoints.telemetry.clone()),
        ..DiscoverPollEndpointResponse::default()
    })
}

/// How an interface stands follows from how its task does, so what is reported of attachments is only
/// noted, and accepted so that the agent does not repeat it.
pub(crate) async fn submit_task(
    door: &Door,
    request: SubmitTaskStateChangeRequest,
) -> Result<SubmitTaskStateChangeResponse, Error> {
    note(request.attachments.as_deref().unwrap_or_default());
    let agents = exec_agents(request.managed_agents.as_deref().unwrap_or_default());
    let report = read_task(door.realm(), request)?;
    // First, so that a task that runs takes sessions.
    if !agents.is_empty() {
        let key = report.key.clone();
        door.submit(Command::ReportExecAgents { key, agents }).await?;
    }
    door.submit(Command::ReportTask(report)).await?;
    Ok(SubmitTaskStateChangeResponse { acknowledgment: Some(ACCEPT.to_owned()) })
}

pub(crate) async fn submit_container(
    door: &Door,
    request: SubmitContainerStateChangeRequest,
) -> Result<SubmitContainerStateChangeResponse, Error> {
    let report = read_container(door.realm(), request)?;
    door.submit(Command::ReportTask(report)).await?;
    Ok(SubmitContainerStateChangeResponse { acknowledgment: Some(ACCEPT.to_owned()) })
}

/// Of managed agents ECS has one; another, or a status that is none, is left out, since the rest of the
/// report is worth more than it.
fn exec_agents(given: &[ManagedAgentStateChange]) -> Vec<ExecAgentReport> {
    let one = |change: &ManagedAgentStateChange| {
        let known = change.managed_agent_name == Some(ManagedAgentName::ExecuteCommandAgent);
        let status = change.status.as_deref().and_then(view::read_exec_agent_status);
        let report = status.filter(|_| known).map(|status| ExecAgentReport {
            container: change.container_name.clone().unwrap_or_default().into(),
            status,
            reason: said(change.reason.clone()),
        });
        if report.is_none() {
            tracing::warn!(?change, "a reported managed agent can not be read");
        }
        report
    };
    given.iter().filter_map(one).collect()
}

/// As with those of [`submit_task`].
pub(crate) async fn submit_attachments(
    door: &Door,
    request: SubmitAttachmentStateChangesRequest,
) -> Result<SubmitAttachmentStateChangesResponse, Error> {
    refer::cluster_name(door.realm(), request.cluster.as_deref())?;
    note(request.attachments.as_deref().unwrap_or_default());
    Ok(SubmitAttachmentStateChangesResponse { acknowledgment: Some(ACCEPT.to_owned()) })
}

fn note(attachments: &[AttachmentStateChange]) {
    for change in attachments {
        let (attachment, status) = (&change.attachment_arn, &change.status);
        tracing::debug!(?attachment, ?status, "an attachment is reported");
    }
}

/// The report in a SubmitTaskStateChange request.
pub(crate) fn read_task(
    realm: &Realm,
    request: SubmitTaskStateChangeRequest,
) -> Result<TaskReport, Error> {
    let cluster = refer::cluster_name(realm, request.cluster.as_deref())?;
    let status = match request.status.as_deref() {
        None | Some("") => None,
        Some(text) => Some(
            view::read_task_status(text)
                .ok_or_else(|| invalid(format!("status: \"{text}\" is no status of a task.")))?,
        ),
    };
    let containers = request.containers.unwrap_or_default();
    Ok(TaskReport {
        key: task(realm, &cluster, request.task.as_deref())?,
        status,
        reason: said(request.reason),
        containers: containers.into_iter().map(container).collect::<Result<_, _>>()?,
        pull_started_at: request.pull_started_at,
        pull_stopped_at: request.pull_stopped_at,
        execution_stopped_at: request.execution_stopped_at,
    })
}

/// The report in a SubmitContainerStateChange request.
pub(crate) fn read_container(
    realm: &Realm,
    request: SubmitContainerStateChangeRequest,
) -> Result<TaskReport, Error> {
    let cluster = refer::cluster_name(realm, request.cluster.as_deref())?;
    let change = ContainerStateChange {
        container_name: request.container_name,
        runtime_id: request.runtime_id,
        exit_code: request.exit_code,
        reason: request.reason,
        network_bindings: request.network_bindings,
        status: request.status,
        image_digest: None,
    };
    Ok(TaskReport {
        key: task(realm, &cluster, request.task.as_deref())?,
        status: None,
        reason: None,
        containers: vec![container(change)?],
        pull_started_at: None,
        pull_stopped_at: None,
        execution_stopped_at: None,
    })
}

/// An agent names its task by ARN, which tells the cluster too.
fn task(
    realm: &Realm,
    cluster: &ClusterName,
    given: Option<&str>,
) -> Result<model::TaskKey, Error> {
    let given = given.unwrap_or_default();
    match realm.parse(given) {
        Ok(model::Resource::Task(key)) => Ok(key),
        _ => refer::task(realm, cluster, given),
    }
}

fn container(change: ContainerStateChange) -> Result<ContainerReport, Error> {
    let name = change.container_name.unwrap_or_default();
    Ok(ContainerReport {
        status: container_status(&name, change.status.as_deref())?,
        name: name.into(),
        runtime_id: said(change.runtime_id),
        image_digest: said(change.image_digest),
        exit_code: change.exit_code,
        reason: said(change.reason),
        bindings: change.network_bindings.map(|bindings| bindings_of(&bindings)),
    })
}

fn container_status(name: &str, given: Option<&str>) -> Result<Option<ContainerStatus>, Error> {
    match given {
        None | Some("") => Ok(None),
        Some(text) => view::read_container_status(text).map(Some).ok_or_else(|| {
            invalid(format!("containers['{name}'].status: \"{text}\" is no status of a container."))
        }),
    }
}

/// A binding that can not be read is left out: the rest of the report is worth more than it.
fn bindings_of(given: &[aws::ecs::NetworkBinding]) -> Vec<NetworkBinding> {
    given
        .iter()
        .filter_map(|wire| {
            let read = view::read_binding(wire);
            if read.is_none() {
                tracing::warn!(binding = ?wire, "a reported port binding can not be read");
            }
            read
        })
        .collect()
}

fn said(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
