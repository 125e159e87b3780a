//! What a path asks for. Names have slashes, so paths are read from their end (distribution-spec,
//! "Endpoints"). Pure.

use http::Method;

use super::error::{Code, HttpError};
use crate::digest::Digest;
use crate::name;
use crate::push::Reference;

/// A place under `/v2/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/v2/`.
    Ping,
    /// `_catalog`.
    Catalog { page: TagPage },
    /// `<name>/tags/list`.
    Tags { name: String, page: TagPage },
    /// `<name>/referrers/<digest>`.
    Referrers { name: String, digest: Digest, artifact_type: Option<String> },
    /// `<name>/manifests/<reference>`.
    Manifest { name: String, reference: Reference },
    /// `<name>/blobs/<digest>`.
    Blob { name: String, digest: Digest },
    /// `<name>/blobs/uploads/`.
    Uploads { name: String, query: UploadQuery },
    /// `<name>/blobs/uploads/<id>`.
    Upload { name: String, id: String, digest: Option<Digest> },
}

/// Which part of a list of names is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TagPage {
    /// At most so many.
    pub n: Option<usize>,
    /// Those after this one.
    pub last: Option<String>,
}

/// How an upload begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UploadQuery {
    /// The blob, if this request brings all of it, or one to mount.
    pub digest: Option<Digest>,
    /// A blob of another repository to have here too.
    pub mount: Option<Digest>,
    /// The other repository.
    pub from: Option<String>,
}

impl Route {
    /// What ECR calls doing `method` here, and on which repository; none where there is none.
    pub(super) fn action(&self, method: &Method) -> Option<(&'static str, &str)> {
        let reads = *method == Method::GET || *method == Method::HEAD;
        let (name, action) = match self {
            Self::Ping => return None,
            Self::Catalog { .. } => ("*", "ecr:DescribeRepositories"),
            Self::Tags { name, .. } => (name.as_str(), "ecr:ListImages"),
            Self::Referrers { name, .. } => (name.as_str(), "ecr:BatchGetImage"),
            Self::Manifest { name, .. } if reads => (name.as_str(), "ecr:BatchGetImage"),
            Self::Manifest { name, .. } if *method == Method::PUT => {
                (name.as_str(), "ecr:PutImage")
            }
            Self::Manifest { name, .. } => (name.as_str(), "ecr:BatchDeleteImage"),
            Self::Blob { name, .. } if *method == Method::HEAD => {
                (name.as_str(), "ecr:BatchCheckLayerAvailability")
            }
            Self::Blob { name, .. } if reads => (name.as_str(), "ecr:GetDownloadUrlForLayer"),
            Self::Blob { name, .. } => (name.as_str(), "ecr:BatchDeleteImage"),
            Self::Uploads { name, .. } => (name.as_str(), "ecr:InitiateLayerUpload"),
            Self::Upload { name, .. } if *method == Method::PUT => {
                (name.as_str(), "ecr:CompleteLayerUpload")
            }
            Self::Upload { name, .. } => (name.as_str(), "ecr:UploadLayerPart"),
        };
        Some((action, name))
    }

    /// The methods that are possible there.
    pub(super) const fn methods(&self) -> &'static str {
        match self {
            Self::Ping => "GET, HEAD",
            Self::Catalog { .. } | Self::Tags { .. } | Self::Referrers { .. } => "GET",
            Self::Manifest { .. } => "GET, HEAD, PUT, DELETE",
            Self::Blob { .. } => "GET, HEAD, DELETE",
            Self::Uploads { .. } => "POST",
            Self::Upload { .. } => "GET, HEAD, PATCH, PUT, DELETE",
        }
    }
}

