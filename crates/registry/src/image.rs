//! Images as ECR's API knows them (Amazon ECR API Reference).

use std::sync::Arc;

use stdx::Timestamp;

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::name;
use crate::page::{self, Page, Paged};
use crate::registry::Registry;
use crate::state::{Change, ImageRecord, Repository, State};

/// How a request names an image: `imageDigest`, `imageTag`, or both, which must agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageId {
    /// `sha256:…`.
    pub digest: Option<String>,
    /// A tag.
    pub tag: Option<String>,
}

impl std::fmt::Display for ImageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |part: &Option<String>| part.clone().unwrap_or_else(|| "null".to_owned());
        write!(f, "{{imageDigest:'{}', imageTag:'{}'}}", text(&self.digest), text(&self.tag))
    }
}

/// Which images are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagStatus {
    /// All.
    #[default]
    Any,
    /// Those with a tag.
    Tagged,
    /// Those without.
    Untagged,
}

impl TagStatus {
    const fn allows(self, tagged: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Tagged => tagged,
            Self::Untagged => !tagged,
        }
    }
}

/// An image as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageDescription {
    /// `imageDigest`.
    pub digest: String,
    /// `imageTags`, sorted.
    pub tags: Vec<String>,
    /// `imageSizeInBytes`: its layers as they are sent, compressed.
    pub bytes: u64,
    /// `imagePushedAt`.
    pub pushed_at: Timestamp,
    /// `imageManifestMediaType`.
    pub media_type: String,
    /// `artifactMediaType`: the configuration's, or the kind of artifact.
    pub artifact_media_type: Option<String>,
    /// `subjectManifestDigest`.
    pub subject: Option<String>,
}

/// An image's manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageManifest {
    /// Digest, and the tag if it was asked for by that.
    pub id: ImageId,
    /// The manifest as it was pushed.
    pub manifest: String,
    /// Its media type.
    pub media_type: String,
}

/// Why one image of a batch was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFailureCode {
    /// `InvalidImageDigest`.
    InvalidDigest,
    /// `InvalidImageTag`.
    InvalidTag,
    /// `ImageTagDoesNotMatchDigest`.
    TagDoesNotMatchDigest,
    /// `ImageNotFound`.
    NotFound,
    /// `MissingDigestAndTag`.
    MissingDigestAndTag,
    /// `ImageReferencedByManifestList`.
    ReferencedByIndex,
}

/// One image of a batch that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFailure {
    /// As it was asked for.
    pub id: ImageId,
    /// Why, as a code.
    pub code: ImageFailureCode,
    /// Why, as a sentence.
    pub reason: String,
}

/// A batch's results and failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<T> {
    /// What was done.
    pub done: Vec<T>,
    /// What was not.
    pub failures: Vec<ImageFailure>,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { done: Vec::new(), failures: Vec::new() }
    }
}

impl Registry {
    /// `ListImages`: one entry for each tag, and one for each image without.
    pub fn list_images(
        &self,
        name: &str,
        status: TagStatus,
        page: &Page,
    ) -> Result<Paged<ImageId>, RegistryError> {
        let state = self.state();
        let repository = self.find(&state, name)?;
        let each = repository.images.keys().flat_map(|digest| {
            let id = |tag: Option<String>| {
                let key = format!("{digest}/{}", tag.as_deref().unwrap_or_default());
                (key, ImageId { digest: Some(digest.to_string()), tag })
            };
            let tags = repository.tags_of(digest);
            match (tags.is_empty(), status.allows(!tags.is_empty())) {
                (_, false) => Vec::new(),
                (true, true) => vec![id(None)],
                (false, true) => tags.into_iter().map(|tag| id(Some(tag))).collect(),
            }
        });
        page::cut(each, page)
    }

