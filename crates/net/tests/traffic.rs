//! Real packets through a real bridge: who reaches whom, by which address, and who does not. Runs as
//! root in namespaces of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::{IpAddr, Ipv4Addr};

use net::{Attachment, Network, NetworkConfig, PortRequest, Protocol};
use support::{Guest, ask, ask_udp, on_a_host, serve_tcp, sh};

fn config(state: &tempfile::TempDir) -> NetworkConfig {
    NetworkConfig {
        subnet: "172.30.0.0/16".to_owned(),
        ..NetworkConfig::new(state.path().join("net"))
    }
}

fn tcp(container_port: u16, host_port: Option<u16>) -> PortRequest {
    PortRequest { container_port, host_port, protocol: Protocol::Tcp, host_ip: None }
}

fn udp(container_port: u16, host_port: Option<u16>) -> PortRequest {
    PortRequest { protocol: Protocol::Udp, ..tcp(container_port, host_port) }
}

async fn attached(network: &Network, id: &str, ports: &[PortRequest]) -> (Guest, Attachment) {
    let guest = Guest::new();
    let attachment = network.attach(id, guest.netns(), ports).await.unwrap();
    (guest, attachment)
}

fn v4(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

const HOST: &str = "198.51.100.1";
const OUTSIDE: &str = "198.51.100.2";
const GATEWAY: &str = "172.30.0.1";

#[test]
fn a_published_port_answers_wherever_it_should_and_nothing_else_does() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let outside = Guest::outside();
        let network = Network::open(config(&state)).await.unwrap();
        let (web, at) = attached(&network, "web", &[tcp(80, Some(8080)), tcp(80, None)]).await;
        let (other, _) = attached(&network, "other", &[]).await;
        web.serve_tcp(80);
        web.serve_tcp(81);
        outside.serve_tcp(7000);

        assert_eq!(at.address, Ipv4Addr::new(172, 30, 0, 2));
        assert_eq!((at.gateway, at.prefix), (GATEWAY.parse().unwrap(), 16));
        assert_eq!(at.bindings[0].host_port, 8080);
        let dynamic = at.bindings[1].host_port;
        assert!(net::ephemeral_ports().contains(&dynamic));
        for port in [8080, dynamic] {
            assert_eq!(ask("127.0.0.1", port), v4(GATEWAY), "loopback, masqueraded");
            assert!(ask(GATEWAY, port).is_some(), "the host by the bridge's address");
            assert!(ask(HOST, port).is_some(), "the host by its own address");
            assert_eq!(outside.ask(HOST, port), v4(OUTSIDE), "from outside, source kept");
            assert_eq!(other.ask(HOST, port), v4(GATEWAY), "from a container by the host");
            assert_eq!(other.ask(GATEWAY, port), v4(GATEWAY), "and by the gateway");
            assert_eq!(web.ask(HOST, port), v4(GATEWAY), "to itself by the host (hairpin)");
        }
        assert_eq!(other.ask(at.address, 80), v4("172.30.0.3"), "container to container");
        assert_eq!(other.ask(OUTSIDE, 7000), v4(HOST), "outwards, masqueraded");
        assert!(ask(&at.address.to_string(), 80).is_some(), "the host by the container's address");

        assert_eq!(ask("127.0.0.1", 81), None, "not published");
        outside.sh("ip route add 172.30.0.0/16 via 198.51.100.1");
        assert_eq!(outside.ask(at.address, 80), None, "who routes around the ports is dropped");

        network.detach("web").await.unwrap();
        assert_eq!(ask("127.0.0.1", 8080), None);
        assert_eq!(outside.ask(HOST, dynamic), None);
        network.detach("web").await.unwrap();
    });
}

#[test]
fn udp_is_published_and_flows_from_before_meet_the_new_rules() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let outside = Guest::outside();
        let network = Network::open(config(&state)).await.unwrap();
        // A client that asks before anything is published, and goes on by the same socket.
        let early = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        assert_eq!(support::ask_udp_by(&early, HOST, 5353), None);

        let (first, _) = attached(&network, "first", &[udp(53, Some(5353))]).await;
        first.serve_udp(53);
        assert_eq!(outside.ask_udp(HOST, 5353), v4(OUTSIDE));
        assert_eq!(ask_udp("127.0.0.1", 5353), v4(GATEWAY));
        assert_eq!(ask("127.0.0.1", 5353), None, "TCP is another port");
        eventually(|| support::ask_udp_by(&early, HOST, 5353).is_some()).await;

        // Its successor at the same port gets the packets of clients that never stopped asking.
        network.detach("first").await.unwrap();
        let (second, _) = attached(&network, "second", &[udp(53, Some(5353))]).await;
        second.serve_udp(53);
        drop(first);
        eventually(|| support::ask_udp_by(&early, HOST, 5353).is_some()).await;
    });
}

/// For what happens in the background.
async fn eventually(mut holds: impl FnMut() -> bool) {
    for _ in 0..50 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("it did not come true");
}

