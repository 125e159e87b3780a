//! Random histories: whatever users do and whatever breaks, the invariants hold at each commit, the
//! cluster comes to rest, and what was committed is all there is.
//!
//! A failing history is printed by proptest, shrunk, with the line for `proptest-regressions`; its
//! seed and steps make the same history again.

use std::time::Duration;

use model::{
    DeploymentController, InstanceKey, InstanceStatus, RolloutState, Service, ServiceStatus,
    TaskKey, VerdictState,
};
use proptest::prelude::*;
use scheduler::{Command, CreateService, UpdateService, plan};

use crate::balanced::{put_group, target_in};
use crate::build::{
    BREAKER, CLUSTER, create, definition, run, service, spec, spec_checked, spec_published,
    spec_with_port, update,
};
use crate::daemons::daemon;
use crate::invariants::{healthy, replays};
use crate::task_sets::{external, percent, set};
use crate::world::{Image, World};

/// Something that is done to the cluster. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Create { service: u8, family: u8, desired: u32, percents: (u32, u32), breaker: bool },
    Daemon { service: u8, family: u8, minimum: u32, breaker: bool },
    Sets { service: u8, desired: u32 },
    Set { service: u8, family: u8, percent: u8 },
    ScaleSet { service: u8, set: u8, percent: u8 },
    Primary { service: u8, set: u8 },
    DropSet { service: u8, set: u8 },
    Update { service: u8, family: u8 },
    Scale { service: u8, desired: u32 },
    Delete { service: u8 },
    Run { family: u8, count: u32 },
    Stop { task: u16 },
    Kill { task: u16 },
    Drain { node: u8, drain: bool },
    Connect { node: u8, connected: bool },
    Leave { node: u8 },
    Join { node: u8 },
    Restart,
    Judge { task: u16, healthy: bool },
    Pass { millis: u64 },
}

fn steps() -> impl Strategy<Value = Step> {
    let percents = prop_oneof![
        Just((200, 100)),
        Just((150, 50)),
        Just((100, 50)),
        Just((100, 0)),
        Just((125, 100)),
        Just((200, 0)),
    ];
    prop_oneof![
        3 => (0..3_u8, 0..6_u8, 0..8_u32, percents, any::<bool>()).prop_map(
            |(service, family, desired, percents, breaker)| Step::Create {
                service, family, desired, percents, breaker
            }
        ),
        2 => (0..3_u8, 0..6_u8, prop_oneof![Just(0), Just(50), Just(75)], any::<bool>()).prop_map(
            |(service, family, minimum, breaker)| Step::Daemon { service, family, minimum, breaker }
        ),
        1 => (0..3_u8, 0..8_u32).prop_map(|(service, desired)| Step::Sets { service, desired }),
        3 => (0..3_u8, 0..6_u8, 0..=100_u8).prop_map(
            |(service, family, percent)| Step::Set { service, family, percent }
        ),
        2 => (0..3_u8, 0..5_u8, 0..=100_u8).prop_map(
            |(service, set, percent)| Step::ScaleSet { service, set, percent }
        ),
        1 => (0..3_u8, 0..5_u8).prop_map(|(service, set)| Step::Primary { service, set }),
        1 => (0..3_u8, 0..5_u8).prop_map(|(service, set)| Step::DropSet { service, set }),
        3 => (0..3_u8, 0..6_u8).prop_map(|(service, family)| Step::Update { service, family }),
        2 => (0..3_u8, 0..10_u32).prop_map(|(service, desired)| Step::Scale { service, desired }),
        1 => (0..3_u8).prop_map(|service| Step::Delete { service }),
        2 => (0..5_u8, 1..=10_u32).prop_map(|(family, count)| Step::Run { family, count }),
        2 => any::<u16>().prop_map(|task| Step::Stop { task }),
        2 => any::<u16>().prop_map(|task| Step::Kill { task }),
        1 => (0..4_u8, any::<bool>()).prop_map(|(node, drain)| Step::Drain { node, drain }),
        1 => (0..4_u8, any::<bool>()).prop_map(|(node, connected)| Step::Connect { node, connected }),
        1 => (0..4_u8).prop_map(|node| Step::Leave { node }),
        1 => (0..4_u8).prop_map(|node| Step::Join { node }),
        1 => Just(Step::Restart),
        2 => (any::<u16>(), any::<bool>()).prop_map(|(task, healthy)| Step::Judge { task, healthy }),
        4 => (0..5_000_u64).prop_map(|millis| Step::Pass { millis }),
    ]
}

const FAMILIES: [&str; 6] = ["good", "port", "crash", "missing", "checked", "balanced"];

fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    for node in 0..3 {
        world.join(&node_name(node), 1024, 1024);
    }
    world.define("good", spec("good"), Image::Good);
    world.define("port", spec_with_port("port", 8080), Image::Good);
    world.define("crash", spec("crash"), Image::Crashes(700));
    world.define("missing", spec("missing"), Image::Missing);
    world.define("checked", spec_checked("checked"), Image::Good);
    world.define("balanced", spec_published("balanced"), Image::Good);
    put_group(&mut world, "web", Duration::from_secs(20));
    world
}

/// What a service of the family is behind.
fn aims(family: &str) -> Vec<model::ServiceTarget> {
    if family.starts_with("balanced") { vec![target_in("web")] } else { Vec::new() }
}

fn node_name(node: u8) -> String {
    format!("node-{node}")
}

fn node_key(node: u8) -> InstanceKey {
    InstanceKey { cluster: CLUSTER.into(), instance: node_name(node).as_str().into() }
}

fn family(family: u8) -> String {
    format!("{}:1", FAMILIES[usize::from(family) % FAMILIES.len()])
}

fn some_task(world: &World, choice: u16) -> Option<TaskKey> {
    let tasks: Vec<_> = world.state.all_tasks().map(|t| t.facts.key.clone()).collect();
    (!tasks.is_empty()).then(|| tasks[usize::from(choice) % tasks.len()].clone())
}

fn some_set(world: &World, name: &str, choice: u8) -> Option<model::DeploymentId> {
    let sets = &world.state.service(&service(name))?.deployments;
    (!sets.is_empty()).then(|| sets[usize::from(choice) % sets.len()].id.clone())
}

/// Does a step. What is refused is refused for a reason; it changes nothing.
fn take(world: &mut World, step: &Step) {
    let Some(command) = of_sets(world, step).or_else(|| asked(world, step)) else {
        return happens(world, step);
    };
    if matches!(step, Step::Restart) {
        world.begin_balancer();
    }
    let before = world.state.clone();
    if world.submit(&command).is_err() {
        assert!(world.state == before, "what is refused changes nothing");
    }
}

/// The command of a step that is about task sets.
fn of_sets(world: &World, step: &Step) -> Option<Command> {
    let name = |n: u8| format!("service-{n}");
    Some(match step {
        Step::Sets { service, desired } => {
            Command::CreateService(external(&name(*service), *desired))
        }
        Step::Set { service, family: f, percent: p } => {
            Command::CreateTaskSet(scheduler::CreateTaskSet {
                load_balancers: aims(family(*f).as_str()),
                ..set(&name(*service), &family(*f), f64::from(*p))
            })
        }
        Step::ScaleSet { service: n, set, percent: p } => {
            let set = some_set(world, &name(*n), *set)?;
            let scale = percent(f64::from(*p));
            Command::ScaleTaskSet { service: service(&name(*n)), set, scale }
        }
        Step::Primary { service: n, set } => {
            let set = some_set(world, &name(*n), *set)?;
            Command::SetPrimaryTaskSet { service: service(&name(*n)), set }
        }
        Step::DropSet { service: n, set } => {
            let set = some_set(world, &name(*n), *set)?;
            Command::DeleteTaskSet { service: service(&name(*n)), set, force: true }
        }
        _ => return None,
    })
}

/// The command of any other step that is one.
fn asked(world: &World, step: &Step) -> Option<Command> {
    let name = |n: u8| format!("service-{n}");
    Some(match step {
        Step::Create { service, family: f, desired, percents, breaker } => {
            Command::CreateService(CreateService {
                percents: (Some(percents.0), Some(percents.1)),
                circuit_breaker: breaker.then_some(BREAKER),
                load_balancers: aims(family(*f).as_str()),
                ..create(&name(*service), &family(*f), *desired)
            })
        }
        Step::Daemon { service, family: f, minimum, breaker } => {
            Command::CreateService(CreateService {
                percents: (None, Some(*minimum)),
                circuit_breaker: breaker.then_some(BREAKER),
                load_balancers: aims(family(*f).as_str()),
                ..daemon(&name(*service), &family(*f))
            })
        }
        Step::Update { service, family: f } => Command::UpdateService(UpdateService {
            definition: Some(definition(&family(*f))),
            load_balancers: Some(aims(family(*f).as_str())),
            ..update(&name(*service))
        }),
        Step::Scale { service, desired } => Command::UpdateService(UpdateService {
            desired_count: Some(*desired),
            ..update(&name(*service))
        }),
        Step::Delete { service: n } => {
            Command::DeleteService { key: service(&name(*n)), force: true }
        }
        Step::Run { family: f, count } => Command::RunTask(run(&family(*f), *count)),
        Step::Stop { task } => match some_task(world, *task) {
            Some(key) => Command::StopTask { key, reason: None },
            None => return None,
        },
        Step::Drain { node, drain } => Command::SetInstanceStatus {
            key: node_key(*node),
            status: if *drain { InstanceStatus::Draining } else { InstanceStatus::Active },
        },
        Step::Leave { node } => Command::DeregisterInstance { key: node_key(*node), force: true },
        Step::Restart => Command::DisconnectAll,
        _ => return None,
    })
}

