//! The volumes of a task.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Volume.html>

use std::collections::BTreeSet;

use aws::Error;
use aws::ecs::{
    DockerVolumeConfiguration, EFSTransitEncryption, EFSVolumeConfiguration, Scope, Volume,
};

use crate::errors::client;
use crate::refer::is_name;
use crate::refuse::DEFINITION;

/// Checks the volumes; their names are what containers may mount.
pub(super) fn check(volumes: &[Volume]) -> Result<BTreeSet<&str>, Error> {
    let mut names = BTreeSet::new();
    for (at, volume) in volumes.iter().enumerate() {
        let member = |name: &str| format!("volumes[{at}].{name}");
        let name = volume.name.as_deref().unwrap_or_default();
        if !is_name(name) {
            return Err(client(format!(
                "{}: \"{name}\" is not a volume name: it has up to 255 letters, digits, hyphens and \
                 underscores.",
                member("name")
            )));
        }
        if !names.insert(name) {
            return Err(client(format!("Volume name '{name}' is used more than once.")));
        }
        not_built(volume, &member)?;
        one_kind(volume, &member)?;
        if let Some(docker) = &volume.docker_volume_configuration {
            check_docker(docker, &member)?;
        }
        if let Some(efs) = &volume.efs_volume_configuration {
            check_efs(efs, &member)?;
        }
        let path = volume.host.as_ref().and_then(|host| host.source_path.as_deref());
        if path.is_some_and(|path| !path.is_empty() && !path.starts_with('/')) {
            return Err(client(format!(
                "{} must be an absolute path of the host.",
                member("host.sourcePath")
            )));
        }
    }
    Ok(names)
}

fn not_built(volume: &Volume, member: &dyn Fn(&str) -> String) -> Result<(), Error> {
    let r = DEFINITION;
    let s3files = volume.s3files_volume_configuration.as_ref();
    r.given(&member("s3filesVolumeConfiguration"), s3files, "S3 Files volumes are")?;
    let fsx = volume.fsx_windows_file_server_volume_configuration.as_ref();
    r.given(&member("fsxWindowsFileServerVolumeConfiguration"), fsx, "FSx volumes are")?;
    let at_launch = volume.configured_at_launch;
    r.flag(&member("configuredAtLaunch"), at_launch, "volumes configured at launch are")
}

/// A volume is of one kind; an empty `host` says nothing.
fn one_kind(volume: &Volume, member: &dyn Fn(&str) -> String) -> Result<(), Error> {
    let host =
        volume.host.as_ref().is_some_and(|h| h.source_path.as_ref().is_some_and(|p| !p.is_empty()));
    let kinds = [
        ("host", host),
        ("dockerVolumeConfiguration", volume.docker_volume_configuration.is_some()),
        ("efsVolumeConfiguration", volume.efs_volume_configuration.is_some()),
    ];
    let given: Vec<&str> =
        kinds.into_iter().filter(|(_, given)| *given).map(|(kind, _)| kind).collect();
    match given[..] {
        [first, second, ..] => Err(client(format!(
            "{} and {} are both given; a volume is one of them.",
            member(first),
            member(second)
        ))),
        _ => Ok(()),
    }
}

fn check_docker(
    docker: &DockerVolumeConfiguration,
    member: &dyn Fn(&str) -> String,
) -> Result<(), Error> {
    let at = |name: &str| member(&format!("dockerVolumeConfiguration.{name}"));
    match &docker.scope {
        None | Some(Scope::Task) if docker.autoprovision == Some(false) => {
            return Err(client(
                "When 'scope' parameter is 'task', 'autoprovision' must either not be specified or \
                 set to 'True'.",
            ));
        }
        None | Some(Scope::Task | Scope::Shared) => {}
        Some(Scope::Unrecognized(other)) => {
            return Err(client(format!(
                "{}: \"{other}\" is neither task nor shared.",
                at("scope")
            )));
        }
    }
    let right = |b: u8| b.is_ascii_alphanumeric() || b"._/:-".contains(&b);
    if docker.driver.as_ref().is_some_and(|driver| driver.is_empty()) {
        return Err(client("volume.dockerVolumeConfiguration.driver should not be null or empty."));
    }
    if let Some(driver) = docker.driver.as_ref().filter(|driver| !driver.bytes().all(right)) {
        return Err(client(format!("{}: \"{driver}\" is not the name of a plugin.", at("driver"))));
    }
    for (name, map) in [("driverOpts", &docker.driver_opts), ("labels", &docker.labels)] {
        if map.iter().flatten().any(|(key, _)| key.is_empty()) {
            return Err(client(format!("{}: a key is empty.", at(name))));
        }
    }
    Ok(())
}

fn check_efs(efs: &EFSVolumeConfiguration, member: &dyn Fn(&str) -> String) -> Result<(), Error> {
    let r = DEFINITION;
    let at = |name: &str| member(&format!("efsVolumeConfiguration.{name}"));
    let id = efs.file_system_id.as_deref().unwrap_or_default();
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(client(format!(
            "{}: \"{id}\" is not the id of a file system.",
            at("fileSystemId")
        )));
    }
    let root = efs.root_directory.as_deref().unwrap_or_default();
    if !root.is_empty() && !root.starts_with('/') {
        return Err(client(format!(
            "{}: \"{root}\" is not an absolute path.",
            at("rootDirectory")
        )));
    }
    match &efs.transit_encryption {
        None | Some(EFSTransitEncryption::Disabled) => {}
        Some(EFSTransitEncryption::Enabled) => {
            return Err(
                r.not_built(&at("transitEncryption"), "encryption on the way to a file system is")
            );
        }
        Some(EFSTransitEncryption::Unrecognized(other)) => {
            return Err(client(format!(
                "{}: \"{other}\" is neither ENABLED nor DISABLED.",
                at("transitEncryption")
            )));
        }
    }
    let port = efs.transit_encryption_port.as_ref();
    r.given(&at("transitEncryptionPort"), port, "encryption on the way to a file system is")?;
    let authorization = efs.authorization_config.as_ref();
    r.given(&at("authorizationConfig"), authorization, "access points and IAM for file systems are")
}
