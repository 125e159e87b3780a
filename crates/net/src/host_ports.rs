//! The machine's side of host ports: taking one by binding a socket, and finding out who was first.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::ports::Probe;
use crate::types::Protocol;

/// Takes ports by binding sockets that never listen. Traffic to a published port is redirected
/// before it would reach the socket; the socket keeps other programs from binding a port that they
/// would never hear from, and tells us of theirs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostPorts;

impl Probe for HostPorts {
    type Hold = OwnedFd;

    fn take(&mut self, protocol: Protocol, ip: Ipv4Addr, port: u16) -> io::Result<OwnedFd> {
        match bind(protocol, ip, port, false) {
            // Connections in TIME_WAIT are no reason to refuse a static port, as they are none for
            // a server that binds it. Such a server sets SO_REUSEADDR; try its way.
            Err(rustix::io::Errno::ADDRINUSE) if protocol == Protocol::Tcp => {
                let socket = bind(protocol, ip, port, true)?;
                // With SO_REUSEADDR only listening shows a conflict with another bound socket.
                // That socket is closed again at once: what is held must not accept.
                rustix::net::listen(&socket, 1)?;
                drop(socket);
                Ok(bind(protocol, ip, port, true)?)
            }
            other => Ok(other?),
        }
    }

    fn holder(&mut self, protocol: Protocol, port: u16) -> String {
        let Some(inode) = socket_inode(protocol, port) else {
            return "another program on this machine".to_owned();
        };
        process_of(inode).map_or_else(
            || "another program on this machine".to_owned(),
            |(pid, name)| format!("{name} (process {pid} on this machine)"),
        )
    }
}

fn bind(protocol: Protocol, ip: Ipv4Addr, port: u16, reuse: bool) -> rustix::io::Result<OwnedFd> {
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let socket = rustix::net::socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None)?;
    if reuse {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &SocketAddr::V4(SocketAddrV4::new(ip, port)))?;
    Ok(socket)
}

/// The inode of a socket that is bound to `port`, from the kernel's tables.
fn socket_inode(protocol: Protocol, port: u16) -> Option<u64> {
    let tables = match protocol {
        Protocol::Tcp => ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"],
        Protocol::Udp => ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"],
    };
    tables
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .find_map(|table| find_inode(&table, protocol, port))
}

/// One line a socket: `sl local:port remote:port state tx:rx tr:when retrnsmt uid timeout inode`.
fn find_inode(table: &str, protocol: Protocol, port: u16) -> Option<u64> {
    /// `TCP_LISTEN`: other states at the same port are connections of a server, or clients.
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = words.get(1)?.rsplit_once(':')?;
        let listening = protocol == Protocol::Udp || *words.get(3)? == LISTEN;
        let found = u16::from_str_radix(local, 16).ok()? == port && listening;
        found.then(|| words.get(9)?.parse().ok()).flatten()
    })
}

/// The process that has a socket open, by looking through everybody's descriptors: slow, and only
/// done to explain a refusal.
fn process_of(inode: u64) -> Option<(u32, String)> {
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let owns = descriptors.flatten().any(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|to| to.as_os_str() == wanted.as_str())
        });
        if owns {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some((pid, name.trim().to_owned()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn a_listener_is_found_by_port_and_named_by_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = HostPorts.take(Protocol::Tcp, Ipv4Addr::UNSPECIFIED, port).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let holder = HostPorts.holder(Protocol::Tcp, port);
        assert!(holder.contains(&format!("(process {} ", std::process::id())), "{holder}");
        drop(listener);
        // Other tests start programs: between fork and exec those have our listener open too.
        let _held = (0..200)
            .find_map(|_| {
                std::thread::sleep(std::time::Duration::from_millis(5));
                HostPorts.take(Protocol::Tcp, Ipv4Addr::UNSPECIFIED, port).ok()
            })
            .expect("the port is free again");
        assert!(TcpListener::bind(("0.0.0.0", port)).is_err(), "held against others");
    }

    #[test]
    fn udp_and_foreign_addresses() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let error = HostPorts.take(Protocol::Udp, Ipv4Addr::UNSPECIFIED, port).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(HostPorts.holder(Protocol::Udp, port).contains("(process "));
        let error = HostPorts.take(Protocol::Tcp, Ipv4Addr::new(203, 0, 113, 9), 1234).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn a_port_whose_connections_linger_can_be_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        // The side that closes first keeps the port in TIME_WAIT.
        drop(server);
        drop(client);
        drop(listener);
        let mut tries = 0..200;
        while HostPorts.take(Protocol::Tcp, Ipv4Addr::UNSPECIFIED, port).is_err() {
            tries.next().expect("the port can be taken");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 11 1\n\
             1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 22 1\n\
             garbage\n";
        assert_eq!(find_inode(table, Protocol::Tcp, 8080), Some(22));
        assert_eq!(find_inode(table, Protocol::Udp, 8080), Some(11));
        assert_eq!(find_inode(table, Protocol::Tcp, 81), None);
    }
}
