//! Tests of the vault on a real file.

mod certificates;
mod crash;
mod disk;
mod parameters;
mod secrets;

use shell::ManualClock;
use stdx::Timestamp;

use crate::{SecretValue, Vault, VaultConfig, VaultError};

/// A vault in a folder of its own, and the clock it goes by.
pub(super) struct Store {
    pub(super) vault: Vault,
    pub(super) clock: ManualClock,
    pub(super) dir: tempfile::TempDir,
}

/// 2026-11-22T14:30:57Z.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_357_857_000);

pub(super) fn try_open(dir: &std::path::Path, clock: &ManualClock) -> Result<Vault, VaultError> {
    let clock = std::sync::Arc::new(clock.clone());
    Vault::open(VaultConfig::new(dir, "123456789012", "us-east-1", clock))
}

pub(super) fn open_at(dir: &std::path::Path, clock: &ManualClock) -> Vault {
    try_open(dir, clock).unwrap()
}

pub(super) fn store() -> Store {
    let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::new(NOW));
    Store { vault: open_at(dir.path(), &clock), clock, dir }
}

pub(super) fn text(text: &str) -> SecretValue {
    SecretValue::text(text.to_owned())
}

/// Code and sentence of a refusal.
#[track_caller]
pub(super) fn refusal<T: std::fmt::Debug>(result: Result<T, VaultError>) -> (&'static str, String) {
    let error = result.unwrap_err();
    (error.code().expect("it is a refusal"), error.to_string())
}
