//! Who has what, over conflicts, crowds, crashes and the end. Runs as root in namespaces of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;

use net::{Attachment, NetError, Network, NetworkConfig, PortRequest, Protocol, teardown};
use support::{Guest, ask, on_a_host, sh};

fn config(state: &tempfile::TempDir) -> NetworkConfig {
    NetworkConfig { subnet: "auto".to_owned(), ..NetworkConfig::new(state.path().join("net")) }
}

fn tcp(container_port: u16, host_port: Option<u16>) -> PortRequest {
    PortRequest { container_port, host_port, protocol: Protocol::Tcp, host_ip: None }
}

async fn attached(network: &Network, id: &str, ports: &[PortRequest]) -> (Guest, Attachment) {
    let guest = Guest::new();
    let attachment = network.attach(id, guest.netns(), ports).await.unwrap();
    (guest, attachment)
}

#[test]
fn a_static_port_has_one_owner_and_the_refusal_names_it() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let network = Network::open(config(&state)).await.unwrap();
        let _first = attached(&network, "task-a", &[tcp(80, Some(8080))]).await;
        let listener = TcpListener::bind("0.0.0.0:8443").unwrap();

        let second = Guest::new();
        for (port, holder) in [(8080, "task-a"), (8443, "process ")] {
            let wanted = [tcp(81, Some(8081)), tcp(80, Some(port))];
            let error = network.attach("task-b", second.netns(), &wanted).await.unwrap_err();
            assert!(matches!(&error, NetError::PortInUse { port: p, .. } if *p == port), "{error}");
            assert!(error.to_string().contains(holder), "{error}");
            assert_eq!(network.attachment("task-b"), None);
        }
        // Nothing of the refused orders is kept: the port, the address, the namespace.
        drop(listener);
        // Programs that other tests start have our listener open between fork and exec.
        while TcpListener::bind("0.0.0.0:8443").is_err() {
            tokio::task::yield_now().await;
        }
        let wanted = [tcp(81, Some(8081)), tcp(80, Some(8443))];
        let got = network.attach("task-b", second.netns(), &wanted).await.unwrap();
        let again = network.attach("task-b", second.netns(), &wanted).await.unwrap();
        assert_eq!(got, again, "idempotent");
        assert!(TcpListener::bind("0.0.0.0:8443").is_err(), "held against other programs");
    });
}

#[test]
fn host_mode_checks_and_remembers_ports_but_leaves_them_to_the_container() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let network = Network::open(config(&state)).await.unwrap();
        let bindings = network.reserve_host_ports("web", &[tcp(8080, None)]).await.unwrap();
        assert_eq!(bindings[0].host_port, 8080);
        let server = TcpListener::bind("0.0.0.0:8080").unwrap();
        assert_eq!(network.reserve_host_ports("web", &[tcp(1, None)]).await.unwrap(), bindings);
        assert_eq!(network.attachment("web"), None);

        for result in [
            network.reserve_host_ports("other", &[tcp(8080, None)]).await.map(drop),
            network.attach("third", Guest::new().netns(), &[tcp(80, Some(8080))]).await.map(drop),
        ] {
            let error = result.unwrap_err();
            assert_eq!(
                error.to_string(),
                "host port 8080/tcp is already in use by web, which this node runs"
            );
        }
        assert!(network.attach("web", Guest::new().netns(), &[]).await.is_err());

        drop(network);
        let network = Network::open(config(&state)).await.unwrap();
        assert_eq!(network.reserve_host_ports("web", &[]).await.unwrap(), bindings, "adopted");
        network.detach("web").await.unwrap();
        drop(server);
        while TcpListener::bind("0.0.0.0:8080").is_err() {
            tokio::task::yield_now().await;
        }
        network.reserve_host_ports("other", &[tcp(8080, None)]).await.unwrap();
    });
}

#[test]
fn a_crowd_gets_distinct_addresses_and_ports() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let network = Arc::new(Network::open(config(&state)).await.unwrap());
        let guests: Vec<_> = (0..40).map(|_| Guest::new()).collect();
        let orders: Vec<_> = guests
            .iter()
            .enumerate()
            .map(|(number, guest)| {
                let network = Arc::clone(&network);
                let netns = guest.netns().try_clone_to_owned().unwrap();
                tokio::spawn(async move {
                    use std::os::fd::AsFd as _;
                    let id = format!("task {number}");
                    let ports = [tcp(80, None), tcp(81, None)];
                    network.attach(&id, netns.as_fd(), &ports).await.unwrap()
                })
            })
            .collect();
        let (mut addresses, mut ports, mut macs) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for order in orders {
            let attachment = order.await.unwrap();
            addresses.insert(attachment.address);
            macs.insert(attachment.mac);
            ports.extend(attachment.bindings.iter().map(|binding| binding.host_port));
        }
        assert_eq!((addresses.len(), macs.len(), ports.len()), (40, 40, 80));
        assert_eq!(sh("ip -o link show master wharf0").lines().count(), 40);
    });
}

