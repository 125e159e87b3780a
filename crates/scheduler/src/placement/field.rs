//! What of a fleet one wish may use: its classes, and what has been placed since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::fleet::{
    AtLeast, ClassSet, Crowd, EXTERNAL, Entry, Fleet, NODE_GROUP, Order, Seat, Selection,
};
use model::{HostPort, LaunchType, State};

use super::spread::Spread;
use super::{Group, Wish, filter, naive};
use crate::Lack;

/// Of so many classes each is searched by itself; of more the whole fleet is, and those of other
/// classes are passed over.
const FEW: usize = 12;

/// What a wish may use.
#[derive(Debug)]
pub(super) struct Field<'a> {
    pub(super) state: &'a State,
    pub(super) fleet: &'a Fleet,
    /// All classes of which an instance may do.
    pub(super) cells: Cells,
    /// Those of them whose instances have to be asked each.
    ask: ClassSet,
    /// Whether something of the wish is told by each instance, and not by its class.
    pub(super) uncertain: bool,
    pub(super) needs: (u32, u32, u32),
    pub(super) crowd: Option<&'a Arc<Crowd>>,
    /// Instances that are not as the fleet has them: a task was placed, or something is kept.
    pub(super) touched: BTreeMap<u32, Touched>,
    /// One for each attribute of the strategies.
    pub(super) spreads: BTreeMap<String, Spread<'a>>,
    /// Whether each task keeps to itself.
    pub(super) distinct: bool,
}

/// An instance that is not as the fleet has it.
#[derive(Clone, Debug)]
pub(super) struct Touched {
    pub(super) cpu: u32,
    pub(super) memory: u32,
    pub(super) gpus: u32,
    /// Tasks placed since.
    pub(super) placed: u32,
    /// Ports that are kept for others.
    kept: BTreeSet<HostPort>,
}

/// An instance that takes the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) slot: u32,
    pub(super) class: u32,
    pub(super) cpu: u32,
    pub(super) memory: u32,
    pub(super) tag: u64,
}

/// Classes to search in.
#[derive(Clone, Debug, Default)]
pub(super) struct Cells {
    pub(super) set: ClassSet,
    few: Option<Vec<u32>>,
}

impl Cells {
    pub(super) fn new(set: ClassSet) -> Self {
        let few = (set.len() <= FEW).then(|| set.iter().collect());
        Self { set, few }
    }
}

/// The resource by which instances are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Memory,
    Cpu,
}

impl<'a> Field<'a> {
    pub(super) fn new(state: &'a State, fleet: &'a Fleet, wish: &Wish<'_>) -> Self {
        let (selection, uncertain) = select(state, fleet, wish);
        let ask = selection.perhaps.without(&selection.always);
        let group = match wish.group {
            Group::Service(key) => &format!("service:{}", key.service),
            Group::Named(group, _) => group,
        };
        let mut field = Self {
            state,
            fleet,
            cells: Cells::new(selection.perhaps),
            ask,
            uncertain,
            needs: (wish.needs.cpu, wish.needs.memory, wish.all_gpus()),
            crowd: fleet.crowd(group),
            touched: BTreeMap::new(),
            spreads: BTreeMap::new(),
            distinct: wish.rules.distinct,
        };
        for (id, kept) in naive::kept(state, wish) {
            let seat = fleet.slot(&id).and_then(|slot| Some((slot, fleet.seat(slot)?)));
            let Some((slot, seat)) = seat else { continue };
            let mut touched = Touched::of(seat);
            touched.cpu = touched.cpu.saturating_sub(kept.cpu);
            touched.memory = touched.memory.saturating_sub(kept.memory);
            touched.kept = kept.ports;
            field.touched.insert(slot, touched);
        }
        field.spreads = Spread::all(&field, &wish.strategy);
        field
    }

    /// How many tasks of the group are on an instance.
    pub(super) fn here(&self, slot: u32) -> u32 {
        let before = self.crowd.map_or(0, |crowd| crowd.on(slot));
        before + self.touched.get(&slot).map_or(0, |touched| touched.placed)
    }

