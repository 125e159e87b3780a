//! How instances are sorted into classes and sections.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;

use super::{
    Class, ClassKey, Division, EXTERNAL, Fleet, MOST_CLASSES, MOST_VALUES, NODE, NODE_GROUP,
    Orders, Seat, ZONE, sections,
};
use crate::Instance;

impl Fleet {
    pub(super) fn with_class(&mut self, class: u32, change: impl FnOnce(&mut Class)) {
        let place = usize::try_from(class).ok().and_then(|class| self.classes.get_mut(class));
        if let Some(Some(class)) = place {
            change(Arc::make_mut(class));
        }
    }

    /// What makes the class of an instance.
    pub(super) fn key_of(&self, instance: &Instance, group: Option<&Arc<str>>) -> ClassKey {
        let mut named: BTreeMap<&str, Arc<str>> = BTreeMap::new();
        for attribute in &instance.attributes {
            if !self.is_own(&attribute.name) {
                let value = || attribute.value.as_deref().unwrap_or_default().into();
                named.entry(&attribute.name).or_insert_with(value);
            }
        }
        named.insert(EXTERNAL, if instance.external { "true".into() } else { "false".into() });
        if let Some(group) = group {
            named.insert(NODE_GROUP, group.clone());
        }
        named.into_iter().map(|(name, value)| (name.into(), value)).collect()
    }

    /// The class with this key, which is made if there is none like it.
    pub(super) fn class_of(&mut self, key: ClassKey) -> u32 {
        if let Some(class) = self.class_ids.get(&key) {
            return *class;
        }
        let made =
            Class { key: key.clone(), members: 0, away: OrdMap::new(), orders: Orders::default() };
        let class = match self.free_classes.remove_min() {
            Some(class) => class,
            None => {
                self.classes.push_back(None);
                u32::try_from(self.classes.len() - 1).unwrap_or(u32::MAX)
            }
        };
        for (name, value) in key.iter() {
            let values = self.values.entry(name.clone()).or_default();
            Arc::make_mut(values).insert(value, class);
        }
        self.all.insert(class);
        self.class_ids.insert(key, class);
        if let Some(place) = usize::try_from(class).ok().and_then(|at| self.classes.get_mut(at)) {
            *place = Some(Arc::new(made));
        }
        class
    }

    /// A class without instances goes, and its number is free again.
    pub(super) fn drop_class(&mut self, class: u32) {
        let place = usize::try_from(class).ok().and_then(|at| self.classes.get_mut(at));
        let Some(gone) = place.and_then(Option::take) else {
            return;
        };
        self.class_ids.remove(&gone.key);
        self.all.remove(class);
        self.free_classes.insert(class);
        for (name, _) in gone.key.iter() {
            let Some(values) = self.values.get_mut(name) else {
                continue;
            };
            let values = Arc::make_mut(values);
            values.remove(class);
            if values.is_empty() {
                self.values.remove(name);
            }
        }
    }

    /// The sections of an instance, by division.
    pub(super) fn sections_for(&mut self, instance: &Instance) -> Arc<[u32]> {
        let number = |division: &mut Arc<Division>| {
            let value = value_of(division.name(), instance);
            match value.map(|value| division.number(value)) {
                None => super::WITHOUT,
                Some(Some(number)) => number,
                Some(None) => Arc::make_mut(division).number_of(value),
            }
        };
        self.divisions.iter_mut().map(number).collect()
    }

    /// Looks whether an instance brings an attribute to more values than make classes, and whether
    /// divisions are to keep orders now that the fleet has grown.
    pub(super) fn prepare(&mut self, instance: &Instance) {
        if self.divisions.is_empty() {
            self.divide(NODE);
        }
        let mut wider = false;
        for attribute in &instance.attributes {
            let value = attribute.value.as_deref().unwrap_or_default();
            let full = self
                .values(&attribute.name)
                .is_some_and(|v| v.len() >= MOST_VALUES && v.having(value).is_none());
            if full && !self.is_own(&attribute.name) {
                self.divide(&attribute.name);
                wider = true;
            }
        }
        let grown = self.len() >= self.next_look;
        if wider || grown || self.divisions.iter().any(|division| division.overflows()) {
            let all = self.len();
            self.next_look = self.next_look.max(MOST_VALUES).max(all.saturating_mul(2));
            let changes = |of: &Arc<Division>| of.ought(all) != of.is_ordered();
            if wider || self.divisions.iter().any(changes) {
                self.sort_all();
            }
        }
    }

    /// Attributes with the most values make no classes any more, as long as there are too many.
    pub(super) fn narrow(&mut self) {
        while self.all.len() > MOST_CLASSES {
            let names = self
                .values
                .iter()
                .filter(|(name, _)| ![EXTERNAL, NODE_GROUP, ZONE].contains(&&***name));
            let most = names.map(|(name, values)| (values.len(), name.clone())).max();
            let Some((2.., name)) = most else { return };
            self.divide(&name);
            self.sort_all();
        }
    }

    /// An attribute makes no classes any more, and never again while the fleet is kept.
    fn divide(&mut self, name: &str) {
        let name: Arc<str> = name.into();
        self.own.insert(name.clone(), self.divisions.len());
        self.divisions.push(Arc::new(Division::new(name)));
    }

    /// Puts every instance into its class and its sections anew, with what the groups have on it.
    fn sort_all(&mut self) {
        let seats: Vec<(u32, Arc<Seat>)> =
            self.seats().map(|(slot, seat)| (slot, seat.clone())).collect();
        let crowds = std::mem::take(&mut self.crowds);
        let ordered: Vec<bool> =
            self.divisions.iter().map(|of| orderly(of.name(), &seats)).collect();
        for (slot, seat) in &seats {
            self.leave(*slot, seat, false);
        }
        for (division, ordered) in self.divisions.iter_mut().zip(ordered) {
            Arc::make_mut(division).reset(ordered);
        }
        for (slot, seat) in seats {
            let key = self.key_of(&seat.instance, seat.group.as_ref());
            let class = self.class_of(key);
            let sections = self.sections_for(&seat.instance);
            self.enter(slot, Seat { class, sections, ..Seat::clone(&seat) });
        }
        for (group, crowd) in &crowds {
            for (slot, here) in crowd.everywhere() {
                self.count(slot, group, (i64::from(here.wanted), i64::from(here.present)));
            }
        }
    }
}

/// What an instance has of an attribute that makes no classes.
fn value_of<'a>(name: &str, instance: &'a Instance) -> Option<&'a str> {
    match name {
        NODE => instance.ec2_instance_id.as_deref(),
        name => instance.attribute(name).map(Option::unwrap_or_default),
    }
}

/// Whether the sections of an attribute ought to keep orders.
fn orderly(name: &str, seats: &[(u32, Arc<Seat>)]) -> bool {
    let mut values = BTreeSet::new();
    let told = seats.iter().filter_map(|(_, seat)| value_of(name, &seat.instance));
    let having = told.map(|value| values.insert(value)).count();
    sections::ought(values.len(), having)
}
