//! The books of AWS's stock agent, kept as it keeps them.
//!
//! The agent admits tasks by itself. It counts what a task takes from its payload, adds that to what
//! its other tasks take that it has not yet reported STOPPED, and holds the sum against what it
//! registered; a host port must be free. A task that does not fit waits, acknowledged and without a
//! word, and those behind it wait too, for the queue is first in, first out. So a task must never
//! count for more there than it was placed for here. What it counts:
//!
//! - CPU: the task's, if it is more than none, in vCPUs times 1024 without the rest; else the sum of
//!   its containers' shares.
//! - Memory: the task's, if it is more than none; else for each container the reservation in its
//!   `HostConfig`, rounded down to MiB, or without one its hard limit.
//! - GPUs: every association of that type, by its name.
//! - Ports: every host port but 0 that a payload names, by protocol. Those that Docker chooses are not
//!   counted.

use aws::agent::acs;
use aws::ecs::TransportProtocol;
use model::{HostPort, Protocol, Resources};

const BYTES_A_MIB: i64 = 1 << 20;

/// What the agent counts for a task.
pub(super) fn counted(task: &acs::Task) -> Resources {
    let sum = |of: &dyn Fn(&acs::Container) -> i64| -> u32 {
        task.containers.iter().fold(0, |total: u32, c| total.saturating_add(units(of(c))))
    };
    let cpu = match task.cpu {
        Some(cpu) if cpu > 0.0 => shares(cpu),
        _ => sum(&|c| c.cpu.unwrap_or(0)),
    };
    let memory = match task.memory {
        Some(memory) if memory > 0 => units(memory),
        _ => sum(&|c| reserved_mib(c).or(c.memory).unwrap_or(0)),
    };
    let ports = task.containers.iter().flat_map(|c| &c.port_mappings).filter_map(port).collect();
    let gpus = task.associations.iter().filter(|a| a.r#type.as_deref() == Some(super::GPU));
    let gpus = gpus.map(|a| a.name.as_str().into()).collect();
    Resources { cpu, memory, ports, gpus }
}

/// What the agent would count beyond the reservation, in words; nothing if the books agree or the
/// agent counts less.
pub(super) fn excess(counted: &Resources, reserved: &Resources) -> Option<String> {
    if counted.cpu > reserved.cpu {
        return Some(format!("{} CPU units beside {}", counted.cpu, reserved.cpu));
    }
    if counted.memory > reserved.memory {
        return Some(format!("{} MiB beside {}", counted.memory, reserved.memory));
    }
    if let Some(port) = counted.ports.difference(&reserved.ports).next() {
        return Some(format!("host port {}", port.port));
    }
    let gpu = counted.gpus.difference(&reserved.gpus).next()?;
    Some(format!("GPU {gpu}"))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the agent casts so too"
)]
fn shares(cpu: f64) -> u32 {
    (cpu * 1024.0) as u32
}

fn units(of: i64) -> u32 {
    u32::try_from(of.max(0)).unwrap_or(u32::MAX)
}

/// The reservation that Docker's document names.
fn reserved_mib(container: &acs::Container) -> Option<i64> {
    let text = container.docker_config.as_ref()?.host_config.as_ref()?;
    let host: serde_json::Value = serde_json::from_str(text).ok()?;
    let bytes = host.get("MemoryReservation")?.as_i64().filter(|bytes| *bytes > 0)?;
    Some(bytes / BYTES_A_MIB)
}

fn port(mapping: &acs::PortMapping) -> Option<HostPort> {
    let port = u16::try_from(mapping.host_port?).ok().filter(|port| *port != 0)?;
    let protocol = match mapping.protocol {
        Some(TransportProtocol::Udp) => Protocol::Udp,
        Some(TransportProtocol::Tcp | TransportProtocol::Unrecognized(_)) | None => Protocol::Tcp,
    };
    Some(HostPort { protocol, port })
}
