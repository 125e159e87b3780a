//! The fleet against plain folds over the same instances and tasks.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

mod histories;

fn at_least(first: u32, second: u32, gpus: u32) -> AtLeast {
    AtLeast { first, second, gpus }
}

fn entries() -> impl Strategy<Value = Vec<(u32, u32, u32)>> {
    // Few different amounts, so that there are runs, also over several chunks.
    prop::collection::vec((0..6_u32, 0..4_u32, 0..3_u32), 0..400)
}

fn built(of: &[(u32, u32, u32)]) -> (Order, Vec<Entry>) {
    let mut order = Order::default();
    let entry = |(slot, (first, second, gpus)): (usize, &(u32, u32, u32))| {
        let slot = u32::try_from(slot).unwrap();
        Entry::new(*first, *second, *gpus, u64::from(slot) ^ 5, slot, slot % 3)
    };
    let mut all: Vec<Entry> = of.iter().enumerate().map(entry).collect();
    all.iter().for_each(|entry| order.insert(*entry));
    all.sort();
    (order, all)
}

/// The emptiest first, by runs of equal amounts of the first resource.
fn falling(all: &[Entry], wanted: AtLeast) -> Vec<Entry> {
    let mut fit: Vec<Entry> =
        all.iter().filter(|entry| wanted.met_by_for_tests(entry)).copied().collect();
    fit.sort_by_key(|entry| (std::cmp::Reverse(entry.first()), *entry));
    fit
}

impl AtLeast {
    fn met_by_for_tests(self, entry: &Entry) -> bool {
        entry.first() >= self.first && entry.second() >= self.second && entry.gpus >= self.gpus
    }
}

proptest! {
    #[test]
    fn orders_are_what_sorting_gives(
        of in entries(),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 0..300),
        moved in prop::collection::vec((any::<prop::sample::Index>(), (0..6_u32, 0..4_u32, 0..3_u32)), 0..300),
        wanted in (0..7_u32, 0..4_u32, 0..3_u32),
    ) {
        let (mut order, mut all) = built(&of);
        let snapshot = order.clone();
        let whole = all.clone();
        for index in gone {
            if all.is_empty() {
                break;
            }
            let entry = all.remove(index.index(all.len()));
            order.remove(&entry);
        }
        for (index, (first, second, gpus)) in moved {
            if all.is_empty() {
                break;
            }
            let at = index.index(all.len());
            let before = all.remove(at);
            let after = Entry::new(first, second, gpus, before.tag(), before.slot, before.class);
            order.replace(&before, after);
            all.insert(all.partition_point(|entry| *entry < after), after);
        }
        for (order, all) in [(&order, &all), (&snapshot, &whole)] {
            let wanted = at_least(wanted.0, wanted.1, wanted.2);
            prop_assert_eq!(order.len(), all.len());
            let rising: Vec<Entry> = order.ascending(wanted).copied().collect();
            let fit: Vec<Entry> = all.iter().filter(|e| wanted.met_by_for_tests(e)).copied().collect();
            prop_assert_eq!(rising, fit);
            let fell: Vec<Entry> = order.descending(wanted).copied().collect();
            prop_assert_eq!(fell, falling(all, wanted));
            prop_assert_eq!(order.below(wanted.first), all.iter().filter(|e| e.first() < wanted.first).count());
            let reach = order.reach(wanted);
            let mut sampled: Vec<Entry> =
                (0..reach.places()).filter_map(|place| reach.entry(place)).copied().collect();
            sampled.sort();
            prop_assert_eq!(sampled, order.ascending(wanted).copied().collect::<Vec<_>>());
        }
    }

    #[test]
    fn sets_are_sets(a in prop::collection::btree_set(0..200_u32, 0..40), b in prop::collection::btree_set(0..200_u32, 0..40)) {
        let set = |of: &BTreeSet<u32>| {
            let mut set = ClassSet::default();
            of.iter().for_each(|class| set.insert(*class));
            set
        };
        let listed = |set: &ClassSet| set.iter().collect::<BTreeSet<u32>>();
        let (x, y) = (set(&a), set(&b));
        prop_assert_eq!(listed(&x), a.clone());
        prop_assert_eq!(x.len(), a.len());
        prop_assert_eq!(listed(&x.and(&y)), &a & &b);
        prop_assert_eq!(listed(&x.or(&y)), &a | &b);
        prop_assert_eq!(listed(&x.without(&y)), &a - &b);
        prop_assert!(a.iter().all(|class| x.contains(*class)));
        prop_assert_eq!(listed(&ClassSet::first(a.len())), (0..u32::try_from(a.len()).unwrap()).collect::<BTreeSet<_>>());
    }
}

