//! Every refusal, with the code, the HTTP status and the message that AWS gives it.
//!
//! The same refusal has one code in the JSON protocols and another in the Query protocol, hence
//! [`Dialect`]. <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html>,
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html>

/// In which family of protocols the refusal is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// JSON 1.0, JSON 1.1 and CBOR: codes end in `Exception`, and the status is 400.
    Json,
    /// Query, EC2 Query and REST-XML: the status is 403.
    Query,
}

/// Why a request is not accepted as made by whom it claims. `Display` is AWS's message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// No signature at all.
    #[error("Request is missing Authentication Token")]
    MissingToken,
    /// A signature that lacks parts or is not well formed; the text says all that is wrong.
    #[error("{0}")]
    Incomplete(String),
    /// An authorization that is not Signature Version 4.
    #[error(
        "Unsupported AWS 'algorithm': '{0}'. The authorization mechanism you have provided is not \
         supported. Please use AWS4-HMAC-SHA256."
    )]
    UnsupportedAlgorithm(String),
    /// The access key is unknown, or the session token is not the one that belongs to it.
    #[error("The security token included in the request is invalid.")]
    InvalidToken,
    /// Temporary credentials that have ended.
    #[error("The security token included in the request is expired")]
    ExpiredToken,
    /// Signed longer ago than the allowed skew.
    #[error("Signature expired: {signed} is now earlier than {bound} ({now} - {minutes} min.)")]
    Expired {
        /// The request's instant, as signed.
        signed: String,
        /// The earliest that is accepted.
        bound: String,
        /// This machine's time.
        now: String,
        /// The allowed skew.
        minutes: u64,
    },
    /// Signed further in the future than the allowed skew.
    #[error(
        "Signature not yet current: {signed} is still later than {bound} ({now} + {minutes} min.)"
    )]
    NotYetCurrent {
        /// The request's instant, as signed.
        signed: String,
        /// The latest that is accepted.
        bound: String,
        /// This machine's time.
        now: String,
        /// The allowed skew.
        minutes: u64,
    },
    /// A presigned request after its `X-Amz-Expires`.
    #[error("Request has expired. It was valid until {until}, and now it is {now}.")]
    RequestExpired {
        /// The last instant of its validity.
        until: String,
        /// This machine's time.
        now: String,
    },
    /// The credential scope is for another day, region or service; the text says all that is wrong.
    #[error("{0}")]
    WrongScope(String),
    /// Headers that have to be signed are not.
    #[error("{0}")]
    HeadersNotSigned(String),
    /// The signature is not the one that the key gives.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your \
         AWS Secret Access Key and signing method. Consult the service documentation for \
         details.\n\nThe Canonical String for this request should have been\n'{canonical}'\n\nThe \
         String-to-Sign should have been\n'{string_to_sign}'\n"
    )]
    SignatureMismatch {
        /// The canonical request as this side understood it.
        canonical: String,
        /// The string whose HMAC the signature had to be.
        string_to_sign: String,
    },
    /// The body is not the one that `x-amz-content-sha256` declares.
    #[error(
        "The provided 'x-amz-content-sha256' header does not match what was computed: '{declared}' \
         was declared, '{computed}' was received."
    )]
    PayloadMismatch {
        /// The header's value.
        declared: String,
        /// The SHA-256 of what came.
        computed: String,
    },
    /// A streamed body whose framing or chunk signature is wrong; the text says where.
    #[error("{0}")]
    BadChunk(String),
    /// The identity is known and may not do this.
    #[error("User: {principal} is not authorized to perform: {action}")]
    AccessDenied {
        /// The principal's ARN.
        principal: String,
        /// Such as `ecs:RunTask`.
        action: String,
    },
    /// A registry password that this cluster did not make, or not for this user.
    #[error("Your Authorization Token is invalid.")]
    InvalidPassword,
    /// A registry password after its twelve hours.
    #[error("Your authorization token has expired. Reauthenticate and try again.")]
    ExpiredPassword,
}

impl AuthError {
    /// The error's code, as AWS spells it in this dialect.
    pub const fn code(&self, dialect: Dialect) -> &'static str {
        let (json, query) = match self {
            Self::MissingToken => {
                ("MissingAuthenticationTokenException", "MissingAuthenticationToken")
            }
            Self::Incomplete(_) | Self::UnsupportedAlgorithm(_) => {
                ("IncompleteSignatureException", "IncompleteSignature")
            }
            Self::InvalidToken => ("UnrecognizedClientException", "InvalidClientTokenId"),
            Self::ExpiredToken => ("ExpiredTokenException", "ExpiredToken"),
            Self::RequestExpired { .. } => ("RequestExpired", "RequestExpired"),
            Self::Expired { .. }
            | Self::NotYetCurrent { .. }
            | Self::WrongScope(_)
            | Self::HeadersNotSigned(_)
            | Self::SignatureMismatch { .. }
            | Self::PayloadMismatch { .. }
            | Self::BadChunk(_) => ("InvalidSignatureException", "SignatureDoesNotMatch"),
            Self::AccessDenied { .. } | Self::InvalidPassword | Self::ExpiredPassword => {
                ("AccessDeniedException", "AccessDenied")
            }
        };
        match dialect {
            Dialect::Json => json,
            Dialect::Query => query,
        }
    }

    /// The HTTP status in this dialect: the JSON services answer 400 to all of these.
    pub const fn status(&self, dialect: Dialect) -> u16 {
        match (dialect, self) {
            (Dialect::Json, _)
            | (Dialect::Query, Self::RequestExpired { .. } | Self::Incomplete(_)) => 400,
            (Dialect::Query, _) => 403,
        }
    }

    /// AWS's message; the same as `Display`.
    pub fn message(&self) -> String {
        self.to_string()
    }
}
