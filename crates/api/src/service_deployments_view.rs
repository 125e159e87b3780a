//! Service deployments and revisions as they are described.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html>

use aws::ecs::{
    ContainerImage, DeploymentLifecycleHookDetail, DeploymentLifecycleHookStatus,
    DeploymentLifecycleHookTargetType, ResolvedConfiguration, Rollback as WireRollback,
    ServiceCurrentRevisionSummary, ServiceDeployment as Wire, ServiceDeploymentAlarms,
    ServiceDeploymentBrief, ServiceDeploymentCircuitBreaker, ServiceDeploymentLifecycleStage,
    ServiceDeploymentRollbackMonitorsStatus as Monitoring, ServiceDeploymentStatus as Word,
    ServiceRevision as WireRevision, ServiceRevisionLoadBalancer, ServiceRevisionSummary,
};
use model::{
    DeploymentId, HookRun, HookStatus, HookTarget, Monitor, RevisionKey, Service,
    ServiceDeployment, ServiceDeploymentKey, ServiceDeploymentStatus, ServiceRevision,
    ServiceTarget, Stage, State, TrafficRule, TrafficShare,
};

use crate::{capacity, fargate, network, service_method, service_targets, service_view, view};

/// A status as ECS spells it.
pub(crate) fn status(status: ServiceDeploymentStatus) -> Word {
    use ServiceDeploymentStatus as S;
    match status {
        S::Pending => Word::Pending,
        S::InProgress => Word::InProgress,
        S::Successful => Word::Successful,
        S::StopRequested => Word::StopRequested,
        S::Stopped => Word::Stopped,
        S::RollbackRequested => Word::RollbackRequested,
        S::RollbackInProgress => Word::RollbackInProgress,
        S::RollbackSuccessful => Word::RollbackSuccessful,
        S::RollbackFailed => Word::RollbackFailed,
    }
}

/// One as lists have it.
pub(crate) fn brief(state: &State, record: &ServiceDeployment) -> ServiceDeploymentBrief {
    let (realm, service) = (state.realm(), &record.key.service);
    ServiceDeploymentBrief {
        service_deployment_arn: Some(realm.service_deployment(&record.key)),
        service_arn: Some(realm.service(service)),
        cluster_arn: Some(realm.cluster(&service.cluster)),
        created_at: Some(record.created_at),
        started_at: record.started_at,
        finished_at: record.finished_at,
        target_service_revision_arn: Some(arn(state, record, &record.target)),
        status: Some(status(record.status)),
        status_reason: record.reason.clone(),
    }
}

/// One as it is described.
pub(crate) fn deployment(state: &State, record: &ServiceDeployment) -> Wire {
    let (realm, service) = (state.realm(), &record.key.service);
    let mut configuration = service_view::configuration(&record.config);
    service_method::show(&record.method, &mut configuration);
    let hooks = record.hooks.iter().map(|run| hook(record, run)).collect();
    Wire {
        service_deployment_arn: Some(realm.service_deployment(&record.key)),
        service_arn: Some(realm.service(service)),
        cluster_arn: Some(realm.cluster(&service.cluster)),
        created_at: Some(record.created_at),
        started_at: record.started_at,
        finished_at: record.finished_at,
        stopped_at: record.stopped_at,
        updated_at: Some(record.updated_at),
        source_service_revisions: Some(
            record.sources.iter().map(|id| summary(state, record, id)).collect(),
        ),
        target_service_revision: Some(summary(state, record, &record.target)),
        status: Some(status(record.status)),
        status_reason: record.reason.clone(),
        lifecycle_stage: record.stage.map(stage),
        lifecycle_hook_details: Some(hooks).filter(|hooks: &Vec<_>| !hooks.is_empty()),
        deployment_configuration: Some(configuration),
        rollback: record.rollback.as_ref().map(|rollback| WireRollback {
            reason: Some(rollback.reason.clone()),
            started_at: Some(rollback.started_at),
            service_revision_arn: rollback.revision.as_ref().map(|id| arn(state, record, id)),
        }),
        deployment_circuit_breaker: Some(breaker(state, record)),
        alarms: Some(ServiceDeploymentAlarms {
            status: Some(monitor(record.alarms)),
            alarm_names: record.method.alarms.as_ref().map(|alarms| alarms.names.clone()),
            triggered_alarm_names: Some(record.triggered.clone()).filter(|names| !names.is_empty()),
        }),
    }
}

