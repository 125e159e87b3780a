//! Taking in blobs and manifests: what the OCI face does to the registry.

use std::sync::Arc;

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::manifest::{self, Descriptor, Manifest};
use crate::name;
use crate::registry::Registry;
use crate::repository;
use crate::state::{BlobRecord, Change, ImageRecord, Repository};
use crate::upload::Upload;

/// The most uploads at a time; each holds an open file.
const MAX_UPLOADS: usize = 1000;

/// How a request names a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// By a tag, which may move.
    Tag(String),
    /// By its digest.
    Digest(Digest),
}

/// A manifest that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Its digest.
    pub digest: Digest,
    /// The manifest it is about, if it says so.
    pub subject: Option<Digest>,
}

/// A manifest on its way in.
struct Incoming {
    reference: Reference,
    digest: Digest,
    manifest: Manifest,
    bytes: Vec<u8>,
}

impl Registry {
    /// Begins an upload; returns its id. The error without a reason is that there are too many.
    pub(crate) async fn begin_upload(
        self: &Arc<Self>,
        name: &str,
    ) -> Result<Option<String>, RegistryError> {
        let name = name.to_owned();
        self.blocking(move |registry| {
            if registry.uploads().len() >= MAX_UPLOADS {
                return Ok(None);
            }
            let id = Self::new_id();
            let file = registry.content.new_upload(&id)?;
            let upload = Upload::new(name, file, registry.now());
            registry.uploads().insert(id.clone(), Arc::new(upload));
            Ok(Some(id))
        })
        .await
    }

