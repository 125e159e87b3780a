//! The values that go in and come out, and the record on the disk.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{SecretValue, Tags};

/// `CreateSecret`.
#[derive(Clone, Debug, Default)]
pub struct CreateSecret {
    /// Its name: 1 to 512 of letters, digits and `/_+=.@-`.
    pub name: String,
    /// `ClientRequestToken`, which becomes the version's id; made up if absent.
    pub token: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// `alias/aws/secretsmanager`, or nothing.
    pub kms_key_id: Option<String>,
    /// The first version's value; a secret may be made without one.
    pub value: Option<SecretValue>,
    /// Its tags.
    pub tags: Tags,
}

/// `UpdateSecret`: what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct UpdateSecret {
    /// `ClientRequestToken`, which becomes the new version's id.
    pub token: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// `alias/aws/secretsmanager`, or nothing.
    pub kms_key_id: Option<String>,
    /// A new version's value.
    pub value: Option<SecretValue>,
}

/// A version that was made, or was there already by the same token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionOutcome {
    /// The secret's ARN.
    pub arn: String,
    /// The secret's name.
    pub name: String,
    /// The version, if there is one.
    pub version_id: Option<String>,
    /// Its staging labels.
    pub stages: BTreeSet<String>,
}

/// Which version to get: by id, by staging label, or by both, which must agree. By neither it is
/// `AWSCURRENT`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionChoice {
    /// `VersionId`.
    pub id: Option<String>,
    /// `VersionStage`.
    pub stage: Option<String>,
}

/// A version with its value.
#[derive(Clone, Debug)]
pub struct SecretVersion {
    /// The secret's ARN.
    pub arn: String,
    /// The secret's name.
    pub name: String,
    /// The version.
    pub version_id: String,
    /// When the version was made.
    pub created: Timestamp,
    /// Its staging labels.
    pub stages: BTreeSet<String>,
    /// The value.
    pub value: SecretValue,
}

/// A version without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionSummary {
    /// The version.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// The day on which it was last read.
    pub accessed: Option<Timestamp>,
    /// Its staging labels; none if it is deprecated.
    pub stages: BTreeSet<String>,
}

/// A secret without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSummary {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// What it is for.
    pub description: Option<String>,
    /// As given.
    pub kms_key_id: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When anything of it last changed.
    pub changed: Timestamp,
    /// The day on which a value of it was last read.
    pub accessed: Option<Timestamp>,
    /// When it goes for ever, if it is deleted.
    pub due: Option<Timestamp>,
    /// Its tags.
    pub tags: Tags,
    /// Its versions, the oldest first.
    pub versions: Vec<VersionSummary>,
}

/// How a secret is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// It can be restored for so many days: 7 to 30, which is also the default.
    Days(Option<i64>),
    /// At once and for ever. A secret that is not there is no error.
    None,
}

/// A secret that is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// When it goes for ever.
    pub due: Timestamp,
}

/// `UpdateSecretVersionStage`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageMove {
    /// The staging label.
    pub stage: String,
    /// The version that gets it.
    pub to: Option<String>,
    /// The version that has it.
    pub from: Option<String>,
}

/// What a filter of `ListSecrets` looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretFilterKey {
    /// The beginning of the name; case counts.
    Name,
    /// The beginning of a word of the description; case does not count.
    Description,
    /// The beginning of a tag's key; case counts.
    TagKey,
    /// The beginning of a tag's value; case counts.
    TagValue,
    /// The region of the primary secret, which is this one.
    PrimaryRegion,
    /// The service that manages the secret; none does.
    OwningService,
    /// Every word of the value begins a word of any of these; case does not count.
    All,
}

/// A filter: any of the values, each of which may begin with `!` for "not".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFilter {
    /// What it looks at.
    pub key: SecretFilterKey,
    /// What it wants.
    pub values: Vec<String>,
}

/// The order of `ListSecrets`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecretSort {
    /// By the instant of creation.
    #[default]
    Created,
    /// By the day of the last access.
    Accessed,
    /// By the instant of the last change.
    Changed,
    /// By name.
    Name,
}

/// `ListSecrets`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// All of them must hold.
    pub filters: Vec<SecretFilter>,
    /// Those that wait for their deletion too.
    pub deleted: bool,
    /// In which order.
    pub sort: SecretSort,
    /// The other way round.
    pub descending: bool,
    /// At most so many: 1 to 100, which is also the default.
    pub limit: Option<i64>,
    /// From the page before.
    pub next_token: Option<String>,
}

/// A secret as it is stored. Its values are in a table of their own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SecretRecord {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) description: Option<String>,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) changed: Timestamp,
    pub(crate) accessed: Option<Timestamp>,
    /// When it goes for ever, if it is deleted.
    pub(crate) due: Option<Timestamp>,
    pub(crate) tags: Tags,
    /// The oldest first.
    pub(crate) versions: Vec<VersionRecord>,
}

/// A version as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VersionRecord {
    pub(crate) id: String,
    pub(crate) created: Timestamp,
    pub(crate) accessed: Option<Timestamp>,
    pub(crate) stages: BTreeSet<String>,
}

impl SecretRecord {
    /// Whether its time to be restored is over.
    pub(crate) fn is_gone(&self, now: Timestamp) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    pub(crate) fn summary(self) -> SecretSummary {
        let versions = self.versions.into_iter().map(|version| VersionSummary {
            id: version.id,
            created: version.created,
            accessed: version.accessed,
            stages: version.stages,
        });
        SecretSummary {
            name: self.name,
            arn: self.arn,
            description: self.description,
            kms_key_id: self.kms_key_id,
            created: self.created,
            changed: self.changed,
            accessed: self.accessed,
            due: self.due,
            tags: self.tags,
            versions: versions.collect(),
        }
    }
}
