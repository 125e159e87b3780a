//! Load balancers, target groups, listeners, rules and targets: what AWS's rules make of a command.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/Welcome.html>

mod balancers;
mod groups;
mod listeners;
mod rules;
mod tags;
mod targets;

use std::sync::Arc;

use model::{BalancingChange, BalancingResource, Change};
use stdx::Entropy;

use crate::desk::Desk;
use crate::{BalancingCommand, BalancingLimit, BalancingRejection, Rejection, Reply};

/// The outcome of a decision here, before it is put into the words of all decisions.
type Decided = Result<Reply, BalancingRejection>;

/// A command about balancing.
pub(super) fn decide(desk: &mut Desk<'_>, command: &BalancingCommand) -> Result<Reply, Rejection> {
    use BalancingCommand as C;
    let decided = match command {
        C::CreateBalancer(new) => balancers::create(desk, new),
        C::DeleteBalancer(id) => balancers::delete(desk, id),
        C::SetBalancer(id, attributes) => balancers::set(desk, id, attributes),
        C::SetSubnets(id, subnets, addresses) => {
            balancers::set_subnets(desk, id, subnets, *addresses)
        }
        C::SetSecurityGroups(id, groups) => balancers::set_security_groups(desk, id, groups),
        C::SetAddresses(id, addresses) => balancers::set_addresses(desk, id, *addresses),
        C::CreateGroup(new) => groups::create(desk, new),
        C::EditHealth(id, edit) => groups::edit_health(desk, id, edit),
        C::DeleteGroup(id) => groups::delete(desk, id),
        C::SetGroup(id, attributes) => groups::set(desk, id, attributes),
        C::Register(id, targets) => targets::register(desk, id, targets),
        C::Deregister(id, targets) => targets::deregister(desk, id, targets),
        C::CreateListener(new) => listeners::create(desk, new),
        C::EditListener(id, edit) => listeners::edit(desk, id, edit),
        C::SetTcpIdleTimeout(id, timeout) => listeners::set_idle_timeout(desk, id, *timeout),
        C::DeleteListener(id) => listeners::delete(desk, id),
        C::AddCertificates(id, arns) => listeners::add_certificates(desk, id, arns),
        C::RemoveCertificates(id, arns) => listeners::remove_certificates(desk, id, arns),
        C::CreateRule(new) => rules::create(desk, new),
        C::EditRule(id, conditions, action) => {
            rules::edit(desk, id, conditions.as_deref(), action.as_ref())
        }
        C::DeleteRule(id) => rules::delete(desk, id),
        C::SetPriorities(pairs) => rules::set_priorities(desk, pairs),
        C::Tag(resources, tags) => tags::tag(desk, resources, tags),
        C::Untag(resources, keys) => tags::untag(desk, resources, keys),
    };
    decided.map_err(Rejection::Balancing)
}

fn put(desk: &mut Desk<'_>, change: BalancingChange) {
    desk.put(Change::Balancing(change));
}

fn done(resource: BalancingResource) -> Decided {
    Ok(Reply::Balancing(resource))
}

/// The end of an ARN: 16 hexadecimal digits.
fn tail(ids: &mut dyn Entropy) -> String {
    format!("{:016x}", ids.next_u64())
}

/// Refuses if there would be more than a limit allows.
fn within(limit: BalancingLimit, would_be: usize) -> Result<(), BalancingRejection> {
    if would_be > limit.most() {
        return Err(BalancingRejection::TooMany(limit, would_be));
    }
    Ok(())
}

/// A record as it is, to be changed.
fn draft<T: Clone>(record: &Arc<T>) -> T {
    T::clone(record)
}
