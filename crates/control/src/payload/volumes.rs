//! Volumes as the contract has them.

use aws::agent::acs;
use aws::ecs::{DockerVolumeConfiguration, Scope, TaskDefinition, Volume};

/// Every volume of a definition, each of exactly one kind.
pub(super) fn volumes(document: &TaskDefinition) -> Vec<acs::Volume> {
    document.volumes.iter().flatten().map(volume).collect()
}

fn volume(given: &Volume) -> acs::Volume {
    let name = given.name.clone().unwrap_or_default();
    if let Some(docker) = &given.docker_volume_configuration {
        return acs::Volume {
            name,
            r#type: Some("docker".to_owned()),
            docker_volume_configuration: Some(self::docker(docker)),
            ..acs::Volume::default()
        };
    }
    if let Some(efs) = &given.efs_volume_configuration {
        return acs::Volume {
            name,
            r#type: Some("efs".to_owned()),
            efs_volume_configuration: Some(efs.clone()),
            ..acs::Volume::default()
        };
    }
    // The stock agent refuses a volume of kind `host` without the member, be it empty.
    let source_path = given.host.as_ref().and_then(|host| host.source_path.clone());
    acs::Volume {
        name,
        r#type: Some("host".to_owned()),
        host: Some(acs::HostVolume { source_path }),
        ..acs::Volume::default()
    }
}

/// The stock agent fails a task-scoped volume that says `autoprovision`, though ECS takes it: such a
/// volume is made in any case, so nothing is lost by not saying it.
fn docker(given: &DockerVolumeConfiguration) -> acs::DockerVolume {
    let shared = given.scope == Some(Scope::Shared);
    acs::DockerVolume {
        scope: Some(given.scope.clone().unwrap_or(Scope::Task)),
        autoprovision: shared && given.autoprovision == Some(true),
        driver: Some(given.driver.clone().unwrap_or_else(|| "local".to_owned())),
        driver_opts: given.driver_opts.clone().unwrap_or_default(),
        labels: given.labels.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_has_its_member() {
        let given = json!({"volumes": [
            {"name": "a", "host": {}},
            {"name": "b", "host": {"sourcePath": "/srv"}},
            {"name": "c", "dockerVolumeConfiguration": {"scope": "task", "autoprovision": true}},
            {"name": "d", "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": true,
                "driver": "local", "driverOpts": {"type": "tmpfs"}, "labels": {"x": "y"}}},
            {"name": "e", "efsVolumeConfiguration": {"fileSystemId": "fs-1", "rootDirectory": "/r"}},
        ]});
        let document: TaskDefinition = serde_json::from_value(given).unwrap();
        assert_eq!(
            serde_json::to_value(volumes(&document)).unwrap(),
            json!([
                {"name": "a", "type": "host", "host": {}},
                {"name": "b", "type": "host", "host": {"sourcePath": "/srv"}},
                {"name": "c", "type": "docker", "dockerVolumeConfiguration":
                    {"scope": "task", "autoprovision": false, "driver": "local"}},
                {"name": "d", "type": "docker", "dockerVolumeConfiguration":
                    {"scope": "shared", "autoprovision": true, "driver": "local",
                     "driverOpts": {"type": "tmpfs"}, "labels": {"x": "y"}}},
                {"name": "e", "type": "efs", "efsVolumeConfiguration":
                    {"fileSystemId": "fs-1", "rootDirectory": "/r"}},
            ])
        );
    }
}
