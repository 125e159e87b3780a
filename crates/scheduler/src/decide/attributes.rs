//! PutAttributes and DeleteAttributes: what users say of container instances.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Attribute, Change, ClusterName, Instance, InstanceKey};

use super::active_cluster;
use crate::desk::Desk;
use crate::{Rejection, Reply};

/// So many attributes of an instance may be users' own: an ECS limit.
pub(crate) const MOST_OWN: usize = 10;

/// PutAttributes: all of them or none. The last of those with one name wins.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PutAttributes.html>
pub(super) fn put(
    desk: &mut Desk<'_>,
    cluster: &ClusterName,
    given: &[(InstanceKey, Attribute)],
) -> Result<Reply, Rejection> {
    for (key, instance) in changed(desk, cluster, given)? {
        let mut next = Instance::clone(&instance);
        for (_, attribute) in given.iter().filter(|(of, _)| *of == key) {
            match next.attributes.iter_mut().find(|a| a.name == attribute.name) {
                Some(before) => before.value.clone_from(&attribute.value),
                None => next.attributes.push(attribute.clone()),
            }
        }
        let (had, has) = (own(&instance), own(&next));
        if has > MOST_OWN && has > had {
            return Err(Rejection::TooManyAttributes(key, has));
        }
        settle(desk, &instance, next);
    }
    Ok(Reply::Done)
}

/// DeleteAttributes: by their names.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteAttributes.html>
pub(super) fn delete(
    desk: &mut Desk<'_>,
    cluster: &ClusterName,
    given: &[(InstanceKey, Attribute)],
) -> Result<Reply, Rejection> {
    for (key, instance) in changed(desk, cluster, given)? {
        let mut next = Instance::clone(&instance);
        let named = |name: &str| given.iter().any(|(of, a)| *of == key && a.name == name);
        next.attributes.retain(|attribute| !named(&attribute.name));
        settle(desk, &instance, next);
    }
    Ok(Reply::Done)
}

fn settle(desk: &mut Desk<'_>, before: &Instance, mut next: Instance) {
    if next != *before {
        next.version += 1;
        desk.put(Change::PutInstance(Arc::new(next)));
    }
}

/// Each instance that is named, once.
fn changed(
    desk: &Desk<'_>,
    cluster: &ClusterName,
    given: &[(InstanceKey, Attribute)],
) -> Result<BTreeMap<InstanceKey, Arc<Instance>>, Rejection> {
    active_cluster(desk.state, cluster)?;
    let find = |(key, _): &(InstanceKey, Attribute)| {
        let found = desk.state.instance(key).cloned();
        let found = found.ok_or_else(|| Rejection::TargetNotFound(key.clone()))?;
        Ok((key.clone(), found))
    };
    given.iter().map(find).collect()
}

/// How many attributes its agent does not tell of itself.
fn own(instance: &Instance) -> usize {
    let told = |name: &str| {
        ["ecs.", "com.amazonaws.ecs.", "wharf."].iter().any(|prefix| name.starts_with(prefix))
    };
    instance.attributes.iter().filter(|attribute| !told(&attribute.name)).count()
}
