//! Volumes of plugins: made, mounted and removed by their driver; here stands only whose they are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::places::{names, read_json};
use super::volumes::VOLUMES;
use crate::plugins::Folders;
use crate::{RuntimeError, VolumeSpec};

/// The driver of this engine's own.
pub(super) const LOCAL: &str = "local";

/// Has the plugin make a volume.
pub(super) fn make(spec: &VolumeSpec) -> Result<(), RuntimeError> {
    Folders::default().driver(&spec.driver)?.create(&spec.name, &spec.options)
}

/// Whether the plugin has a volume.
pub(super) fn exists(spec: &VolumeSpec) -> Result<bool, RuntimeError> {
    Folders::default().driver(&spec.driver)?.has(&spec.name)
}

/// Has the plugin remove a volume.
pub(super) fn remove(spec: &VolumeSpec) -> Result<(), RuntimeError> {
    Folders::default().driver(&spec.driver)?.remove(&spec.name)
}

/// Has the plugin mount a volume for a container.
pub(super) fn mount(spec: &VolumeSpec, container: &str) -> Result<PathBuf, RuntimeError> {
    Folders::default().driver(&spec.driver)?.mount(&spec.name, container)
}

/// Tells plugins that a container whose files are in `run` uses their volumes no more. A plugin that
/// does not take it is told of in the log: the container is gone all the same.
pub(super) fn unmount(volumes: &Path, run: &Path) {
    let Some(container) = run.file_name().and_then(|name| name.to_str()) else { return };
    let Ok(text) = fs::read_to_string(run.join(VOLUMES)) else { return };
    for name in text.lines() {
        let record = read_json::<VolumeSpec>(&volumes.join(name).join("volume.json"));
        let Ok(Some(spec)) = record else { continue };
        if spec.driver == LOCAL {
            continue;
        }
        let told = Folders::default().driver(&spec.driver);
        if let Err(error) = told.and_then(|driver| driver.unmount(name, container)) {
            let error = stdx::chain(&error);
            tracing::warn!(volume = name, container, error, "A volume stays mounted.");
        }
    }
}

/// The same for every container of a sandbox whose files are in `run`.
pub(super) fn unmount_all(volumes: &Path, run: &Path) -> io::Result<()> {
    let containers = run.join("c");
    for container in names(&containers)? {
        unmount(volumes, &containers.join(container));
    }
    Ok(())
}
