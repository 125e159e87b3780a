//! Buckets and objects, as far as tasks need S3: environment files, the logs of exec sessions,
//! configuration.
//!
//! [`Objects`] keeps records in one redb file and content in files that are named by their SHA-256,
//! each once however many objects have it. An object of several parts lists its parts' files, so
//! completing an upload copies nothing.
//!
//! Invariants: nothing here knows HTTP; names of buckets and keys never become paths; content is
//! complete and synced before a record names it, and a record is gone before its content is; what
//! was acknowledged is on the disk; memory does not grow with the size of objects.

mod buckets;
mod checksum;
mod content;
mod error;
mod incoming;
mod list;
mod name;
mod objects;
mod parts;
mod reader;
mod store;
mod tables;
mod types;

#[cfg(test)]
mod tests;

pub use checksum::{Algorithm, Checksum, ChecksumKind};
pub use error::{Code, ObjectsError};
pub use incoming::{Incoming, Received};
pub use parts::{CompletedPart, MOST_PARTS, PartInfo, UploadInfo};
pub use reader::{Reader, Span};
pub use store::{MOST_BYTES, Objects, ObjectsConfig};
pub use types::{Bucket, Conditions, ListQuery, Listing, Meta, Object};
