//! `ListObjects` and `ListObjectsV2`.

use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use objects::{Code, ListQuery, Listing};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::S3Error;
use super::xml::{NAMESPACE, Writer};
use super::{Asked, refused};
use crate::door::Door;

/// How many keys and common prefixes a page has at most.
const MOST_LISTED: usize = 1000;

/// What `encoding-type=url` leaves as it is.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b'*');

/// A token of a list: opaque to clients, a name to us.
pub(super) fn token(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(name)
}

pub(super) fn read_token(token: &str) -> Result<String, S3Error> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
        refused(Code::InvalidArgument, "The continuation token provided is incorrect")
    })
}

/// Whether names are to be encoded.
pub(super) fn encoding(asked: &Asked) -> Result<bool, S3Error> {
    match asked.query.get("encoding-type") {
        None => Ok(false),
        Some("url") => Ok(true),
        Some(_) => {
            Err(refused(Code::InvalidArgument, "Invalid Encoding Method specified in Request"))
        }
    }
}

/// A name as it is, or encoded.
pub(super) fn name(text: &str, encode: bool) -> String {
    if encode { utf8_percent_encode(text, PLAIN).to_string() } else { text.to_owned() }
}

fn query(asked: &Asked, after: Option<String>) -> Result<ListQuery, S3Error> {
    Ok(ListQuery {
        prefix: asked.query.get("prefix").unwrap_or_default().to_owned(),
        delimiter: asked.query.get("delimiter").filter(|d| !d.is_empty()).map(str::to_owned),
        after: after.filter(|after| !after.is_empty()),
        most: asked.query.limit("max-keys", MOST_LISTED)?,
    })
}

pub(super) async fn first(door: &Door, asked: &Asked) -> Result<Response, S3Error> {
    let (encode, marker) = (encoding(asked)?, asked.query.get("marker").unwrap_or_default());
    let query = query(asked, Some(marker.to_owned()))?;
    let listing = door.objects().list_objects(asked.bucket(), query.clone()).await?;
    let body = Writer::document("ListBucketResult", Some(NAMESPACE), |result| {
        head(result, asked, &query, &listing, encode);
        result.leaf("Marker", &name(marker, encode));
        let next = listing.next.as_deref().filter(|_| query.delimiter.is_some());
        result.maybe("NextMarker", next.map(|next| name(next, encode)).as_deref());
        entries(result, asked, &listing, encode, true);
    });
    Ok(super::xml(body))
}

pub(super) async fn second(door: &Door, asked: &Asked) -> Result<Response, S3Error> {
    let encode = encoding(asked)?;
    let start = asked.query.get("start-after");
    let after = match asked.query.get("continuation-token") {
        Some(token) => Some(read_token(token)?),
        None => start.map(str::to_owned),
    };
    let query = query(asked, after)?;
    let listing = door.objects().list_objects(asked.bucket(), query.clone()).await?;
    let owner = asked.query.get("fetch-owner") == Some("true");
    let body = Writer::document("ListBucketResult", Some(NAMESPACE), |result| {
        head(result, asked, &query, &listing, encode);
        let count = listing.objects.len() + listing.prefixes.len();
        result.leaf("KeyCount", &count.to_string());
        result.maybe("ContinuationToken", asked.query.get("continuation-token"));
        result.maybe("NextContinuationToken", listing.next.as_deref().map(token).as_deref());
        result.maybe("StartAfter", start.map(|start| name(start, encode)).as_deref());
        entries(result, asked, &listing, encode, owner);
    });
    Ok(super::xml(body))
}

fn head(out: &mut Writer, asked: &Asked, query: &ListQuery, listing: &Listing, encode: bool) {
    out.leaf("Name", asked.bucket());
    out.leaf("Prefix", &name(&query.prefix, encode));
    let delimiter = query.delimiter.as_deref().map(|delimiter| name(delimiter, encode));
    out.maybe("Delimiter", delimiter.as_deref());
    out.leaf("MaxKeys", &query.most.to_string());
    out.maybe("EncodingType", encode.then_some("url"));
    out.leaf("IsTruncated", if listing.next.is_some() { "true" } else { "false" });
}

fn entries(out: &mut Writer, asked: &Asked, listing: &Listing, encode: bool, owner: bool) {
    for object in &listing.objects {
        out.node("Contents", |entry| {
            entry.leaf("Key", &name(&object.key, encode));
            entry.leaf("LastModified", &object.modified.rfc3339());
            entry.leaf("ETag", &format!("\"{}\"", object.etag));
            if let Some(checksum) = &object.checksum {
                entry.leaf("ChecksumAlgorithm", checksum.algorithm.as_str());
                entry.leaf("ChecksumType", checksum.kind.as_str());
            }
            entry.leaf("Size", &object.bytes.to_string());
            if owner {
                let account = &asked.caller.identity.principal.account;
                entry.node("Owner", |owner| owner.leaf("ID", account));
            }
            entry.leaf("StorageClass", "STANDARD");
        });
    }
    for prefix in &listing.prefixes {
        out.node("CommonPrefixes", |entry| entry.leaf("Prefix", &name(prefix, encode)));
    }
}
