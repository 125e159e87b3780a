//! CreateTaskSet, UpdateTaskSet, UpdateServicePrimaryTaskSet and DeleteTaskSet.

use std::sync::Arc;

use model::{
    Deployment, DeploymentId, DeploymentStatus, Scale, Service, ServiceKey, ServiceStatus, TaskSet,
};

use super::run_task::compatible;
use super::service_rules::refused;
use super::tokens::Use;
use super::{active_cluster, active_definition, targets, waiting};
use crate::desk::Desk;
use crate::task_sets::{self, MOST_SETS};
use crate::{CreateTaskSet, Rejection, Reply, rollout, words};

/// CreateTaskSet: it is not the primary one until that is said.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateTaskSet.html>
pub(super) fn create(desk: &mut Desk<'_>, create: &CreateTaskSet) -> Result<Reply, Rejection> {
    let key = &create.service;
    let service = of_sets(desk, key)?;
    let token = create.client_token.as_ref();
    let token = Use { cluster: &key.cluster, operation: "CreateTaskSet", token };
    if let Some(id) = token.before(desk)?.and_then(|record| record.made.first().cloned()) {
        let id = DeploymentId::from(id);
        let still = service.deployment(&id).is_some();
        let reply = Reply::TaskSet(key.clone(), id.clone());
        return if still { Ok(reply) } else { Err(Rejection::TaskSetNotFound(id)) };
    }
    let sets = service.deployments.len();
    if sets >= MOST_SETS {
        return Err(refused(&words::too_many_sets(sets)));
    }
    if create.load_balancers.len() > 1 {
        return Err(refused(words::ONE_GROUP));
    }
    let definition = active_definition(desk.state, &create.definition)?;
    compatible(definition, create.launch_type)?;
    targets::fit(desk.state, &definition.spec, &create.load_balancers, &[])?;
    waiting::providers(desk.state, &key.cluster, &create.providers, |_| 0, 0)?;
    let deployment = rollout::deployment(desk, create.definition.clone(), 0);
    let mut set = task_sets::begun(Deployment {
        launch_type: create.launch_type,
        load_balancers: create.load_balancers.clone(),
        network: create.network.clone(),
        set: Some(TaskSet {
            scale: create.scale,
            external_id: create.external_id.clone(),
            providers: create.providers.clone(),
            tags: create.tags.clone(),
            draining: false,
        }),
        ..deployment
    });
    set.desired_count = task_sets::computed_count(&service, &set);
    let id = set.id.clone();
    change(desk, key, |service| service.deployments.push(set));
    token.remember(desk, vec![id.to_string()]);
    Ok(Reply::TaskSet(key.clone(), id))
}

/// UpdateTaskSet: its scale, and nothing else.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateTaskSet.html>
pub(super) fn scale(
    desk: &mut Desk<'_>,
    key: &ServiceKey,
    id: &DeploymentId,
    scale: Scale,
) -> Result<Reply, Rejection> {
    let service = of_sets(desk, key)?;
    let set = find(&service, id)?;
    if set.set.as_ref().is_some_and(|set| set.draining) {
        return Err(refused(&words::set_drains(id)));
    }
    if set.set.as_ref().is_some_and(|set| set.scale != scale) {
        let now = desk.now;
        change(desk, key, |service| {
            let desired = service.desired_count;
            let of = service.deployments.iter_mut().find(|d| d.id == *id);
            if let Some(deployment) = of {
                deployment.updated_at = now;
                deployment.desired_count = scale.of(desired);
                deployment.set.iter_mut().for_each(|set| set.scale = scale);
            }
        });
    }
    Ok(Reply::TaskSet(key.clone(), id.clone()))
}

/// UpdateServicePrimaryTaskSet: the one that serves.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateServicePrimaryTaskSet.html>
pub(super) fn set_primary(
    desk: &mut Desk<'_>,
    key: &ServiceKey,
    id: &DeploymentId,
) -> Result<Reply, Rejection> {
    let service = of_sets(desk, key)?;
    let set = find(&service, id)?;
    if set.set.as_ref().is_some_and(|set| set.draining) {
        return Err(refused(&words::set_drains(id)));
    }
    let now = desk.now;
    if let Some(draft) = desk.draft(key) {
        task_sets::make_primary(draft, id, now);
    }
    Ok(Reply::TaskSet(key.clone(), id.clone()))
}

/// DeleteTaskSet: it drains, and is gone with its last task. Again: nothing happens.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteTaskSet.html>
pub(super) fn delete(
    desk: &mut Desk<'_>,
    key: &ServiceKey,
    id: &DeploymentId,
    force: bool,
) -> Result<Reply, Rejection> {
    let service = of_sets(desk, key)?;
    let set = find(&service, id)?;
    let scaled = set.set.as_ref().is_some_and(|set| !set.draining && set.scale > Scale::NONE);
    if set.status == DeploymentStatus::Primary && !force {
        return Err(refused(&words::set_is_primary(id)));
    }
    if scaled && !force {
        return Err(refused(&words::set_is_scaled(id)));
    }
    if set.set.as_ref().is_some_and(|set| !set.draining) {
        let now = desk.now;
        change(desk, key, |service| {
            for deployment in service.deployments.iter_mut().filter(|d| d.id == *id) {
                deployment.status = DeploymentStatus::Active;
                deployment.updated_at = now;
                deployment.desired_count = 0;
                if let Some(set) = &mut deployment.set {
                    (set.draining, set.scale) = (true, Scale::NONE);
                }
            }
        });
    }
    Ok(Reply::TaskSet(key.clone(), id.clone()))
}

/// The service, if it is active and its deployments are task sets.
fn of_sets(desk: &Desk<'_>, key: &ServiceKey) -> Result<Arc<Service>, Rejection> {
    active_cluster(desk.state, &key.cluster)?;
    let service = desk.state.service(key).ok_or_else(|| Rejection::ServiceNotFound(key.clone()))?;
    match service.status {
        ServiceStatus::Active if task_sets::are_of(service) => Ok(service.clone()),
        ServiceStatus::Active => Err(refused(words::NOT_EXTERNAL)),
        ServiceStatus::Draining | ServiceStatus::Inactive => {
            Err(Rejection::ServiceNotActive(key.clone()))
        }
    }
}

fn find<'a>(service: &'a Service, id: &DeploymentId) -> Result<&'a Deployment, Rejection> {
    service.deployment(id).ok_or_else(|| Rejection::TaskSetNotFound(id.clone()))
}

/// Changes a service that is then no longer as it was when it said that it was steady.
fn change(desk: &mut Desk<'_>, key: &ServiceKey, change: impl FnOnce(&mut Service)) {
    if let Some(draft) = desk.draft(key) {
        draft.steady_since = None;
        draft.placement_failed_at = None;
        change(draft);
    }
}
