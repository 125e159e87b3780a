//! Errors in the form of the distribution-spec: a status and `{"errors": [{code, message}]}`.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use crate::error::RegistryError;

/// The distribution-spec's error codes, and Docker's for what it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    TagInvalid,
    Denied,
    TooManyRequests,
    Unauthorized,
    Unsupported,
    PaginationInvalid,
    Unknown,
}

impl Code {
    const fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::TagInvalid => "TAG_INVALID",
            Self::Denied => "DENIED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Unsupported => "UNSUPPORTED",
            Self::PaginationInvalid => "PAGINATION_NUMBER_INVALID",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// An answer that is an error.
#[derive(Debug)]
pub(super) struct HttpError {
    status: StatusCode,
    code: Code,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl HttpError {
    pub(super) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new() }
    }

    pub(super) fn bad(code: Code, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn absent(code: Code, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    pub(super) fn method(method: &Method, allowed: &'static str) -> Self {
        let message = format!("{method} is not possible here; {allowed} is");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, message)
            .with_header(header::ALLOW, allowed)
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

impl From<RegistryError> for HttpError {
    fn from(error: RegistryError) -> Self {
        use RegistryError as E;
        let message = error.to_string();
        match error {
            E::RepositoryNotFound { .. } => Self::absent(Code::NameUnknown, message),
            E::ImageNotFound { .. } => Self::absent(Code::ManifestUnknown, message),
            E::InvalidManifest(_) => Self::bad(Code::ManifestInvalid, message),
            E::ImageTagAlreadyExists { .. } => Self::bad(Code::TagInvalid, message),
            E::ImageDigestDoesNotMatch { .. } => Self::bad(Code::DigestInvalid, message),
            E::LayersNotFound { .. } | E::ReferencedImagesNotFound { .. } => {
                Self::bad(Code::ManifestBlobUnknown, message)
            }
            E::RepositoryAlreadyExists { .. }
            | E::RepositoryNotEmpty { .. }
            | E::InvalidParameter(_)
            | E::InvalidTag(_)
            | E::TooManyTags(_) => Self::bad(Code::Unsupported, message),
            E::Disk { .. } | E::Records { .. } => {
                tracing::error!(error = stdx::chain(&error), "the registry failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown, stdx::chain(&error))
            }
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        #[derive(serde::Serialize)]
        struct One<'a> {
            code: &'a str,
            message: &'a str,
        }
        #[derive(serde::Serialize)]
        struct All<'a> {
            errors: [One<'a>; 1],
        }
        let all = All { errors: [One { code: self.code.as_str(), message: &self.message }] };
        let json = serde_json::to_vec(&all).expect("two texts are always JSON");
        let mut response = Response::new(Body::from(json));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}