/// Failures are counted in the service while the deployment is on its way.
fn breaker(state: &State, record: &ServiceDeployment) -> ServiceDeploymentCircuitBreaker {
    let service = state.service(&record.key.service).filter(|_| !record.status.is_over());
    let counted = service.and_then(|s| s.deployment(&record.target)).map(|d| d.failed_tasks);
    let failures = counted.unwrap_or(record.failures).max(record.failures);
    ServiceDeploymentCircuitBreaker {
        status: Some(monitor(record.breaker)),
        failure_count: Some(view::count(failures)),
        threshold: Some(view::count(record.threshold)),
    }
}

const fn monitor(monitor: Monitor) -> Monitoring {
    match monitor {
        Monitor::Disabled => Monitoring::Disabled,
        Monitor::Monitoring => Monitoring::Monitoring,
        Monitor::Complete => Monitoring::MonitoringComplete,
        Monitor::Triggered => Monitoring::Triggered,
    }
}

fn stage(stage: Stage) -> ServiceDeploymentLifecycleStage {
    scheduler::words::stage(stage).into()
}

fn hook(record: &ServiceDeployment, run: &HookRun) -> DeploymentLifecycleHookDetail {
    let (kind, target) = match record.method.hooks.get(run.hook).map(|hook| &hook.target) {
        Some(HookTarget::Web { url, .. }) => {
            (DeploymentLifecycleHookTargetType::AwsLambda, Some(url.clone()))
        }
        Some(HookTarget::Pause) | None => (DeploymentLifecycleHookTargetType::Pause, None),
    };
    DeploymentLifecycleHookDetail {
        hook_id: Some(run.id.to_string()),
        target_type: Some(kind),
        target_arn: target,
        status: Some(match run.status {
            HookStatus::AwaitingAction => DeploymentLifecycleHookStatus::AwaitingAction,
            HookStatus::InProgress => DeploymentLifecycleHookStatus::InProgress,
            HookStatus::Succeeded => DeploymentLifecycleHookStatus::Succeeded,
            HookStatus::Failed => DeploymentLifecycleHookStatus::Failed,
            HookStatus::TimedOut => DeploymentLifecycleHookStatus::TimedOut,
        }),
        expires_at: Some(run.expires_at),
        timeout_action: Some(service_method::show_action(run.on_timeout)),
    }
}

fn revision_key(record: &ServiceDeployment, id: &DeploymentId) -> RevisionKey {
    RevisionKey { service: record.key.service.clone(), deployment: id.clone() }
}

fn arn(state: &State, record: &ServiceDeployment, id: &DeploymentId) -> String {
    state.realm().service_revision(&revision_key(record, id))
}

/// Requested, running and pending tasks of a deployment of a service.
fn counts(state: &State, service: &Service, id: &DeploymentId) -> (i32, i32, i32) {
    let tasks = || state.tasks_of(&service.key).filter(|t| t.facts.deployment.as_ref() == Some(id));
    let requested = service.deployment(id).map_or(0, |d| d.desired_count);
    (
        view::count(requested),
        view::count(tasks().filter(|t| t.is_running()).count()),
        view::count(tasks().filter(|t| t.is_pending()).count()),
    )
}

fn summary(state: &State, record: &ServiceDeployment, id: &DeploymentId) -> ServiceRevisionSummary {
    let service = state.service(&record.key.service);
    let ended = record.ended_with.iter().find(|counts| counts.revision == *id);
    let (requested, running, pending) = match ended {
        // One that is over is told as it ended.
        Some(c) => (view::count(c.requested), view::count(c.running), view::count(c.pending)),
        None if record.status.is_over() => (0, 0, 0),
        None => service.map(|service| counts(state, service, id)).unwrap_or_default(),
    };
    let moves = record.method.strategy.is_progressive() && !record.status.is_over();
    let is_target = *id == record.target;
    let first = record.sources.first() == Some(id);
    let rest = TrafficShare(TrafficShare::ALL.0 - record.production.0);
    let (production, test) = match (is_target, first) {
        (true, _) => (record.production, record.test),
        (false, true) => (rest, !record.test),
        (false, false) => (TrafficShare::NONE, false),
    };
    ServiceRevisionSummary {
        arn: Some(arn(state, record, id)),
        requested_task_count: Some(requested),
        running_task_count: Some(running),
        pending_task_count: Some(pending),
        requested_production_traffic_weight: moves.then(|| production.percent()),
        requested_test_traffic_weight: moves.then_some(if test { 100.0 } else { 0.0 }),
    }
}

