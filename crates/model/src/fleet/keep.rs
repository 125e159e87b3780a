//! How fleets are kept as instances and tasks change.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::{Class, ClassKey, EXTERNAL, Fleet, MOST_VALUES, NODE_GROUP, Orders, Seat, Standing};
use crate::{ClusterName, Instance, InstanceKey, NodeId};

/// The fleets of all clusters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleets {
    fleets: OrdMap<ClusterName, Arc<Fleet>>,
    // Which instances a node is, so that a change of the node reaches them.
    by_node: OrdMap<NodeId, OrdSet<InstanceKey>>,
}

impl PartialEq for Fleets {
    /// They follow from the rest of the state: where an instance sits tells only in which order
    /// things came. That they follow rightly is a property test's affair.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Fleets {}

/// What is to be known of an instance beside itself.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) cpu: u32,
    pub(crate) memory: u32,
    pub(crate) gpus: u32,
    pub(crate) standing: Standing,
    /// The Auto Scaling group that started its node.
    pub(crate) group: Option<Arc<str>>,
}

impl Fleets {
    pub(crate) fn of(&self, cluster: &ClusterName) -> Option<&Arc<Fleet>> {
        self.fleets.get(cluster)
    }

    fn change(&mut self, cluster: &ClusterName) -> Option<&mut Fleet> {
        self.fleets.get_mut(cluster).map(Arc::make_mut)
    }

    /// The instances that a node is.
    pub(crate) fn nodes(&self, node: &NodeId) -> impl Iterator<Item = &InstanceKey> {
        self.by_node.get(node).into_iter().flatten()
    }

    /// An instance is there, new or changed. Tells whether its tasks have to be counted anew.
    pub(crate) fn put(&mut self, instance: &Arc<Instance>, offer: Offer) -> bool {
        let key = &instance.key;
        if let Some(seat) = self.seat(key)
            && seat.instance.ec2_instance_id != instance.ec2_instance_id
        {
            let before = seat.instance.clone();
            self.forget_node(&before);
        }
        if let Some(node) = &instance.ec2_instance_id {
            self.by_node.entry(node.as_str().into()).or_default().insert(key.clone());
        }
        let fleet = Arc::make_mut(self.fleets.entry(key.cluster.clone()).or_default());
        fleet.put(instance, offer)
    }

    /// An instance is gone.
    pub(crate) fn delete(&mut self, key: &InstanceKey) {
        let Some(seat) = self.seat(key) else { return };
        let instance = seat.instance.clone();
        self.forget_node(&instance);
        if let Some(fleet) = self.change(&key.cluster) {
            fleet.delete(key);
        }
    }

    fn seat(&self, key: &InstanceKey) -> Option<&Arc<Seat>> {
        let fleet = self.fleets.get(&key.cluster)?;
        fleet.seat(fleet.slot(&key.instance)?)
    }

    fn forget_node(&mut self, instance: &Instance) {
        let Some(node) = instance.ec2_instance_id.as_deref().map(NodeId::from) else { return };
        if let Some(keys) = self.by_node.get_mut(&node) {
            keys.remove(&instance.key);
            if keys.is_empty() {
                self.by_node.remove(&node);
            }
        }
    }

    /// An instance has so much left now.
    pub(crate) fn resize(&mut self, key: &InstanceKey, left: (u32, u32, u32)) {
        // Looked at first, so that nothing is copied for nothing.
        let Some(seat) = self.seat(key) else { return };
        if (seat.cpu, seat.memory, seat.gpus) == left {
            return;
        }
        if let Some(fleet) = self.change(&key.cluster)
            && let Some(slot) = fleet.slot(&key.instance)
        {
            fleet.reseat(slot, |seat| (seat.cpu, seat.memory, seat.gpus) = left);
        }
    }

    /// So many tasks of a group more, or fewer, are on an instance.
    pub(crate) fn count(&mut self, key: &InstanceKey, group: &str, by: i64) {
        if let Some(fleet) = self.change(&key.cluster)
            && let Some(slot) = fleet.slot(&key.instance)
        {
            fleet.count(slot, group, by);
        }
    }
}

