//! The rtnetlink messages this crate sends, and what it reads of the answers.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::PairPlan;
use crate::subnet::Subnet;

/// A message with its header, ready to be numbered and sent.
pub(super) type Message = NetlinkMessage<RouteNetlinkMessage>;

/// What matters here of an interface's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkKind {
    Bridge,
    Other,
}

/// How an interface is named to the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) enum Interface<'a> {
    Index(u32),
    Name(&'a str),
}

/// An interface, as far as this crate looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) kind: LinkKind,
    /// The bridge it is a port of.
    pub(crate) controller: Option<u32>,
    pub(crate) mtu: Option<u32>,
}

fn message(payload: RouteNetlinkMessage, flags: u16) -> Message {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    NetlinkMessage::new(header, NetlinkPayload::InnerMessage(payload))
}

fn create(payload: RouteNetlinkMessage) -> Message {
    message(payload, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
}

pub(super) fn new_bridge(name: &str, mac: [u8; 6]) -> Message {
    let mut link = LinkMessage::default();
    raise(&mut link);
    link.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        // Fixed, or the bridge would take the lowest of its ports' and change as they come and go.
        LinkAttribute::Address(mac.to_vec()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
    ];
    create(RouteNetlinkMessage::NewLink(link))
}

/// Both ends of a container's pair in one message: the host's end a port of the bridge
/// and up, the other `eth0` in the namespace.
pub(super) fn new_pair(plan: &PairPlan, netns: BorrowedFd<'_>) -> Message {
    // This end cannot come up yet: it has no other end until the message has been served.
    let mut inner = LinkMessage::default();
    inner.attributes = vec![
        LinkAttribute::IfName("eth0".to_owned()),
        LinkAttribute::NetNsFd(netns.as_raw_fd()),
        LinkAttribute::Address(plan.mac.to_vec()),
        LinkAttribute::Mtu(plan.mtu),
    ];
    let mut link = LinkMessage::default();
    raise(&mut link);
    link.attributes = vec![
        LinkAttribute::IfName(plan.host.clone()),
        LinkAttribute::Controller(plan.bridge),
        LinkAttribute::Mtu(plan.mtu),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(inner))),
        ]),
    ];
    create(RouteNetlinkMessage::NewLink(link))
}

fn raise(link: &mut LinkMessage) {
    link.header.flags |= LinkFlags::Up;
    link.header.change_mask |= LinkFlags::Up;
}

pub(super) fn link_up(index: u32) -> Message {
    let mut link = LinkMessage::default();
    link.header.index = index;
    raise(&mut link);
    message(RouteNetlinkMessage::SetLink(link), NLM_F_REQUEST | NLM_F_ACK)
}

/// Asks for one interface. What is asked for is beside the point: before it answers, the kernel
/// (6.8 and later) finishes what it has queued for the interface since its carrier came up.
pub(super) fn settle(interface: Interface<'_>) -> Message {
    let mut link = LinkMessage::default();
    match interface {
        Interface::Index(index) => link.header.index = index,
        Interface::Name(name) => link.attributes.push(LinkAttribute::IfName(name.to_owned())),
    }
    message(RouteNetlinkMessage::GetLink(link), NLM_F_REQUEST | NLM_F_ACK)
}

pub(super) fn delete_link(index: u32) -> Message {
    let mut link = LinkMessage::default();
    link.header.index = index;
    message(RouteNetlinkMessage::DelLink(link), NLM_F_REQUEST | NLM_F_ACK)
}

pub(super) fn new_address(index: u32, address: Ipv4Addr, subnet: Subnet) -> Message {
    let mut new = AddressMessage::default();
    new.header.family = AddressFamily::Inet;
    new.header.prefix_len = subnet.prefix();
    new.header.index = index;
    new.attributes = vec![
        AddressAttribute::Local(IpAddr::V4(address)),
        AddressAttribute::Address(IpAddr::V4(address)),
        AddressAttribute::Broadcast(subnet.broadcast()),
    ];
    create(RouteNetlinkMessage::NewAddress(new))
}

pub(super) fn default_route(gateway: Ipv4Addr) -> Message {
    let mut route = RouteMessage::default();
    route.header.address_family = AddressFamily::Inet;
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.header.protocol = RouteProtocol::Boot;
    route.header.scope = RouteScope::Universe;
    route.header.kind = RouteType::Unicast;
    route.attributes = vec![RouteAttribute::Gateway(RouteAddress::Inet(gateway))];
    create(RouteNetlinkMessage::NewRoute(route))
}

/// An address that is reached directly at an interface.
pub(super) fn route_on(index: u32, to: Ipv4Addr) -> Message {
    create(RouteNetlinkMessage::NewRoute(direct(index, to)))
}

