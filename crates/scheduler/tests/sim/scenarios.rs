//! Scenarios as scripts, with the events that a user reads.

use std::time::Duration;

use model::{InstanceStatus, RolloutState, ServiceStatus, StopCode};
use scheduler::{Command, UpdateService, plan};

use crate::build::{
    BREAKER, create, definition, service, spec, spec_checked, spec_with_port, update,
};
use crate::invariants::replays;
use crate::world::{Image, World};

const SECOND: Duration = Duration::from_secs(1);
/// Long enough for a deployment to be complete.
const A_MOMENT: Duration = Duration::from_secs(6);

fn two_nodes() -> World {
    let mut world = World::new(1);
    world.join("node-1", 2048, 4096);
    world.join("node-2", 2048, 4096);
    world
}

fn at_rest(world: &World) {
    let rest = plan(&world.state, world.now, 7);
    assert!(rest.commands.is_empty(), "{:?}", rest.commands);
    assert!(rest.report.is_empty(), "{:?}", rest.report);
    replays(&world.state, &world.changes);
}

#[test]
fn a_service_starts_heals_grows_shrinks_and_ends() {
    let mut world = two_nodes();
    let web = world.define("web", spec("web:1"), Image::Good);
    let key = service("web");
    world.must(Command::CreateService(create("web", &web, 2)));
    world.pass(A_MOMENT);
    at_rest(&world);
    let victim = world.live(&key)[0].clone();
    world.kill(&victim);
    world.pass(A_MOMENT);
    at_rest(&world);
    let dead = world.state.task(&victim).expect("it is remembered").progress.clone();
    assert_eq!(dead.stop_code, Some(StopCode::EssentialContainerExited));
    for count in [3, 1] {
        let desired_count = Some(count);
        world.must(Command::UpdateService(UpdateService { desired_count, ..update("web") }));
        world.pass(A_MOMENT);
        at_rest(&world);
        assert_eq!(world.state.service_counts(&key), (count, 0));
    }
    world.must(Command::DeleteService { key: key.clone(), force: true });
    world.pass(A_MOMENT);
    at_rest(&world);
    assert_eq!(world.state.service(&key).map(|s| s.status), Some(ServiceStatus::Inactive));
    assert_eq!(
        world.events(&key),
        [
            "(service web) has started 2 tasks: (task a) (task b).",
            "(service web) (deployment ecs-svc/1) deployment completed.",
            "(service web) has reached a steady state.",
            "(service web) has started 1 tasks: (task c).",
            "(service web) has reached a steady state.",
            "(service web) has started 1 tasks: (task d).",
            "(service web) has reached a steady state.",
            "(service web) has stopped 2 running tasks: (task d) (task c).",
            "(service web) has reached a steady state.",
            "(service web) has stopped 1 running tasks: (task a).",
        ]
    );
}

#[test]
fn a_place_that_no_stop_would_make_costs_no_task() {
    let mut world = two_nodes();
    let old = world.define("web", spec("web:1"), Image::Good);
    let mut elsewhere = spec("web:2");
    elsewhere.required_attributes = vec!["gpu".to_owned()];
    let new = world.define("web", elsewhere, Image::Good);
    let percents = (Some(200), Some(0));
    world.must(Command::CreateService(scheduler::CreateService {
        percents,
        ..create("web", &old, 3)
    }));
    world.pass(A_MOMENT);
    let definition = Some(definition(&new));
    world.must(Command::UpdateService(UpdateService { definition, ..update("web") }));
    world.pass(A_MOMENT);
    assert_eq!(world.state.service_counts(&service("web")), (3, 0));
}

#[test]
fn a_rolling_update_starts_the_new_before_it_stops_the_old() {
    let mut world = two_nodes();
    let old = world.define("web", spec("web:1"), Image::Good);
    let new = world.define("web", spec("web:2"), Image::Good);
    let key = service("web");
    world.must(Command::CreateService(create("web", &old, 3)));
    world.pass(A_MOMENT);
    let definition = Some(definition(&new));
    world.must(Command::UpdateService(UpdateService { definition, ..update("web") }));
    world.pass(A_MOMENT);
    at_rest(&world);
    assert!(
        world.state.service(&key).expect("it is").primary().expect("one").definition.to_string()
            == new
    );
    assert_eq!(
        world.events(&key)[3..],
        [
            "(service web) has started 3 tasks: (task d) (task e) (task f).",
            "(service web) has stopped 1 running tasks: (task c).",
            "(service web) has stopped 1 running tasks: (task b).",
            "(service web) has stopped 1 running tasks: (task a).",
            "(service web) (deployment ecs-svc/2) deployment completed.",
            "(service web) has reached a steady state.",
        ]
    );
}

