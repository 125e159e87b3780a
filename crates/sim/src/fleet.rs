//! Values for clusters and what runs in them, with what does not matter filled in.

use model::{
    Attribute, ContainerSpec, DeploymentController, Document, LaunchType, NetworkMode,
    PlacementConstraint, PortMapping, PropagateTags, Protocol, Resources, RolloutMethod,
    SchedulingStrategy, ServiceKey, Tags, TaskSpec,
};
use scheduler::{Command, CreateService, Resize, RunTask, UpdateService};
use serde_json::json;

/// The one cluster.
pub const CLUSTER: &str = "default";

/// A node as it is bought: what it has, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// CPU units.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
    /// Its GPUs' number.
    pub gpus: u32,
    /// The number of its availability zone.
    pub zone: u32,
}

impl Machine {
    /// What it registers.
    pub fn resources(&self) -> Resources {
        let gpus = (0..self.gpus).map(|n| format!("GPU-{n}").as_str().into());
        Resources {
            cpu: self.cpu,
            memory: self.memory,
            gpus: gpus.collect(),
            ..Resources::default()
        }
    }

    /// What it says of itself.
    pub fn attributes(&self) -> Vec<Attribute> {
        let value = Some(zone_name(self.zone));
        vec![Attribute { name: "ecs.availability-zone".to_owned(), value }]
    }
}

/// The name of an availability zone.
pub fn zone_name(number: u32) -> String {
    format!("zone-{}", char::from(b'a' + u8::try_from(number % 26).unwrap_or(0)))
}

/// A family: one essential container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// What it runs; [`crate::Image`] reads what that does.
    pub image: String,
    /// CPU units.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
    /// Its GPUs' number.
    pub gpus: u32,
    /// A port of the container, and of the host if that is fixed.
    pub port: Option<(u16, Option<u16>)>,
    /// Whether it has a health check.
    pub checked: bool,
    /// Whether each of its tasks is on an instance of its own.
    pub distinct: bool,
    /// Whether each of its tasks has a network of its own.
    pub own: bool,
}

impl Family {
    /// A family of the image, without anything special.
    pub fn new(name: &str, image: &str, cpu: u32, memory: u32) -> Self {
        let (name, image) = (name.to_owned(), image.to_owned());
        Self {
            name,
            image,
            cpu,
            memory,
            gpus: 0,
            port: None,
            checked: false,
            distinct: false,
            own: false,
        }
    }

    /// Registers it.
    pub fn register(&self) -> Command {
        Command::RegisterDefinition {
            family: self.name.as_str().into(),
            document: Document(self.document().to_string().into_bytes().into()),
            spec: self.spec(),
            tags: Tags::default(),
            by: by(),
        }
    }

    fn document(&self) -> serde_json::Value {
        let port = |(container, host): (u16, Option<u16>)| json!({"containerPort": container, "hostPort": host.unwrap_or(if self.own { container } else { 0 }), "protocol": "tcp"});
        let check = json!({"command": ["CMD", "true"]});
        json!({
            "family": self.name,
            "networkMode": if self.own { "awsvpc" } else { "bridge" },
            "containerDefinitions": [{
                "name": "app", "image": self.image, "essential": true,
                "cpu": self.cpu, "memory": self.memory,
                "portMappings": self.port.map(port).into_iter().collect::<Vec<_>>(),
                "healthCheck": self.checked.then_some(check),
            }],
        })
    }

    fn spec(&self) -> TaskSpec {
        let port = |(container_port, host_port)| PortMapping {
            container_port,
            host_port,
            protocol: Protocol::Tcp,
        };
        TaskSpec {
            network_mode: if self.own { NetworkMode::Awsvpc } else { NetworkMode::Bridge },
            compatibilities: Vec::new(),
            cpu: None,
            memory: None,
            containers: vec![ContainerSpec {
                name: "app".into(),
                image: self.image.clone(),
                essential: true,
                cpu: self.cpu,
                memory: Some(self.memory),
                memory_reservation: None,
                ports: self.port.map(port).into_iter().collect(),
                has_health_check: self.checked,
                gpus: self.gpus,
            }],
            constraints: self
                .distinct
                .then_some(PlacementConstraint::DistinctInstance)
                .into_iter()
                .collect(),
            required_attributes: Vec::new(),
        }
    }
}

fn by() -> String {
    "arn:aws:iam::000000000000:root".to_owned()
}

/// Where a service of the cluster is found.
pub fn service(name: &str) -> ServiceKey {
    ServiceKey { cluster: CLUSTER.into(), service: name.into() }
}

/// A service of a definition (`family:revision`).
pub fn create(name: &str, definition: &str, desired: u32) -> CreateService {
    CreateService {
        providers: Vec::new(),
        key: service(name),
        definition: Some(self::definition(definition)),
        scheduling: SchedulingStrategy::Replica,
        controller: DeploymentController::Ecs,
        desired_count: Some(desired),
        rebalances: None,
        method: RolloutMethod::default(),
        network: None,
        launch_type: LaunchType::Ec2,
        platform: model::FargatePlatform::default(),
        percents: (None, None),
        circuit_breaker: None,
        constraints: Vec::new(),
        strategy: Vec::new(),
        tags: Tags::default(),
        propagate_tags: PropagateTags::None,
        enable_ecs_managed_tags: false,
        enable_execute_command: false,
        load_balancers: Vec::new(),
        health_check_grace: None,
        by: by(),
        client_token: None,
    }
}

/// A change of a service that changes nothing yet.
pub fn update(name: &str) -> UpdateService {
    UpdateService { key: Some(service(name)), ..UpdateService::default() }
}

/// RunTask of a definition (`family:revision`).
pub fn run(definition: &str, count: u32) -> RunTask {
    RunTask {
        providers: Vec::new(),
        cluster: CLUSTER.into(),
        definition: self::definition(definition),
        count,
        network: None,
        launch_type: LaunchType::Ec2,
        group: None,
        started_by: None,
        overrides: None,
        resize: Resize::default(),
        constraints: Vec::new(),
        strategy: Vec::new(),
        tags: Tags::default(),
        propagate_from_definition: false,
        enable_ecs_managed_tags: false,
        enable_execute_command: false,
        client_token: None,
    }
}

/// `family:revision` as a key; what is none is the family's first.
pub fn definition(text: &str) -> model::DefinitionKey {
    model::DefinitionKey::parse(text).unwrap_or_else(|| model::DefinitionKey {
        family: text.into(),
        revision: model::Revision(1),
    })
}
