//! FireLens: a container of the task that routes the logs of the others.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_firelens.html>
//!
//! The router gets a configuration that is written here, and a folder in which it makes the socket
//! that the others' output is sent to. It starts before them, and their secret log options are
//! variables of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws::ecs;
use runtime::Mount;

use super::needs::EnvFile;
use super::router_config::{Config, Route, Syntax};
use super::{Condition, ContainerPlan, Dependency, NetworkPlan, NodeFacts, Refusal, SecretTarget};
use crate::order::Order;

/// The log driver that sends to the router.
pub(super) const DRIVER: &str = "awsfirelens";

/// The option that is the driver's and not the router's.
pub(super) const BUFFER_LIMIT: &str = "log-driver-buffer-limit";

/// The port at which a router on the bridge takes what programs send by themselves.
pub const PORT: u16 = 24224;

/// The socket in a router's folder.
const SOCKET: &str = "fluent.sock";

/// Where a router's socket and configuration are on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterPlan {
    /// The folder of both, gone with the task.
    pub folder: PathBuf,
    /// The configuration's text.
    pub config: String,
    /// A further configuration in S3, which the first one includes.
    pub external: Option<EnvFile>,
}

impl RouterPlan {
    /// The folder that is the router's `/var/run`.
    pub fn socket_folder(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// Where the configuration is written.
    pub fn config_file(&self) -> PathBuf {
        self.folder.join("config/fluent.conf")
    }

    /// Where the configuration from S3 is written.
    pub fn external_file(&self) -> PathBuf {
        self.folder.join("config/external.conf")
    }
}

/// A task's folder for its router.
fn folder(order: &Order, node: &NodeFacts) -> PathBuf {
    node.firelens_dir.join(order.task_id())
}

/// The socket of the task's router on the node, if the task has one.
pub(super) fn socket(order: &Order, node: &NodeFacts) -> Option<PathBuf> {
    order
        .containers
        .iter()
        .any(|c| c.firelens_configuration.is_some())
        .then(|| folder(order, node).join("socket").join(SOCKET))
}

/// Whether a container's output goes to the router.
fn is_routed(definition: &ecs::ContainerDefinition) -> bool {
    let driver = definition.log_configuration.as_ref().and_then(|log| log.log_driver.as_ref());
    driver.is_some_and(|driver| driver.as_str() == DRIVER)
}

/// Joins the task's router, if it has one, with the containers that use it.
pub(super) fn join(
    order: &Order,
    containers: &mut [ContainerPlan],
    network: NetworkPlan,
    node: &NodeFacts,
) -> Result<(), Refusal> {
    let has_router = |c: &ecs::ContainerDefinition| c.firelens_configuration.is_some();
    let Some(at) = order.containers.iter().position(has_router) else { return Ok(()) };
    let secrets = secrets(order, containers);
    let plan = router(order, at, network, node, &secrets)?;
    for (index, definition) in order.containers.iter().enumerate() {
        if !is_routed(definition) || index == at {
            continue;
        }
        let Some(container) = containers.get_mut(index) else { continue };
        container.router = Some(at);
        // As the ECS agent has it: a router that waits for others itself is nobody's condition.
        let definition = order.containers.get(at);
        let waits = definition.and_then(|d| d.depends_on.as_ref()).is_some_and(|d| !d.is_empty());
        if !waits && !container.depends_on.iter().any(|d| d.container == at) {
            container.depends_on.push(Dependency { container: at, condition: Condition::Start });
        }
    }
    let Some(router) = containers.get_mut(at) else { return Ok(()) };
    router.needs.secrets.extend(secrets.into_values().flatten().map(|(_, secret)| secret));
    router.needs.router_config.clone_from(&plan.external);
    router.template.mounts.extend(mounts(order, at, &plan));
    router.routes = Some(plan);
    Ok(())
}

type Secrets = BTreeMap<usize, Vec<(String, super::Secret)>>;

/// Takes the secret options from the containers whose they are: by container, the option and the
/// variable of the router's that it becomes.
fn secrets(order: &Order, containers: &mut [ContainerPlan]) -> Secrets {
    let mut all = Secrets::new();
    for (index, definition) in order.containers.iter().enumerate() {
        let Some(plan) = containers.get_mut(index).filter(|_| is_routed(definition)) else {
            continue;
        };
        let (options, rest) = std::mem::take(&mut plan.needs.secrets)
            .into_iter()
            .partition::<Vec<_>, _>(|secret| secret.target == SecretTarget::LogOption);
        plan.needs.secrets = rest;
        let moved = options.into_iter().map(|secret| {
            let option = secret.name.clone();
            let name = format!("{option}_{index}");
            (option, super::Secret { name, target: SecretTarget::Environment, ..secret })
        });
        all.insert(index, moved.collect());
    }
    all
}

fn router(
    order: &Order,
    at: usize,
    network: NetworkPlan,
    node: &NodeFacts,
    secrets: &Secrets,
) -> Result<RouterPlan, Refusal> {
    let nothing = ecs::ContainerDefinition::default();
    let definition = order.containers.get(at).unwrap_or(&nothing);
    let name = definition.name.as_deref().unwrap_or_default();
    let firelens = definition.firelens_configuration.clone().unwrap_or_default();
    let wrong = |member: &str, why: String| {
        Refusal::new(format!("container {name}: firelensConfiguration.{member}"), why)
    };
    let syntax = syntax(definition)
        .ok_or_else(|| wrong("type", "it is neither fluentbit nor fluentd".to_owned()))?;
    let options = firelens.options.unwrap_or_default();
    let value = options.get("config-file-value").map(String::as_str).unwrap_or_default();
    let (include, external) = match options.get("config-file-type").map(String::as_str) {
        None => (None, None),
        Some(_) if value.is_empty() => {
            return Err(wrong("options", "config-file-value: it is missing".to_owned()));
        }
        Some("file") => (Some(value.to_owned()), None),
        Some("s3") => {
            let object = value.splitn(6, ':').nth(5).filter(|_| value.starts_with("arn:"));
            let (bucket, key) =
                object.and_then(|object| object.split_once('/')).ok_or_else(|| {
                    let why = format!("config-file-value: \"{value}\" is not an object's ARN");
                    wrong("options", why)
                })?;
            let file = EnvFile { bucket: bucket.to_owned(), key: key.to_owned() };
            (Some(syntax.external().to_owned()), Some(file))
        }
        Some(other) => {
            let why = format!("config-file-type: \"{other}\" is neither file nor s3");
            return Err(wrong("options", why));
        }
    };
    let metadata = options.get("enable-ecs-log-metadata").is_none_or(|on| on != "false");
    let cluster = order.cluster.rsplit('/').next().unwrap_or_default();
    let config = Config {
        syntax,
        on_bridge: matches!(network, NetworkPlan::Bridge | NetworkPlan::Runtime),
        memory_mib: definition.memory_reservation.or(definition.memory).unwrap_or(0),
        fields: if metadata {
            vec![
                ("ecs_cluster", cluster.to_owned()),
                ("ecs_task_arn", order.arn.clone()),
                ("ecs_task_definition", format!("{}:{}", order.family, order.version)),
            ]
        } else {
            Vec::new()
        },
        include,
        routes: routes(order, syntax, secrets)?,
    };
    Ok(RouterPlan { folder: folder(order, node), config: config.text()?, external })
}

fn syntax(router: &ecs::ContainerDefinition) -> Option<Syntax> {
    match router.firelens_configuration.as_ref()?.r#type.as_ref()? {
        ecs::FirelensConfigurationType::Fluentbit => Some(Syntax::FluentBit),
        ecs::FirelensConfigurationType::Fluentd => Some(Syntax::Fluentd),
        ecs::FirelensConfigurationType::Unrecognized(_) => None,
    }
}

