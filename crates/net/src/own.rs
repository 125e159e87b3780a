//! Namespaces with an address of their own (`awsvpc`): a pair on the bridge like any other, whose
//! address is none of the bridge's subnet, and a route of the machine that leads the address there.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::NetError;
use crate::links::{PairOutcome, PairPlan, mac_text, pair_name};
use crate::network::Shared;
use crate::state::{Place, Record};
use crate::subnet::Subnet;
use crate::sysctl;
use crate::types::{Attachment, OwnAddress};

impl Shared {
    pub(crate) async fn attach_own(
        self: Arc<Self>,
        id: String,
        netns: OwnedFd,
        own: OwnAddress,
    ) -> Result<Attachment, NetError> {
        let _turn = self.locks.turn(&id).await;
        let address = own.address;
        let attachment = Attachment {
            address,
            prefix: 32,
            gateway: self.subnet.gateway(),
            mac: mac_text(own.mac),
            bindings: Vec::new(),
        };
        match self.books().places.get(&id) {
            None => {}
            Some(Place::Own(known)) if *known == attachment => {}
            Some(_) => {
                return Err(NetError::Config(format!(
                    "{id} has another place already and cannot have {address} as well"
                )));
            }
        }
        if self.books().owner(address).is_some_and(|owner| owner != id) {
            return Err(NetError::AddressTaken(address));
        }
        self.admit(own.vpc).await?;
        let record = Record { id: id.clone(), place: Place::Own(attachment.clone()) };
        self.state.put(&record)?;
        if let Err(error) = self.wire(Arc::new(netns), own).await {
            self.state.remove(&id)?;
            self.books().places.remove(&id);
            return Err(error);
        }
        self.books().places.insert(id, record.place);
        Ok(attachment)
    }

    /// Sees to it that the packet filter lets the network's addresses through, now and after a restart.
    async fn admit(&self, (network, prefix): (Ipv4Addr, u8)) -> Result<(), NetError> {
        let vpc = Subnet::of(network, prefix);
        if self.filter.lock().await.admit(vpc).await? {
            let record = self.state.network()?;
            self.state.put_network(&crate::state::NetworkRecord {
                vpc: Some(vpc.to_string()),
                ..record
            })?;
        }
        Ok(())
    }

    /// Makes the pair, unless it stands in this namespace, and the route to it.
    async fn wire(&self, netns: Arc<OwnedFd>, own: OwnAddress) -> Result<(), NetError> {
        let bridge = self.standing_bridge().await?;
        let plan = PairPlan {
            host: pair_name(own.address),
            bridge,
            mac: own.mac,
            mtu: self.mtu,
            address: own.address,
            subnet: self.subnet,
            routed: true,
            hairpin: sysctl::bridged_frames_are_filtered(),
        };
        self.links
            .run(move |worker| {
                let address = plan.address;
                if !worker.lead(address, bridge)? {
                    return Err(NetError::AddressTaken(address));
                }
                if worker.attach(netns.as_fd(), &plan)? == PairOutcome::Made {
                    return Ok(());
                }
                // An earlier process's, or of a namespace that is about to die.
                let found = worker.links()?.into_iter().find(|link| link.name == plan.host);
                let Some(found) = found else { return Err(NetError::AddressTaken(address)) };
                if found.controller != Some(bridge) {
                    worker.unlead(address, bridge)?;
                    return Err(NetError::AddressTaken(address));
                }
                if worker.has_address(netns.as_fd(), address)? {
                    return Ok(());
                }
                worker.delete(found.index, &found.name)?;
                match worker.attach(netns.as_fd(), &plan)? {
                    PairOutcome::Made => Ok(()),
                    PairOutcome::AddressBusy => Err(NetError::AddressTaken(address)),
                }
            })
            .await
    }

    /// The bridge's index; where it has gone, it is made again.
    async fn standing_bridge(&self) -> Result<u32, NetError> {
        let (known, name, subnet) =
            (self.bridge.load(Ordering::Relaxed), self.name.clone(), self.subnet);
        let index = self
            .links
            .run(move |worker| {
                if worker.find(&name)? == Some(known) {
                    return Ok(known);
                }
                tracing::warn!(bridge = name, "the bridge is gone; making it again");
                let index = worker.ensure_bridge(&name, subnet)?;
                sysctl::route_localnet(&name)?;
                Ok(index)
            })
            .await?;
        self.bridge.store(index, Ordering::Relaxed);
        Ok(index)
    }

    /// Leads an address to the bridge no longer.
    pub(crate) async fn unlead(&self, address: Ipv4Addr) -> Result<(), NetError> {
        let bridge = self.bridge.load(Ordering::Relaxed);
        self.links.run(move |worker| worker.unlead(address, bridge)).await
    }
}
