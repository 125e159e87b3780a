//! CreateService, UpdateService and DeleteService.

use model::{
    Change, DefinitionKey, Deployment, DeploymentController, LaunchType, Service, ServiceKey,
    ServiceStatus, TaskDefinition,
};

use super::run_task::compatible;
use super::service_rules::{self as rules, configured, few_enough, invalid};
use super::tokens::Use;
use super::{active_cluster, active_definition, interfaces, methods, targets, waiting};
use crate::desk::Desk;
use crate::{CreateService, Rejection, Reply, UpdateService, daemon, rollout};

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
    rules::created(create)?;
    let first = first_deployment(desk, create)?;
    waiting::providers(desk.state, &key.cluster, &create.providers, |_| 0, 0)?;
    let desired_count = create.desired_count.unwrap_or(0);
    few_enough(desired_count)?;
    let usual = rules::usual(create.scheduling);
    let config = configured(create.scheduling, usual, create.percents, create.circuit_breaker)?;
    let mut service = Service {
        key: key.clone(),
        status: ServiceStatus::Active,
        scheduling: create.scheduling,
        controller: create.controller,
        desired_count,
        launch_type: create.launch_type,
        platform: create.platform,
        providers: create.providers.clone(),
        config,
        method: create.method.clone(),
        current: None,
        rebalances: create.rebalances.unwrap_or(true),
        constraints: create.constraints.clone(),
        strategy: create.strategy.clone(),
        deployments: Vec::new(),
        stable: None,
        stable_load_balancers: Vec::new(),
        load_balancers: create.load_balancers.clone(),
        network: create.network.clone(),
        stable_network: None,
        stable_capacity: None,
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
    };
    rules::balanced(&mut service, create.rebalances == Some(true))?;
    methods::check(desk.state, &service)?;
    if let Some(first) = first {
        rollout::begin(desk, &mut service, first);
    }
    daemon::begin(desk.state, &mut service);
    desk.found(service);
    token.remember(desk, vec![key.service.to_string()]);
    Ok(Reply::Service(key.clone()))
}

/// The deployment with which a new service begins; one of task sets begins with none.
fn first_deployment(
    desk: &mut Desk<'_>,
    create: &CreateService,
) -> Result<Option<Deployment>, Rejection> {
    let Some(wanted) = &create.definition else {
        return match create.controller {
            DeploymentController::External => Ok(None),
            DeploymentController::Ecs => {
                Err(invalid("taskDefinition", "a service of deployments needs one".to_owned()))
            }
        };
    };
    let definition = active_definition(desk.state, wanted)?;
    compatible(definition, create.launch_type)?;
    targets::fit(desk.state, &definition.spec, &create.load_balancers, &[])?;
    interfaces::check(&definition.spec, create.network.as_ref())?;
    let desired = create.desired_count.unwrap_or(0);
    let (launch_type, load_balancers) = (create.launch_type, create.load_balancers.clone());
    let network = create.network.clone();
    let deployment = rollout::deployment(desk, wanted.clone(), desired);
    Ok(Some(Deployment { launch_type, load_balancers, network, ..deployment }))
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
    rules::updated(&before, update)?;
    let mut next = Service::clone(&before);
    let (percents, breaker) = (update.percents, update.circuit_breaker);
    next.config = configured(before.scheduling, before.config, percents, breaker)?;
    if let Some(count) = update.desired_count {
        few_enough(count)?;
        next.desired_count = count;
    }
    next.constraints = update.constraints.clone().unwrap_or(next.constraints);
    next.strategy = update.strategy.clone().unwrap_or(next.strategy);
    next.rebalances = update.rebalances.unwrap_or(next.rebalances);
    rules::balanced(&mut next, update.rebalances == Some(true))?;
    next.propagate_tags = update.propagate_tags.unwrap_or(next.propagate_tags);
    next.enable_ecs_managed_tags =
        update.enable_ecs_managed_tags.unwrap_or(next.enable_ecs_managed_tags);
    next.enable_execute_command =
        update.enable_execute_command.unwrap_or(next.enable_execute_command);
    if let Some(providers) = &update.providers {
        waiting::providers(desk.state, &key.cluster, providers, |_| 0, 0)?;
        next.providers.clone_from(providers);
        next.launch_type = LaunchType::of_strategy(providers).unwrap_or(next.launch_type);
    }
    next.platform = update.platform.unwrap_or(next.platform);
    next.method = update.method.clone().unwrap_or(next.method);
    next.health_check_grace = update.health_check_grace.or(next.health_check_grace);
    if before.controller == DeploymentController::Ecs {
        redeploy(desk, update, &before, &mut next)?;
    }
    if next != *before {
        next.steady_since = None;
        next.placement_failed_at = None;
        desk.found(next);
    }
    Ok(Reply::Service(key.clone()))
}

/// What of an update makes a new deployment, or acts on the one that stands.
fn redeploy(
    desk: &mut Desk<'_>,
    update: &UpdateService,
    before: &Service,
    next: &mut Service,
) -> Result<(), Rejection> {
    let Some(primary) = before.primary() else {
        return Err(Rejection::ServiceNotActive(before.key.clone()));
    };
    let wanted = update.definition.as_ref().unwrap_or(&primary.definition);
    let changed = *wanted != primary.definition;
    let aims = update.load_balancers.as_ref().unwrap_or(&before.load_balancers);
    let moved = *aims != before.load_balancers;
    let definition = definition_for(desk, wanted, changed)?;
    compatible(definition, next.launch_type)?;
    let network = interfaces::of_update(&definition.spec, update.network.as_ref(), before)?;
    if changed || moved {
        targets::fit(desk.state, &definition.spec, aims, &before.load_balancers)?;
    }
    let moved = moved || network != primary.network;
    if changed || moved || update.force_new_deployment {
        let deployment = rollout::deployment(desk, wanted.clone(), next.desired_count);
        let (launch_type, load_balancers) = (next.launch_type, aims.clone());
        let deployment = Deployment { launch_type, load_balancers, network, ..deployment };
        next.network.clone_from(&deployment.network);
        next.load_balancers.clone_from(aims);
        methods::check(desk.state, next)?;
        rollout::begin(desk, next, deployment);
    } else if next.method != before.method {
        methods::check(desk.state, next)?;
    }
    let now = desk.now;
    let (desired, shrunk) = (next.desired_count, next.desired_count != before.desired_count);
    if let Some(primary) = next.deployments.first_mut().filter(|_| shrunk) {
        primary.desired_count = desired;
        primary.updated_at = now;
    }
    Ok(())
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
    if before.desired_count > 0 && !force && !daemon::is(before) {
        return Err(Rejection::ServiceHasTasks(key.clone(), before.desired_count));
    }
    let now = desk.now;
    super::scaling::remove(desk, key);
    let empty = !desk.state.tasks_of(key).any(model::Task::holds_resources);
    rollout::abandon(desk, key);
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
