//! Load balancers.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancer.html>

use std::sync::Arc;

use aws::Error;
use aws::elbv2 as wire;
use aws::elbv2::{ErrorKind, LoadBalancerTypeEnum};
use model::{BalancerId, BalancerKind, IpAddressType, Listener, LoadBalancer, Scheme, State};
use scheduler::{BalancingCommand, NewBalancer};
use store::Committed;

use super::errors::{configuration, invalid, not_built, submit};
use super::ports::Ports;
use super::refer::{self, no_balancer};
use crate::door::Door;
use crate::ec2::Network;

/// Route 53's zone of load balancers; there is none, but clients show it.
const ZONE: &str = "Z35SXDOTRQ7X7K";

pub(super) async fn create(
    door: &Door,
    request: wire::CreateLoadBalancerInput,
) -> Result<wire::CreateLoadBalancerOutput, Error> {
    refuse_unbuilt(&request)?;
    let network = Network::of(door.realm());
    let kind = match request.r#type {
        None | Some(LoadBalancerTypeEnum::Application) => BalancerKind::Application,
        Some(LoadBalancerTypeEnum::Network) => BalancerKind::Network,
        Some(other) => {
            return Err(configuration(format!(
                "Type '{other}' is not built yet in Wharf; choose application or network"
            )));
        }
    };
    let subnets = subnets(&network, kind, &request.subnets, &request.subnet_mappings)?;
    let mut security_groups = request.security_groups.clone().unwrap_or_default();
    check_groups(&network, &security_groups)?;
    if security_groups.is_empty() && kind == BalancerKind::Application {
        security_groups.push(network.security_group.clone());
    }
    let new = NewBalancer {
        name: refer::name("load balancer", request.name.as_ref())?,
        kind,
        scheme: match request.scheme {
            Some(wire::LoadBalancerSchemeEnum::Internal) => Scheme::Internal,
            _ => Scheme::InternetFacing,
        },
        addresses: addresses(request.ip_address_type.as_ref())?.unwrap_or(IpAddressType::Ipv4),
        subnets,
        security_groups,
        names: door.config().balancing.names.clone(),
        tags: refer::tags(request.tags.as_ref())?,
    };
    let committed = submit(door, BalancingCommand::CreateBalancer(new)).await?;
    let made = made(&committed).and_then(|id| committed.state.balancing().balancer(&id));
    let ports = &*door.config().balancing.ports;
    let made = made.map(|balancer| view(&committed.state, ports, balancer));
    Ok(wire::CreateLoadBalancerOutput { load_balancers: Some(made.into_iter().collect()) })
}

fn made(committed: &Committed) -> Option<BalancerId> {
    match &committed.reply {
        scheduler::Reply::Balancing(model::BalancingResource::Balancer(id)) => Some(id.clone()),
        _ => None,
    }
}

fn refuse_unbuilt(request: &wire::CreateLoadBalancerInput) -> Result<(), Error> {
    not_built(
        "CustomerOwnedIpv4Pool",
        request.customer_owned_ipv4_pool.as_ref(),
        "customer-owned addresses are",
    )?;
    not_built("IpamPools", request.ipam_pools.as_ref(), "IPAM pools are")?;
    let prefix = request.enable_prefix_for_ipv6_source_nat.as_ref();
    let on = prefix.filter(|given| **given == wire::EnablePrefixForIpv6SourceNatEnum::On);
    not_built("EnablePrefixForIpv6SourceNat", on, "IPv6 prefixes are")
}

/// The subnets that a request names: of an application load balancer in two zones at least.
fn subnets(
    network: &Network,
    kind: BalancerKind,
    plain: &Option<Vec<String>>,
    mapped: &Option<Vec<wire::SubnetMapping>>,
) -> Result<Vec<String>, Error> {
    let mut subnets = plain.clone().unwrap_or_default();
    let mapped = mapped.as_deref().unwrap_or_default();
    if !subnets.is_empty() && !mapped.is_empty() {
        return Err(invalid("You must specify either subnets or subnet mappings, but not both"));
    }
    for mapping in mapped {
        for (member, value) in [
            ("AllocationId", &mapping.allocation_id),
            ("PrivateIPv4Address", &mapping.private_ipv4_address),
            ("IPv6Address", &mapping.ipv6_address),
            ("SourceNatIpv6Prefix", &mapping.source_nat_ipv6_prefix),
        ] {
            let member = format!("SubnetMappings.{member}");
            not_built(&member, value.as_ref(), "addresses of one's own are")?;
        }
        subnets.extend(mapping.subnet_id.clone());
    }
    let mut zones = Vec::new();
    for id in &subnets {
        let subnet = network.subnet(id).ok_or_else(|| {
            ErrorKind::SubnetNotFoundException.with(format!("The subnet ID '{id}' does not exist"))
        })?;
        if zones.contains(&&subnet.zone) {
            return Err(configuration(
                "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
            ));
        }
        zones.push(&subnet.zone);
    }
    let least = if kind == BalancerKind::Application { 2 } else { 1 };
    if zones.len() < least {
        return Err(if zones.is_empty() {
            invalid("At least one subnet must be specified")
        } else {
            invalid("At least two subnets in two different Availability Zones must be specified")
        });
    }
    Ok(subnets)
}

