//! What of a fleet one wish may use: its classes, and what has been placed since.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::fleet::{
    AtLeast, ClassSet, Crowd, EXTERNAL, Entry, Fleet, NODE_GROUP, Seat, Selection, Standing,
    Values, Within,
};
use model::{
    FARGATE_CAPABILITY, HostPort, LaunchType, PlacementStrategy, Resources, SpreadField, State,
};

use super::region::Region;
use super::spread::Spread;
use super::{Group, Wish, filter};
use crate::Lack;
use crate::daemon::{self, Keeper};

/// ECS takes at most so many strategies.
pub(super) const STRATEGIES: usize = 5;

/// What a wish may use.
#[derive(Debug)]
pub(super) struct Field<'a> {
    pub(super) state: &'a State,
    pub(super) fleet: &'a Fleet,
    /// All classes of which an instance may do.
    pub(super) base: ClassSet,
    /// Those of them whose instances have to be asked each.
    ask: ClassSet,
    /// Whether something of the wish is told by each instance, and not by its class.
    pub(super) uncertain: bool,
    /// Outside of these places no instance will do.
    pub(super) within: Option<Within>,
    pub(super) needs: (u32, u32, u32),
    pub(super) crowd: Option<&'a Arc<Crowd>>,
    /// Instances that are not as the fleet has them: a task was placed.
    pub(super) touched: BTreeMap<u32, Touched>,
    /// One for each attribute of the strategies.
    pub(super) spreads: Vec<Spread<'a>>,
    /// Whether each task keeps to itself.
    pub(super) distinct: bool,
    /// What is kept for daemons to come.
    keepers: Vec<Keeper<'a>>,
}

/// An instance that is not as the fleet has it.
#[derive(Clone, Debug)]
pub(super) struct Touched {
    class: u32,
    tag: u64,
    cpu: u32,
    memory: u32,
    gpus: u32,
    /// Tasks of the group, those placed since included.
    pub(super) here: u32,
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

/// The resource by which instances are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Memory,
    Cpu,
}

impl<'a> Field<'a> {
    pub(super) fn new(state: &'a State, fleet: &'a Fleet, wish: &Wish<'_>) -> Self {
        let (selection, uncertain) = select(state, fleet, wish);
        let ask = if uncertain {
            selection.perhaps.without(&selection.always)
        } else {
            ClassSet::default()
        };
        let crowd = match wish.group {
            Group::Service(key) => fleet.crowd(&format!("service:{}", key.service)),
            Group::Named(group, _) => fleet.crowd(group),
        };
        let base = selection.perhaps;
        let spread = |strategy: &PlacementStrategy| match strategy {
            PlacementStrategy::Spread(SpreadField::Attribute(name)) => {
                Some(Spread::new(fleet, crowd.map(|crowd| &**crowd), &base, name))
            }
            PlacementStrategy::Spread(SpreadField::Instance)
            | PlacementStrategy::BinpackCpu
            | PlacementStrategy::BinpackMemory
            | PlacementStrategy::Random => None,
        };
        let spreads = wish.strategy.iter().take(STRATEGIES).filter_map(spread).collect();
        Self {
            state,
            fleet,
            ask,
            uncertain,
            within: if uncertain { within(fleet, wish, false) } else { None },
            needs: (wish.needs.cpu, wish.needs.memory, wish.all_gpus()),
            crowd,
            touched: BTreeMap::new(),
            spreads,
            base,
            distinct: wish.rules.distinct,
            keepers: daemon::keepers(state, wish),
        }
    }

    /// How many tasks of the group are on an instance.
    pub(super) fn here(&self, slot: u32) -> u32 {
        match self.touched.get(&slot) {
            Some(touched) => touched.here,
            None => self.crowd.map_or(0, |crowd| crowd.on(slot)),
        }
    }

    /// The spread over an attribute, with its number.
    pub(super) fn spread(&self, name: &str) -> Option<(usize, &Spread<'a>)> {
        self.spreads.iter().enumerate().find(|(_, spread)| spread.name == name)
    }

    pub(super) fn wanted(&self, by: By) -> AtLeast {
        let (cpu, memory, gpus) = self.needs;
        match by {
            By::Memory => AtLeast { first: memory, second: cpu, gpus },
            By::Cpu => AtLeast { first: cpu, second: memory, gpus },
        }
    }

