//! Labels of versions.
//! <https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-labels.html>

use super::name::{Reference, Selector};
use super::not_found;
use super::types::{LabelOutcome, ParameterRecord, UnlabelOutcome};
use crate::tables::Tables;
use crate::vault::Desk;
use crate::{Vault, VaultError};

/// How many labels a version may have.
const MOST_LABELS: usize = 10;
const LONGEST: usize = 100;

impl Vault {
    /// `LabelParameterVersion`: moves labels to a version, by default to the newest.
    ///
    /// # Errors
    /// There is no such parameter or version, or the version would have too many labels.
    pub async fn label_parameter(
        &self,
        name: &str,
        version: Option<i64>,
        labels: Vec<String>,
    ) -> Result<LabelOutcome, VaultError> {
        let name = name.to_owned();
        self.write(move |tables, desk| {
            let mut record = parameter(tables, desk, &name)?;
            let number = number(&record, version)?;
            let (labels, invalid): (Vec<_>, Vec<_>) = labels.into_iter().partition(|l| is_label(l));
            for version in &mut record.versions {
                if version.number == number {
                    version.labels.extend(labels.iter().cloned());
                } else {
                    version.labels.retain(|label| !labels.contains(label));
                }
                if version.labels.len() > MOST_LABELS {
                    return Err(VaultError::refused(
                        "ParameterVersionLabelLimitExceeded",
                        format!(
                            "A parameter version can have maximum {MOST_LABELS} labels. Move one or \
                             more labels to another version and try again."
                        ),
                    ));
                }
            }
            tables.put_parameter(&record)?;
            Ok(LabelOutcome { version: number, invalid })
        })
        .await
    }

    /// `UnlabelParameterVersion`.
    ///
    /// # Errors
    /// There is no such parameter or version.
    pub async fn unlabel_parameter(
        &self,
        name: &str,
        version: i64,
        labels: Vec<String>,
    ) -> Result<UnlabelOutcome, VaultError> {
        let name = name.to_owned();
        self.write(move |tables, desk| {
            let mut record = parameter(tables, desk, &name)?;
            let number = number(&record, Some(version))?;
            let mut outcome = UnlabelOutcome::default();
            for version in record.versions.iter_mut().filter(|v| v.number == number) {
                for label in &labels {
                    let list = match version.labels.remove(label) {
                        true => &mut outcome.removed,
                        false => &mut outcome.invalid,
                    };
                    list.push(label.clone());
                }
            }
            tables.put_parameter(&record)?;
            Ok(outcome)
        })
        .await
    }
}

fn parameter(
    tables: &Tables<'_>,
    desk: &Desk<'_>,
    text: &str,
) -> Result<ParameterRecord, VaultError> {
    for name in Reference::parse(desk.realm, text).names {
        if let Some(record) = tables.parameter(&name)? {
            return Ok(record);
        }
    }
    Err(not_found(text))
}

fn number(record: &ParameterRecord, wanted: Option<i64>) -> Result<u64, VaultError> {
    let selector = wanted
        .map_or(Selector::Latest, |number| Selector::Version(u64::try_from(number).unwrap_or(0)));
    Ok(super::get::select(record, &selector)?.number)
}

/// Letters, digits, `.`, `-` and `_`; neither a digit nor `aws` or `ssm` first.
fn is_label(label: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let reserved = ["aws", "ssm"]
        .iter()
        .any(|word| label.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)));
    (1..=LONGEST).contains(&label.len())
        && label.bytes().all(good)
        && !label.as_bytes()[0].is_ascii_digit()
        && !reserved
}
