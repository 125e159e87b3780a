//! Groups: create, update, delete; their desired capacity, processes and tags.

use std::time::Duration;

use aws::Error;
use aws::autoscaling::{
    CreateAutoScalingGroupResponse, CreateAutoScalingGroupType, CreateOrUpdateTagsResponse,
    CreateOrUpdateTagsType, DeleteAutoScalingGroupResponse, DeleteAutoScalingGroupType,
    DeleteTagsResponse, DeleteTagsType, LaunchTemplateSpecification, ResumeProcessesResponse,
    ScalingProcessQuery, SetDesiredCapacityResponse, SetDesiredCapacityType,
    SuspendProcessesResponse, Tag, UpdateAutoScalingGroupResponse, UpdateAutoScalingGroupType,
};
use model::{AutoScalingGroupName, GroupTag, LaunchSource, Process, State};
use scheduler::CapacityCommand;
use scheduler::capacity::{GroupUpdate, NewGroup};

use super::errors::{invalid, not_built, number, required, submit};
use super::hooks;
use crate::door::Door;
use crate::ec2::templates;

/// AWS's defaults, in seconds.
const COOLDOWN: i32 = 300;

/// The processes by their names.
pub(super) const PROCESSES: [(&str, Process); 9] = [
    ("Launch", Process::Launch),
    ("Terminate", Process::Terminate),
    ("HealthCheck", Process::HealthCheck),
    ("ReplaceUnhealthy", Process::ReplaceUnhealthy),
    ("AlarmNotification", Process::AlarmNotification),
    ("ScheduledActions", Process::ScheduledActions),
    ("AZRebalance", Process::AzRebalance),
    ("AddToLoadBalancer", Process::AddToLoadBalancer),
    ("InstanceRefresh", Process::InstanceRefresh),
];

/// What a new group cannot have.
fn refuse_new(request: &CreateAutoScalingGroupType) -> Result<(), Error> {
    let filled = |list: Option<&Vec<String>>| list.is_some_and(|list| !list.is_empty());
    not_built(&[
        ("MixedInstancesPolicy", request.mixed_instances_policy.is_some()),
        ("InstanceId", request.instance_id.is_some()),
        ("LoadBalancerNames", filled(request.load_balancer_names.as_ref())),
        ("TargetGroupARNs", filled(request.target_group_arns.as_ref())),
        ("TrafficSources", request.traffic_sources.as_ref().is_some_and(|list| !list.is_empty())),
        ("PlacementGroup", request.placement_group.is_some()),
        ("MaxInstanceLifetime", request.max_instance_lifetime.is_some_and(|n| n != 0)),
        ("CapacityRebalance", request.capacity_rebalance == Some(true)),
        (
            "DesiredCapacityType",
            request.desired_capacity_type.as_ref().is_some_and(|t| t != "units"),
        ),
        ("DefaultInstanceWarmup", request.default_instance_warmup.is_some_and(|n| n >= 0)),
        ("InstanceMaintenancePolicy", request.instance_maintenance_policy.is_some()),
        ("AvailabilityZoneIds", filled(request.availability_zone_ids.as_ref())),
        ("InstanceLifecyclePolicy", request.instance_lifecycle_policy.is_some()),
        ("Operator", request.operator.is_some()),
        ("AvailabilityZoneDistribution", request.availability_zone_distribution.is_some()),
        ("AvailabilityZoneImpairmentPolicy", request.availability_zone_impairment_policy.is_some()),
        ("CapacityReservationSpecification", request.capacity_reservation_specification.is_some()),
        ("Context", request.context.is_some()),
        ("DeletionProtection", request.deletion_protection.is_some()),
        ("ServiceLinkedRoleARN", request.service_linked_role_arn.is_some()),
        ("SkipZonalShiftValidation", request.skip_zonal_shift_validation == Some(true)),
    ])
}

