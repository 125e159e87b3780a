//! Tasks that are protected: what their service does not do to them, and for how long.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{RolloutState, ServiceStatus, TaskId, TaskKey};
use scheduler::{Command, Rejection, Reply, StopCause, UpdateService, plan};

use crate::build::{create, definition, run, service, spec, update};
use crate::world::{Image, World};

const MINUTE: Duration = Duration::from_secs(60);
/// Long enough for a deployment to be complete.
const A_MOMENT: Duration = Duration::from_secs(6);

/// A service `web` with so many tasks, at rest.
fn world(desired: u32) -> (World, Vec<TaskKey>) {
    let mut world = World::new(1);
    world.join("node-1", 4096, 8192);
    let web = world.define("web", spec("web:1"), Image::Good);
    world.must(Command::CreateService(create("web", &web, desired)));
    world.pass(A_MOMENT);
    let tasks = world.live(&service("web"));
    (world, tasks)
}

fn protect(world: &mut World, key: &TaskKey, minutes: u64) {
    let period = Some(Duration::from_secs(60 * minutes));
    let reply = world.must(Command::ProtectTask { key: key.clone(), period });
    assert_eq!(reply, Reply::Task(key.clone()));
}

fn scale(world: &mut World, desired: u32) {
    let desired_count = Some(desired);
    world.must(Command::UpdateService(UpdateService { desired_count, ..update("web") }));
    world.pass(A_MOMENT);
}

fn live(world: &World) -> BTreeSet<TaskKey> {
    world.live(&service("web")).into_iter().collect()
}

#[test]
fn scaling_in_passes_over_protected_tasks_until_their_time_is_up() {
    let (mut world, tasks) = world(4);
    protect(&mut world, &tasks[1], 10);
    protect(&mut world, &tasks[3], 20);
    scale(&mut world, 1);
    let two = BTreeSet::from([tasks[1].clone(), tasks[3].clone()]);
    assert_eq!(live(&world), two, "one too many, and it stays");
    world.pass(9 * MINUTE);
    assert_eq!(live(&world), two);
    world.pass(2 * MINUTE);
    assert_eq!(live(&world), BTreeSet::from([tasks[3].clone()]), "time alone moves it");
    scale(&mut world, 0);
    assert_eq!(live(&world).len(), 1);
    world.must(Command::ProtectTask { key: tasks[3].clone(), period: None });
    world.pass(A_MOMENT);
    assert_eq!(live(&world).len(), 0);
    let rest = plan(&world.state, world.now, 7);
    assert!(rest.commands.is_empty(), "{:?}", rest.commands);
}

#[test]
fn a_deployment_waits_for_protected_tasks_and_can_be_made_to_wait_longer() {
    let (mut world, tasks) = world(2);
    protect(&mut world, &tasks[0], 5);
    let new = world.define("web", spec("web:2"), Image::Good);
    let deploy = UpdateService { definition: Some(definition(&new)), ..update("web") };
    world.must(Command::UpdateService(deploy));
    world.pass(MINUTE);
    assert!(live(&world).contains(&tasks[0]));
    assert!(!live(&world).contains(&tasks[1]));
    assert_eq!(live(&world).len(), 3, "the new ones are all there");
    let rollout =
        |world: &World| world.state.service(&service("web")).unwrap().deployments[0].rollout;
    assert_eq!(rollout(&world), RolloutState::InProgress);
    protect(&mut world, &tasks[0], 10);
    world.pass(9 * MINUTE);
    assert!(live(&world).contains(&tasks[0]), "said again, it counts from then");
    world.pass(2 * MINUTE);
    assert!(!live(&world).contains(&tasks[0]));
    assert_eq!(rollout(&world), RolloutState::Completed);
}

#[test]
fn nothing_else_is_kept_from_a_protected_task() {
    let (mut world, tasks) = world(2);
    for key in &tasks {
        protect(&mut world, key, 2880);
    }
    world.must(Command::StopTask { key: tasks[0].clone(), reason: None });
    world.pass(A_MOMENT);
    assert!(!live(&world).contains(&tasks[0]), "a user's word stands");
    world.must(Command::DeleteService { key: service("web"), force: true });
    world.pass(A_MOMENT);
    let status = world.state.service(&service("web")).map(|s| s.status);
    assert_eq!(status, Some(ServiceStatus::Inactive));
}

#[test]
fn a_proposal_from_before_the_protection_is_refused_at_its_commit() {
    let (mut world, tasks) = world(2);
    let desired_count = Some(1);
    world.must(Command::UpdateService(UpdateService { desired_count, ..update("web") }));
    let proposed: Vec<(TaskId, StopCause)> = plan(&world.state, world.now, 7)
        .commands
        .into_iter()
        .find_map(|command| match command {
            Command::StopServiceTasks { tasks, .. } => Some(tasks),
            _ => None,
        })
        .unwrap();
    for key in &tasks {
        protect(&mut world, key, 10);
    }
    let stop = Command::StopServiceTasks { service: service("web"), tasks: proposed };
    assert_eq!(world.submit(&stop), Err(Rejection::Stale));
}

#[test]
fn only_a_services_task_that_is_wanted_can_be_protected() {
    let (mut world, tasks) = world(1);
    let Reply::Tasks { placed, .. } = world.must(Command::RunTask(run("web:1", 1))) else {
        panic!("tasks")
    };
    let ask = |key: &TaskKey| Command::ProtectTask { key: key.clone(), period: Some(MINUTE) };
    let refused = Rejection::TaskNotProtectable(placed[0].clone());
    assert_eq!(world.submit(&ask(&placed[0])), Err(refused));
    let nobody = TaskKey { task: "0f".into(), ..tasks[0].clone() };
    assert_eq!(world.submit(&ask(&nobody)), Err(Rejection::TaskNotFound(nobody.clone())));
    world.must(Command::StopTask { key: tasks[0].clone(), reason: None });
    let refused = Rejection::TaskNotProtectable(tasks[0].clone());
    assert_eq!(world.submit(&ask(&tasks[0])), Err(refused));
}
