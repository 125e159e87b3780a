//! Getting parameters: by name, by version or label, by path, and with their history.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::describe::filters_hold;
use super::name::{Reference, Selector, is_below};
use super::types::{
    FilterKey, FilterOption, HistoryEntry, ParameterRecord, ParameterValue, ParameterVersion,
    PathQuery, Type,
};
use super::{bad_token, invalid, not_found, owner, page};
use crate::tables::Snapshot;
use crate::vault::{Desk, Page, cut, parse_token, render_token};
use crate::{SecretValue, Vault, VaultError};

/// How many parameters a page of a path has at most.
const MOST_BY_PATH: i64 = 10;
/// How many versions a page of a history has at most.
const MOST_HISTORY: i64 = 50;

/// The tokens' lists.
const PATH: &str = "path";
const HISTORY: &str = "history";

impl Vault {
    /// `GetParameter`: by name or ARN, perhaps with `:version` or `:label`; or a secret of Secrets
    /// Manager by `/aws/reference/secretsmanager/…`.
    ///
    /// # Errors
    /// There is no such parameter, version or label.
    pub async fn parameter(&self, text: &str, decrypt: bool) -> Result<ParameterValue, VaultError> {
        if let Some(secret) = super::reference::secret(text) {
            return self.referenced(text, secret, decrypt).await;
        }
        let text = text.to_owned();
        self.read(move |snapshot, desk| get(snapshot, desk, &text, decrypt)).await
    }

    /// `GetParameters`: those that are there, and the names of those that are not.
    ///
    /// # Errors
    /// A reference to Secrets Manager that is not to be decrypted, or the store fails.
    pub async fn parameters(
        &self,
        names: Vec<String>,
        decrypt: bool,
    ) -> Result<(Vec<ParameterValue>, Vec<String>), VaultError> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for name in names {
            match self.parameter(&name, decrypt).await {
                Ok(value) => found.push(value),
                Err(error)
                    if matches!(
                        error.code(),
                        Some("ParameterNotFound" | "ParameterVersionNotFound")
                    ) =>
                {
                    missing.push(name);
                }
                Err(error) => return Err(error),
            }
        }
        Ok((found, missing))
    }

    /// `GetParametersByPath`, in the order of names.
    ///
    /// # Errors
    /// The path, a filter, the limit or the token is not valid.
    pub async fn parameters_by_path(
        &self,
        query: PathQuery,
    ) -> Result<Page<ParameterValue>, VaultError> {
        let limit = page(query.limit, MOST_BY_PATH)?;
        check_path(&query)?;
        let after = place(PATH, query.next_token.as_deref())?;
        self.read(move |snapshot, desk| {
            let label = query.filters.iter().find(|filter| filter.key == FilterKey::Label);
            let records = snapshot.parameters()?.into_iter().filter_map(|record| {
                let version = match label {
                    Some(filter) => record
                        .versions
                        .iter()
                        .find(|version| filter.values.iter().any(|v| version.labels.contains(v))),
                    None => record.latest(),
                }?
                .clone();
                let wanted = is_below(&record.name, &query.path, query.recursive)
                    && filters_hold(&query.filters, &record, &version);
                wanted.then_some((record, version))
            });
            let passed = |entry: &(ParameterRecord, ParameterVersion)| {
                after.as_ref().is_some_and(|after| entry.0.name <= *after)
            };
            let token =
                |entry: &(ParameterRecord, ParameterVersion)| render_token(PATH, &[&entry.0.name]);
            let page = cut(records.collect(), limit, passed, token);
            let items = page.items.iter().map(|(record, version)| {
                let mut value = reveal(snapshot, desk, record, version, query.decrypt)?;
                if let Some(filter) = label {
                    let label = filter.values.iter().find(|value| version.labels.contains(*value));
                    value.selector = label.map(|label| format!(":{label}"));
                }
                Ok(value)
            });
            let items = items.collect::<Result<_, VaultError>>()?;
            Ok(Page { items, next_token: page.next_token })
        })
        .await
    }

    /// `GetParameterHistory`, the oldest version first.
    ///
    /// # Errors
    /// There is no such parameter, or the limit or the token is not valid.
    pub async fn parameter_history(
        &self,
        text: &str,
        decrypt: bool,
        limit: Option<i64>,
        next_token: Option<&str>,
    ) -> Result<Page<HistoryEntry>, VaultError> {
        let limit = page(limit, MOST_HISTORY)?;
        let after = place(HISTORY, next_token)?;
        let after = after.map(|text| text.parse::<u64>().map_err(|_| bad_token())).transpose()?;
        let text = text.to_owned();
        self.read(move |snapshot, desk| {
            let record = find(snapshot, &text, &Reference::parse(desk.realm, &text))?;
            let page = cut(
                record.versions.clone(),
                limit,
                |version| after.is_some_and(|after| version.number <= after),
                |version| render_token(HISTORY, &[&version.number.to_string()]),
            );
            let items = page.items.iter().map(|version| {
                Ok(HistoryEntry {
                    value: reveal(snapshot, desk, &record, version, decrypt)?.value,
                    metadata: record.metadata(desk.realm.parameter(&record.name), version),
                    labels: version.labels.clone(),
                })
            });
            let items = items.collect::<Result<_, VaultError>>()?;
            Ok(Page { items, next_token: page.next_token })
        })
        .await
    }
}

