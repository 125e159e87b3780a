//! Where a task's volumes are: on the host, with the runtime, on a file server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws::ecs;
use runtime::VolumeSpec;

use super::{FileSystem, NodeFacts, Refusal};
use crate::order::Order;

/// A volume that the runtime makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumePlan {
    /// What to make.
    pub spec: VolumeSpec,
    /// Whether it goes with the task.
    pub own: bool,
    /// Whether it is made if it does not exist; otherwise it must.
    pub make: bool,
}

/// Where a volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A folder or file of the host.
    Host(PathBuf),
    /// The runtime's, under this name.
    Runtime(String),
}

/// Where each volume of a task is.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    pub(super) places: BTreeMap<String, Place>,
    /// Folders that live as long as the task.
    pub(super) folders: Vec<PathBuf>,
    /// Those of the runtime.
    pub(super) made: Vec<VolumePlan>,
}

/// Where each volume of a task is; folders of its own lie under `root`.
pub(super) fn volumes(order: &Order, root: &Path, node: &NodeFacts) -> Result<Volumes, Refusal> {
    let mut found = Volumes::default();
    for volume in &order.volumes {
        let name = volume.name.as_deref().unwrap_or_default();
        refuse(name, volume)?;
        let place = if let Some(docker) = &volume.docker_volume_configuration {
            let plan = docker_volume(order, name, docker)?;
            let place = Place::Runtime(plan.spec.name.clone());
            found.made.push(plan);
            place
        } else if let Some(efs) = &volume.efs_volume_configuration {
            let plan = file_system(order, name, efs, &node.file_systems)?;
            let place = Place::Runtime(plan.spec.name.clone());
            found.made.push(plan);
            place
        } else {
            host(name, volume, root, &mut found.folders)?
        };
        if found.places.insert(name.to_owned(), place).is_some() {
            return Err(Refusal::new(format!("volume {name}: name"), "given twice"));
        }
    }
    Ok(found)
}

fn refuse(name: &str, volume: &ecs::Volume) -> Result<(), Refusal> {
    let asked = [
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

/// `host.sourcePath`, or a folder that lives with the task.
fn host(
    name: &str,
    volume: &ecs::Volume,
    root: &Path,
    folders: &mut Vec<PathBuf>,
) -> Result<Place, Refusal> {
    let source = volume.host.as_ref().and_then(|host| host.source_path.as_deref());
    match source.filter(|path| !path.is_empty()) {
        Some(path) if path.starts_with('/') => Ok(Place::Host(PathBuf::from(path))),
        Some(path) => {
            let why = format!("\"{path}\" is not an absolute path");
            Err(Refusal::new(format!("volume {name}: host.sourcePath"), why))
        }
        None => {
            if name.is_empty() || name == "." || name == ".." || name.contains('/') {
                let why = format!("\"{name}\" cannot be a folder's name");
                return Err(Refusal::new("volumes.name", why));
            }
            let path = root.join(name);
            folders.push(path.clone());
            Ok(Place::Host(path))
        }
    }
}

/// `dockerVolumeConfiguration`. A volume of scope `shared` keeps its name; one of scope `task` gets
/// one that no other task has.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DockerVolumeConfiguration.html>
fn docker_volume(
    order: &Order,
    name: &str,
    docker: &ecs::DockerVolumeConfiguration,
) -> Result<VolumePlan, Refusal> {
    let own = match &docker.scope {
        None | Some(ecs::Scope::Task) => true,
        Some(ecs::Scope::Shared) => false,
        Some(other) => {
            let member = format!("volume {name}: dockerVolumeConfiguration.scope");
            return Err(Refusal::new(member, format!("\"{other}\" is neither task nor shared")));
        }
    };
    let driver = docker.driver.clone().filter(|driver| !driver.is_empty());
    Ok(VolumePlan {
        spec: VolumeSpec {
            name: if own { own_name(order, name) } else { name.to_owned() },
            driver: driver.unwrap_or_else(|| "local".to_owned()),
            options: docker.driver_opts.clone().unwrap_or_default(),
            labels: labels(docker.labels.clone().unwrap_or_default(), own),
        },
        own,
        make: own || docker.autoprovision == Some(true),
    })
}

/// The volume's labels, among them the one by which `wharf down` knows a task's own.
fn labels(mut labels: BTreeMap<String, String>, own: bool) -> BTreeMap<String, String> {
    if own {
        labels.insert("wharf.scope".to_owned(), "task".to_owned());
    }
    labels
}

/// As the ECS agent makes a name of its own for one task's volume.
fn own_name(order: &Order, name: &str) -> String {
    format!("ecs-{}-{}-{name}-{}", order.family, order.version, order.task_id())
}

/// `efsVolumeConfiguration`, by NFS.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EFSVolumeConfiguration.html>
fn file_system(
    order: &Order,
    name: &str,
    efs: &ecs::EFSVolumeConfiguration,
    known: &BTreeMap<String, FileSystem>,
) -> Result<VolumePlan, Refusal> {
    let member = |rest: &str| format!("volume {name}: efsVolumeConfiguration.{rest}");
    let id = efs.file_system_id.as_deref().unwrap_or_default();
    let Some(system) = known.get(id) else {
        let why = format!(
            "this node does not know where {id} is; start its agent with --efs {id}=HOST[:/PATH]"
        );
        return Err(Refusal::new(member("fileSystemId"), why));
    };
    if efs.transit_encryption == Some(ecs::EFSTransitEncryption::Enabled) {
        let why = "file systems are mounted by plain NFS here, which does not encrypt";
        return Err(Refusal::new(member("transitEncryption ENABLED"), why));
    }
    if let Some(access) = &efs.authorization_config {
        if access.access_point_id.as_ref().is_some_and(|id| !id.is_empty()) {
            let why = "plain NFS has no access points; name the folder by rootDirectory";
            return Err(Refusal::new(member("authorizationConfig.accessPointId"), why));
        }
        if access.iam == Some(ecs::EFSAuthorizationConfigIAM::Enabled) {
            let why = "plain NFS does not ask for a role";
            return Err(Refusal::new(member("authorizationConfig.iam ENABLED"), why));
        }
    }
    let root = efs.root_directory.as_deref().unwrap_or("/").trim_matches('/');
    let base = system.path.trim_end_matches('/');
    let device = if root.is_empty() && base.is_empty() {
        ":/".to_owned()
    } else if root.is_empty() {
        format!(":{base}")
    } else {
        format!(":{base}/{root}")
    };
    // What EFS advises for a mount without its helper.
    let mount = format!(
        "addr={},nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport",
        system.host
    );
    let options = [("type", "nfs4".to_owned()), ("device", device), ("o", mount)];
    Ok(VolumePlan {
        spec: VolumeSpec {
            name: own_name(order, name),
            driver: "local".to_owned(),
            options: options.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
            labels: labels(BTreeMap::new(), true),
        },
        own: true,
        make: true,
    })
}
