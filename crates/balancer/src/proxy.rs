//! The PROXY protocol's header, version 2, that tells a target whom a flow came from.
//!
//! Source: HAProxy's `proxy-protocol.txt`, section 2.2.

use std::net::{IpAddr, SocketAddr};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const VERSION_AND_COMMAND: u8 = 0x21;

/// The header for a TCP connection from `source` to `destination`. Addresses of two families count as IPv6.
pub(crate) fn header(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.push(VERSION_AND_COMMAND);
    let (family, addresses) = match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (0x11, [from.octets(), to.octets()].concat()),
        (from, to) => (0x21, [six(from), six(to)].concat()),
    };
    header.push(family);
    let length = u16::try_from(addresses.len() + 4).unwrap_or(u16::MAX);
    header.extend_from_slice(&length.to_be_bytes());
    header.extend_from_slice(&addresses);
    header.extend_from_slice(&source.port().to_be_bytes());
    header.extend_from_slice(&destination.port().to_be_bytes());
    header
}

const fn six(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_as_the_document_has_them() {
        let four = header("192.0.2.1:1000".parse().unwrap(), "192.0.2.2:80".parse().unwrap());
        assert_eq!(four[12..16], [0x21, 0x11, 0, 12]);
        assert_eq!(four[16..], [192, 0, 2, 1, 192, 0, 2, 2, 0x03, 0xe8, 0, 80]);
        let mixed = header("[::1]:1".parse().unwrap(), "192.0.2.2:80".parse().unwrap());
        assert_eq!(mixed[12..16], [0x21, 0x21, 0, 36]);
        assert_eq!(mixed.len(), 16 + 36);
        assert_eq!(mixed[42..48], [0xff, 0xff, 192, 0, 2, 2]);
    }
}