    /// An order of a class, or of the whole fleet.
    fn order(&self, by: By, class: Option<u32>) -> Option<&'a Order> {
        let orders = match class {
            Some(class) => self.fleet.class(class)?.orders(),
            None => self.fleet.orders(),
        };
        Some(match by {
            By::Memory => &orders.memory,
            By::Cpu => &orders.cpu,
        })
    }

    /// The orders in which the cells' instances stand.
    pub(super) fn orders(&self, by: By, cells: &Cells) -> Vec<&'a Order> {
        match &cells.few {
            Some(few) => few.iter().filter_map(|class| self.order(by, Some(*class))).collect(),
            None => self.order(by, None).into_iter().collect(),
        }
    }

    pub(super) fn wanted(&self, by: By) -> AtLeast {
        let (cpu, memory, gpus) = self.needs;
        match by {
            By::Memory => AtLeast { first: memory, second: cpu, gpus },
            By::Cpu => AtLeast { first: cpu, second: memory, gpus },
        }
    }

    /// An entry as a candidate, if it is of these cells and as the fleet has it, has so many tasks of
    /// the group, and takes another.
    pub(super) fn candidate(
        &self,
        wish: &Wish<'_>,
        (by, cells, here): (By, &Cells, Option<u32>),
        entry: &Entry,
    ) -> Option<Candidate> {
        if !cells.set.contains(entry.class) || self.is_touched(entry.slot) {
            return None;
        }
        let (cpu, memory) = match by {
            By::Memory => (entry.second(), entry.first()),
            By::Cpu => (entry.first(), entry.second()),
        };
        let (slot, class, tag) = (entry.slot, entry.class, entry.tag());
        let found = Candidate { slot, class, cpu, memory, tag };
        self.takes(wish, slot, class, here, None).then_some(found)
    }

    fn is_touched(&self, slot: u32) -> bool {
        !self.touched.is_empty() && self.touched.contains_key(&slot)
    }

    /// The touched instances that take another task.
    pub(super) fn touched_candidates<'b>(
        &'b self,
        wish: &'b Wish<'_>,
        cells: &'b Cells,
        here: Option<u32>,
    ) -> impl Iterator<Item = Candidate> + 'b {
        self.touched.keys().filter_map(move |slot| self.one(wish, cells, here, *slot))
    }

    /// One instance, whether it is touched or not.
    pub(super) fn one(
        &self,
        wish: &Wish<'_>,
        cells: &Cells,
        here: Option<u32>,
        slot: u32,
    ) -> Option<Candidate> {
        let seat = self.fleet.seat(slot)?;
        let touched = self.touched.get(&slot);
        let (cpu, memory, gpus) =
            touched.map_or((seat.cpu, seat.memory, seat.gpus), |t| (t.cpu, t.memory, t.gpus));
        let fits = cells.set.contains(seat.class)
            && filter::away(seat.standing).is_none()
            && (cpu, memory, gpus) >= (self.needs.0, 0, 0)
            && memory >= self.needs.1
            && gpus >= self.needs.2;
        let (class, tag) = (seat.class, seat.tag);
        let takes = fits && self.takes(wish, slot, class, here, touched);
        takes.then_some(Candidate { slot, class, cpu, memory, tag })
    }

    /// Whether an instance with enough left passes the other filters.
    fn takes(
        &self,
        wish: &Wish<'_>,
        slot: u32,
        class: u32,
        here: Option<u32>,
        touched: Option<&Touched>,
    ) -> bool {
        let here = if self.distinct { Some(0) } else { here };
        if here.is_some_and(|here| self.here(slot) != here) {
            return false;
        }
        if wish.needs.ports.is_empty() && !self.ask.contains(class) {
            return true;
        }
        let Some(seat) = self.fleet.seat(slot) else { return false };
        self.port(wish, seat, touched).is_none()
            && (!self.ask.contains(class)
                || filter::unfit(self.state, &seat.instance, wish).is_none())
    }

    /// A port that the task wants and does not get there.
    fn port(&self, wish: &Wish<'_>, seat: &Seat, touched: Option<&Touched>) -> Option<HostPort> {
        // What was placed on this board asks for the same ports.
        let taken = |port: &HostPort| {
            touched.is_some_and(|t| t.placed > 0 || t.kept.contains(port))
                || self.state.port_taken(&seat.instance, *port)
        };
        wish.needs.ports.iter().copied().find(taken)
    }

    /// What an instance lacks for one more task, by the first filter that it does not pass.
    pub(super) fn lack(&self, wish: &Wish<'_>, slot: u32, seat: &Seat) -> Option<Lack> {
        if let Some(lack) = filter::away(seat.standing) {
            return Some(lack);
        }
        let certain = self.cells.set.contains(seat.class) && !self.ask.contains(seat.class);
        if !certain && let Some(lack) = filter::unfit(self.state, &seat.instance, wish) {
            return Some(lack);
        }
        if self.distinct && self.here(slot) > 0 {
            return Some(Lack::NotDistinct);
        }
        let touched = self.touched.get(&slot);
        let (cpu, memory, gpus) =
            touched.map_or((seat.cpu, seat.memory, seat.gpus), |t| (t.cpu, t.memory, t.gpus));
        let needs = self.needs;
        if cpu < needs.0 {
            return Some(Lack::Cpu { wants: needs.0, has: cpu });
        }
        if memory < needs.1 {
            return Some(Lack::Memory { wants: needs.1, has: memory });
        }
        if let Some(port) = self.port(wish, seat, touched) {
            return Some(Lack::Port(port));
        }
        (gpus < needs.2).then_some(Lack::Gpu { wants: needs.2, has: gpus })
    }

    /// A task was placed on this instance.
    pub(super) fn place(&mut self, slot: u32) {
        let Some(seat) = self.fleet.seat(slot) else { return };
        let touched = self.touched.entry(slot).or_insert_with(|| Touched::of(seat));
        touched.cpu = touched.cpu.saturating_sub(self.needs.0);
        touched.memory = touched.memory.saturating_sub(self.needs.1);
        touched.gpus = touched.gpus.saturating_sub(self.needs.2);
        touched.placed += 1;
        for (name, spread) in &mut self.spreads {
            spread.placed(name, seat);
        }
    }
}

