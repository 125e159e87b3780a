//! Daemon services: one task on each instance, first there and last to go.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{
    Attribute, DesiredStatus, InstanceKey, InstanceStatus, LaunchType, PlacementStrategy,
    Resources, RolloutState, SchedulingStrategy, TaskKey, TaskStatus,
};
use scheduler::placement::{Board, Group, Rules, Wish, naive};
use scheduler::{Command, CreateService, RegisterInstance, Rejection, UpdateService};

use crate::build::{
    BREAKER, CLUSTER, create, definition, resources, run, service, spec, spec_with_port, update,
};
use crate::world::{Image, World};

const SECOND: Duration = Duration::from_secs(1);

/// A daemon service as CreateService asks for it.
pub(crate) fn daemon(name: &str, definition: &str) -> CreateService {
    CreateService {
        scheduling: SchedulingStrategy::Daemon,
        desired_count: None,
        ..create(name, definition, 0)
    }
}

/// Where its running tasks are, in the order of ids.
fn places(world: &World, name: &str) -> Vec<String> {
    let mut places: Vec<String> = world
        .state
        .tasks_of(&service(name))
        .filter(|t| t.is_running() && t.progress.desired == DesiredStatus::Running)
        .filter_map(|t| Some(t.facts.instance.as_ref()?.to_string()))
        .collect();
    places.sort();
    places
}

fn drain(world: &mut World, key: &InstanceKey, drain: bool) {
    let status = if drain { InstanceStatus::Draining } else { InstanceStatus::Active };
    world.must(Command::SetInstanceStatus { key: key.clone(), status });
}

fn agents(seed: u64, nodes: &[&str]) -> (World, Vec<InstanceKey>) {
    let mut world = World::new(seed);
    let nodes = nodes.iter().map(|node| world.join(node, 1024, 1024)).collect();
    world.define("log", spec("log:1"), Image::Good);
    world.define("log", spec("log:2"), Image::Good);
    world.define("web", spec("web:1"), Image::Good);
    (world, nodes)
}

#[test]
fn one_task_follows_each_instance() {
    let (mut world, nodes) = agents(1, &["a", "b"]);
    world.must(Command::CreateService(daemon("log", "log:1")));
    let begun = world.state.service(&service("log")).expect("it is").desired_count;
    assert_eq!(begun, 2, "counted as it is made");
    world.pass(30 * SECOND);
    assert_eq!(places(&world, "log"), ["a", "b"]);
    world.join("c", 1024, 1024);
    world.pass(30 * SECOND);
    assert_eq!(places(&world, "log"), ["a", "b", "c"]);
    let key = nodes[0].clone();
    world.must(Command::DeregisterInstance { key, force: true });
    world.pass(30 * SECOND);
    assert_eq!(places(&world, "log"), ["b", "c"]);
    let now = world.state.service(&service("log")).expect("it is");
    assert_eq!((now.desired_count, now.steady_since.is_some()), (2, true));
    assert_eq!(now.deployments[0].rollout, RolloutState::Completed);
    let counted: Vec<String> =
        world.events(&service("log")).into_iter().filter(|e| e.starts_with("(daemon")).collect();
    assert_eq!(
        counted,
        [
            "(daemon service log) updated desired count to 3.",
            "(daemon service log) updated desired count to 2."
        ]
    );
}

#[test]
fn on_an_instance_that_drains_the_daemon_goes_last() {
    let (mut world, nodes) = agents(2, &["a", "b"]);
    world.must(Command::CreateService(daemon("log", "log:1")));
    world.must(Command::CreateService(create("web", "web:1", 2)));
    world.must(Command::RunTask(run("web:1", 1)));
    world.pass(60 * SECOND);
    drain(&mut world, &nodes[0], true);
    drain(&mut world, &nodes[1], true);
    drain(&mut world, &nodes[1], false);
    world.pass(60 * SECOND);
    let others = |world: &World, node: &InstanceKey| {
        let live = world.state.tasks_on(node).filter(|t| t.holds_resources());
        live.filter(|t| t.facts.service != Some("log".into())).count()
    };
    // The task of no service is left alone, and the daemon with it, wherever it is.
    let alone: Vec<TaskKey> = world
        .state
        .tasks_on(&nodes[0])
        .filter(|t| t.holds_resources() && t.facts.service.is_none())
        .map(|t| t.facts.key.clone())
        .collect();
    let stays = if alone.is_empty() { vec!["b"] } else { vec!["a", "b"] };
    assert_eq!(places(&world, "log"), stays);
    assert_eq!(others(&world, &nodes[0]), alone.len(), "web has moved");
    let now = world.state.service(&service("log")).expect("it is");
    assert_eq!((now.desired_count, now.steady_since.is_some()), (1, true), "it waits for nothing");
    for key in alone {
        world.must(Command::StopTask { key, reason: None });
    }
    world.pass(10 * SECOND);
    assert_eq!(places(&world, "log"), ["b"]);
    // At no moment was the daemon told to stop while another task was there.
    let (mut stopped, mut last_other) = (None, None);
    for task in world.state.tasks_on(&nodes[0]) {
        let progress = &task.progress;
        match task.facts.service.as_ref().map(|s| s.as_str()) {
            Some("log") => stopped = progress.stopping_at,
            _ => last_other = last_other.max(progress.stopped_at),
        }
    }
    assert!(stopped >= last_other && stopped.is_some());
    drain(&mut world, &nodes[0], false);
    world.pass(30 * SECOND);
    assert_eq!(places(&world, "log"), ["a", "b"], "it is back");
}

