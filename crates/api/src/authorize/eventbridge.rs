//! The resources of EventBridge's operations. `None` for what is not built.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html>

use aws::events::Operation as O;

use super::Need;
use super::request::Asked;

/// EventBridge: rules of the default bus have ARNs without the bus's name.
pub(super) fn events(asked: &Asked<'_>, operation: O) -> Option<Vec<String>> {
    let named = |kind: &str, member: &str| {
        asked.arns(member, |name| asked.arn("events", &format!("{kind}/{name}")))
    };
    // What has an ARN with an id of its own behind the name is asked on any id.
    let any_id =
        |kind: &str| asked.arns("Name", |name| asked.arn("events", &format!("{kind}/{name}/*")));
    Some(match operation {
        O::DeleteRule | O::DescribeRule | O::DisableRule | O::EnableRule | O::PutRule => {
            named("rule", "Name")
        }
        O::ListTargetsByRule | O::PutTargets | O::RemoveTargets => named("rule", "Rule"),
        O::ListTagsForResource | O::TagResource | O::UntagResource => named("rule", "ResourceARN"),
        O::DescribeEventBus => match asked.text("Name") {
            Some(_) => named("event-bus", "Name"),
            None => vec![asked.arn("events", "event-bus/default")],
        },
        O::PutEvents => vec![asked.arn("events", "event-bus/default")],
        O::CreateApiDestination | O::DeleteApiDestination | O::DescribeApiDestination => {
            any_id("api-destination")
        }
        O::CreateConnection | O::DeleteConnection | O::DescribeConnection => any_id("connection"),
        O::ListApiDestinations
        | O::ListConnections
        | O::ListEventBuses
        | O::ListRuleNamesByTarget
        | O::ListRules
        | O::TestEventPattern => Vec::new(),
        _ => return None,
    })
}

/// Leave to pass the roles of rules and targets to EventBridge.
pub(super) fn passes(asked: &Asked<'_>, operation: O) -> Vec<Need> {
    let roles: Vec<&str> = match operation {
        O::PutRule => asked.text("RoleArn").into_iter().collect(),
        O::PutTargets => {
            let targets = asked.body.get("Targets").and_then(serde_json::Value::as_array);
            let roles = targets.into_iter().flatten().filter_map(|target| target.get("RoleArn"));
            roles.filter_map(serde_json::Value::as_str).collect()
        }
        _ => return Vec::new(),
    };
    let pass = |role: &str| {
        Need::new("iam:PassRole", vec![role.to_owned()])
            .with("iam:PassedToService", "events.amazonaws.com")
    };
    roles.into_iter().map(pass).collect()
}
