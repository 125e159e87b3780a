//! The door: HTTP and AWS's protocols in front, one file for each family of operations, and behind it
//! the store, the registry and the log store.
//!
//! A request is parsed once, here: into a command that the store decides, or into a look at a
//! snapshot. `view` is the one place that spells statuses, `errors` the one that turns refusals
//! into AWS's errors, `definition` the one that reads task definitions.
//!
//! Invariants: nothing passes without a verified signature but the probes; no member of a request is
//! taken and ignored (what is not built is refused by name, in `refuse`); no body is logged; what is
//! described is read from a state at least as new as what was just committed.

mod acm;
mod agent;
mod answer;
mod application_autoscaling;
mod attributes;
mod authenticate;
mod authorize;
mod autoscaling;
mod capacity;
mod cloudwatch;
mod clusters;
mod compressed;
mod definition;
mod definitions;
mod described;
mod door;
mod ec2;
mod ecr;
mod ecr_wire;
mod ecs;
mod elbv2;
mod errors;
mod events;
mod exec;
mod exec_config;
mod exec_life;
mod exec_log;
mod exec_relay;
mod exec_session;
mod exec_ssm;
mod exec_transcript;
mod fargate;
mod fingerprint;
mod iam;
mod identity;
mod instances;
mod logs;
mod logs_view;
mod metrics;
mod metrics_series;
mod namespaces;
mod network;
mod overrides;
mod page;
mod placement;
mod protection;
mod refer;
mod refuse;
mod run;
mod s3;
mod secretsmanager;
mod serve;
mod service_deployments;
mod service_deployments_view;
mod service_kind;
mod service_members;
mod service_method;
mod service_targets;
mod service_view;
mod services;
mod settings;
mod ssm;
mod sts;
mod tag_list;
mod tags;
mod task_sets;
mod task_view;
mod tasks;
#[cfg(test)]
mod tests;
mod turns;
mod view;
mod wharf;

pub use crate::events::{Refusal, run_for_rule};
pub use authenticate::guard;
pub use definition::{REQUIRED_ATTRIBUTES, members as definition_members};
pub use described::{describe_instance, describe_task};
pub use door::{Caller, Door, DoorConfig, Endpoints};
pub use elbv2::{AnyPort, Balancing, Ports, Transport};
pub use exec::Reach;
pub use exec_relay::Exec;
pub use identity::{Standing, TRUST_TASKS, assumable_by_tasks, standing};
pub use s3::storage;
pub use serve::router;
