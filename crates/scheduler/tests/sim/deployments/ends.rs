//! What ends a deployment early, and how it goes back.

use super::hooks::rolled_back;
use super::*;

pub(super) fn stop(world: &mut World, rollback: bool) -> Result<scheduler::Reply, Rejection> {
    let key = current_key(world);
    world.submit(&Command::Deployment(DeploymentCommand::Stop { key, rollback }))
}

pub(super) fn alarmed(mut method: RolloutMethod, rollback: bool) -> RolloutMethod {
    method.alarms =
        Some(RolloutAlarms { names: vec!["a".into(), "b".into()], enable: true, rollback });
    method
}

pub(super) fn report(world: &mut World, in_alarm: &[&str]) -> Result<scheduler::Reply, Rejection> {
    let key = current_key(world);
    let in_alarm = in_alarm.iter().map(|name| (*name).to_owned()).collect();
    let notice = 3 * MINUTE;
    world.submit(&Command::Deployment(DeploymentCommand::Alarms { key, in_alarm, notice }))
}

#[test]
fn an_alarm_brings_blue_back_in_the_middle_of_the_bake() {
    let method = alarmed(method(RolloutStrategy::BlueGreen, 10 * MINUTE), true);
    let mut world = served(method, None);
    to(&mut world, 2);
    watch(&mut world, MINUTE);
    report(&mut world, &["b"]).expect("the first report");
    assert!(report(&mut world, &["b"]).is_err(), "what was in alarm before says nothing");
    watch(&mut world, 2 * MINUTE);
    assert_eq!(current(&world).stage, Some(Stage::BakeTime));
    report(&mut world, &["a", "b"]).expect("news");
    assert_eq!(weights(&world, "production"), [100, 0], "in the same commit");
    let record = current(&world);
    assert_eq!((record.alarms, record.triggered), (Monitor::Triggered, vec!["a".to_owned()]));
    rolled_back(&mut world, "a went into the ALARM state");
}

#[test]
fn a_user_stops_at_any_stage_but_the_last() {
    for seconds in [0, 1, 3, 8, 20] {
        let mut world = served(method(RolloutStrategy::BlueGreen, MINUTE), None);
        to(&mut world, 2);
        watch(&mut world, seconds * SECOND);
        stop(&mut world, true).expect("it can be");
        let refused = stop(&mut world, true);
        assert!(matches!(
            refused,
            Err(Rejection::Deployment(DeploymentRejection::NotStoppable { .. }))
        ));
        rolled_back(&mut world, "a user asked for it");
    }
    let mut world = served(method(RolloutStrategy::BlueGreen, Duration::ZERO), None);
    world.busy = true;
    to(&mut world, 2);
    while current(&world).stage != Some(Stage::CleanUp) {
        world.pass(100 * Duration::from_millis(1));
    }
    let refused = stop(&mut world, true);
    assert!(matches!(refused, Err(Rejection::Deployment(DeploymentRejection::TooLate(_)))));
}

#[test]
fn an_aborted_deployment_stays_where_it_is_and_the_next_one_clears_up() {
    let bake = 10 * MINUTE;
    let share = TrafficShare(200);
    let mut world = served(method(RolloutStrategy::Canary { share, bake }, MINUTE), None);
    to(&mut world, 2);
    watch(&mut world, MINUTE);
    stop(&mut world, false).expect("it can be");
    watch(&mut world, 20 * MINUTE);
    assert_eq!(current(&world).status, Status::Stopped);
    assert_eq!(weights(&world, "production"), [80, 20]);
    assert_eq!(world.state.service_counts(&service("web")), (6, 0));
    let force_new_deployment = true;
    world.must(Command::UpdateService(UpdateService { force_new_deployment, ..update("web") }));
    let (stages, shares) = watch(&mut world, 20 * MINUTE);
    assert_eq!(stages[0], Stage::ReconcileService);
    assert_eq!(shares, [[80, 20], [100, 0], [80, 20], [0, 100]]);
    assert_eq!(current(&world).status, Status::Successful);
    assert_eq!(current(&world).sources.len(), 2);
    at_rest(&world);
}

