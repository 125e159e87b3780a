//! How AWS says it: the shapes, operations and errors of the services, their codecs and
//! validation, clients, and the contract between ECS and its agents.
//!
//! Invariant: nothing here knows the domain, does I/O, or reads a clock. [`ecs`] and its neighbours
//! are generated from `models/*.json` by `cargo xtask codegen`; the rest is the runtime
//! they need.

pub mod agent;
mod cbor;
mod check;
pub mod client;
mod codec;
mod error;
mod facts;
mod r#gen;
pub mod json;
mod pattern;
pub mod protocol;
pub mod query;
pub mod schema;
mod secret;
mod validate;
mod value;

pub use check::{MAX_VIOLATIONS, TypeMismatch};
pub use client::{ClientError, Transport, TransportError};
pub use error::{Error, Fault};
pub use facts::{OperationFacts, Pagination, ServiceFacts};
pub use r#gen::{
    acm, application_autoscaling, autoscaling, cloudwatch, ec2, ecr, ecs, elbv2, events, iam, logs,
    secretsmanager, ssm, sts, wharf,
};
pub use pattern::Pattern;
pub use protocol::{Call, Protocol, detect};
pub use secret::{SecretSource, SecretSourceError};
pub use validate::{Constraint, Validate, Violation, Wording};
pub use value::{Blob, Document};

#[cfg(test)]
mod tests;

/// Every service that this build knows.
pub static SERVICES: &[&ServiceFacts] = &[
    &acm::FACTS,
    &application_autoscaling::FACTS,
    &autoscaling::FACTS,
    &cloudwatch::FACTS,
    &ec2::FACTS,
    &ecr::FACTS,
    &ecs::FACTS,
    &elbv2::FACTS,
    &events::FACTS,
    &iam::FACTS,
    &logs::FACTS,
    &secretsmanager::FACTS,
    &ssm::FACTS,
    &sts::FACTS,
    &wharf::FACTS,
];
