//! What holds for every operation: no request, however wrong, is answered by a fault of ours.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::bench::Bench;

/// A status that a client can rely upon: its own fault, or "not built".
fn is_fair(status: u16) -> bool {
    status < 500 || status == 501
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Every operation of every JSON service.
fn operations() -> Vec<(&'static str, &'static str)> {
    let ecs = aws::ecs::Operation::ALL.iter().map(|operation| ("ecs", operation.name()));
    let ecr = aws::ecr::Operation::ALL.iter().map(|operation| ("ecr", operation.name()));
    let logs = aws::logs::Operation::ALL.iter().map(|operation| ("logs", operation.name()));
    let secrets = aws::secretsmanager::Operation::ALL.iter();
    let secrets = secrets.map(|operation| ("secretsmanager", operation.name()));
    let ssm = aws::ssm::Operation::ALL.iter().map(|operation| ("ssm", operation.name()));
    let watch = aws::cloudwatch::Operation::ALL.iter();
    let watch = watch.map(|operation| ("monitoring", operation.name()));
    ecs.chain(ecr).chain(logs).chain(secrets).chain(ssm).chain(watch).collect()
}

#[tokio::test]
async fn an_empty_request_is_never_a_fault_of_ours() {
    let bench = Bench::new();
    assert_eq!(aws::ecs::Operation::ALL.len(), 88);
    for (service, operation) in operations() {
        for body in ["{}", "", "null", "[]", "{", "\"\"", "{\"cluster\":null}"] {
            let answer = bench.raw(service, operation, body.as_bytes()).await;
            assert!(is_fair(answer.status), "{service}:{operation} {body}: {answer:?}");
            assert!(answer.headers.contains_key("x-amzn-requestid"));
            if answer.status >= 400 {
                let (code, message) = answer.error();
                assert!(!code.is_empty() && !message.is_empty(), "{operation}: {answer:?}");
            }
        }
    }
}

/// Members that AWS's examples show and that say nothing: nobody misses them.
fn is_missed(shown: &Value) -> bool {
    !(shown.is_null() || *shown == json!("") || *shown == json!([]) || *shown == json!({}))
}

/// The paths at which an example shows something and an answer shows nothing.
fn missed(path: &str, shown: &Value, given: &Value, missing: &mut Vec<String>) {
    match (shown, given) {
        (Value::Object(shown), _) => {
            for (name, value) in shown {
                let path = format!("{path}.{name}");
                match given.get(name) {
                    None if is_missed(value) => missing.push(path),
                    None => {}
                    Some(given) => missed(&path, value, given, missing),
                }
            }
        }
        (Value::Array(shown), Value::Array(given)) => {
            if let (Some(shown), Some(given)) = (shown.first(), given.first()) {
                missed(path, shown, given, missing);
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn answers_have_every_member_of_the_published_examples() {
    let examples: Vec<Value> =
        serde_json::from_str(include_str!("../../../../models/examples/ecs.json")).unwrap();
    let (mut answered, mut missing) = (0, Vec::new());
    for example in &examples {
        let operation = example["operation"].as_str().unwrap();
        let bench = Bench::new();
        bench.with_node().await;
        bench.ecs("CreateCluster", json!({"clusterName": "my_cluster"})).await.ok();
        for family in ["hello_world", "sleep360"] {
            bench.with_definition(family).await;
        }
        bench.ecs("RunTask", json!({"taskDefinition": "sleep360"})).await.ok();
        let answer = bench.ecs(operation, example["input"].clone()).await;
        assert!(is_fair(answer.status), "{operation}: {answer:?}");
        if answer.status == 200 {
            answered += 1;
            missed(operation, &example["output"], &answer.json(), &mut missing);
        }
    }
    assert!(answered >= 20, "{answered} of {} were answered", examples.len());
    assert_eq!(missing, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_not_built_says_so() {
    let bench = Bench::new();
    let answer = bench.ecs("ListDaemons", json!({})).await;
    assert_eq!(answer.status, 501, "{answer:?}");
    let (code, message) = answer.error();
    assert_eq!(code, "NotImplemented");
    assert!(message.contains("ListDaemons"), "{message}");
}

#[tokio::test]
async fn unknown_operations_and_paths_are_told_apart() {
    let bench = Bench::new();
    let answer = bench.raw("ecs", "FlyToTheMoon", b"{}").await;
    assert_eq!((answer.status, answer.error().0.as_str()), (400, "UnknownOperationException"));
    let mut request = Bench::request("AmazonEC2ContainerServiceV20141113.ListClusters");
    request.path = "/somewhere".to_owned();
    let answer = bench.signed(request, "ecs", b"{}").await;
    assert_eq!(answer.status, 404, "{answer:?}");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_looked_at() {
    let bench = Bench::new();
    let body = vec![b' '; 3 * 1024 * 1024];
    let answer = bench.raw("ecs", "ListClusters", &body).await;
    assert_eq!((answer.status, answer.error().0.as_str()), (413, "RequestEntityTooLargeException"));
}

#[tokio::test]
async fn what_cannot_be_stored_is_a_server_exception_until_it_can() {
    // A store that fails is the one fault of ours that a client may see.
    let bench = Bench::new();
    bench.engine.fail_next_commits(1);
    let answer = bench.ecs("CreateCluster", json!({})).await;
    assert_eq!((answer.status, answer.error().0.as_str()), (500, "ServerException"));
    assert!(!bench.door.takes_commands());
    assert_eq!(bench.ecs("ListClusters", json!({})).await.ok()["clusterArns"], json!([]));
    bench.ecs("CreateCluster", json!({})).await.ok();
    assert!(bench.door.takes_commands());
}

/// JSON of any form, with the words of requests more often than others.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("default".to_owned()),
        Just("web".to_owned()),
        Just("web:1".to_owned()),
        Just("arn:aws:ecs:eu-west-1:123456789012:cluster/default".to_owned()),
        Just("arn:aws:ecs:eu-west-1:123456789012:task/default/0f".to_owned()),
        ".{0,12}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3i64..20).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The members of an operation's request.
fn members(service: &str, operation: &str) -> Vec<&'static str> {
    let facts = match service {
        "ecs" => aws::ecs::FACTS.operation(operation),
        "ecr" => aws::ecr::FACTS.operation(operation),
        "secretsmanager" => aws::secretsmanager::FACTS.operation(operation),
        "ssm" => aws::ssm::FACTS.operation(operation),
        "monitoring" => aws::cloudwatch::FACTS.operation(operation),
        _ => aws::logs::FACTS.operation(operation),
    };
    let Some((input, _)) = facts.and_then(|facts| facts.shapes) else {
        return Vec::new();
    };
    match &input.kind {
        aws::schema::Kind::Structure { members, .. } => members.iter().map(|m| m.name).collect(),
        _ => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_hostile_request_is_never_a_fault_of_ours(
        values in prop::collection::vec(any_json(), 12),
        garbage in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        runtime().block_on(async {
            let bench = Bench::new();
            bench.with_node().await;
            bench.with_definition("web").await;
            for (at, (service, operation)) in operations().into_iter().enumerate() {
                let members = members(service, operation);
                let body: serde_json::Map<String, Value> = members
                    .iter()
                    .enumerate()
                    .map(|(n, name)| ((*name).to_owned(), values[(n + at) % values.len()].clone()))
                    .collect();
                let body = Value::Object(body).to_string();
                for body in [body.as_bytes(), &garbage] {
                    let answer = bench.raw(service, operation, body).await;
                    assert!(is_fair(answer.status), "{service}:{operation} {answer:?}");
                }
            }
        });
    }
}
