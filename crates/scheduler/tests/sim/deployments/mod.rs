//! Service deployments: by which stages they go, how traffic moves, what ends them and how they go
//! back; all of it in virtual time.

mod ends;
mod histories;
mod hooks;
mod rolling;

use std::sync::Arc;
use std::time::Duration;

use model::{
    Action, AdvancedTarget, BalancingChange, Change, CircuitBreaker, Cleanup, DeploymentId,
    EarlySuccess, Forward, HookAction, HookTarget, Listener, ListenerId, ListenerProtocol, Monitor,
    RolloutAlarms, RolloutHook, RolloutMethod, RolloutState, RolloutStrategy, ServiceDeployment,
    ServiceDeploymentKey, ServiceDeploymentStatus as Status, ServiceTarget, Stage, Tags,
    TargetState, TrafficRule, TrafficShare, Weighted,
};
use proptest::prelude::*;
use scheduler::{
    Command, CreateService, DeploymentCommand, DeploymentRejection, HookAnswer, Rejection,
    UpdateService, hook_calls, plan,
};
use stdx::Timestamp;

use crate::balanced::{group_id, put_bare_group};
use crate::build::{BREAKER, create, definition, service, spec, spec_published, update};
use crate::invariants::replays;
use crate::world::{Image, World};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const BOTH: [&str; 2] = ["blue", "green"];

fn listener_id(name: &str) -> ListenerId {
    format!("app/lb/50dc6c495c0c9188/{name}").as_str().into()
}

/// The default rule of a listener.
fn rule(name: &str) -> TrafficRule {
    TrafficRule::Rule(format!("{}/0", listener_id(name)).as_str().into())
}

fn put_listener(world: &mut World, name: &str, group: &str) {
    let id = listener_id(name);
    let groups = vec![Weighted { group: group_id(group), weight: 1 }];
    world.apply(Change::Balancing(BalancingChange::PutListener(Arc::new(Listener {
        default_rule: format!("{id}/0").as_str().into(),
        id,
        port: 80,
        protocol: ListenerProtocol::Http,
        certificates: Vec::new(),
        tls_policy: None,
        alpn: None,
        tcp_idle_timeout: None,
        default_action: Action::Forward(Forward { groups, sticky: None }),
        tags: Tags::default(),
        created_at: Timestamp::EPOCH,
    }))));
}

fn pair() -> ServiceTarget {
    ServiceTarget {
        group: group_id("blue"),
        container: "app".into(),
        container_port: 80,
        advanced: Some(AdvancedTarget {
            alternate: group_id("green"),
            production: rule("production"),
            test: Some(rule("test")),
            role: None,
        }),
    }
}

fn method(strategy: RolloutStrategy, bake: Duration) -> RolloutMethod {
    RolloutMethod { strategy, bake: Some(bake), ..RolloutMethod::default() }
}

/// A service of three tasks that is up and behind a pair of groups.
fn served(method: RolloutMethod, breaker: Option<CircuitBreaker>) -> World {
    let mut world = World::new(3);
    world.join("node-1", 8192, 8192);
    for group in BOTH {
        put_bare_group(&mut world, group, 2 * SECOND);
    }
    put_listener(&mut world, "production", "blue");
    put_listener(&mut world, "test", "blue");
    let old = world.define("web", spec_published("web:1"), Image::Good);
    world.define("web", spec_published("web:2"), Image::Good);
    world.define("web", spec_published("web:3"), Image::Crashes(300));
    world.must(Command::CreateService(CreateService {
        load_balancers: vec![pair()],
        circuit_breaker: breaker,
        method,
        ..create("web", &old, 3)
    }));
    world.pass(2 * MINUTE);
    assert_eq!(current(&world).status, Status::Successful, "{:?}", current(&world));
    at_rest(&world);
    world
}

fn at_rest(world: &World) {
    let rest = plan(&world.state, world.now, 7);
    assert!(rest.commands.is_empty(), "{:?}", rest.commands);
    replays(&world.state, &world.changes);
}

fn current_key(world: &World) -> ServiceDeploymentKey {
    let found = world.state.service(&service("web")).expect("it is").clone();
    ServiceDeploymentKey { service: service("web"), id: found.current.clone().expect("one") }
}

fn current(world: &World) -> ServiceDeployment {
    let key = current_key(world);
    ServiceDeployment::clone(world.state.deployments().deployment(&key).expect("it is"))
}

fn to(world: &mut World, revision: u32) {
    let definition = Some(definition(&format!("web:{revision}")));
    world.must(Command::UpdateService(UpdateService { definition, ..update("web") }));
}

/// What each of the two groups gets of a listener's traffic.
fn weights(world: &World, name: &str) -> [u32; 2] {
    let listener = world.state.balancing().listener(&listener_id(name)).expect("it is").clone();
    let Action::Forward(forward) = &listener.default_action else { panic!("{listener:?}") };
    let of = |group: &str| {
        let found = forward.groups.iter().find(|there| there.group == group_id(group));
        found.map_or(0, |there| there.weight)
    };
    BOTH.map(of)
}

/// Nobody is sent where nothing answers.
fn everybody_is_answered(world: &World) {
    let book = world.state.balancing();
    for (group, weight) in BOTH.into_iter().zip(weights(world, "production")) {
        let healthy =
            book.targets(&group_id(group)).any(|t| book.state_of(t) == TargetState::Healthy);
        assert!(weight == 0 || healthy, "{group} gets traffic and has nobody to answer");
    }
}

