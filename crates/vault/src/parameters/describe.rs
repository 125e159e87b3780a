//! Describing parameters without their values: filters and pages.
//! <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ParameterStringFilter.html>

use super::get::place;
use super::name::is_below;
use super::page;
use super::types::{
    DescribeQuery, FilterKey, FilterOption, ParameterFilter, ParameterMetadata, ParameterRecord,
    ParameterVersion,
};
use crate::vault::{Page, cut, render_token};
use crate::{Vault, VaultError};

/// How many parameters a page has at most.
const MOST_DESCRIBED: i64 = 50;

/// The token's list.
const DESCRIBED: &str = "describe";

impl Vault {
    /// `DescribeParameters`, in the order of names.
    ///
    /// # Errors
    /// A filter, the limit or the token is not valid.
    pub async fn describe_parameters(
        &self,
        query: DescribeQuery,
    ) -> Result<Page<ParameterMetadata>, VaultError> {
        let limit = page(query.limit, MOST_DESCRIBED)?;
        for filter in &query.filters {
            check(filter)?;
        }
        let after = place(DESCRIBED, query.next_token.as_deref())?;
        self.read(move |snapshot, desk| {
            let found = snapshot.parameters()?.into_iter().filter_map(|record| {
                let version = record.latest()?;
                filters_hold(&query.filters, &record, version)
                    .then(|| record.metadata(desk.realm.parameter(&record.name), version))
            });
            let passed = |found: &ParameterMetadata| {
                after.as_ref().is_some_and(|after| found.name <= *after)
            };
            let token = |found: &ParameterMetadata| render_token(DESCRIBED, &[&found.name]);
            Ok(cut(found.collect(), limit, passed, token))
        })
        .await
    }
}

fn check(filter: &ParameterFilter) -> Result<(), VaultError> {
    use FilterOption::{BeginsWith, Contains, Equals, OneLevel, Recursive};
    let allowed: &[FilterOption] = match &filter.key {
        FilterKey::Name => &[Equals, BeginsWith, Contains],
        FilterKey::Path => &[Recursive, OneLevel],
        FilterKey::Label => &[Equals],
        _ => &[Equals, BeginsWith],
    };
    if let Some(option) = filter.option.filter(|option| !allowed.contains(option)) {
        return Err(VaultError::refused(
            "InvalidFilterOption",
            format!(
                "The filter option {option:?} is not valid for the key {:?}. Valid options: \
                 {allowed:?}.",
                filter.key
            ),
        ));
    }
    if filter.values.is_empty() && !matches!(filter.key, FilterKey::Tag(_)) {
        return Err(VaultError::refused(
            "InvalidFilterValue",
            format!("The filter on {:?} has no values; give at least one.", filter.key),
        ));
    }
    if filter.key == FilterKey::Path && filter.values.iter().any(|path| !path.starts_with('/')) {
        return Err(VaultError::refused(
            "InvalidFilterValue",
            "The value of a filter on Path begins with a slash.",
        ));
    }
    Ok(())
}

/// Whether a version of a parameter passes every filter.
pub(super) fn filters_hold(
    filters: &[ParameterFilter],
    record: &ParameterRecord,
    version: &ParameterVersion,
) -> bool {
    filters.iter().all(|filter| holds(filter, record, version))
}

fn holds(filter: &ParameterFilter, record: &ParameterRecord, version: &ParameterVersion) -> bool {
    let any = |text: &str| filter.values.iter().any(|value| compare(filter.option, text, value));
    match &filter.key {
        FilterKey::Name => any(&record.name),
        FilterKey::Path => {
            let recursive = filter.option == Some(FilterOption::Recursive);
            filter.values.iter().any(|path| is_below(&record.name, path, recursive))
        }
        FilterKey::Type => any(version.kind.as_str()),
        FilterKey::KeyId => version.key_id.as_deref().is_some_and(any),
        FilterKey::Tier => any(version.tier.as_str()),
        FilterKey::DataType => any(&version.data_type),
        FilterKey::Label => record.versions.iter().flat_map(|v| &v.labels).any(|label| any(label)),
        FilterKey::Tag(key) => {
            record.tags.get(key).is_some_and(|value| filter.values.is_empty() || any(value))
        }
    }
}

fn compare(option: Option<FilterOption>, text: &str, value: &str) -> bool {
    match option {
        Some(FilterOption::BeginsWith) => text.starts_with(value),
        Some(FilterOption::Contains) => text.contains(value),
        None | Some(FilterOption::Equals | FilterOption::Recursive | FilterOption::OneLevel) => {
            text == value
        }
    }
}
