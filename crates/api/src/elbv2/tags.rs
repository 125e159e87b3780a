//! Tags of whatever has an ARN here.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_AddTags.html>

use aws::Error;
use aws::elbv2 as wire;
use model::{BalancingResource, Realm, State, Tags};
use scheduler::BalancingCommand;

use super::errors::{invalid, submit};
use super::refer;
use crate::door::Door;

fn resources(realm: &Realm, arns: Option<&Vec<String>>) -> Result<Vec<BalancingResource>, Error> {
    let one = |arn: &String| {
        let found = realm.parse_balancing(arn);
        found.ok_or_else(|| invalid(format!("'{arn}' is not a valid load balancer ARN")))
    };
    arns.into_iter().flatten().map(one).collect()
}

pub(super) async fn add(
    door: &Door,
    request: wire::AddTagsInput,
) -> Result<wire::AddTagsOutput, Error> {
    let resources = resources(door.realm(), request.resource_arns.as_ref())?;
    let tags = refer::tags(request.tags.as_ref())?;
    submit(door, BalancingCommand::Tag(resources, tags)).await?;
    Ok(wire::AddTagsOutput {})
}

pub(super) async fn remove(
    door: &Door,
    request: wire::RemoveTagsInput,
) -> Result<wire::RemoveTagsOutput, Error> {
    let resources = resources(door.realm(), request.resource_arns.as_ref())?;
    let keys = request.tag_keys.unwrap_or_default();
    submit(door, BalancingCommand::Untag(resources, keys)).await?;
    Ok(wire::RemoveTagsOutput {})
}

pub(super) fn describe(
    state: &State,
    request: &wire::DescribeTagsInput,
) -> Result<wire::DescribeTagsOutput, Error> {
    let arns = request.resource_arns.as_ref();
    let mut shown = Vec::new();
    for (resource, arn) in resources(state.realm(), arns)?.iter().zip(arns.into_iter().flatten()) {
        let tags = tags_of(state, resource, arn)?;
        shown.push(wire::TagDescription {
            resource_arn: Some(arn.clone()),
            tags: Some(refer::wire_tags(&tags)),
        });
    }
    Ok(wire::DescribeTagsOutput { tag_descriptions: Some(shown) })
}

fn tags_of(state: &State, resource: &BalancingResource, arn: &str) -> Result<Tags, Error> {
    let book = state.balancing();
    match resource {
        BalancingResource::Balancer(id) => {
            book.balancer(id).map(|it| it.tags.clone()).ok_or_else(|| refer::no_balancer(arn))
        }
        BalancingResource::Group(id) => {
            book.group(id).map(|it| it.tags.clone()).ok_or_else(|| refer::no_group(arn))
        }
        BalancingResource::Listener(id) => {
            book.listener(id).map(|it| it.tags.clone()).ok_or_else(|| refer::no_listener(arn))
        }
        BalancingResource::Rule(id) => match book.rule(id) {
            Some(rule) => Ok(rule.tags.clone()),
            // A default rule has none: it cannot be tagged.
            None => book
                .listener(&id.listener())
                .filter(|listener| listener.default_rule == *id)
                .map(|_| Tags::default())
                .ok_or_else(|| refer::no_rule(arn)),
        },
    }
}
