//! What the balancer tells its owner: how targets fare.

use crate::{GroupId, TargetKey};

/// Something that happened to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A target's health is now this. Told once for each change, and once when a target is new.
    TargetHealth {
        /// Its group.
        group: GroupId,
        /// Which.
        target: TargetKey,
        /// Its health.
        health: Health,
    },
    /// A target that drains has neither request nor connection left: its draining may end before its
    /// delay. Told once for each time it begins to drain.
    TargetIdle {
        /// Its group.
        group: GroupId,
        /// Which.
        target: TargetKey,
    },
}

/// A target's health, with the reason when it is not healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// No listener uses the group, so that nothing is asked of the target: AWS's `unused` with
    /// `Target.NotInUse`.
    Unused,
    /// It has not been found healthy yet.
    Initial(InitialReason),
    /// It passes its checks, or the group has none.
    Healthy,
    /// It fails its checks.
    Unhealthy(Failure),
}

/// Why a target has no verdict yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialReason {
    /// It was just registered.
    RegistrationInProgress,
    /// Its first checks are under way.
    InitialHealthChecking,
}

/// Why a check failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It answered with this code, which the matcher has not: a status of HTTP or of gRPC.
    ResponseCodeMismatch(u16),
    /// It did not answer in time.
    Timeout,
    /// The connection failed, or the answer was none; the text says how.
    FailedHealthChecks(String),
}

impl Health {
    /// AWS's state: `unused`, `initial`, `healthy` or `unhealthy` (TargetHealth's `State`).
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Initial(_) => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy(_) => "unhealthy",
        }
    }

    /// AWS's reason code (TargetHealth's `Reason`); none when healthy.
    pub const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Unused => Some("Target.NotInUse"),
            Self::Initial(InitialReason::RegistrationInProgress) => {
                Some("Elb.RegistrationInProgress")
            }
            Self::Initial(InitialReason::InitialHealthChecking) => {
                Some("Elb.InitialHealthChecking")
            }
            Self::Healthy => None,
            Self::Unhealthy(Failure::ResponseCodeMismatch(_)) => {
                Some("Target.ResponseCodeMismatch")
            }
            Self::Unhealthy(Failure::Timeout) => Some("Target.Timeout"),
            Self::Unhealthy(Failure::FailedHealthChecks(_)) => Some("Target.FailedHealthChecks"),
        }
    }

    /// AWS's words beside the code (TargetHealth's `Description`); none when healthy.
    pub fn description(&self) -> Option<String> {
        match self {
            Self::Unused => Some(
                "Target group is not configured to receive traffic from the load balancer"
                    .to_owned(),
            ),
            Self::Initial(InitialReason::RegistrationInProgress) => {
                Some("Target registration is in progress".to_owned())
            }
            Self::Initial(InitialReason::InitialHealthChecking) => {
                Some("Initial health checks in progress".to_owned())
            }
            Self::Healthy => None,
            Self::Unhealthy(Failure::ResponseCodeMismatch(code)) => {
                Some(format!("Health checks failed with these codes: [{code}]"))
            }
            Self::Unhealthy(Failure::Timeout) => Some("Request timed out".to_owned()),
            Self::Unhealthy(Failure::FailedHealthChecks(_)) => {
                Some("Health checks failed".to_owned())
            }
        }
    }
}
