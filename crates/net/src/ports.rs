//! Which host port is whose. The table decides; whether the rest of the machine leaves a port free
//! is asked of a [`Probe`], so the decisions are tested without sockets.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use crate::error::NetError;
use crate::types::{PortBinding, PortRequest, Protocol};

/// Asks the machine for a port.
pub(crate) trait Probe {
    /// What keeps a port ours against other programs.
    type Hold;

    /// Takes the port, or answers why not: `AddrInUse`, `AddrNotAvailable`, or another error.
    fn take(&mut self, protocol: Protocol, ip: Ipv4Addr, port: u16) -> io::Result<Self::Hold>;

    /// Who has a port that could not be taken, in words.
    fn holder(&mut self, protocol: Protocol, port: u16) -> String;
}

#[derive(Debug)]
struct Taken<H> {
    ip: Ipv4Addr,
    owner: String,
    /// `None` for a port of an earlier process that could not be taken again.
    hold: Option<H>,
}

/// The host ports in use by attachments.
#[derive(Debug)]
pub(crate) struct Ports<H> {
    range: RangeInclusive<u16>,
    /// Where the next search for a dynamic port starts: next fit, so that a port that was just
    /// given back is not another task's at once.
    cursor: u16,
    taken: BTreeMap<(Protocol, u16), Vec<Taken<H>>>,
}

impl<H> Ports<H> {
    pub(crate) fn new(range: RangeInclusive<u16>) -> Self {
        Self { cursor: *range.start(), range, taken: BTreeMap::new() }
    }

    /// Takes all of `requests` for `owner`, or none: static ports first, so that a dynamic one never
    /// takes a port that the same call names. The answer is in the order of the requests.
    pub(crate) fn take_all<P: Probe<Hold = H>>(
        &mut self,
        owner: &str,
        requests: &[PortRequest],
        probe: &mut P,
    ) -> Result<Vec<PortBinding>, NetError> {
        let mut bindings: Vec<Option<PortBinding>> = vec![None; requests.len()];
        let named = |request: &&(usize, &PortRequest)| request.1.host_port.is_some();
        let indexed: Vec<_> = requests.iter().enumerate().collect();
        let dynamic = indexed.iter().filter(|request| !named(request));
        for (index, request) in indexed.iter().filter(named).chain(dynamic) {
            match self.take(owner, request, probe) {
                Ok(binding) => bindings[*index] = Some(binding),
                Err(error) => {
                    self.give_back(owner, &bindings.into_iter().flatten().collect::<Vec<_>>());
                    return Err(error);
                }
            }
        }
        Ok(bindings.into_iter().flatten().collect())
    }

    fn take<P: Probe<Hold = H>>(
        &mut self,
        owner: &str,
        request: &PortRequest,
        probe: &mut P,
    ) -> Result<PortBinding, NetError> {
        let ip = bind_address(request)?;
        let protocol = request.protocol;
        let host_port = match request.host_port {
            Some(port) => self.take_static(owner, ip, request, (port, probe))?,
            None => self.take_dynamic(owner, ip, protocol, probe)?,
        };
        let container_port = request.container_port;
        Ok(PortBinding { bind_ip: IpAddr::V4(ip), container_port, host_port, protocol })
    }

