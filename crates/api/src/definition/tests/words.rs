//! Refusals in AWS's own words, as people meet them and programs look for them.

use serde_json::{Value, json};

use super::{one, register};

/// A definition of these containers.
fn of(containers: Vec<Value>) -> Value {
    json!({"family": "web", "containerDefinitions": containers})
}

fn named(name: &str) -> Value {
    json!({"name": name, "image": "busybox", "memory": 8})
}

#[test]
fn what_is_wrong_is_said_as_aws_says_it() {
    let eleven = (0..11).map(|n| named(&format!("c{n}"))).collect();
    for (body, words) in [
        (one(json!({}), json!({"family": ""})), "Family can not be blank."),
        (of(Vec::new()), "Container list cannot be empty."),
        (of(eleven), "Too many containers."),
        (one(json!({"name": null}), json!({})), "Container.name should not be null or empty."),
        (one(json!({"name": "a b"}), json!({})), "Container.name contains invalid characters."),
        (one(json!({"image": null}), json!({})), "Container.image should not be null or empty."),
        (one(json!({"image": "a b"}), json!({})), "Container.image contains invalid characters."),
        (
            one(json!({"memory": null}), json!({})),
            "Invalid setting for container 'web'. At least one of 'memory' or 'memoryReservation' must \
             be specified.",
        ),
        (
            one(json!({"mountPoints": [{"sourceVolume": "x", "containerPath": "/x"}]}), json!({})),
            "Unknown volume 'x'.",
        ),
        (
            one(json!({"memory": 64}), json!({"memory": "32"})),
            "The 'memory' setting for container 'web' is greater than for the task.",
        ),
        (
            one(json!({"cpu": 257}), json!({"cpu": "256"})),
            "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.",
        ),
        (
            one(
                json!({"portMappings": [{"containerPort": 80, "hostPort": 81}]}),
                json!({"networkMode": "awsvpc"}),
            ),
            "When networkMode=awsvpc, the host ports and container ports in port mappings must match.",
        ),
        (
            one(json!({"links": ["x"]}), json!({"networkMode": "awsvpc"})),
            "Links are not supported when networkMode=awsvpc.",
        ),
    ] {
        let refusal = register(body.clone()).expect_err(&body.to_string());
        assert_eq!((refusal.code.as_ref(), refusal.message.as_str()), ("ClientException", words));
    }
    // As much as the task has is not too much.
    register(one(json!({"cpu": 256}), json!({"cpu": "256", "memory": "64"}))).expect("it fits");
}
