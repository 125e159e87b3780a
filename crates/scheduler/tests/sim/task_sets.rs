//! Services whose deployments are a program's: task sets, each with its share.

use std::time::Duration;

use model::{
    DeploymentController, DeploymentId, DeploymentStatus, InstanceStatus, LaunchType, Scale, Tags,
};
use scheduler::{Command, CreateService, CreateTaskSet, Rejection, Reply, UpdateService};

use crate::build::{create, definition, service, spec, update};
use crate::world::{Image, World};

const SECOND: Duration = Duration::from_secs(1);

/// A service of task sets as CreateService asks for it.
pub(crate) fn external(name: &str, desired: u32) -> CreateService {
    CreateService {
        definition: None,
        controller: DeploymentController::External,
        ..create(name, "web:1", desired)
    }
}

pub(crate) fn percent(percent: f64) -> Scale {
    Scale::percent(percent).expect("from 0 to 100")
}

/// A task set as CreateTaskSet asks for it.
pub(crate) fn set(name: &str, definition: &str, scale: f64) -> CreateTaskSet {
    CreateTaskSet {
        service: service(name),
        definition: self::definition(definition),
        launch_type: LaunchType::Ec2,
        providers: Vec::new(),
        load_balancers: Vec::new(),
        network: None,
        scale: percent(scale),
        external_id: None,
        tags: Tags::default(),
        client_token: None,
    }
}

fn world(desired: u32) -> World {
    let mut world = World::new(21);
    world.join("a", 4096, 4096);
    world.join("b", 4096, 4096);
    world.define("web", spec("web:1"), Image::Good);
    world.define("web", spec("web:2"), Image::Good);
    world.define("bad", spec("bad:1"), Image::Missing);
    world.must(Command::CreateService(external("web", desired)));
    world
}

fn begin(world: &mut World, asked: CreateTaskSet) -> DeploymentId {
    match world.must(Command::CreateTaskSet(asked)) {
        Reply::TaskSet(_, id) => id,
        other => panic!("{other:?}"),
    }
}

/// Running tasks of a set.
fn running(world: &World, set: &DeploymentId) -> usize {
    let key = service("web");
    let of = world.state.tasks_of(&key).filter(|t| t.facts.deployment.as_ref() == Some(set));
    of.filter(|t| t.is_running()).count()
}

fn scale(world: &mut World, set: &DeploymentId, to: f64) {
    let (service, set, scale) = (service("web"), set.clone(), percent(to));
    world.must(Command::ScaleTaskSet { service, set, scale });
    world.pass(30 * SECOND);
}

fn steady(world: &World) -> bool {
    world.state.service(&service("web")).expect("it is").steady_since.is_some()
}

