//! Amazon EC2 Auto Scaling, as far as clusters need it: launch configurations, groups, their nodes,
//! lifecycle hooks, scaling policies, scheduled actions, activities and tags.
//! <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/Welcome.html>
//!
//! What starts the nodes is not known here: see `control::capacity`.

mod actions;
mod describe;
mod errors;
mod groups;
mod hooks;
mod launches;
mod nodes;
mod policies;
pub(crate) mod user_data;
mod view;

use aws::Error;
use aws::autoscaling::*;

use crate::door::{Caller, Door};

/// Operations that read the state as it is now.
macro_rules! reads {
    ($($operation:ident, $request:ident, $response:ident => $read:path;)+) => {$(
        async fn $operation(&self, _: &Caller, request: $request) -> Result<$response, Error> {
            $read(&self.snapshot(), &request)
        }
    )+};
}

/// Operations that change it.
macro_rules! writes {
    ($($operation:ident, $request:ident, $response:ident => $write:path;)+) => {$(
        async fn $operation(&self, _: &Caller, request: $request) -> Result<$response, Error> {
            $write(self, request).await
        }
    )+};
}

impl AutoScaling for Door {
    type Context = Caller;

    reads! {
        describe_launch_configurations, LaunchConfigurationNamesType, LaunchConfigurationsType => launches::describe;
        describe_auto_scaling_groups, AutoScalingGroupNamesType, AutoScalingGroupsType => describe::groups;
        describe_auto_scaling_instances, DescribeAutoScalingInstancesType, AutoScalingInstancesType => describe::instances;
        describe_scaling_activities, DescribeScalingActivitiesType, ActivitiesType => describe::activities;
        describe_tags, DescribeTagsType, TagsType => describe::tags;
        describe_scheduled_actions, DescribeScheduledActionsType, ScheduledActionsType => actions::describe;
        describe_lifecycle_hooks, DescribeLifecycleHooksType, DescribeLifecycleHooksAnswer => hooks::describe;
    }

    writes! {
        create_launch_configuration, CreateLaunchConfigurationType, CreateLaunchConfigurationResponse => launches::create;
        delete_launch_configuration, LaunchConfigurationNameType, DeleteLaunchConfigurationResponse => launches::delete;
        create_auto_scaling_group, CreateAutoScalingGroupType, CreateAutoScalingGroupResponse => groups::create;
        update_auto_scaling_group, UpdateAutoScalingGroupType, UpdateAutoScalingGroupResponse => groups::update;
        delete_auto_scaling_group, DeleteAutoScalingGroupType, DeleteAutoScalingGroupResponse => groups::delete;
        set_desired_capacity, SetDesiredCapacityType, SetDesiredCapacityResponse => groups::set_desired;
        suspend_processes, ScalingProcessQuery, SuspendProcessesResponse => groups::suspend;
        resume_processes, ScalingProcessQuery, ResumeProcessesResponse => groups::resume;
        create_or_update_tags, CreateOrUpdateTagsType, CreateOrUpdateTagsResponse => groups::put_tags;
        delete_tags, DeleteTagsType, DeleteTagsResponse => groups::delete_tags;
        set_instance_protection, SetInstanceProtectionQuery, SetInstanceProtectionAnswer => nodes::protect;
        set_instance_health, SetInstanceHealthQuery, SetInstanceHealthResponse => nodes::set_health;
        terminate_instance_in_auto_scaling_group, TerminateInstanceInAutoScalingGroupType, ActivityType => nodes::terminate;
        put_scaling_policy, PutScalingPolicyType, PolicyARNType => policies::put;
        delete_policy, DeletePolicyType, DeletePolicyResponse => policies::delete;
        execute_policy, ExecutePolicyType, ExecutePolicyResponse => policies::execute;
        describe_policies, DescribePoliciesType, PoliciesType => policies::describe;
        put_scheduled_update_group_action, PutScheduledUpdateGroupActionType, PutScheduledUpdateGroupActionResponse => actions::put;
        batch_put_scheduled_update_group_action, BatchPutScheduledUpdateGroupActionType, BatchPutScheduledUpdateGroupActionAnswer => actions::put_batch;
        delete_scheduled_action, DeleteScheduledActionType, DeleteScheduledActionResponse => actions::delete;
        batch_delete_scheduled_action, BatchDeleteScheduledActionType, BatchDeleteScheduledActionAnswer => actions::delete_batch;
        put_lifecycle_hook, PutLifecycleHookType, PutLifecycleHookAnswer => hooks::put;
        delete_lifecycle_hook, DeleteLifecycleHookType, DeleteLifecycleHookAnswer => hooks::delete;
        complete_lifecycle_action, CompleteLifecycleActionType, CompleteLifecycleActionAnswer => hooks::complete;
        record_lifecycle_action_heartbeat, RecordLifecycleActionHeartbeatType, RecordLifecycleActionHeartbeatAnswer => hooks::extend;
    }

    async fn describe_lifecycle_hook_types(
        &self,
        _: &Caller,
        _: DescribeLifecycleHookTypesRequest,
    ) -> Result<DescribeLifecycleHookTypesAnswer, Error> {
        let types = hooks::WAYS.iter().map(|(name, _)| (*name).to_owned()).collect();
        Ok(DescribeLifecycleHookTypesAnswer { lifecycle_hook_types: Some(types) })
    }

    async fn describe_termination_policy_types(
        &self,
        _: &Caller,
        _: DescribeTerminationPolicyTypesRequest,
    ) -> Result<DescribeTerminationPolicyTypesAnswer, Error> {
        let types = vec!["Default".to_owned()];
        Ok(DescribeTerminationPolicyTypesAnswer { termination_policy_types: Some(types) })
    }

    async fn describe_adjustment_types(
        &self,
        _: &Caller,
        _: DescribeAdjustmentTypesRequest,
    ) -> Result<DescribeAdjustmentTypesAnswer, Error> {
        let one = |(name, _): &(&str, model::Adjustment)| AdjustmentType {
            adjustment_type: Some((*name).to_owned()),
        };
        let types = policies::ADJUSTMENTS.iter().map(one).collect();
        Ok(DescribeAdjustmentTypesAnswer { adjustment_types: Some(types) })
    }

    async fn describe_scaling_process_types(
        &self,
        _: &Caller,
        _: DescribeScalingProcessTypesRequest,
    ) -> Result<ProcessesType, Error> {
        let one = |(name, _): &(&str, model::Process)| ProcessType {
            process_name: Some((*name).to_owned()),
        };
        Ok(ProcessesType { processes: Some(groups::PROCESSES.iter().map(one).collect()) })
    }

    async fn describe_account_limits(
        &self,
        _: &Caller,
        _: DescribeAccountLimitsRequest,
    ) -> Result<DescribeAccountLimitsAnswer, Error> {
        Ok(describe::limits(&self.snapshot()))
    }
}
