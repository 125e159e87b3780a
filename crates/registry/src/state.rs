//! What the registry knows: repositories, their images, tags and blobs. Pure; kept in memory, and
//! every change is a record on the disk before it is made here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::digest::Digest;

/// Whether an image's tag may move to another image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagMutability {
    /// Tags stay where they are.
    pub immutable: bool,
    /// Patterns of tags for which the opposite holds; `*` stands for any characters.
    pub except: Vec<String>,
}

impl TagMutability {
    /// Whether this tag may move.
    pub fn may_move(&self, tag: &str) -> bool {
        self.immutable
            == self.except.iter().any(|pattern| matches(pattern.as_bytes(), tag.as_bytes()))
    }
}

/// Whether a pattern with `*` matches all of a text.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skipped| matches(rest, &text[skipped..])),
        Some((letter, rest)) => {
            text.split_first().is_some_and(|(first, text)| first == letter && matches(rest, text))
        }
    }
}

/// A repository's own facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RepositoryRecord {
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether tags may move.
    pub mutability: TagMutability,
    /// AWS resource tags.
    pub resource_tags: BTreeMap<String, String>,
}

/// An image: a manifest in a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    /// The manifest's.
    pub media_type: String,
    /// Bytes of the manifest.
    pub manifest_bytes: u64,
    /// Bytes of all that it refers to, as ECR's `imageSizeInBytes` counts: compressed.
    pub content_bytes: u64,
    /// When it was pushed first.
    pub pushed_at: Timestamp,
    /// Configuration and layers.
    pub blobs: Vec<Digest>,
    /// Manifests that it lists.
    pub manifests: Vec<Digest>,
    /// The configuration's media type.
    pub config_type: Option<String>,
    /// The manifest that it is about.
    pub subject: Option<Digest>,
    /// Kind of artifact.
    pub artifact_type: Option<String>,
    /// Its annotations, if it has a subject: the referrers API shows them.
    pub annotations: BTreeMap<String, String>,
}

/// A blob that may be pulled from a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlobRecord {
    /// Its size.
    pub bytes: u64,
    /// When it was pushed or last asked for; what no image needs is removed some time after.
    pub used_at: Timestamp,
}

/// A repository.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    /// Its own facts.
    pub record: RepositoryRecord,
    /// By digest of the manifest.
    pub images: BTreeMap<Digest, ImageRecord>,
    /// What each tag stands for.
    pub tags: BTreeMap<String, Digest>,
    /// By digest.
    pub blobs: BTreeMap<Digest, BlobRecord>,
}

/// One change: an upsert, or with `None` a delete.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A repository; deleting one deletes all that is in it.
    Repository(String, Option<RepositoryRecord>),
    /// An image of a repository; deleting one deletes its tags.
    Image(String, Digest, Option<ImageRecord>),
    /// A tag of a repository.
    Tag(String, String, Option<Digest>),
    /// A blob of a repository.
    Blob(String, Digest, Option<BlobRecord>),
}

/// All that the registry knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// By name.
    pub repositories: BTreeMap<String, Repository>,
}

impl State {
    /// Makes a change. What concerns a repository that is not there is dropped.
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Repository(name, Some(record)) => match self.repositories.get_mut(&name) {
                Some(repository) => repository.record = record,
                None => {
                    let (images, tags, blobs) = Default::default();
                    self.repositories.insert(name, Repository { record, images, tags, blobs });
                }
            },
            Change::Repository(name, None) => drop(self.repositories.remove(&name)),
            Change::Image(name, digest, record) => {
                let Some(repository) = self.repositories.get_mut(&name) else { return };
                match record {
                    Some(record) => drop(repository.images.insert(digest, record)),
                    None => {
                        repository.tags.retain(|_, target| *target != digest);
                        repository.images.remove(&digest);
                    }
                }
            }
            Change::Tag(name, tag, target) => {
                let Some(repository) = self.repositories.get_mut(&name) else { return };
                match target {
                    Some(digest) => drop(repository.tags.insert(tag, digest)),
                    None => drop(repository.tags.remove(&tag)),
                }
            }
            Change::Blob(name, digest, record) => {
                let Some(repository) = self.repositories.get_mut(&name) else { return };
                match record {
                    Some(record) => drop(repository.blobs.insert(digest, record)),
                    None => drop(repository.blobs.remove(&digest)),
                }
            }
        }
    }

    /// Whether a blob or manifest must stay on the disk.
    pub(crate) fn needs(&self, digest: &Digest) -> bool {
        self.repositories
            .values()
            .any(|r| r.blobs.contains_key(digest) || r.images.contains_key(digest))
    }
}

