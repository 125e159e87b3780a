//! What ECS, and this build of Wharf, refuse in a task definition: the task's own members.
//!
//! One member is kept and shown though nothing acts upon it, because what it asks for holds as it is:
//! `versionConsistency: disabled` asks that tags stay tags.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html>

use std::collections::BTreeSet;

use aws::Error;
use aws::ecs::{
    CPUArchitecture, Compatibility, ContainerDefinition, IpcMode, NetworkMode, OSFamily, PidMode,
    RegisterTaskDefinitionRequest,
};
use model::Realm;

use super::{container, fargate, log_driver, ports, roles, size, volumes};
use crate::errors::client;
use crate::placement::read_definition_constraints;
use crate::refer::is_name;
use crate::refuse::DEFINITION;

/// A quota of ECS.
const MOST_CONTAINERS: usize = 10;

/// What the checks of a container need to know of its task.
pub(super) struct Surroundings<'a> {
    pub(super) realm: &'a Realm,
    pub(super) mode: &'a NetworkMode,
    pub(super) memory: Option<u32>,
    pub(super) volumes: BTreeSet<&'a str>,
    pub(super) containers: &'a [ContainerDefinition],
    pub(super) ipc: Option<&'a IpcMode>,
    pub(super) has_execution_role: bool,
}

/// Checks a request; what passes can be run by the nodes of this build.
pub(super) fn request(realm: &Realm, request: &RegisterTaskDefinitionRequest) -> Result<(), Error> {
    let family = request.family.as_deref().unwrap_or_default();
    if family.is_empty() {
        return Err(client("Family can not be blank."));
    }
    if !is_name(family) {
        return Err(client(
            "Family contains invalid characters: it has up to 255 letters, digits, hyphens and \
             underscores.",
        ));
    }
    not_built(request)?;
    read_definition_constraints(request.placement_constraints.as_ref())?;
    namespaces(request)?;
    compatibilities(request)?;
    platform(request)?;
    if let Some(cpu) = &request.cpu
        && size::cpu_units(cpu).is_none()
    {
        return Err(client(format!(
            "Invalid 'cpu' setting for task: \"{cpu}\". It is a number of CPU units between 128 and \
             196608, or of vCPUs such as \"0.5 vCPU\"."
        )));
    }
    let memory = match &request.memory {
        None => None,
        Some(text) => Some(size::memory_mib(text).ok_or_else(|| {
            client(format!(
                "Invalid 'memory' setting for task: \"{text}\". It is a number of MiB, at least 6, or \
                 of GB such as \"0.5 GB\"."
            ))
        })?),
    };
    let containers = request.container_definitions.as_deref().unwrap_or_default();
    if containers.is_empty() {
        return Err(client("Container list cannot be empty."));
    }
    if containers.len() > MOST_CONTAINERS {
        return Err(client("Too many containers."));
    }
    let surroundings = Surroundings {
        realm,
        mode: request.network_mode.as_ref().unwrap_or(&NetworkMode::Bridge),
        memory,
        volumes: volumes::check(request.volumes.as_deref().unwrap_or_default())?,
        containers,
        ipc: request.ipc_mode.as_ref(),
        has_execution_role: given_roles(realm, request)?,
    };
    let mut names = BTreeSet::new();
    for definition in containers {
        container::check(definition, &surroundings)?;
        let name = definition.name.as_deref().unwrap_or_default();
        if !names.insert(name) {
            return Err(client("Container names must be unique within a Task Definition."));
        }
    }
    if !containers.iter().any(|c| c.essential.unwrap_or(true)) {
        return Err(client("Task definition must have at least one essential container"));
    }
    ports::check_task(&surroundings)?;
    log_driver::check_routers(containers)?;
    total_cpu(request.cpu.as_deref().and_then(size::cpu_units), containers)?;
    total_memory(&surroundings)
}

