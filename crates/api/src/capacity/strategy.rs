//! Capacity provider strategies, read and shown.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CapacityProviderStrategyItem.html>

use aws::Error;
use aws::ecs::{CapacityProviderStrategyItem as Wire, LaunchType as WireLaunch};
use model::{ClusterName, ProviderName, State, StrategyItem};

use crate::errors::invalid;

/// The largest weight, and the largest base.
const MOST_WEIGHT: u32 = 1_000;
const MOST_BASE: u32 = 100_000;

/// The strategy of a call or a service: its own, else the cluster's if it names no launch type either.
pub(crate) fn read_for(
    state: &State,
    cluster: &ClusterName,
    launch_type: Option<&WireLaunch>,
    given: Option<&Vec<Wire>>,
) -> Result<Vec<StrategyItem>, Error> {
    let given = read(given)?;
    if launch_type.is_some() && !given.is_empty() {
        return Err(invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove \
             one and try again.",
        ));
    }
    if launch_type.is_some() || !given.is_empty() {
        return Ok(given);
    }
    Ok(state.cluster(cluster).map(|c| c.default_strategy.clone()).unwrap_or_default())
}

/// A strategy as it was given.
pub(crate) fn read(given: Option<&Vec<Wire>>) -> Result<Vec<StrategyItem>, Error> {
    let given = given.map(Vec::as_slice).unwrap_or_default();
    // Whoever names one provider alone means it, weight or not.
    let alone = given.len() == 1;
    given.iter().map(|item| read_item(item, alone)).collect()
}

fn read_item(item: &Wire, alone: bool) -> Result<StrategyItem, Error> {
    let name = item.capacity_provider.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err(invalid("capacityProvider: every item of a strategy names one."));
    }
    let weight = within("weight", item.weight, u32::from(alone), MOST_WEIGHT)?;
    let base = within("base", item.base, 0, MOST_BASE)?;
    Ok(StrategyItem { provider: named(name), weight, base })
}

/// A provider by its name or ARN.
pub(crate) fn named(given: &str) -> ProviderName {
    let name = match given.split_once(":capacity-provider/") {
        Some((_, name)) if given.starts_with("arn:") => name,
        _ => given,
    };
    name.into()
}

fn within(member: &str, given: Option<i32>, absent: u32, most: u32) -> Result<u32, Error> {
    let Some(given) = given else { return Ok(absent) };
    u32::try_from(given)
        .ok()
        .filter(|n| *n <= most)
        .ok_or_else(|| invalid(format!("{member}: it must be between 0 and {most}.")))
}

/// A strategy as it is described.
pub(crate) fn show(strategy: &[StrategyItem]) -> Vec<Wire> {
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let item = |item: &StrategyItem| Wire {
        capacity_provider: Some(item.provider.to_string()),
        weight: Some(number(item.weight)),
        base: Some(number(item.base)),
    };
    strategy.iter().map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, weight: Option<i32>, base: Option<i32>) -> Wire {
        Wire { capacity_provider: Some(name.to_owned()), weight, base }
    }

    #[test]
    fn what_is_left_out_is_nothing_unless_it_stands_alone() {
        let read = |items: Vec<Wire>| read(Some(&items)).map(|s| show(&s));
        assert_eq!(read(vec![item("a", None, None)]).ok(), Some(vec![item("a", Some(1), Some(0))]));
        let two = vec![item("a", None, Some(2)), item("b", Some(3), None)];
        let shown = vec![item("a", Some(0), Some(2)), item("b", Some(3), Some(0))];
        assert_eq!(read(two).ok(), Some(shown));
        for bad in [
            item("", None, None),
            item("a", Some(-1), None),
            item("a", Some(1_001), None),
            item("a", None, Some(100_001)),
        ] {
            assert!(read(vec![bad.clone()]).is_err(), "{bad:?}");
        }
    }
}
