//! Links, addresses and routes: one dedicated thread that speaks rtnetlink.
//!
//! Everything here is a blocking system call of some hundred microseconds under the kernel's one
//! RTNL lock, and configuring a namespace needs a thread that can enter it. So a single thread
//! serves all of it with an open socket, in order, and tasks wait for its answer: that is quicker
//! than a thread per container, and no tokio worker ever sits in a foreign namespace.
//!
//! A container's pair of interfaces is made by one message (the peer is born inside the target
//! namespace, named `eth0`), and its address and route by one send of a few messages from inside. Deleting an interface waits for an RCU grace period of 20 ms and more, so nothing here
//! does it on the way of an order: the pair dies with the namespace.

mod message;
mod socket;

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc;
use std::thread;

use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::oneshot;

use crate::error::NetError;
use crate::subnet::Subnet;

use message::Interface;
pub(crate) use message::{Link, LinkKind};
use socket::RouteSocket;

/// A request for the worker thread.
type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// The handle by which tasks reach the worker thread. The thread ends when the handle is dropped.
#[derive(Debug)]
pub(crate) struct Links {
    jobs: mpsc::Sender<Job>,
}

impl Links {
    /// Starts the thread, in the network namespace of the calling thread.
    pub(crate) fn start() -> Result<Self, NetError> {
        let mut worker = Worker::new()?;
        let (jobs, inbox) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("net-links".to_owned())
            .spawn(move || {
                while let Ok(job) = inbox.recv() {
                    job(&mut worker);
                }
            })
            .map_err(|error| NetError::link("start the link thread", error))?;
        Ok(Self { jobs })
    }

    /// Runs `job` on the worker thread and answers what it answers.
    pub(crate) async fn run<T, F>(&self, job: F) -> Result<T, NetError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Worker) -> Result<T, NetError> + Send + 'static,
    {
        let (answer, wait) = oneshot::channel();
        let job: Job = Box::new(move |worker| {
            // Nobody waiting any more is no reason to stop: the next job may depend on this one.
            drop(answer.send(job(worker)));
        });
        self.jobs.send(job).map_err(|_| NetError::Closed)?;
        wait.await.map_err(|_| NetError::Closed)?
    }
}

/// One container's interface pair.
#[derive(Clone, Debug)]
pub(crate) struct PairPlan {
    /// The host's end.
    pub(crate) host: String,
    /// The bridge's interface index.
    pub(crate) bridge: u32,
    pub(crate) mac: [u8; 6],
    pub(crate) mtu: u32,
    pub(crate) address: Ipv4Addr,
    pub(crate) subnet: Subnet,
    /// Whether the address is none of the subnet's, so that it is reached by a route of its own.
    pub(crate) routed: bool,
    /// Whether the host's end must reflect frames to where they came from: a container that
    /// reaches itself by the host's address needs it when bridged frames pass iptables.
    pub(crate) hairpin: bool,
}

/// What became of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PairOutcome {
    Made,
    /// The host's end of that address stands already: its namespace is not dead yet, or somebody
    /// keeps it.
    AddressBusy,
}

/// What the worker thread owns.
#[derive(Debug)]
pub(crate) struct Worker {
    socket: RouteSocket,
    home: OwnedFd,
}

impl Worker {
    fn new() -> Result<Self, NetError> {
        let home = rustix::fs::open(
            "/proc/thread-self/ns/net",
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .map_err(|errno| NetError::file("open", "/proc/thread-self/ns/net", errno))?;
        let socket = RouteSocket::open()
            .map_err(|error| NetError::link("open a rtnetlink socket", error))?;
        Ok(Self { socket, home })
    }

    /// Makes the bridge, or takes the one that stands, gives it its address, and answers its index.
    pub(crate) fn ensure_bridge(&mut self, name: &str, subnet: Subnet) -> Result<u32, NetError> {
        let gateway = subnet.gateway();
        match self.socket.request(message::new_bridge(name, mac_of(gateway))) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => {
                self.check_bridge(name, subnet)?;
            }
            Err(error) => return Err(NetError::link(format!("create bridge {name}"), error)),
        }
        let index = self.socket.index_of(name).map_err(|error| {
            NetError::link(format!("look up bridge {name}, which was just made"), error)
        })?;
        match self.socket.request(message::new_address(index, gateway, subnet)) {
            Err(error) if error.raw_os_error() != Some(Errno::EXIST.raw_os_error()) => {
                return Err(NetError::link(format!("give {gateway} to bridge {name}"), error));
            }
            _ => {}
        }
        self.socket
            .request(message::link_up(index))
            .map_err(|error| NetError::link(format!("bring bridge {name} up"), error))?;
        Ok(index)
    }

