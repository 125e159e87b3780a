//! The attributes that an instance must have to run a definition, as ECS computes them.
//!
//! Placement refuses an instance that lacks one (`ATTRIBUTE`), so only those are asked for without
//! which the definition would not run as it says. The Docker API's version is not among them: the
//! agents that can join speak one that is new enough for all that is accepted here.

use std::collections::BTreeSet;

use aws::SecretSource;
use aws::ecs::{
    Attribute, CPUArchitecture, ContainerDefinition, FirelensConfigurationType, LogDriver,
    NetworkMode, Secret, TaskDefinition,
};
use model::TaskSpec;

use super::security::{self, Confinement};

/// Every attribute that a definition may ask for, so that a node's agent can be held to them; beside
/// these there is `ecs.capability.docker-plugin.` with the name of a plugin behind it.
pub const ALL: &[&str] = &[
    APPARMOR,
    CONTAINER_ORDERING,
    ECR_AUTH,
    EFS,
    ENV_FILES,
    EXECUTION_ROLE_AWSLOGS,
    EXECUTION_ROLE_ECR,
    FIRELENS_BUFFER,
    FIRELENS_FILE,
    FIRELENS_FLUENTBIT,
    FIRELENS_FLUENTD,
    FIRELENS_S3,
    HEALTH_CHECK,
    "com.amazonaws.ecs.capability.logging-driver.awsfirelens",
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    "com.amazonaws.ecs.capability.logging-driver.fluentd",
    "com.amazonaws.ecs.capability.logging-driver.gelf",
    "com.amazonaws.ecs.capability.logging-driver.journald",
    "com.amazonaws.ecs.capability.logging-driver.json-file",
    "com.amazonaws.ecs.capability.logging-driver.none",
    "com.amazonaws.ecs.capability.logging-driver.splunk",
    "com.amazonaws.ecs.capability.logging-driver.syslog",
    NAMESPACES,
    PORT_RANGE,
    PRIVATE_REGISTRY,
    PRIVILEGED,
    RESTART_POLICY,
    "ecs.capability.docker-plugin.local",
    "ecs.capability.secrets.asm.bootstrap.log-driver",
    "ecs.capability.secrets.asm.environment-variables",
    "ecs.capability.secrets.ssm.bootstrap.log-driver",
    "ecs.capability.secrets.ssm.environment-variables",
    TASK_NETWORK,
    TASK_ROLE,
    TASK_ROLE_HOST,
];

const APPARMOR: &str = "com.amazonaws.ecs.capability.apparmor";
const CONTAINER_ORDERING: &str = "ecs.capability.container-ordering";
const ECR_AUTH: &str = "com.amazonaws.ecs.capability.ecr-auth";
const EFS: &str = "ecs.capability.efs";
const ENV_FILES: &str = "ecs.capability.env-files.s3";
const EXECUTION_ROLE_AWSLOGS: &str = "ecs.capability.execution-role-awslogs";
const EXECUTION_ROLE_ECR: &str = "ecs.capability.execution-role-ecr-pull";
const FIRELENS_BUFFER: &str = "ecs.capability.logging-driver.awsfirelens.log-driver-buffer-limit";
const FIRELENS_FILE: &str = "ecs.capability.firelens.options.config.file";
const FIRELENS_FLUENTBIT: &str = "ecs.capability.firelens.fluentbit";
const FIRELENS_FLUENTD: &str = "ecs.capability.firelens.fluentd";
const FIRELENS_S3: &str = "ecs.capability.firelens.options.config.s3";
const HEALTH_CHECK: &str = "ecs.capability.container-health-check";
const LOG_DRIVER: &str = "com.amazonaws.ecs.capability.logging-driver.";
const NAMESPACES: &str = "ecs.capability.pid-ipc-namespace-sharing";
const PLUGIN: &str = "ecs.capability.docker-plugin.";
const PORT_RANGE: &str = "ecs.capability.network.container-port-range";
const PRIVATE_REGISTRY: &str = "ecs.capability.private-registry-authentication.secretsmanager";
const PRIVILEGED: &str = "com.amazonaws.ecs.capability.privileged-container";
const RESTART_POLICY: &str = "ecs.capability.container-restart-policy";
/// Each task can have a network of its own.
pub(crate) const TASK_NETWORK: &str = "ecs.capability.task-eni";
const SECRETS: &str = "ecs.capability.secrets.";
const TASK_ROLE: &str = "com.amazonaws.ecs.capability.task-iam-role";
const TASK_ROLE_HOST: &str = "com.amazonaws.ecs.capability.task-iam-role-network-host";
/// Every agent has it, with a value.
const ARCHITECTURE: &str = "ecs.cpu-architecture";

/// The attributes gathered so far, in order, each once.
#[derive(Debug, Default)]
struct Needed(BTreeSet<String>);

impl Needed {
    fn when(&mut self, asked: bool, name: &str) {
        if asked {
            self.0.insert(name.to_owned());
        }
    }
}

