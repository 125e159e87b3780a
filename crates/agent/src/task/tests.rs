//! Lives of tasks, told as tables.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runtime::{Exit, Health, Image, ImageConfig};
use serde_json::{Value, json};
use stdx::Timestamp;

use super::*;
use crate::order::Order;
use crate::plan::{self, NodeFacts};

pub(super) const LIMITS: Limits =
    Limits { log_drain: Duration::from_secs(60), remember: Duration::from_secs(600) };

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + millis)
}

pub(super) fn view(containers: Value) -> TaskView {
    let node = NodeFacts {
        region: "eu-west-1".to_owned(),
        volumes_dir: PathBuf::from("/data"),
        stop_timeout: Duration::from_secs(30),
        ..NodeFacts::default()
    };
    let order = Order {
        arn: "arn:aws:ecs:eu-west-1:111122223333:task/default/t1".to_owned(),
        containers: serde_json::from_value(containers).unwrap(),
        ..Order::default()
    };
    TaskView::new(Arc::new(plan::task(&order, &node).unwrap()))
}

pub(super) fn image() -> Image {
    Image {
        digest: "sha256:d".to_owned(),
        id: "sha256:i".to_owned(),
        config: ImageConfig { cmd: vec!["/main".to_owned()], ..ImageConfig::default() },
        pulled: None,
    }
}

pub(super) fn exit(code: i32, when: Timestamp) -> Exit {
    Exit { code: Some(code), oom_killed: false, at: when }
}

/// What success of an action is.
pub(super) fn done(action: &Action, now: Timestamp) -> Option<Happening> {
    Some(match action {
        Action::CreateSandbox => Happening::SandboxReady,
        Action::AttachNetwork => Happening::Attached(Vec::new()),
        Action::PrepareLogs(at) => Happening::LogsReady(*at),
        Action::PullImage(at) => Happening::ImagePresent(*at, image()),
        Action::FetchResources => Happening::Fetched(Arc::default()),
        Action::StartContainer(at) => Happening::Started(*at, now, None),
        Action::ClearContainer(at) => Happening::Cleared(*at),
        Action::StopContainer(at) => Happening::Exited(*at, exit(143, now)),
        Action::Report(report) => Happening::Reported(report.tells.clone()),
        Action::DetachNetwork => Happening::Detached,
        Action::RemoveSandbox => Happening::SandboxRemoved,
        Action::Skip { .. } => return None,
    })
}

/// Takes every step that is due, and returns the actions.
fn due(view: &mut TaskView, now: Timestamp) -> Vec<Action> {
    let mut actions = Vec::new();
    while let Step::Do(action) = step(view, &LIMITS, now) {
        view.begin(&action, now);
        actions.push(action.clone());
        assert!(actions.len() < 200, "never at rest");
    }
    actions
}

/// Does everything that is due, with success, until nothing is, and tells what it was.
fn work(view: &mut TaskView, now: Timestamp) -> Vec<Action> {
    let mut all = Vec::new();
    loop {
        let actions = due(view, now);
        if actions.is_empty() {
            return all;
        }
        for action in &actions {
            if let Some(happening) = done(action, now) {
                view.apply(happening, now);
            }
        }
        all.extend(actions);
    }
}

fn reports(actions: &[Action]) -> Vec<Status> {
    actions
        .iter()
        .filter_map(|a| if let Action::Report(r) = a { r.tells.task } else { None })
        .collect()
}

fn starts(actions: &[Action]) -> Vec<usize> {
    actions
        .iter()
        .filter_map(|a| if let Action::StartContainer(i) = a { Some(*i) } else { None })
        .collect()
}