    /// Makes sure that there is a repository to push to: made if that is allowed.
    pub(crate) async fn repository_for_push(
        self: &Arc<Self>,
        name: &str,
    ) -> Result<(), RegistryError> {
        if self.state().repositories.contains_key(name) {
            return Ok(());
        }
        if !self.config.create_on_push {
            return Err(self.no_repository(name));
        }
        match self.create_repository(repository::NewRepository::named(name)).await {
            // Another push made it in the meantime.
            Ok(_) | Err(RegistryError::RepositoryAlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Ends an upload: its bytes become a blob of its repository. None if they have another digest,
    /// and then they are gone.
    pub(crate) async fn end_upload(
        self: &Arc<Self>,
        id: &str,
        upload: Arc<Upload>,
        claimed: Digest,
    ) -> Result<Option<()>, RegistryError> {
        let id = id.to_owned();
        self.blocking(move |registry| {
            let (digest, bytes) = upload.seal()?;
            registry.uploads().remove(&id);
            if digest != claimed {
                return Ok(None);
            }
            registry.change(|state| {
                registry.find(state, &upload.repository)?;
                registry.content.adopt(upload.path(), &digest)?;
                let blob = BlobRecord { bytes, used_at: registry.now() };
                Ok((
                    vec![Change::Blob(upload.repository.clone(), digest.clone(), Some(blob))],
                    Some(()),
                ))
            })
        })
        .await
    }

    /// Makes a blob of one repository a blob of another. False if the first does not have it.
    pub(crate) async fn mount(
        self: &Arc<Self>,
        from: &str,
        to: &str,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let (from, to, digest) = (from.to_owned(), to.to_owned(), digest.clone());
        self.blocking(move |registry| {
            registry.change(|state| {
                registry.find(state, &to)?;
                let Some(blob) = state.repositories.get(&from).and_then(|r| r.blobs.get(&digest))
                else {
                    return Ok((Vec::new(), false));
                };
                let blob = BlobRecord { used_at: registry.now(), ..*blob };
                Ok((vec![Change::Blob(to.clone(), digest.clone(), Some(blob))], true))
            })
        })
        .await
    }

    /// Takes a blob from a repository. False if it is not there. An image may still need it; then
    /// it is refused.
    pub(crate) async fn delete_blob(
        self: &Arc<Self>,
        name: &str,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let (name, digest) = (name.to_owned(), digest.clone());
        self.blocking(move |registry| {
            registry.change(|state| {
                let repository = registry.find(state, &name)?;
                if !repository.blobs.contains_key(&digest) {
                    return Ok((Vec::new(), false));
                }
                if let Some((image, _)) =
                    repository.images.iter().find(|(_, i)| i.blobs.contains(&digest))
                {
                    return Err(RegistryError::InvalidParameter(format!(
                        "The layer {digest} is needed by the image {image}; delete the image first"
                    )));
                }
                Ok((vec![Change::Blob(name.clone(), digest.clone(), None)], true))
            })
        })
        .await
    }

    /// Takes in a manifest under a tag or its digest. All that it refers to must be there.
    pub async fn put_manifest(
        self: &Arc<Self>,
        name: &str,
        reference: Reference,
        content_type: &str,
        bytes: Vec<u8>,
    ) -> Result<Pushed, RegistryError> {
        let manifest =
            manifest::parse(content_type, &bytes).map_err(RegistryError::InvalidManifest)?;
        let digest = Digest::of(&bytes);
        match &reference {
            Reference::Tag(tag) => name::check_tag(tag)?,
            Reference::Digest(claimed) if *claimed != digest => {
                let claimed = claimed.to_string();
                return Err(RegistryError::ImageDigestDoesNotMatch { claimed, actual: digest });
            }
            Reference::Digest(_) => {}
        }
        let name = name.to_owned();
        let incoming = Incoming { reference, digest, manifest, bytes };
        self.blocking(move |registry| {
            registry.change(|state| {
                let repository = registry.find(state, &name)?;
                let changes = registry.plan_push(&name, repository, &incoming)?;
                registry.content.put(&Self::new_id(), &incoming.bytes, &incoming.digest)?;
                let subject = incoming.manifest.subject.clone();
                Ok((changes, Pushed { digest: incoming.digest.clone(), subject }))
            })
        })
        .await
    }

    /// What pushing a manifest changes; nothing if it is all there. Pure but for the time.
    fn plan_push(
        &self,
        name: &str,
        repository: &Repository,
        incoming: &Incoming,
    ) -> Result<Vec<Change>, RegistryError> {
        let Incoming { reference, digest, manifest, bytes } = incoming;
        check_blobs(name, repository, manifest)?;
        check_manifests(name, repository, manifest)?;
        let mut changes = Vec::new();
        if !repository.images.contains_key(digest) {
            let children =
                manifest.manifests.iter().filter_map(|d| repository.images.get(&d.digest));
            let sizes = manifest.blobs.iter().map(|blob| blob.size);
            // Sizes of layers that lie elsewhere are only claimed.
            let content_bytes =
                sizes.chain(children.map(|child| child.content_bytes)).fold(0, u64::saturating_add);
            let record = ImageRecord {
                media_type: manifest.media_type.clone(),
                manifest_bytes: bytes.len() as u64,
                content_bytes,
                pushed_at: self.now(),
                blobs: manifest.blobs.iter().map(|blob| blob.digest.clone()).collect(),
                manifests: manifest.manifests.iter().map(|child| child.digest.clone()).collect(),
                config_type: manifest.config_type.clone(),
                subject: manifest.subject.clone(),
                artifact_type: manifest.artifact_type.clone(),
                annotations: match manifest.subject {
                    Some(_) => manifest.annotations.clone(),
                    None => Default::default(),
                },
            };
            changes.push(Change::Image(name.to_owned(), digest.clone(), Some(record)));
        }
        if let Reference::Tag(tag) = reference {
            let before = repository.tags.get(tag);
            if before.is_some_and(|b| b != digest) && !repository.record.mutability.may_move(tag) {
                return Err(RegistryError::ImageTagAlreadyExists {
                    tag: tag.clone(),
                    name: name.to_owned(),
                });
            }
            if before != Some(digest) {
                changes.push(Change::Tag(name.to_owned(), tag.clone(), Some(digest.clone())));
            }
        }
        Ok(changes)
    }
}

fn check_blobs(
    name: &str,
    repository: &Repository,
    manifest: &Manifest,
) -> Result<(), RegistryError> {
    // Layers with addresses of their own are had from there.
    let wanted = manifest.blobs.iter().filter(|blob| blob.urls.is_empty());
    let mut missing = Vec::new();
    for blob in wanted {
        match repository.blobs.get(&blob.digest) {
            None => missing.push(blob.digest.to_string()),
            Some(there) if there.bytes != blob.size => {
                return Err(RegistryError::InvalidManifest(format!(
                    "{} has {} bytes, and the manifest says {}",
                    blob.digest, there.bytes, blob.size
                )));
            }
            Some(_) => {}
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(RegistryError::LayersNotFound { name: name.to_owned(), digests: missing.join(", ") })
}

fn check_manifests(
    name: &str,
    repository: &Repository,
    manifest: &Manifest,
) -> Result<(), RegistryError> {
    let is_missing = |child: &&Descriptor| {
        child.urls.is_empty() && !repository.images.contains_key(&child.digest)
    };
    let missing: Vec<String> =
        manifest.manifests.iter().filter(is_missing).map(|d| d.digest.to_string()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(RegistryError::ReferencedImagesNotFound {
        name: name.to_owned(),
        digests: missing.join(", "),
    })
}
