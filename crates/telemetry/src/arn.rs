//! ARNs of groups and streams.

use crate::LogsError;

/// `arn:aws:logs:<region>:<account>:log-group:<group>`.
pub(crate) fn group(region: &str, account: &str, group: &str) -> String {
    format!("arn:aws:logs:{region}:{account}:log-group:{group}")
}

/// The group's ARN, then `:log-stream:<stream>`.
pub(crate) fn stream(region: &str, account: &str, group: &str, stream: &str) -> String {
    format!("arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:{stream}")
}

/// The name in a `logGroupIdentifier`: a name, or an ARN of this region and account, with or
/// without `:*`.
pub(crate) fn group_name(
    region: &str,
    account: &str,
    identifier: &str,
) -> Result<String, LogsError> {
    if !identifier.starts_with("arn:") {
        return Ok(identifier.to_owned());
    }
    let prefix = group(region, account, "");
    let name = identifier.strip_prefix(&prefix).ok_or_else(|| {
        LogsError::invalid(
            "logGroupIdentifier",
            format!(
                "The log group ARN '{identifier}' is not of this account and region: it has to \
                 begin with {prefix}"
            ),
        )
    })?;
    Ok(name.strip_suffix(":*").unwrap_or(name).to_owned())
}
