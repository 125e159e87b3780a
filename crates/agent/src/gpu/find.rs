//! Finding the GPUs of NVIDIA's driver, from what it tells below `/proc`.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Edits, Gpu, Gpus, Library, is_device};

/// Devices that every container with a GPU of NVIDIA's needs, where they are.
const CONTROL: [&str; 4] = ["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset"];

/// The kind under which NVIDIA's toolkit writes its devices.
const KIND: &str = "nvidia.com/gpu";

/// The GPUs of NVIDIA's driver on a machine whose files are below `root`. What the Container Device
/// Interface says of one comes before its bare device nodes, since that brings the driver's libraries.
pub fn nvidia(root: &Path, library: &Library) -> Gpus {
    let mut found: Vec<(u32, Gpu)> = Vec::new();
    let folder = root.join("proc/driver/nvidia/gpus");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(text) = fs::read_to_string(entry.path().join("information")) else { continue };
        let Some((id, minor)) = about(&text) else {
            tracing::warn!(
                gpu = %entry.path().display(),
                "NVIDIA's driver does not tell a GPU's UUID yet (run nvidia-smi once, or name the GPU \
                 by --gpu); it is not offered."
            );
            continue;
        };
        let edits = edits(root, library, &id, minor);
        found.push((minor, Gpu { id, edits }));
    }
    found.sort_by_key(|(minor, _)| *minor);
    let driver = fs::read_to_string(root.join("proc/driver/nvidia/version")).ok();
    Gpus {
        all: found.into_iter().map(|(_, gpu)| gpu).collect(),
        driver: driver.as_deref().and_then(version),
        by_runtime: false,
    }
}

/// `GPU UUID` and `Device Minor` of a driver's `information`; a UUID of question marks is not known yet.
fn about(text: &str) -> Option<(String, u32)> {
    let value = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    };
    let id = value("GPU UUID").filter(|id| id.starts_with("GPU-") && !id.contains('?'))?;
    Some((id.to_owned(), value("Device Minor")?.parse().ok()?))
}

/// The version in `NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  …`.
fn version(text: &str) -> Option<String> {
    let number = |word: &&str| {
        let mut parts = word.split('.');
        word.contains('.') && parts.all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
    };
    text.lines().next()?.split_whitespace().find(number).map(str::to_owned)
}

fn edits(root: &Path, library: &Library, id: &str, minor: u32) -> Edits {
    for name in [format!("{KIND}={id}"), format!("{KIND}={minor}")] {
        match library.device(&name) {
            Ok(edits) => return edits,
            Err(error) if library.has(&name) => {
                let error = stdx::chain(&error);
                tracing::warn!(gpu = id, error, "A GPU is passed by its device nodes alone.");
            }
            Err(_) => {}
        }
    }
    let mut edits = Edits::default();
    let own = [format!("nvidia{minor}")];
    for name in own.iter().map(String::as_str).chain(CONTROL) {
        if is_device(&root.join("dev").join(name)) {
            edits.device(&PathBuf::from("/dev").join(name));
        }
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_drivers_gpus_are_told_in_the_order_of_their_devices() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let told = |id: &str, minor: u32| {
            format!(
                "Model: \t\t Tesla T4\nGPU UUID: \t {id}\nDevice Minor: \t {minor}\nGPU Excluded:\t No\n"
            )
        };
        let gpus = "proc/driver/nvidia/gpus";
        put(root, &format!("{gpus}/0000:00:1f.0/information"), &told("GPU-bb-1", 1));
        put(root, &format!("{gpus}/0000:00:1e.0/information"), &told("GPU-aa-0", 0));
        put(root, &format!("{gpus}/0000:00:20.0/information"), &told("GPU-????", 2));
        put(
            root,
            "proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version: 12.2.0\n",
        );
        put(
            root,
            "etc/cdi/nvidia.json",
            r#"{"cdiVersion":"0.6.0","kind":"nvidia.com/gpu","devices":[{"name":"1","containerEdits":
                {"deviceNodes":[{"path":"/dev/nvidia1","hostPath":"/dev/null"}]}}]}"#,
        );
        let (library, unread) = Library::open(root);
        assert!(unread.is_empty(), "{unread:?}");
        let found = nvidia(root, &library);
        let ids: Vec<&str> = found.all.iter().map(|gpu| gpu.id.as_str()).collect();
        assert_eq!(ids, ["GPU-aa-0", "GPU-bb-1"]);
        assert_eq!(found.driver.as_deref(), Some("550.54.15"));
        assert!(found.all[0].edits.devices.is_empty(), "the test's machine has no such device");
        let (host, inside, _) = &found.all[1].edits.devices[0];
        assert_eq!((host.as_str(), inside.as_str()), ("/dev/null", "/dev/nvidia1"));
    }
}
