//! The one network that there is, and the places of tasks in it: a default VPC with a default subnet
//! in each of three availability zones, as every account of AWS begins with.
//!
//! Ids follow from account and region, so they never change. A task of the network mode `awsvpc` has
//! an interface with an address of one of the subnets; who has which address is a fold over tasks,
//! kept by [`State::address_holder`].
//! <https://docs.aws.amazon.com/vpc/latest/userguide/default-vpc-components.html>

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Realm, State, TaskKey};

/// A block of IPv4 addresses: a CIDR block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Block {
    /// Its first address.
    base: Ipv4Addr,
    /// How many leading bits its addresses share.
    prefix: u8,
}

/// What is not a block that a VPC can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// It has not the form of one.
    #[error("\"{0}\" is not a block of IPv4 addresses such as 172.31.0.0/16")]
    Form(String),
    /// Bits beyond the prefix are set.
    #[error("{given} has bits beyond its prefix; the block is {meant}")]
    HostBits {
        /// As it was given.
        given: String,
        /// The block that it lies in.
        meant: Block,
    },
    /// EC2 has no such VPCs.
    #[error("{0} is too large or too small for a VPC: the prefix must be 16 to 24")]
    Size(String),
}

/// How many of a subnet's first addresses EC2 keeps for itself; it keeps the last one too.
const KEPT: u32 = 4;

impl Block {
    /// What a default VPC has.
    pub const DEFAULT: Self = Self { base: Ipv4Addr::new(172, 31, 0, 0), prefix: 16 };

    /// Its first address.
    pub const fn base(self) -> Ipv4Addr {
        self.base
    }

    /// How many leading bits its addresses share.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// Its last address.
    pub fn last(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) | (u32::MAX >> self.prefix))
    }

    /// Whether an address is one of its.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        (self.base..=self.last()).contains(&address)
    }

    /// The address of a subnet's router: its second one.
    pub fn router(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + 1)
    }

    /// How many addresses of a subnet interfaces can have: all but five.
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html>
    pub fn usable(self) -> u32 {
        (u32::MAX >> self.prefix) - KEPT
    }

    /// One of the addresses that interfaces can have, by its number below [`Self::usable`].
    pub fn address(self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + KEPT + number)
    }

    /// One of the sixteen parts of a VPC's block.
    fn part(self, at: u32) -> Self {
        let prefix = self.prefix + 4;
        let base = Ipv4Addr::from(u32::from(self.base) + (at << (32 - prefix)));
        Self { base, prefix }
    }
}

impl Default for Block {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl FromStr for Block {
    type Err = BlockError;

    fn from_str(text: &str) -> Result<Self, BlockError> {
        let form = || BlockError::Form(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(form)?;
        let given: Ipv4Addr = address.parse().map_err(|_| form())?;
        let prefix: u8 = prefix.parse().map_err(|_| form())?;
        if prefix > 32 {
            return Err(form());
        }
        if !(16..=24).contains(&prefix) {
            return Err(BlockError::Size(text.to_owned()));
        }
        let base = Ipv4Addr::from(u32::from(given) & !(u32::MAX >> prefix));
        let block = Self { base, prefix };
        if base != given {
            return Err(BlockError::HostBits { given: text.to_owned(), meant: block });
        }
        Ok(block)
    }
}

/// The default network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vpc {
    /// `vpc-…`
    pub id: String,
    /// Its addresses.
    pub block: Block,
    /// `sg-…`
    pub security_group: String,
    /// `igw-…`
    pub gateway: String,
    /// `rtb-…`
    pub route_table: String,
    /// `dopt-…`
    pub dhcp_options: String,
    /// One an availability zone.
    pub subnets: Vec<Subnet>,
}

/// A default subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// `subnet-…`
    pub id: String,
    /// Such as `us-east-1a`.
    pub zone: String,
    /// Such as `use1-az1`; the same in every account here.
    pub zone_id: String,
    /// Its part of the VPC's block.
    pub block: Block,
}

/// The letters of the availability zones.
const ZONES: [char; 3] = ['a', 'b', 'c'];

impl Vpc {
    /// The network of a realm.
    pub fn of(realm: &Realm) -> Self {
        let Realm { partition, region, account, vpc: block } = realm;
        // The words are part of what is hashed, and so of ids that are stored.
        let whose = format!(
            "Realm {{ partition: {partition:?}, region: {region:?}, account: {account:?} }}"
        );
        let id = |prefix: &str, name: &str| {
            format!("{prefix}-0{:016x}", hash(&format!("{whose}/{prefix}/{name}")))
        };
        let subnets = (0..).zip(ZONES).map(|(at, letter)| Subnet {
            id: id("subnet", &letter.to_string()),
            zone: format!("{region}{letter}"),
            zone_id: format!("{}-az{}", short(region), at + 1),
            block: block.part(at),
        });
        Self {
            id: id("vpc", "default"),
            block: *block,
            security_group: id("sg", "default"),
            gateway: id("igw", "default"),
            route_table: id("rtb", "main"),
            dhcp_options: id("dopt", "default"),
            subnets: subnets.collect(),
        }
    }

    /// The subnet of that id.
    pub fn subnet(&self, id: &str) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.id == id)
    }

    /// The subnet that an address belongs to.
    pub fn subnet_at(&self, address: Ipv4Addr) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.block.contains(address))
    }
}

/// Where tasks with a network of their own shall be: ECS's `awsvpcConfiguration`.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_AwsVpcConfiguration.html>
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkConfiguration {
    /// The subnets from one of which each task has its address, by their ids; never empty.
    pub subnets: Vec<String>,
    /// The security groups of its interface, by their ids; empty for the VPC's own.
    pub security_groups: Vec<String>,
    /// Whether a public address was asked for.
    pub public_ip: bool,
}

