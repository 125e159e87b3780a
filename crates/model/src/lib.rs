//! What is true: the entities of a cluster, their identities and legal life-cycles, the [`State`]
//! that holds them, and the [`Change`]s by which it moves.
//!
//! Invariants: nothing here reads a clock, draws a random number or does I/O; nothing here knows
//! JSON, HTTP or how AWS spells a status (that is the door's). Facts are stored, counts are derived:
//! every count is a fold over facts, kept by an index inside [`State::apply`] and nowhere else.

mod arn;
mod balancing;
mod capacity;
mod change;
mod cluster;
mod definition;
mod deployment;
mod events;
mod fargate;
pub mod fleet;
mod id;
mod index;
mod instance;
mod network;
mod packed;
pub mod query;
mod resources;
mod role;
mod scaling;
mod selection;
mod service;
mod settings;
mod state;
mod tags;
mod task;
mod task_id;
mod task_set;
mod tasks;
mod token;

pub use arn::{ArnError, Realm, Resource};
pub use balancing::*;
pub use capacity::*;
pub use change::{Address, Change, Table};
pub use cluster::{Cluster, ClusterStatus, ExecBucket, ExecLogging, Insights};
pub use definition::{
    ContainerSpec, DefinitionStatus, Document, LaunchType, NetworkMode, PlacementConstraint,
    PlacementStrategy, PortMapping, SpreadField, TaskDefinition, TaskSpec,
};
pub use deployment::*;
pub use events::*;
pub use fargate::{FARGATE_CAPABILITY, FARGATE_CLUSTER, FARGATE_PROVIDERS, FargatePlatform};
pub use id::{
    ClusterName, ContainerName, DefinitionKey, DeploymentId, Family, GpuId, InstanceId,
    InstanceKey, PolicyName, Revision, RoleName, ServiceKey, ServiceName, TaskKey,
};
pub use instance::{AgentInfo, Attribute, Instance, InstanceStatus};
pub use network::{
    Block, BlockError, NetworkConfiguration, Subnet, TaskInterface, TaskNetwork, Vpc,
};
pub use resources::{HostPort, Protocol, Resources};
pub use role::{ManagedPolicy, PolicyVersion, Role};
pub use scaling::*;
pub use selection::InstanceFacts;
pub use service::{
    BreakerThreshold, CapacitySource, CircuitBreaker, Deployment, DeploymentConfig,
    DeploymentController, DeploymentStatus, PropagateTags, RolloutState, SchedulingStrategy,
    Service, ServiceEvent, ServiceStatus,
};
pub use settings::{AccountSetting, SettingChange, SettingRecord, SettingValue, SettingsBook};
pub use state::State;
pub use state::loading::Loading;
pub use tags::Tags;
pub use task::{
    ContainerFacts, ContainerProgress, ContainerStatus, DesiredStatus, ExecAgent, ExecAgentStatus,
    HealthStatus, NetworkBinding, PlacementTerms, StopCode, Task, TaskFacts, TaskProgress,
    TaskStatus,
};
pub use task_id::TaskId;
pub use task_set::{Scale, TaskSet};
pub use token::{TokenKey, TokenRecord};
