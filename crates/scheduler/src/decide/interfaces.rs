//! The interfaces of tasks that have a network of their own (`awsvpc`): whether one is asked for
//! rightly, and which address it gets.
//!
//! An address is given when a task is placed and is the task's until it is over; so nobody waits for
//! one, and no address is ever given twice: what is held is a fold over tasks, and what this decision
//! has given so far is on its desk.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-networking-awsvpc.html>

use std::net::Ipv4Addr;

use model::{
    Block, InstanceId, InstanceKey, NetworkConfiguration, NetworkMode, Service, TaskFacts,
    TaskInterface, TaskNetwork, TaskSpec, Vpc,
};

use crate::desk::Desk;
use crate::{Failure, Lack, Rejection, placement, words};

/// The attribute that tells where an instance is.
const ZONE: &str = "ecs.availability-zone";

/// Whether a task of this definition is given a network as it needs one: a configuration if each is to
/// have its own, else none.
pub(super) fn check(
    spec: &TaskSpec,
    given: Option<&NetworkConfiguration>,
) -> Result<(), Rejection> {
    let own = match spec.network_mode {
        NetworkMode::Awsvpc => true,
        NetworkMode::Bridge | NetworkMode::Host | NetworkMode::None => false,
    };
    match (own, given) {
        (true, None) => Err(Rejection::Refused(words::NETWORK_MISSING.to_owned())),
        (false, Some(_)) => Err(Rejection::Refused(words::NETWORK_UNFIT.to_owned())),
        (true, Some(_)) | (false, None) => Ok(()),
    }
}

/// The network of a service's tasks after an update: what is given, else what it has, if the
/// definition's tasks have one at all.
pub(super) fn of_update(
    spec: &TaskSpec,
    given: Option<&NetworkConfiguration>,
    before: &Service,
) -> Result<Option<NetworkConfiguration>, Rejection> {
    if given.is_some() {
        check(spec, given)?;
    }
    let network = match spec.network_mode {
        NetworkMode::Awsvpc => given.or(before.network.as_ref()),
        NetworkMode::Bridge | NetworkMode::Host | NetworkMode::None => None,
    };
    check(spec, network)?;
    Ok(network.cloned())
}

/// The network of a task that has no place yet.
pub(super) fn wanted(given: Option<&NetworkConfiguration>) -> Option<TaskNetwork> {
    Some(TaskNetwork { configuration: given?.clone(), interface: None })
}

/// Gives a task that wants one an interface, of the subnet in its instance's zone before the others.
///
/// # Errors
/// No address is free in any of its subnets.
pub(super) fn allot(
    desk: &mut Desk<'_>,
    facts: &mut TaskFacts,
    instance: &InstanceId,
) -> Result<(), Failure> {
    let cluster = facts.host.as_ref().unwrap_or(&facts.key.cluster).clone();
    let Some(network) = &mut facts.network else { return Ok(()) };
    let vpc = Vpc::of(desk.state.realm());
    let key = InstanceKey { cluster, instance: instance.clone() };
    let zone = desk.state.instance(&key).and_then(|i| i.attribute(ZONE).flatten());
    let named = &network.configuration.subnets;
    let mut subnets: Vec<_> = named.iter().filter_map(|id| vpc.subnet(id)).collect();
    // Stable: otherwise in the order in which they were named.
    subnets.sort_by_key(|subnet| Some(subnet.zone.as_str()) != zone);
    for subnet in subnets {
        let Some(address) = free(desk, subnet.block) else { continue };
        desk.given.insert(address);
        network.interface = Some(TaskInterface {
            attachment: desk.ids.uuid(),
            id: format!("eni-0{:016x}", desk.ids.next_u64()),
            subnet: subnet.id.clone(),
            address,
        });
        return Ok(());
    }
    Err(placement::failure(instance, Lack::Address(named.clone())))
}

/// A free address of a subnet, from anywhere in it, so that one that was just given back is hardly
/// ever given again at once.
fn free(desk: &mut Desk<'_>, block: Block) -> Option<Ipv4Addr> {
    let count = block.usable();
    let first = u32::try_from(desk.ids.below(u64::from(count))).unwrap_or(0);
    let (state, given) = (desk.state, &desk.given);
    (first..count)
        .chain(0..first)
        .map(|number| block.address(number))
        .find(|address| state.address_holder(*address).is_none() && !given.contains(address))
}
