//! What a task sees at `169.254.170.2`: its metadata (versions 2, 3 and 4), what it uses, its role's
//! credentials, and its protection against scale-in.
//!
//! The worker puts snapshots of its task into the [`Directory`]; the server answers from there. The
//! packet filter brings requests of containers to one listener, with their own source addresses, and
//! requests of the machine's own processes to another.
//!
//! Invariants: a task is answered only what is its own, whoever learns its ids; nothing here changes
//! a task; a slow or hostile client holds up nobody else.

mod answer;
mod directory;
mod documents;
mod limit;
mod listen;
mod meta;
mod protection;
mod route;
mod serve;
mod server;
mod stats;
mod tags;

#[cfg(test)]
mod own_tests;
#[cfg(test)]
mod tests;

pub use self::directory::{ADDRESS, Asker, Directory};
pub use self::meta::{ContainerMeta, LaunchType, Phase, TaskMeta, TaskNetwork, VolumeMeta};
pub use self::serve::EndpointsError;
pub(crate) use self::serve::{Endpoints, Surroundings};
pub(crate) use self::server::Server;
