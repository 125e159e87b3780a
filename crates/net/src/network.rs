//! The network at work: attach, reserve, detach, retain. Decisions are made under one short lock;
//! the kernel is told outside of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::conntrack;
use crate::error::NetError;
use crate::firewall::{Backend, Firewall, Published, Ruleset};
use crate::host_ports::HostPorts;
use crate::ipam::Addresses;
use crate::links::{Links, PairOutcome, PairPlan, mac_of, mac_text, pair_name};
use crate::locks::Locks;
use crate::ports::Ports;
use crate::state::{Place, Record, StateDir, check_id};
use crate::subnet::Subnet;
use crate::types::{Attachment, InsidePorts, PortBinding, PortRequest};
use crate::{setup, sysctl};

/// How many addresses are tried that turn out to be in use by an interface nobody remembers.
const ADDRESS_TRIES: usize = 32;

/// What every operation works on.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The bridge's name.
    pub(crate) name: String,
    pub(crate) subnet: Subnet,
    /// The bridge's index; it changes when somebody deletes the bridge and we make it again.
    pub(crate) bridge: AtomicU32,
    pub(crate) mtu: u32,
    pub(crate) state: StateDir,
    pub(crate) links: Links,
    pub(crate) filter: tokio::sync::Mutex<Filter>,
    pub(crate) books: Mutex<Books>,
    pub(crate) locks: Locks,
}

/// Who has what.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) addresses: Addresses,
    pub(crate) ports: Ports<OwnedFd>,
    pub(crate) places: BTreeMap<String, Place>,
}

impl Books {
    /// Whether an address is anybody's, of either kind.
    fn has(&self, address: Ipv4Addr) -> bool {
        self.addresses.is_used(address) || self.owner(address).is_some()
    }

    /// Who has an address for its own.
    pub(crate) fn owner(&self, address: Ipv4Addr) -> Option<&str> {
        let has = |place: &Place| matches!(place, Place::Own(a) if a.address == address);
        self.places.iter().find(|(_, place)| has(place)).map(|(id, _)| id.as_str())
    }
}

/// The packet filter and the ports that it should hold.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) backend: Backend,
    pub(crate) rules: Ruleset,
    pub(crate) published: BTreeSet<Published>,
}

impl Filter {
    /// Adds ports. Where that fails, somebody may have flushed the rules: all are put again.
    async fn publish(&mut self, ports: &[Published]) -> Result<(), NetError> {
        if ports.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.backend.publish(&self.rules, ports).await {
            let wanted = self.published.iter().chain(ports).copied().collect();
            self.reinstall(&wanted, &error).await?;
        }
        self.published.extend(ports);
        Ok(())
    }

    /// Removes ports; those that are not there are left out.
    async fn withdraw(&mut self, ports: &[Published]) -> Result<(), NetError> {
        let ports: Vec<_> =
            ports.iter().copied().filter(|port| self.published.contains(port)).collect();
        if ports.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.backend.withdraw(&self.rules, &ports).await {
            let mut wanted = self.published.clone();
            wanted.retain(|port| !ports.contains(port));
            self.reinstall(&wanted, &error).await?;
        }
        self.published.retain(|port| !ports.contains(port));
        Ok(())
    }

    async fn reinstall(
        &self,
        wanted: &BTreeSet<Published>,
        why: &NetError,
    ) -> Result<(), NetError> {
        tracing::warn!(error = stdx::chain(why), "the packet filter changed; installing it again");
        self.backend.install(&self.rules, wanted).await
    }

    /// Installs the table with rules for the network of tasks' own addresses, unless it has them.
    pub(crate) async fn admit(&mut self, vpc: Subnet) -> Result<bool, NetError> {
        if self.rules.vpc == Some(vpc) {
            return Ok(false);
        }
        let rules = Ruleset { vpc: Some(vpc), ..self.rules.clone() };
        self.backend.install(&rules, &self.published).await?;
        self.rules = rules;
        Ok(true)
    }

