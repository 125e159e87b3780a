//! Containers: the [`Runtime`] seam, the embedded engine behind it, images and their layers.
//!
//! A *sandbox* is what a task is to the node: one set of shared namespaces, one cgroup with the
//! task's limits, one supervising shim process. *Containers* start inside a sandbox. This room knows
//! nothing of ECS: words such as "task" and "service" end at its door.
//!
//! Invariants: the process that calls this never forks; a container outlives the caller; whatever
//! was started can be listed again after a restart of the caller and removed without a trace.

mod docker;
mod embedded;
mod engine;
mod fake;
#[cfg(test)]
mod fuzz_tests;
pub mod image;
pub mod log;
mod plugins;
mod seam;
mod shim;
pub mod spec;
mod spec_mounts;
#[cfg(test)]
mod testing;
mod zygote;

pub use docker::{Docker, DockerConfig};
pub use embedded::{Embedded, EmbeddedConfig, Images, UserNamespaces, teardown};
pub use fake::{Fake, Script};
pub use seam::*;
pub use zygote::{ZYGOTE_ARGUMENT, zygote_main};
