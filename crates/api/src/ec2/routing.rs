//! The parts of the default network that say what goes where, and the machines in it.
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSecurityGroups.html>

use aws::Error;
use aws::ec2::*;
use model::{Realm, State};

use super::filter::{Asked, Described, choose, page};
use super::network::Network;

/// The default security group. It lets everything through: the machine's firewall says who gets in.
pub(super) fn security_groups(
    realm: &Realm,
    request: &DescribeSecurityGroupsRequest,
) -> Result<DescribeSecurityGroupsResult, Error> {
    let network = Network::of(realm);
    let names = request.group_names.as_deref().unwrap_or_default();
    if let Some(name) = names.iter().find(|name| *name != "default") {
        let message = format!("The security group '{name}' does not exist");
        return Err(Error::new("InvalidGroup.NotFound", 400, message));
    }
    let everything = IpPermission {
        ip_protocol: Some("-1".to_owned()),
        ip_ranges: Some(vec![IpRange {
            cidr_ip: Some("0.0.0.0/0".to_owned()),
            ..Default::default()
        }]),
        ..Default::default()
    };
    let Realm { partition, region, account, .. } = realm;
    let id = network.security_group.clone();
    let group = SecurityGroup {
        group_id: Some(id.clone()),
        group_name: Some("default".to_owned()),
        description: Some("default VPC security group".to_owned()),
        vpc_id: Some(network.id.clone()),
        owner_id: Some(account.clone()),
        security_group_arn: Some(format!(
            "arn:{partition}:ec2:{region}:{account}:security-group/{id}"
        )),
        ip_permissions: Some(vec![everything.clone()]),
        ip_permissions_egress: Some(vec![everything]),
        tags: Some(Vec::new()),
    };
    let facts = vec![
        ("description", "default VPC security group".to_owned()),
        ("group-id", id.clone()),
        ("group-name", "default".to_owned()),
        ("owner-id", account.clone()),
        ("vpc-id", network.id),
    ];
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.group_ids.as_ref(),
        filters: request.filters.as_ref(),
        known: &["description", "group-id", "group-name", "owner-id", "vpc-id"],
        missing: ("InvalidGroup.NotFound", "security group"),
    };
    let chosen = choose(asked, vec![Described { id, shown: group, facts }])?;
    let (groups, next_token) =
        page("DescribeSecurityGroups", request.next_token.as_ref(), request.max_results, chosen)?;
    Ok(DescribeSecurityGroupsResult { security_groups: Some(groups), next_token })
}

pub(super) fn internet_gateways(
    realm: &Realm,
    request: &DescribeInternetGatewaysRequest,
) -> Result<DescribeInternetGatewaysResult, Error> {
    let network = Network::of(realm);
    let attachment = InternetGatewayAttachment {
        vpc_id: Some(network.id.clone()),
        // EC2 says available of a gateway's attachment, though the shape has no such word.
        state: Some(AttachmentStatus::from("available")),
    };
    let gateway = InternetGateway {
        internet_gateway_id: Some(network.gateway.clone()),
        owner_id: Some(realm.account.clone()),
        attachments: Some(vec![attachment]),
        tags: Some(Vec::new()),
    };
    let facts = vec![
        ("attachment.state", "available".to_owned()),
        ("attachment.vpc-id", network.id),
        ("internet-gateway-id", network.gateway.clone()),
        ("owner-id", realm.account.clone()),
    ];
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.internet_gateway_ids.as_ref(),
        filters: request.filters.as_ref(),
        known: &["attachment.state", "attachment.vpc-id", "internet-gateway-id", "owner-id"],
        missing: ("InvalidInternetGatewayID.NotFound", "internetGateway ID"),
    };
    let chosen = choose(asked, vec![Described { id: network.gateway, shown: gateway, facts }])?;
    let (gateways, next_token) =
        page("DescribeInternetGateways", request.next_token.as_ref(), request.max_results, chosen)?;
    Ok(DescribeInternetGatewaysResult { internet_gateways: Some(gateways), next_token })
}

