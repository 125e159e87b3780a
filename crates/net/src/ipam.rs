//! Which address is whose: a pure allocator over the container subnet.
//!
//! Addresses are handed out in ascending order, round and round (next fit), and one that was just
//! given back waits in quarantine: peers may hold ARP entries and connections to it, and its old
//! interface may not be gone yet, because namespaces are left to die by themselves.

use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;

use crate::subnet::Subnet;

/// How many given-back addresses wait, at most; in a small subnet a quarter of it.
const QUARANTINE: u32 = 256;

/// The addresses of one subnet.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    first: u32,
    last: u32,
    /// Where the next search starts.
    cursor: u32,
    used: BTreeSet<u32>,
    /// Given back, oldest first; never also in `used`.
    resting: VecDeque<u32>,
}

impl Addresses {
    pub(crate) fn new(subnet: Subnet) -> Self {
        let (first, last) = subnet.hosts();
        Self { first, last, cursor: first, used: BTreeSet::new(), resting: VecDeque::new() }
    }

    /// How many addresses there are in all.
    pub(crate) fn size(&self) -> u32 {
        self.last - self.first + 1
    }

    /// A free address; one in quarantine only when there is no other.
    pub(crate) fn allocate(&mut self) -> Option<Ipv4Addr> {
        let found = self
            .free_between(self.cursor, self.last)
            .or_else(|| self.free_between(self.first, self.cursor.saturating_sub(1)));
        let address = match found {
            Some(address) => address,
            None => self.resting.pop_front()?,
        };
        self.used.insert(address);
        self.cursor = if address == self.last { self.first } else { address + 1 };
        Some(Ipv4Addr::from(address))
    }

    /// Takes a certain address, as found in an earlier process's records. False when it is not one
    /// of the subnet's or is taken.
    pub(crate) fn claim(&mut self, address: Ipv4Addr) -> bool {
        let address = u32::from(address);
        if !(self.first..=self.last).contains(&address) || !self.used.insert(address) {
            return false;
        }
        self.resting.retain(|resting| *resting != address);
        if address >= self.cursor {
            // Behind what is known to be used, so that a restart does not begin with addresses
            // that were given back a moment ago.
            self.cursor = if address == self.last { self.first } else { address + 1 };
        }
        true
    }

    /// Gives an address back. Giving back what is not taken does nothing.
    pub(crate) fn release(&mut self, address: Ipv4Addr) {
        let address = u32::from(address);
        if self.used.remove(&address) {
            self.resting.push_back(address);
            let room = QUARANTINE.min(self.size() / 4).max(1) as usize;
            while self.resting.len() > room {
                self.resting.pop_front();
            }
        }
    }

    /// Whether the address is taken.
    pub(crate) fn is_used(&self, address: Ipv4Addr) -> bool {
        self.used.contains(&u32::from(address))
    }

    fn free_between(&self, from: u32, to: u32) -> Option<u32> {
        // The used addresses of the range in order: the first gap is the answer. Resting ones are
        // few, so a linear look is enough.
        let mut candidate = from;
        if from > to {
            return None;
        }
        for used in self.used.range(from..=to) {
            while candidate < *used {
                if !self.resting.contains(&candidate) {
                    return Some(candidate);
                }
                candidate += 1;
            }
            candidate = used + 1;
        }
        (candidate..=to).find(|address| !self.resting.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(subnet: &str) -> Addresses {
        Addresses::new(Subnet::parse(subnet).unwrap())
    }

    #[test]
    fn the_network_the_gateway_and_the_broadcast_are_never_given() {
        let mut pool = addresses("10.0.0.0/29");
        let all: Vec<_> = std::iter::from_fn(|| pool.allocate()).map(|a| a.octets()[3]).collect();
        assert_eq!(all, [2, 3, 4, 5, 6]);
        assert_eq!(pool.size(), 5);
    }

    #[test]
    fn a_returned_address_rests_while_others_are_free() {
        let mut pool = addresses("10.0.0.0/29");
        let first = pool.allocate().unwrap();
        pool.release(first);
        let next: Vec<_> = (0..4).map(|_| pool.allocate().unwrap()).collect();
        assert!(!next.contains(&first));
        assert_eq!(pool.allocate(), Some(first), "the resting one when nothing else is left");
        assert_eq!(pool.allocate(), None);
        pool.release(Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(pool.allocate(), None, "giving back what was never given frees nothing");
    }

    #[test]
    fn claims_are_exclusive_and_stay_inside() {
        let mut pool = addresses("10.0.0.0/24");
        let address = Ipv4Addr::new(10, 0, 0, 77);
        assert!(pool.claim(address));
        assert!(!pool.claim(address));
        assert!(!pool.claim(Ipv4Addr::new(10, 0, 0, 1)));
        assert!(!pool.claim(Ipv4Addr::new(10, 0, 1, 4)));
        assert_eq!(pool.allocate(), Some(Ipv4Addr::new(10, 0, 0, 78)));
    }

    proptest! {
        /// Against a plain set: nothing is handed out twice, nothing leaves the subnet, and
        /// exhaustion is reported exactly when everything is taken.
        #[test]
        fn it_behaves_like_a_set(operations in proptest::collection::vec((0_u8..3, any::<u16>()), 0..400)) {
            let subnet = Subnet::parse("10.9.8.0/27").unwrap();
            let mut pool = Addresses::new(subnet);
            let mut taken: BTreeSet<Ipv4Addr> = BTreeSet::new();
            for (operation, pick) in operations {
                match operation {
                    0 => match pool.allocate() {
                        Some(address) => {
                            prop_assert!(subnet.contains(address) && address != subnet.gateway());
                            prop_assert!(address != subnet.broadcast() && address != subnet.network());
                            prop_assert!(taken.insert(address), "{} twice", address);
                        }
                        None => prop_assert_eq!(taken.len(), pool.size() as usize),
                    },
                    1 => {
                        if let Some(address) = taken.iter().nth(usize::from(pick) % taken.len().max(1)).copied() {
                            taken.remove(&address);
                            pool.release(address);
                        }
                    }
                    _ => {
                        let address = Ipv4Addr::new(10, 9, 8, (pick % 32) as u8);
                        let valid = !matches!(pick % 32, 0 | 1 | 31);
                        prop_assert_eq!(pool.claim(address), valid && taken.insert(address));
                    }
                }
            }
            for address in &taken {
                prop_assert!(pool.is_used(*address));
            }
        }
    }
}
