//! Placement by looking at every instance: what [`super::Board`] decides faster is decided here in
//! the plainest way. Tests hold the two to each other, and benchmarks measure one beside the other.

mod choice;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use model::{GpuId, Instance, InstanceId, PlacementStrategy, Resources, State, Task};
use stdx::Entropy;

use super::filter::{Lacks, failure, never};
use super::{Group, Place, Wish};
use crate::{Failure, Lack, daemon};
use choice::Chooser;

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
    /// What settles the choice among equals.
    last: (u64, u32),
    /// What is kept for daemons to come.
    kept: Resources,
}

/// What is kept for daemons to come on the instances of the cluster; nothing is kept from a daemon.
fn kept(state: &State, wish: &Wish<'_>) -> BTreeMap<InstanceId, Resources> {
    let own = match wish.group {
        Group::Service(key) => state.service(key).is_some_and(|service| daemon::is(service)),
        Group::Named(..) => false,
    };
    if own { BTreeMap::new() } else { daemon::reserved(state, wish.cluster) }
}

impl<'a> Seat<'a> {
    fn new(
        state: &'a State,
        (instance, (cpu, memory)): (&'a Arc<Instance>, (u32, u32)),
        wish: &Wish<'_>,
        group: &BTreeMap<InstanceId, u32>,
        kept: &mut BTreeMap<InstanceId, Resources>,
    ) -> Self {
        let kept = kept.remove(&instance.key.instance).unwrap_or_default();
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
        let never = never(state, instance, wish);
        let fleet = state.fleet(wish.cluster);
        let slot = fleet.and_then(|fleet| fleet.slot(&instance.key.instance));
        let tag = slot.and_then(|slot| fleet?.seat(slot)).map(|seat| seat.tag);
        let last = (tag.unwrap_or_default(), slot.unwrap_or_default());
        Self { instance, cpu, memory, gpus, here, placed: 0, never, last, kept }
    }

    /// What it lacks for one more task, by the first filter that it does not pass.
    fn lack(&self, state: &State, wish: &Wish<'_>) -> Option<Lack> {
        let needs = wish.needs;
        if let Some(lack) = &self.never {
            return Some(lack.clone());
        }
        if wish.rules.distinct && self.here > 0 {
            return Some(Lack::NotDistinct);
        }
        let cpu = self.cpu.saturating_sub(self.kept.cpu);
        if cpu < needs.cpu {
            return Some(Lack::Cpu { wants: needs.cpu, has: cpu });
        }
        let memory = self.memory.saturating_sub(self.kept.memory);
        if memory < needs.memory {
            return Some(Lack::Memory { wants: needs.memory, has: memory });
        }
        // What was placed on this board asks for the same ports.
        let taken = |port| {
            self.placed > 0
                || self.kept.ports.contains(&port)
                || state.port_taken(self.instance, port)
        };
        if let Some(port) = needs.ports.iter().copied().find(|port| taken(*port)) {
            return Some(Lack::Port(port));
        }
        let (wants, has) = (wish.all_gpus(), u32::try_from(self.gpus.len()).unwrap_or(u32::MAX));
        (has < wants).then_some(Lack::Gpu { wants, has })
    }
}

/// The instances of a cluster as one call sees them.
#[derive(Debug)]
pub struct Board<'a> {
    state: &'a State,
    wish: Wish<'a>,
    seats: Vec<Seat<'a>>,
    chooser: Chooser,
}

impl<'a> Board<'a> {
    /// Sets up the board: one look at each instance of the cluster.
    pub fn new(state: &'a State, wish: Wish<'a>) -> Self {
        let here = group_counts(state, &wish);
        let mut kept = kept(state, &wish);
        let seats: Vec<Seat<'a>> = state
            .offers(wish.cluster)
            .map(|offer| Seat::new(state, offer, &wish, &here, &mut kept))
            .collect();
        let chooser = Chooser::new(&wish.strategy, &seats);
        Self { state, wish, seats, chooser }
    }

    /// Places one task on the best instance, or tells why it fits nowhere.
    pub fn place(&mut self, chance: &mut dyn Entropy) -> Result<Place, Failure> {
        let feasible = (0..self.seats.len()).filter(|at| self.lack(&self.seats[*at]).is_none());
        match self.chooser.best(&self.seats, feasible, chance) {
            Some(at) => Ok(self.take(at)),
            None => Err(self.explain()),
        }
    }

    /// Places one task on the instance that the caller chose, or tells why it does not fit there.
    pub fn place_on(&mut self, id: &InstanceId) -> Result<Place, Failure> {
        // They stand in the order of ids.
        let Ok(at) = self.seats.binary_search_by(|s| s.instance.key.instance.cmp(id)) else {
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

    /// The instances from which the strategies may choose freely, by id.
    pub fn choices(&self, chance: &mut dyn Entropy) -> Vec<InstanceId> {
        let feasible = (0..self.seats.len()).filter(|at| self.lack(&self.seats[*at]).is_none());
        let choices = self.chooser.choices(&self.seats, feasible, chance);
        choices.into_iter().map(|at| self.seats[at].instance.key.instance.clone()).collect()
    }

    fn explain(&self) -> Failure {
        let mut lacks = Lacks::default();
        for seat in &self.seats {
            if let Some(lack) = self.lack(seat) {
                lacks.add(&seat.instance.key.instance, lack.clone(), 1);
                lacks.name(&seat.instance.key.instance, lack);
            }
        }
        lacks.into_failure()
    }

    fn lack(&self, seat: &Seat<'_>) -> Option<Lack> {
        seat.lack(self.state, &self.wish)
    }
}

/// How many tasks of the group each instance has, if that matters for the choice.
fn group_counts(state: &State, wish: &Wish<'_>) -> BTreeMap<InstanceId, u32> {
    let mut counts = BTreeMap::new();
    let spreads = wish.strategy.iter().any(|s| matches!(s, PlacementStrategy::Spread(_)));
    if !spreads && !wish.rules.distinct {
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
