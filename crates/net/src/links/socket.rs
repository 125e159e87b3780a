//! A blocking rtnetlink socket: several requests in one send, and dumps.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::message::{self, Link, Message};
use crate::subnet::Subnet;

/// Bytes that one answer of the kernel can have; the kernel's own dumps use at most 32 KiB.
const ANSWER: usize = 64 * 1024;

/// A socket of the network namespace in which it was opened.
#[derive(Debug)]
pub(super) struct RouteSocket {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl RouteSocket {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        // An acknowledgement need not carry the request back.
        socket.set_cap_ack(true)?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(ANSWER) })
    }

    /// Sends one request and waits for its acknowledgement.
    pub(super) fn request(&mut self, message: Message) -> io::Result<()> {
        self.request_all(vec![message])
    }

    /// Sends the requests at once; the kernel serves them in order. Answers the first refusal, after
    /// all have been answered.
    pub(super) fn request_all(&mut self, messages: Vec<Message>) -> io::Result<()> {
        let first = self.sequence.wrapping_add(1);
        let count = messages.len();
        self.send(messages)?;
        let mut refusal = None;
        let mut answered = 0;
        while answered < count {
            for answer in self.receive()? {
                // An answer to an earlier request that was given up on is not ours.
                if answer.header.sequence_number.wrapping_sub(first) as usize >= count {
                    continue;
                }
                if let NetlinkPayload::Error(error) = answer.payload {
                    answered += 1;
                    if error.code.is_some() {
                        refusal.get_or_insert_with(|| error.to_io());
                    }
                }
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    pub(super) fn links(&mut self) -> io::Result<Vec<Link>> {
        let answers = self.dump(message::dump_links())?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewLink(link) => Some(message::read_link(link)),
                _ => None,
            })
            .collect())
    }

    /// Interface index, address and prefix length of every IPv4 address.
    pub(super) fn addresses(&mut self) -> io::Result<Vec<(u32, Ipv4Addr, u8)>> {
        let answers = self.dump(message::dump_addresses())?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewAddress(address) => message::read_address(address),
                _ => None,
            })
            .collect())
    }

    /// Interface index and destination of every IPv4 unicast route of every table.
    pub(super) fn routes(&mut self) -> io::Result<Vec<(Option<u32>, Subnet)>> {
        let answers = self.dump(message::dump_routes())?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewRoute(route) => message::read_route(route),
                _ => None,
            })
            .collect())
    }

    /// The routes that [`message::way`] made: address and machine.
    pub(super) fn ways(&mut self) -> io::Result<Vec<(Ipv4Addr, Ipv4Addr)>> {
        let answers = self.dump(message::dump_routes())?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewRoute(route) => message::read_way(route),
                _ => None,
            })
            .collect())
    }

    /// The index of the interface `name` in this socket's namespace; `ENODEV` if there is none.
    pub(super) fn index_of(&self, name: &str) -> io::Result<u32> {
        Ok(rustix::net::netdevice::name_to_index(self.borrow(), name)?)
    }

    #[expect(unsafe_code, reason = "the netlink crate's socket lends its descriptor as a number")]
    fn borrow(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as `self.socket`, which the result borrows.
        unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) }
    }

    fn dump(&mut self, request: Message) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.send(vec![request])?;
        let sequence = self.sequence;
        let mut found = Vec::new();
        loop {
            for answer in self.receive()? {
                if answer.header.sequence_number != sequence {
                    continue;
                }
                match answer.payload {
                    NetlinkPayload::InnerMessage(message) => found.push(message),
                    NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    _ => {}
                }
            }
        }
    }

    fn send(&mut self, messages: Vec<Message>) -> io::Result<()> {
        let mut bytes = Vec::new();
        for mut message in messages {
            self.sequence = self.sequence.wrapping_add(1);
            message.header.sequence_number = self.sequence;
            message.finalize();
            let start = bytes.len();
            // Messages are aligned to four bytes.
            bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
            message.serialize(&mut bytes[start..]);
        }
        let sent = self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        if sent == bytes.len() {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::WriteZero, "netlink took only part of a request"))
        }
    }

    /// The messages of one datagram.
    fn receive(&mut self) -> io::Result<Vec<Message>> {
        self.buffer.clear();
        let (length, _) = loop {
            match self.socket.recv_from(&mut self.buffer, 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        let mut rest = self.buffer.get(..length).unwrap_or(&self.buffer);
        let mut messages = Vec::new();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            let taken = (message.header.length as usize).next_multiple_of(4).max(16);
            messages.push(message);
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(messages)
    }
}
