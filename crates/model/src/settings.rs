//! Account settings: what principals have set for themselves, and root for everybody else.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-account-settings.html>

use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::{Address, Insights, Table};

/// A setting that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AccountSetting {
    /// `serviceLongArnFormat`.
    LongServiceArns,
    /// `taskLongArnFormat`.
    LongTaskArns,
    /// `containerInstanceLongArnFormat`.
    LongInstanceArns,
    /// `awsvpcTrunking`.
    Trunking,
    /// `containerInsights`: what a new cluster begins with.
    ContainerInsights,
    /// `fargateFIPSMode`.
    Fips,
    /// `tagResourceAuthorization`: whether tags at creation need a permission of their own.
    TagAuthorization,
    /// `defaultLogDriverMode`: the mode of log drivers that are given none.
    LogMode,
}

/// What a setting is set to. Which values a setting can have is the door's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettingValue {
    /// `enabled`.
    Enabled,
    /// `disabled`.
    Disabled,
    /// `enhanced`.
    Enhanced,
    /// `on`.
    On,
    /// `off`.
    Off,
    /// `blocking`.
    Blocking,
    /// `non-blocking`.
    NonBlocking,
}

/// A setting of one principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingRecord {
    /// Whose: an ARN. Root's counts for everybody who has none.
    pub principal: String,
    /// Which.
    pub setting: AccountSetting,
    /// To what.
    pub value: SettingValue,
}

/// One upsert or delete of a setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettingChange {
    /// A setting as it now is.
    Put(Arc<SettingRecord>),
    /// A principal has no such setting any more.
    Delete(String, AccountSetting),
}

/// What was set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsBook {
    all: OrdMap<(String, AccountSetting), Arc<SettingRecord>>,
}

impl AccountSetting {
    /// Every setting.
    pub const ALL: [Self; 8] = [
        Self::LongServiceArns,
        Self::LongTaskArns,
        Self::LongInstanceArns,
        Self::Trunking,
        Self::ContainerInsights,
        Self::Fips,
        Self::TagAuthorization,
        Self::LogMode,
    ];

    /// What holds where nobody has set anything.
    pub const fn usual(self) -> SettingValue {
        match self {
            Self::LongServiceArns | Self::LongTaskArns | Self::LongInstanceArns => {
                SettingValue::Enabled
            }
            Self::Trunking | Self::ContainerInsights | Self::Fips => SettingValue::Disabled,
            Self::TagAuthorization => SettingValue::On,
            Self::LogMode => SettingValue::Blocking,
        }
    }
}

impl SettingsBook {
    /// Takes a change in. Total, like [`crate::State::apply`].
    pub(crate) fn apply(&mut self, change: &SettingChange) {
        match change {
            SettingChange::Put(it) => {
                drop(self.all.insert((it.principal.clone(), it.setting), it.clone()));
            }
            SettingChange::Delete(principal, setting) => {
                drop(self.all.remove(&(principal.clone(), *setting)));
            }
        }
    }

    /// What a principal has set.
    pub fn get(&self, principal: &str, setting: AccountSetting) -> Option<SettingValue> {
        self.all.get(&(principal.to_owned(), setting)).map(|record| record.value)
    }

    /// What holds for a principal: its own, else root's, else what is usual.
    pub fn effective(&self, root: &str, principal: &str, setting: AccountSetting) -> SettingValue {
        let own = self.get(principal, setting);
        own.or_else(|| self.get(root, setting)).unwrap_or(setting.usual())
    }

    /// What new clusters of a principal begin with.
    pub fn insights(&self, root: &str, principal: &str) -> Insights {
        match self.effective(root, principal, AccountSetting::ContainerInsights) {
            SettingValue::Enhanced => Insights::Enhanced,
            SettingValue::Enabled => Insights::Enabled,
            SettingValue::Disabled
            | SettingValue::On
            | SettingValue::Off
            | SettingValue::Blocking
            | SettingValue::NonBlocking => Insights::Disabled,
        }
    }

    /// Every record as the change that makes it.
    pub(crate) fn records(&self) -> impl Iterator<Item = SettingChange> + '_ {
        self.all.values().cloned().map(SettingChange::Put)
    }
}

impl SettingChange {
    /// The records that are written or removed.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let (principal, setting) = match self {
            Self::Put(it) => (&it.principal, it.setting),
            Self::Delete(principal, setting) => (principal, *setting),
        };
        vec![Address { table: Table::AccountSettings, key: format!("{principal}/{setting:?}") }]
    }

    /// Whether the record is removed rather than written.
    pub(crate) const fn is_delete(&self) -> bool {
        match self {
            Self::Delete(..) => true,
            Self::Put(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principals_own_wins_over_roots_and_roots_over_what_is_usual() {
        let mut book = SettingsBook::default();
        let put = |principal: &str, value| {
            let setting = AccountSetting::ContainerInsights;
            let principal = principal.to_owned();
            SettingChange::Put(Arc::new(SettingRecord { principal, setting, value }))
        };
        assert_eq!(book.insights("root", "a"), Insights::Disabled);
        book.apply(&put("root", SettingValue::Enabled));
        assert_eq!(book.insights("root", "a"), Insights::Enabled);
        book.apply(&put("a", SettingValue::Enhanced));
        let seen = |book: &SettingsBook| (book.insights("root", "a"), book.insights("root", "b"));
        assert_eq!(seen(&book), (Insights::Enhanced, Insights::Enabled));
        let mut again = SettingsBook::default();
        book.records().for_each(|change| again.apply(&change));
        assert_eq!(book, again);
        let gone = SettingChange::Delete("a".to_owned(), AccountSetting::ContainerInsights);
        assert_eq!(gone.addresses(), put("a", SettingValue::Enabled).addresses());
        book.apply(&gone);
        assert_eq!(seen(&book), (Insights::Enabled, Insights::Enabled));
    }
}