/// Security groups that are there.
fn check_groups(network: &Network, groups: &[String]) -> Result<(), Error> {
    match groups.iter().find(|group| **group != network.security_group) {
        None => Ok(()),
        Some(group) => Err(ErrorKind::InvalidSecurityGroupException.with(format!(
            "Security group '{group}' is not there: Wharf has the default one, '{}', and the machine's \
             firewall says who gets in",
            network.security_group
        ))),
    }
}

fn addresses(given: Option<&wire::IpAddressType>) -> Result<Option<IpAddressType>, Error> {
    match given {
        None => Ok(None),
        Some(wire::IpAddressType::Ipv4) => Ok(Some(IpAddressType::Ipv4)),
        Some(wire::IpAddressType::Dualstack) => Ok(Some(IpAddressType::DualStack)),
        Some(other) => Err(configuration(format!(
            "IpAddressType '{other}' is not built yet in Wharf; choose ipv4 or dualstack"
        ))),
    }
}

pub(super) async fn delete(
    door: &Door,
    request: wire::DeleteLoadBalancerInput,
) -> Result<wire::DeleteLoadBalancerOutput, Error> {
    let id = refer::balancer(door.realm(), request.load_balancer_arn.as_ref())?;
    submit(door, BalancingCommand::DeleteBalancer(id)).await?;
    Ok(wire::DeleteLoadBalancerOutput {})
}

pub(super) fn describe(
    state: &State,
    ports: &dyn Ports,
    request: &wire::DescribeLoadBalancersInput,
) -> Result<wire::DescribeLoadBalancersOutput, Error> {
    let arns = request.load_balancer_arns.as_deref().unwrap_or_default();
    let names = request.names.as_deref().unwrap_or_default();
    if !arns.is_empty() && !names.is_empty() {
        return Err(invalid(
            "Load balancer names and load balancer ARNs cannot be specified at the same time",
        ));
    }
    let book = state.balancing();
    let mut found = Vec::new();
    for arn in arns {
        let id = refer::balancer(state.realm(), Some(arn))?;
        found.push(book.balancer(&id).ok_or_else(|| no_balancer(arn))?);
    }
    for name in names {
        let named = book.balancers().find(|balancer| balancer.id.name() == name);
        found.push(named.ok_or_else(|| no_balancer(name))?);
    }
    if arns.is_empty() && names.is_empty() {
        found.extend(book.balancers());
    }
    let entries = found.into_iter().map(|b| (b.id.to_string(), view(state, ports, b))).collect();
    let (page, next) =
        refer::page("DescribeLoadBalancers", request.marker.as_ref(), request.page_size, entries)?;
    Ok(wire::DescribeLoadBalancersOutput { load_balancers: Some(page), next_marker: next })
}

/// How a load balancer does: it is active as soon as it is there, impaired while some of its listeners
/// do not listen, and failed while none does.
fn standing(state: &State, ports: &dyn Ports, balancer: &LoadBalancer) -> wire::LoadBalancerState {
    let listeners: Vec<_> = state.balancing().listeners(&balancer.id).collect();
    let told = |listener: &&Arc<Listener>| {
        let why = ports.trouble(&listener.id)?;
        Some(format!("The listener of port {} does not listen: {why}", listener.port))
    };
    let troubles: Vec<String> = listeners.iter().filter_map(told).collect();
    let code = match troubles.len() {
        0 => wire::LoadBalancerStateEnum::Active,
        some if some < listeners.len() => wire::LoadBalancerStateEnum::ActiveImpaired,
        _ => wire::LoadBalancerStateEnum::Failed,
    };
    let reason = (!troubles.is_empty()).then(|| troubles.join("; "));
    wire::LoadBalancerState { code: Some(code), reason }
}

