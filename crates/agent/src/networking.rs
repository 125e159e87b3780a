//! The seam to the node's network, small enough to be faked.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::os::fd::{AsFd, OwnedFd};

use async_trait::async_trait;
use net::{Attachment, Counters, NetError, Network, PortBinding, PortRequest};

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
}
