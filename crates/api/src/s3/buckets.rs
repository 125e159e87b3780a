//! Operations on buckets.

use axum::response::Response;
use http::HeaderValue;
use objects::{Code, ObjectsError};
use serde::Deserialize;

use super::body::{self, Incoming};
use super::error::S3Error;
use super::listing::{read_token, token};
use super::xml::{self, NAMESPACE, Writer};
use super::{Asked, empty, refused};
use crate::door::Door;

/// How many buckets a page has at most.
const MOST_LISTED: usize = 10_000;

/// How many keys `DeleteObjects` takes.
const MOST_DELETED: usize = 1000;

/// The region that has no name as a place, being the first.
const FIRST_REGION: &str = "us-east-1";

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct CreateBucketConfiguration {
    location_constraint: Option<String>,
    location: Option<serde::de::IgnoredAny>,
    bucket: Option<serde::de::IgnoredAny>,
    tags: Option<serde::de::IgnoredAny>,
}

pub(super) async fn create(
    door: &Door,
    asked: &Asked,
    incoming: Incoming,
) -> Result<Response, S3Error> {
    let text = body::document(door, asked, incoming).await?;
    let region = &door.realm().region;
    if !text.is_empty() {
        let wanted: CreateBucketConfiguration = xml::read(&text)?;
        if wanted.location.is_some() || wanted.bucket.is_some() {
            return Err(S3Error::not_built("s3:CreateBucket: a directory bucket"));
        }
        if wanted.tags.is_some() {
            return Err(S3Error::not_built("s3:CreateBucket: tags of a bucket"));
        }
        if let Some(place) = wanted.location_constraint.filter(|place| place != region) {
            return Err(S3Error::new(
                "IllegalLocationConstraintException",
                400,
                format!(
                    "The {place} location constraint is incompatible for the region specific \
                     endpoint this request was sent to: this region is {region}."
                ),
            ));
        }
    }
    door.objects().create_bucket(asked.bucket()).await?;
    let mut response = empty(200);
    if let Ok(location) = HeaderValue::from_str(&format!("/{}", asked.bucket())) {
        response.headers_mut().insert(http::header::LOCATION, location);
    }
    Ok(response)
}

pub(super) async fn delete(door: &Door, asked: &Asked) -> Result<Response, S3Error> {
    door.objects().delete_bucket(asked.bucket()).await?;
    Ok(empty(204))
}

pub(super) async fn head(door: &Door, asked: &Asked) -> Result<Response, S3Error> {
    door.objects().bucket(asked.bucket()).await?;
    let mut response = empty(200);
    if let Ok(region) = HeaderValue::from_str(&door.realm().region) {
        response.headers_mut().insert("x-amz-bucket-region", region);
    }
    Ok(response)
}

pub(super) async fn location(door: &Door, asked: &Asked) -> Result<Response, S3Error> {
    door.objects().bucket(asked.bucket()).await?;
    let region = door.realm().region.as_str();
    let text = if region == FIRST_REGION { "" } else { region };
    let mut body = Writer::document("LocationConstraint", Some(NAMESPACE), |_| {});
    if !text.is_empty() {
        body = body.replace("></LocationConstraint>", &format!(">{text}</LocationConstraint>"));
    }
    Ok(super::xml(body))
}

pub(super) async fn list(door: &Door, asked: &Asked) -> Result<Response, S3Error> {
    let query = &asked.query;
    let prefix = query.get("prefix").unwrap_or_default();
    let most = query.limit("max-buckets", MOST_LISTED)?;
    let after = query.get("continuation-token").map(read_token).transpose()?;
    let region = door.realm().region.as_str();
    let here = query.get("bucket-region").is_none_or(|wanted| wanted == region);
    let (buckets, more) = match here {
        true => door.objects().buckets(prefix, after.as_deref(), most).await?,
        false => (Vec::new(), false),
    };
    let account = &asked.caller.identity.principal.account;
    let body = Writer::document("ListAllMyBucketsResult", Some(NAMESPACE), |result| {
        result.node("Owner", |owner| owner.leaf("ID", account));
        result.node("Buckets", |list| {
            for bucket in &buckets {
                list.node("Bucket", |entry| {
                    entry.leaf("Name", &bucket.name);
                    entry.leaf("CreationDate", &bucket.created.rfc3339());
                    entry.leaf("BucketRegion", region);
                });
            }
        });
        let last = buckets.last().filter(|_| more);
        result.maybe("ContinuationToken", last.map(|last| token(&last.name)).as_deref());
        result.maybe("Prefix", query.get("prefix"));
    });
    Ok(super::xml(body))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Delete {
    #[serde(rename = "Object", default)]
    objects: Vec<DeleteEntry>,
    quiet: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteEntry {
    key: String,
    version_id: Option<String>,
    #[serde(rename = "ETag")]
    etag: Option<String>,
    last_modified_time: Option<String>,
    size: Option<u64>,
}

/// Each key that may not be deleted is told as an error of its own.
pub(super) async fn delete_objects(
    door: &Door,
    asked: &Asked,
    incoming: Incoming,
) -> Result<Response, S3Error> {
    let text = body::document(door, asked, incoming).await?;
    let wanted: Delete = xml::read(&text)?;
    if wanted.objects.is_empty() || wanted.objects.len() > MOST_DELETED {
        return Err(refused(
            Code::MalformedXML,
            format!(
                "The XML you provided was not well-formed or did not validate against our published \
                 schema: it names 1 to {MOST_DELETED} objects."
            ),
        ));
    }
    let (mut keys, mut errors) = (Vec::new(), Vec::new());
    for entry in wanted.objects {
        if entry.version_id.is_some_and(|version| version != "null") {
            return Err(S3Error::not_built("s3:DeleteObjects: VersionId, versions of objects,"));
        }
        if entry.etag.is_some() || entry.last_modified_time.is_some() || entry.size.is_some() {
            return Err(S3Error::not_built("s3:DeleteObjects: a condition on an object"));
        }
        let resource = format!("arn:aws:s3:::{}/{}", asked.bucket(), entry.key);
        match door.permit(&asked.caller, "s3:DeleteObject", &resource) {
            Ok(()) => keys.push(entry.key),
            Err(error) => errors.push((entry.key, error.message())),
        }
    }
    let deleted: Result<(), ObjectsError> =
        door.objects().delete_objects(asked.bucket(), keys.clone()).await;
    deleted?;
    let body = Writer::document("DeleteResult", Some(NAMESPACE), |result| {
        for key in keys.iter().filter(|_| wanted.quiet != Some(true)) {
            result.node("Deleted", |entry| entry.leaf("Key", key));
        }
        for (key, message) in &errors {
            result.node("Error", |entry| {
                entry.leaf("Key", key);
                entry.leaf("Code", "AccessDenied");
                entry.leaf("Message", message);
            });
        }
    });
    Ok(super::xml(body))
}
