//! The values that go in and come out, and the records on the disk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::Checksum;

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
}

/// What an object says of itself: headers that are given back as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Lower-case names of standard headers and their values: `content-type`, `cache-control`,
    /// `content-disposition`, `content-encoding`, `content-language`, `expires`.
    pub headers: BTreeMap<String, String>,
    /// The user's own, without `x-amz-meta-`.
    pub user: BTreeMap<String, String>,
}

/// An object without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// Its entity tag, without quotes: the MD5 of its content, or of its parts' and their number.
    pub etag: String,
    /// When it was put.
    pub modified: Timestamp,
    /// What it says of itself.
    pub meta: Meta,
    /// Its checksum.
    pub checksum: Option<Checksum>,
    /// Of how many parts it was made; none if it was put whole.
    pub parts: Option<usize>,
}

/// Conditions on the object that is there (RFC 9110, section 13.1). Tags are without quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `If-Match`: one of these tags, or any for `*`.
    pub matches: Option<Vec<String>>,
    /// `If-None-Match`: none of these tags, or none at all for `*`.
    pub differs: Option<Vec<String>>,
}

impl Conditions {
    /// Whether `If-Match` holds of an entity tag, or of there being none.
    pub fn match_holds(&self, etag: Option<&str>) -> bool {
        self.matches.as_ref().is_none_or(|tags| has(tags, etag))
    }

    /// Whether `If-None-Match` holds of an entity tag, or of there being none.
    pub fn differ_holds(&self, etag: Option<&str>) -> bool {
        self.differs.as_ref().is_none_or(|tags| !has(tags, etag))
    }
}

fn has(tags: &[String], etag: Option<&str>) -> bool {
    etag.is_some_and(|etag| tags.iter().any(|tag| tag == "*" || tag == etag))
}

/// Which objects to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Only those whose key begins so.
    pub prefix: String,
    /// What of a key comes after the prefix is cut behind this, and what is alike is told once.
    pub delimiter: Option<String>,
    /// Only what comes after this key or common prefix.
    pub after: Option<String>,
    /// At most so many keys and common prefixes.
    pub most: usize,
}

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Objects, in the order of the bytes of their keys.
    pub objects: Vec<Object>,
    /// Common prefixes.
    pub prefixes: Vec<String>,
    /// What the next page comes after; none on the last.
    pub next: Option<String>,
}

/// A file with content: its name, and how much is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    /// SHA-256, in hexadecimal.
    pub(crate) digest: String,
    pub(crate) bytes: u64,
}

/// A bucket as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BucketRecord {
    pub(crate) created: Timestamp,
}

/// An object as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ObjectRecord {
    pub(crate) etag: String,
    pub(crate) modified: Timestamp,
    pub(crate) meta: Meta,
    pub(crate) checksum: Option<Checksum>,
    pub(crate) parts: Option<usize>,
    pub(crate) pieces: Vec<Piece>,
}

impl ObjectRecord {
    pub(crate) fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.bytes).sum()
    }

    pub(crate) fn object(self, key: &str) -> Object {
        Object {
            key: key.to_owned(),
            bytes: self.bytes(),
            etag: self.etag,
            modified: self.modified,
            meta: self.meta,
            checksum: self.checksum,
            parts: self.parts,
        }
    }
}

/// An upload of parts as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UploadRecord {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) begun: Timestamp,
    pub(crate) meta: Meta,
    pub(crate) algorithm: Option<crate::Algorithm>,
    pub(crate) kind: Option<crate::ChecksumKind>,
}

/// A part as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PartRecord {
    pub(crate) piece: Piece,
    /// MD5, in hexadecimal.
    pub(crate) md5: String,
    pub(crate) modified: Timestamp,
    pub(crate) checksum: Option<Checksum>,
}
