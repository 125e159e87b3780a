//! Tags of rules.
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_TagResource.html>

use aws::Error;
use aws::events::*;
use model::{EventRuleName, State, Tags};
use scheduler::BusCommand;

use super::errors::{invalid, missing, submit};
use crate::door::Door;

/// Tags of a request.
pub(super) fn read(tags: &[Tag]) -> Result<Tags, Error> {
    let read = tags.iter().map(|tag| {
        let (key, value) = (tag.key.clone().unwrap_or_default(), tag.value.clone());
        check(&key)?;
        Ok((key, value.unwrap_or_default()))
    });
    read.collect()
}

fn check(key: &str) -> Result<(), Error> {
    if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Err(invalid(format!(
            "The tag key {key} begins with aws:, which is reserved; choose another prefix."
        )));
    }
    Ok(())
}

/// The rule that an ARN names, which is there.
fn find(state: &State, arn: Option<&String>) -> Result<EventRuleName, Error> {
    let arn = arn.map(String::as_str).unwrap_or_default();
    let name = state.realm().parse_event_rule(arn);
    name.filter(|name| state.bus().rule(name).is_some()).ok_or_else(|| {
        missing(format!("Resource {arn} does not exist. Wharf tags rules of the default bus."))
    })
}

pub(super) fn list(
    state: &State,
    request: &ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse, Error> {
    let name = find(state, request.resource_arn.as_ref())?;
    let tags = state.bus().rule(&name).map(|rule| rule.tags.0.clone()).unwrap_or_default();
    let tags = tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) });
    Ok(ListTagsForResourceResponse { tags: Some(tags.collect()) })
}

pub(super) async fn tag(
    door: &Door,
    request: TagResourceRequest,
) -> Result<TagResourceResponse, Error> {
    let name = find(&door.snapshot(), request.resource_arn.as_ref())?;
    let tags = read(request.tags.as_deref().unwrap_or_default())?;
    submit(door, BusCommand::Tag(name, tags)).await?;
    Ok(TagResourceResponse {})
}

pub(super) async fn untag(
    door: &Door,
    request: UntagResourceRequest,
) -> Result<UntagResourceResponse, Error> {
    let name = find(&door.snapshot(), request.resource_arn.as_ref())?;
    let keys = request.tag_keys.unwrap_or_default();
    keys.iter().try_for_each(|key| check(key))?;
    submit(door, BusCommand::Untag(name, keys)).await?;
    Ok(UntagResourceResponse {})
}
