//! A volume driver and what it is asked.
//! <https://docs.docker.com/engine/extend/plugins_volume/>

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Place, call::call};
use crate::RuntimeError;

/// What a plugin may need to make or mount a volume from afar.
const PATIENCE: Duration = Duration::from_secs(120);

/// A volume driver, for calls that block.
#[derive(Clone, Debug)]
pub(crate) struct Driver {
    name: String,
    place: Place,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Make<'a> {
    name: &'a str,
    opts: &'a BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named<'a> {
    name: &'a str,
}

#[derive(Debug, Serialize)]
struct Used<'a> {
    #[serde(rename = "Name")]
    name: &'a str,
    #[serde(rename = "ID")]
    id: &'a str,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Activated {
    implements: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Mounted {
    mountpoint: String,
}

/// An answer that says no more than that it is done.
#[derive(Debug, Deserialize)]
struct Done {}

/// Whether a plugin is a volume driver.
///
/// # Errors
/// It is none, or does not answer; in words.
pub(super) async fn activate(place: &Place) -> Result<(), String> {
    let answer: Activated = call(place, "/Plugin.Activate", &serde_json::json!({})).await?;
    if answer.implements.iter().any(|what| what == "VolumeDriver") {
        return Ok(());
    }
    Err(format!("it implements {}", answer.implements.join(", ")))
}

impl Driver {
    pub(super) fn new(name: &str, place: Place) -> Self {
        Self { name: name.to_owned(), place }
    }

    /// Makes a volume, unless the driver has one of that name: then the driver keeps that.
    pub(crate) fn create(
        &self,
        volume: &str,
        opts: &BTreeMap<String, String>,
    ) -> Result<(), RuntimeError> {
        if self.has(volume)? {
            return Ok(());
        }
        let place = self.place.clone();
        let question = (volume.to_owned(), opts.clone());
        self.ask("make", volume, async move {
            let (name, opts) = (&question.0, &question.1);
            call::<_, Done>(&place, "/VolumeDriver.Create", &Make { name, opts }).await.map(drop)
        })
    }

    /// Whether it has a volume of that name. What it refuses to tell it does not have.
    pub(crate) fn has(&self, volume: &str) -> Result<bool, RuntimeError> {
        let (place, name) = (self.place.clone(), volume.to_owned());
        self.ask("look for", volume, async move {
            activate(&place).await?;
            let question = Named { name: &name };
            let got = call::<_, serde_json::Value>(&place, "/VolumeDriver.Get", &question);
            Ok(got.await.is_ok())
        })
    }

    /// Mounts a volume for a container: the folder.
    pub(crate) fn mount(&self, volume: &str, container: &str) -> Result<PathBuf, RuntimeError> {
        let (place, name, id) = (self.place.clone(), volume.to_owned(), container.to_owned());
        let folder = self.ask("mount", volume, async move {
            let question = Used { name: &name, id: &id };
            let mounted: Mounted = call(&place, "/VolumeDriver.Mount", &question).await?;
            let folder = PathBuf::from(&mounted.mountpoint);
            if !folder.is_absolute() {
                return Err(format!(
                    "its mountpoint \"{}\" is no absolute path",
                    mounted.mountpoint
                ));
            }
            if !folder.exists() {
                return Err(format!("its mountpoint {} is not there", folder.display()));
            }
            Ok(folder)
        })?;
        Ok(folder)
    }

    /// A container does not use a volume any more.
    pub(crate) fn unmount(&self, volume: &str, container: &str) -> Result<(), RuntimeError> {
        let (place, name, id) = (self.place.clone(), volume.to_owned(), container.to_owned());
        self.ask("unmount", volume, async move {
            let question = Used { name: &name, id: &id };
            call::<_, Done>(&place, "/VolumeDriver.Unmount", &question).await.map(drop)
        })
    }

    /// Removes a volume and what is in it. Gone already is success.
    pub(crate) fn remove(&self, volume: &str) -> Result<(), RuntimeError> {
        if !self.has(volume)? {
            return Ok(());
        }
        let (place, name) = (self.place.clone(), volume.to_owned());
        self.ask("remove", volume, async move {
            call::<_, Done>(&place, "/VolumeDriver.Remove", &Named { name: &name }).await.map(drop)
        })
    }

    /// Asks on a thread of its own, since callers block and some stand outside any runtime.
    fn ask<T: Send + 'static>(
        &self,
        what: &str,
        volume: &str,
        question: impl Future<Output = Result<T, String>> + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let attempt = || format!("{what} volume {volume} by the volume driver \"{}\"", self.name);
        let failed = |source: io::Error| RuntimeError::System { attempt: attempt(), source };
        let asking = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                match tokio::time::timeout(PATIENCE, question).await {
                    Ok(answer) => answer.map_err(io::Error::other),
                    Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
                }
            })
        });
        let asked = asking.join();
        let answer = asked.unwrap_or_else(|_| Err(io::Error::other("the question has died")));
        answer.map_err(failed)
    }
}
