//! Parameters as answers show them, and types, tiers and filters as requests say them.

use aws::Error;
use aws::ssm::{
    ErrorKind, Parameter, ParameterHistory, ParameterMetadata, ParameterStringFilter,
    ParameterTier, ParameterType, ParametersFilter, ParametersFilterKey,
};
use vault::{
    FilterKey, FilterOption, HistoryEntry, ParameterFilter, ParameterValue, SecretValue, Tier,
    TierChoice, Type,
};

fn text(value: &SecretValue) -> Option<String> {
    value.reveal_text().map(str::to_owned)
}

/// A version's number on the wire.
pub(super) fn number(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

pub(super) fn read_type(kind: &ParameterType) -> Result<Type, Error> {
    match kind {
        ParameterType::String => Ok(Type::String),
        ParameterType::StringList => Ok(Type::StringList),
        ParameterType::SecureString => Ok(Type::SecureString),
        other => Err(ErrorKind::UnsupportedParameterType
            .with(format!("The parameter type {other} isn't supported."))),
    }
}

fn kind(kind: Type) -> ParameterType {
    match kind {
        Type::String => ParameterType::String,
        Type::StringList => ParameterType::StringList,
        Type::SecureString => ParameterType::SecureString,
    }
}

pub(super) fn read_tier(tier: &ParameterTier) -> Result<TierChoice, Error> {
    match tier {
        ParameterTier::Standard => Ok(TierChoice::Is(Tier::Standard)),
        ParameterTier::Advanced => Ok(TierChoice::Is(Tier::Advanced)),
        ParameterTier::IntelligentTiering => Ok(TierChoice::Enough),
        other => Err(super::invalid(format!("Tier: there is no tier {other}."))),
    }
}

pub(super) fn tier(tier: Tier) -> ParameterTier {
    match tier {
        Tier::Standard => ParameterTier::Standard,
        Tier::Advanced => ParameterTier::Advanced,
    }
}

pub(super) fn parameter(found: ParameterValue) -> Parameter {
    Parameter {
        arn: Some(found.arn),
        data_type: Some(found.data_type),
        last_modified_date: Some(found.modified),
        name: Some(found.name),
        selector: found.selector,
        source_result: found.source_result.as_ref().and_then(text),
        r#type: Some(kind(found.kind)),
        value: text(&found.value),
        version: Some(number(found.version)),
    }
}

pub(super) fn metadata(found: vault::ParameterMetadata) -> ParameterMetadata {
    ParameterMetadata {
        arn: Some(found.arn),
        allowed_pattern: found.allowed_pattern,
        data_type: Some(found.data_type),
        description: found.description,
        key_id: found.key_id,
        last_modified_date: Some(found.modified),
        last_modified_user: Some(found.user),
        name: Some(found.name),
        policies: Some(Vec::new()),
        tier: Some(tier(found.tier)),
        r#type: Some(kind(found.kind)),
        version: Some(number(found.version)),
    }
}

pub(super) fn history(entry: HistoryEntry) -> ParameterHistory {
    let found = entry.metadata;
    ParameterHistory {
        allowed_pattern: found.allowed_pattern,
        data_type: Some(found.data_type),
        description: found.description,
        key_id: found.key_id,
        labels: Some(entry.labels.into_iter().collect()),
        last_modified_date: Some(found.modified),
        last_modified_user: Some(found.user),
        name: Some(found.name),
        policies: Some(Vec::new()),
        tier: Some(tier(found.tier)),
        r#type: Some(kind(found.kind)),
        value: text(&entry.value),
        version: Some(number(found.version)),
    }
}

/// `ParameterFilters`.
pub(super) fn filters(
    list: Option<Vec<ParameterStringFilter>>,
) -> Result<Vec<ParameterFilter>, Error> {
    list.unwrap_or_default().into_iter().map(filter).collect()
}

fn filter(filter: ParameterStringFilter) -> Result<ParameterFilter, Error> {
    let name = filter.key.unwrap_or_default();
    let key = match name.as_str() {
        "Name" => FilterKey::Name,
        "Path" => FilterKey::Path,
        "Type" => FilterKey::Type,
        "KeyId" => FilterKey::KeyId,
        "Tier" => FilterKey::Tier,
        "DataType" => FilterKey::DataType,
        "Label" => FilterKey::Label,
        other => match other.strip_prefix("tag:") {
            Some(tag) => FilterKey::Tag(tag.to_owned()),
            None => {
                return Err(ErrorKind::InvalidFilterKey
                    .with(format!("The filter key '{other}' is not valid.")));
            }
        },
    };
    let option = match filter.option.as_deref() {
        None => None,
        Some("Equals") => Some(FilterOption::Equals),
        Some("BeginsWith") => Some(FilterOption::BeginsWith),
        Some("Contains") => Some(FilterOption::Contains),
        Some("Recursive") => Some(FilterOption::Recursive),
        Some("OneLevel") => Some(FilterOption::OneLevel),
        Some(other) => {
            return Err(ErrorKind::InvalidFilterOption.with(format!(
                "The filter option '{other}' is not valid. Valid options include: Equals, \
                 BeginsWith, Contains, Recursive, OneLevel."
            )));
        }
    };
    Ok(ParameterFilter { key, option, values: filter.values.unwrap_or_default() })
}

/// `Filters`, which were before `ParameterFilters`: names by their beginning, the rest by equality.
pub(super) fn older_filters(list: Vec<ParametersFilter>) -> Result<Vec<ParameterFilter>, Error> {
    list.into_iter()
        .map(|filter| {
            let (key, option) = match filter.key {
                Some(ParametersFilterKey::Name) => (FilterKey::Name, FilterOption::BeginsWith),
                Some(ParametersFilterKey::Type) => (FilterKey::Type, FilterOption::Equals),
                Some(ParametersFilterKey::KeyId) => (FilterKey::KeyId, FilterOption::Equals),
                other => {
                    return Err(ErrorKind::InvalidFilterKey.with(format!(
                        "The filter key '{}' is not valid.",
                        other.map_or_else(String::new, |key| key.to_string())
                    )));
                }
            };
            let values = filter.values.unwrap_or_default();
            Ok(ParameterFilter { key, option: Some(option), values })
        })
        .collect()
}
