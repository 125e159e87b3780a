//! How many tasks a service has, how many it may start, and which it may stop: the arithmetic of
//! desired counts and of minimum and maximum percent, used by the plan and again at its commit.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html>
//!
//! It is done for each [`Want`] of a service by itself: [`wants`] says how many tasks of which of its
//! deployments there are to be, [`Tally`] what there is of it, and [`launch`] and [`stops`] what
//! brings the two together.

mod tally;
mod wants;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    InstanceId, LaunchType, PlacementTerms, Resources, Service, State, StrategyItem,
    TaskDefinition, TaskId,
};
use stdx::Timestamp;

use crate::placement::{self, Group, Wish};
use crate::{StopCause, Waiting};

pub(crate) use tally::{Member, Tally};
pub(crate) use wants::{Claim, Want, wants};

/// The most tasks that one command starts or stops, so that its batch stays within every engine's
/// limits.
pub(crate) const BATCH: u32 = 64;

pub(crate) fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// What a service still wants, and how much of it may be started now.
#[derive(Debug, PartialEq)]
pub(crate) struct Launch {
    /// Tasks that it may start now.
    pub(crate) count: u32,
    /// Tasks that it wants and for which its maximum percent leaves no room.
    pub(crate) no_room: u32,
    /// Why nothing is started, if something is wanted.
    pub(crate) waiting: Option<Waiting>,
}

/// How many tasks of it the service may start now: never beyond its maximum percent, none of a failed
/// deployment, none before a back-off is over.
pub(crate) fn launch(
    service: &Service,
    want: &Want<'_>,
    tally: &Tally<'_>,
    now: Timestamp,
) -> Launch {
    let nothing = |waiting| Launch { count: 0, no_room: 0, waiting };
    let wanted = want.count.saturating_sub(tally.good);
    if wanted == 0 {
        return nothing(None);
    }
    if want.given_up {
        return nothing(Some(Waiting::Failed { deployment: want.deployment.clone() }));
    }
    if let Some(until) = want.not_before.filter(|until| *until > now) {
        let failures = want.failures_in_a_row;
        return nothing(Some(Waiting::BackOff { until, failures }));
    }
    let room = service.config.most(want.count).saturating_sub(tally.live());
    let count = wanted.min(room);
    let waiting = (count == 0).then(|| {
        tally.unfinished().unwrap_or(Waiting::Room {
            maximum_percent: service.config.maximum_percent,
            minimum_healthy_percent: service.config.minimum_healthy_percent,
        })
    });
    Launch { count, no_room: wanted - count, waiting }
}

/// Which tasks the service stops now. `blocked` are tasks that it wants and cannot start as things
/// are, for want of room or of a place: for them it stops others as far as its minimum healthy
/// percent allows; else it stops what has been replaced.
pub(crate) fn stops(
    service: &Service,
    want: &Want<'_>,
    tally: &Tally<'_>,
    blocked: u32,
) -> Vec<(TaskId, StopCause)> {
    let desired = want.count;
    let mut stops = surplus(tally, desired);
    let on_their_way = small(tally.stopping.len());
    let need = blocked.saturating_sub(on_their_way);
    let mut for_need = need;
    // What is not healthy protects nobody. An unhealthy task of the right deployment stays until it
    // is replaced, as ECS does, unless it is in the way.
    let mut tired: Vec<&Member<'_>> =
        tally.members.iter().filter(|m| m.flaw.is_some() && m.may_stop()).collect();
    tired.sort_by_key(|m| (m.flaw, m.task.facts.created_at));
    for member in tired.iter().filter(|m| !m.healthy) {
        let Some(cause) = member.flaw else { continue };
        if cause.is_unhealthy() && tally.good_healthy < desired {
            if for_need == 0 {
                continue;
            }
            for_need -= 1;
        }
        stops.push((member.task.facts.key.task.clone(), cause));
    }
    let fewest = service.config.fewest(desired);
    let over = tally.healthy.saturating_sub(desired);
    let spare = tally.healthy.saturating_sub(fewest);
    let surplus_healthy = tally.good_healthy.saturating_sub(desired);
    let budget = over.max(need.min(spare)).saturating_sub(surplus_healthy);
    let healthy = tired.iter().filter(|m| m.healthy).take(budget as usize);
    stops.extend(healthy.filter_map(|m| Some((m.task.facts.key.task.clone(), m.flaw?))));
    stops.truncate(BATCH as usize);
    stops
}

