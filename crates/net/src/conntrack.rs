//! Connections that the kernel remembers from before a change. NAT is decided by a connection's
//! first packet; a UDP "connection" lives as long as somebody sends, so a client that was sending
//! before a port was published, or still sends to a container that has gone, would never meet the
//! new rules. TCP needs none of this: its connections end.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use nlink::netlink::netfilter::{ConntrackFilter, ConntrackStatus, IpProtocol};
use nlink::netlink::{Connection, Netfilter};

/// Forgets the UDP flows that go to one of `ports` of this machine and were not redirected.
pub(crate) async fn forget_unpublished(ports: Vec<u16>) {
    for port in ports {
        if let Err(error) = forget_port(port).await {
            note(&error);
        }
    }
}

async fn forget_port(port: u16) -> nlink::Result<()> {
    let connection = Connection::<Netfilter>::new()?;
    let filter = ConntrackFilter::new()
        .proto(IpProtocol::Udp)
        .orig_dst_port(port)
        .status(ConntrackStatus::empty(), ConntrackStatus::DST_NAT);
    for entry in connection.get_conntrack_matching(&filter).await? {
        // The machine's own flows to that port elsewhere, such as queries to a name server, stay.
        if !entry.orig.dst_ip.is_some_and(is_local) {
            continue;
        }
        match connection.del_conntrack_entry(&entry).await {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether an address is this machine's: only then can a socket be bound to it.
fn is_local(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// Forgets the UDP flows that were redirected to `container`.
pub(crate) async fn forget_container(container: Ipv4Addr) {
    let filter = ConntrackFilter::new().proto(IpProtocol::Udp).reply_src(container);
    let result = match Connection::<Netfilter>::new() {
        Ok(connection) => connection.flush_conntrack_matching(&filter).await,
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        note(&error);
    }
}

/// What cannot be forgotten ends by itself some time after the sender stops: worth a note, no more.
fn note(error: &nlink::Error) {
    tracing::debug!(error = stdx::chain(error), "remembered UDP flows stay");
}