impl Fleet {
    fn put(&mut self, instance: &Arc<Instance>, offer: Offer) -> bool {
        if self.widen(instance) {
            self.reclass_all();
        }
        let before = self.slot(&instance.key.instance);
        let slot = before.unwrap_or_else(|| self.free_slot());
        let key = self.key_of(instance, offer.group.as_ref());
        let sat = self.seat(slot).cloned();
        let stays =
            sat.as_ref().and_then(|seat| self.class(seat.class)).is_some_and(|c| c.key == key);
        if let Some(seat) = &sat {
            if !stays {
                self.forget_crowd(slot, seat.class);
            }
            self.leave(slot, seat, stays);
        }
        let class = sat.filter(|_| stays).map_or_else(|| self.class_of(key), |seat| seat.class);
        let seat = Seat {
            instance: instance.clone(),
            class,
            standing: offer.standing,
            cpu: offer.cpu,
            memory: offer.memory,
            gpus: offer.gpus,
            tag: super::tag(instance.key.instance.as_str()),
            group: offer.group,
        };
        self.slots.insert(instance.key.instance.clone(), slot);
        self.enter(slot, seat);
        !stays
    }

    fn delete(&mut self, key: &InstanceKey) {
        let Some(slot) = self.slots.remove(&key.instance) else { return };
        let Some(seat) = self.seat(slot).cloned() else { return };
        self.forget_crowd(slot, seat.class);
        self.leave(slot, &seat, false);
        self.set(slot, None);
        self.free_slots.insert(slot);
    }

    fn free_slot(&mut self) -> u32 {
        if let Some(slot) = self.free_slots.remove_min() {
            return slot;
        }
        self.seats.push_back(None);
        u32::try_from(self.seats.len() - 1).unwrap_or(u32::MAX)
    }

    fn set(&mut self, slot: u32, seat: Option<Arc<Seat>>) {
        if let Some(place) = usize::try_from(slot).ok().and_then(|slot| self.seats.get_mut(slot)) {
            *place = seat;
        }
    }

    /// A seat takes its place in its class and the orders.
    fn enter(&mut self, slot: u32, seat: Seat) {
        self.with_class(seat.class, |class| {
            class.members += 1;
            if seat.standing == Standing::Ready {
                class.orders.insert(slot, &seat);
            } else {
                class.away.entry(seat.standing).or_default().insert(slot);
            }
        });
        if seat.standing == Standing::Ready {
            self.orders.insert(slot, &seat);
        }
        self.set(slot, Some(Arc::new(seat)));
    }

    /// A seat leaves them, exactly as it entered. A class without instances goes, unless the seat is
    /// to come back.
    fn leave(&mut self, slot: u32, seat: &Seat, comes_back: bool) {
        let mut empty = false;
        self.with_class(seat.class, |class| {
            class.members -= 1;
            empty = class.members == 0;
            if seat.standing == Standing::Ready {
                class.orders.remove(slot, seat);
            } else if let Some(slots) = class.away.get_mut(&seat.standing) {
                slots.remove(&slot);
                if slots.is_empty() {
                    class.away.remove(&seat.standing);
                }
            }
        });
        if seat.standing == Standing::Ready {
            self.orders.remove(slot, seat);
        }
        if empty && !comes_back {
            self.drop_class(seat.class);
        }
    }

    /// A seat has other amounts left: of its class it stays.
    fn reseat(&mut self, slot: u32, change: impl FnOnce(&mut Seat)) {
        let Some(before) = self.seat(slot).cloned() else { return };
        let mut seat = Seat::clone(&before);
        change(&mut seat);
        if seat.standing == Standing::Ready {
            self.orders.remove(slot, &before);
            self.orders.insert(slot, &seat);
            self.with_class(seat.class, |class| {
                class.orders.remove(slot, &before);
                class.orders.insert(slot, &seat);
            });
        }
        self.set(slot, Some(Arc::new(seat)));
    }