/// Where each container's output goes from the router, by its options.
fn routes(order: &Order, syntax: Syntax, secrets: &Secrets) -> Result<Vec<Route>, Refusal> {
    let mut all = Vec::new();
    for (index, definition) in order.containers.iter().enumerate().filter(|(_, d)| is_routed(d)) {
        let name = definition.name.clone().unwrap_or_default();
        let log = definition.log_configuration.as_ref();
        let mut options = log.and_then(|log| log.options.clone()).unwrap_or_default();
        options.remove(BUFFER_LIMIT);
        for (option, secret) in secrets.get(&index).into_iter().flatten() {
            options.insert(option.clone(), syntax.variable(&secret.name));
        }
        let output = options.remove(syntax.output_key());
        let include = options.remove("include-pattern");
        let exclude = options.remove("exclude-pattern");
        if output.is_none() && !options.is_empty() {
            let why = format!(
                "{} is missing, the router's name of where the output goes",
                syntax.output_key()
            );
            return Err(Refusal::new(format!("container {name}: logConfiguration.options"), why));
        }
        all.push(Route { container: name, output, include, exclude, options });
    }
    Ok(all)
}

fn mounts(order: &Order, at: usize, plan: &RouterPlan) -> Vec<Mount> {
    let Some(syntax) = order.containers.get(at).and_then(syntax) else { return Vec::new() };
    let bind = |source: PathBuf, target: &str, readonly| Mount::Bind {
        source,
        target: Path::new(target).to_owned(),
        readonly,
    };
    let mut all = vec![
        bind(plan.config_file(), syntax.config(), true),
        bind(plan.socket_folder(), "/var/run", false),
    ];
    if plan.external.is_some() {
        all.push(bind(plan.external_file(), syntax.external(), true));
    }
    all
}

#[cfg(test)]
mod tests {
    use runtime::LogMode;
    use serde_json::{Value, json};

    use super::super::tests::{node, order};
    use super::super::{LogPlan, task};
    use super::*;

