//! IAM's policy language: documents are read strictly, and evaluated over a request as pure functions.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies.html>
//!
//! - [`Document::parse`]: from JSON, or IAM's own words for what is wrong with it.
//! - [`evaluate`]: what identity policies say to an action on a resource; an explicit deny wins.
//! - [`trusted`]: whether a role's trust policy lets somebody assume it.
//! - [`managed`]: AWS's own policies that ECS's users attach.

mod condition;
mod context;
mod document;
mod evaluate;
pub mod managed;
mod pattern;
mod principal;
mod values;

pub use context::Context;
pub use document::{Document, Kind, Malformed};
pub use evaluate::{Decision, Question, evaluate};
pub use principal::{Asker, Trust, trusted};
