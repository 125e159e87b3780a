//! Making parameters and versions, deleting them, and their tags.

use std::collections::BTreeSet;

use regex_lite::Regex;
use stdx::Timestamp;

use super::name::{self, Reference};
use super::types::{
    ParameterRecord, ParameterVersion, PutOutcome, PutParameter, Tier, TierChoice, Type,
};
use super::{invalid, not_found, owner};
use crate::arn::Realm;
use crate::{Service, Tags, Vault, VaultError, tags};

/// How many versions a parameter keeps.
const MOST_VERSIONS: usize = 100;
/// The key that stands for the vault's own.
const KEY: &str = "alias/aws/ssm";
/// The one kind of data there is.
const TEXT: &str = "text";

/// How many characters a value may have.
const fn longest(tier: Tier) -> usize {
    match tier {
        Tier::Standard => 4096,
        Tier::Advanced => 8192,
    }
}

impl Vault {
    /// `PutParameter`.
    ///
    /// # Errors
    /// Name, value, pattern, key, tier or tags are not valid; there is such a parameter and it is
    /// not to be overwritten, or is of another type; or its oldest version has a label and there are
    /// 100.
    pub async fn put_parameter(&self, wanted: PutParameter) -> Result<PutOutcome, VaultError> {
        name::check(self.realm(), &wanted.name)?;
        check(self.realm(), &wanted)?;
        self.write(move |tables, desk| {
            let found = tables.parameter(&wanted.name)?;
            let value = wanted.value.clone();
            let (mut record, version) = next(found, wanted, desk.now)?;
            let outcome = PutOutcome { version: version.number, tier: version.tier };
            let sealed = desk.sealer.seal(&owner(&record.name, version.number), &value)?;
            let key = (record.name.as_str(), version.number);
            tables.parameter_values.insert(key, sealed.as_slice())?;
            record.versions.push(version);
            if let Some(dropped) = prune(&mut record)? {
                tables.parameter_values.remove((record.name.as_str(), dropped))?;
            }
            tables.put_parameter(&record)?;
            Ok(outcome)
        })
        .await
    }

    /// `DeleteParameter` and `DeleteParameters`: which of these were there.
    ///
    /// # Errors
    /// The store fails.
    pub async fn delete_parameters(&self, names: Vec<String>) -> Result<Vec<String>, VaultError> {
        self.write(move |tables, desk| {
            let mut deleted = Vec::new();
            for text in names {
                for name in Reference::parse(desk.realm, &text).names {
                    if let Some(record) = tables.parameter(&name)? {
                        tables.remove_parameter(&record)?;
                        deleted.push(text);
                        break;
                    }
                }
            }
            Ok(deleted)
        })
        .await
    }

    /// `DeleteParameter`.
    ///
    /// # Errors
    /// There is no such parameter.
    pub async fn delete_parameter(&self, name: &str) -> Result<(), VaultError> {
        match self.delete_parameters(vec![name.to_owned()]).await?.is_empty() {
            true => Err(not_found(name)),
            false => Ok(()),
        }
    }

    /// `AddTagsToResource`.
    ///
    /// # Errors
    /// There is no such parameter, or it would have tags that are not valid.
    pub async fn tag_parameter(&self, name: &str, more: Tags) -> Result<(), VaultError> {
        self.change_tags(name, move |tags| tags.extend(more)).await
    }

    /// `RemoveTagsFromResource`: takes tags away, if they are there.
    ///
    /// # Errors
    /// There is no such parameter.
    pub async fn untag_parameter(&self, name: &str, keys: Vec<String>) -> Result<(), VaultError> {
        self.change_tags(name, move |tags| tags.retain(|key, _| !keys.contains(key))).await
    }

