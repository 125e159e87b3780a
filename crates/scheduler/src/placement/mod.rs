//! Placement: on which instance a task goes. Filters first, in order (status, agent, launch type,
//! attributes, distinct instances, CPU, memory, ports, GPUs), then the strategies from left to right; who
//! is filtered out is told why.
//!
//! A [`Board`] is set up once for a call and holds what each instance has left, so that the tasks of
//! the call are placed one after the other without looking at the state again.

mod choice;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use model::{
    ClusterName, Family, GpuId, Instance, InstanceId, InstanceStatus, LaunchType, NodeState,
    PlacementConstraint, PlacementStrategy, ProviderName, Resources, ServiceKey, SpreadField,
    State, Task, TaskSpec,
};
use stdx::Entropy;

use crate::{Failure, FailureReason, Lack, Rejection};
use choice::Chooser;

/// The attribute that services are spread over unless they say otherwise.
const ZONE: &str = "ecs.availability-zone";

/// What is to be placed, and how.
#[derive(Debug)]
pub(crate) struct Wish<'a> {
    /// Where.
    pub(crate) cluster: &'a ClusterName,
    /// On which kind of instance.
    pub(crate) launch_type: LaunchType,
    /// Of which capacity provider, if it is to be one's.
    pub(crate) provider: Option<&'a ProviderName>,
    /// What each task reserves.
    pub(crate) needs: &'a Resources,
    /// How many GPUs each of its containers has for its own, in the order of the task definition.
    pub(crate) gpus: Vec<u32>,
    /// Attributes that the instance must have.
    pub(crate) attributes: &'a [String],
    /// Further ones, which the caller's overrides ask for.
    pub(crate) more_attributes: &'a [String],
    /// Whether each task of the group goes on an instance of its own.
    pub(crate) distinct: bool,
    /// Tasks that belong together: they are spread and kept apart among themselves.
    pub(crate) group: Group<'a>,
    /// How to choose.
    pub(crate) strategy: Vec<PlacementStrategy>,
}

/// Where a task goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// On which instance.
    pub(crate) instance: InstanceId,
    /// The GPUs of each container, in the order of [`Wish::gpus`].
    pub(crate) gpus: Vec<Vec<GpuId>>,
}

/// Tasks that belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Group<'a> {
    /// Those of a service.
    Service(&'a ServiceKey),
    /// Those with this group name, which run a definition of this family.
    Named(&'a str, &'a Family),
}

impl Wish<'_> {
    /// How many GPUs a task needs in all.
    fn all_gpus(&self) -> u32 {
        self.gpus.iter().fold(0, |total, count| total.saturating_add(*count))
    }
}

/// How a service's tasks are placed unless it says otherwise: over zones, then over instances.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-placement-strategies.html>
pub(crate) fn service_strategy(given: &[PlacementStrategy]) -> Vec<PlacementStrategy> {
    if given.is_empty() {
        vec![
            PlacementStrategy::Spread(SpreadField::Attribute(ZONE.to_owned())),
            PlacementStrategy::Spread(SpreadField::Instance),
        ]
    } else {
        given.to_vec()
    }
}

/// How RunTask places unless it is told otherwise: at random, as ECS documents.
pub(crate) fn run_strategy(given: &[PlacementStrategy]) -> Vec<PlacementStrategy> {
    if given.is_empty() { vec![PlacementStrategy::Random] } else { given.to_vec() }
}

/// Whether the constraints of a definition and of its caller ask for distinct instances. Expressions
/// of the cluster query language are refused by name.
pub(crate) fn distinct(
    spec: &TaskSpec,
    constraints: &[PlacementConstraint],
) -> Result<bool, Rejection> {
    let mut distinct = false;
    for constraint in spec.constraints.iter().chain(constraints) {
        match constraint {
            PlacementConstraint::DistinctInstance => distinct = true,
            PlacementConstraint::MemberOf(expression) => {
                return Err(Rejection::NotBuilt(format!(
                    "the placement constraint memberOf \"{expression}\""
                )));
            }
        }
    }
    Ok(distinct)
}

/// One instance on the board.
#[derive(Debug)]
struct Seat<'a> {
    instance: &'a Arc<Instance>,
    cpu: u32,
    memory: u32,
    /// Free GPUs; not looked at for tasks that want none.
    gpus: VecDeque<&'a GpuId>,
    /// Tasks of the group.
    here: u32,
    /// Tasks placed on this board.
    placed: u32,
    /// What rules it out whatever is placed.
    never: Option<Lack>,
}

