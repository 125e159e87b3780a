//! Services under strain: changed or deleted in the middle of what they do, larger than their fleet,
//! on instances that flap, with agents that report what nobody gave them.

use std::time::Duration;

use model::{ContainerStatus, DesiredStatus, ServiceStatus, StrategyItem, TaskKey, TaskStatus};
use scheduler::{
    Command, ContainerReport, CreateService, Rejection, StopCause, TaskReport, UpdateService,
};

use crate::build::{CLUSTER, create, definition, service, spec, update};
use crate::world::{Image, World};

const SECOND: Duration = Duration::from_secs(1);

fn world(nodes: &[&str]) -> World {
    let mut world = World::new(31);
    for node in nodes {
        world.join(node, 1024, 1024);
    }
    for image in ["web:1", "web:2", "web:3"] {
        world.define("web", spec(image), Image::Good);
    }
    world
}

fn to(world: &mut World, revision: &str) {
    let definition = Some(definition(revision));
    world.must(Command::UpdateService(UpdateService { definition, ..update("web") }));
}

/// Which revisions its tasks that should run have.
fn revisions(world: &World) -> Vec<String> {
    let key = service("web");
    let mut all: Vec<String> = world
        .state
        .tasks_of(&key)
        .filter(|t| t.holds_resources() && t.progress.desired == DesiredStatus::Running)
        .map(|t| t.facts.definition.to_string())
        .collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn where_capacity_comes_from_changes_with_a_new_deployment_only() {
    let mut world = world(&["a"]);
    world.must(Command::CreateService(create("web", "web:1", 1)));
    let providers = Some(vec![StrategyItem { provider: "grow".into(), weight: 1, base: 0 }]);
    let asked = |force_new_deployment| {
        let providers = providers.clone();
        Command::UpdateService(UpdateService { providers, force_new_deployment, ..update("web") })
    };
    let Err(Rejection::Refused(sentence)) = world.submit(&asked(false)) else { panic!("refused") };
    assert!(sentence.ends_with("you must force a new deployment."), "{sentence}");
    // With force it is asked whether there is such a provider.
    assert!(!matches!(world.submit(&asked(true)), Ok(_) | Err(Rejection::Refused(_))));
    // Saying again what is so asks for nothing.
    let providers = Some(Vec::new());
    world.must(Command::UpdateService(UpdateService { providers, ..update("web") }));
    assert_eq!(world.state.service(&service("web")).expect("it is").deployments.len(), 1);
}

#[test]
fn the_newest_of_many_updates_wins() {
    let mut world = world(&["a", "b", "c"]);
    world.must(Command::CreateService(create("web", "web:1", 6)));
    world.pass(30 * SECOND);
    for revision in ["web:2", "web:3", "web:1", "web:2"] {
        to(&mut world, revision);
        world.pass(Duration::from_millis(700));
    }
    let busy = world.state.service(&service("web")).expect("it is").deployments.len();
    assert!(busy > 1, "it is in the middle of it");
    let desired_count = Some(4);
    world.must(Command::UpdateService(UpdateService { desired_count, ..update("web") }));
    world.pass(120 * SECOND);
    assert_eq!(revisions(&world), ["web:2"]);
    assert_eq!(world.live(&service("web")).len(), 4);
    let now = world.state.service(&service("web")).expect("it is");
    assert_eq!((now.deployments.len(), now.steady_since.is_some()), (1, true));
}

#[test]
fn it_is_deleted_by_force_in_the_middle_and_its_name_is_free_again() {
    let mut world = world(&["a", "b", "c"]);
    world.must(Command::CreateService(create("web", "web:1", 6)));
    world.pass(30 * SECOND);
    to(&mut world, "web:2");
    world.pass(Duration::from_millis(30));
    let delete = |force| Command::DeleteService { key: service("web"), force };
    assert!(matches!(world.submit(&delete(false)), Err(Rejection::ServiceHasTasks(_, 6))));
    world.must(delete(true));
    let again = Command::CreateService(create("web", "web:3", 1));
    assert!(matches!(world.submit(&again), Err(Rejection::ServiceDraining(_))));
    let changed = Command::UpdateService(update("web"));
    assert!(matches!(world.submit(&changed), Err(Rejection::ServiceNotActive(_))));
    world.pass(60 * SECOND);
    assert!(world.live(&service("web")).is_empty());
    let now = world.state.service(&service("web")).expect("it is described for a while");
    assert_eq!(now.status, ServiceStatus::Inactive);
    world.must(again);
    world.pass(30 * SECOND);
    assert_eq!(revisions(&world), ["web:3"]);
    assert!(
        world.events(&service("web")).iter().all(|e| !e.contains("(task g)")),
        "its own events"
    );
}

#[test]
fn a_service_larger_than_its_fleet_takes_what_there_is_and_then_more() {
    // Eight tasks fit on an instance.
    let mut world = world(&["a", "b"]);
    world.must(Command::CreateService(create("web", "web:1", 30)));
    world.pass(60 * SECOND);
    assert_eq!(world.live(&service("web")).len(), 16);
    let told = world.events(&service("web"));
    let complaints = told.iter().filter(|e| e.contains("was unable to place a task")).count();
    assert_eq!(complaints, 1, "{told:?}");
    world.join("c", 1024, 1024);
    world.join("d", 4096, 4096);
    world.pass(60 * SECOND);
    assert_eq!(world.live(&service("web")).len(), 30);
    assert!(world.state.service(&service("web")).expect("it is").steady_since.is_some());
}

/// As many tasks as a service may have where hardly any find room: that is told once, and the loop rests
/// until something changes.
#[test]
fn the_largest_service_on_three_instances_waits_quietly() {
    // Eight tasks fit on an instance.
    let mut world = world(&["a", "b", "c"]);
    world.must(Command::CreateService(create("web", "web:1", 5_000)));
    world.pass(30 * SECOND);
    assert_eq!(world.live(&service("web")).len(), 24);
    let told = world.events(&service("web"));
    assert_eq!(told.iter().filter(|e| e.contains("was unable to place a task")).count(), 1);
    for seconds in 0..60 {
        let plan = scheduler::plan(&world.state, world.now + seconds * SECOND, 1);
        assert!(plan.commands.is_empty(), "after {seconds} seconds: {:?}", plan.commands);
    }
    world.pass(600 * SECOND);
    assert_eq!(world.events(&service("web")), told, "nothing has changed");
}

#[test]
fn instances_that_flap_lose_no_task() {
    let mut world = world(&["a", "b"]);
    world.must(Command::CreateService(create("web", "web:1", 6)));
    world.pass(30 * SECOND);
    let before = world.live(&service("web"));
    let nodes: Vec<_> = world.state.all_instances().map(|i| i.key.clone()).collect();
    for round in 0..60 {
        world.connect(&nodes[round % 2], round % 4 < 2);
        world.pass(Duration::from_millis(500));
    }
    assert_eq!(world.live(&service("web")), before);
}

#[test]
fn what_an_agent_was_never_given_is_heard_and_forgotten() {
    let mut world = world(&["a"]);
    world.must(Command::CreateService(create("web", "web:1", 2)));
    world.pass(30 * SECOND);
    let before = world.state.clone();
    let report = |id: &str, status| {
        Command::ReportTask(TaskReport {
            key: TaskKey { cluster: CLUSTER.into(), task: id.into() },
            status: Some(status),
            reason: None,
            containers: vec![ContainerReport {
                name: "nobody".into(),
                status: Some(ContainerStatus::Running),
                runtime_id: None,
                image_digest: None,
                exit_code: None,
                reason: None,
                bindings: None,
            }],
            pull_started_at: None,
            pull_stopped_at: None,
            execution_stopped_at: None,
        })
    };
    world.must(report("never", TaskStatus::Running));
    world.must(report("never", TaskStatus::Stopped));
    // Of a container that the task has not, nothing is learned.
    let id = world.live(&service("web"))[0].task.to_string();
    world.must(report(&id, TaskStatus::Running));
    assert!(world.state == before);
}

#[test]
fn a_plan_that_is_late_stops_nothing_that_has_come_right() {
    let mut world = world(&["a", "b"]);
    world.must(Command::CreateService(create("web", "web:1", 4)));
    world.pass(30 * SECOND);
    let tasks = world.live(&service("web"));
    let proposed: Vec<_> = tasks
        .iter()
        .zip([StopCause::ScaleIn, StopCause::Replaced, StopCause::Draining, StopCause::Unhealthy])
        .map(|(key, cause)| (key.task.clone(), cause))
        .collect();
    let late = Command::StopServiceTasks { service: service("web"), tasks: proposed };
    assert!(matches!(world.submit(&late), Err(Rejection::Stale)));
}

/// A service of as many tasks as a service may have.
#[test]
fn the_largest_service_comes_about_and_rests() {
    let mut world = World::new(32);
    for node in 0..25 {
        world.join(&format!("node-{node:02}"), 128 * 400, 128 * 400);
    }
    world.define("web", spec("web:1"), Image::Good);
    world.define("web", spec("web:2"), Image::Good);
    let percents = (Some(200), Some(50));
    world.must(Command::CreateService(CreateService { percents, ..create("web", "web:1", 5_000) }));
    world.pass(20 * SECOND);
    assert_eq!(world.state.service_counts(&service("web")), (5_000, 0));
    let rest = scheduler::plan(&world.state, world.now, 1);
    assert!(rest.commands.is_empty());
}
