//! The attributes that an instance must have to run a definition, as ECS computes them.
//!
//! Placement refuses an instance that lacks one (`ATTRIBUTE`), so only those are asked for without
//! which the definition would not run as it says. The Docker API's version is not among them: the
//! agents that can join speak one that is new enough for all that is accepted here.

use aws::ecs::{Attribute, CPUArchitecture, ContainerDefinition, LogDriver, TaskDefinition};
use model::TaskSpec;

/// Every attribute that a definition may ask for, so that a node's agent can be held to them.
pub const ALL: &[&str] =
    &[AWSLOGS, CONTAINER_ORDERING, ECR_AUTH, HEALTH_CHECK, JSON_FILE, PRIVILEGED, RESTART_POLICY];

const AWSLOGS: &str = "com.amazonaws.ecs.capability.logging-driver.awslogs";
const JSON_FILE: &str = "com.amazonaws.ecs.capability.logging-driver.json-file";
const ECR_AUTH: &str = "com.amazonaws.ecs.capability.ecr-auth";
const PRIVILEGED: &str = "com.amazonaws.ecs.capability.privileged-container";
const HEALTH_CHECK: &str = "ecs.capability.container-health-check";
const CONTAINER_ORDERING: &str = "ecs.capability.container-ordering";
const RESTART_POLICY: &str = "ecs.capability.container-restart-policy";
/// Every agent has it, with a value.
const ARCHITECTURE: &str = "ecs.cpu-architecture";

/// What the definition needs, in order, each once.
pub(super) fn derive(definition: &TaskDefinition) -> Vec<String> {
    let containers = definition.container_definitions.as_deref().unwrap_or_default();
    let any = |test: fn(&ContainerDefinition) -> bool| containers.iter().any(test);
    let driver = |driver: LogDriver| {
        containers
            .iter()
            .filter_map(|c| c.log_configuration.as_ref()?.log_driver.as_ref())
            .any(|d| *d == driver)
    };
    let mut needed: Vec<String> = [
        (AWSLOGS, driver(LogDriver::Awslogs)),
        (JSON_FILE, driver(LogDriver::JsonFile)),
        (ECR_AUTH, any(|c| c.image.as_deref().is_some_and(is_ecr))),
        (PRIVILEGED, any(|c| c.privileged == Some(true))),
        (HEALTH_CHECK, any(|c| c.health_check.is_some())),
        (CONTAINER_ORDERING, any(|c| c.depends_on.as_ref().is_some_and(|d| !d.is_empty()))),
        (
            RESTART_POLICY,
            any(|c| c.restart_policy.as_ref().is_some_and(|p| p.enabled == Some(true))),
        ),
    ]
    .into_iter()
    .filter(|(_, needed)| *needed)
    .map(|(name, _)| name.to_owned())
    .collect();
    let platform = definition.runtime_platform.as_ref();
    needed.extend(platform.and_then(|platform| match platform.cpu_architecture {
        Some(CPUArchitecture::X8664) => Some(format!("{ARCHITECTURE}=x86_64")),
        Some(CPUArchitecture::Arm64) => Some(format!("{ARCHITECTURE}=arm64")),
        Some(CPUArchitecture::Unrecognized(_)) | None => None,
    }));
    needed.sort();
    needed
}

/// The same as `requiresAttributes` shows them.
pub(super) fn as_wire(spec: &TaskSpec) -> Vec<Attribute> {
    spec.required_attributes
        .iter()
        .map(|needed| {
            let (name, value) = match needed.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (needed.as_str(), None),
            };
            Attribute { name: Some(name.to_owned()), value, ..Attribute::default() }
        })
        .collect()
}

/// Whether an image lies in an ECR registry, ours or AWS's own.
fn is_ecr(image: &str) -> bool {
    let host = image.split('/').next().unwrap_or_default();
    host.contains(".dkr.ecr.") && image.contains('/')
}
