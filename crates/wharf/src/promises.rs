//! What the table of task definition members says of nodes, held to what nodes tell of themselves.

use agent::capabilities;
use agent::plan::{FileSystem, NodeFacts};
use api::definition_members::{Member, Standing, Verdict, all, attributes};

/// The drivers of Docker Engine 20.10.
const ENGINE: [&str; 7] = ["fluentd", "gelf", "journald", "json-file", "local", "splunk", "syslog"];

/// What amazon-ecs-agent 1.105 told off EC2 beside Docker 20.10 with nothing set beyond what it needs.
const STOCK: &[&str] = &[
    "com.amazonaws.ecs.capability.ecr-auth",
    "com.amazonaws.ecs.capability.logging-driver.awsfirelens",
    "com.amazonaws.ecs.capability.logging-driver.json-file",
    "com.amazonaws.ecs.capability.logging-driver.none",
    "com.amazonaws.ecs.capability.privileged-container",
    "ecs.capability.container-health-check",
    "ecs.capability.container-ordering",
    "ecs.capability.container-restart-policy",
    "ecs.capability.docker-plugin.local",
    "ecs.capability.efs",
    "ecs.capability.env-files.s3",
    "ecs.capability.execution-role-ecr-pull",
    "ecs.capability.firelens.fluentbit",
    "ecs.capability.firelens.fluentd",
    "ecs.capability.network.container-port-range",
    "ecs.capability.private-registry-authentication.secretsmanager",
    "ecs.capability.secrets.asm.bootstrap.log-driver",
    "ecs.capability.secrets.asm.environment-variables",
    "ecs.capability.secrets.ssm.bootstrap.log-driver",
    "ecs.capability.secrets.ssm.environment-variables",
];

/// A node with these drivers: as it comes, and with everything set up that can be.
fn node(drivers: &[&str]) -> (Vec<String>, Vec<String>) {
    let log_drivers = drivers.iter().map(|name| (*name).to_owned()).collect();
    // The one that has drivers of its own is Docker Engine, which has networks of its own as well.
    let runtime_networks = !drivers.is_empty();
    let mut facts = NodeFacts { log_drivers, runtime_networks, ..NodeFacts::default() };
    let plain = capabilities::of(&facts, false);
    let nas = FileSystem { host: "nas".to_owned(), path: "/".to_owned() };
    facts.file_systems.insert("fs-1".to_owned(), nas);
    (plain, capabilities::of(&facts, true))
}

/// A value is the instance's own, such as its architecture.
fn valued(attribute: &str) -> bool {
    attribute.contains('=')
}

fn check(member: &Member, standing: Standing, plain: &[String], equipped: &[String]) {
    let path = member.path;
    let needed = attributes(member).expect("the table's samples are right");
    match standing {
        Standing::Honoured | Standing::ControlPlane => {
            let missing: Vec<&String> =
                needed.iter().filter(|n| !valued(n) && !plain.contains(n)).collect();
            assert!(missing.is_empty(), "{path} is called honoured, and no node tells {missing:?}");
        }
        Standing::Having(attribute) => {
            let told = valued(attribute) || equipped.iter().any(|told| told == attribute);
            assert!(told, "{path}: no node can have {attribute}");
        }
        Standing::Lacking(attribute) => {
            let told = equipped.iter().any(|told| told == attribute);
            assert!(!told, "{path}: a node tells {attribute}, and the table says that it lacks it");
        }
    }
}

#[test]
fn nodes_tell_what_the_table_says_of_them() {
    let (embedded_plain, embedded_all) = node(&[]);
    let (docker_plain, docker_all) = node(&ENGINE);
    let stock: Vec<String> = STOCK.iter().map(|name| (*name).to_owned()).collect();
    for member in all() {
        let Verdict::Accepted { embedded, docker, stock: theirs } = member.verdict else {
            continue;
        };
        check(member, embedded, &embedded_plain, &embedded_all);
        check(member, docker, &docker_plain, &docker_all);
        // What it has when it is set up otherwise is its own affair.
        if matches!(theirs, Standing::Honoured) {
            check(member, theirs, &stock, &stock);
        }
    }
}
