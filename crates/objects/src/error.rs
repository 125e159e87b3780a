//! Why S3 refuses, in its words.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// S3's error codes, as far as they occur here, with their HTTP status.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal,)*) => {
        /// An error of S3, by its code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// As S3 spells it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The HTTP status that carries it.
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                }
            }
        }
    };
}

codes! {
    /// The identity is known and may not do this.
    AccessDenied = 403,
    /// The body is not the one whose digest or checksum was given.
    BadDigest = 400,
    /// There is such a bucket, and it is this account's.
    BucketAlreadyOwnedByYou = 409,
    /// There are objects in it.
    BucketNotEmpty = 409,
    /// It is larger than may be.
    EntityTooLarge = 400,
    /// A part is smaller than may be.
    EntityTooSmall = 400,
    /// The body broke off.
    IncompleteBody = 400,
    /// A fault of this side's.
    InternalError = 500,
    /// A value that is not acceptable.
    InvalidArgument = 400,
    /// No bucket can be called so.
    InvalidBucketName = 400,
    /// `Content-MD5` is not base64 of 16 bytes.
    InvalidDigest = 400,
    /// A part is not there, or is another.
    InvalidPart = 400,
    /// Parts are not in ascending order.
    InvalidPartOrder = 400,
    /// The range begins behind the end.
    InvalidRange = 416,
    /// A request that contradicts itself.
    InvalidRequest = 400,
    /// A key has at most 1024 bytes.
    KeyTooLongError = 400,
    /// The body is not the XML that is wanted.
    MalformedXML = 400,
    /// Metadata has at most 2 KiB.
    MetadataTooLarge = 400,
    /// The method is not allowed here.
    MethodNotAllowed = 405,
    /// The request does not say how long its body is.
    MissingContentLength = 411,
    /// There is no such bucket.
    NoSuchBucket = 404,
    /// There is no such object.
    NoSuchKey = 404,
    /// There is no such upload of parts.
    NoSuchUpload = 404,
    /// Not built here.
    NotImplemented = 501,
    /// A condition does not hold.
    PreconditionFailed = 412,
    /// The body did not come in time.
    RequestTimeout = 400,
    /// As many buckets as there may be.
    TooManyBuckets = 400,
    /// The body is not the one whose checksum was given.
    XAmzContentChecksumMismatch = 400,
}

/// A refused or failed call. `Display` is what S3 tells its clients.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectsError {
    /// A refusal.
    #[error("{message}")]
    Refused {
        /// S3's code.
        code: Code,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// The records cannot be read or written; what was asked for has not happened.
    #[error("{attempt} the records of objects")]
    Storage {
        /// What was attempted.
        attempt: &'static str,
        /// What the store says.
        #[source]
        source: Arc<redb::Error>,
    },
    /// A file cannot be read or written.
    #[error("{attempt} {}", path.display())]
    Disk {
        /// What was attempted.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: Arc<io::Error>,
    },
    /// A record is not what this version writes.
    #[error("read the records of objects: the record of {0} is damaged")]
    Damaged(String),
    /// The process is ending.
    #[error("use the records of objects: they are closed")]
    Closed,
}

impl ObjectsError {
    /// S3's code; `InternalError` if the fault is this side's.
    pub const fn code(&self) -> Code {
        match self {
            Self::Refused { code, .. } => *code,
            Self::Storage { .. } | Self::Disk { .. } | Self::Damaged(_) | Self::Closed => {
                Code::InternalError
            }
        }
    }

    /// A refusal.
    pub fn refused(code: Code, message: impl Into<String>) -> Self {
        Self::Refused { code, message: message.into() }
    }

    pub(crate) fn disk(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Disk { attempt, path, source: Arc::new(source) }
    }

    pub(crate) fn storage(attempt: &'static str, source: impl Into<redb::Error>) -> Self {
        Self::Storage { attempt, source: Arc::new(source.into()) }
    }

    pub(crate) fn no_bucket() -> Self {
        Self::refused(Code::NoSuchBucket, "The specified bucket does not exist")
    }

    pub(crate) fn no_key() -> Self {
        Self::refused(Code::NoSuchKey, "The specified key does not exist.")
    }

    pub(crate) fn no_upload() -> Self {
        Self::refused(
            Code::NoSuchUpload,
            "The specified upload does not exist. The upload ID may be invalid, or the upload may \
             have been aborted or completed.",
        )
    }
}

impl From<redb::StorageError> for ObjectsError {
    fn from(error: redb::StorageError) -> Self {
        Self::storage("use", error)
    }
}

impl From<redb::TableError> for ObjectsError {
    fn from(error: redb::TableError) -> Self {
        Self::storage("open a table of", error)
    }
}

impl From<redb::TransactionError> for ObjectsError {
    fn from(error: redb::TransactionError) -> Self {
        Self::storage("begin a transaction on", error)
    }
}

impl From<redb::CommitError> for ObjectsError {
    fn from(error: redb::CommitError) -> Self {
        Self::storage("commit to", error)
    }
}
