//! ARNs of secrets and parameters, and what a reference by ARN names.

/// Whose resources these are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Realm {
    pub(crate) region: String,
    pub(crate) account: String,
}

impl Realm {
    /// `arn:aws:secretsmanager:<region>:<account>:secret:<name>-<six characters>`.
    pub(crate) fn secret(&self, name: &str, suffix: &str) -> String {
        format!("{}{name}-{suffix}", self.secrets())
    }

    /// What every secret's ARN begins with.
    pub(crate) fn secrets(&self) -> String {
        format!("arn:aws:secretsmanager:{}:{}:secret:", self.region, self.account)
    }

    /// `arn:aws:acm:<region>:<account>:certificate/<id>`.
    pub(crate) fn certificate(&self, id: &str) -> String {
        format!("arn:aws:acm:{}:{}:certificate/{id}", self.region, self.account)
    }

    /// `arn:aws:ssm:<region>:<account>:parameter/<name>`; a name's own first slash is that slash.
    pub(crate) fn parameter(&self, name: &str) -> String {
        let name = name.strip_prefix('/').unwrap_or(name);
        format!("{}{name}", self.parameters())
    }

    /// What every parameter's ARN begins with.
    pub(crate) fn parameters(&self) -> String {
        format!("arn:aws:ssm:{}:{}:parameter/", self.region, self.account)
    }
}