fn not_built(request: &RegisterTaskDefinitionRequest) -> Result<(), Error> {
    let r = DEFINITION;
    r.given("proxyConfiguration", request.proxy_configuration.as_ref(), "App Mesh proxies are")?;
    r.list("inferenceAccelerators", request.inference_accelerators.as_ref(), "accelerators are")?;
    r.given("ephemeralStorage", request.ephemeral_storage.as_ref(), "limits of task storage are")?;
    r.flag("enableFaultInjection", request.enable_fault_injection, "fault injection is")?;
    r.said(
        "trustedExecutionConfiguration",
        request.trusted_execution_configuration.as_ref(),
        "trusted execution is",
    )
}

/// Checks both roles; tells whether there is an execution role.
fn given_roles(realm: &Realm, request: &RegisterTaskDefinitionRequest) -> Result<bool, Error> {
    let role = |given: &Option<String>| roles::arn(realm, given.as_deref()).map_err(client);
    role(&request.task_role_arn)?;
    Ok(role(&request.execution_role_arn)?.is_some())
}

fn namespaces(request: &RegisterTaskDefinitionRequest) -> Result<(), Error> {
    if let Some(PidMode::Unrecognized(other)) = &request.pid_mode {
        return Err(client(format!(
            "Invalid 'pidMode' setting for task: \"{other}\" is neither task nor host."
        )));
    }
    if let Some(IpcMode::Unrecognized(other)) = &request.ipc_mode {
        return Err(client(format!(
            "Invalid 'ipcMode' setting for task: \"{other}\" is neither task, host nor none."
        )));
    }
    Ok(())
}

fn compatibilities(request: &RegisterTaskDefinitionRequest) -> Result<(), Error> {
    for wanted in request.requires_compatibilities.as_deref().unwrap_or_default() {
        match wanted {
            Compatibility::External if request.network_mode == Some(NetworkMode::Awsvpc) => {
                return Err(client(
                    "requiresCompatibilities: EXTERNAL instances do not support networkMode=awsvpc.",
                ));
            }
            Compatibility::Ec2 | Compatibility::External => {}
            Compatibility::Fargate => {
                if let Some(obstacle) = fargate::obstacle(request) {
                    return Err(client(obstacle));
                }
            }
            Compatibility::ManagedInstances => {
                return Err(client(format!(
                    "requiresCompatibilities: {wanted} is not built yet in Wharf; use EC2, FARGATE or EXTERNAL."
                )));
            }
            Compatibility::Unrecognized(text) => {
                return Err(client(format!(
                    "requiresCompatibilities: \"{text}\" is no launch type."
                )));
            }
        }
    }
    Ok(())
}

fn platform(request: &RegisterTaskDefinitionRequest) -> Result<(), Error> {
    let Some(platform) = &request.runtime_platform else {
        return Ok(());
    };
    match &platform.operating_system_family {
        None | Some(OSFamily::Linux) => {}
        Some(other) => {
            return Err(client(format!(
                "runtimePlatform.operatingSystemFamily: {other} is not built in Wharf; use LINUX."
            )));
        }
    }
    match &platform.cpu_architecture {
        None | Some(CPUArchitecture::X8664 | CPUArchitecture::Arm64) => Ok(()),
        Some(CPUArchitecture::Unrecognized(other)) => Err(client(format!(
            "runtimePlatform.cpuArchitecture: {other} is unknown; there are X86_64 and ARM64."
        ))),
    }
}

/// ECS: the containers' CPU units must fit into the task's.
fn total_cpu(limit: Option<u32>, containers: &[ContainerDefinition]) -> Result<(), Error> {
    let units: i64 = containers.iter().map(|c| i64::from(c.cpu.unwrap_or(0))).sum();
    if limit.is_some_and(|limit| units > i64::from(limit)) {
        return Err(client(
            "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.",
        ));
    }
    Ok(())
}

/// ECS: what the containers reserve must fit into the task.
fn total_memory(task: &Surroundings<'_>) -> Result<(), Error> {
    let Some(limit) = task.memory else {
        return Ok(());
    };
    let reserved: i64 = task
        .containers
        .iter()
        .map(|c| i64::from(c.memory_reservation.or(c.memory).unwrap_or(0)))
        .sum();
    if reserved > i64::from(limit) {
        return Err(client(format!(
            "Invalid 'memory' setting for task: its containers reserve {reserved} MiB together, the \
             task has {limit} MiB."
        )));
    }
    Ok(())
}
