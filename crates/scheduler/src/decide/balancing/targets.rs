//! Targets registered by hand. Those of services join and leave in `decide::targets`.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RegisterTargets.html>

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{BalancingChange, GroupId, Place, Target, TargetGroup, TargetKey, TargetKind};

use super::{Decided, draft, groups, put, within};
use crate::desk::Desk;
use crate::{BalancingLimit, BalancingRejection, NewTarget, Reply};

type Refusal = BalancingRejection;

pub(super) fn register(desk: &mut Desk<'_>, id: &GroupId, targets: &[NewTarget]) -> Decided {
    let group = groups::find(desk, id)?.clone();
    let book = desk.state.balancing();
    let mut wanted = Vec::new();
    for target in targets {
        check_kind(&group, target)?;
        wanted.push((key(&group, target), target.zone.clone()));
    }
    let missing: BTreeSet<&str> = wanted.iter().filter_map(|(key, _)| absent(desk, key)).collect();
    if !missing.is_empty() {
        let named: Vec<String> = missing.iter().map(|id| format!("'{id}'")).collect();
        return Err(Refusal::NoSuchTarget(named.join(", ")));
    }
    let all: BTreeSet<&TargetKey> = book
        .targets(id)
        .map(|target| &target.key)
        .chain(wanted.iter().map(|(key, _)| key))
        .collect();
    within(BalancingLimit::Targets, all.len())?;
    for (key, zone) in wanted {
        // What is registered stays as it is; one that was leaving is new again.
        if book.target(&key).is_some_and(|there| there.draining_since.is_none()) {
            continue;
        }
        // A task that was leaving does not wait for what is registered by hand.
        let target =
            Target { key, zone, task: None, registered_at: desk.now, draining_since: None };
        put(desk, BalancingChange::PutTarget(Arc::new(target)));
    }
    Ok(Reply::Done)
}

/// A target can be named in the way of its group only.
fn check_kind(group: &TargetGroup, target: &NewTarget) -> Result<(), Refusal> {
    let (fits, kind) = match (group.kind, &target.place) {
        (TargetKind::Instance, Place::Instance(_)) => (true, "instance"),
        (TargetKind::Ip, Place::Ip(_)) => (true, "ip"),
        (TargetKind::Instance, Place::Ip(_)) => (false, "instance"),
        (TargetKind::Ip, Place::Instance(_)) => (false, "ip"),
    };
    if !fits {
        return Err(Refusal::Invalid(format!(
            "The ID '{}' is not valid for target groups with target type '{kind}'",
            target.place
        )));
    }
    if group.kind == TargetKind::Instance && target.zone.is_some() {
        return Err(Refusal::Invalid(
            "You cannot specify an Availability Zone for a target group with target type 'instance'"
                .to_owned(),
        ));
    }
    Ok(())
}

fn key(group: &TargetGroup, target: &NewTarget) -> TargetKey {
    TargetKey {
        group: group.id.clone(),
        place: target.place.clone(),
        port: target.port.unwrap_or(group.port),
    }
}

/// The instance that a target names and that is not there.
fn absent<'k>(desk: &Desk<'_>, key: &'k TargetKey) -> Option<&'k str> {
    match &key.place {
        Place::Ip(_) => None,
        Place::Instance(id) => {
            let state = desk.state;
            let mut all = state.clusters().flat_map(|cluster| state.instances(&cluster.name));
            let there = all.any(|instance| instance.target_id() == id);
            (!there).then_some(id.as_str())
        }
    }
}

/// Those without a port leave with every port that they have. What is not there is no error.
pub(super) fn deregister(desk: &mut Desk<'_>, id: &GroupId, targets: &[NewTarget]) -> Decided {
    let group = groups::find(desk, id)?.clone();
    let book = desk.state.balancing();
    let in_use = book.in_use(id);
    let mut leaving = BTreeSet::new();
    for target in targets {
        check_kind(&group, &NewTarget { zone: None, ..target.clone() })?;
        let same = |there: &&Arc<Target>| {
            there.key.place == target.place && target.port.is_none_or(|port| there.key.port == port)
        };
        leaving.extend(book.targets(id).filter(same).map(|there| there.key.clone()));
    }
    for key in leaving {
        let Some(there) = book.target(&key).filter(|there| there.draining_since.is_none()) else {
            continue;
        };
        let change = if in_use {
            let mut target = draft(there);
            target.draining_since = Some(desk.now);
            BalancingChange::PutTarget(Arc::new(target))
        } else {
            // Nobody sends to it, so it has nothing to finish.
            BalancingChange::DeleteTarget(key)
        };
        put(desk, change);
    }
    Ok(Reply::Done)
}
