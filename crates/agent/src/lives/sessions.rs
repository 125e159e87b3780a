//! The sessions: what is said, and how they begin again.

use aws::agent::acs::{AgentMessage, DesiredStatus, TaskIdentifier};
use aws::agent::tcs::AgentMessage as Telemetry;
use runtime::{ContainerId, Health, Script, Usage};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test]
async fn the_node_registers_with_what_it_is_and_connects_signed() {
    let world = World::joined().await;
    let heard = world.server.heard.lock().unwrap();
    let (_, call) = &heard.calls[0];
    assert_eq!(call["cluster"], "default");
    assert!(call["containerInstanceArn"].is_null());
    assert_eq!(call["attributes"][0], json!({"name": "rack", "value": "7"}));
    let has = |name: &str| call["attributes"].as_array().unwrap().iter().any(|a| a["name"] == name);
    assert!(has("com.amazonaws.ecs.capability.logging-driver.awslogs") && has("ecs.os-type"));
    assert!(has("ecs.capability.task-eni") && has("com.amazonaws.ecs.capability.task-iam-role"));
    assert_eq!(
        call["totalResources"],
        json!([
            {"name": "CPU", "type": "INTEGER", "integerValue": 2048},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": 4096},
            {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22"]},
            {"name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": []}
        ])
    );
    let acs = heard.handshakes.iter().find(|(path, _)| path.starts_with("/acs")).unwrap();
    assert!(
        acs.0.contains("sendCredentials=true") && acs.0.contains("protocolVersion=2"),
        "{}",
        acs.0
    );
    assert_eq!(acs.1, "signed ws 0");
}

#[tokio::test]
async fn heartbeats_are_answered_and_strange_frames_are_survived() {
    let world = World::joined().await;
    world.server.say("not json");
    world.server.say(r#"{"type":"NobodyKnows","message":{}}"#);
    world.server.say(r#"{"type":"PayloadMessage","message":{"messageId":"nameless"}}"#);
    world.server.say(r#"{"type":"PerformUpdateMessage","message":{"messageId":"u"}}"#);
    world.server.send(|message_id, _| ServerMessage::Heartbeat { healthy: true, message_id });
    world
        .until("the heartbeat is answered", || {
            let heard = world.server.heard.lock().unwrap();
            heard.acs.iter().any(
                |m| matches!(m, AgentMessage::HeartbeatAck { message_id } if message_id == "m1"),
            )
        })
        .await;
    let heard = world.server.heard.lock().unwrap();
    let [AgentMessage::Nack { message_id, reason, .. }, AgentMessage::HeartbeatAck { .. }] =
        &heard.acs[..]
    else {
        panic!("{:?}", heard.acs)
    };
    assert_eq!((message_id.as_str(), reason.as_str()), ("u", "Updates are disabled"));
}

#[tokio::test]
async fn a_manifest_without_a_task_stops_it_once_the_server_confirms() {
    let world = World::joined().await;
    world.run("keep", json!([web()]));
    world.run("drop", json!([web()]));
    world.server.report(&arn("keep"), "RUNNING").await;
    world.server.report(&arn("drop"), "RUNNING").await;
    let listed = TaskIdentifier {
        task_arn: arn("keep"),
        task_cluster_arn: "default".to_owned(),
        desired_status: DesiredStatus::Running,
    };
    let manifest = |tasks: Vec<TaskIdentifier>, message_id, timeline| {
        ServerMessage::TaskManifest(acs::TaskManifestMessage {
            cluster_arn: "default".to_owned(),
            container_instance_arn: INSTANCE.to_owned(),
            message_id,
            timeline,
            tasks,
            ..acs::TaskManifestMessage::default()
        })
    };
    // One that is older than the last payload is dropped without a word.
    world.server.send(|id, _| manifest(Vec::new(), id, 0));
    let id = world.server.send(|id, number| manifest(vec![listed], id, number));
    let mut candidates = Vec::new();
    world
        .until("candidates are named", || {
            let heard = world.server.heard.lock().unwrap();
            for message in &heard.acs {
                if let AgentMessage::TaskStopVerification { message_id, stop_candidates } = message
                {
                    assert_eq!(*message_id, id);
                    candidates = stop_candidates.clone();
                }
            }
            !candidates.is_empty()
        })
        .await;
    assert_eq!(candidates.len(), 1);
    assert_eq!(candidates[0].task_arn, arn("drop"));
    let ack = |message_id: String, task: &str| {
        ServerMessage::TaskStopVerificationAck(acs::TaskStopVerificationAck {
            message_id,
            stop_tasks: vec![TaskIdentifier { task_arn: arn(task), ..TaskIdentifier::default() }],
            ..acs::TaskStopVerificationAck::default()
        })
    };
    world.server.send(|_, _| ack("another".to_owned(), "keep"));
    world.server.send(|_, _| ack(id.clone(), "drop"));
    world.server.report(&arn("drop"), "STOPPED").await;
    assert_eq!(world.server.reports(&arn("keep")).len(), 1);
}

#[tokio::test]
async fn a_task_that_is_here_no_more_is_told() {
    let world = World::joined().await;
    world.run("here", json!([web()]));
    world.server.report(&arn("here"), "RUNNING").await;
    let listed = ["here", "gone"].map(|task| TaskIdentifier {
        task_arn: arn(task),
        task_cluster_arn: "default".to_owned(),
        desired_status: DesiredStatus::Running,
    });
    world.server.send(|message_id, timeline| {
        ServerMessage::TaskManifest(acs::TaskManifestMessage {
            cluster_arn: "default".to_owned(),
            container_instance_arn: INSTANCE.to_owned(),
            message_id,
            timeline,
            tasks: listed.to_vec(),
            ..acs::TaskManifestMessage::default()
        })
    });
    let told = world.server.report(&arn("gone"), "STOPPED").await;
    assert_eq!(told["reason"], "The task is not on its instance any more.");
    assert_eq!(world.server.reports(&arn("here")).len(), 1);
}

#[tokio::test]
async fn a_closed_session_begins_again_without_a_new_registration() {
    let world = World::joined().await;
    world.run("t1", json!([web()]));
    world.server.report(&arn("t1"), "RUNNING").await;
    world.server.close(1001);
    world
        .until("a second session is open", || {
            let heard = world.server.heard.lock().unwrap();
            let acs: Vec<_> = heard.handshakes.iter().filter(|h| h.0.starts_with("/acs")).collect();
            acs.len() == 2 && acs[1].0.contains("sendCredentials=false")
        })
        .await;
    let operations: Vec<String> =
        world.server.heard.lock().unwrap().calls.iter().map(|c| c.0.clone()).collect();
    let count = |name: &str| operations.iter().filter(|o| *o == name).count();
    assert_eq!((count("RegisterContainerInstance"), count("DiscoverPollEndpoint")), (1, 1));
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.stop("t1");
    world.server.report(&arn("t1"), "STOPPED").await;
}

#[tokio::test]
async fn telemetry_is_signed_and_a_verdict_is_told_at_once() {
    let world = World::joined().await;
    let usage = Usage { cpu_nanos: 5, memory_bytes: 1 << 20, pids: 1, io_bytes: (0, 0) };
    world.containers.fake.script("web:1", Script { usage, ..Script::default() });
    {
        let heard = world.server.heard.lock().unwrap();
        let first = &heard.tcs[0];
        assert_eq!(
            first.header("authorization"),
            Some(format!("signed ws {}", first.body.len()).as_str())
        );
        let Telemetry::PublishMetrics(metrics) = &first.message else { panic!("{first:?}") };
        assert!(metrics.metadata.idle && metrics.metadata.fin);
    }
    let mut container = web();
    container["healthCheck"] = json!({"command": ["CMD", "ok"]});
    world.run("t1", json!([container]));
    world.server.report(&arn("t1"), "RUNNING").await;
    for (verdict, word) in [(Health::Healthy, "HEALTHY"), (Health::Unhealthy, "UNHEALTHY")] {
        world.containers.fake.set_health(&ContainerId::new("t1-0"), verdict);
        world
            .until("the verdict is told", || {
                let heard = world.server.heard.lock().unwrap();
                heard.tcs.iter().any(|frame| match &frame.message {
                    Telemetry::PublishHealth(health) => {
                        let container = &health.tasks[0].containers[0];
                        health.tasks[0].task_arn == arn("t1")
                            && container.health_status.as_ref().unwrap().as_str() == word
                            && health.metadata.fin
                    }
                    _ => false,
                })
            })
            .await;
    }
}

#[tokio::test]
async fn a_refused_node_says_so_and_a_busy_server_is_asked_again() {
    let mut world = World::new().await;
    let error =
        |code: &str, status| ("RegisterContainerInstance".to_owned(), code.to_owned(), status);
    world.server.heard.lock().unwrap().errors = vec![error("ClusterNotFoundException", 400)];
    world.start_agent().await;
    let (agent, _trigger) = world.agent.take().unwrap();
    let refused = stdx::chain(&agent.ended().await.unwrap_err());
    assert!(
        refused.contains("join cluster default") && refused.contains("ClusterNotFound"),
        "{refused}"
    );

    world.server.heard.lock().unwrap().away = true;
    world.start_agent().await;
    world.server.heard.lock().unwrap().away = false;
    assert_eq!(world.agent.as_ref().unwrap().0.joined().await.as_deref(), Some(INSTANCE));
    world.stop_agent().await.unwrap();

    // An instance that the server does not take back becomes another.
    world.server.heard.lock().unwrap().errors = vec![error("ClientException", 400)];
    world.start_agent().await;
    assert_eq!(world.agent.as_ref().unwrap().0.joined().await.as_deref(), Some(INSTANCE));
    assert!(world.server.registration()["containerInstanceArn"].is_null());
}

#[tokio::test]
async fn a_deregistered_instance_is_told_from_a_failure() {
    use crate::session::open_for_test as open;
    for (body, inactive) in [
        (r#"{"InactiveInstanceException":"gone"}"#, true),
        (r#"{"type":"InactiveInstanceException","message":{"message":"gone"}}"#, true),
        (r#"{"type":"ServerException","message":{"message":"later"}}"#, false),
        ("nonsense", false),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/acs/ws?a=b", listener.local_addr().unwrap());
        let answer =
            format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            assert!(stream.read(&mut buffer).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        assert_eq!(open(&url, &Word).await, inactive, "{body}");
        server.await.unwrap();
    }
}
