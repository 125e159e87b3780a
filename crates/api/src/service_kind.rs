//! What kind of service is asked for: its scheduling strategy and its deployment controller, and what
//! each leaves to be said.

use aws::Error;
use aws::ecs::{
    CreateServiceRequest, DeploymentController as WireController, DeploymentControllerType,
    SchedulingStrategy as WireScheduling,
};
use model::{DeploymentController, SchedulingStrategy};

use crate::errors::invalid;
use crate::refuse::PARAMETER;

/// The scheduling strategy of a new service.
pub(crate) fn scheduling(given: Option<&WireScheduling>) -> Result<SchedulingStrategy, Error> {
    match given {
        None | Some(WireScheduling::Replica) => Ok(SchedulingStrategy::Replica),
        Some(WireScheduling::Daemon) => Ok(SchedulingStrategy::Daemon),
        Some(WireScheduling::Unrecognized(text)) => {
            Err(invalid(format!("schedulingStrategy: \"{text}\" is none of REPLICA and DAEMON.")))
        }
    }
}

/// The same as it is shown.
pub(crate) const fn show_scheduling(scheduling: SchedulingStrategy) -> WireScheduling {
    match scheduling {
        SchedulingStrategy::Replica => WireScheduling::Replica,
        SchedulingStrategy::Daemon => WireScheduling::Daemon,
    }
}

/// The deployment controller, if one is named.
pub(crate) fn controller(
    given: Option<&WireController>,
) -> Result<Option<DeploymentController>, Error> {
    match given.and_then(|controller| controller.r#type.as_ref()) {
        None => Ok(None),
        Some(DeploymentControllerType::Ecs) => Ok(Some(DeploymentController::Ecs)),
        Some(DeploymentControllerType::External) => Ok(Some(DeploymentController::External)),
        // Its deployments are made by a service of its own.
        Some(DeploymentControllerType::CodeDeploy) => Err(PARAMETER.not_built(
            "deploymentController",
            "CODE_DEPLOY, whose deployments are those of AWS CodeDeploy, is",
        )),
        Some(DeploymentControllerType::Unrecognized(text)) => Err(invalid(format!(
            "deploymentController.type: \"{text}\" is none of ECS, CODE_DEPLOY and EXTERNAL."
        ))),
    }
}

/// The same as it is shown.
pub(crate) fn show_controller(controller: DeploymentController) -> WireController {
    let kind = match controller {
        DeploymentController::Ecs => DeploymentControllerType::Ecs,
        DeploymentController::External => DeploymentControllerType::External,
    };
    WireController { r#type: Some(kind) }
}

/// Refuses what a service of task sets leaves to them, in so far as its command does not know it.
pub(crate) fn left_to_sets(
    controller: DeploymentController,
    request: &CreateServiceRequest,
) -> Result<(), Error> {
    if controller == DeploymentController::Ecs {
        return Ok(());
    }
    for (member, given) in [
        ("LaunchType", request.launch_type.is_some()),
        (
            "PlatformVersion",
            request.platform_version.as_ref().is_some_and(|version| !version.is_empty()),
        ),
        ("NetworkConfiguration", request.network_configuration.is_some()),
    ] {
        if given {
            return Err(invalid(format!(
                "{member} must be blank: a service with an EXTERNAL deployment controller has it in its task sets."
            )));
        }
    }
    Ok(())
}
