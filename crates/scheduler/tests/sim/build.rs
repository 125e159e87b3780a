//! Values for histories, with what does not matter filled in.

use model::{
    CircuitBreaker, ClusterName, ContainerSpec, Document, LaunchType, NetworkMode, PortMapping,
    PropagateTags, Protocol, Resources, ServiceKey, Tags, TaskSpec,
};
use scheduler::{CreateService, Resize, RunTask, UpdateService};

pub(crate) const CLUSTER: &str = "default";

/// A definition of one essential container that runs `image`.
pub(crate) fn spec(image: &str) -> TaskSpec {
    TaskSpec {
        network_mode: NetworkMode::Bridge,
        compatibilities: Vec::new(),
        cpu: None,
        memory: None,
        containers: vec![ContainerSpec {
            name: "app".into(),
            image: image.to_owned(),
            essential: true,
            cpu: 128,
            memory: Some(128),
            memory_reservation: None,
            ports: Vec::new(),
            has_health_check: false,
            gpus: 0,
        }],
        constraints: Vec::new(),
        required_attributes: Vec::new(),
    }
}

/// The same with a host port of its own.
pub(crate) fn spec_with_port(image: &str, port: u16) -> TaskSpec {
    let mut spec = spec(image);
    spec.containers[0].ports =
        vec![PortMapping { container_port: 80, host_port: Some(port), protocol: Protocol::Tcp }];
    spec
}

/// The same with a port that its node chooses.
pub(crate) fn spec_published(image: &str) -> TaskSpec {
    let mut spec = spec(image);
    spec.containers[0].ports =
        vec![PortMapping { container_port: 80, host_port: None, protocol: Protocol::Tcp }];
    spec
}

/// The same with a health check.
pub(crate) fn spec_checked(image: &str) -> TaskSpec {
    let mut spec = spec(image);
    spec.containers[0].has_health_check = true;
    spec
}

pub(crate) fn document() -> Document {
    Document(b"{}".as_slice().into())
}

pub(crate) fn resources(cpu: u32, memory: u32) -> Resources {
    Resources { cpu, memory, ..Resources::default() }
}

pub(crate) fn service(name: &str) -> ServiceKey {
    ServiceKey { cluster: CLUSTER.into(), service: name.into() }
}

pub(crate) fn definition(text: &str) -> model::DefinitionKey {
    model::DefinitionKey::parse(text).expect("family:revision")
}

pub(crate) fn create(name: &str, definition: &str, desired: u32) -> CreateService {
    CreateService {
        providers: Vec::new(),
        key: service(name),
        definition: Some(self::definition(definition)),
        scheduling: model::SchedulingStrategy::Replica,
        controller: model::DeploymentController::Ecs,
        desired_count: Some(desired),
        rebalances: Some(false),
        launch_type: LaunchType::Ec2,
        platform: model::FargatePlatform::default(),
        percents: (None, None),
        circuit_breaker: None,
        method: model::RolloutMethod::default(),
        network: None,
        constraints: Vec::new(),
        strategy: Vec::new(),
        tags: Tags::default(),
        propagate_tags: PropagateTags::None,
        enable_ecs_managed_tags: false,
        enable_execute_command: false,
        load_balancers: Vec::new(),
        health_check_grace: None,
        by: "arn:aws:iam::000000000000:root".to_owned(),
        client_token: None,
    }
}

pub(crate) const BREAKER: CircuitBreaker = CircuitBreaker {
    enable: true,
    rollback: true,
    threshold: model::BreakerThreshold::BoundedPercent(50),
    counts_on: false,
};

pub(crate) fn update(name: &str) -> UpdateService {
    UpdateService { key: Some(service(name)), ..UpdateService::default() }
}

pub(crate) fn run(definition: &str, count: u32) -> RunTask {
    RunTask {
        providers: Vec::new(),
        network: None,
        cluster: ClusterName::from(CLUSTER),
        definition: self::definition(definition),
        count,
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