/// `currentServiceDeployment` and `currentServiceRevisions` of a service.
pub(crate) fn current(
    state: &State,
    service: &Service,
) -> (Option<String>, Option<Vec<ServiceCurrentRevisionSummary>>) {
    let Some(id) = &service.current else { return (None, None) };
    let key = ServiceDeploymentKey { service: service.key.clone(), id: id.clone() };
    let revision = |deployment: &model::Deployment| {
        let (requested, running, pending) = counts(state, service, &deployment.id);
        let key = RevisionKey { service: service.key.clone(), deployment: deployment.id.clone() };
        ServiceCurrentRevisionSummary {
            arn: Some(state.realm().service_revision(&key)),
            requested_task_count: Some(requested),
            running_task_count: Some(running),
            pending_task_count: Some(pending),
        }
    };
    let open = state.deployments().deployment(&key).is_some_and(|r| !r.status.is_over());
    (
        open.then(|| state.realm().service_deployment(&key)),
        Some(service.deployments.iter().map(revision).collect()),
    )
}

/// A revision as it is described.
pub(crate) fn revision(state: &State, revision: &ServiceRevision) -> WireRevision {
    let (realm, service) = (state.realm(), &revision.key.service);
    let launched = revision.providers.is_empty();
    WireRevision {
        service_revision_arn: Some(realm.service_revision(&revision.key)),
        service_arn: Some(realm.service(service)),
        cluster_arn: Some(realm.cluster(&service.cluster)),
        task_definition: Some(realm.definition(&revision.definition)),
        launch_type: launched.then(|| view::launch_type(revision.launch_type)),
        platform_family: fargate::family(revision.launch_type),
        platform_version: fargate::runs_on(revision.launch_type),
        capacity_provider_strategy: (!launched).then(|| capacity::show(&revision.providers)),
        load_balancers: Some(service_targets::view(realm, &revision.load_balancers)),
        service_registries: Some(Vec::new()),
        network_configuration: revision.network.as_ref().map(network::show),
        container_images: Some(images(state, revision)),
        guard_duty_enabled: Some(false),
        created_at: Some(revision.created_at),
        resolved_configuration: Some(ResolvedConfiguration {
            load_balancers: Some(
                revision.resolved.iter().map(|target| resolved(state, target)).collect(),
            ),
            ..ResolvedConfiguration::default()
        }),
        ..WireRevision::default()
    }
}

fn resolved(state: &State, target: &ServiceTarget) -> ServiceRevisionLoadBalancer {
    let realm = state.realm();
    let rule = target.advanced.as_ref().map(|advanced| match &advanced.production {
        TrafficRule::Rule(id) => realm.rule(id),
        TrafficRule::Listener(id) => realm.listener(id),
    });
    ServiceRevisionLoadBalancer {
        target_group_arn: Some(realm.group(&target.group)),
        production_listener_rule: rule,
    }
}

/// Digests as the revision's tasks have reported them.
fn images(state: &State, revision: &ServiceRevision) -> Vec<ContainerImage> {
    let Some(definition) = state.definition(&revision.definition) else { return Vec::new() };
    let digest = |name: &model::ContainerName| {
        let of = |t: &&model::Task| t.facts.deployment.as_ref() == Some(&revision.key.deployment);
        state.tasks_of(&revision.key.service).filter(of).find_map(|task| {
            let container = task.progress.containers.iter().find(|c| c.name == *name)?;
            container.image_digest.clone()
        })
    };
    let image = |container: &model::ContainerSpec| ContainerImage {
        container_name: Some(container.name.to_string()),
        image: Some(container.image.clone()),
        image_digest: digest(&container.name),
    };
    definition.spec.containers.iter().map(image).collect()
}