    /// `ListTagsForResource`.
    ///
    /// # Errors
    /// There is no such parameter.
    pub async fn parameter_tags(&self, name: &str) -> Result<Tags, VaultError> {
        let name = name.to_owned();
        self.read(move |snapshot, _| {
            snapshot.parameter(&name)?.map(|record| record.tags).ok_or_else(no_resource)
        })
        .await
    }

    async fn change_tags(
        &self,
        name: &str,
        change: impl FnOnce(&mut Tags) + Send + 'static,
    ) -> Result<(), VaultError> {
        let name = name.to_owned();
        self.write(move |tables, _| {
            let mut record = tables.parameter(&name)?.ok_or_else(no_resource)?;
            change(&mut record.tags);
            tags::check(Service::ParameterStore, &record.tags)?;
            tables.put_parameter(&record)
        })
        .await
    }
}

fn no_resource() -> VaultError {
    VaultError::refused(
        "InvalidResourceId",
        "The resource ID isn't valid. Verify that you entered the correct ID and try again.",
    )
}

/// What can be said without looking at what is there.
fn check(realm: &Realm, wanted: &PutParameter) -> Result<(), VaultError> {
    if wanted.overwrite && !wanted.tags.is_empty() {
        return Err(invalid(
            "Invalid request: tags and overwrite can't be used together. To create a parameter with \
             tags, please remove overwrite flag. To update tags for an existing parameter, please use \
             AddTagsToResource or RemoveTagsFromResource.",
        ));
    }
    tags::check(Service::ParameterStore, &wanted.tags)?;
    let value = wanted.value.reveal_text().unwrap_or_default();
    if value.is_empty() {
        return Err(invalid(
            "1 validation error detected: Value at 'value' failed to satisfy constraint: Member must \
             have length greater than or equal to 1.",
        ));
    }
    if value.contains("{{") && value.contains("}}") {
        return Err(invalid(
            "Parameter value can't nest another parameter. Do not use \"{{}}\" in the value.",
        ));
    }
    if let Some(data_type) =
        wanted.data_type.as_deref().filter(|kind| !kind.is_empty() && *kind != TEXT)
    {
        return Err(invalid(format!(
            "DataType: '{data_type}' is not built yet in Wharf; leave it out, or say {TEXT}."
        )));
    }
    let arn = format!("arn:aws:kms:{}:{}:{KEY}", realm.region, realm.account);
    match wanted.key_id.as_deref() {
        Some(key) if key != KEY && key != arn => Err(VaultError::refused(
            "InvalidKeyId",
            format!(
                "KeyId: keys of AWS KMS are not built yet in Wharf, so '{key}' cannot be used; the \
                 vault seals every parameter with its own key. Leave it out, or name {KEY}."
            ),
        )),
        _ => Ok(()),
    }
}

/// The parameter as it is or will be, and the version that it gets.
fn next(
    found: Option<ParameterRecord>,
    wanted: PutParameter,
    now: Timestamp,
) -> Result<(ParameterRecord, ParameterVersion), VaultError> {
    if found.is_some() && !wanted.overwrite {
        return Err(VaultError::refused(
            "ParameterAlreadyExists",
            "The parameter already exists. To overwrite this value, set the overwrite option in the \
             request to true.",
        ));
    }
    let before = found.as_ref().and_then(ParameterRecord::latest);
    let kind = match (wanted.kind, before.map(|version| version.kind)) {
        (None, None) => {
            return Err(invalid("A parameter type is required when you create a parameter."));
        }
        (Some(kind), Some(old)) if kind != old => {
            return Err(VaultError::refused(
                "HierarchyTypeMismatchException",
                format!(
                    "Parameter Store doesn't support changing a parameter type, here from {} to {}. \
                     You must create a new, unique parameter.",
                    old.as_str(),
                    kind.as_str()
                ),
            ));
        }
        (Some(kind), _) | (None, Some(kind)) => kind,
    };
    if wanted.key_id.is_some() && kind != Type::SecureString {
        return Err(invalid("KeyId is required for SecureString type parameter only."));
    }
    let value = wanted.value.reveal_text().unwrap_or_default();
    let pattern = wanted
        .allowed_pattern
        .filter(|pattern| !pattern.is_empty())
        .or_else(|| before.and_then(|version| version.allowed_pattern.clone()));
    if let Some(pattern) = &pattern {
        match_whole(pattern, value)?;
    }
    let tier = tier(wanted.tier, before.map(|version| version.tier), value.chars().count())?;
    let version = ParameterVersion {
        number: before.map_or(1, |version| version.number + 1),
        kind,
        description: wanted
            .description
            .or_else(|| before.and_then(|version| version.description.clone()))
            .filter(|text| !text.is_empty()),
        key_id: (kind == Type::SecureString)
            .then(|| wanted.key_id.unwrap_or_else(|| KEY.to_owned())),
        labels: BTreeSet::new(),
        modified: now,
        user: wanted.user,
        tier,
        allowed_pattern: pattern,
        data_type: TEXT.to_owned(),
    };
    let record = found.unwrap_or_else(|| ParameterRecord {
        name: wanted.name,
        tags: wanted.tags,
        versions: Vec::new(),
    });
    Ok((record, version))
}