    /// An interface of the bridge's name stands: it must be a bridge, and carry our address unless
    /// nothing is attached to it, in which case it is made anew.
    fn check_bridge(&mut self, name: &str, subnet: Subnet) -> Result<(), NetError> {
        let links = self.links()?;
        let Some(link) = links.iter().find(|link| link.name == name) else {
            return Ok(());
        };
        if link.kind != LinkKind::Bridge {
            return Err(NetError::Config(format!(
                "an interface named {name} exists and is no bridge; choose another bridge name"
            )));
        }
        let carried = self.addresses_of(link.index)?;
        if carried
            .iter()
            .all(|(address, prefix)| *address == subnet.gateway() && *prefix == subnet.prefix())
        {
            return Ok(());
        }
        if links.iter().any(|other| other.controller == Some(link.index)) {
            let found: Vec<_> =
                carried.iter().map(|(address, prefix)| format!("{address}/{prefix}")).collect();
            return Err(NetError::BridgeInUse {
                bridge: name.to_owned(),
                found: found.join(", "),
                wanted: subnet.gateway(),
            });
        }
        self.delete(link.index, name)?;
        self.socket
            .request(message::new_bridge(name, mac_of(subnet.gateway())))
            .map_err(|error| NetError::link(format!("create bridge {name} anew"), error))
    }

    /// Makes a container's interface pair and configures its end inside `netns`.
    pub(crate) fn attach(
        &mut self,
        netns: BorrowedFd<'_>,
        plan: &PairPlan,
    ) -> Result<PairOutcome, NetError> {
        match self.socket.request(message::new_pair(plan, netns)) {
            Ok(()) => {}
            Err(error) => {
                let exists = error.raw_os_error() == Some(Errno::EXIST.raw_os_error());
                if exists && self.find(&plan.host)?.is_some() {
                    return Ok(PairOutcome::AddressBusy);
                }
                let what = if exists {
                    "create eth0 in a namespace that has one already".to_owned()
                } else {
                    format!("create interface {}", plan.host)
                };
                return Err(NetError::link(what, error));
            }
        }
        if plan.hairpin {
            let path = format!("/sys/class/net/{}/brport/hairpin_mode", plan.host);
            std::fs::write(&path, "1").map_err(|error| NetError::file("write", path, error))?;
        }
        self.inside(netns, |socket| configure(socket, plan))?;
        // A port forwards, and an interface sends, only after the kernel's link watch has seen its
        // carrier, in its own time. A packet lost before that costs its sender a second: the first
        // one is an ARP request.
        let settled =
            [Interface::Name(&plan.host), Interface::Index(plan.bridge)].map(message::settle);
        self.socket
            .request_all(settled.to_vec())
            .map_err(|error| NetError::link(format!("look at interface {}", plan.host), error))?;
        Ok(PairOutcome::Made)
    }

