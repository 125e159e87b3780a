//! Lifecycle hooks: who is asked, what an answer does, and what comes of none.

use super::*;

pub(super) fn hooked(target: HookTarget, stage: Stage, on_timeout: HookAction) -> RolloutMethod {
    let hook = RolloutHook { target, stages: vec![stage], timeout: 5 * MINUTE, on_timeout };
    RolloutMethod { hooks: vec![hook], ..method(RolloutStrategy::BlueGreen, Duration::ZERO) }
}

pub(super) fn web() -> HookTarget {
    HookTarget::Web { url: "http://h/".to_owned(), details: Some("{}".to_owned()), role: None }
}

fn answer(world: &mut World, answer: HookAnswer) {
    let (due, _) = hook_calls(&world.state, world.now);
    assert_eq!(due.len(), 1, "one call is due");
    let (key, hook) = (due[0].deployment.clone(), due[0].hook.clone());
    world.must(Command::Deployment(DeploymentCommand::Answer { key, hook, answer }));
}

/// With a hook at this stage, up and deploying its second revision, which waits for an answer.
fn waiting(target: HookTarget, stage: Stage, on_timeout: HookAction) -> World {
    let mut world = served(method(RolloutStrategy::BlueGreen, Duration::ZERO), None);
    let method = Some(hooked(target, stage, on_timeout));
    let definition = Some(definition("web:2"));
    world.must(Command::UpdateService(UpdateService { definition, method, ..update("web") }));
    watch(&mut world, 30 * SECOND);
    assert_eq!(current(&world).stage, Some(stage));
    world
}

pub(super) fn rolled_back(world: &mut World, says: &str) {
    watch(world, 2 * MINUTE);
    let record = current(world);
    assert_eq!(record.status, Status::RollbackSuccessful, "{record:?}");
    let rollback = record.rollback.clone().expect("it went back");
    assert!(rollback.reason.contains(says), "{}", rollback.reason);
    assert_eq!(rollback.revision.as_ref(), record.sources.first());
    assert_eq!((weights(world, "production")[0], weights(world, "production")[1]), (100, 0));
    let found = world.state.service(&service("web")).expect("it is").clone();
    assert_eq!(found.deployments.len(), 1);
    assert_eq!(found.deployments[0].id, record.sources[0]);
    assert_eq!(found.deployments[0].rollout, RolloutState::Completed);
    assert_eq!(world.state.service_counts(&service("web")), (3, 0));
    at_rest(world);
}

#[test]
fn a_hook_says_yes_later_no_or_nothing() {
    let stage = Stage::PostTestTrafficShift;
    let mut world = waiting(web(), stage, HookAction::Rollback);
    let delay = Some(10 * SECOND);
    let details = Some("{\"n\":1}".to_owned());
    answer(&mut world, HookAnswer::InProgress { delay, details: details.clone() });
    world.pass(9 * SECOND);
    let (due, next) = hook_calls(&world.state, world.now);
    assert!(due.is_empty() && next == Some(world.now + SECOND));
    world.pass(SECOND);
    assert_eq!(hook_calls(&world.state, world.now).0[0].details, details);
    answer(&mut world, HookAnswer::Succeeded);
    watch(&mut world, MINUTE);
    assert_eq!(current(&world).status, Status::Successful);

    for stage in [Stage::PreScaleUp, Stage::PostScaleUp, stage, Stage::PostProductionTrafficShift] {
        let mut world = waiting(web(), stage, HookAction::Rollback);
        answer(&mut world, HookAnswer::Failed("no".to_owned()));
        rolled_back(&mut world, "no.");
    }

    // Who cannot be reached is asked again, and then it is a no.
    let mut world = waiting(web(), stage, HookAction::Rollback);
    for _ in 0..scheduler::timing::HOOK_TRIES {
        world.pass(30 * SECOND);
        answer(&mut world, HookAnswer::Unreachable("refused".to_owned()));
    }
    rolled_back(&mut world, "refused");

    let mut world = waiting(web(), stage, HookAction::Rollback);
    world.pass(5 * MINUTE);
    rolled_back(&mut world, "timed out at POST_TEST_TRAFFIC_SHIFT");
    let mut world = waiting(web(), stage, HookAction::Continue);
    watch(&mut world, 7 * MINUTE);
    assert_eq!(current(&world).status, Status::Successful);
}

#[test]
fn a_pause_waits_for_a_user() {
    let stage = Stage::PostTestTrafficShift;
    for (action, ends) in [
        (HookAction::Continue, Status::Successful),
        (HookAction::Rollback, Status::RollbackSuccessful),
    ] {
        let mut world = waiting(HookTarget::Pause, stage, HookAction::Rollback);
        watch(&mut world, MINUTE);
        let record = current(&world);
        assert_eq!(record.stage, Some(stage));
        let hook = record.hooks[0].id.clone();
        let key = record.key.clone();
        let go_on = |hook| DeploymentCommand::Continue { key: key.clone(), hook, action };
        let refused = world.submit(&Command::Deployment(go_on("x".into())));
        assert!(matches!(
            refused,
            Err(Rejection::Deployment(DeploymentRejection::NotPaused { .. }))
        ));
        world.must(Command::Deployment(go_on(hook)));
        watch(&mut world, MINUTE);
        assert_eq!(current(&world).status, ends);
    }
}

#[test]
fn hooks_are_asked_on_the_way_back_and_cannot_stop_it() {
    let mut world = waiting(web(), Stage::ProductionTrafficShift, HookAction::Rollback);
    answer(&mut world, HookAnswer::Failed("no".to_owned()));
    watch(&mut world, SECOND);
    let record = current(&world);
    assert_eq!(record.status, Status::RollbackInProgress);
    assert_eq!(record.stage, Some(Stage::ProductionTrafficShift));
    assert_eq!(weights(&world, "production"), [100, 0], "at once");
    answer(&mut world, HookAnswer::Failed("again".to_owned()));
    rolled_back(&mut world, "no.");
}
