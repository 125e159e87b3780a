//! HTTP/1.1 through the balancer, by raw sockets on both sides.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use balancer::*;
use common::*;

#[tokio::test]
async fn requests_share_connections_on_both_sides() {
    let backend = Backend::echo().await;
    let rig = Rig::with(
        listener(ListenerProtocol::Http, to("g")),
        vec![group("g", &[backend.address])],
        Config { workers: 1, ..Config::default() },
    )
    .await;
    let mut client = rig.client().await;
    for number in 0..5 {
        client
            .send(format!(
                "GET /{number}?q HTTP/1.1\r\nHost: a\r\nConnection: X-Mine\r\nX-Mine: 1\r\n\r\n"
            ))
            .await;
        let answer = client.answer().await;
        let seen = body(&answer);
        assert!(seen.starts_with(&format!("GET /{number}?q HTTP/1.1\r\n")), "{seen}");
        assert_eq!(field(seen, "x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(field(seen, "x-forwarded-proto"), Some("http"));
        assert_eq!(field(seen, "x-forwarded-port"), Some(&*rig.address.port().to_string()));
        assert_eq!(field(seen, "host"), Some(&*format!("a:{}", rig.address.port())));
        assert!(field(seen, "x-amzn-trace-id").unwrap().starts_with("Root=1-"));
        assert_eq!(field(seen, "x-mine"), None);
    }
    assert_eq!(backend.connections.load(Ordering::SeqCst), 1);
    let usage = rig.balancer.usage();
    let counted = &usage.balancers["lb"];
    assert_eq!((counted.requests, counted.target_codes[0], counted.new_connections), (5, 5, 1));
    assert_eq!(counted.response_time.count(), 5);
    assert_eq!(usage.groups["g"].requests, 5);
    assert_eq!(usage.groups["g"].targets.values().next().unwrap().requests, 5);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::echo().await;
    let rig = http(&[backend.address]).await;
    let mut client = rig.client().await;
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await;
    client.send("GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let all = client.rest().await;
    let order: Vec<usize> =
        ["GET /1 ", "POST /2 ", "GET /3 "].iter().map(|line| all.find(line).unwrap()).collect();
    assert!(order.is_sorted(), "{all}");
}

#[tokio::test]
async fn bodies_pass_both_ways_whatever_their_framing() {
    let backend = Backend::new(|head, _| {
        let chunked = field(head, "transfer-encoding").is_some();
        Some(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Chunked: {chunked}\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
    })
    .await;
    let rig = http(&[backend.address]).await;
    let mut client = rig.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(status(&client.answer().await), 100);
    client.send("5\r\nhello\r\n0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((status(&answer), field(&answer, "x-chunked")), (200, Some("true")));
    assert!(body(&answer).contains("abc"));
    // The connection goes on.
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!(field(&client.answer().await, "x-chunked"), Some("false"));
}

#[tokio::test]
async fn rules_redirects_and_fixed_responses_answer() {
    let backend = Backend::echo().await;
    let mut wanted = listener(ListenerProtocol::Http, to("none"));
    let rule = |priority, path: &str, action| {
        let conditions = vec![Condition::Path(vec![Pattern::Wildcard(path.to_owned())])];
        Arc::new(Rule { id: RuleId::from(path), priority, conditions, action })
    };
    let redirect =
        Redirect { protocol: "HTTPS".to_owned(), port: "443".to_owned(), ..Redirect::default() };
    wanted.rules = vec![
        rule(1, "/moved/*", Action::Redirect(redirect)),
        rule(
            2,
            "/fixed",
            Action::Fixed {
                status: 418,
                content_type: Some("text/plain".to_owned()),
                body: "tea".to_owned(),
            },
        ),
        rule(3, "/g", to("g")),
    ];
    let rig = Rig::new(wanted, vec![group("g", &[backend.address]), group("empty", &[])]).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let moved = rig.ask(&get("/moved/x?y=z")).await;
    assert_eq!(status(&moved), 302);
    assert_eq!(field(&moved, "location"), Some("https://a.example:443/moved/x?y=z"));
    let fixed = rig.ask(&get("/fixed")).await;
    assert_eq!(
        (status(&fixed), body(&fixed), field(&fixed, "content-type")),
        (418, "tea", Some("text/plain"))
    );
    assert_eq!(status(&rig.ask(&get("/g")).await), 200);
    let nobody = rig.ask(&get("/other")).await;
    assert_eq!((status(&nobody), field(&nobody, "server")), (503, Some("awselb/2.0")));
    let usage = rig.balancer.usage().balancers["lb"].clone();
    assert_eq!((usage.redirects, usage.fixed_responses, usage.elb_500_502_503_504[2]), (1, 1, 1));
}

#[tokio::test]
async fn cookies_keep_a_client_with_its_target_until_it_leaves() {
    let (one, two) = (Backend::named("one").await, Backend::named("two").await);
    let mut sticky = group("g", &[one.address, two.address]);
    sticky.stickiness = Some(Stickiness::LbCookie { duration: Duration::from_secs(60) });
    let mut rig = Rig::new(listener(ListenerProtocol::Http, to("g")), vec![sticky]).await;
    let first = rig.ask(GET).await;
    let cookie = field(&first, "set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let again = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: x=y; {cookie}\r\n\r\n");
    for _ in 0..6 {
        assert_eq!(body(&rig.ask(&again).await), body(&first));
    }
    let left = if body(&first) == "one" { one.address } else { two.address };
    rig.group("g", |group| {
        let target = Arc::make_mut(group.targets.get_mut(&*left.to_string()).unwrap());
        target.phase = Phase::Draining { since: shell::SystemClock::shared().now() };
    })
    .await;
    assert_ne!(body(&rig.ask(&again).await), body(&first));
    let idle = rig.until(|event| matches!(event, Event::TargetIdle { .. })).await;
    assert_eq!(idle, Event::TargetIdle { group: "g".into(), target: left.to_string().into() });
}

#[tokio::test]
async fn weights_and_their_cookie_choose_the_group() {
    let (one, two) = (Backend::named("one").await, Backend::named("two").await);
    let groups = |a, b| {
        let weighted = |group: &str, weight| WeightedGroup { group: group.into(), weight };
        Action::Forward {
            groups: vec![weighted("one", a), weighted("two", b)],
            stickiness: Some(Duration::from_secs(60)),
        }
    };
    let all = vec![group("one", &[one.address]), group("two", &[two.address])];
    let mut rig = Rig::new(listener(ListenerProtocol::Http, groups(1, 0)), all).await;
    let first = rig.ask(GET).await;
    assert_eq!(body(&first), "one");
    let cookie = field(&first, "set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("AWSALBTG="));
    rig.apply(|table| Arc::make_mut(&mut table.listeners[0]).default_action = groups(1, 99)).await;
    let again = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n");
    for _ in 0..10 {
        assert_eq!(body(&rig.ask(&again).await), "one");
    }
}

#[tokio::test]
async fn websockets_become_tunnels_and_refused_ones_do_not() {
    let backend = Backend::new(|head, _| {
        if head.starts_with("GET /ws") {
            let accepted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello";
            return Some(accepted.to_owned());
        }
        // What comes through the tunnel.
        Some(if head == "ping\r\n\r\n" { "pong" } else { "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n" }.to_owned())
    })
    .await;
    let rig = http(&[backend.address]).await;
    let ask = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
    };
    let mut client = rig.client().await;
    client.send(ask("/no")).await;
    assert_eq!(status(&client.answer().await), 403);
    client.send(ask("/ws")).await;
    let answer = client.answer().await;
    assert_eq!((status(&answer), field(&answer, "upgrade")), (101, Some("websocket")));
    let mut hello = [0; 5];
    tokio::io::AsyncReadExt::read_exact(&mut client.0, &mut hello).await.unwrap();
    assert_eq!(&hello, b"hello");
    client.send("ping\r\n\r\n").await;
    let mut pong = [0; 4];
    tokio::io::AsyncReadExt::read_exact(&mut client.0, &mut pong).await.unwrap();
    assert_eq!(&pong, b"pong");
}

#[tokio::test]
async fn a_new_table_drops_no_connection_and_a_gone_listener_stops_listening() {
    let (one, two) = (Backend::named("one").await, Backend::named("two").await);
    let mut rig = http(&[one.address]).await;
    let mut client = rig.client().await;
    client.send(GET).await;
    assert_eq!(body(&client.answer().await), "one");
    rig.group("g", |group| group.targets = [target(two.address)].into()).await;
    client.send(GET).await;
    assert_eq!(body(&client.answer().await), "two");
    let address = rig.address;
    assert!(matches!(
        rig.balancer.check_bind(address, Transport::Tcp),
        Err(BindError::InUse { .. })
    ));
    rig.apply(|table| table.listeners.clear()).await;
    // Idle connections of a listener that is gone end.
    assert_eq!(client.rest().await, "");
    let free = async {
        while rig.balancer.check_bind(address, Transport::Tcp).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.unwrap();
}

#[tokio::test]
async fn health_is_found_out_only_for_groups_in_use() {
    let good = Backend::named("good").await;
    let bad =
        Backend::new(|_, _| Some("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_owned())).await;
    let mut checked = group("g", &[good.address, bad.address]);
    checked.health_check = HealthCheck {
        interval: Duration::from_millis(50),
        healthy_threshold: 2,
        ..HealthCheck::default()
    };
    let mut spare = group("spare", &[good.address]);
    spare.health_check = HealthCheck::default();
    let mut rig = Rig::new(listener(ListenerProtocol::Http, to("g")), vec![checked, spare]).await;
    let mut seen = Vec::new();
    let (mut well, mut ill) = (false, false);
    while !(well && ill) {
        let Event::TargetHealth { group, target, health } = rig.until(|_| true).await else {
            continue;
        };
        well |= health == Health::Healthy && *target.as_str() == good.address.to_string();
        ill |= health == Health::Unhealthy(Failure::ResponseCodeMismatch(500))
            && *target.as_str() == bad.address.to_string();
        seen.push((group, health.reason()));
    }
    assert!(seen.contains(&("g".into(), Some("Elb.RegistrationInProgress"))), "{seen:?}");
    assert!(seen.contains(&("g".into(), Some("Elb.InitialHealthChecking"))));
    assert!(seen.contains(&("spare".into(), Some("Target.NotInUse"))));
    assert!(!seen.contains(&("g".into(), Some("Target.NotInUse"))));
    for _ in 0..4 {
        assert_eq!(body(&rig.ask(GET).await), "good");
    }
    let usage = rig.balancer.usage();
    assert_eq!((usage.groups["g"].healthy_hosts, usage.groups["g"].unhealthy_hosts), (1, 1));
    // Out of use, back in use.
    rig.apply(|table| Arc::make_mut(&mut table.listeners[0]).default_action = to("spare")).await;
    rig.until(|event| {
        matches!(event, Event::TargetHealth { group, health: Health::Unused, .. } if group.as_str() == "g")
    })
    .await;
}
