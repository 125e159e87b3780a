//! What is said, in one place: ECS's sentences where ECS has one, with what helps added behind them.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html>

mod deployments;
mod lacks;
mod services;

use std::fmt::Write as _;
use std::time::Duration;

use model::{
    DefinitionKey, DeploymentId, HostPort, InstanceId, LaunchType, NetworkMode, Place, Protocol,
    Realm, ServiceName, Target, TargetKind, TaskId, TaskProgress, Verdict,
};

use crate::{Failure, FailureReason, Lack, Misfit, Rejection, Waiting};
pub use deployments::*;
pub use services::*;

/// Why a task is stopped whose user gave no reason.
pub const STOPPED_BY_USER: &str = "Task stopped by user";
/// Why a task is over whose instance was deregistered with force.
pub const DEREGISTERED_BY_FORCE: &str = "Container instance deregistration forced by user";
/// Why a task ended after one of its essential containers.
pub const ESSENTIAL_EXITED: &str = "Essential container in task exited";
/// Why a task never ran, if nobody knows better.
pub const FAILED_TO_START: &str = "Task failed to start";
/// Why the circuit breaker gave a deployment up.
pub const TASKS_FAILED_TO_START: &str = "ECS deployment circuit breaker: tasks failed to start.";
/// Why a task is stopped whose containers are unhealthy.
pub const FAILED_CHECKS: &str = "Task failed container health checks";
/// An event's end.
pub const STEADY: &str = "has reached a steady state.";

const SEE: &str =
    "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.";
/// An event's end: the percentages of a service allow no step.
pub const BLOCKED: &str = "was unable to stop or start tasks during a deployment because of the \
                           service deployment configuration. Update the minimumHealthyPercent or \
                           maximumPercent value and try again.";
const UNPLACED: &str = "was unable to place a task";
/// So many instances are told of one by one.
const TOLD: usize = 5;

// === Events ===

/// A sentence about a service, as events have it.
pub fn about(service: &ServiceName, what: &str) -> String {
    format!("(service {service}) {what}")
}

/// Tasks were started.
pub fn started<'a>(tasks: impl ExactSizeIterator<Item = &'a TaskId>) -> String {
    format!("has started {} tasks:{}.", tasks.len(), listed(tasks))
}

/// Tasks were told to stop.
pub fn stopped<'a>(tasks: impl ExactSizeIterator<Item = &'a TaskId>) -> String {
    format!("has stopped {} running tasks:{}.", tasks.len(), listed(tasks))
}

fn listed<'a>(tasks: impl Iterator<Item = &'a TaskId>) -> String {
    tasks.fold(String::new(), |text, task| text + " (task " + &task.to_string() + ")")
}

/// A task's health checks fail.
pub fn unhealthy(task: &TaskId) -> String {
    format!("(task {task}) failed container health checks.")
}

/// Tasks joined a target group.
pub fn registered(targets: usize, group: &str) -> String {
    format!("registered {targets} targets in (target-group {group})")
}

/// Tasks leave a target group.
pub fn deregistered(targets: usize, group: &str) -> String {
    format!("deregistered {targets} targets in (target-group {group})")
}

/// Tasks finish what they have begun before they stop.
pub fn draining(tasks: usize) -> String {
    format!("has begun draining connections on {tasks} tasks.")
}

/// A task cannot join a target group, which is gone.
pub fn no_such_group(group: &str) -> String {
    format!(
        "failed to register targets in (target-group {group}) with (error One or more target groups \
         not found)"
    )
}

/// A task is stopped because it is unhealthy in a target group.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-unhealthy-event-messages.html>
pub fn target_unhealthy(task: &TaskId, target: &Target, group: &str, verdict: &Verdict) -> String {
    let instance = match &target.key.place {
        Place::Instance(id) => format!(" (instance {id})"),
        Place::Ip(_) => String::new(),
    };
    let reason = verdict.description.as_deref().unwrap_or("Health checks failed");
    format!(
        "(task {task}){instance} (port {}) is unhealthy in (target-group {group}) due to (reason \
         {reason})",
        target.key.port
    )
}

/// A deployment's tasks fail again and again.
pub fn cannot_start(why: &str, wait: Duration) -> String {
    format!(
        "is unable to consistently start tasks successfully. {SEE} Last: {why} The next attempt \
         follows in {} s.",
        wait.as_secs()
    )
}

