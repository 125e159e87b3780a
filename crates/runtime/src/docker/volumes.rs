//! Volumes of the Engine.

use std::collections::{BTreeSet, HashMap};

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{ListVolumesOptions, RemoveVolumeOptions};

use super::Inner;
use super::fault::{said, status};
use crate::{ContainerSpec, Mount, RuntimeError, VolumeSpec};

/// The label of a volume that goes with its task.
const OWN: &str = "wharf.scope=task";

/// Whether two names are those of one driver: a plugin's tag may be left out if it is `latest`.
fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches(":latest") == other.trim_end_matches(":latest")
}

impl Inner {
    /// The drivers that the Engine has, and those that wait for their first use: it finds them where
    /// the embedded engine does.
    pub(crate) async fn volume_drivers(&self) -> Vec<String> {
        let info = self.engine.info().await.ok();
        let known = info.and_then(|info| info.plugins).and_then(|plugins| plugins.volume);
        let mut all: BTreeSet<String> = known.unwrap_or_default().into_iter().collect();
        all.extend(crate::plugins::volume_drivers().await);
        all.remove("local");
        all.into_iter().collect()
    }

    /// Makes a volume; one that exists with the same driver and options is success.
    pub(crate) async fn make_volume(&self, spec: &VolumeSpec) -> Result<(), RuntimeError> {
        let options: HashMap<String, String> =
            spec.options.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        match self.engine.inspect_volume(&spec.name).await {
            Ok(found) if same(&found.driver, &spec.driver) && found.options == options => {
                return Ok(());
            }
            Ok(found) => {
                let why = format!(
                    "a volume of that name exists with driver {} and other options; give the \
                     volume another name, or remove that one",
                    found.driver
                );
                return Err(RuntimeError::Invalid { id: spec.name.clone(), why });
            }
            Err(error) if status(&error) == Some(404) => {}
            Err(error) => return Err(self.failed(format!("look at volume {}", spec.name), &error)),
        }
        let request = VolumeCreateRequest {
            name: Some(spec.name.clone()),
            driver: Some(spec.driver.clone()),
            driver_opts: Some(options),
            labels: Some(self.names.of_volume(&spec.labels)),
            cluster_volume_spec: None,
        };
        match self.engine.create_volume(request).await {
            Ok(_) => Ok(()),
            Err(error) if status(&error).is_some() => {
                Err(RuntimeError::Invalid { id: spec.name.clone(), why: said(&error) })
            }
            Err(error) => Err(self.failed(format!("make volume {}", spec.name), &error)),
        }
    }

    /// Removes a volume. Gone already is success.
    pub(crate) async fn unmake_volume(&self, name: &str) -> Result<(), RuntimeError> {
        match self.engine.remove_volume(name, None::<RemoveVolumeOptions>).await {
            Ok(()) => Ok(()),
            Err(error) => match status(&error) {
                Some(404) => Ok(()),
                Some(409) => Err(RuntimeError::Invalid { id: name.to_owned(), why: said(&error) }),
                _ => Err(self.failed(format!("remove volume {name}"), &error)),
            },
        }
    }

    /// Removes the volumes that were made for one task each.
    pub(crate) async fn clear_volumes(&self) -> Result<(), RuntimeError> {
        let mut filters = self.names.filter(None);
        filters.entry("label".to_owned()).or_default().push(OWN.to_owned());
        let options = ListVolumesOptions { filters: Some(filters) };
        let listed = self.engine.list_volumes(Some(options)).await;
        let listed = listed.map_err(|error| self.failed("list volumes", &error))?;
        let mut result = Ok(());
        for volume in listed.volumes.unwrap_or_default() {
            result = result.and(self.unmake_volume(&volume.name).await);
        }
        result
    }

    /// Every volume that a container mounts must be there: the Engine would make one unasked.
    pub(crate) async fn check_volumes(&self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        for mount in &spec.mounts {
            let Mount::Volume { name, .. } = mount else { continue };
            match self.engine.inspect_volume(name).await {
                Ok(_) => {}
                Err(error) if status(&error) == Some(404) => {
                    return Err(RuntimeError::NotFound { what: "volume", id: name.clone() });
                }
                Err(error) => return Err(self.failed(format!("look at volume {name}"), &error)),
            }
        }
        Ok(())
    }
}
