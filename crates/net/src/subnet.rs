//! IPv4 networks: parsing, overlap, and the choice of one that nothing else uses.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 network in canonical form: no bit beyond the prefix is set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subnet {
    base: u32,
    prefix: u8,
}

/// What is not a network.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SubnetError {
    #[error("{0:?} is not an IPv4 network such as 172.30.0.0/16")]
    Form(String),
    #[error("{given} has bits beyond its prefix; the network is {network}")]
    HostBits { given: String, network: String },
    #[error("{0} is too large or too small for containers: the prefix must be 8 to 29")]
    Size(String),
}

impl Subnet {
    /// The network of `prefix` bits (at most 32) that `address` lies in.
    pub(crate) fn of(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self { base: u32::from(address) & mask(prefix), prefix }
    }

    /// Parses what can serve as a container network.
    pub(crate) fn parse(text: &str) -> Result<Self, SubnetError> {
        let subnet = text.parse::<Self>()?;
        if !(8..=29).contains(&subnet.prefix) {
            return Err(SubnetError::Size(text.to_owned()));
        }
        Ok(subnet)
    }

    pub(crate) fn prefix(self) -> u8 {
        self.prefix
    }

    pub(crate) fn network(self) -> Ipv4Addr {
        Ipv4Addr::from(self.base)
    }

    pub(crate) fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from(self.base | !mask(self.prefix))
    }

    /// The bridge's address: the first of the network.
    pub(crate) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.base.saturating_add(1))
    }

    /// The first and last address a container can have.
    pub(crate) fn hosts(self) -> (u32, u32) {
        (self.base.saturating_add(2), u32::from(self.broadcast()).saturating_sub(1))
    }

    #[cfg(test)]
    pub(crate) fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == self.base
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        let shorter = mask(self.prefix.min(other.prefix));
        self.base & shorter == other.base & shorter
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let form = || SubnetError::Form(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(form)?;
        let address: Ipv4Addr = address.parse().map_err(|_| form())?;
        // `parse` alone would take "+16" and "016".
        if prefix.is_empty()
            || !prefix.bytes().all(|b| b.is_ascii_digit())
            || prefix.len() > 1 && prefix.starts_with('0')
        {
            return Err(form());
        }
        let prefix: u8 = prefix.parse().map_err(|_| form())?;
        if prefix > 32 {
            return Err(form());
        }
        let subnet = Self::of(address, prefix);
        if subnet.network() != address {
            return Err(SubnetError::HostBits {
                given: text.to_owned(),
                network: subnet.to_string(),
            });
        }
        Ok(subnet)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.prefix)
    }
}

impl fmt::Debug for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The network in `taken` that `subnet` touches, if any. A default route touches nothing.
pub(crate) fn conflict(subnet: Subnet, taken: &[Subnet]) -> Option<Subnet> {
    taken.iter().copied().find(|other| other.prefix > 0 && other.overlaps(subnet))
}

/// The first candidate that touches nothing in `taken`. Candidates are private (RFC 1918), high in
/// their blocks where other software's defaults do not start: Docker takes 172.17 to 172.28 and
/// 192.168 in this order, so 172.30 comes first here. 172.31 is left to tasks' own addresses.
pub(crate) fn choose(taken: &[Subnet]) -> Option<Subnet> {
    let first = [30, 29, 28, 27, 26, 25].map(|n| Subnet::of(Ipv4Addr::new(172, n, 0, 0), 16));
    let tens = (200..=254_u8).rev().map(|n| Subnet::of(Ipv4Addr::new(10, n, 0, 0), 16));
    let rest = (0..16_u8).rev().map(|n| Subnet::of(Ipv4Addr::new(192, 168, n * 16, 0), 20));
    first.into_iter().chain(tens).chain(rest).find(|subnet| conflict(*subnet, taken).is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn networks_parse_in_canonical_form_only() {
        let subnet = Subnet::parse("172.30.0.0/16").unwrap();
        assert_eq!(subnet.gateway(), Ipv4Addr::new(172, 30, 0, 1));
        assert_eq!(subnet.broadcast(), Ipv4Addr::new(172, 30, 255, 255));
        assert_eq!(subnet.to_string(), "172.30.0.0/16");
        for bad in [
            "",
            "/",
            "172.30.0.0",
            "172.30.0.0/",
            "172.30.0.0/33",
            "172.30.0.0/+16",
            "172.30.0/16",
            "172.30.0.0/016",
            "172.30.0.0/16/8",
            "fd00::/64",
            " 172.30.0.0/16",
            "172.30.0.0/-1",
            "172.30.0.0/256",
            "auto",
        ] {
            assert_eq!(Subnet::parse(bad), Err(SubnetError::Form(bad.to_owned())), "{bad}");
        }
        assert!(matches!(Subnet::parse("172.30.0.1/16"), Err(SubnetError::HostBits { .. })));
        for size in ["0.0.0.0/0", "10.0.0.0/7", "10.0.0.0/30", "10.0.0.1/32"] {
            assert!(Subnet::parse(size).is_err(), "{size}");
        }
    }

    #[test]
    fn conflicts_are_seen_in_both_directions_and_default_routes_are_none() {
        let subnet = net("172.30.0.0/16");
        for (other, touches) in [
            ("172.30.5.0/24", true),
            ("172.16.0.0/12", true),
            ("172.30.0.9/32", true),
            ("172.31.0.0/16", false),
            ("172.29.255.0/24", false),
            ("0.0.0.0/0", false),
        ] {
            assert_eq!(conflict(subnet, &[net(other)]).is_some(), touches, "{other}");
        }
    }

    #[test]
    fn the_choice_avoids_what_is_taken_and_can_run_out() {
        assert_eq!(choose(&[net("192.0.2.0/24")]), Some(net("172.30.0.0/16")));
        assert_eq!(choose(&[net("172.30.1.0/24")]), Some(net("172.29.0.0/16")));
        assert_eq!(choose(&[net("172.16.0.0/12")]), Some(net("10.254.0.0/16")));
        let all = [net("172.16.0.0/12"), net("10.0.0.0/8"), net("192.168.0.0/16")];
        assert_eq!(choose(&all), None);
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(bits: u32, prefix in 0_u8..=32) {
            let subnet = Subnet::of(Ipv4Addr::from(bits), prefix);
            prop_assert_eq!(subnet.to_string().parse::<Subnet>(), Ok(subnet));
        }

        #[test]
        fn overlap_is_containment_of_one_base_in_the_other(a: u32, b: u32, p in 1_u8..=32, q in 1_u8..=32) {
            let (a, b) = (Subnet::of(Ipv4Addr::from(a), p), Subnet::of(Ipv4Addr::from(b), q));
            prop_assert_eq!(a.overlaps(b), b.overlaps(a));
            prop_assert_eq!(a.overlaps(b), a.contains(b.network()) || b.contains(a.network()));
        }

        #[test]
        fn the_choice_never_conflicts(taken in proptest::collection::vec((any::<u32>(), 1_u8..=32), 0..20)) {
            let taken: Vec<_> = taken.into_iter().map(|(a, p)| Subnet::of(Ipv4Addr::from(a), p)).collect();
            if let Some(subnet) = choose(&taken) {
                prop_assert_eq!(conflict(subnet, &taken), None);
            }
        }

        #[test]
        fn any_text_is_refused_or_understood(text in "\\PC{0,24}") {
            if let Ok(subnet) = Subnet::parse(&text) {
                prop_assert_eq!(subnet.to_string(), text);
            }
        }
    }
}