    pub(super) fn count(&mut self, slot: u32, group: &str, by: i64) {
        let Some(class) = self.seat(slot).map(|seat| seat.class) else { return };
        if !self.crowds.contains_key(group) {
            self.crowds.insert(group.into(), Arc::default());
        }
        let Some(crowd) = self.crowds.get_mut(group) else { return };
        let crowd = Arc::make_mut(crowd);
        crowd.add(slot, class, by);
        if crowd.is_empty() {
            self.crowds.remove(group);
        }
    }

    /// The tasks on a seat count no more: it is gone, or they are counted anew.
    fn forget_crowd(&mut self, slot: u32, class: u32) {
        let here = |(group, crowd): (&Arc<str>, &Arc<super::Crowd>)| {
            let count = crowd.on(slot);
            (count > 0).then(|| (group.clone(), count))
        };
        let groups: Vec<(Arc<str>, u32)> = self.crowds.iter().filter_map(here).collect();
        for (group, count) in groups {
            if let Some(crowd) = self.crowds.get_mut(&*group) {
                Arc::make_mut(crowd).add(slot, class, -i64::from(count));
                if crowd.is_empty() {
                    self.crowds.remove(&*group);
                }
            }
        }
    }
}

// === Classes ===

impl Fleet {
    fn with_class(&mut self, class: u32, change: impl FnOnce(&mut Class)) {
        let place = usize::try_from(class).ok().and_then(|class| self.classes.get_mut(class));
        if let Some(Some(class)) = place {
            change(Arc::make_mut(class));
        }
    }

    /// What makes the class of an instance.
    fn key_of(&self, instance: &Instance, group: Option<&Arc<str>>) -> ClassKey {
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
    fn class_of(&mut self, key: ClassKey) -> u32 {
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
            values.entry(value.clone()).or_default().insert(class);
        }
        self.all.insert(class);
        self.class_ids.insert(key, class);
        if let Some(place) = usize::try_from(class).ok().and_then(|at| self.classes.get_mut(at)) {
            *place = Some(Arc::new(made));
        }
        class
    }

    /// A class without instances goes, and its number is free again.
    fn drop_class(&mut self, class: u32) {
        let place = usize::try_from(class).ok().and_then(|at| self.classes.get_mut(at));
        let Some(gone) = place.and_then(Option::take) else { return };
        self.class_ids.remove(&gone.key);
        self.all.remove(class);
        self.free_classes.insert(class);
        for (name, value) in gone.key.iter() {
            let Some(values) = self.values.get_mut(name) else { continue };
            if let Some(classes) = values.get_mut(value) {
                classes.remove(class);
                if classes.is_empty() {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.values.remove(name);
            }
        }
    }

    /// Whether an instance brings an attribute to more values than make classes. It then makes none
    /// any more, and never again while the fleet is kept.
    fn widen(&mut self, instance: &Instance) -> bool {
        let mut wider = false;
        for attribute in &instance.attributes {
            let value = attribute.value.as_deref().unwrap_or_default();
            let values = self.values.get(&*attribute.name);
            if values.is_some_and(|v| v.len() >= MOST_VALUES && !v.contains_key(value)) {
                self.own.insert(attribute.name.as_str().into());
                wider = true;
            }
        }
        wider
    }

    /// Puts every instance into its class anew, with what the groups have on it.
    fn reclass_all(&mut self) {
        let seats: Vec<(u32, Arc<Seat>)> =
            self.seats().map(|(slot, seat)| (slot, seat.clone())).collect();
        let crowds = std::mem::take(&mut self.crowds);
        for (slot, seat) in &seats {
            self.leave(*slot, seat, false);
        }
        for (slot, seat) in seats {
            let key = self.key_of(&seat.instance, seat.group.as_ref());
            let class = self.class_of(key);
            self.enter(slot, Seat { class, ..Seat::clone(&seat) });
        }
        for (group, crowd) in &crowds {
            for (slot, count) in crowd.instances() {
                self.count(slot, group, i64::from(count));
            }
        }
    }
}
