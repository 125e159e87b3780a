//! Pure: what the Engine tells of a container, in the words of the seam.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStatsResponse, HealthStatusEnum,
};
use stdx::Timestamp;

use super::create::port_name;
use super::names::{CONTAINER, LOG, NETWORK, SANDBOX, SPEC};
use crate::{
    ContainerId, ContainerStatus, Exit, Health, LogMode, PublishedPort, SandboxId, SandboxSpec,
    Usage,
};

/// A container of ours, as the Engine has it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The Engine's own id.
    pub(crate) engine_id: String,
    pub(crate) sandbox: SandboxId,
    /// None for the process that holds a sandbox's namespaces.
    pub(crate) container: Option<ContainerId>,
    /// The sandbox's specification, as its label has it.
    pub(crate) spec: Option<SandboxSpec>,
    pub(crate) log: Option<LogMode>,
    /// What asks it to end.
    pub(crate) stop_signal: String,
    /// It has its sandbox's network.
    pub(crate) has_network: bool,
    /// The node's network is its own.
    pub(crate) on_host: bool,
    /// The kernel limits its memory, so that it may be killed for want of it.
    pub(crate) limited: bool,
    pub(crate) pid: Option<u32>,
    /// None if it was created and never started.
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) exit: Option<Exit>,
    pub(crate) health: Option<(Health, Timestamp)>,
    pub(crate) address: Option<Ipv4Addr>,
    bindings: Vec<(String, u16)>,
}

/// The Engine writes the year 1 for never.
fn instant(text: Option<&String>) -> Option<Timestamp> {
    text.filter(|text| !text.starts_with("0001-")).and_then(|text| Timestamp::parse(text))
}

/// Takes an inspection apart; none if the container bears no label of ours.
pub(crate) fn found(inspected: ContainerInspectResponse) -> Option<Found> {
    let config = inspected.config.unwrap_or_default();
    let labels = config.labels.unwrap_or_default();
    let host = inspected.host_config.unwrap_or_default();
    let state = inspected.state.unwrap_or_default();
    let settings = inspected.network_settings.unwrap_or_default();
    let running = state.running == Some(true);
    let started_at = instant(state.started_at.as_ref());
    let exit = (!running && started_at.is_some()).then(|| exit(&state));
    let address =
        settings.networks.unwrap_or_default().into_values().find_map(|network| {
            network.ip_address.as_deref().and_then(|address| address.parse().ok())
        });
    let mut bindings = Vec::new();
    for (port, list) in settings.ports.unwrap_or_default() {
        for binding in list.into_iter().flatten() {
            // Each is told once for version 4 and once for version 6 of the protocol.
            let version_4 = binding.host_ip.as_deref().is_none_or(|ip| !ip.contains(':'));
            let number = binding.host_port.and_then(|port| port.parse().ok());
            bindings.extend(number.filter(|_| version_4).map(|number| (port.clone(), number)));
        }
    }
    Some(Found {
        engine_id: inspected.id?,
        sandbox: SandboxId::new(labels.get(SANDBOX)?.as_str()),
        container: labels.get(CONTAINER).map(|id| ContainerId::new(id.as_str())),
        spec: labels.get(SPEC).and_then(|spec| serde_json::from_str(spec).ok()),
        log: labels.get(LOG).and_then(|log| serde_json::from_str(log).ok()),
        stop_signal: config.stop_signal.unwrap_or_else(|| "SIGTERM".to_owned()),
        has_network: labels.contains_key(NETWORK),
        on_host: host.network_mode.as_deref() == Some("host"),
        limited: host.memory.is_some_and(|memory| memory > 0)
            || host.cgroup_parent.is_some_and(|parent| !parent.is_empty()),
        pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0 && running),
        started_at,
        exit,
        health: health(&state, started_at),
        address,
        bindings,
    })
}

fn exit(state: &ContainerState) -> Exit {
    Exit {
        code: state.exit_code.and_then(|code| i32::try_from(code).ok()),
        oom_killed: state.oom_killed == Some(true),
        at: instant(state.finished_at.as_ref()).unwrap_or_default(),
    }
}

fn health(state: &ContainerState, started: Option<Timestamp>) -> Option<(Health, Timestamp)> {
    let health = state.health.as_ref()?;
    let verdict = match health.status? {
        HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => return None,
        HealthStatusEnum::STARTING => Health::Unknown,
        HealthStatusEnum::HEALTHY => Health::Healthy,
        HealthStatusEnum::UNHEALTHY => Health::Unhealthy,
    };
    let last = health.log.iter().flatten().next_back();
    let probed = last.and_then(|probe| instant(probe.end.as_ref()));
    let since = if verdict == Health::Unknown { started } else { probed };
    Some((verdict, since.or(started)?))
}

