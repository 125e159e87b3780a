//! Repositories and images, from ECR's wire and back.

use std::collections::BTreeMap;

use aws::Error;
use aws::ecr::{
    BatchGetImageResponse, CreateRepositoryRequest, EncryptionConfiguration, EncryptionType, Image,
    ImageDetail, ImageFailure as WireFailure, ImageFailureCode as WireCode, ImageIdentifier,
    ImageScanningConfiguration, ImageStatus, ImageStatusFilter, ImageTagMutability,
    ImageTagMutabilityExclusionFilter, ImageTagMutabilityExclusionFilterType, Layer,
    LayerAvailability, LayerFailure, LayerFailureCode, Repository, Tag, TagStatus as WireTagStatus,
};
use registry::{
    Batch, Digest, ImageDescription, ImageFailure, ImageFailureCode, ImageId, ImageManifest, Page,
    RepositoryDescription, TagMutability, TagStatus,
};

use crate::ecr::invalid;

/// The media type of a layer whose manifest is not asked for.
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// Refuses what a repository can not be made with yet.
pub(crate) fn check_new(request: &CreateRepositoryRequest) -> Result<(), Error> {
    let scan = request.image_scanning_configuration.as_ref();
    if scan.is_some_and(|scan| scan.scan_on_push == Some(true)) {
        return Err(invalid(
            "imageScanningConfiguration: scanning of images is not built yet in Wharf; leave it out.",
        ));
    }
    let encryption = request.encryption_configuration.as_ref();
    if encryption.is_some_and(|e| {
        e.encryption_type.as_ref().is_some_and(|kind| *kind != EncryptionType::Aes256)
            || e.kms_key.as_ref().is_some_and(|key| !key.is_empty())
    }) {
        return Err(invalid(
            "encryptionConfiguration: encryption by KMS is not built yet in Wharf; leave it out.",
        ));
    }
    Ok(())
}

/// Reads a mutability with its exclusion filters.
pub(crate) fn mutability(
    given: Option<&ImageTagMutability>,
    filters: Option<Vec<ImageTagMutabilityExclusionFilter>>,
) -> Result<TagMutability, Error> {
    let except: Vec<String> =
        filters.unwrap_or_default().into_iter().filter_map(|filter| filter.filter).collect();
    let (immutable, excludes) = match given {
        None | Some(ImageTagMutability::Mutable) => (false, false),
        Some(ImageTagMutability::Immutable) => (true, false),
        Some(ImageTagMutability::MutableWithExclusion) => (false, true),
        Some(ImageTagMutability::ImmutableWithExclusion) => (true, true),
        Some(ImageTagMutability::Unrecognized(text)) => {
            return Err(invalid(format!("imageTagMutability: there is no \"{text}\".")));
        }
    };
    if excludes == except.is_empty() {
        return Err(invalid(
            "imageTagMutabilityExclusionFilters: they belong to MUTABLE_WITH_EXCLUSION and \
             IMMUTABLE_WITH_EXCLUSION, which need them.",
        ));
    }
    Ok(TagMutability { immutable, except })
}

/// A mutability with its exclusion filters, as they are shown.
pub(crate) fn show_mutability(
    mutability: TagMutability,
) -> (ImageTagMutability, Option<Vec<ImageTagMutabilityExclusionFilter>>) {
    let kind = match (mutability.immutable, mutability.except.is_empty()) {
        (false, true) => ImageTagMutability::Mutable,
        (true, true) => ImageTagMutability::Immutable,
        (false, false) => ImageTagMutability::MutableWithExclusion,
        (true, false) => ImageTagMutability::ImmutableWithExclusion,
    };
    let filters: Vec<_> = mutability
        .except
        .into_iter()
        .map(|filter| ImageTagMutabilityExclusionFilter {
            filter_type: Some(ImageTagMutabilityExclusionFilterType::Wildcard),
            filter: Some(filter),
        })
        .collect();
    (kind, Some(filters).filter(|filters| !filters.is_empty()))
}

/// A repository as it is shown.
pub(crate) fn repository(repository: RepositoryDescription) -> Repository {
    let (mutability, filters) = show_mutability(repository.mutability);
    Repository {
        repository_arn: Some(repository.arn),
        registry_id: Some(repository.registry_id),
        repository_name: Some(repository.name),
        repository_uri: Some(repository.uri),
        created_at: Some(repository.created_at),
        image_tag_mutability: Some(mutability),
        image_tag_mutability_exclusion_filters: filters,
        image_scanning_configuration: Some(ImageScanningConfiguration {
            scan_on_push: Some(false),
        }),
        encryption_configuration: Some(EncryptionConfiguration {
            encryption_type: Some(EncryptionType::Aes256),
            kms_key: None,
        }),
    }
}

/// Reads which page is wanted.
pub(crate) fn page(max: Option<i32>, token: Option<String>) -> Result<Page, Error> {
    let max = max
        .map(|max| {
            usize::try_from(max).map_err(|_| invalid("maxResults: it must be between 1 and 1000."))
        })
        .transpose()?;
    Ok(Page { max, token: token.filter(|token| !token.is_empty()) })
}

