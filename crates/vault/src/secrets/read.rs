//! Reading secrets and their values.

use stdx::Timestamp;

use super::types::{SecretSummary, SecretVersion, VersionChoice, VersionSummary};
use super::{find, find_live, invalid, owner};
use crate::tables::Snapshot;
use crate::vault::{Desk, Page, cut, parse_token, render_token};
use crate::{Vault, VaultError};

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// How many versions a page of `ListSecretVersionIds` has at most.
const MOST_LISTED: i64 = 100;

/// The token's list.
const VERSIONS: &str = "versions";

impl Vault {
    /// `GetSecretValue`. Notes the day of the access, which is written once a day.
    ///
    /// # Errors
    /// There is no such secret or version, or the secret is deleted.
    pub async fn secret_value(
        &self,
        id: &str,
        choice: VersionChoice,
    ) -> Result<SecretVersion, VaultError> {
        let id = id.to_owned();
        let (version, fresh) =
            self.read(move |snapshot, desk| value(snapshot, desk, &id, &choice)).await?;
        if !fresh {
            self.note_access(&version).await?;
        }
        Ok(version)
    }

    async fn note_access(&self, version: &SecretVersion) -> Result<(), VaultError> {
        let (name, arn, id) =
            (version.name.clone(), version.arn.clone(), version.version_id.clone());
        self.write(move |tables, desk| {
            let Some(mut record) = tables.secret(&name)?.filter(|record| record.arn == arn) else {
                return Ok(());
            };
            let today = Some(day(desk.now));
            record.accessed = today;
            if let Some(version) = record.versions.iter_mut().find(|version| version.id == id) {
                version.accessed = today;
            }
            tables.put_secret(&record)
        })
        .await
    }

    /// `DescribeSecret`.
    ///
    /// # Errors
    /// There is no such secret.
    pub async fn describe_secret(&self, id: &str) -> Result<SecretSummary, VaultError> {
        let id = id.to_owned();
        self.read(move |snapshot, desk| {
            let record = find(desk.realm, &id, desk.now, |name| snapshot.secret(name))?;
            Ok(record.summary())
        })
        .await
    }

    /// `ListSecretVersionIds`: the newest first, those without a label only if asked for. Answers
    /// the secret too.
    ///
    /// # Errors
    /// There is no such secret, the limit is not 1 to 100, or the token is not ours.
    pub async fn secret_versions(
        &self,
        id: &str,
        deprecated: bool,
        limit: Option<i64>,
        next_token: Option<&str>,
    ) -> Result<(SecretSummary, Page<VersionSummary>), VaultError> {
        let limit = page(limit, MOST_LISTED)?;
        let after = next_token.map(|token| parse_token::<2>(VERSIONS, token).ok_or_else(bad_token));
        let after = after.transpose()?.map(|[millis, id]| (millis.parse::<i64>().unwrap_or(0), id));
        let secret = self.describe_secret(id).await?;
        let place = |version: &VersionSummary| (version.created.as_millis(), version.id.clone());
        let mut versions = secret.versions.clone();
        versions.retain(|version| deprecated || !version.stages.is_empty());
        versions.sort_by_key(|version| std::cmp::Reverse(place(version)));
        let passed =
            |version: &VersionSummary| after.as_ref().is_some_and(|after| place(version) >= *after);
        let token = |version: &VersionSummary| {
            render_token(VERSIONS, &[&version.created.as_millis().to_string(), &version.id])
        };
        Ok((secret, cut(versions, limit, passed, token)))
    }
}

/// A version's value, and whether today's access is noted already.
fn value(
    snapshot: &Snapshot,
    desk: &Desk<'_>,
    id: &str,
    choice: &VersionChoice,
) -> Result<(SecretVersion, bool), VaultError> {
    let record = find_live(desk.realm, id, desk.now, |name| snapshot.secret(name))?;
    let version = record.choose(choice)?;
    let sealed = snapshot
        .secret_value(&record.arn, &version.id)?
        .ok_or_else(|| VaultError::Damaged(owner(&record.arn, &version.id)))?;
    let value = desk.sealer.open(&owner(&record.arn, &version.id), &sealed)?;
    let today = Some(day(desk.now));
    let fresh = record.accessed == today && version.accessed == today;
    let found = SecretVersion {
        version_id: version.id.clone(),
        created: version.created,
        stages: version.stages.clone(),
        value,
        arn: record.arn,
        name: record.name,
    };
    Ok((found, fresh))
}

/// The beginning of an instant's day, in UTC.
fn day(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis().div_euclid(DAY_MILLIS) * DAY_MILLIS)
}

/// A page's size.
pub(super) fn page(limit: Option<i64>, most: i64) -> Result<usize, VaultError> {
    let limit = limit.unwrap_or(most);
    usize::try_from(limit)
        .ok()
        .filter(|_| (1..=most).contains(&limit))
        .ok_or_else(|| invalid(format!("MaxResults is {limit}; it must be between 1 and {most}.")))
}

pub(super) fn bad_token() -> VaultError {
    VaultError::refused("InvalidNextTokenException", "Invalid NextToken.")
}