#[test]
fn room_is_kept_for_what_is_to_come() {
    let (mut world, _) = agents(3, &[]);
    // 128 CPU units a task: eight fit on an instance.
    world.must(Command::CreateService(daemon("log", "log:1")));
    world.must(Command::CreateService(create("web", "web:1", 20)));
    world.pass(30 * SECOND);
    world.join("a", 1024, 1024);
    // Before the loop has looked, RunTask asks for all there is.
    let reply = world.must(Command::RunTask(run("web:1", 10)));
    let scheduler::Reply::Tasks { placed, failures } = reply else { panic!("{reply:?}") };
    assert_eq!((placed.len(), failures.len()), (7, 3), "one place is the daemon's");
    world.pass(30 * SECOND);
    assert_eq!(places(&world, "log"), ["a"]);
    // Once it is there nothing more is kept.
    let full = world.join("b", 1024, 1024);
    world.pass(30 * SECOND);
    assert_eq!(places(&world, "log"), ["a", "b"]);
    let there = world.state.tasks_on(&full).filter(|t| t.holds_resources()).count();
    assert_eq!(there, 8);
}

#[test]
fn a_full_instance_is_told_of_and_served_later() {
    let (mut world, _) = agents(4, &["a"]);
    world.must(Command::RunTask(run("web:1", 8)));
    world.must(Command::CreateService(daemon("log", "log:1")));
    world.pass(30 * SECOND);
    let now = world.state.service(&service("log")).expect("it is");
    assert_eq!((now.desired_count, places(&world, "log").len()), (1, 0));
    let told = world.events(&service("log"));
    assert!(
        told.iter().any(|e| e.contains("(container-instance a) has insufficient CPU")),
        "{told:?}"
    );
    let one = world.state.all_tasks().next().expect("it runs").facts.key.clone();
    world.must(Command::StopTask { key: one, reason: None });
    world.pass(30 * SECOND);
    assert_eq!(places(&world, "log"), ["a"]);
}

#[test]
fn an_update_goes_place_by_place_within_the_minimum() {
    for (minimum, fewest) in [(0, 0), (50, 2), (75, 3)] {
        let (mut world, _) = agents(5, &["a", "b", "c", "d"]);
        let percents = (None, Some(minimum));
        world.must(Command::CreateService(CreateService { percents, ..daemon("log", "log:1") }));
        world.pass(30 * SECOND);
        world.must(Command::UpdateService(UpdateService {
            definition: Some(definition("log:2")),
            ..update("log")
        }));
        let mut lowest = 4;
        for _ in 0..2_000 {
            world.pass(Duration::from_millis(20));
            lowest = lowest.min(places(&world, "log").len());
        }
        assert!(lowest >= fewest, "{minimum} %: {lowest} were left");
        let key = service("log");
        let old = world
            .state
            .tasks_of(&key)
            .filter(|t| t.holds_resources() && t.facts.definition == definition("log:1"));
        assert_eq!(old.count(), 0);
        assert_eq!(places(&world, "log"), ["a", "b", "c", "d"]);
        let now = world.state.service(&service("log")).expect("it is");
        assert_eq!((now.deployments.len(), now.steady_since.is_some()), (1, true));
    }
}

#[test]
fn a_bad_update_is_given_up_and_brought_back() {
    let (mut world, _) = agents(6, &["a", "b", "c", "d"]);
    world.define("log", spec("log:3"), Image::Missing);
    let percents = (None, Some(50));
    let circuit_breaker = Some(BREAKER);
    let bad = CreateService { percents, circuit_breaker, ..daemon("log", "log:1") };
    world.must(Command::CreateService(bad));
    world.pass(60 * SECOND);
    world.must(Command::UpdateService(UpdateService {
        definition: Some(definition("log:3")),
        ..update("log")
    }));
    let mut lowest = 4;
    for _ in 0..600 {
        world.pass(Duration::from_millis(500));
        lowest = lowest.min(places(&world, "log").len());
    }
    assert!(lowest >= 2, "{lowest} were left");
    let now = world.state.service(&service("log")).expect("it is");
    assert_eq!(now.primary().map(|d| d.definition.to_string()), Some("log:1".to_owned()));
    assert_eq!(places(&world, "log"), ["a", "b", "c", "d"]);
    let told = world.events(&service("log"));
    assert!(told.iter().any(|e| e.contains("deployment failed: tasks failed to start")));
}

