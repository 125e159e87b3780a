//! The agent contract against frames as the stock agent and ECS exchange them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::acs::{self, DesiredStatus, Rejection, RoleType};
use super::{FrameError, tcs};
use crate::ecs;

fn payload() -> Value {
    json!({"type": "PayloadMessage", "message": {
        "clusterArn": "probe", "containerInstanceArn": "arn:aws:ecs:us-east-1:1:container-instance/probe/a",
        "messageId": "m-1", "seqNum": 3, "generatedAt": 1_795_357_857_123_i64, "timeline": 3,
        "tasks": [{
            "arn": "arn:t", "taskClusterArn": "arn:c", "family": "web", "version": "7",
            "desiredStatus": "RUNNING", "networkMode": "host", "cpu": 0.25, "memory": 128,
            "containers": [{
                "name": "web", "image": "busybox", "essential": true, "command": ["sleep", "1"],
                "environment": {"A": "b"}, "cpu": 256, "memory": 64,
                "portMappings": [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}],
                "dependsOn": [{"containerName": "init", "condition": "SUCCESS"}],
                "healthCheckType": "docker",
                "dockerConfig": {"version": "1.25", "config": "{}", "hostConfig": "{\"NetworkMode\":\"host\"}"}
            }],
            "volumes": [{"name": "v", "type": "host", "host": {"sourcePath": "/srv"}}],
            "launchType": "EC2", "overrides": "{}",
            "roleCredentials": {"credentialsId": "c", "roleArn": "arn:r", "accessKeyId": "AKIA",
                "secretAccessKey": "hush", "sessionToken": "quiet", "expiration": "2026-11-22T14:30:57Z"},
            "wharf": {"containerDefinitions": [{"name": "web", "image": "busybox"}], "networkMode": "host"}
        }]
    }})
}

#[test]
fn a_payload_is_read_and_written_back() {
    let text = payload().to_string();
    let message = acs::ServerMessage::decode(&text).unwrap();
    let acs::ServerMessage::Payload(payload_message) = &message else { panic!("{message:?}") };
    let task = &payload_message.tasks[0];
    assert_eq!(task.desired_status, DesiredStatus::Running);
    assert_eq!(task.network_mode, Some(ecs::NetworkMode::Host));
    assert_eq!(task.containers[0].depends_on[0].condition, Some(ecs::ContainerCondition::Success));
    assert_eq!(task.wharf.as_ref().unwrap().container_definitions[0].name.as_deref(), Some("web"));
    assert_eq!(serde_json::from_str::<Value>(&message.encode()).unwrap(), payload());
}

#[test]
fn the_smallest_payloads_suffice() {
    let text = r#"{"type":"PayloadMessage","message":{"clusterArn":"c","containerInstanceArn":"i","messageId":"m",
        "tasks":[{"arn":"a","desiredStatus":"STOPPED"},{"arn":"b","desiredStatus":"RUNNING","containers":null}]}}"#;
    let acs::ServerMessage::Payload(message) = acs::ServerMessage::decode(text).unwrap() else {
        panic!()
    };
    assert_eq!(message.tasks[0].desired_status, DesiredStatus::Stopped);
    assert!(message.tasks[1].containers.is_empty() && message.tasks[1].wharf.is_none());
}

#[test]
fn credentials_stay_out_of_logs() {
    let message = acs::ServerMessage::decode(&payload().to_string()).unwrap();
    let shown = format!("{message:?}");
    assert!(
        shown.contains("AKIA") && !shown.contains("hush") && !shown.contains("quiet"),
        "{shown}"
    );
}

