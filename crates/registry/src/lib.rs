//! A container registry: OCI distribution over HTTP, content on the disk, and ECR's facts about it.
//!
//! [`Registry`] holds repositories, their images, tags and blobs: all records in memory and in one
//! redb file, all content in files named after their digests. [`router`] is its OCI face
//! (distribution-spec 1.1); the methods of [`Registry`] are ECR's operations without their wire.
//!
//! Invariants: what was acknowledged is on the disk; a file has its name only when it is complete;
//! no request holds more than a few megabytes in memory; a blob is pulled only through a repository
//! it was pushed or mounted to.

mod content;
mod database;
mod digest;
mod error;
mod http;
mod image;
mod manifest;
mod name;
mod page;
mod push;
mod registry;
mod repository;
mod state;
mod upload;

pub use digest::Digest;
pub use error::RegistryError;
pub use http::{Authorizer, router};
pub use image::{
    Batch, ImageDescription, ImageFailure, ImageFailureCode, ImageId, ImageManifest, TagStatus,
};
pub use page::{Page, Paged};
pub use push::{Pushed, Reference};
pub use registry::{Collected, Registry, RegistryConfig};
pub use repository::{NewRepository, RepositoryDescription};
pub use state::TagMutability;