#[test]
fn an_update_within_its_capacity_goes_in_halves() {
    let mut world = two_nodes();
    let old = world.define("web", spec("web:1"), Image::Good);
    let new = world.define("web", spec("web:2"), Image::Good);
    let key = service("web");
    let percents = (Some(100), Some(50));
    world.must(Command::CreateService(scheduler::CreateService {
        percents,
        ..create("web", &old, 4)
    }));
    world.pass(A_MOMENT);
    let definition = Some(definition(&new));
    world.must(Command::UpdateService(UpdateService { definition, ..update("web") }));
    world.pass(3 * A_MOMENT);
    at_rest(&world);
    let counts: Vec<String> =
        world.events(&key)[3..].iter().map(|e| e[14..32].to_owned()).collect();
    assert_eq!(
        counts,
        [
            "has stopped 2 runn",
            "has started 1 task",
            "has started 1 task",
            "has stopped 1 runn",
            "has started 1 task",
            "has stopped 1 runn",
            "has started 1 task",
            "(deployment ecs-sv",
            "has reached a stea",
        ]
    );
}

#[test]
fn a_host_port_on_one_node_is_given_over_when_the_minimum_allows() {
    let mut world = World::new(3);
    world.join("node-1", 2048, 4096);
    let old = world.define("web", spec_with_port("web:1", 80), Image::Good);
    let new = world.define("web", spec_with_port("web:2", 80), Image::Good);
    let key = service("web");
    world.must(Command::CreateService(create("web", &old, 1)));
    world.pass(A_MOMENT);
    let definition = Some(definition(&new));
    world.must(Command::UpdateService(UpdateService { definition, ..update("web") }));
    world.pass(A_MOMENT);
    // At 100 percent the old one may not go and the new one finds the port taken.
    let waits = plan(&world.state, world.now, 1);
    assert!(waits.commands.is_empty());
    let why = scheduler::words::waiting(&waits.report[0].why);
    assert_eq!(
        why,
        "It waits for a place for its next task (RESOURCE:PORTS): container instance node-1 has host port 80/tcp in use."
    );
    let percents = (None, Some(0));
    world.must(Command::UpdateService(UpdateService { percents, ..update("web") }));
    world.pass(A_MOMENT);
    at_rest(&world);
    assert_eq!(
        world.events(&key)[3..],
        [
            "(service web) was unable to place a task because no container instance met all of its requirements. The closest matching (container-instance node-1) is already using a port required by your task. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide. It has host port 80/tcp in use.",
            "(service web) was unable to place a task because no container instance met all of its requirements. The closest matching (container-instance node-1) is already using a port required by your task. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide. It has host port 80/tcp in use.",
            "(service web) has stopped 1 running tasks: (task a).",
            "(service web) has started 1 tasks: (task b).",
            "(service web) (deployment ecs-svc/2) deployment completed.",
            "(service web) has reached a steady state.",
        ]
    );
}

#[test]
fn a_crash_loop_slows_down_and_says_so() {
    let mut world = two_nodes();
    let bad = world.define("web", spec("web:1"), Image::Crashes(50));
    let key = service("web");
    world.must(Command::CreateService(create("web", &bad, 1)));
    world.pass(Duration::from_secs(20));
    let deployment = world.state.service(&key).expect("it is").deployments[0].clone();
    assert_eq!(deployment.rollout, RolloutState::InProgress);
    // At once, at once, then after 1, 2, 4 and 8 seconds.
    assert_eq!((deployment.failed_tasks, deployment.failures_in_a_row), (6, 6));
    assert_eq!(
        world.events(&key)[..4],
        [
            "(service web) has started 1 tasks: (task a).",
            "(service web) has started 1 tasks: (task b).",
            "(service web) is unable to consistently start tasks successfully. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide. Last: (task b) Essential container in task exited, container app exited with code 1. The next attempt follows in 1 s.",
            "(service web) has started 1 tasks: (task c).",
        ]
    );
    let waits = plan(&world.state, world.now, 1);
    assert!(waits.commands.is_empty());
    assert_eq!(waits.wake_at, deployment.not_before);
}

