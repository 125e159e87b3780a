//! Mount points: volumes of the host, of the task, of other containers, and memory.

use std::path::{Path, PathBuf};

use aws::ecs;
use runtime::Mount;

use super::Refusal;
use super::volumes::{Place, Volumes};
use crate::order::Order;

/// A container's mounts: its own mount points, those of `volumesFrom`, and `tmpfs`, in this order.
pub(super) fn mounts(
    order: &Order,
    definition: &ecs::ContainerDefinition,
    volumes: &Volumes,
) -> Result<Vec<Mount>, Refusal> {
    let name = definition.name.as_deref().unwrap_or_default();
    let mut found = own_mounts(definition, volumes)?;
    inherited(order, definition, volumes, &mut vec![name], &mut found)?;
    let linux = definition.linux_parameters.as_ref();
    for tmpfs in linux.and_then(|linux| linux.tmpfs.as_ref()).into_iter().flatten() {
        let target =
            absolute(name, "linuxParameters.tmpfs.containerPath", tmpfs.container_path.as_deref())?;
        found.push(Mount::Tmpfs {
            target,
            size_bytes: tmpfs.size.and_then(|mib| u64::try_from(mib).ok()).map(|mib| mib << 20),
            options: tmpfs.mount_options.clone().unwrap_or_default(),
        });
    }
    Ok(found)
}

fn own_mounts(
    definition: &ecs::ContainerDefinition,
    volumes: &Volumes,
) -> Result<Vec<Mount>, Refusal> {
    let name = definition.name.as_deref().unwrap_or_default();
    let mut found = Vec::new();
    for point in definition.mount_points.iter().flatten() {
        let volume = point.source_volume.as_deref().unwrap_or_default();
        let Some(place) = volumes.places.get(volume) else {
            let why = format!("the task has no volume \"{volume}\"");
            return Err(Refusal::new(format!("container {name}: mountPoints.sourceVolume"), why));
        };
        let target = absolute(name, "mountPoints.containerPath", point.container_path.as_deref())?;
        let readonly = point.read_only == Some(true);
        found.push(match place {
            Place::Host(source) => Mount::Bind { source: source.clone(), target, readonly },
            Place::Runtime(name) => Mount::Volume { name: name.clone(), target, readonly },
        });
    }
    Ok(found)
}

/// Adds what `volumesFrom` names, and what those containers have from others in turn; what the
/// container mounts itself at the same path stands.
fn inherited<'a>(
    order: &'a Order,
    definition: &'a ecs::ContainerDefinition,
    volumes: &Volumes,
    seen: &mut Vec<&'a str>,
    found: &mut Vec<Mount>,
) -> Result<(), Refusal> {
    for from in definition.volumes_from.iter().flatten() {
        let source = from.source_container.as_deref().unwrap_or_default();
        if seen.contains(&source) {
            continue;
        }
        let Some(other) = order.containers.iter().find(|c| c.name.as_deref() == Some(source))
        else {
            let name = definition.name.as_deref().unwrap_or_default();
            let why = format!("the task has no container \"{source}\"");
            return Err(Refusal::new(
                format!("container {name}: volumesFrom.sourceContainer"),
                why,
            ));
        };
        seen.push(source);
        let mut theirs = own_mounts(other, volumes)?;
        inherited(order, other, volumes, seen, &mut theirs)?;
        for mut mount in theirs {
            if let Mount::Bind { readonly, .. } | Mount::Volume { readonly, .. } = &mut mount {
                *readonly |= from.read_only == Some(true);
            }
            if !found.iter().any(|known| target(known) == target(&mount)) {
                found.push(mount);
            }
        }
    }
    Ok(())
}

fn target(mount: &Mount) -> &Path {
    match mount {
        Mount::Bind { target, .. } | Mount::Tmpfs { target, .. } | Mount::Volume { target, .. } => {
            target
        }
    }
}

fn absolute(name: &str, member: &str, path: Option<&str>) -> Result<PathBuf, Refusal> {
    match path {
        Some(path) if path.starts_with('/') => Ok(PathBuf::from(path)),
        other => Err(Refusal::new(
            format!("container {name}: {member}"),
            format!("\"{}\" is not an absolute path", other.unwrap_or_default()),
        )),
    }
}
