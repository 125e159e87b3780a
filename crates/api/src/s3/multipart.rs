//! Uploads of parts.

use axum::response::Response;
use http::HeaderValue;
use objects::{Algorithm, Code, CompletedPart};
use serde::Deserialize;

use super::body::{self, Incoming};
use super::error::S3Error;
use super::listing::{encoding, name};
use super::object::put_etag;
use super::xml::{self, NAMESPACE, Writer};
use super::{Asked, empty, headers, refused};
use crate::door::Door;

/// How many parts or uploads a page has at most.
const MOST_LISTED: usize = 1000;

fn upload(asked: &Asked) -> &str {
    asked.query.get("uploadId").unwrap_or_default()
}

pub(super) async fn create(door: &Door, asked: &Asked) -> Result<Response, S3Error> {
    let meta = headers::meta(&asked.parts.headers)?;
    let algorithm = headers::named_algorithm(asked.header("x-amz-checksum-algorithm"))?;
    let kind = headers::checksum_kind(asked)?;
    let id =
        door.objects().create_upload(asked.bucket(), asked.key(), meta, algorithm, kind).await?;
    let body = Writer::document("InitiateMultipartUploadResult", Some(NAMESPACE), |result| {
        result.leaf("Bucket", asked.bucket());
        result.leaf("Key", asked.key());
        result.leaf("UploadId", &id);
    });
    let mut response = super::xml(body);
    if let Some(algorithm) = algorithm {
        let kind = kind.unwrap_or(algorithm.usual_kind());
        let told = response.headers_mut();
        told.insert("x-amz-checksum-algorithm", HeaderValue::from_static(algorithm.as_str()));
        told.insert("x-amz-checksum-type", HeaderValue::from_static(kind.as_str()));
    }
    Ok(response)
}

pub(super) async fn put_part(
    door: &Door,
    asked: &Asked,
    incoming: Incoming,
) -> Result<Response, S3Error> {
    let number: u32 = asked.query.get("partNumber").and_then(|n| n.parse().ok()).unwrap_or(0);
    let id = upload(asked);
    let known = door.objects().upload(asked.bucket(), asked.key(), id).await?;
    let said = headers::algorithm(asked)?;
    if let (Some(wanted), Some(said)) = (known.algorithm, said)
        && wanted != said
    {
        return Err(refused(
            Code::InvalidRequest,
            format!(
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: \
                 {}",
                wanted.as_str().to_lowercase(),
                said.as_str().to_lowercase()
            ),
        ));
    }
    let received = body::content(door, asked, incoming).await?;
    let part = door.objects().put_part(asked.bucket(), asked.key(), id, number, received).await?;
    let mut response = empty(200);
    put_etag(response.headers_mut(), &part.etag);
    headers::put_checksum(response.headers_mut(), part.checksum.as_ref());
    response.headers_mut().remove("x-amz-checksum-type");
    Ok(response)
}

#[derive(Deserialize)]
struct CompleteMultipartUpload {
    #[serde(rename = "Part", default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Part {
    part_number: u32,
    #[serde(rename = "ETag")]
    etag: String,
    #[serde(rename = "ChecksumCRC32")]
    crc32: Option<String>,
    #[serde(rename = "ChecksumCRC32C")]
    crc32c: Option<String>,
    #[serde(rename = "ChecksumCRC64NVME")]
    crc64nvme: Option<String>,
    #[serde(rename = "ChecksumSHA1")]
    sha1: Option<String>,
    #[serde(rename = "ChecksumSHA256")]
    sha256: Option<String>,
}

impl Part {
    fn completed(self, algorithm: Option<Algorithm>) -> CompletedPart {
        let checksum = match algorithm {
            Some(Algorithm::Crc32) => self.crc32,
            Some(Algorithm::Crc32c) => self.crc32c,
            Some(Algorithm::Crc64Nvme) => self.crc64nvme,
            Some(Algorithm::Sha1) => self.sha1,
            Some(Algorithm::Sha256) => self.sha256,
            None => None,
        };
        let etag = headers::unquoted(&self.etag).to_owned();
        CompletedPart { number: self.part_number, etag, checksum }
    }
}

