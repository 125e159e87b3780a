//! What histories stand upon beside instances: a load balancer with its groups, an Auto Scaling group
//! with its capacity provider, each made by the commands that users make them with.

use std::time::Duration;

use model::{
    Action, Algorithm, BalancerKind, Forward, GroupId, GroupProtocol, HealthCheck, HealthPort,
    IpAddressType, LaunchSource, Listener, ListenerProtocol, ManagedScaling, Matcher,
    NetworkConfiguration, ProtocolVersion, Scheme, ServiceTarget, State, StrategyItem, Tags,
    TargetKind, TrafficRule, Vpc, Weighted,
};
use scheduler::{
    BalancingCommand, CapacityCommand, Command, GroupAttribute, Names, NewBalancer, NewGroup,
    NewListener,
};

use crate::fleet::CLUSTER;
use crate::world::{Caller, World};

/// The group of tasks that share their instance's network, and of those that have their own.
pub(crate) const WEB: &str = "web";
pub(crate) const OWN: &str = "own";
/// The two groups between which traffic moves.
pub(crate) const BLUE: &str = "blue";
pub(crate) const GREEN: &str = "green";
/// The Auto Scaling group, and the capacity provider over it.
pub(crate) const NODES: &str = "nodes";
pub(crate) const GROW: &str = "grow";
/// So long a target has to finish what it has begun.
pub(crate) const DELAY: Duration = Duration::from_secs(20);
/// So many nodes at most, until the operator allows more in the end.
pub(crate) const MOST_NODES: u32 = 3;

const BALANCER: &str = "lb";
/// Each group, and the port of the listener that sends to it; production and test of the pair.
const LISTENERS: [(&str, u16); 5] =
    [(WEB, 80), (OWN, 81), (BLUE, PRODUCTION), (BLUE, TEST), (GREEN, 84)];
const PRODUCTION: u16 = 82;
const TEST: u16 = 83;

impl World {
    /// A load balancer, its groups and its listeners.
    pub(crate) fn lay_balancing(&mut self) {
        let subnets = Vpc::of(&self.realm).subnets.into_iter().map(|subnet| subnet.id).collect();
        self.lay(BalancingCommand::CreateBalancer(NewBalancer {
            name: BALANCER.to_owned(),
            kind: BalancerKind::Application,
            scheme: Scheme::InternetFacing,
            addresses: IpAddressType::Ipv4,
            subnets,
            security_groups: Vec::new(),
            names: Names::Under("test".to_owned()),
            tags: Tags::default(),
        }));
        for name in [WEB, OWN, BLUE, GREEN] {
            let kind = if name == OWN { TargetKind::Ip } else { TargetKind::Instance };
            self.lay(BalancingCommand::CreateGroup(group(name, kind)));
            let Some(id) = group_id(self.state(), name) else { continue };
            let delay = GroupAttribute::DeregistrationDelay(DELAY);
            let algorithm = GroupAttribute::Algorithm(Algorithm::RoundRobin);
            self.lay(BalancingCommand::SetGroup(id, vec![delay, algorithm]));
        }
        let Some(balancer) = self.state().balancing().balancers().next().map(|b| b.id.clone())
        else {
            return self.fail("no load balancer was made".to_owned());
        };
        for (name, port) in LISTENERS {
            let Some(group) = group_id(self.state(), name) else { continue };
            let groups = vec![Weighted { group, weight: 1 }];
            self.lay(BalancingCommand::CreateListener(NewListener {
                balancer: balancer.clone(),
                port,
                protocol: ListenerProtocol::Http,
                certificates: Vec::new(),
                tls_policy: None,
                alpn: None,
                action: Action::Forward(Forward { groups, sticky: None }),
                tags: Tags::default(),
            }));
        }
        if self.state().balancing().all_listeners().count() != LISTENERS.len() {
            self.fail("not every listener was made".to_owned());
        }
    }

