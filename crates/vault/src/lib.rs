//! Secrets of AWS Secrets Manager, parameters of Systems Manager Parameter Store and certificates of
//! Certificate Manager: storage and rules.
//!
//! [`Vault`] keeps everything in one redb file. Each value is sealed by AES-256-GCM under a key of
//! its own, which is wrapped by a key derived from the master key, a file beside the database; name
//! and version are authenticated with it, so values can be neither read nor exchanged on the disk.
//! Names, descriptions, labels and tags are not secret and are kept in clear.
//!
//! Invariants: nothing here knows ECS or HTTP; time and chance are what [`VaultConfig`] carries; a
//! refused call changes nothing; what was acknowledged is on the disk; no `Debug` and no log shows a
//! value, and plain values are wiped from memory when they are dropped.

mod arn;
mod certificates;
mod error;
mod key;
mod parameters;
mod seal;
mod secrets;
mod tables;
mod tags;
mod value;
mod vault;

#[cfg(test)]
mod tests;

pub use certificates::{
    Certificate, CertificateOrigin, ImportCertificate, KeyKind, RequestCertificate,
};
pub use error::{Service, VaultError};
pub use key::MasterKeyError;
pub use parameters::{
    DescribeQuery, FilterKey, FilterOption, HistoryEntry, LabelOutcome, ParameterFilter,
    ParameterMetadata, ParameterValue, PathQuery, PutOutcome, PutParameter, Tier, TierChoice, Type,
    UnlabelOutcome,
};
pub use secrets::{
    CreateSecret, Deletion, ListQuery, PasswordPolicy, Recovery, SecretFilter, SecretFilterKey,
    SecretSort, SecretSummary, SecretVersion, StageMove, UpdateSecret, VersionChoice,
    VersionOutcome, VersionSummary, random_password,
};
pub use tags::Tags;
pub use value::SecretValue;
pub use vault::{Page, Vault, VaultConfig};
