//! Specifications of the Container Device Interface, in JSON: what a container gets of a device.
//! <https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md>
//!
//! Device nodes, mounts and variables are done. A device that asks for more, such as hooks, is refused
//! by that name: a container that has half of a device fails later and elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Edits;

/// Where specifications lie; those of the second folder count before those of the first.
const FOLDERS: [&str; 2] = ["etc/cdi", "var/run/cdi"];

/// Mount options that a bind mount of ours comes to by itself or that change nothing in it.
const OPTIONS: &[&str] =
    &["ro", "rw", "bind", "rbind", "private", "rprivate", "nosuid", "nodev", "noexec", "exec"];

/// Why a device can not be had.
#[derive(Debug, thiserror::Error)]
pub enum CdiError {
    /// A file can not be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file is no specification.
    #[error("read {path} as a specification of devices")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// No specification names the device.
    #[error("no specification in /etc/cdi or /var/run/cdi has the device {0}")]
    Unknown(String),
    /// A device asks for what is not built.
    #[error("device {device} asks for {what}, which Wharf does not do; {instead}")]
    NotBuilt {
        /// The device.
        device: String,
        /// The member of its edits.
        what: String,
        /// What to do.
        instead: &'static str,
    },
}

/// The devices of every specification, by their qualified names.
#[derive(Debug, Default)]
pub struct Library {
    devices: BTreeMap<String, (ContainerEdits, ContainerEdits)>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    kind: String,
    devices: Vec<Device>,
    container_edits: ContainerEdits,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Device {
    name: String,
    container_edits: ContainerEdits,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerEdits {
    env: Vec<String>,
    device_nodes: Vec<DeviceNode>,
    mounts: Vec<Mount>,
    hooks: Vec<Hook>,
    #[serde(flatten)]
    more: BTreeMap<String, serde_json::Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeviceNode {
    path: String,
    host_path: String,
    permissions: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Mount {
    host_path: PathBuf,
    container_path: PathBuf,
    options: Vec<String>,
    r#type: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Hook {
    hook_name: String,
    path: String,
}

impl Library {
    /// Reads the specifications below `root`; what can not be read is told, and left out.
    pub fn open(root: &Path) -> (Self, Vec<CdiError>) {
        let (mut library, mut unread) = (Self::default(), Vec::new());
        for folder in FOLDERS {
            let entries = fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
            let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
            paths.sort();
            for path in paths.into_iter().filter(|p| p.extension().is_some_and(|e| e == "json")) {
                match read(&path) {
                    Ok(spec) => library.take(spec),
                    Err(error) => unread.push(error),
                }
            }
        }
        (library, unread)
    }

    fn take(&mut self, spec: Spec) {
        for device in spec.devices {
            let name = format!("{}={}", spec.kind, device.name);
            let edits = (device.container_edits, spec.container_edits.clone());
            self.devices.insert(name, edits);
        }
    }

    /// Whether a specification has the device.
    pub fn has(&self, name: &str) -> bool {
        self.devices.contains_key(name)
    }

    /// What a container with this device (`vendor/class=name`) gets.
    ///
    /// # Errors
    /// There is no such device, or it asks for what is not built.
    pub fn device(&self, name: &str) -> Result<Edits, CdiError> {
        let (own, all) =
            self.devices.get(name).ok_or_else(|| CdiError::Unknown(name.to_owned()))?;
        let mut edits = Edits::default();
        for part in [own, all] {
            edits.add(&part.edits(name)?);
        }
        Ok(edits)
    }
}

fn read(path: &Path) -> Result<Spec, CdiError> {
    let text = fs::read(path).map_err(|source| CdiError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&text)
        .map_err(|source| CdiError::Parse { path: path.to_owned(), source })
}

impl ContainerEdits {
    fn edits(&self, device: &str) -> Result<Edits, CdiError> {
        let not_built =
            |what: String, instead| CdiError::NotBuilt { device: device.to_owned(), what, instead };
        if let Some(hook) = self.hooks.first() {
            return Err(not_built(
                format!("the hook {} ({})", hook.hook_name, hook.path),
                "use --runtime docker with NVIDIA's container toolkit, or a specification without \
                 hooks",
            ));
        }
        if let Some(member) = self.more.keys().next() {
            return Err(not_built(member.clone(), "leave it out of the specification"));
        }
        let mut edits = Edits::default();
        for node in &self.device_nodes {
            let host = if node.host_path.is_empty() { &node.path } else { &node.host_path };
            let rights = if node.permissions.is_empty() { "rwm" } else { &node.permissions };
            edits.devices.push((host.clone(), node.path.clone(), rights.to_owned()));
        }
        for mount in &self.mounts {
            let unknown = mount.options.iter().find(|option| !OPTIONS.contains(&option.as_str()));
            if let Some(option) = unknown {
                return Err(not_built(
                    format!("the mount option {option}"),
                    "leave it out of the specification",
                ));
            }
            if !matches!(mount.r#type.as_str(), "" | "bind") {
                return Err(not_built(
                    format!("a mount of type {}", mount.r#type),
                    "bind a folder of the node",
                ));
            }
            let readonly = mount.options.iter().any(|option| option == "ro");
            edits.mounts.push((mount.host_path.clone(), mount.container_path.clone(), readonly));
        }
        let pair = |line: &String| {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            (name.to_owned(), value.to_owned())
        };
        edits.environment = self.env.iter().map(pair).collect();
        Ok(edits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn library(devices: &Value, edits: &Value) -> Library {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("var/run/cdi");
        fs::create_dir_all(&folder).unwrap();
        let spec = json!({"cdiVersion": "0.6.0", "kind": "acme.com/gpu", "devices": devices,
            "containerEdits": edits});
        fs::write(folder.join("acme.json"), spec.to_string()).unwrap();
        fs::write(folder.join("broken.json"), "{").unwrap();
        fs::write(folder.join("notes.txt"), "{").unwrap();
        let (library, unread) = Library::open(dir.path());
        assert_eq!(unread.len(), 1, "{unread:?}");
        library
    }

    #[test]
    fn a_devices_own_edits_stand_before_those_of_all() {
        let library = library(
            &json!([{"name": "0", "containerEdits": {
                "deviceNodes": [{"path": "/dev/acme0"}, {"path": "/dev/x", "hostPath": "/dev/y",
                    "permissions": "r"}],
                "env": ["ACME=0"]}}]),
            &json!({"deviceNodes": [{"path": "/dev/acmectl"}, {"path": "/dev/acme0"}],
                "mounts": [{"hostPath": "/opt/acme", "containerPath": "/usr/lib/acme",
                    "options": ["ro", "nosuid", "nodev", "rbind", "rprivate"]}]}),
        );
        let edits = library.device("acme.com/gpu=0").unwrap();
        let device = |host: &str, inside: &str, rights: &str| {
            (host.to_owned(), inside.to_owned(), rights.to_owned())
        };
        assert_eq!(
            edits.devices,
            [
                device("/dev/acme0", "/dev/acme0", "rwm"),
                device("/dev/y", "/dev/x", "r"),
                device("/dev/acmectl", "/dev/acmectl", "rwm"),
            ]
        );
        assert_eq!(edits.mounts, [("/opt/acme".into(), "/usr/lib/acme".into(), true)]);
        assert_eq!(edits.environment, [("ACME".to_owned(), "0".to_owned())]);
        assert!(matches!(library.device("acme.com/gpu=1"), Err(CdiError::Unknown(_))));
    }

    #[test]
    fn what_is_not_built_is_refused_by_name() {
        let hook = json!({"hookName": "createContainer", "path": "/usr/bin/nvidia-ctk"});
        for (edits, word) in [
            (json!({"hooks": [hook]}), "createContainer"),
            (json!({"intelRdt": {"closID": "x"}}), "intelRdt"),
            (json!({"additionalGids": [44]}), "additionalGids"),
            (
                json!({"mounts": [{"hostPath": "/a", "containerPath": "/a", "options": ["size=1"]}]}),
                "size=1",
            ),
            (
                json!({"mounts": [{"hostPath": "/a", "containerPath": "/a", "type": "tmpfs"}]}),
                "tmpfs",
            ),
        ] {
            let library = library(&json!([{"name": "0"}]), &edits);
            let error = library.device("acme.com/gpu=0").unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
