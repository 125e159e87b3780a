//! Secrets Manager: secrets, their versions, and the staging labels that say which version is which.
//! <https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html>

mod change;
mod life;
mod list;
mod password;
mod read;
mod types;
mod versions;

pub use password::{PasswordPolicy, random_password};
pub(crate) use types::SecretRecord;
pub use types::{
    CreateSecret, Deletion, ListQuery, Recovery, SecretFilter, SecretFilterKey, SecretSort,
    SecretSummary, SecretVersion, StageMove, UpdateSecret, VersionChoice, VersionOutcome,
    VersionSummary,
};

use crate::VaultError;
use crate::arn::Realm;
use stdx::Timestamp;

/// The staging label of the version that is in use.
pub(crate) const CURRENT: &str = "AWSCURRENT";
/// The staging label of the version that was in use before.
pub(crate) const PREVIOUS: &str = "AWSPREVIOUS";

/// How many characters follow a secret's name in its ARN.
const SUFFIX: usize = 6;

pub(crate) fn not_found() -> VaultError {
    VaultError::refused(
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret.",
    )
}

fn invalid(message: impl Into<String>) -> VaultError {
    VaultError::refused("InvalidParameterException", message)
}

fn out_of_turn(message: impl Into<String>) -> VaultError {
    VaultError::refused("InvalidRequestException", message)
}

/// What a `SecretId` names: a secret's name, and its whole ARN if that was given.
fn candidates(realm: &Realm, id: &str) -> Vec<(String, Option<String>)> {
    if !id.starts_with("arn:") {
        return vec![(id.to_owned(), None)];
    }
    let Some(rest) = id.strip_prefix(&realm.secrets()) else { return Vec::new() };
    // A whole ARN first: a partial one is a name that may itself end like a suffix.
    let whole = rest
        .len()
        .checked_sub(SUFFIX + 1)
        .and_then(|at| rest.split_at_checked(at))
        .filter(|(name, suffix)| !name.is_empty() && suffix.starts_with('-'))
        .map(|(name, _)| (name.to_owned(), Some(id.to_owned())));
    whole.into_iter().chain([(rest.to_owned(), None)]).collect()
}

/// The secret that a `SecretId` names, deleted or not, unless its time to be restored is over.
fn find(
    realm: &Realm,
    id: &str,
    now: Timestamp,
    get: impl Fn(&str) -> Result<Option<SecretRecord>, VaultError>,
) -> Result<SecretRecord, VaultError> {
    for (name, arn) in candidates(realm, id) {
        if let Some(record) = get(&name)?
            && arn.is_none_or(|arn| arn == record.arn)
            && !record.is_gone(now)
        {
            return Ok(record);
        }
    }
    Err(not_found())
}

/// The same for calls that a deleted secret does not take.
fn find_live(
    realm: &Realm,
    id: &str,
    now: Timestamp,
    get: impl Fn(&str) -> Result<Option<SecretRecord>, VaultError>,
) -> Result<SecretRecord, VaultError> {
    let record = find(realm, id, now, get)?;
    if record.due.is_some() {
        return Err(out_of_turn(
            "You can't perform this operation on the secret because it was marked for deletion.",
        ));
    }
    Ok(record)
}

/// What a version's value is sealed for.
fn owner(arn: &str, version: &str) -> String {
    format!("secret {arn} {version}")
}

/// Whether a key of KMS is the one that stands for the vault's own.
fn kms_key(realm: &Realm, key: Option<String>) -> Result<Option<String>, VaultError> {
    const ALIAS: &str = "alias/aws/secretsmanager";
    let Some(key) = key.filter(|key| !key.is_empty()) else { return Ok(None) };
    let arn = format!("arn:aws:kms:{}:{}:{ALIAS}", realm.region, realm.account);
    if key == ALIAS || key == arn {
        return Ok(Some(key));
    }
    Err(invalid(format!(
        "KmsKeyId: keys of AWS KMS are not built yet in Wharf, so '{key}' cannot be used; the vault \
         seals every secret with its own key. Leave it out, or name {ALIAS}."
    )))
}