/// A load balancer as answers have it.
fn view(state: &State, ports: &dyn Ports, balancer: &LoadBalancer) -> wire::LoadBalancer {
    let realm = state.realm();
    let network = Network::of(realm);
    let application = balancer.kind == BalancerKind::Application;
    let groups = Some(balancer.security_groups.clone());
    wire::LoadBalancer {
        load_balancer_arn: Some(realm.balancer(&balancer.id)),
        load_balancer_name: Some(balancer.id.name().to_owned()),
        dns_name: Some(balancer.dns_name.clone()),
        canonical_hosted_zone_id: Some(ZONE.to_owned()),
        created_time: Some(balancer.created_at),
        scheme: Some(match balancer.scheme {
            Scheme::InternetFacing => wire::LoadBalancerSchemeEnum::InternetFacing,
            Scheme::Internal => wire::LoadBalancerSchemeEnum::Internal,
        }),
        state: Some(standing(state, ports, balancer)),
        r#type: Some(if application {
            LoadBalancerTypeEnum::Application
        } else {
            LoadBalancerTypeEnum::Network
        }),
        availability_zones: Some(zones(&network, &balancer.subnets)),
        security_groups: groups.filter(|groups| application || !groups.is_empty()),
        ip_address_type: Some(wire_addresses(balancer.addresses)),
        vpc_id: Some(network.id),
        ..Default::default()
    }
}

fn zones(network: &Network, subnets: &[String]) -> Vec<wire::AvailabilityZone> {
    let one = |id: &String| wire::AvailabilityZone {
        subnet_id: Some(id.clone()),
        zone_name: network.subnet(id).map(|subnet| subnet.zone.clone()),
        load_balancer_addresses: Some(Vec::new()),
        ..Default::default()
    };
    subnets.iter().map(one).collect()
}

const fn wire_addresses(addresses: IpAddressType) -> wire::IpAddressType {
    match addresses {
        IpAddressType::Ipv4 => wire::IpAddressType::Ipv4,
        IpAddressType::DualStack => wire::IpAddressType::Dualstack,
    }
}

/// The load balancer that an ARN names.
pub(super) fn find<'s>(state: &'s State, arn: Option<&String>) -> Result<&'s LoadBalancer, Error> {
    let id = refer::balancer(state.realm(), arn)?;
    let found = state.balancing().balancer(&id).map(|balancer| &**balancer);
    found.ok_or_else(|| no_balancer(&state.realm().balancer(&id)))
}

pub(super) async fn set_subnets(
    door: &Door,
    request: wire::SetSubnetsInput,
) -> Result<wire::SetSubnetsOutput, Error> {
    let network = Network::of(door.realm());
    let snapshot = door.snapshot();
    let balancer = find(&snapshot, request.load_balancer_arn.as_ref())?;
    let prefix = request.enable_prefix_for_ipv6_source_nat.as_ref();
    let on = prefix.filter(|given| **given == wire::EnablePrefixForIpv6SourceNatEnum::On);
    not_built("EnablePrefixForIpv6SourceNat", on, "IPv6 prefixes are")?;
    let subnets = subnets(&network, balancer.kind, &request.subnets, &request.subnet_mappings)?;
    let addresses = addresses(request.ip_address_type.as_ref())?;
    let id = balancer.id.clone();
    let command = BalancingCommand::SetSubnets(id.clone(), subnets, addresses);
    let committed = submit(door, command).await?;
    let after = committed.state.balancing().balancer(&id);
    Ok(wire::SetSubnetsOutput {
        availability_zones: after.map(|after| zones(&network, &after.subnets)),
        ip_address_type: after.map(|after| wire_addresses(after.addresses)),
        ..Default::default()
    })
}

pub(super) async fn set_security_groups(
    door: &Door,
    request: wire::SetSecurityGroupsInput,
) -> Result<wire::SetSecurityGroupsOutput, Error> {
    not_built(
        "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic",
        request.enforce_security_group_inbound_rules_on_private_link_traffic.as_ref(),
        "PrivateLink is",
    )?;
    let id = refer::balancer(door.realm(), request.load_balancer_arn.as_ref())?;
    let groups = request.security_groups.unwrap_or_default();
    check_groups(&Network::of(door.realm()), &groups)?;
    submit(door, BalancingCommand::SetSecurityGroups(id, groups.clone())).await?;
    Ok(wire::SetSecurityGroupsOutput { security_group_ids: Some(groups), ..Default::default() })
}

pub(super) async fn set_addresses(
    door: &Door,
    request: wire::SetIpAddressTypeInput,
) -> Result<wire::SetIpAddressTypeOutput, Error> {
    let id = refer::balancer(door.realm(), request.load_balancer_arn.as_ref())?;
    let wanted = addresses(request.ip_address_type.as_ref())?.unwrap_or(IpAddressType::Ipv4);
    submit(door, BalancingCommand::SetAddresses(id, wanted)).await?;
    Ok(wire::SetIpAddressTypeOutput { ip_address_type: Some(wire_addresses(wanted)) })
}
