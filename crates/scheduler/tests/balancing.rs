//! Decisions about load balancers: AWS's rules as a table, and what holds after any history.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{
    Action, BalancerId, BalancerKind, BalancingResource, CertificateArn, Condition, Forward,
    GroupId, GroupProtocol, HealthCheck, HealthPort, IpAddressType, ListenerId, ListenerProtocol,
    Matcher, Place, ProtocolVersion, Realm, RuleId, Scheme, State, StickyBy, Tags, TargetKind,
    Weighted,
};
use proptest::prelude::*;
use scheduler::{
    BalancerAttribute, BalancingCommand as C, BalancingRejection as R, Command, GroupAttribute,
    HealthEdit, ListenerEdit, LogAttribute, Names, NewBalancer, NewGroup, NewListener, NewRule,
    NewTarget, Rejection, Reply, decide,
};
use stdx::{SeededEntropy, Timestamp};

/// A state that commands move.
struct World {
    state: State,
    ids: SeededEntropy,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let state = State::new(Realm::new("eu-west-1", "123456789012"));
        let now = Timestamp::from_millis(1_795_357_857_000);
        Self { state, ids: SeededEntropy::new(1), now }
    }

    fn ask(&mut self, command: C) -> Result<Reply, R> {
        let command = Command::Balancing(command);
        match decide(&self.state, &command, self.now, &mut self.ids) {
            Ok(outcome) => {
                outcome.changes.iter().for_each(|change| self.state.apply(change));
                Ok(outcome.reply)
            }
            Err(Rejection::Balancing(refusal)) => Err(refusal),
            Err(other) => panic!("refused by another room: {other:?}"),
        }
    }

    fn balancer(&mut self, name: &str, kind: BalancerKind) -> BalancerId {
        match self.ask(C::CreateBalancer(balancer(name, kind))) {
            Ok(Reply::Balancing(BalancingResource::Balancer(id))) => id,
            other => panic!("{other:?}"),
        }
    }

    fn group(&mut self, name: &str, protocol: GroupProtocol) -> GroupId {
        match self.ask(C::CreateGroup(group(name, protocol))) {
            Ok(Reply::Balancing(BalancingResource::Group(id))) => id,
            other => panic!("{other:?}"),
        }
    }

    fn listener(&mut self, of: &BalancerId, port: u16, action: Action) -> ListenerId {
        match self.ask(C::CreateListener(listener(of, port, ListenerProtocol::Http, action))) {
            Ok(Reply::Balancing(BalancingResource::Listener(id))) => id,
            other => panic!("{other:?}"),
        }
    }

    fn rule(&mut self, of: &ListenerId, priority: u32, action: Action) -> Result<RuleId, R> {
        let conditions = vec![Condition::Path(vec!["/*".into()])];
        let tags = Tags::default();
        let new = NewRule { listener: of.clone(), priority, conditions, action, tags };
        match self.ask(C::CreateRule(new))? {
            Reply::Balancing(BalancingResource::Rule(id)) => Ok(id),
            other => panic!("{other:?}"),
        }
    }
}

fn balancer(name: &str, kind: BalancerKind) -> NewBalancer {
    NewBalancer {
        name: name.to_owned(),
        kind,
        scheme: Scheme::InternetFacing,
        addresses: IpAddressType::Ipv4,
        subnets: vec!["subnet-a".into(), "subnet-b".into()],
        security_groups: Vec::new(),
        names: Names::Under("localhost".into()),
        tags: Tags::default(),
    }
}

fn group(name: &str, protocol: GroupProtocol) -> NewGroup {
    let http = matches!(protocol, GroupProtocol::Http | GroupProtocol::Https);
    NewGroup {
        name: name.to_owned(),
        protocol,
        version: ProtocolVersion::Http1,
        port: 80,
        kind: TargetKind::Ip,
        vpc: None,
        health: HealthCheck {
            enabled: true,
            protocol: if http { GroupProtocol::Http } else { GroupProtocol::Tcp },
            port: HealthPort::Traffic,
            path: "/".into(),
            matcher: Matcher::Http(vec![(200, 200)]),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            healthy_threshold: 5,
            unhealthy_threshold: 2,
        },
        tags: Tags::default(),
    }
}

