//! How many tasks of which deployment a service is to have now. However a service is updated, starting
//! and stopping follow from this alone.

use std::time::Duration;

use model::{
    DefinitionKey, Deployment, DeploymentId, DeploymentStatus, LaunchType, RolloutState, Service,
    ServiceDeployment, ServiceDeploymentStatus as Status, ServiceStatus, Stage, State,
    StrategyItem, Task,
};
use stdx::Timestamp;

use crate::{rollout, task_sets, timing};

/// So many tasks of one deployment. The percentages of the service hold for each want by itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Want<'a> {
    /// Whose tasks.
    pub(crate) deployment: &'a DeploymentId,
    /// What they run.
    pub(crate) definition: &'a DefinitionKey,
    /// Where their capacity comes from.
    pub(crate) launch_type: LaunchType,
    /// Which capacity providers get how much; empty for none.
    pub(crate) providers: &'a [StrategyItem],
    /// How many.
    pub(crate) count: u32,
    /// Which tasks are counted beside its own.
    pub(crate) claim: Claim,
    /// Nothing is started any more: the deployment was given up.
    pub(crate) given_up: bool,
    /// Nothing is started before this.
    pub(crate) not_before: Option<Timestamp>,
    /// So many of its tasks failed one after the other.
    pub(crate) failures_in_a_row: u32,
    /// So long a task without health checks has to be up before it counts as healthy.
    pub(crate) proof: Duration,
}

/// Which tasks a [`Want`] counts beside those of its own deployment. Each of them is to be replaced by
/// one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// All of the service: a rolling update.
    All,
    /// Those of which no deployment is known any more.
    Strays,
    /// None: it stands beside the others.
    Own,
}

impl<'a> Want<'a> {
    /// So many tasks of a deployment.
    pub(crate) fn of(
        service: &'a Service,
        deployment: &'a Deployment,
        count: u32,
        claim: Claim,
    ) -> Self {
        Self {
            deployment: &deployment.id,
            definition: &deployment.definition,
            launch_type: deployment.launch_type,
            providers: &service.providers,
            count,
            claim,
            given_up: deployment.rollout == RolloutState::Failed,
            not_before: deployment.not_before,
            failures_in_a_row: deployment.failures_in_a_row,
            proof: proof(service, deployment),
        }
    }

    /// Whether a task of the service is one of those that this is about.
    pub(crate) fn counts(&self, service: &Service, task: &Task) -> bool {
        let whose = task.facts.deployment.as_ref();
        match self.claim {
            Claim::All => true,
            Claim::Strays => {
                whose == Some(self.deployment)
                    || whose.is_none_or(|id| service.deployment(id).is_none())
            }
            Claim::Own => whose == Some(self.deployment),
        }
    }
}

/// What a service is to have now. Each of its tasks is counted by exactly one of them.
pub(crate) fn wants<'a>(state: &State, service: &'a Service) -> Vec<Want<'a>> {
    if task_sets::are_of(service) {
        return task_sets::wants(service);
    }
    let desired = match service.status {
        ServiceStatus::Active => service.desired_count,
        ServiceStatus::Draining | ServiceStatus::Inactive => 0,
    };
    if let Some(record) = rollout::current(state, service)
        && record.method.strategy.is_progressive()
    {
        return side_by_side(service, record, desired);
    }
    let primary = service.primary();
    primary.map(|primary| Want::of(service, primary, desired, Claim::All)).into_iter().collect()
}

/// Two whole sets of tasks. While a deployment is reconciled, what serves replaces all the others by
/// the percentages, so that each of the two groups of targets is free or has one set of tasks.
fn side_by_side<'a>(
    service: &'a Service,
    record: &ServiceDeployment,
    desired: u32,
) -> Vec<Want<'a>> {
    let stage = record.stage.unwrap_or(Stage::PreScaleUp);
    let first = record.sources.first();
    let over = record.status.is_over();
    let serving = first.and_then(|id| service.deployment(id));
    if stage == Stage::ReconcileService
        && !over
        && let Some(serving) = serving
    {
        return vec![Want::of(service, serving, desired, Claim::All)];
    }
    let back = record.rollback.as_ref().and_then(|rollback| rollback.revision.as_ref());
    let count = |deployment: &Deployment| {
        let is_target = deployment.id == record.target;
        let is_source = Some(&deployment.id) == first;
        let wanted = match record.status {
            Status::Successful | Status::RollbackSuccessful => {
                deployment.status == DeploymentStatus::Primary
            }
            Status::RollbackInProgress => {
                Some(&deployment.id) == back || (is_target && stage < Stage::CleanUp)
            }
            Status::Stopped | Status::RollbackFailed => is_target || is_source,
            Status::Pending
            | Status::InProgress
            | Status::StopRequested
            | Status::RollbackRequested => {
                (is_target && stage >= Stage::ScaleUp) || (is_source && stage < Stage::CleanUp)
            }
        };
        if wanted { desired } else { 0 }
    };
    let claim = |deployment: &Deployment| match deployment.status {
        DeploymentStatus::Primary => Claim::Strays,
        DeploymentStatus::Active => Claim::Own,
    };
    let want = |d| Want::of(service, d, count(d), claim(d));
    service.deployments.iter().map(want).collect()
}

/// How long a task without health checks has to be up before it counts as healthy, so that what
/// falls over at once replaces nothing. Longer when the circuit breaker watches, or when others have
/// failed again and again. ECS waits 40 seconds in any case.
fn proof(service: &Service, deployment: &Deployment) -> Duration {
    let watched = service.config.circuit_breaker.enable;
    let on_trial =
        deployment.rollout == RolloutState::InProgress && deployment.rolls_back.is_none();
    let doubtful = (watched && on_trial) || deployment.failures_in_a_row > 1;
    if doubtful { timing::TRIAL } else { timing::SETTLES }
}
