//! What may be asked of roles and managed policies, why it is refused, and in what words.
//!
//! Documents, names and ARNs of AWS's own policies come checked: the door reads policies, this room
//! does not.

use std::sync::Arc;

use model::{PolicyName, RoleName, Tags};

/// A command of IAM.
#[derive(Clone, Debug, PartialEq)]
pub enum IamCommand {
    /// CreateRole.
    CreateRole(NewRole),
    /// DeleteRole: only one without policies.
    DeleteRole(RoleName),
    /// UpdateRole: what is absent stays.
    UpdateRole {
        /// Which.
        role: RoleName,
        /// For people.
        description: Option<String>,
        /// The longest session.
        max_session_seconds: Option<u32>,
    },
    /// UpdateAssumeRolePolicy.
    SetTrust(RoleName, Arc<str>),
    /// PutRolePolicy: the role, the policy's name, its document.
    PutInline(RoleName, String, Arc<str>),
    /// DeleteRolePolicy.
    DeleteInline(RoleName, String),
    /// AttachRolePolicy, by ARN.
    Attach(RoleName, PolicyRef),
    /// DetachRolePolicy, by ARN.
    Detach(RoleName, String),
    /// TagRole: these win over those of the same key.
    TagRole(RoleName, Tags),
    /// UntagRole.
    UntagRole(RoleName, Vec<String>),
    /// CreatePolicy.
    CreatePolicy(NewPolicy),
    /// DeletePolicy: only one that no role has, and with one version left.
    DeletePolicy(PolicyName),
    /// CreatePolicyVersion.
    CreateVersion {
        /// Of which.
        policy: PolicyName,
        /// The policy document.
        document: Arc<str>,
        /// Whether it comes into force.
        set_default: bool,
    },
    /// DeletePolicyVersion: not the one in force.
    DeleteVersion(PolicyName, u32),
    /// SetDefaultPolicyVersion.
    SetDefaultVersion(PolicyName, u32),
}

/// CreateRole.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRole {
    /// Its name.
    pub name: RoleName,
    /// `/` or `/folders/`.
    pub path: String,
    /// Who may assume it.
    pub trust: Arc<str>,
    /// For people.
    pub description: String,
    /// The longest session, in seconds.
    pub max_session_seconds: u32,
    /// Its tags.
    pub tags: Tags,
}

/// CreatePolicy.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPolicy {
    /// Its name.
    pub name: PolicyName,
    /// `/` or `/folders/`.
    pub path: String,
    /// The policy document of its first version.
    pub document: Arc<str>,
    /// For people.
    pub description: String,
    /// Its tags.
    pub tags: Tags,
}

/// A managed policy as the door has resolved its ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyRef {
    /// One of AWS's, which is built in: its ARN.
    Aws(String),
    /// One of this account's.
    Own(PolicyName),
}

/// Why a command of IAM is refused. `Display` is IAM's sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IamRejection {
    /// No such role.
    #[error("The role with name {0} cannot be found.")]
    NoRole(RoleName),
    /// A role of that name, whatever its letters' case, exists.
    #[error("Role with name {0} already exists.")]
    RoleExists(RoleName),
    /// The role has managed policies.
    #[error("Cannot delete entity, must detach all policies first.")]
    RoleHasAttached,
    /// The role has policies of its own.
    #[error("Cannot delete entity, must delete policies first.")]
    RoleHasInline,
    /// The role has no such policy of its own.
    #[error("The role policy with name {0} cannot be found.")]
    NoInline(String),
    /// No such managed policy, by its name.
    #[error("Policy {0} does not exist or is not attachable.")]
    NoPolicy(PolicyName),
    /// The role does not have that managed policy.
    #[error("Policy {0} was not found.")]
    NotAttached(String),
    /// A policy of that name exists.
    #[error("A policy called {0} already exists. Duplicate names are not allowed.")]
    PolicyExists(PolicyName),
    /// Roles have the policy.
    #[error("Cannot delete a policy attached to entities.")]
    PolicyAttached,
    /// The policy has versions beside the one in force.
    #[error(
        "This policy has more than one version. Before you delete a policy, you must delete the \
         policy's versions. The default version is deleted with the policy."
    )]
    PolicyHasVersions,
    /// No such version.
    #[error("Policy version v{0} does not exist or is not attachable.")]
    NoVersion(u32),
    /// The version is in force.
    #[error("Cannot delete the default version of a policy.")]
    DefaultVersion,
    /// Five versions are there.
    #[error(
        "A managed policy can have up to {MOST_VERSIONS} versions. Before you create a new version, \
         you must delete an existing version."
    )]
    TooManyVersions,
    /// Ten managed policies are there.
    #[error("Cannot exceed quota for PoliciesPerRole: {MOST_ATTACHED}")]
    TooManyAttached,
    /// The role's own policies together would be too long.
    #[error("Maximum policy size of {MOST_INLINE} bytes exceeded for role {0}")]
    InlineTooLarge(RoleName),
    /// Too many tags.
    #[error("The number of tags has reached the maximum limit of {}.", Tags::MOST)]
    TooManyTags,
}

/// The most versions of a managed policy.
pub(crate) const MOST_VERSIONS: usize = 5;
/// The most managed policies of a role.
pub(crate) const MOST_ATTACHED: usize = 10;
/// The most characters, white space aside, of all of a role's own policies.
pub(crate) const MOST_INLINE: usize = 10_240;
