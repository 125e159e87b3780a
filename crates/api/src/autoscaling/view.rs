//! How groups, nodes and activities are spelled.

use aws::autoscaling::{
    Activity, AutoScalingGroup as Wire, AutoScalingInstanceDetails, Instance,
    LaunchTemplateSpecification, LifecycleState, ScalingActivityStatusCode, SuspendedProcess,
    TagDescription,
};
use model::{
    AutoScalingGroup, GroupActivity, LaunchSource, LaunchTemplateId, LaunchedBy, Node, NodeHealth,
    NodeState, Realm, State,
};

use super::groups::PROCESSES;
use crate::capacity::group_arn;

fn number(n: u32) -> Option<i32> {
    i32::try_from(n).ok()
}

/// A group; without its nodes where they were not asked for.
pub(super) fn group(state: &State, group: &AutoScalingGroup, with_nodes: bool) -> Wire {
    let suspended = PROCESSES.iter().filter(|(_, process)| group.suspended.contains(process));
    let suspended = suspended.map(|(name, _)| SuspendedProcess {
        process_name: Some((*name).to_owned()),
        suspension_reason: Some("User suspended".to_owned()),
    });
    let nodes = state.capacity().nodes(&group.name).filter(|_| with_nodes);
    let (configuration, template) = match &group.launch {
        LaunchSource::Configuration(name) => (Some(name.to_string()), None),
        LaunchSource::Template { template, version } => {
            (None, Some(specification(state, template, version.to_string())))
        }
    };
    Wire {
        auto_scaling_group_name: Some(group.name.to_string()),
        auto_scaling_group_arn: Some(group_arn(state.realm(), &group.id, &group.name)),
        launch_configuration_name: configuration,
        launch_template: template,
        min_size: number(group.min),
        max_size: number(group.max),
        desired_capacity: number(group.desired),
        default_cooldown: i32::try_from(group.cooldown.as_secs()).ok(),
        availability_zones: Some(group.zones.clone()),
        load_balancer_names: Some(Vec::new()),
        target_group_arns: Some(Vec::new()),
        health_check_type: Some("EC2".to_owned()),
        health_check_grace_period: i32::try_from(group.health_grace.as_secs()).ok(),
        instances: Some(nodes.map(|node| instance(state, node)).collect()),
        created_time: Some(group.created_at),
        suspended_processes: Some(suspended.collect()),
        vpc_zone_identifier: Some(group.subnets.join(",")),
        enabled_metrics: Some(Vec::new()),
        status: group.deleting.then(|| "Delete in progress".to_owned()),
        tags: Some(tags(group)),
        termination_policies: Some(vec!["Default".to_owned()]),
        new_instances_protected_from_scale_in: Some(group.protect_new),
        ..Wire::default()
    }
}

/// A version of a launch template, by its id and its name as far as it is still there.
fn specification(
    state: &State,
    template: &LaunchTemplateId,
    version: String,
) -> LaunchTemplateSpecification {
    let known = state.capacity().template(template);
    LaunchTemplateSpecification {
        launch_template_id: Some(template.to_string()),
        launch_template_name: known.map(|known| known.name.clone()),
        version: Some(version),
    }
}

/// By what a node was started.
fn launched_by(
    state: &State,
    node: &Node,
) -> (Option<String>, Option<LaunchTemplateSpecification>) {
    match &node.launch {
        LaunchedBy::Configuration(name) => (Some(name.to_string()), None),
        LaunchedBy::Template { template, version } => {
            (None, Some(specification(state, template, version.to_string())))
        }
    }
}

/// Of which size a node is.
fn instance_type(state: &State, node: &Node) -> Option<String> {
    match node.instance_type.as_str() {
        "" => state.capacity().terms_of(node).map(|terms| terms.instance_type),
        known => Some(known.to_owned()),
    }
}

pub(super) fn tags(group: &AutoScalingGroup) -> Vec<TagDescription> {
    let tag = |tag: &model::GroupTag| TagDescription {
        resource_id: Some(group.name.to_string()),
        resource_type: Some("auto-scaling-group".to_owned()),
        key: Some(tag.key.clone()),
        value: Some(tag.value.clone()),
        propagate_at_launch: Some(tag.propagate),
    };
    group.tags.iter().map(tag).collect()
}

fn lifecycle(state: NodeState) -> LifecycleState {
    match state {
        NodeState::Pending => LifecycleState::Pending,
        NodeState::PendingWait => LifecycleState::PendingWait,
        NodeState::InService => LifecycleState::InService,
        // AWS drains within a hook of its own.
        NodeState::Draining | NodeState::TerminatingWait => LifecycleState::TerminatingWait,
        NodeState::Terminating => LifecycleState::Terminating,
    }
}

fn health(health: NodeHealth) -> String {
    match health {
        NodeHealth::Healthy => "Healthy",
        NodeHealth::Unhealthy => "Unhealthy",
    }
    .to_owned()
}

fn instance(state: &State, node: &Node) -> Instance {
    let (configuration, template) = launched_by(state, node);
    Instance {
        instance_id: Some(node.id.to_string()),
        instance_type: instance_type(state, node),
        availability_zone: Some(node.zone.clone()),
        lifecycle_state: Some(lifecycle(node.state)),
        health_status: Some(health(node.health)),
        launch_configuration_name: configuration,
        launch_template: template,
        protected_from_scale_in: Some(node.protected),
        ..Instance::default()
    }
}

pub(super) fn instance_details(state: &State, node: &Node) -> AutoScalingInstanceDetails {
    let (configuration, template) = launched_by(state, node);
    AutoScalingInstanceDetails {
        instance_id: Some(node.id.to_string()),
        instance_type: instance_type(state, node),
        auto_scaling_group_name: Some(node.group.to_string()),
        availability_zone: Some(node.zone.clone()),
        lifecycle_state: Some(lifecycle(node.state).to_string()),
        health_status: Some(health(node.health).to_uppercase()),
        launch_configuration_name: configuration,
        launch_template: template,
        protected_from_scale_in: Some(node.protected),
        ..AutoScalingInstanceDetails::default()
    }
}

pub(super) fn activity(
    realm: &Realm,
    group: &AutoScalingGroup,
    activity: &GroupActivity,
) -> Activity {
    let code = match (&activity.failure, activity.ended_at) {
        (Some(_), _) => ScalingActivityStatusCode::Failed,
        (None, Some(_)) => ScalingActivityStatusCode::Successful,
        (None, None) => ScalingActivityStatusCode::InProgress,
    };
    Activity {
        activity_id: Some(activity.id.clone()),
        auto_scaling_group_name: Some(group.name.to_string()),
        auto_scaling_group_arn: Some(group_arn(realm, &group.id, &group.name)),
        description: Some(activity.description.clone()),
        cause: Some(activity.cause.clone()),
        start_time: Some(activity.began_at),
        end_time: activity.ended_at,
        progress: Some(if activity.ended_at.is_some() { 100 } else { 50 }),
        status_code: Some(code),
        status_message: activity.failure.clone(),
        details: Some("{}".to_owned()),
        ..Activity::default()
    }
}