#[test]
fn the_circuit_breaker_brings_back_what_worked() {
    let mut world = two_nodes();
    let good = world.define("web", spec("web:1"), Image::Good);
    let bad = world.define("web", spec("web:2"), Image::Crashes(300));
    let key = service("web");
    world.must(Command::CreateService(scheduler::CreateService {
        circuit_breaker: Some(BREAKER),
        ..create("web", &good, 2)
    }));
    world.pass(2 * scheduler::timing::STAYS);
    let definition = Some(definition(&bad));
    world.must(Command::UpdateService(UpdateService { definition, ..update("web") }));
    world.pass(3 * scheduler::timing::STAYS);
    at_rest(&world);
    let service = world.state.service(&key).expect("it is").clone();
    assert_eq!(service.deployments.len(), 1);
    assert_eq!(service.deployments[0].definition.to_string(), good);
    assert_eq!(service.deployments[0].rollout, RolloutState::Completed);
    // The old ones were never touched.
    assert_eq!(
        world.events(&key)[3..],
        [
            "(service web) has started 2 tasks: (task c) (task d).",
            "(service web) has started 1 tasks: (task e).",
            "(service web) has started 1 tasks: (task f).",
            "(service web) is unable to consistently start tasks successfully. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide. Last: (task e) Essential container in task exited, container app exited with code 1. The next attempt follows in 1 s.",
            "(service web) (deployment ecs-svc/2) deployment failed: tasks failed to start.",
            "(service web) rolling back to (deployment ecs-svc/1).",
            "(service web) has stopped 1 running tasks: (task f).",
            "(service web) (deployment ecs-svc/1) deployment completed.",
            "(service web) has reached a steady state.",
        ]
    );
}

#[test]
fn without_a_way_back_a_failed_deployment_stands_still() {
    let mut world = two_nodes();
    let bad = world.define("web", spec("web:1"), Image::Missing);
    let key = service("web");
    world.must(Command::CreateService(scheduler::CreateService {
        circuit_breaker: Some(BREAKER),
        ..create("web", &bad, 2)
    }));
    world.pass(Duration::from_secs(600));
    let service = world.state.service(&key).expect("it is").clone();
    assert_eq!(service.deployments[0].rollout, RolloutState::Failed);
    assert_eq!(service.deployments[0].failed_tasks, 4);
    assert!(world.live(&key).is_empty());
    let task = world.state.tasks_of(&key).next().expect("remembered").progress.clone();
    assert_eq!(task.stop_code, Some(StopCode::TaskFailedToStart));
    let reason = "CannotPullContainerError: pull image manifest: not found";
    assert_eq!(task.stopped_reason.as_deref(), Some(reason));
}

#[test]
fn an_unhealthy_task_is_replaced_before_it_is_stopped() {
    let mut world = two_nodes();
    let web = world.define("web", spec_checked("web:1"), Image::Good);
    let key = service("web");
    world.must(Command::CreateService(create("web", &web, 1)));
    world.pass(2 * scheduler::timing::STAYS);
    let sick = world.live(&key)[0].clone();
    let health = vec![("app".into(), model::HealthStatus::Unhealthy)];
    world.must(Command::ReportHealth { key: sick.clone(), health });
    world.pass(2 * scheduler::timing::STAYS);
    at_rest(&world);
    let gone = world.state.task(&sick).expect("remembered").progress.clone();
    assert_eq!(gone.stop_code, Some(StopCode::ServiceSchedulerInitiated));
    assert_eq!(gone.stopped_reason.as_deref(), Some("Task failed container health checks"));
    assert_eq!(
        world.events(&key)[3..],
        [
            "(service web) has started 1 tasks: (task b).",
            "(service web) (task a) failed container health checks.",
            "(service web) has stopped 1 running tasks: (task a).",
            "(service web) has reached a steady state.",
        ]
    );
}

#[test]
fn a_draining_instance_is_emptied_of_services_and_keeps_its_other_tasks() {
    let mut world = two_nodes();
    let web = world.define("web", spec("web:1"), Image::Good);
    let key = service("web");
    world.must(Command::CreateService(create("web", &web, 4)));
    world.must(Command::RunTask(crate::build::run(&web, 4)));
    world.pass(A_MOMENT);
    let node = model::InstanceKey { cluster: "default".into(), instance: "node-1".into() };
    let alone = |world: &World| {
        world.state.tasks_on(&node).filter(|t| t.is_running() && t.facts.service.is_none()).count()
    };
    let before = alone(&world);
    let status = InstanceStatus::Draining;
    world.must(Command::SetInstanceStatus { key: node.clone(), status });
    world.pass(A_MOMENT);
    at_rest(&world);
    let left = world.state.tasks_on(&node).filter(|t| t.holds_resources());
    assert_eq!(left.filter(|t| t.facts.service.is_some()).count(), 0);
    assert_eq!(alone(&world), before);
    assert_eq!(world.state.service_counts(&key), (4, 0));
}

#[test]
fn a_deregistered_instance_takes_its_tasks_with_it_and_they_come_back_elsewhere() {
    let mut world = two_nodes();
    let web = world.define("web", spec("web:1"), Image::Good);
    let key = service("web");
    world.must(Command::CreateService(create("web", &web, 4)));
    world.pass(A_MOMENT);
    let node = model::InstanceKey { cluster: "default".into(), instance: "node-1".into() };
    let refused = world.submit(&Command::DeregisterInstance { key: node.clone(), force: false });
    assert_eq!(refused, Err(scheduler::Rejection::InstanceHasTasks(node.clone(), 2)));
    world.must(Command::DeregisterInstance { key: node.clone(), force: true });
    let lost: Vec<_> = world.state.tasks_on(&node).map(|t| t.progress.clone()).collect();
    assert_eq!(lost.len(), 2);
    for progress in lost {
        let reason = Some("Container instance deregistration forced by user");
        assert_eq!(progress.stopped_reason.as_deref(), reason);
    }
    world.pass(A_MOMENT);
    at_rest(&world);
    assert_eq!(world.state.service_counts(&key), (4, 0));
}

