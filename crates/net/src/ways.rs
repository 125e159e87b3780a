//! The ways from this machine to tasks' own addresses on other machines: one route for each, by the
//! machine that the task is on. It needs `CAP_NET_ADMIN`, and a machine is a way only on a network that
//! both are on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::error::NetError;
use crate::links::Links;
use crate::subnet::Subnet;

/// The routes of this machine to addresses of one network that are on other machines.
#[derive(Debug)]
pub struct Ways {
    links: Links,
    vpc: Subnet,
}

impl Ways {
    /// Of a network, by its first address and the length of its prefix.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn open((network, prefix): (Ipv4Addr, u8)) -> Result<Self, NetError> {
        Ok(Self { links: Links::start()?, vpc: Subnet::of(network, prefix) })
    }

    /// Sees to it that exactly these addresses are led to their machines, of all that any process has led
    /// before. An address whose machine is this one needs no way. Answers which could not be led.
    ///
    /// # Errors
    /// What the kernel refuses, of everything.
    pub async fn lead(
        &self,
        wanted: BTreeMap<Ipv4Addr, Ipv4Addr>,
    ) -> Result<Vec<NetError>, NetError> {
        let vpc = self.vpc;
        self.links
            .run(move |worker| {
                let own: BTreeSet<Ipv4Addr> = worker.own_addresses()?.into_iter().collect();
                let elsewhere = |by: &Ipv4Addr| !by.is_loopback() && !own.contains(by);
                let standing: BTreeMap<Ipv4Addr, Ipv4Addr> = worker
                    .pointed()?
                    .into_iter()
                    .filter(|(to, _)| Subnet::of(*to, vpc.prefix()) == vpc)
                    .collect();
                let mut failures = Vec::new();
                for (to, by) in &standing {
                    if wanted.get(to).is_none_or(|by| !elsewhere(by)) {
                        failures.extend(worker.unpoint(*to, *by).err());
                    }
                }
                for (to, by) in wanted.iter().filter(|(_, by)| elsewhere(by)) {
                    if standing.get(to) != Some(by) {
                        failures.extend(worker.point(*to, *by).err());
                    }
                }
                Ok(failures)
            })
            .await
    }
}
