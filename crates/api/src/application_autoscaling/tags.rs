//! Tags of scalable targets.
//! <https://docs.aws.amazon.com/autoscaling/application/userguide/resource-tagging-support.html>

use std::collections::BTreeMap;

use aws::Error;
use aws::application_autoscaling::*;
use model::{ServiceKey, State};
use scheduler::ScalingCommand;

use super::errors::{invalid, submit};
use crate::door::Door;

/// Tags of a request.
pub(super) fn read(tags: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Error> {
    tags.keys().try_for_each(|key| check(key))?;
    Ok(tags.clone())
}

fn check(key: &str) -> Result<(), Error> {
    let reserved = key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
    if reserved {
        return Err(invalid(format!(
            "The tag key {key} begins with aws:, which is reserved; choose another prefix."
        )));
    }
    Ok(())
}

/// The target that an ARN names.
fn find(state: &State, arn: Option<&String>) -> Result<ServiceKey, Error> {
    let arn = arn.map(String::as_str).unwrap_or_default();
    let id = state.realm().parse_scalable_target(arn);
    let target = id.and_then(|id| state.scaling().target_by_id(&id));
    target.map(|target| target.service.clone()).ok_or_else(|| {
        ErrorKind::ResourceNotFoundException
            .with(format!("The specified resource doesn't exist: {arn}"))
    })
}

pub(super) fn list(
    state: &State,
    request: &ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse, Error> {
    let service = find(state, request.resource_arn.as_ref())?;
    let tags = state.scaling().target(&service).map(|target| target.tags.0.clone());
    Ok(ListTagsForResourceResponse { tags: Some(tags.unwrap_or_default()) })
}

pub(super) async fn tag(
    door: &Door,
    request: TagResourceRequest,
) -> Result<TagResourceResponse, Error> {
    let service = find(&door.snapshot(), request.resource_arn.as_ref())?;
    let tags = read(&request.tags.unwrap_or_default())?;
    submit(door, ScalingCommand::Tag(service, tags.into_iter().collect())).await?;
    Ok(TagResourceResponse {})
}

pub(super) async fn untag(
    door: &Door,
    request: UntagResourceRequest,
) -> Result<UntagResourceResponse, Error> {
    let service = find(&door.snapshot(), request.resource_arn.as_ref())?;
    let keys = request.tag_keys.unwrap_or_default();
    keys.iter().try_for_each(|key| check(key))?;
    submit(door, ScalingCommand::Untag(service, keys)).await?;
    Ok(UntagResourceResponse {})
}
