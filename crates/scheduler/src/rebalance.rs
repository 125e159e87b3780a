//! Keeping the tasks of a service even over availability zones: when one zone has two tasks more than
//! another that has room, one is started in the thin zone, and once it is healthy one is stopped in
//! the thick one.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-rebalancing.html>
//!
//! It asks for nothing of its own: the task that is one too many in its zone is seen as one that is to
//! go, so that starting, stopping, the percentages, protection and back-off are those of any other.

use std::collections::BTreeMap;

use model::fleet::Values;
use model::query::{Expression, Match, Order, Query, Test};
use model::{
    DeploymentController, LaunchType, PlacementConstraint, PlacementStrategy, ProviderName,
    RolloutState, SchedulingStrategy, Service, SpreadField, State,
};

use crate::StopCause;
use crate::decide::waiting;
use crate::placement::{self, Wish, ZONE};
use crate::replicas::{Tally, Terms, Want, small};

/// How many tasks each zone has that has an instance for more.
pub(crate) type Zones = BTreeMap<String, u32>;

/// Why a service cannot be rebalanced, as ECS documents it: the rest of a sentence.
pub(crate) fn obstacle(service: &Service) -> Option<&'static str> {
    let first = service.strategy.first();
    let by_zone = PlacementStrategy::Spread(SpreadField::Attribute(ZONE.to_owned()));
    let about_zones = |constraint: &PlacementConstraint| match constraint {
        PlacementConstraint::DistinctInstance => false,
        PlacementConstraint::MemberOf(expression) => {
            let mut found = false;
            if let Some(query) = expression.query() {
                query.attributes(&mut |name| found |= name == ZONE);
            }
            found
        }
    };
    if service.scheduling == SchedulingStrategy::Daemon {
        Some("its scheduling strategy is DAEMON")
    } else if service.controller != DeploymentController::Ecs {
        Some("its deployment controller is not ECS")
    } else if service.launch_type == LaunchType::External {
        Some("its launch type is EXTERNAL")
    } else if service.config.maximum_percent <= 100 {
        Some(
            "its maximumPercent leaves no room to start a task before one is stopped: give more than 100",
        )
    } else if first.is_some_and(|first| *first != by_zone) {
        Some("its first placement strategy is not spread by attribute:ecs.availability-zone")
    } else if service.constraints.iter().any(about_zones) {
        Some("a placement constraint names attribute:ecs.availability-zone")
    } else {
        None
    }
}

/// Whether a service is wanted even, and its deployment is at rest.
fn may(service: &Service) -> bool {
    let [deployment] = service.deployments.as_slice() else {
        return false;
    };
    service.rebalances
        && deployment.rollout == RolloutState::Completed
        && deployment.failures_in_a_row == 0
        && obstacle(service).is_none()
}

/// Whether the tasks of a service that has all it wants are to be looked at for their zones.
pub(crate) fn is_due(state: &State, service: &Service) -> bool {
    may(service)
        && state.fleet(&service.key.cluster).is_some_and(|fleet| {
            let mut zones = open_zones(state, service);
            let crowd = fleet.crowd(&format!("service:{}", service.key.service));
            let names = fleet.values(ZONE);
            for (class, tasks) in crowd.into_iter().flat_map(|crowd| crowd.by_class()) {
                if let Some(zone) = names.and_then(|names| names.value_of(class)) {
                    *zones.entry(zone.to_owned()).or_default() += tasks;
                }
            }
            uneven(&zones)
        })
}

fn uneven(zones: &Zones) -> bool {
    let (most, least) = (zones.values().max(), zones.values().min());
    most.zip(least).is_some_and(|(most, least)| *most >= least + 2)
}

/// The zones that have an instance which takes tasks, with no task yet.
fn open_zones(state: &State, service: &Service) -> Zones {
    let Some(fleet) = state.fleet(&service.key.cluster) else {
        return Zones::new();
    };
    let open = |class| fleet.class(class).is_some_and(|class| !class.orders().memory.is_empty());
    let zones = fleet.values(ZONE).into_iter().flat_map(Values::iter);
    let zones = zones.filter(|(_, classes)| classes.iter().any(open));
    zones.map(|(zone, _)| (zone.to_owned(), 0)).collect()
}

