//! What keeps a task off an instance, in the order of the filters, and how near each came.

use std::cmp::Reverse;

use model::fleet::Standing;
use model::{Instance, InstanceId, LaunchType, State};

use super::Wish;
use crate::{Failure, FailureReason, Lack, Shortfall};

/// Why a task fits nowhere, gathered instance by instance in the order of their ids.
#[derive(Debug, Default)]
pub(super) struct Lacks {
    nearest: Option<(InstanceId, Lack)>,
    shortfalls: Vec<Shortfall>,
    detail: Vec<(InstanceId, Lack)>,
}

impl Lacks {
    /// An instance, or one of so many that lack the same, cannot take the task.
    pub(super) fn add(&mut self, id: &InstanceId, lack: Lack, instances: u32) {
        // Of two that came equally near the first by id is told of.
        let closer = |best: &Lack, at: &InstanceId| {
            (closeness(&lack), Reverse(id)) > (closeness(best), Reverse(at))
        };
        if self.nearest.as_ref().is_none_or(|(at, best)| closer(best, at)) {
            self.nearest = Some((id.clone(), lack.clone()));
        }
        match self.shortfalls.iter_mut().find(|known| alike(&known.lack, &lack)) {
            Some(known) => {
                known.instances += instances;
                if closer(&known.lack, &known.nearest) {
                    (known.nearest, known.lack) = (id.clone(), lack);
                }
            }
            None => self.shortfalls.push(Shortfall { instances, nearest: id.clone(), lack }),
        }
    }

    /// What an instance lacks, to be told of it by name.
    pub(super) fn name(&mut self, id: &InstanceId, lack: Lack) {
        if self.detail.len() < Failure::DETAILED {
            self.detail.push((id.clone(), lack));
        }
    }

    /// The failure: the instance that came nearest gives the reason, and the most frequent lack comes
    /// first.
    pub(super) fn into_failure(mut self) -> Failure {
        self.shortfalls.sort_by(|a, b| (b.instances, &a.nearest).cmp(&(a.instances, &b.nearest)));
        let (shortfalls, detail) = (self.shortfalls, self.detail);
        match self.nearest {
            None => {
                Failure { instance: None, reason: FailureReason::NoInstances, shortfalls, detail }
            }
            Some((id, lack)) => {
                Failure { instance: Some(id), reason: reason(&lack), shortfalls, detail }
            }
        }
    }
}

/// Adds to a failure what another one tells.
pub(crate) fn merge(into: &mut Failure, other: Failure) {
    for shortfall in other.shortfalls {
        match into.shortfalls.iter_mut().find(|known| alike(&known.lack, &shortfall.lack)) {
            Some(known) => {
                known.instances += shortfall.instances;
                if closeness(&shortfall.lack) > closeness(&known.lack) {
                    (known.nearest, known.lack) = (shortfall.nearest, shortfall.lack);
                }
            }
            None => into.shortfalls.push(shortfall),
        }
    }
    into.shortfalls.sort_by_key(|shortfall| Reverse(shortfall.instances));
    into.detail.extend(other.detail);
    into.detail.truncate(Failure::DETAILED);
}

/// Whether two instances lack the same, be it more of it or less.
fn alike(one: &Lack, other: &Lack) -> bool {
    match (one, other) {
        (Lack::Cpu { wants: a, .. }, Lack::Cpu { wants: b, .. })
        | (Lack::Memory { wants: a, .. }, Lack::Memory { wants: b, .. })
        | (Lack::Gpu { wants: a, .. }, Lack::Gpu { wants: b, .. }) => a == b,
        _ => one == other,
    }
}

/// How near an instance came: how many filters it passed, then how little is lacking.
pub(super) fn closeness(lack: &Lack) -> (u8, Reverse<u32>) {
    let (passed, short) = match lack {
        Lack::Unknown => (0, 0),
        Lack::Provider(_) => (1, 0),
        Lack::LaunchType => (1, 0),
        Lack::Draining => (2, 0),
        Lack::AgentDisconnected => (3, 0),
        Lack::Attribute(_) => (4, 0),
        Lack::Expression(_) => (5, 0),
        Lack::NotDistinct => (6, 0),
        Lack::Cpu { wants, has } => (7, wants.saturating_sub(*has)),
        Lack::Memory { wants, has } => (8, wants.saturating_sub(*has)),
        Lack::Port(_) => (9, 0),
        Lack::Gpu { wants, has } => (10, wants.saturating_sub(*has)),
        Lack::Address(_) => (11, 0),
    };
    (passed, Reverse(short))
}

pub(crate) fn reason(lack: &Lack) -> FailureReason {
    match lack {
        Lack::Unknown => FailureReason::Missing,
        Lack::Draining => FailureReason::Inactive,
        Lack::AgentDisconnected => FailureReason::Agent,
        Lack::LaunchType | Lack::Provider(_) | Lack::Attribute(_) => FailureReason::Attribute,
        Lack::NotDistinct => FailureReason::Constraint,
        Lack::Expression(_) => FailureReason::MemberOf,
        Lack::Cpu { .. } => FailureReason::Cpu,
        Lack::Memory { .. } => FailureReason::Memory,
        Lack::Port(_) => FailureReason::Ports,
        Lack::Gpu { .. } => FailureReason::Gpu,
        Lack::Address(_) => FailureReason::Interface,
    }
}

/// One instance lacks this.
pub(crate) fn failure(id: &InstanceId, lack: Lack) -> Failure {
    Failure {
        instance: Some(id.clone()),
        reason: reason(&lack),
        shortfalls: vec![Shortfall { instances: 1, nearest: id.clone(), lack: lack.clone() }],
        detail: vec![(id.clone(), lack)],
    }
}

/// What rules an instance out whatever it has left.
pub(super) fn never(state: &State, instance: &Instance, wish: &Wish<'_>) -> Option<Lack> {
    away(state.standing(instance)).or_else(|| unfit(state, instance, wish))
}

/// What rules an instance out that does not take tasks.
pub(super) const fn away(standing: Standing) -> Option<Lack> {
    match standing {
        Standing::Ready => None,
        Standing::Draining | Standing::OutOfService => Some(Lack::Draining),
        Standing::Disconnected => Some(Lack::AgentDisconnected),
    }
}

/// What rules an instance out whatever its state is: it is not what is asked for.
pub(crate) fn unfit(state: &State, instance: &Instance, wish: &Wish<'_>) -> Option<Lack> {
    if let Some(wanted) = wish.provider
        && state.provider_of(instance).is_none_or(|given| given.name != *wanted)
    {
        return Some(Lack::Provider(wanted.clone()));
    }
    let of_type = match wish.launch_type {
        LaunchType::Ec2 => !instance.external,
        LaunchType::External => instance.external,
        LaunchType::Fargate => instance.offers_fargate(),
    };
    if !of_type {
        return Some(Lack::LaunchType);
    }
    let missing = |needed: &&String| !has(instance, needed);
    let mut wanted = wish.attributes.iter().chain(wish.more_attributes);
    if let Some(needed) = wanted.find(missing) {
        return Some(Lack::Attribute(needed.clone()));
    }
    let facts = state.facts(instance);
    let unsatisfied = wish.rules.members.iter().find(|expression| !expression.holds(&facts));
    unsatisfied.map(|expression| Lack::Expression(expression.text().to_owned()))
}

/// Whether an instance has an attribute, `name`, or has it with a certain value, `name=value`.
fn has(instance: &Instance, needed: &str) -> bool {
    match needed.split_once('=') {
        Some((name, value)) => instance.attribute(name).flatten() == Some(value),
        None => instance.attribute(needed).is_some(),
    }
}
