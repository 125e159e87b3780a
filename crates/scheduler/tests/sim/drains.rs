//! Instances that drain: a service's tasks move within its percentages, what is not running stops at
//! once, and what belongs to nobody stays.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html>

use std::time::Duration;

use model::{DesiredStatus, InstanceKey, InstanceStatus, TaskStatus};
use scheduler::{Command, CreateService, RunTask};

use crate::build::{create, run, service, spec};
use crate::invariants::healthy;
use crate::world::{Image, World};

const SECOND: Duration = Duration::from_secs(1);

fn drain(world: &mut World, key: &InstanceKey) {
    let status = InstanceStatus::Draining;
    world.must(Command::SetInstanceStatus { key: key.clone(), status });
}

/// The fewest healthy tasks, and the most there were, while both of two instances' tasks move to two
/// others.
fn moved(desired: u32, (maximum, minimum): (u32, u32)) -> (usize, usize) {
    let mut world = World::new(41);
    let old = [world.join("a", 1024, 1024), world.join("b", 1024, 1024)];
    world.define("web", spec("web:1"), Image::Good);
    let percents = (Some(maximum), Some(minimum));
    world.must(Command::CreateService(CreateService {
        percents,
        ..create("web", "web:1", desired)
    }));
    world.pass(30 * SECOND);
    let new = [world.join("c", 1024, 1024), world.join("d", 1024, 1024)];
    let key = service("web");
    old.iter().for_each(|node| drain(&mut world, node));
    let (mut fewest, mut most) = (usize::MAX, 0);
    for _ in 0..4_000 {
        world.pass(Duration::from_millis(10));
        let now = world.state.service(&key).expect("it is");
        fewest = fewest.min(healthy(&world.state, now));
        most = most.max(world.live(&key).len());
    }
    for node in old {
        assert_eq!(world.state.instance_counts(&node), (0, 0), "{maximum}/{minimum}: {node}");
    }
    let there: u32 = new.iter().map(|node| world.state.instance_counts(node).0).sum();
    assert_eq!(there, desired, "{maximum}/{minimum}");
    assert!(world.state.service(&key).expect("it is").steady_since.is_some());
    (fewest, most)
}

#[test]
fn the_percentages_bound_the_move() {
    // Percentages, then the fewest that were healthy and the most that there were, of four.
    for (percents, fewest, most) in [
        ((200, 100), 4, 8),
        ((150, 100), 4, 6),
        ((125, 75), 3, 5),
        ((100, 50), 2, 4),
        ((100, 0), 0, 4),
        ((200, 50), 2, 8),
    ] {
        let (had, there) = moved(4, percents);
        assert!(had >= fewest, "{percents:?}: {had} were healthy");
        assert!(there <= most, "{percents:?}: {there} were there");
    }
    // With room the replacements come first.
    assert_eq!(moved(4, (200, 0)).0, 4, "nothing is taken down that has another to take its place");
}

#[test]
fn with_nowhere_to_go_they_stay() {
    let mut world = World::new(42);
    let only = world.join("a", 1024, 1024);
    world.define("web", spec("web:1"), Image::Good);
    world.must(Command::CreateService(create("web", "web:1", 3)));
    world.pass(30 * SECOND);
    drain(&mut world, &only);
    world.pass(Duration::from_secs(300));
    assert_eq!(world.state.instance_counts(&only).0, 3, "the minimum is all of them");
    let told = world.events(&service("web"));
    assert!(told.iter().any(|e| e.contains("was unable to place a task")), "{told:?}");
    world.join("b", 1024, 1024);
    world.pass(30 * SECOND);
    assert_eq!(world.state.instance_counts(&only), (0, 0));
    let told = world.events(&service("web"));
    let said = "is stopping tasks on draining instances: (container-instance a).";
    assert!(told.iter().any(|e| e.ends_with(said)), "{told:?}");
}

#[test]
fn what_is_pending_stops_at_once_and_what_is_nobodys_stays() {
    let mut world = World::new(43);
    let node = world.join("a", 1024, 1024);
    world.define("web", spec("web:1"), Image::Good);
    world.must(Command::CreateService(create("web", "web:1", 2)));
    world.must(Command::RunTask(RunTask { count: 1, ..run("web:1", 1) }));
    world.pass(30 * SECOND);
    // Two more are on their way when it begins to drain: the agent has not told of them yet.
    world.connect(&node, true);
    world.must(Command::UpdateService(scheduler::UpdateService {
        desired_count: Some(4),
        ..crate::build::update("web")
    }));
    let plan = scheduler::plan(&world.state, world.now, 1);
    plan.commands.iter().for_each(|command| drop(world.submit(command)));
    assert_eq!(world.state.service_counts(&service("web")), (2, 2));
    drain(&mut world, &node);
    let plan = scheduler::plan(&world.state, world.now, 1);
    plan.commands.iter().for_each(|command| drop(world.submit(command)));
    let key = service("web");
    for task in world.state.tasks_of(&key) {
        let stops = task.progress.desired == DesiredStatus::Stopped;
        assert_eq!(stops, task.progress.status < TaskStatus::Running, "{}", task.facts.key);
    }
    world.pass(60 * SECOND);
    let alone = world.state.tasks_on(&node).find(|t| t.facts.service.is_none()).expect("one");
    assert!(alone.is_running());
}
