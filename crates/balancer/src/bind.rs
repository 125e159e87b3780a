//! Taking a port, and saying why it cannot be had.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use crate::{CertificateError, Transport};

/// How many connections may wait to be taken.
const BACKLOG: i32 = 4096;

/// Why a listener does not listen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// Somebody else has the port.
    #[error(
        "{} port {address} is taken{}: stop what listens there, or choose another port",
        transport.name(),
        by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default()
    )]
    InUse {
        /// Which.
        address: SocketAddr,
        /// Of what kind.
        transport: Transport,
        /// Who, as far as can be seen: `nginx (pid 12)`.
        by: Option<String>,
    },
    /// The system does not allow it.
    #[error(
        "{address} cannot be bound: ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher port or run with it"
    )]
    Permission {
        /// Which.
        address: SocketAddr,
    },
    /// This machine has no such address.
    #[error("{address} cannot be bound: this machine has no such address")]
    NoSuchAddress {
        /// Which.
        address: SocketAddr,
    },
    /// The system says something else.
    #[error("{address} cannot be bound: {message}")]
    Other {
        /// Which.
        address: SocketAddr,
        /// What it says.
        message: String,
    },
    /// The listener names no address.
    #[error("the listener has no address to be bound to")]
    NoAddress,
    /// The listener's certificates cannot be shown.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl BindError {
    fn new(address: SocketAddr, transport: Transport, error: Errno) -> Self {
        match error {
            Errno::ADDRINUSE => {
                Self::InUse { address, transport, by: holder(address.port(), transport) }
            }
            Errno::ACCESS | Errno::PERM => Self::Permission { address },
            Errno::ADDRNOTAVAIL => Self::NoSuchAddress { address },
            error => Self::Other { address, message: io::Error::from(error).to_string() },
        }
    }
}

/// A socket that listens, or takes datagrams.
pub(crate) fn take(
    address: SocketAddr,
    transport: Transport,
) -> Result<std::os::fd::OwnedFd, BindError> {
    try_take(address, transport).map_err(|error| BindError::new(address, transport, error))
}

fn try_take(address: SocketAddr, transport: Transport) -> Result<std::os::fd::OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match transport {
        Transport::Tcp => SocketType::STREAM,
        Transport::Udp => SocketType::DGRAM,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and :: can be had side by side.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    match transport {
        Transport::Tcp => {
            // Connections of a former process that linger do not count.
            sockopt::set_socket_reuseaddr(&socket, true)?;
            bind(&socket, &address)?;
            listen(&socket, BACKLOG)?;
        }
        Transport::Udp => bind(&socket, &address)?,
    }
    Ok(socket)
}

/// Where a socket is bound, which was asked to be at `asked`.
pub(crate) fn address(
    socket: &std::os::fd::OwnedFd,
    asked: SocketAddr,
) -> Result<SocketAddr, BindError> {
    let other = |message: String| BindError::Other { address: asked, message };
    let found = rustix::net::getsockname(socket).map_err(|error| other(error.to_string()))?;
    SocketAddr::try_from(found).map_err(|error| other(error.to_string()))
}

/// Who has a port, as far as `/proc` tells this user.
fn holder(port: u16, transport: Transport) -> Option<String> {
    let tables = match transport {
        Transport::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Transport::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let inode =
        tables.iter().filter_map(|table| fs::read_to_string(table).ok()).find_map(|table| {
            table.lines().find_map(|line| socket_inode(line, port, transport).map(str::to_owned))
        })?;
    let wanted = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let holds = fs::read_dir(entry.path().join("fd")).ok()?.flatten().any(|fd| {
            fs::read_link(fd.path())
                .is_ok_and(|link| link.as_os_str().as_bytes() == wanted.as_bytes())
        });
        let name = holds.then(|| fs::read_to_string(entry.path().join("comm")).ok()).flatten()?;
        Some(format!("{} (pid {pid})", name.trim()))
    })
}

/// The inode of the socket that a line of the kernel's table tells of, if it has the port.
fn socket_inode(line: &str, port: u16, transport: Transport) -> Option<&str> {
    let mut fields = line.split_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    // 0A is LISTEN; 07 is a UDP socket that is not connected.
    let right = state == if transport == Transport::Tcp { "0A" } else { "07" };
    let (_, hex) = local.rsplit_once(':')?;
    (right && u16::from_str_radix(hex, 16) == Ok(port)).then(|| fields.nth(5)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_its_holder() {
        let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = first.local_addr().unwrap();
        let Err(BindError::InUse { by: Some(by), .. }) = take(address, Transport::Tcp) else {
            panic!("the port is taken, and by this very process")
        };
        assert!(by.contains(&format!("(pid {})", std::process::id())), "{by}");
        drop(first);
        assert!(take(address, Transport::Tcp).is_ok());
        let elsewhere = "192.0.2.1:1".parse().unwrap();
        assert_eq!(
            take(elsewhere, Transport::Udp).unwrap_err(),
            BindError::NoSuchAddress { address: elsewhere }
        );
    }

    #[test]
    fn the_kernels_table_is_read() {
        let line = "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0";
        assert_eq!(socket_inode(line, 8080, Transport::Tcp), Some("4711"));
        assert_eq!(socket_inode(line, 8081, Transport::Tcp), None);
        assert_eq!(socket_inode(line, 8080, Transport::Udp), None);
        assert_eq!(socket_inode("sl local_address", 8080, Transport::Tcp), None);
    }
}