/// What happens without a command.
fn happens(world: &mut World, step: &Step) {
    match step {
        Step::Kill { task } => {
            if let Some(key) = some_task(world, *task) {
                world.kill(&key);
            }
        }
        Step::Connect { node, connected } if world.state.instance(&node_key(*node)).is_some() => {
            world.connect(&node_key(*node), *connected);
        }
        Step::Join { node } => {
            world.join(&node_name(*node), 1024, 1024);
        }
        Step::Judge { task, healthy } => {
            let state = if *healthy { VerdictState::Healthy } else { VerdictState::Unhealthy };
            if let Some(key) = some_task(world, *task) {
                world.judge(&key, state);
            }
        }
        Step::Pass { millis } => {
            world.pass(Duration::from_millis(*millis));
        }
        _ => {}
    }
}

/// Repairs the cluster and lets it come to rest.
fn to_rest(world: &mut World) {
    for node in 0..4 {
        world.join(&node_name(node), 8192, 8192);
        let status = InstanceStatus::Active;
        world.must(Command::SetInstanceStatus { key: node_key(node), status });
    }
    world.pass(Duration::from_secs(2 * 60 * 60));
}

/// Each active service with a good image has what it wants. `killed` tells whether so many tasks were
/// killed that a circuit breaker may have given a good one up.
fn converged(world: &World, killed: bool) {
    for service in world.state.all_services() {
        let primary = service.primary();
        let family = primary.map(|d| d.definition.family.to_string()).unwrap_or_default();
        match service.status {
            ServiceStatus::Draining => panic!("{} drains for ever", service.key),
            ServiceStatus::Inactive => assert!(world.live(&service.key).is_empty()),
            ServiceStatus::Active if service.controller == DeploymentController::External => {
                shared_out(world, service);
            }
            ServiceStatus::Active if ["good", "checked", "balanced"].contains(&family.as_str()) => {
                let stalled = primary.is_some_and(|d| d.rollout == RolloutState::Failed);
                if stalled && killed {
                    continue;
                }
                assert!(!stalled, "{}: what is good does not fail", service.key);
                let count = healthy(&world.state, service);
                assert_eq!(count, service.desired_count as usize, "{}", service.key);
                let (config, desired) = (service.config, service.desired_count);
                let can = config.most(desired) > desired || config.fewest(desired) < desired;
                if can || desired == 0 {
                    assert_eq!(service.deployments.len(), 1, "{}", service.key);
                    assert!(service.steady_since.is_some(), "{}", service.key);
                }
            }
            ServiceStatus::Active => {}
        }
    }
    let rest = plan(&world.state, world.now, 5);
    assert!(rest.commands.is_empty(), "at rest nothing is planned: {:?}", rest.commands);
}

/// Each task set with a good image has its share, and none is left that was deleted.
fn shared_out(world: &World, service: &Service) {
    for deployment in &service.deployments {
        assert!(deployment.set.as_ref().is_some_and(|set| !set.draining), "{}", service.key);
        if !["good", "checked", "balanced"].contains(&deployment.definition.family.as_str()) {
            continue;
        }
        let of = world
            .state
            .tasks_of(&service.key)
            .filter(|t| t.is_running() && t.facts.deployment.as_ref() == Some(&deployment.id));
        let wanted = scheduler::computed_count(service, deployment) as usize;
        assert_eq!(of.count(), wanted, "{} {}", service.key, deployment.id);
    }
}

