//! A service as it is described.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html>

use aws::ecs::{
    AvailabilityZoneRebalancing, Deployment as WireDeployment, DeploymentCircuitBreaker,
    DeploymentConfiguration, DeploymentRolloutState, PropagateTags as WirePropagate,
    Service as Wire, ServiceEvent as WireEvent, ThresholdConfiguration, ThresholdType,
};
use model::{
    BreakerThreshold, Deployment, DeploymentConfig, DeploymentController, PropagateTags,
    RevisionKey, RolloutState, Service, State,
};
use stdx::Timestamp;

use crate::task_sets::task_set_view;
use crate::{
    capacity, fargate, network, placement, service_deployments_view, service_kind, service_method,
    service_targets, view,
};

/// A service as it is described; its tags only where they are asked for.
pub(crate) fn service_view(state: &State, service: &Service, tags: bool, now: Timestamp) -> Wire {
    let realm = state.realm();
    let (running, pending) = state.service_counts(&service.key);
    let external = service.controller == DeploymentController::External;
    let first = service.deployments.first().filter(|_| !external);
    let definition = service.primary().or(first);
    // What task sets have is told of a service when one of them is its primary one.
    let launched = service.providers.is_empty() && (!external || definition.is_some());
    let (sets, deployments): (Vec<_>, Vec<_>) =
        service.deployments.iter().partition(|deployment| deployment.set.is_some());
    let (current_service_deployment, current_service_revisions) =
        service_deployments_view::current(state, service);
    let mut deployment_configuration = configuration(&service.config);
    service_method::show(&service.method, &mut deployment_configuration);
    Wire {
        service_arn: Some(realm.service(&service.key)),
        service_name: Some(service.key.service.to_string()),
        cluster_arn: Some(realm.cluster(&service.key.cluster)),
        load_balancers: Some(service_targets::view(realm, &service.load_balancers)),
        health_check_grace_period_seconds: service_targets::grace(
            service.health_check_grace,
            &service.load_balancers,
        ),
        network_configuration: service.network.as_ref().map(network::show),
        platform_family: fargate::family(service.launch_type),
        platform_version: fargate::runs_on(service.launch_type)
            .map(|_| fargate::show_platform(service.platform)),
        role_arn: service_targets::role(realm, &service.load_balancers),
        service_registries: Some(Vec::new()),
        status: Some(view::service_status(service.status).to_owned()),
        desired_count: Some(view::count(service.desired_count)),
        running_count: Some(view::count(running)),
        pending_count: Some(view::count(pending)),
        launch_type: launched.then(|| view::launch_type(service.launch_type)),
        capacity_provider_strategy: (!service.providers.is_empty())
            .then(|| capacity::show(&service.providers)),
        task_definition: definition.map(|deployment| realm.definition(&deployment.definition)),
        deployment_configuration: Some(deployment_configuration),
        current_service_deployment,
        current_service_revisions,
        deployments: Some(deployments.into_iter().map(|d| deployment(state, service, d)).collect()),
        task_sets: external.then(|| {
            let show = |set| task_set_view(state, service, set, tags, now);
            sets.into_iter().map(show).collect()
        }),
        events: Some(events(state, service)),
        created_at: Some(service.created_at),
        placement_constraints: Some(placement::constraints(&service.constraints)),
        placement_strategy: Some(placement::strategies(&service.strategy)),
        scheduling_strategy: Some(service_kind::show_scheduling(service.scheduling)),
        deployment_controller: Some(service_kind::show_controller(service.controller)),
        tags: Some(if tags { view::tags(&service.tags) } else { Vec::new() }),
        created_by: Some(service.created_by.clone()),
        enable_ecs_managed_tags: Some(service.enable_ecs_managed_tags),
        propagate_tags: Some(match service.propagate_tags {
            PropagateTags::None => WirePropagate::None,
            PropagateTags::Service => WirePropagate::Service,
            PropagateTags::TaskDefinition => WirePropagate::TaskDefinition,
        }),
        enable_execute_command: Some(service.enable_execute_command),
        availability_zone_rebalancing: Some(if service.rebalances {
            AvailabilityZoneRebalancing::Enabled
        } else {
            AvailabilityZoneRebalancing::Disabled
        }),
        ..Wire::default()
    }
}

/// Percentages and circuit breaker.
pub(crate) fn configuration(config: &DeploymentConfig) -> DeploymentConfiguration {
    DeploymentConfiguration {
        deployment_circuit_breaker: Some(DeploymentCircuitBreaker {
            enable: Some(config.circuit_breaker.enable),
            rollback: Some(config.circuit_breaker.rollback),
            reset_on_healthy_task: Some(!config.circuit_breaker.counts_on),
            threshold_configuration: Some(threshold(config.circuit_breaker.threshold)),
        }),
        maximum_percent: Some(view::count(config.maximum_percent)),
        minimum_healthy_percent: Some(view::count(config.minimum_healthy_percent)),
        ..DeploymentConfiguration::default()
    }
}

fn threshold(threshold: BreakerThreshold) -> ThresholdConfiguration {
    let (kind, value) = match threshold {
        BreakerThreshold::Count(value) => (ThresholdType::Count, value),
        BreakerThreshold::BoundedPercent(value) => (ThresholdType::BoundedPercent, value),
        BreakerThreshold::UnboundedPercent(value) => (ThresholdType::UnboundedPercent, value),
    };
    ThresholdConfiguration { r#type: Some(kind), value: Some(view::count(value)) }
}

/// Counts are folds over the tasks that the deployment started.
fn deployment(state: &State, service: &Service, deployment: &Deployment) -> WireDeployment {
    let tasks = || {
        state.tasks_of(&service.key).filter(|t| t.facts.deployment.as_ref() == Some(&deployment.id))
    };
    let revision = RevisionKey { service: service.key.clone(), deployment: deployment.id.clone() };
    let revision = state.deployments().revision(&revision);
    let providers = revision.map_or(&service.providers, |revision| &revision.providers);
    let launched = providers.is_empty();
    WireDeployment {
        id: Some(deployment.id.to_string()),
        status: Some(view::deployment_status(deployment.status).to_owned()),
        task_definition: Some(state.realm().definition(&deployment.definition)),
        desired_count: Some(view::count(deployment.desired_count)),
        running_count: Some(view::count(tasks().filter(|t| t.is_running()).count())),
        pending_count: Some(view::count(tasks().filter(|t| t.is_pending()).count())),
        failed_tasks: Some(view::count(deployment.failed_tasks)),
        created_at: Some(deployment.created_at),
        updated_at: Some(deployment.updated_at),
        launch_type: launched.then(|| view::launch_type(deployment.launch_type)),
        capacity_provider_strategy: (!launched).then(|| capacity::show(providers)),
        network_configuration: deployment.network.as_ref().map(network::show),
        platform_family: fargate::family(deployment.launch_type),
        platform_version: fargate::runs_on(deployment.launch_type),
        rollout_state: Some(match deployment.rollout {
            RolloutState::InProgress => DeploymentRolloutState::InProgress,
            RolloutState::Completed => DeploymentRolloutState::Completed,
            RolloutState::Failed => DeploymentRolloutState::Failed,
        }),
        rollout_state_reason: Some(deployment.rollout_reason.clone()),
        ..WireDeployment::default()
    }
}

fn events(state: &State, service: &Service) -> Vec<WireEvent> {
    state
        .events(&service.key)
        .map(|event| WireEvent {
            id: Some(event.id.clone()),
            created_at: Some(event.at),
            message: Some(event.message.clone()),
        })
        .collect()
}