pub(super) fn no_route_on(index: u32, to: Ipv4Addr) -> Message {
    message(RouteNetlinkMessage::DelRoute(direct(index, to)), NLM_F_REQUEST | NLM_F_ACK)
}

fn direct(index: u32, to: Ipv4Addr) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.address_family = AddressFamily::Inet;
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.header.protocol = RouteProtocol::Boot;
    route.header.scope = RouteScope::Link;
    route.header.kind = RouteType::Unicast;
    route.header.destination_prefix_length = 32;
    route.attributes =
        vec![RouteAttribute::Destination(RouteAddress::Inet(to)), RouteAttribute::Oif(index)];
    route
}

/// What marks the routes to addresses that are on other machines: a protocol's number that no routing
/// daemon has.
const WAY: RouteProtocol = RouteProtocol::Other(87);

/// A route to one address by another machine; it takes the place of one that stands.
pub(super) fn way(to: Ipv4Addr, by: Ipv4Addr) -> Message {
    let route = RouteNetlinkMessage::NewRoute(by_machine(to, by));
    message(route, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE)
}

pub(super) fn no_way(to: Ipv4Addr, by: Ipv4Addr) -> Message {
    message(RouteNetlinkMessage::DelRoute(by_machine(to, by)), NLM_F_REQUEST | NLM_F_ACK)
}

fn by_machine(to: Ipv4Addr, by: Ipv4Addr) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.address_family = AddressFamily::Inet;
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.header.protocol = WAY;
    route.header.scope = RouteScope::Universe;
    route.header.kind = RouteType::Unicast;
    route.header.destination_prefix_length = 32;
    route.attributes = vec![
        RouteAttribute::Destination(RouteAddress::Inet(to)),
        RouteAttribute::Gateway(RouteAddress::Inet(by)),
    ];
    route
}

/// Address and machine of a route that [`way`] made.
pub(super) fn read_way(route: RouteMessage) -> Option<(Ipv4Addr, Ipv4Addr)> {
    if route.header.protocol != WAY || route.header.destination_prefix_length != 32 {
        return None;
    }
    let (mut to, mut by) = (None, None);
    for attribute in route.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => to = Some(address),
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => by = Some(address),
            _ => {}
        }
    }
    to.zip(by)
}

pub(super) fn dump_links() -> Message {
    message(RouteNetlinkMessage::GetLink(LinkMessage::default()), NLM_F_REQUEST | NLM_F_DUMP)
}

pub(super) fn dump_addresses() -> Message {
    let mut get = AddressMessage::default();
    get.header.family = AddressFamily::Inet;
    message(RouteNetlinkMessage::GetAddress(get), NLM_F_REQUEST | NLM_F_DUMP)
}

pub(super) fn dump_routes() -> Message {
    let mut get = RouteMessage::default();
    get.header.address_family = AddressFamily::Inet;
    message(RouteNetlinkMessage::GetRoute(get), NLM_F_REQUEST | NLM_F_DUMP)
}

pub(super) fn read_link(link: LinkMessage) -> Link {
    let mut read = Link {
        index: link.header.index,
        name: String::new(),
        kind: LinkKind::Other,
        controller: None,
        mtu: None,
    };
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => read.name = name,
            LinkAttribute::Controller(index) => read.controller = Some(index),
            LinkAttribute::Mtu(mtu) => read.mtu = Some(mtu),
            LinkAttribute::LinkInfo(infos) if infos.contains(&LinkInfo::Kind(InfoKind::Bridge)) => {
                read.kind = LinkKind::Bridge;
            }
            _ => {}
        }
    }
    read
}

/// Interface, address, prefix length. A point-to-point address counts by its own end.
pub(super) fn read_address(address: AddressMessage) -> Option<(u32, Ipv4Addr, u8)> {
    let (index, prefix) = (address.header.index, address.header.prefix_len);
    let mut found = None;
    for attribute in address.attributes {
        match attribute {
            AddressAttribute::Local(IpAddr::V4(local)) => found = Some(local),
            AddressAttribute::Address(IpAddr::V4(address)) => found = found.or(Some(address)),
            _ => {}
        }
    }
    found.map(|address| (index, address, prefix))
}

/// Interface and destination of a unicast route.
pub(super) fn read_route(route: RouteMessage) -> Option<(Option<u32>, Subnet)> {
    if route.header.kind != RouteType::Unicast {
        return None;
    }
    let (mut index, mut destination) = (None, Ipv4Addr::UNSPECIFIED);
    for attribute in route.attributes {
        match attribute {
            RouteAttribute::Oif(oif) => index = Some(oif),
            RouteAttribute::Destination(RouteAddress::Inet(to)) => destination = to,
            _ => {}
        }
    }
    Some((index, Subnet::of(destination, route.header.destination_prefix_length)))
}
