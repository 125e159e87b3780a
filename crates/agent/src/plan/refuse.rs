//! What ECS has and this node does not: refused by name.

use aws::ecs;

use super::Refusal;
use crate::order::Order;

fn given<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(|items| !items.is_empty())
}

/// Refuses what the task as a whole asks and this node does not do.
pub(super) fn check_task(order: &Order) -> Result<(), Refusal> {
    if let Some(mode) = &order.pid_mode {
        return Err(Refusal::unbuilt(format!("pidMode {mode}")));
    }
    if let Some(mode) = &order.ipc_mode {
        return Err(Refusal::unbuilt(format!("ipcMode {mode}")));
    }
    order.volumes.iter().try_for_each(check_volume)
}

fn check_volume(volume: &ecs::Volume) -> Result<(), Refusal> {
    let name = volume.name.as_deref().unwrap_or_default();
    let asked = [
        ("dockerVolumeConfiguration", volume.docker_volume_configuration.is_some()),
        ("efsVolumeConfiguration", volume.efs_volume_configuration.is_some()),
        ("s3filesVolumeConfiguration", volume.s3files_volume_configuration.is_some()),
        (
            "fsxWindowsFileServerVolumeConfiguration",
            volume.fsx_windows_file_server_volume_configuration.is_some(),
        ),
        ("configuredAtLaunch", volume.configured_at_launch == Some(true)),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        Some((member, _)) => Err(Refusal::unbuilt(format!("volume {name}: {member}"))),
        None => Ok(()),
    }
}

/// Refuses what a container asks and this node does not do.
pub(super) fn check_container(
    name: &str,
    definition: &ecs::ContainerDefinition,
    has_network: bool,
) -> Result<(), Refusal> {
    let linux = definition.linux_parameters.as_ref();
    let asked = [
        ("secrets", given(definition.secrets.as_ref())),
        ("environmentFiles", given(definition.environment_files.as_ref())),
        ("links", given(definition.links.as_ref())),
        ("credentialSpecs", given(definition.credential_specs.as_ref())),
        ("resourceRequirements", given(definition.resource_requirements.as_ref())),
        ("repositoryCredentials", definition.repository_credentials.is_some()),
        ("firelensConfiguration", definition.firelens_configuration.is_some()),
        ("disableNetworking", has_network && definition.disable_networking == Some(true)),
        ("linuxParameters.swappiness", linux.is_some_and(|l| l.swappiness.is_some())),
    ];
    if let Some((member, _)) = asked.into_iter().find(|(_, asked)| *asked) {
        return Err(Refusal::unbuilt(format!("container {name}: {member}")));
    }
    for option in definition.docker_security_options.iter().flatten() {
        if !is_no_new_privileges(option) {
            let member = format!("container {name}: dockerSecurityOptions \"{option}\"");
            return Err(Refusal::unbuilt(member));
        }
    }
    Ok(())
}

/// Whether the option is Docker's `no-new-privileges`, in any of its spellings.
pub(super) fn is_no_new_privileges(option: &str) -> bool {
    matches!(option, "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true")
}
