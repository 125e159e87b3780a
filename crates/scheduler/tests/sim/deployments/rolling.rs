//! Rolling updates as deployments: stopped, baked, alarmed, and the circuit breaker.

use super::ends::{alarmed, report, stop};
use super::*;

fn rolling(method: RolloutMethod, breaker: Option<CircuitBreaker>) -> World {
    let mut world = World::new(5);
    world.join("node-1", 8192, 8192);
    let old = world.define("web", spec("web:1"), Image::Good);
    world.define("web", spec("web:2"), Image::Good);
    world.define("web", spec("web:3"), Image::Crashes(30_000));
    world.must(Command::CreateService(CreateService {
        circuit_breaker: breaker,
        method,
        ..create("web", &old, 4)
    }));
    world.pass(10 * MINUTE);
    assert_eq!(current(&world).status, Status::Successful);
    world
}

#[test]
fn a_rolling_update_is_a_deployment_with_revisions() {
    let mut world = rolling(RolloutMethod::default(), None);
    let first = current(&world);
    assert_eq!((first.sources.len(), first.stage), (0, None));
    to(&mut world, 2);
    assert_eq!(current(&world).status, Status::Pending);
    world.pass(SECOND);
    let record = current(&world);
    assert_eq!((record.status, &record.sources), (Status::InProgress, &vec![first.target]));
    world.pass(MINUTE);
    assert_eq!(current(&world).status, Status::Successful);
    let book = world.state.deployments();
    let definitions: Vec<String> =
        book.revisions(&service("web")).map(|r| r.definition.to_string()).collect();
    assert_eq!(definitions.len(), 2);
    // Scaling is none, and a forced one of the same definition is.
    let desired_count = Some(2);
    world.must(Command::UpdateService(UpdateService { desired_count, ..update("web") }));
    world.pass(MINUTE);
    assert_eq!(world.state.deployments().deployments(&service("web")).count(), 2);
    let force_new_deployment = true;
    world.must(Command::UpdateService(UpdateService { force_new_deployment, ..update("web") }));
    world.pass(MINUTE);
    assert_eq!(world.state.deployments().deployments(&service("web")).count(), 3);
    at_rest(&world);
}

#[test]
fn a_rolling_update_is_stopped_rolled_back_and_baked() {
    let mut world = rolling(RolloutMethod::default(), None);
    to(&mut world, 2);
    world.pass(SECOND);
    stop(&mut world, true).expect("it can be");
    world.pass(MINUTE);
    assert_eq!(current(&world).status, Status::RollbackSuccessful);
    assert_eq!(world.state.service_counts(&service("web")), (4, 0));
    to(&mut world, 2);
    world.pass(SECOND);
    stop(&mut world, false).expect("it can be");
    world.pass(MINUTE);
    assert_eq!(current(&world).status, Status::Stopped);

    let quiet = RolloutMethod::default();
    let mut world = rolling(alarmed(quiet, true), None);
    to(&mut world, 2);
    world.pass(SECOND);
    report(&mut world, &[]).expect("the first report");
    world.pass(2 * MINUTE);
    assert_eq!(current(&world).stage, Some(Stage::BakeTime), "as long as alarms take to notice");
    report(&mut world, &["a"]).expect("news");
    world.pass(2 * MINUTE);
    let record = current(&world);
    assert_eq!((record.status, record.alarms), (Status::RollbackSuccessful, Monitor::Triggered));
    at_rest(&world);
}

#[test]
fn failures_count_on_or_begin_anew_with_a_healthy_task() {
    let threshold = model::BreakerThreshold::Count(6);
    let counts_on = CircuitBreaker { threshold, counts_on: true, ..BREAKER };
    let anew = CircuitBreaker { counts_on: false, ..counts_on };
    // Its tasks are healthy after twenty seconds and end after thirty, one after the other.
    let percents = (Some(125), Some(100));
    let mut world = rolling(RolloutMethod::default(), Some(counts_on));
    world.must(Command::UpdateService(UpdateService { percents, ..update("web") }));
    to(&mut world, 3);
    world.pass(20 * MINUTE);
    let record = current(&world);
    assert_eq!((record.status, record.threshold), (Status::RollbackSuccessful, 6));
    assert!(record.failures >= 6);
    let mut world = rolling(RolloutMethod::default(), Some(anew));
    world.must(Command::UpdateService(UpdateService { percents, ..update("web") }));
    to(&mut world, 3);
    world.pass(20 * MINUTE);
    assert_eq!(current(&world).status, Status::InProgress);
}

#[test]
fn early_success_does_not_wait_for_the_last_task() {
    for (cleanup, after) in [(Cleanup::Deferred, 1), (Cleanup::Blocking, 4)] {
        let early = EarlySuccess { healthy_percent: 100, cleanup };
        let method =
            RolloutMethod { strategy: RolloutStrategy::Early(early), ..RolloutMethod::default() };
        let mut world = rolling(method, None);
        let id = world.state.service(&service("web")).expect("it is").deployments[0].id.clone();
        to(&mut world, 2);
        while current(&world).status != Status::Successful {
            world.pass(Duration::from_millis(5));
        }
        let left = tasks_of(&world, &id);
        assert_eq!(left > 0, after == 1, "{cleanup:?}: {left} tasks of before are left");
        world.pass(MINUTE);
        at_rest(&world);
    }
}
