//! What a target may be: a log group, a cluster in which tasks are run, an API destination. Everything
//! else that EventBridge calls is refused by name.
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Target.html>

use aws::Error;
use aws::events::{EcsParameters, Target};
use events::Path;
use events::template::Template;
use model::{EventRule, Realm, State};

use super::errors::{invalid, missing, not_built};
use super::rules::known_role;

/// What a target's ARN names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    LogGroup,
    Cluster,
    Destination,
}

/// Refuses a target that could not be called as it is.
pub(super) fn target(state: &State, rule: &EventRule, target: &Target) -> Result<(), Error> {
    let id = target.id.as_deref().unwrap_or_default();
    unbuilt(target)?;
    input(id, target)?;
    let arn = target.arn.as_deref().unwrap_or_default();
    let kind = kind(state.realm(), arn)?;
    let role = target.role_arn.as_deref().or(rule.role.as_deref());
    match (&kind, &target.ecs_parameters) {
        (Kind::Cluster, Some(parameters)) => {
            let role =
                role.ok_or_else(|| invalid(format!("RoleArn is required for target {id}.")))?;
            known_role(state, "RoleArn", role)?;
            ecs(id, parameters)?;
        }
        (Kind::Cluster, None) => {
            return Err(invalid(format!(
                "Parameter(s) EcsParameters must be specified for target: {id}."
            )));
        }
        (_, Some(_)) => {
            return Err(invalid(format!("Parameter(s) EcsParameters not valid for target: {id}.")));
        }
        (Kind::LogGroup | Kind::Destination, None) => {}
    }
    if target.http_parameters.is_some() && kind != Kind::Destination {
        return Err(invalid(format!("Parameter(s) HttpParameters not valid for target: {id}.")));
    }
    if kind == Kind::Destination {
        let found = state.realm().parse_api_destination(arn);
        let there = found.is_some_and(|(name, id)| {
            state.bus().destination(&name).is_some_and(|there| there.id == id)
        });
        if !there {
            return Err(missing(format!("The api-destination {arn} does not exist.")));
        }
    }
    Ok(())
}

fn unbuilt(target: &Target) -> Result<(), Error> {
    for (member, given) in [
        ("KinesisParameters", target.kinesis_parameters.is_some()),
        ("RunCommandParameters", target.run_command_parameters.is_some()),
        ("BatchParameters", target.batch_parameters.is_some()),
        ("SqsParameters", target.sqs_parameters.is_some()),
        ("RedshiftDataParameters", target.redshift_data_parameters.is_some()),
        ("SageMakerPipelineParameters", target.sage_maker_pipeline_parameters.is_some()),
        ("AppSyncParameters", target.app_sync_parameters.is_some()),
    ] {
        if given {
            return Err(not_built(member, "targets of that kind are"));
        }
    }
    if target.dead_letter_config.as_ref().is_some_and(|it| it.arn.is_some()) {
        return Err(not_built("DeadLetterConfig", "dead-letter queues (there is no SQS) are"));
    }
    Ok(())
}

/// What the target is told can be made.
fn input(id: &str, target: &Target) -> Result<(), Error> {
    let given =
        [target.input.is_some(), target.input_path.is_some(), target.input_transformer.is_some()];
    if given.iter().filter(|given| **given).count() > 1 {
        return Err(invalid(format!(
            "Only one of Input, InputPath, or InputTransformer must be provided for target {id}."
        )));
    }
    if let Some(text) = &target.input {
        serde_json::from_str::<serde_json::Value>(text).map_err(|error| {
            invalid(format!("JSON syntax error in input for target {id}: {error}."))
        })?;
    }
    if let Some(path) = &target.input_path {
        Path::parse(path).map_err(|error| {
            invalid(format!("Parameter InputPath is not valid for target {id}: {error}."))
        })?;
    }
    if let Some(transformer) = &target.input_transformer {
        let paths = transformer.input_paths_map.clone().unwrap_or_default();
        let template = transformer.input_template.as_deref().unwrap_or_default();
        Template::parse(template, &paths)
            .map_err(|error| invalid(format!("Invalid InputTemplate for target {id}: {error}.")))?;
    }
    Ok(())
}

/// What a target's ARN names, if it is something of this realm that can be called.
fn kind(realm: &Realm, arn: &str) -> Result<Kind, Error> {
    let bad = |why: String| Err(invalid(format!("Parameter {arn} is not valid. Reason: {why}")));
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, service, region, account, resource] = parts[..] else {
        return bad("Provided Arn is not in correct format.".to_owned());
    };
    if partition != realm.partition {
        return bad("Provided Arn is not in correct format.".to_owned());
    }
    if region != realm.region || account != realm.account {
        return bad(format!(
            "it is of region {region} and account {account}; this is region {} and account {}.",
            realm.region, realm.account
        ));
    }
    let named = |prefix: &str| resource.strip_prefix(prefix).is_some_and(|name| !name.is_empty());
    match service {
        "logs" if named("log-group:") => Ok(Kind::LogGroup),
        "ecs" if named("cluster/") => Ok(Kind::Cluster),
        "events" if named("api-destination/") => Ok(Kind::Destination),
        _ => bad(format!(
            "targets of {service} ({resource}) are not built yet in Wharf; a log group, a cluster of ECS \
             and an API destination are."
        )),
    }
}

/// What a task is run with; the rest is checked as that of RunTask, when it runs.
fn ecs(id: &str, parameters: &EcsParameters) -> Result<(), Error> {
    if parameters.task_definition_arn.as_deref().is_none_or(str::is_empty) {
        return Err(invalid(format!("TaskDefinitionArn is required for target {id}.")));
    }
    if parameters.task_count.is_some_and(|count| !(1..=10).contains(&count)) {
        return Err(invalid(format!("TaskCount of target {id} must be between 1 and 10.")));
    }
    let strategy = parameters.capacity_provider_strategy.as_ref();
    if parameters.launch_type.is_some() && strategy.is_some_and(|list| !list.is_empty()) {
        return Err(invalid(format!(
            "LaunchType and CapacityProviderStrategy cannot both be specified for target {id}."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_called_or_refused_with_a_reason() {
        let realm = Realm::new("eu-west-1", "123456789012");
        let of = |rest: &str| kind(&realm, &rest.replace('@', "eu-west-1:123456789012"));
        assert_eq!(of("arn:aws:logs:@:log-group:/aws/events/x:*").unwrap(), Kind::LogGroup);
        assert_eq!(of("arn:aws:ecs:@:cluster/default").unwrap(), Kind::Cluster);
        assert_eq!(of("arn:aws:events:@:api-destination/x/1").unwrap(), Kind::Destination);
        for (arn, why) in [
            ("x", "not in correct format"),
            ("arn:aws:logs:@:log-group:", "not built"),
            ("arn:aws:sqs:@:queue", "sqs"),
            ("arn:aws:lambda:@:function:f", "lambda (function:f)"),
            ("arn:aws:logs:us-east-1:123456789012:log-group:x", "us-east-1"),
        ] {
            assert!(of(arn).unwrap_err().message.contains(why), "{arn}");
        }
    }
}