pub(super) async fn create(
    door: &Door,
    request: CreateAutoScalingGroupType,
) -> Result<CreateAutoScalingGroupResponse, Error> {
    refuse_new(&request)?;
    check_termination(request.termination_policies.as_ref())?;
    check_health_type(request.health_check_type.as_ref())?;
    let name = required("AutoScalingGroupName", request.auto_scaling_group_name.as_ref())?;
    if name.contains(':') || !name.bytes().all(|b| (33..=126).contains(&b)) {
        return Err(invalid(
            "AutoScalingGroupName: it may have printable ASCII characters other than : and space.",
        ));
    }
    let launch = source(
        &door.snapshot(),
        request.launch_configuration_name.as_ref(),
        request.launch_template.as_ref(),
    )?;
    let Some(launch) = launch else {
        return Err(invalid(
            "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId \
             or MixedInstancesPolicy parameter.",
        ));
    };
    let subnets = subnets(request.vpc_zone_identifier.as_ref());
    let zones = match request.availability_zones.clone().unwrap_or_default() {
        zones if zones.is_empty() && subnets.is_empty() => {
            return Err(invalid("At least one Availability Zone or VPC Subnet is required."));
        }
        zones if zones.is_empty() => vec![format!("{}a", door.realm().region)],
        zones => zones,
    };
    let hooks = request.lifecycle_hook_specification_list.unwrap_or_default();
    let hooks = hooks.iter().map(hooks::read_specification).collect::<Result<_, _>>()?;
    let need = |member: &str, given: Option<i32>| match given {
        Some(given) => number(member, given),
        None => Err(invalid(format!("{member} is required."))),
    };
    let new = NewGroup {
        name: name.into(),
        launch,
        min: need("MinSize", request.min_size)?,
        max: need("MaxSize", request.max_size)?,
        desired: request.desired_capacity.map(|n| number("DesiredCapacity", n)).transpose()?,
        zones,
        subnets,
        cooldown: seconds("DefaultCooldown", request.default_cooldown.unwrap_or(COOLDOWN))?,
        health_grace: seconds(
            "HealthCheckGracePeriod",
            request.health_check_grace_period.unwrap_or(0),
        )?,
        protect_new: request.new_instances_protected_from_scale_in.unwrap_or(false),
        hooks,
        tags: request.tags.unwrap_or_default().iter().map(read_tag).collect::<Result<_, _>>()?,
    };
    submit(door, CapacityCommand::CreateGroup(Box::new(new))).await?;
    Ok(CreateAutoScalingGroupResponse {})
}

pub(super) async fn update(
    door: &Door,
    request: UpdateAutoScalingGroupType,
) -> Result<UpdateAutoScalingGroupResponse, Error> {
    not_built(&[
        ("MixedInstancesPolicy", request.mixed_instances_policy.is_some()),
        ("PlacementGroup", request.placement_group.is_some()),
        ("MaxInstanceLifetime", request.max_instance_lifetime.is_some_and(|n| n != 0)),
        ("CapacityRebalance", request.capacity_rebalance == Some(true)),
        ("DesiredCapacityType", request.desired_capacity_type.is_some_and(|t| t != "units")),
        ("DefaultInstanceWarmup", request.default_instance_warmup.is_some_and(|n| n >= 0)),
        ("InstanceMaintenancePolicy", request.instance_maintenance_policy.is_some()),
        ("AvailabilityZoneIds", request.availability_zone_ids.is_some_and(|ids| !ids.is_empty())),
        ("InstanceLifecyclePolicy", request.instance_lifecycle_policy.is_some()),
        ("AvailabilityZoneDistribution", request.availability_zone_distribution.is_some()),
        ("AvailabilityZoneImpairmentPolicy", request.availability_zone_impairment_policy.is_some()),
        ("CapacityReservationSpecification", request.capacity_reservation_specification.is_some()),
        ("Context", request.context.is_some()),
        ("DeletionProtection", request.deletion_protection.is_some()),
        ("ServiceLinkedRoleARN", request.service_linked_role_arn.is_some()),
        ("SkipZonalShiftValidation", request.skip_zonal_shift_validation == Some(true)),
    ])?;
    check_termination(request.termination_policies.as_ref())?;
    check_health_type(request.health_check_type.as_ref())?;
    let name = required("AutoScalingGroupName", request.auto_scaling_group_name.as_ref())?;
    let read = |member: &str, given: Option<i32>| given.map(|n| number(member, n)).transpose();
    let time = |member: &str, given: Option<i32>| given.map(|n| seconds(member, n)).transpose();
    let update = GroupUpdate {
        name: Some(name.into()),
        launch: source(
            &door.snapshot(),
            request.launch_configuration_name.as_ref(),
            request.launch_template.as_ref(),
        )?,
        min: read("MinSize", request.min_size)?,
        max: read("MaxSize", request.max_size)?,
        desired: read("DesiredCapacity", request.desired_capacity)?,
        zones: request.availability_zones.filter(|zones| !zones.is_empty()),
        subnets: request.vpc_zone_identifier.as_ref().map(|given| subnets(Some(given))),
        cooldown: time("DefaultCooldown", request.default_cooldown)?,
        health_grace: time("HealthCheckGracePeriod", request.health_check_grace_period)?,
        protect_new: request.new_instances_protected_from_scale_in,
    };
    submit(door, CapacityCommand::UpdateGroup(Box::new(update))).await?;
    Ok(UpdateAutoScalingGroupResponse {})
}

