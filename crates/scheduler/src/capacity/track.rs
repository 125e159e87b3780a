//! Target tracking of groups: which metrics their policies have to be told, and what ought to follow.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-target-tracking.html>
//!
//! The rule is that of services, see [`crate::scaling`]: a policy scales out when its metric is above
//! the target, to the count at which it would be at it, and in when it has been below 90 % of the
//! target for seven windows. Nodes in service give a metric its value.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{
    AutoScalingGroup, GroupPolicy, GroupPolicyKey, GroupTracking, NodeState, Process, State,
};
use stdx::Timestamp;

use super::policies::GroupScale;
use crate::scaling::judge::{LOW, wanted};
use crate::scaling::window::{self, Points, Seen};
use crate::scaling::{Question, metric, text};

/// A question to the store of metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupAsk {
    /// For which policy.
    pub policy: GroupPolicyKey,
    /// Which data points.
    pub question: Question,
    /// How far apart data points may lie at the closest.
    pub period: Duration,
}

/// What is known of the metric of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupAnswer {
    /// Whose.
    pub policy: GroupPolicyKey,
    /// Its data points.
    pub points: Points,
}

/// Whether no group tracks a metric.
pub fn is_untracked(state: &State) -> bool {
    state.capacity().policies().all(|policy| policy.tracking().is_none())
}

/// Which metrics the groups' policies have to be told now.
pub fn questions(state: &State) -> Vec<GroupAsk> {
    let asks = state.capacity().policies().filter(|policy| policy.enabled).filter_map(|policy| {
        let (question, period) = metric::asked(&policy.tracking()?.metric)?;
        Some(GroupAsk { policy: policy.key.clone(), question, period })
    });
    asks.collect()
}

/// What one policy sees.
struct View<'a> {
    policy: &'a GroupPolicy,
    tracking: &'a GroupTracking,
    seen: Option<Seen>,
}

/// What ought to happen to groups by what their policies' metrics are.
pub fn track(state: &State, now: Timestamp, answers: &[GroupAnswer]) -> Vec<GroupScale> {
    let answers: BTreeMap<&GroupPolicyKey, &Points> =
        answers.iter().map(|answer| (&answer.policy, &answer.points)).collect();
    let groups = state.capacity().groups().filter(|group| is_open(state, group));
    groups.filter_map(|group| of_group(state, group, &answers, now)).collect()
}

/// Whether policies may move a group's size.
fn is_open(state: &State, group: &AutoScalingGroup) -> bool {
    let managed = state.capacity().provider_of(&group.name).is_some_and(|p| p.scaling.is_some());
    !group.deleting && !managed && group.does(Process::AlarmNotification)
}

fn of_group(
    state: &State,
    group: &AutoScalingGroup,
    answers: &BTreeMap<&GroupPolicyKey, &Points>,
    now: Timestamp,
) -> Option<GroupScale> {
    let book = state.capacity();
    let serving = || book.nodes(&group.name).filter(|node| node.state == NodeState::InService);
    let base = u32::try_from(serving().count()).unwrap_or(u32::MAX);
    let newest = serving().map(|node| node.changed_at).max();
    let ended = book.activities(&group.name).filter_map(|a| a.ended_at).max();
    let views: Vec<View<'_>> = book
        .policies_of(&group.name)
        .filter(|policy| policy.enabled)
        .filter_map(|policy| {
            let tracking = policy.tracking()?;
            let points = answers.get(&policy.key).copied().filter(|_| base > 0);
            // A second in which a node came or went is not whole.
            let moved = newest.max(ended).map(|at| at + Duration::from_secs(1));
            let since = moved.map_or(policy.updated_at, |at| at.max(policy.updated_at));
            let totals = metric::totals(&tracking.metric);
            let target = tracking.target.get();
            let seen = points.and_then(|points| {
                window::look(points, totals, (target, target * LOW), now, since)
            });
            Some(View { policy, tracking, seen })
        })
        .collect();
    out(group, &views, base).or_else(|| {
        let warm = |view: &View<'_>| {
            let warmup = view.policy.warmup.unwrap_or(group.cooldown);
            newest.is_none_or(|at| at + warmup <= now)
        };
        let settled = base == group.desired && views.iter().all(warm);
        settled.then(|| inward(group, &views, base)).flatten()
    })
}

/// One policy that wants more is enough, and the one that wants most is heard.
fn out(group: &AutoScalingGroup, views: &[View<'_>], base: u32) -> Option<GroupScale> {
    let high = views.iter().filter_map(|view| {
        let seen = view.seen.filter(|seen| seen.high)?;
        Some((wanted(base, seen.value, view.tracking.target.get()), view, seen))
    });
    let best = high.reduce(|best, next| if next.0 > best.0 { next } else { best });
    let (wants, view, seen) = best?;
    let to = wants.min(group.max);
    (to > group.desired).then(|| GroupScale {
        policy: view.policy.key.clone(),
        from: group.desired,
        to,
        saw: text::nodes_high(view.tracking, &seen, base, wants),
    })
}

/// All that may scale in have to want fewer, and the one that keeps most is heard.
fn inward(group: &AutoScalingGroup, views: &[View<'_>], base: u32) -> Option<GroupScale> {
    let mut best: Option<(u32, &View<'_>, Seen)> = None;
    let mut floor = group.min;
    for view in views {
        let target = view.tracking.target.get();
        if view.tracking.disable_scale_in {
            let highest = view.seen.map_or(0.0, |seen| seen.peak.unwrap_or(seen.value));
            floor = floor.max(wanted(base, highest, target));
            continue;
        }
        let seen = view.seen?;
        let wants = wanted(base, seen.peak?, target * LOW);
        if best.as_ref().is_none_or(|best| wants > best.0) {
            best = Some((wants, view, seen));
        }
    }
    let (wants, view, seen) = best?;
    let to = wants.max(floor);
    (to < group.desired).then(|| GroupScale {
        policy: view.policy.key.clone(),
        from: group.desired,
        to,
        saw: text::nodes_low(view.tracking, &seen, base, wants),
    })
}
