//! Application Auto Scaling, as far as services of ECS need it: scalable targets, target tracking and
//! step policies, scheduled actions, activities.
//! <https://docs.aws.amazon.com/autoscaling/application/APIReference/Welcome.html>
//!
//! Only `ecs:service:DesiredCount` scales here; what else AWS scales is refused by name.

mod actions;
mod errors;
pub(crate) mod metric;
mod policies;
mod read;
mod tags;
mod targets;
#[cfg(test)]
mod tests;
mod view;

use aws::Error;
use aws::application_autoscaling::*;

use crate::door::{Caller, Door};

/// Operations that read the state as it is now.
macro_rules! reads {
    ($($operation:ident, $request:ident, $response:ident => $read:path;)+) => {$(
        async fn $operation(&self, _: &Caller, request: $request) -> Result<$response, Error> {
            $read(&self.snapshot(), &request)
        }
    )+};
}

/// Operations that change it, or read more than the state.
macro_rules! writes {
    ($($operation:ident, $request:ident, $response:ident => $write:path;)+) => {$(
        async fn $operation(&self, _: &Caller, request: $request) -> Result<$response, Error> {
            $write(self, request).await
        }
    )+};
}

impl ApplicationAutoScaling for Door {
    type Context = Caller;

    reads! {
        describe_scalable_targets, DescribeScalableTargetsRequest, DescribeScalableTargetsResponse => targets::describe;
        describe_scheduled_actions, DescribeScheduledActionsRequest, DescribeScheduledActionsResponse => actions::describe;
        describe_scaling_activities, DescribeScalingActivitiesRequest, DescribeScalingActivitiesResponse => targets::activities;
        list_tags_for_resource, ListTagsForResourceRequest, ListTagsForResourceResponse => tags::list;
    }

    writes! {
        describe_scaling_policies, DescribeScalingPoliciesRequest, DescribeScalingPoliciesResponse => policies::describe;
        register_scalable_target, RegisterScalableTargetRequest, RegisterScalableTargetResponse => targets::register;
        deregister_scalable_target, DeregisterScalableTargetRequest, DeregisterScalableTargetResponse => targets::deregister;
        put_scaling_policy, PutScalingPolicyRequest, PutScalingPolicyResponse => policies::put;
        delete_scaling_policy, DeleteScalingPolicyRequest, DeleteScalingPolicyResponse => policies::delete;
        put_scheduled_action, PutScheduledActionRequest, PutScheduledActionResponse => actions::put;
        delete_scheduled_action, DeleteScheduledActionRequest, DeleteScheduledActionResponse => actions::delete;
        tag_resource, TagResourceRequest, TagResourceResponse => tags::tag;
        untag_resource, UntagResourceRequest, UntagResourceResponse => tags::untag;
    }
}
