//! Tags of clusters, capacity providers, services, task sets, tasks, task definitions and container
//! instances.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-using-tags.html>

use aws::Error;
use aws::ecs::{
    ErrorKind, ListTagsForResourceRequest, ListTagsForResourceResponse, TagResourceRequest,
    TagResourceResponse, UntagResourceRequest, UntagResourceResponse,
};
use model::{ClusterStatus, Realm, Resource, ServiceStatus, State, Tags};
use scheduler::{CapacityRejection, Command, Rejection, words};
use store::SubmitError;

use crate::door::Door;
use crate::errors::{self, invalid};
use crate::{tag_list, view};

pub(crate) async fn tag(
    door: &Door,
    request: TagResourceRequest,
) -> Result<TagResourceResponse, Error> {
    let resource = read(door.realm(), request.resource_arn.as_deref())?;
    let tags = tag_list::read(request.tags.as_ref())?;
    submit(door, Command::Tag { resource, tags }).await?;
    Ok(TagResourceResponse::default())
}

pub(crate) async fn untag(
    door: &Door,
    request: UntagResourceRequest,
) -> Result<UntagResourceResponse, Error> {
    let resource = read(door.realm(), request.resource_arn.as_deref())?;
    let keys = request.tag_keys.unwrap_or_default();
    for key in &keys {
        tag_list::check_key(key)?;
    }
    submit(door, Command::Untag { resource, keys }).await?;
    Ok(UntagResourceResponse::default())
}

pub(crate) fn list(
    state: &State,
    request: &ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse, Error> {
    let resource = read(state.realm(), request.resource_arn.as_deref())?;
    let tags = find(state, &resource).ok_or_else(not_found)?;
    is_active(state, &resource)?;
    Ok(ListTagsForResourceResponse { tags: Some(view::tags(tags)) })
}

/// The tags of a resource, if it is there.
pub(crate) fn find<'a>(state: &'a State, resource: &Resource) -> Option<&'a Tags> {
    match resource {
        Resource::Cluster(name) => state.cluster(name).map(|cluster| &cluster.tags),
        Resource::Service(key) => state.service(key).map(|service| &service.tags),
        Resource::Task(key) => state.task(key).map(|task| &task.facts.tags),
        Resource::Instance(key) => state.instance(key).map(|instance| &instance.tags),
        Resource::Definition(key) => state.definition(key).map(|definition| &definition.tags),
        Resource::TaskSet(service, id) => {
            state.service(service)?.deployment(id)?.set.as_ref().map(|set| &set.tags)
        }
        Resource::Provider(name) => state.capacity().provider(name).map(|it| &it.tags),
        Resource::Container(..) => None,
    }
}

/// What is deleted and still described has no tags that anybody may ask for, as ECS has it.
fn is_active(state: &State, resource: &Resource) -> Result<(), Error> {
    let cluster = |name| state.cluster(name).is_some_and(|it| it.status == ClusterStatus::Inactive);
    let service = |key| state.service(key).is_some_and(|it| it.status == ServiceStatus::Inactive);
    match resource {
        Resource::Cluster(name) if cluster(name) => Err(invalid(words::INACTIVE_CLUSTER)),
        Resource::Service(key) if service(key) => Err(invalid(words::INACTIVE_SERVICE)),
        _ => Ok(()),
    }
}

fn read(realm: &Realm, arn: Option<&str>) -> Result<Resource, Error> {
    let arn = arn.unwrap_or_default();
    match realm.parse(arn) {
        Ok(Resource::Container(..)) => Err(invalid(format!(
            "resourceArn: {arn} names a container, which has no tags of its own."
        ))),
        Ok(resource) => Ok(resource),
        Err(error) => Err(invalid(format!("resourceArn: {error}."))),
    }
}

async fn submit(door: &Door, command: Command) -> Result<(), Error> {
    let result = door.try_submit(command).await;
    result.map(|_| ()).map_err(|error| match &error {
        SubmitError::Rejected(
            Rejection::ServiceNotFound(_)
            | Rejection::TaskNotFound(_)
            | Rejection::TaskNotProtectable(_)
            | Rejection::InstanceNotFound(_)
            | Rejection::DefinitionNotFound(_)
            | Rejection::TaskSetNotFound(_)
            | Rejection::Capacity(CapacityRejection::NoProvider(_)),
        ) => not_found(),
        _ => errors::submit(door.realm(), &error),
    })
}

fn not_found() -> Error {
    ErrorKind::ResourceNotFoundException.with("The specified resource wasn't found.")
}