/// How a task of a service ended that nobody asked to.
pub fn task_ended(task: &TaskId, progress: &TaskProgress) -> String {
    let reason = progress.stopped_reason.as_deref().unwrap_or(FAILED_TO_START);
    let mut text = format!("(task {task}) {}", reason.trim_end_matches('.'));
    for container in &progress.containers {
        if let Some(code) = container.exit_code {
            // Formatting into a String cannot fail.
            _ = write!(text, ", container {} exited with code {code}", container.name);
        }
        let known = container.reason.as_deref().filter(|r| !reason.contains(r));
        if let Some(reason) = known {
            _ = write!(text, " ({})", reason.trim_end_matches('.'));
        }
    }
    text + "."
}

/// A service could not place a task.
pub fn unplaced(failure: &Failure) -> String {
    if failure.reason == FailureReason::Capacity {
        let (reason, detail) = self::failure(failure);
        return format!("{UNPLACED}. Reason: {reason}. {SEE} {detail}");
    }
    let start = format!("{UNPLACED} because no container instance met all of its requirements.");
    let Some(instance) = &failure.instance else {
        return format!("{start} Reason: No Container Instances were found in your cluster. {SEE}");
    };
    let nearest = failure.detail.iter().find(|(id, _)| id == instance).map(|(_, lack)| lack);
    let lacks = match failure.reason {
        FailureReason::Cpu => "has insufficient CPU units available.",
        FailureReason::Memory => "has insufficient memory available.",
        FailureReason::Ports => "is already using a port required by your task.",
        FailureReason::Gpu => "has insufficient GPU resources available.",
        FailureReason::Interface => "has no free address in the subnets of your task.",
        FailureReason::Attribute => "is missing an attribute required by your task.",
        FailureReason::Agent => "encountered error \"AGENT\".",
        FailureReason::Inactive => "is not ACTIVE.",
        FailureReason::Missing => "is MISSING.",
        FailureReason::Constraint => {
            "encountered error \"DistinctInstance placement constraint unsatisfied.\"."
        }
        FailureReason::MemberOf => {
            "encountered error \"MemberOf placement constraint unsatisfied.\"."
        }
        FailureReason::NoInstances | FailureReason::Capacity => "is missing.",
    };
    let more = nearest.map(|lack| format!(" It {}.", self::lack(lack))).unwrap_or_default();
    format!("{start} The closest matching (container-instance {instance}) {lacks} {SEE}{more}")
}

/// A service cannot be kept even over zones.
pub fn cannot_rebalance(obstacle: &str) -> String {
    format!(
        "availabilityZoneRebalancing cannot be ENABLED for the service: {obstacle}. Change that, or set it to DISABLED."
    )
}

/// A service's tasks are moved between zones.
pub fn not_balanced(zones: &std::collections::BTreeMap<String, u32>) -> String {
    let zones: Vec<String> = zones.iter().map(|(zone, n)| format!("{n} tasks in {zone}")).collect();
    format!("is not AZ balanced with {}. AZ Rebalancing in progress.", zones.join(", "))
}

/// Whether an event tells what keeps a service from going on.
pub fn is_complaint(message: &str) -> bool {
    message.contains(UNPLACED) || message.contains(BLOCKED)
}

/// The circuit breaker brings a deployment back.
pub fn rolls_back(id: &DeploymentId) -> String {
    format!("rolling back to (deployment {id}).")
}

/// A deployment is complete.
pub fn deployment_completed(id: &DeploymentId) -> String {
    format!("(deployment {id}) deployment completed.")
}

// === Rollout and stop reasons ===

/// `rolloutStateReason` of a deployment on its way.
pub fn in_progress(id: &DeploymentId) -> String {
    format!("ECS deployment {id} in progress.")
}

/// `rolloutStateReason` of a complete deployment.
pub fn completed(id: &DeploymentId) -> String {
    format!("ECS deployment {id} completed.")
}

/// `rolloutStateReason` of a deployment that is brought back.
pub fn rolling_back(id: &DeploymentId) -> String {
    format!("ECS deployment circuit breaker: rolling back to deploymentId {id}.")
}

/// `stoppedReason` of a task that its service stops.
pub fn stopped_by_service(deployment: Option<&DeploymentId>) -> String {
    match deployment {
        Some(id) => format!("Scaling activity initiated by (deployment {id})"),
        None => "Scaling activity initiated by its service".to_owned(),
    }
}