/// Passes so long in small steps, and tells each stage and each weight of production traffic that
/// there was.
fn watch(world: &mut World, duration: Duration) -> (Vec<Stage>, Vec<[u32; 2]>) {
    let (mut stages, mut shares) = (Vec::new(), Vec::new());
    let from = world.changes.len();
    let end = world.now + duration;
    shares.push(weights(world, "production"));
    while world.now < end {
        world.pass(100 * Duration::from_millis(1));
        everybody_is_answered(world);
        let share = weights(world, "production");
        if shares.last() != Some(&share) {
            shares.push(share);
        }
    }
    for change in &world.changes[from..] {
        if let Change::Deployment(model::DeploymentChange::PutDeployment(record)) = change
            && let Some(stage) = record.stage
            && stages.last() != Some(&stage)
        {
            stages.push(stage);
        }
    }
    (stages, shares)
}

fn tasks_of(world: &World, id: &DeploymentId) -> usize {
    let key = service("web");
    let tasks = world.state.tasks_of(&key);
    tasks.filter(|t| t.holds_resources() && t.facts.deployment.as_ref() == Some(id)).count()
}

const ALL_STAGES: [Stage; 10] = [
    Stage::PreScaleUp,
    Stage::ScaleUp,
    Stage::PostScaleUp,
    Stage::TestTrafficShift,
    Stage::PostTestTrafficShift,
    Stage::PreProductionTrafficShift,
    Stage::ProductionTrafficShift,
    Stage::PostProductionTrafficShift,
    Stage::BakeTime,
    Stage::CleanUp,
];

#[test]
fn blue_and_green_stand_side_by_side_until_the_bake_is_over() {
    let mut world = served(method(RolloutStrategy::BlueGreen, MINUTE), None);
    assert_eq!(weights(&world, "production"), [100, 0]);
    to(&mut world, 2);
    let (stages, shares) = watch(&mut world, 40 * SECOND);
    assert_eq!(stages, ALL_STAGES[..9]);
    assert_eq!(shares.last(), Some(&[0, 100]));
    assert_eq!(weights(&world, "test"), [0, 100]);
    let record = current(&world);
    let (blue, green) = (record.sources[0].clone(), record.target.clone());
    assert_eq!((tasks_of(&world, &blue), tasks_of(&world, &green)), (3, 3));
    assert_eq!(world.state.service_counts(&service("web")), (6, 0));
    let (stages, _) = watch(&mut world, MINUTE);
    assert_eq!(stages, [Stage::CleanUp]);
    let record = current(&world);
    assert_eq!(record.status, Status::Successful);
    assert!(record.finished_at.is_some() && record.stopped_at.is_none());
    assert_eq!((tasks_of(&world, &blue), tasks_of(&world, &green)), (0, 3));
    at_rest(&world);
    // And back again: the other group is the free one now.
    to(&mut world, 1);
    watch(&mut world, 3 * MINUTE);
    assert_eq!(weights(&world, "production"), [100, 0]);
    assert_eq!(current(&world).status, Status::Successful);
    at_rest(&world);
}

#[test]
fn blue_and_green_need_no_load_balancer() {
    let mut world = World::new(1);
    world.join("node-1", 4096, 8192);
    let old = world.define("web", spec("web:1"), Image::Good);
    world.define("web", spec("web:2"), Image::Good);
    world.must(Command::CreateService(CreateService {
        method: method(RolloutStrategy::BlueGreen, MINUTE),
        ..create("web", &old, 2)
    }));
    world.pass(20 * SECOND);
    assert_eq!(current(&world).status, Status::Successful);
    to(&mut world, 2);
    world.pass(20 * SECOND);
    assert_eq!(current(&world).stage, Some(Stage::BakeTime));
    assert_eq!(world.state.service_counts(&service("web")), (4, 0));
    world.pass(2 * MINUTE);
    assert_eq!(current(&world).status, Status::Successful);
    assert_eq!(world.state.service_counts(&service("web")), (2, 0));
    at_rest(&world);
}

#[test]
fn a_linear_deployment_moves_in_equal_steps() {
    let step = TrafficShare(300);
    let mut world =
        served(method(RolloutStrategy::Linear { step, bake: 2 * MINUTE }, MINUTE), None);
    to(&mut world, 2);
    let began = world.now;
    let (_, shares) = watch(&mut world, 20 * MINUTE);
    assert_eq!(shares, [[100, 0], [70, 30], [40, 60], [10, 90], [0, 100]]);
    let record = current(&world);
    assert_eq!(record.status, Status::Successful);
    let took = record.finished_at.expect("over").since(began);
    assert!(took > 7 * MINUTE && took < 8 * MINUTE, "three steps and the bake: {took:?}");
    at_rest(&world);
}

#[test]
fn a_canary_moves_little_and_then_the_rest() {
    let share = TrafficShare(55);
    let bake = 10 * MINUTE;
    let mut world = served(method(RolloutStrategy::Canary { share, bake }, Duration::ZERO), None);
    to(&mut world, 2);
    let (stages, shares) = watch(&mut world, 9 * MINUTE);
    assert_eq!(shares, [[100, 0], [945, 55]]);
    assert_eq!(stages.last(), Some(&Stage::ProductionTrafficShift));
    let (stages, shares) = watch(&mut world, 2 * MINUTE);
    assert_eq!(shares, [[945, 55], [0, 100]]);
    assert_eq!(stages[..2], [Stage::PreProductionTrafficShift, Stage::ProductionTrafficShift]);
    assert_eq!(current(&world).status, Status::Successful);
    at_rest(&world);
}