pub(super) async fn complete(
    door: &Door,
    asked: &Asked,
    incoming: Incoming,
) -> Result<Response, S3Error> {
    let text = body::document(door, asked, incoming).await?;
    let (bucket, key, id) = (asked.bucket(), asked.key(), upload(asked));
    let known = door.objects().upload(bucket, key, id).await?;
    let wanted: CompleteMultipartUpload = xml::read(&text)?;
    if let (Some(kind), Some(known)) = (headers::checksum_kind(asked)?, known.kind)
        && kind != known
    {
        return Err(refused(
            Code::InvalidRequest,
            format!("The upload was created with the {} checksum type.", known.as_str()),
        ));
    }
    let size = asked.header("x-amz-mp-object-size").map(str::parse::<u64>).transpose();
    let size =
        size.map_err(|_| refused(Code::InvalidRequest, "x-amz-mp-object-size: no number"))?;
    if let Some(size) = size {
        let there = door.objects().parts(bucket, key, id).await?;
        let named = |number| wanted.parts.iter().any(|part| part.part_number == number);
        let sum: u64 = there.iter().filter(|part| named(part.number)).map(|part| part.bytes).sum();
        if sum != size {
            return Err(refused(
                Code::InvalidRequest,
                format!("The parts have {sum} bytes, and x-amz-mp-object-size says {size}."),
            ));
        }
    }
    let parts = wanted.parts.into_iter().map(|part| part.completed(known.algorithm)).collect();
    let expected = headers::said_checksum(&asked.parts.headers)
        .filter(|(algorithm, _)| Some(*algorithm) == known.algorithm)
        .map(|(_, value)| value);
    let conditions = headers::conditions(asked, "if-match", "if-none-match");
    let object =
        door.objects().complete_upload((bucket, key, id), parts, conditions, expected).await?;
    let body = Writer::document("CompleteMultipartUploadResult", Some(NAMESPACE), |result| {
        result.leaf("Location", &format!("/{bucket}/{key}"));
        result.leaf("Bucket", bucket);
        result.leaf("Key", key);
        result.leaf("ETag", &format!("\"{}\"", object.etag));
        if let Some(checksum) = &object.checksum {
            result.leaf(headers::checksum_element(checksum.algorithm), &checksum.value);
            result.leaf("ChecksumType", checksum.kind.as_str());
        }
    });
    Ok(super::xml(body))
}

pub(super) async fn abort(door: &Door, asked: &Asked) -> Result<Response, S3Error> {
    door.objects().abort_upload(asked.bucket(), asked.key(), upload(asked)).await?;
    Ok(empty(204))
}

pub(super) async fn list_parts(door: &Door, asked: &Asked) -> Result<Response, S3Error> {
    let most = asked.query.limit("max-parts", MOST_LISTED)?;
    let after: u32 =
        asked.query.get("part-number-marker").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut parts = door.objects().parts(asked.bucket(), asked.key(), upload(asked)).await?;
    parts.retain(|part| part.number > after);
    let more = parts.len() > most;
    parts.truncate(most);
    let account = &asked.caller.identity.principal.account;
    let body = Writer::document("ListPartsResult", Some(NAMESPACE), |result| {
        result.leaf("Bucket", asked.bucket());
        result.leaf("Key", asked.key());
        result.leaf("UploadId", upload(asked));
        result.leaf("PartNumberMarker", &after.to_string());
        let last = parts.last().filter(|_| more).map(|part| part.number.to_string());
        result.maybe("NextPartNumberMarker", last.as_deref());
        result.leaf("MaxParts", &most.to_string());
        result.leaf("IsTruncated", if more { "true" } else { "false" });
        for part in &parts {
            result.node("Part", |entry| {
                entry.leaf("PartNumber", &part.number.to_string());
                entry.leaf("LastModified", &part.modified.rfc3339());
                entry.leaf("ETag", &format!("\"{}\"", part.etag));
                entry.leaf("Size", &part.bytes.to_string());
                if let Some(checksum) = &part.checksum {
                    entry.leaf(headers::checksum_element(checksum.algorithm), &checksum.value);
                }
            });
        }
        result.node("Owner", |owner| owner.leaf("ID", account));
        result.leaf("StorageClass", "STANDARD");
    });
    Ok(super::xml(body))
}

pub(super) async fn list(door: &Door, asked: &Asked) -> Result<Response, S3Error> {
    for name in ["delimiter", "key-marker", "upload-id-marker"] {
        if asked.query.get(name).is_some_and(|value| !value.is_empty()) {
            return Err(S3Error::not_built(&format!("s3:ListMultipartUploads: {name}")));
        }
    }
    let encode = encoding(asked)?;
    let prefix = asked.query.get("prefix").unwrap_or_default();
    let most = asked.query.limit("max-uploads", MOST_LISTED)?;
    let mut uploads = door.objects().uploads(asked.bucket()).await?;
    uploads.retain(|upload| upload.key.starts_with(prefix));
    let more = uploads.len() > most;
    uploads.truncate(most);
    let body = Writer::document("ListMultipartUploadsResult", Some(NAMESPACE), |result| {
        result.leaf("Bucket", asked.bucket());
        result.leaf("Prefix", &name(prefix, encode));
        result.maybe("EncodingType", encode.then_some("url"));
        result.leaf("MaxUploads", &most.to_string());
        result.leaf("IsTruncated", if more { "true" } else { "false" });
        for upload in &uploads {
            result.node("Upload", |entry| {
                entry.leaf("Key", &name(&upload.key, encode));
                entry.leaf("UploadId", &upload.id);
                entry.leaf("Initiated", &upload.begun.rfc3339());
                entry.leaf("StorageClass", "STANDARD");
                entry.maybe("ChecksumAlgorithm", upload.algorithm.map(Algorithm::as_str));
            });
        }
    });
    Ok(super::xml(body))
}
