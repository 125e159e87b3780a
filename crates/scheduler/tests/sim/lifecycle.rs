//! A task's life as its agent tells it: one table of what was seen and what it comes to, and the
//! property that nothing ever goes back.

use model::{
    ContainerSpec, ContainerStatus, DesiredStatus, HealthStatus, StopCode, TaskKey, TaskProgress,
    TaskSpec, TaskStatus,
};
use proptest::prelude::*;
use scheduler::{Command, ContainerReport, Reply, TaskReport};

use crate::build::{run, spec};
use crate::world::{Image, World};

/// `app` is essential, `helper` is not.
fn pair() -> TaskSpec {
    let mut spec = spec("pair");
    let helper =
        ContainerSpec { name: "helper".into(), essential: false, ..spec.containers[0].clone() };
    spec.containers.push(helper);
    spec
}

fn placed() -> (World, TaskKey) {
    let mut world = World::new(1);
    world.join("node", 1024, 1024);
    let pair = world.define("pair", pair(), Image::Good);
    let Reply::Tasks { placed, .. } = world.must(Command::RunTask(run(&pair, 1))) else {
        panic!("tasks")
    };
    (world, placed[0].clone())
}

/// What an agent says: `app` and `helper` as (status, exit code, reason).
type Seen = (Option<ContainerStatus>, Option<i32>, Option<&'static str>);

const NOTHING: Seen = (None, None, None);
const RUNS: Seen = (Some(ContainerStatus::Running), None, None);

const fn exits(code: i32) -> Seen {
    (Some(ContainerStatus::Stopped), Some(code), None)
}

fn report(
    key: &TaskKey,
    status: Option<TaskStatus>,
    reason: Option<&str>,
    containers: [Seen; 2],
) -> Command {
    let seen = |(name, (status, exit_code, reason)): (&str, Seen)| ContainerReport {
        name: name.into(),
        status,
        runtime_id: None,
        image_digest: None,
        exit_code,
        reason: reason.map(str::to_owned),
        bindings: None,
    };
    Command::ReportTask(TaskReport {
        key: key.clone(),
        status,
        reason: reason.map(str::to_owned),
        containers: ["app", "helper"].into_iter().zip(containers).map(seen).collect(),
        pull_started_at: None,
        pull_stopped_at: None,
        execution_stopped_at: None,
    })
}

fn progress(world: &World, key: &TaskKey) -> TaskProgress {
    TaskProgress::clone(&world.state.task(key).expect("it is remembered").progress)
}

#[test]
fn how_a_task_ends_is_told_as_ecs_does() {
    use TaskStatus::{Running, Stopped};
    let run = || (Some(Running), None, [RUNS, RUNS]);
    let exited = (StopCode::EssentialContainerExited, "Essential container in task exited");
    let oom = (
        Some(ContainerStatus::Stopped),
        Some(137),
        Some("OutOfMemoryError: Container killed due to memory usage"),
    );
    let no_image = "CannotPullContainerError: not found";
    let unpulled = (Some(ContainerStatus::Stopped), None, Some(no_image));
    let no_start = "CannotStartContainerError: exec: \"/nope\": no such file or directory";
    let unstarted = (Some(ContainerStatus::Stopped), Some(127), Some(no_start));
    let end = |app, reason| (Some(Stopped), reason, [app, NOTHING]);
    let table = [
        (vec![run(), end(exits(0), None)], exited),
        (vec![run(), end(exits(3), Some("anything"))], exited),
        (vec![run(), end(oom, None)], exited),
        (vec![run(), end(NOTHING, Some("lost"))], (StopCode::EssentialContainerExited, "lost")),
        // So short that it was never seen running.
        (vec![end(exits(0), None)], exited),
        (vec![end(unpulled, None)], (StopCode::TaskFailedToStart, no_image)),
        (vec![end(NOTHING, Some(no_image))], (StopCode::TaskFailedToStart, no_image)),
        (vec![end(unstarted, None)], (StopCode::TaskFailedToStart, no_start)),
        (vec![end(NOTHING, None)], (StopCode::TaskFailedToStart, "Task failed to start")),
    ];
    for (number, (reports, (code, reason))) in table.into_iter().enumerate() {
        let (mut world, key) = placed();
        for (status, reason, containers) in reports {
            world.must(report(&key, status, reason, containers));
        }
        let end = progress(&world, &key);
        assert_eq!(end.status, Stopped, "row {number}");
        assert_eq!(end.desired, DesiredStatus::Stopped, "row {number}");
        assert_eq!(end.stop_code, Some(code), "row {number}");
        assert_eq!(end.stopped_reason.as_deref(), Some(reason), "row {number}");
        assert_eq!(end.started_at.is_some(), code == exited.0, "row {number}");
        assert!(end.stopping_at.is_some() && end.stopped_at.is_some(), "row {number}");
        assert!(end.execution_stopped_at.is_some(), "row {number}");
        let over = |c: &model::ContainerProgress| c.status == ContainerStatus::Stopped;
        assert!(end.containers.iter().all(over), "row {number}");
    }
}

#[test]
fn a_helper_that_ends_does_not_end_the_task() {
    let (mut world, key) = placed();
    world.must(report(&key, Some(TaskStatus::Running), None, [RUNS, RUNS]));
    world.must(report(&key, Some(TaskStatus::Running), None, [NOTHING, exits(0)]));
    let now = progress(&world, &key);
    assert_eq!(now.status, TaskStatus::Running);
    assert_eq!(now.containers[1].exit_code, Some(0));
    assert_eq!(now.containers[1].status, ContainerStatus::Stopped);
}

#[test]
fn who_stops_a_task_gives_the_reason() {
    let (mut world, key) = placed();
    let reason = Some("maintenance".to_owned());
    world.must(Command::StopTask { key: key.clone(), reason });
    // It had started meanwhile: that is taken as seen, and it is still to stop.
    world.must(report(&key, Some(TaskStatus::Running), None, [RUNS, RUNS]));
    let now = progress(&world, &key);
    assert_eq!((now.status, now.desired), (TaskStatus::Running, DesiredStatus::Stopped));
    let before = world.state.clone();
    world.must(Command::StopTask { key: key.clone(), reason: None });
    assert!(world.state == before, "it is told to stop once");
    world.must(report(&key, Some(TaskStatus::Stopped), Some("killed"), [exits(137), exits(137)]));
    let end = progress(&world, &key);
    assert_eq!(end.stop_code, Some(StopCode::UserInitiated));
    assert_eq!(end.stopped_reason.as_deref(), Some("maintenance"));
    let before = world.state.clone();
    for status in [TaskStatus::Pending, TaskStatus::Running, TaskStatus::Stopped] {
        world.must(report(&key, Some(status), None, [RUNS, RUNS]));
    }
    assert!(world.state == before, "what is over stays over");
}

#[test]
fn the_exit_of_a_stopped_task_may_be_learned_late() {
    let (mut world, key) = placed();
    world.must(report(&key, Some(TaskStatus::Running), None, [RUNS, RUNS]));
    world.must(report(&key, Some(TaskStatus::Stopped), None, [exits(1), NOTHING]));
    world.must(report(&key, None, None, [exits(9), exits(143)]));
    let codes: Vec<_> = progress(&world, &key).containers.iter().map(|c| c.exit_code).collect();
    assert_eq!(codes, [Some(1), Some(143)]);
}

#[test]
fn reports_of_unknown_tasks_are_answered_and_forgotten() {
    let (mut world, key) = placed();
    let unknown = TaskKey { task: "nobody".into(), ..key };
    let before = world.state.clone();
    let told = report(&unknown, Some(TaskStatus::Running), None, [RUNS, RUNS]);
    assert_eq!(world.submit(&told), Ok(Reply::Done));
    let health = vec![("app".into(), HealthStatus::Healthy)];
    assert_eq!(world.submit(&Command::ReportHealth { key: unknown, health }), Ok(Reply::Done));
    assert!(world.state == before);
}

#[test]
fn a_task_without_instance_stops_at_once() {
    let (mut world, key) = placed();
    let node = world.state.task(&key).expect("it is").facts.instance_key().expect("it is placed");
    world.state.apply(&model::Change::DeleteInstance(node));
    world.must(Command::StopTask { key: key.clone(), reason: None });
    let end = progress(&world, &key);
    assert_eq!(end.status, TaskStatus::Stopped);
    assert_eq!(end.stopped_reason.as_deref(), Some("Task stopped by user"));
}

#[test]
fn what_ran_on_a_lost_instance_is_over() {
    let (mut world, key) = placed();
    let node = world.state.task(&key).expect("it is").facts.instance_key().expect("it is placed");
    world.state.apply(&model::Change::DeleteInstance(node));
    world.settle();
    let end = progress(&world, &key);
    assert_eq!(end.stop_code, Some(StopCode::TerminationNotice));
    let reason = Some("Container instance node is no longer registered");
    assert_eq!(end.stopped_reason.as_deref(), reason);
}

fn seen() -> impl Strategy<Value = Seen> {
    let status = proptest::option::of(prop_oneof![
        Just(ContainerStatus::Pending),
        Just(ContainerStatus::Running),
        Just(ContainerStatus::Stopped),
    ]);
    let reason = proptest::option::of(prop_oneof![Just("Cannot"), Just("else")]);
    (status, proptest::option::of(0..3_i32), reason)
}

proptest! {
    #[test]
    fn nothing_ever_goes_back(
        reports in proptest::collection::vec(
            (proptest::option::of(0..4_u8), seen(), seen(), any::<bool>()),
            1..12,
        ),
    ) {
        let (mut world, key) = placed();
        let all =
            [TaskStatus::Pending, TaskStatus::Activating, TaskStatus::Running, TaskStatus::Stopped];
        for (status, app, helper, stop) in reports {
            let before = progress(&world, &key);
            let status = status.map(|n| all[usize::from(n)]);
            world.must(report(&key, status, None, [app, helper]));
            if stop {
                world.must(Command::StopTask { key: key.clone(), reason: None });
            }
            let after = progress(&world, &key);
            prop_assert!(after.status >= before.status && after.desired >= before.desired);
            for (was, is) in before.containers.iter().zip(&after.containers) {
                prop_assert!(is.status >= was.status);
            }
            prop_assert!(before.started_at.is_none() || after.started_at == before.started_at);
            prop_assert!(before.stop_code.is_none() || after.stop_code == before.stop_code);
            prop_assert_eq!(after.version > before.version, after != before);
            prop_assert_eq!(after.status == TaskStatus::Stopped, after.stopped_at.is_some());
        }
    }
}
