//! IAM's roles and managed policies. They have no region, and their policy documents are opaque
//! text here: the door checks them when they come and evaluates them when somebody asks.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{PolicyName, RoleName, Tags};

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name, unique in the account whatever its letters' case.
    pub name: RoleName,
    /// `/`, or `/folders/` between slashes.
    pub path: String,
    /// `AROA…`: another one when the role is deleted and made again.
    pub id: String,
    /// Who may assume it: a policy document.
    pub trust: Arc<str>,
    /// For people; empty if there is none.
    pub description: String,
    /// The longest session that STS gives, in seconds.
    pub max_session_seconds: u32,
    /// Its tags.
    pub tags: Tags,
    /// Policy documents of its own, by name.
    pub inline: BTreeMap<String, Arc<str>>,
    /// ARNs of the managed policies that it has.
    pub attached: BTreeSet<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A managed policy of this account. Those of AWS are built in and stored nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedPolicy {
    /// Its name, unique in the account.
    pub name: PolicyName,
    /// `/`, or `/folders/` between slashes.
    pub path: String,
    /// `ANPA…`
    pub id: String,
    /// For people; empty if there is none.
    pub description: String,
    /// Its tags.
    pub tags: Tags,
    /// Its versions by number; their documents never change.
    pub versions: BTreeMap<u32, PolicyVersion>,
    /// The number of the version that is in force.
    pub default_version: u32,
    /// The number that the next version gets; numbers are not used again.
    pub next_version: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its versions last changed.
    pub updated_at: Timestamp,
}

/// One version of a managed policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// The policy document.
    pub document: Arc<str>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl ManagedPolicy {
    /// The version that is in force.
    pub fn default(&self) -> Option<&PolicyVersion> {
        self.versions.get(&self.default_version)
    }
}