#[test]
fn a_port_can_be_published_at_one_address_only() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let outside = Guest::outside();
        let network = Network::open(config(&state)).await.unwrap();
        let local = PortRequest { host_ip: v4("127.0.0.1"), ..tcp(80, Some(9000)) };
        let wide = PortRequest { host_ip: v4(HOST), ..tcp(80, Some(9000)) };
        let (a, bound) = attached(&network, "a", &[local]).await;
        let (b, _) = attached(&network, "b", &[wide]).await;
        a.serve_tcp(80);
        assert_eq!(Some(bound.bindings[0].bind_ip), v4("127.0.0.1"));
        assert!(ask("127.0.0.1", 9000).is_some());
        assert_eq!(ask(HOST, 9000), None, "nothing serves in b yet");
        b.serve_tcp(80);
        assert_eq!(outside.ask(HOST, 9000), v4(OUTSIDE));
        assert_eq!(ask(GATEWAY, 9000), None);
    });
}

#[test]
fn containers_reach_neither_blocked_ports_nor_the_hosts_loopback() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let config = NetworkConfig { blocked_ports: vec![4747], ..config(&state) };
        let _outside = Guest::outside();
        let network = Network::open(config).await.unwrap();
        let (guest, _) = attached(&network, "guest", &[]).await;
        serve_tcp("0.0.0.0", 4747);
        serve_tcp("0.0.0.0", 4748);
        serve_tcp("127.0.0.1", 9999);
        assert!(ask("127.0.0.1", 4747).is_some());
        for address in [GATEWAY, HOST] {
            assert_eq!(guest.ask(address, 4747), None, "{address}");
            assert_eq!(guest.ask(address, 4748), v4("172.30.0.2"), "{address}: not blocked");
        }

        // What a container with CAP_NET_ADMIN can do to send loopback addresses to the host.
        guest.sh("ip addr del 127.0.0.1/8 dev lo &&
             echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet &&
             ip route add 127.0.0.0/8 via 172.30.0.1");
        assert_eq!(guest.ask("127.0.0.1", 9999), None);
        sh("nft flush chain ip wharf guard");
        assert!(guest.ask("127.0.0.1", 9999).is_some(), "it was the guard that kept it out");
    });
}

#[test]
fn traffic_passes_firewalls_that_drop_and_leaves_them_as_they_were() {
    on_a_host(|| async {
        if !support::have("iptables") || !support::have("nft") {
            eprintln!("skipped: needs the programs iptables and nft");
            return;
        }
        let state = tempfile::tempdir().unwrap();
        let outside = Guest::outside();
        outside.serve_tcp(7000);
        // As Docker leaves its table, and another firewall beside it.
        sh("iptables -P FORWARD DROP && iptables -N DOCKER-USER &&
            iptables -A DOCKER-USER -j RETURN && iptables -I FORWARD -j DOCKER-USER");
        sh("nft 'table inet guarded { chain through { \
            type filter hook forward priority filter; policy drop; }; }'");
        let before = (sh("iptables -S"), sh("nft list table inet guarded"));

        for round in 0..2 {
            let network = Network::open(config(&state)).await.unwrap();
            let id = format!("web {round}");
            let (web, _) = attached(&network, &id, &[tcp(80, Some(8080))]).await;
            web.serve_tcp(80);
            assert_eq!(outside.ask(HOST, 8080), v4(OUTSIDE));
            assert_eq!(web.ask(OUTSIDE, 7000), v4(HOST));
            network.detach(&id).await.unwrap();
        }
        let rules = sh("iptables -S");
        assert_eq!(rules.matches("wharf:wharf").count(), 2, "not added twice: {rules}");
        assert_ne!(sh("nft list table inet guarded"), before.1);

        net::teardown(&config(&state)).await.unwrap();
        assert_eq!((sh("iptables -S"), sh("nft list table inet guarded")), before);
    });
}

#[test]
fn counters_are_the_containers() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let outside = Guest::outside();
        let network = Network::open(config(&state)).await.unwrap();
        let (guest, _) = attached(&network, "guest", &[]).await;
        let before = network.counters("guest").unwrap();
        outside.run(|| {
            let sink = std::net::UdpSocket::bind("0.0.0.0:7001").unwrap();
            drop(sink);
        });
        guest.run(|| {
            let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
            for _ in 0..10 {
                drop(socket.send_to(&[0; 1000], "198.51.100.2:7001"));
            }
        });
        let after = network.counters("guest").unwrap();
        assert!(after.tx_bytes - before.tx_bytes >= 1000, "{before:?} {after:?}");
        assert!(after.tx_bytes > after.rx_bytes, "sent more than received: {after:?}");
        assert_eq!(network.counters("nobody"), None);
    });
}

#[test]
fn hairpins_work_whether_or_not_bridged_frames_are_filtered() {
    const SWITCH: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    on_a_host(|| async {
        if !std::path::Path::new(SWITCH).exists() {
            eprintln!("skipped: br_netfilter is not loaded");
            return;
        }
        let state = tempfile::tempdir().unwrap();
        let _outside = Guest::outside();
        let network = Network::open(config(&state)).await.unwrap();
        for (on, port) in [("0", 8080), ("1", 8081)] {
            sh(&format!("echo {on} > {SWITCH}"));
            let (web, at) = attached(&network, &format!("web {on}"), &[tcp(80, Some(port))]).await;
            let (other, _) = attached(&network, &format!("other {on}"), &[]).await;
            web.serve_tcp(80);
            assert!(web.ask(HOST, port).is_some(), "filtered: {on}, to itself by the host");
            assert!(other.ask(HOST, port).is_some(), "filtered: {on}, by the host");
            assert!(other.ask(at.address, 80).is_some(), "filtered: {on}, by address");
            assert!(ask("127.0.0.1", port).is_some(), "filtered: {on}, from the host");
        }
    });
}