/// `stoppedReason` of a task whose target in a group is unhealthy.
pub fn failed_target_checks(group: &str) -> String {
    format!("Task failed ELB health checks in (target-group {group})")
}

/// `stoppedReason` of a task whose instance is gone.
pub fn instance_gone(instance: &InstanceId) -> String {
    format!("Container instance {instance} is no longer registered")
}

/// Whether a reason, of a task or a container, says that it never ran.
pub fn never_started(reason: &str) -> bool {
    ["Cannot", "ResourceInitializationError", "TaskFailedToStart"]
        .iter()
        .any(|prefix| reason.starts_with(prefix))
}

// === Failures ===

/// `reason` and `detail` of one of `failures[]`.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html>
pub fn failure(failure: &Failure) -> (String, String) {
    let reason = self::reason(failure.reason);
    let all = failure.shortfalls.iter().fold(0_usize, |all, s| all + s.instances as usize);
    if all > TOLD && failure.reason != FailureReason::Capacity {
        return (reason.to_owned(), lacks::classes(failure, all) + ".");
    }
    let mut detail = String::new();
    // Who uses Fargate has no container instances.
    let fargate = failure.reason == FailureReason::Capacity;
    let who = if fargate { "node" } else { "container instance" };
    for (instance, lack) in failure.detail.iter().take(TOLD) {
        let separator = if detail.is_empty() { "" } else { "; " };
        _ = write!(detail, "{separator}{who} {instance} {}", self::lack(lack));
    }
    match all {
        0 if fargate => detail.push_str(
            "no node takes tasks of the launch type FARGATE: `wharf up` does where the machine has \
             user namespaces (its log says why not), and `wharf agent --fargate` adds one",
        ),
        0 => detail.push_str("register a container instance first"),
        n if n > TOLD => _ = write!(detail, "; {} others do not fit either", n - TOLD),
        _ => {}
    }
    (reason.to_owned(), detail + ".")
}

/// A kind of reason as `failures[]` names it.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html>
pub const fn reason(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::Agent => "AGENT",
        FailureReason::Attribute => "ATTRIBUTE",
        FailureReason::Cpu => "RESOURCE:CPU",
        FailureReason::Memory => "RESOURCE:MEMORY",
        FailureReason::Ports => "RESOURCE:PORTS",
        FailureReason::Gpu => "RESOURCE:GPU",
        FailureReason::Interface => "RESOURCE:ENI",
        FailureReason::Missing => "MISSING",
        FailureReason::Inactive => "INACTIVE",
        FailureReason::Constraint => "DistinctInstance placement constraint unsatisfied.",
        FailureReason::MemberOf => "MemberOf placement constraint unsatisfied.",
        FailureReason::NoInstances => "No Container Instances were found in your cluster.",
        FailureReason::Capacity => CAPACITY_UNAVAILABLE,
    }
}

/// The kind of reason that a lack is, as `failures[]` names it.
pub(crate) fn lack_reason(lack: &Lack) -> &'static str {
    reason(crate::placement::reason(lack))
}

/// A task with a network of its own is to have one, and is not told where.
pub(crate) const NETWORK_MISSING: &str =
    "Network Configuration must be provided when networkMode 'awsvpc' is specified.";

/// A task without a network of its own is told where to have one.
pub(crate) const NETWORK_UNFIT: &str =
    "Network Configuration is not valid for the given networkMode of this task definition.";

/// A task of the launch type `FARGATE` is asked for, of a definition that is not for it.
pub(crate) fn not_for_fargate(definition: &DefinitionKey) -> String {
    format!(
        "Task definition does not support launch_type FARGATE. Register a revision of {} whose \
         requiresCompatibilities names FARGATE.",
        definition.family
    )
}

/// A task has waited for capacity long enough.
pub(crate) const CAPACITY_UNAVAILABLE: &str = "Capacity is unavailable at this time. Please try again later or in a different availability zone";

