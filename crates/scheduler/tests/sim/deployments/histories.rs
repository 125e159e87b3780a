//! Whatever users, hooks, alarms and crashes do.

use super::ends::{alarmed, report, stop};
use super::hooks::{hooked, web};
use super::*;

#[derive(Clone, Debug)]
enum Step {
    To(u32),
    Stop(bool),
    Hook(bool),
    Alarm,
    Kill(u16),
    Scale(u32),
    Restart,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..=2_u32).prop_map(Step::To),
        1 => any::<bool>().prop_map(Step::Stop),
        3 => prop::bool::weighted(0.8).prop_map(Step::Hook),
        1 => Just(Step::Alarm),
        1 => any::<u16>().prop_map(Step::Kill),
        1 => (1..5_u32).prop_map(Step::Scale),
        1 => Just(Step::Restart),
        6 => (0..60_000_u64).prop_map(Step::Pass),
    ]
}

fn strategies() -> impl Strategy<Value = RolloutStrategy> {
    prop_oneof![
        Just(RolloutStrategy::BlueGreen),
        (100..600_u32, 0..30_u64).prop_map(|(step, bake)| RolloutStrategy::Linear {
            step: TrafficShare(step),
            bake: Duration::from_secs(bake)
        }),
        (1..999_u32, 0..30_u64).prop_map(|(share, bake)| RolloutStrategy::Canary {
            share: TrafficShare(share),
            bake: Duration::from_secs(bake)
        }),
    ]
}

fn take(world: &mut World, step: &Step) {
    match step {
        Step::To(revision) => to(world, *revision),
        Step::Stop(rollback) => drop(stop(world, *rollback)),
        Step::Hook(yes) => {
            if let Some(call) = hook_calls(&world.state, world.now).0.pop() {
                let said =
                    if *yes { HookAnswer::Succeeded } else { HookAnswer::Failed("no".into()) };
                let (key, hook) = (call.deployment, call.hook);
                let answer = DeploymentCommand::Answer { key, hook, answer: said };
                drop(world.submit(&Command::Deployment(answer)));
            }
        }
        Step::Alarm => {
            drop(report(world, &[]));
            drop(report(world, &["a"]));
        }
        Step::Kill(at) => {
            let live = world.live(&service("web"));
            if !live.is_empty() {
                world.kill(&live[usize::from(*at) % live.len()].clone());
            }
        }
        Step::Scale(desired) => {
            let desired_count = Some(*desired);
            world.must(Command::UpdateService(UpdateService { desired_count, ..update("web") }));
        }
        Step::Restart => {
            world.begin_balancer();
            world.must(Command::DisconnectAll);
            let key = model::InstanceKey { cluster: "default".into(), instance: "node-1".into() };
            world.connect(&key, true);
        }
        Step::Pass(millis) => world.pass(Duration::from_millis(*millis)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever users, hooks, alarms and crashes do: it comes to rest with one set of tasks that has
    /// all the traffic, and every record is over.
    #[test]
    fn every_deployment_ends_with_one_set_of_tasks(
        strategy in strategies(),
        history in proptest::collection::vec(steps(), 1..25),
    ) {
        let mut method = alarmed(method(strategy, 20 * SECOND), true);
        let mut world = served(method.clone(), None);
        method.hooks = hooked(web(), Stage::PostScaleUp, HookAction::Continue).hooks;
        world.must(Command::UpdateService(UpdateService { method: Some(method), ..update("web") }));
        for step in &history {
            take(&mut world, step);
        }
        replays(&world.state, &world.changes);
        world.pass(30 * MINUTE);
        // What a user stopped where it was stays so until the next.
        if current(&world).status == Status::Stopped {
            to(&mut world, 1);
            world.must(Command::UpdateService(UpdateService {
                force_new_deployment: true,
                ..update("web")
            }));
            world.pass(60 * MINUTE);
        }
        at_rest(&world);
        let record = current(&world);
        prop_assert!(record.status.is_over(), "{:?}", record);
        prop_assert_eq!(world.state.deployments().open().count(), 0);
        let found = world.state.service(&service("web")).expect("it is").clone();
        prop_assert_eq!(found.deployments.len(), 1);
        prop_assert_eq!(world.state.service_counts(&service("web")), (found.desired_count, 0));
        everybody_is_answered(&world);
    }

    /// No step of a deployment that goes well, or back, leaves a user without an answer, nor fewer
    /// healthy tasks of the set that serves than there have to be.
    #[test]
    fn traffic_always_finds_somebody(
        strategy in strategies(),
        alarm_at in 0..120_u64,
        seed in any::<u64>(),
    ) {
        let mut world = served(alarmed(method(strategy, 30 * SECOND), true), None);
        world.faulty = seed % 2 == 0;
        to(&mut world, 2);
        report(&mut world, &[]).expect("the first report");
        watch(&mut world, Duration::from_secs(alarm_at));
        let early = report(&mut world, &["a"]).is_ok();
        watch(&mut world, 10 * MINUTE);
        let ends = if early { Status::RollbackSuccessful } else { Status::Successful };
        prop_assert_eq!(current(&world).status, ends);
        let expected = if early { [100, 0] } else { [0, 100] };
        prop_assert_eq!(weights(&world, "production"), expected);
    }
}
