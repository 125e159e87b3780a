//! Mount points: volumes of the host, of the task, of other containers, and memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws::ecs;
use runtime::Mount;

use super::Refusal;
use crate::order::Order;

/// Where each volume of a task lies on the host.
#[derive(Debug)]
pub(super) struct Volumes {
    paths: BTreeMap<String, PathBuf>,
    /// Those that live as long as the task.
    pub(super) own: Vec<PathBuf>,
}

/// Where each volume lies: `host.sourcePath`, or a folder under `root` that lives with the task.
pub(super) fn volumes(order: &Order, root: &Path) -> Result<Volumes, Refusal> {
    let mut paths = BTreeMap::new();
    let mut own = Vec::new();
    for volume in &order.volumes {
        let name = volume.name.clone().unwrap_or_default();
        let source = volume.host.as_ref().and_then(|host| host.source_path.as_deref());
        let path = match source.filter(|path| !path.is_empty()) {
            Some(path) if path.starts_with('/') => PathBuf::from(path),
            Some(path) => {
                let why = format!("\"{path}\" is not an absolute path");
                return Err(Refusal::new(format!("volume {name}: host.sourcePath"), why));
            }
            None => {
                if name.is_empty() || name == "." || name == ".." || name.contains('/') {
                    let why = format!("\"{name}\" cannot be a folder's name");
                    return Err(Refusal::new("volumes.name", why));
                }
                let path = root.join(&name);
                own.push(path.clone());
                path
            }
        };
        paths.insert(name, path);
    }
    Ok(Volumes { paths, own })
}

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
        let Some(source) = volumes.paths.get(volume) else {
            let why = format!("the task has no volume \"{volume}\"");
            return Err(Refusal::new(format!("container {name}: mountPoints.sourceVolume"), why));
        };
        found.push(Mount::Bind {
            source: source.clone(),
            target: absolute(name, "mountPoints.containerPath", point.container_path.as_deref())?,
            readonly: point.read_only == Some(true),
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
            if let Mount::Bind { readonly, .. } = &mut mount {
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