    /// Leads an address to the bridge. False when another interface has it already.
    pub(crate) fn lead(&mut self, address: Ipv4Addr, bridge: u32) -> Result<bool, NetError> {
        match self.socket.request(message::route_on(bridge, address)) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => {
                Ok(self.led(bridge)?.contains(&address))
            }
            Err(error) => Err(NetError::link(format!("lead {address} to the bridge"), error)),
        }
    }

    /// Takes back what [`Self::lead`] did; what is not there is fine.
    pub(crate) fn unlead(&mut self, address: Ipv4Addr, bridge: u32) -> Result<(), NetError> {
        match self.socket.request(message::no_route_on(bridge, address)) {
            Err(error) if error.raw_os_error() != Some(Errno::SRCH.raw_os_error()) => {
                Err(NetError::link(format!("lead {address} to the bridge no longer"), error))
            }
            _ => Ok(()),
        }
    }

    /// The addresses that are led to the bridge one by one.
    pub(crate) fn led(&mut self, bridge: u32) -> Result<Vec<Ipv4Addr>, NetError> {
        let routes = self
            .socket
            .routes()
            .map_err(|error| NetError::link("list the machine's routes", error))?;
        let ours = routes.into_iter().filter(|(on, to)| *on == Some(bridge) && to.prefix() == 32);
        Ok(ours.map(|(_, to)| to.network()).collect())
    }

    /// Leads an address to another machine, which must be on a network of this one.
    pub(crate) fn point(&mut self, to: Ipv4Addr, by: Ipv4Addr) -> Result<(), NetError> {
        self.socket
            .request(message::way(to, by))
            .map_err(|error| NetError::link(format!("lead {to} to the machine {by}"), error))
    }

    /// Takes back what [`Self::point`] did; what is not there is fine.
    pub(crate) fn unpoint(&mut self, to: Ipv4Addr, by: Ipv4Addr) -> Result<(), NetError> {
        match self.socket.request(message::no_way(to, by)) {
            Err(error) if error.raw_os_error() != Some(Errno::SRCH.raw_os_error()) => {
                Err(NetError::link(format!("lead {to} to {by} no longer"), error))
            }
            _ => Ok(()),
        }
    }

    /// The addresses that [`Self::point`] has led, by any process, and to which machines.
    pub(crate) fn pointed(&mut self) -> Result<Vec<(Ipv4Addr, Ipv4Addr)>, NetError> {
        self.socket.ways().map_err(|error| NetError::link("list the machine's routes", error))
    }

    /// This machine's own addresses.
    pub(crate) fn own_addresses(&mut self) -> Result<Vec<Ipv4Addr>, NetError> {
        let addresses = self.socket.addresses();
        let addresses =
            addresses.map_err(|error| NetError::link("list the machine's addresses", error))?;
        Ok(addresses.into_iter().map(|(_, address, _)| address).collect())
    }

    /// Whether `netns` has an `eth0` that carries `address`.
    pub(crate) fn has_address(
        &mut self,
        netns: BorrowedFd<'_>,
        address: Ipv4Addr,
    ) -> Result<bool, NetError> {
        self.inside(netns, |socket| {
            let addresses = socket
                .addresses()
                .map_err(|error| NetError::link("list a namespace's addresses", error))?;
            Ok(addresses.iter().any(|(_, found, _)| *found == address))
        })
    }

    /// Runs `work` with a rtnetlink socket of `netns`.
    fn inside<T>(
        &mut self,
        netns: BorrowedFd<'_>,
        work: impl FnOnce(&mut RouteSocket) -> Result<T, NetError>,
    ) -> Result<T, NetError> {
        // A socket belongs for good to the namespace it was opened in, so the hop is two calls
        // around one `socket`.
        move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))
            .map_err(|errno| NetError::link("enter a container's network namespace", errno))?;
        let socket = RouteSocket::open();
        move_into_link_name_space(self.home.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("a thread may always go back to the namespace it started in");
        let mut socket = socket
            .map_err(|error| NetError::link("open a rtnetlink socket in a namespace", error))?;
        work(&mut socket)
    }

    /// Every link of the machine.
    pub(crate) fn links(&mut self) -> Result<Vec<Link>, NetError> {
        self.socket.links().map_err(|error| NetError::link("list the interfaces", error))
    }

    /// The index of an interface, if there is one of that name.
    pub(crate) fn find(&mut self, name: &str) -> Result<Option<u32>, NetError> {
        match self.socket.index_of(name) {
            Ok(index) => Ok(Some(index)),
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => Ok(None),
            Err(error) => Err(NetError::link(format!("look up interface {name}"), error)),
        }
    }

    /// Deletes an interface; one that has gone meanwhile is fine. Slow: not for the way of an order.
    pub(crate) fn delete(&mut self, index: u32, name: &str) -> Result<(), NetError> {
        match self.socket.request(message::delete_link(index)) {
            Err(error) if error.raw_os_error() != Some(Errno::NODEV.raw_os_error()) => {
                Err(NetError::link(format!("delete interface {name}"), error))
            }
            _ => Ok(()),
        }
    }

    /// Every IPv4 network that an address or route of this machine touches, but for those of the
    /// interface `except`.
    pub(crate) fn taken_subnets(&mut self, except: Option<u32>) -> Result<Vec<Subnet>, NetError> {
        let addresses = self
            .socket
            .addresses()
            .map_err(|error| NetError::link("list the machine's addresses", error))?;
        let routes = self
            .socket
            .routes()
            .map_err(|error| NetError::link("list the machine's routes", error))?;
        let from_addresses = addresses
            .into_iter()
            .filter(|(index, _, _)| Some(*index) != except)
            .map(|(_, address, prefix)| Subnet::of(address, prefix));
        let from_routes = routes
            .into_iter()
            .filter(|(index, _)| index.is_none() || *index != except)
            .map(|(_, subnet)| subnet);
        Ok(from_addresses.chain(from_routes).collect())
    }

    /// The MTU of the interface behind the default route, which containers should not exceed.
    pub(crate) fn uplink_mtu(&mut self) -> Result<Option<u32>, NetError> {
        let routes = self
            .socket
            .routes()
            .map_err(|error| NetError::link("list the machine's routes", error))?;
        let uplink = routes.iter().find(|(_, subnet)| subnet.prefix() == 0).and_then(|(i, _)| *i);
        let links = self.links()?;
        Ok(links.iter().find(|link| Some(link.index) == uplink).and_then(|link| link.mtu))
    }

    fn addresses_of(&mut self, index: u32) -> Result<Vec<(Ipv4Addr, u8)>, NetError> {
        let addresses = self
            .socket
            .addresses()
            .map_err(|error| NetError::link("list the bridge's addresses", error))?;
        Ok(addresses
            .into_iter()
            .filter(|(of, _, _)| *of == index)
            .map(|(_, address, prefix)| (address, prefix))
            .collect())
    }
}

