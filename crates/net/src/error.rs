//! What can go wrong, in words for the person who reads a task's stopped reason.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use crate::types::Protocol;

/// Why a network operation failed.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The configuration cannot be used as it stands.
    #[error("network configuration: {0}")]
    Config(String),
    /// The subnet touches another network of this machine.
    #[error(
        "subnet {subnet} overlaps {taken}, which this machine already uses; choose another, or `auto`"
    )]
    SubnetTaken {
        /// What was asked for.
        subnet: String,
        /// The address or route in the way.
        taken: String,
    },
    /// `auto` found nothing free.
    #[error(
        "every private network that could carry the container bridge overlaps an address or route of this machine; name a free one"
    )]
    NoFreeSubnet,
    /// A bridge of that name stands with other settings and other members.
    #[error(
        "bridge {bridge} exists and carries {found} instead of {wanted}, and interfaces are attached to it; stop what uses it or choose another name"
    )]
    BridgeInUse {
        /// The bridge.
        bridge: String,
        /// What it carries.
        found: String,
        /// What was asked for.
        wanted: Ipv4Addr,
    },
    /// No address is left.
    #[error("no address is free in {subnet}: all {size} are in use")]
    AddressesExhausted {
        /// The container subnet.
        subnet: String,
        /// How many containers it can hold.
        size: u32,
    },
    /// A task's own address is another's on this machine.
    #[error(
        "the address {0} is in use on this machine already: by an interface or a route that is not this node's. Where several servers share a machine, each needs --vpc-cidr with a block of its own"
    )]
    AddressTaken(Ipv4Addr),
    /// A host port is taken.
    #[error("host port {port}/{protocol} is already in use by {holder}")]
    PortInUse {
        /// The port.
        port: u16,
        /// Its transport.
        protocol: Protocol,
        /// Who has it, as far as can be told.
        holder: String,
    },
    /// No dynamic host port is left.
    #[error("no free {protocol} port is left between {low} and {high} for a dynamic host port")]
    PortsExhausted {
        /// The transport.
        protocol: Protocol,
        /// The first port of the range.
        low: u16,
        /// The last port of the range.
        high: u16,
    },
    /// A port request that cannot be served.
    #[error("cannot publish container port {port}/{protocol}: {reason}")]
    PortRefused {
        /// The container's port.
        port: u16,
        /// Its transport.
        protocol: Protocol,
        /// Why not.
        reason: String,
    },
    /// An address to publish at is not this machine's.
    #[error("cannot publish at {address}: it is not an address of this machine")]
    AddressNotLocal {
        /// The address.
        address: IpAddr,
    },
    /// An attachment's name cannot be used.
    #[error("attachment id {0:?} is empty or longer than 120 bytes")]
    Id(String),
    /// A file or kernel setting could not be read or written.
    #[error("{action} {}", path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The kernel refused a link, address, route or namespace operation.
    #[error("{0}")]
    Link(String, #[source] io::Error),
    /// The packet filter could not be changed.
    #[error("{0}")]
    Firewall(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// The thread that serves link operations, or the runtime, has gone.
    #[error("the network is shutting down")]
    Closed,
}

impl NetError {
    pub(crate) fn link(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Link(what.into(), source.into())
    }

    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::File { action, path: path.into(), source: source.into() }
    }

    pub(crate) fn firewall(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Firewall(what.into(), source.into())
    }
}
