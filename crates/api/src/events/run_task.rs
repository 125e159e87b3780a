//! RunTask as a target: what a rule's target says becomes a request, made by the target's role.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/tasks-scheduled-eventbridge-scheduler.html>

use std::sync::Arc;
use std::time::Duration;

use auth::{Identity, RoleSession};
use aws::Protocol;
use aws::ecs::{Ecs, RunTaskRequest, RunTaskResponse};
use aws::events::{EcsParameters, Target};
use aws::protocol::Call;
use serde_json::{Map, Value, json};

use crate::authorize;
use crate::door::{Caller, Door};
use crate::identity;

/// The service as which rules assume roles.
const EVENTS: &str = "events.amazonaws.com";

/// Why no task was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It will not do any better later.
    Never(String),
    /// It may be tried again.
    Later(String),
}

/// Runs the tasks that a target asks for, once for each `token`: `told` is what the target is told of
/// the event, if it says what; `rule` is the rule's name, and `rule_role` the role of a target that has
/// none.
///
/// # Errors
///
/// Why no task was run.
pub async fn run(
    door: &Door,
    target: &Target,
    (rule, rule_role): (&str, Option<&str>),
    told: Option<&str>,
    token: &str,
) -> Result<(), Refusal> {
    let role = target.role_arn.as_deref().or(rule_role).unwrap_or_default();
    let caller = assume(door, role, rule)?;
    let parameters = target.ecs_parameters.clone().unwrap_or_default();
    let cluster = target.arn.clone().unwrap_or_default();
    let mut request = request(&parameters, cluster, rule, overrides(told)?);
    request["clientToken"] = json!(token);
    let body = serde_json::to_vec(&request).map_err(|error| Refusal::Never(error.to_string()))?;
    let facts = &aws::ecs::FACTS;
    let operation = facts.operation("RunTask");
    let operation = operation.ok_or_else(|| Refusal::Never("RunTask is not known".to_owned()))?;
    let call = Call { service: facts, operation, protocol: Protocol::Json11 };
    let refused = |error: aws::Error| {
        let why = format!("{}: {}", error.code, error.message);
        match (error.status, error.code.as_ref()) {
            // The same event has run already, and the target has changed since.
            (_, "ConflictException") => None,
            (500.., _) => Some(Refusal::Later(why)),
            _ => Some(Refusal::Never(why)),
        }
    };
    if let Err(error) = authorize::operation(door, &caller, &call, &body).await {
        return refused(error).map_or(Ok(()), Err);
    }
    let request: RunTaskRequest =
        serde_json::from_value(request).map_err(|error| Refusal::Never(error.to_string()))?;
    match Ecs::run_task(door, &caller, request).await {
        Ok(answer) => placed(&answer),
        Err(error) => refused(error).map_or(Ok(()), Err),
    }
}

/// Without a place for any task it is tried again; some is enough, as AWS does not count them either.
fn placed(answer: &RunTaskResponse) -> Result<(), Refusal> {
    let started = answer.tasks.as_ref().is_some_and(|tasks| !tasks.is_empty());
    match answer.failures.iter().flatten().next().filter(|_| !started) {
        None => Ok(()),
        Some(failure) => {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let why = format!("{}: {}", text(&failure.reason), text(&failure.detail));
            Err(Refusal::Later(why))
        }
    }
}

/// A session of the role, if rules may assume it.
fn assume(door: &Door, role: &str, rule: &str) -> Result<Caller, Refusal> {
    let (state, now) = (door.snapshot(), door.now());
    let rule_arn = state.realm().event_rule(&rule.into());
    let found = identity::assumable_by(&state, role, EVENTS, &rule_arn, now);
    let found = found.ok_or_else(|| {
        Refusal::Never(format!(
            "EventBridge cannot assume the role {role}: it has to be there and its trust policy has \
             to name the service {EVENTS}."
        ))
    })?;
    let session = RoleSession {
        role_arn: state.realm().role(found),
        role_id: found.id.clone(),
        name: rule.chars().take(64).collect(),
        issued: now.as_millis(),
        expires: (now + Duration::from_secs(3600)).as_millis(),
        task: None,
        policies: Vec::new(),
        policy_arns: Vec::new(),
    };
    let identity = Identity {
        access_key_id: String::new(),
        principal: session.principal(),
        session: true,
        service: "ecs".to_owned(),
        region: state.realm().region.clone(),
        role: Some(Arc::new(session)),
    };
    Ok(Caller { identity, request_id: crate::answer::request_id(), source: None })
}

/// What RunTask takes of what the target is told: overrides, at the top of a JSON object.
fn overrides(told: Option<&str>) -> Result<Map<String, Value>, Refusal> {
    let Some(told) = told else { return Ok(Map::new()) };
    match serde_json::from_str(told) {
        Ok(Value::Object(all)) => {
            Ok(all.into_iter().filter(|(name, _)| is_override(name)).collect())
        }
        Ok(Value::Null) => Ok(Map::new()),
        _ => Err(Refusal::Never(
            "The input of a target that runs tasks must be a JSON object, such as \
             {\"containerOverrides\": […]}."
                .to_owned(),
        )),
    }
}