    /// An Auto Scaling group, and a capacity provider over it that the cluster has.
    pub(crate) fn lay_capacity(&mut self) {
        use scheduler::capacity::{NewGroup, NewLaunch, NewProvider};
        let commands = [
            CapacityCommand::CreateLaunch(NewLaunch {
                name: "small".into(),
                image: "ami-1".to_owned(),
                instance_type: "local".to_owned(),
                user_data: String::new(),
                cluster: CLUSTER.into(),
            }),
            CapacityCommand::CreateGroup(Box::new(NewGroup {
                name: NODES.into(),
                launch: LaunchSource::Configuration("small".into()),
                min: 0,
                max: MOST_NODES,
                desired: None,
                zones: vec!["zone-a".to_owned(), "zone-b".to_owned()],
                subnets: Vec::new(),
                cooldown: Duration::ZERO,
                health_grace: Duration::ZERO,
                protect_new: true,
                hooks: Vec::new(),
                tags: Vec::new(),
            })),
            CapacityCommand::CreateProvider(NewProvider {
                name: GROW.into(),
                group: NODES.into(),
                scaling: Some(ManagedScaling {
                    warmup: Duration::from_secs(30),
                    ..ManagedScaling::default()
                }),
                termination_protection: true,
                draining: true,
                tags: Tags::default(),
            }),
            CapacityCommand::PutClusterProviders {
                cluster: CLUSTER.into(),
                providers: vec![GROW.into()],
                strategy: Vec::new(),
            },
        ];
        for command in commands {
            self.call(Caller::Nobody, Command::Capacity(command));
            self.pass(Duration::from_millis(20));
        }
        if self.state().capacity().providers().next().is_none() {
            self.fail("no capacity provider was made".to_owned());
        }
    }

    fn lay(&mut self, command: BalancingCommand) {
        self.call(Caller::Nobody, Command::Balancing(command));
        self.pass(Duration::from_millis(20));
    }
}

fn group(name: &str, kind: TargetKind) -> NewGroup {
    NewGroup {
        name: name.to_owned(),
        protocol: GroupProtocol::Http,
        version: ProtocolVersion::Http1,
        port: 80,
        kind,
        vpc: None,
        health: HealthCheck {
            enabled: true,
            protocol: GroupProtocol::Http,
            port: HealthPort::Traffic,
            path: "/".to_owned(),
            matcher: Matcher::Http(vec![(200, 200)]),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            healthy_threshold: 5,
            unhealthy_threshold: 2,
        },
        tags: Tags::default(),
    }
}

/// A group's id by its name.
pub(crate) fn group_id(state: &State, name: &str) -> Option<GroupId> {
    state.balancing().groups().find(|group| group.id.name() == name).map(|group| group.id.clone())
}

/// The listener at the port.
fn listener(state: &State, port: u16) -> Option<&Listener> {
    state.balancing().all_listeners().find(|listener| listener.port == port).map(AsRef::as_ref)
}

/// A group as a service of one of the families names it.
pub(crate) fn behind(state: &State, name: &str) -> Option<ServiceTarget> {
    let group = group_id(state, name)?;
    Some(ServiceTarget { group, container: "app".into(), container_port: 80, advanced: None })
}

/// The pair of groups between which a service's traffic moves.
pub(crate) fn pair(state: &State) -> Option<ServiceTarget> {
    let rule = |port| Some(TrafficRule::Rule(listener(state, port)?.default_rule.clone()));
    Some(ServiceTarget {
        advanced: Some(model::AdvancedTarget {
            alternate: group_id(state, GREEN)?,
            production: rule(PRODUCTION)?,
            test: rule(TEST),
            role: None,
        }),
        ..behind(state, BLUE)?
    })
}

/// What a listener of the pair gives to each of its groups.
pub(crate) fn production(state: &State) -> Vec<Weighted> {
    match production_listener(state).map(|listener| &listener.default_action) {
        Some(Action::Forward(forward)) => forward.groups.clone(),
        _ => Vec::new(),
    }
}

/// The listener of production traffic.
pub(crate) fn production_listener(state: &State) -> Option<&Listener> {
    listener(state, PRODUCTION)
}

/// All from the one capacity provider.
pub(crate) fn grown() -> Vec<StrategyItem> {
    vec![StrategyItem { provider: GROW.into(), weight: 1, base: 0 }]
}

/// Addresses of the default VPC's subnets.
pub(crate) fn network(realm: &model::Realm) -> NetworkConfiguration {
    let subnets = Vpc::of(realm).subnets.into_iter().map(|subnet| subnet.id).collect();
    NetworkConfiguration { subnets, ..NetworkConfiguration::default() }
}
