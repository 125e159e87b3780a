//! The instances of a cluster as placement looks for them: by class, in the order of what they have
//! left, and with the tasks of each group.
//!
//! A class is all instances with the same attributes. Which of them an expression selects is told
//! once a class, not once an instance. An attribute that has many values makes no classes: of each of
//! its values the instances are kept by themselves.
//!
//! All of it is a fold over instances and tasks, kept by [`crate::State::apply`] and nowhere else,
//! and shared between the copies of a state.

mod classes;
mod crowd;
mod keep;
mod order;
mod sections;
mod select;
mod sort;
mod values;

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use imbl::{GenericHashMap, OrdMap, OrdSet, Vector};

pub use classes::ClassSet;
pub use crowd::Crowd;
pub(crate) use keep::{Fleets, Offer};
pub use order::{AtLeast, Descending, Entry, Order, Reach};
pub use sections::{Division, Members, Section, WITHOUT};
pub use select::{Selection, Whereabouts, Within};
pub use values::Values;

use crate::{Instance, InstanceId};

/// An attribute with so many values makes no classes any more.
const MOST_VALUES: usize = 64;

/// So many classes at most; of more the attribute with the most values makes none any more.
const MOST_CLASSES: usize = 512;

/// By this services are spread unless they say otherwise: it always makes classes if it has few values.
const ZONE: &str = "ecs.availability-zone";

/// The name of what a node calls itself, among the attributes that make no classes.
const NODE: &str = "\u{0}node";

/// The name under which a class says whether its instances are external.
pub const EXTERNAL: &str = "\u{0}external";

/// The name under which a class says which Auto Scaling group started its instances.
pub const NODE_GROUP: &str = "\u{0}group";

/// Whether an instance takes tasks at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It does.
    Ready,
    /// It drains.
    Draining,
    /// Its agent is away.
    Disconnected,
    /// Its node has not come into service, or leaves it.
    OutOfService,
}

/// An instance and what it has left.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The instance itself.
    pub instance: Arc<Instance>,
    /// Of which class it is.
    pub class: u32,
    /// Whether it takes tasks.
    pub standing: Standing,
    /// CPU units that no task holds.
    pub cpu: u32,
    /// MiB that no task holds.
    pub memory: u32,
    /// How many GPUs no task holds.
    pub gpus: u32,
    /// What decides among equals: it follows from the instance's id.
    pub tag: u64,
    /// By division the section that it is in.
    sections: Arc<[u32]>,
    group: Option<Arc<str>>,
}

impl Seat {
    /// The section that it is in, of a division.
    pub fn section(&self, division: usize) -> u32 {
        self.sections.get(division).copied().unwrap_or(WITHOUT)
    }

    fn by_memory(&self, slot: u32) -> Entry {
        Entry::new(self.memory, self.cpu, self.gpus, self.tag, slot, self.class)
    }

    fn by_cpu(&self, slot: u32) -> Entry {
        Entry::new(self.cpu, self.memory, self.gpus, self.tag, slot, self.class)
    }
}

/// Instances that take tasks, in both orders.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    /// By memory, then CPU.
    pub memory: Order,
    /// By CPU, then memory.
    pub cpu: Order,
}

impl Orders {
    fn insert(&mut self, slot: u32, seat: &Seat) {
        self.memory.insert(seat.by_memory(slot));
        self.cpu.insert(seat.by_cpu(slot));
    }

    fn remove(&mut self, slot: u32, seat: &Seat) {
        self.memory.remove(&seat.by_memory(slot));
        self.cpu.remove(&seat.by_cpu(slot));
    }

    fn replace(&mut self, slot: u32, before: &Seat, after: &Seat) {
        self.memory.replace(&before.by_memory(slot), after.by_memory(slot));
        self.cpu.replace(&before.by_cpu(slot), after.by_cpu(slot));
    }
}

type ClassKey = Arc<[(Arc<str>, Arc<str>)]>;

/// Instances with the same attributes.
#[derive(Clone, Debug)]
pub struct Class {
    key: ClassKey,
    members: usize,
    // Those that do not take tasks, by their standing.
    away: OrdMap<Standing, OrdSet<u32>>,
    orders: Orders,
}

impl Class {
    fn is_of(&self, key: &ClassKey) -> bool {
        self.key == *key
    }