#[test]
fn the_next_process_adopts_what_a_killed_one_left() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let network = Network::open(config(&state)).await.unwrap();
        let (web, at) = attached(&network, "web", &[tcp(80, Some(8080)), tcp(80, None)]).await;
        let (_gone, _) = attached(&network, "gone", &[tcp(80, Some(8081))]).await;
        web.serve_tcp(80);
        // Killed: no destructor of ours does anything in the kernel, and a torn write is left.
        drop(network);
        std::fs::write(state.path().join("net/attachments/torn.json"), "{").unwrap();
        std::fs::write(state.path().join("net/attachments/torn.new"), "{").unwrap();

        assert!(ask("127.0.0.1", 8080).is_some(), "traffic flows while nobody looks");
        let network = Network::open(config(&state)).await.unwrap();
        assert_eq!(network.attachment("web"), Some(at.clone()));
        for binding in &at.bindings {
            assert!(ask("127.0.0.1", binding.host_port).is_some());
        }
        let (_new, new) = attached(&network, "new", &[tcp(80, None)]).await;
        assert_ne!(new.address, at.address);
        assert!(!at.bindings.iter().any(|b| b.host_port == new.bindings[0].host_port));
        assert!(
            network.attach("x", Guest::new().netns(), &[tcp(1, Some(8080))]).await.is_err(),
            "its ports are still its own"
        );

        let keep = ["web", "new"].map(str::to_owned).into();
        network.retain(&keep).await.unwrap();
        assert_eq!(network.attachment("gone"), None);
        assert_eq!(sh("ip -o link show master wharf0").lines().count(), 2, "its interface went");
        assert!(ask("127.0.0.1", 8080).is_some());
        network.attach("x", Guest::new().netns(), &[tcp(1, Some(8081))]).await.unwrap();
    });
}

#[test]
fn an_attachment_that_was_only_written_down_is_completed() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let network = Network::open(config(&state)).await.unwrap();
        let (old, at) = attached(&network, "web", &[tcp(80, Some(8080))]).await;
        drop(network);
        // The namespace is another one under the same id, while the old one still stands.
        let network = Network::open(config(&state)).await.unwrap();
        let web = Guest::new();
        web.serve_tcp(80);
        assert_eq!(network.attach("web", web.netns(), &[]).await.unwrap(), at);
        assert!(ask("127.0.0.1", 8080).is_some());
        drop(old);
    });
}

#[test]
fn nothing_is_left_after_the_end() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        sh("echo 0 > /proc/sys/net/ipv4/ip_forward");
        let snapshot = || {
            let forwarding = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
            (sh("ip -br link | cut -d' ' -f1"), sh("nft list ruleset"), sh("ip route"), forwarding)
        };
        let before = snapshot();
        let network = Network::open(config(&state)).await.unwrap();
        let _web = attached(&network, "web", &[tcp(80, Some(8080))]).await;
        network.reserve_host_ports("host", &[tcp(8090, None)]).await.unwrap();
        assert_ne!(snapshot(), before);
        // `wharf down` is another process; and the one that was has not tidied up.
        drop(network);
        teardown(&config(&state)).await.unwrap();
        assert_eq!(snapshot(), before);
        assert!(!state.path().join("net").exists());
        teardown(&config(&state)).await.unwrap();
        assert_eq!(snapshot(), before);

        // Forwarding stays where somebody else could need it.
        sh("echo 0 > /proc/sys/net/ipv4/ip_forward");
        drop(Network::open(config(&state)).await.unwrap());
        sh("ip link add br-other type bridge");
        teardown(&config(&state)).await.unwrap();
        assert_eq!(snapshot().3.trim(), "1");
    });
}

#[test]
fn two_networks_live_beside_each_other_and_end_alone() {
    on_a_host(|| async {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let second = NetworkConfig {
            bridge: "wharf1".to_owned(),
            table: "wharf-1".to_owned(),
            ..config(&two)
        };
        let first = Network::open(config(&one)).await.unwrap();
        let network = Network::open(second.clone()).await.unwrap();
        assert_ne!(first.gateway(), network.gateway(), "auto sees the other's subnet");
        let (web, _) = attached(&first, "web", &[tcp(80, Some(8080))]).await;
        let (other, _) = attached(&network, "web", &[]).await;
        web.serve_tcp(80);
        assert!(other.ask(first.gateway(), 8080).is_some(), "by a published port");
        let error =
            network.attach("b", Guest::new().netns(), &[tcp(80, Some(8080))]).await.unwrap_err();
        assert!(matches!(error, NetError::PortInUse { port: 8080, .. }), "{error}");
        teardown(&second).await.unwrap();
        assert!(ask("127.0.0.1", 8080).is_some());
    });
}

