//! Making secrets and versions, and changing what is said of them.

use std::collections::BTreeSet;

use stdx::Entropy;

use super::types::{CreateSecret, SecretRecord, StageMove, UpdateSecret, VersionOutcome};
use super::{SUFFIX, find_live, invalid, kms_key, out_of_turn, owner};
use crate::tables::Tables;
use crate::vault::Desk;
use crate::{SecretValue, Service, Tags, Vault, VaultError, tags};

/// The most bytes of a value.
const MOST_BYTES: usize = 65_536;

impl Vault {
    /// `CreateSecret`. The same token, name and value again is the same answer again.
    ///
    /// # Errors
    /// The name, a tag, the key or the value is not valid; or the name is taken, perhaps by a
    /// secret that waits for its deletion.
    pub async fn create_secret(&self, wanted: CreateSecret) -> Result<VersionOutcome, VaultError> {
        check_name(&wanted.name)?;
        check_value(wanted.value.as_ref())?;
        tags::check(Service::SecretsManager, &wanted.tags)?;
        let kms_key_id = kms_key(self.realm(), wanted.kms_key_id.clone())?;
        self.write(move |tables, desk| {
            let token = token(desk, wanted.token.as_deref());
            if let Some(found) = tables.secret(&wanted.name)? {
                if found.is_gone(desk.now) {
                    tables.remove_secret(&found)?;
                } else {
                    return again(tables, desk, &found, &token, wanted.value.as_ref());
                }
            }
            let mut record = SecretRecord {
                arn: desk.realm.secret(&wanted.name, &suffix(&mut desk.chance())),
                name: wanted.name,
                description: wanted.description.filter(|text| !text.is_empty()),
                kms_key_id,
                created: desk.now,
                changed: desk.now,
                accessed: None,
                due: None,
                tags: wanted.tags,
                versions: Vec::new(),
            };
            let outcome = match &wanted.value {
                Some(value) => put(tables, desk, &mut record, &token, value, BTreeSet::new())?,
                None => outcome(&record, None),
            };
            tables.put_secret(&record)?;
            Ok(outcome)
        })
        .await
    }

    /// `PutSecretValue`: a new version, which gets these staging labels, or `AWSCURRENT`.
    ///
    /// # Errors
    /// There is no such secret, it is deleted, the value is not valid, or the token names a version
    /// with another value.
    pub async fn put_secret_value(
        &self,
        id: &str,
        wanted_token: Option<String>,
        value: SecretValue,
        stages: BTreeSet<String>,
    ) -> Result<VersionOutcome, VaultError> {
        check_value(Some(&value))?;
        let id = id.to_owned();
        self.write(move |tables, desk| {
            let mut record = live(tables, desk, &id)?;
            let token = token(desk, wanted_token.as_deref());
            let outcome = put(tables, desk, &mut record, &token, &value, stages)?;
            tables.put_secret(&record)?;
            Ok(outcome)
        })
        .await
    }

    /// `UpdateSecret`. The answer has a version only if a value was given.
    ///
    /// # Errors
    /// As [`Vault::put_secret_value`], or the key is not the vault's.
    pub async fn update_secret(
        &self,
        id: &str,
        wanted: UpdateSecret,
    ) -> Result<VersionOutcome, VaultError> {
        check_value(wanted.value.as_ref())?;
        let kms_key_id = kms_key(self.realm(), wanted.kms_key_id.clone())?;
        let id = id.to_owned();
        self.write(move |tables, desk| {
            let mut record = live(tables, desk, &id)?;
            if let Some(description) = wanted.description {
                record.description = Some(description).filter(|text| !text.is_empty());
            }
            if kms_key_id.is_some() {
                record.kms_key_id = kms_key_id;
            }
            record.changed = desk.now;
            let outcome = match &wanted.value {
                Some(value) => {
                    let token = token(desk, wanted.token.as_deref());
                    put(tables, desk, &mut record, &token, value, BTreeSet::new())?
                }
                None => outcome(&record, None),
            };
            tables.put_secret(&record)?;
            Ok(outcome)
        })
        .await
    }

    /// `UpdateSecretVersionStage`. Answers ARN and name.
    ///
    /// # Errors
    /// There is no such secret or version, the secret is deleted, the label is elsewhere than said,
    /// or `AWSCURRENT` would be nowhere.
    pub async fn move_secret_stage(
        &self,
        id: &str,
        wanted: StageMove,
    ) -> Result<(String, String), VaultError> {
        self.change_secret(id, move |record| record.move_stage(&wanted)).await
    }

    /// `TagResource`: adds tags, or gives them another value.
    ///
    /// # Errors
    /// There is no such secret, it is deleted, or it would have tags that are not valid.
    pub async fn tag_secret(&self, id: &str, more: Tags) -> Result<(), VaultError> {
        let change = move |record: &mut SecretRecord| {
            record.tags.extend(more);
            tags::check(Service::SecretsManager, &record.tags)
        };
        self.change_secret(id, change).await.map(|_| ())
    }

