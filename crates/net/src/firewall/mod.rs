//! The packet filter: what rules the network needs, and two ways to have them.
//!
//! All rules live in one nftables table of family `ip`, which is always replaced as a whole in one
//! transaction: at start, and when somebody flushed it. Publishing a port is then one element of a
//! map, some 50 µs, however many there are. [`Backend::Native`] speaks netlink; [`Backend::Nft`]
//! feeds the `nft` program and is there for kernels whose dialect the former does not meet.
//!
//! ```text
//! guard        raw prerouting  from the bridge to 127.0.0.0/8: drop (routed loopback, see below);
//!                              to the endpoints' own port: drop; to instance metadata: drop
//! prerouting   dstnat          from the bridge to 169.254.170.2: DNAT to the endpoints;
//!                              to a local address: DNAT by the maps
//! output       -100            the same for the host's own connections, 127.0.0.1 included
//! postrouting  srcnat          masquerade: loopback into the bridge; subnet to elsewhere;
//!                              subnet back into the bridge after DNAT (hairpin);
//!                              tasks' own addresses to elsewhere than to each other
//! input        filter          from the bridge to a blocked port: drop
//! forward      filter          into the bridge: only from the bridge, replies and published ports,
//!                              and to tasks' own addresses from anywhere;
//!                              to 169.254.170.2: never
//! ```
//!
//! `route_localnet` on the bridge lets the host reach published ports by 127.0.0.1; without the
//! guard it would also let containers reach what listens on the host's loopback.
//!
//! A task's endpoints are reached by their link-local address alone: the guard stands before DNAT
//! and sees the address that was asked for, so that it drops what names the listener itself.

mod native;
mod script;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::future::Future;
use std::net::Ipv4Addr;

use crate::error::NetError;
use crate::subnet::Subnet;
use crate::types::{InsidePorts, Protocol};

pub(crate) use native::Native;
pub(crate) use script::{Nft, run as run_script};

/// What the table's fixed rules are made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ruleset {
    pub(crate) table: String,
    pub(crate) bridge: String,
    pub(crate) subnet: Subnet,
    /// TCP ports closed to the bridge.
    pub(crate) blocked: Vec<u16>,
    /// Further bridges on which our containers stand.
    pub(crate) others: Vec<String>,
    /// Whether containers are kept from 169.254.169.254.
    pub(crate) block_instance_metadata: bool,
    /// Where a task's endpoints are, once they listen.
    pub(crate) inside: Option<InsidePorts>,
    /// The network whose addresses tasks have for their own, once one has.
    pub(crate) vpc: Option<Subnet>,
}

/// Where a task finds its endpoints.
pub(crate) const INSIDE: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
/// And at which port.
pub(crate) const INSIDE_PORT: u16 = 80;
/// Where a cloud's machine finds its own metadata.
pub(crate) const INSTANCE_METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

impl Ruleset {
    /// Every bridge on which our containers stand, ours first.
    pub(crate) fn bridges(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.bridge.as_str()).chain(self.others.iter().map(String::as_str))
    }

    /// The endpoints' listener for containers.
    pub(crate) fn inside_for_containers(&self) -> Option<(Ipv4Addr, u16)> {
        Some((self.subnet.gateway(), self.inside?.bridge?))
    }
}

/// One published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Published {
    pub(crate) protocol: Protocol,
    /// `None`: every local address.
    pub(crate) host_ip: Option<Ipv4Addr>,
    pub(crate) host_port: u16,
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
}

/// A way to change the packet filter. Each call is one transaction: all of it holds, or none.
pub(crate) trait Firewall {
    /// Replaces the table: the fixed rules and exactly these ports.
    fn install(
        &self,
        rules: &Ruleset,
        ports: &BTreeSet<Published>,
    ) -> impl Future<Output = Result<(), NetError>> + Send;
    /// Adds ports to an installed table.
    fn publish(
        &self,
        rules: &Ruleset,
        ports: &[Published],
    ) -> impl Future<Output = Result<(), NetError>> + Send;
    /// Removes ports from an installed table; one that is not there is an error.
    fn withdraw(
        &self,
        rules: &Ruleset,
        ports: &[Published],
    ) -> impl Future<Output = Result<(), NetError>> + Send;
    /// Removes a table, if it is there.
    fn remove(&self, table: &str) -> impl Future<Output = Result<(), NetError>> + Send;
}

/// The way that was found to work.
#[derive(Debug)]
pub(crate) enum Backend {
    /// Netlink.
    Native(Native),
    /// The `nft` program.
    Nft(Nft),
}

impl Backend {
    /// Installs the table by netlink, or, if that does not work, by `nft`.
    pub(crate) async fn open(
        rules: &Ruleset,
        ports: &BTreeSet<Published>,
    ) -> Result<Self, NetError> {
        let refused = match Native::open() {
            Ok(native) => match native.install(rules, ports).await {
                Ok(()) => return Ok(Self::Native(native)),
                Err(error) => error,
            },
            Err(error) => error,
        };
        tracing::warn!(
            error = stdx::chain(&refused),
            "nftables by netlink does not work here; trying the nft program"
        );
        match Nft.install(rules, ports).await {
            Ok(()) => Ok(Self::Nft(Nft)),
            // The first refusal says more: `nft` is often just not installed.
            Err(error) => {
                tracing::warn!(error = stdx::chain(&error), "nor does the nft program");
                Err(refused)
            }
        }
    }

    /// Removes a table by whichever way works.
    pub(crate) async fn remove_table(table: &str) -> Result<(), NetError> {
        let refused = match Native::open() {
            Ok(native) => match native.remove(table).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        Nft.remove(table).await.map_err(|_| refused)
    }
}

impl Firewall for Backend {
    async fn install(&self, rules: &Ruleset, ports: &BTreeSet<Published>) -> Result<(), NetError> {
        match self {
            Self::Native(native) => native.install(rules, ports).await,
            Self::Nft(nft) => nft.install(rules, ports).await,
        }
    }

    async fn publish(&self, rules: &Ruleset, ports: &[Published]) -> Result<(), NetError> {
        match self {
            Self::Native(native) => native.publish(rules, ports).await,
            Self::Nft(nft) => nft.publish(rules, ports).await,
        }
    }

    async fn withdraw(&self, rules: &Ruleset, ports: &[Published]) -> Result<(), NetError> {
        match self {
            Self::Native(native) => native.withdraw(rules, ports).await,
            Self::Nft(nft) => nft.withdraw(rules, ports).await,
        }
    }

    async fn remove(&self, table: &str) -> Result<(), NetError> {
        match self {
            Self::Native(native) => native.remove(table).await,
            Self::Nft(nft) => nft.remove(table).await,
        }
    }
}