fn refusal(world: &mut World, command: &Command) -> String {
    match world.submit(command) {
        Err(Rejection::Refused(sentence)) => sentence,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_set_has_its_share_rounded_up() {
    let mut world = world(5);
    world.pass(30 * SECOND);
    assert!(world.live(&service("web")).is_empty(), "without sets nothing runs");
    let blue = begin(&mut world, set("web", "web:1", 100.0));
    let green = begin(&mut world, set("web", "web:2", 25.0));
    world.pass(30 * SECOND);
    assert_eq!((running(&world, &blue), running(&world, &green)), (5, 2));
    assert!(steady(&world));
    let key = service("web");
    let now = world.state.service(&key).expect("it is").clone();
    assert!(scheduler::is_stable(&world.state, &now, &blue, world.now));
    let desired_count = Some(10);
    world.must(Command::UpdateService(UpdateService { desired_count, ..update("web") }));
    world.pass(30 * SECOND);
    assert_eq!((running(&world, &blue), running(&world, &green)), (10, 3));
    scale(&mut world, &green, 100.0);
    scale(&mut world, &blue, 0.0);
    assert_eq!((running(&world, &blue), running(&world, &green)), (0, 10));
}

#[test]
fn the_primary_one_describes_its_service() {
    let mut world = world(2);
    let blue = begin(&mut world, set("web", "web:1", 100.0));
    let green = begin(&mut world, set("web", "web:2", 100.0));
    let key = service("web");
    let now = world.state.service(&key).expect("it is");
    assert!(now.primary().is_none(), "nobody has said which one serves");
    for id in [&blue, &green] {
        let (service, set) = (key.clone(), id.clone());
        world.must(Command::SetPrimaryTaskSet { service, set });
        let now = world.state.service(&key).expect("it is");
        assert_eq!(now.primary().map(|set| &set.id), Some(id));
        let primaries = now.deployments.iter().filter(|d| d.status == DeploymentStatus::Primary);
        assert_eq!(primaries.count(), 1);
    }
}

#[test]
fn a_set_is_deleted_with_its_tasks() {
    let mut world = world(3);
    let blue = begin(&mut world, set("web", "web:1", 100.0));
    let green = begin(&mut world, set("web", "web:2", 100.0));
    let (service, primary) = (service("web"), blue.clone());
    world.must(Command::SetPrimaryTaskSet { service: service.clone(), set: primary });
    world.pass(30 * SECOND);
    let delete = |set: &DeploymentId, force| {
        let (service, set) = (service.clone(), set.clone());
        Command::DeleteTaskSet { service, set, force }
    };
    let sentence = refusal(&mut world, &delete(&blue, false));
    assert!(sentence.contains("is the PRIMARY task set"), "{sentence}");
    let sentence = refusal(&mut world, &delete(&green, false));
    assert!(sentence.contains("is scaled above 0"), "{sentence}");
    world.must(delete(&green, true));
    let gone = Command::ScaleTaskSet {
        service: service.clone(),
        set: green.clone(),
        scale: percent(50.0),
    };
    let sentence = refusal(&mut world, &gone);
    assert!(sentence.contains("is DRAINING"), "{sentence}");
    world.pass(30 * SECOND);
    assert_eq!((running(&world, &blue), running(&world, &green)), (3, 0));
    let now = world.state.service(&service).expect("it is");
    assert_eq!(now.deployments.len(), 1, "it is forgotten");
    assert!(steady(&world));
    assert!(matches!(world.submit(&delete(&green, true)), Err(Rejection::TaskSetNotFound(_))));
    // The service goes with all that it has.
    world.must(Command::DeleteService { key: service.clone(), force: true });
    world.pass(30 * SECOND);
    assert!(world.live(&service).is_empty());
    let now = world.state.service(&service).expect("it is");
    assert_eq!(now.status, model::ServiceStatus::Inactive);
}

#[test]
fn a_set_that_fails_leaves_the_others_alone() {
    let mut world = world(3);
    let good = begin(&mut world, set("web", "web:1", 100.0));
    let bad = begin(&mut world, set("web", "bad:1", 100.0));
    world.pass(Duration::from_secs(600));
    assert_eq!((running(&world, &good), running(&world, &bad)), (3, 0));
    let key = service("web");
    let tried = world.state.tasks_of(&key).filter(|t| t.facts.deployment.as_ref() == Some(&bad));
    assert!((10..60).contains(&tried.count()), "it is slowed down");
    let told = world.events(&key);
    assert!(told.iter().any(|e| e.contains("unable to consistently start tasks")), "{told:?}");
    assert!(!steady(&world));
    let (service, set) = (key, bad);
    world.must(Command::DeleteTaskSet { service, set, force: true });
    world.pass(60 * SECOND);
    assert!(steady(&world));
}

#[test]
fn sets_drain_with_their_instances() {
    let mut world = world(4);
    let blue = begin(&mut world, set("web", "web:1", 100.0));
    world.pass(30 * SECOND);
    let node = world.state.all_instances().next().expect("two").key.clone();
    let status = InstanceStatus::Draining;
    world.must(Command::SetInstanceStatus { key: node.clone(), status });
    let key = service("web");
    let now = world.state.service(&key).expect("it is").clone();
    assert!(!scheduler::is_stable(&world.state, &now, &blue, world.now));
    world.pass(30 * SECOND);
    assert_eq!(running(&world, &blue), 4);
    assert_eq!(world.state.instance_counts(&node), (0, 0));
}

#[test]
fn what_is_the_sets_is_not_the_services() {
    let mut world = world(1);
    let one = definition("web:1");
    let of = |definition| CreateService { definition, ..external("other", 1) };
    let sentence = refusal(&mut world, &Command::CreateService(of(Some(one.clone()))));
    assert!(sentence.starts_with("TaskDefinition must be blank"), "{sentence}");
    let percents = (Some(150), None);
    let asked = CreateService { percents, ..external("other", 1) };
    let sentence = refusal(&mut world, &Command::CreateService(asked));
    assert!(sentence.contains("has the default maximumPercent"), "{sentence}");
    for (asked, what) in [
        (
            UpdateService { definition: Some(definition("web:2")), ..update("web") },
            "task definition",
        ),
        (UpdateService { load_balancers: Some(Vec::new()), ..update("web") }, "load balancers"),
        (UpdateService { force_new_deployment: true, ..update("web") }, "deployments"),
    ] {
        let sentence = refusal(&mut world, &Command::UpdateService(asked));
        let words = format!("Unable to update {what} on services with an EXTERNAL deployment");
        assert!(sentence.starts_with(&words), "{sentence}");
    }
    for _ in 0..5 {
        begin(&mut world, set("web", "web:1", 0.0));
    }
    let sentence = refusal(&mut world, &Command::CreateTaskSet(set("web", "web:1", 0.0)));
    assert!(sentence.starts_with("5 deployments exist on the service."), "{sentence}");
    world.must(Command::CreateService(create("usual", "web:1", 1)));
    let sentence = refusal(&mut world, &Command::CreateTaskSet(set("usual", "web:1", 1.0)));
    assert!(sentence.starts_with("Amazon ECS only supports task set management"), "{sentence}");
}

#[test]
fn a_token_makes_a_set_once() {
    let mut world = world(1);
    let asked = |fingerprint| CreateTaskSet {
        client_token: Some(("once".to_owned(), fingerprint)),
        ..set("web", "web:1", 100.0)
    };
    let first = begin(&mut world, asked(1));
    assert_eq!(begin(&mut world, asked(1)), first);
    let other = world.submit(&Command::CreateTaskSet(asked(2)));
    assert!(matches!(other, Err(Rejection::TokenReused(_))), "{other:?}");
}
