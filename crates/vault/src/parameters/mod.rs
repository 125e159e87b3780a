//! Systems Manager Parameter Store: parameters, their versions and labels.
//! <https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-parameter-store.html>

mod describe;
mod get;
mod labels;
mod name;
mod put;
mod reference;
mod types;

pub(crate) use types::ParameterRecord;
pub use types::{
    DescribeQuery, FilterKey, FilterOption, HistoryEntry, LabelOutcome, ParameterFilter,
    ParameterMetadata, ParameterValue, PathQuery, PutOutcome, PutParameter, Tier, TierChoice, Type,
    UnlabelOutcome,
};

use crate::VaultError;

fn invalid(message: impl Into<String>) -> VaultError {
    VaultError::refused("ValidationException", message)
}

fn not_found(name: &str) -> VaultError {
    VaultError::refused("ParameterNotFound", format!("Parameter {name} not found."))
}

fn bad_token() -> VaultError {
    VaultError::refused("InvalidNextToken", "The specified token isn't valid.")
}

/// What a version's value is sealed for.
fn owner(name: &str, version: u64) -> String {
    format!("parameter {name} {version}")
}

/// A page's size.
fn page(limit: Option<i64>, most: i64) -> Result<usize, VaultError> {
    let limit = limit.unwrap_or(most);
    usize::try_from(limit)
        .ok()
        .filter(|_| (1..=most).contains(&limit))
        .ok_or_else(|| invalid(format!("MaxResults is {limit}; it must be between 1 and {most}.")))
}
