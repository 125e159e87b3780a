//! Why Secrets Manager and Parameter Store refuse, in their words.

use std::sync::Arc;

use crate::MasterKeyError;

/// Which of the services a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// AWS Secrets Manager.
    SecretsManager,
    /// Systems Manager Parameter Store.
    ParameterStore,
    /// Certificate Manager.
    CertificateManager,
}

/// A refused or failed call. `Display` is what the service tells its clients.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// A refusal: the service's error by that code, with its sentence.
    #[error("{message}")]
    Refused {
        /// The code in AWS's JSON protocol.
        code: &'static str,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// The store failed; what was asked for has not happened.
    #[error("{attempt} the vault")]
    Storage {
        /// What was attempted.
        attempt: &'static str,
        /// What the store says.
        #[source]
        source: Arc<redb::Error>,
    },
    /// The master key cannot be used.
    #[error("open the vault")]
    Key(#[source] Arc<MasterKeyError>),
    /// A value or record is not what this version wrote under this key for this name.
    #[error("read the vault: the record of {0} is damaged")]
    Damaged(String),
    /// A value could not be sealed.
    #[error("seal a value: the operating system gives no random bytes")]
    Sealing,
    /// The process is ending.
    #[error("use the vault: it is closed")]
    Closed,
}

impl VaultError {
    /// The error's code in AWS's JSON protocol; none if the fault is this side's.
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Storage { .. }
            | Self::Key(_)
            | Self::Damaged(_)
            | Self::Sealing
            | Self::Closed => None,
        }
    }

    pub(crate) fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self::Refused { code, message: message.into() }
    }

    pub(crate) fn storage(attempt: &'static str, source: impl Into<redb::Error>) -> Self {
        Self::Storage { attempt, source: Arc::new(source.into()) }
    }
}

impl From<redb::StorageError> for VaultError {
    fn from(error: redb::StorageError) -> Self {
        Self::storage("use", error)
    }
}

impl From<redb::TableError> for VaultError {
    fn from(error: redb::TableError) -> Self {
        Self::storage("open a table of", error)
    }
}

impl From<redb::TransactionError> for VaultError {
    fn from(error: redb::TransactionError) -> Self {
        Self::storage("begin a transaction on", error)
    }
}

impl From<redb::CommitError> for VaultError {
    fn from(error: redb::CommitError) -> Self {
        Self::storage("commit to", error)
    }
}

impl From<MasterKeyError> for VaultError {
    fn from(error: MasterKeyError) -> Self {
        Self::Key(Arc::new(error))
    }
}
