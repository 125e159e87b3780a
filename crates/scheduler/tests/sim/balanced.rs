//! Services behind load balancers: their tasks join, drain, and are replaced when their targets fail.

use std::sync::Arc;
use std::time::Duration;

use model::{
    Action, Algorithm, BalancingChange, Change, Forward, GroupId, GroupProtocol, GroupSettings,
    HealthCheck, HealthPort, Listener, ListenerId, ListenerProtocol, Matcher, NetworkMode,
    ProtocolVersion, ServiceTarget, StopCode, Tags, TargetGroup, TargetKind, TargetState, TaskKey,
    TaskStatus, VerdictState, Weighted,
};
use proptest::prelude::*;
use scheduler::{
    Command, CreateService, Misfit, Rejection, TargetNews, TargetReport, UpdateService, plan,
};
use stdx::Timestamp;

use crate::build::{
    BREAKER, create, definition, service, spec, spec_checked, spec_published, update,
};
use crate::invariants::{healthy, replays};
use crate::world::{Image, World, health};

const SECOND: Duration = Duration::from_secs(1);
const A_MOMENT: Duration = Duration::from_secs(6);
const DELAY: Duration = Duration::from_secs(20);

pub(crate) fn group_id(name: &str) -> GroupId {
    format!("{name}/73e2d6bc24d8a067").as_str().into()
}

pub(crate) fn target_in(group: &str) -> ServiceTarget {
    ServiceTarget {
        group: group_id(group),
        container: "app".into(),
        container_port: 80,
        advanced: None,
    }
}

