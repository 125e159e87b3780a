//! Keeping a service even over availability zones.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Attribute, DesiredStatus, InstanceStatus, PlacementStrategy, ServiceStatus};
use scheduler::{Command, CreateService, Rejection, UpdateService};

use crate::build::{CLUSTER, create, resources, service, spec, update};
use crate::world::{Image, World};

const SECOND: Duration = Duration::from_secs(1);

/// A node in a zone, whose agent is there.
pub(crate) fn join(world: &mut World, id: &str, zone: &str) -> model::InstanceKey {
    let attribute =
        Attribute { name: "ecs.availability-zone".to_owned(), value: Some(zone.to_owned()) };
    world.must(Command::RegisterInstance(scheduler::RegisterInstance {
        cluster: CLUSTER.into(),
        known_as: Some(id.into()),
        ec2_instance_id: None,
        address: None,
        resources: resources(4096, 4096),
        attributes: vec![attribute],
        tags: model::Tags::default(),
    }));
    let key = model::InstanceKey { cluster: CLUSTER.into(), instance: id.into() };
    world.connect(&key, true);
    key
}

/// How many tasks of the service run in each zone.
fn zones(world: &World) -> BTreeMap<String, usize> {
    let mut zones = BTreeMap::new();
    let key = service("web");
    let running = world.state.tasks_of(&key);
    for task in running.filter(|t| t.is_running() && t.progress.desired == DesiredStatus::Running) {
        let instance = world.state.instance_of(&task.facts).expect("it is there");
        let zone = instance.attribute("ecs.availability-zone").flatten().expect("it has one");
        *zones.entry(zone.to_owned()).or_default() += 1;
    }
    zones
}

/// Four tasks in one zone, and another zone that is free again.
fn uneven(rebalances: Option<bool>) -> World {
    let mut world = World::new(1);
    join(&mut world, "a", "zone-a");
    let definition = world.define("web", spec("web:1"), Image::Good);
    let made = CreateService { rebalances, ..create("web", &definition, 4) };
    world.must(Command::CreateService(made));
    world.pass(60 * SECOND);
    assert_eq!(zones(&world), BTreeMap::from([("zone-a".to_owned(), 4)]));
    join(&mut world, "b", "zone-b");
    world
}

#[test]
fn a_zone_that_comes_back_gets_its_share_one_task_after_the_other() {
    let mut world = uneven(None);
    let mut fewest = 4;
    for _ in 0..120 {
        world.pass(SECOND);
        fewest = fewest.min(zones(&world).values().sum::<usize>());
    }
    let both = BTreeMap::from([("zone-a".to_owned(), 2), ("zone-b".to_owned(), 2)]);
    assert_eq!(zones(&world), both);
    assert_eq!(fewest, 4, "one is started before one is stopped");
    let events = world.events(&service("web"));
    let told = "(service web) is not AZ balanced with 4 tasks in zone-a, 0 tasks in zone-b. AZ Rebalancing in progress.";
    assert!(events.iter().any(|event| event == told), "{events:#?}");
    let moved = events.iter().filter(|event| event.contains("not AZ balanced")).count();
    assert_eq!(moved, 2, "{events:#?}");
    assert!(world.state.service(&service("web")).expect("it is").steady_since.is_some());
    let before = world.state.tasks_of(&service("web")).count();
    world.pass(300 * SECOND);
    assert_eq!(
        world.state.tasks_of(&service("web")).count(),
        before,
        "an even service is left alone"
    );
}

#[test]
fn nothing_moves_where_it_is_disabled_or_there_is_no_room() {
    let mut world = uneven(Some(false));
    world.pass(120 * SECOND);
    assert_eq!(zones(&world), BTreeMap::from([("zone-a".to_owned(), 4)]));
    let mut world = uneven(None);
    let key = model::InstanceKey { cluster: CLUSTER.into(), instance: "b".into() };
    world.must(Command::SetInstanceStatus { key, status: InstanceStatus::Draining });
    world.pass(120 * SECOND);
    assert_eq!(zones(&world), BTreeMap::from([("zone-a".to_owned(), 4)]));
}

#[test]
fn protected_tasks_stay() {
    let mut world = uneven(Some(false));
    let keys: Vec<_> =
        world.state.tasks_of(&service("web")).map(|task| task.facts.key.clone()).collect();
    for key in keys {
        world.must(Command::ProtectTask { key, period: Some(3_600 * SECOND) });
    }
    let change = UpdateService { rebalances: Some(true), ..update("web") };
    world.must(Command::UpdateService(change));
    world.pass(120 * SECOND);
    assert_eq!(zones(&world), BTreeMap::from([("zone-a".to_owned(), 4)]));
}

#[test]
fn what_cannot_be_rebalanced_is_refused_by_name_or_left_as_it_is() {
    let mut world = World::new(1);
    let web = world.define("web", spec("web:1"), Image::Good);
    let strategy = vec![PlacementStrategy::BinpackMemory];
    for (bad, why) in [
        (
            CreateService { strategy: strategy.clone(), ..create("web", &web, 1) },
            "first placement strategy",
        ),
        (
            CreateService { percents: (Some(100), Some(0)), ..create("web", &web, 1) },
            "maximumPercent",
        ),
        (
            CreateService {
                scheduling: model::SchedulingStrategy::Daemon,
                desired_count: None,
                ..create("web", &web, 1)
            },
            "DAEMON",
        ),
    ] {
        let asked = CreateService { rebalances: Some(true), ..bad };
        let refused = world.submit(&Command::CreateService(asked));
        assert!(
            matches!(&refused, Err(Rejection::Refused(words)) if words.contains(why)),
            "{refused:?}"
        );
    }
    let made = CreateService { rebalances: None, strategy, ..create("web", &web, 0) };
    world.must(Command::CreateService(made));
    let made = world.state.service(&service("web")).expect("it is").clone();
    assert_eq!((made.status, made.rebalances), (ServiceStatus::Active, false));
}