/// What the definition needs, in order, each once.
pub(super) fn derive(definition: &TaskDefinition) -> Vec<String> {
    let mut needed = Needed::default();
    needed.when(definition.pid_mode.is_some() || definition.ipc_mode.is_some(), NAMESPACES);
    needed.when(definition.network_mode == Some(NetworkMode::Awsvpc), TASK_NETWORK);
    for role in task_role(definition.task_role_arn.is_some(), definition) {
        needed.when(true, role);
    }
    for volume in definition.volumes.iter().flatten() {
        needed.when(volume.efs_volume_configuration.is_some(), EFS);
        if let Some(docker) = &volume.docker_volume_configuration {
            // As the agent spells a plugin's tag.
            let driver = docker.driver.as_deref().unwrap_or("local").replace(':', ".");
            needed.when(true, &format!("{PLUGIN}{driver}"));
        }
    }
    for c in definition.container_definitions.iter().flatten() {
        container(c, definition.execution_role_arn.is_some(), &mut needed);
        logs(c, definition.execution_role_arn.is_some(), &mut needed);
    }
    let platform = definition.runtime_platform.as_ref();
    match platform.and_then(|platform| platform.cpu_architecture.as_ref()) {
        Some(CPUArchitecture::X8664) => needed.when(true, &format!("{ARCHITECTURE}=x86_64")),
        Some(CPUArchitecture::Arm64) => needed.when(true, &format!("{ARCHITECTURE}=arm64")),
        Some(CPUArchitecture::Unrecognized(_)) | None => {}
    }
    needed.0.into_iter().collect()
}

/// What a task with a role of its own needs, by the definition's network.
pub(crate) fn task_role(
    has_role: bool,
    definition: &TaskDefinition,
) -> impl Iterator<Item = &'static str> + use<> {
    let host = definition.network_mode == Some(NetworkMode::Host);
    let role = has_role.then_some(TASK_ROLE);
    role.into_iter().chain((has_role && host).then_some(TASK_ROLE_HOST))
}

/// What a container with files of variables needs.
pub(crate) const fn environment_files() -> &'static str {
    ENV_FILES
}

fn container(c: &ContainerDefinition, has_execution_role: bool, needed: &mut Needed) {
    let ecr = c.repository_credentials.is_none() && c.image.as_deref().is_some_and(is_ecr);
    needed.when(ecr, ECR_AUTH);
    needed.when(ecr && has_execution_role, EXECUTION_ROLE_ECR);
    needed.when(c.repository_credentials.is_some(), PRIVATE_REGISTRY);
    needed.when(c.privileged == Some(true), PRIVILEGED);
    needed.when(c.health_check.is_some(), HEALTH_CHECK);
    needed.when(c.depends_on.as_ref().is_some_and(|d| !d.is_empty()), CONTAINER_ORDERING);
    needed.when(c.restart_policy.as_ref().is_some_and(|p| p.enabled == Some(true)), RESTART_POLICY);
    needed.when(c.environment_files.as_ref().is_some_and(|f| !f.is_empty()), ENV_FILES);
    let mut ports = c.port_mappings.iter().flatten();
    needed.when(ports.any(|p| p.container_port_range.is_some()), PORT_RANGE);
    let mut options = c.docker_security_options.iter().flatten();
    let apparmor = options.any(|o| matches!(security::read(o), Ok(Confinement::AppArmor(_))));
    needed.when(apparmor, APPARMOR);
    for secret in c.secrets.iter().flatten() {
        needed.when(true, &format!("{SECRETS}{}.environment-variables", provider(secret)));
    }
}

fn logs(c: &ContainerDefinition, has_execution_role: bool, needed: &mut Needed) {
    if let Some(router) = &c.firelens_configuration {
        match &router.r#type {
            Some(FirelensConfigurationType::Fluentd) => needed.when(true, FIRELENS_FLUENTD),
            Some(FirelensConfigurationType::Fluentbit) => needed.when(true, FIRELENS_FLUENTBIT),
            Some(FirelensConfigurationType::Unrecognized(_)) | None => {}
        }
        let from = router.options.as_ref().and_then(|o| o.get("config-file-type"));
        needed.when(from.is_some_and(|from| from == "file"), FIRELENS_FILE);
        needed.when(from.is_some_and(|from| from == "s3"), FIRELENS_S3);
    }
    let Some(log) = &c.log_configuration else {
        return;
    };
    if let Some(driver) = &log.log_driver {
        needed.when(true, &format!("{LOG_DRIVER}{driver}"));
        needed.when(*driver == LogDriver::Awslogs && has_execution_role, EXECUTION_ROLE_AWSLOGS);
    }
    let buffer = log.options.as_ref().is_some_and(|o| o.contains_key("log-driver-buffer-limit"));
    needed.when(buffer, FIRELENS_BUFFER);
    for secret in log.secret_options.iter().flatten() {
        needed.when(true, &format!("{SECRETS}{}.bootstrap.log-driver", provider(secret)));
    }
}

/// The attribute's word for who keeps a secret.
fn provider(secret: &Secret) -> &'static str {
    match SecretSource::parse(secret.value_from.as_deref().unwrap_or_default()) {
        Ok(SecretSource::Secret { .. }) => "asm",
        Ok(SecretSource::Parameter { .. }) | Err(_) => "ssm",
    }
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
pub(super) fn is_ecr(image: &str) -> bool {
    let host = image.split('/').next().unwrap_or_default();
    host.contains(".dkr.ecr.") && image.contains('/')
}