#[test]
fn an_update_in_the_middle_takes_the_place_of_the_first() {
    let mut world = served(method(RolloutStrategy::BlueGreen, 5 * MINUTE), None);
    to(&mut world, 2);
    watch(&mut world, 30 * SECOND);
    let first = current_key(&world);
    assert_eq!(weights(&world, "production"), [0, 100], "green serves");
    to(&mut world, 1);
    let (stages, _) = watch(&mut world, 10 * MINUTE);
    assert_eq!(stages[0], Stage::ReconcileService);
    let book = world.state.deployments();
    assert_eq!(book.deployment(&first).expect("kept").status, Status::Stopped);
    assert_eq!(current(&world).status, Status::Successful);
    assert_eq!(weights(&world, "production"), [100, 0]);
    assert_eq!(world.state.service_counts(&service("web")), (3, 0));
    at_rest(&world);
}

#[test]
fn what_is_stopped_before_it_is_reconciled_leaves_no_traffic_behind() {
    let bake = 10 * MINUTE;
    let share = TrafficShare(200);
    let mut world = served(method(RolloutStrategy::Canary { share, bake }, MINUTE), None);
    to(&mut world, 2);
    watch(&mut world, MINUTE);
    assert_eq!(weights(&world, "production"), [80, 20]);
    to(&mut world, 1);
    stop(&mut world, true).expect("it can be");
    watch(&mut world, 2 * MINUTE);
    assert_eq!(current(&world).status, Status::RollbackSuccessful);
    assert_eq!(weights(&world, "production"), [100, 0]);
    at_rest(&world);
}

#[test]
fn what_crashes_is_given_up_and_gets_no_traffic() {
    for (breaker, ends) in [
        (BREAKER, Status::RollbackSuccessful),
        (CircuitBreaker { rollback: false, ..BREAKER }, Status::Stopped),
    ] {
        let mut world = served(method(RolloutStrategy::BlueGreen, Duration::ZERO), Some(breaker));
        to(&mut world, 3);
        let (_, shares) = watch(&mut world, 3 * MINUTE);
        assert_eq!(shares, [[100, 0]]);
        let record = current(&world);
        assert_eq!((record.status, record.breaker), (ends, Monitor::Triggered));
        assert!(record.failures >= 3, "{}", record.failures);
        at_rest(&world);
    }
}

#[test]
fn a_deleted_service_leaves_its_deployment_stopped() {
    let mut world = served(method(RolloutStrategy::BlueGreen, MINUTE), None);
    to(&mut world, 2);
    world.pass(20 * SECOND);
    let key = current_key(&world);
    world.must(Command::DeleteService { key: service("web"), force: true });
    world.pass(MINUTE);
    assert!(world.live(&service("web")).is_empty());
    assert_eq!(world.state.deployments().deployment(&key).expect("kept").status, Status::Stopped);
    at_rest(&world);
    // After ninety days it and its revisions are forgotten.
    world.pass(scheduler::timing::DEPLOYMENTS_KEPT + MINUTE);
    assert_eq!(world.state.deployments().deployments(&service("web")).count(), 0);
    assert_eq!(world.state.deployments().revisions(&service("web")).count(), 0);
    replays(&world.state, &world.changes);
}

#[test]
fn a_rule_that_is_gone_ends_it() {
    let mut world = served(method(RolloutStrategy::BlueGreen, MINUTE), None);
    to(&mut world, 2);
    let gone = BalancingChange::DeleteListener(listener_id("production"));
    world.apply(Change::Balancing(gone));
    world.pass(2 * MINUTE);
    let record = current(&world);
    assert_eq!(record.status, Status::RollbackSuccessful);
    assert!(record.reason.expect("told").contains("does not exist any more"));
    assert_eq!(world.state.service_counts(&service("web")), (3, 0));
}