    /// An entry as a candidate, if it is of this region and as the fleet has it, and takes a task.
    pub(super) fn candidate(
        &self,
        wish: &Wish<'_>,
        by: By,
        region: &Region,
        entry: &Entry,
    ) -> Option<Candidate> {
        if !self.base.contains(entry.class) || self.touched.contains_key(&entry.slot) {
            return None;
        }
        let (cpu, memory) = match by {
            By::Memory => (entry.second(), entry.first()),
            By::Cpu => (entry.first(), entry.second()),
        };
        let (slot, class, tag) = (entry.slot, entry.class, entry.tag());
        let found = Candidate { slot, class, cpu, memory, tag };
        self.takes(wish, &found, region).then_some(found)
    }

    /// The touched instances that take another task.
    pub(super) fn touched_candidates<'b>(
        &'b self,
        wish: &'b Wish<'_>,
        region: &'b Region,
    ) -> impl Iterator<Item = Candidate> + 'b {
        let all = self.touched.iter();
        all.filter_map(move |(slot, touched)| self.again(wish, region, *slot, touched))
    }

    fn again(
        &self,
        wish: &Wish<'_>,
        region: &Region,
        slot: u32,
        touched: &Touched,
    ) -> Option<Candidate> {
        let Touched { class, tag, cpu, memory, gpus, .. } = *touched;
        // What was placed on this board asks for the same ports.
        let fits = self.fits((cpu, memory, gpus)) && wish.needs.ports.is_empty();
        let found = Candidate { slot, class, cpu, memory, tag };
        (fits && self.base.contains(class) && self.takes(wish, &found, region)).then_some(found)
    }

    fn fits(&self, (cpu, memory, gpus): (u32, u32, u32)) -> bool {
        cpu >= self.needs.0 && memory >= self.needs.1 && gpus >= self.needs.2
    }

    /// One instance, whether it is touched or not.
    pub(super) fn one(&self, wish: &Wish<'_>, region: &Region, slot: u32) -> Option<Candidate> {
        if let Some(touched) = self.touched.get(&slot) {
            return self.again(wish, region, slot, touched);
        }
        let seat = self.fleet.seat(slot)?;
        let (class, tag) = (seat.class, seat.tag);
        let found = Candidate { slot, class, cpu: seat.cpu, memory: seat.memory, tag };
        let takes = self.base.contains(class)
            && seat.standing == Standing::Ready
            && self.fits((seat.cpu, seat.memory, seat.gpus))
            && self.takes(wish, &found, region);
        takes.then_some(found)
    }

    /// Whether an instance with enough left passes the other filters, and is of a region.
    fn takes(&self, wish: &Wish<'_>, found: &Candidate, region: &Region) -> bool {
        let Candidate { slot, class, .. } = *found;
        if region.here.is_some_and(|here| self.here(slot) != here) {
            return false;
        }
        let at = |(spread, level): &(usize, u32)| {
            self.spreads.get(*spread).is_none_or(|s| s.count(self.fleet, slot, class) == *level)
        };
        if !region.levels().iter().all(at) {
            return false;
        }
        let ask = self.uncertain && self.ask.contains(class);
        if !ask && wish.needs.ports.is_empty() && self.keepers.is_empty() {
            return true;
        }
        let Some(seat) = self.fleet.seat(slot) else {
            return false;
        };
        let kept = self.kept(seat, slot);
        found.cpu.saturating_sub(kept.cpu) >= self.needs.0
            && found.memory.saturating_sub(kept.memory) >= self.needs.1
            && self.port(wish, seat, &kept).is_none()
            && !(ask && filter::unfit(self.state, &seat.instance, wish).is_some())
    }

    /// What is kept for daemons to come on an instance.
    fn kept(&self, seat: &Seat, slot: u32) -> Resources {
        let mut all = Resources::default();
        for keeper in &self.keepers {
            if let Some(kept) = keeper.on(self.state, &seat.instance, slot) {
                all.cpu = all.cpu.saturating_add(kept.cpu);
                all.memory = all.memory.saturating_add(kept.memory);
                all.ports.extend(kept.ports.iter().copied());
            }
        }
        all
    }

    /// A port that the task wants and does not get there, whatever was placed on this board.
    fn port(&self, wish: &Wish<'_>, seat: &Seat, kept: &Resources) -> Option<HostPort> {
        let taken = |port: &HostPort| {
            kept.ports.contains(port) || self.state.port_taken(&seat.instance, *port)
        };
        wish.needs.ports.iter().copied().find(taken)
    }

    /// What an instance lacks for one more task, by the first filter that it does not pass.
    pub(super) fn lack(&self, wish: &Wish<'_>, slot: u32, seat: &Seat) -> Option<Lack> {
        if let Some(lack) = filter::away(seat.standing) {
            return Some(lack);
        }
        let certain = self.base.contains(seat.class) && !self.ask.contains(seat.class);
        if !certain && let Some(lack) = filter::unfit(self.state, &seat.instance, wish) {
            return Some(lack);
        }
        if self.distinct && self.here(slot) > 0 {
            return Some(Lack::NotDistinct);
        }
        let touched = self.touched.get(&slot);
        let (cpu, memory, gpus) =
            touched.map_or((seat.cpu, seat.memory, seat.gpus), |t| (t.cpu, t.memory, t.gpus));
        let (needs, kept) = (self.needs, self.kept(seat, slot));
        let (cpu, memory) = (cpu.saturating_sub(kept.cpu), memory.saturating_sub(kept.memory));
        if cpu < needs.0 {
            return Some(Lack::Cpu { wants: needs.0, has: cpu });
        }
        if memory < needs.1 {
            return Some(Lack::Memory { wants: needs.1, has: memory });
        }
        let again = touched.and_then(|_| wish.needs.ports.iter().next().copied());
        if let Some(port) = again.or_else(|| self.port(wish, seat, &kept)) {
            return Some(Lack::Port(port));
        }
        (gpus < needs.2).then_some(Lack::Gpu { wants: needs.2, has: gpus })
    }

    /// A task was placed on this instance.
    pub(super) fn place(&mut self, slot: u32) {
        let Some(seat) = self.fleet.seat(slot) else {
            return;
        };
        let here = self.here(slot);
        let touched = self.touched.entry(slot).or_insert_with(|| Touched {
            class: seat.class,
            tag: seat.tag,
            cpu: seat.cpu,
            memory: seat.memory,
            gpus: seat.gpus,
            here,
        });
        touched.cpu = touched.cpu.saturating_sub(self.needs.0);
        touched.memory = touched.memory.saturating_sub(self.needs.1);
        touched.gpus = touched.gpus.saturating_sub(self.needs.2);
        touched.here += 1;
        for spread in &mut self.spreads {
            spread.placed(seat);
        }
    }
}