    fn take_static<P: Probe<Hold = H>>(
        &mut self,
        owner: &str,
        ip: Ipv4Addr,
        request: &PortRequest,
        (port, probe): (u16, &mut P),
    ) -> Result<u16, NetError> {
        let protocol = request.protocol;
        if port == 0 {
            return Err(refused(
                request,
                "host port 0 is not a port; leave it out for a dynamic one",
            ));
        }
        if let Some(holder) = self.owner(protocol, ip, port) {
            let holder = format!("{holder}, which this node runs");
            return Err(NetError::PortInUse { port, protocol, holder });
        }
        match probe.take(protocol, ip, port) {
            Ok(hold) => {
                self.record(owner, protocol, port, ip, Some(hold));
                Ok(port)
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(NetError::PortInUse { port, protocol, holder: probe.holder(protocol, port) })
            }
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                Err(NetError::AddressNotLocal { address: IpAddr::V4(ip) })
            }
            Err(error) => {
                Err(NetError::link(format!("take host port {port}/{protocol} at {ip}"), error))
            }
        }
    }

    fn take_dynamic<P: Probe<Hold = H>>(
        &mut self,
        owner: &str,
        ip: Ipv4Addr,
        protocol: Protocol,
        probe: &mut P,
    ) -> Result<u16, NetError> {
        let (low, high) = (*self.range.start(), *self.range.end());
        let start = self.cursor.clamp(low, high);
        for port in (start..=high).chain(low..start) {
            if self.owner(protocol, ip, port).is_some() {
                continue;
            }
            match probe.take(protocol, ip, port) {
                Ok(hold) => {
                    self.record(owner, protocol, port, ip, Some(hold));
                    self.cursor = if port == high { low } else { port + 1 };
                    return Ok(port);
                }
                // In use by another program, or reserved by the system.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                    return Err(NetError::AddressNotLocal { address: IpAddr::V4(ip) });
                }
                Err(error) => {
                    return Err(NetError::link(
                        format!("take host port {port}/{protocol} at {ip}"),
                        error,
                    ));
                }
            }
        }
        Err(NetError::PortsExhausted { protocol, low, high })
    }

    /// Takes what an earlier process recorded, whether or not the machine would let us have it
    /// afresh: the containers that own these ports are running. Answers the ports that other
    /// programs have taken meanwhile.
    pub(crate) fn adopt<P: Probe<Hold = H>>(
        &mut self,
        owner: &str,
        bindings: &[PortBinding],
        mut probe: Option<&mut P>,
    ) -> Vec<PortBinding> {
        let mut lost = Vec::new();
        for binding in bindings {
            let IpAddr::V4(ip) = binding.bind_ip else { continue };
            let hold = match probe.as_mut() {
                None => None,
                Some(probe) => {
                    let hold = probe.take(binding.protocol, ip, binding.host_port).ok();
                    if hold.is_none() {
                        lost.push(*binding);
                    }
                    hold
                }
            };
            self.record(owner, binding.protocol, binding.host_port, ip, hold);
        }
        lost
    }

    /// Gives ports of `owner` back. What it does not own stays.
    pub(crate) fn give_back(&mut self, owner: &str, bindings: &[PortBinding]) {
        for binding in bindings {
            let key = (binding.protocol, binding.host_port);
            if let Some(taken) = self.taken.get_mut(&key) {
                taken.retain(|taken| {
                    taken.owner != owner || IpAddr::V4(taken.ip) != binding.bind_ip
                });
                if taken.is_empty() {
                    self.taken.remove(&key);
                }
            }
        }
    }

    /// Lets go of the sockets behind ports of `owner` without giving the ports back: in host
    /// network mode the container itself will bind them.
    pub(crate) fn let_go(&mut self, owner: &str) {
        for taken in self.taken.values_mut().flatten().filter(|taken| taken.owner == owner) {
            taken.hold = None;
        }
    }

    /// Who has a port at an address that `ip` would collide with.
    fn owner(&self, protocol: Protocol, ip: Ipv4Addr, port: u16) -> Option<&str> {
        let taken = self.taken.get(&(protocol, port))?;
        let collides =
            |other: Ipv4Addr| other == ip || other.is_unspecified() || ip.is_unspecified();
        taken.iter().find(|taken| collides(taken.ip)).map(|taken| taken.owner.as_str())
    }

    fn record(
        &mut self,
        owner: &str,
        protocol: Protocol,
        port: u16,
        ip: Ipv4Addr,
        hold: Option<H>,
    ) {
        let taken = Taken { ip, owner: owner.to_owned(), hold };
        self.taken.entry((protocol, port)).or_default().push(taken);
    }
}

fn bind_address(request: &PortRequest) -> Result<Ipv4Addr, NetError> {
    if request.container_port == 0 {
        return Err(refused(request, "0 is not a port"));
    }
    match request.host_ip {
        None => Ok(Ipv4Addr::UNSPECIFIED),
        Some(IpAddr::V4(ip)) => Ok(ip),
        Some(IpAddr::V6(ip)) => {
            Err(refused(request, &format!("publishing at IPv6 address {ip} is not built yet")))
        }
    }
}