fn listener(of: &BalancerId, port: u16, protocol: ListenerProtocol, action: Action) -> NewListener {
    NewListener {
        balancer: of.clone(),
        port,
        protocol,
        certificates: Vec::new(),
        tls_policy: None,
        alpn: None,
        action,
        tags: Tags::default(),
    }
}

fn to(groups: &[&GroupId]) -> Action {
    let groups =
        groups.iter().map(|group| Weighted { group: (*group).clone(), weight: 1 }).collect();
    Action::Forward(Forward { groups, sticky: None })
}

fn fixed(code: u16) -> Action {
    Action::Fixed { code, content_type: None, body: None }
}

fn ip(last: u8, port: Option<u16>) -> NewTarget {
    NewTarget { place: Place::Ip([10, 0, 0, last].into()), port, zone: None }
}

#[test]
fn what_is_asked_for_again_is_what_is_there() {
    let mut world = World::new();
    let web = world.balancer("web", BalancerKind::Application);
    assert_eq!(world.balancer("web", BalancerKind::Application), web);
    let other =
        NewBalancer { scheme: Scheme::Internal, ..balancer("web", BalancerKind::Application) };
    assert_eq!(world.ask(C::CreateBalancer(other)), Err(R::BalancerExists("web".into())));

    let one = world.group("one", GroupProtocol::Http);
    assert_eq!(world.group("one", GroupProtocol::Http), one);
    let other = NewGroup { port: 81, ..group("one", GroupProtocol::Http) };
    assert_eq!(world.ask(C::CreateGroup(other)), Err(R::GroupExists("one".into())));

    let listener_id = world.listener(&web, 80, to(&[&one]));
    assert_eq!(world.listener(&web, 80, to(&[&one])), listener_id);
    let other = listener(&web, 80, ListenerProtocol::Http, fixed(404));
    assert!(matches!(world.ask(C::CreateListener(other)), Err(R::ListenerExists(_))));
    let found = world.state.balancing().balancer(&web).unwrap();
    assert!(
        found.dns_name.starts_with("web-") && found.dns_name.ends_with(".eu-west-1.elb.localhost")
    );
}

#[test]
fn what_is_used_stays_and_what_is_gone_is_gone_with_what_hangs_on_it() {
    let mut world = World::new();
    let web = world.balancer("web", BalancerKind::Application);
    let one = world.group("one", GroupProtocol::Http);
    let two = world.group("two", GroupProtocol::Http);
    let listener = world.listener(&web, 80, to(&[&one]));
    let rule = world.rule(&listener, 1, to(&[&two])).unwrap();
    for group in [&one, &two] {
        assert!(matches!(world.ask(C::DeleteGroup(group.clone())), Err(R::GroupInUse(_))));
    }
    let default = world.state.balancing().listener(&listener).unwrap().default_rule.clone();
    assert!(matches!(world.ask(C::DeleteRule(default)), Err(R::NotPermitted(_))));

    world
        .ask(C::SetBalancer(web.clone(), vec![BalancerAttribute::DeletionProtection(true)]))
        .unwrap();
    assert!(matches!(world.ask(C::DeleteBalancer(web.clone())), Err(R::NotPermitted(_))));
    world
        .ask(C::SetBalancer(web.clone(), vec![BalancerAttribute::DeletionProtection(false)]))
        .unwrap();
    world.ask(C::DeleteBalancer(web.clone())).unwrap();
    let book = world.state.balancing();
    assert!(book.listener(&listener).is_none() && book.rule(&rule).is_none());
    world.ask(C::DeleteGroup(one.clone())).unwrap();
    for again in [C::DeleteBalancer(web), C::DeleteGroup(one), C::DeleteListener(listener)] {
        assert!(world.ask(again).is_ok());
    }
    assert!(matches!(world.ask(C::DeleteRule(rule)), Err(R::NoRule(_))));
}

