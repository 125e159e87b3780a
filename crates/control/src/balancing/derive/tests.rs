//! Whatever changes, and in whatever steps the table is made anew, it is the table of the state.

use std::net::Ipv4Addr;
use std::time::Duration;

use model::{
    Action, BalancerKind, BalancingChange, Change, Forward, GroupProtocol, GroupSettings,
    HealthCheck, HealthPort, IpAddressType, ListenerProtocol, LoadBalancer, Matcher, Place,
    ProtocolVersion, Realm, Scheme, Tags, Target, TargetGroup, TargetKey, Weighted,
};
use proptest::prelude::*;
use stdx::Timestamp;

use super::*;

const BIND: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::LOCALHOST)];

fn balancer(n: u8, http2: bool) -> BalancingChange {
    let id = BalancerId::from(format!("app/b{n}/1"));
    BalancingChange::PutBalancer(Arc::new(LoadBalancer {
        dns_name: format!("{id}.localhost"),
        id,
        kind: BalancerKind::Application,
        scheme: Scheme::Internal,
        addresses: IpAddressType::Ipv4,
        subnets: Vec::new(),
        security_groups: Vec::new(),
        settings: model::BalancerSettings { http2, ..model::BalancerSettings::default() },
        tags: Tags::default(),
        created_at: Timestamp::EPOCH,
    }))
}

fn group_id(n: u8) -> GroupId {
    format!("g{n}/1").as_str().into()
}

fn forward(group: u8) -> Action {
    let groups = vec![Weighted { group: group_id(group), weight: 1 }];
    Action::Forward(Forward { groups, sticky: None })
}

fn listener_id(balancer: u8, n: u8) -> ListenerId {
    format!("app/b{balancer}/1/{n}").as_str().into()
}

fn listener(balancer: u8, n: u8, group: u8, secure: bool) -> BalancingChange {
    let id = listener_id(balancer, n);
    BalancingChange::PutListener(Arc::new(model::Listener {
        default_rule: format!("{id}/0").as_str().into(),
        id,
        port: 8000 + u16::from(n),
        protocol: if secure { ListenerProtocol::Https } else { ListenerProtocol::Http },
        certificates: if secure { vec!["arn:cert".into()] } else { Vec::new() },
        tls_policy: None,
        alpn: None,
        tcp_idle_timeout: None,
        default_action: forward(group),
        tags: Tags::default(),
        created_at: Timestamp::EPOCH,
    }))
}

fn rule_id(balancer: u8, listener: u8, n: u16) -> RuleId {
    format!("{}/r{n}", listener_id(balancer, listener)).as_str().into()
}

fn rule(balancer: u8, listener: u8, n: u16, priority: u32) -> BalancingChange {
    BalancingChange::PutRule(Arc::new(model::Rule {
        id: rule_id(balancer, listener, n),
        priority,
        conditions: vec![model::Condition::Path(vec![format!("/{n}/*")])],
        action: forward(0),
        tags: Tags::default(),
        created_at: Timestamp::EPOCH,
    }))
}

fn group(n: u8, delay: u64) -> BalancingChange {
    BalancingChange::PutGroup(Arc::new(TargetGroup {
        id: group_id(n),
        protocol: GroupProtocol::Http,
        version: ProtocolVersion::Http1,
        port: 80,
        kind: TargetKind::Instance,
        vpc: None,
        health: HealthCheck {
            enabled: true,
            protocol: GroupProtocol::Http,
            port: HealthPort::Traffic,
            path: "/".to_owned(),
            matcher: Matcher::Http(vec![(200, 299)]),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            healthy_threshold: 5,
            unhealthy_threshold: 2,
        },
        settings: GroupSettings {
            deregistration_delay: Duration::from_secs(delay),
            ..GroupSettings::default()
        },
        tags: Tags::default(),
        created_at: Timestamp::EPOCH,
    }))
}

fn target_key(group: u8, node: u8, port: u16) -> TargetKey {
    let place = Place::Instance(format!("node-{node}"));
    TargetKey { group: group_id(group), place, port }
}

fn target(group: u8, node: u8, port: u16, draining: bool) -> BalancingChange {
    BalancingChange::PutTarget(Arc::new(Target {
        key: target_key(group, node, port),
        zone: None,
        task: None,
        registered_at: Timestamp::EPOCH,
        draining_since: draining.then_some(Timestamp::from_millis(7)),
    }))
}

fn instance(node: u8, last: u8) -> Change {
    Change::PutInstance(Arc::new(model::Instance {
        key: model::InstanceKey {
            cluster: "default".into(),
            instance: format!("node-{node}").as_str().into(),
        },
        status: model::InstanceStatus::Active,
        external: false,
        ec2_instance_id: None,
        address: (last > 0).then(|| Ipv4Addr::new(10, 0, 0, last).into()),
        registered: model::Resources::default(),
        attributes: Vec::new(),
        agent: model::AgentInfo::default(),
        tags: Tags::default(),
        registered_at: Timestamp::EPOCH,
        version: 1,
    }))
}

