//! What tasks reserve and instances have: CPU units, MiB of memory, host ports, GPUs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::GpuId;

/// The transport of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostPort {
    /// Its transport.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
}

/// An amount of what an instance offers and a task reserves. Reservations, not measurements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// CPU units: 1,024 are one core.
    pub cpu: u32,
    /// MiB of memory.
    pub memory: u32,
    /// Host ports: of an instance, those that are taken by the host itself; of a task, those that it
    /// asks for by number.
    pub ports: BTreeSet<HostPort>,
    /// GPUs: of an instance, those that it has; of a task, those that it was given when it was placed.
    /// Each is one task's at a time.
    #[serde(default)]
    pub gpus: BTreeSet<GpuId>,
}
