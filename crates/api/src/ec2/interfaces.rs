//! The interfaces of tasks that have a network of their own, as EC2 describes them.
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeNetworkInterfaces.html>

use aws::Error;
use aws::ec2::*;
use model::{State, Task, TaskInterface};

use super::filter::{Asked, Described, choose, page};
use super::network::Network;

const FILTERS: &[&str] = &[
    "addresses.private-ip-address",
    "association.public-ip",
    "attachment.instance-id",
    "attachment.status",
    "availability-zone",
    "description",
    "group-id",
    "interface-type",
    "mac-address",
    "network-interface-id",
    "owner-id",
    "private-ip-address",
    "requester-id",
    "requester-managed",
    "status",
    "subnet-id",
    "vpc-id",
];

pub(super) fn network_interfaces(
    state: &State,
    request: &DescribeNetworkInterfacesRequest,
) -> Result<DescribeNetworkInterfacesResult, Error> {
    let network = Network::of(state.realm());
    let all =
        state.tasks_with_interfaces().map(|(found, task)| described(state, &network, found, task));
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.network_interface_ids.as_ref(),
        filters: request.filters.as_ref(),
        known: FILTERS,
        missing: ("InvalidNetworkInterfaceID.NotFound", "network interface ID"),
    };
    let chosen = choose(asked, all.collect())?;
    let (found, next_token) = page(
        "DescribeNetworkInterfaces",
        request.next_token.as_ref(),
        request.max_results,
        chosen,
    )?;
    Ok(DescribeNetworkInterfacesResult { network_interfaces: Some(found), next_token })
}

fn described(
    state: &State,
    network: &Network,
    interface: &TaskInterface,
    task: &Task,
) -> Described<NetworkInterface> {
    let realm = state.realm();
    let subnet = network.subnet(&interface.subnet);
    let (address, mac) = (interface.address.to_string(), interface.mac());
    let dns = interface.dns_name(realm);
    // The words by which ECS's own interfaces are told.
    let description = realm.attachment(&interface.attachment);
    let groups = crate::network::groups(realm, &task.facts);
    let shown = NetworkInterface {
        network_interface_id: Some(interface.id.clone()),
        description: Some(description.clone()),
        interface_type: Some(NetworkInterfaceType::Interface),
        availability_zone: subnet.map(|subnet| subnet.zone.clone()),
        subnet_id: Some(interface.subnet.clone()),
        vpc_id: Some(network.id.clone()),
        owner_id: Some(realm.account.clone()),
        requester_managed: Some(true),
        mac_address: Some(mac.clone()),
        private_ip_address: Some(address.clone()),
        private_dns_name: Some(dns.clone()),
        private_ip_addresses: Some(vec![NetworkInterfacePrivateIpAddress {
            primary: Some(true),
            private_ip_address: Some(address.clone()),
            private_dns_name: Some(dns),
            ..Default::default()
        }]),
        groups: Some(groups.iter().map(|id| group(network, id)).collect()),
        status: Some(NetworkInterfaceStatus::InUse),
        source_dest_check: Some(true),
        ..Default::default()
    };
    let mut facts = vec![
        ("addresses.private-ip-address", address.clone()),
        ("attachment.status", "attached".to_owned()),
        ("description", description),
        ("interface-type", "interface".to_owned()),
        ("mac-address", mac),
        ("network-interface-id", interface.id.clone()),
        ("owner-id", realm.account.clone()),
        ("private-ip-address", address),
        ("requester-managed", "true".to_owned()),
        ("status", "in-use".to_owned()),
        ("subnet-id", interface.subnet.clone()),
        ("vpc-id", network.id.clone()),
    ];
    facts.extend(groups.into_iter().map(|id| ("group-id", id)));
    facts.extend(subnet.map(|subnet| ("availability-zone", subnet.zone.clone())));
    Described { id: interface.id.clone(), shown, facts }
}

fn group(network: &Network, id: &str) -> GroupIdentifier {
    let default = *id == network.security_group;
    GroupIdentifier {
        group_id: Some(id.to_owned()),
        group_name: default.then(|| "default".to_owned()),
    }
}
