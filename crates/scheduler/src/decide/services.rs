//! CreateService, UpdateService and DeleteService.

use model::{
    Change, DefinitionKey, Deployment, DeploymentConfig, Service, ServiceKey, ServiceStatus,
    TaskDefinition,
};

use super::run_task::compatible;
use super::tokens::Use;
use super::{active_cluster, active_definition, targets, waiting};
use crate::desk::Desk;
use crate::{CreateService, Rejection, Reply, UpdateService, placement, rollout};

/// The most tasks of a service, an ECS quota.
pub(crate) const MOST_TASKS: u32 = 5_000;

/// CreateService: a name is free again once its service is inactive.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateService.html>
pub(super) fn create(desk: &mut Desk<'_>, create: &CreateService) -> Result<Reply, Rejection> {
    let key = &create.key;
    active_cluster(desk.state, &key.cluster)?;
    let token = create.client_token.as_ref();
    let token = Use { cluster: &key.cluster, operation: "CreateService", token };
    if token.before(desk)?.is_some() {
        return Ok(Reply::Service(key.clone()));
    }
    match desk.state.service(key).map(|s| s.status) {
        Some(ServiceStatus::Active) => return Err(Rejection::ServiceExists(key.clone())),
        Some(ServiceStatus::Draining) => return Err(Rejection::ServiceDraining(key.clone())),
        // Its events go with it.
        Some(ServiceStatus::Inactive) => desk.put(Change::DeleteService(key.clone())),
        None => {}
    }
    let definition = active_definition(desk.state, &create.definition)?;
    compatible(definition, create.launch_type)?;
    placement::distinct(&definition.spec, &create.constraints)?;
    targets::fit(desk.state, &definition.spec, &create.load_balancers, &[])?;
    waiting::providers(desk.state, &key.cluster, &create.providers, |_| 0, 0)?;
    few_enough(create.desired_count)?;
    let before = DeploymentConfig::default();
    let config = configured(before, create.percents, create.circuit_breaker)?;
    let deployment = rollout::deployment(desk, create.definition.clone(), create.desired_count);
    desk.found(Service {
        key: key.clone(),
        status: ServiceStatus::Active,
        desired_count: create.desired_count,
        launch_type: create.launch_type,
        providers: create.providers.clone(),
        config,
        constraints: create.constraints.clone(),
        strategy: create.strategy.clone(),
        deployments: vec![Deployment {
            launch_type: create.launch_type,
            load_balancers: create.load_balancers.clone(),
            ..deployment
        }],
        stable: None,
        stable_load_balancers: Vec::new(),
        load_balancers: create.load_balancers.clone(),
        health_check_grace: create.health_check_grace,
        enable_ecs_managed_tags: create.enable_ecs_managed_tags,
        enable_execute_command: create.enable_execute_command,
        propagate_tags: create.propagate_tags,
        tags: create.tags.clone(),
        created_at: desk.now,
        created_by: create.by.clone(),
        steady_since: None,
        inactive_since: None,
        placement_failed_at: None,
        next_event: 0,
    });
    token.remember(desk, vec![key.service.to_string()]);
    Ok(Reply::Service(key.clone()))
}

/// UpdateService: another definition, or force, makes a new deployment; anything else acts on the
/// one that stands.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html>
pub(super) fn update(desk: &mut Desk<'_>, update: &UpdateService) -> Result<Reply, Rejection> {
    let Some(key) = &update.key else {
        return Err(invalid("service", "no service is named".to_owned()));
    };
    active_cluster(desk.state, &key.cluster)?;
    let before = active_service(desk, key)?.clone();
    let Some(primary) = before.primary() else {
        return Err(Rejection::ServiceNotActive(key.clone()));
    };
    let mut next = Service::clone(&before);
    next.config = configured(before.config, update.percents, update.circuit_breaker)?;
    if let Some(count) = update.desired_count {
        few_enough(count)?;
        next.desired_count = count;
    }
    next.constraints = update.constraints.clone().unwrap_or(next.constraints);
    next.strategy = update.strategy.clone().unwrap_or(next.strategy);
    next.propagate_tags = update.propagate_tags.unwrap_or(next.propagate_tags);
    next.enable_ecs_managed_tags =
        update.enable_ecs_managed_tags.unwrap_or(next.enable_ecs_managed_tags);
    next.enable_execute_command =
        update.enable_execute_command.unwrap_or(next.enable_execute_command);
    if let Some(providers) = &update.providers {
        waiting::providers(desk.state, &key.cluster, providers, |_| 0, 0)?;
        next.providers.clone_from(providers);
    }
    let wanted = update.definition.as_ref().unwrap_or(&primary.definition);
    let changed = *wanted != primary.definition;
    let aims = update.load_balancers.as_ref().unwrap_or(&primary.load_balancers);
    let moved = *aims != primary.load_balancers;
    next.health_check_grace = update.health_check_grace.or(next.health_check_grace);
    let definition = definition_for(desk, wanted, changed)?;
    compatible(definition, before.launch_type)?;
    placement::distinct(&definition.spec, &next.constraints)?;
    if changed || moved {
        targets::fit(desk.state, &definition.spec, aims, &primary.load_balancers)?;
    }
    let moved = moved || next.providers != before.providers;
    if changed || moved || update.force_new_deployment {
        let deployment = rollout::deployment(desk, wanted.clone(), next.desired_count);
        let (launch_type, load_balancers) = (before.launch_type, aims.clone());
        rollout::replace(&mut next, Deployment { launch_type, load_balancers, ..deployment });
    }
    let now = desk.now;
    let (desired, shrunk) = (next.desired_count, next.desired_count != before.desired_count);
    if let Some(primary) = next.deployments.first_mut().filter(|_| shrunk) {
        primary.desired_count = desired;
        primary.updated_at = now;
    }
    if next != *before {
        next.steady_since = None;
        next.placement_failed_at = None;
        desk.found(next);
    }
    Ok(Reply::Service(key.clone()))
}

