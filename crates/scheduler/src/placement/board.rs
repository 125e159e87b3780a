//! The instances of a cluster as one call sees them, by the index of its fleet.

use std::collections::BTreeMap;

use model::fleet::Fleet;
use model::{GpuId, InstanceId, LaunchType, State};
use stdx::Entropy;

use super::field::{Field, STRATEGIES};
use super::filter::{self, Lacks, failure};
use super::region::Region;
use super::search::Search;
use super::{Place, Wish, fargate};
use crate::{Failure, Lack};

/// The instances of a cluster as one call sees them. What it places it remembers.
#[derive(Debug)]
pub struct Board<'a> {
    wish: Wish<'a>,
    // None for a cluster that never had an instance.
    field: Option<Field<'a>>,
    // GPUs given on this board.
    given: BTreeMap<InstanceId, Vec<GpuId>>,
}

/// Whether one task finds a place at all, and if not, why.
pub fn somewhere(state: &State, wish: &Wish<'_>) -> Result<(), Failure> {
    match wish.launch_type {
        LaunchType::Fargate => fargate::somewhere(state, wish),
        LaunchType::Ec2 | LaunchType::External => within(state, wish),
    }
}

/// The same, in the wish's cluster alone.
pub(super) fn within(state: &State, wish: &Wish<'_>) -> Result<(), Failure> {
    let Some(fleet) = state.fleet(wish.cluster) else {
        return Err(Lacks::default().into_failure());
    };
    let field = Field::new(state, fleet, wish);
    let search = Search { field: &field, wish, chance: &mut stdx::SeededEntropy::new(0) };
    if search.is_possible() { Ok(()) } else { Err(explain(&field, wish)) }
}

impl<'a> Board<'a> {
    /// Sets up the board.
    pub fn new(state: &'a State, wish: Wish<'a>) -> Self {
        let field = state.fleet(wish.cluster).map(|fleet| Field::new(state, fleet, &wish));
        Self { wish, field, given: BTreeMap::new() }
    }

    /// Places one task on the best instance, or tells why it fits nowhere.
    pub fn place(&mut self, chance: &mut dyn Entropy) -> Result<Place, Failure> {
        let Some(field) = &self.field else {
            return Err(Lacks::default().into_failure());
        };
        let mut search = Search { field, wish: &self.wish, chance };
        let strategies = &self.wish.strategy;
        let strategies = strategies.get(..STRATEGIES).unwrap_or(strategies);
        match search.best(strategies, Region::whole(field.distinct)) {
            Some(found) => Ok(self.take(found.slot)),
            None => Err(explain(field, &self.wish)),
        }
    }

    /// Places one task on the instance that the caller chose, or tells why it does not fit there.
    pub fn place_on(&mut self, id: &InstanceId) -> Result<Place, Failure> {
        let found = self.field.as_ref().and_then(|field| {
            let slot = field.fleet.slot(id)?;
            Some((slot, field.lack(&self.wish, slot, field.fleet.seat(slot)?)))
        });
        match found {
            None => Err(failure(id, Lack::Unknown)),
            Some((_, Some(lack))) => Err(failure(id, lack)),
            Some((slot, None)) => Ok(self.take(slot)),
        }
    }

    fn take(&mut self, slot: u32) -> Place {
        let Some(field) = &mut self.field else {
            return Place { instance: "".into(), gpus: Vec::new() };
        };
        field.place(slot);
        let Some(seat) = field.fleet.seat(slot) else {
            return Place { instance: "".into(), gpus: Vec::new() };
        };
        let instance = seat.instance.key.instance.clone();
        if field.needs.2 == 0 {
            return Place { instance, gpus: vec![Vec::new(); self.wish.gpus.len()] };
        }
        let given = self.given.entry(instance.clone()).or_default();
        let mut free = field.state.free_gpus(&seat.instance).skip(given.len());
        let gpus: Vec<Vec<GpuId>> = self
            .wish
            .gpus
            .iter()
            .map(|count| free.by_ref().take(*count as usize).cloned().collect())
            .collect();
        given.extend(gpus.iter().flatten().cloned());
        Place { instance, gpus }
    }
}

/// Why a task fits nowhere: of classes that are not selected, and of instances that take no tasks, the
/// class tells; the others are looked at.
fn explain(field: &Field<'_>, wish: &Wish<'_>) -> Failure {
    let fleet = field.fleet;
    let mut lacks = Lacks::default();
    // By id, so that it is always the same one that is told of first.
    for (slot, seat) in fleet.seats().take(Failure::DETAILED) {
        if let Some(lack) = field.lack(wish, slot, seat) {
            lacks.name(&seat.instance.key.instance, lack);
        }
    }
    for class in fleet.all().iter() {
        by_class(field, wish, fleet, class, &mut lacks);
    }
    lacks.into_failure()
}

fn by_class(field: &Field<'_>, wish: &Wish<'_>, fleet: &Fleet, class: u32, lacks: &mut Lacks) {
    let every = model::fleet::AtLeast { first: 0, second: 0, gpus: 0 };
    let Some(of) = fleet.class(class) else { return };
    for (standing, slots) in of.away() {
        let first = slots.iter().filter_map(|slot| fleet.seat(*slot));
        let first = first.map(|seat| &seat.instance.key.instance).min();
        if let (Some(lack), Some(first)) = (filter::away(standing), first) {
            lacks.add(first, lack, u32::try_from(slots.len()).unwrap_or(u32::MAX));
        }
    }
    let order = &of.orders().memory;
    let mut ready =
        order.ascending(every).filter_map(|entry| Some((entry.slot, fleet.seat(entry.slot)?)));
    if field.uncertain || field.base.contains(class) {
        for (slot, seat) in ready {
            if let Some(lack) = field.lack(wish, slot, seat) {
                lacks.add(&seat.instance.key.instance, lack, 1);
            }
        }
    } else if let Some((slot, seat)) = ready.next()
        && let Some(lack) = field.lack(wish, slot, seat)
    {
        let first = ready.map(|(_, seat)| &seat.instance.key.instance).min();
        let first =
            first.map_or(&seat.instance.key.instance, |f| f.min(&seat.instance.key.instance));
        lacks.add(first, lack, u32::try_from(order.len()).unwrap_or(u32::MAX));
    }
}
