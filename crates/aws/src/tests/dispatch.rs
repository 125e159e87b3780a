//! Requests through the dispatchers: decoded, validated, called, answered.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::now;
use super::sample::{Chance, damage, valid};
use crate::ecs::{self, Ecs, Operation};
use crate::schema::Kind;
use crate::{Constraint, Error, Validate, ecr, logs, sts};

/// A server of nothing.
struct Nothing;

impl Ecs for Nothing {
    type Context = ();
}
impl ecr::Ecr for Nothing {
    type Context = ();
}
impl logs::Logs for Nothing {
    type Context = ();
}
impl sts::Sts for Nothing {
    type Context = ();
}

fn ask(operation: Operation, body: &str) -> Error {
    now(ecs::dispatch(&Nothing, &(), operation, body.as_bytes())).unwrap_err()
}

#[test]
fn what_is_valid_reaches_the_operation_and_what_is_not_built_says_so() {
    let mut chance = Chance::seeded(4);
    for operation in Operation::ALL {
        let (input, _) = operation.facts().shapes.unwrap();
        let error = ask(*operation, &valid(input, &mut chance).to_string());
        assert_eq!(
            (error.code.as_ref(), error.status),
            ("NotImplemented", 501),
            "{operation}: {error}"
        );
        assert!(error.message.contains(operation.name()), "{error}");
    }
    let other = ecr::Operation::PutImage;
    let error = now(ecr::dispatch(&Nothing, &(), other, b"{}")).unwrap_err();
    assert_eq!((error.code.as_ref(), error.status), ("NotImplemented", 501));
}

#[test]
fn damaged_requests_are_the_callers_fault_and_never_ours() {
    let mut chance = Chance::seeded(5);
    for operation in Operation::ALL {
        for _ in 0..30 {
            let (input, _) = operation.facts().shapes.unwrap();
            let mut request = valid(input, &mut chance);
            damage(&mut request, &mut chance);
            let error = ask(*operation, &request.to_string());
            let known = ["NotImplemented", "SerializationException", "InvalidParameterException"]
                .contains(&&*error.code);
            assert!(
                known && (error.status == 400 || error.code == "NotImplemented"),
                "{operation}: {error}"
            );
        }
    }
}