#[test]
fn independent_actions_are_asked_for_at_once() {
    let mut view = view(json!([{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]));
    assert_eq!(
        due(&mut view, at(0)),
        [Action::CreateSandbox, Action::PullImage(0), Action::PullImage(1)]
    );
    view.apply(Happening::SandboxReady, at(1));
    assert_eq!(due(&mut view, at(1)), [Action::AttachNetwork]);
    view.apply(Happening::ImagePresent(1, image()), at(2));
    assert_eq!(due(&mut view, at(2)), []);
    view.apply(Happening::Attached(Vec::new()), at(3));
    assert_eq!(due(&mut view, at(3)), [Action::StartContainer(1)]);
}

#[test]
fn a_task_lives_and_is_stopped() {
    let mut view = view(json!([{"name": "a", "image": "i"}]));
    let actions = work(&mut view, at(0));
    assert_eq!(reports(&actions), [Status::Running]);
    assert_eq!(view.state.status, Status::Running);
    view.apply(Happening::Wanted(Desired::Stopped), at(10));
    let actions = work(&mut view, at(10));
    let Some(Action::Report(last)) = actions.get(2) else { panic!("{actions:?}") };
    assert_eq!(actions[0], Action::StopContainer(0));
    assert_eq!(actions[1], Action::DetachNetwork);
    assert_eq!(actions[3], Action::RemoveSandbox);
    let call = render(&view, last, "default");
    assert_eq!(call.status.as_deref(), Some("STOPPED"));
    let container = &call.containers.unwrap()[0];
    assert_eq!(container.exit_code, Some(143));
    assert_eq!(container.runtime_id.as_deref(), Some("t1-0"));
    assert_eq!(container.image_digest.as_deref(), Some("sha256:d"));
    assert_eq!(call.execution_stopped_at, Some(at(10)));
    assert_eq!(step(&view, &LIMITS, at(11)), Step::WaitUntil(Some(at(600_010))));
    assert_eq!(step(&view, &LIMITS, at(600_010)), Step::Settled);
}

#[test]
fn a_one_shot_that_ends_at_once_is_told_to_have_run() {
    let mut view = view(json!([{"name": "a", "image": "i"}]));
    let mut seen = due(&mut view, at(0));
    view.apply(Happening::SandboxReady, at(0));
    view.apply(Happening::ImagePresent(0, image()), at(0));
    seen.extend(due(&mut view, at(0)));
    view.apply(Happening::Attached(Vec::new()), at(0));
    seen.extend(due(&mut view, at(0)));
    view.apply(Happening::Exited(0, exit(3, at(1))), at(1));
    view.apply(Happening::Started(0, at(0), None), at(1));
    let actions = work(&mut view, at(1));
    assert_eq!(reports(&actions), [Status::Running, Status::Stopped]);
    let told = actions.iter().find_map(|a| if let Action::Report(r) = a { Some(r) } else { None });
    let call = render(&view, told.unwrap(), "default");
    assert_eq!(call.containers.unwrap()[0].exit_code, Some(3));
}

#[test]
fn an_essential_end_stops_the_others_in_reverse_and_another_does_not() {
    let mut view = view(json!([
        {"name": "db", "image": "i", "essential": false},
        {"name": "app", "image": "i", "dependsOn": [{"containerName": "db", "condition": "START"}]},
        {"name": "side", "image": "i", "essential": false,
         "dependsOn": [{"containerName": "db", "condition": "START"}]},
        {"name": "extra", "image": "i", "essential": false},
    ]));
    work(&mut view, at(0));
    view.apply(Happening::Exited(3, exit(1, at(5))), at(5));
    let actions = work(&mut view, at(5));
    assert_eq!(reports(&actions), [Status::Running], "told promptly");
    assert!(!view.stopping());
    view.apply(Happening::Exited(1, exit(1, at(6))), at(6));
    let first = due(&mut view, at(6));
    assert!(first.contains(&Action::StopContainer(2)), "{first:?}");
    assert!(!first.contains(&Action::StopContainer(0)), "{first:?}");
    view.apply(Happening::Exited(2, exit(0, at(7))), at(7));
    assert!(due(&mut view, at(7)).contains(&Action::StopContainer(0)));
}

#[test]
fn containers_wait_for_what_they_depend_on() {
    let mut view = view(json!([
        {"name": "app", "image": "i", "dependsOn": [
            {"containerName": "init", "condition": "SUCCESS"},
            {"containerName": "db", "condition": "HEALTHY"}]},
        {"name": "init", "image": "i", "essential": false},
        {"name": "db", "image": "i", "healthCheck": {"command": ["CMD", "ok"]}, "startTimeout": 10},
    ]));
    let actions = work(&mut view, at(0));
    assert_eq!(starts(&actions), [1, 2]);
    assert_eq!(reports(&actions), [Status::Pending], "containers that run are told of");
    assert_eq!(step(&view, &LIMITS, at(0)), Step::WaitUntil(Some(at(10_000))));
    view.apply(Happening::Exited(1, exit(0, at(1))), at(1));
    assert!(starts(&work(&mut view, at(1))).is_empty());
    view.apply(Happening::Health(2, Health::Healthy, at(2)), at(2));
    let actions = work(&mut view, at(2));
    assert_eq!(starts(&actions), [0]);
    assert_eq!(reports(&actions), [Status::Running]);
}

#[test]
fn a_dependency_that_cannot_come_true_ends_the_task() {
    let app = |condition: &str| {
        json!([
            {"name": "app", "image": "i", "dependsOn": [{"containerName": "dep", "condition": condition}]},
            {"name": "dep", "image": "i", "essential": false, "startTimeout": 5,
             "healthCheck": {"command": ["CMD", "ok"]}},
        ])
    };
    let reason = |view: &TaskView| view.state.containers[0].end().unwrap().reason.clone().unwrap();
    for (condition, code, says) in [
        ("SUCCESS", Some(2), "code 2"),
        ("HEALTHY", Some(0), "before it was healthy"),
        ("HEALTHY", None, "has timed out"),
    ] {
        let mut view = view(app(condition));
        work(&mut view, at(0));
        let now = at(5000);
        if let Some(code) = code {
            view.apply(Happening::Exited(1, exit(code, now)), now);
        }
        let actions = work(&mut view, now);
        assert!(starts(&actions).is_empty(), "{condition}");
        assert_eq!(view.state.status, Status::Stopped, "{condition}");
        assert_eq!(reports(&actions).last(), Some(&Status::Stopped));
        assert!(
            reason(&view).starts_with("CannotStartContainerError: dependency graph: "),
            "{}",
            reason(&view)
        );
        assert!(reason(&view).contains(says), "{}", reason(&view));
        assert_eq!(view.state.containers[0].end().unwrap().code, Some(143));
    }
}

#[test]
fn a_restart_policy_starts_it_again_and_the_task_runs_on() {
    let mut view = view(json!([{"name": "a", "image": "i", "restartPolicy":
        {"enabled": true, "ignoredExitCodes": [7], "restartAttemptPeriod": 60}}]));
    work(&mut view, at(0));
    view.apply(Happening::Exited(0, exit(1, at(60_000))), at(60_000));
    assert_eq!(view.state.containers[0].status(), Status::Running);
    let actions = work(&mut view, at(60_000));
    assert_eq!(actions, [Action::ClearContainer(0), Action::StartContainer(0)]);
    assert_eq!(view.state.containers[0].restarts, 1);
    // Too soon after the last start.
    view.apply(Happening::Exited(0, exit(1, at(90_000))), at(90_000));
    assert!(view.stopping());

    let mut ignored = self::view(json!([{"name": "a", "image": "i", "restartPolicy":
        {"enabled": true, "ignoredExitCodes": [7], "restartAttemptPeriod": 60}}]));
    work(&mut ignored, at(0));
    ignored.apply(Happening::Exited(0, exit(7, at(90_000))), at(90_000));
    assert_eq!(ignored.state.containers[0].end().unwrap().code, Some(7));
}

#[test]
fn what_fails_is_told_in_ecs_words() {
    let mut pull = view(json!([{"name": "a", "image": "i"}]));
    due(&mut pull, at(0));
    pull.apply(Happening::SandboxReady, at(1));
    pull.apply(Happening::ImageFailed(0, "CannotPullContainerError: no".to_owned()), at(1));
    let actions = due(&mut pull, at(1));
    assert!(actions.contains(&Action::AttachNetwork), "{actions:?}");
    pull.apply(Happening::Attached(Vec::new()), at(2));
    let actions = work(&mut pull, at(2));
    assert_eq!(actions[0], Action::DetachNetwork);
    let Action::Report(report) = &actions[1] else { panic!("{actions:?}") };
    let call = render(&pull, report, "default");
    assert_eq!(call.status.as_deref(), Some("STOPPED"));
    let container = &call.containers.unwrap()[0];
    assert_eq!(container.reason.as_deref(), Some("CannotPullContainerError: no"));
    assert_eq!((container.exit_code, container.runtime_id.as_deref()), (None, None));

    let mut whole = view(json!([{"name": "a", "image": "i"}]));
    due(&mut whole, at(0));
    whole.apply(Happening::SandboxFailed("ResourceInitializationError: no".to_owned()), at(1));
    let actions = work(&mut whole, at(1));
    let Some(Action::Report(report)) = actions.iter().find(|a| matches!(a, Action::Report(_)))
    else {
        panic!("{actions:?}")
    };
    let call = render(&whole, report, "default");
    assert_eq!(call.reason.as_deref(), Some("ResourceInitializationError: no"));

    let mut oom = view(json!([{"name": "a", "image": "i"}]));
    work(&mut oom, at(0));
    oom.apply(Happening::Exited(0, Exit { code: Some(137), oom_killed: true, at: at(9) }), at(9));
    let reason = oom.state.containers[0].end().unwrap().reason.clone().unwrap();
    assert_eq!(reason, "OutOfMemoryError: Container killed due to memory usage");
}

#[test]
fn the_sandbox_stays_until_its_logs_are_shipped_or_time_is_up() {
    let awslogs = json!([{"name": "a", "image": "i", "logConfiguration":
        {"logDriver": "awslogs", "options": {"awslogs-group": "g"}}}]);
    let mut view = view(awslogs);
    assert!(work(&mut view, at(0)).contains(&Action::PrepareLogs(0)));
    view.apply(Happening::Exited(0, exit(0, at(5))), at(5));
    let actions = work(&mut view, at(5));
    assert_eq!(reports(&actions), [Status::Stopped]);
    assert!(!actions.contains(&Action::RemoveSandbox));
    let mut late = view.clone();
    assert_eq!(work(&mut late, at(60_005)), [Action::RemoveSandbox]);
    view.apply(Happening::LogsShipped(0), at(6));
    assert_eq!(work(&mut view, at(6)), [Action::RemoveSandbox]);
}

#[test]
fn a_log_router_outlives_the_others_by_their_last_words() {
    let routed = json!([
        {"name": "a", "image": "i", "logConfiguration": {"logDriver": "awsfirelens"}},
        {"name": "r", "image": "i", "firelensConfiguration": {"type": "fluentbit"}}]);
    let mut view = view(routed);
    let actions = work(&mut view, at(0));
    assert_eq!(starts(&actions), [1, 0], "the router starts first");
    view.apply(Happening::Exited(0, exit(0, at(5))), at(5));
    assert!(!work(&mut view, at(6)).contains(&Action::StopContainer(1)));
    let mut late = view.clone();
    assert!(work(&mut late, at(5_006)).contains(&Action::StopContainer(1)));
    view.apply(Happening::LogsShipped(0), at(7));
    assert!(work(&mut view, at(7)).contains(&Action::StopContainer(1)));
}

#[test]
fn a_server_that_asks_again_hears_the_last_report_again() {
    let mut view = view(json!([{"name": "a", "image": "i"}]));
    work(&mut view, at(0));
    view.apply(Happening::Exited(0, exit(4, at(5))), at(5));
    work(&mut view, at(5));
    view.apply(Happening::Wanted(Desired::Running), at(6));
    let actions = work(&mut view, at(6));
    assert_eq!(reports(&actions), [Status::Stopped]);
    assert!(starts(&actions).is_empty());
}

#[test]
fn secrets_are_fetched_first_and_again_for_a_restart_under_a_new_agent() {
    let mut view = view(json!([{"name": "a", "image": "i",
        "secrets": [{"name": "S", "valueFrom": "/s"}],
        "repositoryCredentials": {"credentialsParameter": "r"},
        "restartPolicy": {"enabled": true, "restartAttemptPeriod": 60}}]));
    let first = due(&mut view, at(0));
    assert_eq!(first, [Action::CreateSandbox, Action::FetchResources]);
    view.apply(Happening::SandboxReady, at(0));
    view.apply(Happening::Attached(Vec::new()), at(0));
    view.apply(Happening::Fetched(Arc::default()), at(1));
    assert!(due(&mut view, at(1)).contains(&Action::PullImage(0)));
    view.apply(Happening::ImagePresent(0, image()), at(1));
    assert_eq!(starts(&work(&mut view, at(1))), [0]);

    let found = runtime::SandboxStatus {
        spec: view.plan.sandbox.clone(),
        alive: true,
        containers: vec![runtime::ContainerStatus {
            id: view.plan.containers[0].id.clone(),
            pid: Some(7),
            started_at: Some(at(1)),
            exit: None,
            health: None,
        }],
    };
    view.state.containers[0].run = Run::Running { since: at(1) };
    view.recover(Some(&found), at(2));
    assert_eq!(due(&mut view, at(2)), [], "a container that runs needs nothing");
    view.apply(Happening::Exited(0, exit(1, at(70_000))), at(70_000));
    assert!(due(&mut view, at(70_000)).contains(&Action::FetchResources));
    view.apply(Happening::FetchFailed("ResourceInitializationError: no".to_owned()), at(70_001));
    view.apply(Happening::Cleared(0), at(70_002));
    work(&mut view, at(70_002));
    assert_eq!(view.state.failure.as_deref(), Some("ResourceInitializationError: no"));
    assert_eq!(view.state.status, Status::Stopped);
}

#[test]
fn containers_stop_in_the_reverse_of_their_order_link_by_link() {
    let mut view = view(json!([
        {"name": "db", "image": "i"},
        {"name": "app", "image": "i", "links": ["db"]},
        {"name": "web", "image": "i", "dependsOn": [{"containerName": "app", "condition": "START"}]},
    ]));
    assert_eq!(starts(&work(&mut view, at(0))), [0, 1, 2]);
    view.apply(Happening::Wanted(Desired::Stopped), at(1));
    let stops: Vec<usize> = work(&mut view, at(1))
        .iter()
        .filter_map(|a| if let Action::StopContainer(i) = a { Some(*i) } else { None })
        .collect();
    assert_eq!(stops, [2, 1, 0]);
}