/// A service may go on with the definition that it has, whatever became of it.
fn definition_for<'a>(
    desk: &Desk<'a>,
    key: &DefinitionKey,
    changed: bool,
) -> Result<&'a TaskDefinition, Rejection> {
    if changed {
        return Ok(active_definition(desk.state, key)?);
    }
    match desk.state.definition(key) {
        Some(definition) => Ok(definition),
        None => Err(Rejection::DefinitionNotFound(key.clone())),
    }
}

/// DeleteService: it drains, and is inactive once its last task is over. Again: nothing happens.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteService.html>
pub(super) fn delete(
    desk: &mut Desk<'_>,
    key: &ServiceKey,
    force: bool,
) -> Result<Reply, Rejection> {
    active_cluster(desk.state, &key.cluster)?;
    let missing = || Rejection::ServiceNotFound(key.clone());
    let before = desk.state.service(key).ok_or_else(missing)?;
    match before.status {
        ServiceStatus::Inactive => return Err(missing()),
        ServiceStatus::Draining => return Ok(Reply::Service(key.clone())),
        ServiceStatus::Active => {}
    }
    if before.desired_count > 0 && !force {
        return Err(Rejection::ServiceHasTasks(key.clone(), before.desired_count));
    }
    let now = desk.now;
    super::scaling::remove(desk, key);
    let empty = !desk.state.tasks_of(key).any(model::Task::holds_resources);
    if let Some(draft) = desk.draft(key) {
        draft.status = ServiceStatus::Draining;
        draft.desired_count = 0;
        draft.steady_since = None;
        for deployment in &mut draft.deployments {
            deployment.desired_count = 0;
            deployment.updated_at = now;
        }
        if empty {
            rollout::close(draft, now);
        }
    }
    Ok(Reply::Service(key.clone()))
}

fn active_service<'a>(
    desk: &Desk<'a>,
    key: &ServiceKey,
) -> Result<&'a std::sync::Arc<Service>, Rejection> {
    let service = desk.state.service(key).ok_or_else(|| Rejection::ServiceNotFound(key.clone()))?;
    match service.status {
        ServiceStatus::Active => Ok(service),
        ServiceStatus::Draining | ServiceStatus::Inactive => {
            Err(Rejection::ServiceNotActive(key.clone()))
        }
    }
}

fn few_enough(desired: u32) -> Result<(), Rejection> {
    if desired <= MOST_TASKS {
        return Ok(());
    }
    Err(Rejection::Limit(format!(
        "A service has at most {MOST_TASKS} tasks; desiredCount asks for {desired}."
    )))
}

/// The deployment configuration with what is given, if deployments can go on under it.
fn configured(
    mut config: DeploymentConfig,
    (maximum, minimum): (Option<u32>, Option<u32>),
    breaker: Option<model::CircuitBreaker>,
) -> Result<DeploymentConfig, Rejection> {
    config.maximum_percent = maximum.unwrap_or(config.maximum_percent);
    config.minimum_healthy_percent = minimum.unwrap_or(config.minimum_healthy_percent);
    config.circuit_breaker = breaker.unwrap_or(config.circuit_breaker);
    let (maximum, minimum) = (config.maximum_percent, config.minimum_healthy_percent);
    if maximum < 100 {
        let why = format!("{maximum} is below 100: a replica service could not have all its tasks");
        return Err(invalid("deploymentConfiguration.maximumPercent", why));
    }
    if minimum > 100 {
        let why = format!("{minimum} is not from 0 to 100");
        return Err(invalid("deploymentConfiguration.minimumHealthyPercent", why));
    }
    if maximum == 100 && minimum == 100 {
        let why = "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block \
                   deployments";
        return Err(invalid("deploymentConfiguration", why.to_owned()));
    }
    Ok(config)
}

fn invalid(member: &str, why: String) -> Rejection {
    Rejection::Invalid { member: member.to_owned(), why }
}