/// The classes of which an instance may do, and whether some of it only an instance can tell.
fn select(state: &State, fleet: &Fleet, wish: &Wish<'_>) -> (Selection, bool) {
    let external =
        |value| Selection::exactly(fleet.having(EXTERNAL, value).cloned().unwrap_or_default());
    let mut all = match wish.launch_type {
        LaunchType::Ec2 => external("false"),
        LaunchType::External => external("true"),
        LaunchType::Fargate => fleet.required(FARGATE_CAPABILITY),
    };
    if let Some(wanted) = wish.provider {
        let mut theirs = ClassSet::default();
        for (group, classes) in fleet.values(NODE_GROUP).into_iter().flat_map(Values::iter) {
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
    let mut uncertain = !all.is_certain();
    for one in needed.chain(expressions) {
        uncertain |= !one.is_certain();
        all = all.and(&one);
    }
    (all, uncertain)
}

/// The fewest places in which all instances are that a wish may use, if anything names them.
pub(super) fn within(fleet: &Fleet, wish: &Wish<'_>, thorough: bool) -> Option<Within> {
    let needed = wish.attributes.iter().chain(wish.more_attributes);
    let needed = needed.filter_map(|needed| fleet.required_within(needed));
    let queries = wish.rules.members.iter().filter_map(|expression| expression.query());
    let expressions = queries.filter_map(|query| fleet.within(query, thorough));
    needed.chain(expressions).min_by_key(|within| fleet.size(within))
}
