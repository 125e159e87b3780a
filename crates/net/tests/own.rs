//! Addresses of a task's own: who reaches them and whom they reach, from which address, what a restart
//! finds and what an end leaves. Runs as root in namespaces of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use net::{Attachment, NetError, Network, NetworkConfig, OwnAddress, PortRequest, Protocol, Ways};
use support::{Guest, ask, on_a_host, sh};

const HOST: &str = "198.51.100.1";
const OUTSIDE: &str = "198.51.100.2";

fn config(state: &tempfile::TempDir) -> NetworkConfig {
    NetworkConfig {
        subnet: "172.30.0.0/16".to_owned(),
        ..NetworkConfig::new(state.path().join("net"))
    }
}

/// A second node of the same machine.
fn other(state: &tempfile::TempDir) -> NetworkConfig {
    NetworkConfig {
        bridge: "wharf1".to_owned(),
        table: "wharf1".to_owned(),
        subnet: "172.29.0.0/16".to_owned(),
        ..NetworkConfig::new(state.path().join("other"))
    }
}

fn own(last: u8) -> OwnAddress {
    OwnAddress {
        address: Ipv4Addr::new(172, 31, 0, last),
        mac: [2, 87, 172, 31, 0, last],
        vpc: (Ipv4Addr::new(172, 31, 0, 0), 16),
    }
}

async fn attached(network: &Network, id: &str, last: u8) -> (Guest, Attachment) {
    let guest = Guest::new();
    let attachment = network.attach_own(id, guest.netns(), own(last)).await.unwrap();
    (guest, attachment)
}

fn v4(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn an_address_of_its_own_is_reached_and_kept_on_the_way_to_its_like() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let outside = Guest::outside();
        let network = Network::open(config(&state)).await.unwrap();
        let second = Network::open(other(&state)).await.unwrap();
        let (web, at) = attached(&network, "web", 9).await;
        let (near, _) = attached(&network, "near", 10).await;
        let (far, _) = attached(&second, "far", 11).await;
        let bridged = Guest::new();
        let port = PortRequest {
            container_port: 80,
            host_port: Some(8080),
            protocol: Protocol::Tcp,
            host_ip: None,
        };
        network.attach("bridged", bridged.netns(), &[port]).await.unwrap();
        bridged.serve_tcp(80);
        web.serve_tcp(80);
        web.serve_tcp(81);
        outside.serve_tcp(7000);
        outside.sh("ip route add 172.31.0.0/16 via 198.51.100.1");

        assert_eq!((at.prefix, at.mac.as_str()), (32, "02:57:ac:1f:00:09"));
        assert!(web.sh("ip -br link show eth0").contains("02:57:ac:1f:00:09"));
        assert_eq!(ask("172.31.0.9", 80), v4("172.30.0.1"), "the host, by its bridge");
        assert_eq!(ask("172.31.0.9", 81), v4("172.30.0.1"), "at any port");
        assert_eq!(near.ask("172.31.0.9", 80), v4("172.31.0.10"), "a task of the node");
        assert_eq!(far.ask("172.31.0.9", 80), v4("172.31.0.11"), "a task of another node");
        assert!(bridged.ask("172.31.0.9", 80).is_some(), "a container on the bridge");
        assert_eq!(outside.ask("172.31.0.9", 80), v4(OUTSIDE), "who is told the way, too");
        assert_eq!(web.ask(OUTSIDE, 7000), v4(HOST), "outwards, masqueraded");
        assert!(web.ask(HOST, 8080).is_some(), "a published port of the node");
        assert_eq!(web.ask("127.0.0.1", 22), None);

        network.detach("web").await.unwrap();
        assert!(!sh("ip route").contains("172.31.0.9"));
        assert_eq!(ask("172.31.0.9", 80), None);
        network.detach("web").await.unwrap();
    });
}