#[test]
fn tags_order_like_ids() {
    assert!(tag("00ff00ff00ff00ff00ff") < tag("01ff00ff00ff00ff00ff"));
    assert!(tag("a") < tag("b"));
    assert!(tag("one") < tag("two"));
}

/// An instance is where its values are, and nowhere else.
fn check_sections(fleet: &Fleet, seat: &Seat, slot: u32) {
    for (number, division) in fleet.divisions.iter().enumerate() {
        for at in 0..division.section_numbers() {
            let at = u32::try_from(at).unwrap();
            let Some(section) = division.section(at) else {
                continue;
            };
            let found = match section.members() {
                Members::Listed(slots) => slots.contains(&slot),
                Members::Ordered(orders) => {
                    let everything = at_least(0, 0, 0);
                    let memory = orders.memory.ascending(everything).any(|e| e.slot == slot);
                    assert_eq!(memory, orders.cpu.ascending(everything).any(|e| e.slot == slot));
                    memory || (seat.standing != Standing::Ready && at == seat.section(number))
                }
            };
            assert_eq!(found, at == seat.section(number), "{} {:?}", division.name(), section);
        }
    }
}

/// The tasks of a group by section are those of the instances there.
fn check_counts(fleet: &Fleet, crowd: &Crowd, counts: &BTreeMap<u32, u32>) {
    for (number, _) in fleet.divisions.iter().enumerate().filter(|(_, of)| of.is_ordered()) {
        let mut by_section = BTreeMap::<u32, u32>::new();
        for (slot, count) in counts {
            *by_section.entry(fleet.seat(*slot).unwrap().section(number)).or_default() += count;
        }
        let told = crowd.by_section(number).iter().enumerate().filter(|(_, count)| **count > 0);
        let told: BTreeMap<u32, u32> =
            told.map(|(section, count)| (u32::try_from(section).unwrap(), *count)).collect();
        assert_eq!(told, by_section);
    }
}

/// What a group has where, in each of the ways in which it is told.
fn check_crowd(fleet: &Fleet, group: &str, slots: &BTreeSet<u32>, counts: &BTreeMap<u32, u32>) {
    let crowd = fleet.crowd(group).unwrap();
    assert_eq!(crowd.present().collect::<BTreeSet<_>>(), *slots, "{group}");
    assert_eq!(crowd.len(), counts.len(), "{group}");
    check_counts(fleet, crowd, counts);
    assert_eq!(crowd.instances().collect::<BTreeMap<_, _>>(), *counts, "{group}");
    let by_count: BTreeMap<u32, u32> = crowd
        .by_count()
        .flat_map(|(count, slots)| slots.iter().map(move |slot| (*slot, count)))
        .collect();
    assert_eq!(by_count, *counts, "{group}");
    let mut by_class = BTreeMap::<u32, u32>::new();
    for (slot, count) in counts {
        *by_class.entry(fleet.seat(*slot).unwrap().class).or_default() += count;
    }
    assert_eq!(crowd.by_class().collect::<BTreeMap<_, _>>(), by_class, "{group}");
}