impl Touched {
    const fn of(seat: &Seat) -> Self {
        let kept = BTreeSet::new();
        Self { cpu: seat.cpu, memory: seat.memory, gpus: seat.gpus, placed: 0, kept }
    }
}

/// The classes of which an instance may do, and whether some of it only an instance can tell.
fn select(state: &State, fleet: &Fleet, wish: &Wish<'_>) -> (Selection, bool) {
    let external = if wish.launch_type == LaunchType::External { "true" } else { "false" };
    let mut all = Selection::exactly(fleet.having(EXTERNAL, external).cloned().unwrap_or_default());
    if let Some(wanted) = wish.provider {
        let mut theirs = ClassSet::default();
        for (group, classes) in fleet.values(NODE_GROUP) {
            let given = state.capacity().provider_of(&group.into());
            if given.is_some_and(|given| given.name == *wanted) {
                theirs = theirs.or(classes);
            }
        }
        all = all.and(&Selection::exactly(theirs));
    }
    let needed = wish.attributes.iter().chain(wish.more_attributes);
    let needed = needed.map(|needed| fleet.required(needed));
    let expressions = wish.rules.members.iter().map(|expression| {
        let selected = expression.query().map(|query| fleet.select(query));
        selected.unwrap_or_else(|| Selection::exactly(ClassSet::default()))
    });
    let mut uncertain = false;
    for one in needed.chain(expressions) {
        uncertain |= !one.is_certain();
        all = all.and(&one);
    }
    (all, uncertain)
}
