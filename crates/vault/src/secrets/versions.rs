//! The rules of versions and staging labels, as changes of a record.
//! <https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html#term_version>

use std::collections::BTreeSet;

use stdx::Timestamp;

use super::types::{SecretRecord, StageMove, VersionChoice, VersionRecord};
use super::{CURRENT, PREVIOUS, invalid, out_of_turn};
use crate::VaultError;

/// How many versions a secret keeps.
pub(super) const MOST_VERSIONS: usize = 100;
/// How many staging labels a version may have.
const MOST_STAGES: usize = 20;

impl SecretRecord {
    pub(super) fn version(&self, id: &str) -> Option<&VersionRecord> {
        self.versions.iter().find(|version| version.id == id)
    }

    fn holder(&self, stage: &str) -> Option<&VersionRecord> {
        self.versions.iter().find(|version| version.stages.contains(stage))
    }

    /// The version that a caller chooses.
    pub(super) fn choose(&self, choice: &VersionChoice) -> Result<&VersionRecord, VaultError> {
        let missing = |what: String| {
            VaultError::refused(
                "ResourceNotFoundException",
                format!("Secrets Manager can't find the specified secret value for {what}"),
            )
        };
        match (&choice.id, &choice.stage) {
            (None, stage) => {
                let stage = stage.as_deref().unwrap_or(CURRENT);
                self.holder(stage).ok_or_else(|| missing(format!("staging label: {stage}")))
            }
            (Some(id), stage) => {
                let version =
                    self.version(id).ok_or_else(|| missing(format!("VersionId: {id}")))?;
                match stage {
                    Some(stage) if !version.stages.contains(stage) => Err(out_of_turn(
                        "You provided a VersionStage that is not associated to the provided \
                         VersionId.",
                    )),
                    _ => Ok(version),
                }
            }
        }
    }

    /// Adds a version with these labels (none: `AWSCURRENT`), and says which old ones had to go.
    pub(super) fn add_version(
        &mut self,
        id: &str,
        mut stages: BTreeSet<String>,
        now: Timestamp,
    ) -> Result<Vec<VersionRecord>, VaultError> {
        if stages.len() > MOST_STAGES {
            return Err(too_many_stages());
        }
        if stages.is_empty() || self.versions.is_empty() {
            stages.insert(CURRENT.to_owned());
        }
        let id = id.to_owned();
        let version =
            VersionRecord { id: id.clone(), created: now, accessed: None, stages: BTreeSet::new() };
        self.versions.push(version);
        // The current label last: where it was is then where the previous one goes.
        for stage in stages.iter().filter(|stage| *stage != CURRENT) {
            self.attach(stage, &id);
        }
        if stages.contains(CURRENT) {
            self.attach(CURRENT, &id);
        }
        self.changed = now;
        self.prune()
    }

    /// Moves a label to a version. Who loses `AWSCURRENT` becomes `AWSPREVIOUS`.
    fn attach(&mut self, stage: &str, id: &str) {
        let from = self.detach(stage);
        if let Some(version) = self.versions.iter_mut().find(|version| version.id == id) {
            version.stages.insert(stage.to_owned());
        }
        if stage == CURRENT
            && let Some(from) = from.filter(|from| from != id)
        {
            self.attach(PREVIOUS, &from);
        }
    }

    /// Takes a label away from whoever has it.
    fn detach(&mut self, stage: &str) -> Option<String> {
        let holder = self.versions.iter_mut().find(|version| version.stages.contains(stage))?;
        holder.stages.remove(stage);
        Some(holder.id.clone())
    }

    /// Drops the oldest versions without a label until there are few enough.
    fn prune(&mut self) -> Result<Vec<VersionRecord>, VaultError> {
        let mut dropped = Vec::new();
        while self.versions.len() > MOST_VERSIONS {
            let Some(at) = self.versions.iter().position(|version| version.stages.is_empty())
            else {
                return Err(VaultError::refused(
                    "LimitExceededException",
                    format!(
                        "The secret has {MOST_VERSIONS} versions, each with a staging label. Remove \
                         labels from some of them."
                    ),
                ));
            };
            dropped.push(self.versions.remove(at));
        }
        Ok(dropped)
    }

    /// `UpdateSecretVersionStage`.
    pub(super) fn move_stage(&mut self, wanted: &StageMove) -> Result<(), VaultError> {
        let stage = wanted.stage.as_str();
        for id in [&wanted.to, &wanted.from].into_iter().flatten() {
            if self.version(id).is_none() {
                return Err(VaultError::refused(
                    "ResourceNotFoundException",
                    format!(
                        "Secrets Manager can't find the specified secret version: the secret {} has \
                         no version {id}.",
                        self.name
                    ),
                ));
            }
        }
        let holder = self.holder(stage).map(|version| version.id.clone());
        match (&holder, &wanted.from) {
            (Some(holder), None) if wanted.to.as_ref() != Some(holder) => {
                return Err(invalid(format!(
                    "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is \
                     currently attached to version {holder}, so you must explicitly reference that \
                     version in RemoveFromVersionId."
                )));
            }
            (holder, Some(from)) if holder.as_ref() != Some(from) => {
                return Err(invalid(format!(
                    "Staging label {stage} is not attached to version {from}, which \
                     RemoveFromVersionId names; it is attached to {}.",
                    holder
                        .as_deref()
                        .map_or_else(|| "no version".to_owned(), |id| format!("version {id}"))
                )));
            }
            _ => {}
        }
        let Some(to) = &wanted.to else {
            if stage == CURRENT {
                return Err(invalid(format!(
                    "You can only move staging label {CURRENT} to a different secret version. It \
                     can't be completely removed."
                )));
            }
            if wanted.from.is_none() {
                return Err(invalid(
                    "Say where the staging label goes (MoveToVersionId), or where it is removed \
                     from (RemoveFromVersionId).",
                ));
            }
            self.detach(stage);
            return Ok(());
        };
        self.attach(stage, to);
        match self.version(to) {
            Some(version) if version.stages.len() > MOST_STAGES => Err(too_many_stages()),
            _ => Ok(()),
        }
    }
}

fn too_many_stages() -> VaultError {
    VaultError::refused(
        "LimitExceededException",
        format!("A version can have at most {MOST_STAGES} staging labels."),
    )
}