#[test]
fn priorities_are_unique_and_trade_places_at_once() {
    let mut world = World::new();
    let web = world.balancer("web", BalancerKind::Application);
    let listener = world.listener(&web, 80, fixed(404));
    let one = world.rule(&listener, 1, fixed(200)).unwrap();
    let two = world.rule(&listener, 2, fixed(201)).unwrap();
    assert_eq!(world.rule(&listener, 2, fixed(202)), Err(R::PriorityInUse(2)));
    assert_eq!(world.ask(C::SetPriorities(vec![(one.clone(), 2)])), Err(R::PriorityInUse(2)));
    world.ask(C::SetPriorities(vec![(one.clone(), 2), (two.clone(), 1)])).unwrap();
    let priority = |world: &World, id| world.state.balancing().rule(id).unwrap().priority;
    assert_eq!((priority(&world, &one), priority(&world, &two)), (2, 1));
    let missing = RuleId::from(format!("{listener}/none").as_str());
    assert!(world.ask(C::SetPriorities(vec![(one.clone(), 9), (missing, 8)])).is_err());
    assert_eq!(priority(&world, &one), 2);
    let twice = vec![(one.clone(), 9), (one, 8)];
    assert!(matches!(world.ask(C::SetPriorities(twice)), Err(R::Invalid(_))));
}

#[test]
fn protocols_have_to_go_together() {
    let mut world = World::new();
    let web = world.balancer("web", BalancerKind::Application);
    let net = world.balancer("net", BalancerKind::Network);
    let http = world.group("http", GroupProtocol::Http);
    let tcp = world.group("tcp", GroupProtocol::Tcp);
    let ask = |world: &mut World, new| world.ask(C::CreateListener(new));
    use ListenerProtocol as P;
    assert!(matches!(
        ask(&mut world, listener(&web, 1, P::Tcp, to(&[&tcp]))),
        Err(R::UnsupportedProtocol(_))
    ));
    assert!(matches!(
        ask(&mut world, listener(&net, 1, P::Http, to(&[&http]))),
        Err(R::UnsupportedProtocol(_))
    ));
    assert!(matches!(
        ask(&mut world, listener(&web, 1, P::Http, to(&[&tcp]))),
        Err(R::IncompatibleProtocols(_))
    ));
    assert!(matches!(
        ask(&mut world, listener(&net, 1, P::Udp, to(&[&tcp]))),
        Err(R::IncompatibleProtocols(_))
    ));
    assert!(matches!(
        ask(&mut world, listener(&net, 1, P::Tcp, fixed(200))),
        Err(R::InvalidConfiguration(_))
    ));
    assert!(matches!(
        ask(&mut world, listener(&web, 1, P::Https, to(&[&http]))),
        Err(R::Invalid(_))
    ));
    let certified = NewListener {
        certificates: vec![CertificateArn::from("arn:c")],
        ..listener(&web, 1, P::Http, to(&[&http]))
    };
    assert!(matches!(ask(&mut world, certified), Err(R::InvalidConfiguration(_))));
    ask(&mut world, listener(&web, 80, P::Http, to(&[&http]))).unwrap();
    ask(&mut world, listener(&net, 81, P::Tcp, to(&[&tcp]))).unwrap();
    // The machine's addresses are one: what another load balancer has cannot be had.
    let error = ask(&mut world, listener(&net, 80, P::Tcp, to(&[&tcp]))).unwrap_err();
    assert!(matches!(error, R::InvalidConfiguration(_)) && error.to_string().contains("Port 80"));
    let udp = world.group("udp", GroupProtocol::Udp);
    ask(&mut world, listener(&net, 80, P::Udp, to(&[&udp]))).unwrap();
    // A group belongs to one load balancer.
    let other = world.balancer("other", BalancerKind::Application);
    assert!(matches!(
        ask(&mut world, listener(&other, 90, P::Http, to(&[&http]))),
        Err(R::GroupTaken(_))
    ));
    let missing = GroupId::from("gone/1");
    assert!(matches!(
        ask(&mut world, listener(&other, 90, P::Http, to(&[&missing]))),
        Err(R::NoGroup(_))
    ));
}