#[test]
fn what_somebody_else_removed_is_put_back() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let network = Network::open(config(&state)).await.unwrap();
        let (web, _) = attached(&network, "web", &[tcp(80, Some(8080))]).await;
        web.serve_tcp(80);
        sh("nft flush ruleset");
        assert_eq!(ask("127.0.0.1", 8080), None);
        let (_more, _) = attached(&network, "more", &[tcp(80, Some(8081))]).await;
        assert!(ask("127.0.0.1", 8080).is_some(), "the next change heals all");
        sh("nft flush ruleset");
        network.detach("more").await.unwrap();
        assert!(ask("127.0.0.1", 8080).is_some());

        sh("ip link del wharf0");
        let (fresh, _) = attached(&network, "fresh", &[tcp(80, Some(8082))]).await;
        fresh.serve_tcp(80);
        assert!(ask("127.0.0.1", 8082).is_some(), "on a new bridge");
    });
}

#[test]
fn a_prepared_namespace_needs_only_its_ports() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let network = Network::open(config(&state)).await.unwrap();
        let web = Guest::new();
        web.serve_tcp(80);
        let prepared = network.prepare(web.netns()).await.unwrap();
        // A sweep does not take it for nobody's.
        network.retain(&BTreeSet::new()).await.unwrap();
        let at = network.attach_prepared("web", prepared, &[tcp(80, Some(8080))]).await.unwrap();
        assert!(ask("127.0.0.1", 8080).is_some());
        assert_eq!(network.attachment("web"), Some(at.clone()));

        let unused = Guest::new();
        let dropped = network.prepare(unused.netns()).await.unwrap();
        drop(dropped);
        let refused = Guest::new();
        let prepared = network.prepare(refused.netns()).await.unwrap();
        assert!(
            network.attach_prepared("b", prepared, &[tcp(80, Some(8080))]).await.is_err(),
            "the port is taken"
        );
        drop((unused, refused));
        let (_next, next) = attached(&network, "next", &[]).await;
        assert_ne!(next.address, at.address, "a used address is not given away");
    });
}

#[test]
fn small_subnets_run_out_clearly_and_reuse_what_is_given_back() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let small = NetworkConfig { subnet: "10.99.0.0/29".to_owned(), ..config(&state) };
        let network = Network::open(small).await.unwrap();
        let mut guests = Vec::new();
        for number in 0..5 {
            guests.push(attached(&network, &format!("task {number}"), &[]).await);
        }
        let late = Guest::new();
        let error = network.attach("late", late.netns(), &[tcp(1, None)]).await.unwrap_err();
        assert_eq!(error.to_string(), "no address is free in 10.99.0.0/29: all 5 are in use");
        let (guest, old) = guests.remove(2);
        network.detach("task 2").await.unwrap();
        // Its interface still stands, so the address is not free yet, whatever the books say.
        assert!(network.attach("late", late.netns(), &[]).await.is_err());
        network.retain(&(0..5).map(|n| format!("task {n}")).collect()).await.unwrap();
        let got = network.attach("late", late.netns(), &[]).await.unwrap();
        assert_eq!(got.address, old.address);
        drop(guest);
    });
}

#[test]
fn configurations_that_cannot_work_are_refused_before_anything_is_made() {
    on_a_host(|| async {
        let state = tempfile::tempdir().unwrap();
        let base = config(&state);
        let _outside = Guest::outside();
        sh("ip link add notabridge type veth peer name other");
        let bad = [
            NetworkConfig { subnet: "198.51.100.0/24".to_owned(), ..base.clone() },
            NetworkConfig { subnet: "172.30.0.1/16".to_owned(), ..base.clone() },
            NetworkConfig { bridge: "sixteen-letters-".to_owned(), ..base.clone() },
            NetworkConfig { bridge: "../x".to_owned(), ..base.clone() },
            NetworkConfig { bridge: "notabridge".to_owned(), ..base.clone() },
            NetworkConfig { table: "a; flush ruleset".to_owned(), ..base.clone() },
            NetworkConfig { port_range: 0..=10, ..base.clone() },
        ];
        for config in bad {
            let error = Network::open(config.clone()).await.unwrap_err();
            assert!(
                matches!(error, NetError::Config(_) | NetError::SubnetTaken { .. }),
                "{config:?}: {error}"
            );
            assert_eq!(sh("nft list ruleset"), "");
        }
        let network = Network::open(base).await.unwrap();
        let guest = Guest::new();
        for id in [String::new(), "x".repeat(121)] {
            let error = network.attach(&id, guest.netns(), &[]).await.unwrap_err();
            assert!(matches!(error, NetError::Id(_)));
        }
        let v6 = PortRequest { host_ip: Some(IpAddr::from([0_u16; 8])), ..tcp(80, None) };
        let error = network.attach("v6", guest.netns(), &[v6]).await.unwrap_err();
        assert!(error.to_string().contains("IPv6"), "{error}");
    });
}
