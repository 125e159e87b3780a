//! Why CloudWatch refuses, in its words.

use std::sync::Arc;

/// Which of CloudWatch's errors a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// `InvalidParameterValue`.
    Value,
    /// `InvalidParameterCombination`.
    Combination,
    /// `MissingParameter`.
    Missing,
    /// `ValidationError`.
    Validation,
    /// `InvalidNextToken`.
    Token,
    /// `LimitExceeded`.
    Limit,
    /// `ResourceNotFound`.
    NotFound,
}

/// A refused or failed call. `Display` is what clients are told.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// It was not done.
    #[error("{why}")]
    Refused {
        /// Which error it is.
        kind: Refused,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// The store failed; what was asked for has not happened.
    #[error("{attempt} the metric store")]
    Storage {
        /// What was attempted.
        attempt: &'static str,
        /// What the store says.
        #[source]
        source: Arc<redb::Error>,
    },
    /// The store's data is not what this version writes.
    #[error("read the metric store: {0} is damaged")]
    Damaged(String),
    /// The writer has stopped, which it does only when the process ends or after a defect.
    #[error("write to the metric store: it is closed")]
    Closed,
}

impl MetricsError {
    pub(crate) fn refused(kind: Refused, why: impl Into<String>) -> Self {
        Self::Refused { kind, why: why.into() }
    }

    pub(crate) fn value(why: impl Into<String>) -> Self {
        Self::refused(Refused::Value, why)
    }

    pub(crate) fn validation(why: impl Into<String>) -> Self {
        Self::refused(Refused::Validation, why)
    }

    pub(crate) fn storage(attempt: &'static str, source: impl Into<redb::Error>) -> Self {
        Self::Storage { attempt, source: Arc::new(source.into()) }
    }
}

impl From<redb::StorageError> for MetricsError {
    fn from(error: redb::StorageError) -> Self {
        Self::storage("use", error)
    }
}

impl From<redb::TableError> for MetricsError {
    fn from(error: redb::TableError) -> Self {
        Self::storage("open a table of", error)
    }
}

impl From<redb::TransactionError> for MetricsError {
    fn from(error: redb::TransactionError) -> Self {
        Self::storage("begin a transaction on", error)
    }
}

impl From<redb::CommitError> for MetricsError {
    fn from(error: redb::CommitError) -> Self {
        Self::storage("commit to", error)
    }
}
