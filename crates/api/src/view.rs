//! How the domain's words are spelled on the wire: the one place for it, in both directions.

use std::net::IpAddr;

use aws::ecs::{
    HealthStatus as WireHealth, KeyValuePair, LaunchType as WireLaunch,
    NetworkBinding as WireBinding, Tag, TaskDefinitionStatus, TaskStopCode, TransportProtocol,
};
use model::{
    ClusterStatus, ContainerStatus, DefinitionStatus, DeploymentStatus, DesiredStatus,
    ExecAgentStatus, HealthStatus, InstanceStatus, LaunchType, NetworkBinding, Protocol,
    ServiceStatus, StopCode, Tags, TaskStatus,
};

/// A task's status.
pub(crate) const fn task_status(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Provisioning => "PROVISIONING",
        TaskStatus::Pending => "PENDING",
        TaskStatus::Activating => "ACTIVATING",
        TaskStatus::Running => "RUNNING",
        TaskStatus::Deactivating => "DEACTIVATING",
        TaskStatus::Stopping => "STOPPING",
        TaskStatus::Deprovisioning => "DEPROVISIONING",
        TaskStatus::Stopped => "STOPPED",
    }
}

/// A task's status as an agent writes it. What an agent does before a task runs is pending here.
pub(crate) fn read_task_status(text: &str) -> Option<TaskStatus> {
    Some(match text {
        "PROVISIONING" => TaskStatus::Provisioning,
        "PENDING" | "CREATED" | "MANIFEST_PULLED" | "PULLED" => TaskStatus::Pending,
        "ACTIVATING" => TaskStatus::Activating,
        "RUNNING" => TaskStatus::Running,
        "DEACTIVATING" => TaskStatus::Deactivating,
        "STOPPING" => TaskStatus::Stopping,
        "DEPROVISIONING" => TaskStatus::Deprovisioning,
        "STOPPED" => TaskStatus::Stopped,
        _ => return None,
    })
}

/// What a task should be.
pub(crate) const fn desired_status(status: DesiredStatus) -> &'static str {
    match status {
        DesiredStatus::Running => "RUNNING",
        DesiredStatus::Stopped => "STOPPED",
    }
}

/// A container's status.
pub(crate) const fn container_status(status: ContainerStatus) -> &'static str {
    match status {
        ContainerStatus::Pending => "PENDING",
        ContainerStatus::Running => "RUNNING",
        ContainerStatus::Stopped => "STOPPED",
    }
}

/// A container's status as an agent writes it.
pub(crate) fn read_container_status(text: &str) -> Option<ContainerStatus> {
    Some(match text {
        "PENDING" | "MANIFEST_PULLED" | "PULLED" | "CREATED" => ContainerStatus::Pending,
        "RUNNING" | "RESOURCES_PROVISIONED" => ContainerStatus::Running,
        "STOPPED" => ContainerStatus::Stopped,
        _ => return None,
    })
}

/// Whether ExecuteCommand sessions are taken.
pub(crate) const fn exec_agent_status(status: ExecAgentStatus) -> &'static str {
    match status {
        ExecAgentStatus::Pending => "PENDING",
        ExecAgentStatus::Running => "RUNNING",
        ExecAgentStatus::Stopped => "STOPPED",
    }
}

/// The same as an agent writes it.
pub(crate) fn read_exec_agent_status(text: &str) -> Option<ExecAgentStatus> {
    Some(match text {
        "PENDING" | "CREATED" | "NONE" => ExecAgentStatus::Pending,
        "RUNNING" => ExecAgentStatus::Running,
        "STOPPED" => ExecAgentStatus::Stopped,
        _ => return None,
    })
}

/// A verdict of health checks.
pub(crate) const fn health(status: HealthStatus) -> WireHealth {
    match status {
        HealthStatus::Unknown => WireHealth::Unknown,
        HealthStatus::Healthy => WireHealth::Healthy,
        HealthStatus::Unhealthy => WireHealth::Unhealthy,
    }
}

/// A kind of reason for a stop.
pub(crate) const fn stop_code(code: StopCode) -> TaskStopCode {
    match code {
        StopCode::TaskFailedToStart => TaskStopCode::TaskFailedToStart,
        StopCode::EssentialContainerExited => TaskStopCode::EssentialContainerExited,
        StopCode::UserInitiated => TaskStopCode::UserInitiated,
        StopCode::ServiceSchedulerInitiated => TaskStopCode::ServiceSchedulerInitiated,
        StopCode::SpotInterruption => TaskStopCode::SpotInterruption,
        StopCode::TerminationNotice => TaskStopCode::TerminationNotice,
    }
}

/// A launch type.
pub(crate) const fn launch_type(launch: LaunchType) -> WireLaunch {
    match launch {
        LaunchType::Ec2 => WireLaunch::Ec2,
        LaunchType::Fargate => WireLaunch::Fargate,
        LaunchType::External => WireLaunch::External,
    }
}

/// A cluster's status.
pub(crate) const fn cluster_status(status: ClusterStatus) -> &'static str {
    match status {
        ClusterStatus::Active => "ACTIVE",
        ClusterStatus::Inactive => "INACTIVE",
    }
}

/// A service's status.
pub(crate) const fn service_status(status: ServiceStatus) -> &'static str {
    match status {
        ServiceStatus::Active => "ACTIVE",
        ServiceStatus::Draining => "DRAINING",
        ServiceStatus::Inactive => "INACTIVE",
    }
}

