//! What the members of a definition have to do with one another.

use serde_json::{Value, json};

use super::{one, refuse, register};

#[test]
fn what_the_execution_role_fetches_is_named_rightly() {
    let role = || json!({"executionRoleArn": "exec"});
    for (container, words) in [
        (
            json!({"secrets": [{"name": "A", "valueFrom": "a b"}]}),
            "The Systems Manager parameter name",
        ),
        (
            json!({"secrets": [{"name": "A", "valueFrom": "arn:aws:sqs:eu-west-1:1:q"}]}),
            "neither the ARN of a parameter nor of a secret",
        ),
        (
            json!({"environment": [{"name": "A", "value": "x"}], "secrets": [{"name": "A", "valueFrom": "a"}]}),
            "The secret name must be unique and not shared with any new or existing environment variables",
        ),
        (
            json!({"secrets": [{"name": "A", "valueFrom": "a"}, {"name": "A", "valueFrom": "b"}]}),
            "Duplicate secret names found: A. Each secret name must be unique.",
        ),
        (
            json!({"environmentFiles": [{"type": "s3", "value": "web.env"}]}),
            "not the ARN of an object",
        ),
        (
            json!({"environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::bucket/web.txt"}]}),
            "does not end in .env",
        ),
        (
            json!({"repositoryCredentials": {"credentialsParameter": "arn:x"}}),
            "credentialsParameter",
        ),
    ] {
        refuse(one(container, role()), words);
    }
    let files: Vec<Value> = (0..11)
        .map(|n| json!({"type": "s3", "value": format!("arn:aws:s3:::bucket/{n}.env")}))
        .collect();
    refuse(one(json!({"environmentFiles": files}), role()), "at most 10");
}

#[test]
fn volumes_follow_ecs_rules() {
    let docker =
        |config: Value| json!({"volumes": [{"name": "v", "dockerVolumeConfiguration": config}]});
    for (task, words) in [
        (
            docker(json!({"scope": "task", "autoprovision": false})),
            "When 'scope' parameter is 'task', 'autoprovision' must either not be specified or set to 'True'.",
        ),
        (docker(json!({"scope": "node"})), "neither task nor shared"),
        (docker(json!({"driver": ""})), "driver should not be null or empty"),
        (
            json!({"volumes": [{"name": "v", "host": {"sourcePath": "/a"}, "dockerVolumeConfiguration": {}}]}),
            "both given",
        ),
        (
            json!({"volumes": [{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1", "rootDirectory": "x"}}]}),
            "absolute path",
        ),
    ] {
        refuse(one(json!({}), task), words);
    }
    let parsed = register(one(json!({}), docker(json!({"driver": "vendor/plugin:1"})))).unwrap();
    assert_eq!(parsed.spec.required_attributes, ["ecs.capability.docker-plugin.vendor/plugin.1"]);
}

#[test]
fn links_and_borrowed_volumes_take_part_in_circles() {
    let body = json!({"family": "web", "containerDefinitions": [
        {"name": "a", "image": "busybox", "memory": 16, "links": ["b"]},
        {"name": "b", "image": "busybox", "memory": 16, "volumesFrom": [{"sourceContainer": "a"}]},
    ]});
    refuse(body, "Container links should not have a cycle");
}
