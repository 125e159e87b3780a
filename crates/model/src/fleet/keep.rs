//! How fleets are kept as instances and tasks change.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::crowd::Spot;
use super::{Crowd, Fleet, Orders, Seat, Standing};
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

    /// All of them, by their clusters.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&ClusterName, &Arc<Fleet>)> {
        self.fleets.iter()
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
        let Some(node) = instance.ec2_instance_id.as_deref().map(NodeId::from) else {
            return;
        };
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
        let Some(fleet) = self.fleets.get(&key.cluster) else {
            return;
        };
        let Some(slot) = fleet.slot(&key.instance) else {
            return;
        };
        if fleet.seat(slot).is_none_or(|seat| (seat.cpu, seat.memory, seat.gpus) == left) {
            return;
        }
        if let Some(fleet) = self.change(&key.cluster) {
            fleet.reseat(slot, |seat| (seat.cpu, seat.memory, seat.gpus) = left);
        }
    }

    /// So many tasks of a group more, or fewer, are on an instance: of those that are wanted to run,
    /// and of those that are not over.
    pub(crate) fn count(&mut self, key: &InstanceKey, group: &str, by: (i64, i64)) {
        if let Some(fleet) = self.change(&key.cluster)
            && let Some(slot) = fleet.slot(&key.instance)
        {
            fleet.count(slot, group, by);
        }
    }
}

impl Fleet {
    fn put(&mut self, instance: &Arc<Instance>, offer: Offer) -> bool {
        self.prepare(instance);
        let before = self.slot(&instance.key.instance);
        let slot = before.unwrap_or_else(|| self.free_slot());
        let key = self.key_of(instance, offer.group.as_ref());
        let sat = self.seat(slot).cloned();
        // Left for good only once it is known where it comes to sit.
        let mut stays =
            sat.as_ref().and_then(|seat| self.class(seat.class)).is_some_and(|c| c.is_of(&key));
        let sections = self.sections_for(instance);
        stays &= sat.as_ref().is_some_and(|seat| seat.sections == sections);
        if let Some(seat) = &sat {
            if !stays {
                self.forget_crowds(slot, seat);
            }
            self.leave(slot, seat, stays);
        }
        // A section that was left by its last instance is gone, and so may be its number.
        let sections = if stays { sections } else { self.sections_for(instance) };
        let class = sat.filter(|_| stays).map_or_else(|| self.class_of(key), |seat| seat.class);
        let seat = Seat {
            instance: instance.clone(),
            class,
            standing: offer.standing,
            cpu: offer.cpu,
            memory: offer.memory,
            gpus: offer.gpus,
            tag: super::tag(instance.key.instance.as_str()),
            sections,
            group: offer.group,
        };
        self.slots.insert(instance.key.instance.clone(), slot);
        self.enter(slot, seat);
        self.narrow();
        !stays
    }

    fn delete(&mut self, key: &InstanceKey) {
        let Some(slot) = self.slots.remove(&key.instance) else {
            return;
        };
        let Some(seat) = self.seat(slot).cloned() else {
            return;
        };
        self.forget_crowds(slot, &seat);
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

    /// A seat takes its place in its class, its sections and the orders.
    pub(super) fn enter(&mut self, slot: u32, seat: Seat) {
        self.with_class(seat.class, |class| {
            class.members += 1;
            if seat.standing == Standing::Ready {
                class.orders.insert(slot, &seat);
            } else {
                class.away.entry(seat.standing).or_default().insert(slot);
            }
        });
        for (division, number) in self.divisions.iter_mut().zip(seat.sections.iter()) {
            Arc::make_mut(division).enter(*number, slot, &seat);
        }
        if seat.standing == Standing::Ready {
            self.orders.insert(slot, &seat);
        }
        self.set(slot, Some(Arc::new(seat)));
    }

    /// A seat leaves them, exactly as it entered. A class or a section without instances goes, unless
    /// the seat is to come back.
    pub(super) fn leave(&mut self, slot: u32, seat: &Seat, comes_back: bool) {
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
        for (division, number) in self.divisions.iter_mut().zip(seat.sections.iter()) {
            Arc::make_mut(division).leave(*number, slot, seat, comes_back);
        }
        if seat.standing == Standing::Ready {
            self.orders.remove(slot, seat);
        }
        if empty && !comes_back {
            self.drop_class(seat.class);
        }
    }

    /// A seat has other amounts left: of its class and its sections it stays.
    fn reseat(&mut self, slot: u32, change: impl FnOnce(&mut Seat)) {
        let Some(before) = self.seat(slot).cloned() else {
            return;
        };
        let mut seat = Seat::clone(&before);
        change(&mut seat);
        if seat.standing == Standing::Ready {
            let moved = |orders: &mut Orders| orders.replace(slot, &before, &seat);
            moved(&mut self.orders);
            self.with_class(seat.class, |class| moved(&mut class.orders));
            for (division, number) in self.divisions.iter_mut().zip(seat.sections.iter()) {
                if division.is_ordered() {
                    Arc::make_mut(division).reorder(*number, moved);
                }
            }
        }
        self.set(slot, Some(Arc::new(seat)));
    }
}

// === Groups ===

impl Fleet {
    pub(super) fn count(&mut self, slot: u32, group: &str, by: (i64, i64)) {
        let Some(seat) = self.seat(slot).cloned() else {
            return;
        };
        let sections = self.counted(&seat);
        if !self.crowds.contains_key(group) {
            self.crowds.insert(group.into(), Arc::default());
        }
        let Some(crowd) = self.crowds.get_mut(group) else {
            return;
        };
        let crowd = Arc::make_mut(crowd);
        crowd.add(Spot { slot, class: seat.class, sections: &sections }, by);
        if crowd.is_gone() {
            self.crowds.remove(group);
        }
    }

    /// The sections of a seat by which groups count their tasks.
    fn counted(&self, seat: &Seat) -> Vec<(usize, u32)> {
        let ordered = self.divisions.iter().enumerate().filter(|(_, of)| of.is_ordered());
        ordered.map(|(division, _)| (division, seat.section(division))).collect()
    }

    /// The tasks on a seat count no more: it is gone, or they are counted anew.
    fn forget_crowds(&mut self, slot: u32, seat: &Seat) {
        let sections = self.counted(seat);
        let spot = Spot { slot, class: seat.class, sections: &sections };
        let here = |(group, crowd): (&Arc<str>, &Arc<Crowd>)| {
            crowd.is_present(slot).then(|| (group.clone(), crowd.here(slot)))
        };
        let groups: Vec<_> = self.crowds.iter().filter_map(here).collect();
        for (group, here) in groups {
            if let Some(crowd) = self.crowds.get_mut(&*group) {
                let less = (-i64::from(here.wanted), -i64::from(here.present));
                Arc::make_mut(crowd).add(spot, less);
                if crowd.is_gone() {
                    self.crowds.remove(&*group);
                }
            }
        }
    }
}
