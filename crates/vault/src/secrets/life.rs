//! Deleting secrets, restoring them in time, and taking them away for ever.

use std::time::Duration;

use super::types::{Deletion, Recovery};
use super::{find, invalid, out_of_turn};
use crate::{Vault, VaultError};

/// How long a deleted secret can be restored, unless said.
const USUAL_DAYS: i64 = 30;
/// How long it may be said to be.
const DAYS: std::ops::RangeInclusive<i64> = 7..=30;
const DAY: u64 = 24 * 60 * 60;

impl Vault {
    /// `DeleteSecret`.
    ///
    /// # Errors
    /// There is no such secret, it is deleted already, or the days are not 7 to 30.
    pub async fn delete_secret(&self, id: &str, how: Recovery) -> Result<Deletion, VaultError> {
        let days = match how {
            Recovery::Days(days) => days.unwrap_or(USUAL_DAYS),
            Recovery::None => return self.delete_secret_now(id).await,
        };
        if !DAYS.contains(&days) {
            return Err(invalid(
                "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
            ));
        }
        let id = id.to_owned();
        self.write(move |tables, desk| {
            let mut record = find(desk.realm, &id, desk.now, |name| tables.secret(name))?;
            if record.due.is_some() {
                return Err(out_of_turn(
                    "You tried to perform the operation on a secret that's currently marked deleted.",
                ));
            }
            let due = desk.now + Duration::from_secs(DAY * days.unsigned_abs());
            record.due = Some(due);
            tables.put_secret(&record)?;
            Ok(Deletion { arn: record.arn, name: record.name, due })
        })
        .await
    }

    async fn delete_secret_now(&self, id: &str) -> Result<Deletion, VaultError> {
        let id = id.to_owned();
        self.write(move |tables, desk| {
            let due = desk.now;
            match find(desk.realm, &id, desk.now, |name| tables.secret(name)) {
                Ok(record) => {
                    tables.remove_secret(&record)?;
                    Ok(Deletion { arn: record.arn, name: record.name, due })
                }
                // So that who asks again, not having heard the answer, hears the same.
                Err(VaultError::Refused { .. }) => {
                    let prefix = desk.realm.secrets();
                    let name = id.strip_prefix(&prefix).unwrap_or(&id).to_owned();
                    Ok(Deletion { arn: format!("{prefix}{name}"), name, due })
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// `RestoreSecret`. Answers ARN and name. A secret that is not deleted stays as it is.
    ///
    /// # Errors
    /// There is no such secret, or its time is over.
    pub async fn restore_secret(&self, id: &str) -> Result<(String, String), VaultError> {
        let id = id.to_owned();
        self.write(move |tables, desk| {
            let mut record = find(desk.realm, &id, desk.now, |name| tables.secret(name))?;
            record.due = None;
            tables.put_secret(&record)?;
            Ok((record.arn, record.name))
        })
        .await
    }

    /// Takes away secrets whose time to be restored is over, and answers how many. Until it is
    /// called they are only hidden.
    ///
    /// # Errors
    /// The store fails.
    pub async fn sweep(&self) -> Result<usize, VaultError> {
        let any = |snapshot: &crate::tables::Snapshot, desk: &crate::vault::Desk<'_>| {
            Ok(snapshot.secrets()?.iter().any(|record| record.is_gone(desk.now)))
        };
        if !self.read(any).await? {
            return Ok(0);
        }
        self.write(|tables, desk| {
            let mut gone = tables.secrets()?;
            gone.retain(|record| record.is_gone(desk.now));
            for record in &gone {
                tables.remove_secret(record)?;
            }
            Ok(gone.len())
        })
        .await
    }
}