/// The place that a token says.
pub(super) fn place(list: &str, token: Option<&str>) -> Result<Option<String>, VaultError> {
    token
        .filter(|token| !token.is_empty())
        .map(|token| parse_token::<1>(list, token).map(|[place]| place).ok_or_else(bad_token))
        .transpose()
}

fn check_path(query: &PathQuery) -> Result<(), VaultError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.-".contains(&byte);
    let (path, relative) = (query.path.as_str(), query.path.trim_start_matches('/'));
    let reserved = ["aws", "ssm"].iter().any(|word| {
        relative.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
    });
    if !path.starts_with('/') || !path.bytes().all(good) || reserved {
        return Err(invalid(
            "The parameter doesn't meet the parameter name requirements. The parameter name must \
             begin with a forward slash \"/\". It can't be prefixed with \"aws\" or \"ssm\" \
             (case-insensitive). It must use only letters, numbers, or the following symbols: . \
             (period), - (hyphen), _ (underscore). Special characters are not allowed. All sub-paths, \
             if specified, must use the forward slash symbol \"/\". Valid example: \
             /get/parameters2-/by1./path0_.",
        ));
    }
    for filter in &query.filters {
        match (&filter.key, filter.option) {
            (
                FilterKey::Type | FilterKey::KeyId,
                None | Some(FilterOption::Equals | FilterOption::BeginsWith),
            )
            | (FilterKey::Label, None | Some(FilterOption::Equals)) => {}
            (FilterKey::Type | FilterKey::KeyId | FilterKey::Label, Some(option)) => {
                return Err(VaultError::refused(
                    "InvalidFilterOption",
                    format!(
                        "The filter option {option:?} is not valid for this key of GetParametersByPath."
                    ),
                ));
            }
            (key, _) => {
                return Err(VaultError::refused(
                    "InvalidFilterKey",
                    format!(
                        "The filter key {key:?} is not valid. Valid filter keys of \
                         GetParametersByPath: Type, KeyId, Label."
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// The parameter that is meant.
pub(super) fn find(
    snapshot: &Snapshot,
    text: &str,
    reference: &Reference,
) -> Result<ParameterRecord, VaultError> {
    for name in &reference.names {
        if let Some(record) = snapshot.parameter(name)? {
            return Ok(record);
        }
    }
    Err(not_found(text))
}

/// The version that is meant.
pub(super) fn select<'r>(
    record: &'r ParameterRecord,
    selector: &Selector,
) -> Result<&'r ParameterVersion, VaultError> {
    let missing = |what: String| {
        VaultError::refused(
            "ParameterVersionNotFound",
            format!(
                "Systems Manager could not find {what} of {}. Verify the version and try again.",
                record.name
            ),
        )
    };
    match selector {
        Selector::Latest => record.latest().ok_or_else(|| VaultError::Damaged(record.name.clone())),
        Selector::Version(number) => {
            record.version(*number).ok_or_else(|| missing(format!("version {number}")))
        }
        Selector::Label(label) => record
            .versions
            .iter()
            .find(|version| version.labels.contains(label))
            .ok_or_else(|| missing(format!("label {label}"))),
    }
}

fn get(
    snapshot: &Snapshot,
    desk: &Desk<'_>,
    text: &str,
    decrypt: bool,
) -> Result<ParameterValue, VaultError> {
    let reference = Reference::parse(desk.realm, text);
    let record = find(snapshot, text, &reference)?;
    let version = select(&record, &reference.selector)?;
    let mut value = reveal(snapshot, desk, &record, version, decrypt)?;
    value.selector = reference.written;
    Ok(value)
}

/// A version with its value, or with what that is sealed as.
fn reveal(
    snapshot: &Snapshot,
    desk: &Desk<'_>,
    record: &ParameterRecord,
    version: &ParameterVersion,
    decrypt: bool,
) -> Result<ParameterValue, VaultError> {
    let owner = owner(&record.name, version.number);
    let sealed = snapshot
        .parameter_value(&record.name, version.number)?
        .ok_or_else(|| VaultError::Damaged(owner.clone()))?;
    let value = match version.kind {
        Type::SecureString if !decrypt => SecretValue::text(STANDARD.encode(&sealed)),
        Type::String | Type::StringList | Type::SecureString => {
            desk.sealer.open(&owner, &sealed)?
        }
    };
    Ok(ParameterValue {
        name: record.name.clone(),
        arn: desk.realm.parameter(&record.name),
        kind: version.kind,
        version: version.number,
        value,
        selector: None,
        source_result: None,
        modified: version.modified,
        data_type: version.data_type.clone(),
    })
}