/// Reads a path and its query.
pub(super) fn parse(path: &str, query: Option<&str>) -> Result<Route, HttpError> {
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8();
    let path = decoded.map_err(|_| HttpError::bad(Code::NameInvalid, "the path is not UTF-8"))?;
    let query: Vec<(String, String)> =
        form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    let get = |key: &str| query.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone());
    let rest = path.strip_prefix("/v2").unwrap_or(&path);
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    let parts: Vec<&str> = rest.split('/').collect();
    match parts.as_slice() {
        [""] => Ok(Route::Ping),
        ["_catalog"] => Ok(Route::Catalog { page: tag_page(get("n"), get("last"))? }),
        [name @ .., "tags", "list"] => {
            Ok(Route::Tags { name: repository(name)?, page: tag_page(get("n"), get("last"))? })
        }
        [name @ .., "referrers", subject] => Ok(Route::Referrers {
            name: repository(name)?,
            digest: digest(subject)?,
            artifact_type: get("artifactType").filter(|kind| !kind.is_empty()),
        }),
        [name @ .., "manifests", reference] => {
            Ok(Route::Manifest { name: repository(name)?, reference: self::reference(reference)? })
        }
        [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => {
            let optional = |key: &str| get(key).map(|text| digest(&text)).transpose();
            let query = UploadQuery {
                digest: optional("digest")?,
                mount: optional("mount")?,
                from: get("from"),
            };
            Ok(Route::Uploads { name: repository(name)?, query })
        }
        [name @ .., "blobs", "uploads", id] => {
            let digest = get("digest").map(|text| digest(&text)).transpose()?;
            Ok(Route::Upload { name: repository(name)?, id: (*id).to_owned(), digest })
        }
        [name @ .., "blobs", blob] => {
            Ok(Route::Blob { name: repository(name)?, digest: digest(blob)? })
        }
        _ => Err(HttpError::absent(Code::NameInvalid, format!("there is nothing at {path}"))),
    }
}

fn repository(parts: &[&str]) -> Result<String, HttpError> {
    let name = parts.join("/");
    if name::is_repository(&name) {
        return Ok(name);
    }
    let message = format!(
        "\"{name}\" is not the name of a repository: 2 to 256 lower-case letters, digits and separators"
    );
    Err(HttpError::bad(Code::NameInvalid, message))
}

fn digest(text: &str) -> Result<Digest, HttpError> {
    Digest::parse(text).ok_or_else(|| {
        let message =
            format!("\"{text}\" is not a digest: sha256: and 64 lower-case hexadecimal digits");
        HttpError::bad(Code::DigestInvalid, message)
    })
}

fn reference(text: &str) -> Result<Reference, HttpError> {
    if text.contains(':') {
        return digest(text).map(Reference::Digest);
    }
    if name::is_tag(text) {
        return Ok(Reference::Tag(text.to_owned()));
    }
    let message = format!("\"{text}\" is not a tag: 1 to 128 letters, digits, '_', '.' and '-'");
    Err(HttpError::bad(Code::TagInvalid, message))
}

fn tag_page(n: Option<String>, last: Option<String>) -> Result<TagPage, HttpError> {
    let n = n.map(|text| text.parse()).transpose().map_err(|_| {
        HttpError::bad(Code::PaginationInvalid, "the query parameter n is not a number")
    })?;
    Ok(TagPage { n, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_their_end() {
        let digest = Digest::of(b"x");
        let read = |path: &str| parse(path, None).unwrap();
        assert_eq!(read("/v2/"), Route::Ping);
        assert_eq!(read("/v2"), Route::Ping);
        let name = "blobs/manifests/tags".to_owned();
        assert_eq!(
            read("/v2/blobs/manifests/tags/manifests/v1"),
            Route::Manifest { name: name.clone(), reference: Reference::Tag("v1".to_owned()) }
        );
        assert_eq!(
            read(&format!(
                "/v2/blobs/manifests/tags/blobs/{}",
                digest.as_str().replace(':', "%3A")
            )),
            Route::Blob { name: name.clone(), digest: digest.clone() }
        );
        assert_eq!(read("/v2/ab/blobs/uploads/"), read("/v2/ab/blobs/uploads"));
        let query = format!("mount={digest}&from=other%2Fone");
        let Ok(Route::Uploads { query, .. }) = parse("/v2/ab/blobs/uploads/", Some(&query)) else {
            panic!()
        };
        assert_eq!((query.mount, query.from.as_deref()), (Some(digest), Some("other/one")));
        let Ok(Route::Tags { page, .. }) = parse("/v2/ab/tags/list", Some("n=2&last=b")) else {
            panic!()
        };
        assert_eq!(page, TagPage { n: Some(2), last: Some("b".to_owned()) });
    }

    #[test]
    fn nonsense_is_an_error() {
        for path in [
            "/v2/x",
            "/v2/../../etc/passwd",
            "/v2/A/manifests/v1",
            "/v2/ab/manifests/",
            "/v2/ab/manifests/sha256:x",
            "/v2/ab/blobs/sha256:x",
            "/v2/ab/referrers/v1",
            "/v2/ab/blobs/uploads/x/y",
            "/v2/manifests/v1",
            "/v2/%ff/tags/list",
        ] {
            assert!(parse(path, None).is_err(), "{path}");
        }
        assert!(parse("/v2/ab/tags/list", Some("n=x")).is_err());
    }
}