#[test]
fn every_type_has_its_name() {
    let identifier = acs::TaskIdentifier {
        task_arn: "t".into(),
        task_cluster_arn: "c".into(),
        desired_status: DesiredStatus::Running,
    };
    let server = [
        acs::ServerMessage::Heartbeat { healthy: true, message_id: "1".into() },
        acs::ServerMessage::Payload(acs::PayloadMessage::default()),
        acs::ServerMessage::TaskManifest(acs::TaskManifestMessage {
            timeline: 4,
            tasks: vec![identifier.clone()],
            ..acs::TaskManifestMessage::default()
        }),
        acs::ServerMessage::TaskStopVerificationAck(acs::TaskStopVerificationAck::default()),
        acs::ServerMessage::IamRoleCredentials(acs::IamRoleCredentialsMessage {
            role_type: RoleType::TaskExecution,
            ..acs::IamRoleCredentialsMessage::default()
        }),
        acs::ServerMessage::AttachTaskNetworkInterfaces(
            acs::AttachTaskNetworkInterfacesMessage::default(),
        ),
        acs::ServerMessage::AttachInstanceNetworkInterfaces(
            acs::AttachInstanceNetworkInterfacesMessage::default(),
        ),
        acs::ServerMessage::ConfirmAttachment(acs::ConfirmAttachmentMessage::default()),
        acs::ServerMessage::StageUpdate(acs::UpdateMessage::default()),
        acs::ServerMessage::PerformUpdate(acs::UpdateMessage::default()),
        acs::ServerMessage::Close { message: "bye".into() },
        acs::ServerMessage::Error { message: "oh".into() },
        acs::ServerMessage::Unrecognized { r#type: "FutureMessage".into() },
    ];
    for message in server {
        assert_eq!(acs::ServerMessage::decode(&message.encode()).unwrap(), message);
    }
    let agent = [
        acs::AgentMessage::HeartbeatAck { message_id: "1".into() },
        acs::AgentMessage::Ack {
            cluster: "c".into(),
            container_instance: "i".into(),
            message_id: "m".into(),
        },
        acs::AgentMessage::Nack {
            cluster: "c".into(),
            container_instance: "i".into(),
            message_id: "m".into(),
            reason: "Updates are disabled".into(),
        },
        acs::AgentMessage::IamRoleCredentialsAck {
            message_id: "m".into(),
            expiration: "e".into(),
            credentials_id: "c".into(),
        },
        acs::AgentMessage::TaskStopVerification {
            message_id: "m".into(),
            stop_candidates: vec![identifier],
        },
        acs::AgentMessage::Unrecognized { r#type: "FutureRequest".into() },
    ];
    for message in agent {
        assert_eq!(acs::AgentMessage::decode(&message.encode()).unwrap(), message);
    }
}

#[test]
fn the_stock_agents_frames_are_read() {
    let ack = r#"{"type":"AckRequest","message":{"cluster":"probe","containerInstance":"arn:i","messageId":"m"}}"#;
    let acs::AgentMessage::Ack { container_instance, .. } = acs::AgentMessage::decode(ack).unwrap()
    else {
        panic!()
    };
    assert_eq!(container_instance, "arn:i");
    let metrics = "Authorization: AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host;x-amz-date, Signature=00\r\n\
        Host: 127.0.0.1:18080\r\nX-Amz-Date: 20261122T143057Z\r\n\r\n\
        {\"type\":\"PublishMetricsRequest\",\"message\":{\"metadata\":{\"cluster\":\"probe\",\"containerInstance\":\"arn:i\",\
        \"messageId\":\"m\",\"idle\":false,\"fin\":true},\"taskMetrics\":[{\"taskArn\":\"t\",\"containerMetrics\":[\
        {\"containerName\":\"web\",\"cpuStatsSet\":{\"min\":0.1,\"max\":2,\"sum\":3.5,\"sampleCount\":20},\
        \"networkStatsSet\":{\"rxBytes\":{\"min\":1,\"max\":2,\"sum\":3,\"sampleCount\":4,\"overflowSum\":5}}}]}],\
        \"instanceMetrics\":{\"storage\":{\"OSFilesystem\":12.5}},\"timestamp\":1795357857.123}}";
    let frame = tcs::Frame::decode(metrics).unwrap();
    assert_eq!(frame.header("x-amz-date"), Some("20261122T143057Z"));
    let tcs::AgentMessage::PublishMetrics(request) = &frame.message else { panic!("{frame:?}") };
    let container = &request.task_metrics[0].container_metrics[0];
    assert_eq!(container.cpu_stats_set.as_ref().unwrap().sample_count, 20);
    assert_eq!(
        container.network_stats_set.as_ref().unwrap().rx_bytes.as_ref().unwrap().overflow_sum,
        Some(5)
    );
    assert_eq!(
        request.instance_metrics.as_ref().unwrap().storage.as_ref().unwrap().os_filesystem,
        Some(12.5)
    );
    assert_eq!(request.timestamp, Some(stdx::Timestamp::from_millis(1_795_357_857_123)));
    assert_eq!(tcs::Frame::decode(&frame.encode()).unwrap(), frame);
}

#[test]
fn health_and_status_are_read_and_written_back() {
    for message in [
        json!({"type": "PublishHealthRequest", "message": {"metadata": {"cluster": "c", "containerInstance": "i",
            "messageId": "m", "fin": true}, "tasks": [{"taskArn": "t", "containers": [
            {"containerName": "web", "healthStatus": "HEALTHY", "statusSince": 1_795_357_857}]}],
            "timestamp": 1_795_357_858}}),
        json!({"type": "PublishInstanceStatusRequest", "message": {"metadata": {"cluster": "c",
            "containerInstance": "i", "requestId": "r"}, "statuses": [{"type": "ContainerRuntime", "status": "OK",
            "lastStatusChange": 1_795_357_857.5, "lastUpdated": 1_795_357_858}], "timestamp": 1_795_357_858}}),
    ] {
        let frame = tcs::Frame::decode(&message.to_string()).unwrap();
        assert!(frame.headers.is_empty());
        assert_eq!(serde_json::from_str::<Value>(&frame.message.encode()).unwrap(), message);
    }
    for message in [
        tcs::ServerMessage::AckPublishMetric { message: String::new() },
        tcs::ServerMessage::AckPublishHealth { message: "ok".into() },
        tcs::ServerMessage::AckPublishInstanceStatus { message: "ok".into() },
        tcs::ServerMessage::Heartbeat { healthy: true },
        tcs::ServerMessage::StopTelemetrySession { message: "bye".into() },
    ] {
        assert_eq!(tcs::ServerMessage::decode(&message.encode()).unwrap(), message);
    }
}

#[test]
fn frames_that_are_none_are_refused() {
    assert!(matches!(acs::AgentMessage::decode("nonsense"), Err(FrameError::Json(_))));
    assert!(matches!(acs::AgentMessage::decode("[]"), Err(FrameError::Envelope)));
    assert!(matches!(acs::AgentMessage::decode(r#"{"message":{}}"#), Err(FrameError::Envelope)));
    let wrong = r#"{"type":"AckRequest","message":{"messageId":5}}"#;
    let error = acs::AgentMessage::decode(wrong).unwrap_err();
    assert!(matches!(&error, FrameError::Message { kind, .. } if kind == "AckRequest"), "{error}");
    assert!(matches!(tcs::Frame::decode("Host: a\r\n{}"), Err(FrameError::Headers)));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(acs::ServerMessage::decode(&deep).is_err());
}

#[test]
fn handshakes_are_read_as_the_stock_agent_writes_them() {
    let query = "agentHash=a8b3e7d3&agentVersion=1.105.1&clusterArn=probe&containerInstanceArn=arn%3Aaws%3Aecs&\
        dockerVersion=DockerVersion%3A+20.10.24%2Bdfsg1&protocolVersion=2&sendCredentials=true&seqNum=1";
    let parsed = acs::ConnectQuery::parse(query).unwrap();
    assert_eq!(parsed.docker_version, "20.10.24+dfsg1");
    assert_eq!(parsed.cluster, "probe");
    assert_eq!(parsed.protocol_version, Some(2));
    assert!(parsed.send_credentials);
    assert_eq!(acs::ConnectQuery::parse(&parsed.render()).unwrap(), parsed);
    assert!(!parsed.render().contains('+') && parsed.render().contains("DockerVersion%3A%2020"));
    let query =
        "agentHash=&agentVersion=1&cluster=probe&containerInstance=arn%3Ai&dockerVersion=20.10";
    let parsed = tcs::ConnectQuery::parse(query).unwrap();
    assert_eq!(
        (parsed.container_instance_arn.as_str(), parsed.docker_version.as_str()),
        ("arn:i", "20.10")
    );
    assert_eq!(tcs::ConnectQuery::parse(&parsed.render()).unwrap(), parsed);
    assert_eq!(
        acs::ConnectQuery::parse("clusterArn=c"),
        Err(acs::QueryError::Missing("containerInstanceArn"))
    );
    assert!(acs::ConnectQuery::parse("clusterArn=c&containerInstanceArn=i&seqNum=x").is_err());
}

#[test]
fn refusals_are_read_in_both_forms() {
    let body = Rejection::InactiveInstance.body("gone");
    assert_eq!(Rejection::parse(&body), Some((Rejection::InactiveInstance, "gone".to_owned())));
    let other = r#"{"InvalidClusterException":"which?"}"#;
    assert_eq!(Rejection::parse(other), Some((Rejection::InvalidCluster, "which?".to_owned())));
    assert_eq!(Rejection::parse("{}"), None);
    assert_eq!(Rejection::parse("<html>"), None);
}

proptest! {
    #[test]
    fn no_text_makes_a_decoder_panic(text in ".{0,200}") {
        let _refused = acs::ServerMessage::decode(&text).is_err();
        let _refused = acs::AgentMessage::decode(&text).is_err();
        let _refused = tcs::ServerMessage::decode(&text).is_err();
        let _refused = tcs::Frame::decode(&text).is_err();
        let _refused = acs::ConnectQuery::parse(&text).is_err();
        let _refused = tcs::ConnectQuery::parse(&text).is_err();
        let _refused = Rejection::parse(&text).is_none();
    }

    #[test]
    fn a_damaged_payload_makes_no_decoder_panic(at in 0_usize..2_000, with in any::<u8>(), cut in 0_usize..2_000) {
        let mut bytes = payload().to_string().into_bytes();
        let length = bytes.len();
        bytes[at % length] = with;
        bytes.truncate(length - cut % length);
        if let Ok(text) = String::from_utf8(bytes) {
            let _refused = acs::ServerMessage::decode(&text).is_err();
            let _refused = tcs::Frame::decode(&text).is_err();
        }
    }

    #[test]
    fn handshakes_survive_any_text(cluster in ".{1,40}", arn in ".{1,40}", version in ".{0,40}") {
        let query = acs::ConnectQuery {
            cluster, container_instance_arn: arn, docker_version: version, seq_num: 1,
            ..acs::ConnectQuery::default()
        };
        prop_assert_eq!(acs::ConnectQuery::parse(&query.render()).unwrap(), query);
    }
}