/// Sees the members of a tally that has all that is wanted as an even service does: one task of the
/// thickest zone is to go where a thinner one takes another, and of those that are one too many those
/// in the thickest zones go first.
pub(crate) fn mark(state: &State, service: &Service, want: &Want<'_>, tally: &mut Tally<'_>) {
    let flawed = tally.members.iter().any(|member| member.flaw.is_some());
    if !may(service) || flawed || tally.good < want.count {
        return;
    }
    let zones_of: Vec<Option<String>> = tally
        .members
        .iter()
        .map(|member| {
            let instance = state.instance_of(&member.task.facts)?;
            Some(instance.attribute(ZONE)??.to_owned())
        })
        .collect();
    let mut zones = open_zones(state, service);
    for zone in zones_of.iter().flatten() {
        *zones.entry(zone.clone()).or_default() += 1;
    }
    let surplus = tally.good - want.count;
    if surplus == 0 {
        begin(state, service, want, tally, (&zones_of, zones));
    } else {
        go_on(tally, surplus, (&zones_of, zones));
    }
    tally.recount();
}

/// All is there and healthy: one is to move, if it may and there is a place for it.
fn begin(
    state: &State,
    service: &Service,
    want: &Want<'_>,
    tally: &mut Tally<'_>,
    (zones_of, zones): (&[Option<String>], Zones),
) {
    let room = service.config.most(want.count) > tally.live();
    if !uneven(&zones) || !tally.settled(want.count) || !room {
        return;
    }
    let Some(most) = zones.values().max().copied() else {
        return;
    };
    let Some(member) = victim(tally, zones_of, |zone| zones.get(zone) == Some(&most)) else {
        return;
    };
    let mut thin: Vec<(&String, &u32)> =
        zones.iter().filter(|(_, count)| **count + 2 <= most).collect();
    thin.sort_by_key(|(zone, count)| (**count, *zone));
    let Some(terms) = Terms::of(state, service, want) else {
        return;
    };
    // It is given to the provider whose turn it is, and placed on that one's instances alone.
    let stays = |at: usize, name: &ProviderName| {
        at != member && tally.members[at].task.facts.provider.as_ref() == Some(name)
    };
    let has =
        |name: &ProviderName| small((0..tally.members.len()).filter(|at| stays(*at, name)).count());
    let next = waiting::providers(state, &service.key.cluster, want.providers, has, 1);
    let Some(provider) = next.ok().and_then(|mut next| next.pop()) else {
        return;
    };
    let takes = |zone: &str| {
        let mut wish = Wish { provider: provider.as_ref(), ..terms.wish(service) };
        let value = Match::Compares(Order::Equal, zone.to_owned());
        let test = Test::Attribute(ZONE.to_owned(), value);
        let there = Expression::parse(&Query::Test { test, negated: false }.to_string());
        wish.rules.members.extend(there);
        placement::somewhere(state, &wish).is_ok()
    };
    // Placement chooses the thinnest zone that takes it: a thinner one that does not is no matter.
    if thin.iter().any(|(zone, _)| takes(zone)) {
        tally.members[member].flaw = Some(StopCause::ScaleIn);
        tally.uneven = Some(zones);
    }
}

/// There is more than is wanted: what is in the thickest zone goes, unless what has just been started
/// is there too.
fn go_on(tally: &mut Tally<'_>, surplus: u32, (zones_of, mut zones): (&[Option<String>], Zones)) {
    for _ in 0..surplus {
        let Some(most) = zones.values().max().copied() else {
            return;
        };
        let starting = tally.members.iter().zip(zones_of).any(|(member, zone)| {
            let thick = zone.as_ref().is_some_and(|zone| zones.get(zone) == Some(&most));
            member.flaw.is_none() && !member.healthy && thick
        });
        let thick = |zone: &str| zones.get(zone) == Some(&most);
        let Some(member) = victim(tally, zones_of, thick).filter(|_| !starting) else {
            return;
        };
        tally.members[member].flaw = Some(StopCause::ScaleIn);
        if let Some(count) = zones_of[member].as_ref().and_then(|zone| zones.get_mut(zone)) {
            *count -= 1;
        }
    }
}

/// The youngest healthy task of these zones that may go.
fn victim(
    tally: &Tally<'_>,
    zones_of: &[Option<String>],
    of: impl Fn(&str) -> bool,
) -> Option<usize> {
    let may_go = |at: &usize| {
        let member = &tally.members[*at];
        let there = zones_of[*at].as_deref().is_some_and(&of);
        there && member.flaw.is_none() && member.healthy && !member.protected
    };
    let age = |at: &usize| {
        let facts = &tally.members[*at].task.facts;
        (facts.created_at, facts.key.task.clone())
    };
    (0..tally.members.len()).filter(may_go).max_by_key(age)
}
