//! Roles, secrets, and containers that know each other.

use runtime::ContainerId;
use serde_json::json;

use super::*;
use aws::agent::acs::AgentMessage;

fn role(id: &str) -> Value {
    json!({"credentialsId": id, "roleArn": "arn:aws:iam::111122223333:role/r",
        "accessKeyId": format!("ASIA{id}"), "secretAccessKey": "hidden-key",
        "sessionToken": "t", "expiration": "2027-01-01T00:00:00Z"})
}

impl World {
    fn run_as(&self, id: &str, containers: &Value) {
        self.order(json!({"arn": arn(id), "desiredStatus": "RUNNING", "family": "web",
            "version": "3", "roleCredentials": role("app"),
            "executionRoleCredentials": role("exec"),
            "wharf": {"containerDefinitions": containers}}));
    }

    fn value(&self, name: &str, value: &str) {
        self.server.heard.lock().unwrap().values.insert(name.to_owned(), value.to_owned());
    }

    /// Whether a text is in any file of the agent's data folder.
    fn on_disk(&self, text: &str) -> bool {
        fn look(folder: &std::path::Path, text: &str) -> bool {
            std::fs::read_dir(folder).unwrap().any(|entry| {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    return look(&path, text);
                }
                let bytes = std::fs::read(path).unwrap_or_default();
                String::from_utf8_lossy(&bytes).contains(text)
            })
        }
        look(self.dir.path(), text)
    }
}

const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-AbCdEf";

#[tokio::test]
async fn secrets_reach_the_container_and_nothing_else() {
    let world = World::joined().await;
    world.value("/app/key", "hidden-parameter");
    world.value(SECRET, r#"{"user": "hidden-user", "port": 5432}"#);
    world.value("bucket/app.env", "# file\nMODE=fast\nA=file");
    let container = json!({"name": "web", "image": "web:1", "command": ["/main"],
        "environment": [{"name": "A", "value": "order"}],
        "environmentFiles": [{"value": "arn:aws:s3:::bucket/app.env", "type": "s3"}],
        "secrets": [{"name": "KEY", "valueFrom": "/app/key"},
            {"name": "USER", "valueFrom": format!("{SECRET}:user::")},
            {"name": "PORT", "valueFrom": format!("{SECRET}:port::")}],
        "logConfiguration": {"logDriver": "awslogs",
            "options": {"awslogs-group": "g", "awslogs-create-group": "true"}}});
    world.run_as("t1", &json!([container]));
    world.server.report(&arn("t1"), "RUNNING").await;
    let spec = world.containers.fake.container(&ContainerId::new("t1-0")).unwrap();
    for line in ["KEY=hidden-parameter", "USER=hidden-user", "PORT=5432", "MODE=fast", "A=order"] {
        assert!(spec.env.iter().any(|known| known == line), "{line}: {:?}", spec.env);
    }
    let path = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/app";
    assert!(spec.env.iter().any(|known| known == path), "{:?}", spec.env);
    {
        let heard = world.server.heard.lock().unwrap();
        for operation in ["GetParameters", "GetSecretValue", "CreateLogStream"] {
            let mut by = heard.signed.iter().filter(|(named, _)| named == operation);
            assert!(by.all(|(_, key)| key == "ASIAexec"), "{operation}: {:?}", heard.signed);
        }
    }
    let acknowledged = |id: &str| {
        world.server.heard.lock().unwrap().acs.iter().any(|message| {
            matches!(message, AgentMessage::IamRoleCredentialsAck { credentials_id, .. }
                if credentials_id == id)
        })
    };
    world
        .until("both roles are acknowledged", || acknowledged("app") && acknowledged("exec"))
        .await;
    world.until("it is recorded", || world.on_disk("/app/key")).await;
    assert!(!world.on_disk("hidden-"), "a secret is on the disk");
}

#[tokio::test]
async fn a_secret_that_cannot_be_had_ends_the_task_in_ecs_words() {
    let world = World::joined().await;
    let with = |value: &str| {
        json!([{"name": "web", "image": "web:1", "command": ["/main"],
            "secrets": [{"name": "S", "valueFrom": value}]}])
    };
    for (id, value, words) in [
        ("t1", "/none", "invalid parameters: /none"),
        ("t2", SECRET, "The task can't retrieve the secret with ARN"),
    ] {
        world.run_as(id, &with(value));
        let report = world.server.report(&arn(id), "STOPPED").await;
        let reason = report["reason"].as_str().unwrap();
        let begin = "ResourceInitializationError: unable to pull secrets or registry auth: \
                     execution resource retrieval failed: ";
        assert!(reason.starts_with(begin) && reason.contains(words), "{reason}");
    }
}

#[tokio::test]
async fn new_credentials_take_the_place_of_old_ones() {
    let world = World::joined().await;
    world.run_as("t1", &json!([web()]));
    world.server.report(&arn("t1"), "RUNNING").await;
    let mut newer = role("app");
    newer["accessKeyId"] = json!("ASIAnewer");
    newer["expiration"] = json!("2027-01-02T00:00:00Z");
    let message: acs::IamRoleCredentialsMessage = serde_json::from_value(json!({
        "messageId": "m77", "taskArn": arn("t1"), "roleType": "TaskApplication",
        "roleCredentials": newer}))
    .unwrap();
    world.server.say(&ServerMessage::IamRoleCredentials(message).encode());
    world
        .until("it is acknowledged", || {
            world.server.heard.lock().unwrap().acs.iter().any(|message| {
                matches!(message, AgentMessage::IamRoleCredentialsAck { message_id, expiration, .. }
                    if message_id == "m77" && expiration.starts_with("2027-01-02"))
            })
        })
        .await;
}

#[tokio::test]
async fn linked_containers_know_each_other_by_address() {
    let world = World::joined().await;
    let mut front = web();
    front["links"] = json!(["db:data"]);
    world.run(
        "t1",
        json!([front, {"name": "db", "image": "d", "command": ["x"],
            "environment": [{"name": "MODE", "value": "fast"}],
            "portMappings": [{"containerPort": 5432}]}]),
    );
    world.server.report(&arn("t1"), "RUNNING").await;
    let spec = world.containers.fake.container(&ContainerId::new("t1-0")).unwrap();
    let address = "172.30.0.3".to_owned();
    assert_eq!(spec.hosts, [("data".to_owned(), address.clone()), ("db".to_owned(), address)]);
    for line in [
        "DATA_NAME=/web/data",
        "DATA_PORT=tcp://172.30.0.3:5432",
        "DATA_PORT_5432_TCP_ADDR=172.30.0.3",
        "DATA_ENV_MODE=fast",
    ] {
        assert!(spec.env.iter().any(|known| known == line), "{line}: {:?}", spec.env);
    }
    let calls = world.containers.fake.calls();
    let started =
        |id: &str| calls.iter().position(|call| *call == format!("start_container {id}")).unwrap();
    assert!(started("t1-1") < started("t1-0"));
    world.stop("t1");
    world.server.report(&arn("t1"), "STOPPED").await;
    world.gone("t1").await;
    assert!(world.network.attached.lock().unwrap().is_empty());
}
