//! The values that go in and come out, and the record on the disk.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{SecretValue, Tags};

/// What a parameter's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Type {
    /// Text.
    String,
    /// Texts with commas between them.
    StringList,
    /// Text that is told only to who asks for it to be decrypted.
    SecureString,
}

impl Type {
    /// As AWS spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::StringList => "StringList",
            Self::SecureString => "SecureString",
        }
    }
}

/// What a parameter costs in AWS, and how large it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tier {
    /// Up to 4096 characters.
    Standard,
    /// Up to 8192 characters.
    Advanced,
}

impl Tier {
    /// As AWS spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "Standard",
            Self::Advanced => "Advanced",
        }
    }
}

/// Which tier is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierChoice {
    /// This one.
    Is(Tier),
    /// The cheapest that is enough: `Intelligent-Tiering`.
    Enough,
}

/// `PutParameter`.
#[derive(Clone, Debug)]
pub struct PutParameter {
    /// Its name.
    pub name: String,
    /// Its value, which is text.
    pub value: SecretValue,
    /// Its type; a new version of a parameter need not say it again.
    pub kind: Option<Type>,
    /// What it is for.
    pub description: Option<String>,
    /// `alias/aws/ssm`, or nothing.
    pub key_id: Option<String>,
    /// Whether a parameter that is there gets a new version.
    pub overwrite: bool,
    /// What every value has to match.
    pub allowed_pattern: Option<String>,
    /// A new parameter's tags.
    pub tags: Tags,
    /// Its tier.
    pub tier: Option<TierChoice>,
    /// `text`, or nothing.
    pub data_type: Option<String>,
    /// Who asks: an ARN.
    pub user: String,
}

/// What became of a `PutParameter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutOutcome {
    /// The version that was made.
    pub version: u64,
    /// The tier that the parameter has.
    pub tier: Tier,
}

/// A parameter with its value.
#[derive(Clone, Debug)]
pub struct ParameterValue {
    /// Its name, without selector.
    pub name: String,
    /// Its ARN, or the secret's that it refers to.
    pub arn: String,
    /// Its type.
    pub kind: Type,
    /// The version; zero for a secret of Secrets Manager.
    pub version: u64,
    /// The value; that of a `SecureString` which is not to be decrypted is what it is sealed as.
    pub value: SecretValue,
    /// The selector that it was asked for by, with its colon.
    pub selector: Option<String>,
    /// What Secrets Manager said, as JSON, for a reference to it.
    pub source_result: Option<SecretValue>,
    /// When the version was made.
    pub modified: Timestamp,
    /// `text`.
    pub data_type: String,
}

/// A version of a parameter, with its value.
#[derive(Clone, Debug)]
pub struct HistoryEntry {
    /// What is said of it.
    pub metadata: ParameterMetadata,
    /// Its labels.
    pub labels: BTreeSet<String>,
    /// The value, as in [`ParameterValue`].
    pub value: SecretValue,
}

/// What is said of a version of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterMetadata {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Its type.
    pub kind: Type,
    /// The version.
    pub version: u64,
    /// What it is for.
    pub description: Option<String>,
    /// The key of a `SecureString`.
    pub key_id: Option<String>,
    /// When the version was made.
    pub modified: Timestamp,
    /// By whom.
    pub user: String,
    /// Its tier.
    pub tier: Tier,
    /// What every value has to match.
    pub allowed_pattern: Option<String>,
    /// `text`.
    pub data_type: String,
}

/// `LabelParameterVersion`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelOutcome {
    /// The version that has the labels now.
    pub version: u64,
    /// Those that no version may have.
    pub invalid: Vec<String>,
}

/// `UnlabelParameterVersion`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnlabelOutcome {
    /// Those that were taken away.
    pub removed: Vec<String>,
    /// Those that the version does not have.
    pub invalid: Vec<String>,
}

/// What a filter looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterKey {
    /// The name.
    Name,
    /// The levels above it.
    Path,
    /// The type.
    Type,
    /// The key of a `SecureString`.
    KeyId,
    /// The tier.
    Tier,
    /// The data type.
    DataType,
    /// The labels of any version.
    Label,
    /// The value of this tag.
    Tag(String),
}

/// How a filter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterOption {
    /// It is one of the values.
    Equals,
    /// It begins with one of the values.
    BeginsWith,
    /// One of the values is in it. Names only.
    Contains,
    /// Anywhere below. Paths only.
    Recursive,
    /// Directly below. Paths only.
    OneLevel,
}

/// A filter: any of the values; of a tag without values, that it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterFilter {
    /// What it looks at.
    pub key: FilterKey,
    /// How; by default equality, of paths one level.
    pub option: Option<FilterOption>,
    /// With what.
    pub values: Vec<String>,
}

/// `DescribeParameters`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribeQuery {
    /// All of them must hold.
    pub filters: Vec<ParameterFilter>,
    /// At most so many: 1 to 50, which is also the default.
    pub limit: Option<i64>,
    /// From the page before.
    pub next_token: Option<String>,
}

/// `GetParametersByPath`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathQuery {
    /// Where to begin: `/`, `/a/b`.
    pub path: String,
    /// Everything below, not only the next level.
    pub recursive: bool,
    /// Whether values are to be decrypted.
    pub decrypt: bool,
    /// All of them must hold; only type, key and label are allowed.
    pub filters: Vec<ParameterFilter>,
    /// At most so many: 1 to 10, which is also the default.
    pub limit: Option<i64>,
    /// From the page before.
    pub next_token: Option<String>,
}

/// A parameter as it is stored. Its values are in a table of their own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ParameterRecord {
    pub(crate) name: String,
    pub(crate) tags: Tags,
    /// The oldest first; never empty.
    pub(crate) versions: Vec<ParameterVersion>,
}

/// A version as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ParameterVersion {
    pub(crate) number: u64,
    pub(crate) kind: Type,
    pub(crate) description: Option<String>,
    pub(crate) key_id: Option<String>,
    pub(crate) labels: BTreeSet<String>,
    pub(crate) modified: Timestamp,
    pub(crate) user: String,
    pub(crate) tier: Tier,
    pub(crate) allowed_pattern: Option<String>,
    pub(crate) data_type: String,
}

impl ParameterRecord {
    /// The newest version.
    pub(crate) fn latest(&self) -> Option<&ParameterVersion> {
        self.versions.last()
    }

    pub(crate) fn version(&self, number: u64) -> Option<&ParameterVersion> {
        self.versions.iter().find(|version| version.number == number)
    }

    pub(crate) fn metadata(&self, arn: String, version: &ParameterVersion) -> ParameterMetadata {
        ParameterMetadata {
            name: self.name.clone(),
            arn,
            kind: version.kind,
            version: version.number,
            description: version.description.clone(),
            key_id: version.key_id.clone(),
            modified: version.modified,
            user: version.user.clone(),
            tier: version.tier,
            allowed_pattern: version.allowed_pattern.clone(),
            data_type: version.data_type.clone(),
        }
    }
}
