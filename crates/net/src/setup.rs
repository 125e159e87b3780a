//! Beginning and end: making or adopting the network, and removing every trace of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use crate::error::NetError;
use crate::firewall::{Backend, Ruleset};
use crate::forward;
use crate::host_ports::HostPorts;
use crate::ipam::Addresses;
use crate::links::{Link, LinkKind, Links, address_of_pair};
use crate::locks::Locks;
use crate::network::{Books, Filter, Shared, published};
use crate::ports::Ports;
use crate::state::{NetworkRecord, Place, StateDir};
use crate::subnet::{self, Subnet};
use crate::sysctl;
use crate::types::NetworkConfig;

/// The MTU where no default route tells one.
const DEFAULT_MTU: u32 = 1500;
/// What every IPv4 host must carry (RFC 791 asks 576): a nonsensical uplink MTU is not copied.
const LEAST_MTU: u32 = 576;

/// Makes the network, or adopts what an earlier process left.
pub(crate) async fn open(config: NetworkConfig) -> Result<Shared, NetError> {
    check(&config)?;
    let state = StateDir::open(&config.state_dir)?;
    let mut network = state.network()?;
    let records = state.records()?;
    let links = Links::start()?;

    let attached = records.iter().any(|record| !matches!(record.place, Place::Host(_)));
    let subnet = settle_subnet(&links, &config, &network, attached).await?;
    let name = config.bridge.clone();
    let (bridge, mtu) = links
        .run(move |worker| Ok((worker.ensure_bridge(&name, subnet)?, worker.uplink_mtu()?)))
        .await?;
    let was = sysctl::set(sysctl::IP_FORWARD, "1")?;
    let vpc = network.vpc.clone();
    network = NetworkRecord {
        subnet: Some(subnet.to_string()),
        vpc: vpc.clone(),
        ip_forward_was: network.ip_forward_was.or(was),
    };
    state.put_network(&network)?;
    sysctl::route_localnet(&config.bridge)?;

    let books = adopt(&state, subnet, &config)?;
    let rules = Ruleset {
        table: config.table,
        bridge: config.bridge,
        subnet,
        blocked: config.blocked_ports,
        others: config.other_bridges,
        block_instance_metadata: config.block_instance_metadata,
        inside: None,
        vpc: vpc.and_then(|text| text.parse().ok()),
    };
    let ports: BTreeSet<_> = books.places.values().flat_map(published).collect();
    let backend = Backend::open(&rules, &ports).await?;
    if let Err(error) = forward::admit(&rules.table, &rules.bridge).await {
        // Containers run and reach each other; what fails is the way out through another
        // firewall, and its owner can allow it by hand.
        tracing::warn!(
            error = stdx::chain(&error),
            bridge = rules.bridge,
            "another firewall drops forwarded packets and could not be told to let the bridge pass"
        );
    }
    Ok(Shared {
        subnet,
        bridge: AtomicU32::new(bridge),
        mtu: mtu.unwrap_or(DEFAULT_MTU).max(LEAST_MTU),
        state,
        links,
        name: rules.bridge.clone(),
        filter: tokio::sync::Mutex::new(Filter { backend, rules, published: ports }),
        books: Mutex::new(books),
        locks: Locks::default(),
    })
}

/// Enters the records of an earlier process. What does not fit the network any more is dropped.
fn adopt(state: &StateDir, subnet: Subnet, config: &NetworkConfig) -> Result<Books, NetError> {
    let mut books = Books {
        addresses: Addresses::new(subnet),
        ports: Ports::new(config.port_range.clone()),
        places: BTreeMap::new(),
    };
    for record in state.records()? {
        if record.place.address().is_some_and(|address| !books.addresses.claim(address)) {
            tracing::warn!(id = record.id, "an attachment of another subnet is forgotten");
            state.remove(&record.id)?;
            continue;
        }
        let mut probe = HostPorts;
        let probe = matches!(record.place, Place::Bridge(_)).then_some(&mut probe);
        for lost in books.ports.adopt(&record.id, record.place.bindings(), probe) {
            tracing::warn!(
                id = record.id,
                port = lost.host_port,
                protocol = %lost.protocol,
                "another program bound a published port meanwhile; it will not be reached"
            );
        }
        books.places.insert(record.id, record.place);
    }
    Ok(books)
}

