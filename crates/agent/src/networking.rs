//! The seam to the node's network, small enough to be faked.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

use async_trait::async_trait;
use net::{
    Attachment, Counters, InsidePorts, NetError, Network, OwnAddress, PortBinding, PortRequest,
};

/// What the agent asks of the node's network; [`net::Network`] is what answers outside of tests.
#[async_trait]
pub trait Networking: Send + Sync + Debug {
    /// Puts a namespace on the bridge and publishes ports to it; asked again, it answers the same.
    ///
    /// # Errors
    /// A port that is taken, or what the kernel refuses.
    async fn attach(
        &self,
        id: &str,
        netns: OwnedFd,
        ports: &[PortRequest],
    ) -> Result<Attachment, NetError>;

    /// Puts a namespace on the bridge with an address of its own; asked again, it answers the same.
    ///
    /// # Errors
    /// An address that is taken on this machine, or what the kernel refuses.
    async fn attach_own(
        &self,
        id: &str,
        netns: OwnedFd,
        own: OwnAddress,
    ) -> Result<Attachment, NetError> {
        drop(netns);
        let address = own.address;
        Err(NetError::Config(format!("{id} cannot have {address}: nobody here wires networks")))
    }

    /// Keeps ports of the host for a task with the host's network.
    ///
    /// # Errors
    /// A port that is taken.
    async fn reserve_host_ports(
        &self,
        id: &str,
        ports: &[PortRequest],
    ) -> Result<Vec<PortBinding>, NetError>;

    /// Takes back address and ports. What is not attached is fine.
    ///
    /// # Errors
    /// What the kernel or the disk refuses; it can be tried again.
    async fn detach(&self, id: &str) -> Result<(), NetError>;

    /// Detaches everything but these.
    ///
    /// # Errors
    /// The first failure.
    async fn retain(&self, ids: &BTreeSet<String>) -> Result<(), NetError>;

    /// What passed a task's interface.
    fn counters(&self, id: &str) -> Option<Counters>;

    /// This node's address on the containers' network; none if it has no such network.
    fn gateway(&self) -> Option<Ipv4Addr> {
        None
    }

    /// Leads 169.254.170.2 to where a task's own endpoints listen. Where there is no packet filter
    /// of ours, nothing is led there.
    ///
    /// # Errors
    /// What the kernel refuses.
    async fn lead_inside(&self, ports: InsidePorts) -> Result<(), NetError> {
        let _ = ports;
        Ok(())
    }
}

#[async_trait]
impl Networking for Network {
    async fn attach(
        &self,
        id: &str,
        netns: OwnedFd,
        ports: &[PortRequest],
    ) -> Result<Attachment, NetError> {
        Self::attach(self, id, netns.as_fd(), ports).await
    }

    async fn attach_own(
        &self,
        id: &str,
        netns: OwnedFd,
        own: OwnAddress,
    ) -> Result<Attachment, NetError> {
        Self::attach_own(self, id, netns.as_fd(), own).await
    }

    async fn reserve_host_ports(
        &self,
        id: &str,
        ports: &[PortRequest],
    ) -> Result<Vec<PortBinding>, NetError> {
        Self::reserve_host_ports(self, id, ports).await
    }

    async fn detach(&self, id: &str) -> Result<(), NetError> {
        Self::detach(self, id).await
    }

    async fn retain(&self, ids: &BTreeSet<String>) -> Result<(), NetError> {
        Self::retain(self, ids).await
    }

    fn counters(&self, id: &str) -> Option<Counters> {
        Self::counters(self, id)
    }

    fn gateway(&self) -> Option<Ipv4Addr> {
        Some(Self::gateway(self))
    }

    async fn lead_inside(&self, ports: InsidePorts) -> Result<(), NetError> {
        Self::lead_inside(self, ports).await
    }
}

/// For a node whose container runtime wires networks by itself: there is nothing else to be done.
#[derive(Debug, Default)]
pub struct NoNetworking;

#[async_trait]
impl Networking for NoNetworking {
    async fn attach(
        &self,
        id: &str,
        _: OwnedFd,
        _: &[PortRequest],
    ) -> Result<Attachment, NetError> {
        Err(NetError::Config(format!("{id}: the container runtime wires networks on this node")))
    }

    /// A program with the host's network binds its ports itself, and is told if they are taken.
    async fn reserve_host_ports(
        &self,
        _: &str,
        ports: &[PortRequest],
    ) -> Result<Vec<PortBinding>, NetError> {
        Ok(ports
            .iter()
            .map(|port| PortBinding {
                bind_ip: port.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
                container_port: port.container_port,
                host_port: port.host_port.unwrap_or(port.container_port),
                protocol: port.protocol,
            })
            .collect())
    }

    async fn detach(&self, _: &str) -> Result<(), NetError> {
        Ok(())
    }

    async fn retain(&self, _: &BTreeSet<String>) -> Result<(), NetError> {
        Ok(())
    }

    fn counters(&self, _: &str) -> Option<Counters> {
        None
    }
}
