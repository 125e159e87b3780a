//! Which nodes go when a group has too many.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html>

use std::collections::BTreeMap;

use model::NodeId;
use stdx::Timestamp;

/// A node that might go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Which.
    pub id: &'a NodeId,
    /// Where it is.
    pub zone: &'a str,
    /// Whether it is kept from scale-in.
    pub protected: bool,
    /// Whether it is to be replaced anyway.
    pub unhealthy: bool,
    /// Whether it is started as nodes are started now.
    pub current: bool,
    /// So many tasks are on it.
    pub tasks: usize,
    /// When its start was decided.
    pub created_at: Timestamp,
}

/// The nodes that go, at most `count`, none of them protected: the unhealthy first, then of the zone
/// that has most the ones with an old configuration, with the fewest tasks, the oldest.
pub fn victims(candidates: &[Candidate<'_>], count: usize) -> Vec<NodeId> {
    let mut left: Vec<&Candidate<'_>> = candidates.iter().collect();
    let mut gone = Vec::new();
    while gone.len() < count {
        let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
        for candidate in &left {
            *zones.entry(candidate.zone).or_default() += 1;
        }
        let crowd = |zone: &str| zones.get(zone).copied().unwrap_or_default();
        let next = left
            .iter()
            .enumerate()
            .filter(|(_, candidate)| !candidate.protected)
            .min_by_key(|(_, c)| {
                let crowd = std::cmp::Reverse(crowd(c.zone));
                (!c.unhealthy, crowd, c.current, c.tasks, c.created_at, c.id.clone())
            })
            .map(|(at, _)| at);
        let Some(at) = next else { break };
        gone.push(left.remove(at).id.clone());
    }
    gone
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_most_dispensable_goes_first_and_the_protected_never() {
        let ids: Vec<NodeId> = (0..6).map(|n| format!("i-{n}").into()).collect();
        let node = |n: usize, zone: &'static str, tasks: usize, age: u64| Candidate {
            id: &ids[n],
            zone,
            protected: false,
            unhealthy: false,
            current: true,
            tasks,
            created_at: Timestamp::EPOCH + Duration::from_secs(100 - age),
        };
        let all = [
            node(0, "a", 2, 5),
            node(1, "a", 0, 1),
            node(2, "a", 0, 9),
            Candidate { protected: true, ..node(3, "b", 0, 50) },
            Candidate { unhealthy: true, ..node(4, "b", 7, 0) },
            Candidate { current: false, ..node(5, "a", 3, 0) },
        ];
        let named = |count| -> Vec<String> {
            victims(&all, count).iter().map(ToString::to_string).collect()
        };
        assert_eq!(named(0), Vec::<String>::new());
        assert_eq!(named(3), ["i-4", "i-5", "i-2"]);
        assert_eq!(named(9), ["i-4", "i-5", "i-2", "i-1", "i-0"]);
    }
}