#[test]
fn a_missing_member_is_named() {
    let mut seen = 0;
    for operation in Operation::ALL {
        let (input, _) = operation.facts().shapes.unwrap();
        let Kind::Structure { members, .. } = input.kind else {
            panic!("a request is a structure")
        };
        for member in members.iter().filter(|member| member.required) {
            seen += 1;
            let mut request = valid(input, &mut Chance::seeded(6));
            for blank in [Value::Null, json!({}).clone()] {
                match blank {
                    Value::Null => request[member.name] = Value::Null,
                    _ => drop(request.as_object_mut().unwrap().remove(member.name)),
                }
                let error = ask(*operation, &request.to_string());
                assert_eq!((error.code.as_ref(), error.status), ("InvalidParameterException", 400));
                assert_eq!(error.message, format!("{} can not be blank.", member.name));
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn each_kind_of_violation_has_its_sentence() {
    let cases = [
        (
            Operation::RunTask,
            json!({"taskDefinition": "a", "launchType": "LUNAR"}),
            "Value 'LUNAR' at 'launchType' failed to satisfy constraint: Member must satisfy enum value set: \
             [EC2, FARGATE, EXTERNAL, MANAGED_INSTANCES].",
        ),
        (
            Operation::RunTask,
            json!({"taskDefinition": "a", "capacityProviderStrategy": [{"capacityProvider": "p"},
                {"capacityProvider": "p", "weight": 1001}]}),
            "Value '1001' at 'capacityProviderStrategy[1].weight' failed to satisfy constraint: Member must have \
             value less than or equal to 1000.",
        ),
        (
            Operation::TagResource,
            json!({"resourceArn": "a", "tags": [{"key": "", "value": "v"}, {"key": "a;b"}]}),
            "Value '' at 'tags[0].key' failed to satisfy constraint: Member must have length greater than or equal \
             to 1. Value 'a;b' at 'tags[1].key' failed to satisfy constraint: Member must satisfy regular expression \
             pattern: ([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*).",
        ),
        (Operation::RunTask, json!({}), "taskDefinition can not be blank."),
        (
            Operation::RegisterTaskDefinition,
            json!({"family": "f", "containerDefinitions": [{"ulimits": [{"name": "nofile", "softLimit": 1}]}]}),
            "containerDefinitions[0].ulimits[0].hardLimit can not be blank.",
        ),
    ];
    for (operation, request, sentence) in cases {
        let error = ask(operation, &request.to_string());
        assert_eq!(error.code, "InvalidParameterException");
        assert_eq!(error.message, sentence);
    }
}

#[test]
fn a_typed_request_can_be_held_against_its_model() {
    let mut request = ecs::RunTaskRequest::default();
    let violations = request.violations();
    assert_eq!(violations.len(), 1);
    assert_eq!(
        (violations[0].path.as_str(), violations[0].constraint),
        ("taskDefinition", Constraint::Required)
    );
    request.task_definition = Some("web".into());
    assert_eq!(request.violations(), []);
    request.launch_type = Some(ecs::LaunchType::from("LUNAR"));
    assert_eq!(request.violations()[0].given.as_deref(), Some("LUNAR"));
}

#[test]
fn each_wrong_type_has_its_sentence() {
    let cases = [
        (
            Operation::RunTask,
            r#"{"count":"two"}"#,
            "In RunTask, 'count': this String can not be converted to an Integer.",
        ),
        (
            Operation::RunTask,
            r#"{"count":1.5}"#,
            "In RunTask, 'count': this number can not be converted to an Integer.",
        ),
        (
            Operation::RunTask,
            r#"{"count":4294967296}"#,
            "In RunTask, 'count': this number can not be converted to an Integer.",
        ),
        (
            Operation::RegisterTaskDefinition,
            r#"{"family":"f","containerDefinitions":[{},{"dockerLabels":{"a":1}}]}"#,
            "In RegisterTaskDefinition, 'containerDefinitions[1].dockerLabels['a']': this number can not be \
             converted to a String.",
        ),
        (
            Operation::DescribeTasks,
            r#"{"tasks":"one"}"#,
            "In DescribeTasks, 'tasks': this String can not be converted to a list.",
        ),
        (
            Operation::DescribeTasks,
            r#"{"tasks":[null]}"#,
            "In DescribeTasks, 'tasks[0]': null can not be converted to a String.",
        ),
        (
            Operation::DescribeTasks,
            r#"["a"]"#,
            "In DescribeTasks, the request: a list can not be converted to a structure.",
        ),
    ];
    for (operation, request, sentence) in cases {
        let error = ask(operation, request);
        assert_eq!((error.code.as_ref(), error.status), ("SerializationException", 400));
        assert_eq!(error.message, sentence);
    }
    let error = ask(Operation::RunTask, "{");
    assert_eq!(error.code, "SerializationException");
    assert!(error.message.starts_with("The body of RunTask is not JSON: "), "{error}");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(ask(Operation::RunTask, &deep).code, "SerializationException");
}

#[test]
fn an_agents_report_is_not_refused_for_a_word() {
    let report = json!({"task": "t", "status": "x".repeat(5000), "reason": "y".repeat(5000),
        "containers": [{"containerName": "a", "networkBindings": [{"protocol": "sctp"}]}]});
    assert_eq!(ask(Operation::SubmitTaskStateChange, &report.to_string()).code, "NotImplemented");
    let register = json!({"platformDevices": [{"id": "0", "type": "TPU"}],
        "tags": [{"key": "a;b", "value": "v"}]});
    assert_eq!(
        ask(Operation::RegisterContainerInstance, &register.to_string()).code,
        "NotImplemented"
    );
    let error = ask(Operation::SubmitAttachmentStateChanges, "{}");
    assert_eq!(error.message, "attachments can not be blank.");
}

#[test]
fn secrets_are_not_repeated() {
    let request = json!({"DurationSeconds": 1, "RoleArn": "arn:aws:iam::123456789012:role/demo",
        "RoleSessionName": "no spaces please"});
    let error = now(sts::dispatch(
        &Nothing,
        &(),
        sts::Operation::AssumeRole,
        request.to_string().as_bytes(),
    ))
    .unwrap_err();
    assert_eq!((error.code.as_ref(), error.status), ("ValidationError", 400));
    assert_eq!(
        error.message,
        "2 validation errors detected: Value '1' at 'DurationSeconds' failed to satisfy constraint: Member must \
         have value greater than or equal to 900; Value 'no spaces please' at 'RoleSessionName' failed to satisfy \
         constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*"
    );
    static SECRET: crate::schema::Shape = crate::schema::Shape::text().max(3.0).sensitive();
    let violations = crate::check::check(&SECRET, &mut json!("hush, hush"), false).unwrap();
    assert_eq!(violations[0].given, None);
    assert!(!violations[0].to_string().contains("hush"));
}

#[test]
fn other_services_have_their_own_words() {
    let ask_logs = |operation, body: &str| {
        now(logs::dispatch(&Nothing, &(), operation, body.as_bytes())).unwrap_err()
    };
    let error = ask_logs(logs::Operation::CreateLogGroup, "{}");
    assert_eq!(error.code, "InvalidParameterException");
    assert_eq!(
        error.message,
        "1 validation error detected: Value at 'logGroupName' failed to satisfy constraint: Member must not be null"
    );
    let error = now(ecr::dispatch(
        &Nothing,
        &(),
        ecr::Operation::CreateRepository,
        br#"{"repositoryName":"UPPER"}"#,
    ))
    .unwrap_err();
    assert!(
        error.message.starts_with("Invalid parameter at 'repositoryName' failed to satisfy"),
        "{error}"
    );
}

#[test]
fn violations_come_ten_at_most_and_values_cut() {
    let tags: Vec<Value> = (0..50).map(|_| json!({"key": "k".repeat(500)})).collect();
    let error = ask(Operation::TagResource, &json!({"resourceArn": "a", "tags": tags}).to_string());
    assert_eq!(error.message.matches("failed to satisfy").count(), crate::MAX_VIOLATIONS);
    assert!(!error.message.contains(&"k".repeat(101)));
}

/// A server that answers one operation.
struct Echo;

impl Ecs for Echo {
    type Context = u8;

    async fn run_task(
        &self,
        context: &u8,
        request: ecs::RunTaskRequest,
    ) -> Result<ecs::RunTaskResponse, Error> {
        if request.count == Some(0) {
            return Err(ecs::ErrorKind::ConflictException
                .with("busy")
                .with_field("resourceIds", &["a"]));
        }
        let task = ecs::Task {
            group: request.task_definition,
            version: Some(i64::from(*context)),
            created_at: Some(stdx::Timestamp::from_millis(1_795_357_857_123)),
            ..ecs::Task::default()
        };
        Ok(ecs::RunTaskResponse { tasks: Some(vec![task]), failures: Some(Vec::new()) })
    }
}

#[test]
fn an_answer_is_json_and_an_error_keeps_its_members() {
    let run = |body: &[u8]| now(ecs::dispatch(&Echo, &7, Operation::RunTask, body));
    let answer = run(br#"{"taskDefinition":"web","count":2.0,"later":1,"cluster":null}"#).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&answer).unwrap(),
        json!({"tasks": [{"group": "web", "version": 7, "createdAt": 1_795_357_857.123}], "failures": []})
    );
    let error = run(br#"{"taskDefinition":"web","count":0}"#).unwrap_err();
    let body: Value =
        serde_json::from_slice(&crate::json::encode_error(&error.code, &error)).unwrap();
    assert_eq!(
        body,
        json!({"__type": "ConflictException", "message": "busy", "resourceIds": ["a"]})
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_body_makes_a_dispatcher_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "[\\[\\]{}\":,a-z0-9.\\-\\\\ ]{0,100}",
    ) {
        for operation in Operation::ALL {
            for body in [bytes.as_slice(), text.as_bytes()] {
                let error = now(ecs::dispatch(&Nothing, &(), *operation, body)).unwrap_err();
                prop_assert!(error.status == 400 || error.code == "NotImplemented", "{}", error);
            }
        }
    }
}
