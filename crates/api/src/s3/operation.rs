//! Which operation a request calls, what it needs, and calling it.

use axum::response::Response;
use http::Method;

use super::error::S3Error;
use super::{Asked, body, buckets, listing, multipart, object};
use crate::door::Door;

macro_rules! operations {
    ($($name:ident),* $(,)?) => {
        /// An operation that is built.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Operation { $($name,)* }

        impl Operation {
            /// As S3 calls it.
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

operations! {
    ListBuckets, CreateBucket, DeleteBucket, HeadBucket, GetBucketLocation, ListObjects,
    ListObjectsV2, DeleteObjects, ListMultipartUploads, PutObject, CopyObject, GetObject, HeadObject,
    DeleteObject, CreateMultipartUpload, UploadPart, CompleteMultipartUpload, AbortMultipartUpload,
    ListParts,
}

/// Parts of a query that call for something of its own, and how that ends S3's name for it.
const NOT_BUILT: [(&str, &str); 28] = [
    ("accelerate", "AccelerateConfiguration"),
    ("acl", "Acl"),
    ("analytics", "AnalyticsConfiguration"),
    ("attributes", "Attributes"),
    ("cors", "Cors"),
    ("encryption", "Encryption"),
    ("intelligent-tiering", "IntelligentTieringConfiguration"),
    ("inventory", "InventoryConfiguration"),
    ("legal-hold", "LegalHold"),
    ("lifecycle", "LifecycleConfiguration"),
    ("logging", "Logging"),
    ("metadataTable", "MetadataTableConfiguration"),
    ("metrics", "MetricsConfiguration"),
    ("notification", "NotificationConfiguration"),
    ("object-lock", "ObjectLockConfiguration"),
    ("ownershipControls", "OwnershipControls"),
    ("policy", "Policy"),
    ("policyStatus", "PolicyStatus"),
    ("publicAccessBlock", "PublicAccessBlock"),
    ("replication", "Replication"),
    ("requestPayment", "RequestPayment"),
    ("restore", "Restore"),
    ("retention", "Retention"),
    ("select", "SelectContent"),
    ("tagging", "Tagging"),
    ("torrent", "Torrent"),
    ("versioning", "Versioning"),
    ("versions", "Versions"),
];

/// What a query may say.
const KNOWN: [&str; 22] = [
    "bucket-region",
    "continuation-token",
    "delete",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "list-type",
    "location",
    "marker",
    "max-buckets",
    "max-keys",
    "max-parts",
    "max-uploads",
    "part-number-marker",
    "partNumber",
    "prefix",
    "start-after",
    "upload-id-marker",
    "uploadId",
    "uploads",
    "x-id",
];

/// The operation that a request calls.
pub(super) fn of(asked: &Asked) -> Result<Operation, S3Error> {
    let (method, query) = (&asked.parts.method, &asked.query);
    let whole = asked.target.key.is_none();
    if let Some((_, ending)) = NOT_BUILT.iter().find(|(name, _)| query.has(name)) {
        let verb = match *method {
            Method::PUT => "Put",
            Method::DELETE => "Delete",
            Method::POST => "Post",
            _ => "Get",
        };
        let what = if whole { "Bucket" } else { "Object" };
        return Err(S3Error::not_built(&format!("s3:{verb}{what}{ending}")));
    }
    let known = |name: &str| {
        KNOWN.contains(&name) || name.starts_with("X-Amz-") || name.starts_with("response-")
    };
    if let Some(name) = query.names().find(|name| !known(name)) {
        let name: String = name.chars().take(100).collect();
        return Err(S3Error::not_built(&format!("s3: the query parameter '{name}'")));
    }
    if asked.target.bucket.is_none() {
        return match *method {
            Method::GET => Ok(Operation::ListBuckets),
            _ => Err(not_allowed(method)),
        };
    }
    if whole { of_bucket(asked) } else { of_object(asked) }
}

fn not_allowed(method: &Method) -> S3Error {
    S3Error::new(
        "MethodNotAllowed",
        405,
        format!("The specified method {method} is not allowed against this resource."),
    )
}

fn of_bucket(asked: &Asked) -> Result<Operation, S3Error> {
    let (method, query) = (&asked.parts.method, &asked.query);
    Ok(match *method {
        Method::PUT => Operation::CreateBucket,
        Method::DELETE => Operation::DeleteBucket,
        Method::HEAD => Operation::HeadBucket,
        Method::POST if query.has("delete") => Operation::DeleteObjects,
        Method::POST => return Err(S3Error::not_built("s3:PostObject, uploading by a form,")),
        Method::GET if query.has("location") => Operation::GetBucketLocation,
        Method::GET if query.has("uploads") => Operation::ListMultipartUploads,
        Method::GET if query.get("list-type") == Some("2") => Operation::ListObjectsV2,
        Method::GET => Operation::ListObjects,
        _ => return Err(not_allowed(method)),
    })
}

fn of_object(asked: &Asked) -> Result<Operation, S3Error> {
    let (method, query) = (&asked.parts.method, &asked.query);
    let (upload, copy) = (query.has("uploadId"), asked.header("x-amz-copy-source").is_some());
    Ok(match *method {
        Method::PUT if upload && copy => return Err(S3Error::not_built("s3:UploadPartCopy")),
        Method::PUT if upload => Operation::UploadPart,
        Method::PUT if copy => Operation::CopyObject,
        Method::PUT => Operation::PutObject,
        Method::POST if query.has("uploads") => Operation::CreateMultipartUpload,
        Method::POST if upload => Operation::CompleteMultipartUpload,
        Method::DELETE if upload => Operation::AbortMultipartUpload,
        Method::DELETE => Operation::DeleteObject,
        Method::GET if upload => Operation::ListParts,
        Method::GET | Method::HEAD if query.has("partNumber") => {
            return Err(S3Error::not_built("s3: getting an object by partNumber"));
        }
        Method::GET => Operation::GetObject,
        Method::HEAD => Operation::HeadObject,
        _ => return Err(not_allowed(method)),
    })
}

impl Operation {
    /// Action and resource of each permission that it needs.
    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html>
    pub(super) fn needs(self, asked: &Asked) -> Vec<(&'static str, String)> {
        let bucket = || format!("arn:aws:s3:::{}", asked.bucket());
        let object = || format!("arn:aws:s3:::{}/{}", asked.bucket(), asked.key());
        match self {
            Self::ListBuckets => vec![("s3:ListAllMyBuckets", "*".to_owned())],
            Self::CreateBucket => vec![("s3:CreateBucket", bucket())],
            Self::DeleteBucket => vec![("s3:DeleteBucket", bucket())],
            Self::HeadBucket | Self::ListObjects | Self::ListObjectsV2 => {
                vec![("s3:ListBucket", bucket())]
            }
            Self::GetBucketLocation => vec![("s3:GetBucketLocation", bucket())],
            Self::ListMultipartUploads => vec![("s3:ListBucketMultipartUploads", bucket())],
            Self::PutObject
            | Self::CreateMultipartUpload
            | Self::UploadPart
            | Self::CompleteMultipartUpload => vec![("s3:PutObject", object())],
            Self::CopyObject => {
                let source = asked.header("x-amz-copy-source").unwrap_or_default();
                let source = super::Target::source(source).unwrap_or_default();
                let source = format!("arn:aws:s3:::{}/{}", source.0, source.1);
                vec![("s3:GetObject", source), ("s3:PutObject", object())]
            }
            Self::GetObject | Self::HeadObject => vec![("s3:GetObject", object())],
            Self::DeleteObject => vec![("s3:DeleteObject", object())],
            // Each key is asked for when the body has been read.
            Self::DeleteObjects => Vec::new(),
            Self::AbortMultipartUpload => vec![("s3:AbortMultipartUpload", object())],
            Self::ListParts => vec![("s3:ListMultipartUploadParts", object())],
        }
    }
}

/// Calls it.
pub(super) async fn call(
    door: &Door,
    asked: &Asked,
    operation: Operation,
    body: body::Incoming,
) -> Result<Response, S3Error> {
    match operation {
        Operation::ListBuckets => buckets::list(door, asked).await,
        Operation::CreateBucket => buckets::create(door, asked, body).await,
        Operation::DeleteBucket => buckets::delete(door, asked).await,
        Operation::HeadBucket => buckets::head(door, asked).await,
        Operation::GetBucketLocation => buckets::location(door, asked).await,
        Operation::ListObjects => listing::first(door, asked).await,
        Operation::ListObjectsV2 => listing::second(door, asked).await,
        Operation::DeleteObjects => buckets::delete_objects(door, asked, body).await,
        Operation::PutObject => object::put(door, asked, body).await,
        Operation::CopyObject => object::copy(door, asked).await,
        Operation::GetObject => object::get(door, asked, false).await,
        Operation::HeadObject => object::get(door, asked, true).await,
        Operation::DeleteObject => object::delete(door, asked).await,
        Operation::ListMultipartUploads => multipart::list(door, asked).await,
        Operation::CreateMultipartUpload => multipart::create(door, asked).await,
        Operation::UploadPart => multipart::put_part(door, asked, body).await,
        Operation::CompleteMultipartUpload => multipart::complete(door, asked, body).await,
        Operation::AbortMultipartUpload => multipart::abort(door, asked).await,
        Operation::ListParts => multipart::list_parts(door, asked).await,
    }
}
