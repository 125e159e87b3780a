//! The default network as EC2 describes it.
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVpcs.html>

use aws::Error;
use aws::ec2::*;
use model::{Realm, State};

use super::filter::{Asked, Described, choose, dry, invalid, page};
use super::network::Network;

const VPC_FILTERS: &[&str] = &[
    "cidr",
    "cidr-block",
    "cidrBlock",
    "cidr-block-association.cidr-block",
    "cidr-block-association.state",
    "dhcp-options-id",
    "dhcpOptionsId",
    "is-default",
    "isDefault",
    "owner-id",
    "state",
    "vpc-id",
];

pub(super) fn vpcs(
    realm: &Realm,
    request: &DescribeVpcsRequest,
) -> Result<DescribeVpcsResult, Error> {
    let network = Network::of(realm);
    let association = VpcCidrBlockAssociation {
        association_id: Some(network.id.replacen("vpc", "vpc-cidr-assoc", 1)),
        cidr_block: Some(network.block.to_string()),
        cidr_block_state: Some(VpcCidrBlockState {
            state: Some(VpcCidrBlockStateCode::Associated),
            ..Default::default()
        }),
    };
    let vpc = Vpc {
        vpc_id: Some(network.id.clone()),
        owner_id: Some(realm.account.clone()),
        state: Some(VpcState::Available),
        cidr_block: Some(network.block.to_string()),
        cidr_block_association_set: Some(vec![association]),
        dhcp_options_id: Some(network.dhcp_options.clone()),
        instance_tenancy: Some(Tenancy::Default),
        is_default: Some(true),
        tags: Some(Vec::new()),
        ..Default::default()
    };
    let block = network.block.to_string();
    let facts = vec![
        ("cidr", block.clone()),
        ("cidr-block", block.clone()),
        ("cidrBlock", block.clone()),
        ("cidr-block-association.cidr-block", block),
        ("cidr-block-association.state", "associated".to_owned()),
        ("dhcp-options-id", network.dhcp_options.clone()),
        ("dhcpOptionsId", network.dhcp_options),
        ("is-default", "true".to_owned()),
        ("isDefault", "true".to_owned()),
        ("owner-id", realm.account.clone()),
        ("state", "available".to_owned()),
        ("vpc-id", network.id.clone()),
    ];
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.vpc_ids.as_ref(),
        filters: request.filters.as_ref(),
        known: VPC_FILTERS,
        missing: ("InvalidVpcID.NotFound", "vpc ID"),
    };
    let chosen = choose(asked, vec![Described { id: network.id, shown: vpc, facts }])?;
    let (vpcs, next_token) =
        page("DescribeVpcs", request.next_token.as_ref(), request.max_results, chosen)?;
    Ok(DescribeVpcsResult { vpcs: Some(vpcs), next_token })
}

pub(super) fn vpc_attribute(
    realm: &Realm,
    request: &DescribeVpcAttributeRequest,
) -> Result<DescribeVpcAttributeResult, Error> {
    dry(request.dry_run)?;
    let vpc = Network::of(realm).id;
    let given = request.vpc_id.as_deref().unwrap_or_default();
    if given != vpc {
        let message = format!("The vpc ID '{given}' does not exist");
        return Err(Error::new("InvalidVpcID.NotFound", 400, message));
    }
    let mut answer = DescribeVpcAttributeResult { vpc_id: Some(vpc), ..Default::default() };
    let flag = |value| Some(AttributeBooleanValue { value: Some(value) });
    match request.attribute {
        Some(VpcAttributeName::EnableDnsSupport) => answer.enable_dns_support = flag(true),
        Some(VpcAttributeName::EnableDnsHostnames) => answer.enable_dns_hostnames = flag(true),
        Some(VpcAttributeName::EnableNetworkAddressUsageMetrics) => {
            answer.enable_network_address_usage_metrics = flag(false);
        }
        _ => return Err(invalid("Attribute must name an attribute of a VPC")),
    }
    Ok(answer)
}

const SUBNET_FILTERS: &[&str] = &[
    "availability-zone",
    "availabilityZone",
    "availability-zone-id",
    "available-ip-address-count",
    "cidr",
    "cidr-block",
    "cidrBlock",
    "default-for-az",
    "defaultForAz",
    "map-public-ip-on-launch",
    "owner-id",
    "state",
    "subnet-arn",
    "subnet-id",
    "vpc-id",
];