    /// How many instances are of this class.
    pub const fn members(&self) -> usize {
        self.members
    }

    /// Those of them that do not take tasks, and why.
    pub fn away(&self) -> impl Iterator<Item = (Standing, &OrdSet<u32>)> {
        self.away.iter().map(|(standing, slots)| (*standing, slots))
    }

    /// Those of them that take tasks.
    pub const fn orders(&self) -> &Orders {
        &self.orders
    }

    /// The attributes of all of them.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.key.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// Groups by name: found without a comparison with the names of others, and in the same order each time.
type Crowds = GenericHashMap<
    Arc<str>,
    Arc<Crowd>,
    BuildHasherDefault<DefaultHasher>,
    imbl::shared_ptr::DefaultSharedPtr,
>;

/// The instances of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    slots: OrdMap<InstanceId, u32>,
    seats: Vector<Option<Arc<Seat>>>,
    free_slots: OrdSet<u32>,
    classes: Vector<Option<Arc<Class>>>,
    class_ids: OrdMap<ClassKey, u32>,
    free_classes: OrdSet<u32>,
    all: ClassSet,
    values: OrdMap<Arc<str>, Arc<Values>>,
    // Attributes that make no classes, each with the number of its division.
    own: OrdMap<Arc<str>, usize>,
    divisions: Vec<Arc<Division>>,
    // With so many instances it is looked again which divisions keep orders.
    next_look: usize,
    orders: Orders,
    crowds: Crowds,
}

impl Fleet {
    /// How many instances there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Where an instance sits.
    pub fn slot(&self, id: &InstanceId) -> Option<u32> {
        self.slots.get(id).copied()
    }

    /// An instance by where it sits.
    pub fn seat(&self, slot: u32) -> Option<&Arc<Seat>> {
        self.seats.get(usize::try_from(slot).ok()?)?.as_ref()
    }

    /// The instances by id.
    pub fn seats(&self) -> impl Iterator<Item = (u32, &Arc<Seat>)> {
        self.slots.values().filter_map(|slot| Some((*slot, self.seat(*slot)?)))
    }

    /// Every class.
    pub const fn all(&self) -> &ClassSet {
        &self.all
    }

    /// A class.
    pub fn class(&self, class: u32) -> Option<&Arc<Class>> {
        self.classes.get(usize::try_from(class).ok()?)?.as_ref()
    }

    /// One more than the largest number of a class.
    pub fn class_numbers(&self) -> usize {
        self.classes.len()
    }

    /// All instances that take tasks.
    pub const fn orders(&self) -> &Orders {
        &self.orders
    }

    /// The tasks of a group.
    pub fn crowd(&self, group: &str) -> Option<&Arc<Crowd>> {
        self.crowds.get(group)
    }

    /// Whether an attribute is told by each instance, and not by its class.
    pub fn is_own(&self, name: &str) -> bool {
        self.own.contains_key(name)
    }

    /// Whether any instance has an attribute.
    pub fn knows(&self, name: &str) -> bool {
        let own = self.division(name).is_some_and(|(_, division)| division.values() > 0);
        own || self.values.contains_key(name)
    }

    /// An attribute that makes no classes: its number and its values.
    pub fn division(&self, name: &str) -> Option<(usize, &Division)> {
        let number = *self.own.get(name)?;
        Some((number, self.divisions.get(number)?))
    }

    /// An attribute that makes no classes, by its number.
    pub fn division_at(&self, number: usize) -> Option<&Division> {
        self.divisions.get(number).map(|division| &**division)
    }

    /// The values of an attribute that makes classes.
    pub fn values(&self, name: &str) -> Option<&Values> {
        self.values.get(name).map(|values| &**values)
    }

    /// The classes that have an attribute with a value.
    pub fn having(&self, name: &str, value: &str) -> Option<&ClassSet> {
        self.values.get(name)?.having(value)
    }
}

/// A number that follows from an id and orders like it: of hexadecimal ids the first sixteen digits,
/// of others the first eight bytes.
fn tag(id: &str) -> u64 {
    if let Some(digits) = id.get(..16)
        && let Ok(number) = u64::from_str_radix(digits, 16)
    {
        return number;
    }
    let mut bytes = [0; 8];
    for (byte, letter) in bytes.iter_mut().zip(id.bytes()) {
        *byte = letter;
    }
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
pub(crate) mod tests;
