//! A task's endpoints at 169.254.170.2: who reaches them, under which address, and who does not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::IpAddr;
use std::os::fd::AsFd as _;

use net::{InsidePorts, Network, NetworkConfig};
use support::{Guest, ask, on_a_host, serve_tcp, sh};

const INSIDE: &str = "169.254.170.2";
const IMDS: &str = "169.254.169.254";

fn config(state: &tempfile::TempDir, name: &str, subnet: &str) -> NetworkConfig {
    NetworkConfig {
        bridge: format!("{name}0"),
        table: name.to_owned(),
        subnet: subnet.to_owned(),
        port_range: 40000..=40010,
        other_bridges: vec!["other0".to_owned()],
        block_instance_metadata: true,
        blocked_ports: vec![4747],
        ..NetworkConfig::new(state.path().join(name))
    }
}

fn v4(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn containers_and_programs_find_their_own_listeners_and_nobody_finds_them_otherwise() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let outside = Guest::outside();
        let network = Network::open(config(&state, "one", "172.30.0.0/16")).await.unwrap();
        let (guest, other) = (Guest::new(), Guest::new());
        network.attach("guest", guest.netns().as_fd(), &[]).await.unwrap();
        network.attach("other", other.netns().as_fd(), &[]).await.unwrap();
        assert_eq!(guest.ask(INSIDE, 80), None, "nobody listens yet");
        serve_tcp("172.30.0.1", 5001);
        serve_tcp("127.0.0.1", 5002);
        for _ in 0..2 {
            let ports = InsidePorts { bridge: Some(5001), machine: 5002 };
            network.lead_inside(ports).await.unwrap();
            assert_eq!(guest.ask(INSIDE, 80), v4("172.30.0.2"), "with its own address");
            assert_eq!(other.ask(INSIDE, 80), v4("172.30.0.3"));
            assert!(ask(INSIDE, 80).is_some(), "a program of the machine");
        }
        for (address, port) in
            [("172.30.0.1", 5001), ("198.51.100.1", 5001), ("172.30.0.1", 5002), (INSIDE, 81)]
        {
            assert_eq!(guest.ask(address, port), None, "{address}:{port}");
        }
        assert_eq!(ask("172.30.0.1", 5001), None, "nor does the machine itself");
        outside.sh("ip route add 172.30.0.0/16 via 198.51.100.1");
        outside.sh("ip route add 169.254.170.2 via 198.51.100.1");
        assert_eq!(outside.ask("172.30.0.1", 5001), None);
        assert_eq!(outside.ask(INSIDE, 80), None);

        // A task's ports and endpoints do not disturb each other.
        guest.serve_tcp(8000);
        assert!(ask("172.30.0.2", 8000).is_some());
        net::teardown(&config(&state, "one", "172.30.0.0/16")).await.unwrap();
        assert_eq!(ask(INSIDE, 80), None);
        assert_eq!(sh("nft list ruleset").matches("169.254").count(), 0);
    });
}

#[test]
fn the_bridges_of_others_have_the_same_way_and_the_same_fences() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let network = Network::open(config(&state, "one", "172.30.0.0/16")).await.unwrap();
        let mine = Guest::new();
        network.attach("mine", mine.netns().as_fd(), &[]).await.unwrap();
        // As Docker stands beside us.
        sh("ip link add other0 type bridge && ip addr add 10.77.0.1/24 dev other0 &&
            ip link set other0 up");
        let second = Network::open(config(&state, "two", "10.78.0.0/16")).await.unwrap();
        let theirs = Guest::new();
        second.attach("theirs", theirs.netns().as_fd(), &[]).await.unwrap();
        serve_tcp("172.30.0.1", 5001);
        serve_tcp("127.0.0.1", 5002);
        serve_tcp("0.0.0.0", 4747);
        let ports = InsidePorts { bridge: Some(5001), machine: 5002 };
        network.lead_inside(ports).await.unwrap();
        assert_eq!(mine.ask(INSIDE, 80), v4("172.30.0.2"));
        assert_eq!(theirs.ask(INSIDE, 80), None, "another network's containers are its own");
        assert_eq!(theirs.ask("172.30.0.1", 5001), None);

        let on_other = Guest::on_bridge("other0", "10.77.0.5/24", "10.77.0.1");
        assert_eq!(on_other.ask(INSIDE, 80), v4("10.77.0.5"), "with its own address");
        assert_eq!(on_other.ask("172.30.0.1", 5001), None);
        for address in ["10.77.0.1", "172.30.0.1"] {
            assert_eq!(on_other.ask(address, 4747), None, "{address}");
        }
    });
}

#[test]
fn containers_are_kept_from_instance_metadata_where_it_is_asked_for() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        sh(&format!("ip addr add {IMDS}/32 dev lo"));
        serve_tcp(IMDS, 80);
        for (block, seen) in [(true, None), (false, v4("172.30.0.2"))] {
            let config = NetworkConfig {
                block_instance_metadata: block,
                ..config(&state, "one", "172.30.0.0/16")
            };
            let network = Network::open(config.clone()).await.unwrap();
            let guest = Guest::new();
            network.attach("guest", guest.netns().as_fd(), &[]).await.unwrap();
            assert_eq!(guest.ask(IMDS, 80), seen);
            assert!(ask(IMDS, 80).is_some(), "the machine reaches its own");
            drop(guest);
            net::teardown(&config).await.unwrap();
        }
    });
}
