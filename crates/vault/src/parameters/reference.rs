//! Parameters that are secrets of Secrets Manager: `/aws/reference/secretsmanager/NAME`.
//! <https://docs.aws.amazon.com/systems-manager/latest/userguide/integration-ps-secretsmanager.html>

use serde::Serialize;

use super::invalid;
use super::types::{ParameterValue, Type};
use crate::secrets::SecretRecord;
use crate::{SecretValue, SecretVersion, Vault, VaultError, VersionChoice};

/// What such a name begins with.
const PREFIX: &str = "/aws/reference/secretsmanager/";

/// The secret's name in a parameter's name, with its selector, if it is one.
pub(super) fn secret(text: &str) -> Option<&str> {
    text.strip_prefix(PREFIX)
}

/// What Secrets Manager answered, as Parameter Store hands it on.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SourceResult<'a> {
    #[serde(rename = "ARN")]
    arn: &'a str,
    name: &'a str,
    version_id: &'a str,
    secret_string: &'a str,
    version_stages: Vec<&'a str>,
    created_date: String,
}

impl Vault {
    pub(super) async fn referenced(
        &self,
        text: &str,
        secret: &str,
        decrypt: bool,
    ) -> Result<ParameterValue, VaultError> {
        if !decrypt {
            return Err(invalid(
                "WithDecryption flag must be True for retrieving a Secret Manager secret.",
            ));
        }
        let (name, selector) = match secret.split_once(':') {
            Some((name, selector)) => (name, Some(selector)),
            None => (secret, None),
        };
        let version = self.by_selector(name, selector).await.map_err(|error| match error {
            VaultError::Refused { message, .. } => VaultError::refused(
                "ParameterNotFound",
                format!(
                    "An error occurred (ParameterNotFound) when referencing Secrets Manager: Secret \
                     {text} not found. {message}"
                ),
            ),
            other => other,
        })?;
        let Some(value) = version.value.reveal_text() else {
            return Err(invalid(format!(
                "The secret {name} is binary; Parameter Store refers only to secrets that are text."
            )));
        };
        let result = SourceResult {
            arn: &version.arn,
            name: &version.name,
            version_id: &version.version_id,
            secret_string: value,
            version_stages: version.stages.iter().map(String::as_str).collect(),
            created_date: version.created.rfc3339(),
        };
        let result = serde_json::to_string(&result)
            .map_err(|_| VaultError::Damaged(version.name.clone()))?;
        Ok(ParameterValue {
            name: format!("{PREFIX}{name}"),
            kind: Type::SecureString,
            version: 0,
            selector: selector.map(|selector| format!(":{selector}")),
            source_result: Some(SecretValue::text(result)),
            modified: version.created,
            data_type: "text".to_owned(),
            arn: version.arn,
            value: version.value,
        })
    }

    /// A selector is a version's id or a staging label.
    async fn by_selector(
        &self,
        name: &str,
        selector: Option<&str>,
    ) -> Result<SecretVersion, VaultError> {
        let Some(selector) = selector else {
            return self.secret_value(name, VersionChoice::default()).await;
        };
        let key = name.to_owned();
        let record: Option<SecretRecord> =
            self.read(move |snapshot, _| snapshot.secret(&key)).await?;
        let is_id = record.is_some_and(|r| r.versions.iter().any(|v| v.id == selector));
        let selector = Some(selector.to_owned());
        let choice = match is_id {
            true => VersionChoice { id: selector, stage: None },
            false => VersionChoice { id: None, stage: selector },
        };
        self.secret_value(name, choice).await
    }
}