#[test]
fn a_lost_agent_loses_no_task() {
    let mut world = two_nodes();
    let web = world.define("web", spec("web:1"), Image::Good);
    let key = service("web");
    world.must(Command::CreateService(create("web", &web, 4)));
    world.pass(A_MOMENT);
    world.must(Command::DisconnectAll);
    world.pass(60 * SECOND);
    at_rest(&world);
    assert_eq!(world.state.service_counts(&key), (4, 0));
}

#[test]
fn what_is_over_is_forgotten_in_its_time() {
    let mut world = two_nodes();
    let web = world.define("web", spec("web:1"), Image::Good);
    let run = scheduler::RunTask {
        client_token: Some(("once".to_owned(), 1)),
        ..crate::build::run(&web, 2)
    };
    let first = world.must(Command::RunTask(run.clone()));
    assert_eq!(world.must(Command::RunTask(run.clone())), first);
    let scheduler::Reply::Tasks { placed, .. } = first else { panic!("tasks") };
    for key in &placed {
        world.must(Command::StopTask { key: key.clone(), reason: None });
    }
    world.must(Command::CreateService(create("web", &web, 0)));
    world.must(Command::DeleteService { key: service("web"), force: false });
    world.must(Command::DeregisterDefinition(definition(&web)));
    world.must(Command::DeleteDefinition(definition(&web)));
    world.pass(59 * 60 * SECOND);
    assert_eq!(world.state.all_tasks().count(), 2);
    world.pass(2 * 60 * SECOND);
    assert_eq!(world.state.all_tasks().count(), 0);
    assert_eq!(world.state.all_services().count(), 0);
    assert_eq!(world.state.tokens().count(), 1);
    world.pass(24 * 60 * 60 * SECOND);
    assert_eq!(world.state.tokens().count(), 0);
    // The number of the deleted one is not given again, and once there is a higher one it goes.
    let next = world.define("web", spec("web:1"), Image::Good);
    assert_eq!(next, "web:2");
    world.pass(A_MOMENT);
    assert_eq!(world.state.definitions().count(), 1);
    at_rest(&world);
}

#[test]
fn percentages_that_allow_no_step_are_told_once() {
    let mut world = two_nodes();
    let old = world.define("web", spec("web:1"), Image::Good);
    let new = world.define("web", spec("web:2"), Image::Good);
    let key = service("web");
    // Rounded down, 150 percent of one is one.
    let percents = (Some(150), Some(100));
    world.must(Command::CreateService(scheduler::CreateService {
        percents,
        ..create("web", &old, 1)
    }));
    world.pass(A_MOMENT);
    let definition = Some(definition(&new));
    world.must(Command::UpdateService(UpdateService { definition, ..update("web") }));
    world.pass(60 * 60 * SECOND);
    assert_eq!(
        world.events(&key)[3..],
        [
            "(service web) was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
        ]
    );
    let waits = plan(&world.state, world.now, 1);
    assert!(waits.commands.is_empty());
    let why = scheduler::words::waiting(&waits.report[0].why);
    assert!(why.ends_with("They are 100 and 150."), "{why}");
    let percents = (Some(200), None);
    world.must(Command::UpdateService(UpdateService { percents, ..update("web") }));
    world.pass(2 * A_MOMENT);
    at_rest(&world);
}

#[test]
fn a_service_waits_for_room_says_what_is_lacking_and_takes_it_when_it_comes() {
    let mut world = World::new(1);
    world.join("node-1", 300, 4096);
    let web = world.define("web", spec("web:1"), Image::Good);
    let key = service("web");
    world.must(Command::CreateService(create("web", &web, 3)));
    world.pass(10 * 60 * SECOND);
    assert_eq!(world.state.service_counts(&key), (2, 0));
    world.join("node-2", 300, 4096);
    world.pass(A_MOMENT);
    at_rest(&world);
    assert_eq!(
        world.events(&key),
        [
            "(service web) has started 2 tasks: (task a) (task b).",
            "(service web) was unable to place a task because no container instance met all of its requirements. The closest matching (container-instance node-1) has insufficient CPU units available. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide. It has 44 CPU units left and the task wants 128: 84 are missing.",
            "(service web) has started 1 tasks: (task c).",
            "(service web) (deployment ecs-svc/1) deployment completed.",
            "(service web) has reached a steady state.",
        ]
    );
}
