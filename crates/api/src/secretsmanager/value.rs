//! Values on their way in and out, one or many at a time.

use aws::secretsmanager::{
    APIErrorType, BatchGetSecretValueRequest, BatchGetSecretValueResponse, SecretValueEntry,
};
use aws::{Blob, Error};
use vault::{ListQuery, SecretValue, Vault, VaultError, VersionChoice};

use super::{error, invalid, view};

/// How many secrets one call gets.
const MOST_AT_ONCE: i32 = 20;

/// A request's value: text or bytes, not both.
pub(super) fn read(
    text: Option<String>,
    binary: Option<Blob>,
) -> Result<Option<SecretValue>, Error> {
    match (text, binary) {
        (Some(_), Some(_)) => Err(invalid(
            "You can't specify both a binary secret value and a string secret value in the same \
             secret.",
        )),
        (Some(text), None) => Ok(Some(SecretValue::text(text))),
        (None, Some(Blob(bytes))) => Ok(Some(SecretValue::binary(bytes))),
        (None, None) => Ok(None),
    }
}

/// A value as an answer has it.
pub(super) fn show(value: &SecretValue) -> (Option<String>, Option<Blob>) {
    match value.reveal_text() {
        Some(text) => (Some(text.to_owned()), None),
        None => (None, Some(Blob(value.reveal_bytes().to_vec()))),
    }
}

/// `BatchGetSecretValue`: by ids or by filters. A secret that cannot be got is told in `Errors`.
pub(super) async fn batch(
    vault: &Vault,
    request: BatchGetSecretValueRequest,
) -> Result<BatchGetSecretValueResponse, Error> {
    let ids = request.secret_id_list.unwrap_or_default();
    let filters = request.filters.unwrap_or_default();
    let (ids, next_token) = match (ids.is_empty(), filters.is_empty()) {
        (false, false) => {
            return Err(invalid(
                "Either 'SecretIdList' or 'Filters' must be provided, but not both.",
            ));
        }
        (true, true) => {
            return Err(invalid(
                "Either 'SecretIdList' or 'Filters' must be provided; the request has neither.",
            ));
        }
        (false, true) if request.max_results.is_some() || request.next_token.is_some() => {
            return Err(invalid("'SecretIdList' and 'MaxResults' cannot be provided together."));
        }
        (false, true) => (ids, None),
        (true, false) => {
            let query = ListQuery {
                filters: view::filters(Some(filters))?,
                limit: Some(i64::from(request.max_results.unwrap_or(MOST_AT_ONCE))),
                next_token: request.next_token,
                ..ListQuery::default()
            };
            let page = vault.list_secrets(query).await.map_err(|e| error(&e))?;
            (page.items.into_iter().map(|secret| secret.arn).collect(), page.next_token)
        }
    };
    let (mut secret_values, mut errors) = (Vec::new(), Vec::new());
    for id in ids {
        match vault.secret_value(&id, VersionChoice::default()).await {
            Ok(found) => {
                let (secret_string, secret_binary) = show(&found.value);
                secret_values.push(SecretValueEntry {
                    arn: Some(found.arn),
                    created_date: Some(found.created),
                    name: Some(found.name),
                    secret_binary,
                    secret_string,
                    version_id: Some(found.version_id),
                    version_stages: Some(found.stages.into_iter().collect()),
                });
            }
            Err(refused @ VaultError::Refused { .. }) => {
                let refused = error(&refused);
                errors.push(APIErrorType {
                    error_code: Some(refused.code.into_owned()),
                    message: Some(refused.message),
                    secret_id: Some(id),
                });
            }
            Err(failed) => return Err(error(&failed)),
        }
    }
    Ok(BatchGetSecretValueResponse {
        errors: Some(errors),
        next_token,
        secret_values: Some(secret_values),
    })
}