/// Everything that a fleet says, from the facts of a state.
pub(crate) fn check(state: &crate::State) {
    let clusters: BTreeSet<_> = state.all_instances().map(|i| i.key.cluster.clone()).collect();
    for cluster in clusters {
        let fleet = state.fleet(&cluster).unwrap();
        let (mut ready, mut crowds) = (0, BTreeMap::<String, BTreeMap<u32, u32>>::new());
        let mut present = BTreeMap::<String, BTreeSet<u32>>::new();
        assert_eq!(fleet.len(), state.instances(&cluster).count());
        for instance in state.instances(&cluster) {
            let slot = fleet.slot(&instance.key.instance).unwrap();
            let seat = fleet.seat(slot).unwrap();
            assert_eq!(&seat.instance, instance);
            assert_eq!((seat.cpu, seat.memory), state.left(instance));
            assert_eq!(seat.gpus as usize, state.free_gpus(instance).count());
            assert_eq!(seat.standing, state.standing(instance));
            let class = fleet.class(seat.class).unwrap();
            for (name, value) in class.attributes().filter(|(name, _)| !name.starts_with('\0')) {
                assert_eq!(instance.attribute(name).map(Option::unwrap_or_default), Some(value));
            }
            for attribute in &instance.attributes {
                let value = attribute.value.as_deref().unwrap_or_default();
                let set = fleet.having(&attribute.name, value);
                if let Some((number, division)) = fleet.division(&attribute.name) {
                    let section = division.section(seat.section(number)).unwrap();
                    let mine = instance.attribute(&attribute.name);
                    assert_eq!(section.value(), mine.map(Option::unwrap_or_default));
                    assert!(mine.flatten() != Some(value) || division.number(value).is_some());
                }
                let first =
                    instance.attribute(&attribute.name).unwrap().unwrap_or_default() == value;
                assert!(
                    !first || fleet.is_own(&attribute.name) || set.unwrap().contains(seat.class)
                );
            }
            let entry = fleet.orders().memory.ascending(at_least(0, 0, 0)).find(|e| e.slot == slot);
            assert_eq!(entry.is_some(), seat.standing == Standing::Ready);
            ready += usize::from(entry.is_some());
            let theirs = class.orders().cpu.ascending(at_least(0, 0, 0)).find(|e| e.slot == slot);
            assert_eq!(
                theirs.map(|e| (e.first(), e.second())),
                entry.map(|e| (e.second(), e.first()))
            );
            check_sections(fleet, seat, slot);
            for task in state.tasks_on(&instance.key).filter(|task| task.holds_resources()) {
                present.entry(task.facts.group.clone()).or_default().insert(slot);
                if task.progress.desired == crate::DesiredStatus::Running {
                    let here = crowds.entry(task.facts.group.clone()).or_default();
                    *here.entry(slot).or_default() += 1;
                }
            }
        }
        assert_eq!(fleet.orders().memory.len(), ready);
        assert_eq!(fleet.orders().cpu.len(), ready);
        let members: usize =
            fleet.all().iter().map(|class| fleet.class(class).unwrap().members()).sum();
        assert_eq!(members, fleet.len());
        assert_eq!(fleet.crowds.len(), present.len());
        for (group, slots) in present {
            let counts = crowds.remove(&group).unwrap_or_default();
            check_crowd(fleet, &group, &slots, &counts);
        }
    }
}

#[test]
fn an_attribute_of_its_own_everywhere_makes_no_classes() {
    let mut state = crate::State::new(crate::Realm::new("us-east-1", "000000000000"));
    let instance = |n: usize| Instance {
        key: crate::InstanceKey {
            cluster: "one".into(),
            instance: format!("{n:016x}").as_str().into(),
        },
        status: crate::InstanceStatus::Active,
        external: false,
        ec2_instance_id: None,
        address: None,
        registered: crate::Resources { cpu: 10, memory: 10, ..Default::default() },
        attributes: vec![
            crate::Attribute { name: "serial".to_owned(), value: Some(n.to_string()) },
            crate::Attribute { name: "zone".to_owned(), value: Some((n % 3).to_string()) },
        ],
        agent: crate::AgentInfo { connected: true, ..Default::default() },
        tags: crate::Tags::default(),
        registered_at: stdx::Timestamp::EPOCH,
        version: 1,
    };
    for n in 0..MOST_VALUES + 50 {
        state.apply(&crate::Change::PutInstance(Arc::new(instance(n))));
    }
    let fleet = state.fleet(&"one".into()).unwrap();
    assert!(fleet.is_own("serial") && !fleet.is_own("zone"));
    assert_eq!(fleet.all().len(), 3);
    let query = crate::query::parse("attribute:zone == 1 and attribute:serial in [4, 5]").unwrap();
    let selection = fleet.select(&query);
    assert!(!selection.is_certain());
    assert_eq!((selection.always.len(), selection.perhaps.len()), (0, 1));
    let query = crate::query::parse("attribute:zone != 1 or attribute:serial exists").unwrap();
    let selection = fleet.select(&query);
    assert_eq!((selection.always.len(), selection.perhaps.len()), (2, 3));
    check(&state);
}