#[test]
fn certificates_come_and_go_but_for_the_default_one() {
    let mut world = World::new();
    let web = world.balancer("web", BalancerKind::Application);
    let secure = NewListener {
        certificates: vec![CertificateArn::from("arn:default")],
        tls_policy: Some("ELBSecurityPolicy-2016-08".into()),
        ..listener(&web, 443, ListenerProtocol::Https, fixed(200))
    };
    let Ok(Reply::Balancing(BalancingResource::Listener(id))) =
        world.ask(C::CreateListener(secure))
    else {
        panic!("an HTTPS listener is made")
    };
    let arn = |text: &str| CertificateArn::from(text);
    world
        .ask(C::AddCertificates(id.clone(), vec![arn("arn:a"), arn("arn:b"), arn("arn:a")]))
        .unwrap();
    let refused = world.ask(C::RemoveCertificates(id.clone(), vec![arn("arn:default")]));
    assert!(matches!(refused, Err(R::NotPermitted(_))));
    world.ask(C::RemoveCertificates(id.clone(), vec![arn("arn:a"), arn("arn:none")])).unwrap();
    let edit = ListenerEdit { certificate: Some(arn("arn:new")), ..ListenerEdit::default() };
    world.ask(C::EditListener(id.clone(), edit)).unwrap();
    let now = &world.state.balancing().listener(&id).unwrap().certificates;
    assert_eq!(*now, [arn("arn:new"), arn("arn:b")]);
    let many = (0..26).map(|n| arn(&format!("arn:{n}"))).collect();
    assert!(matches!(world.ask(C::AddCertificates(id.clone(), many)), Err(R::TooMany(..))));
    let plain = ListenerEdit { protocol: Some(ListenerProtocol::Http), ..ListenerEdit::default() };
    world.ask(C::EditListener(id.clone(), plain)).unwrap();
    assert!(matches!(
        world.ask(C::AddCertificates(id, vec![arn("arn:a")])),
        Err(R::InvalidConfiguration(_))
    ));
}

#[test]
fn targets_join_drain_and_leave() {
    let mut world = World::new();
    let web = world.balancer("web", BalancerKind::Application);
    let one = world.group("one", GroupProtocol::Http);
    world.ask(C::Register(one.clone(), vec![ip(1, None), ip(1, Some(81)), ip(2, None)])).unwrap();
    let ports = |world: &World| -> Vec<u16> {
        world.state.balancing().targets(&one).map(|target| target.key.port).collect()
    };
    assert_eq!(ports(&world), [80, 81, 80]);
    // Nobody sends to the group: they are gone at once.
    world.ask(C::Deregister(one.clone(), vec![ip(1, None)])).unwrap();
    assert_eq!(ports(&world), [80]);
    world.listener(&web, 80, to(&[&one]));
    world.ask(C::Deregister(one.clone(), vec![ip(2, Some(80)), ip(9, None)])).unwrap();
    let draining = |world: &World| world.state.balancing().draining().count();
    assert_eq!((ports(&world).len(), draining(&world)), (1, 1));
    // Registered again, it is as new.
    world.now = world.now + Duration::from_secs(5);
    world.ask(C::Register(one.clone(), vec![ip(2, None)])).unwrap();
    assert_eq!(draining(&world), 0);
    let target = world.state.balancing().targets(&one).next().unwrap();
    assert_eq!(target.registered_at, world.now);

    let instance = NewTarget { place: Place::Instance("i-1".into()), port: None, zone: None };
    assert!(matches!(world.ask(C::Register(one, vec![instance.clone()])), Err(R::Invalid(_))));
    let by_id = NewGroup { kind: TargetKind::Instance, ..group("ids", GroupProtocol::Http) };
    world.ask(C::CreateGroup(by_id)).unwrap();
    let ids = world.state.balancing().groups().find(|group| group.id.name() == "ids");
    let ids = ids.unwrap().id.clone();
    assert_eq!(world.ask(C::Register(ids, vec![instance])), Err(R::NoSuchTarget("'i-1'".into())));
}

