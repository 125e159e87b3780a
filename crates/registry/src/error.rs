//! What can go wrong with repositories and images, in the terms of ECR's API.

use std::path::{Path, PathBuf};

use crate::digest::Digest;

/// Why an operation on repositories or images was refused or failed.
///
/// Each variant but the last two is an exception of ECR's API (Amazon ECR API Reference, "Errors");
/// its text is what AWS answers.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// `RepositoryNotFoundException`.
    #[error(
        "The repository with name '{name}' does not exist in the registry with id '{registry}'"
    )]
    RepositoryNotFound {
        /// The repository.
        name: String,
        /// The account.
        registry: String,
    },
    /// `RepositoryAlreadyExistsException`.
    #[error(
        "The repository with name '{name}' already exists in the registry with id '{registry}'"
    )]
    RepositoryAlreadyExists {
        /// The repository.
        name: String,
        /// The account.
        registry: String,
    },
    /// `RepositoryNotEmptyException`.
    #[error(
        "The repository with name '{name}' in registry with id '{registry}' cannot be deleted because it still contains images"
    )]
    RepositoryNotEmpty {
        /// The repository.
        name: String,
        /// The account.
        registry: String,
    },
    /// `ImageNotFoundException`.
    #[error(
        "The image with imageId {image} does not exist within the repository with name '{name}' in the registry with id '{registry}'"
    )]
    ImageNotFound {
        /// `{imageDigest:'…', imageTag:'…'}`.
        image: String,
        /// The repository.
        name: String,
        /// The account.
        registry: String,
    },
    /// `InvalidParameterException`.
    #[error("{0}")]
    InvalidParameter(String),
    /// `InvalidParameterException`, for a manifest.
    #[error("Invalid parameter at 'ImageManifest' failed to satisfy constraint: '{0}'")]
    InvalidManifest(String),
    /// `ImageTagAlreadyExistsException`: the repository's tags do not change.
    #[error(
        "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the tag is immutable."
    )]
    ImageTagAlreadyExists {
        /// The tag.
        tag: String,
        /// The repository.
        name: String,
    },
    /// `ImageDigestDoesNotMatchException`.
    #[error("The manifest's digest is {actual}, not {claimed} as the request says")]
    ImageDigestDoesNotMatch {
        /// As the request has it.
        claimed: String,
        /// Of the bytes received.
        actual: Digest,
    },
    /// `LayersNotFoundException`: a manifest refers to blobs that were not pushed.
    #[error(
        "The following layers do not exist in the repository '{name}': {digests}; push them before the manifest"
    )]
    LayersNotFound {
        /// The repository.
        name: String,
        /// The blobs, joined by commas.
        digests: String,
    },
    /// `ReferencedImagesNotFoundException`: an index refers to manifests that were not pushed.
    #[error(
        "The following images do not exist in the repository '{name}': {digests}; push them before the index"
    )]
    ReferencedImagesNotFound {
        /// The repository.
        name: String,
        /// The manifests, joined by commas.
        digests: String,
    },
    /// `InvalidTagParameterException`: a resource tag is not valid.
    #[error("{0}")]
    InvalidTag(String),
    /// `TooManyTagsException`: a resource has too many tags.
    #[error("{0}")]
    TooManyTags(String),
    /// The registry's disk failed or is full. `ServerException`.
    #[error("the registry could not {attempt} {path}")]
    Disk {
        /// Such as "write".
        attempt: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The registry's records could not be read or written. `ServerException`.
    #[error("the registry's records could not be {attempt}")]
    Records {
        /// "opened", "read" or "written".
        attempt: &'static str,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl RegistryError {
    /// For `map_err` on an operation on a file.
    pub(crate) fn disk(attempt: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Disk { attempt, path, source }
    }

    /// For `map_err` on an operation on the records.
    pub(crate) fn records<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        attempt: &'static str,
    ) -> impl Fn(E) -> Self {
        move |source| Self::Records { attempt, source: source.into() }
    }
}