/// Each case is a whole history: fewer than usual, unless `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let usual = ProptestConfig { max_shrink_iters: 4_000, ..ProptestConfig::default() };
    if asked { usual } else { ProptestConfig { cases: 64, ..usual } }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_history_is_safe_and_comes_to_rest(
        seed in any::<u64>(),
        history in proptest::collection::vec(steps(), 1..40),
    ) {
        let mut world = world(seed);
        world.faulty = seed % 2 == 0;
        for step in &history {
            take(&mut world, step);
        }
        replays(&world.state, &world.changes);
        to_rest(&mut world);
        let kills = history
            .iter()
            .filter(|step| matches!(step, Step::Kill { .. } | Step::Judge { healthy: false, .. }))
            .count();
        converged(&world, kills >= 3);
        replays(&world.state, &world.changes);
        prop_assert!(world.invariants.checked > 0);
    }

    #[test]
    fn a_healthy_update_never_goes_below_its_minimum(
        seed in any::<u64>(),
        desired in 1..12_u32,
        minimum in prop_oneof![Just(0_u32), Just(34), Just(50), Just(99), Just(100)],
        maximum in prop_oneof![Just(100_u32), Just(125), Just(150), Just(200)],
        checked in any::<bool>(),
    ) {
        prop_assume!(!(minimum == 100 && maximum == 100));
        let mut world = World::new(seed);
        world.join("node-0", 4096, 4096);
        world.join("node-1", 4096, 4096);
        let of = |image| if checked { spec_checked(image) } else { spec(image) };
        let old = world.define("web", of("web:1"), Image::Good);
        let new = world.define("web", of("web:2"), Image::Good);
        let key = service("web");
        let percents = (Some(maximum), Some(minimum));
        world.must(Command::CreateService(CreateService { percents, ..create("web", &old, desired) }));
        world.pass(2 * scheduler::timing::SETTLES);
        let fewest = world.state.service(&key).expect("it is").config.fewest(desired) as usize;
        world.must(Command::UpdateService(UpdateService {
            definition: Some(definition(&new)),
            ..update("web")
        }));
        for _ in 0..5_000 {
            world.pass(Duration::from_millis(20));
            let service = world.state.service(&key).expect("it is").clone();
            prop_assert!(healthy(&world.state, &service) >= fewest);
            if service.deployments.len() == 1 {
                break;
            }
        }
        world.pass(2 * scheduler::timing::SETTLES);
        let service = world.state.service(&key).expect("it is").clone();
        let config = service.config;
        // A step is possible if one more may start, or one may go.
        let can = config.most(desired) > desired || config.fewest(desired) < desired;
        prop_assert_eq!(service.steady_since.is_some(), can);
        let definition = service.deployments[0].definition.to_string();
        prop_assert_eq!(definition, new);
    }

    #[test]
    fn a_broken_update_takes_nothing_down(
        seed in any::<u64>(),
        desired in 1..8_u32,
        minimum in prop_oneof![Just(0_u32), Just(50), Just(100)],
        after in 0..4_900_u64,
        missing in any::<bool>(),
        breaker in any::<bool>(),
    ) {
        let mut world = World::new(seed);
        world.join("node-0", 8192, 8192);
        let good = world.define("web", spec("web:1"), Image::Good);
        let image = if missing { Image::Missing } else { Image::Crashes(after) };
        let bad = world.define("web", spec("web:2"), image);
        let key = service("web");
        world.must(Command::CreateService(CreateService {
            percents: (Some(200), Some(minimum)),
            circuit_breaker: breaker.then_some(BREAKER),
            ..create("web", &good, desired)
        }));
        world.pass(2 * scheduler::timing::STAYS);
        world.must(Command::UpdateService(UpdateService {
            definition: Some(definition(&bad)),
            ..update("web")
        }));
        for _ in 0..200 {
            world.pass(Duration::from_millis(500));
            let old = world.state.tasks_of(&key).filter(|t| {
                t.is_running() && t.facts.definition.to_string() == good
            });
            prop_assert_eq!(old.count(), desired as usize);
        }
    }

    #[test]
    fn a_crash_loop_ends_and_is_rolled_back(
        seed in any::<u64>(),
        desired in 1..10_u32,
        after in 0..19_000_u64,
        way in 0..3_u8,
    ) {
        let mut world = World::new(seed);
        world.join("node-0", 8192, 8192);
        let good = world.define("web", spec("web:1"), Image::Good);
        let bad = match way {
            0 => world.define("web", spec("web:2"), Image::Missing),
            1 => world.define("web", spec("web:2"), Image::Crashes(after)),
            _ => world.define("web", spec_checked("web:2"), Image::Sick(after)),
        };
        let key = service("web");
        world.must(Command::CreateService(CreateService {
            circuit_breaker: Some(BREAKER),
            ..create("web", &good, desired)
        }));
        world.pass(2 * scheduler::timing::STAYS);
        let stable = world.state.service(&key).and_then(|s| s.stable.clone());
        prop_assert_eq!(stable, Some(definition(&good)));
        world.must(Command::UpdateService(UpdateService {
            definition: Some(definition(&bad)),
            ..update("web")
        }));
        world.pass(Duration::from_secs(60 * 60));
        let service = world.state.service(&key).expect("it is").clone();
        let primary = service.primary().expect("it is active").clone();
        prop_assert_eq!(primary.definition.to_string(), good);
        prop_assert_eq!(primary.rollout, RolloutState::Completed);
        prop_assert_eq!(world.state.service_counts(&key), (desired, 0));
        let failed = world.events(&key).iter().any(|e| e.contains("deployment failed"));
        prop_assert!(failed);
    }
}
