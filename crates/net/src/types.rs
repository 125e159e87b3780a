//! What callers say and what they get back: configuration, port requests and bindings, attachments
//! and traffic counters.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How one node's container network is laid out. Two networks on one machine must differ in
/// `bridge`, `table`, `state_dir` and `subnet` (`"auto"` sees to the last).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkConfig {
    /// The bridge's interface name: 1 to 15 bytes, letters, digits, `-`, `_` and `.`.
    pub bridge: String,
    /// An IPv4 network such as `172.30.0.0/16` (prefix 8 to 29), or `"auto"`: the first of a fixed
    /// list that no address or route of this machine touches. What `"auto"` chose is remembered in
    /// `state_dir`.
    pub subnet: String,
    /// The nftables table (family `ip`) that holds all rules.
    pub table: String,
    /// Where dynamic host ports come from; ECS uses the machine's ephemeral range.
    pub port_range: RangeInclusive<u16>,
    /// Where attachments are remembered across restarts. A folder in `/run` is best: nothing in it
    /// outlives a reboot usefully.
    pub state_dir: PathBuf,
    /// TCP ports of this machine that containers must not reach (by the gateway's or any other of
    /// the host's addresses), such as the node's own API port. Loopback is never reachable from
    /// containers, whatever stands here.
    pub blocked_ports: Vec<u16>,
    /// Bridges of others on which our containers stand as well, such as `docker0`: they get the same
    /// fences, and are led to the same endpoints ([`crate::Network::lead_inside`]). A name that no
    /// interface has does no harm.
    pub other_bridges: Vec<String>,
    /// Whether containers are kept from the machine's own instance metadata, 169.254.169.254: with
    /// it they could have the machine's role.
    pub block_instance_metadata: bool,
}

/// Where a task's own endpoints listen on this machine. Containers and programs of the machine find
/// them at 169.254.170.2, port 80.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InsidePorts {
    /// At the bridge's address, for containers: nothing else can reach it. None if containers have
    /// no endpoints.
    pub bridge: Option<u16>,
    /// At 127.0.0.1, for programs in the machine's own network.
    pub machine: u16,
}

impl NetworkConfig {
    /// The defaults: bridge `wharf0`, table `wharf`, subnet `auto`, ports of
    /// [`ephemeral_ports`], nothing blocked.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            bridge: "wharf0".to_owned(),
            subnet: "auto".to_owned(),
            table: "wharf".to_owned(),
            port_range: ephemeral_ports(),
            state_dir: state_dir.into(),
            blocked_ports: Vec::new(),
            other_bridges: Vec::new(),
            block_instance_metadata: false,
        }
    }
}

/// The machine's ephemeral range, `net.ipv4.ip_local_port_range`, which is where ECS takes dynamic
/// host ports from; 32768 to 60999 where it cannot be read.
pub fn ephemeral_ports() -> RangeInclusive<u16> {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| {
            let mut words = text.split_whitespace().map(str::parse::<u16>);
            match (words.next(), words.next()) {
                (Some(Ok(low)), Some(Ok(high))) if low <= high && low > 0 => Some(low..=high),
                _ => None,
            }
        })
        .unwrap_or(32768..=60999)
}

/// The transport of a port: ECS's `protocol` of a port mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, the default of a port mapping.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// The IP protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A port of a container to be reachable at the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRequest {
    /// Where the container listens; not 0.
    pub container_port: u16,
    /// The host's port; `None` asks for a free one of the dynamic range (in host network mode: the
    /// container's port itself).
    pub host_port: Option<u16>,
    /// The transport.
    pub protocol: Protocol,
    /// The host's address to publish at; `None` is every address. Only IPv4 can be served yet.
    pub host_ip: Option<IpAddr>,
}

/// A published port: ECS's `networkBindings` entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortBinding {
    /// The host's address; `0.0.0.0` is every address.
    pub bind_ip: IpAddr,
    /// Where the container listens.
    pub container_port: u16,
    /// Where the host answers.
    pub host_port: u16,
    /// The transport.
    pub protocol: Protocol,
}

/// An address that a namespace has for its own, which is none of the bridge's subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnAddress {
    /// The address.
    pub address: Ipv4Addr,
    /// The hardware address that goes with it.
    pub mac: [u8; 6],
    /// The network of all such addresses: its first one and the length of its prefix.
    pub vpc: (Ipv4Addr, u8),
}

/// A network namespace's place on the bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The namespace's address, on its `eth0`.
    pub address: Ipv4Addr,
    /// The subnet's prefix length; 32 for an address of its own.
    pub prefix: u8,
    /// The bridge's address: the namespace's default route.
    pub gateway: Ipv4Addr,
    /// `eth0`'s hardware address, in colon form. It follows from the address, so a reused address
    /// does not meet a stale ARP entry.
    pub mac: String,
    /// The published ports, in the order in which they were asked for.
    pub bindings: Vec<PortBinding>,
}

/// What passed an attachment's interface since it was made, as the container sees it: `rx` is what
/// it received. Fields as in Linux's `rtnl_link_stats64`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes received by the container.
    pub rx_bytes: u64,
    /// Packets received by the container.
    pub rx_packets: u64,
    /// Receive errors.
    pub rx_errors: u64,
    /// Packets for the container that were dropped.
    pub rx_dropped: u64,
    /// Bytes sent by the container.
    pub tx_bytes: u64,
    /// Packets sent by the container.
    pub tx_packets: u64,
    /// Send errors.
    pub tx_errors: u64,
    /// Packets from the container that were dropped.
    pub tx_dropped: u64,
}
