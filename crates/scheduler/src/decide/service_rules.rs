//! What goes together in a service: its scheduling strategy, its deployment controller, and what is
//! asked of it. ECS's sentences where they are known.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service_definition_parameters.html>

use model::{
    CircuitBreaker, DeploymentConfig, DeploymentController, LaunchType, SchedulingStrategy, Service,
};

use crate::{CreateService, Rejection, UpdateService, rebalance, words};

/// The most tasks of a service, an ECS quota.
pub(crate) const MOST_TASKS: u32 = 5_000;

/// Whether a new service can be what it is asked to be.
pub(super) fn created(create: &CreateService) -> Result<(), Rejection> {
    if create.scheduling == SchedulingStrategy::Daemon {
        if create.controller == DeploymentController::External {
            return Err(refused(words::DAEMON_CONTROLLER));
        }
        if create.desired_count.is_some() {
            return Err(refused(words::DAEMON_COUNT));
        }
        if !create.strategy.is_empty() {
            return Err(refused(words::DAEMON_STRATEGY));
        }
        if create.launch_type == LaunchType::Fargate {
            return Err(refused(words::DAEMON_FARGATE));
        }
        if !create.providers.is_empty() {
            return Err(refused(words::DAEMON_PROVIDERS));
        }
    }
    match create.controller {
        DeploymentController::Ecs => Ok(()),
        DeploymentController::External => external(create),
    }
}

/// What is the task sets' to say is not the service's.
fn external(create: &CreateService) -> Result<(), Rejection> {
    if create.definition.is_some() {
        return Err(refused(words::BLANK_DEFINITION));
    }
    if !create.load_balancers.is_empty() {
        return Err(refused(words::BLANK_BALANCERS));
    }
    if !create.providers.is_empty() {
        return Err(refused(words::BLANK_PROVIDERS));
    }
    custom(create.percents, create.circuit_breaker)
}

/// A service of task sets has the default percentages: they only say how its instances drain.
fn custom(
    percents: (Option<u32>, Option<u32>),
    breaker: Option<CircuitBreaker>,
) -> Result<(), Rejection> {
    let usual = DeploymentConfig::default();
    let other = |given: Option<u32>, usual| given.is_some_and(|percent| percent != usual);
    if other(percents.0, usual.maximum_percent) || other(percents.1, usual.minimum_healthy_percent)
    {
        return Err(refused(words::EXTERNAL_PERCENTS));
    }
    if breaker.is_some_and(|breaker| breaker.enable) {
        return Err(refused(words::EXTERNAL_BREAKER));
    }
    Ok(())
}

/// Whether a service can be changed so.
pub(super) fn updated(service: &Service, update: &UpdateService) -> Result<(), Rejection> {
    if let Some(controller) = update.controller.filter(|c| *c != service.controller) {
        return Err(refused(&words::other_controller(service.controller, controller)));
    }
    if service.scheduling == SchedulingStrategy::Daemon {
        if update.desired_count.is_some() {
            return Err(refused(words::DAEMON_COUNT));
        }
        if update.strategy.as_ref().is_some_and(|strategy| !strategy.is_empty()) {
            return Err(refused(words::DAEMON_STRATEGY));
        }
        if update.providers.as_ref().is_some_and(|providers| !providers.is_empty()) {
            return Err(refused(words::DAEMON_PROVIDERS));
        }
    }
    let what = match service.controller {
        DeploymentController::Ecs => None,
        DeploymentController::External if update.definition.is_some() => Some("task definition"),
        DeploymentController::External if update.load_balancers.is_some() => Some("load balancers"),
        DeploymentController::External if update.providers.is_some() => {
            Some("capacity provider strategy")
        }
        DeploymentController::External if update.force_new_deployment => Some("deployments"),
        DeploymentController::External => {
            custom(update.percents, update.circuit_breaker)?;
            None
        }
    };
    if let Some(what) = what {
        return Err(refused(&words::external_update(what)));
    }
    let strategy = update.providers.as_ref();
    if strategy.is_some_and(|new| *new != service.providers) && !update.force_new_deployment {
        return Err(refused(words::FORCE_FOR_PROVIDERS));
    }
    Ok(())
}

/// A service that is to be kept even over zones must be one that can be. One that was not asked to be
/// is then left as it is.
pub(super) fn balanced(service: &mut Service, asked: bool) -> Result<(), Rejection> {
    let Some(obstacle) = rebalance::obstacle(service).filter(|_| service.rebalances) else {
        return Ok(());
    };
    if asked {
        return Err(refused(&words::cannot_rebalance(obstacle)));
    }
    service.rebalances = false;
    Ok(())
}

pub(super) fn few_enough(desired: u32) -> Result<(), Rejection> {
    if desired <= MOST_TASKS {
        return Ok(());
    }
    Err(Rejection::Limit(format!(
        "A service has at most {MOST_TASKS} tasks; desiredCount asks for {desired}."
    )))
}

/// How a service is updated unless it says otherwise.
pub(super) fn usual(scheduling: SchedulingStrategy) -> DeploymentConfig {
    match scheduling {
        SchedulingStrategy::Replica => DeploymentConfig::default(),
        SchedulingStrategy::Daemon => DeploymentConfig::DAEMON,
    }
}

/// The deployment configuration with what is given, if deployments can go on under it.
pub(super) fn configured(
    scheduling: SchedulingStrategy,
    mut config: DeploymentConfig,
    (maximum, minimum): (Option<u32>, Option<u32>),
    breaker: Option<CircuitBreaker>,
) -> Result<DeploymentConfig, Rejection> {
    config.maximum_percent = maximum.unwrap_or(config.maximum_percent);
    config.minimum_healthy_percent = minimum.unwrap_or(config.minimum_healthy_percent);
    config.circuit_breaker = breaker.unwrap_or(config.circuit_breaker);
    let (maximum, minimum) = (config.maximum_percent, config.minimum_healthy_percent);
    if maximum > 100 && scheduling == SchedulingStrategy::Daemon {
        return Err(refused(words::DAEMON_MAXIMUM));
    }
    if maximum < 100 {
        let why = format!("{maximum} is below 100: a service could not have all its tasks");
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

pub(super) fn refused(sentence: &str) -> Rejection {
    Rejection::Refused(sentence.to_owned())
}

pub(super) fn invalid(member: &str, why: String) -> Rejection {
    Rejection::Invalid { member: member.to_owned(), why }
}