/// By what nodes are started: a launch configuration or a version of a launch template.
fn source(
    state: &State,
    configuration: Option<&String>,
    template: Option<&LaunchTemplateSpecification>,
) -> Result<Option<LaunchSource>, Error> {
    match (configuration, template) {
        (None, None) => Ok(None),
        (Some(name), None) => Ok(Some(LaunchSource::Configuration(name.as_str().into()))),
        (None, Some(given)) => {
            let said = |error: Error| invalid(error.message);
            let (id, name) = (&given.launch_template_id, &given.launch_template_name);
            let template = templates::find(state, id.as_ref(), name.as_ref()).map_err(said)?;
            let version = given.version.as_deref().unwrap_or("$Default");
            let version = templates::version(version).map_err(said)?;
            Ok(Some(LaunchSource::Template { template, version }))
        }
        (Some(_), Some(_)) => Err(invalid(
            "Valid requests must contain either LaunchTemplate or LaunchConfigurationName, not both.",
        )),
    }
}

fn check_termination(given: Option<&Vec<String>>) -> Result<(), Error> {
    let other = given.into_iter().flatten().find(|policy| *policy != "Default");
    not_built(&[("TerminationPolicies beside Default", other.is_some())])
}

fn check_health_type(given: Option<&String>) -> Result<(), Error> {
    let other = given.is_some_and(|kind| kind != "EC2");
    not_built(&[("HealthCheckType beside EC2", other)])
}