/// The subnet to use: the one named, the one chosen before, or a fresh choice.
async fn settle_subnet(
    links: &Links,
    config: &NetworkConfig,
    network: &NetworkRecord,
    attached: bool,
) -> Result<Subnet, NetError> {
    let bridge = config.bridge.clone();
    let taken = links
        .run(move |worker| {
            let bridge = worker.find(&bridge)?;
            worker.taken_subnets(bridge)
        })
        .await?;
    if config.subnet != "auto" {
        let subnet = Subnet::parse(&config.subnet)
            .map_err(|error| NetError::Config(format!("subnet: {error}")))?;
        return match subnet::conflict(subnet, &taken) {
            None => Ok(subnet),
            Some(other) => {
                Err(NetError::SubnetTaken { subnet: subnet.to_string(), taken: other.to_string() })
            }
        };
    }
    let before = network.subnet.as_deref().and_then(|text| Subnet::parse(text).ok());
    match before {
        // With containers attached there is no other choice, whatever came up beside it.
        Some(before) if attached || subnet::conflict(before, &taken).is_none() => Ok(before),
        _ => subnet::choose(&taken).ok_or(NetError::NoFreeSubnet),
    }
}

fn check(config: &NetworkConfig) -> Result<(), NetError> {
    let word = |text: &str, extra: &[u8]| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
    };
    let bridge = &config.bridge;
    if !word(bridge, b"-_.") || bridge.len() > 15 || matches!(bridge.as_str(), "." | "..") {
        return Err(NetError::Config(format!(
            "bridge name {bridge:?} is not 1 to 15 letters, digits, '-', '_' or '.'"
        )));
    }
    if address_of_pair(bridge).is_some() {
        return Err(NetError::Config(format!(
            "bridge name {bridge:?} has the form of a container interface's name"
        )));
    }
    for other in &config.other_bridges {
        if !word(other, b"-_.") || other.len() > 15 {
            return Err(NetError::Config(format!(
                "bridge name {other:?} is not 1 to 15 letters, digits, '-', '_' or '.'"
            )));
        }
    }
    let table = &config.table;
    let starts_with_letter = table.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    if !word(table, b"-_") || !starts_with_letter || table.len() > 100 {
        return Err(NetError::Config(format!(
            "table name {table:?} is not a letter followed by up to 99 letters, digits, '-' or '_'"
        )));
    }
    if config.port_range.is_empty() || *config.port_range.start() == 0 {
        return Err(NetError::Config(format!(
            "port range {:?} holds no ports or holds port 0",
            config.port_range
        )));
    }
    Ok(())
}

/// A container's interface as found on the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stray {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
}

/// The links that are container interfaces of `bridge`.
pub(crate) fn strays(links: &[Link], bridge: u32) -> Vec<Stray> {
    links
        .iter()
        .filter(|link| link.controller == Some(bridge))
        .filter_map(|link| {
            let address = address_of_pair(&link.name)?;
            Some(Stray { index: link.index, name: link.name.clone(), address })
        })
        .collect()
}

/// Removes what a network made: its rules in its own and in other tables, its bridge and what is
/// still attached to it, and its state. Forwarding is turned off again if this network turned it on
/// and no other bridge is left that could need it. Everything is tried; the first failure is told.
pub(crate) async fn teardown(config: &NetworkConfig) -> Result<(), NetError> {
    check(config)?;
    let state = StateDir::at(&config.state_dir);
    let mut first = None;
    let mut keep = |result: Result<(), NetError>| {
        if let Err(error) = result {
            tracing::warn!(error = stdx::chain(&error), "tearing the network down");
            first.get_or_insert(error);
        }
    };
    keep(forward::withdraw(&config.table).await);
    keep(Backend::remove_table(&config.table).await);
    let others = remove_links(config.bridge.clone()).await;
    match (others, state.network()) {
        (Ok(false), Ok(NetworkRecord { ip_forward_was: Some(was), .. })) => {
            keep(sysctl::set(sysctl::IP_FORWARD, &was).map(drop));
        }
        (others, network) => {
            keep(others.map(drop));
            keep(network.map(drop));
        }
    }
    if let Some(error) = first {
        return Err(error);
    }
    // Only now: a teardown that failed half-way must find the state again.
    state.clear()
}

/// Deletes the bridge and the container interfaces on it; answers whether other bridges remain.
async fn remove_links(bridge: String) -> Result<bool, NetError> {
    let links = Links::start()?;
    links
        .run(move |worker| {
            let all = worker.links()?;
            let ours = all.iter().find(|link| link.name == bridge && link.kind == LinkKind::Bridge);
            if let Some(ours) = ours {
                for stray in strays(&all, ours.index) {
                    worker.delete(stray.index, &stray.name)?;
                }
                worker.delete(ours.index, &ours.name)?;
            }
            let is_other = |link: &&Link| link.kind == LinkKind::Bridge && link.name != bridge;
            Ok(all.iter().any(|link| is_other(&link)))
        })
        .await
}
