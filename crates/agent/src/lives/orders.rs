//! Orders and what the server hears of them.

use runtime::{ContainerId, Script};
use serde_json::json;

use super::*;
use aws::agent::acs::AgentMessage;

#[tokio::test]
async fn a_task_runs_is_reported_and_is_stopped_without_a_trace() {
    let world = World::joined().await;
    let mut container = web();
    container["portMappings"] =
        json!([{"containerPort": 80}, {"containerPort": 81, "hostPort": 8081}]);
    world.run("t1", json!([container]));
    let running = world.server.report(&arn("t1"), "RUNNING").await;
    assert_eq!(running["cluster"], "default");
    assert_eq!(running["reason"], "");
    assert!(running["pullStartedAt"].is_number() && running["pullStoppedAt"].is_number());
    let container = &running["containers"][0];
    assert_eq!(container["containerName"], "web");
    assert_eq!(container["runtimeId"], "t1-0");
    assert_eq!(container["status"], "RUNNING");
    assert!(container["imageDigest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(
        container["networkBindings"],
        json!([
            {"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 32768, "protocol": "tcp"},
            {"bindIP": "0.0.0.0", "containerPort": 81, "hostPort": 8081, "protocol": "tcp"}
        ])
    );
    world
        .until("the payload is acknowledged", || {
            let heard = world.server.heard.lock().unwrap();
            heard
                .acs
                .iter()
                .any(|m| matches!(m, AgentMessage::Ack { message_id, .. } if message_id == "m1"))
        })
        .await;
    let spec = world.containers.fake.container(&ContainerId::new("t1-0")).unwrap();
    assert_eq!(spec.args, ["/main"]);
    assert_eq!(spec.address.as_deref(), Some("172.30.0.2"));

    world.stop("t1");
    let stopped = world.server.report(&arn("t1"), "STOPPED").await;
    assert_eq!(stopped["containers"][0]["exitCode"], 143);
    assert!(stopped["executionStoppedAt"].is_number());
    world.gone("t1").await;
    let told: Vec<String> = world.server.reports(&arn("t1")).into_iter().map(|r| r.0).collect();
    assert_eq!(told, ["RUNNING", "STOPPED"]);
}

#[tokio::test]
async fn many_tasks_of_one_payload_run() {
    let world = World::joined().await;
    for number in 0..30 {
        world.run(
            &format!("t{number}"),
            json!([web(), {"name": "b", "image": "b", "command": ["x"]}]),
        );
    }
    for number in 0..30 {
        world.server.report(&arn(&format!("t{number}")), "RUNNING").await;
    }
}

#[tokio::test]
async fn what_fails_is_reported_in_ecs_words() {
    let world = World::joined().await;
    let fake = &world.containers.fake;
    fake.script("pull", Script { pull_error: Some("no".to_owned()), ..Script::default() });
    fake.script("start", Script { start_error: Some("no /x".to_owned()), ..Script::default() });
    let oom = Some((Duration::from_millis(1), 137, true));
    fake.script("oom", Script { exits: oom, ..Script::default() });
    world.network.taken.lock().unwrap().insert(99);
    let cases = [
        ("pull", json!({}), "CannotPullContainerError: "),
        ("start", json!({}), "CannotStartContainerError: "),
        ("oom", json!({}), "OutOfMemoryError: Container killed due to memory usage"),
        (
            "ok",
            json!({"secrets": [{"name": "S", "valueFrom": "x"}]}),
            "ResourceInitializationError: unable to pull secrets or registry auth: ",
        ),
        ("ok", json!({"portMappings": [{"containerPort": 9, "hostPort": 99}]}), "host port 99/tcp"),
    ];
    for (number, (image, members, words)) in cases.into_iter().enumerate() {
        let id = format!("f{number}");
        let mut container = json!({"name": "web", "image": image, "command": ["/main"]});
        container.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        world.run(&id, json!([container]));
        let report = world.server.report(&arn(&id), "STOPPED").await;
        let reasons = format!("{}{}", report["reason"], report["containers"][0]["reason"]);
        assert!(reasons.contains(words), "{words}: {report}");
        assert_eq!(report["containers"][0]["status"], "STOPPED");
    }
    world.order(
        json!({"arn": arn("stock"), "desiredStatus": "RUNNING", "containers": [{"name": "x"}]}),
    );
    let report = world.server.report(&arn("stock"), "STOPPED").await;
    assert!(report["reason"].as_str().unwrap().contains("`wharf`"), "{report}");
    world.stop("never-heard-of");
    let report = world.server.report(&arn("never-heard-of"), "STOPPED").await;
    assert_eq!(
        report["reason"],
        "TaskStateError: Agent could not progress task's state to stopped"
    );
}

#[tokio::test]
async fn a_container_that_is_not_essential_is_told_of_at_once() {
    let world = World::joined().await;
    world.run(
        "t1",
        json!([web(), {"name": "side", "image": "s", "command": ["x"], "essential": false}]),
    );
    world.server.report(&arn("t1"), "RUNNING").await;
    world.containers.fake.exit(&ContainerId::new("t1-1"), 5, false);
    world
        .until("the exit is told", || {
            let last = world.server.reports(&arn("t1")).pop().unwrap();
            last.0 == "RUNNING" && last.1["containers"][0]["exitCode"] == 5
        })
        .await;
    let stops = world.containers.fake.calls().iter().filter(|c| c.starts_with("stop_")).count();
    assert_eq!(stops, 0);
    world.containers.fake.exit(&ContainerId::new("t1-0"), 1, false);
    let stopped = world.server.report(&arn("t1"), "STOPPED").await;
    assert!(stopped["executionStoppedAt"].is_number());
}

#[tokio::test]
async fn images_of_the_servers_registry_are_asked_for_with_a_token() {
    let world = World::joined().await;
    let reference = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/web:1";
    world.run("t1", json!([{"name": "web", "image": reference, "command": ["x"]}]));
    world.run("t2", json!([{"name": "web", "image": reference, "command": ["x"]}]));
    world.server.report(&arn("t1"), "RUNNING").await;
    world.server.report(&arn("t2"), "RUNNING").await;
    let heard = world.server.heard.lock().unwrap();
    let tokens = heard.calls.iter().filter(|(operation, _)| operation == "GetAuthorizationToken");
    assert_eq!(tokens.count(), 1, "a token is kept");
}

#[tokio::test]
async fn empty_volumes_live_as_long_as_the_task() {
    let world = World::joined().await;
    let mut container = web();
    container["mountPoints"] = json!([{"sourceVolume": "tmp", "containerPath": "/tmp"}]);
    world.order(json!({"arn": arn("t1"), "desiredStatus": "RUNNING", "wharf":
        {"containerDefinitions": [container], "volumes": [{"name": "tmp", "host": {}}]}}));
    world.server.report(&arn("t1"), "RUNNING").await;
    let folder = world.dir.path().join("volumes/t1/tmp");
    assert!(folder.is_dir());
    world.stop("t1");
    world.gone("t1").await;
    world.until("the volume is removed", || !folder.exists()).await;
}
