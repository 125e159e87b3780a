//! Secrets as answers show them, and filters as requests say them.

use std::collections::BTreeMap;

use aws::Error;
use aws::secretsmanager::{
    DescribeSecretResponse, Filter, FilterNameStringType, SecretListEntry, SecretVersionsListEntry,
    Tag,
};
use vault::{SecretFilter, SecretFilterKey, SecretSummary, Tags, VersionSummary};

use super::invalid;

/// How AWS calls the key of a secret that names none.
const DEFAULT_KEY: &str = "DefaultEncryptionKey";

fn tags(tags: Tags) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect()
}

/// Which version has which labels; versions without one are left out.
fn stages(versions: Vec<VersionSummary>) -> Option<BTreeMap<String, Vec<String>>> {
    let stages: BTreeMap<_, _> = versions
        .into_iter()
        .filter(|version| !version.stages.is_empty())
        .map(|version| (version.id, version.stages.into_iter().collect()))
        .collect();
    (!stages.is_empty()).then_some(stages)
}

pub(super) fn described(secret: SecretSummary) -> DescribeSecretResponse {
    DescribeSecretResponse {
        arn: Some(secret.arn),
        created_date: Some(secret.created),
        deleted_date: secret.due,
        description: secret.description,
        kms_key_id: secret.kms_key_id,
        last_accessed_date: secret.accessed,
        last_changed_date: Some(secret.changed),
        name: Some(secret.name),
        tags: (!secret.tags.is_empty()).then(|| tags(secret.tags)),
        version_ids_to_stages: stages(secret.versions),
        ..DescribeSecretResponse::default()
    }
}

pub(super) fn listed(secret: SecretSummary) -> SecretListEntry {
    SecretListEntry {
        arn: Some(secret.arn),
        created_date: Some(secret.created),
        deleted_date: secret.due,
        description: secret.description,
        kms_key_id: secret.kms_key_id,
        last_accessed_date: secret.accessed,
        last_changed_date: Some(secret.changed),
        name: Some(secret.name),
        secret_versions_to_stages: stages(secret.versions),
        tags: Some(tags(secret.tags)),
        ..SecretListEntry::default()
    }
}

pub(super) fn version(secret: &SecretSummary, version: VersionSummary) -> SecretVersionsListEntry {
    let key = secret.kms_key_id.clone().unwrap_or_else(|| DEFAULT_KEY.to_owned());
    let stages: Vec<String> = version.stages.into_iter().collect();
    SecretVersionsListEntry {
        created_date: Some(version.created),
        kms_key_ids: Some(vec![key]),
        last_accessed_date: version.accessed,
        version_id: Some(version.id),
        version_stages: (!stages.is_empty()).then_some(stages),
    }
}

pub(super) fn filters(list: Option<Vec<Filter>>) -> Result<Vec<SecretFilter>, Error> {
    list.unwrap_or_default().into_iter().map(filter).collect()
}

fn filter(filter: Filter) -> Result<SecretFilter, Error> {
    let key = match filter.key {
        Some(FilterNameStringType::Name) => SecretFilterKey::Name,
        Some(FilterNameStringType::Description) => SecretFilterKey::Description,
        Some(FilterNameStringType::TagKey) => SecretFilterKey::TagKey,
        Some(FilterNameStringType::TagValue) => SecretFilterKey::TagValue,
        Some(FilterNameStringType::PrimaryRegion) => SecretFilterKey::PrimaryRegion,
        Some(FilterNameStringType::OwningService) => SecretFilterKey::OwningService,
        Some(FilterNameStringType::All) => SecretFilterKey::All,
        Some(other) => return Err(invalid(format!("Invalid filter key: '{other}'."))),
        None => return Err(invalid("Invalid filter key: a filter has none.")),
    };
    let values = filter.values.unwrap_or_default();
    if values.is_empty() {
        return Err(invalid("Invalid filter values: a filter has none."));
    }
    Ok(SecretFilter { key, values })
}
