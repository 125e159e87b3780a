//! Container networking of one node: a bridge, an address and a pair of interfaces for each network
//! namespace, and host ports published into them.
//!
//! Each container's namespace gets an `eth0` on the bridge with an address of the node's container
//! subnet and a default route to the bridge, whose address is the subnet's first. Published ports
//! are redirected by the packet filter, without a proxy, and answer at the host's own addresses,
//! at 127.0.0.1, and for other containers at the host's addresses too. What is not published is
//! reachable from the host and from containers of the same bridge only. A namespace may have an address
//! of its own instead (`awsvpc`), which the caller chooses: a route of the machine leads it to the bridge,
//! and whoever reaches the machine reaches all its ports.
//!
//! ```text
//! Network ── books (ipam, ports)   who has what; pure, under one short lock
//!    ├────── links                 one thread that speaks rtnetlink and enters namespaces
//!    ├────── firewall, forward     our nftables table; rules in other firewalls that drop
//!    ├────── conntrack             forgetting UDP flows that predate a change
//!    └────── state                 one file per attachment, for the next process
//! ```
//!
//! Invariants: an address and a host port have one owner at a time, across restarts; the packet
//! filter holds exactly the ports of the books; nothing here deletes an interface on the way of an
//! order (the kernel takes 20 ms for it): a namespace takes its interface with it.
//!
//! Not yet there, and refused or absent rather than half done: IPv6 (no addresses, no publishing at
//! IPv6 host addresses; the kernel's link-local ones stay), name resolution between tasks, routes to
//! other machines, protection against containers that forge source addresses, and firewalls that drop forwarded packets by a rule instead of a policy outside of iptables'
//! filter table.

mod conntrack;
mod error;
mod firewall;
mod forward;
mod host_ports;
mod ipam;
mod links;
mod locks;
mod network;
mod own;
mod ports;
mod setup;
mod state;
mod subnet;
mod sysctl;
mod types;
mod ways;

use std::collections::BTreeSet;
use std::future::Future;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

pub use error::NetError;
pub use types::{
    Attachment, Counters, InsidePorts, NetworkConfig, OwnAddress, PortBinding, PortRequest,
    Protocol, ephemeral_ports,
};
pub use ways::Ways;

use links::pair_name;
use network::Shared;
use state::Place;

/// A node's container network. Needs root (`CAP_NET_ADMIN` and, to enter namespaces,
/// `CAP_SYS_ADMIN`).
///
/// Operations are carried through even if the caller stops waiting for them, and those of one id
/// take turns.
#[derive(Debug)]
pub struct Network {
    shared: Arc<Shared>,
}

/// A namespace that is on the bridge already and awaits its id and ports. Dropping it gives the
/// address back; the interface goes with the namespace.
#[derive(Debug)]
pub struct Prepared {
    shared: Arc<Shared>,
    address: Option<Ipv4Addr>,
}

impl Network {
    /// Makes the bridge, the kernel settings and the packet filter's table, or adopts what an
    /// earlier process left: the attachments recorded in the state folder keep their addresses and
    /// ports. Follow with [`retain`](Self::retain) once it is known which of them still run.
    ///
    /// # Errors
    /// A configuration that cannot be used, a subnet that is taken, or what the kernel refuses.
    pub async fn open(config: NetworkConfig) -> Result<Self, NetError> {
        Ok(Self { shared: Arc::new(setup::open(config).await?) })
    }

    /// Puts a network namespace on the bridge and publishes ports to it. For an id that is attached
    /// already the answer is the same attachment, whatever `ports` says; its interface is made
    /// again if it is missing in `netns`.
    ///
    /// # Errors
    /// [`NetError::PortInUse`], [`NetError::PortsExhausted`], [`NetError::AddressesExhausted`], a
    /// request that cannot be served, or what the kernel refuses. Nothing is kept then; an
    /// interface that was already made stays in the namespace, which must not be used again.
    pub async fn attach(
        &self,
        id: &str,
        netns: BorrowedFd<'_>,
        ports: &[PortRequest],
    ) -> Result<Attachment, NetError> {
        let (id, netns) = (network::checked(id)?, network::own(netns)?);
        carry_through(Arc::clone(&self.shared).attach(id, netns, ports.to_vec())).await
    }

    /// Puts a namespace on the bridge ahead of the order, so that at the order only the ports are
    /// left to publish: [`attach_prepared`](Self::attach_prepared).
    ///
    /// # Errors
    /// As [`attach`](Self::attach), but for ports.
    pub async fn prepare(&self, netns: BorrowedFd<'_>) -> Result<Prepared, NetError> {
        let netns = network::own(netns)?;
        let shared = Arc::clone(&self.shared);
        carry_through(async move {
            let address = shared.prepare(netns).await?;
            Ok(Prepared { shared, address: Some(address) })
        })
        .await
    }

    /// Gives a prepared namespace its id and publishes ports to it.
    ///
    /// # Errors
    /// As [`attach`](Self::attach), and when the id is attached already. The prepared namespace is
    /// spent either way.
    pub async fn attach_prepared(
        &self,
        id: &str,
        prepared: Prepared,
        ports: &[PortRequest],
    ) -> Result<Attachment, NetError> {
        let (id, ports) = (network::checked(id)?, ports.to_vec());
        if !Arc::ptr_eq(&prepared.shared, &self.shared) {
            return Err(NetError::Config(format!("{id} was prepared by another network")));
        }
        carry_through(async move {
            // As a whole: capturing its fields one by one would copy the address, and the drop at
            // the end would give away what the attachment now has.
            let mut prepared = prepared;
            let Some(address) = prepared.address else { return Err(NetError::Closed) };
            let attachment = prepared.shared.attach_at(&id, address, &ports).await?;
            prepared.address = None;
            Ok(attachment)
        })
        .await
    }