    fn containers(options: &Value) -> Value {
        json!([
            {"name": "web", "image": "i", "logConfiguration": {"logDriver": "awsfirelens",
                "options": {"Name": "http", "Host": "logs", "log-driver-buffer-limit": "200"},
                "secretOptions": [{"name": "token", "valueFrom": "/logs/token"}]}},
            {"name": "router", "image": "fluent-bit", "memory": 100,
                "firelensConfiguration": {"type": "fluentbit", "options": options}},
            {"name": "side", "image": "i"},
        ])
    }

    fn facts(drivers: &[&str]) -> NodeFacts {
        NodeFacts {
            firelens_dir: "/data/firelens".into(),
            log_drivers: drivers.iter().map(|name| (*name).to_owned()).collect(),
            ..node()
        }
    }

    #[test]
    fn the_router_starts_first_and_has_socket_configuration_and_secrets() {
        let plan = task(&order(containers(&json!({})), json!({})), &facts(&[])).unwrap();
        let [web, router, side] = &plan.containers[..] else { panic!("three") };
        assert_eq!(web.depends_on, [Dependency { container: 1, condition: Condition::Start }]);
        assert!(side.depends_on.is_empty() && side.router.is_none());
        assert_eq!(web.router, Some(1));
        assert!(web.needs.is_empty(), "its secrets are the router's");
        assert_eq!(router.needs.secrets[0].name, "token_0");
        assert_eq!(router.needs.secrets[0].target, SecretTarget::Environment);
        let routes = router.routes.as_ref().unwrap();
        assert!(routes.config.contains("token ${token_0}"), "{}", routes.config);
        assert!(routes.config.contains("Mem_Buf_Limit 50MB"), "{}", routes.config);
        assert!(!routes.config.contains("buffer-limit"), "{}", routes.config);
        let folder = "/data/firelens/0123abcd";
        assert_eq!(routes.folder, PathBuf::from(folder));
        assert_eq!(router.template.mounts.len(), 2);
        let LogPlan::Fluent(fluent) = &web.log else { panic!("{:?}", web.log) };
        assert_eq!(fluent.tag, "web-firelens-0123abcd");
        assert_eq!(fluent.at_once, 200);
        assert!(matches!(web.template.log, LogMode::Files { .. }));
    }

    #[test]
    fn docker_sends_to_the_same_socket_itself() {
        let plan = task(&order(containers(&json!({})), json!({})), &facts(&["fluentd"])).unwrap();
        let web = &plan.containers[0];
        let LogMode::Driver { name, options } = &web.template.log else { panic!() };
        assert_eq!((name.as_str(), &web.log), ("fluentd", &LogPlan::Driver));
        let told: Vec<(&str, &str)> =
            options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            told,
            [
                ("fluentd-address", "unix:///data/firelens/0123abcd/socket/fluent.sock"),
                ("fluentd-async", "true"),
                ("fluentd-buffer-limit", "200"),
                ("fluentd-sub-second-precision", "true"),
                ("tag", "web-firelens-0123abcd"),
            ]
        );
    }

    #[test]
    fn a_configuration_may_come_from_s3() {
        let options = json!({"config-file-type": "s3", "enable-ecs-log-metadata": "false",
            "config-file-value": "arn:aws:s3:::bucket/a/b.conf"});
        let plan = task(&order(containers(&options), json!({})), &facts(&[])).unwrap();
        let router = &plan.containers[1];
        let file = EnvFile { bucket: "bucket".into(), key: "a/b.conf".into() };
        assert_eq!(router.needs.router_config, Some(file));
        assert_eq!(router.template.mounts.len(), 3);
        let config = &router.routes.as_ref().unwrap().config;
        assert!(config.contains("@INCLUDE /fluent-bit/etc/external.conf"), "{config}");
        assert!(!config.contains("ecs_cluster"), "{config}");
    }

    #[test]
    fn what_cannot_be_routed_is_refused_by_name() {
        let mut nameless = containers(&json!({}));
        nameless[0]["logConfiguration"]["options"] = json!({"Host": "logs"});
        let mut broken = containers(&json!({}));
        broken[0]["logConfiguration"]["options"]["Host"] = json!("a\n[OUTPUT]");
        let s3 = json!({"config-file-type": "s3", "config-file-value": "bucket/x"});
        let alone = json!([{"name": "web", "image": "i", "logConfiguration": {"logDriver": "awsfirelens"}}]);
        for (given, word) in [
            (nameless, "Name is missing"),
            (broken, "Host"),
            (containers(&s3), "object's ARN"),
            (alone, "firelensConfiguration"),
        ] {
            let why = task(&order(given, json!({})), &facts(&[])).unwrap_err().to_string();
            assert!(why.contains(word), "{why}");
        }
        let deep = NodeFacts { firelens_dir: "/d".repeat(60).into(), ..facts(&["fluentd"]) };
        let why = task(&order(containers(&json!({})), json!({})), &deep).unwrap_err().to_string();
        assert!(why.contains("--data-dir"), "{why}");
    }
}