fn changes() -> impl Strategy<Value = Change> {
    let balancing = prop_oneof![
        (0..2_u8, any::<bool>()).prop_map(|(n, http2)| balancer(n, http2)),
        (0..2_u8).prop_map(|n| BalancingChange::DeleteBalancer(format!("app/b{n}/1").into())),
        (0..2_u8, 0..2_u8, 0..3_u8, any::<bool>())
            .prop_map(|(b, n, group, secure)| listener(b, n, group, secure)),
        (0..2_u8, 0..2_u8).prop_map(|(b, n)| BalancingChange::DeleteListener(listener_id(b, n))),
        (0..2_u8, 0..2_u8, 0..4_u16, 1..4_u32).prop_map(|(b, l, n, p)| rule(b, l, n, p)),
        (0..2_u8, 0..2_u8, 0..4_u16)
            .prop_map(|(b, l, n)| BalancingChange::DeleteRule(rule_id(b, l, n))),
        (0..3_u8, 0..3_u64).prop_map(|(n, delay)| group(n, delay)),
        (0..3_u8).prop_map(|n| BalancingChange::DeleteGroup(group_id(n))),
        (0..3_u8, 0..3_u8, 1..4_u16, any::<bool>()).prop_map(|(g, n, p, d)| target(g, n, p, d)),
        (0..3_u8, 0..3_u8, 1..4_u16)
            .prop_map(|(g, n, p)| BalancingChange::DeleteTarget(target_key(g, n, p))),
    ];
    prop_oneof![
        9 => balancing.prop_map(Change::Balancing),
        1 => (0..3_u8, 0..3_u8).prop_map(|(node, last)| instance(node, last)),
    ]
}

fn certificate() -> Certificates {
    Certificates::from([(
        "arn:cert".into(),
        Arc::new(balancer::Certificate {
            id: "arn:cert".into(),
            chain_pem: String::new(),
            key_pem: String::new(),
        }),
    )])
}

proptest! {
    #[test]
    fn steps_lead_where_one_leap_leads(
        history in proptest::collection::vec((changes(), any::<bool>(), 0..8_u8), 0..60),
    ) {
        let realm = Realm::new("us-east-1", "000000000000");
        let mut state = State::new(realm.clone());
        let mut derived = Derived::nothing(&realm);
        let mut certificates = Certificates::new();
        for (change, look, dice) in history {
            state.apply(&change);
            if dice == 0 {
                certificates = certificate();
            } else if dice == 1 {
                certificates.clear();
            }
            if look {
                let now = Arc::new(state.clone());
                derived = derived.next(&now, &certificates, &BIND).unwrap_or(derived);
            }
        }
        let state = Arc::new(state);
        let stepped = derived.next(&state, &certificates, &BIND).unwrap_or(derived);
        let nothing = Derived::nothing(&realm);
        let leapt = nothing.next(&state, &certificates, &BIND).unwrap_or(nothing);
        prop_assert_eq!(&stepped.table, &leapt.table);
        prop_assert_eq!(&stepped.unserved, &leapt.unserved);
        prop_assert!(stepped.next(&state, &certificates, &BIND).is_none(), "nothing is left to do");
        for listener in &stepped.table.listeners {
            prop_assert!(listener.rules.is_sorted_by_key(|rule| rule.priority));
        }
    }
}

fn state(changes: impl IntoIterator<Item = BalancingChange>) -> State {
    let mut state = State::new(Realm::new("us-east-1", "000000000000"));
    changes.into_iter().for_each(|change| state.apply(&Change::Balancing(change)));
    state
}

#[test]
fn one_route_of_many_moves_alone() {
    let rules = (0..1000).map(|n| rule(0, 0, n, u32::from(n) + 1));
    let mut state = state(
        [balancer(0, true), group(0, 1), group(1, 1), listener(0, 0, 0, false)]
            .into_iter()
            .chain(rules),
    );
    let derive = |derived: &Derived, state: &State| {
        derived.next(&Arc::new(state.clone()), &Certificates::new(), &BIND).unwrap()
    };
    let first = derive(&Derived::nothing(state.realm()), &state);
    state.apply(&Change::Balancing(rule(0, 0, 500, 5000)));
    let second = derive(&first, &state);
    let (before, after) = (&first.table.listeners[0], &second.table.listeners[0]);
    assert_eq!(after.rules.last().map(|rule| rule.priority), Some(5000));
    let shared = |rule: &&Arc<Rule>| before.rules.iter().any(|other| Arc::ptr_eq(other, rule));
    assert_eq!(after.rules.iter().filter(shared).count(), 999);
    assert!(second.table.groups.iter().all(|(id, g)| Arc::ptr_eq(g, &first.table.groups[id])));
    // A target moves its group alone, and no listener.
    state.apply(&Change::Balancing(target(1, 0, 80, false)));
    state.apply(&instance(0, 7));
    let third = derive(&second, &state);
    assert!(Arc::ptr_eq(&third.table.listeners[0], after));
    let g = |derived: &Derived, n| {
        derived.table.groups[&balancer::GroupId::from(group_id(n).as_str())].clone()
    };
    assert!(Arc::ptr_eq(&g(&third, 0), &g(&second, 0)));
    let found: Vec<_> = g(&third, 1).targets.values().map(|t| t.address.to_string()).collect();
    assert_eq!(found, ["10.0.0.7:80"]);
}

#[test]
fn a_listener_without_its_certificate_says_so() {
    let state = Arc::new(state([balancer(0, true), listener(0, 0, 0, true)]));
    let nothing = Derived::nothing(state.realm());
    let without = nothing.next(&state, &Certificates::new(), &BIND).unwrap();
    assert!(without.table.listeners.is_empty());
    let why = without.unserved.get(&listener_id(0, 0)).map(String::as_str);
    assert_eq!(why, Some("its certificate arn:cert is missing"));
    let with = without.next(&state, &certificate(), &BIND).unwrap();
    assert_eq!((with.table.listeners.len(), with.unserved.len()), (1, 0));
}
