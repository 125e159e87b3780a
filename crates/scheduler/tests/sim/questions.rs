//! Why something is as it is, and what a change would come to: asked of a state, which stays as it was.

use std::time::Duration;

use model::InstanceStatus;
use scheduler::foresee::{End, Happening};
use scheduler::{Command, Foresight, Habits, UpdateService, Waiting, explain, foresee};

use crate::build::{create, definition, service, spec, spec_with_port, update};
use crate::world::{Image, World};

const A_MOMENT: Duration = Duration::from_secs(6);

fn two_nodes() -> World {
    let mut world = World::new(1);
    world.join("node-1", 2048, 4096);
    world.join("node-2", 2048, 4096);
    world
}

/// A steady service `web` of `count` tasks.
fn steady(world: &mut World, count: u32) {
    let web = world.define("web", spec("web:1"), Image::Good);
    world.must(Command::CreateService(create("web", &web, count)));
    world.pass(A_MOMENT);
}

fn ahead(world: &World, command: Command) -> Foresight {
    let before = world.state.clone();
    let seen = foresee(&world.state, &[command], world.now, 7, Habits::default()).expect("taken");
    assert!(world.state == before, "asking changes nothing");
    seen
}

fn starts(seen: &Foresight) -> usize {
    seen.steps.iter().filter(|step| matches!(step.what, Happening::Start { .. })).count()
}

fn stops(seen: &Foresight) -> usize {
    seen.steps.iter().filter(|step| matches!(step.what, Happening::Stop { .. })).count()
}

#[test]
fn a_scale_out_starts_what_is_missing_and_settles() {
    let mut world = two_nodes();
    steady(&mut world, 2);
    let more = UpdateService { desired_count: Some(5), ..update("web") };
    let seen = ahead(&world, Command::UpdateService(more.clone()));
    assert_eq!((starts(&seen), stops(&seen), &seen.end), (3, 0, &End::Settled));
    let bounds = seen.bounds[&service("web")];
    assert_eq!((bounds.desired, bounds.fewest_running, bounds.most_existing), (5, 2, 5));
    // What was foreseen is what happens.
    world.must(Command::UpdateService(more));
    world.pass(A_MOMENT);
    assert_eq!(world.state.service_counts(&service("web")), (5, 0));
}

#[test]
fn a_new_revision_replaces_every_task_within_the_percentages() {
    let mut world = two_nodes();
    steady(&mut world, 4);
    let next = world.define("web", spec("web:2"), Image::Good);
    let change = UpdateService {
        definition: Some(definition(&next)),
        percents: (Some(150), Some(50)),
        ..update("web")
    };
    let seen = ahead(&world, Command::UpdateService(change));
    assert_eq!((starts(&seen), stops(&seen), &seen.end), (4, 4, &End::Settled));
    let bounds = seen.bounds[&service("web")];
    assert!(bounds.fewest_running >= 2 && bounds.most_existing <= 6, "{bounds:?}");
}

#[test]
fn what_would_block_is_told() {
    let mut world = two_nodes();
    let web = world.define("web", spec_with_port("web:1", 80), Image::Good);
    world.must(Command::CreateService(create("web", &web, 2)));
    world.pass(A_MOMENT);
    let more = UpdateService { desired_count: Some(3), ..update("web") };
    let seen = ahead(&world, Command::UpdateService(more));
    assert_eq!(starts(&seen), 0);
    let End::Waits(reports) = &seen.end else { panic!("{:?}", seen.end) };
    assert!(matches!(reports[0].why, Waiting::Place(_)), "{reports:?}");
    assert!(scheduler::words::waiting(&reports[0].why).contains("port 80/tcp"));
}

#[test]
fn a_drain_moves_tasks_and_keeps_the_minimum() {
    let mut world = two_nodes();
    steady(&mut world, 4);
    let key = world.state.all_instances().next().expect("a node").key.clone();
    let drain = Command::SetInstanceStatus { key: key.clone(), status: InstanceStatus::Draining };
    let seen = ahead(&world, drain);
    assert_eq!((starts(&seen), stops(&seen), &seen.end), (2, 2, &End::Settled));
    assert_eq!(seen.bounds[&service("web")].fewest_running, 4);
    for step in &seen.steps {
        if let Happening::Start { instance, .. } = &step.what {
            assert_ne!(instance.as_ref(), Some(&key.instance));
        }
    }
}

#[test]
fn what_is_refused_is_refused_before_it_is_played() {
    let world = two_nodes();
    let command =
        Command::UpdateService(UpdateService { desired_count: Some(1), ..update("gone") });
    assert!(foresee(&world.state, &[command], world.now, 7, Habits::default()).is_err());
}

#[test]
fn a_steady_service_is_as_it_should_be() {
    let mut world = two_nodes();
    steady(&mut world, 2);
    let explained =
        explain::service(&world.state, &service("web"), world.now).expect("it is there");
    assert!(explained.settled, "{explained:?}");
    assert_eq!(explained.verdict, "It is as it should be: 2 of 2 tasks run.");
    assert!(explained.obstacles.is_empty() && explained.advice.is_empty());
    assert_eq!(explain::service(&world.state, &service("gone"), world.now), None);
}

#[test]
fn a_service_without_room_says_what_lacks_where_and_by_how_much() {
    let mut world = World::new(1);
    world.join("node-1", 2048, 256);
    world.join("node-2", 100, 4096);
    let web = world.define("web", spec("web:1"), Image::Good);
    world.must(Command::CreateService(create("web", &web, 5)));
    world.pass(A_MOMENT);
    let explained =
        explain::service(&world.state, &service("web"), world.now).expect("it is there");
    assert!(!explained.settled);
    assert!(explained.verdict.starts_with("2 of 5 tasks run."), "{}", explained.verdict);
    let lacking: Vec<(&str, u32)> =
        explained.obstacles.iter().map(|each| (each.reason.as_str(), each.instances)).collect();
    assert_eq!(lacking.len(), 2, "{:?}", explained.obstacles);
    assert!(lacking.contains(&("RESOURCE:MEMORY", 1)) && lacking.contains(&("RESOURCE:CPU", 1)));
    assert!(explained.obstacles.iter().any(|each| each.text.contains("28 are missing")));
    assert!(explained.advice.iter().any(|advice| advice.contains("`memory`")));
}

#[test]
fn a_service_whose_tasks_crash_says_until_when_it_waits() {
    let mut world = two_nodes();
    let web = world.define("web", spec("web:1"), Image::Crashes(10));
    world.must(Command::CreateService(create("web", &web, 1)));
    world.pass(Duration::from_secs(20));
    let explained =
        explain::service(&world.state, &service("web"), world.now).expect("it is there");
    assert!(explained.verdict.contains("times in a row"), "{}", explained.verdict);
    let newest = explained.reasons.iter().find(|reason| reason.starts_with("The last task"));
    assert!(newest.is_some_and(|reason| reason.contains("exited")), "{:?}", explained.reasons);
}

#[test]
fn a_task_says_where_it_is_and_why_it_is_over() {
    let mut world = two_nodes();
    steady(&mut world, 1);
    let key = world.live(&service("web"))[0].clone();
    let explained = explain::task(&world.state, &key, world.now).expect("it is there");
    assert!(explained.settled && explained.verdict.starts_with("It has been running since"));
    world.kill(&key);
    world.pass(A_MOMENT);
    let explained = explain::task(&world.state, &key, world.now).expect("it is remembered");
    assert!(!explained.settled);
    assert!(explained.verdict.starts_with("It stopped at"), "{}", explained.verdict);
    assert!(explained.reasons.iter().any(|reason| reason.contains("container app ended with")));
}