/// The network of a task that has one of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskNetwork {
    /// What was asked for.
    pub configuration: NetworkConfiguration,
    /// Its interface, once it has been placed.
    pub interface: Option<TaskInterface>,
}

/// The interface of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskInterface {
    /// The last part of its attachment's ARN: a UUID.
    pub attachment: String,
    /// `eni-…`
    pub id: String,
    /// Its subnet's id.
    pub subnet: String,
    /// Its address: nobody else has it while the task is not over.
    pub address: Ipv4Addr,
}

impl TaskInterface {
    /// Its hardware address, which follows from its address; locally administered.
    pub fn mac(&self) -> String {
        let [a, b, c, d] = self.address.octets();
        format!("02:57:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
    }

    /// Its name in the VPC's DNS.
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-dns.html>
    pub fn dns_name(&self, realm: &Realm) -> String {
        let host = self.address.to_string().replace('.', "-");
        match realm.region.as_str() {
            "us-east-1" => format!("ip-{host}.ec2.internal"),
            region => format!("ip-{host}.{region}.compute.internal"),
        }
    }
}

impl State {
    /// The task that has an address, if one has.
    pub fn address_holder(&self, address: Ipv4Addr) -> Option<&TaskKey> {
        self.addresses().get(&address)
    }

    /// How many addresses of a subnet interfaces can still be given.
    pub fn free_addresses(&self, block: Block) -> u32 {
        let taken = self.addresses().range(block.base()..=block.last()).count();
        block.usable().saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX))
    }

    /// The tasks that have interfaces, by their addresses.
    pub fn tasks_with_interfaces(&self) -> impl Iterator<Item = (&TaskInterface, &crate::Task)> {
        self.addresses().values().filter_map(|key| {
            let task = self.task(key)?;
            Some((task.facts.interface()?, task))
        })
    }
}

/// FNV-1a, 64 bits: the same in every build.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// `us-east-1` is `use1`, `ap-southeast-2` is `apse2`, as AWS shortens regions in zone ids.
fn short(region: &str) -> String {
    let mut parts = region.split('-');
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut rest = part;
        for direction in ["north", "south", "east", "west", "central"] {
            if let Some(after) = rest.strip_prefix(direction) {
                short.extend(direction.chars().next());
                rest = after;
            }
        }
        for direction in ["east", "west"] {
            if let Some(after) = rest.strip_prefix(direction) {
                short.extend(direction.chars().next());
                rest = after;
            }
        }
        short.push_str(rest);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_forms_and_stay() {
        let network = Vpc::of(&Realm::new("us-east-1", "123456789012"));
        assert_eq!(network, Vpc::of(&Realm::new("us-east-1", "123456789012")));
        assert_ne!(network, Vpc::of(&Realm::new("us-east-1", "123456789013")));
        assert!(network.id.starts_with("vpc-0") && network.id.len() == 4 + 17, "{network:?}");
        let zones: Vec<&str> = network.subnets.iter().map(|s| s.zone.as_str()).collect();
        assert_eq!(zones, ["us-east-1a", "us-east-1b", "us-east-1c"]);
        assert_eq!(network.subnets[1].block.to_string(), "172.31.16.0/20");
        assert_eq!(network.subnet(&network.subnets[2].id), Some(&network.subnets[2]));
        assert_eq!(network.subnet("subnet-1"), None);
    }

    #[test]
    fn another_block_changes_no_id() {
        let realm = Realm::new("us-east-1", "123456789012");
        let usual = Vpc::of(&realm);
        let other = Vpc::of(&Realm { vpc: "10.9.8.0/24".parse().unwrap(), ..realm });
        assert_eq!((&usual.id, &usual.subnets[0].id), (&other.id, &other.subnets[0].id));
        let blocks: Vec<String> = other.subnets.iter().map(|s| s.block.to_string()).collect();
        assert_eq!(blocks, ["10.9.8.0/28", "10.9.8.16/28", "10.9.8.32/28"]);
        let block = other.subnets[1].block;
        assert_eq!(block.usable(), 11, "as EC2 says of a /28");
        assert_eq!(block.address(0), Ipv4Addr::new(10, 9, 8, 20));
        assert_eq!(block.address(10), Ipv4Addr::new(10, 9, 8, 30));
        assert_eq!((block.router(), block.last().octets()[3]), ([10, 9, 8, 17].into(), 31));
        assert_eq!(other.subnet_at([10, 9, 8, 33].into()), Some(&other.subnets[2]));
        assert_eq!(other.subnet_at([10, 9, 8, 99].into()), None);
    }

    #[test]
    fn blocks_are_read_or_refused_by_what_is_wrong() {
        for (text, words) in [
            ("172.31.0.0", "not a block"),
            ("172.31.0.0/x", "not a block"),
            ("10.0.0.0/8", "16 to 24"),
            ("10.0.0.0/25", "16 to 24"),
            ("10.0.7.0/16", "the block is 10.0.0.0/16"),
        ] {
            let refused = text.parse::<Block>().unwrap_err().to_string();
            assert!(refused.contains(words), "{text}: {refused}");
        }
        assert_eq!("172.31.0.0/16".parse(), Ok(Block::DEFAULT));
    }

    #[test]
    fn regions_are_shortened_as_aws_does() {
        for (region, expected) in
            [("us-east-1", "use1"), ("ap-southeast-2", "apse2"), ("eu-central-1", "euc1")]
        {
            assert_eq!(short(region), expected);
        }
    }
}