impl<'a> Seat<'a> {
    fn new(
        state: &'a State,
        (instance, (cpu, memory)): (&'a Arc<Instance>, (u32, u32)),
        wish: &Wish<'_>,
        group: &BTreeMap<InstanceId, u32>,
    ) -> Self {
        // Most groups are small beside their cluster.
        let here = if group.is_empty() {
            0
        } else {
            group.get(&instance.key.instance).copied().unwrap_or(0)
        };
        let gpus = if wish.all_gpus() == 0 {
            VecDeque::new()
        } else {
            state.free_gpus(instance).collect()
        };
        Self { instance, cpu, memory, gpus, here, placed: 0, never: never(state, instance, wish) }
    }

    /// What it lacks for one more task, by the first filter that it does not pass.
    fn lack(&self, state: &State, wish: &Wish<'_>) -> Option<Lack> {
        let needs = wish.needs;
        if let Some(lack) = &self.never {
            return Some(lack.clone());
        }
        if wish.distinct && self.here > 0 {
            return Some(Lack::NotDistinct);
        }
        if self.cpu < needs.cpu {
            return Some(Lack::Cpu { wants: needs.cpu, has: self.cpu });
        }
        if self.memory < needs.memory {
            return Some(Lack::Memory { wants: needs.memory, has: self.memory });
        }
        // What was placed on this board asks for the same ports.
        let taken = |port| self.placed > 0 || state.port_taken(self.instance, port);
        if let Some(port) = needs.ports.iter().copied().find(|port| taken(*port)) {
            return Some(Lack::Port(port));
        }
        let (wants, has) = (wish.all_gpus(), u32::try_from(self.gpus.len()).unwrap_or(u32::MAX));
        (has < wants).then_some(Lack::Gpu { wants, has })
    }
}

/// Whether one task finds a place at all, and if not, why: less work than a [`Board`], since the
/// first instance that takes it is enough.
pub(crate) fn somewhere(state: &State, wish: &Wish<'_>) -> Result<(), Failure> {
    let here = if wish.distinct { group_counts(state, wish) } else { BTreeMap::new() };
    let mut lacks = Vec::new();
    for offer in state.offers(wish.cluster) {
        let seat = Seat::new(state, offer, wish, &here);
        match seat.lack(state, wish) {
            None => return Ok(()),
            Some(lack) => lacks.push((&seat.instance.key.instance, lack)),
        }
    }
    Err(explain(lacks.into_iter()))
}

/// The instances of a cluster as one call sees them.
#[derive(Debug)]
pub(crate) struct Board<'a> {
    state: &'a State,
    wish: Wish<'a>,
    seats: Vec<Seat<'a>>,
    chooser: Chooser,
}

impl<'a> Board<'a> {
    /// Sets up the board: one look at each instance of the cluster.
    pub(crate) fn new(state: &'a State, wish: Wish<'a>) -> Self {
        let here = group_counts(state, &wish);
        let seats: Vec<Seat<'a>> =
            state.offers(wish.cluster).map(|offer| Seat::new(state, offer, &wish, &here)).collect();
        let chooser = Chooser::new(&wish.strategy, &seats);
        Self { state, wish, seats, chooser }
    }

    /// Places one task on the best instance, or tells why it fits nowhere.
    pub(crate) fn place(&mut self, chance: &mut dyn Entropy) -> Result<Place, Failure> {
        let feasible = (0..self.seats.len()).filter(|at| self.lack(&self.seats[*at]).is_none());
        match self.chooser.best(&self.seats, feasible, chance) {
            Some(at) => Ok(self.take(at)),
            None => Err(self.explain()),
        }
    }

    /// Places one task on the instance that the caller chose, or tells why it does not fit there.
    pub(crate) fn place_on(&mut self, id: &InstanceId) -> Result<Place, Failure> {
        let Some(at) = self.seats.iter().position(|s| s.instance.key.instance == *id) else {
            return Err(failure(id, Lack::Unknown));
        };
        match self.lack(&self.seats[at]) {
            Some(lack) => Err(failure(id, lack)),
            None => Ok(self.take(at)),
        }
    }

    fn take(&mut self, at: usize) -> Place {
        let needs = self.wish.needs;
        let seat = &mut self.seats[at];
        seat.cpu -= needs.cpu;
        seat.memory -= needs.memory;
        seat.here += 1;
        seat.placed += 1;
        self.chooser.placed(at);
        let own =
            |count: &u32| (0..*count).filter_map(|_| seat.gpus.pop_front().cloned()).collect();
        let gpus = self.wish.gpus.iter().map(own).collect();
        Place { instance: seat.instance.key.instance.clone(), gpus }
    }

    fn explain(&self) -> Failure {
        let lack = |seat: &Seat<'a>| Some((&seat.instance.key.instance, self.lack(seat)?));
        explain(self.seats.iter().filter_map(lack))
    }