    /// Puts a network namespace on the bridge with an address of its own, which every packet that
    /// reaches this machine for it is led to. Idempotent per id; its interface is made again if it is
    /// missing in `netns`.
    ///
    /// # Errors
    /// [`NetError::AddressTaken`], or what the kernel refuses. Nothing is kept then.
    pub async fn attach_own(
        &self,
        id: &str,
        netns: BorrowedFd<'_>,
        own: OwnAddress,
    ) -> Result<Attachment, NetError> {
        let (id, netns) = (network::checked(id)?, network::own(netns)?);
        carry_through(Arc::clone(&self.shared).attach_own(id, netns, own)).await
    }

    /// Host network mode: records that the container will use these ports of the host, after
    /// checking that nothing else does. A request without a host port means the container's own
    /// port. Idempotent per id.
    ///
    /// # Errors
    /// [`NetError::PortInUse`] or a request that cannot be served.
    pub async fn reserve_host_ports(
        &self,
        id: &str,
        ports: &[PortRequest],
    ) -> Result<Vec<PortBinding>, NetError> {
        let id = network::checked(id)?;
        carry_through(Arc::clone(&self.shared).reserve(id, ports.to_vec())).await
    }

    /// Takes back an id's ports and address, of either mode. The interface is left to die with its
    /// namespace. An id that is not attached is fine.
    ///
    /// # Errors
    /// What the kernel or the disk refuses; the attachment stands then, and detaching can be tried
    /// again.
    pub async fn detach(&self, id: &str) -> Result<(), NetError> {
        carry_through(Arc::clone(&self.shared).detach(id.to_owned())).await
    }

    /// After a restart: detaches every id that is not in `ids`, and deletes container interfaces on
    /// the bridge that belong to nobody.
    ///
    /// # Errors
    /// The first failure; the others are tried all the same.
    pub async fn retain(&self, ids: &BTreeSet<String>) -> Result<(), NetError> {
        let gone: Vec<String> = {
            let books = self.shared.books();
            books.places.keys().filter(|id| !ids.contains(*id)).cloned().collect()
        };
        let mut result = Ok(());
        for id in gone {
            result = result.and(self.detach(&id).await);
        }
        result.and(carry_through(Arc::clone(&self.shared).sweep()).await)
    }

    /// The attachment of an id; `None` if it has none, or is in host network mode.
    pub fn attachment(&self, id: &str) -> Option<Attachment> {
        match self.shared.books().places.get(id) {
            Some(Place::Bridge(attachment) | Place::Own(attachment)) => Some(attachment.clone()),
            _ => None,
        }
    }

    /// What passed an attachment's interface; `None` if it has none (any more).
    pub fn counters(&self, id: &str) -> Option<Counters> {
        let name = pair_name(self.attachment(id)?.address);
        let read = |counter: &str| -> Option<u64> {
            let path = format!("/sys/class/net/{name}/statistics/{counter}");
            std::fs::read_to_string(path).ok()?.trim().parse().ok()
        };
        // What the host's end receives is what the container sent.
        Some(Counters {
            rx_bytes: read("tx_bytes")?,
            rx_packets: read("tx_packets")?,
            rx_errors: read("tx_errors")?,
            rx_dropped: read("tx_dropped")?,
            tx_bytes: read("rx_bytes")?,
            tx_packets: read("rx_packets")?,
            tx_errors: read("rx_errors")?,
            tx_dropped: read("rx_dropped")?,
        })
    }

    /// Leads 169.254.170.2, port 80, to a task's own endpoints: what containers send there arrives
    /// with their own addresses, and what programs of this machine send there at the other listener.
    /// Called again, it replaces where they are led.
    ///
    /// Where several networks of one machine lead the machine's own programs, the first to have
    /// said so has them all.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub async fn lead_inside(&self, ports: InsidePorts) -> Result<(), NetError> {
        carry_through(Arc::clone(&self.shared).lead_inside(ports)).await
    }

    /// The bridge's address: where containers find this node.
    pub fn gateway(&self) -> Ipv4Addr {
        self.shared.subnet.gateway()
    }
}

impl Prepared {
    /// The address that the namespace has.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.address
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            self.shared.books().addresses.release(address);
        }
    }
}

/// Runs an operation in a task of its own, so that a caller who stops waiting does not leave it
/// half done.
async fn carry_through<T: Send + 'static>(
    operation: impl Future<Output = Result<T, NetError>> + Send + 'static,
) -> Result<T, NetError> {
    tokio::spawn(operation).await.map_err(|_| NetError::Closed)?
}

/// Removes every trace of a network, whether or not a process still has it open and however the last
/// one ended: rules, bridge, the interfaces on it, kernel settings that it changed and nobody else
/// needs, and its state. Idempotent. Containers that still run lose their network.
///
/// # Errors
/// The first failure; everything else has been tried, and the call can be repeated.
pub async fn teardown(config: &NetworkConfig) -> Result<(), NetError> {
    setup::teardown(config).await
}
