//! Docker's volume plugins, for an engine that is not Docker: where they are and what they are asked.
//!
//! A plugin is a server that something else on the node runs. It is found as Docker finds it: by a
//! socket in `/run/docker/plugins`, or by a file with its address in `/etc/docker/plugins` or
//! `/usr/lib/docker/plugins`. Plugins that Docker installs from a registry live inside Docker Engine
//! and are that engine's alone.
//! <https://docs.docker.com/engine/extend/plugin_api/>

mod call;
mod driver;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use self::driver::Driver;
use crate::RuntimeError;

/// A plugin that does not say within this time what it is, is none.
const GREETING: Duration = Duration::from_secs(2);

/// Where a plugin listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A socket of this node.
    Socket(PathBuf),
    /// A port, by TCP without TLS: host and port.
    Tcp(String),
}

/// Where plugins are looked for.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    sockets: PathBuf,
    specs: Vec<PathBuf>,
}

impl Default for Folders {
    /// As Docker has them.
    fn default() -> Self {
        Self {
            sockets: "/run/docker/plugins".into(),
            specs: vec!["/etc/docker/plugins".into(), "/usr/lib/docker/plugins".into()],
        }
    }
}

/// Reads the address in a `.spec` file: `unix:///path`, `tcp://host:port` or `http://host:port`.
fn address(text: &str) -> Result<Place, String> {
    let text = text.trim();
    let refused = |why: &str| Err(format!("the address \"{text}\" {why}"));
    match text.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => Ok(Place::Socket(path.into())),
        Some(("tcp" | "http", rest)) if !rest.is_empty() => {
            Ok(Place::Tcp(rest.trim_end_matches('/').to_owned()))
        }
        Some(("https", _)) => {
            refused("wants TLS, which is not built for plugins; give it a socket")
        }
        _ => refused("is not unix:///path or tcp://host:port"),
    }
}

/// Reads a `.json` file, whose address is its member `Addr`.
fn described(text: &str) -> Result<Place, String> {
    let document: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    if document.get("TLSConfig").is_some_and(|tls| !tls.is_null()) {
        return Err("TLSConfig is not built for plugins; give it a socket".to_owned());
    }
    address(document.get("Addr").and_then(serde_json::Value::as_str).unwrap_or_default())
}

/// Whether a name can be that of a plugin outside Docker Engine.
fn plain(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(letter)
}

impl Folders {
    /// Where the plugin of that name listens; none if there is none.
    ///
    /// # Errors
    /// Its file cannot be understood.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Place>, String> {
        if !plain(name) {
            return Ok(None);
        }
        let file = format!("{name}.sock");
        for socket in [self.sockets.join(&file), self.sockets.join(name).join(&file)] {
            if is_socket(&socket) {
                return Ok(Some(Place::Socket(socket)));
            }
        }
        for folder in self.specs.iter().flat_map(|folder| [folder.clone(), folder.join(name)]) {
            for (ending, read) in [("spec", address as fn(&str) -> _), ("json", described)] {
                let path = folder.join(format!("{name}.{ending}"));
                if let Ok(text) = std::fs::read_to_string(&path) {
                    let place = read(&text).map_err(|why| format!("{}: {why}", path.display()))?;
                    return Ok(Some(place));
                }
            }
        }
        Ok(None)
    }

    /// The names of what is there, whatever it is.
    fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for folder in std::iter::once(&self.sockets).chain(&self.specs) {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                let ending = path.extension().and_then(|ending| ending.to_str());
                let name = match ending {
                    Some("sock" | "spec" | "json") => path.file_stem(),
                    _ if path.is_dir() => path.file_name(),
                    _ => None,
                };
                names.extend(name.and_then(|name| name.to_str()).map(str::to_owned));
            }
        }
        names
    }

    /// The volume drivers that answer, by name.
    pub(crate) async fn drivers(&self) -> Vec<String> {
        let mut found = Vec::new();
        for name in self.names() {
            let Ok(Some(place)) = self.find(&name) else { continue };
            match tokio::time::timeout(GREETING, driver::activate(&place)).await {
                Ok(Ok(())) => found.push(name),
                Ok(Err(why)) => tracing::info!(plugin = name, why, "It is no volume driver."),
                Err(_) => tracing::info!(plugin = name, "It does not answer."),
            }
        }
        found
    }

    /// The volume driver of that name, for calls that block.
    ///
    /// # Errors
    /// There is none, or it cannot be understood where it is.
    pub(crate) fn driver(&self, name: &str) -> Result<Driver, RuntimeError> {
        let absent = |why: String| RuntimeError::Unsupported {
            what: format!("use the volume driver \"{name}\""),
            why,
        };
        match self.find(name) {
            Ok(Some(place)) => Ok(Driver::new(name, place)),
            Ok(None) => Err(absent(format!(
                "it has no plugin of that name ({}, {} and {} were looked at). Start the plugin and \
                 restart the agent, or run the node with Docker Engine by --runtime docker",
                self.sockets.display(),
                self.specs.first().map_or(Path::new(""), PathBuf::as_path).display(),
                self.specs.last().map_or(Path::new(""), PathBuf::as_path).display(),
            ))),
            Err(why) => Err(absent(why)),
        }
    }
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// The volume drivers of this node that answer, by name; `local` is not among them.
pub(crate) async fn volume_drivers() -> Vec<String> {
    Folders::default().drivers().await
}
