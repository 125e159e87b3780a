//! Errors as S3 answers them: a status and XML.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>

use std::borrow::Cow;

use auth::AuthError;
use axum::response::Response;
use objects::{Code, ObjectsError};

use super::{empty, xml};

/// An answer that is an error.
#[derive(Debug)]
pub(super) struct S3Error {
    pub(super) code: Cow<'static, str>,
    status: u16,
    message: String,
}

impl S3Error {
    pub(super) fn new(code: &'static str, status: u16, message: impl Into<String>) -> Self {
        Self { code: code.into(), status, message: message.into() }
    }

    /// HTTP 501, by the name of what is not built.
    pub(super) fn not_built(what: &str) -> Self {
        Self::new(
            "NotImplemented",
            501,
            format!("{what} is not built yet in Wharf; the call had no effect."),
        )
    }

    /// The answer. To a `HEAD` it has no body.
    pub(super) fn response(&self, path: &str, request_id: &str, head: bool) -> Response {
        if head || self.status == 304 {
            return empty(self.status);
        }
        let body = xml::Writer::document("Error", None, |error| {
            error.leaf("Code", &self.code);
            error.leaf("Message", &self.message);
            error.leaf("Resource", path);
            error.leaf("RequestId", request_id);
        });
        let mut response = super::xml(body);
        *response.status_mut() = *empty(self.status).status_mut();
        response
    }
}

impl From<ObjectsError> for S3Error {
    fn from(error: ObjectsError) -> Self {
        let code = error.code();
        if code == Code::InternalError {
            tracing::error!(error = stdx::chain(&error), "the store of objects failed");
            let text =
                "We encountered an internal error. Please try again. The server's log says why.";
            return Self::new("InternalError", 500, text);
        }
        Self::new(code.as_str(), code.status(), error.to_string())
    }
}

impl From<AuthError> for S3Error {
    fn from(error: AuthError) -> Self {
        let (code, status) = match &error {
            AuthError::InvalidToken => {
                let text = "The AWS Access Key Id you provided does not exist in our records.";
                return Self::new("InvalidAccessKeyId", 403, text);
            }
            AuthError::ExpiredToken => ("ExpiredToken", 400),
            AuthError::Expired { .. } | AuthError::NotYetCurrent { .. } => {
                ("RequestTimeTooSkewed", 403)
            }
            AuthError::RequestExpired { .. } | AuthError::AccessDenied { .. } => {
                ("AccessDenied", 403)
            }
            AuthError::WrongScope(_) => ("AuthorizationHeaderMalformed", 400),
            AuthError::Incomplete(_) | AuthError::UnsupportedAlgorithm(_) => {
                ("InvalidRequest", 400)
            }
            AuthError::PayloadMismatch { .. } => ("XAmzContentSHA256Mismatch", 400),
            AuthError::SignatureMismatch { .. }
            | AuthError::HeadersNotSigned(_)
            | AuthError::BadChunk(_) => ("SignatureDoesNotMatch", 403),
            _ => ("AccessDenied", 403),
        };
        Self::new(code, status, error.message())
    }
}
