//! What Fargate takes of a task definition. The sentences are ECS's where they are known.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html>

use aws::ecs::{
    ContainerDefinition, FirelensConfiguration, IpcMode, LinuxParameters, LogDriver, NetworkMode,
    PidMode, RegisterTaskDefinitionRequest, ResourceType, Volume,
};

use super::attributes::is_ecr;
use super::size;
use crate::fargate::wrong_size;

/// The longest `stopTimeout` and `startTimeout`, in seconds.
const LONGEST: i32 = 120;

/// The one capability that can be added.
const CAPABILITY: &str = "SYS_PTRACE";

/// What keeps a definition from running on Fargate; none if it may.
pub(super) fn obstacle(request: &RegisterTaskDefinitionRequest) -> Option<String> {
    let containers = request.container_definitions.as_deref().unwrap_or_default();
    let execution_role = request.execution_role_arn.as_ref().is_some_and(|arn| !arn.is_empty());
    task(request)
        .or_else(|| request.volumes.iter().flatten().find_map(volume))
        .or_else(|| containers.iter().find_map(|c| container(c, execution_role)))
}

fn unsupported(member: &str) -> String {
    format!("Fargate compatible task definitions do not support {member}")
}

/// The task's own members.
fn task(request: &RegisterTaskDefinitionRequest) -> Option<String> {
    if request.network_mode != Some(NetworkMode::Awsvpc) {
        return Some("Fargate only supports network mode \u{2018}awsvpc\u{2019}.".to_owned());
    }
    let lacks =
        |member: &str| format!("Fargate requires that '{member}' be defined at the task level.");
    let Some(cpu) = request.cpu.as_deref() else { return Some(lacks("cpu")) };
    let Some(memory) = request.memory.as_deref() else { return Some(lacks("memory")) };
    // What is no size at all is refused as such.
    let (cpu, memory) = (size::cpu_units(cpu)?, size::memory_mib(memory)?);
    if let Some(wrong) = wrong_size(cpu, memory) {
        return Some(wrong);
    }
    if request.pid_mode == Some(PidMode::Host) {
        return Some(
            "Tasks using the Fargate launch type do not support pidMode 'host'. The supported value \
             for pidMode is 'task'."
                .to_owned(),
        );
    }
    if request.ipc_mode.as_ref().is_some_and(|mode| !matches!(mode, IpcMode::Unrecognized(_))) {
        return Some("Tasks using the Fargate launch type do not support ipcMode.".to_owned());
    }
    let constraints = request.placement_constraints.as_ref().is_some_and(|all| !all.is_empty());
    constraints.then(|| unsupported("constraints"))
}

fn volume(volume: &Volume) -> Option<String> {
    let path = volume.host.as_ref().and_then(|host| host.source_path.as_ref());
    if path.is_some_and(|path| !path.is_empty()) {
        return Some(unsupported("sourcePath"));
    }
    volume.docker_volume_configuration.as_ref().map(|_| unsupported("dockerVolumeConfiguration"))
}

fn container(c: &ContainerDefinition, execution_role: bool) -> Option<String> {
    let some = |list: bool, member: &str| list.then(|| unsupported(member));
    let any = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    some(c.privileged == Some(true), "privileged")
        .or_else(|| some(any(&c.links), "links"))
        .or_else(|| some(any(&c.dns_servers), "dnsServers"))
        .or_else(|| some(any(&c.dns_search_domains), "dnsSearchDomains"))
        .or_else(|| some(c.extra_hosts.as_ref().is_some_and(|all| !all.is_empty()), "extraHosts"))
        .or_else(|| some(any(&c.docker_security_options), "dockerSecurityOptions"))
        .or_else(|| some(c.disable_networking == Some(true), "disableNetworking"))
        .or_else(|| c.linux_parameters.as_ref().and_then(linux))
        .or_else(|| gpu(c))
        .or_else(|| timeouts(c))
        .or_else(|| c.firelens_configuration.as_ref().and_then(router))
        .or_else(|| role(c, execution_role))
}

fn linux(parameters: &LinuxParameters) -> Option<String> {
    let given = |given: bool, member: &str| given.then(|| unsupported(member));
    let added = parameters.capabilities.as_ref().and_then(|all| all.add.as_deref());
    let added = added.unwrap_or_default().iter().find(|name| name.as_str() != CAPABILITY);
    given(parameters.devices.as_ref().is_some_and(|all| !all.is_empty()), "devices")
        .or_else(|| given(parameters.shared_memory_size.is_some(), "sharedMemorySize"))
        .or_else(|| given(parameters.tmpfs.as_ref().is_some_and(|all| !all.is_empty()), "tmpfs"))
        .or_else(|| given(parameters.max_swap.is_some(), "maxSwap"))
        .or_else(|| given(parameters.swappiness.is_some(), "swappiness"))
        .or_else(|| {
            added.map(|name| {
                unsupported(&format!(
                    "adding the capability {name}; only {CAPABILITY} can be added"
                ))
            })
        })
}

fn gpu(c: &ContainerDefinition) -> Option<String> {
    let mut all = c.resource_requirements.iter().flatten();
    all.any(|one| one.r#type == Some(ResourceType::Gpu)).then(|| {
        "Tasks using the Fargate launch type do not support GPU resource requirements".to_owned()
    })
}

fn timeouts(c: &ContainerDefinition) -> Option<String> {
    [("stop", c.stop_timeout), ("start", c.start_timeout)]
        .into_iter()
        .find(|(_, seconds)| seconds.is_some_and(|seconds| seconds > LONGEST))
        .map(|(which, _)| {
            format!(
                "Tasks using the Fargate launch type must have a container {which} timeout of less \
                 than {LONGEST} seconds."
            )
        })
}

fn router(configuration: &FirelensConfiguration) -> Option<String> {
    let kind = configuration.options.as_ref().and_then(|all| all.get("config-file-type"));
    kind.is_some_and(|kind| kind == "s3").then(|| {
        "Fargate launch type does not support FirelensConfiguration config file from 's3'"
            .to_owned()
    })
}

/// Which log drivers there are, and what takes the rights of an execution role.
fn role(c: &ContainerDefinition, execution_role: bool) -> Option<String> {
    let driver = c.log_configuration.as_ref().and_then(|log| log.log_driver.as_ref());
    if let Some(other) = driver.filter(|driver| {
        !matches!(driver, LogDriver::Awslogs | LogDriver::Splunk | LogDriver::Awsfirelens)
    }) {
        return Some(unsupported(&format!(
            "the log driver {other}; there are awslogs, splunk and awsfirelens"
        )));
    }
    let lacks = |what: &str| {
        Some(format!(
            "Fargate requires task definition to have execution role ARN to support {what}."
        ))
    };
    if execution_role {
        return None;
    }
    if driver == Some(&LogDriver::Awslogs) {
        return lacks("log driver awslogs");
    }
    let own = c.repository_credentials.is_none();
    if own && c.image.as_deref().is_some_and(is_ecr) { lacks("ECR images") } else { None }
}
