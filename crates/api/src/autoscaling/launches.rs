//! Launch configurations: how a group's nodes are started.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/launch-configurations.html>

use aws::Error;
use aws::autoscaling::{
    CreateLaunchConfigurationResponse, CreateLaunchConfigurationType,
    DeleteLaunchConfigurationResponse, LaunchConfiguration as Wire, LaunchConfigurationNameType,
    LaunchConfigurationNamesType, LaunchConfigurationsType,
};
use model::{ClusterName, LaunchConfiguration, Realm, State};
use scheduler::CapacityCommand;
use scheduler::capacity::NewLaunch;

use super::errors::{cut, invalid, not_built, required, submit};
use super::user_data;
use crate::door::Door;
use crate::page::{Order, Page};
use crate::refer;

pub(super) async fn create(
    door: &Door,
    request: CreateLaunchConfigurationType,
) -> Result<CreateLaunchConfigurationResponse, Error> {
    let filled = |list: Option<&Vec<String>>| list.is_some_and(|list| !list.is_empty());
    not_built(&[
        ("InstanceId", request.instance_id.is_some()),
        ("BlockDeviceMappings", request.block_device_mappings.is_some_and(|m| !m.is_empty())),
        ("SpotPrice", request.spot_price.is_some()),
        ("PlacementTenancy", request.placement_tenancy.is_some_and(|t| t != "default")),
        ("KernelId", request.kernel_id.is_some()),
        ("RamdiskId", request.ramdisk_id.is_some()),
        ("KeyName", request.key_name.is_some()),
        ("SecurityGroups", filled(request.security_groups.as_ref())),
        ("AssociatePublicIpAddress", request.associate_public_ip_address == Some(true)),
        ("IamInstanceProfile", request.iam_instance_profile.is_some()),
        (
            "InstanceMonitoring",
            request.instance_monitoring.is_some_and(|m| m.enabled == Some(true)),
        ),
        ("EbsOptimized", request.ebs_optimized == Some(true)),
        ("MetadataOptions", request.metadata_options.is_some()),
        ("ClassicLinkVPCId", request.classic_link_vpc_id.is_some()),
    ])?;
    let name = required("LaunchConfigurationName", request.launch_configuration_name.as_ref())?;
    let told = match request.user_data.as_deref() {
        None | Some("") => String::new(),
        Some(encoded) => {
            user_data::read(encoded).map_err(|why| invalid(format!("UserData: {why}")))?
        }
    };
    let cluster = match user_data::cluster(&told) {
        None => ClusterName::from("default"),
        Some(given) => refer::cluster_name(door.realm(), Some(&given))?,
    };
    let new = NewLaunch {
        name: name.into(),
        image: request.image_id.clone().unwrap_or_default(),
        instance_type: required("InstanceType", request.instance_type.as_ref())?.to_owned(),
        user_data: told,
        cluster,
    };
    submit(door, CapacityCommand::CreateLaunch(new)).await?;
    Ok(CreateLaunchConfigurationResponse {})
}

pub(super) async fn delete(
    door: &Door,
    request: LaunchConfigurationNameType,
) -> Result<DeleteLaunchConfigurationResponse, Error> {
    let name = required("LaunchConfigurationName", request.launch_configuration_name.as_ref())?;
    submit(door, CapacityCommand::DeleteLaunch(name.into())).await?;
    Ok(DeleteLaunchConfigurationResponse {})
}

pub(super) fn describe(
    state: &State,
    request: &LaunchConfigurationNamesType,
) -> Result<LaunchConfigurationsType, Error> {
    let token = request.next_token.as_deref();
    let page = Page::of_100("DescribeLaunchConfigurations", token, request.max_records);
    let wanted = request.launch_configuration_names.as_deref().unwrap_or_default();
    let all = state
        .capacity()
        .launches()
        .filter(|launch| {
            wanted.is_empty() || wanted.iter().any(|name| *name == launch.name.as_str())
        })
        .map(|launch| (launch.name.to_string(), view(state.realm(), launch)))
        .collect();
    let (launches, next_token) = cut(&page, all, Order::Ascending)?;
    Ok(LaunchConfigurationsType { launch_configurations: Some(launches), next_token })
}

fn view(realm: &Realm, launch: &LaunchConfiguration) -> Wire {
    let Realm { partition, region, account, .. } = realm;
    let name = &launch.name;
    Wire {
        launch_configuration_name: Some(name.to_string()),
        launch_configuration_arn: Some(format!(
            "arn:{partition}:autoscaling:{region}:{account}:launchConfiguration:launchConfigurationName/{name}"
        )),
        image_id: Some(launch.image.clone()),
        instance_type: Some(launch.instance_type.clone()),
        user_data: Some(user_data::write(&launch.user_data)),
        created_time: Some(launch.created_at),
        security_groups: Some(Vec::new()),
        block_device_mappings: Some(Vec::new()),
        ..Wire::default()
    }
}
