//! The one network that there is: a default VPC with a default subnet in each availability zone, as
//! every account of AWS begins with. It stands for the machine's own network: tasks and load
//! balancers are reached by the addresses of their nodes, and nothing here restricts that.
//! <https://docs.aws.amazon.com/vpc/latest/userguide/default-vpc-components.html>

use model::Realm;

/// The ids of the default network. They follow from account and region, so they never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    /// `vpc-…`
    pub(crate) vpc: String,
    /// `sg-…`
    pub(crate) security_group: String,
    /// `igw-…`
    pub(crate) gateway: String,
    /// `rtb-…`
    pub(crate) route_table: String,
    /// `dopt-…`
    pub(crate) dhcp_options: String,
    /// One an availability zone.
    pub(crate) subnets: Vec<Subnet>,
}

/// A default subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subnet {
    /// `subnet-…`
    pub(crate) id: String,
    /// Such as `us-east-1a`.
    pub(crate) zone: String,
    /// Such as `use1-az1`; the same in every account here.
    pub(crate) zone_id: String,
    /// Its part of the VPC's block.
    pub(crate) block: String,
}

/// The VPC's block of addresses.
pub(crate) const BLOCK: &str = "172.31.0.0/16";

/// The letters of the availability zones.
const ZONES: [char; 3] = ['a', 'b', 'c'];

impl Network {
    /// The network of an account in a region.
    pub(crate) fn of(realm: &Realm) -> Self {
        let id = |prefix: &str, name: &str| {
            format!("{prefix}-0{:016x}", hash(&format!("{realm:?}/{prefix}/{name}")))
        };
        let region = &realm.region;
        let subnets = ZONES.iter().enumerate().map(|(at, letter)| Subnet {
            id: id("subnet", &letter.to_string()),
            zone: format!("{region}{letter}"),
            zone_id: format!("{}-az{}", short(region), at + 1),
            block: format!("172.31.{}.0/20", at * 16),
        });
        Self {
            vpc: id("vpc", "default"),
            security_group: id("sg", "default"),
            gateway: id("igw", "default"),
            route_table: id("rtb", "main"),
            dhcp_options: id("dopt", "default"),
            subnets: subnets.collect(),
        }
    }

    /// The subnet of that id.
    pub(crate) fn subnet(&self, id: &str) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.id == id)
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
        let network = Network::of(&Realm::new("us-east-1", "123456789012"));
        assert_eq!(network, Network::of(&Realm::new("us-east-1", "123456789012")));
        assert_ne!(network, Network::of(&Realm::new("us-east-1", "123456789013")));
        assert!(network.vpc.starts_with("vpc-0") && network.vpc.len() == 4 + 17, "{network:?}");
        let zones: Vec<&str> = network.subnets.iter().map(|s| s.zone.as_str()).collect();
        assert_eq!(zones, ["us-east-1a", "us-east-1b", "us-east-1c"]);
        assert_eq!(network.subnets[1].block, "172.31.16.0/20");
        assert_eq!(network.subnet(&network.subnets[2].id), Some(&network.subnets[2]));
        assert_eq!(network.subnet("subnet-1"), None);
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
