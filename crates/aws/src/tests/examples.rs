//! The published examples of requests and responses, through the types and back.

use serde::Deserialize;
use serde_json::Value;

use super::now;
use crate::schema::{Kind, Shape};
use crate::{SERVICES, application_autoscaling, autoscaling, ec2, ecr, ecs, elbv2, sts};

#[derive(Deserialize)]
struct Example {
    operation: String,
    #[serde(default)]
    input: Option<Value>,
    #[serde(default)]
    output: Option<Value>,
}

struct Nothing;

impl ecs::Ecs for Nothing {
    type Context = ();
}

fn examples(text: &str) -> Vec<Example> {
    serde_json::from_str(text).unwrap()
}

/// The value as the wire has it: instants as seconds, and nothing that the model does not know.
fn wire(shape: &'static Shape, value: &Value) -> Value {
    match (&shape.kind, value) {
        (Kind::Structure { members, .. }, Value::Object(object)) => members
            .iter()
            .filter_map(|member| {
                Some((member.name.to_owned(), wire(member.shape, object.get(member.name)?)))
            })
            .collect(),
        (Kind::List(of), Value::Array(entries)) => {
            entries.iter().map(|entry| wire(of, entry)).collect()
        }
        (Kind::Timestamp, Value::String(text)) => {
            let instant = stdx::Timestamp::parse(text).unwrap();
            if instant.as_millis() % 1000 == 0 {
                Value::from(instant.as_secs())
            } else {
                Value::from(instant.as_secs_f64())
            }
        }
        (Kind::Double, Value::Number(number)) => Value::from(number.as_f64()),
        (_, other) => other.clone(),
    }
}

#[test]
fn the_published_examples_survive() {
    let mut seen = 0;
    for (service, text, trips) in [
        ("ecs", include_str!("../../../../models/examples/ecs.json"), ecs::TRIPS),
        ("ecr", include_str!("../../../../models/examples/ecr.json"), ecr::TRIPS),
        (
            "application-autoscaling",
            include_str!("../../../../models/examples/application-autoscaling.json"),
            application_autoscaling::TRIPS,
        ),
        (
            "autoscaling",
            include_str!("../../../../models/examples/autoscaling.json"),
            autoscaling::TRIPS,
        ),
        ("ec2", include_str!("../../../../models/examples/ec2.json"), ec2::TRIPS),
        ("elbv2", include_str!("../../../../models/examples/elbv2.json"), elbv2::TRIPS),
        ("sts", include_str!("../../../../models/examples/sts.json"), sts::TRIPS),
    ] {
        let facts = SERVICES.iter().find(|facts| facts.name == service).unwrap();
        for example in examples(text) {
            let Some((input, output)) =
                facts.operation(&example.operation).and_then(|facts| facts.shapes)
            else {
                continue;
            };
            for (shape, value) in [(input, example.input), (output, example.output)] {
                let Some(value) = value else { continue };
                seen += 1;
                let mut checked = value.clone();
                let found = crate::check::check(shape, &mut checked, false);
                assert_eq!(found, Ok(Vec::new()), "{}: {value}", example.operation);
                let (_, trip) =
                    trips.iter().find(|(known, _)| std::ptr::eq(*known, shape)).unwrap();
                assert_eq!(trip(checked).unwrap(), wire(shape, &value), "{}", example.operation);
            }
        }
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn the_published_ecs_requests_pass_the_door() {
    for example in examples(include_str!("../../../../models/examples/ecs.json")) {
        let operation = ecs::Operation::from_name(&example.operation).unwrap();
        let body = example.input.unwrap_or_default().to_string();
        let body = if body == "null" { "{}" } else { &body };
        let error = now(ecs::dispatch(&Nothing, &(), operation, body.as_bytes())).unwrap_err();
        assert_eq!(error.code, "NotImplemented", "{operation}: {error}");
    }
}