    /// Installs the table with other endpoints; on failure it stays as it was.
    async fn lead_inside(&mut self, ports: InsidePorts) -> Result<(), NetError> {
        let rules = Ruleset { inside: Some(ports), ..self.rules.clone() };
        self.backend.install(&rules, &self.published).await?;
        self.rules = rules;
        Ok(())
    }
}

impl Shared {
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        // The books are changed in steps that cannot panic half-way.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn attach(
        self: Arc<Self>,
        id: String,
        netns: OwnedFd,
        requests: Vec<PortRequest>,
    ) -> Result<Attachment, NetError> {
        let _turn = self.locks.turn(&id).await;
        if let Some(attachment) = self.known(&id)? {
            self.repair(netns, &attachment).await?;
            return Ok(attachment);
        }
        let bindings = self.books().ports.take_all(&id, &requests, &mut HostPorts)?;
        let attached = self.attach_new(&id, Arc::new(netns), &bindings).await;
        if attached.is_err() {
            self.books().ports.give_back(&id, &bindings);
        }
        attached
    }

    async fn attach_new(
        &self,
        id: &str,
        netns: Arc<OwnedFd>,
        bindings: &[PortBinding],
    ) -> Result<Attachment, NetError> {
        for _ in 0..ADDRESS_TRIES {
            let address = self.allocate()?;
            let attachment = self.attachment_at(address, bindings);
            // The interface is made on the link thread while the record is written and the ports
            // are published here.
            let link = self.link(Arc::clone(&netns), address);
            let told = self.tell(id, &attachment);
            let (linked, told) = tokio::join!(link, told);
            match (linked, told) {
                (Ok(PairOutcome::Made), Ok(())) => return Ok(attachment),
                (linked, told) => {
                    self.untell(id, &attachment).await;
                    self.books().addresses.release(address);
                    told?;
                    // What remains is an address in use by an interface nobody remembers: the
                    // next one, then.
                    linked?;
                }
            }
        }
        Err(self.exhausted())
    }

    /// Makes the pair; where the bridge has gone, makes that again first.
    async fn link(&self, netns: Arc<OwnedFd>, address: Ipv4Addr) -> Result<PairOutcome, NetError> {
        let plan = PairPlan {
            host: pair_name(address),
            bridge: self.bridge.load(Ordering::Relaxed),
            mac: mac_of(address),
            mtu: self.mtu,
            address,
            subnet: self.subnet,
            routed: false,
            hairpin: sysctl::bridged_frames_are_filtered(),
        };
        let name = self.name.clone();
        let subnet = self.subnet;
        let (outcome, bridge) = self
            .links
            .run(move |worker| match worker.attach(netns.as_fd(), &plan) {
                Ok(outcome) => Ok((outcome, plan.bridge)),
                Err(error) => {
                    if worker.find(&name)? == Some(plan.bridge) {
                        return Err(error);
                    }
                    tracing::warn!(bridge = name, "the bridge is gone; making it again");
                    let bridge = worker.ensure_bridge(&name, subnet)?;
                    sysctl::route_localnet(&name)?;
                    let plan = PairPlan { bridge, ..plan };
                    worker.attach(netns.as_fd(), &plan).map(|outcome| (outcome, bridge))
                }
            })
            .await?;
        self.bridge.store(bridge, Ordering::Relaxed);
        Ok(outcome)
    }

    /// Writes an attachment down, publishes its ports and enters it in the books.
    pub(crate) async fn tell(&self, id: &str, attachment: &Attachment) -> Result<(), NetError> {
        let place = Place::Bridge(attachment.clone());
        self.state.put(&Record { id: id.to_owned(), place: place.clone() })?;
        let ports = published(&place);
        self.filter.lock().await.publish(&ports).await?;
        self.books().places.insert(id.to_owned(), place);
        let udp: Vec<u16> = udp_ports(&attachment.bindings);
        if !udp.is_empty() {
            tokio::spawn(conntrack::forget_unpublished(udp));
        }
        Ok(())
    }

    /// Undoes [`Self::tell`], as far as it went.
    async fn untell(&self, id: &str, attachment: &Attachment) {
        let ports = published(&Place::Bridge(attachment.clone()));
        if let Err(error) = self.filter.lock().await.withdraw(&ports).await {
            tracing::warn!(id, error = stdx::chain(&error), "ports stay published");
        }
        self.books().places.remove(id);
        if let Err(error) = self.state.remove(id) {
            tracing::warn!(id, error = stdx::chain(&error), "a record stays");
        }
    }

    /// The attachment that `id` has already; an error if it has a place of the other kind.
    fn known(&self, id: &str) -> Result<Option<Attachment>, NetError> {
        match self.books().places.get(id) {
            None => Ok(None),
            Some(Place::Bridge(attachment)) => Ok(Some(attachment.clone())),
            Some(Place::Own(_) | Place::Host(_)) => Err(NetError::Config(format!(
                "{id} has a place of another network mode and cannot be on the bridge as well"
            ))),
        }
    }

    /// An earlier process may have been killed between writing a record and making its interface,
    /// or the namespace may be a new one under the old id: then the pair is made (again).
    async fn repair(&self, netns: OwnedFd, attachment: &Attachment) -> Result<(), NetError> {
        let address = attachment.address;
        let netns = Arc::new(netns);
        let inside = Arc::clone(&netns);
        let whole = self
            .links
            .run(move |worker| {
                let host = pair_name(address);
                let Some(index) = worker.find(&host)? else { return Ok(false) };
                if worker.has_address(inside.as_fd(), address)? {
                    return Ok(true);
                }
                worker.delete(index, &host)?;
                Ok(false)
            })
            .await?;
        if !whole && self.link(netns, address).await? == PairOutcome::AddressBusy {
            return Err(NetError::link(
                format!("attach to {address} again"),
                std::io::Error::from(std::io::ErrorKind::AlreadyExists),
            ));
        }
        Ok(())
    }

    pub(crate) async fn prepare(&self, netns: OwnedFd) -> Result<Ipv4Addr, NetError> {
        let netns = Arc::new(netns);
        for _ in 0..ADDRESS_TRIES {
            let address = self.allocate()?;
            match self.link(Arc::clone(&netns), address).await {
                Ok(PairOutcome::Made) => return Ok(address),
                Ok(PairOutcome::AddressBusy) => self.books().addresses.release(address),
                Err(error) => {
                    self.books().addresses.release(address);
                    return Err(error);
                }
            }
        }
        Err(self.exhausted())
    }

    /// Puts ports on an address whose interface stands. On failure the address stays the caller's.
    pub(crate) async fn attach_at(
        &self,
        id: &str,
        address: Ipv4Addr,
        requests: &[PortRequest],
    ) -> Result<Attachment, NetError> {
        let _turn = self.locks.turn(id).await;
        if self.known(id)?.is_some() {
            return Err(NetError::Config(format!("{id} is attached already")));
        }
        let bindings = self.books().ports.take_all(id, requests, &mut HostPorts)?;
        let attachment = self.attachment_at(address, &bindings);
        if let Err(error) = self.tell(id, &attachment).await {
            self.untell(id, &attachment).await;
            self.books().ports.give_back(id, &bindings);
            return Err(error);
        }
        Ok(attachment)
    }

    pub(crate) async fn reserve(
        self: Arc<Self>,
        id: String,
        requests: Vec<PortRequest>,
    ) -> Result<Vec<PortBinding>, NetError> {
        let _turn = self.locks.turn(&id).await;
        match self.books().places.get(&id) {
            Some(Place::Host(bindings)) => return Ok(bindings.clone()),
            Some(Place::Bridge(_) | Place::Own(_)) => {
                return Err(NetError::Config(format!(
                    "{id} is on the bridge and cannot be in host network mode as well"
                )));
            }
            None => {}
        }
        let as_the_container: Vec<_> = requests
            .into_iter()
            .map(|request| PortRequest {
                host_port: Some(request.host_port.unwrap_or(request.container_port)),
                ..request
            })
            .collect();
        let bindings = {
            let mut books = self.books();
            let bindings = books.ports.take_all(&id, &as_the_container, &mut HostPorts)?;
            books.ports.let_go(&id);
            bindings
        };
        let place = Place::Host(bindings.clone());
        if let Err(error) = self.state.put(&Record { id: id.clone(), place: place.clone() }) {
            self.books().ports.give_back(&id, &bindings);
            return Err(error);
        }
        self.books().places.insert(id, place);
        Ok(bindings)
    }

    pub(crate) async fn lead_inside(self: Arc<Self>, ports: InsidePorts) -> Result<(), NetError> {
        self.filter.lock().await.lead_inside(ports).await
    }

    pub(crate) async fn detach(self: Arc<Self>, id: String) -> Result<(), NetError> {
        let _turn = self.locks.turn(&id).await;
        let Some(place) = self.books().places.get(&id).cloned() else { return Ok(()) };
        if let Place::Own(attachment) = &place {
            self.unlead(attachment.address).await?;
        }
        // Until the rules are gone the entry stays, so that a failed detach can be tried again.
        self.filter.lock().await.withdraw(&published(&place)).await?;
        self.state.remove(&id)?;
        let mut books = self.books();
        books.places.remove(&id);
        books.ports.give_back(&id, place.bindings());
        if let Some(address) = place.address() {
            books.addresses.release(address);
            if !udp_ports(place.bindings()).is_empty() {
                tokio::spawn(conntrack::forget_container(address));
            }
        }
        Ok(())
    }

    /// Deletes the interfaces of the bridge whose address nobody has.
    pub(crate) async fn sweep(self: Arc<Self>) -> Result<(), NetError> {
        let bridge = self.bridge.load(Ordering::Relaxed);
        let shared = Arc::clone(&self);
        self.links
            .run(move |worker| {
                for link in setup::strays(&worker.links()?, bridge) {
                    if !shared.books().has(link.address) {
                        worker.delete(link.index, &link.name)?;
                    }
                }
                for address in worker.led(bridge)? {
                    if !shared.books().has(address) {
                        worker.unlead(address, bridge)?;
                    }
                }
                Ok(())
            })
            .await
    }

    fn allocate(&self) -> Result<Ipv4Addr, NetError> {
        self.books().addresses.allocate().ok_or_else(|| self.exhausted())
    }

    fn exhausted(&self) -> NetError {
        NetError::AddressesExhausted {
            subnet: self.subnet.to_string(),
            size: Addresses::new(self.subnet).size(),
        }
    }

    fn attachment_at(&self, address: Ipv4Addr, bindings: &[PortBinding]) -> Attachment {
        Attachment {
            address,
            prefix: self.subnet.prefix(),
            gateway: self.subnet.gateway(),
            mac: mac_text(mac_of(address)),
            bindings: bindings.to_vec(),
        }
    }
}

/// The filter's entries for a place: none in host network mode.
pub(crate) fn published(place: &Place) -> Vec<Published> {
    let Some(address) = place.address() else { return Vec::new() };
    place
        .bindings()
        .iter()
        .map(|binding| Published {
            protocol: binding.protocol,
            host_ip: match binding.bind_ip {
                IpAddr::V4(ip) if !ip.is_unspecified() => Some(ip),
                _ => None,
            },
            host_port: binding.host_port,
            address,
            port: binding.container_port,
        })
        .collect()
}

fn udp_ports(bindings: &[PortBinding]) -> Vec<u16> {
    bindings
        .iter()
        .filter(|binding| binding.protocol == crate::types::Protocol::Udp)
        .map(|binding| binding.host_port)
        .collect()
}

/// A duplicate of a borrowed namespace descriptor, for the link thread.
pub(crate) fn own(netns: BorrowedFd<'_>) -> Result<OwnedFd, NetError> {
    netns
        .try_clone_to_owned()
        .map_err(|error| NetError::link("keep a network namespace open", error))
}

pub(crate) fn checked(id: &str) -> Result<String, NetError> {
    check_id(id)?;
    Ok(id.to_owned())
}