/// Those beyond the desired count: first what is not healthy yet, then from the instance with most
/// of the service's tasks, the youngest first.
fn surplus(tally: &Tally<'_>, desired: u32) -> Vec<(TaskId, StopCause)> {
    let count = tally.good.saturating_sub(desired).min(BATCH) as usize;
    if count == 0 {
        return Vec::new();
    }
    let mut good: Vec<&Member<'_>> =
        tally.members.iter().filter(|m| m.flaw.is_none() && m.may_stop()).collect();
    let mut crowd: BTreeMap<Option<&InstanceId>, u32> = BTreeMap::new();
    for member in &good {
        *crowd.entry(member.task.facts.instance.as_ref()).or_default() += 1;
    }
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count && !good.is_empty() {
        let rank = |m: &Member<'_>| {
            let here = crowd.get(&m.task.facts.instance.as_ref()).copied().unwrap_or(0);
            (m.healthy, m.task.is_running(), Reverse(here), Reverse(m.task.facts.created_at))
        };
        let first = (0..good.len()).min_by_key(|at| rank(good[*at])).unwrap_or(0);
        let member = good.remove(first);
        if let Some(here) = crowd.get_mut(&member.task.facts.instance.as_ref()) {
            *here -= 1;
        }
        chosen.push((member.task.facts.key.task.clone(), StopCause::ScaleIn));
    }
    chosen
}

/// Those of the proposed stops that may still be done: their cause still stands, and the healthy
/// ones leave the minimum healthy percent standing.
pub(crate) fn still_to_stop(
    service: &Service,
    want: &Want<'_>,
    tally: &Tally<'_>,
    proposed: &[(TaskId, StopCause)],
) -> Vec<(TaskId, StopCause)> {
    let desired = want.count;
    let mut surplus = tally.good.saturating_sub(desired);
    let mut spare = tally.healthy.saturating_sub(service.config.fewest(desired));
    let mut stops = Vec::new();
    for (id, _) in proposed {
        let member = tally.members.iter().find(|m| m.task.facts.key.task == *id);
        let Some(member) = member else { continue };
        if (member.healthy && spare == 0) || !member.may_stop() {
            continue;
        }
        let cause = match member.flaw {
            Some(cause) => cause,
            None if surplus > 0 => {
                surplus -= 1;
                StopCause::ScaleIn
            }
            None => continue,
        };
        spare -= u32::from(member.healthy);
        stops.push((id.clone(), cause));
    }
    stops
}

/// What a service's tasks ask of placement.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) definition: Arc<TaskDefinition>,
    pub(crate) needs: Resources,
    pub(crate) launch_type: LaunchType,
    pub(crate) providers: Vec<StrategyItem>,
    rules: placement::Rules,
}

impl Terms {
    /// The terms of what is wanted; none if it has no definition any more.
    pub(crate) fn of(state: &State, service: &Service, want: &Want<'_>) -> Option<Self> {
        let definition = state.definition(want.definition)?.clone();
        let rules = placement::rules(&definition.spec, &service.constraints);
        let needs = definition.spec.reservation();
        let (launch_type, providers) = (want.launch_type, want.providers.to_vec());
        Some(Self { definition, needs, launch_type, providers, rules })
    }

    /// What a task asks of an instance, should it have to wait for one.
    pub(crate) fn for_later(&self, service: &Service) -> PlacementTerms {
        PlacementTerms {
            constraints: service.constraints.clone(),
            strategy: placement::service_strategy(&service.strategy),
            attributes: Vec::new(),
            gpus: self.definition.spec.gpus(),
        }
    }

    /// The same as a wish.
    pub(crate) fn wish<'a>(&'a self, service: &'a Service) -> Wish<'a> {
        Wish {
            cluster: &service.key.cluster,
            launch_type: self.launch_type,
            provider: None,
            needs: &self.needs,
            gpus: self.definition.spec.gpus(),
            attributes: &self.definition.spec.required_attributes,
            more_attributes: &[],
            rules: self.rules.clone(),
            group: Group::Service(&service.key),
            strategy: placement::service_strategy(&service.strategy),
        }
    }
}