/// Inside the namespace: loopback up, the address, the default route.
fn configure(socket: &mut RouteSocket, plan: &PairPlan) -> Result<(), NetError> {
    let eth0 = socket
        .index_of("eth0")
        .map_err(|error| NetError::link("find eth0 in the namespace", error))?;
    // Loopback is the first interface of every namespace.
    let gateway = plan.subnet.gateway();
    let mut batch = vec![message::link_up(1), message::link_up(eth0)];
    if plan.routed {
        batch.push(message::new_address(eth0, plan.address, Subnet::of(plan.address, 32)));
        batch.push(message::route_on(eth0, gateway));
    } else {
        batch.push(message::new_address(eth0, plan.address, plan.subnet));
    }
    batch.push(message::default_route(gateway));
    batch.push(message::settle(Interface::Index(eth0)));
    let said = |error: io::Error| {
        NetError::link(format!("configure eth0 as {} in the namespace", plan.address), error)
    };
    socket.request_all(batch).map_err(said)
}

/// The hardware address that goes with an IPv4 address: locally administered, never shared by two
/// addresses.
pub(crate) fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x57, a, b, c, d]
}

/// A hardware address in colon form.
pub(crate) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The host's end of a container's pair: it follows from the address, so two networks of one
/// machine cannot clash, and a clash of names means that the address is still in use.
pub(crate) fn pair_name(address: Ipv4Addr) -> String {
    format!("wh{:08x}", u32::from(address))
}

/// The address whose [`pair_name`] this is.
pub(crate) fn address_of_pair(name: &str) -> Option<Ipv4Addr> {
    let digits = name.strip_prefix("wh")?;
    let plain = digits.len() == 8
        && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    plain.then(|| u32::from_str_radix(digits, 16).ok()).flatten().map(Ipv4Addr::from)
}