#[test]
fn what_keeps_failing_is_slowed_down() {
    let (mut world, _) = agents(7, &["a", "b"]);
    world.define("log", spec("log:3"), Image::Missing);
    world.must(Command::CreateService(daemon("log", "log:3")));
    world.pass(Duration::from_secs(600));
    let tried = world.state.tasks_of(&service("log")).count();
    assert!((10..40).contains(&tried), "{tried} attempts in ten minutes");
    let told = world.events(&service("log"));
    let throttled = "(service log) is unable to consistently start tasks successfully. For more \
                     information, see the Troubleshooting section of the Amazon ECS Developer Guide.";
    assert!(told.iter().any(|e| e.starts_with(throttled)), "{told:?}");
}

#[test]
fn it_leaves_where_it_does_not_belong_any_more() {
    let mut world = World::new(8);
    let mut wants = spec("log:1");
    wants.required_attributes = vec!["role=edge".to_owned()];
    world.define("log", wants, Image::Good);
    let register = |world: &mut World, role: &str| {
        let attributes = vec![Attribute { name: "role".to_owned(), value: Some(role.to_owned()) }];
        world.must(Command::RegisterInstance(RegisterInstance {
            cluster: CLUSTER.into(),
            known_as: Some("a".into()),
            ec2_instance_id: None,
            address: None,
            resources: resources(1024, 1024),
            attributes,
            tags: model::Tags::default(),
        }));
        let key = InstanceKey { cluster: CLUSTER.into(), instance: "a".into() };
        world.connect(&key, true);
    };
    register(&mut world, "edge");
    world.join("b", 1024, 1024);
    world.must(Command::CreateService(daemon("log", "log:1")));
    world.pass(30 * SECOND);
    assert_eq!(places(&world, "log"), ["a"]);
    register(&mut world, "core");
    world.pass(30 * SECOND);
    assert!(places(&world, "log").is_empty());
    register(&mut world, "edge");
    world.pass(30 * SECOND);
    assert_eq!(places(&world, "log"), ["a"]);
}

#[test]
fn it_keeps_to_its_launch_type() {
    let (mut world, _) = agents(9, &["a"]);
    let launch_type = LaunchType::External;
    world.must(Command::CreateService(CreateService { launch_type, ..daemon("log", "log:1") }));
    world.pass(30 * SECOND);
    assert_eq!(places(&world, "log").len(), 0);
    world.must(Command::RegisterInstance(RegisterInstance {
        cluster: CLUSTER.into(),
        known_as: Some("x".into()),
        ec2_instance_id: None,
        address: None,
        resources: resources(1024, 1024),
        attributes: vec![Attribute { name: "ecs.capability.external".to_owned(), value: None }],
        tags: model::Tags::default(),
    }));
    let key = InstanceKey { cluster: CLUSTER.into(), instance: "x".into() };
    world.connect(&key, true);
    world.pass(30 * SECOND);
    assert_eq!(places(&world, "log"), ["x"]);
}

#[test]
fn an_instance_that_flaps_keeps_its_one_task() {
    let (mut world, nodes) = agents(10, &["a", "b"]);
    world.define("port", spec_with_port("port:1", 9000), Image::Good);
    world.must(Command::CreateService(daemon("port", "port:1")));
    world.pass(30 * SECOND);
    let before: BTreeSet<TaskKey> = world.live(&service("port")).into_iter().collect();
    for round in 0..50 {
        world.connect(&nodes[0], round % 2 == 1);
        world.pass(Duration::from_millis(300));
    }
    let after: BTreeSet<TaskKey> = world.live(&service("port")).into_iter().collect();
    assert_eq!(before, after, "nobody has asked for others");
    // An agent that is away takes none, and is not forgotten.
    world.connect(&nodes[0], false);
    world.kill(before.iter().next().expect("two"));
    world.kill(before.iter().last().expect("two"));
    world.pass(30 * SECOND);
    world.connect(&nodes[0], true);
    world.pass(30 * SECOND);
    assert_eq!(places(&world, "port"), ["a", "b"]);
}

