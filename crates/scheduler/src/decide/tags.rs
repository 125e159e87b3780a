//! TagResource and UntagResource.

use std::sync::Arc;

use model::{
    CapacityChange, CapacityProvider, Change, Cluster, ClusterStatus, DeploymentId, Instance,
    Resource, ServiceKey, ServiceStatus, Tags, TaskDefinition, TaskFacts, TaskStatus,
};

use crate::desk::Desk;
use crate::{CapacityRejection, Rejection, Reply, words};

/// TagResource: these win over those of the same key.
pub(super) fn tag(
    desk: &mut Desk<'_>,
    resource: &Resource,
    tags: &Tags,
) -> Result<Reply, Rejection> {
    if let Some(key) = tags.0.keys().find(|key| reserved(key)) {
        return Err(refuse(key));
    }
    edit(desk, resource, |before| {
        let after = before.clone().with(tags);
        let users = after.0.keys().filter(|key| !reserved(key)).count();
        if users > Tags::MOST {
            return Err(Rejection::Refused(format!(
                "A resource carries at most {} tags; with these it would have {users}. Remove some first.",
                Tags::MOST
            )));
        }
        Ok(after)
    })
}

/// UntagResource: keys that are not there are no error.
pub(super) fn untag(
    desk: &mut Desk<'_>,
    resource: &Resource,
    keys: &[String],
) -> Result<Reply, Rejection> {
    if let Some(key) = keys.iter().find(|key| reserved(key)) {
        return Err(refuse(key));
    }
    edit(desk, resource, |before| {
        let mut after = before.clone();
        after.0.retain(|key, _| !keys.contains(key));
        Ok(after)
    })
}

/// AWS's own tags cannot be changed by users.
fn reserved(key: &str) -> bool {
    key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"))
}

fn refuse(key: &str) -> Rejection {
    Rejection::Invalid {
        member: "tags".to_owned(),
        why: format!("the key {key} begins with aws:, which is reserved; choose another prefix"),
    }
}

fn edit(
    desk: &mut Desk<'_>,
    resource: &Resource,
    by: impl FnOnce(&Tags) -> Result<Tags, Rejection>,
) -> Result<Reply, Rejection> {
    let state = desk.state;
    match resource {
        Resource::Cluster(name) => {
            let missing = || Rejection::ClusterNotFound(name.clone());
            let before = state.cluster(name).ok_or_else(missing)?;
            if before.status != ClusterStatus::Active {
                return Err(Rejection::Refused(words::INACTIVE_CLUSTER.to_owned()));
            }
            let tags = by(&before.tags)?;
            desk.put(Change::PutCluster(Arc::new(Cluster { tags, ..Cluster::clone(before) })));
        }
        Resource::Service(key) => {
            let missing = || Rejection::ServiceNotFound(key.clone());
            let before = state.service(key).ok_or_else(missing)?;
            if before.status == ServiceStatus::Inactive {
                return Err(Rejection::Refused(words::INACTIVE_SERVICE.to_owned()));
            }
            let tags = by(&before.tags)?;
            desk.draft(key).ok_or_else(missing)?.tags = tags;
        }
        Resource::Task(key) => {
            let before = state.task(key).ok_or_else(|| Rejection::TaskNotFound(key.clone()))?;
            if before.progress.status == TaskStatus::Stopped {
                return Err(Rejection::Refused(words::STOPPED_TASK.to_owned()));
            }
            let tags = by(&before.facts.tags)?;
            let facts = TaskFacts { tags, ..TaskFacts::clone(&before.facts) };
            desk.put(Change::PutTask(Arc::new(facts)));
        }
        Resource::Instance(key) => {
            let missing = || Rejection::InstanceNotFound(key.clone());
            let before = state.instance(key).ok_or_else(missing)?;
            let tags = by(&before.tags)?;
            let version = before.version + 1;
            let next = Instance { tags, version, ..Instance::clone(before) };
            desk.put(Change::PutInstance(Arc::new(next)));
        }
        Resource::Definition(key) => {
            let missing = || Rejection::DefinitionNotFound(key.clone());
            let before = state.definition(key).ok_or_else(missing)?;
            let tags = by(&before.tags)?;
            let next = TaskDefinition { tags, ..TaskDefinition::clone(before) };
            desk.put(Change::PutDefinition(Arc::new(next)));
        }
        Resource::TaskSet(service, set) => edit_set(desk, service, set, by)?,
        Resource::Provider(name) => {
            let missing = || Rejection::Capacity(CapacityRejection::NoProvider(name.clone()));
            let before = state.capacity().provider(name).ok_or_else(missing)?;
            let tags = by(&before.tags)?;
            let next = CapacityProvider { tags, ..CapacityProvider::clone(before) };
            desk.put(Change::Capacity(CapacityChange::PutProvider(Arc::new(next))));
        }
        Resource::Container(..) => {
            return Err(Rejection::Invalid {
                member: "resourceArn".to_owned(),
                why: "a container carries no tags; tag its task".to_owned(),
            });
        }
    }
    Ok(Reply::Done)
}

/// A task set's tags are its own; its service's stay as they are.
fn edit_set(
    desk: &mut Desk<'_>,
    service: &ServiceKey,
    id: &DeploymentId,
    by: impl FnOnce(&Tags) -> Result<Tags, Rejection>,
) -> Result<(), Rejection> {
    let missing = || Rejection::TaskSetNotFound(id.clone());
    let Some(found) = desk.state.service(service) else {
        return Err(Rejection::ServiceNotFound(service.clone()));
    };
    let set = found.deployment(id).and_then(|deployment| deployment.set.as_ref());
    let tags = by(&set.ok_or_else(missing)?.tags)?;
    let draft = desk.draft(service).ok_or_else(missing)?;
    let deployment = draft.deployments.iter_mut().find(|d| d.id == *id);
    if let Some(set) = deployment.and_then(|deployment| deployment.set.as_mut()) {
        set.tags = tags;
    }
    Ok(())
}