    /// `DescribeImages`: the given ones, or all in pages. One that does not exist is an error.
    pub fn describe_images(
        &self,
        name: &str,
        ids: &[ImageId],
        status: TagStatus,
        page: &Page,
    ) -> Result<Paged<ImageDescription>, RegistryError> {
        let state = self.state();
        let repository = self.find(&state, name)?;
        if ids.is_empty() {
            let all =
                repository.images.iter().map(|(digest, image)| describe(repository, digest, image));
            let wanted = all.filter(|image| status.allows(!image.tags.is_empty()));
            return page::cut(wanted.map(|image| (image.digest.clone(), image)), page);
        }
        let mut items: Vec<ImageDescription> = Vec::new();
        for id in ids {
            let digest = resolve(repository, id).map_err(|(code, reason)| match code {
                ImageFailureCode::NotFound | ImageFailureCode::TagDoesNotMatchDigest => {
                    self.no_image(name, id)
                }
                _ => RegistryError::InvalidParameter(format!(
                    "Invalid parameter at 'imageIds' failed to satisfy constraint: '{reason}'"
                )),
            })?;
            let image = repository.images.get(&digest).ok_or_else(|| self.no_image(name, id))?;
            if !items.iter().any(|known| known.digest == digest.as_str()) {
                items.push(describe(repository, &digest, image));
            }
        }
        Ok(Paged { items, next: None })
    }

    fn no_image(&self, name: &str, id: &ImageId) -> RegistryError {
        let (name, registry) = (name.to_owned(), self.config.account.clone());
        RegistryError::ImageNotFound { image: id.to_string(), name, registry }
    }

    /// `BatchGetImage`.
    pub async fn batch_get_image(
        self: &Arc<Self>,
        name: &str,
        ids: Vec<ImageId>,
    ) -> Result<Batch<ImageManifest>, RegistryError> {
        let name = name.to_owned();
        self.blocking(move |registry| {
            let mut batch = Batch::default();
            for id in ids {
                let found = {
                    let state = registry.state();
                    let repository = registry.find(&state, &name)?;
                    resolve(repository, &id).map(|d| (repository.images[&d].media_type.clone(), d))
                };
                match found {
                    Err((code, reason)) => batch.failures.push(ImageFailure { id, code, reason }),
                    Ok((media_type, digest)) => {
                        let bytes = registry.content.read(&digest)?;
                        let manifest = String::from_utf8_lossy(&bytes).into_owned();
                        let id = ImageId { digest: Some(digest.to_string()), tag: id.tag };
                        batch.done.push(ImageManifest { id, manifest, media_type });
                    }
                }
            }
            Ok(batch)
        })
        .await
    }

    /// `BatchDeleteImage`: by digest the image and all its tags; by tag the tag, and the image with
    /// its last one. Returns what was deleted, one entry for each tag.
    pub async fn batch_delete_image(
        self: &Arc<Self>,
        name: &str,
        ids: Vec<ImageId>,
    ) -> Result<Batch<ImageId>, RegistryError> {
        let name = name.to_owned();
        self.blocking(move |registry| {
            let mut batch = Batch::default();
            registry.find(&registry.state(), &name)?;
            for id in ids {
                let deleted = registry.change(|state| registry.plan_delete(state, &name, &id))?;
                match deleted {
                    Ok(deleted) => batch.done.extend(deleted),
                    Err((code, reason)) => batch.failures.push(ImageFailure { id, code, reason }),
                }
            }
            Ok(batch)
        })
        .await
    }

