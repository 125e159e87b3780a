//! Client tokens: what makes a repeated request answer as the first one did.

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::ClusterName;

/// A token that a caller gave with a request, within its cluster and operation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TokenKey {
    /// Where the request acted.
    pub cluster: ClusterName,
    /// What it did, such as `RunTask`.
    pub operation: String,
    /// What the caller gave.
    pub token: String,
}

/// What the first request with a token did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Where it is found.
    pub key: TokenKey,
    /// Tells whether a later request is the same: equal requests have equal fingerprints.
    pub fingerprint: u64,
    /// The ids of what it made.
    pub made: Vec<String>,
    /// When; a token is remembered for a day.
    pub at: Timestamp,
}