#[test]
fn attributes_are_kept_and_contradictions_refused() {
    let mut world = World::new();
    let one = world.group("one", GroupProtocol::Http);
    let set = |world: &mut World, attributes| world.ask(C::SetGroup(one.clone(), attributes));
    use GroupAttribute as A;
    let lasts = Duration::from_secs(60);
    set(&mut world, vec![A::BalancerCookie(lasts)]).unwrap();
    set(&mut world, vec![A::Sticky(true)]).unwrap();
    let settings = |world: &World| world.state.balancing().group(&one).unwrap().settings.clone();
    assert_eq!(settings(&world).stickiness, Some(model::Stickiness::Balancer(lasts)));
    let nameless = vec![A::StickyBy(StickyBy::ApplicationCookie)];
    assert!(matches!(set(&mut world, nameless), Err(R::InvalidConfiguration(_))));
    set(&mut world, vec![A::SlowStart(lasts)]).unwrap();
    let other = vec![A::Algorithm(model::Algorithm::LeastOutstandingRequests)];
    assert!(matches!(set(&mut world, other), Err(R::InvalidConfiguration(_))));
    assert!(matches!(
        set(&mut world, vec![A::ProxyProtocol(true)]),
        Err(R::InvalidConfiguration(_))
    ));
    set(&mut world, vec![A::Sticky(false)]).unwrap();
    assert_eq!(settings(&world).stickiness, None);
    assert_eq!(settings(&world).balancer_cookie, lasts);

    let edit = HealthEdit { timeout: Some(Duration::from_secs(30)), ..HealthEdit::default() };
    assert!(matches!(world.ask(C::EditHealth(one.clone(), edit)), Err(R::Invalid(_))));

    let net = world.balancer("net", BalancerKind::Network);
    let http2 = vec![BalancerAttribute::Http2(false)];
    assert!(matches!(
        world.ask(C::SetBalancer(net.clone(), http2)),
        Err(R::InvalidConfiguration(_))
    ));
    let on = || vec![BalancerAttribute::AccessLog(LogAttribute::On(true))];
    assert!(matches!(
        world.ask(C::SetBalancer(net.clone(), on())),
        Err(R::InvalidConfiguration(_))
    ));
    let bucket = vec![BalancerAttribute::AccessLog(LogAttribute::Bucket("b".into()))];
    world.ask(C::SetBalancer(net.clone(), bucket)).unwrap();
    world.ask(C::SetBalancer(net.clone(), on())).unwrap();
    let log = world.state.balancing().balancer(&net).unwrap().settings.access_log.clone();
    assert_eq!((log.on, log.bucket.as_str(), log.prefix.as_str()), (true, "b", ""));
    let connections = vec![BalancerAttribute::ConnectionLog(LogAttribute::Bucket("b".into()))];
    assert!(matches!(world.ask(C::SetBalancer(net, connections)), Err(R::InvalidConfiguration(_))));
}

