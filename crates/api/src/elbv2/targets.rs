//! Targets and how they stand.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeTargetHealth.html>

use std::net::IpAddr;

use aws::Error;
use aws::elbv2 as wire;
use aws::elbv2::{TargetHealthReasonEnum as Reason, TargetHealthStateEnum as Shown};
use model::{
    HealthPort, Place, State, Target, TargetGroup, TargetKind, TargetState, VerdictReason,
};
use scheduler::{BalancingCommand, NewTarget};

use super::errors::{invalid, not_built, submit};
use super::{groups, refer};
use crate::door::Door;

/// Reads targets as a group of this kind has them.
fn read(
    kind: TargetKind,
    given: Option<&Vec<wire::TargetDescription>>,
) -> Result<Vec<NewTarget>, Error> {
    let one = |target: &wire::TargetDescription| {
        not_built("Targets.QuicServerId", target.quic_server_id.as_ref(), "QUIC is")?;
        let id = target.id.clone().unwrap_or_default();
        let place = match kind {
            TargetKind::Instance => Place::Instance(id),
            TargetKind::Ip => {
                let address: IpAddr = id.parse().map_err(|_| {
                    invalid(format!("The IP address '{id}' is not a valid IPv4 or IPv6 address"))
                })?;
                Place::Ip(address)
            }
        };
        Ok(NewTarget {
            place,
            port: target.port.map(refer::port).transpose()?,
            zone: target.availability_zone.clone(),
        })
    };
    given.into_iter().flatten().map(one).collect()
}

pub(super) async fn register(
    door: &Door,
    request: wire::RegisterTargetsInput,
) -> Result<wire::RegisterTargetsOutput, Error> {
    let snapshot = door.snapshot();
    let group = groups::find(&snapshot, request.target_group_arn.as_ref())?;
    let targets = read(group.kind, request.targets.as_ref())?;
    submit(door, BalancingCommand::Register(group.id.clone(), targets)).await?;
    Ok(wire::RegisterTargetsOutput {})
}

pub(super) async fn deregister(
    door: &Door,
    request: wire::DeregisterTargetsInput,
) -> Result<wire::DeregisterTargetsOutput, Error> {
    let snapshot = door.snapshot();
    let group = groups::find(&snapshot, request.target_group_arn.as_ref())?;
    let targets = read(group.kind, request.targets.as_ref())?;
    submit(door, BalancingCommand::Deregister(group.id.clone(), targets)).await?;
    Ok(wire::DeregisterTargetsOutput {})
}

pub(super) fn describe_health(
    state: &State,
    request: &wire::DescribeTargetHealthInput,
) -> Result<wire::DescribeTargetHealthOutput, Error> {
    // Include asks for anomalies, of which there are none to tell.
    let group = groups::find(state, request.target_group_arn.as_ref())?;
    let book = state.balancing();
    let mut shown = Vec::new();
    match request.targets.as_ref().filter(|targets| !targets.is_empty()) {
        None => shown.extend(book.targets(&group.id).map(|target| view(state, group, target))),
        Some(asked) => {
            for (target, given) in read(group.kind, Some(asked))?.iter().zip(asked) {
                let same = |there: &&std::sync::Arc<Target>| {
                    there.key.place == target.place
                        && target.port.is_none_or(|port| there.key.port == port)
                };
                let before = shown.len();
                shown.extend(book.targets(&group.id).filter(same).map(|t| view(state, group, t)));
                if shown.len() == before {
                    shown.push(not_registered(group, given));
                }
            }
        }
    }
    Ok(wire::DescribeTargetHealthOutput { target_health_descriptions: Some(shown) })
}

fn not_registered(
    group: &TargetGroup,
    given: &wire::TargetDescription,
) -> wire::TargetHealthDescription {
    let port = given.port.or(Some(i32::from(group.port)));
    wire::TargetHealthDescription {
        target: Some(wire::TargetDescription { port, ..given.clone() }),
        target_health: Some(wire::TargetHealth {
            state: Some(Shown::Unused),
            reason: Some(Reason::TargetNotRegistered),
            description: Some("Target is not registered to the target group".to_owned()),
        }),
        ..Default::default()
    }
}

fn view(state: &State, group: &TargetGroup, target: &Target) -> wire::TargetHealthDescription {
    let port = match group.health.port {
        HealthPort::Traffic => target.key.port,
        HealthPort::Port(port) => port,
    };
    wire::TargetHealthDescription {
        target: Some(wire::TargetDescription {
            id: Some(target.key.place.to_string()),
            port: Some(i32::from(target.key.port)),
            availability_zone: target.zone.clone(),
            ..Default::default()
        }),
        health_check_port: Some(port.to_string()),
        target_health: Some(health(state, group, target)),
        ..Default::default()
    }
}

fn health(state: &State, group: &TargetGroup, target: &Target) -> wire::TargetHealth {
    let book = state.balancing();
    let of = |state: Shown, reason: Reason, words: &str| wire::TargetHealth {
        state: Some(state),
        reason: Some(reason),
        description: Some(words.to_owned()),
    };
    let verdict = book.verdict_of(target);
    match book.state_of(target) {
        TargetState::Draining => of(
            Shown::Draining,
            Reason::TargetDeregistrationInProgress,
            "Target deregistration is in progress",
        ),
        TargetState::Unused => of(
            Shown::Unused,
            Reason::TargetNotInUse,
            "Target group is not configured to receive traffic from the load balancer",
        ),
        TargetState::Initial if verdict.is_none() => of(
            Shown::Initial,
            Reason::ElbRegistrationInProgress,
            "Target registration is in progress",
        ),
        TargetState::Initial | TargetState::Unhealthy => {
            let reason = verdict.and_then(|verdict| verdict.reason);
            let (state, usual) = match book.state_of(target) {
                TargetState::Initial => (Shown::Initial, VerdictReason::InitialHealthChecking),
                _ => (Shown::Unhealthy, VerdictReason::FailedHealthChecks),
            };
            let (reason, words) = reason_words(reason.unwrap_or(usual));
            let description = verdict.and_then(|verdict| verdict.description.clone());
            wire::TargetHealth {
                description: description.or_else(|| Some(words.to_owned())),
                ..of(state, reason, words)
            }
        }
        TargetState::Healthy if !group.health.enabled => of(
            Shown::Unavailable,
            Reason::TargetHealthCheckDisabled,
            "Health checks are disabled for this target",
        ),
        TargetState::Healthy => {
            wire::TargetHealth { state: Some(Shown::Healthy), ..Default::default() }
        }
    }
}

const fn reason_words(reason: VerdictReason) -> (Reason, &'static str) {
    match reason {
        VerdictReason::RegistrationInProgress => {
            (Reason::ElbRegistrationInProgress, "Target registration is in progress")
        }
        VerdictReason::InitialHealthChecking => {
            (Reason::ElbInitialHealthChecking, "Initial health checks in progress")
        }
        VerdictReason::InternalError => {
            (Reason::ElbInternalError, "Health checks failed due to an internal error")
        }
        VerdictReason::ResponseCodeMismatch => {
            (Reason::TargetResponseCodeMismatch, "Health checks failed with these codes")
        }
        VerdictReason::Timeout => (Reason::TargetTimeout, "Request timed out"),
        VerdictReason::FailedHealthChecks => {
            (Reason::TargetFailedHealthChecks, "Health checks failed")
        }
    }
}
