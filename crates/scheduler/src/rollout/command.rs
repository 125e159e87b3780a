//! What may be asked of service deployments, and why it is refused.

use std::time::Duration;

use model::{HookAction, HookId, ServiceDeploymentKey, ServiceDeploymentStatus};

use super::HookAnswer;

/// A command about a service deployment.
#[derive(Clone, Debug, PartialEq)]
pub enum DeploymentCommand {
    /// StopServiceDeployment.
    Stop {
        /// Which.
        key: ServiceDeploymentKey,
        /// Whether what stood before is brought back; else it ends where it is.
        rollback: bool,
    },
    /// ContinueServiceDeployment.
    Continue {
        /// Which.
        key: ServiceDeploymentKey,
        /// The hook at which it is paused.
        hook: HookId,
        /// What becomes of it.
        action: HookAction,
    },
    /// A web server answered a hook, or could not be asked.
    Answer {
        /// Which.
        key: ServiceDeploymentKey,
        /// The run of the hook.
        hook: HookId,
        /// What it said.
        answer: HookAnswer,
    },
    /// How the alarms of a deployment stand.
    Alarms {
        /// Which.
        key: ServiceDeploymentKey,
        /// Those that are in alarm.
        in_alarm: Vec<String>,
        /// How long the slowest of them takes to notice something.
        notice: Duration,
    },
}

/// Why a command about a service deployment is refused. `Display` is the sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeploymentRejection {
    /// No such deployment: its ARN.
    #[error("The service deployment was not found: {0}. See ListServiceDeployments.")]
    NotFound(String),
    /// It is over, or about to be.
    #[error(
        "The service deployment {arn} cannot be stopped: its status is {status}. Only one that is PENDING or \
         IN_PROGRESS can be."
    )]
    NotStoppable {
        /// Its ARN.
        arn: String,
        /// Its status as ECS spells it.
        status: &'static str,
    },
    /// The old tasks are going already.
    #[error(
        "The service deployment {0} cannot be rolled back: it is at CLEAN_UP, where the tasks of before are being \
         stopped. Deploy the earlier task definition with UpdateService instead."
    )]
    TooLate(String),
    /// No such hook, or it waits for nobody.
    #[error(
        "The lifecycle hook {hook} of {arn} is not a pause hook in status AWAITING_ACTION. See lifecycleHookDetails in \
         DescribeServiceDeployments."
    )]
    NotPaused {
        /// The deployment's ARN.
        arn: String,
        /// The hook's id as it was given.
        hook: String,
    },
}

/// A status as ECS spells it.
pub(crate) const fn status(status: ServiceDeploymentStatus) -> &'static str {
    use ServiceDeploymentStatus as S;
    match status {
        S::Pending => "PENDING",
        S::InProgress => "IN_PROGRESS",
        S::Successful => "SUCCESSFUL",
        S::StopRequested => "STOP_REQUESTED",
        S::Stopped => "STOPPED",
        S::RollbackRequested => "ROLLBACK_REQUESTED",
        S::RollbackInProgress => "ROLLBACK_IN_PROGRESS",
        S::RollbackSuccessful => "ROLLBACK_SUCCESSFUL",
        S::RollbackFailed => "ROLLBACK_FAILED",
    }
}
