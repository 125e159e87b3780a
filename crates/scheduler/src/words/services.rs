//! What is said of services that are daemons or have task sets.

use model::{DeploymentController, DeploymentId, InstanceId, ServiceName};

/// Refusals of daemon services, in ECS's words where they are known.
pub const DAEMON_COUNT: &str = "The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again";
/// It has one task on each instance: there is nothing to choose.
pub const DAEMON_STRATEGY: &str = "The daemon scheduling strategy does not support placement strategies. Remove the placement strategy and try again";
/// Its old task goes before the new one comes.
pub const DAEMON_MAXIMUM: &str = "The daemon scheduling strategy does not support values above 100 for maximumPercent on a deployment configuration. Change the maximumPercent value to 100, and try again";
/// It follows the instances that are there.
pub const DAEMON_PROVIDERS: &str = "Specifying a capacity provider strategy is not supported when you create a service using the DAEMON scheduling strategy. Where the cluster has a default strategy, set launchType.";
/// There are no instances to have one task each.
pub const DAEMON_FARGATE: &str = "The daemon scheduling strategy does not support the FARGATE launch type. Use EC2 or EXTERNAL, and try again";
/// It follows its instances, and nothing else.
pub const DAEMON_SCALING: &str = "The service has the DAEMON scheduling strategy: it has one task on each of its instances, and is not scaled.";
/// Task sets are scaled.
pub const DAEMON_CONTROLLER: &str = "The daemon scheduling strategy does not support the EXTERNAL deployment controller. Use the ECS deployment controller, and try again";

/// Tags of what is deleted and still described, in ECS's words.
pub const INACTIVE_CLUSTER: &str =
    "The specified cluster is inactive. Specify an active cluster and try again.";
/// Likewise.
pub const INACTIVE_SERVICE: &str =
    "The specified service is inactive. Specify an active service and try again.";
/// Likewise.
pub const STOPPED_TASK: &str =
    "The specified task is stopped. Specify a running task and try again.";

/// What a service of task sets leaves to them.
pub const BLANK_DEFINITION: &str =
    "TaskDefinition must be blank: a service with an EXTERNAL deployment controller has task sets.";
/// Likewise.
pub const BLANK_BALANCERS: &str = "LoadBalancers must be empty or null. A service with an EXTERNAL deployment controller has them in its task sets.";
/// Likewise.
pub const BLANK_PROVIDERS: &str = "CapacityProviderStrategy must be empty or null. A service with an EXTERNAL deployment controller has it in its task sets.";
/// Its percentages only say how its instances drain.
pub const EXTERNAL_PERCENTS: &str = "A service with an EXTERNAL deployment controller has the default maximumPercent (200) and minimumHealthyPercent (100). Remove the values and try again";
/// Its deployments are not the service's to give up.
pub const EXTERNAL_BREAKER: &str = "The deployment circuit breaker can only be used for services using the rolling update (ECS) deployment type. Remove it and try again";
/// Where capacity comes from is not changed under tasks that run.
pub const FORCE_FOR_PROVIDERS: &str = "When switching from launch type to capacity provider strategy on an existing service, or making a change to a capacity provider strategy on a service that is already using one, you must force a new deployment.";

/// What is the task sets' to change.
pub fn external_update(what: &str) -> String {
    format!(
        "Unable to update {what} on services with an EXTERNAL deployment controller. Use CreateTaskSet to begin a new task set."
    )
}

/// A service keeps its deployment controller.
pub fn other_controller(is: DeploymentController, asked: DeploymentController) -> String {
    format!(
        "The deployment controller of a service cannot be changed here from {} to {}. Create another service, and delete this one when it serves.",
        controller(is),
        controller(asked)
    )
}

/// A deployment controller as ECS spells it.
pub const fn controller(controller: DeploymentController) -> &'static str {
    match controller {
        DeploymentController::Ecs => "ECS",
        DeploymentController::External => "EXTERNAL",
    }
}

/// A daemon service has found more or fewer instances.
pub fn daemon_count(service: &ServiceName, desired: u32) -> String {
    format!("(daemon service {service}) updated desired count to {desired}.")
}

/// Tasks are stopped because their instances drain.
pub fn drained<'a>(instances: impl IntoIterator<Item = &'a InstanceId>) -> String {
    let listed = instances
        .into_iter()
        .fold(String::new(), |text, id| text + " (container-instance " + id.as_str() + ")");
    format!("is stopping tasks on draining instances:{listed}.")
}

/// Task sets are of services that a program of the user's deploys.
pub const NOT_EXTERNAL: &str = "Amazon ECS only supports task set management on services configured to use external deployment controllers.";
/// More than one is for services that deploy themselves.
pub const ONE_GROUP: &str =
    "loadBalancers: multiple target groups are not supported for external deployments; name one.";

/// A service has as many task sets as it may have.
pub fn too_many_sets(sets: usize) -> String {
    format!(
        "{sets} deployments exist on the service. Unable to create new TaskSet since this exceeds the maximum limit."
    )
}

/// A task set is deleted already.
pub fn set_drains(set: &DeploymentId) -> String {
    format!("The task set {set} is DRAINING: it is deleted, and its tasks are being stopped.")
}

/// A task set serves.
pub fn set_is_primary(set: &DeploymentId) -> String {
    format!(
        "The task set {set} is the PRIMARY task set of its service. Make another one primary with UpdateServicePrimaryTaskSet first, or delete it with force."
    )
}

/// A task set has a share of the desired count.
pub fn set_is_scaled(set: &DeploymentId) -> String {
    format!(
        "The task set {set} is scaled above 0. Scale it to 0 with UpdateTaskSet first, or delete it with force."
    )
}

/// A sentence about a task set, as events have it.
pub fn about_set(service: &ServiceName, set: &DeploymentId, what: &str) -> String {
    format!("(service {service}, taskSet {set}) {what}")
}