/// What an instance lacks: the rest of a sentence about it.
pub fn lack(lack: &Lack) -> String {
    match lack {
        Lack::AgentDisconnected => {
            "is not connected: start its agent, or wait until it is back".to_owned()
        }
        Lack::Draining => "is draining and takes no tasks".to_owned(),
        Lack::Unknown => "is not registered in the cluster".to_owned(),
        Lack::LaunchType => "is of another launch type".to_owned(),
        Lack::Provider(provider) => format!("is not of the capacity provider {provider}"),
        Lack::Cpu { wants, has } => format!(
            "has {has} CPU units left and the task wants {wants}: {} are missing",
            wants.saturating_sub(*has)
        ),
        Lack::Memory { wants, has } => format!(
            "has {has} MiB of memory left and the task wants {wants}: {} are missing",
            wants.saturating_sub(*has)
        ),
        Lack::Port(port) => format!("has host port {} in use", self::port(*port)),
        Lack::Gpu { wants, has } => format!(
            "has {has} GPUs free and the task wants {wants}: {} are missing",
            wants.saturating_sub(*has)
        ),
        Lack::Address(subnets) => format!(
            "has no address for the task: none is free in {}; stop tasks or name another subnet",
            subnets.join(", ")
        ),
        Lack::Attribute(name) => format!("has no attribute {name}"),
        Lack::NotDistinct => "has a task of the group already".to_owned(),
        Lack::Expression(text) => format!("does not satisfy {text}"),
    }
}

fn port(port: HostPort) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    format!("{}/{protocol}", port.port)
}

/// A launch type as ECS spells it.
pub const fn launch_type(launch_type: LaunchType) -> &'static str {
    match launch_type {
        LaunchType::Ec2 => "EC2",
        LaunchType::Fargate => "FARGATE",
        LaunchType::External => "EXTERNAL",
    }
}

// === Why things wait ===

/// What a service waits for, as a sentence.
pub fn waiting(waiting: &Waiting) -> String {
    match waiting {
        Waiting::Place(failure) => {
            let (reason, detail) = self::failure(failure);
            format!("It waits for a place for its next task ({reason}): {detail}")
        }
        Waiting::BackOff { until, failures } => {
            format!("Its tasks failed {failures} times in a row; the next attempt is at {until}.")
        }
        Waiting::Room { maximum_percent, minimum_healthy_percent } => {
            format!("It {BLOCKED} They are {minimum_healthy_percent} and {maximum_percent}.")
        }
        Waiting::Failed { deployment } => format!(
            "Its deployment {deployment} was given up by the circuit breaker; nothing is started until UpdateService begins another."
        ),
        Waiting::Tasks { starting, stopping } => {
            let tasks = |n: u32| if n == 1 { "1 task".to_owned() } else { format!("{n} tasks") };
            match (starting, stopping) {
                (starting, 0) => format!("It waits for {} to become healthy.", tasks(*starting)),
                (0, stopping) => format!("It waits for {} to stop.", tasks(*stopping)),
                (starting, stopping) => format!(
                    "It waits for {} to become healthy and for {} to stop.",
                    tasks(*starting),
                    tasks(*stopping)
                ),
            }
        }
    }
}

// === Refusals ===

