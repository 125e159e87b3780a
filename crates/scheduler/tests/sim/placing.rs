//! Where tasks go: filters with what they say, and strategies against the narrowing that ECS
//! documents.

use std::collections::BTreeMap;

use model::{
    Attribute, HostPort, InstanceId, InstanceKey, InstanceStatus, PlacementConstraint,
    PlacementStrategy, Protocol, SpreadField, State, Tags,
};
use proptest::prelude::*;
use scheduler::{
    Command, ContainerResize, Failure, FailureReason, Lack, RegisterInstance, Reply, Resize,
    RunTask, words,
};

use crate::build::{self, CLUSTER, run, spec, spec_with_port};
use crate::world::{Image, World};

const ZONE: &str = "ecs.availability-zone";

fn join(world: &mut World, id: &str, cpu: u32, memory: u32, attributes: &[(&str, &str)]) {
    let attribute = |(name, value): &(&str, &str)| Attribute {
        name: (*name).to_owned(),
        value: Some((*value).to_owned()),
    };
    world.must(Command::RegisterInstance(RegisterInstance {
        cluster: CLUSTER.into(),
        known_as: Some(id.into()),
        ec2_instance_id: None,
        address: None,
        resources: build::resources(cpu, memory),
        attributes: attributes.iter().map(attribute).collect(),
        tags: Tags::default(),
    }));
    world.connect(&key(id), true);
}

fn key(id: &str) -> InstanceKey {
    InstanceKey { cluster: CLUSTER.into(), instance: id.into() }
}