fn refused(request: &PortRequest, reason: &str) -> NetError {
    NetError::PortRefused {
        port: request.container_port,
        protocol: request.protocol,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// A machine on which some ports are taken by others.
    struct Machine(BTreeSet<u16>);

    impl Probe for Machine {
        type Hold = ();

        fn take(&mut self, _: Protocol, ip: Ipv4Addr, port: u16) -> io::Result<()> {
            if ip == Ipv4Addr::new(203, 0, 113, 9) {
                return Err(io::ErrorKind::AddrNotAvailable.into());
            }
            if self.0.contains(&port) { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(()) }
        }

        fn holder(&mut self, _: Protocol, _: u16) -> String {
            "another program".to_owned()
        }
    }

    fn machine(taken: &[u16]) -> Machine {
        Machine(taken.iter().copied().collect())
    }

    fn ask(container_port: u16, host_port: Option<u16>) -> PortRequest {
        PortRequest { container_port, host_port, protocol: Protocol::Tcp, host_ip: None }
    }

    fn at(ip: &str, host_port: u16) -> PortRequest {
        PortRequest { host_ip: Some(ip.parse().unwrap()), ..ask(80, Some(host_port)) }
    }

    #[test]
    fn static_ports_collide_with_tasks_and_programs_and_say_with_whom() {
        let mut ports = Ports::new(32768..=32770);
        let mut host = machine(&[8443]);
        ports.take_all("task a", &[ask(80, Some(8080))], &mut host).unwrap();
        let error = ports.take_all("task b", &[ask(80, Some(8080))], &mut host).unwrap_err();
        assert_eq!(
            error.to_string(),
            "host port 8080/tcp is already in use by task a, which this node runs"
        );
        let error = ports.take_all("task b", &[ask(80, Some(8443))], &mut host).unwrap_err();
        assert_eq!(error.to_string(), "host port 8443/tcp is already in use by another program");
        let udp = PortRequest { protocol: Protocol::Udp, ..ask(80, Some(8080)) };
        ports.take_all("task b", &[udp], &mut host).unwrap();
    }

    #[test]
    fn ports_at_different_addresses_coexist_but_not_with_every_address() {
        let mut ports = Ports::new(32768..=32770);
        let mut host = machine(&[]);
        ports.take_all("a", &[at("10.0.0.1", 80)], &mut host).unwrap();
        ports.take_all("b", &[at("10.0.0.2", 80)], &mut host).unwrap();
        assert!(ports.take_all("c", &[at("10.0.0.1", 80)], &mut host).is_err());
        assert!(ports.take_all("c", &[ask(80, Some(80))], &mut host).is_err());
        ports.give_back("a", &[binding("10.0.0.1", 80)]);
        ports.take_all("c", &[at("10.0.0.1", 80)], &mut host).unwrap();
    }

    fn binding(ip: &str, host_port: u16) -> PortBinding {
        PortBinding {
            bind_ip: ip.parse().unwrap(),
            container_port: 80,
            host_port,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn dynamic_ports_walk_the_range_past_what_is_taken_and_run_out() {
        let mut ports = Ports::new(32768..=32771);
        let mut host = machine(&[32769]);
        let requests = [ask(80, None), ask(81, Some(32770)), ask(82, None)];
        let got = ports.take_all("a", &requests, &mut host).unwrap();
        let numbers: Vec<_> = got.iter().map(|binding| binding.host_port).collect();
        assert_eq!(numbers, [32768, 32770, 32771], "in the order asked, static ones untouched");
        let error = ports.take_all("b", &[ask(80, None)], &mut host).unwrap_err();
        assert!(matches!(error, NetError::PortsExhausted { low: 32768, high: 32771, .. }));
        ports.give_back("a", &got);
        assert_eq!(ports.take_all("b", &[ask(80, None)], &mut host).unwrap()[0].host_port, 32768);
    }

    #[test]
    fn a_refusal_takes_nothing() {
        let mut ports = Ports::new(32768..=32768);
        let mut host = machine(&[]);
        for last in [at("203.0.113.9", 90), at("::1", 90), ask(0, None), ask(80, Some(0))] {
            assert!(ports.take_all("a", &[ask(80, Some(7000)), last], &mut host).is_err());
            assert_eq!(ports.taken.len(), 0, "{last:?}");
        }
        assert!(matches!(
            ports.take_all("a", &[at("203.0.113.9", 90)], &mut host),
            Err(NetError::AddressNotLocal { .. })
        ));
    }

    #[test]
    fn adopted_ports_are_taken_even_when_others_sit_on_them() {
        let mut ports = Ports::new(32768..=32770);
        let mut host = machine(&[9000]);
        let lost = ports.adopt("a", &[binding("0.0.0.0", 9000)], Some(&mut host));
        assert_eq!(lost, [binding("0.0.0.0", 9000)]);
        assert!(ports.take_all("b", &[ask(1, Some(9000))], &mut machine(&[])).is_err());
    }

    proptest! {
        #[test]
        fn no_port_is_ever_two_owners(
            operations in proptest::collection::vec((0_u8..6, proptest::option::of(100_u16..120), any::<bool>()), 1..200)
        ) {
            let mut ports = Ports::new(110..=116);
            let mut host = machine(&[112]);
            let mut held: BTreeMap<String, Vec<PortBinding>> = BTreeMap::new();
            for (owner, host_port, give_back) in operations {
                let owner = format!("task {owner}");
                if give_back {
                    let bindings = held.remove(&owner).unwrap_or_default();
                    ports.give_back(&owner, &bindings);
                } else if let Ok(mut got) = ports.take_all(&owner, &[ask(80, host_port)], &mut host) {
                    prop_assert!(got.iter().all(|binding| binding.host_port != 112));
                    if host_port.is_none() {
                        prop_assert!((110..=116).contains(&got[0].host_port));
                    }
                    held.entry(owner).or_default().append(&mut got);
                }
                let all: Vec<_> = held.values().flatten().map(|binding| binding.host_port).collect();
                let distinct: BTreeSet<_> = all.iter().collect();
                prop_assert_eq!(all.len(), distinct.len());
            }
        }
    }
}