fn match_whole(pattern: &str, value: &str) -> Result<(), VaultError> {
    let regex = Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
        VaultError::refused(
            "InvalidAllowedPatternException",
            format!(
                "The allowed pattern '{pattern}' is not a regular expression that Wharf knows \
                 (neither look-around nor back references are): {error}"
            ),
        )
    })?;
    if regex.is_match(value) {
        return Ok(());
    }
    Err(VaultError::refused(
        "ParameterPatternMismatchException",
        format!("Parameter value, cannot be validated against allowedPattern: {pattern}"),
    ))
}

/// The tier that a version gets.
fn tier(
    wanted: Option<TierChoice>,
    before: Option<Tier>,
    length: usize,
) -> Result<Tier, VaultError> {
    let tier = match (wanted, before) {
        (Some(TierChoice::Is(Tier::Standard)), Some(Tier::Advanced)) => {
            return Err(invalid(
                "This parameter uses the advanced-parameter tier. You can't downgrade a parameter \
                 from the advanced-parameter tier to the standard-parameter tier. If necessary, you \
                 can delete the advanced parameter and recreate it as a standard parameter.",
            ));
        }
        (_, Some(Tier::Advanced)) => Tier::Advanced,
        (Some(TierChoice::Is(tier)), _) => tier,
        (Some(TierChoice::Enough), _) if length > longest(Tier::Standard) => Tier::Advanced,
        (Some(TierChoice::Enough) | None, _) => Tier::Standard,
    };
    let most = longest(tier);
    match tier {
        _ if length <= most => Ok(tier),
        Tier::Standard => Err(invalid(format!(
            "Standard tier parameters support a maximum parameter value of {most} characters. To \
             create a larger parameter value, upgrade the parameter to use the advanced-parameter \
             tier. For more information, see \
             https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"
        ))),
        Tier::Advanced => Err(invalid(format!(
            "Advanced tier parameters support a maximum parameter value of {most} characters."
        ))),
    }
}

/// Drops the oldest version if there is one too many.
fn prune(record: &mut ParameterRecord) -> Result<Option<u64>, VaultError> {
    if record.versions.len() <= MOST_VERSIONS {
        return Ok(None);
    }
    let oldest = record.versions.remove(0);
    if oldest.labels.is_empty() {
        return Ok(Some(oldest.number));
    }
    Err(VaultError::refused(
        "ParameterMaxVersionLimitExceeded",
        format!(
            "You attempted to create a new version of {} by calling the PutParameter API with the \
             overwrite flag. Version {}, the oldest version, can't be deleted because it has a label \
             associated with it. Move the label to another version of the parameter, and try again.",
            record.name, oldest.number
        ),
    ))
}