fn place(world: &mut World, run: RunTask) -> (Vec<InstanceId>, Vec<Failure>) {
    match world.must(Command::RunTask(run)) {
        Reply::Tasks { placed, failures } => {
            let on = |key| {
                world.state.task(key).expect("it is").facts.instance.clone().expect("it is placed")
            };
            (placed.iter().map(on).collect(), failures)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_attribute_may_be_required_with_its_value() {
    let mut world = World::new(5);
    join(&mut world, "arm", 4096, 4096, &[("ecs.cpu-architecture", "arm64")]);
    join(&mut world, "none", 4096, 4096, &[]);
    join(&mut world, "x86", 4096, 4096, &[("ecs.cpu-architecture", "x86_64")]);
    let mut wants = spec("web");
    let needed = "ecs.cpu-architecture=x86_64".to_owned();
    wants.required_attributes = vec![needed.clone()];
    let web = world.define("web", wants, Image::Good);
    let (placed, _) = place(&mut world, run(&web, 3));
    assert!(placed.iter().all(|id| id.as_str() == "x86") && placed.len() == 3);
    let status = InstanceStatus::Draining;
    world.must(Command::SetInstanceStatus { key: key("x86"), status });
    let (placed, failures) = place(&mut world, run(&web, 1));
    assert!(placed.is_empty());
    assert!(failures[0].detail.contains(&("arm".into(), Lack::Attribute(needed))));
}

#[test]
fn each_filter_says_what_is_lacking() {
    let mut world = World::new(1);
    for id in ["a-away", "b-drains", "c-external", "d-bare", "e-full", "f-small", "g-port"] {
        let attributes: &[(&str, &str)] = match id {
            "c-external" => &[("ecs.capability.external", ""), ("gpu", "")],
            "d-bare" => &[],
            _ => &[("gpu", "")],
        };
        let (cpu, memory) = match id {
            "e-full" => (100, 4096),
            "f-small" => (4096, 100),
            _ => (4096, 4096),
        };
        join(&mut world, id, cpu, memory, attributes);
    }
    world.connect(&key("a-away"), false);
    let status = InstanceStatus::Draining;
    world.must(Command::SetInstanceStatus { key: key("b-drains"), status });
    let port = world.define("port", spec_with_port("port", 80), Image::Good);
    let start = |instances: &[&str], run| Command::StartTask {
        instances: instances.iter().map(|id| InstanceId::from(*id)).collect(),
        run,
    };
    world.must(start(&["g-port"], run(&port, 1)));
    let mut wants = spec_with_port("wants", 80);
    wants.required_attributes = vec!["gpu".to_owned()];
    let wants = world.define("wants", wants, Image::Good);
    let (placed, failures) = place(&mut world, run(&wants, 2));
    assert!(placed.is_empty());
    assert_eq!(failures.len(), 2);
    assert_eq!(failures[0].reason, FailureReason::Ports);
    assert_eq!(failures[0].instance, Some("g-port".into()));
    let port = HostPort { protocol: Protocol::Tcp, port: 80 };
    let lacks: Vec<Lack> = failures[0].detail.iter().map(|(_, lack)| lack.clone()).collect();
    assert_eq!(
        lacks,
        [
            Lack::AgentDisconnected,
            Lack::Draining,
            Lack::LaunchType,
            Lack::Attribute("gpu".to_owned()),
            Lack::Cpu { wants: 128, has: 100 },
            Lack::Memory { wants: 128, has: 100 },
            Lack::Port(port),
        ]
    );
    let (reason, detail) = words::failure(&failures[0]);
    assert_eq!(reason, "RESOURCE:PORTS");
    assert_eq!(
        detail,
        "none of 7 container instances takes it: 1 is not connected, 1 is draining or not in service, 1 is of another launch type, 1 has no attribute gpu, 3 lack something else; g-port comes nearest: it has host port 80/tcp in use."
    );
    // The same one by one, as StartTask tells it.
    let all = ["a-away", "b-drains", "d-bare", "e-full", "f-small", "g-port", "nobody"];
    let Reply::Tasks { placed, failures } = world.must(start(&all, run(&wants, 1))) else {
        panic!("tasks")
    };
    assert!(placed.is_empty());
    let reasons: Vec<String> = failures.iter().map(|f| words::failure(f).0).collect();
    assert_eq!(
        reasons,
        [
            "AGENT",
            "INACTIVE",
            "ATTRIBUTE",
            "RESOURCE:CPU",
            "RESOURCE:MEMORY",
            "RESOURCE:PORTS",
            "MISSING"
        ]
    );
}

#[test]
fn what_fits_is_placed_and_the_rest_is_told() {
    let mut world = World::new(1);
    join(&mut world, "one", 300, 4096, &[]);
    let web = world.define("web", spec("web"), Image::Good);
    let (placed, failures) = place(&mut world, run(&web, 5));
    assert_eq!(placed.len(), 2);
    assert_eq!(failures.len(), 3);
    assert_eq!(failures[0].detail[0].1, Lack::Cpu { wants: 128, has: 44 });
    // An override reserves less.
    let containers = vec![ContainerResize {
        name: "app".into(),
        cpu: Some(44),
        memory: None,
        memory_reservation: None,
        gpus: None,
    }];
    let resize = Resize { containers, ..Resize::default() };
    let (placed, failures) = place(&mut world, RunTask { resize, ..run(&web, 2) });
    assert_eq!((placed.len(), failures.len()), (1, 1));
}

#[test]
fn a_cluster_without_instances_says_so() {
    let mut world = World::new(1);
    let web = world.define("web", spec("web"), Image::Good);
    let (_, failures) = place(&mut world, run(&web, 1));
    assert_eq!(failures[0].reason, FailureReason::NoInstances);
    let (reason, detail) = words::failure(&failures[0]);
    assert_eq!(reason, "No Container Instances were found in your cluster.");
    assert_eq!(detail, "register a container instance first.");
}

#[test]
fn distinct_tasks_keep_apart() {
    let mut world = World::new(1);
    for id in ["one", "two", "three"] {
        join(&mut world, id, 4096, 4096, &[]);
    }
    let web = world.define("web", spec("web"), Image::Good);
    let constraints = vec![PlacementConstraint::DistinctInstance];
    let (mut placed, failures) =
        place(&mut world, RunTask { constraints: constraints.clone(), ..run(&web, 4) });
    placed.sort();
    placed.dedup();
    assert_eq!((placed.len(), failures.len()), (3, 1));
    assert_eq!(failures[0].reason, FailureReason::Constraint);
    // Another group is another matter.
    let group = Some("batch".to_owned());
    let (placed, _) = place(&mut world, RunTask { constraints, group, ..run(&web, 3) });
    assert_eq!(placed.len(), 3);
}

/// The instances that are left when each strategy narrows what the one before has left.
fn narrowed(state: &State, strategy: &[PlacementStrategy]) -> Vec<InstanceId> {
    let cluster = CLUSTER.into();
    let mut left: Vec<_> = state
        .instances(&cluster)
        .filter(|i| state.left(i).0 >= 128 && state.left(i).1 >= 128)
        .collect();
    let tasks = |id: &InstanceId| {
        let here = state.tasks(&cluster).filter(|t| t.holds_resources());
        here.filter(|t| t.facts.instance.as_ref() == Some(id)).count()
    };
    // Whatever comes after chance has nothing left to decide.
    for rule in strategy.iter().take_while(|rule| **rule != PlacementStrategy::Random) {
        let mut zones: BTreeMap<Option<Option<&str>>, usize> = BTreeMap::new();
        for instance in state.instances(&cluster) {
            *zones.entry(instance.attribute(ZONE)).or_default() += tasks(&instance.key.instance);
        }
        let rank = |i: &&&std::sync::Arc<model::Instance>| match rule {
            PlacementStrategy::Spread(SpreadField::Instance) => tasks(&i.key.instance),
            PlacementStrategy::Spread(SpreadField::Attribute(name)) => zones[&i.attribute(name)],
            PlacementStrategy::BinpackCpu => state.left(i).0 as usize,
            PlacementStrategy::BinpackMemory => state.left(i).1 as usize,
            PlacementStrategy::Random => 0,
        };
        let least = left.iter().map(|i| rank(&i)).min();
        left = left.iter().filter(|i| Some(rank(i)) == least).copied().collect();
    }
    left.iter().map(|i| i.key.instance.clone()).collect()
}

fn strategies() -> impl Strategy<Value = Vec<PlacementStrategy>> {
    let one = prop_oneof![
        Just(PlacementStrategy::Spread(SpreadField::Instance)),
        Just(PlacementStrategy::Spread(SpreadField::Attribute(ZONE.to_owned()))),
        Just(PlacementStrategy::BinpackCpu),
        Just(PlacementStrategy::BinpackMemory),
        Just(PlacementStrategy::Random),
    ];
    proptest::collection::vec(one, 1..4)
}

proptest! {
    #[test]
    fn strategies_narrow_from_left_to_right(
        seed in any::<u64>(),
        nodes in proptest::collection::vec((100..1000_u32, 100..1000_u32, 0..4_u8), 1..8),
        strategy in strategies(),
        counts in proptest::collection::vec(1..4_u32, 1..8),
    ) {
        let mut world = World::new(seed);
        for (number, (cpu, memory, zone)) in nodes.iter().enumerate() {
            let zone = format!("zone-{zone}");
            let all = [(ZONE, zone.as_str())];
            // One of the zones is that of instances which name none.
            let attributes = if zone == "zone-3" { &all[..0] } else { &all[..] };
            join(&mut world, &format!("node-{number}"), *cpu, *memory, attributes);
        }
        let web = world.define("web", spec("web"), Image::Good);
        for count in counts {
            // One call of several places as several calls of one do.
            let before = world.state.clone();
            let run = RunTask { strategy: strategy.clone(), ..run(&web, count) };
            let mut allowed = narrowed(&world.state, &strategy);
            let (placed, failures) = place(&mut world, run.clone());
            prop_assert_eq!(placed.len() + failures.len(), count as usize);
            match placed.first() {
                Some(first) => prop_assert!(allowed.contains(first)),
                None => prop_assert!(allowed.is_empty()),
            }
            if strategy.contains(&PlacementStrategy::Random) {
                continue;
            }
            world.state = before;
            for instance in &placed {
                allowed = narrowed(&world.state, &strategy);
                prop_assert!(allowed.contains(instance));
                let (one, _) = place(&mut world, RunTask { count: 1, ..run.clone() });
                prop_assert_eq!(&one[0], instance);
            }
        }
    }
}