#[test]
fn a_daemon_service_is_deleted_without_force() {
    let (mut world, _) = agents(11, &["a", "b"]);
    world.must(Command::CreateService(daemon("log", "log:1")));
    world.pass(30 * SECOND);
    world.must(Command::DeleteService { key: service("log"), force: false });
    world.pass(30 * SECOND);
    assert!(world.live(&service("log")).is_empty());
    let now = world.state.service(&service("log")).expect("it is");
    assert_eq!(now.status, model::ServiceStatus::Inactive);
    let key = service("log");
    let over = world.state.tasks_of(&key);
    assert!(over.map(|t| t.progress.status).all(|status| status == TaskStatus::Stopped));
    // Its name is free again.
    world.must(Command::CreateService(create("log", "log:1", 1)));
    world.pass(30 * SECOND);
    assert_eq!(places(&world, "log").len(), 1);
}

#[test]
fn what_daemons_do_not_have_is_refused() {
    let (mut world, _) = agents(12, &["a"]);
    let of = || daemon("log", "log:1");
    let many = Some(3);
    for (asked, words) in [
        (CreateService { desired_count: many, ..of() }, "does not support a desired count"),
        (
            CreateService { strategy: vec![PlacementStrategy::Random], ..of() },
            "does not support placement strategies",
        ),
        (
            CreateService { percents: (Some(200), None), ..of() },
            "does not support values above 100 for maximumPercent",
        ),
        (
            CreateService { launch_type: LaunchType::Fargate, ..of() },
            "does not support the FARGATE launch type",
        ),
        (
            CreateService { controller: model::DeploymentController::External, ..of() },
            "does not support the EXTERNAL deployment controller",
        ),
    ] {
        match world.submit(&Command::CreateService(asked)) {
            Err(Rejection::Refused(sentence)) => assert!(sentence.contains(words), "{sentence}"),
            other => panic!("{words}: {other:?}"),
        }
    }
    world.must(Command::CreateService(of()));
    let bounds = scheduler::scaling::TargetBounds {
        service: service("log"),
        min: Some(1),
        max: Some(3),
        suspend_in: None,
        suspend_out: None,
        suspend_scheduled: None,
        tags: None,
    };
    let scaled = Command::Scaling(scheduler::ScalingCommand::Register(bounds));
    assert!(format!("{:?}", world.submit(&scaled)).contains("is not scaled"));
    for (asked, words) in [
        (UpdateService { desired_count: many, ..update("log") }, "a desired count"),
        (
            UpdateService { strategy: Some(vec![PlacementStrategy::Random]), ..update("log") },
            "placement strategies",
        ),
        (
            UpdateService { percents: (Some(150), None), ..update("log") },
            "values above 100 for maximumPercent",
        ),
    ] {
        match world.submit(&Command::UpdateService(asked)) {
            Err(Rejection::Refused(sentence)) => assert!(sentence.contains(words), "{sentence}"),
            other => panic!("{words}: {other:?}"),
        }
    }
}

/// What is kept for a daemon's tasks to come is the same to who searches as to who looks everywhere.
#[test]
fn room_that_is_kept_is_kept_from_every_board() {
    let nodes: Vec<String> = (0..12).map(|n| format!("node-{n:02}")).collect();
    let names: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let (mut world, nodes) = agents(9, &names);
    let mut wants = spec_with_port("log:3", 9000);
    wants.containers[0].cpu = 512;
    wants.containers[0].memory = Some(700);
    world.define("log", wants, Image::Good);
    world.must(Command::CreateService(daemon("log", "log:3")));
    // Of some the daemon is there, of some it comes; some are away, and drain.
    world.must(Command::RunTask(run("web:1", 10)));
    world.pass(Duration::from_millis(200));
    world.join("late", 1024, 1024);
    world.connect(&nodes[3], false);
    drain(&mut world, &nodes[4], true);
    let mut kept = 0;
    for (cpu, memory, port) in [(500, 100, 80), (600, 100, 80), (10, 400, 80), (10, 10, 9000)] {
        let port = model::HostPort { protocol: model::Protocol::Tcp, port };
        let needs = Resources { ports: [port].into(), ..resources(cpu, memory) };
        for strategy in [PlacementStrategy::BinpackCpu, PlacementStrategy::BinpackMemory] {
            let (cluster, family) = (CLUSTER.into(), "web".into());
            let wish = || Wish {
                cluster: &cluster,
                launch_type: LaunchType::Ec2,
                provider: None,
                needs: &needs,
                gpus: vec![0],
                attributes: &[],
                more_attributes: &[],
                rules: Rules::default(),
                group: Group::Named("family:web", &family),
                strategy: vec![strategy.clone()],
            };
            let mut chance = stdx::SeededEntropy::new(1);
            let mut board = Board::new(&world.state, wish());
            let mut plain = naive::Board::new(&world.state, wish());
            let told = |f: scheduler::Failure| (f.instance, f.reason, f.shortfalls, f.detail);
            for _ in 0..14 {
                let found = board.place(&mut chance).map_err(told);
                assert_eq!(found, plain.place(&mut chance).map_err(told));
                kept += usize::from(found.is_err());
            }
        }
    }
    assert!(kept > 0, "something was kept");
}