/// Whether only images are wanted that are archived, or on their way back: there are none.
pub(crate) const fn only_archived(filter: Option<&ImageStatusFilter>) -> bool {
    matches!(filter, Some(ImageStatusFilter::Archived | ImageStatusFilter::Activating))
}

/// Which images are wanted.
pub(crate) const fn tag_status(filter: Option<&WireTagStatus>) -> TagStatus {
    match filter {
        Some(WireTagStatus::Tagged) => TagStatus::Tagged,
        Some(WireTagStatus::Untagged) => TagStatus::Untagged,
        Some(WireTagStatus::Any | WireTagStatus::Unrecognized(_)) | None => TagStatus::Any,
    }
}

/// Reads names of images.
pub(crate) fn image_ids(ids: Option<Vec<ImageIdentifier>>) -> Vec<ImageId> {
    ids.unwrap_or_default()
        .into_iter()
        .map(|id| ImageId { digest: id.image_digest, tag: id.image_tag })
        .collect()
}

/// The name of an image as it is shown.
pub(crate) fn image_id(id: ImageId) -> ImageIdentifier {
    ImageIdentifier { image_digest: id.digest, image_tag: id.tag }
}

/// An image as it is shown.
pub(crate) fn image(image: ImageDescription, account: &str, repository: &str) -> ImageDetail {
    ImageDetail {
        registry_id: Some(account.to_owned()),
        repository_name: Some(repository.to_owned()),
        image_digest: Some(image.digest),
        image_tags: Some(image.tags).filter(|tags| !tags.is_empty()),
        image_size_in_bytes: Some(i64::try_from(image.bytes).unwrap_or(i64::MAX)),
        image_pushed_at: Some(image.pushed_at),
        image_manifest_media_type: Some(image.media_type),
        artifact_media_type: image.artifact_media_type,
        subject_manifest_digest: image.subject,
        image_status: Some(ImageStatus::Active),
        ..ImageDetail::default()
    }
}

/// Manifests of a kind that the caller does not take are told as failures.
pub(crate) fn batch_get(
    batch: Batch<ImageManifest>,
    accepted: &[String],
    account: &str,
    repository: &str,
) -> BatchGetImageResponse {
    let mut failures: Vec<WireFailure> = batch.failures.into_iter().map(failure).collect();
    let mut images = Vec::new();
    for manifest in batch.done {
        if !accepted.is_empty() && !accepted.contains(&manifest.media_type) {
            failures.push(WireFailure {
                failure_code: Some(WireCode::ImageNotFound),
                failure_reason: Some(format!(
                    "The image is a {}, which is none of the accepted media types",
                    manifest.media_type
                )),
                image_id: Some(image_id(manifest.id)),
            });
            continue;
        }
        images.push(Image {
            registry_id: Some(account.to_owned()),
            repository_name: Some(repository.to_owned()),
            image_id: Some(image_id(manifest.id)),
            image_manifest: Some(manifest.manifest),
            image_manifest_media_type: Some(manifest.media_type),
        });
    }
    BatchGetImageResponse { images: Some(images), failures: Some(failures) }
}

/// An image of a batch that was passed over.
pub(crate) fn failure(failure: ImageFailure) -> WireFailure {
    let code = match failure.code {
        ImageFailureCode::InvalidDigest => WireCode::InvalidImageDigest,
        ImageFailureCode::InvalidTag => WireCode::InvalidImageTag,
        ImageFailureCode::TagDoesNotMatchDigest => WireCode::ImageTagDoesNotMatchDigest,
        ImageFailureCode::NotFound => WireCode::ImageNotFound,
        ImageFailureCode::MissingDigestAndTag => WireCode::MissingDigestAndTag,
        ImageFailureCode::ReferencedByIndex => WireCode::ImageReferencedByManifestList,
    };
    WireFailure {
        failure_code: Some(code),
        failure_reason: Some(failure.reason),
        image_id: Some(image_id(failure.id)),
    }
}

/// Reads digests of layers; those that are none are told as failures.
pub(crate) fn layer_digests(digests: Vec<String>) -> (Vec<Digest>, Vec<LayerFailure>) {
    let (mut known, mut failures) = (Vec::new(), Vec::new());
    for text in digests {
        match Digest::parse(&text) {
            Some(digest) => known.push(digest),
            None => failures.push(LayerFailure {
                failure_code: Some(LayerFailureCode::InvalidLayerDigest),
                failure_reason: Some("Invalid request parameters: layer digest".to_owned()),
                layer_digest: Some(text),
            }),
        }
    }
    (known, failures)
}

/// A layer, with its size if the repository has it.
pub(crate) fn layer(digest: &Digest, size: Option<u64>) -> Layer {
    Layer {
        layer_digest: Some(digest.to_string()),
        layer_availability: Some(if size.is_some() {
            LayerAvailability::Available
        } else {
            LayerAvailability::Unavailable
        }),
        layer_size: size.map(|size| i64::try_from(size).unwrap_or(i64::MAX)),
        media_type: size.map(|_| LAYER.to_owned()),
    }
}

/// Reads tags; the registry checks them.
pub(crate) fn read_tags(tags: Vec<Tag>) -> BTreeMap<String, String> {
    tags.into_iter()
        .map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default()))
        .collect()
}

/// Tags as they are shown.
pub(crate) fn show_tags(tags: BTreeMap<String, String>) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect()
}