#[test]
fn a_restart_keeps_it_and_an_end_leaves_nothing() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let network = Network::open(config(&state)).await.unwrap();
        let (web, at) = attached(&network, "web", 9).await;
        let (gone, _) = attached(&network, "gone", 10).await;
        web.serve_tcp(80);
        drop(network);

        let network = Network::open(config(&state)).await.unwrap();
        assert_eq!(network.attachment("web"), Some(at.clone()));
        assert!(network.counters("web").is_some());
        assert!(ask("172.31.0.9", 80).is_some(), "the rules stand again");
        let again = network.attach_own("web", web.netns(), own(9)).await.unwrap();
        assert_eq!(again, at, "asked again it is the same");
        drop(gone);
        network.retain(&BTreeSet::from(["web".to_owned()])).await.unwrap();
        let routes = sh("ip route");
        assert!(routes.contains("172.31.0.9 ") && !routes.contains("172.31.0.10"), "{routes}");
        drop(network);

        // Its namespace is a new one under the old id.
        let network = Network::open(config(&state)).await.unwrap();
        let (fresh, _) = attached(&network, "web", 9).await;
        fresh.serve_tcp(80);
        assert!(ask("172.31.0.9", 80).is_some());
        drop(network);
        net::teardown(&config(&state)).await.unwrap();
        let left = sh("ip route; ip -br link; nft list ruleset");
        assert!(!left.contains("172.31.") && !left.contains("wharf"), "{left}");
    });
}

#[test]
fn what_somebody_else_has_is_refused_and_left_alone() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let network = Network::open(config(&state)).await.unwrap();
        let second = Network::open(other(&state)).await.unwrap();
        let (web, _) = attached(&network, "web", 9).await;
        web.serve_tcp(80);
        for (net, id) in [(&network, "twice"), (&second, "elsewhere")] {
            let guest = Guest::new();
            let refused = net.attach_own(id, guest.netns(), own(9)).await.unwrap_err();
            assert!(matches!(refused, NetError::AddressTaken(_)), "{refused}");
            assert!(refused.to_string().contains("172.31.0.9"));
            assert_eq!(net.attachment(id), None);
        }
        second.retain(&BTreeSet::new()).await.unwrap();
        assert!(ask("172.31.0.9", 80).is_some());
        let refused = network.attach("web", web.netns(), &[]).await.unwrap_err();
        assert!(refused.to_string().contains("another network mode"), "{refused}");
    });
}

#[test]
fn another_machine_finds_its_way_there_and_forgets_it() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let network = Network::open(config(&state)).await.unwrap();
        let (web, _) = attached(&network, "web", 9).await;
        web.serve_tcp(80);
        // The server's machine is the one outside; this one is a node.
        let outside = Guest::outside();
        let to: Ipv4Addr = "172.31.0.9".parse().unwrap();
        let (node, nowhere): (Ipv4Addr, Ipv4Addr) =
            (HOST.parse().unwrap(), "203.0.113.9".parse().unwrap());
        assert_eq!(outside.ask("172.31.0.9", 80), None);
        let vpc = own(9).vpc;
        let lead = move |wanted: Vec<(Ipv4Addr, Ipv4Addr)>| {
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async move {
                Ways::open(vpc).unwrap().lead(wanted.into_iter().collect()).await.unwrap().len()
            })
        };
        assert_eq!(outside.run(move || lead(vec![(to, node)])), 0);
        assert_eq!(outside.ask("172.31.0.9", 80), v4(OUTSIDE));
        outside.sh("ip route add 172.31.0.77 via 198.51.100.1");
        let far = Ipv4Addr::new(172, 31, 0, 8);
        assert_eq!(outside.run(move || lead(vec![(to, node), (far, nowhere)])), 1, "no way there");
        assert_eq!(outside.ask("172.31.0.9", 80), v4(OUTSIDE), "it stands");
        let here = Ipv4Addr::new(198, 51, 100, 2);
        assert_eq!(outside.run(move || lead(vec![(to, here)])), 0, "its own needs no way");
        assert_eq!(outside.ask("172.31.0.9", 80), None);
        assert!(outside.sh("ip route").contains("172.31.0.77"), "somebody else's stays");
    });
}
