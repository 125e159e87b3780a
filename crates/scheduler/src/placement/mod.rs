//! Placement: on which instance a task goes. Filters first, in order (status, agent, capacity
//! provider, launch type, attributes, expressions, distinct instances, CPU, memory, ports, GPUs), then
//! the strategies from left to right; who is filtered out is told why.
//!
//! A [`Board`] is set up once for a call, so that the tasks of the call are placed one after the other.
//! It asks the fleet of the cluster (`model::fleet`), which knows instances by class and in the order
//! of what they have left; [`naive`] looks at every instance instead, and decides the same.

mod board;
mod fargate;
mod field;
mod filter;
pub mod naive;
mod region;
mod search;
mod spread;

use model::query::Expression;
use model::{
    ClusterName, Family, GpuId, InstanceId, LaunchType, PlacementConstraint, PlacementStrategy,
    ProviderName, Resources, ServiceKey, SpreadField, TaskSpec,
};

pub use board::{Board, somewhere};
pub(crate) use fargate::{Boards, Spot};
pub(crate) use filter::{failure, merge, reason, unfit};

#[cfg(test)]
mod tests;

/// The attribute that services are spread over unless they say otherwise.
pub(crate) const ZONE: &str = "ecs.availability-zone";

/// What is to be placed, and how.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// Where.
    pub cluster: &'a ClusterName,
    /// On which kind of instance.
    pub launch_type: LaunchType,
    /// Of which capacity provider, if it is to be one's.
    pub provider: Option<&'a ProviderName>,
    /// What each task reserves.
    pub needs: &'a Resources,
    /// How many GPUs each of its containers has for its own, in the order of the task definition.
    pub gpus: Vec<u32>,
    /// Attributes that the instance must have.
    pub attributes: &'a [String],
    /// Further ones, which the caller's overrides ask for.
    pub more_attributes: &'a [String],
    /// What the constraints ask for.
    pub rules: Rules,
    /// Tasks that belong together: they are spread and kept apart among themselves.
    pub group: Group<'a>,
    /// How to choose.
    pub strategy: Vec<PlacementStrategy>,
}

/// Where a task goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// On which instance.
    pub instance: InstanceId,
    /// The GPUs of each container, in the order of [`Wish::gpus`].
    pub gpus: Vec<Vec<GpuId>>,
}

/// Tasks that belong together.
#[derive(Clone, Copy, Debug)]
pub enum Group<'a> {
    /// Those of a service.
    Service(&'a ServiceKey),
    /// Those with this group name, which run a definition of this family.
    Named(&'a str, &'a Family),
}

impl Wish<'_> {
    /// How many GPUs a task needs in all.
    pub(crate) fn all_gpus(&self) -> u32 {
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

/// What constraints ask for, taken together.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Each task of the group goes on an instance of its own.
    pub distinct: bool,
    /// Each of these selects the instance.
    pub members: Vec<Expression>,
}

/// The constraints of a definition and of its caller.
pub fn rules(spec: &TaskSpec, constraints: &[PlacementConstraint]) -> Rules {
    let mut rules = Rules::default();
    for constraint in spec.constraints.iter().chain(constraints) {
        match constraint {
            PlacementConstraint::DistinctInstance => rules.distinct = true,
            PlacementConstraint::MemberOf(expression) => rules.members.push(expression.clone()),
        }
    }
    rules
}
