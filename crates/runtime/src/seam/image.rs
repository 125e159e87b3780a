//! Images as the seam has them.

use std::fmt::Debug;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;
use tokio::sync::mpsc;

/// An image to make present.
#[derive(Clone, Debug)]
pub struct ImageRequest {
    /// As the user wrote it: `name[:tag][@digest]`, with or without a registry's host.
    pub reference: String,
    /// When to ask the registry.
    pub policy: PullPolicy,
    /// Who asks, if the registry wants to know.
    pub credentials: Option<Credentials>,
    /// Where the registry is really reached, if not under the reference's host: `(host, plain http)`.
    pub endpoint: Option<(String, bool)>,
    /// Who is told how far the pull is; a closed receiver is no error.
    pub progress: Option<mpsc::UnboundedSender<PullProgress>>,
}

/// How far a pull is: sent when a layer begins, about each 100 ms while it comes, and when it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullProgress {
    /// `sha256:…` of the layer.
    pub layer: String,
    /// Bytes received so far.
    pub received: u64,
    /// Its size as the manifest has it.
    pub total: u64,
    /// What is being done with it.
    pub stage: PullStage,
}

/// What happens to a layer during a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullStage {
    /// It was here already.
    Present,
    /// It is being received and unpacked.
    Receiving,
    /// It is on disk, whole.
    Done,
}

/// An image on this node, for clean-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// As [`Image::id`].
    pub id: String,
    /// The names it was pulled by.
    pub references: Vec<String>,
    /// Bytes on disk, layers that others share included.
    pub bytes: u64,
    /// When it was pulled.
    pub pulled_at: Timestamp,
    /// When a container was last started from it, or it was asked for.
    pub used_at: Timestamp,
    /// Whether a container refers to it.
    pub in_use: bool,
}

/// When the registry is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Always; a failure is an error.
    Always,
    /// Always, but an image already present is used when the registry cannot be reached or refuses.
    PreferFresh,
    /// Only if nothing by that name is present.
    IfAbsent,
}

/// A user name and password for a registry.
#[derive(Clone)]
pub struct Credentials {
    /// The user; `AWS` for ECR.
    pub username: String,
    /// The password or token.
    pub password: String,
}

impl Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// An image that is present.
#[derive(Clone, Debug)]
pub struct Image {
    /// `sha256:…` of the manifest for this platform.
    pub digest: String,
    /// `sha256:…` of the configuration: the image's id on this node, what a container refers to.
    pub id: String,
    /// What the image says of how to run it.
    pub config: ImageConfig,
    /// When something was really pulled: its beginning and end.
    pub pulled: Option<(Timestamp, Timestamp)>,
}

/// How an image wants to be run, from its configuration (OCI image-spec, `config`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// Comes before the command.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// `user[:group]`, names or numbers; empty for root.
    pub user: String,
    /// Empty for `/`.
    pub working_dir: String,
    /// Such as `SIGTERM`; empty for that.
    pub stop_signal: String,
}

/// Why an image is not present.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The reference cannot be read.
    #[error("image reference \"{reference}\" cannot be read: {why}")]
    Reference {
        /// As given.
        reference: String,
        /// What is wrong with it.
        why: String,
    },
    /// The registry does not have it.
    #[error("{reference} does not exist on {host}")]
    NotFound {
        /// As given.
        reference: String,
        /// The registry asked.
        host: String,
    },
    /// The registry wants other credentials.
    #[error("{host} refused access to {reference}: {why}")]
    Denied {
        /// As given.
        reference: String,
        /// The registry asked.
        host: String,
        /// The registry's answer.
        why: String,
    },
    /// The registry could not be reached, or failed.
    #[error("{host} could not be asked for {reference}")]
    Unreachable {
        /// As given.
        reference: String,
        /// The registry asked.
        host: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No manifest for this machine.
    #[error("{reference} has no image for {platform}; it has {available}")]
    Platform {
        /// As given.
        reference: String,
        /// This machine.
        platform: String,
        /// What the index lists.
        available: String,
    },
    /// What was received is not a valid image.
    #[error("{reference} is not a valid image: {why}")]
    Invalid {
        /// As given.
        reference: String,
        /// What is wrong.
        why: String,
    },
    /// The node could not store it.
    #[error("{reference} could not be stored at {path}")]
    Store {
        /// As given.
        reference: String,
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
}
