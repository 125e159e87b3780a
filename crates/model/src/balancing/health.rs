//! How a target stands: what follows from its registration, from who uses its group, and from what
//! health checks found. <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html>

use std::sync::Arc;

use crate::{Book, Target, Verdict, VerdictState};

/// How a target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// No listener sends to its group: nobody asks.
    Unused,
    /// It is leaving.
    Draining,
    /// Not known yet.
    Initial,
    /// It can answer.
    Healthy,
    /// It cannot.
    Unhealthy,
}

impl Book {
    /// What is known of a registration's health: not what was known of an earlier one by the same key.
    pub fn verdict_of(&self, target: &Target) -> Option<&Arc<Verdict>> {
        self.verdict(&target.key).filter(|verdict| verdict.since >= target.registered_at)
    }

    /// How a target stands.
    pub fn state_of(&self, target: &Target) -> TargetState {
        if target.draining_since.is_some() {
            return TargetState::Draining;
        }
        if !self.in_use(&target.key.group) {
            return TargetState::Unused;
        }
        match self.verdict_of(target).map(|verdict| verdict.state) {
            None | Some(VerdictState::Initial) => TargetState::Initial,
            Some(VerdictState::Healthy) => TargetState::Healthy,
            Some(VerdictState::Unhealthy) => TargetState::Unhealthy,
        }
    }
}