fn is_override(name: &str) -> bool {
    const NAMES: [&str; 7] = [
        "containerOverrides",
        "cpu",
        "memory",
        "taskRoleArn",
        "executionRoleArn",
        "ephemeralStorage",
        "inferenceAcceleratorOverrides",
    ];
    NAMES.contains(&name)
}

/// The request in ECS's spelling.
fn request(
    parameters: &EcsParameters,
    cluster: String,
    rule: &str,
    overrides: Map<String, Value>,
) -> Value {
    let p = parameters;
    let mut request = json!({
        "cluster": cluster,
        "taskDefinition": p.task_definition_arn,
        "count": p.task_count.unwrap_or(1),
        "startedBy": format!("events-rule/{rule}").chars().take(128).collect::<String>(),
    });
    let mut set = |name: &str, value: Option<Value>| {
        if let (Some(value), Some(members)) = (value, request.as_object_mut()) {
            members.insert(name.to_owned(), value);
        }
    };
    set("launchType", p.launch_type.as_ref().map(|it| json!(it.as_str())));
    set("group", p.group.as_ref().map(|it| json!(it)));
    set("platformVersion", p.platform_version.as_ref().map(|it| json!(it)));
    set("referenceId", p.reference_id.as_ref().map(|it| json!(it)));
    set("enableECSManagedTags", p.enable_ecs_managed_tags.map(Value::from));
    set("enableExecuteCommand", p.enable_execute_command.map(Value::from));
    set("propagateTags", p.propagate_tags.as_ref().map(|it| json!(it.as_str())));
    set(
        "tags",
        p.tags.as_ref().map(|tags| {
            tags.iter().map(|tag| json!({"key": tag.key, "value": tag.value})).collect()
        }),
    );
    set(
        "capacityProviderStrategy",
        p.capacity_provider_strategy.as_ref().map(|all| {
            let one = |it: &aws::events::CapacityProviderStrategyItem| {
                json!({
                    "capacityProvider": it.capacity_provider,
                    "weight": it.weight.unwrap_or(0),
                    "base": it.base.unwrap_or(0),
                })
            };
            all.iter().map(one).collect()
        }),
    );
    set(
        "placementConstraints",
        p.placement_constraints.as_ref().map(|all| {
            let one = |it: &aws::events::PlacementConstraint| {
                without_null(json!({"type": it.r#type, "expression": it.expression}))
            };
            all.iter().map(one).collect()
        }),
    );
    set(
        "placementStrategy",
        p.placement_strategy.as_ref().map(|all| {
            let one = |it: &aws::events::PlacementStrategy| {
                without_null(json!({"type": it.r#type, "field": it.field}))
            };
            all.iter().map(one).collect()
        }),
    );
    let network = p.network_configuration.as_ref();
    set(
        "networkConfiguration",
        network.and_then(|it| it.awsvpc_configuration.as_ref()).map(|it| {
            json!({"awsvpcConfiguration": without_null(json!({
                "subnets": it.subnets,
                "securityGroups": it.security_groups,
                "assignPublicIp": it.assign_public_ip,
            }))})
        }),
    );
    set("overrides", (!overrides.is_empty()).then_some(Value::Object(overrides)));
    request
}

fn without_null(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    value
}

#[cfg(test)]
mod tests {
    use aws::events::{AwsVpcConfiguration, NetworkConfiguration, Tag};

    use super::*;

    #[test]
    fn a_target_says_all_that_run_task_takes() {
        let parameters = EcsParameters {
            task_definition_arn: Some("web:1".into()),
            task_count: Some(3),
            launch_type: Some("EC2".into()),
            group: Some("g".into()),
            propagate_tags: Some("TASK_DEFINITION".into()),
            tags: Some(vec![Tag { key: Some("k".into()), value: Some("v".into()) }]),
            enable_ecs_managed_tags: Some(true),
            network_configuration: Some(NetworkConfiguration {
                awsvpc_configuration: Some(AwsVpcConfiguration {
                    subnets: Some(vec!["subnet-1".into()]),
                    ..AwsVpcConfiguration::default()
                }),
            }),
            ..EcsParameters::default()
        };
        let told = r#"{"containerOverrides": [{"name": "a", "command": ["x"]}], "detail": {}}"#;
        let overrides = overrides(Some(told)).unwrap();
        let request = request(&parameters, "arn:c".into(), "nightly", overrides);
        let read: RunTaskRequest = serde_json::from_value(request).unwrap();
        assert_eq!(read.count, Some(3));
        assert_eq!(read.started_by.as_deref(), Some("events-rule/nightly"));
        assert_eq!(read.enable_ecs_managed_tags, Some(true));
        assert_eq!(read.tags.unwrap()[0].key.as_deref(), Some("k"));
        let vpc = read.network_configuration.unwrap().awsvpc_configuration.unwrap();
        assert_eq!(vpc.subnets.unwrap(), ["subnet-1"]);
        let all = read.overrides.unwrap().container_overrides.unwrap();
        assert_eq!(all[0].command.as_deref(), Some(&["x".to_owned()][..]));
        assert!(super::overrides(Some("[1]")).is_err());
    }
}