pub(super) fn subnets(
    state: &State,
    request: &DescribeSubnetsRequest,
) -> Result<DescribeSubnetsResult, Error> {
    let realm = state.realm();
    let Realm { partition, region, account, .. } = realm;
    let network = Network::of(realm);
    let all = network.subnets.iter().map(|subnet| {
        let free = state.free_addresses(subnet.block);
        let arn = format!("arn:{partition}:ec2:{region}:{account}:subnet/{}", subnet.id);
        let shown = Subnet {
            subnet_id: Some(subnet.id.clone()),
            subnet_arn: Some(arn.clone()),
            vpc_id: Some(network.id.clone()),
            owner_id: Some(account.clone()),
            availability_zone: Some(subnet.zone.clone()),
            availability_zone_id: Some(subnet.zone_id.clone()),
            cidr_block: Some(subnet.block.to_string()),
            available_ip_address_count: Some(crate::view::count(free)),
            default_for_az: Some(true),
            map_public_ip_on_launch: Some(true),
            assign_ipv6_address_on_creation: Some(false),
            state: Some(SubnetState::Available),
            tags: Some(Vec::new()),
            ..Default::default()
        };
        let facts = vec![
            ("availability-zone", subnet.zone.clone()),
            ("availabilityZone", subnet.zone.clone()),
            ("availability-zone-id", subnet.zone_id.clone()),
            ("available-ip-address-count", free.to_string()),
            ("cidr", subnet.block.to_string()),
            ("cidr-block", subnet.block.to_string()),
            ("cidrBlock", subnet.block.to_string()),
            ("default-for-az", "true".to_owned()),
            ("defaultForAz", "true".to_owned()),
            ("map-public-ip-on-launch", "true".to_owned()),
            ("owner-id", account.clone()),
            ("state", "available".to_owned()),
            ("subnet-arn", arn),
            ("subnet-id", subnet.id.clone()),
            ("vpc-id", network.id.clone()),
        ];
        Described { id: subnet.id.clone(), shown, facts }
    });
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.subnet_ids.as_ref(),
        filters: request.filters.as_ref(),
        known: SUBNET_FILTERS,
        missing: ("InvalidSubnetID.NotFound", "subnet ID"),
    };
    let chosen = choose(asked, all.collect())?;
    let (subnets, next_token) =
        page("DescribeSubnets", request.next_token.as_ref(), request.max_results, chosen)?;
    Ok(DescribeSubnetsResult { subnets: Some(subnets), next_token })
}

pub(super) fn zones(
    realm: &Realm,
    request: &DescribeAvailabilityZonesRequest,
) -> Result<DescribeAvailabilityZonesResult, Error> {
    let region = &realm.region;
    let ids = request.zone_ids.as_deref().unwrap_or_default();
    let subnets = Network::of(realm).subnets;
    if let Some(id) = ids.iter().find(|id| !subnets.iter().any(|subnet| subnet.zone_id == **id)) {
        return Err(invalid(format!("Invalid availability zone-id: [{id}]")));
    }
    let subnets = subnets.into_iter();
    let wanted = subnets.filter(|subnet| ids.is_empty() || ids.contains(&subnet.zone_id));
    let all = wanted.map(|subnet| {
        let shown = AvailabilityZone {
            zone_name: Some(subnet.zone.clone()),
            zone_id: Some(subnet.zone_id.clone()),
            region_name: Some(region.clone()),
            group_name: Some(region.clone()),
            network_border_group: Some(region.clone()),
            zone_type: Some("availability-zone".to_owned()),
            state: Some(AvailabilityZoneState::Available),
            opt_in_status: Some(AvailabilityZoneOptInStatus::OptInNotRequired),
            messages: Some(Vec::new()),
            ..Default::default()
        };
        let facts = vec![
            ("group-name", region.clone()),
            ("network-border-group", region.clone()),
            ("opt-in-status", "opt-in-not-required".to_owned()),
            ("region-name", region.clone()),
            ("state", "available".to_owned()),
            ("zone-id", subnet.zone_id.clone()),
            ("zone-name", subnet.zone.clone()),
            ("zone-type", "availability-zone".to_owned()),
        ];
        Described { id: subnet.zone, shown, facts }
    });
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.zone_names.as_ref(),
        filters: request.filters.as_ref(),
        known: &[
            "group-name",
            "network-border-group",
            "opt-in-status",
            "region-name",
            "state",
            "zone-id",
            "zone-name",
            "zone-type",
        ],
        missing: ("InvalidParameterValue", "availability zone"),
    };
    let zones = choose(asked, all.collect())?.into_iter().map(|entry| entry.shown).collect();
    Ok(DescribeAvailabilityZonesResult { availability_zones: Some(zones) })
}

pub(super) fn regions(
    realm: &Realm,
    request: &DescribeRegionsRequest,
) -> Result<DescribeRegionsResult, Error> {
    let region = &realm.region;
    let endpoint = format!("ec2.{region}.amazonaws.com");
    let shown = Region {
        region_name: Some(region.clone()),
        endpoint: Some(endpoint.clone()),
        opt_in_status: Some("opt-in-not-required".to_owned()),
        ..Default::default()
    };
    let facts = vec![
        ("endpoint", endpoint),
        ("opt-in-status", "opt-in-not-required".to_owned()),
        ("region-name", region.clone()),
    ];
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.region_names.as_ref(),
        filters: request.filters.as_ref(),
        known: &["endpoint", "opt-in-status", "region-name"],
        missing: ("InvalidParameterValue", "region"),
    };
    let chosen = choose(asked, vec![Described { id: region.clone(), shown, facts }])?;
    let regions = chosen.into_iter().map(|entry| entry.shown).collect();
    Ok(DescribeRegionsResult { regions: Some(regions) })
}

pub(super) fn account_attributes(
    realm: &Realm,
    request: &DescribeAccountAttributesRequest,
) -> Result<DescribeAccountAttributesResult, Error> {
    dry(request.dry_run)?;
    let wanted = |name: &str| {
        let names = request.attribute_names.as_ref().filter(|names| !names.is_empty());
        names.is_none_or(|names| names.iter().any(|given| given.as_str() == name))
    };
    let attributes =
        [("supported-platforms", "VPC".to_owned()), ("default-vpc", Network::of(realm).id)];
    let shown = attributes.into_iter().filter(|(name, _)| wanted(name)).map(|(name, value)| {
        let value = AccountAttributeValue { attribute_value: Some(value) };
        AccountAttribute {
            attribute_name: Some(name.to_owned()),
            attribute_values: Some(vec![value]),
        }
    });
    Ok(DescribeAccountAttributesResult { account_attributes: Some(shown.collect()) })
}