impl Repository {
    /// The tags of an image, sorted.
    pub(crate) fn tags_of(&self, digest: &Digest) -> Vec<String> {
        self.tags
            .iter()
            .filter(|(_, target)| *target == digest)
            .map(|(tag, _)| tag.clone())
            .collect()
    }

    /// The index that lists an image, if there is one.
    pub(crate) fn listed_by(&self, digest: &Digest) -> Option<&Digest> {
        self.images
            .iter()
            .find(|(_, image)| image.manifests.contains(digest))
            .map(|(index, _)| index)
    }

    /// Images that are about another one.
    pub(crate) fn referrers(
        &self,
        subject: &Digest,
    ) -> impl Iterator<Item = (&Digest, &ImageRecord)> {
        self.images.iter().filter(move |(_, image)| image.subject.as_ref() == Some(subject))
    }

    /// Blobs that no image needs and nobody has asked for since `before`.
    pub(crate) fn unused(&self, before: Timestamp) -> Vec<Digest> {
        let needed: BTreeSet<&Digest> =
            self.images.values().flat_map(|image| &image.blobs).collect();
        let is_unused = |(digest, blob): &(&Digest, &BlobRecord)| {
            blob.used_at < before && !needed.contains(digest)
        };
        self.blobs.iter().filter(is_unused).map(|(digest, _)| digest.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_turn_the_rule_round() {
        let rule = |immutable, except: &[&str]| TagMutability {
            immutable,
            except: except.iter().map(|text| (*text).to_owned()).collect(),
        };
        assert!(rule(false, &[]).may_move("v1"));
        assert!(!rule(true, &[]).may_move("v1"));
        assert!(rule(true, &["dev*"]).may_move("dev-3"));
        assert!(!rule(true, &["dev*"]).may_move("v1"));
        assert!(!rule(false, &["v*.*"]).may_move("v1.2"));
        assert!(rule(false, &["v*.*"]).may_move("v1"));
        assert!(rule(true, &["*"]).may_move("any"));
    }

    #[test]
    fn deleting_takes_what_hangs_on_it() {
        let (digest, other) = (Digest::of(b"a"), Digest::of(b"b"));
        let image = ImageRecord {
            media_type: String::new(),
            manifest_bytes: 1,
            content_bytes: 1,
            pushed_at: Timestamp::EPOCH,
            blobs: vec![other.clone()],
            manifests: Vec::new(),
            config_type: None,
            subject: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
        };
        let record = RepositoryRecord {
            created_at: Timestamp::EPOCH,
            mutability: TagMutability::default(),
            resource_tags: BTreeMap::new(),
        };
        let mut state = State::default();
        let name = || "web".to_owned();
        let blob = BlobRecord { bytes: 1, used_at: Timestamp::EPOCH };
        state.apply(Change::Tag(name(), "lost".to_owned(), Some(digest.clone())));
        state.apply(Change::Repository(name(), Some(record.clone())));
        state.apply(Change::Blob(name(), other.clone(), Some(blob)));
        state.apply(Change::Image(name(), digest.clone(), Some(image)));
        state.apply(Change::Tag(name(), "v1".to_owned(), Some(digest.clone())));
        state.apply(Change::Repository(name(), Some(record)));
        let later = Timestamp::from_millis(1);
        let repository = &state.repositories["web"];
        assert_eq!(repository.tags_of(&digest), ["v1"]);
        assert!(repository.unused(later).is_empty());
        assert!(state.needs(&digest) && state.needs(&other));
        state.apply(Change::Image(name(), digest.clone(), None));
        assert!(!state.needs(&digest));
        let repository = &state.repositories["web"];
        assert!(repository.tags.is_empty() && repository.images.is_empty());
        assert_eq!(repository.unused(later), std::slice::from_ref(&other));
        assert!(repository.unused(Timestamp::EPOCH).is_empty());
        state.apply(Change::Repository(name(), None));
        assert!(!state.needs(&other));
    }
}