    fn lack(&self, seat: &Seat<'_>) -> Option<Lack> {
        seat.lack(self.state, &self.wish)
    }
}

/// Why a task fits on none of these: the instance that came nearest gives the reason.
fn explain<'a>(seats: impl Iterator<Item = (&'a InstanceId, Lack)>) -> Failure {
    let mut nearest: Option<(InstanceId, Lack)> = None;
    let mut detail = Vec::new();
    for (id, lack) in seats {
        if detail.len() < Failure::DETAILED {
            detail.push((id.clone(), lack.clone()));
        }
        if nearest.as_ref().is_none_or(|(_, best)| closeness(&lack) > closeness(best)) {
            nearest = Some((id.clone(), lack));
        }
    }
    match nearest {
        None => Failure { instance: None, reason: FailureReason::NoInstances, detail },
        Some((id, lack)) => Failure { instance: Some(id), reason: reason(&lack), detail },
    }
}

/// How near an instance came: how many filters it passed, then how little is lacking.
fn closeness(lack: &Lack) -> (u8, std::cmp::Reverse<u32>) {
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
    };
    (passed, std::cmp::Reverse(short))
}

fn reason(lack: &Lack) -> FailureReason {
    match lack {
        Lack::Unknown => FailureReason::Missing,
        Lack::Draining => FailureReason::Inactive,
        Lack::AgentDisconnected => FailureReason::Agent,
        Lack::LaunchType | Lack::Provider(_) | Lack::Attribute(_) => FailureReason::Attribute,
        Lack::NotDistinct | Lack::Expression(_) => FailureReason::Constraint,
        Lack::Cpu { .. } => FailureReason::Cpu,
        Lack::Memory { .. } => FailureReason::Memory,
        Lack::Port(_) => FailureReason::Ports,
        Lack::Gpu { .. } => FailureReason::Gpu,
    }
}

fn failure(id: &InstanceId, lack: Lack) -> Failure {
    Failure { instance: Some(id.clone()), reason: reason(&lack), detail: vec![(id.clone(), lack)] }
}

/// What rules an instance out whatever it has left.
fn never(state: &State, instance: &Instance, wish: &Wish<'_>) -> Option<Lack> {
    if instance.status == InstanceStatus::Draining {
        return Some(Lack::Draining);
    }
    if !instance.agent.connected {
        return Some(Lack::AgentDisconnected);
    }
    // A node of a group takes tasks while it is in service.
    let node = state.node_of(instance);
    if node.is_some_and(|node| node.state != NodeState::InService) {
        return Some(Lack::Draining);
    }
    if let Some(wanted) = wish.provider
        && state.provider_of(instance).is_none_or(|given| given.name != *wanted)
    {
        return Some(Lack::Provider(wanted.clone()));
    }
    let external = wish.launch_type == LaunchType::External;
    if instance.external != external {
        return Some(Lack::LaunchType);
    }
    let missing = |needed: &&String| !has(instance, needed);
    let mut wanted = wish.attributes.iter().chain(wish.more_attributes);
    wanted.find(missing).map(|needed| Lack::Attribute(needed.clone()))
}

/// Whether an instance has an attribute, `name`, or has it with a certain value, `name=value`.
fn has(instance: &Instance, needed: &str) -> bool {
    match needed.split_once('=') {
        Some((name, value)) => instance.attribute(name).flatten() == Some(value),
        None => instance.attribute(needed).is_some(),
    }
}

/// How many tasks of the group each instance has, if that matters for the choice.
fn group_counts(state: &State, wish: &Wish<'_>) -> BTreeMap<InstanceId, u32> {
    let mut counts = BTreeMap::new();
    let spreads = wish.strategy.iter().any(|s| matches!(s, PlacementStrategy::Spread(_)));
    if !spreads && !wish.distinct {
        return counts;
    }
    let mut count = |task: &Task| {
        if task.holds_resources()
            && task.progress.desired == model::DesiredStatus::Running
            && let Some(instance) = &task.facts.instance
        {
            *counts.entry(instance.clone()).or_insert(0) += 1;
        }
    };
    match wish.group {
        Group::Service(key) => state.tasks_of(key).for_each(&mut count),
        Group::Named(group, family) if group.strip_prefix("family:") == Some(family.as_str()) => {
            let family = state.tasks_of_family(wish.cluster, family);
            family.filter(|t| t.facts.group == group).for_each(&mut count);
        }
        Group::Named(group, _) => {
            state.tasks(wish.cluster).filter(|t| t.facts.group == group).for_each(&mut count);
        }
    }
    counts
}