    #[expect(
        clippy::type_complexity,
        reason = "a change and either what it deletes or why it does not"
    )]
    fn plan_delete(
        &self,
        state: &State,
        name: &str,
        id: &ImageId,
    ) -> Result<(Vec<Change>, Result<Vec<ImageId>, (ImageFailureCode, String)>), RegistryError>
    {
        let repository = self.find(state, name)?;
        let digest = match resolve(repository, id) {
            Ok(digest) => digest,
            Err(failure) => return Ok((Vec::new(), Err(failure))),
        };
        let tags = repository.tags_of(&digest);
        let with = |tag: Option<String>| ImageId { digest: Some(digest.to_string()), tag };
        let remove = |tag: &String| Change::Tag(name.to_owned(), tag.clone(), None);
        if let Some(tag) = id.tag.as_ref().filter(|_| tags.len() > 1) {
            return Ok((vec![remove(tag)], Ok(vec![with(Some(tag.clone()))])));
        }
        if let Some(index) = repository.listed_by(&digest) {
            let reason = format!("Requested image referenced by manifest list: [{index}]");
            return Ok((Vec::new(), Err((ImageFailureCode::ReferencedByIndex, reason))));
        }
        let mut changes: Vec<Change> = tags.iter().map(remove).collect();
        changes.push(Change::Image(name.to_owned(), digest.clone(), None));
        let deleted = if tags.is_empty() {
            vec![with(None)]
        } else {
            tags.into_iter().map(|t| with(Some(t))).collect()
        };
        Ok((changes, Ok(deleted)))
    }

    /// Takes a tag away and leaves its image (distribution-spec, "Deleting tags"). False if there is
    /// no such tag.
    pub(crate) async fn untag(
        self: &Arc<Self>,
        name: &str,
        tag: String,
    ) -> Result<bool, RegistryError> {
        let name = name.to_owned();
        self.blocking(move |registry| {
            registry.change(|state| {
                let there = registry.find(state, &name)?.tags.contains_key(&tag);
                let change = Change::Tag(name.clone(), tag.clone(), None);
                Ok((if there { vec![change] } else { Vec::new() }, there))
            })
        })
        .await
    }

    /// `BatchCheckLayerAvailability`: the size of each layer that the repository has.
    pub fn layer_sizes(
        &self,
        name: &str,
        digests: &[Digest],
    ) -> Result<Vec<Option<u64>>, RegistryError> {
        digests.iter().map(|digest| self.blob(name, digest)).collect()
    }
}

fn describe(repository: &Repository, digest: &Digest, image: &ImageRecord) -> ImageDescription {
    ImageDescription {
        digest: digest.to_string(),
        tags: repository.tags_of(digest),
        bytes: image.content_bytes,
        pushed_at: image.pushed_at,
        media_type: image.media_type.clone(),
        artifact_media_type: image.artifact_type.clone().or_else(|| image.config_type.clone()),
        subject: image.subject.as_ref().map(ToString::to_string),
    }
}

/// The image that is meant, or why none is.
fn resolve(repository: &Repository, id: &ImageId) -> Result<Digest, (ImageFailureCode, String)> {
    use ImageFailureCode as Code;
    let failure = |code, reason: &str| (code, reason.to_owned());
    let by_tag = match &id.tag {
        Some(tag) if !name::is_tag(tag) => {
            return Err(failure(Code::InvalidTag, "Invalid request parameters: image tag"));
        }
        Some(tag) => Some(repository.tags.get(tag)),
        None => None,
    };
    let by_digest = match id.digest.as_deref().map(Digest::parse) {
        Some(None) => {
            return Err(failure(
                Code::InvalidDigest,
                "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
            ));
        }
        Some(Some(digest)) => Some(repository.images.contains_key(&digest).then_some(digest)),
        None => None,
    };
    let absent = || failure(Code::NotFound, "Requested image not found");
    match (by_tag, by_digest) {
        (None, None) => Err(failure(
            Code::MissingDigestAndTag,
            "Invalid request parameters: both tag and digest cannot be null",
        )),
        (Some(by_tag), None) => by_tag.cloned().ok_or_else(absent),
        (None, Some(by_digest)) => by_digest.ok_or_else(absent),
        (Some(by_tag), Some(by_digest)) => {
            let digest = by_digest.ok_or_else(absent)?;
            if by_tag == Some(&digest) {
                return Ok(digest);
            }
            Err(failure(
                Code::TagDoesNotMatchDigest,
                "Invalid request parameters: the image tag does not match the image digest",
            ))
        }
    }
}