/// Why a request is refused, in ECS's words where it has some.
#[expect(clippy::too_many_lines, reason = "a sentence for each refusal")]
pub fn rejection(rejection: &Rejection, realm: &Realm) -> String {
    match rejection {
        Rejection::ClusterNotFound(_) => "Cluster not found.".to_owned(),
        Rejection::ClusterContainsInstances(name, n) => format!(
            "The Cluster cannot be deleted while Container Instances are active or draining. {name} has {n}."
        ),
        Rejection::ClusterContainsServices(name, n) => {
            format!("The Cluster cannot be deleted while Services are active. {name} has {n}.")
        }
        Rejection::ClusterContainsTasks(name, n) => {
            format!("The Cluster cannot be deleted while Tasks are active. {name} has {n}.")
        }
        Rejection::DefinitionNotFound(key) => {
            format!("TaskDefinition not found: {}.", realm.definition(key))
        }
        Rejection::FamilyNotFound(family) => {
            format!("TaskDefinition not found: the family {family} has no active revision.")
        }
        Rejection::DefinitionInactive(key) => {
            format!(
                "TaskDefinition is inactive: {}. Use an active revision.",
                realm.definition(key)
            )
        }
        Rejection::DefinitionActive(key) => format!(
            "The specified task definition is still in ACTIVE status: {}. Please deregister the target and try again.",
            realm.definition(key)
        ),
        Rejection::Incompatible { definition, why } => {
            format!("{} cannot be run that way: {why}.", realm.definition(definition))
        }
        Rejection::ServiceNotFound(_) => "Service not found.".to_owned(),
        Rejection::TaskSetNotFound(_) => {
            "The specified task set wasn't found. View those of the service with DescribeTaskSets."
                .to_owned()
        }
        Rejection::ServiceNotActive(_) => "Service was not ACTIVE.".to_owned(),
        Rejection::ServiceExists(key) => format!(
            "Creation of service was not idempotent. {} exists; change it with UpdateService.",
            key.service
        ),
        Rejection::ServiceDraining(key) => format!(
            "Unable to Start a service that is still Draining. The tasks of {} are being stopped; try again when it is INACTIVE.",
            key.service
        ),
        Rejection::ServiceHasTasks(_, n) => format!(
            "The service cannot be stopped while it is scaled above 0. Its desired count is {n}; scale it to 0 first, or delete it with force."
        ),
        Rejection::TaskNotProtectable(key) => format!(
            "{} cannot be protected: only a service's task that is wanted to run can be.",
            realm.task(key)
        ),
        Rejection::TaskNotFound(key) => {
            format!("The referenced task was not found: {}.", realm.task(key))
        }
        Rejection::InstanceNotFound(key) => {
            format!("The referenced container instance was not found: {}.", realm.instance(key))
        }
        Rejection::TargetNotFound(key) => format!(
            "The referenced target was not found: {}. See ListContainerInstances.",
            realm.instance(key)
        ),
        Rejection::TooManyAttributes(key, n) => format!(
            "{} would have {n} custom attributes; it can have 10. Delete some with DeleteAttributes first.",
            realm.instance(key)
        ),
        Rejection::InstanceHasTasks(_, n) => format!(
            "Found running tasks on the instance. {n} are not stopped; stop them first, or deregister it with force."
        ),
        Rejection::TokenReused(token) => format!(
            "The clientToken {token} was used before with other parameters. Use a new token for a new request."
        ),
        Rejection::Invalid { member, why } => format!("Invalid value for {member}: {why}."),
        Rejection::NotBuilt(what) => format!("Wharf does not support {what} yet."),
        Rejection::Limit(sentence) | Rejection::Refused(sentence) => sentence.clone(),
        Rejection::Iam(refusal) => refusal.to_string(),
        Rejection::Capacity(refusal) => refusal.to_string(),
        Rejection::Scaling(refusal) => refusal.to_string(),
        Rejection::Bus(refusal) => refusal.to_string(),
        Rejection::Balancing(refusal) => refusal.to_string(),
        Rejection::Misfit(misfit) => self::misfit(misfit, realm),
        Rejection::Deployment(refusal) => refusal.to_string(),
        Rejection::Stale => "The state has moved on; look again.".to_owned(),
    }
}

/// Why the tasks of a service cannot be the targets that are asked for.
fn misfit(misfit: &Misfit, realm: &Realm) -> String {
    match misfit {
        Misfit::NoGroup(group) => format!(
            "One or more target groups not found: {}. Create it with CreateTargetGroup of Elastic Load Balancing first.",
            realm.group(group)
        ),
        Misfit::NoBalancer(group) => format!(
            "The target group with targetGroupArn {} does not have an associated load balancer.",
            realm.group(group)
        ),
        Misfit::NoContainer(container) => {
            format!("The container {container} does not exist in the task definition.")
        }
        Misfit::NoPort(container, port) => {
            format!("The container {container} did not have a container port {port} defined.")
        }
        Misfit::Network(group, kind, mode) => format!(
            "The provided target group {} has target type {}, which is incompatible with the {} network mode specified in the task definition.",
            realm.group(group),
            match kind {
                TargetKind::Instance => "instance",
                TargetKind::Ip => "ip",
            },
            match mode {
                NetworkMode::Bridge => "bridge",
                NetworkMode::Host => "host",
                NetworkMode::None => "none",
                NetworkMode::Awsvpc => "awsvpc",
            }
        ),
        Misfit::TooMany(n) => {
            format!("loadBalancers: {n} target groups; a service has at most 5.")
        }
        Misfit::Twice(group, container, port) => format!(
            "loadBalancers: the container {container} with port {port} is named twice for {}.",
            realm.group(group)
        ),
    }
}