/// A command out of few names, so that histories meet themselves.
fn command(world: &World, pick: [u8; 4]) -> C {
    let [what, a, b, c] = pick;
    let book = world.state.balancing();
    let nth = |n: u8, len: usize| if len == 0 { 0 } else { usize::from(n) % len };
    let balancers: Vec<_> = book.balancers().map(|it| it.id.clone()).collect();
    let groups: Vec<_> = book.groups().map(|it| it.id.clone()).collect();
    let listeners: Vec<_> = book.all_listeners().map(|it| it.id.clone()).collect();
    let rules: Vec<_> =
        listeners.iter().flat_map(|id| book.rules(id)).map(|it| it.id.clone()).collect();
    let balancer_id =
        balancers.get(nth(a, balancers.len())).cloned().unwrap_or_else(|| "app/x/y".into());
    let group_id = groups.get(nth(b, groups.len())).cloned().unwrap_or_else(|| "x/y".into());
    let listener_id =
        listeners.get(nth(a, listeners.len())).cloned().unwrap_or_else(|| "app/x/y/z".into());
    let rule_id =
        |n| rules.get(nth(n, rules.len())).cloned().unwrap_or_else(|| "app/x/y/z/w".into());
    let kind = if c % 2 == 0 { BalancerKind::Application } else { BalancerKind::Network };
    let spoken =
        [GroupProtocol::Http, GroupProtocol::Tcp, GroupProtocol::TcpUdp][usize::from(c % 3)];
    let protocols = [ListenerProtocol::Http, ListenerProtocol::Tcp, ListenerProtocol::TcpUdp];
    let protocol = protocols[usize::from(c % 3)];
    let port = u16::from(b % 4) + 1;
    match what % 12 {
        0 => C::CreateBalancer(balancer(["p", "q", "r"][usize::from(a % 3)], kind)),
        1 | 2 => C::CreateGroup(group(["g", "h", "i", "j"][usize::from(a % 4)], spoken)),
        3 | 4 => C::CreateListener(listener(&balancer_id, port, protocol, to(&[&group_id]))),
        5 | 6 => C::CreateRule(NewRule {
            listener: listener_id,
            priority: u32::from(c % 4) + 1,
            conditions: vec![Condition::Path(vec!["/".into()])],
            action: to(&[&group_id]),
            tags: Tags::default(),
        }),
        7 => C::SetPriorities(vec![
            (rule_id(a), u32::from(b % 4) + 1),
            (rule_id(c), u32::from(a % 4) + 1),
        ]),
        8 => C::EditListener(
            listener_id,
            ListenerEdit { port: Some(port), action: Some(to(&[&group_id])), ..Default::default() },
        ),
        9 => C::DeleteGroup(group_id),
        10 => C::DeleteListener(listener_id),
        _ => {
            if a % 4 == 0 {
                C::DeleteBalancer(balancer_id)
            } else {
                C::DeleteRule(rule_id(b))
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_the_book_is_sound(picks in proptest::collection::vec(any::<[u8; 4]>(), 1..120)) {
        let mut world = World::new();
        for pick in picks {
            let command = command(&world, pick);
            let _refused = world.ask(command).is_err();
            let book = world.state.balancing();
            let mut ports = BTreeSet::new();
            for listener in book.all_listeners() {
                let of = book.balancer(&listener.id.balancer());
                prop_assert!(of.is_some(), "a listener without its load balancer");
                prop_assert!(ports.insert(listener.port), "two listeners on one port");
                let mut priorities = BTreeSet::new();
                let rules: Vec<_> = book.rules(&listener.id).collect();
                for rule in &rules {
                    prop_assert!(priorities.insert(rule.priority), "two rules of one priority");
                }
                let actions = rules.iter().map(|rule| &rule.action).chain([&listener.default_action]);
                for group in actions.flat_map(Action::groups) {
                    prop_assert!(book.group(group).is_some(), "a forward to a group that is gone");
                    let users = book.balancers_of(group).map(|it| &it.id).collect::<BTreeSet<_>>();
                    prop_assert_eq!(users.len(), 1, "a group of two load balancers");
                }
            }
            let mut names = BTreeSet::new();
            for group in book.groups() {
                prop_assert!(names.insert(group.id.name()), "two groups of one name");
            }
        }
    }
}
