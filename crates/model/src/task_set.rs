//! A task set: a deployment that a program of the user's has made, with its share of the service's
//! desired count.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-external.html>

use serde::{Deserialize, Serialize};

use crate::{StrategyItem, Tags};

/// What makes a deployment a task set. Its id, what it runs and where are the deployment's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSet {
    /// Its share of the service's desired count.
    pub scale: Scale,
    /// What the program calls it.
    #[serde(default)]
    pub external_id: Option<String>,
    /// Which capacity providers get how much; empty for none.
    #[serde(default)]
    pub providers: Vec<StrategyItem>,
    /// Its tags.
    #[serde(default)]
    pub tags: Tags,
    /// It is deleted while its tasks stop.
    #[serde(default)]
    pub draining: bool,
}

/// A share of a service's desired count, in millionths of a percent: at most all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Scale(u32);

impl Scale {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// A percent has so many of its parts.
    const PARTS: u32 = 1_000_000;

    /// So many percent; none unless that is from 0 to 100.
    pub fn percent(percent: f64) -> Option<Self> {
        let parts = (percent * f64::from(Self::PARTS)).round();
        let most = f64::from(100 * Self::PARTS);
        // A whole number of this range is a u32.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        (0.0..=most).contains(&parts).then_some(Self(parts as u32))
    }

    /// As percent.
    pub fn as_percent(self) -> f64 {
        f64::from(self.0) / f64::from(Self::PARTS)
    }

    /// So much of a desired count: rounded up, as ECS does.
    pub fn of(self, desired: u32) -> u32 {
        let whole = 100 * u64::from(Self::PARTS);
        let count = (u64::from(desired) * u64::from(self.0)).div_ceil(whole);
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up() {
        for (percent, desired, count) in [
            (0.0, 10, 0),
            (100.0, 10, 10),
            (50.0, 3, 2),
            (12.0, 10, 2),
            (0.000_001, 1, 1),
            (33.333_333, 3, 1),
            (33.333_334, 3, 2),
            (99.9, 1_000, 999),
            (100.0, u32::MAX, u32::MAX),
        ] {
            let scale = Scale::percent(percent).expect("from 0 to 100");
            assert_eq!(scale.of(desired), count, "{percent} % of {desired}");
            assert!((scale.as_percent() - percent).abs() < 1e-9);
        }
    }

    #[test]
    fn what_is_no_share_is_none() {
        for percent in [-0.1, 100.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Scale::percent(percent), None, "{percent}");
        }
    }
}
