//! The GPUs of a node: which there are, and what a container gets of one.
//!
//! A GPU is an id and what it stands for: device nodes, and what the specifications of the Container
//! Device Interface say beside them. They are found from NVIDIA's driver or named one by one, so that
//! any accelerator can be offered. Which task gets which is the server's to say.

mod cdi;
mod find;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::cdi::{CdiError, Library};
pub use self::find::nvidia;

/// The GPUs that a node offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gpus {
    /// Each, in the order in which it was named or found.
    pub all: Vec<Gpu>,
    /// The version of NVIDIA's driver, where it is there.
    pub driver: Option<String>,
    /// Whether the container runtime passes GPUs by their ids itself.
    pub by_runtime: bool,
}

/// A GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gpu {
    /// What it is known by: `GPU-` and a UUID for NVIDIA's.
    pub id: String,
    /// What a container that has it gets.
    pub edits: Edits,
}

/// What is done to a container for a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edits {
    /// `(host path, container path, "rwm")`.
    pub devices: Vec<(String, String, String)>,
    /// `(host path, container path, read-only)`.
    pub mounts: Vec<(PathBuf, PathBuf, bool)>,
    /// `(name, value)`.
    pub environment: Vec<(String, String)>,
}

impl Edits {
    /// A device under its own path.
    fn device(&mut self, path: &Path) {
        let path = path.display().to_string();
        self.devices.push((path.clone(), path, "rwm".to_owned()));
    }

    /// Adds another's, each once.
    pub(crate) fn add(&mut self, other: &Self) {
        fn each<T: Clone + PartialEq>(into: &mut Vec<T>, from: &[T]) {
            for one in from {
                if !into.contains(one) {
                    into.push(one.clone());
                }
            }
        }
        each(&mut self.devices, &other.devices);
        each(&mut self.mounts, &other.mounts);
        each(&mut self.environment, &other.environment);
    }
}

/// A GPU that was named: `ID=/dev/path[,/dev/path…]`, or `ID=vendor/class=name` for a device of the
/// Container Device Interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What it will be known by.
    pub id: String,
    /// What it is.
    pub is: NamedAs,
}

/// What a named GPU is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedAs {
    /// Device nodes.
    Devices(Vec<PathBuf>),
    /// A device by its qualified name.
    Cdi(String),
}

impl std::str::FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is not a GPU, such as gpu0=/dev/dri/renderD128 (several devices with \
                 commas) or gpu0=nvidia.com/gpu=0"
            )
        };
        let (id, what) = text.split_once('=').ok_or_else(wrong)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if id.is_empty() || id.len() > 128 || !id.chars().all(plain) {
            return Err(wrong());
        }
        let is = if what.starts_with('/') {
            let paths: Vec<PathBuf> = what.split(',').map(PathBuf::from).collect();
            if paths.iter().any(|path| !path.is_absolute()) {
                return Err(wrong());
            }
            NamedAs::Devices(paths)
        } else if what.contains('/') && what.contains('=') {
            NamedAs::Cdi(what.to_owned())
        } else {
            return Err(wrong());
        };
        Ok(Self { id: id.to_owned(), is })
    }
}

/// The GPUs that were named, or without any the ones of NVIDIA's driver.
///
/// # Errors
/// A device that was named is not there or is given twice, in words.
pub fn gpus(named: &[Named], root: &Path) -> Result<Gpus, String> {
    let (library, unread) = Library::open(root);
    for error in &unread {
        let error = stdx::chain(error);
        tracing::warn!(error, "A specification of devices (CDI) is left out.");
    }
    let mut found = nvidia(root, &library);
    if named.is_empty() {
        return Ok(found);
    }
    found.all = named.iter().map(|one| offered(one, &library)).collect::<Result<_, _>>()?;
    for (at, gpu) in found.all.iter().enumerate() {
        if found.all.iter().take(at).any(|other| other.id == gpu.id) {
            return Err(format!("GPU {} is given twice", gpu.id));
        }
    }
    Ok(found)
}

fn offered(named: &Named, library: &Library) -> Result<Gpu, String> {
    let id = named.id.clone();
    let edits = match &named.is {
        NamedAs::Cdi(name) => {
            library.device(name).map_err(|error| format!("GPU {id}: {}", stdx::chain(&error)))?
        }
        NamedAs::Devices(paths) => {
            let mut edits = Edits::default();
            for path in paths {
                if !is_device(path) {
                    return Err(format!(
                        "GPU {id}: {} is not a device of this node",
                        path.display()
                    ));
                }
                edits.device(path);
            }
            edits
        }
    };
    Ok(Gpu { id, edits })
}

/// Whether there is a device node at a path.
fn is_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|found| {
        found.file_type().is_char_device() || found.file_type().is_block_device()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_named_by_devices_or_by_cdi() {
        let read = |text: &str| text.parse::<Named>();
        let two = read("gpu0=/dev/null,/dev/zero").unwrap();
        assert_eq!(two.is, NamedAs::Devices(vec!["/dev/null".into(), "/dev/zero".into()]));
        let cdi = read("GPU-1=nvidia.com/gpu=0").unwrap();
        assert_eq!((cdi.id.as_str(), cdi.is), ("GPU-1", NamedAs::Cdi("nvidia.com/gpu=0".into())));
        for text in ["", "gpu0", "=/dev/null", "gpu0=dev/null", "gpu 0=/dev/null", "a=/dev/x,y"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_named_must_be_there_once() {
        let empty = tempfile::tempdir().unwrap();
        let offer = |texts: &[&str]| {
            let named: Vec<Named> = texts.iter().map(|text| text.parse().unwrap()).collect();
            gpus(&named, empty.path())
        };
        let found = offer(&["a=/dev/null,/dev/zero", "b=/dev/null"]).unwrap();
        assert_eq!(found.all.len(), 2);
        let null = ("/dev/null".to_owned(), "/dev/null".to_owned(), "rwm".to_owned());
        assert_eq!(found.all[1].edits.devices, [null]);
        assert!(offer(&["a=/dev/null", "a=/dev/zero"]).unwrap_err().contains("twice"));
        assert!(offer(&["a=/etc/passwd"]).unwrap_err().contains("not a device"));
        assert!(offer(&["a=nvidia.com/gpu=7"]).unwrap_err().contains("nvidia.com/gpu=7"));
        assert!(offer(&[]).unwrap().all.is_empty());
    }
}
