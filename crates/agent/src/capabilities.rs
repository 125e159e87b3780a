//! What a node tells that it can do, in the ECS agent's names. Placement believes it: a task that
//! asks for an attribute goes only where the attribute is, so only what is really done stands here.
//!
//! This is the one list. What every node of Wharf does is a constant; what depends on the container
//! runtime, on the kernel or on how the node was set up is added by [`of`].

use crate::plan::NodeFacts;

/// What every node does, whichever runtime it has.
const ALWAYS: &[&str] = &[
    "com.amazonaws.ecs.capability.docker-remote-api.1.17",
    "com.amazonaws.ecs.capability.docker-remote-api.1.18",
    "com.amazonaws.ecs.capability.docker-remote-api.1.19",
    "com.amazonaws.ecs.capability.docker-remote-api.1.20",
    "com.amazonaws.ecs.capability.docker-remote-api.1.21",
    "com.amazonaws.ecs.capability.docker-remote-api.1.22",
    "com.amazonaws.ecs.capability.docker-remote-api.1.23",
    "com.amazonaws.ecs.capability.docker-remote-api.1.24",
    "com.amazonaws.ecs.capability.docker-remote-api.1.25",
    "com.amazonaws.ecs.capability.ecr-auth",
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    "com.amazonaws.ecs.capability.logging-driver.json-file",
    "com.amazonaws.ecs.capability.logging-driver.none",
    "com.amazonaws.ecs.capability.privileged-container",
    "com.amazonaws.ecs.capability.task-iam-role",
    "com.amazonaws.ecs.capability.task-iam-role-network-host",
    "ecs.capability.container-health-check",
    "ecs.capability.container-ordering",
    "ecs.capability.container-restart-policy",
    "ecs.capability.docker-plugin.local",
    "ecs.capability.ecr-endpoint",
    "ecs.capability.env-files.s3",
    "ecs.capability.execute-command",
    "ecs.capability.execution-role-awslogs",
    "ecs.capability.execution-role-ecr-pull",
    "ecs.capability.full-sync",
    "ecs.capability.network.container-port-range",
    "ecs.capability.pid-ipc-namespace-sharing",
    "ecs.capability.private-registry-authentication.secretsmanager",
    "ecs.capability.secrets.asm.bootstrap.log-driver",
    "ecs.capability.secrets.asm.environment-variables",
    "ecs.capability.secrets.ssm.bootstrap.log-driver",
    "ecs.capability.secrets.ssm.environment-variables",
    "ecs.capability.task-cpu-mem-limit",
];

/// Drivers of a runtime that ECS has a name for, beside those of [`ALWAYS`].
const DRIVERS: &[&str] = &["fluentd", "gelf", "journald", "splunk", "syslog"];

/// The driver by which output reaches a log router.
const FLUENTD: &str = "fluentd";

/// What a node with that driver does for a log router (FireLens).
const ROUTERS: &[&str] = &[
    "com.amazonaws.ecs.capability.logging-driver.awsfirelens",
    "ecs.capability.firelens.fluentbit",
    "ecs.capability.firelens.fluentd",
    "ecs.capability.firelens.options.config.file",
    "ecs.capability.firelens.options.config.s3",
    "ecs.capability.logging-driver.awsfirelens.log-driver-buffer-limit",
];

/// What this node can do: `facts` tell its runtime and its setup, `apparmor` whether its kernel
/// confines programs by profiles.
pub fn of(facts: &NodeFacts, apparmor: bool) -> Vec<String> {
    let mut all: Vec<String> = ALWAYS.iter().map(|name| (*name).to_owned()).collect();
    // A runtime with drivers of its own sends by them, any other leaves it to the agent.
    if facts.log_drivers.is_empty() || facts.log_drivers.iter().any(|name| name == FLUENTD) {
        all.extend(ROUTERS.iter().map(|name| (*name).to_owned()));
    }
    if facts.log_drivers.is_empty() {
        all.push(format!("com.amazonaws.ecs.capability.logging-driver.{FLUENTD}"));
    }
    let drivers = facts.log_drivers.iter().filter(|name| DRIVERS.contains(&name.as_str()));
    all.extend(drivers.map(|name| format!("com.amazonaws.ecs.capability.logging-driver.{name}")));
    all.extend(facts.volume_drivers.iter().flat_map(|name| plugin(name)));
    if !facts.file_systems.is_empty() {
        all.push("ecs.capability.efs".to_owned());
    }
    if !facts.runtime_networks {
        all.push("ecs.capability.task-eni".to_owned());
    }
    if apparmor {
        all.push("com.amazonaws.ecs.capability.apparmor".to_owned());
    }
    all.sort();
    all.dedup();
    all
}

/// The attributes of a volume driver. As the ECS agent has them, a plugin's tag stands behind a full
/// stop, and one that is `latest` may be left out as well.
fn plugin(name: &str) -> Vec<String> {
    let attribute = |name: &str| format!("ecs.capability.docker-plugin.{name}");
    let mut all = vec![attribute(&name.replace(':', "."))];
    all.extend(name.strip_suffix(":latest").map(attribute));
    all
}

/// Whether this machine's kernel confines programs by AppArmor's profiles.
pub(crate) fn apparmor() -> bool {
    std::path::Path::new("/sys/kernel/security/apparmor").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_and_a_setup_add_to_what_every_node_does() {
        let plain = of(&NodeFacts::default(), false);
        assert_eq!(plain.len(), ALWAYS.len() + ROUTERS.len() + 2);
        let docker = NodeFacts { runtime_networks: true, ..NodeFacts::default() };
        assert!(!of(&docker, false).contains(&"ecs.capability.task-eni".to_owned()));
        let facts = NodeFacts {
            log_drivers: ["json-file", "local", "syslog"].map(str::to_owned).to_vec(),
            volume_drivers: ["nas", "vendor/ebs:latest", "x:1"].map(str::to_owned).to_vec(),
            file_systems: [(
                "fs-1".to_owned(),
                crate::plan::FileSystem { host: "nas".to_owned(), path: "/".to_owned() },
            )]
            .into(),
            ..NodeFacts::default()
        };
        let more: Vec<String> =
            of(&facts, true).into_iter().filter(|name| !plain.contains(name)).collect();
        assert_eq!(
            more,
            [
                "com.amazonaws.ecs.capability.apparmor",
                "com.amazonaws.ecs.capability.logging-driver.syslog",
                "ecs.capability.docker-plugin.nas",
                "ecs.capability.docker-plugin.vendor/ebs",
                "ecs.capability.docker-plugin.vendor/ebs.latest",
                "ecs.capability.docker-plugin.x.1",
                "ecs.capability.efs",
            ]
        );
    }
}
