//! Why CloudWatch Logs refuses, in its words.

use std::fmt;
use std::sync::Arc;

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A log group.
    Group,
    /// A log stream.
    Stream,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Group => "log group",
            Self::Stream => "log stream",
        })
    }
}

/// A refused or failed call. `Display` is what CloudWatch Logs tells its clients.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogsError {
    /// There is no such group or stream.
    #[error("The specified {what} does not exist.")]
    NotFound {
        /// Which kind.
        what: Subject,
        /// Its name.
        name: String,
    },
    /// There is one by that name.
    #[error("The specified {what} already exists")]
    AlreadyExists {
        /// Which kind.
        what: Subject,
        /// Its name.
        name: String,
    },
    /// A value that is not acceptable.
    #[error("{why}")]
    InvalidParameter {
        /// The member of the request, as AWS spells it.
        member: &'static str,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// As many as there may be.
    #[error("Resource limit exceeded. There may be at most {most} {what}s.")]
    LimitExceeded {
        /// Which kind.
        what: Subject,
        /// How many there may be.
        most: u64,
    },
    /// The store failed; what was asked for has not happened.
    #[error("{attempt} the log store")]
    Storage {
        /// What was attempted.
        attempt: &'static str,
        /// What the store says.
        #[source]
        source: Arc<redb::Error>,
    },
    /// The store's data is not what this version writes.
    #[error("read the log store: the record of {0} is damaged")]
    Damaged(String),
    /// The writer has stopped, which it does only when the process ends or after a defect.
    #[error("write to the log store: it is closed")]
    Closed,
}

impl LogsError {
    /// The error's code in AWS's JSON protocol.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "ResourceNotFoundException",
            Self::AlreadyExists { .. } => "ResourceAlreadyExistsException",
            Self::InvalidParameter { .. } => "InvalidParameterException",
            Self::LimitExceeded { .. } => "LimitExceededException",
            Self::Storage { .. } | Self::Damaged(_) | Self::Closed => "ServiceUnavailableException",
        }
    }

    pub(crate) fn no_group(name: &str) -> Self {
        Self::NotFound { what: Subject::Group, name: name.to_owned() }
    }

    pub(crate) fn no_stream(name: &str) -> Self {
        Self::NotFound { what: Subject::Stream, name: name.to_owned() }
    }

    pub(crate) fn invalid(member: &'static str, why: impl Into<String>) -> Self {
        Self::InvalidParameter { member, why: why.into() }
    }

    pub(crate) fn storage(attempt: &'static str, source: impl Into<redb::Error>) -> Self {
        Self::Storage { attempt, source: Arc::new(source.into()) }
    }

    /// Whether the transaction that met this error must not be committed.
    pub(crate) const fn is_failure(&self) -> bool {
        matches!(self, Self::Storage { .. } | Self::Damaged(_) | Self::Closed)
    }
}

impl From<redb::StorageError> for LogsError {
    fn from(error: redb::StorageError) -> Self {
        Self::storage("use", error)
    }
}

impl From<redb::TableError> for LogsError {
    fn from(error: redb::TableError) -> Self {
        Self::storage("open a table of", error)
    }
}

impl From<redb::TransactionError> for LogsError {
    fn from(error: redb::TransactionError) -> Self {
        Self::storage("begin a transaction on", error)
    }
}

impl From<redb::CommitError> for LogsError {
    fn from(error: redb::CommitError) -> Self {
        Self::storage("commit to", error)
    }
}