pub(super) fn route_tables(
    realm: &Realm,
    request: &DescribeRouteTablesRequest,
) -> Result<DescribeRouteTablesResult, Error> {
    let network = Network::of(realm);
    let id = network.route_table.clone();
    let route = |block: &str, gateway: &str, origin| Route {
        destination_cidr_block: Some(block.to_owned()),
        gateway_id: Some(gateway.to_owned()),
        origin: Some(origin),
        state: Some(RouteState::Active),
        ..Default::default()
    };
    let main = RouteTableAssociation {
        main: Some(true),
        route_table_association_id: Some(id.replacen("rtb", "rtbassoc", 1)),
        route_table_id: Some(id.clone()),
        ..Default::default()
    };
    let table = RouteTable {
        route_table_id: Some(id.clone()),
        vpc_id: Some(network.id.clone()),
        owner_id: Some(realm.account.clone()),
        associations: Some(vec![main]),
        routes: Some(vec![
            route(&network.block.to_string(), "local", RouteOrigin::CreateRouteTable),
            route("0.0.0.0/0", &network.gateway, RouteOrigin::CreateRoute),
        ]),
        propagating_vgws: Some(Vec::new()),
        tags: Some(Vec::new()),
    };
    let facts = vec![
        ("association.main", "true".to_owned()),
        ("association.route-table-id", id.clone()),
        ("owner-id", realm.account.clone()),
        ("route-table-id", id.clone()),
        ("route.gateway-id", network.gateway.clone()),
        ("route.gateway-id", "local".to_owned()),
        ("route.destination-cidr-block", network.block.to_string()),
        ("route.destination-cidr-block", "0.0.0.0/0".to_owned()),
        ("vpc-id", network.id),
    ];
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.route_table_ids.as_ref(),
        filters: request.filters.as_ref(),
        known: &[
            "association.main",
            "association.route-table-id",
            "association.subnet-id",
            "owner-id",
            "route-table-id",
            "route.gateway-id",
            "route.destination-cidr-block",
            "vpc-id",
        ],
        missing: ("InvalidRouteTableID.NotFound", "routeTable ID"),
    };
    let chosen = choose(asked, vec![Described { id, shown: table, facts }])?;
    let (tables, next_token) =
        page("DescribeRouteTables", request.next_token.as_ref(), request.max_results, chosen)?;
    Ok(DescribeRouteTablesResult { route_tables: Some(tables), next_token })
}

const INSTANCE_FILTERS: &[&str] = &[
    "availability-zone",
    "instance-id",
    "instance-state-code",
    "instance-state-name",
    "instance-type",
    "ip-address",
    "owner-id",
    "private-ip-address",
    "subnet-id",
    "vpc-id",
];

/// The container instances that gave ids of EC2's for themselves.
pub(super) fn instances(
    state: &State,
    request: &DescribeInstancesRequest,
) -> Result<DescribeInstancesResult, Error> {
    let realm = state.realm();
    let network = Network::of(realm);
    let all = state.clusters().flat_map(|cluster| state.instances(&cluster.name));
    let all = all.filter_map(|node| {
        let id = node.ec2_instance_id.as_ref().filter(|id| id.starts_with("i-"))?;
        Some(described(realm, &network, id, node))
    });
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.instance_ids.as_ref(),
        filters: request.filters.as_ref(),
        known: INSTANCE_FILTERS,
        missing: ("InvalidInstanceID.NotFound", "instance ID"),
    };
    let chosen = choose(asked, all.collect())?;
    let (found, next_token) =
        page("DescribeInstances", request.next_token.as_ref(), request.max_results, chosen)?;
    Ok(DescribeInstancesResult { reservations: Some(found), next_token })
}

/// A node as an instance that is reserved alone.
fn described(
    realm: &Realm,
    network: &Network,
    id: &str,
    node: &model::Instance,
) -> Described<Reservation> {
    let told = |name: &str| node.attribute(name).flatten().map(str::to_owned);
    let zone = told("ecs.availability-zone");
    let subnet = network.subnets.iter().find(|subnet| Some(&subnet.zone) == zone.as_ref());
    let subnet = subnet.or_else(|| network.subnets.first());
    let address = node.address.map(|address| address.to_string());
    let kind = told("ecs.instance-type");
    let instance = Instance {
        instance_id: Some(id.to_owned()),
        instance_type: kind.as_deref().map(InstanceType::from),
        state: Some(InstanceState { code: Some(16), name: Some(InstanceStateName::Running) }),
        private_ip_address: address.clone(),
        vpc_id: Some(network.id.clone()),
        subnet_id: subnet.map(|subnet| subnet.id.clone()),
        placement: Some(Placement {
            availability_zone: subnet.map(|subnet| subnet.zone.clone()),
            availability_zone_id: subnet.map(|subnet| subnet.zone_id.clone()),
            tenancy: Some(Tenancy::Default),
            ..Default::default()
        }),
        launch_time: Some(node.registered_at),
        tags: Some(Vec::new()),
        ..Default::default()
    };
    let mut facts = vec![
        ("instance-id", id.to_owned()),
        ("instance-state-code", "16".to_owned()),
        ("instance-state-name", "running".to_owned()),
        ("owner-id", realm.account.clone()),
        ("vpc-id", network.id.clone()),
    ];
    facts.extend(address.map(|address| ("private-ip-address", address)));
    facts.extend(kind.map(|kind| ("instance-type", kind)));
    if let Some(subnet) = subnet {
        facts.push(("subnet-id", subnet.id.clone()));
        facts.push(("availability-zone", subnet.zone.clone()));
    }
    let shown = Reservation {
        reservation_id: Some(id.replacen("i-", "r-", 1)),
        owner_id: Some(realm.account.clone()),
        groups: Some(Vec::new()),
        instances: Some(vec![instance]),
        ..Default::default()
    };
    Described { id: id.to_owned(), shown, facts }
}