    /// `UntagResource`: takes tags away, if they are there.
    ///
    /// # Errors
    /// There is no such secret, or it is deleted.
    pub async fn untag_secret(&self, id: &str, keys: Vec<String>) -> Result<(), VaultError> {
        let change = move |record: &mut SecretRecord| {
            record.tags.retain(|key, _| !keys.contains(key));
            Ok(())
        };
        self.change_secret(id, change).await.map(|_| ())
    }

    async fn change_secret(
        &self,
        id: &str,
        change: impl FnOnce(&mut SecretRecord) -> Result<(), VaultError> + Send + 'static,
    ) -> Result<(String, String), VaultError> {
        let id = id.to_owned();
        self.write(move |tables, desk| {
            let mut record = live(tables, desk, &id)?;
            change(&mut record)?;
            record.changed = desk.now;
            tables.put_secret(&record)?;
            Ok((record.arn, record.name))
        })
        .await
    }
}

fn live(tables: &Tables<'_>, desk: &Desk<'_>, id: &str) -> Result<SecretRecord, VaultError> {
    find_live(desk.realm, id, desk.now, |name| tables.secret(name))
}

/// The answer to a name that is taken.
fn again(
    tables: &Tables<'_>,
    desk: &Desk<'_>,
    found: &SecretRecord,
    token: &str,
    value: Option<&SecretValue>,
) -> Result<VersionOutcome, VaultError> {
    if found.due.is_some() {
        return Err(out_of_turn(
            "You can't create this secret because a secret with this name is already scheduled for \
             deletion.",
        ));
    }
    if let Some(value) = value
        && found.version(token).is_some()
        && stored(tables, desk, found, token)?.is_some_and(|stored| stored.same(value))
    {
        return Ok(outcome(found, Some(token)));
    }
    let name = &found.name;
    Err(VaultError::refused(
        "ResourceExistsException",
        format!("The operation failed because the secret {name} already exists."),
    ))
}

/// Adds a version to a record, and its value to the values.
fn put(
    tables: &mut Tables<'_>,
    desk: &Desk<'_>,
    record: &mut SecretRecord,
    token: &str,
    value: &SecretValue,
    stages: BTreeSet<String>,
) -> Result<VersionOutcome, VaultError> {
    if record.version(token).is_some() {
        if stored(tables, desk, record, token)?.is_some_and(|stored| stored.same(value)) {
            return Ok(outcome(record, Some(token)));
        }
        return Err(VaultError::refused(
            "ResourceExistsException",
            format!(
                "You can't use ClientRequestToken {token} because that value is already in use for \
                 a version of secret {}.",
                record.arn
            ),
        ));
    }
    for dropped in record.add_version(token, stages, desk.now)? {
        tables.secret_values.remove((record.arn.as_str(), dropped.id.as_str()))?;
    }
    let sealed = desk.sealer.seal(&owner(&record.arn, token), value)?;
    tables.secret_values.insert((record.arn.as_str(), token), sealed.as_slice())?;
    Ok(outcome(record, Some(token)))
}

fn stored(
    tables: &Tables<'_>,
    desk: &Desk<'_>,
    record: &SecretRecord,
    version: &str,
) -> Result<Option<SecretValue>, VaultError> {
    use redb::ReadableTable as _;
    let sealed = tables.secret_values.get((record.arn.as_str(), version))?;
    sealed.map(|sealed| desk.sealer.open(&owner(&record.arn, version), sealed.value())).transpose()
}

fn outcome(record: &SecretRecord, version: Option<&str>) -> VersionOutcome {
    VersionOutcome {
        arn: record.arn.clone(),
        name: record.name.clone(),
        version_id: version.map(str::to_owned),
        stages: version
            .and_then(|id| record.version(id))
            .map(|version| version.stages.clone())
            .unwrap_or_default(),
    }
}

fn token(desk: &Desk<'_>, given: Option<&str>) -> String {
    match given.filter(|token| !token.is_empty()) {
        Some(token) => token.to_owned(),
        None => desk.chance().uuid(),
    }
}

/// Six letters and digits, so that a secret made again is told from the one before.
fn suffix(chance: &mut dyn Entropy) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    (0..SUFFIX)
        .map(|_| {
            let at = usize::try_from(chance.below(62)).unwrap_or(0);
            char::from(ALPHABET[at])
        })
        .collect()
}

fn check_name(name: &str) -> Result<(), VaultError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-/_+=.@!".contains(&byte);
    if (1..=512).contains(&name.len()) && name.bytes().all(good) {
        return Ok(());
    }
    Err(VaultError::refused(
        "ValidationException",
        "Invalid name. Must be a valid name containing alphanumeric characters, or any of the \
         following: -/_+=.@!",
    ))
}

fn check_value(value: Option<&SecretValue>) -> Result<(), VaultError> {
    match value.map(|value| value.reveal_bytes().len()) {
        Some(0) => Err(invalid("The secret value can't be empty.")),
        Some(length) if length > MOST_BYTES => Err(invalid(format!(
            "The secret value has {length} bytes; it can have at most {MOST_BYTES}."
        ))),
        _ => Ok(()),
    }
}
