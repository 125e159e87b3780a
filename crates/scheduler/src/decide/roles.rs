//! IAM's roles: made, changed, given policies, deleted when they have none left.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_Role.html>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Change, Role, RoleName, Tags};
use stdx::Entropy;

use crate::desk::Desk;
use crate::iam::{MOST_ATTACHED, MOST_INLINE};
use crate::{IamCommand, IamRejection, NewRole, PolicyRef, Rejection, Reply};

/// A command of IAM.
pub(super) fn decide(desk: &mut Desk<'_>, command: &IamCommand) -> Result<Reply, Rejection> {
    use IamCommand as C;
    match command {
        C::CreateRole(new) => create(desk, new),
        C::DeleteRole(name) => delete(desk, name),
        C::UpdateRole { role, description, max_session_seconds } => edit(desk, role, |role| {
            if let Some(description) = description {
                role.description.clone_from(description);
            }
            role.max_session_seconds = max_session_seconds.unwrap_or(role.max_session_seconds);
            Ok(())
        }),
        C::SetTrust(role, document) => edit(desk, role, |role| {
            role.trust = document.clone();
            Ok(())
        }),
        C::PutInline(role, policy, document) => edit(desk, role, |role| {
            role.inline.insert(policy.clone(), document.clone());
            let length: usize = role.inline.values().map(|text| solid(text)).sum();
            if length > MOST_INLINE {
                return Err(IamRejection::InlineTooLarge(role.name.clone()));
            }
            Ok(())
        }),
        C::DeleteInline(role, policy) => edit(desk, role, |role| {
            let removed = role.inline.remove(policy);
            removed.map(drop).ok_or_else(|| IamRejection::NoInline(policy.clone()))
        }),
        C::Attach(role, policy) => attach(desk, role, policy),
        C::Detach(role, arn) => edit(desk, role, |role| {
            let removed = role.attached.remove(arn);
            if removed { Ok(()) } else { Err(IamRejection::NotAttached(arn.clone())) }
        }),
        C::TagRole(role, tags) => edit(desk, role, |role| {
            role.tags = role.tags.clone().with(tags);
            if role.tags.0.len() > Tags::MOST { Err(IamRejection::TooManyTags) } else { Ok(()) }
        }),
        C::UntagRole(role, keys) => edit(desk, role, |role| {
            role.tags.0.retain(|key, _| !keys.contains(key));
            Ok(())
        }),
        C::CreatePolicy(new) => super::policies::create(desk, new),
        C::DeletePolicy(name) => super::policies::delete(desk, name),
        C::CreateVersion { policy, document, set_default } => {
            super::policies::create_version(desk, policy, document, *set_default)
        }
        C::DeleteVersion(policy, version) => {
            super::policies::delete_version(desk, policy, *version)
        }
        C::SetDefaultVersion(policy, version) => {
            super::policies::set_default(desk, policy, *version)
        }
    }
}

/// An id of IAM's form: a prefix of four letters and 17 more.
pub(super) fn unique_id(prefix: &str, ids: &mut dyn Entropy) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letters = (0..17).filter_map(|_| {
        let index = usize::try_from(ids.below(32)).ok()?;
        LETTERS.get(index).copied().map(char::from)
    });
    prefix.chars().chain(letters).collect()
}

/// IAM does not count white space.
fn solid(document: &str) -> usize {
    document.chars().filter(|letter| !letter.is_whitespace()).count()
}

fn create(desk: &mut Desk<'_>, new: &NewRole) -> Result<Reply, Rejection> {
    let same = |role: &Arc<Role>| role.name.as_str().eq_ignore_ascii_case(new.name.as_str());
    if desk.state.roles().any(same) {
        return Err(IamRejection::RoleExists(new.name.clone()).into());
    }
    if new.tags.0.len() > Tags::MOST {
        return Err(IamRejection::TooManyTags.into());
    }
    let role = Role {
        name: new.name.clone(),
        path: new.path.clone(),
        id: unique_id("AROA", desk.ids),
        trust: new.trust.clone(),
        description: new.description.clone(),
        max_session_seconds: new.max_session_seconds,
        tags: new.tags.clone(),
        inline: BTreeMap::new(),
        attached: BTreeSet::new(),
        created_at: desk.now,
    };
    desk.put(Change::PutRole(Arc::new(role)));
    Ok(Reply::Role(new.name.clone()))
}

fn delete(desk: &mut Desk<'_>, name: &RoleName) -> Result<Reply, Rejection> {
    let role = find(desk, name)?;
    if !role.attached.is_empty() {
        return Err(IamRejection::RoleHasAttached.into());
    }
    if !role.inline.is_empty() {
        return Err(IamRejection::RoleHasInline.into());
    }
    desk.put(Change::DeleteRole(name.clone()));
    Ok(Reply::Role(name.clone()))
}

/// Again for a policy that it has: nothing happens.
fn attach(desk: &mut Desk<'_>, role: &RoleName, policy: &PolicyRef) -> Result<Reply, Rejection> {
    let arn = match policy {
        PolicyRef::Aws(arn) => arn.clone(),
        PolicyRef::Own(name) => {
            let policy = desk.state.policy(name);
            let policy = policy.ok_or_else(|| IamRejection::NoPolicy(name.clone()))?;
            desk.state.realm().policy(policy)
        }
    };
    edit(desk, role, |role| {
        role.attached.insert(arn);
        if role.attached.len() > MOST_ATTACHED {
            return Err(IamRejection::TooManyAttached);
        }
        Ok(())
    })
}

fn find(desk: &Desk<'_>, name: &RoleName) -> Result<Arc<Role>, Rejection> {
    let role = desk.state.role(name).cloned();
    role.ok_or_else(|| IamRejection::NoRole(name.clone()).into())
}

/// Changes a role; one that stays as it was is not written.
fn edit(
    desk: &mut Desk<'_>,
    name: &RoleName,
    by: impl FnOnce(&mut Role) -> Result<(), IamRejection>,
) -> Result<Reply, Rejection> {
    let before = find(desk, name)?;
    let mut role = Role::clone(&before);
    by(&mut role)?;
    if role != *before {
        desk.put(Change::PutRole(Arc::new(role)));
    }
    Ok(Reply::Role(name.clone()))
}