/// A deployment's place.
pub(crate) const fn deployment_status(status: DeploymentStatus) -> &'static str {
    match status {
        DeploymentStatus::Primary => "PRIMARY",
        DeploymentStatus::Active => "ACTIVE",
    }
}

/// A container instance's status.
pub(crate) const fn instance_status(status: InstanceStatus) -> &'static str {
    match status {
        InstanceStatus::Active => "ACTIVE",
        InstanceStatus::Draining => "DRAINING",
    }
}

/// A task definition's status.
pub(crate) const fn definition_status(status: DefinitionStatus) -> TaskDefinitionStatus {
    match status {
        DefinitionStatus::Active => TaskDefinitionStatus::Active,
        DefinitionStatus::Inactive => TaskDefinitionStatus::Inactive,
        DefinitionStatus::DeleteInProgress => TaskDefinitionStatus::DeleteInProgress,
    }
}

/// A transport.
pub(crate) const fn protocol(protocol: Protocol) -> TransportProtocol {
    match protocol {
        Protocol::Tcp => TransportProtocol::Tcp,
        Protocol::Udp => TransportProtocol::Udp,
    }
}

/// A transport as it is asked for: TCP unless it says UDP. Others do not pass validation.
pub(crate) fn read_protocol(protocol: Option<&TransportProtocol>) -> Protocol {
    match protocol {
        Some(TransportProtocol::Udp) => Protocol::Udp,
        Some(TransportProtocol::Tcp | TransportProtocol::Unrecognized(_)) | None => Protocol::Tcp,
    }
}

/// Where a port is reached.
pub(crate) fn binding(binding: &NetworkBinding) -> WireBinding {
    let wire = WireBinding {
        bind_ip: Some(binding.bind_ip.to_string()),
        protocol: Some(protocol(binding.protocol)),
        ..WireBinding::default()
    };
    if binding.more > 0 {
        let range = |first: u16| Some(format!("{first}-{}", first.saturating_add(binding.more)));
        return WireBinding {
            container_port_range: range(binding.container_port),
            host_port_range: range(binding.host_port),
            ..wire
        };
    }
    WireBinding {
        container_port: Some(binding.container_port.into()),
        host_port: Some(binding.host_port.into()),
        ..wire
    }
}

/// Where a port is reached, as an agent writes it; none if that cannot be read. An agent that leaves
/// the address out means every address of its host.
pub(crate) fn read_binding(binding: &WireBinding) -> Option<NetworkBinding> {
    let port = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok());
    let bind_ip = match binding.bind_ip.as_deref() {
        None | Some("") => IpAddr::from([0, 0, 0, 0]),
        Some(text) => text.parse().ok()?,
    };
    let protocol = read_protocol(binding.protocol.as_ref());
    if let (Some(inside), Some(host)) = (&binding.container_port_range, &binding.host_port_range) {
        let ends = |range: &str| {
            let (first, last) = range.split_once('-')?;
            let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
            Some((first, last.checked_sub(first)?))
        };
        let ((container_port, more), (host_port, same)) = (ends(inside)?, ends(host)?);
        let binding = NetworkBinding { bind_ip, container_port, host_port, more, protocol };
        return (more == same).then_some(binding);
    }
    Some(NetworkBinding {
        bind_ip,
        container_port: port(binding.container_port)?,
        host_port: port(binding.host_port)?,
        more: 0,
        protocol,
    })
}

/// Tags in key order.
pub(crate) fn tags(tags: &Tags) -> Vec<Tag> {
    tags.0
        .iter()
        .map(|(key, value)| Tag { key: Some(key.clone()), value: Some(value.clone()) })
        .collect()
}

/// A named value.
pub(crate) fn pair(name: &str, value: impl ToString) -> KeyValuePair {
    KeyValuePair { name: Some(name.to_owned()), value: Some(value.to_string()) }
}

/// A count for a member that is a signed integer on the wire.
pub(crate) fn count(count: impl TryInto<i32>) -> i32 {
    count.try_into().unwrap_or(i32::MAX)
}

/// A version for a member that is a long on the wire.
pub(crate) fn version(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_of_a_task_is_read_back() {
        for status in [
            TaskStatus::Provisioning,
            TaskStatus::Pending,
            TaskStatus::Activating,
            TaskStatus::Running,
            TaskStatus::Deactivating,
            TaskStatus::Stopping,
            TaskStatus::Deprovisioning,
            TaskStatus::Stopped,
        ] {
            assert_eq!(read_task_status(task_status(status)), Some(status));
        }
        for status in [ContainerStatus::Pending, ContainerStatus::Running, ContainerStatus::Stopped]
        {
            assert_eq!(read_container_status(container_status(status)), Some(status));
        }
        assert_eq!(read_task_status("running"), None);
    }

    #[test]
    fn bindings_are_read_back_and_nonsense_is_not() {
        let one = NetworkBinding {
            bind_ip: IpAddr::from([10, 0, 0, 1]),
            container_port: 80,
            host_port: 32768,
            more: 0,
            protocol: Protocol::Udp,
        };
        let range = NetworkBinding { more: 4, ..one.clone() };
        assert_eq!(binding(&range).host_port_range.as_deref(), Some("32768-32772"));
        assert_eq!(read_binding(&binding(&range)), Some(range));
        assert_eq!(read_binding(&binding(&one)), Some(one));
        let bad = WireBinding {
            host_port: Some(70_000),
            container_port: Some(1),
            ..WireBinding::default()
        };
        assert_eq!(read_binding(&bad), None);
        let bad = WireBinding { bind_ip: Some("x".to_owned()), ..bad };
        assert_eq!(read_binding(&bad), None);
    }
}
