//! What a task sees at `169.254.170.2`: its metadata (versions 2, 3 and 4), what it uses, its role's
//! credentials, and its protection against scale-in.
//!
//! The worker puts snapshots of its task into the [`Directory`]; the server answers from there. The
//! packet filter brings requests of containers to one listener, with their own source addresses, and
//! requests of the machine's own processes to another.
//!
//! Invariants: a task is answered only what is its own, whoever learns its ids; nothing here changes
//! a task; a slow or hostile client holds up nobody else.

mod directory;
mod meta;
mod server;

pub use self::directory::{ADDRESS, Asker, Directory};
pub use self::meta::{ContainerMeta, LaunchType, Phase, TaskMeta, TaskNetwork, VolumeMeta};
pub use self::server::{AsRole, Server, ServerClient};
