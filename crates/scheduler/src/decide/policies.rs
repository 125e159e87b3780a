//! IAM's managed policies of this account, and their versions.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_managed-versioning.html>

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Change, ManagedPolicy, PolicyName, PolicyVersion, Tags};

use super::roles::unique_id;
use crate::desk::Desk;
use crate::iam::MOST_VERSIONS;
use crate::{IamRejection, NewPolicy, Rejection, Reply};

pub(super) fn create(desk: &mut Desk<'_>, new: &NewPolicy) -> Result<Reply, Rejection> {
    let same =
        |policy: &Arc<ManagedPolicy>| policy.name.as_str().eq_ignore_ascii_case(new.name.as_str());
    if desk.state.policies().any(same) {
        return Err(IamRejection::PolicyExists(new.name.clone()).into());
    }
    if new.tags.0.len() > Tags::MOST {
        return Err(IamRejection::TooManyTags.into());
    }
    let first = PolicyVersion { document: new.document.clone(), created_at: desk.now };
    let policy = ManagedPolicy {
        name: new.name.clone(),
        path: new.path.clone(),
        id: unique_id("ANPA", desk.ids),
        description: new.description.clone(),
        tags: new.tags.clone(),
        versions: BTreeMap::from([(1, first)]),
        default_version: 1,
        next_version: 2,
        created_at: desk.now,
        updated_at: desk.now,
    };
    desk.put(Change::PutPolicy(Arc::new(policy)));
    Ok(Reply::Policy(new.name.clone(), 1))
}

pub(super) fn delete(desk: &mut Desk<'_>, name: &PolicyName) -> Result<Reply, Rejection> {
    let policy = find(desk, name)?;
    let arn = desk.state.realm().policy(&policy);
    if desk.state.roles().any(|role| role.attached.contains(&arn)) {
        return Err(IamRejection::PolicyAttached.into());
    }
    if policy.versions.len() > 1 {
        return Err(IamRejection::PolicyHasVersions.into());
    }
    desk.put(Change::DeletePolicy(name.clone()));
    Ok(Reply::Done)
}

pub(super) fn create_version(
    desk: &mut Desk<'_>,
    name: &PolicyName,
    document: &Arc<str>,
    set_default: bool,
) -> Result<Reply, Rejection> {
    let mut policy = ManagedPolicy::clone(&*find(desk, name)?);
    if policy.versions.len() >= MOST_VERSIONS {
        return Err(IamRejection::TooManyVersions.into());
    }
    let number = policy.next_version;
    let version = PolicyVersion { document: document.clone(), created_at: desk.now };
    policy.versions.insert(number, version);
    policy.next_version += 1;
    if set_default {
        policy.default_version = number;
    }
    put(desk, policy);
    Ok(Reply::Policy(name.clone(), number))
}

pub(super) fn delete_version(
    desk: &mut Desk<'_>,
    name: &PolicyName,
    number: u32,
) -> Result<Reply, Rejection> {
    let mut policy = ManagedPolicy::clone(&*find(desk, name)?);
    if policy.default_version == number {
        return Err(IamRejection::DefaultVersion.into());
    }
    policy.versions.remove(&number).ok_or(IamRejection::NoVersion(number))?;
    put(desk, policy);
    Ok(Reply::Done)
}

pub(super) fn set_default(
    desk: &mut Desk<'_>,
    name: &PolicyName,
    number: u32,
) -> Result<Reply, Rejection> {
    let mut policy = ManagedPolicy::clone(&*find(desk, name)?);
    if !policy.versions.contains_key(&number) {
        return Err(IamRejection::NoVersion(number).into());
    }
    policy.default_version = number;
    put(desk, policy);
    Ok(Reply::Policy(name.clone(), number))
}

fn find(desk: &Desk<'_>, name: &PolicyName) -> Result<Arc<ManagedPolicy>, Rejection> {
    let policy = desk.state.policy(name).cloned();
    policy.ok_or_else(|| IamRejection::NoPolicy(name.clone()).into())
}

fn put(desk: &mut Desk<'_>, mut policy: ManagedPolicy) {
    policy.updated_at = desk.now;
    desk.put(Change::PutPolicy(Arc::new(policy)));
}
