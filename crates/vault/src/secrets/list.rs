//! Listing secrets: filters, order and pages.
//! <https://docs.aws.amazon.com/secretsmanager/latest/userguide/manage_search-secret.html>

use stdx::Timestamp;

use super::read::{bad_token, page};
use super::types::{ListQuery, SecretFilter, SecretFilterKey, SecretSort, SecretSummary};
use crate::vault::{Page, cut, parse_token, render_token};
use crate::{Vault, VaultError};

/// How many secrets a page has at most.
const MOST_LISTED: i64 = 100;

/// The token's list.
const SECRETS: &str = "secrets";

impl Vault {
    /// `ListSecrets`.
    ///
    /// # Errors
    /// The limit is not 1 to 100, or the token is not ours.
    pub async fn list_secrets(&self, query: ListQuery) -> Result<Page<SecretSummary>, VaultError> {
        let limit = page(query.limit, MOST_LISTED)?;
        let after = query.next_token.as_deref().map(|token| -> Result<_, VaultError> {
            let [millis, name] = parse_token::<2>(SECRETS, token).ok_or_else(bad_token)?;
            Ok((millis.parse::<i64>().map_err(|_| bad_token())?, name))
        });
        let after = after.transpose()?;
        self.read(move |snapshot, desk| {
            let region = desk.realm.region.as_str();
            let mut found: Vec<SecretSummary> = snapshot
                .secrets()?
                .into_iter()
                .filter(|record| {
                    !record.is_gone(desk.now) && (query.deleted || record.due.is_none())
                })
                .map(super::SecretRecord::summary)
                .filter(|secret| query.filters.iter().all(|filter| matches(filter, secret, region)))
                .collect();
            let place = |secret: &SecretSummary| place(secret, query.sort);
            found.sort_by_key(place);
            if query.descending {
                found.reverse();
            }
            let passed = |secret: &SecretSummary| {
                after.as_ref().is_some_and(|after| {
                    let here = place(secret);
                    if query.descending { here >= *after } else { here <= *after }
                })
            };
            let token = |secret: &SecretSummary| {
                let (millis, name) = place(secret);
                render_token(SECRETS, &[&millis.to_string(), &name])
            };
            Ok(cut(found, limit, passed, token))
        })
        .await
    }
}

/// What a secret is sorted by: no two secrets are at one place.
fn place(secret: &SecretSummary, sort: SecretSort) -> (i64, String) {
    let at = match sort {
        SecretSort::Created => Some(secret.created),
        SecretSort::Changed => Some(secret.changed),
        SecretSort::Accessed => secret.accessed,
        SecretSort::Name => None,
    };
    (at.map_or(0, Timestamp::as_millis), secret.name.clone())
}

/// Whether a secret passes a filter: any value that is wanted, and none that is not.
fn matches(filter: &SecretFilter, secret: &SecretSummary, region: &str) -> bool {
    let holds = |value: &str| has(filter.key, value, secret, region);
    let (not, wanted): (Vec<&str>, Vec<&str>) =
        filter.values.iter().map(String::as_str).partition(|value| value.starts_with('!'));
    not.iter().all(|value| !holds(&value[1..]))
        && (wanted.is_empty() || wanted.iter().any(|value| holds(value)))
}

fn has(key: SecretFilterKey, value: &str, secret: &SecretSummary, region: &str) -> bool {
    let description = secret.description.as_deref().unwrap_or_default();
    match key {
        SecretFilterKey::Name => secret.name.starts_with(value),
        SecretFilterKey::Description => words_begin(description, value),
        SecretFilterKey::TagKey => secret.tags.keys().any(|key| key.starts_with(value)),
        SecretFilterKey::TagValue => secret.tags.values().any(|tag| tag.starts_with(value)),
        SecretFilterKey::PrimaryRegion => region.starts_with(value),
        SecretFilterKey::OwningService => false,
        SecretFilterKey::All => {
            let mut all = format!("{} {description} {region}", secret.name);
            for (key, tag) in &secret.tags {
                all.push_str(&format!(" {key} {tag}"));
            }
            words_begin(&all, value)
        }
    }
}

/// Whether each word of `value` begins a word of `text`, whatever the case.
fn words_begin(text: &str, value: &str) -> bool {
    let split = |text: &str| -> Vec<String> {
        text.split(|c: char| c.is_whitespace() || "-/_+=.@!".contains(c))
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect()
    };
    let words = split(text);
    split(value).iter().all(|wanted| words.iter().any(|word| word.starts_with(wanted)))
}
