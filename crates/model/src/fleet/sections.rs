//! Attributes that make no classes: for each of their values the instances that have it.
//!
//! Of an attribute with few values beside its instances (racks) each value keeps orders of its own,
//! and groups count their tasks by value. Of one with a value nearly everywhere (serial numbers) each
//! value only keeps its few instances.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet, Vector};

use super::{Orders, Seat, Standing};

/// Of an attribute with more values no value keeps orders: they would be many and small.
const MOST_ORDERED: usize = 1_024;

/// With fewer instances a value on average no value keeps orders.
const FEWEST_MEMBERS: usize = 2;

/// The section of the instances that do not have the attribute.
pub const WITHOUT: u32 = 0;

/// The instances that have one value of an attribute.
#[derive(Clone, Debug)]
pub struct Section {
    // None: those without the attribute.
    value: Option<Arc<str>>,
    members: usize,
    held: Held,
}

#[derive(Clone, Debug)]
enum Held {
    /// Those of them that take tasks.
    Ordered(Orders),
    /// All of them, by slot.
    Listed(Vec<u32>),
}

/// Where the instances of a section are found.
#[derive(Clone, Copy, Debug)]
pub enum Members<'a> {
    /// Those of them that take tasks, in their orders.
    Ordered(&'a Orders),
    /// All of them.
    Listed(&'a [u32]),
}

impl Section {
    fn new(value: Option<Arc<str>>, ordered: bool) -> Self {
        let held =
            if ordered { Held::Ordered(Orders::default()) } else { Held::Listed(Vec::new()) };
        Self { value, members: 0, held }
    }

    /// How many instances there are in it.
    pub const fn len(&self) -> usize {
        self.members
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.members == 0
    }

    /// Which they are.
    pub fn members(&self) -> Members<'_> {
        match &self.held {
            Held::Ordered(orders) => Members::Ordered(orders),
            Held::Listed(slots) => Members::Listed(slots),
        }
    }

    /// Their value; none if they do not have the attribute.
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }
}

/// An attribute that makes no classes, by its values.
#[derive(Clone, Debug)]
pub struct Division {
    name: Arc<str>,
    numbers: OrdMap<Arc<str>, u32>,
    // The first is of the instances without.
    sections: Vector<Option<Arc<Section>>>,
    free: OrdSet<u32>,
    ordered: bool,
}

impl Division {
    pub(super) fn new(name: Arc<str>) -> Self {
        let mut made = Self {
            name,
            numbers: OrdMap::new(),
            sections: Vector::new(),
            free: OrdSet::new(),
            ordered: false,
        };
        made.reset(false);
        made
    }

    /// The attribute.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many values there are.
    pub fn values(&self) -> usize {
        self.numbers.len()
    }

    /// Whether its sections keep orders, and groups count their tasks by section.
    pub const fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// A section by its number.
    pub fn section(&self, number: u32) -> Option<&Arc<Section>> {
        self.sections.get(usize::try_from(number).ok()?)?.as_ref()
    }

    /// The number of a value's section.
    pub fn number(&self, value: &str) -> Option<u32> {
        self.numbers.get(value).copied()
    }

    /// Every value with the number of its section.
    pub fn numbers(&self) -> impl Iterator<Item = (&str, u32)> {
        self.numbers.iter().map(|(value, number)| (&**value, *number))
    }

    /// One more than the largest number of a section.
    pub fn section_numbers(&self) -> usize {
        self.sections.len()
    }

    /// Whether its sections ought to keep orders, of so many instances.
    pub(super) fn ought(&self, instances: usize) -> bool {
        let without = self.section(WITHOUT).map_or(0, |section| section.len());
        ought(self.numbers.len(), instances.saturating_sub(without))
    }

    /// Whether it has come to so many values that it must not keep orders any more.
    pub(super) fn overflows(&self) -> bool {
        self.ordered && self.numbers.len() > MOST_ORDERED * 2
    }

    /// Forgets all sections, which must be empty.
    pub(super) fn reset(&mut self, ordered: bool) {
        self.ordered = ordered;
        (self.numbers, self.free) = (OrdMap::new(), OrdSet::new());
        let without = Section::new(None, ordered);
        self.sections = std::iter::once(Some(Arc::new(without))).collect();
    }

    /// The number of a value's section, which is made if there is none.
    pub(super) fn number_of(&mut self, value: Option<&str>) -> u32 {
        let Some(value) = value else { return WITHOUT };
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let number = match self.free.remove_min() {
            Some(number) => number,
            None => {
                self.sections.push_back(None);
                u32::try_from(self.sections.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let value: Arc<str> = value.into();
        self.numbers.insert(value.clone(), number);
        let made = Section::new(Some(value), self.ordered);
        if let Some(place) = self.place(number) {
            *place = Some(Arc::new(made));
        }
        number
    }

    fn place(&mut self, number: u32) -> Option<&mut Option<Arc<Section>>> {
        self.sections.get_mut(usize::try_from(number).ok()?)
    }

    fn with(&mut self, number: u32, change: impl FnOnce(&mut Section)) {
        if let Some(Some(section)) = self.place(number) {
            change(Arc::make_mut(section));
        }
    }

    pub(super) fn enter(&mut self, number: u32, slot: u32, seat: &Seat) {
        self.with(number, |section| {
            section.members += 1;
            match &mut section.held {
                Held::Ordered(orders) if seat.standing == Standing::Ready => {
                    orders.insert(slot, seat);
                }
                Held::Ordered(_) => {}
                Held::Listed(slots) => {
                    if let Err(at) = slots.binary_search(&slot) {
                        slots.insert(at, slot);
                    }
                }
            }
        });
    }

    /// A seat leaves its section, exactly as it entered. One without instances goes, unless the seat
    /// is to come back.
    pub(super) fn leave(&mut self, number: u32, slot: u32, seat: &Seat, comes_back: bool) {
        let mut empty = false;
        self.with(number, |section| {
            section.members -= 1;
            empty = section.members == 0;
            match &mut section.held {
                Held::Ordered(orders) if seat.standing == Standing::Ready => {
                    orders.remove(slot, seat);
                }
                Held::Ordered(_) => {}
                Held::Listed(slots) => {
                    if let Ok(at) = slots.binary_search(&slot) {
                        slots.remove(at);
                    }
                }
            }
        });
        if empty && !comes_back && number != WITHOUT {
            let gone = self.place(number).and_then(Option::take);
            if let Some(value) = gone.and_then(|section| section.value.clone()) {
                self.numbers.remove(&*value);
            }
            self.free.insert(number);
        }
    }

    /// What an instance has left has changed.
    pub(super) fn reorder(&mut self, number: u32, moved: impl Fn(&mut Orders)) {
        self.with(number, |section| {
            if let Held::Ordered(orders) = &mut section.held {
                moved(orders);
            }
        });
    }
}

/// Whether so many values of so many instances ought to keep orders.
pub(super) const fn ought(values: usize, having: usize) -> bool {
    values <= MOST_ORDERED && having >= values * FEWEST_MEMBERS
}