impl Found {
    /// As the seam lists it; none for what never started or is no container of the seam's.
    pub(crate) fn status(&self) -> Option<ContainerStatus> {
        self.started_at?;
        Some(ContainerStatus {
            id: self.container.clone()?,
            pid: self.pid,
            started_at: self.started_at,
            exit: self.exit.clone(),
            health: self.health,
        })
    }

    /// What became of the ports asked for, in their order.
    pub(crate) fn ports(&self, asked: &[PublishedPort]) -> Vec<PublishedPort> {
        if self.on_host {
            let same = |port: &PublishedPort| PublishedPort {
                host_port: port.host_port.or(Some(port.container_port)),
                ..*port
            };
            return asked.iter().map(same).collect();
        }
        let mut left = self.bindings.clone();
        // Those that are known by their numbers first, so that the others get what is left.
        let mut taken: Vec<Option<u16>> = vec![None; asked.len()];
        for fixed in [true, false] {
            for (place, port) in taken.iter_mut().zip(asked) {
                if port.host_port.is_some() != fixed {
                    continue;
                }
                let name = port_name(port);
                let fits = |(found, number): &(String, u16)| {
                    *found == name && port.host_port.is_none_or(|wanted| wanted == *number)
                };
                *place = left.iter().position(fits).map(|at| left.remove(at).1);
            }
        }
        let told = taken.into_iter().zip(asked);
        told.filter(|(host_port, _)| host_port.is_some())
            .map(|(host_port, port)| PublishedPort { host_port, ..*port })
            .collect()
    }
}

/// What a container uses.
pub(crate) fn usage(stats: ContainerStatsResponse) -> Usage {
    let memory = stats.memory_stats.unwrap_or_default();
    let details: HashMap<String, u64> = memory.stats.unwrap_or_default();
    let cache = details.get("total_inactive_file").or_else(|| details.get("inactive_file"));
    let used = memory.usage.unwrap_or(0);
    let cache = cache.copied().unwrap_or(0);
    let mut io_bytes = (0, 0);
    let entries = stats.blkio_stats.and_then(|io| io.io_service_bytes_recursive);
    for entry in entries.into_iter().flatten() {
        let bytes = entry.value.unwrap_or(0);
        match entry.op.unwrap_or_default().to_ascii_lowercase().as_str() {
            "read" => io_bytes.0 += bytes,
            "write" => io_bytes.1 += bytes,
            _ => {}
        }
    }
    Usage {
        cpu_nanos: stats.cpu_stats.and_then(|cpu| cpu.cpu_usage?.total_usage).unwrap_or(0),
        memory_bytes: used.saturating_sub(cache),
        pids: stats.pids_stats.and_then(|pids| pids.current).unwrap_or(0),
        io_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspection(state: &str, more: &str) -> ContainerInspectResponse {
        let text = format!(
            r#"{{"Id": "abc", "State": {state},
                "Config": {{"Labels": {{"wharf.sandbox": "sand", "wharf.container": "box"}}}} {more}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_ends_of_containers_are_told_from_their_beginnings() {
        let never = r#"{"Running": false, "Pid": 0, "StartedAt": "0001-01-01T00:00:00Z"}"#;
        let never = found(inspection(never, "")).unwrap();
        assert!(never.status().is_none() && never.exit.is_none());
        let over = r#"{"Running": false, "ExitCode": 137, "OOMKilled": true, "Pid": 0,
            "StartedAt": "2026-11-22T20:00:00.5Z", "FinishedAt": "2026-11-22T20:00:01.25Z"}"#;
        let over = found(inspection(over, "")).unwrap().status().unwrap();
        let exit = over.exit.unwrap();
        assert_eq!((exit.code, exit.oom_killed, over.pid), (Some(137), true, None));
        assert_eq!(exit.at, Timestamp::parse("2026-11-22T20:00:01.250Z").unwrap());
        assert!(found(ContainerInspectResponse::default()).is_none());
    }

    #[test]
    fn ports_are_told_in_the_order_in_which_they_were_asked_for() {
        let state = r#"{"Running": true, "Pid": 7, "StartedAt": "2026-11-22T20:00:00Z"}"#;
        let more = r#", "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}},
            "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"},
                {"HostIp": "::", "HostPort": "8080"}, {"HostIp": "0.0.0.0", "HostPort": "32768"}],
                "53/udp": null}}"#;
        let found = found(inspection(state, more)).unwrap();
        assert_eq!(found.address, Some("172.17.0.2".parse().unwrap()));
        let port = |host_port| PublishedPort { container_port: 80, host_port, udp: false };
        let told = found.ports(&[port(None), port(Some(8080))]);
        assert_eq!(told, [port(Some(32768)), port(Some(8080))]);
    }
}