/// A group to which a listener of its own sends.
pub(crate) fn put_group(world: &mut World, name: &str, delay: Duration) {
    put_kind(world, name, delay, TargetKind::Instance);
    let id = ListenerId::from(format!("app/{name}/50dc6c495c0c9188/f2f7dc8efc522ab2").as_str());
    let groups = vec![Weighted { group: group_id(name), weight: 1 }];
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

/// A group to which no listener sends.
pub(crate) fn put_bare_group(world: &mut World, name: &str, delay: Duration) {
    put_kind(world, name, delay, TargetKind::Instance);
}

fn put_kind(world: &mut World, name: &str, delay: Duration, kind: TargetKind) {
    world.apply(Change::Balancing(BalancingChange::PutGroup(Arc::new(TargetGroup {
        id: group_id(name),
        protocol: GroupProtocol::Http,
        version: ProtocolVersion::Http1,
        port: 80,
        kind,
        vpc: None,
        health: HealthCheck {
            enabled: true,
            protocol: GroupProtocol::Http,
            port: HealthPort::Traffic,
            path: "/".to_owned(),
            matcher: Matcher::Http(vec![(200, 200)]),
            interval: 30 * SECOND,
            timeout: 5 * SECOND,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
        },
        settings: GroupSettings {
            deregistration_delay: delay,
            algorithm: Algorithm::RoundRobin,
            ..GroupSettings::default()
        },
        tags: Tags::default(),
        created_at: Timestamp::EPOCH,
    }))));
}

fn world() -> World {
    let mut world = World::new(1);
    world.join("node-1", 4096, 8192);
    put_group(&mut world, "web", DELAY);
    world
}

fn behind(groups: &[&str], of: CreateService) -> CreateService {
    CreateService { load_balancers: groups.iter().map(|name| target_in(name)).collect(), ..of }
}

/// A service `web` of so many tasks behind the group `web`, at rest.
fn served(desired: u32) -> (World, Vec<TaskKey>) {
    let mut world = world();
    let web = world.define("web", spec_published("web:1"), Image::Good);
    world.must(Command::CreateService(behind(&["web"], create("web", &web, desired))));
    world.pass(A_MOMENT);
    let tasks = world.live(&service("web"));
    at_rest(&world);
    (world, tasks)
}

fn at_rest(world: &World) {
    let rest = plan(&world.state, world.now, 7);
    assert!(rest.commands.is_empty(), "{:?}", rest.commands);
    assert!(rest.report.is_empty(), "{:?}", rest.report);
    replays(&world.state, &world.changes);
}

fn states(world: &World, group: &str) -> Vec<TargetState> {
    let book = world.state.balancing();
    book.targets(&group_id(group)).map(|target| book.state_of(target)).collect()
}

fn status(world: &World, task: &TaskKey) -> TaskStatus {
    world.state.task(task).expect("it is remembered").progress.status
}

const GROUP: &str =
    "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/73e2d6bc24d8a067";

#[test]
fn tasks_join_when_they_run_and_drain_before_they_stop() {
    let (mut world, tasks) = served(2);
    assert_eq!(states(&world, "web"), [TargetState::Healthy; 2]);
    world.busy = true;
    let desired_count = Some(1);
    world.must(Command::UpdateService(UpdateService { desired_count, ..update("web") }));
    world.pass(DELAY - SECOND);
    let leaving = tasks.iter().find(|key| status(&world, key) == TaskStatus::Deactivating);
    let leaving = leaving.expect("one waits for its target").clone();
    let mut found = states(&world, "web");
    found.sort_by_key(|state| *state == TargetState::Draining);
    assert_eq!(found, [TargetState::Healthy, TargetState::Draining]);
    world.pass(2 * SECOND);
    assert_eq!(status(&world, &leaving), TaskStatus::Stopped, "the delay is over");
    assert_eq!(states(&world, "web"), [TargetState::Healthy]);
    at_rest(&world);
    let in_group = |what: &str| format!("(service web) {what} in (target-group {GROUP})");
    assert_eq!(
        world.events(&service("web")),
        [
            "(service web) has started 2 tasks: (task a) (task b).".to_owned(),
            in_group("registered 1 targets"),
            in_group("registered 1 targets"),
            "(service web) (deployment ecs-svc/1) deployment completed.".to_owned(),
            "(service web) has reached a steady state.".to_owned(),
            "(service web) has begun draining connections on 1 tasks.".to_owned(),
            in_group("deregistered 1 targets"),
            "(service web) has stopped 1 running tasks: (task b).".to_owned(),
            "(service web) has reached a steady state.".to_owned(),
        ]
    );
}

#[test]
fn what_is_idle_waits_for_no_delay_and_what_dies_is_gone_at_once() {
    let (mut world, tasks) = served(3);
    let stop = |key: &TaskKey| Command::StopTask { key: key.clone(), reason: None };
    world.must(stop(&tasks[0]));
    assert_eq!(status(&world, &tasks[0]), TaskStatus::Deactivating);
    world.pass(SECOND);
    assert_eq!(status(&world, &tasks[0]), TaskStatus::Stopped);
    let of = |world: &World, key: &TaskKey| world.state.balancing().targets_of(key).count();
    world.kill(&tasks[1]);
    world.pass(Duration::ZERO);
    assert_eq!((of(&world, &tasks[1]), of(&world, &tasks[2])), (0, 1));
    let node = model::InstanceKey { cluster: "default".into(), instance: "node-1".into() };
    world.must(Command::DeregisterInstance { key: node, force: true });
    assert_eq!(of(&world, &tasks[2]), 0, "a lost instance takes its targets along");
    // What drains when its instance is lost is over, too.
    world.join("node-2", 4096, 8192);
    world.pass(A_MOMENT);
    at_rest(&world);
    world.busy = true;
    let next = world.live(&service("web"))[0].clone();
    world.must(stop(&next));
    let node = model::InstanceKey { cluster: "default".into(), instance: "node-2".into() };
    world.must(Command::DeregisterInstance { key: node, force: true });
    assert_eq!((status(&world, &next), of(&world, &next)), (TaskStatus::Stopped, 0));
}

#[test]
fn a_failing_target_is_replaced_once_its_time_of_grace_is_over() {
    for (grace, spared) in [(None, 0), (Some(60), 50)] {
        let mut world = world();
        let web = world.define("web", spec_published("web:1"), Image::Good);
        world.must(Command::CreateService(CreateService {
            health_check_grace: grace.map(Duration::from_secs),
            ..behind(&["web"], create("web", &web, 2))
        }));
        world.pass(A_MOMENT);
        let tasks = world.live(&service("web"));
        world.judge(&tasks[0], VerdictState::Unhealthy);
        world.pass(Duration::from_secs(spared));
        let alive = world.live(&service("web")).contains(&tasks[0]);
        assert!(alive, "{grace:?}: it stays until its replacement is healthy");
        world.pass(20 * SECOND);
        let dead = world.state.task(&tasks[0]).expect("it is remembered").progress.clone();
        assert_eq!(dead.status, TaskStatus::Stopped);
        assert_eq!(dead.stop_code, Some(StopCode::ServiceSchedulerInitiated));
        let reason = format!("Task failed ELB health checks in (target-group {GROUP})");
        assert_eq!(dead.stopped_reason, Some(reason));
        let told = world.state.events(&service("web")).any(|event| {
            event.message.contains("(instance node-1) (port ")
                && event.message.ends_with(&format!(
                    "is unhealthy in (target-group {GROUP}) due to (reason Health checks failed \
                     with these codes: [502])"
                ))
        });
        assert!(told);
        assert_eq!(world.state.service_counts(&service("web")), (2, 0));
        at_rest(&world);
    }
}

#[test]
fn grace_is_for_containers_health_checks_too() {
    let mut world = world();
    let web = world.define("web", spec_checked("web:1"), Image::Sick(100));
    let health_check_grace = Some(60 * SECOND);
    world.must(Command::CreateService(CreateService {
        health_check_grace,
        ..create("web", &web, 1)
    }));
    world.pass(59 * SECOND);
    assert_eq!(world.state.tasks_of(&service("web")).count(), 1);
    world.pass(2 * SECOND);
    assert!(world.state.tasks_of(&service("web")).count() > 1);
}

#[test]
fn a_deployment_whose_targets_never_become_healthy_is_rolled_back_with_its_groups() {
    let mut world = world();
    put_group(&mut world, "other", DELAY);
    let good = world.define("web", spec_published("web:1"), Image::Good);
    let mute = world.define("web", spec_published("web:2"), Image::Mute(10));
    world.must(Command::CreateService(CreateService {
        circuit_breaker: Some(BREAKER),
        ..behind(&["web"], create("web", &good, 2))
    }));
    world.pass(60 * SECOND);
    world.must(Command::UpdateService(UpdateService {
        definition: Some(definition(&mute)),
        load_balancers: Some(vec![target_in("other")]),
        ..update("web")
    }));
    let old =
        |world: &World| states(world, "web").iter().filter(|s| **s == TargetState::Healthy).count();
    for _ in 0..600 {
        world.pass(SECOND);
        assert_eq!(old(&world), 2, "the old ones serve all along");
    }
    let found = world.state.service(&service("web")).expect("it is").clone();
    assert_eq!(found.primary().map(|d| d.definition.to_string()), Some(good));
    assert_eq!(found.load_balancers, [target_in("web")]);
    assert_eq!(states(&world, "other"), []);
    at_rest(&world);
}

#[test]
fn several_groups_and_another_group_make_a_deployment() {
    let (mut world, tasks) = served(2);
    put_group(&mut world, "other", DELAY);
    let aims = vec![target_in("web"), target_in("other")];
    let deploy = UpdateService { load_balancers: Some(aims.clone()), ..update("web") };
    world.must(Command::UpdateService(deploy.clone()));
    assert_eq!(world.state.service(&service("web")).map(|s| s.deployments.len()), Some(2));
    world.pass(A_MOMENT);
    assert!(tasks.iter().all(|key| status(&world, key) == TaskStatus::Stopped));
    assert_eq!(states(&world, "other"), [TargetState::Healthy; 2]);
    assert_eq!(states(&world, "web"), [TargetState::Healthy; 2]);
    at_rest(&world);
    let before = world.state.clone();
    world.must(Command::UpdateService(deploy));
    assert!(world.state == before, "the same again is no deployment");
    let none = UpdateService { load_balancers: Some(Vec::new()), ..update("web") };
    world.must(Command::UpdateService(none));
    world.pass(2 * A_MOMENT);
    assert_eq!((states(&world, "web"), states(&world, "other")), (vec![], vec![]));
    at_rest(&world);
}

#[test]
fn a_balancer_that_begins_anew_disturbs_nothing() {
    let (mut world, tasks) = served(2);
    let before = world.state.clone();
    for task in &tasks {
        world.judge(task, VerdictState::Initial);
        world.judge(task, VerdictState::Healthy);
    }
    assert!(world.state == before);
    // What was seen of an earlier registration, or of an earlier draining, counts no more.
    let target = world.state.balancing().targets_of(&tasks[0]).next().unwrap().clone();
    for (registered_at, news) in [
        (Timestamp::EPOCH, health(VerdictState::Unhealthy)),
        (target.registered_at, TargetNews::Idle { since: Timestamp::EPOCH }),
    ] {
        let report = TargetReport { key: target.key.clone(), registered_at, news };
        world.must(Command::ReportTargets(vec![report]));
    }
    assert!(world.state == before);
}

#[test]
fn a_task_waits_for_its_port_and_a_deleted_group_keeps_nothing_waiting() {
    let (mut world, tasks) = served(1);
    world.busy = true;
    world.must(Command::StopTask { key: tasks[0].clone(), reason: None });
    let key = world.state.balancing().targets_of(&tasks[0]).next().unwrap().key.clone();
    world.apply(Change::Balancing(BalancingChange::DeleteTarget(key)));
    world.apply(Change::Balancing(BalancingChange::DeleteGroup(group_id("web"))));
    world.pass(SECOND);
    assert_eq!(status(&world, &tasks[0]), TaskStatus::Stopped);
    world.pass(A_MOMENT);
    assert_eq!(world.state.service_counts(&service("web")), (1, 0));
    let told =
        world.state.events(&service("web")).any(|e| e.message.contains("failed to register"));
    assert!(told);
    at_rest(&world);
}

#[test]
fn what_does_not_fit_is_refused_in_the_words_of_ecs() {
    let mut world = world();
    put_kind(&mut world, "loose", DELAY, TargetKind::Instance);
    put_group(&mut world, "ip", DELAY);
    put_kind(&mut world, "ip", DELAY, TargetKind::Ip);
    let web = world.define("web", spec_published("web:1"), Image::Good);
    let bare = world.define("bare", spec("web:1"), Image::Good);
    let in_group = |group: &str, container: &str, container_port| ServiceTarget {
        group: group_id(group),
        container: container.into(),
        container_port,
        advanced: None,
    };
    let app = model::ContainerName::from("app");
    let cases = [
        (
            &web,
            vec![target_in("none")],
            Misfit::NoGroup(group_id("none")),
            "One or more target groups not found",
        ),
        (
            &web,
            vec![target_in("loose")],
            Misfit::NoBalancer(group_id("loose")),
            "does not have an associated load balancer.",
        ),
        (
            &web,
            vec![in_group("web", "db", 80)],
            Misfit::NoContainer("db".into()),
            "The container db does not exist in the task definition.",
        ),
        (
            &bare,
            vec![target_in("web")],
            Misfit::NoPort(app.clone(), 80),
            "The container app did not have a container port 80 defined.",
        ),
        (
            &web,
            vec![target_in("ip")],
            Misfit::Network(group_id("ip"), TargetKind::Ip, NetworkMode::Bridge),
            "has target type ip, which is incompatible with the bridge network mode specified in the task definition.",
        ),
        (
            &web,
            vec![target_in("web"); 2],
            Misfit::Twice(group_id("web"), app, 80),
            "is named twice",
        ),
        (&web, vec![target_in("web"); 6], Misfit::TooMany(6), "a service has at most 5"),
    ];
    for (definition, load_balancers, misfit, says) in cases {
        let create = CreateService { load_balancers, ..create("web", definition, 1) };
        let refused = world.submit(&Command::CreateService(create)).unwrap_err();
        assert_eq!(refused, Rejection::Misfit(misfit));
        let words = scheduler::words::rejection(&refused, world.state.realm());
        assert!(words.contains(says), "{words}");
    }
    // A definition that lacks the port does not come in later either.
    world.must(Command::CreateService(behind(&["web"], create("web", &web, 1))));
    let definition = Some(definition(&bare));
    let update = UpdateService { definition, ..update("web") };
    let refused = world.submit(&Command::UpdateService(update)).unwrap_err();
    assert_eq!(refused, Rejection::Misfit(Misfit::NoPort("app".into(), 80)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// However an update goes, as many targets are healthy as the minimum healthy percent asks for.
    #[test]
    fn an_update_never_leaves_too_few_healthy_targets(
        seed in any::<u64>(),
        desired in 1..9_u32,
        percents in prop_oneof![
            Just((200_u32, 100_u32)), Just((150, 50)), Just((100, 50)), Just((125, 100)), Just((100, 0))
        ],
        busy in any::<bool>(),
        faulty in any::<bool>(),
    ) {
        let mut world = World::new(seed);
        (world.busy, world.faulty) = (busy, faulty);
        world.join("node-0", 4096, 4096);
        world.join("node-1", 4096, 4096);
        put_group(&mut world, "web", SECOND);
        let old = world.define("web", spec_published("web:1"), Image::Good);
        let new = world.define("web", spec_published("web:2"), Image::Good);
        let key = service("web");
        let percents = (Some(percents.0), Some(percents.1));
        let made = CreateService { percents, ..create("web", &old, desired) };
        world.must(Command::CreateService(behind(&["web"], made)));
        world.pass(A_MOMENT);
        let config = world.state.service(&key).expect("it is").config;
        let fewest = config.fewest(desired) as usize;
        prop_assume!(config.most(desired) > desired || fewest < desired as usize);
        let deploy = UpdateService { definition: Some(definition(&new)), ..update("web") };
        world.must(Command::UpdateService(deploy));
        for _ in 0..5_000 {
            world.pass(Duration::from_millis(20));
            let service = world.state.service(&key).expect("it is").clone();
            prop_assert!(healthy(&world.state, &service) >= fewest);
            let serving =
                states(&world, "web").iter().filter(|s| **s == TargetState::Healthy).count();
            prop_assert!(serving >= fewest, "{} targets serve, of {}", serving, fewest);
            if service.deployments.len() == 1 {
                break;
            }
        }
        world.pass(A_MOMENT);
        prop_assert_eq!(states(&world, "web"), vec![TargetState::Healthy; desired as usize]);
        at_rest(&world);
    }
}
