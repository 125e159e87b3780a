//! Application Auto Scaling: targets, policies, scheduled actions, and what they do.
//! <https://docs.aws.amazon.com/autoscaling/application/APIReference/API_Operations.html>

mod actions;
mod policies;
mod strides;
mod targets;

use std::sync::Arc;

use model::{
    ActivityStatus, Change, ScalableTarget, ScalingActivity, ScalingChange, ScalingPolicyName,
    Service, ServiceKey, ServiceStatus,
};

use crate::desk::Desk;
use crate::{Rejection, Reply, ScalingCommand, ScalingRejection};

pub(super) use targets::{forget, remove};

/// A command of scaling.
pub(super) fn decide(desk: &mut Desk<'_>, command: &ScalingCommand) -> Result<Reply, Rejection> {
    use ScalingCommand as C;
    match command {
        C::Register(bounds) => targets::register(desk, bounds),
        C::Deregister(service) => targets::deregister(desk, service),
        C::Tag(service, tags) => targets::tag(desk, service, tags),
        C::Untag(service, keys) => targets::untag(desk, service, keys),
        C::PutPolicy(new) => policies::put(desk, new),
        C::DeletePolicy(key) => policies::delete(desk, key),
        C::PutAction(new) => actions::put(desk, new),
        C::DeleteAction(key) => actions::delete(desk, key),
        C::RunAction(key) => actions::run(desk, key),
        C::Scale(scale) => strides::scale(desk, scale),
        C::NotScale(not) => strides::not_scale(desk, not),
        C::AlarmFired(fired) => strides::alarm(desk, fired),
        C::Settle(service) => strides::settle(desk, service),
    }
}

fn put(desk: &mut Desk<'_>, change: ScalingChange) {
    desk.put(Change::Scaling(change));
}

/// The scalable target, if there is one.
fn target<'a>(
    desk: &Desk<'a>,
    service: &ServiceKey,
) -> Result<&'a Arc<ScalableTarget>, ScalingRejection> {
    desk.state.scaling().target(service).ok_or_else(|| ScalingRejection::NoTarget(service.clone()))
}

/// The service, if it is kept running.
fn active<'a>(desk: &Desk<'a>, key: &ServiceKey) -> Option<&'a Arc<Service>> {
    desk.state.service(key).filter(|service| service.status == ServiceStatus::Active)
}

/// The history of a service's scaling, as a decision adds to it.
struct History {
    service: ServiceKey,
    next: u64,
}

impl History {
    fn of(desk: &Desk<'_>, service: &ServiceKey) -> Self {
        let newest = desk.state.scaling().activities(service).next();
        Self { service: service.clone(), next: newest.map_or(0, |newest| newest.number + 1) }
    }

    /// Something that was done, or attempted, at this instant.
    fn add(&mut self, desk: &mut Desk<'_>, entry: Entry) {
        let Entry { policy, description, cause, status, message, desired, not_scaled } = entry;
        let activity = ScalingActivity {
            service: self.service.clone(),
            number: self.next,
            id: desk.ids.uuid(),
            policy,
            description,
            cause,
            started_at: desk.now,
            ended_at: (status != ActivityStatus::InProgress).then_some(desk.now),
            status,
            message,
            desired,
            not_scaled,
        };
        self.next += 1;
        put(desk, ScalingChange::PutActivity(Arc::new(activity)));
    }
}

/// What an activity tells.
struct Entry {
    policy: Option<ScalingPolicyName>,
    description: String,
    cause: String,
    status: ActivityStatus,
    message: String,
    desired: Option<u32>,
    not_scaled: Vec<model::NotScaled>,
}