fn subnets(given: Option<&String>) -> Vec<String> {
    let parts = given.map(String::as_str).unwrap_or_default().split(',');
    parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

pub(super) fn seconds(member: &str, given: i32) -> Result<Duration, Error> {
    Ok(Duration::from_secs(u64::from(number(member, given)?)))
}

pub(super) async fn delete(
    door: &Door,
    request: DeleteAutoScalingGroupType,
) -> Result<DeleteAutoScalingGroupResponse, Error> {
    let name = required("AutoScalingGroupName", request.auto_scaling_group_name.as_ref())?;
    let force = request.force_delete.unwrap_or(false);
    submit(door, CapacityCommand::DeleteGroup { group: name.into(), force }).await?;
    Ok(DeleteAutoScalingGroupResponse {})
}

pub(super) async fn set_desired(
    door: &Door,
    request: SetDesiredCapacityType,
) -> Result<SetDesiredCapacityResponse, Error> {
    let name = required("AutoScalingGroupName", request.auto_scaling_group_name.as_ref())?;
    let Some(desired) = request.desired_capacity else {
        return Err(invalid("DesiredCapacity is required."));
    };
    let desired = number("DesiredCapacity", desired)?;
    let honor_cooldown = request.honor_cooldown.unwrap_or(false);
    let command = CapacityCommand::SetDesired { group: name.into(), desired, honor_cooldown };
    submit(door, command).await?;
    Ok(SetDesiredCapacityResponse {})
}

pub(super) async fn suspend(
    door: &Door,
    request: ScalingProcessQuery,
) -> Result<SuspendProcessesResponse, Error> {
    set_suspended(door, &request, true).await?;
    Ok(SuspendProcessesResponse {})
}

pub(super) async fn resume(
    door: &Door,
    request: ScalingProcessQuery,
) -> Result<ResumeProcessesResponse, Error> {
    set_suspended(door, &request, false).await?;
    Ok(ResumeProcessesResponse {})
}

/// Without names, all of them.
async fn set_suspended(
    door: &Door,
    request: &ScalingProcessQuery,
    suspended: bool,
) -> Result<(), Error> {
    let name = required("AutoScalingGroupName", request.auto_scaling_group_name.as_ref())?;
    let given = request.scaling_processes.as_deref().unwrap_or_default();
    let read = |text: &String| {
        let known = PROCESSES.iter().find(|(name, _)| name == text).map(|(_, process)| *process);
        known.ok_or_else(|| invalid(format!("ScalingProcesses: there is no process \"{text}\".")))
    };
    let processes = if given.is_empty() {
        PROCESSES.iter().map(|(_, process)| *process).collect()
    } else {
        given.iter().map(read).collect::<Result<_, _>>()?
    };
    let group = name.into();
    submit(door, CapacityCommand::Suspend { group, processes, suspended }).await?;
    Ok(())
}

fn read_tag(tag: &Tag) -> Result<GroupTag, Error> {
    let key = required("Tags: Key", tag.key.as_ref())?;
    if key.len() > 128 || key.starts_with("aws:") {
        return Err(invalid(format!("Tags: the key \"{key}\" is longer than 128 or reserved.")));
    }
    Ok(GroupTag {
        key: key.to_owned(),
        value: tag.value.clone().unwrap_or_default(),
        propagate: tag.propagate_at_launch.unwrap_or(true),
    })
}

/// The groups that tags are for, each with its own.
fn by_group(tags: &[Tag]) -> Result<Vec<(AutoScalingGroupName, Vec<&Tag>)>, Error> {
    let mut groups: Vec<(AutoScalingGroupName, Vec<&Tag>)> = Vec::new();
    for tag in tags {
        let kind = tag.resource_type.as_deref().unwrap_or("auto-scaling-group");
        if kind != "auto-scaling-group" {
            return Err(invalid(format!("Tags: \"{kind}\" is no ResourceType.")));
        }
        let name =
            AutoScalingGroupName::from(required("Tags: ResourceId", tag.resource_id.as_ref())?);
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, tags)) => tags.push(tag),
            None => groups.push((name, vec![tag])),
        }
    }
    Ok(groups)
}

pub(super) async fn put_tags(
    door: &Door,
    request: CreateOrUpdateTagsType,
) -> Result<CreateOrUpdateTagsResponse, Error> {
    let tags = request.tags.unwrap_or_default();
    for (group, tags) in by_group(&tags)? {
        let tags = tags.into_iter().map(read_tag).collect::<Result<_, _>>()?;
        submit(door, CapacityCommand::PutTags(group, tags)).await?;
    }
    Ok(CreateOrUpdateTagsResponse {})
}

pub(super) async fn delete_tags(
    door: &Door,
    request: DeleteTagsType,
) -> Result<DeleteTagsResponse, Error> {
    let tags = request.tags.unwrap_or_default();
    for (group, tags) in by_group(&tags)? {
        let keys = tags.iter().filter_map(|tag| tag.key.clone()).collect();
        submit(door, CapacityCommand::DeleteTags(group, keys)).await?;
    }
    Ok(DeleteTagsResponse {})
}
