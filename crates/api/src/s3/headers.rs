//! What the headers of a request say, and the refusal of those that ask for what is not built.

use std::collections::BTreeMap;

use http::HeaderMap;
use objects::{Algorithm, Checksum, ChecksumKind, Code, Conditions, Meta};

use super::error::S3Error;
use super::operation::Operation;
use super::{Asked, refused};

/// Standard headers that are kept with an object.
const KEPT: [&str; 6] = [
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
];

/// The most bytes of names and values of a user's own metadata.
const MOST_META: usize = 2048;

/// What S3's own headers begin with.
const OURS: &str = "x-amz-";

/// Headers of S3's that are honoured, without [`OURS`].
const HONOURED: [&str; 17] = [
    "checksum-algorithm",
    "checksum-mode",
    "checksum-type",
    "content-sha256",
    "copy-source",
    "copy-source-if-match",
    "copy-source-if-none-match",
    "date",
    "decoded-content-length",
    "expected-bucket-owner",
    "metadata-directive",
    "mp-object-size",
    "sdk-checksum-algorithm",
    "security-token",
    "source-expected-bucket-owner",
    "trailer",
    "user-agent",
];

/// Headers of which only these values ask for nothing that is not built.
const ONLY: [(&str, &[&str]); 5] = [
    ("acl", &["private", "bucket-owner-full-control"]),
    ("storage-class", &["STANDARD"]),
    ("object-ownership", &["BucketOwnerEnforced"]),
    ("bucket-object-lock-enabled", &["false", "False"]),
    ("server-side-encryption-bucket-key-enabled", &["false", "False"]),
];

/// Refuses headers of S3's that ask for what is not built, and requests for others' buckets.
pub(super) fn check(asked: &Asked, operation: Operation) -> Result<(), S3Error> {
    for (name, value) in &asked.parts.headers {
        let Some(rest) = name.as_str().strip_prefix(OURS) else { continue };
        let value = value.to_str().unwrap_or_default().trim();
        let only = ONLY.iter().find(|(known, _)| *known == rest);
        let fine = HONOURED.contains(&rest)
            || rest.starts_with("meta-")
            || rest.strip_prefix("checksum-").is_some_and(|n| Algorithm::from_name(n).is_some())
            || only.is_some_and(|(_, values)| values.contains(&value));
        if !fine {
            let text = format!("s3:{}: the header {name}: {value}", operation.name());
            return Err(S3Error::not_built(&text));
        }
    }
    let account = &asked.caller.identity.principal.account;
    for name in ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"] {
        if asked.header(name).is_some_and(|owner| owner != account) {
            return Err(refused(Code::AccessDenied, "Access Denied"));
        }
    }
    Ok(())
}

/// What an object is to say of itself.
pub(super) fn meta(headers: &HeaderMap) -> Result<Meta, S3Error> {
    let mut meta = Meta::default();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    for name in KEPT {
        let value = text(name).map(|value| match name {
            // The framing of the request is not the object's.
            "content-encoding" => without_framing(value),
            _ => value.trim().to_owned(),
        });
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            meta.headers.insert(name.to_owned(), value);
        }
    }
    meta.headers
        .entry("content-type".to_owned())
        .or_insert_with(|| "binary/octet-stream".to_owned());
    let mut bytes = 0;
    let mut user: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        if let Some(name) = name.as_str().strip_prefix("x-amz-meta-") {
            let value = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
            bytes += name.len() + value.len();
            user.insert(name.to_owned(), value);
        }
    }
    if bytes > MOST_META {
        return Err(refused(
            Code::MetadataTooLarge,
            format!(
                "Your metadata headers exceed the maximum allowed metadata size of {MOST_META}."
            ),
        ));
    }
    meta.user = user;
    Ok(meta)
}

fn without_framing(value: &str) -> String {
    let kept = value.split(',').map(str::trim).filter(|coding| *coding != "aws-chunked");
    kept.collect::<Vec<_>>().join(",")
}

/// Conditions, by the names of their headers.
pub(super) fn conditions(asked: &Asked, matches: &str, differs: &str) -> Conditions {
    let tags = |name: &str| {
        asked.header(name).map(|text| text.split(',').map(|tag| unquoted(tag).to_owned()).collect())
    };
    Conditions { matches: tags(matches), differs: tags(differs) }
}

/// An entity tag without its quotes.
pub(super) fn unquoted(tag: &str) -> &str {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag)
}

/// The checksum that a request says its body has, in a header, and its algorithm.
pub(super) fn said_checksum(headers: &HeaderMap) -> Option<(Algorithm, String)> {
    Algorithm::ALL.into_iter().find_map(|algorithm| {
        let value = headers.get(checksum_header(algorithm))?.to_str().ok()?;
        Some((algorithm, value.trim().to_owned()))
    })
}

/// The algorithm of the checksum that a request says its body has, or will say behind it.
pub(super) fn algorithm(asked: &Asked) -> Result<Option<Algorithm>, S3Error> {
    if let Some((algorithm, _)) = said_checksum(&asked.parts.headers) {
        return Ok(Some(algorithm));
    }
    let trailer = asked.header("x-amz-trailer").and_then(|names| {
        Algorithm::ALL
            .into_iter()
            .find(|a| names.split(',').any(|n| n.trim().eq_ignore_ascii_case(checksum_header(*a))))
    });
    if trailer.is_some() {
        return Ok(trailer);
    }
    let named = asked.header("x-amz-sdk-checksum-algorithm");
    named_algorithm(named.or_else(|| asked.header("x-amz-checksum-algorithm")))
}

pub(super) fn named_algorithm(name: Option<&str>) -> Result<Option<Algorithm>, S3Error> {
    let unknown = || {
        refused(
            Code::InvalidRequest,
            "Checksum algorithm provided is unsupported. Please try again with any of the valid \
             types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
        )
    };
    name.map(|name| Algorithm::from_name(name).ok_or_else(unknown)).transpose()
}

pub(super) fn checksum_kind(asked: &Asked) -> Result<Option<ChecksumKind>, S3Error> {
    match asked.header("x-amz-checksum-type") {
        None => Ok(None),
        Some("COMPOSITE") => Ok(Some(ChecksumKind::Composite)),
        Some("FULL_OBJECT") => Ok(Some(ChecksumKind::FullObject)),
        Some(other) => Err(refused(
            Code::InvalidRequest,
            format!("Value for x-amz-checksum-type header is invalid: '{other}'."),
        )),
    }
}

/// The header of a checksum.
pub(super) const fn checksum_header(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Crc32 => "x-amz-checksum-crc32",
        Algorithm::Crc32c => "x-amz-checksum-crc32c",
        Algorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
        Algorithm::Sha1 => "x-amz-checksum-sha1",
        Algorithm::Sha256 => "x-amz-checksum-sha256",
    }
}

/// The element of a checksum.
pub(super) const fn checksum_element(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Crc32 => "ChecksumCRC32",
        Algorithm::Crc32c => "ChecksumCRC32C",
        Algorithm::Crc64Nvme => "ChecksumCRC64NVME",
        Algorithm::Sha1 => "ChecksumSHA1",
        Algorithm::Sha256 => "ChecksumSHA256",
    }
}

/// Tells a checksum in an answer's headers.
pub(super) fn put_checksum(headers: &mut HeaderMap, checksum: Option<&Checksum>) {
    let Some(checksum) = checksum else { return };
    if let Ok(value) = checksum.value.parse() {
        headers.insert(checksum_header(checksum.algorithm), value);
        headers
            .insert("x-amz-checksum-type", http::HeaderValue::from_static(checksum.kind.as_str()));
    }
}
